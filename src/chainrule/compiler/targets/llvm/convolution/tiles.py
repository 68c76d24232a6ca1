"""Tiles: sums over taps in registers, rows of weights by vectors of positions.

    sums[i, j] += a[row i, step] * b[step, vector j]

over axes of steps, each of which moves on in the weights and in the staged planes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.compiler.targets.llvm.gemm.lanes import Piece, pieces
from chainrule.compiler.targets.llvm.gemm.outer import column_runs
from chainrule.compiler.targets.llvm.gemm.parts import Run, even_parts, times, whole
from chainrule.compiler.targets.llvm.text import Function, Type, Value, literal

UNROLLED = 8
"""Steps of the innermost axes that are written one after the other."""

TOGETHER = 4
"""Steps in one round of a longer axis."""

LOADED, BEGUN = 0.35, 1.0
"""Cycles of a step more than its multiply-adds take: for each vector, of which some lie across two cache lines, and
for what goes on between tiles."""


@dataclass(frozen=True)
class Axis:
    """Steps along one axis, and how far each moves in a and in b, in elements."""

    size: int
    a: int
    b: int


@dataclass(frozen=True)
class Tile:
    """The shape of a tile: rows, and pieces of consecutive positions; `a_row` is the distance of rows in a."""

    rows: int
    vectors: tuple[Piece, ...]
    a_row: int
    type: Type

    def zeros(self) -> list[Value]:
        """Sums of nothing, rows outside."""
        return [literal(0, self.type.of(v.lanes)) for _ in range(self.rows) for v in self.vectors]

    def summed(self, f: Function, sums: Sequence[Value], axes: Sequence[Axis], a: Value, b: Value) -> list[Value]:
        """The sums with all steps of the axes, outermost first, added."""
        axes = [axis for axis in axes if axis.size > 1]
        if not axes:
            return self._step(f, sums, a, b)
        axis, *inner = axes
        inside = 1
        for other in inner:
            inside *= other.size
        if inside * axis.size <= UNROLLED:
            return self._unrolled(f, sums, axis, inner, a, b, axis.size)
        together = 1 if inner else TOGETHER
        full = axis.size - axis.size % together
        loop = f.loop(0, full, together, [*sums], name="taps")
        at_a = f.at(a, whole(times(f, loop.index, axis.a)), self.type)
        at_b = f.at(b, whole(times(f, loop.index, axis.b)), self.type)
        sums = f.close(loop, self._unrolled(f, loop.carried, axis, inner, at_a, at_b, together))
        if rest := axis.size - full:
            a, b = f.at(a, full * axis.a, self.type), f.at(b, full * axis.b, self.type)
            sums = self._unrolled(f, sums, axis, inner, a, b, rest)
        return list(sums)

    def _unrolled(
        self, f: Function, sums: Sequence[Value], axis: Axis, inner: Sequence[Axis], a: Value, b: Value, count: int
    ) -> list[Value]:
        for i in range(count):
            sums = self.summed(f, sums, inner, f.at(a, i * axis.a, self.type), f.at(b, i * axis.b, self.type))
        return list(sums)

    def _step(self, f: Function, sums: Sequence[Value], a: Value, b: Value) -> list[Value]:
        after = []
        row = [f.load(f.at(b, v.offset, self.type), self.type.of(v.lanes)) for v in self.vectors]
        for i in range(self.rows):
            one = f.load(f.at(a, i * self.a_row, self.type), self.type)
            for j, vector in enumerate(row):
                place = i * len(row) + j
                after.append(f.fma(f.splat(one, vector.type.lanes), vector, sums[place]))
        return after


@dataclass(frozen=True)
class Tiling:
    """Rows by positions, cut into tiles; the runs of positions count vectors."""

    rows: tuple[Run, ...]
    vectors: tuple[Run, ...]
    positions: int
    lanes: int
    masked: bool

    def pieces(self, run: Run) -> tuple[Piece, ...]:
        """The vectors of a tile of that run."""
        count = run.size * self.lanes
        if run is self.vectors[-1]:
            count = min(count, self.positions - run.origin * self.lanes)
        return pieces(count, self.lanes, self.masked)


def tiling(
    rows: int, positions: int, lanes: int, masked: bool, registers: int, steps: Callable[[int, int], int] | None = None
) -> Tiling:
    """The tiles that take the fewest cycles: two multiply-adds or two loads in each, and some for beginning.

    Args:
        steps: how many steps a tile takes whose vectors lie from the first number to before the second; else all alike.
    """
    vectors, most = -(-positions // lanes), registers * 3 // 4

    def cost(shape: tuple[int, int]) -> float:
        total = 0.0
        for v in even_parts(vectors, shape[1]):
            for j in range(v.end - v.begin):
                begin = v.origin + j * v.size
                count = steps(begin, begin + v.size) if steps else 1
                for r in even_parts(rows, shape[0]):
                    step = max(r.size * v.size, r.size + v.size) / 2 + v.size * LOADED + BEGUN
                    total += count * step * (r.end - r.begin)
        return total

    shapes = [(r, v) for v in range(1, min(most, vectors, 12) + 1) for r in range(1, min(most // v, rows) + 1)]
    r, v = min(shapes, key=cost)
    runs = column_runs(positions, lanes, even_parts(vectors, v))
    return Tiling(even_parts(rows, r), runs, positions, lanes, masked)
