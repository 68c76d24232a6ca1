"""Copies of an operand in the order in which a kernel reads it: panels, each k rows of a tile's width.

An operand that is contiguous along k is transposed in registers on the way; one that is contiguous along the
panel's width is copied, for the sake of the caches' sets, which rows a power of two apart share.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.compiler.targets.llvm.gemm.lanes import Piece, in_one, load_part, store_part, transposed
from chainrule.compiler.targets.llvm.gemm.parts import Index, Run, each_part, repeat, times
from chainrule.compiler.targets.llvm.gemm.product import Epilogue
from chainrule.compiler.targets.llvm.text import I8, Function, Type, Value, literal


@dataclass(frozen=True)
class Packing:
    """A copy of A or B in panels.

    Args:
        of_a: whether A is copied, or B.
        along, step: the strides of the operand along the panel's width and along k, in elements.
        size, k: the operand's length along the panels' width, and along k.
        type: of its elements.
        lanes: of a vector.
        masked: whether the end of a row may be read and written under a mask.
        panels: the runs of panels, counted in units of `scale` elements.
        scale: 1, or `lanes` for panels of whole vectors, whose last lanes are filled with zeros.
        offset: where the panels start in the scratch memory, in bytes.
    """

    of_a: bool
    along: int
    step: int
    size: int
    k: int
    type: Type
    lanes: int
    masked: bool
    panels: tuple[Run, ...]
    scale: int
    offset: int

    @property
    def units(self) -> int:
        return self.panels[-1].end

    def write(
        self, f: Function, a: Value, b: Value, scratch: Value, begin: Value, end: Value, epilogue: Epilogue
    ) -> None:
        """Write the loops over panels begin <= unit < end; there is nothing for the epilogue to do."""
        source, target = a if self.of_a else b, f.at(scratch, self.offset, I8)

        def panel(run: Run, place: Index) -> None:
            first, width = times(f, place, self.scale), run.size * self.scale
            valid = min(width, self.size - run.origin * self.scale) if run is self.panels[-1] else width
            at_source = f.at(source, times(f, first, self.along), self.type)
            at_target = f.at(target, times(f, first, self.k), self.type)
            for start in range(0, width, self.lanes):
                here = f.at(at_source, start * self.along, self.type)
                there = f.at(at_target, start, self.type)
                count, room = min(valid - start, self.lanes), min(width - start, self.lanes)
                self._strip(f, here, there, count, room, width)

        each_part(f, self.panels, begin, end, panel)

    def _strip(self, f: Function, source: Value, target: Value, count: int, room: int, width: int) -> None:
        """The strip of a panel that is a vector wide: `count` elements, and zeros up to `room`."""
        parts = in_one(room, self.lanes, self.masked)
        if self.step == 1:
            whole_blocks = self.k // self.lanes
            square = (Piece(0, self.lanes, self.lanes),)

            def block(index: Index) -> None:
                p = times(f, index, self.lanes)
                at_target = f.at(target, times(f, p, width), self.type)
                self._square(f, f.at(source, p, self.type), at_target, count, self.lanes, square, parts, width)

            repeat(f, 0, whole_blocks, block)
            if rest := self.k % self.lanes:
                p = whole_blocks * self.lanes
                ends = in_one(rest, self.lanes, self.masked)
                at_source, at_target = f.at(source, p, self.type), f.at(target, p * width, self.type)
                self._square(f, at_source, at_target, count, rest, ends, parts, width)
            return

        def row(p: Index) -> None:
            at_source = f.at(source, times(f, p, self.step), self.type)
            self._store(f, self._row(f, at_source, count), f.at(target, times(f, p, width), self.type), parts)

        repeat(f, 0, self.k, row)

    def _square(
        self, f: Function, source: Value, target: Value, count: int, depth: int, ends: tuple[Piece, ...],
        parts: tuple[Piece, ...], width: int,
    ) -> None:  # fmt: skip
        """`count` rows along k, transposed into `depth` rows along the panel's width."""
        zero = literal(0, self.type.of(self.lanes))
        rows = [
            load_part(f, f.at(source, i * self.along, self.type), self.type, self.lanes, ends) if i < count else zero
            for i in range(self.lanes)
        ]
        for p, column in enumerate(transposed(f, rows)[:depth]):
            self._store(f, column, f.at(target, p * width, self.type), parts)

    def _row(self, f: Function, source: Value, count: int) -> Value:
        """Elements that lie along the panel's width, `along` apart; zeros behind them."""
        if self.along == 1:
            return load_part(f, source, self.type, self.lanes, in_one(count, self.lanes, self.masked))
        result = literal(0, self.type.of(self.lanes))
        for i in range(count):
            result = f.insert(result, f.load(f.at(source, i * self.along, self.type), self.type), i)
        return result

    def _store(self, f: Function, row: Value, target: Value, parts: tuple[Piece, ...]) -> None:
        store_part(f, row, target, parts)
