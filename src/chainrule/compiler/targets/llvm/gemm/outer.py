"""The product as a sum of outer products: a tile of C stays in registers while k goes by.

For each step along k, a few vectors of B's row are multiplied by a few single elements of A, which are
broadcast:

    C[i, j : j + lanes] += A[i, p] B[p, j : j + lanes]

so that (rows + vectors) loads feed rows * vectors multiply-adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chainrule.compiler.targets.llvm.gemm.blocks import Grid
from chainrule.compiler.targets.llvm.gemm.lanes import Piece, pieces
from chainrule.compiler.targets.llvm.gemm.packing import Packing
from chainrule.compiler.targets.llvm.gemm.parts import Index, Run, plus, repeat, times, whole
from chainrule.compiler.targets.llvm.gemm.product import Ahead, Epilogue
from chainrule.compiler.targets.llvm.text import I8, I64, Function, Type, Value, literal

CHAINS = 8
"""Sums that must be under way to fill two units of latency four (Zen 4 and 5; Intel's and Arm's are alike)."""


@dataclass(frozen=True)
class Layout:
    """Where an operand lies. With `place` along C's axis and p along k, relative to its start at place and p = 0:
    element i of step p is at i * along + p * step.

    Args:
        place: how far a place is from the next one where tiles start, in elements.
        along, step: see above; a step of None is the tile's width: a packed panel.
        offset: where it starts in the scratch memory, in bytes; None: where the user has it.
    """

    place: int
    along: int
    step: int | None
    offset: int | None = None

    def start(self, f: Function, operand: Value, scratch: Value, place: Index, type: Type) -> Value:
        """The address of the element at that place with p = 0."""
        base = operand if self.offset is None else f.at(scratch, self.offset, I8)
        index = times(f, place, self.place)
        return base if index == 0 else f.at(base, index, type)


def packed(depth: int, offset: int) -> Layout:
    """Panels one after the other, each `depth` rows of its width."""
    return Layout(place=depth, along=1, step=None, offset=offset)


@dataclass(frozen=True)
class OuterProduct:
    """C in tiles of rows x vectors; columns are cut in vectors, so that a run's size counts vectors.

    Args:
        m, n, k: the sizes of the product.
        type: of its elements.
        lanes: of a vector.
        masked: whether vectors may end in lanes that a mask hides.
        grid: the tiles.
        a, b: where the operands lie.
        depth: steps along k between two visits of a tile; below k, the sums wait in the scratch memory
            at `partial` meanwhile.
        unroll: steps in one round of the innermost loop.
        packing: what fills the panels of B in each unit, where the units are columns of tiles; or None.
    """

    m: int
    n: int
    k: int
    type: Type
    lanes: int
    masked: bool
    grid: Grid
    a: Layout
    b: Layout
    depth: int
    partial: int
    unroll: int
    packing: Packing | None = None

    @property
    def units(self) -> int:
        return self.grid.blocks

    def write(
        self, f: Function, a: Value, b: Value, scratch: Value, begin: Value, end: Value, epilogue: Epilogue,
        ahead: Ahead,
    ) -> None:  # fmt: skip
        """Write the loops over blocks begin <= unit < end."""
        rounds = -(-self.k // self.depth)

        def tile(block: Value, turn: Index, last: bool) -> None:
            p, depth = times(f, turn, self.depth), self.k - (rounds - 1) * self.depth if last else self.depth

            def body(rows: Run, i: Index, columns: Run, j: Index) -> None:
                writer = _Tile(self, f, rows, columns, i, times(f, j, self.lanes))
                if last:
                    writer.announce(ahead)
                sums = writer.zeros() if rounds == 1 else writer.partial_sums(scratch, turn)
                sums = writer.multiplied(sums, a, b, scratch, p, depth)
                if last:
                    writer.finish(sums, epilogue)
                else:
                    writer.keep(sums, scratch)

            self.grid.each_tile(f, block, body)

        loop = f.loop(begin, end)
        if self.packing:
            self.packing.write_panels(f, b, scratch, *self.grid.panels(f, loop.index))
        repeat(f, 0, rounds - 1, lambda turn: tile(loop.index, turn, False))
        tile(loop.index, rounds - 1, True)
        f.close(loop)


class _Tile:
    """One tile of C while its code is written."""

    def __init__(self, kernel: OuterProduct, f: Function, rows: Run, columns: Run, row: Index, column: Index) -> None:
        self.kernel, self.f, self.row, self.column = kernel, f, row, column
        self.height, self.width = rows.size, columns.size * kernel.lanes
        is_last = columns is kernel.grid.columns[-1]
        valid = min(self.width, kernel.n - columns.origin * kernel.lanes) if is_last else self.width
        self.vectors = pieces(valid, kernel.lanes, kernel.masked)
        self.types = [kernel.type.of(v.lanes) for _ in range(self.height) for v in self.vectors]

    def zeros(self) -> list[Value]:
        """Sums of nothing, rows outside and vectors inside."""
        return [literal(0, type) for type in self.types]

    def multiplied(
        self, sums: Sequence[Value], a: Value, b: Value, scratch: Value, p: Index, depth: int
    ) -> list[Value]:
        """The sums, with the products of `depth` steps from step p on added.

        A tile with few sums keeps several sets of them, or each step would wait for the one before.
        """
        kernel, f = self.kernel, self.f
        chains = max(1, min(-(-CHAINS // len(sums)), depth))
        unroll = min(-(-kernel.unroll // chains) * chains, depth // chains * chains)
        rounds = depth // unroll
        a_step = self.height if kernel.a.step is None else kernel.a.step
        b_step = self.width if kernel.b.step is None else kernel.b.step
        a = f.at(kernel.a.start(f, a, scratch, self.row, kernel.type), times(f, p, a_step), kernel.type)
        b = f.at(kernel.b.start(f, b, scratch, self.column, kernel.type), times(f, p, b_step), kernel.type)
        sets = [*sums, *self.zeros() * (chains - 1)]
        if rounds == 1:
            sets = self._steps(sets, a, b, a_step, b_step, unroll)
        else:
            loop = f.loop(0, rounds * unroll, unroll, [*sets], name="k")
            at_a = f.at(a, times(f, loop.index, a_step), kernel.type)
            at_b = f.at(b, times(f, loop.index, b_step), kernel.type)
            sets = f.close(loop, self._steps(loop.carried, at_a, at_b, a_step, b_step, unroll))
        if rest := depth - rounds * unroll:
            a = f.at(a, rounds * unroll * a_step, kernel.type)
            b = f.at(b, rounds * unroll * b_step, kernel.type)
            sets = self._steps(sets, a, b, a_step, b_step, rest)
        while len(sets) > len(sums):  # the sets, pairwise
            size = len(sums)
            groups = [sets[i : i + size] for i in range(0, len(sets), size)]
            odd = groups.pop() if len(groups) % 2 else []
            pairs = zip(groups[::2], groups[1::2], strict=True)
            sets = [f.add(x, y) for two in pairs for x, y in zip(*two, strict=True)] + odd
        return sets

    def _steps(self, sums: Sequence[Value], a: Value, b: Value, a_step: int, b_step: int, count: int) -> list[Value]:
        """That many steps along k, one after the other."""
        kernel, f, sums = self.kernel, self.f, list(sums)
        size = self.height * len(self.vectors)
        for step in range(count):
            chain = step * size % len(sums)
            at_b = f.at(b, step * b_step, kernel.type) if step else b
            row = [v.load(f, at_b, kernel.type) for v in self.vectors]
            for i in range(self.height):
                one = f.load(f.at(a, step * a_step + i * kernel.a.along, kernel.type), kernel.type)
                for j, vector in enumerate(row):
                    place = chain + i * len(row) + j
                    sums[place] = f.fma(f.splat(one, vector.type.lanes), vector, sums[place])
        return sums

    def announce(self, ahead: Ahead) -> None:
        """Say which vectors are going to be finished."""
        for row, column, _ in self._ends():
            ahead(self.f, row, column, "n")

    def finish(self, sums: Sequence[Value], epilogue: Epilogue) -> None:
        """Hand the finished vectors over."""
        for (row, column, v), value in zip(self._ends(), sums, strict=True):
            epilogue(self.f, row, column, value, v.mask(self.f), "n")

    def _ends(self) -> Iterator[tuple[Value, Value, Piece]]:
        """The tile's vectors in the order of the sums."""
        for i in range(self.height):
            row = whole(plus(self.f, self.row, i))
            for v in self.vectors:
                yield row, whole(plus(self.f, self.column, v.offset)), v

    # ---- between two visits: the sums wait in memory, tile after tile -----------------------------------------

    def _memory(self, scratch: Value) -> Value:
        """Where the tile's sums wait."""
        kernel, f = self.kernel, self.f
        row_length = -(-kernel.n // kernel.lanes) * kernel.lanes
        place = plus(f, times(f, self.row, row_length), times(f, self.column, self.height))
        return f.at(f.at(scratch, kernel.partial, I8), place, kernel.type)

    def _places(self) -> list[int]:
        return [i * self.width + v.offset for i in range(self.height) for v in self.vectors]

    def partial_sums(self, scratch: Value, turn: Index) -> list[Value]:
        """The sums of the turns before; zeros in the first one."""
        f, memory, element = self.f, self._memory(scratch), self.kernel.type
        places = zip(self._places(), self.types, strict=True)
        kept = [f.load(f.at(memory, place, element), type) for place, type in places]
        if isinstance(turn, int) and turn:
            return kept
        first = f.compare("eq", whole(turn), literal(0, I64))
        return [f.select(first, literal(0, value.type), value) for value in kept]

    def keep(self, sums: Sequence[Value], scratch: Value) -> None:
        """Leave the sums for the next turn."""
        f, memory = self.f, self._memory(scratch)
        for place, value in zip(self._places(), sums, strict=True):
            f.store(value, f.at(memory, place, self.kernel.type))


def column_runs(n: int, lanes: int, runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Runs of vectors with the last part, where it ends in a narrower vector, as a run of its own."""
    last = runs[-1]
    if n % lanes == 0 or last.begin + 1 == last.end:
        return runs
    cut, size = last.end - 1, last.size
    start = last.origin + (cut - last.begin) * size
    return (*runs[:-1], Run(last.begin, cut, last.origin, size), Run(cut, last.end, start, size))
