"""The way from Python into a program: arguments are what was compiled for, or nothing runs and nothing changes."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.compiler.targets.llvm import entry
from chainrule.compiler.targets.llvm.entry import (
    ArgumentSpec,
    array_layout,
    globals_of_entry,
    make_callable,
    make_entry,
)
from chainrule.compiler.targets.llvm.machine import Machine, described, host
from chainrule.compiler.targets.llvm.native import _target_machine, compile_text
from chainrule.compiler.targets.llvm.text import F64, I32, I64, PTR, VOID, Function, Value, literal, module_text
from chainrule.errors import UnsupportedError

F32_2x3 = ArgumentSpec(1, np.dtype(np.float32), (2, 3))


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "cache"))


class Counter:
    """A program that counts its rounds, behind an entry.

    Slot 0 of its table is its state (rounds done, runs under way, most runs under way at once); the arguments follow.
    """

    def __init__(self, *arguments: ArgumentSpec, release_gil: bool = False, rounds: int = 1) -> None:
        program = Function("program", [("table", PTR)])
        state = program.load(program["table"], PTR)
        under_way = program.at(state, 1, I64)
        now = add(program, under_way, 1)
        most = program.load(program.at(state, 2, I64), I64)
        program.store(program.intrinsic("smax", I64, now, most), program.at(state, 2, I64))
        loop = program.loop(0, rounds)
        add(program, state, 1)
        program.close(loop)
        add(program, under_way, -1)
        program.ret()
        main = make_entry("main", "program", arguments, host(), release_gil=release_gil, flush_denormals=True)
        self.native = compile_text(module_text([program, main], globals_of_entry(arguments)), host())
        self.state = np.zeros(3, np.int64)
        self.table = np.zeros(16, np.uint64)
        self.table[0] = self.state.ctypes.data
        self.call = make_callable(self.native, "main", self.table)

    @property
    def runs(self) -> int:
        return int(self.state[0])


def add(f: Function, address: Value, change: int) -> Value:
    """Change a number in memory at once, as other threads see it; returns the new one."""
    before = f.value(f"atomicrmw add ptr {address}, i64 {change} seq_cst", I64)
    return f.add(before, literal(change, I64))


class Subclass(np.ndarray[Any, Any]):
    pass


def read_only(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    x.flags.writeable = False
    return x


def misaligned() -> np.ndarray[Any, Any]:
    return np.zeros(25, np.uint8)[1:].view(np.float32).reshape(2, 3)


def test_arguments_that_fit_run_the_program_on_their_data() -> None:
    counter = Counter(F32_2x3, ArgumentSpec(5, np.dtype(np.int64), (4,)))
    x, t = np.zeros((2, 3), np.float32), np.zeros(4, np.int64)
    assert counter.call(x, t) is None
    assert counter.runs == 1
    assert list(counter.table[[1, 5]]) == [x.ctypes.data, t.ctypes.data]


@pytest.mark.parametrize("name", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"])
def test_every_element_type_is_recognised_and_no_other_taken_for_it(name: str) -> None:
    counter = Counter(ArgumentSpec(1, np.dtype(name), (3,)))
    for other in ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64"):
        expected = None if other == name else NotImplemented
        assert counter.call(np.zeros(3, other)) is expected
    assert counter.runs == 1


@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (2, 3), (2, 1, 3), (0, 4)])
def test_every_shape_is_recognised_and_no_other_taken_for_it(shape: tuple[int, ...]) -> None:
    counter = Counter(ArgumentSpec(1, np.dtype(np.float32), shape))
    for other in ((), (0,), (1,), (7,), (2, 3), (3, 2), (2, 1, 3), (6,), (0, 4), (4, 0)):
        expected = None if other == shape else NotImplemented
        assert counter.call(np.zeros(other, np.float32)) is expected
    assert counter.runs == 1


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(np.zeros((2, 3)), id="dtype"),
        pytest.param(np.zeros((2, 3), ">f4"), id="byte order"),
        pytest.param(np.zeros((3, 2), np.float32), id="shape"),
        pytest.param(np.zeros((3, 2), np.float32).T, id="transposed"),
        pytest.param(np.zeros((2, 6), np.float32)[:, ::2], id="strides"),
        pytest.param(np.broadcast_to(np.float32(0), (2, 3)), id="broadcast"),
        pytest.param(misaligned(), id="alignment"),
        pytest.param(np.zeros((2, 3), np.float32).view(Subclass), id="subclass"),
        pytest.param([[0.0] * 3] * 2, id="list"),
        pytest.param(None, id="None"),
        pytest.param(1.5, id="float"),
        pytest.param(np.float32(1.5), id="scalar"),
        pytest.param(np.ndarray, id="type"),
    ],
)
def test_an_argument_that_does_not_fit_runs_nothing_and_changes_nothing(wrong: Any) -> None:
    counter = Counter(F32_2x3, ArgumentSpec(2, np.dtype(np.float32), (2, 3)))
    right = np.zeros((2, 3), np.float32)
    before = counter.table.copy()
    assert counter.call(wrong, right) is NotImplemented
    assert counter.call(right, wrong) is NotImplemented
    assert counter.runs == 0
    assert np.array_equal(counter.table, before)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_arguments_runs_nothing(count: int) -> None:
    counter = Counter(F32_2x3, ArgumentSpec(2, np.dtype(np.float32), (2, 3)))
    assert counter.call(*[np.zeros((2, 3), np.float32)] * count) is NotImplemented
    assert counter.runs == 0


def test_a_program_without_arguments_takes_none() -> None:
    counter = Counter()
    assert counter.call() is None
    assert counter.call(1) is NotImplemented
    assert counter.runs == 1


def test_keywords_are_refused_as_by_every_builtin() -> None:
    with pytest.raises(TypeError, match=r"main\(\) takes no keyword arguments"):
        Counter(F32_2x3).call(x=np.zeros((2, 3), np.float32))


def test_a_read_only_array_may_be_read_and_not_written() -> None:
    read, written = Counter(F32_2x3), Counter(ArgumentSpec(1, np.dtype(np.float32), (2, 3), written=True))
    x = read_only(np.zeros((2, 3), np.float32))
    assert read.call(x) is None
    assert written.call(x) is NotImplemented
    assert written.call(np.zeros((2, 3), np.float32)) is None


def test_a_million_calls_leave_references_and_memory_as_they_were() -> None:
    counter = Counter(F32_2x3)
    x, wrong = np.zeros((2, 3), np.float32), np.zeros(3)
    things = (x, wrong, None, NotImplemented, np.ndarray, x.dtype, counter.call, counter.table)
    call = counter.call
    for _ in range(1000):
        call(x)
        call(wrong)
    before = [sys.getrefcount(thing) for thing in things]
    for _ in range(500_000):
        call(x)
        call(wrong)
    after = [sys.getrefcount(thing) for thing in things]
    # None and NotImplemented stand in caches of the interpreter too, which come and go by the handful
    assert all(abs(a - b) < 50 for a, b in zip(after, before, strict=True)), (before, after)
    assert counter.runs == 501_000


def test_the_function_keeps_code_and_table_alive_and_lets_them_go() -> None:
    counter = Counter(F32_2x3)
    call, state = counter.call, counter.state
    native, table = weakref.ref(counter.native), weakref.ref(counter.table)
    del counter
    gc.collect()
    assert call(np.zeros((2, 3), np.float32)) is None
    assert state[0] == 1
    gc.disable()
    try:
        del call
        assert native() is None
        assert table() is None
    finally:
        gc.enable()


# ---- the state of the processor -----------------------------------------------------------------------------------


def control_register() -> Callable[[], int]:
    """A function that reads MXCSR or FPCR of the thread that calls it."""
    f = Function("mode", [], I64, linkage="")
    if host().is_x86:
        cell = f.value("alloca i32, align 4", PTR)
        f.call("llvm.x86.sse.stmxcsr", VOID, cell)
        f.ret(f.convert("zext", f.load(cell, I32), I64))
    else:
        f.ret(f.call("llvm.aarch64.get.fpcr", I64))
    code = compile_text(module_text([f]), host())
    read = ctypes.CFUNCTYPE(ctypes.c_int64)(code.address("mode"))
    return lambda: read() if code else 0


def halving(*, flush_denormals: bool) -> tuple[Callable[..., Any], np.ndarray[Any, Any]]:
    """An entry whose program halves a double in place."""
    cell = np.zeros(1)
    program = Function("program", [("table", PTR)])
    x = program.load(program["table"], PTR)
    program.store(program.mul(program.load(x, F64), literal(0.5, F64)), x)
    program.ret()
    main = make_entry("main", "program", [], host(), release_gil=False, flush_denormals=flush_denormals)
    code = compile_text(module_text([program, main], globals_of_entry([])), host())
    table = np.array([cell.ctypes.data], np.uint64)
    return make_callable(code, "main", table), cell


def test_denormals_are_flushed_in_the_program_and_nowhere_else() -> None:
    smallest = np.finfo(np.float64).smallest_normal
    call, cell = halving(flush_denormals=True)
    cell[0] = smallest
    call()
    assert cell[0] == 0
    cell[0] = smallest / 4  # an operand that is denormal
    call()
    assert cell[0] == 0
    assert np.float64(smallest) * 0.5 > 0


def test_denormals_are_kept_where_the_program_was_made_so() -> None:
    smallest = np.finfo(np.float64).smallest_normal
    call, cell = halving(flush_denormals=False)
    cell[0] = smallest
    call()
    assert cell[0] == smallest / 2


def test_the_callers_mode_is_restored() -> None:
    mode = control_register()
    call, _ = halving(flush_denormals=True)
    before = mode()
    call()
    assert mode() == before


@pytest.mark.parametrize(
    "machine",
    [
        described("aarch64-unknown-linux-gnu", "generic", "+neon"),
        described("arm64-apple-macosx14.0.0", "apple-m1", ""),
    ],
)
def test_aarch64_sets_and_restores_its_control_register(machine: Machine) -> None:
    from llvmlite import binding  # type: ignore[import-untyped]  # it has no annotations

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    program = Function("program", [("table", PTR)])
    program.ret()
    main = make_entry("main", "program", [F32_2x3], machine, release_gil=True, flush_denormals=True)
    text = module_text([program, main], globals_of_entry([F32_2x3]))
    with binding.create_context() as context, binding.parse_assembly(text, context) as module:
        code = _target_machine(machine).emit_assembly(module).lower()
    assert code.count("msr\tfpcr") == 2
    assert code.index("msr\tfpcr") < code.index("program", code.index("msr\tfpcr")) < code.rindex("msr\tfpcr")


# ---- threads and processes ----------------------------------------------------------------------------------------


def test_calls_from_several_threads_wait_for_each_other() -> None:
    counter = Counter(F32_2x3, release_gil=True, rounds=200_000)
    x = np.zeros((2, 3), np.float32)

    def work() -> None:
        for _ in range(20):
            counter.call(x)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert counter.runs == 4 * 20 * 200_000
    assert list(counter.state[1:]) == [0, 1]


@pytest.mark.parametrize("release_gil", [True, False])
def test_other_threads_run_meanwhile_only_without_the_gil(release_gil: bool) -> None:
    counter = Counter(release_gil=release_gil, rounds=50_000_000)
    seen: list[int] = []
    started = threading.Event()

    def watch() -> None:
        started.set()
        while counter.runs == 0:
            pass
        seen.append(counter.runs)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started.wait()
    counter.call()
    watcher.join()
    assert (seen[0] < 50_000_000) == release_gil


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # BLAS has threads; the child uses none
def test_a_forked_child_can_call() -> None:
    counter = Counter(F32_2x3, release_gil=True)
    x = np.zeros((2, 3), np.float32)
    counter.call(x)
    child = os.fork()
    if child == 0:
        os._exit(0 if counter.call(x) is None and counter.runs == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert counter.call(x) is None
    assert counter.runs == 2  # the child counted in its own memory


# ---- the layout of arrays -----------------------------------------------------------------------------------------


def test_the_layout_is_checked_against_arrays() -> None:
    layout = array_layout()
    x = np.zeros((2, 3), np.float32)
    assert entry._is_at(x, layout)
    swapped = entry.Layout(layout.type, layout.data, layout.nd, layout.dimensions, layout.dimensions, layout.flags)
    assert not entry._is_at(x, swapped)


def test_another_layout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    array_layout.cache_clear()
    monkeypatch.setattr(entry, "_is_at", lambda x, layout: False)
    with pytest.raises(UnsupportedError, match="keeps its arrays in another way") as caught:
        array_layout()
    assert np.__version__ in str(caught.value)


def test_the_text_of_an_entry_holds_no_address() -> None:
    """Else its object code could not be used by the next process."""
    main = make_entry("main", "program", [F32_2x3], host(), release_gil=True, flush_denormals=True)
    for thing in (np.ndarray, np.dtype(np.float32), None, NotImplemented):
        assert str(id(thing)) not in main.text()
    assert "inttoptr" not in main.text()
