"""Which loops compute a product: every candidate is priced by a model of the machine, the cheapest one is taken.

Prices are in cycles of a core that does two multiply-adds and two loads of a vector in each. The constants were
measured on one core of an EPYC 9005 (Zen 5, 512-bit vectors, 250 GFLOP/s in f32, L1 48 KiB, L2 1 MiB), with
Python's thread_time, beside other work on the machine; (m, n, k) are a product's sizes, NN, NT, TN its
transpositions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chainrule.compiler.targets.llvm.gemm import dot, outer
from chainrule.compiler.targets.llvm.gemm.blocks import Grid
from chainrule.compiler.targets.llvm.gemm.dot import DotProduct
from chainrule.compiler.targets.llvm.gemm.outer import CHAINS, Layout, OuterProduct, packed
from chainrule.compiler.targets.llvm.gemm.packing import Packing
from chainrule.compiler.targets.llvm.gemm.parts import Run, even_parts
from chainrule.compiler.targets.llvm.gemm.product import Ahead, Epilogue, Machine, Phase, Plan, Product
from chainrule.compiler.targets.llvm.text import Function, Value
from chainrule.tensor.arrays import LINE

UNROLL = 4
"""Steps along k in a round of the innermost loop."""

OUTER_TILE, OUTER_SUM = 4, 0.25
"""A tile's price besides its multiply-adds: 9 cycles for 12 x 2 vectors at (784, 128, 32) NN and TN."""

DOT_TILE, DOT_SUM = 8, 1.0
"""The same for inner products, whose sums are added across lanes: 930 cycles at (7, 30, 100) NT with 4 x 4."""

BODY_SUM = 4
"""The price of a vector of a tile's code: a tile of another size is another epilogue to compile and to fetch."""

PACK_NEAR, PACK_FAR, PACK_ELEMENT = 2, 6, 0.7
"""A vector of a packed panel: 1.8 cycles at (32, 64, 64) NT, where B fits in L1; transposed 4.6 at (32, 128, 784) NT,
copied 6.6 at (128, 784, 128) NN. An element that is gathered: 0.66 at (32, 128, 784) with B's elements two apart."""

L2_LINE, L3_LINE = 2.1, 3.0
"""A line from the second cache, and from behind it: a tile of 2 x 8 takes 16 cycles for a step of its eight lines at
(32, 128, 784) NN, and so does one of 8 x 2 rows and columns in inner products; a matrix with a vector, (1, 128, 784),
reads 2.1 cycles for each. (L3 by fit: inner products of 4 x 4 give 66% at (512, 1024, 1024) NT.)"""

LOADED_VECTOR, LOADED_PAIR = 0.2, 0.05
"""What a vector of B costs a step although it is in L1: 3 x 8 gives 84%, 12 x 2 97% of the peak at (784, 128, 32);
and a vector of either operand of inner products: 2 x 8 gives 87 to 91% at (32, 128, 784) NT."""

CONFLICT = 1.35
"""The price of rows that fight for the same sets: at (512, 1024, 1024) NN tiles of 8 x 3 take 28.2 million cycles with
B where it lies and 19.2 million with its panels packed, tiles of 6 x 4 25.5 and 19.0."""

OVERFLOW = 1.06
"""The price of panels that are read row by row from a matrix larger than L2: (512, 1000, 1000) NN takes 18.8
million cycles against 18.0 million packed."""


@dataclass(frozen=True)
class Candidate:
    """A way to compute a product: its name for reports, the model's price in cycles, and how it is made."""

    name: str
    cycles: float
    build: Callable[[], Plan]


def plan(product: Product, machine: Machine) -> Plan:
    """The cheapest way to compute a product on a machine.

    The epilogue's vectors run along "n" where C is contiguous along its rows, along "m" where it is contiguous
    along its columns; along either where it is both (one row or column) or neither.
    """
    return min(candidates(product, machine), key=lambda candidate: candidate.cycles).build()


def candidates(product: Product, machine: Machine) -> Iterator[Candidate]:
    """Every way that is considered, with lanes along the rows of C, or of the transposed product's C."""
    along_n = product.c.column == 1 or product.n == 1
    along_m = product.c.row == 1 or product.m == 1
    if along_n or not along_m:
        yield from _candidates(product, machine)
    if along_m or not along_n:
        for candidate in _candidates(product.transposed, machine):
            yield _transposed(candidate)


@dataclass(frozen=True)
class Transposed:
    """A phase of C' = B' A' that serves C = A B."""

    phase: Phase

    @property
    def units(self) -> int:
        return self.phase.units

    def write(
        self, f: Function, a: Value, b: Value, scratch: Value, begin: Value, end: Value, epilogue: Epilogue,
        ahead: Ahead,
    ) -> None:  # fmt: skip
        """Write the phase with A and B, and rows and columns, exchanged."""

        def exchanged(f: Function, row: Value, column: Value, value: Value, mask: Value | None, along: str) -> None:
            epilogue(f, column, row, value, mask, "m" if along == "n" else "n")

        def exchanged_ahead(f: Function, row: Value, column: Value, along: str) -> None:
            ahead(f, column, row, "m" if along == "n" else "n")

        self.phase.write(f, b, a, scratch, begin, end, exchanged, exchanged_ahead)


def _transposed(candidate: Candidate) -> Candidate:
    def build() -> Plan:
        plan = candidate.build()
        return Plan(tuple(Transposed(phase) for phase in plan.phases), plan.scratch_bytes)

    return Candidate(f"transposed {candidate.name}", candidate.cycles, build)


def _candidates(product: Product, machine: Machine) -> Iterator[Candidate]:
    lanes = machine.vector_bits // (8 * product.type.bytes)
    if product.a.column == 1 and product.b.row == 1:
        for rows, columns in _dot_tiles(machine, lanes):
            yield _dot(product, machine, lanes, rows, columns)
    for rows, vectors in _outer_tiles(product, machine, lanes):
        for pack_a in (False, True):
            for pack_b in (False, True):
                if (product.a.column != 1 or not pack_a) and (product.b.column == 1 or pack_b):
                    yield _Outer(product, machine, lanes, rows, vectors, pack_a, pack_b).candidate


def _most_sums(machine: Machine) -> int:
    """The vectors of sums in a tile; the other registers hold the operands on their way.

    At (512, 1024, 1024) NN 12 x 2 gives 87% of the peak, 14 x 2 80%, 5 x 5 80%.
    """
    return machine.registers * 3 // 4


def _dot_tiles(machine: Machine, lanes: int) -> list[tuple[int, int]]:
    """Rows x columns; wide ones first serve few rows."""
    sums = _most_sums(machine) * 2 // 3
    return [(sums // columns, columns) for columns in (16, 8, 4, 2) if columns <= min(lanes, sums)]


def _outer_tiles(product: Product, machine: Machine, lanes: int) -> list[tuple[int, int]]:
    """Rows x vectors: as many rows as there are registers for, and as many as make all tiles alike."""
    most = _most_sums(machine)
    across = -(-product.n // lanes)
    tiles = set()
    for vectors in (1, 2, 3, 4, 6, 8, 12, 16, 24):
        if vectors <= min(most, across):
            high = min(most // vectors, product.m)
            alike = max(r for r in range(1, high + 1) if product.m % r == 0)
            tiles |= {(high, vectors), (alike, vectors)}
    return sorted(tiles)


# ---- inner products -------------------------------------------------------------------------------------------


def _dot(product: Product, machine: Machine, lanes: int, rows: int, columns: int) -> Candidate:
    row_runs, column_runs = even_parts(product.m, rows), dot.column_runs(product.n, columns)
    cycles, size = 0.0, product.type.bytes
    for tiles, r, c in _tiles(row_runs, column_runs):
        sums = r * c
        a_line = _line(machine, product.m * product.k * size)  # all of A goes by for each panel of B
        b_line = _line(machine, (r + c if row_runs[-1].end > 1 else product.n) * product.k * size)
        lines = (r * a_line + c * b_line) * lanes * size / LINE
        step = max(sums / 2, (r + c) / 2, lines, 4 / max(1, CHAINS // sums)) + (r + c) * LOADED_PAIR
        cycles += tiles * (-(-product.k // lanes) * step + DOT_SUM * sums + DOT_TILE) + BODY_SUM * sums

    def build() -> Plan:
        a, b, masked = product.a.row, product.b.column, _has_masks(machine)
        grid = _grid(row_runs, column_runs, panels=1)
        return Plan((DotProduct(product.k, product.type, a, b, lanes, masked, grid),), 0)

    return Candidate(f"dot {rows}x{columns}", cycles, build)


# ---- outer products -------------------------------------------------------------------------------------------


class _Outer:
    """A candidate of outer products in tiles of rows x vectors, while it is priced and built."""

    def __init__(
        self, product: Product, machine: Machine, lanes: int, rows: int, vectors: int, pack_a: bool, pack_b: bool
    ) -> None:
        self.product, self.machine, self.lanes = product, machine, lanes
        self.pack_a, self.pack_b = pack_a, pack_b
        self.padded = -(-product.n // lanes) * lanes
        self.rows = even_parts(product.m, rows)
        self.columns = outer.column_runs(product.n, lanes, even_parts(self.padded // lanes, vectors))
        self.panel_row = vectors * lanes * product.type.bytes
        name = f"outer {rows}x{vectors}{' pack a' * pack_a}{' pack b' * pack_b}"
        self.candidate = Candidate(name, self.price(), self.build)

    def price(self) -> float:
        p, cycles = self.product, 0.0
        is_reused = self.rows[-1].end > 1
        for tiles, r, c in _tiles(self.rows, self.columns):
            sums = r * c
            line = _line(self.machine, p.k * (self.panel_row if is_reused else p.n * p.type.bytes))
            lines = line * c * self.lanes * p.type.bytes / LINE
            step = max(sums / 2, (r + c) / 2, lines, 4 / max(1, CHAINS // sums)) + c * LOADED_VECTOR
            cycles += tiles * (p.k * step + OUTER_SUM * sums + OUTER_TILE) + BODY_SUM * sums
        if not self.pack_b and is_reused:
            cycles *= self._rereading(p.b.row, p.n)
        if not self.pack_a and p.a.column != 1 and self.columns[-1].end > 1:
            cycles *= self._rereading(p.a.column, p.m)
        if self.pack_a:
            cycles += self._packing_price(p.m, p.a.row, p.a.column)
        if self.pack_b:
            cycles += self._packing_price(self.padded, p.b.column, p.b.row)
        return cycles

    def _rereading(self, stride: int, width: int) -> float:
        """What it costs more to read `width` elements in each of k rows, `stride` apart, time and again.

        Rows a power of two apart share the sets of a cache, so that L2 keeps as many times fewer lines of them; a
        quarter is left to what else goes by.
        """
        l2_lines, size = self.machine.l2_bytes // LINE, self.product.type.bytes
        far = abs(stride) * size
        shared = (far // LINE) & -(far // LINE) if far and far % LINE == 0 else 1
        if self.product.k > l2_lines // shared * 3 // 4:
            return CONFLICT
        return OVERFLOW if self.product.k * width * size > self.machine.l2_bytes else 1.0

    def _packing_price(self, width: int, along: int, step: int) -> float:
        near = width * self.product.k * self.product.type.bytes <= self.machine.l1_bytes
        each = PACK_ELEMENT * self.lanes if 1 not in (along, step) else PACK_NEAR if near else PACK_FAR
        return each * width * self.product.k / self.lanes

    def build(self) -> Plan:
        p, l2, masked = self.product, self.machine.l2_bytes, _has_masks(self.machine)
        size = p.type.bytes
        depth = _depth(p.k, l2 // (4 * self.panel_row))
        panels = l2 // (2 * self.panel_row * depth)
        grid = _grid(self.rows, self.columns, panels, few=2 if self.pack_b else 4)
        phases: list[Phase] = []
        a, b = Layout(p.a.row, p.a.row, p.a.column), Layout(p.b.column, 1, p.b.row)
        of_b: Packing | None = None
        scratch = 0
        if self.pack_a:
            a = packed(p.k, scratch)
            of_a = Packing(True, p.a.row, p.a.column, p.m, p.k, p.type, self.lanes, masked, self.rows, 1, scratch)
            phases.append(of_a)
            scratch += _aligned(p.m * p.k * size)
        if self.pack_b:
            b = packed(p.k, scratch)
            along, step, scale = p.b.column, p.b.row, self.lanes
            of_b = Packing(False, along, step, p.n, p.k, p.type, self.lanes, masked, self.columns, scale, scratch)
            scratch += _aligned(self.padded * p.k * size)
            if grid.blocks > grid.across:  # several units read the same panel
                phases.append(of_b)
                of_b = None
        partial = scratch
        if depth < p.k:
            scratch += _aligned(p.m * self.padded * size)
        kernel = OuterProduct(p.m, p.n, p.k, p.type, self.lanes, masked, grid, a, b, depth, partial, UNROLL, of_b)
        return Plan((*phases, kernel), scratch)


def _depth(k: int, most: int) -> int:
    """Steps along k in one turn: all, or an even share in multiples of the unrolled loop's."""
    turns = -(-k // max(most, UNROLL))
    return -(-k // turns // UNROLL) * UNROLL if turns > 1 else k


def _grid(rows: tuple[Run, ...], columns: tuple[Run, ...], panels: int, few: int = 4) -> Grid:
    """Blocks of all rows and some panels; of all panels and some rows where there are fewer panels than `few`.

    Args:
        rows, columns: the parts of the axes.
        panels: how many of B's panels stay in the second cache.
        few: less where panels are packed, which a block of all rows does by itself, without a phase before it.
    """
    high, wide = rows[-1].end, columns[-1].end
    if wide >= min(high, few):
        across = max(1, min(panels, wide // 8))
        return Grid(rows, columns, high, across, rows_outside=across > 1)
    return Grid(rows, columns, max(1, high // 16), wide, rows_outside=True)


def _tiles(rows: tuple[Run, ...], columns: tuple[Run, ...]) -> Iterator[tuple[int, int, int]]:
    """How many tiles there are of which height and width."""
    for r in rows:
        for c in columns:
            yield (r.end - r.begin) * (c.end - c.begin), r.size, c.size


def _line(machine: Machine, size: int) -> float:
    """The price of a line of what was read before, when so many bytes have gone by since; of the first cache none."""
    return 0.0 if size <= machine.l1_bytes * 3 // 4 else L2_LINE if size <= machine.l2_bytes else L3_LINE


def _aligned(size: int) -> int:
    return -(-size // LINE) * LINE


def _has_masks(machine: Machine) -> bool:
    """Whether a masked load or store is one instruction: with AVX2 and AVX-512, not with SSE and NEON."""
    return machine.vector_bits > 128
