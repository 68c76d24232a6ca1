"""Copies of an operand in the order in which a kernel reads it: panels, each k rows of a tile's width.

An operand that is contiguous along k is transposed in registers on the way. One that is contiguous along the
panels' width is copied for the sake of the caches, whose sets and pages do not take many rows a power of two
apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.compiler.targets.llvm.gemm.lanes import Piece, in_one, load_part, store_part, transposed
from chainrule.compiler.targets.llvm.gemm.parts import Index, Run, at_most, each_part, plus, repeat, times, whole
from chainrule.compiler.targets.llvm.gemm.product import Ahead, Epilogue
from chainrule.compiler.targets.llvm.text import I8, Function, Type, Value, literal

CHUNK = 16
"""Steps along k that are copied together: as many rows are read side by side, each of them in order."""


@dataclass(frozen=True)
class Packing:
    """A copy of A or B in panels.

    Args:
        of_a: whether A is copied, or B.
        along, step: the strides of the operand along the panels' width and along k, in elements.
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
        return -(-self.k // CHUNK) if self.along == 1 else self.panels[-1].end

    def write(
        self, f: Function, a: Value, b: Value, scratch: Value, begin: Value, end: Value, epilogue: Epilogue,
        ahead: Ahead,
    ) -> None:  # fmt: skip
        """Write the loops over units begin <= unit < end; the epilogue is not called.

        A unit is a panel, or a chunk of k in all panels where that reads memory in order.
        """
        source, panels = a if self.of_a else b, self.panels[-1].end
        if self.along == 1:
            repeat(f, begin, end, lambda chunk: self._chunk(f, source, scratch, 0, panels, chunk))
        else:
            self.write_panels(f, source, scratch, begin, end)

    def write_panels(self, f: Function, source: Value, scratch: Value, first: Index, last: Index) -> None:
        """Write the loops over panels first <= panel < last."""
        if self.along == 1:
            repeat(f, 0, -(-self.k // CHUNK), lambda chunk: self._chunk(f, source, scratch, first, last, chunk))
        else:
            write = self._transposed if self.step == 1 else self._gathered
            each_part(f, self.panels, first, last, lambda run, place: write(f, source, scratch, run, place))

    def _chunk(self, f: Function, source: Value, scratch: Value, first: Index, last: Index, chunk: Index) -> None:
        """A chunk of rows of the panels first <= panel < last."""
        start = times(f, chunk, CHUNK)
        end = at_most(f, plus(f, start, CHUNK), self.k)
        each_part(f, self.panels, first, last, lambda run, i: self._copied(f, source, scratch, run, i, start, end))

    def _ends(self, f: Function, source: Value, scratch: Value, run: Run, place: Index) -> tuple[Value, Value]:
        """Where a panel comes from and goes to."""
        first = times(f, place, self.scale)
        target = f.at(scratch, self.offset, I8)
        return (
            f.at(source, whole(times(f, first, self.along)), self.type),
            f.at(target, whole(times(f, first, self.k)), self.type),
        )

    def _strips(self, run: Run) -> list[tuple[int, int, Sequence[Piece]]]:
        """The vectors of a panel's row: the first lane, how many lanes the operand has there, and what is stored."""
        width = run.size * self.scale
        valid = min(width, self.size - run.origin * self.scale) if run is self.panels[-1] else width
        return [
            (start, min(valid - start, self.lanes), in_one(min(width - start, self.lanes), self.lanes, self.masked))
            for start in range(0, width, self.lanes)
        ]

    def _copied(
        self, f: Function, source: Value, scratch: Value, run: Run, place: Index, first: Index, last: Index
    ) -> None:
        """The rows first <= p < last of a panel, as they are."""
        at_source, at_target = self._ends(f, source, scratch, run, place)

        def row(p: Index) -> None:
            here = f.at(at_source, whole(times(f, p, self.step)), self.type)
            there = f.at(at_target, whole(times(f, p, run.size * self.scale)), self.type)
            for start, count, parts in self._strips(run):
                have = in_one(count, self.lanes, self.masked)
                value = load_part(f, f.at(here, start, self.type), self.type, self.lanes, have)
                store_part(f, value, f.at(there, start, self.type), parts)

        repeat(f, first, last, row)

    def _gathered(self, f: Function, source: Value, scratch: Value, run: Run, place: Index) -> None:
        """A panel of an operand that is contiguous along neither axis, element by element."""
        at_source, at_target = self._ends(f, source, scratch, run, place)

        def row(p: Index) -> None:
            here = f.at(at_source, whole(times(f, p, self.step)), self.type)
            there = f.at(at_target, whole(times(f, p, run.size * self.scale)), self.type)
            for start, count, parts in self._strips(run):
                value = literal(0, self.type.of(self.lanes))
                for i in range(count):
                    element = f.load(f.at(here, (start + i) * self.along, self.type), self.type)
                    value = f.insert(value, element, i)
                store_part(f, value, f.at(there, start, self.type), parts)

        repeat(f, 0, self.k, row)

    def _transposed(self, f: Function, source: Value, scratch: Value, run: Run, place: Index) -> None:
        """A panel of an operand that is contiguous along k, square by square."""
        at_source, at_target = self._ends(f, source, scratch, run, place)
        squares, width = self.k // self.lanes, run.size * self.scale

        def squares_of_rows(p: Index, depth: int) -> None:
            have = in_one(depth, self.lanes, self.masked)
            for start, count, parts in self._strips(run):
                here = f.at(at_source, whole(plus(f, p, start * self.along)), self.type)
                rows = [
                    load_part(f, f.at(here, i * self.along, self.type), self.type, self.lanes, have)
                    for i in range(count)
                ]
                rows += [literal(0, self.type.of(self.lanes))] * (self.lanes - count)
                there = f.at(at_target, whole(plus(f, times(f, p, width), start)), self.type)
                for q, column in enumerate(transposed(f, rows)[:depth]):
                    store_part(f, column, f.at(there, q * width, self.type), parts)

        repeat(f, 0, squares, lambda i: squares_of_rows(times(f, i, self.lanes), self.lanes))
        if self.k % self.lanes:
            squares_of_rows(squares * self.lanes, self.k % self.lanes)
