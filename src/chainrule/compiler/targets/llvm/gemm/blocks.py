"""The loops outside a kernel: tiles of C gathered into blocks, which are the units that threads share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chainrule.compiler.targets.llvm.gemm.parts import Index, Run, at_most, each_part, plus, times
from chainrule.compiler.targets.llvm.text import I64, Function, Value, literal


@dataclass(frozen=True)
class Grid:
    """Tiles of C: rows and columns in parts, and how many parts of each make a block.

    Args:
        rows, columns: the runs of parts of either axis.
        block_rows, block_columns: parts per block; the last block of an axis may have fewer.
    """

    rows: tuple[Run, ...]
    columns: tuple[Run, ...]
    block_rows: int
    block_columns: int
    rows_outside: bool = False

    @property
    def across(self) -> int:
        """The blocks beside each other."""
        return -(-self.columns[-1].end // self.block_columns)

    @property
    def blocks(self) -> int:
        """The blocks of C."""
        return -(-self.rows[-1].end // self.block_rows) * self.across

    def each_tile(self, f: Function, block: Value, body: Callable[[Run, Index, Run, Index], None]) -> None:
        """The body for every tile of a block, with its rows' run and first row, its columns' run and first column.

        Columns outside, rows inside: the columns' panel of B stays in the first cache for all rows.
        """
        row, rows_end = _clipped(f, self._place(f, block)[0], self.block_rows, self.rows[-1].end)
        column, columns_end = self.panels(f, block)

        def beside(columns: Run, j: Index) -> None:
            each_part(f, self.rows, row, rows_end, lambda rows, i: body(rows, i, columns, j))

        def below(rows: Run, i: Index) -> None:
            each_part(f, self.columns, column, columns_end, lambda columns, j: body(rows, i, columns, j))

        if self.rows_outside:
            each_part(f, self.rows, row, rows_end, below)
        else:
            each_part(f, self.columns, column, columns_end, beside)

    def panels(self, f: Function, block: Value) -> tuple[Index, Index]:
        """The parts of the columns that a block has: the first one, and the one behind its last."""
        return _clipped(f, self._place(f, block)[1], self.block_columns, self.columns[-1].end)

    def _place(self, f: Function, block: Value) -> tuple[Index, Index]:
        """The block's place, counted in blocks: how far down and how far across."""
        if self.blocks == self.across:
            return 0, block
        if self.across == 1:
            return block, 0
        across = literal(self.across, I64)
        return f.div(block, across), f.rem(block, across)


def _clipped(f: Function, place: Index, size: int, end: int) -> tuple[Index, Index]:
    """The parts of that block of an axis."""
    first = times(f, place, size)
    last = plus(f, first, size)
    return first, at_most(f, last, end) if end % size or isinstance(last, int) else last
