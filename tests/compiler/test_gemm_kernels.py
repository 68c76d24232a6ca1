"""Matrix products written as vector code, against NumPy in float64: every candidate, layout and vector width."""

from __future__ import annotations

import ctypes
import mmap
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

llvm = pytest.importorskip("llvmlite.binding")

from chainrule.compiler.targets.llvm.gemm import Plan, Product, Strides, plan  # noqa: E402
from chainrule.compiler.targets.llvm.gemm.lanes import summed, transposed  # noqa: E402
from chainrule.compiler.targets.llvm.gemm.parts import even_parts  # noqa: E402
from chainrule.compiler.targets.llvm.gemm.plan import candidates  # noqa: E402
from chainrule.compiler.targets.llvm.peak import flops_per_round, peak_text  # noqa: E402
from chainrule.compiler.targets.llvm.text import (  # noqa: E402
    F32,
    F64,
    I1,
    I64,
    PTR,
    Function,
    Type,
    Value,
    literal,
    module_text,
)  # fmt: skip
from chainrule.errors import ArgumentError  # noqa: E402

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
FEATURES = llvm.get_host_cpu_features()
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")


@dataclass(frozen=True)
class Machine:
    vector_bits: int
    registers: int
    l1_bytes: int
    l2_bytes: int


MACHINES = [Machine(128, 32, 32 << 10, 512 << 10)]
if IS_X86 and FEATURES.get("avx2") and FEATURES.get("fma"):
    MACHINES += [Machine(256, 16, 32 << 10, 256 << 10), Machine(256, 16, 1 << 10, 8 << 10)]
if FEATURES.get("avx512f"):
    MACHINES += [Machine(512, 32, 48 << 10, 1 << 20), Machine(512, 32, 1 << 10, 16 << 10)]
SLOW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])  # each one compiles


def compiled(text: str, machine: Machine) -> llvm.ExecutionEngine:
    module = llvm.parse_assembly(text)
    module.verify()
    narrow = machine.vector_bits == 256
    cpu, features = ("haswell", "") if narrow else (llvm.get_host_cpu_name(), FEATURES.flatten())
    target = llvm.Target.from_default_triple()
    engine = llvm.create_mcjit_compiler(
        module, target.create_target_machine(cpu=cpu, features=features, opt=1, jit=True)
    )
    engine.finalize_object()
    return engine


def adding(c: Value, strides: Strides, type: Type):
    """The epilogue that adds to C, so that an element which is finished twice is twice as large."""

    def epilogue(f: Function, row: Value, column: Value, value: Value, mask: Value | None, along: str) -> None:
        place = f.add(f.mul(row, literal(strides.row, I64)), f.mul(column, literal(strides.column, I64)))
        step = strides.column if along == "n" else strides.row
        if step == 1 or not value.type.lanes:
            at = f.at(c, place, type)
            f.store(f.add(f.load(at, value.type, mask=mask), value), at, mask=mask)
            return
        mask = mask or f.first_lanes(value.type.lanes, value.type.lanes)
        for lane in range(value.type.lanes):
            at = f.at(c, f.add(place, literal(lane * step, I64)), type)
            one, is_valid = f.shuffle(value, value, [lane]), f.shuffle(mask, mask, [lane])
            f.store(f.add(f.load(at, one.type, mask=is_valid), one), at, mask=is_valid)

    return epilogue


def unannounced(f: Function, row: Value, column: Value, along: str) -> None:
    """Nothing is fetched ahead."""


class Compiled:
    """The phases of a plan as functions; called with addresses and cut into pieces."""

    def __init__(self, product: Product, plan: Plan, machine: Machine) -> None:
        functions = []
        for i, phase in enumerate(plan.phases):
            params = [("a", PTR), ("b", PTR), ("c", PTR), ("s", PTR), ("begin", I64), ("end", I64)]
            f = Function(f"phase{i}", params, linkage="dso_local", noalias="abcs")
            epilogue = adding(f["c"], product.c, product.type)
            phase.write(f, f["a"], f["b"], f["s"], f["begin"], f["end"], epilogue, unannounced)
            f.ret()
            functions.append(f)
        self.plan, self.engine = plan, compiled(module_text(functions), machine)

    def run(self, a: int, b: int, c: int, scratch: int, pieces: int = 1) -> None:
        for i, phase in enumerate(self.plan.phases):
            call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, ctypes.c_int64, ctypes.c_int64)(
                self.engine.get_function_address(f"phase{i}")
            )
            cuts = [phase.units * piece // pieces for piece in range(pieces + 1)]
            for begin, end in pairwise(cuts):
                if begin < end:
                    call(a, b, c, scratch, begin, end)


class Guarded:
    """Memory between two pages that may not be touched: it ends at the second one, or starts behind the first."""

    def __init__(self, size: int, at_end: bool) -> None:
        page, pages = mmap.PAGESIZE, -(-max(size, 1) // mmap.PAGESIZE)
        self.map = mmap.mmap(-1, (pages + 2) * page)
        self.bytes = np.frombuffer(self.map, np.uint8)
        first = self.bytes.ctypes.data
        if sys.platform != "win32":
            protect = ctypes.CDLL(None).mprotect
            protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
            assert protect(first, page, 0) == 0
            assert protect(first + (pages + 1) * page, page, 0) == 0
        start = (pages + 1) * page - size if at_end else page
        self.bytes = self.bytes[start : start + size]


def extent(rows: int, columns: int, strides: Strides) -> int:
    return (rows - 1) * strides.row + (columns - 1) * strides.column + 1


class Matrix:
    """A matrix of a layout in guarded memory; what lies between its elements is a canary."""

    def __init__(self, rows: int, columns: int, strides: Strides, dtype: type, at_end: bool) -> None:
        size = np.dtype(dtype).itemsize
        self.memory = Guarded(extent(rows, columns, strides) * size, at_end)
        self.flat = self.memory.bytes.view(dtype)
        self.flat[:] = np.nan  # NaN: read by mistake, it shows in the result
        self.values = np.lib.stride_tricks.as_strided(
            self.flat, (rows, columns), (strides.row * size, strides.column * size)
        )
        self.address = self.flat.ctypes.data


class Operands:
    def __init__(self, product: Product, seed: int, at_end: bool = True) -> None:
        p, random = product, np.random.default_rng(seed)
        self.product, self.dtype = p, np.float32 if p.type == F32 else np.float64
        self.a = Matrix(p.m, p.k, p.a, self.dtype, at_end)
        self.b = Matrix(p.k, p.n, p.b, self.dtype, at_end)
        self.c = Matrix(p.m, p.n, p.c, self.dtype, at_end)
        self.a.values[...] = random.standard_normal((p.m, p.k))
        self.b.values[...] = random.standard_normal((p.k, p.n))

    def multiply(self, compiled: Compiled, pieces: int = 1) -> np.ndarray:
        scratch = Guarded(compiled.plan.scratch_bytes, at_end=True)
        scratch.bytes[:] = 0xFF  # NaN in either type
        self.c.flat[:] = np.nan
        self.c.values[...] = 0
        compiled.run(self.a.address, self.b.address, self.c.address, scratch.bytes.ctypes.data, pieces)
        return self.c.values.copy()

    def check(self, result: np.ndarray) -> None:
        """Each sum of k products, rounded at most k + 5 times: k steps and a tree over the lanes."""
        a, b = self.a.values.astype(np.float64), self.b.values.astype(np.float64)
        bound = np.finfo(self.dtype).eps * (self.product.k + 5) * (abs(a) @ abs(b))
        assert (abs(result - a @ b) <= bound).all()
        between = np.ones(self.c.flat.shape, bool)
        p = self.product
        np.lib.stride_tricks.as_strided(between, (p.m, p.n), (p.c.row, p.c.column))[...] = False
        assert np.isnan(self.c.flat[between]).all(), "written between the elements of C"


@st.composite
def layouts(draw: st.DrawFn, rows: int, columns: int, broadcast: bool = True) -> Strides:
    """Row-major, column-major, with padding, spread in both directions, or (to be read only) repeated."""
    kind = draw(st.sampled_from(["rows", "columns", "spread", *["repeated"] * broadcast]))
    pad = draw(st.sampled_from([0, 0, 1, 5]))
    if kind == "repeated":
        return draw(st.sampled_from([Strides(0, 1), Strides(1, 0), Strides(0, 0)]))
    if kind == "spread":
        return Strides(2 * columns + pad, 2)
    return Strides(columns + pad, 1) if kind == "rows" else Strides(1, rows + pad)


@st.composite
def products(draw: st.DrawFn) -> Product:
    size = st.one_of(st.sampled_from([1, 2, 3, 8, 16, 17, 32]), st.integers(1, 70))
    m, n, k = draw(size), draw(size), draw(size)
    a, b, c = draw(layouts(m, k)), draw(layouts(k, n)), draw(layouts(m, n, broadcast=False))
    return Product(m, n, k, a, b, c, draw(st.sampled_from([F32, F64])))


def row_major(m: int, n: int, k: int, type: Type = F32, transposed: str = "NN") -> Product:
    """A product whose A and B are transposed as BLAS spells it, with C row-major."""
    a = Strides(1, m) if transposed[0] == "T" else Strides(k, 1)
    b = Strides(1, k) if transposed[1] == "T" else Strides(n, 1)
    return Product(m, n, k, a, b, Strides(n, 1), type)


@SLOW
@given(products(), st.sampled_from(MACHINES), st.data())
def test_every_candidate_computes_the_product_and_touches_nothing_else(
    product: Product, machine: Machine, data: st.DataObject
) -> None:
    candidate = data.draw(st.sampled_from(list(candidates(product, machine))))
    operands = Operands(product, data.draw(st.integers(0, 9)), at_end=data.draw(st.booleans()))
    operands.check(operands.multiply(Compiled(product, candidate.build(), machine)))


@pytest.mark.parametrize("machine", MACHINES, ids=str)
@pytest.mark.parametrize("kind", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("sizes", [(32, 64, 64), (1, 40, 300), (40, 1, 300), (5, 33, 1), (70, 10, 32)], ids=str)
def test_the_plan_computes_layers_products(machine: Machine, kind: str, sizes: tuple[int, int, int]) -> None:
    product = row_major(*sizes, transposed=kind)
    operands = Operands(product, 0)
    operands.check(operands.multiply(Compiled(product, plan(product, machine), machine)))


@SLOW
@given(products(), st.sampled_from(MACHINES), st.data())
def test_every_unit_is_done_once_and_with_the_same_bits_however_units_are_shared(
    product: Product, machine: Machine, data: st.DataObject
) -> None:
    candidate = data.draw(st.sampled_from(list(candidates(product, machine))))
    operands, compiled = Operands(product, 1), Compiled(product, candidate.build(), machine)
    whole = operands.multiply(compiled)
    for pieces in (2, 3):
        np.testing.assert_array_equal(operands.multiply(compiled, pieces), whole)


@pytest.mark.parametrize("machine", MACHINES, ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["NN", "NT", "TN"])
def test_nan_and_infinity_reach_their_row_and_column_and_no_other(machine: Machine, bad: float, kind: str) -> None:
    product = row_major(19, 21, 35, transposed=kind)
    operands = Operands(product, 2)
    operands.a.values[18, 34] = bad
    operands.b.values[34, 20] = -bad
    kinds = {c.name.translate(str.maketrans("", "", "0123456789")): c for c in candidates(product, machine)}
    for candidate in kinds.values():
        result = operands.multiply(Compiled(product, candidate.build(), machine))
        with np.errstate(invalid="ignore"):
            expected = operands.a.values.astype(np.float64) @ operands.b.values.astype(np.float64)
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5, err_msg=candidate.name)


@pytest.mark.parametrize("machine", MACHINES, ids=str)
@pytest.mark.parametrize("c", [Strides(21, 1), Strides(1, 19)])
def test_vectors_run_along_the_axis_in_which_c_is_contiguous_and_are_announced(machine: Machine, c: Strides) -> None:
    product = Product(19, 21, 35, Strides(35, 1), Strides(1, 35), c, F32)
    seen: list[str] = []
    announced: list[str] = []

    def epilogue(f: Function, row: Value, column: Value, value: Value, mask: Value | None, along: str) -> None:
        seen.append(along)
        assert mask is None or mask.type == I1.of(value.type.lanes)

    def ahead(f: Function, row: Value, column: Value, along: str) -> None:
        announced.append(along)

    for phase in plan(product, machine).phases:
        f = Function("phase", [("a", PTR), ("b", PTR), ("s", PTR), ("begin", I64), ("end", I64)])
        phase.write(f, f["a"], f["b"], f["s"], f["begin"], f["end"], epilogue, ahead)
    assert set(seen) == {"n" if c.column == 1 else "m"}
    assert announced == seen


@pytest.mark.skipif(not IS_X86, reason="the sizes are those of the model's x86 machines")
def test_a_long_sum_goes_by_in_turns_with_its_partial_sums_in_scratch() -> None:
    machine, product = Machine(256, 16, 1 << 10, 8 << 10), row_major(12, 16, 500)
    operands, chosen = Operands(product, 3), plan(product, machine)
    assert chosen.scratch_bytes >= 12 * 16 * 4
    if machine in MACHINES:
        operands.check(operands.multiply(Compiled(product, chosen, machine)))


def lanes_of(machine: Machine) -> Iterator[Type]:
    yield F32.of(machine.vector_bits // 32)
    yield F64.of(machine.vector_bits // 64)


@pytest.mark.parametrize("machine", MACHINES, ids=str)
def test_squares_are_transposed_in_registers(machine: Machine) -> None:
    for type in lanes_of(machine):
        f = Function("run", [("x", PTR), ("y", PTR)], linkage="dso_local")
        rows = [f.load(f.at(f["x"], i * type.lanes, type), type) for i in range(type.lanes)]
        for i, column in enumerate(transposed(f, rows)):
            f.store(column, f.at(f["y"], i * type.lanes, type))
        f.ret()
        x = np.arange(type.lanes**2, dtype=np.float32 if type.scalar == "float" else np.float64)
        y = np.empty_like(x)
        engine = compiled(module_text([f]), machine)
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(engine.get_function_address("run"))(
            x.ctypes.data, y.ctypes.data
        )
        square = (type.lanes, type.lanes)
        np.testing.assert_array_equal(y.reshape(square), x.reshape(square).T)


@pytest.mark.parametrize("machine", MACHINES, ids=str)
def test_sums_across_lanes_come_out_in_order(machine: Machine) -> None:
    for type in lanes_of(machine):
        for count in (1 << i for i in range(type.lanes.bit_length())):
            f = Function("run", [("x", PTR), ("y", PTR)], linkage="dso_local")
            vectors = [f.load(f.at(f["x"], i * type.lanes, type), type) for i in range(count)]
            f.store(summed(f, vectors), f["y"])
            f.ret()
            x = np.arange(count * type.lanes, dtype=np.float32 if type.scalar == "float" else np.float64)
            y = np.empty(count, x.dtype)
            engine = compiled(module_text([f]), machine)
            ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(engine.get_function_address("run"))(
                x.ctypes.data, y.ctypes.data
            )
            np.testing.assert_array_equal(y, x.reshape(count, -1).sum(1))


@given(st.integers(1, 500), st.integers(1, 40))
def test_parts_cover_a_length_in_order_and_differ_by_one_at_most(total: int, most: int) -> None:
    runs = even_parts(total, most)
    places = [(run.origin + (i - run.begin) * run.size, run.size) for run in runs for i in range(run.begin, run.end)]
    assert [place for place, _ in places] == list(np.cumsum([0, *[size for _, size in places]])[:-1])
    assert sum(size for _, size in places) == total
    assert max(size for _, size in places) - min(size for _, size in places) <= 1
    assert len(places) == -(-total // most)


def test_product_raises_for_empty_sizes_and_for_other_types() -> None:
    with pytest.raises(ArgumentError, match="m=0, n=2, k=3"):
        row_major(0, 2, 3)
    with pytest.raises(ArgumentError, match="not i32"):
        row_major(1, 2, 3, Type("i32"))


@pytest.mark.parametrize("machine", MACHINES, ids=str)
@pytest.mark.parametrize("type", [F32, F64], ids=str)
def test_the_peak_loop_runs_its_rounds(machine: Machine, type: Type) -> None:
    engine = compiled(peak_text(type, machine), machine)
    result = ctypes.c_float if type == F32 else ctypes.c_double
    peak = ctypes.CFUNCTYPE(result, ctypes.c_int64)(engine.get_function_address("peak"))
    assert peak(100) == pytest.approx(24, rel=1e-6)  # twelve sums s = s / 2 + 1, each 2 after a while
    assert flops_per_round(type, machine) == 2 * 12 * 8 * machine.vector_bits // (8 * type.bytes)
