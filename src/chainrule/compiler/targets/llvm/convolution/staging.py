"""Staging: the planes of one image, or some rows of them, copied once for each column of the kernel.

Row t of residue r, in the plane of channel c and kernel column q, holds for each output column j

    x[c, (first + t) * stride + r - padding, j * stride + q * dilation - padding]

and 0 outside of x. All rows of a plane are consecutive.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.compiler.targets.llvm.gemm.lanes import Piece, in_one, pieces
from chainrule.compiler.targets.llvm.gemm.parts import Index, plus, repeat, times, whole
from chainrule.compiler.targets.llvm.text import I64, Function, Type, Value, literal
from chainrule.ops.windows import Pair

WIDEST = 4
"""Elements are taken out of whole vectors up to this distance, beyond it one by one."""

UNROLLED = 8
"""A plane of up to so many vectors is copied without a loop."""


@dataclass(frozen=True)
class Source:
    """Where the planes lie: the distances, in elements, of images, channels, rows and columns."""

    image: int
    channel: int
    row: int
    column: int


@dataclass(frozen=True)
class Staging:
    """What is staged of one image.

    Args:
        source: how its elements lie.
        size, stride, padding, dilation: of the planes and the kernel on them.
        channels: how many planes.
        taps: the columns of the kernel.
        residues: which rows are wanted, modulo the stride.
        rows: how many of each residue.
        width: the output columns.
        is_inside: whether there are all rows, none of them in a margin.
    """

    source: Source
    size: Pair
    stride: Pair
    padding: Pair
    dilation: int
    channels: int
    taps: int
    residues: tuple[int, ...]
    rows: int
    width: int
    type: Type
    lanes: int
    masked: bool
    is_inside: bool = False

    @property
    def residue_step(self) -> int:
        """Elements from a residue's rows to the next one's."""
        return self.rows * self.width

    @property
    def plane(self) -> int:
        """Elements from a staged plane to the next one."""
        return len(self.residues) * self.residue_step

    @property
    def elements(self) -> int:
        """Of all planes, and of a vector that begins at the last one."""
        return self.channels * self.taps * self.plane + self.lanes

    def write(self, f: Function, x: Value, target: Value, first: Index) -> None:
        """Write the copying loops: from the planes at x, beginning with row `first` of each residue."""
        repeat(f, 0, self.channels, lambda c: self._channel(f, x, target, first, c))

    def _channel(self, f: Function, x: Value, target: Value, first: Index, c: Index) -> None:
        planes = f.at(target, whole(times(f, c, self.taps * self.plane)), self.type)
        source = f.at(x, whole(times(f, c, self.source.channel)), self.type)
        if isinstance(first, int) and self._is_as_it_lies:
            self._whole(f, f.at(source, max(first - self.padding[0], 0) * self.width, self.type), planes, first)
            return
        for k, residue in enumerate(self.residues):
            rows = f.at(planes, k * self.residue_step, self.type)

            def row(t: Index, rows: Value = rows, residue: int = residue) -> None:
                self._row(f, source, f.at(rows, whole(times(f, t, self.width)), self.type), first, t, residue)

            repeat(f, 0, self.rows, row)

    @property
    def _is_as_it_lies(self) -> bool:
        """True if staged rows are the plane's own, without gaps."""
        own = (self.taps, self.residues, self.stride, self.padding[1], self.width) == (1, (0,), (1, 1), 0, self.size[1])
        return own and (self.source.row, self.source.column) == (self.width, 1)

    def _whole(self, f: Function, plane: Value, target: Value, first: int) -> None:
        """Rows of a plane, and zeros above and below, in vectors that do not care where a row ends."""
        top = min(max(self.padding[0] - first, 0), self.rows)
        inside = min(self.size[0] - max(first - self.padding[0], 0), self.rows - top)
        parts = ((0, top, True), (top, inside, False), (top + inside, self.rows - top - inside, True))
        for start, rows, is_zero in parts:
            place = f.at(target, start * self.width, self.type)
            full, rest = divmod(rows * self.width, self.lanes)
            vector = self.type.of(self.lanes)

            def copy(i: Index, place: Value = place, vector: Type = vector, is_zero: bool = is_zero) -> None:
                offset = whole(times(f, i, self.lanes))
                value = literal(0, vector) if is_zero else f.load(f.at(plane, offset, self.type), vector)
                f.store(value, f.at(place, offset, self.type))

            for i in range(full) if full <= UNROLLED else ():
                copy(i)
            if full > UNROLLED:
                repeat(f, 0, full, copy)
            for piece in in_one(rest, self.lanes, self.masked) if rest else ():
                here = Piece(full * self.lanes + piece.offset, piece.lanes, piece.valid)
                value = literal(0, self.type.of(piece.lanes)) if is_zero else here.load(f, plane, self.type)
                here.store(f, value, place)

    def _row(self, f: Function, x: Value, target: Value, first: Index, t: Index, residue: int) -> None:
        """One row for each column of the kernel; zeros where there is no such row."""
        number = plus(f, times(f, plus(f, first, t), self.stride[0]), residue - self.padding[0])
        if self.is_inside:
            self._copy(f, f.at(x, whole(times(f, number, self.source.row)), self.type), target)
            return
        inside, outside, after = f.fresh("inside"), f.fresh("outside"), f.fresh("after")
        f.branch(f.compare("ult", whole(number), literal(self.size[0], I64)), inside, outside)
        f.begin(inside)
        self._copy(f, f.at(x, whole(times(f, number, self.source.row)), self.type), target)
        f.jump(after)
        f.begin(outside)
        for q in range(self.taps):
            for piece in pieces(self.width, self.lanes, self.masked):
                zero = literal(0, self.type.of(piece.lanes))
                piece.store(f, zero, f.at(target, q * self.plane, self.type))
        f.jump(after)
        f.begin(after)

    def _copy(self, f: Function, row: Value, target: Value) -> None:
        for q in range(self.taps):
            for piece in pieces(self.width, self.lanes, self.masked):
                piece.store(f, self._seen(f, row, q, piece), f.at(target, q * self.plane, self.type))

    def _seen(self, f: Function, row: Value, q: int, piece: Piece) -> Value:
        """What a piece of the output columns sees of a row by column q of the kernel."""
        stride = self.stride[1]
        start = piece.offset * stride + q * self.dilation - self.padding[1]
        places = [start + i * stride for i in range(max(piece.lanes, 1))]
        wanted = [i < piece.valid and 0 <= place < self.size[1] for i, place in enumerate(places)]
        return spaced(f, row, places, wanted, self.source.column, piece.lanes, self.type)


def spaced(
    f: Function, row: Value, places: list[int], wanted: list[bool], column: int, lanes: int, type: Type
) -> Value:
    """A vector of the elements at evenly spaced places of a row, `column` apart in memory; 0 where not wanted."""
    if not any(wanted):
        return literal(0, type.of(lanes))
    if not lanes:
        return f.load(f.at(row, places[0] * column, type), type)
    step = (places[1] - places[0]) * column
    if not 1 <= step <= WIDEST:
        result = Value("zeroinitializer", type.of(lanes))
        for i in range(lanes):
            if wanted[i]:
                result = f.insert(result, f.load(f.at(row, places[i] * column, type), type), i)
        return result
    width = lanes * step
    needed = [i % step == 0 and wanted[i // step] for i in range(width)]
    address = f.at(row, places[0] * column, type)
    if step == 1 and all(wanted):
        return f.load(address, type.of(lanes))
    loaded = f.load(address, type.of(width), mask=mask_of(needed))
    return loaded if step == 1 else f.shuffle(loaded, loaded, range(0, width, step))


def mask_of(lanes: list[bool]) -> Value:
    """A constant mask."""
    bools = ", ".join([f"i1 {'true' if lane else 'false'}" for lane in lanes])
    return Value(f"<{bools}>", Type("i1", len(lanes)))
