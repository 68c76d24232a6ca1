"""conv2d_input: what each tap of a column gave to the staged planes, and then the columns where they belong.

The staged planes of x (see staging) are, transposed, sums over outputs and rows of the kernel; an element of x is the
sum of what the columns of the kernel saw of it. So all products run over full rows of positions, whatever the stride.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from chainrule.compiler.targets.llvm.convolution.geometry import Geometry, RowTaps, largest_divisor
from chainrule.compiler.targets.llvm.convolution.output import (
    UNITS,
    WORTH,
    Weights,
    aligned,
    each_tile,
    shared,
    split,
)
from chainrule.compiler.targets.llvm.convolution.staging import Source, Staging, mask_of
from chainrule.compiler.targets.llvm.convolution.tiles import Axis, Tile, Tiling, tiling
from chainrule.compiler.targets.llvm.gemm.lanes import Piece, pieces
from chainrule.compiler.targets.llvm.gemm.parts import Index, Run, plus, repeat, times, whole
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I8, I64, Function, Type, Value, literal

Epilogue = Callable[[Value, Index, Index, int, Value, Value | None], None]
"""Takes a finished vector: image, channel, row, column, the vector, its mask."""


@dataclass(frozen=True)
class Input:
    """The loops over bands of rows of all images of x. `source` says how the cotangents lie."""

    geometry: Geometry
    source: Source
    weights: Weights
    type: Type
    machine: Machine

    @property
    def lanes(self) -> int:
        return self.machine.vector_bits // (8 * self.type.bytes)

    @property
    def masked(self) -> bool:
        return self.machine.vector_bits > 128

    @property
    def height(self) -> int:
        """Rows of each residue of the padded plane, from the first row of x to the last one."""
        g = self.geometry
        return -(-(g.size[0] + g.padding[0]) // g.stride[0]) - self.top

    @property
    def top(self) -> int:
        """The first of these rows."""
        return self.geometry.padding[0] // self.geometry.stride[0]

    @cached_property
    def rows(self) -> int:
        """Rows of each residue in a band."""
        g = self.geometry
        row = (g.columns * len(g.row_taps) + g.outputs) * g.count[1] * self.type.bytes
        fitting = max(1, self.machine.l2_bytes // 2 // row)
        wanted = -(-UNITS // (g.images * g.groups)) if g.flops > WORTH else 1
        return largest_divisor(self.height, max(1, min(fitting, self.height // wanted)))

    @cached_property
    def staging(self) -> Staging:
        """The cotangents with as many rows of zeros around them as the kernel reaches over."""
        g = self.geometry
        return Staging(
            self.source, g.count, (1, 1), (g.reach, 0), 1, g.outputs, 1, (0,), self.rows + g.reach, g.count[1],
            self.type, self.lanes, self.masked,
        )  # fmt: skip

    @cached_property
    def tiling(self) -> Tiling:
        positions = self.rows * self.geometry.count[1]
        return tiling(self.geometry.columns, positions, self.lanes, self.masked, self.machine.registers, self._steps)

    def _steps(self, begin: int, end: int) -> int:
        """How many rows of the kernel give anything to those vectors of a plane's positions."""
        g = self.geometry
        top = self.top + begin * self.lanes // g.count[1]
        bottom = self.top + (end * self.lanes - 1) // g.count[1]
        shifts = [taps.shift + a * taps.shift_step for taps in g.row_taps for a in range(taps.count)]
        return max(1, sum([top - g.count[0] < shift <= bottom for shift in shifts]))

    @property
    def plane(self) -> int:
        """Elements of a staged plane: the band's rows of all residues that any tap sees."""
        return len(self.geometry.row_taps) * self.rows * self.geometry.count[1]

    @property
    def pieces(self) -> int:
        return self.geometry.images * self.geometry.groups * (self.height // self.rows)

    @property
    def _share(self) -> int:
        return -(-self.pieces // UNITS)

    @property
    def units(self) -> int:
        return -(-self.pieces // self._share)

    @property
    def _packed(self) -> int:
        """Bytes of the weights as the tiles read them."""
        g = self.geometry
        return aligned(g.groups * g.outputs * g.kernel[0] * g.columns * self.type.bytes)

    @property
    def _staged(self) -> int:
        return aligned(self.staging.elements * self.type.bytes)

    @property
    def slot(self) -> int:
        return self._staged + aligned((self.geometry.columns * self.plane + self.lanes) * self.type.bytes)

    @property
    def scratch(self) -> int:
        return self._packed + self.units * self.slot

    @property
    def packing_units(self) -> int:
        return self.geometry.groups * self.geometry.outputs

    def write_packing(self, f: Function, weight: Value, scratch: Value) -> None:
        """The weights of a group by row of the kernel, output, channel and column."""
        g, type = self.geometry, self.type
        loop = f.loop(f["begin"], f["end"])
        group, output = split(f, loop.index, g.outputs)
        source = f.at(weight, whole(times(f, loop.index, self.weights[0])), type)
        place = plus(f, times(f, group, g.kernel[0] * g.outputs * g.columns), times(f, output, g.columns))
        target = f.at(scratch, whole(place), type)

        def channel(c: Index) -> None:
            a = f.at(source, whole(times(f, c, self.weights[1])), type)
            b = f.at(target, whole(times(f, c, g.kernel[1])), type)

            def row(p: Index) -> None:
                from_a = f.at(a, whole(times(f, p, self.weights[2])), type)
                from_b = f.at(b, whole(times(f, p, g.outputs * g.columns)), type)
                for q in range(g.kernel[1]):
                    f.store(f.load(f.at(from_a, q * self.weights[3], type), type), f.at(from_b, q, type))

            repeat(f, 0, g.kernel[0], row)

        repeat(f, 0, g.channels, channel)
        f.close(loop)

    def write(self, f: Function, c: Value, scratch: Value, prepare: Callable[[], None], epilogue: Epilogue) -> None:
        """Write the loops over units begin <= unit < end, when the weights are packed."""
        g, type = self.geometry, self.type
        slot = f.add(f.mul(f["begin"], literal(self.slot, I64)), literal(self._packed, I64))
        staged = f.at(scratch, slot, I8)
        planes = f.at(staged, self._staged, I8)
        loop = f.loop(*shared(f, self._share, self.pieces))
        image, group, band = split(f, loop.index, g.groups, self.height // self.rows)
        first = plus(f, times(f, band, self.rows), self.top)
        start = plus(f, times(f, image, self.source.image), times(f, group, g.outputs * self.source.channel))
        self.staging.write(f, f.at(c, whole(start), type), staged, first)
        weights = f.at(scratch, whole(times(f, group, g.kernel[0] * g.outputs * g.columns)), type)
        for number, taps in enumerate(g.row_taps):
            target = f.at(planes, number * self.rows * g.count[1], type)
            self._products(f, taps, weights, staged, target, first)
        prepare()
        channel = times(f, group, g.channels)
        repeat(f, 0, g.channels, lambda k: self._channel(f, planes, whole(image), channel, k, first, epilogue))
        f.close(loop)

    def _products(self, f: Function, taps: RowTaps, weights: Value, staged: Value, target: Value, first: Index) -> None:
        """The rows of one residue of all planes."""
        g, type, width = self.geometry, self.type, self.geometry.count[1]

        def tile(rows: Run, i: Index, columns: Run, j: Index) -> None:
            shape = Tile(rows.size, self.tiling.pieces(columns), 1, type)
            position = times(f, j, self.lanes)
            low, high = self._needed(f, taps, plus(f, first, _over(f, position, width)), columns.size)
            loop = f.loop(low, high, 1, shape.zeros(), name="rows")
            p = plus(f, times(f, loop.index, taps.step), taps.first)
            shift = plus(f, times(f, loop.index, taps.shift_step), taps.shift)
            back = f.sub(literal(g.reach, I64), whole(shift))
            a = f.at(weights, whole(plus(f, times(f, p, g.outputs * g.columns), i)), type)
            b = f.at(staged, whole(plus(f, times(f, back, width), position)), type)
            axis = Axis(g.outputs, g.columns, self.staging.plane)
            sums = f.close(loop, shape.summed(f, loop.carried, [axis], a, b))
            for k in range(rows.size):
                place = plus(f, times(f, plus(f, i, k), self.plane), position)
                row = f.at(target, whole(place), type)
                for n, v in enumerate(shape.vectors):
                    v.store(f, sums[k * len(shape.vectors) + n], row)

        each_tile(f, self.tiling, tile)

    def _needed(self, f: Function, taps: RowTaps, top: Index, vectors: int) -> tuple[Value, Value]:
        """Which of the taps give anything but zeros to rows from `top` on: at least one of them."""
        g = self.geometry
        step, rows = literal(max(taps.shift_step, 1), I64), (vectors * self.lanes - 1) // g.count[1] + 1
        last = f.div(whole(plus(f, top, rows - taps.shift)), step)
        skipped = f.div(whole(plus(f, top, max(taps.shift_step, 1) - g.count[0] - taps.shift)), step)
        low = f.intrinsic("smax", I64, skipped, literal(0, I64))
        low = f.intrinsic("smin", I64, low, literal(taps.count - 1, I64))
        high = f.intrinsic("smin", I64, f.add(last, literal(1, I64)), literal(taps.count, I64))
        return low, f.intrinsic("smax", I64, high, f.add(low, literal(1, I64)))

    # ---- columns where they belong ----------------------------------------------------------------------------

    def _channel(
        self, f: Function, planes: Value, image: Value, channel: Index, k: Index, first: Index, epilogue: Epilogue
    ) -> None:
        """All rows of a channel of x in this band."""
        g, type = self.geometry, self.type
        stride = g.stride[0]
        numbers = {taps.residue: n for n, taps in enumerate(g.row_taps)}
        plane = f.at(planes, whole(times(f, k, g.kernel[1] * self.plane)), type)
        here = plus(f, channel, k)

        def row(t: Index) -> None:
            for residue in range(stride):
                number = plus(f, times(f, plus(f, first, t), stride), residue - g.padding[0])
                inside, after = f.fresh("inside"), f.fresh("after")
                f.branch(f.compare("ult", whole(number), literal(g.size[0], I64)), inside, after)
                f.begin(inside)
                source = None
                if residue in numbers:
                    start = plus(f, times(f, t, g.count[1]), numbers[residue] * self.rows * g.count[1])
                    source = f.at(plane, whole(start), type)
                for piece in pieces(g.size[1], self.lanes, self.masked):
                    epilogue(image, here, number, piece.offset, self._given(f, source, piece), piece.mask(f))
                f.jump(after)
                f.begin(after)

        repeat(f, 0, self.rows, row)

    def _given(self, f: Function, row: Value | None, piece: Piece) -> Value:
        """The sum over the kernel's columns of what they saw in a piece of a row."""
        g, type = self.geometry, self.type.of(piece.lanes)
        total: Value | None = None
        for q in range(g.kernel[1] if row is not None else 0):
            assert row is not None
            places = []
            for i in range(max(piece.lanes, 1)):
                j, rest = divmod(piece.offset + i + g.padding[1] - q * g.dilation[1], g.stride[1])
                places.append(j if i < piece.valid and not rest and 0 <= j < g.count[1] else None)
            if any(place is not None for place in places):
                value = scattered(f, f.at(row, q * self.plane, self.type), places, type)
                total = value if total is None else f.add(total, value)
        return literal(0, type) if total is None else total


def _over(f: Function, index: Index, by: int) -> Index:
    """index / by, rounded down."""
    return index // by if isinstance(index, int) else f.div(index, literal(by, I64))


def scattered(f: Function, row: Value, places: list[int | None], type: Type) -> Value:
    """The elements of a row at these places, which rise by 1, each in its lane; 0 in the other ones."""
    found = [(i, place) for i, place in enumerate(places) if place is not None]
    (lane, first), count = found[0], len(found)
    if not type.lanes:
        return f.load(f.at(row, first, type), type)
    if found == [(lane + i, first + i) for i in range(count)]:  # side by side: loaded as they lie
        address = f.at(row, first - lane, type)
        return f.load(address, type, mask=None if count == type.lanes else mask_of([p is not None for p in places]))
    loaded = f.load(f.at(row, first, type), type, mask=mask_of([i < count for i in range(type.lanes)]))
    zero = Value("zeroinitializer", type)
    return f.shuffle(loaded, zero, [type.lanes if p is None else p - first for p in places])
