"""Which loops compute a product: every candidate is priced by a model of the machine, the cheapest one is taken.

Prices are in cycles of a core that does two multiply-adds and two loads of a vector in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chainrule.compiler.targets.llvm.gemm import dot, outer
from chainrule.compiler.targets.llvm.gemm.blocks import Grid
from chainrule.compiler.targets.llvm.gemm.dot import DotProduct
from chainrule.compiler.targets.llvm.gemm.outer import CHAINS, Layout, OuterProduct, packed
from chainrule.compiler.targets.llvm.gemm.packing import Packing
from chainrule.compiler.targets.llvm.gemm.parts import Run, even_parts
from chainrule.compiler.targets.llvm.gemm.product import Epilogue, Machine, Phase, Plan, Product
from chainrule.compiler.targets.llvm.text import Function, Value

UNROLL = 4
"""Steps along k in a round of the innermost loop."""


@dataclass(frozen=True)
class Candidate:
    """A plan, the model's price for it in cycles, and a name for reports."""

    plan: Plan
    cycles: float
    name: str


def plan(product: Product, machine: Machine) -> Plan:
    """The cheapest way to compute a product on a machine.

    The epilogue's vectors run along "n" where C is contiguous along its rows, along "m" where it is contiguous
    along its columns; along either where it is both (one row or column) or neither.
    """
    return min(candidates(product, machine), key=lambda c: c.cycles).plan


def candidates(product: Product, machine: Machine) -> Iterator[Candidate]:
    """Every way that is considered, the same for the transposed product where C's layout allows it."""
    along_n = product.c.column == 1 or product.n == 1
    along_m = product.c.row == 1 or product.m == 1
    if along_n or not along_m:
        yield from _candidates(product, machine)
    if along_m or not along_n:
        for c in _candidates(product.transposed, machine):
            phases = tuple(Transposed(phase) for phase in c.plan.phases)
            yield Candidate(Plan(phases, c.plan.scratch_bytes), c.cycles, f"transposed {c.name}")


@dataclass(frozen=True)
class Transposed:
    """A phase of C' = B' A' that serves C = A B."""

    phase: Phase

    @property
    def units(self) -> int:
        return self.phase.units

    def write(
        self, f: Function, a: Value, b: Value, scratch: Value, begin: Value, end: Value, epilogue: Epilogue
    ) -> None:
        """Write the phase with A and B, rows and columns exchanged."""

        def exchanged(f: Function, row: Value, column: Value, value: Value, mask: Value | None, along: str) -> None:
            epilogue(f, column, row, value, mask, "m" if along == "n" else "n")

        self.phase.write(f, b, a, scratch, begin, end, exchanged)


def _candidates(product: Product, machine: Machine) -> Iterator[Candidate]:
    lanes = machine.vector_bits // (8 * product.type.bytes)
    if product.a.column == 1 and product.b.row == 1:
        for rows, columns in _dot_tiles(machine.registers, lanes):
            yield _dot(product, machine, lanes, rows, columns)
    for rows, vectors in _outer_tiles(machine.registers):
        if rows <= 2 * product.m and vectors <= -(-product.n // lanes):
            for pack_a in (False, True):
                for pack_b in (False, True):
                    if pack_b or product.b.column == 1:
                        yield _outer(product, machine, lanes, rows, vectors, pack_a, pack_b)


def _dot_tiles(registers: int, lanes: int) -> list[tuple[int, int]]:
    tiles = [(1, 16), (1, 8), (2, 8), (4, 4), (6, 4), (4, 2), (8, 2)] if registers >= 32 else [(1, 8), (2, 4), (3, 4), (4, 2)]
    return [(r, c) for r, c in tiles if c <= lanes]


def _outer_tiles(registers: int) -> list[tuple[int, int]]:
    """Tiles whose sums, with a row of B and a broadcast, fit in the registers."""
    return [(r, v) for v in range(1, registers // 2 + 1) for r in range(1, registers) if r * v + v + 1 <= registers]


def _dot(product: Product, machine: Machine, lanes: int, rows: int, columns: int) -> Candidate:
    m, n, k = product.m, product.n, product.k
    row_runs, column_runs = even_parts(m, rows), dot.column_runs(n, columns)
    grid = _grid(row_runs, column_runs, 1)
    masked = machine.vector_bits > 128
    kernel = DotProduct(k, product.type, product.a.row, product.b.column, lanes, masked, grid)
    cycles = 0.0
    for r in row_runs:
        for c in column_runs:
            sums = r.size * c.size
            step = max(sums / 2, (r.size + c.size) / 2 * 1.2, 4 / max(1, CHAINS // sums))
            cycles += (r.end - r.begin) * (c.end - c.begin) * (-(-k // lanes) * step + 1.6 * sums + 15)
    return Candidate(Plan((kernel,), 0), cycles, f"dot {rows}x{columns}")


def _outer(
    product: Product, machine: Machine, lanes: int, rows: int, vectors: int, pack_a: bool, pack_b: bool
) -> Candidate:
    m, n, k, type, size = product.m, product.n, product.k, product.type, product.type.bytes
    masked = machine.vector_bits > 128
    padded = -(-n // lanes) * lanes
    row_runs = even_parts(m, rows)
    column_runs = outer.column_runs(n, lanes, even_parts(padded // lanes, vectors))
    depth = _depth(k, machine.l2_bytes // (4 * vectors * lanes * size))
    grid = _grid(row_runs, column_runs, machine.l2_bytes // (2 * vectors * lanes * size * depth))

    phases: list[Phase] = []
    a, b = Layout(product.a.row, product.a.row, product.a.column), Layout(product.b.column, 1, product.b.row)
    packing: Packing | None = None
    scratch, cycles = 0, 0.0
    if pack_a:
        a, along, step = packed(k, scratch), product.a.row, product.a.column
        phases.append(Packing(True, along, step, m, k, type, lanes, masked, row_runs, 1, scratch))
        scratch += _aligned(m * k * size)
        cycles += m * k / lanes * (6 if along == 1 else 8 if step == 1 else 32)
    if pack_b:
        b, along, step = packed(k, scratch), product.b.column, product.b.row
        packing = Packing(False, along, step, n, k, type, lanes, masked, column_runs, lanes, scratch)
        scratch += _aligned(padded * k * size)
        cycles += padded * k / lanes * (4 if along == 1 else 4 if step == 1 else 32)
        if grid.blocks > grid.across:  # several blocks need the same panel
            phases.append(packing)
            packing = None
    partial = scratch
    if depth < k:
        scratch += _aligned(m * padded * size)
    kernel = OuterProduct(m, n, k, type, lanes, masked, grid, a, b, depth, partial, 4, packing)
    for r in row_runs:
        for c in column_runs:
            sums = r.size * c.size
            step_cycles = max(sums / 2, (r.size + c.size) / 2, 4 / max(1, CHAINS // sums))
            cycles += (r.end - r.begin) * (c.end - c.begin) * (k * step_cycles + sums + 15)
    name = f"outer {rows}x{vectors}{' pack a' * pack_a}{' pack b' * pack_b}"
    return Candidate(Plan((*phases, kernel), scratch), cycles, name)


def _depth(k: int, most: int) -> int:
    """Steps along k in one turn: all, or an even share in multiples of the unrolled loop's."""
    turns = -(-k // max(most, 64))
    return k if turns == 1 else -(-k // turns // UNROLL) * UNROLL


def _grid(rows: tuple[Run, ...], columns: tuple[Run, ...], panels: int) -> Grid:
    """Blocks of all rows and a few panels; of all panels and a few rows where there are few panels.

    Args:
        rows, columns: the parts of the axes.
        panels: how many of B's panels stay in the second cache.
    """
    high, wide = rows[-1].end, columns[-1].end
    if wide >= min(high, 4):
        return Grid(rows, columns, high, max(1, min(panels, wide // 8)), rows_outside=True)
    return Grid(rows, columns, max(1, high // 16), wide, rows_outside=True)


def _aligned(size: int) -> int:
    return -(-size // 64) * 64
