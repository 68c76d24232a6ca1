"""The pool of threads: every unit once, whoever works on it; no thread too early, and none in the way of an exit."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.compiler import threads
from chainrule.compiler.targets.llvm.entry import restore_denormals, start_flushing
from chainrule.compiler.targets.llvm.fork_join import CHUNKS_PER_THREAD, Word, emit_parallel, fork_join_text
from chainrule.compiler.targets.llvm.machine import described, host
from chainrule.compiler.targets.llvm.native import compile_text, object_code
from chainrule.compiler.targets.llvm.pool import Pool
from chainrule.compiler.targets.llvm.text import F64, I64, PTR, VOID, Function, Value, literal, module_text
from chainrule.compiler.threads import get_num_threads, set_num_threads
from chainrule.errors import ArgumentError

KERNEL = [("context", PTR), ("begin", I64), ("end", I64)]
PROGRAM = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def counting() -> Function:
    """A kernel that adds 1 to each of its units' words; the word before them belongs to nobody."""
    f = Function("counting", KERNEL)
    loop = f.loop(f["begin"], f["end"])
    word = f.at(f.at(f["context"], 1, I64), loop.index, I64)
    f.store(f.add(f.load(word, I64), literal(1, I64)), word)
    f.close(loop)
    f.ret()
    return f


def ranges() -> Function:
    """A kernel that notes at the word of its first unit where its range ends."""
    f = Function("ranges", KERNEL)
    f.store(f["end"], f.at(f["context"], f["begin"], I64))
    f.ret()
    return f


def halving() -> Function:
    """A kernel that halves the number of each of its units."""
    f = Function("halving", KERNEL)
    loop = f.loop(f["begin"], f["end"])
    place = f.at(f["context"], loop.index, F64)
    f.store(f.mul(f.load(place, F64), literal(0.5, F64)), place)
    f.close(loop)
    f.ret()
    return f


def working(steps: int = 100_000) -> Function:
    """A kernel that works for about 100 us on each of its units."""
    f = Function("working", KERNEL)
    loop = f.loop(f["begin"], f["end"])
    place = f.at(f["context"], loop.index, F64)
    inner = f.loop(0, steps, carry=[f.load(place, F64)])
    last = f.close(inner, [f.fma(inner.carried[0], literal(0.999, F64), literal(0.5, F64))])
    f.store(last[0], place)
    f.close(loop)
    f.ret()
    return f


def noting() -> Function:
    """A kernel that notes for each unit where the stack of its thread is, after some 20 us of work."""
    f = Function("noting", KERNEL)
    here = f.value("alloca [1 x i64]", PTR)
    number = f.convert("ptrtoint", here, I64)
    loop = f.loop(f["begin"], f["end"])
    inner = f.loop(0, 20_000)
    f.line(f"store volatile i64 {inner.index}, ptr {here}")
    f.close(inner)
    f.store(number, f.at(f["context"], loop.index, I64))
    f.close(loop)
    f.ret()
    return f


def dividing(name: str) -> Function:
    """A program (pool, context, units, rounds) that divides a kernel's units, so many times, always with the team."""
    params = [("pool", PTR), ("context", PTR), ("units", I64), ("rounds", I64)]
    f = Function(f"{name}_program", params, linkage="")
    loop = f.loop(0, f["rounds"])
    f.store(literal(0, I64), f.at(f["pool"], Word.ALONE, I64))
    f.call_at(f.load(f["pool"], PTR), VOID, f["pool"], Value(f"@{name}", PTR), f["context"], f["units"])
    f.close(loop)
    f.ret()
    return f


def nested() -> Function:
    """A kernel that divides its own work once more: 8 words for each unit; the pool's address stands first."""
    f = Function("nested", KERNEL)
    loop = f.loop(f["begin"], f["end"])
    pool = f.load(f["context"], PTR)
    inner = f.at(f["context"], f.mul(loop.index, literal(8, I64)), I64)
    f.call_at(f.load(pool, PTR), VOID, pool, Value("@counting", PTR), inner, literal(8, I64))
    f.close(loop)
    f.ret()
    return f


def flushing() -> Function:
    """A program that halves numbers and takes subnormal ones for zero."""
    params = [("pool", PTR), ("context", PTR), ("units", I64), ("rounds", I64)]
    f = Function("flushing_program", params, linkage="")
    mode = start_flushing(f, host())
    f.call("halving_program", VOID, *f.params.values())
    restore_denormals(f, mode, host())
    f.ret()
    return f


def emitted() -> Function:
    """A program with a kernel of seven units, as `emit_parallel` writes it."""
    f = Function("emitted", [("pool", PTR), ("context", PTR)], linkage="")
    emit_parallel(f, f["pool"], "ranges", f["context"], 7)
    f.ret()
    return f


@pytest.fixture(scope="module")
def native() -> Any:
    kernels = [counting(), ranges(), halving(), working(), noting(), nested()]
    programs = [dividing(f.name) for f in kernels]
    return compile_text(module_text([*kernels, *programs, flushing(), emitted()]), host())


@pytest.fixture
def pool() -> Iterator[Pool]:
    """The pool; the number of threads, and how long they spin, are afterwards what they were."""
    pool, number = Pool.current(), get_num_threads()
    spin = words(pool)[Word.SPIN]
    yield pool
    words(pool)[Word.SPIN] = spin
    set_num_threads(number)


def words(pool: Pool) -> Any:
    return (ctypes.c_int64 * Word.END).from_address(pool.address)


def run(native: Any, name: str, pool: Pool, context: np.ndarray[Any, Any], units: int, rounds: int = 1) -> None:
    PROGRAM(native.address(f"{name}_program"))(pool.address, context.ctypes.data, units, rounds)


# ---- dividing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_every_unit_is_visited_exactly_once(native: Any, pool: Pool, number: int) -> None:
    set_num_threads(number)
    visits = np.zeros(1024, np.int64)
    for units in range(1, 1001):
        visits[:] = 0
        run(native, "counting", pool, visits, units)
        assert (visits[1 : units + 1] == 1).all(), units
        assert (visits[units + 1 :] == 0).all(), units
    assert pool.started >= number - 1


@pytest.mark.parametrize("units", [0, -1, -(2**62)])
def test_nothing_is_called_without_units(native: Any, pool: Pool, units: int) -> None:
    set_num_threads(2)
    visits = np.zeros(8, np.int64)
    run(native, "counting", pool, visits, units)
    assert not visits.any()


@pytest.mark.parametrize(("number", "units"), [(2, 3), (2, 103), (3, 1000), (4, 17), (1, 50)])
def test_ranges_are_contiguous_balanced_and_always_the_same(native: Any, pool: Pool, number: int, units: int) -> None:
    set_num_threads(number)
    chunks = 1 if number == 1 else min(units, CHUNKS_PER_THREAD * number)
    sizes = [units // chunks + (i < units % chunks) for i in range(chunks)]
    begins = np.cumsum([0, *sizes[:-1]])
    for _ in range(50):
        ends = np.zeros(units, np.int64)
        run(native, "ranges", pool, ends, units)
        assert ends.nonzero()[0].tolist() == begins.tolist()
        assert ends[begins].tolist() == (begins + sizes).tolist()


def test_an_emitted_call_divides_with_a_pool_and_does_not_without(native: Any, pool: Pool) -> None:
    set_num_threads(2)
    program = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(native.address("emitted"))
    ends = np.zeros(7, np.int64)
    program(None, ends.ctypes.data)
    assert ends.tolist() == [7, 0, 0, 0, 0, 0, 0]
    program(pool.address, ends.ctypes.data)
    assert ends.tolist() == [2, 0, 4, 0, 6, 0, 7]


@pytest.mark.parametrize(("spin", "rounds"), [("long", 100_000), ("not at all", 2_000)])
def test_many_rounds_end(native: Any, pool: Pool, spin: str, rounds: int) -> None:
    set_num_threads(2)
    if spin == "not at all":
        words(pool)[Word.SPIN] = 0
    visits = np.zeros(8, np.int64)
    run(native, "counting", pool, visits, 4, rounds)
    assert visits.tolist() == [0, rounds, rounds, rounds, rounds, 0, 0, 0]


def test_workers_take_part(native: Any, pool: Pool) -> None:
    set_num_threads(2)
    stacks, end = np.zeros(8, np.int64), time.monotonic() + 10
    while time.monotonic() < end:
        run(native, "noting", pool, stacks, 8)
        if abs(stacks[-1] - stacks[0]) > 1 << 16:  # the first chunk is the caller's own
            return
    pytest.fail("no worker has taken a chunk in ten seconds")


def test_a_kernel_that_divides_its_own_work_works_alone(native: Any, pool: Pool) -> None:
    set_num_threads(3)
    visits = np.zeros(8 * 20 + 1, np.int64)
    visits[0] = pool.address
    run(native, "nested", pool, visits, 20)
    assert visits[0] == pool.address
    assert (visits[1:] == 1).all()


def test_several_callers_at_once_all_finish(native: Any, pool: Pool) -> None:
    set_num_threads(2)
    results = np.zeros((4, 64), np.int64)
    callers = [threading.Thread(target=run, args=(native, "counting", pool, row, 63, 5_000)) for row in results]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert (results[:, 1:] == 5_000).all()


# ---- never slower than alone ----------------------------------------------------------------------------------------


def test_a_caller_in_debt_works_alone_until_it_is_repaid(native: Any, pool: Pool) -> None:
    set_num_threads(2)
    context = np.zeros(9, np.int64)
    plain = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(native.address("emitted"))
    for _ in range(10):
        words(pool)[Word.ALONE], tickets = 10**12, words(pool)[Word.TICKETS]
        plain(pool.address, context.ctypes.data)
        assert words(pool)[Word.TICKETS] == tickets  # no job was published
        assert 10**12 - 10**9 < words(pool)[Word.ALONE] < 10**12


def test_dividing_that_costs_more_than_it_gains_leads_into_debt(native: Any, pool: Pool) -> None:
    """Kernels of nothing, for which a worker has to be woken each time."""
    set_num_threads(2)
    context = np.zeros(9, np.int64)
    plain = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(native.address("emitted"))
    words(pool)[Word.SPIN] = 1
    words(pool)[Word.ACCOUNT] = words(pool)[Word.ALONE] = 0
    debts = []
    for _ in range(200):
        plain(pool.address, context.ctypes.data)
        debts.append(words(pool)[Word.ALONE])
    assert max(debts) >= 20 * 4


# ---- the floating-point mode ----------------------------------------------------------------------------------------


def test_workers_treat_subnormal_numbers_as_their_caller_does(native: Any, pool: Pool) -> None:
    set_num_threads(4)
    tiny = np.finfo(np.float64).tiny
    flushing = PROGRAM(native.address("flushing_program"))
    for _ in range(300):
        numbers = np.full(4_000, tiny)
        flushing(pool.address, numbers.ctypes.data, 4_000, 1)
        assert (numbers == 0).all()
        numbers = np.full(4_000, tiny)
        run(native, "halving", pool, numbers, 4_000)
        assert (numbers == tiny / 2).all()


# ---- the number of threads ------------------------------------------------------------------------------------------


def test_the_number_that_was_set_is_read_back(pool: Pool) -> None:
    number: Any
    for number in (3, np.int64(2), 1):
        set_num_threads(number)
        assert get_num_threads() == pool.threads == number


@pytest.mark.parametrize("bad", [0, -1, 1025, 2**70, 2.0, "2", None, True])
def test_set_num_threads_refuses_what_is_no_positive_integer(pool: Pool, bad: Any) -> None:
    before = get_num_threads()
    with pytest.raises(ArgumentError, match="set_num_threads expects"):
        set_num_threads(bad)
    assert get_num_threads() == before


@pytest.mark.parametrize("bad", [0, -1, "2", 2.0, True, None])
def test_errors_of_set_num_threads_are_those_of_pytorch(bad: Any) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as theirs:
        torch.set_num_threads(bad)
    with pytest.raises(RuntimeError) as ours:
        set_num_threads(bad)
    assert str(ours.value).startswith(str(theirs.value))


def test_the_default_number_is_what_the_environment_says_within_the_affinity() -> None:
    usable = len(threads.usable_processors())
    assert threads.default_number({"OMP_NUM_THREADS": "1"}) == 1
    assert threads.default_number({"OMP_NUM_THREADS": " 1,7 "}) == 1
    assert threads.default_number({"OMP_NUM_THREADS": "1000"}) == usable
    assert 1 <= threads.default_number({"OMP_NUM_THREADS": ""}) == threads.default_number({}) <= usable


@pytest.mark.parametrize("bad", ["0", "-1", "two", "1.5", ",2"])
def test_a_bad_number_in_the_environment_is_refused(bad: str) -> None:
    with pytest.raises(ArgumentError, match="OMP_NUM_THREADS: a positive integer"):
        threads.default_number({"OMP_NUM_THREADS": bad})


def test_cores_are_counted_from_what_linux_says(tmp_path: Path) -> None:
    for number, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"cpu{number}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert threads.cores_in_folder(tmp_path, range(4)) == 2
    assert threads.cores_in_folder(tmp_path, [0, 2]) == 1
    assert threads.cores_in_folder(tmp_path, [0, 1, 9]) == 3  # of the last nothing is known


def test_cores_are_counted_from_what_windows_says() -> None:
    def record(mask: int, kind: int) -> bytes:
        return mask.to_bytes(8, "little") + kind.to_bytes(4, "little") + bytes(20)

    records = record(0b0011, 0) + record(0b1100, 0) + record(0b1111, 2)  # two cores, and a cache
    assert threads.cores_in_records(records, range(4)) == 2
    assert threads.cores_in_records(records, [2, 3]) == 1


# ---- the process ----------------------------------------------------------------------------------------------------

PREAMBLE = """
import os, sys, threading, time, warnings
import numpy as np
sys.path.insert(0, {folder!r})
import test_thread_pool as t
from chainrule.compiler.threads import set_num_threads
from chainrule.compiler.targets.llvm.pool import Pool
warnings.simplefilter("error")
kernels = [t.counting(), t.working()]
native = t.compile_text(t.module_text([*kernels, *[t.dividing(f.name) for f in kernels]]), t.host())
pool, visits = Pool.current(), np.zeros(64, np.int64)

def divide(rounds=1):
    t.run(native, "counting", pool, visits, 60, rounds)

"""


def script(body: str, **environment: str) -> str:
    """What a script prints; it has to succeed, and to end within 20 seconds."""
    source = PREAMBLE.format(folder=str(Path(__file__).parent)) + textwrap.dedent(body)
    environ = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | environment
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", source], capture_output=True, text=True, timeout=20, env=environ
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_no_thread_is_started_before_a_kernel_is_divided() -> None:
    printed = script(
        """
        set_num_threads(1)
        divide()
        print(threading.active_count(), pool.started)
        set_num_threads(3)
        print(threading.active_count(), pool.started)
        divide()
        print(threading.active_count(), pool.started)
        set_num_threads(1)
        before = time.process_time() - time.thread_time()
        divide(100_000)
        print(threading.active_count(), time.process_time() - time.thread_time() - before < 1e-3)
        """
    )
    assert printed.splitlines() == ["1 0", "1 0", "3 2", "3 True"]


def test_the_environment_decides_how_many_threads_there_are() -> None:
    assert script("print(pool.threads); divide(); print(pool.started)", OMP_NUM_THREADS="1").split() == ["1", "0"]


def test_importing_chainrule_and_its_settings_loads_no_llvm() -> None:
    source = "import chainrule.compiler.threads, sys; print('llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", source], capture_output=True, text=True).stdout == "False\n"


def test_idle_workers_use_no_processor() -> None:
    printed = script(
        """
        set_num_threads(4)
        divide()
        time.sleep(0.05)
        before = time.process_time()
        time.sleep(0.5)
        print(time.process_time() - before)
        """
    )
    assert float(printed) < 5e-3


def test_the_process_exits_at_once_with_workers_asleep_or_spinning() -> None:
    for pause in (0, 0.05):
        printed = script(
            f"""
            import atexit
            set_num_threads(4)
            divide(100)
            time.sleep({pause})
            atexit.register(lambda: print(time.time()))  # runs before the pool's
            """
        )
        assert time.time() - float(printed) < 5


def test_the_process_exits_while_a_daemon_thread_divides() -> None:
    script(
        """
        set_num_threads(2)
        divide()
        busy = threading.Thread(target=t.run, args=(native, "working", pool, np.ones(64), 64, 10**9), daemon=True)
        busy.start()
        time.sleep(0.05)
        """
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_starts_workers_of_its_own() -> None:
    printed = script(
        """
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of threads and fork since 3.12
        set_num_threads(3)
        divide(100)
        visits[:] = 0
        print(pool.started, flush=True)
        child = os.fork()
        if not child:
            before = pool.started, threading.active_count()
            divide(1000)
            right = (visits[1:61] == 1000).all() and not visits[61:].any()
            print(*before, pool.started, threading.active_count(), right, flush=True)
            sys.exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        divide(1000)
        print(pool.started, (visits[1:61] == 1000).all())
        """
    )
    assert printed.splitlines() == ["2", "0 1 2 3 True", "0", "2 True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_while_another_thread_divides_has_the_team_for_itself() -> None:
    printed = script(
        """
        warnings.simplefilter("ignore", DeprecationWarning)
        set_num_threads(2)
        busy = threading.Thread(target=t.run, args=(native, "working", pool, np.ones(64), 64, 50))
        busy.start()
        time.sleep(0.02)
        if not (child := os.fork()):
            divide(1000)
            print(pool.started, (visits[1:61] == 1000).all(), flush=True)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    )
    assert printed.splitlines() == ["1 True", "0"]


def test_where_the_system_gives_no_more_threads_there_are_fewer_and_a_warning(
    native: Any, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    set_num_threads(pool.started + 2)
    with pytest.warns(RuntimeWarning, match="threads instead of"):
        run(native, "counting", pool, np.zeros(64, np.int64), 60)
    assert get_num_threads() == pool.started + 1


# ---- the pool itself -------------------------------------------------------------------------------------------------


def test_there_is_one_pool_on_cache_lines_of_its_own(pool: Pool) -> None:
    assert Pool.current() is pool
    assert pool.address % 64 == 0


def test_the_code_is_compiled_for_aarch64_too() -> None:
    from llvmlite import binding  # type: ignore[import-untyped]  # it has no annotations

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = described("aarch64-unknown-linux-gnu", "generic", "+neon")
    assert object_code(fork_join_text(machine), machine)[:4] == b"\x7fELF"
