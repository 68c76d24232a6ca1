"""Machine code from text: it runs, lives as long as it is referenced, frees its memory, and refuses in our words."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from chainrule.compiler.targets.llvm import native
from chainrule.compiler.targets.llvm.machine import host
from chainrule.compiler.targets.llvm.native import Native, compile_text
from chainrule.compiler.targets.llvm.text import F32, F64, I32, I64, PTR, VOID, Function, literal, module_text
from chainrule.errors import CompileError

UNARY = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "cache"))


def plus(constant: float, name: str = "f") -> str:
    """A module with x + constant."""
    f = Function(name, [("x", F64)], F64, linkage="")
    f.ret(f.add(f["x"], literal(constant, F64)))
    return module_text([f])


def calling(name: str) -> str:
    """A module with a function that calls an outside one of one double."""
    f = Function("f", [("x", F64)], F64, linkage="")
    f.ret(f.call(name, F64, f["x"]))
    return module_text([f])


def run(code: Native, x: float, name: str = "f") -> float:
    return float(UNARY(code.address(name))(x))


def test_a_compiled_function_computes() -> None:
    assert run(compile_text(plus(3.25), host()), 1.5) == 4.75


@pytest.mark.parametrize("bits", [512, 256, 128])
def test_every_width_gives_the_same_numbers(bits: int) -> None:
    if bits > host().vector_bits:
        pytest.skip(f"this processor has {host().vector_bits} bits")
    f = Function("f", [("x", PTR), ("y", PTR)], linkage="")
    x = f.load(f["x"], F32.of(16))
    f.store(f.fma(x, x, literal(0.1, F32.of(16))), f["y"])
    f.ret()
    code = compile_text(module_text([f]), host().narrowed(bits))
    data, result = np.linspace(-2, 2, 16, dtype=np.float32), np.zeros(16, np.float32)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(code.address("f"))(data.ctypes.data, result.ctypes.data)
    exact = data.astype(np.float64) ** 2 + np.float64(np.float32(0.1))
    assert np.array_equal(result, exact.astype(np.float32))


def test_outside_functions_are_found_in_the_table() -> None:
    assert run(compile_text(calling("sin"), host()), 1.0) == math.sin(1.0)


def test_a_libm_call_that_code_generation_makes_itself_is_found() -> None:
    f = Function("f", [("x", F64)], F64, linkage="")
    f.ret(f.intrinsic("cos", F64, f["x"]))
    assert run(compile_text(module_text([f]), host()), 1.0) == math.cos(1.0)


def test_a_module_can_bring_functions_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def thrice(x: float) -> float:
        return 3 * x

    callback = UNARY(thrice)
    monkeypatch.setitem(native.SYMBOLS, "thrice", native._address(callback))
    assert run(compile_text(calling("thrice"), host()), 2.0) == 6.0


def test_the_blas_of_numpy_can_be_called_where_it_is_bundled() -> None:
    if "cblas_sgemm64" not in native.symbols():
        pytest.skip("this NumPy brings no OpenBLAS")
    f = Function("f", [("a", PTR), ("b", PTR), ("c", PTR)], linkage="")
    row_major, plain = literal(101, I32), literal(111, I32)
    m, n, k = literal(2, I64), literal(3, I64), literal(4, I64)
    one, zero = literal(1, F32), literal(0, F32)
    f.call("cblas_sgemm64", VOID, row_major, plain, plain, m, n, k, one, f["a"], k, f["b"], n, zero, f["c"], n)
    f.ret()
    code = compile_text(module_text([f]), host())
    a, b = np.arange(8, dtype=np.float32).reshape(2, 4), np.arange(12, dtype=np.float32).reshape(4, 3)
    c = np.zeros((2, 3), np.float32)
    ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3)(code.address("f"))(a.ctypes.data, b.ctypes.data, c.ctypes.data)
    assert np.array_equal(c, a @ b)


def test_a_call_of_an_unknown_function_names_it() -> None:
    with pytest.raises(CompileError, match=r"functions that are nowhere\n\s+no_such_function"):
        compile_text(calling("no_such_function"), host())


def test_text_that_does_not_parse_raises_with_line_and_place() -> None:
    with pytest.raises(CompileError, match=r"refuses the text.*\n.*\n.*2:11: error: .*'%y'"):
        compile_text("define i32 @f() {\n  ret i32 %y\n}\n", host())


def test_text_that_parses_and_means_nothing_raises() -> None:
    f = Function("f", [], I32, linkage="")
    f.line("br i1 true, label %late, label %end")
    f.begin("late")
    x = f.value("add i32 1, 2", I32)
    f.line("br label %end")
    f.begin("end")
    f.ret(x)
    with pytest.raises(CompileError, match="does not dominate all uses"):
        compile_text(module_text([f]), host())


def test_an_error_quotes_only_the_first_lines() -> None:
    error = native._first_lines(RuntimeError("\n".join(map(str, range(100)))))
    assert error == ["0", "1", "2", "3", "4", "5"]


def test_only_functions_of_external_linkage_have_an_address() -> None:
    hidden = Function("hidden", [("x", F64)], F64)
    hidden.ret(hidden.mul(hidden["x"], literal(2, F64)))
    shown = Function("shown", [("x", F64)], F64, linkage="dso_local")
    shown.ret(shown.call("hidden", F64, shown["x"]))
    code = compile_text(module_text([hidden, shown]), host())
    assert run(code, 4.0, "shown") == 8.0
    with pytest.raises(CompileError, match="no function @hidden in this program\n    shown"):
        code.address("hidden")


def test_two_programs_may_have_functions_of_the_same_name() -> None:
    first, second = compile_text(plus(1), host()), compile_text(plus(2), host())
    assert (run(first, 0.0), run(second, 0.0)) == (1.0, 2.0)


def test_constants_are_folded_into_instructions() -> None:
    """The small code model: an operand in memory, relative to the instruction, instead of a 64-bit address."""
    from llvmlite import binding  # type: ignore[import-untyped]  # it has no annotations

    if not host().is_x86:
        pytest.skip("AArch64 has no operands in memory")
    target = native._target_machine(host())
    with binding.create_context() as context, binding.parse_assembly(plus(3.25), context) as module:
        code = target.emit_assembly(module)
    assert "(%rip)" in code
    assert "movabs" not in code


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the size of a process is read from Linux's files")
def test_dropped_programs_free_their_memory() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def compile_and_drop(times: int) -> None:
        for n in range(times):
            code = Native(native.object_code(plus(n), host()), ["f"], host())
            assert run(code, 0.5) == n + 0.5

    gc.collect()
    compile_and_drop(100)
    before = resident()
    gc.disable()  # a cycle would keep the code until the collector runs
    try:
        compile_and_drop(500)
    finally:
        gc.enable()
    assert resident() - before < 1 << 20


def test_programs_compile_in_several_threads_at_once() -> None:
    wrong: list[object] = []

    def work(thread: int) -> None:
        for n in range(15):
            try:
                number = 100 * thread + n
                if run(compile_text(plus(number), host()), 0.0) != number:
                    wrong.append(number)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(t,)) for t in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # BLAS has threads; the child uses none
def test_a_forked_child_runs_and_compiles() -> None:
    code = compile_text(plus(1), host())
    child = os.fork()
    if child == 0:
        fine = run(code, 1.0) == 2.0 and run(compile_text(plus(5), host()), 1.0) == 6.0
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert run(code, 2.0) == 3.0


def test_import_of_the_library_loads_no_llvmlite() -> None:
    code = "import sys, chainrule; sys.exit('llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_exported_names_are_read_from_the_text() -> None:
    text = (
        "define void @a() #0 {\n}\ndefine internal ptr @b(ptr %x) {\n}\ndefine dso_local <4 x i32> @c.1(i64 %n) {\n}\n"
    )
    assert native.exported(text) == ["a", "c.1"]
    assert native._declared("declare double @sin(double)\ndeclare float @llvm.fma.f32(float)\n") == ["sin"]
