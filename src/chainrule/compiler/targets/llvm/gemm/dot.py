"""The product as inner products: lanes along k, for operands whose rows (of A) and columns (of B) are contiguous.

    C[i, j] = sum over lanes of the vectors  sum over p of A[i, p : p + lanes] B[p : p + lanes, j]

The lanes are added at the end, several sums at once, so that they come out beside each other in a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.compiler.targets.llvm.gemm.blocks import Grid
from chainrule.compiler.targets.llvm.gemm.lanes import in_one, load_part, summed
from chainrule.compiler.targets.llvm.gemm.outer import CHAINS
from chainrule.compiler.targets.llvm.gemm.parts import Index, Run, plus, times, whole
from chainrule.compiler.targets.llvm.gemm.product import Ahead, Epilogue
from chainrule.compiler.targets.llvm.text import Function, Type, Value, literal


@dataclass(frozen=True)
class DotProduct:
    """C in tiles of rows x columns, each of their elements a vector of sums.

    Args:
        k, type: of the product.
        a_row, b_column: from a row of A to the next one, from a column of B to the next one, in elements.
        lanes: of a vector.
        masked: whether the end of a row may be loaded under a mask.
        grid: the tiles; the sizes of the columns' runs are powers of two.
    """

    k: int
    type: Type
    a_row: int
    b_column: int
    lanes: int
    masked: bool
    grid: Grid

    @property
    def units(self) -> int:
        return self.grid.blocks

    def write(
        self, f: Function, a: Value, b: Value, scratch: Value, begin: Value, end: Value, epilogue: Epilogue,
        ahead: Ahead,
    ) -> None:  # fmt: skip
        """Write the loops over blocks begin <= unit < end."""
        loop = f.loop(begin, end)

        def tile(rows: Run, i: Index, columns: Run, j: Index) -> None:
            at_a = f.at(a, times(f, i, self.a_row), self.type)
            at_b = f.at(b, times(f, j, self.b_column), self.type)
            for row in range(rows.size):
                ahead(f, whole(plus(f, i, row)), whole(j), "n")
            sums = self._sums(f, at_a, at_b, rows.size, columns.size)
            for row, vector in enumerate(self._across(f, sums, columns.size)):
                epilogue(f, whole(plus(f, i, row)), whole(j), vector, None, "n")

        self.grid.each_tile(f, loop.index, tile)
        f.close(loop)

    def _sums(self, f: Function, a: Value, b: Value, rows: int, columns: int) -> list[Value]:
        """For every pair of row and column a vector of partial sums, rows outside."""
        size, vectors = rows * columns, self.k // self.lanes
        chains = max(1, min(-(-CHAINS // size), vectors))
        rounds = vectors // chains
        sums = [literal(0, self.type.of(self.lanes))] * (size * chains)
        if rounds > 1:
            loop = f.loop(0, rounds * chains * self.lanes, chains * self.lanes, sums, name="k")
            sums = f.close(loop, self._steps(f, loop.carried, a, b, loop.index, chains, rows, columns))
        elif rounds:
            sums = self._steps(f, sums, a, b, 0, chains, rows, columns)
        if rest := vectors - rounds * chains:
            sums = self._steps(f, sums, a, b, rounds * chains * self.lanes, rest, rows, columns)
        for chain in range(1, chains):
            sums[:size] = [f.add(x, y) for x, y in zip(sums[:size], sums[chain * size :], strict=False)]
        return self._ends(f, sums[:size], a, b, rows, columns)

    def _steps(
        self, f: Function, sums: Sequence[Value], a: Value, b: Value, p: Index, count: int, rows: int, columns: int
    ) -> list[Value]:
        """That many vectors along k from p on, each into sums of its own."""
        sums, type = list(sums), self.type.of(self.lanes)
        a, b = f.at(a, p, self.type), f.at(b, p, self.type)
        for step in range(count):
            along = step * self.lanes
            right = [f.load(f.at(b, j * self.b_column + along, self.type), type) for j in range(columns)]
            for i in range(rows):
                left = f.load(f.at(a, i * self.a_row + along, self.type), type)
                for j in range(columns):
                    place = (step * rows + i) * columns + j
                    sums[place] = f.fma(left, right[j], sums[place])
        return sums

    def _ends(self, f: Function, sums: list[Value], a: Value, b: Value, rows: int, columns: int) -> list[Value]:
        """The last k % lanes elements: both operands are zero in the lanes behind them."""
        if not self.k % self.lanes:
            return sums
        done, parts = self.k // self.lanes * self.lanes, in_one(self.k % self.lanes, self.lanes, self.masked)

        def end(base: Value, place: int) -> Value:
            return load_part(f, f.at(base, place + done, self.type), self.type, self.lanes, parts)

        right = [end(b, j * self.b_column) for j in range(columns)]
        for i in range(rows):
            left = end(a, i * self.a_row)
            for j in range(columns):
                sums[i * columns + j] = f.fma(left, right[j], sums[i * columns + j])
        return sums

    def _across(self, f: Function, sums: Sequence[Value], columns: int) -> list[Value]:
        """The sums over lanes, a vector for each row; rows that fill a vector together are added together."""
        result: list[Value] = []
        start, rows = 0, len(sums) // columns
        while start < rows:
            count = min(self.lanes // columns, 1 << ((rows - start).bit_length() - 1))
            together = summed(f, sums[start * columns : (start + count) * columns])
            for i in range(count):
                if count == 1:
                    result.append(together)
                elif columns == 1:
                    result.append(f.extract(together, i))
                else:
                    result.append(f.shuffle(together, together, range(i * columns, (i + 1) * columns)))
            start += count
        return result


def column_runs(n: int, size: int) -> tuple[Run, ...]:
    """Columns in parts of a power of two, the rest in halves, quarters ... of it."""
    runs, done, index = [], 0, 0
    while done < n:
        size = min(size, 1 << ((n - done).bit_length() - 1))
        count = (n - done) // size
        runs.append(Run(index, index + count, done, size))
        done, index = done + count * size, index + count
    return tuple(runs)
