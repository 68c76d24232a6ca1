"""Elementwise operators as instructions: what NumPy's reader says, for every element type, vector width and target."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest

from chainrule import dtypes
from chainrule.compiler.targets.llvm import elementwise, vector_angles, vector_maths
from chainrule.compiler.targets.llvm.elementwise import TYPES, Typed, emit
from chainrule.compiler.targets.llvm.machine import Machine, host
from chainrule.compiler.targets.llvm.native import compile_text
from chainrule.compiler.targets.llvm.text import I64, PTR, Function, Value, literal, module_text
from chainrule.dtypes import STORED, DType
from chainrule.errors import UnsupportedError
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.op import Op
from chainrule.ops.shape_maths import Abstract, result_of
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.numpy_maths import NumPyMaths

WIDTHS = [bits for bits in (512, 256, 128) if bits <= host().vector_bits]
LANES = (0, 4, 8, 16)

FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 0.1, -7.3, 100.0, 1e4, np.inf, -np.inf, np.nan]
INTEGERS = [0, 1, -1, 2, -2, 3, 5, -7, 100, 127, -128]
ELEMENTWISE = [op for op in CATALOGUE.values() if op.kind.name == "elementwise"]
PRIMITIVES = [op for op in ELEMENTWISE if op.primitive and op.name not in ("cast", "where")]
WRITTEN = PRIMITIVES + [CATALOGUE[name] for name in sorted(elementwise.DIRECT)]


def name_of(x: Op | DType) -> str:
    return x.name


Write = Callable[[Function, list[Value]], Value]


@dataclass(frozen=True)
class Task:
    """Instructions to run on arrays of these element types."""

    write: Write
    inputs: list[DType]
    output: DType


def kernels(tasks: Sequence[Task], lanes: int, machine: Machine) -> list[Callable[..., Any]]:
    """Functions of arrays, whose length is a multiple of the lanes, that run instructions on all their elements."""
    functions = [loop_over(task, f"run{i}", lanes) for i, task in enumerate(tasks)]
    native = compile_text(module_text(functions), machine)

    def runner(task: Task, name: str) -> Callable[..., Any]:
        call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(task.inputs) + 1), ctypes.c_int64)(native.address(name))

        def run(*arrays: Any) -> Any:
            assert native
            y = np.empty(arrays[0].shape, numpy_dtype(task.output))
            call(*[x.ctypes.data for x in arrays], y.ctypes.data, y.size)
            return y

        return run

    return [runner(task, f.name) for task, f in zip(tasks, functions, strict=True)]


def loop_over(task: Task, name: str, lanes: int) -> Function:
    names = [f"x{i}" for i in range(len(task.inputs))]
    f = Function(name, [*[(x, PTR) for x in names], ("y", PTR), ("n", I64)], linkage="")
    loop = f.loop(0, f["n"], max(lanes, 1))
    types = [TYPES[dtype.name] for dtype in task.inputs]
    loaded = [f.load(f.at(f[x], loop.index, t), t.of(lanes)) for x, t in zip(names, types, strict=True)]
    f.store(task.write(f, loaded), f.at(f["y"], loop.index, TYPES[task.output.name]))
    f.close(loop)
    f.ret()
    return f


def kernel(write: Write, inputs: list[DType], output: DType, lanes: int, machine: Machine) -> Callable[..., Any]:
    return kernels([Task(write, inputs, output)], lanes, machine)[0]


def task(op: Op, dtype: DType) -> Task:
    """An operator on arrays of one element type."""
    result = result_of(op, [Abstract((), dtype)] * len(op.inputs), {})[1]
    return Task(lambda f, xs: emit(f, op.name, [Typed(x, dtype) for x in xs], result), [dtype] * len(op.inputs), result)


def operator(op: Op, dtype: DType, lanes: int, machine: Machine) -> Callable[..., Any]:
    return kernels([task(op, dtype)], lanes, machine)[0]


def machines() -> list[Machine]:
    return [host().narrowed(bits) for bits in WIDTHS]


def values(dtype: DType) -> list[float]:
    if dtype.kind == "f":
        return FLOATS
    if dtype.kind == "b":
        return [0, 1]
    info = np.iinfo(numpy_dtype(dtype))
    return [x for x in [*INTEGERS, info.min, info.max] if info.min <= x <= info.max]


def arguments(dtype: DType, count: int) -> list[Any]:
    """All combinations of the values; the last one is repeated to fill a vector."""
    combined = np.array(list(product(values(dtype), repeat=count)), numpy_dtype(dtype)).reshape(-1, count)
    return [np.pad(column, (0, -len(column) % 16), "edge") for column in combined.T]


def takes(op: Op, dtype: DType) -> bool:
    """True if the operator runs on this element type as it is: others are cast before."""
    if dtype.kind == "f":
        return op.takes != "integer"
    if op.takes == "float" or op.result == "float":
        return False
    return op.takes != "number" or dtype.kind != "b"


def expected(op: Op, *xs: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.asarray(getattr(NumPyMaths, op.name)(*xs))


def admitted(op: Op, xs: list[Any]) -> list[Any]:
    """Without what NumPy's reader raises for: division of integers by 0, negative powers of integers."""
    if xs[0].dtype.kind == "f":
        return xs
    if op.name in ("floor_divide", "remainder"):
        return [x if i == 0 else np.where(x == 0, 3, x).astype(x.dtype) for i, x in enumerate(xs)]
    if op.name == "pow":
        return [x if i == 0 else np.where(x < 0, 5, x).astype(x.dtype) for i, x in enumerate(xs)]
    return xs


def assert_equal(op: Op, dtype: DType, got: Any, wanted: Any) -> None:
    """Exactly, or for what is approximated within 2 units in the last place and as many of NumPy's."""
    assert got.dtype == wanted.dtype
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted)
    elif any(hasattr(module, op.name) for module in (vector_maths, vector_angles)):
        eps = np.finfo(got.dtype).eps
        np.testing.assert_allclose(got, wanted, rtol=4 * eps, atol=np.finfo(got.dtype).smallest_subnormal)
    else:
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("dtype", STORED, ids=name_of)
@pytest.mark.parametrize("op", WRITTEN, ids=name_of)
def test_an_operator_gives_what_numpys_reader_gives(op: Op, dtype: DType) -> None:
    if not takes(op, dtype):
        with pytest.raises(UnsupportedError, match=f"{op.name} has no instructions"):
            emit(Function("f", []), op.name, [Typed(literal(1, TYPES[dtype.name]), dtype)] * len(op.inputs), dtype)
        return
    xs = admitted(op, arguments(dtype, len(op.inputs)))
    assert_equal(op, dtype, operator(op, dtype, 16, host())(*xs), expected(op, *xs))


@pytest.mark.parametrize("dtype", STORED, ids=name_of)
def test_every_width_and_target_gives_the_same_bits(dtype: DType) -> None:
    ops = [op for op in WRITTEN if takes(op, dtype)]
    tasks = [task(op, dtype) for op in ops]
    first = kernels(tasks, 16, host())
    for lanes, machine in product(LANES, machines()):
        for op, run, reference in zip(ops, kernels(tasks, lanes, machine), first, strict=True):
            xs = arguments(dtype, len(op.inputs))
            np.testing.assert_array_equal(as_bits(run(*xs)), as_bits(reference(*xs)), err_msg=op.name)


def as_bits(x: Any) -> Any:
    """The bits, with one nan for all."""
    if x.dtype.kind == "f":
        x = np.where(np.isnan(x), np.array(np.nan, x.dtype), x)
    return x.view(f"u{x.dtype.itemsize}")


def test_every_elementwise_primitive_has_instructions() -> None:
    known = set().union(*elementwise.FORMULAS.values(), {"cast", "where"})
    assert {op.name for op in ELEMENTWISE if op.primitive} | elementwise.DIRECT == known


# ---- conversion ------------------------------------------------------------------------------------------------------


def cast_task(given: DType, wanted: DType) -> Task:
    return Task(lambda f, xs: emit(f, "cast", [Typed(xs[0], given)], wanted), [given], wanted)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("machine", machines(), ids=lambda machine: f"{machine.vector_bits} bits")
def test_a_cast_gives_what_numpy_gives(lanes: int, machine: Machine) -> None:
    tasks = [cast_task(*pair) for pair in product(STORED, STORED)]
    for (given, wanted), run in zip(product(STORED, STORED), kernels(tasks, lanes, machine), strict=True):
        (x,) = arguments(given, 1)
        if given.kind == "f" and wanted.kind in "iu":  # what does not fit, NumPy leaves to the processor
            x = x[np.abs(x) < 127]
            x = np.pad(x, (0, -len(x) % 16), "edge")
            x = np.abs(x) if wanted.kind == "u" else x
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(run(x), x.astype(numpy_dtype(wanted)), err_msg=f"{given} to {wanted}")


def test_every_half_is_the_float_that_it_is_and_back() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    wider, shorter = kernels(
        [cast_task(dtypes.float16, dtypes.float32), cast_task(dtypes.float32, dtypes.float16)], 16, host()
    )
    floats = halves.astype(np.float32)
    np.testing.assert_array_equal(as_bits(wider(halves)), as_bits(floats))
    np.testing.assert_array_equal(as_bits(shorter(floats)), as_bits(halves))


def test_floats_between_halves_are_rounded_to_the_nearest_and_ties_to_even() -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (halves[:-1] + halves[1:]) / 2
    x = np.concatenate([middles, np.nextafter(middles, np.float32(0)), np.nextafter(middles, np.float32(1e9))])
    x = np.pad(np.concatenate([x, -x, np.float32([65519.9, 65520, 1e-45, 2.0**-25])]), (0, 16))
    x = x[: len(x) // 16 * 16]
    (shorter,) = kernels([cast_task(dtypes.float32, dtypes.float16)], 16, host())
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(as_bits(shorter(x)), as_bits(x.astype(np.float16)))


def test_a_double_becomes_a_half_with_one_rounding() -> None:
    halfway = np.float16(1.0).astype(np.float64) + 2.0**-11  # between two halves
    tiny = 2.0**-40
    x = np.array(
        [halfway, halfway + tiny, halfway - tiny, -halfway - tiny, 3 * 2.0**-25, 2.0**-25 + 2.0**-60, 65519.99, 65520]
    )
    x = np.concatenate([x, np.random.default_rng(0).normal(size=4088) * 2.0 ** np.arange(4088)[::-1] % 50 - 30])
    (cast,) = kernels([cast_task(dtypes.float64, dtypes.float16)], 8, host())
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(cast(x), x.astype(np.float16))


# ---- where the reader gives no answer, or the answer is worth a sentence ---------------------------------------------


def run_on(op: str, dtype: DType, *columns: Sequence[float], lanes: int = 4) -> Any:
    xs = [np.resize(np.array(column, numpy_dtype(dtype)), 16) for column in columns]
    return operator(CATALOGUE[op], dtype, lanes, host())(*xs)[: len(columns[0])]


@pytest.mark.parametrize("dtype", [dtypes.int32, dtypes.int64, dtypes.int8, dtypes.uint8], ids=name_of)
def test_an_integer_divided_by_zero_is_zero_and_no_trap(dtype: DType) -> None:
    assert run_on("floor_divide", dtype, [7, 0], [0, 0]).tolist() == [0, 0]
    assert run_on("remainder", dtype, [7, 0], [0, 0]).tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [dtypes.int32, dtypes.int64], ids=name_of)
def test_the_lowest_integer_divided_by_minus_one_wraps(dtype: DType) -> None:
    lowest = np.iinfo(numpy_dtype(dtype)).min
    assert run_on("floor_divide", dtype, [lowest, 5], [-1, -1]).tolist() == [lowest, -5]
    assert run_on("remainder", dtype, [lowest, 5], [-1, -1]).tolist() == [0, 0]


def test_a_negative_power_of_an_integer_is_the_integer_part() -> None:
    assert run_on("pow", dtypes.int64, [1, -1, -1, 2, 0], [-3, -3, -2, -1, -1]).tolist() == [1, -1, 1, 0, 0]


@pytest.mark.parametrize(("dtype", "largest"), [(dtypes.float32, 3e38), (dtypes.float64, 1e308)])
def test_a_remainder_is_exact_when_the_quotient_has_more_digits_than_a_float(dtype: DType, largest: float) -> None:
    generator = np.random.default_rng(1)
    a = np.exp(generator.uniform(-60, np.log(largest), 4096)) * generator.choice([-1, 1], 4096)
    b = np.exp(generator.uniform(-80, 60, 4096)) * generator.choice([-1, 1], 4096)
    smallest = np.finfo(numpy_dtype(dtype)).smallest_subnormal
    a, b = (np.array([*x, largest], numpy_dtype(dtype)) for x, largest in ((a[:4080], largest), (b[:4080], smallest)))
    a, b = np.pad(a, (0, 15), "edge"), np.pad(b, (0, 15), "edge")
    for name in ("remainder", "floor_divide"):
        got = operator(CATALOGUE[name], dtype, 8, host())(a, b)
        np.testing.assert_array_equal(got, expected(CATALOGUE[name], a, b))


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0, -1.0, 0.5, 2.5])
@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64], ids=name_of)
def test_a_power_with_a_known_exponent_is_that_power(dtype: DType, exponent: float) -> None:
    def write(f: Function, xs: list[Value]) -> Value:
        y = literal(exponent, xs[0].type)
        return emit(f, "pow", [Typed(xs[0], dtype), Typed(y, dtype)], dtype)

    (x,) = arguments(dtype, 1)
    with np.errstate(all="ignore"):
        wanted = np.power(x, x.dtype.type(exponent))
    np.testing.assert_allclose(kernel(write, [dtype], dtype, 8, host())(x), wanted, rtol=3 * np.finfo(x.dtype).eps)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
@pytest.mark.parametrize("literal_first", [False, True])
@pytest.mark.parametrize("bound", [0.0, np.nan])
def test_nan_passes_through_maximum_and_minimum_with_a_known_bound(
    name: str, literal_first: bool, bound: float
) -> None:
    def write(f: Function, xs: list[Value]) -> Value:
        operands = [Typed(xs[0], dtypes.float32), Typed(literal(bound, xs[0].type), dtypes.float32)]
        return emit(f, name, operands[::-1] if literal_first else operands, dtypes.float32)

    (x,) = arguments(dtypes.float32, 1)
    got = kernel(write, [dtypes.float32], dtypes.float32, 8, host())(x)
    np.testing.assert_array_equal(got, getattr(np, name)(x, np.float32(bound)))


def where_kernel(condition: DType, dtype: DType) -> Callable[..., Any]:
    types = [condition, dtype, dtype]
    return kernel(
        lambda f, xs: emit(f, "where", [Typed(x, t) for x, t in zip(xs, types, strict=True)], dtype),
        types, dtype, 16, host(),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", STORED, ids=name_of)
def test_where_chooses_by_bools_and_by_numbers(dtype: DType) -> None:
    for condition in (dtypes.bool_, dtypes.float32, dtypes.uint8):
        where = where_kernel(condition, dtype)
        a, b = arguments(dtype, 2)
        c = np.resize(np.array([1, 0, 0, 1, 1], numpy_dtype(condition)), a.shape)
        np.testing.assert_array_equal(where(c, a, b), np.where(c, a, b))


def test_operands_of_two_element_types_are_refused() -> None:
    f = Function("f", [])
    operands = [Typed(literal(1, TYPES[t.name]), t) for t in (dtypes.float32, dtypes.float64)]
    with pytest.raises(UnsupportedError, match=r"add has no instructions for these operands\n.*float32\n.*float64"):
        emit(f, "add", operands, dtypes.float64)


def test_what_is_written_into_a_hole_may_branch() -> None:
    f = Function("run", [("x", PTR), ("y", PTR), ("n", I64)], linkage="")
    hole = f.hole()
    loop = f.loop(0, f["n"], 1)
    with f.within(hole):
        number = f.load(f["x"], TYPES["float32"])
        sine = emit(f, "sin", [Typed(number, dtypes.float32)], dtypes.float32)
    with f.within(hole):
        twice = emit(
            f, "remainder", [Typed(f.add(sine, sine), dtypes.float32), Typed(number, dtypes.float32)], dtypes.float32
        )
    f.store(twice, f.at(f["y"], loop.index, TYPES["float32"]))
    f.close(loop)
    f.ret()
    native = compile_text(module_text([f]), host())
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(native.address("run"))
    for number in (0.3, 1e30):
        x, y = np.float32([number]), np.zeros(3, np.float32)
        run(x.ctypes.data, y.ctypes.data, 3)
        np.testing.assert_allclose(y, np.remainder(2 * np.sin(np.float64(x)), x).repeat(3), rtol=3e-7)
