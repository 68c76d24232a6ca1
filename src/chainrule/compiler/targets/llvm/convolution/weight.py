"""conv2d_weight: products of cotangents with staged planes, summed over positions and images.

Lanes run along positions. The images of a block are summed in registers, blocks in memory, units at the end: always in
this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from chainrule.compiler.targets.llvm.convolution.geometry import Geometry, RowTaps, largest_divisor
from chainrule.compiler.targets.llvm.convolution.output import UNITS, aligned, split
from chainrule.compiler.targets.llvm.convolution.staging import Source, Staging
from chainrule.compiler.targets.llvm.gemm.lanes import Piece, in_one, load_part, summed
from chainrule.compiler.targets.llvm.gemm.parts import Index, Run, each_part, even_parts, plus, repeat, times, whole
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I8, I64, Function, Type, Value, literal

OPERATIONS = 1 << 22
"""Of a unit: what a unit has summed costs as much as a few hundred thousand of them to be added to the others."""

SUMS = 1 << 20
"""Elements of the sums of all units of a group, unless one of them has more."""

LONG = 16
"""Vectors of positions that a block has."""

UNROLLED = 4
"""Vectors of positions in one round."""


@dataclass(frozen=True)
class Weight:
    """The loops over blocks of images. `cotangents` and `source` say how c and x lie; rows of c lie evenly."""

    geometry: Geometry
    cotangents: Source
    source: Source
    type: Type
    machine: Machine

    @property
    def lanes(self) -> int:
        return self.machine.vector_bits // (8 * self.type.bytes)

    @property
    def masked(self) -> bool:
        return self.machine.vector_bits > 128

    @cached_property
    def rows(self) -> int:
        """Output rows of a band."""
        g = self.geometry
        row = (g.columns * len(g.row_taps) + g.outputs) * g.count[1] * self.type.bytes
        return largest_divisor(g.count[0], max(1, self.machine.l2_bytes // 2 // row - g.reach))

    @property
    def positions(self) -> int:
        return self.rows * self.geometry.count[1]

    @cached_property
    def block(self) -> int:
        """Images of a block: as many as take long beside the sums over lanes at its end, and the second cache holds."""
        cotangents = aligned(self.geometry.outputs * self.positions * self.type.bytes)
        fitting = self.machine.l2_bytes * 3 // 4 // (cotangents + self._staged * self.type.bytes)
        wanted = -(-LONG // -(-self.positions // self.lanes))
        return largest_divisor(self.geometry.images, max(1, min(fitting, wanted)))

    @cached_property
    def staging(self) -> Staging:
        g = self.geometry
        residues = tuple([taps.residue for taps in g.row_taps])
        return Staging(
            self.source, g.size, g.stride, g.padding, g.dilation[1], g.channels, g.kernel[1], residues,
            self.rows + g.reach, g.count[1], self.type, self.lanes, self.masked, g.is_inside,
        )  # fmt: skip

    @cached_property
    def staged_cotangents(self) -> Staging | None:
        """Copies of cotangents that do not lie plane by plane in rows without gaps; else None."""
        g, c = self.geometry, self.cotangents
        if (c.column == 1 or g.count[1] == 1) and (c.row == g.count[1] or g.count[0] == 1):
            return None
        return Staging(
            c, g.count, (1, 1), (0, 0), 1, g.outputs, 1, (0,), self.rows, g.count[1], self.type, self.lanes,
            self.masked,
        )  # fmt: skip

    @property
    def _staged(self) -> int:
        """Elements of one image in the scratch memory, and of its cotangents behind them."""
        return aligned(self.staging.elements * self.type.bytes) // self.type.bytes

    @property
    def _image(self) -> int:
        more = self.staged_cotangents
        return self._staged + (aligned(more.elements * self.type.bytes) // self.type.bytes if more else 0)

    @property
    def slot(self) -> int:
        return self.block * self._image * self.type.bytes

    @property
    def _shares(self) -> tuple[int, int]:
        """Blocks of a unit, and units of a group."""
        blocks = self.geometry.images // self.block
        most = max(1, min(UNITS, self.geometry.flops // self.geometry.groups // OPERATIONS, SUMS // self._partial))
        share = -(-blocks // most)
        return share, -(-blocks // share)

    @property
    def units(self) -> int:
        return self.geometry.groups * self._shares[1]

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Outputs by staged planes of a tile: what takes the fewest cycles for multiply-adds and loads."""
        g, most = self.geometry, self.machine.registers * 3 // 4

        def cost(shape: tuple[int, int]) -> float:
            return sum(
                (x.end - x.begin) * (y.end - y.begin) * (max(x.size * y.size / 2, x.size / 2 + y.size) + 1)
                for x in even_parts(g.outputs, shape[0])
                for y in even_parts(g.columns, shape[1])
            )

        shapes = [(r, t) for r in range(1, g.outputs + 1) for t in range(1, g.columns + 1) if r * t <= most]
        return min(shapes, key=cost)

    @property
    def _outputs(self) -> tuple[Run, ...]:
        return even_parts(self.geometry.outputs, self.shape[0])

    @property
    def _columns(self) -> tuple[Run, ...]:
        return even_parts(self.geometry.columns, self.shape[1])

    @property
    def _tile(self) -> int:
        """Elements that a tile's sums take in memory."""
        return -(-self.shape[0] * self.shape[1] // self.lanes) * self.lanes

    @property
    def _tiles(self) -> int:
        return self._outputs[-1].end * self._columns[-1].end * self.geometry.kernel[0]

    @property
    def _partial(self) -> int:
        """Elements of all of a unit's sums."""
        return self._tiles * self._tile

    @property
    def dense(self) -> int:
        """Bytes before the sums of all units: there the result lies, in rows without gaps."""
        g = self.geometry
        return aligned(g.groups * g.outputs * g.columns * g.kernel[0] * self.type.bytes)

    @property
    def _slots(self) -> int:
        return self.dense + aligned(self.units * self._partial * self.type.bytes)

    @property
    def scratch(self) -> int:
        return self._slots + self.units * self.slot

    # ---- the sums of each unit -----------------------------------------------------------------------------------

    def write(self, f: Function, c: Value, x: Value, scratch: Value) -> None:
        """Write the loops over units begin <= unit < end, each of some images of one group."""
        g, type = self.geometry, self.type
        memory = f.at(scratch, f.add(f.mul(f["begin"], literal(self.slot, I64)), literal(self._slots, I64)), I8)
        share, units = self._shares
        loop = f.loop(f["begin"], f["end"])
        group, unit = split(f, loop.index, units)
        partial = f.at(f.at(scratch, self.dense, I8), whole(times(f, loop.index, self._partial)), type)
        clear = f.loop(0, self._partial, self.lanes)
        f.store(literal(0, type.of(self.lanes)), f.at(partial, clear.index, type))
        f.close(clear)
        first = times(f, unit, share)
        last = f.intrinsic("smin", I64, whole(plus(f, first, share)), literal(g.images // self.block, I64))
        x = f.at(x, whole(times(f, group, g.channels * self.source.channel)), type)
        c = f.at(c, whole(times(f, group, g.outputs * self.cotangents.channel)), type)
        blocks = f.loop(whole(first), last)

        def band(number: Index) -> None:
            self._block(f, c, x, memory, partial, times(f, blocks.index, self.block), times(f, number, self.rows))

        repeat(f, 0, g.count[0] // self.rows, band)
        f.close(blocks)
        f.close(loop)

    def _block(
        self, f: Function, c: Value, x: Value, memory: Value, partial: Value, image: Index, first: Index
    ) -> None:
        """The products of some rows of some images."""
        g, type, more = self.geometry, self.type, self.staged_cotangents

        def stage(k: Index) -> None:
            here = plus(f, image, k)
            target = f.at(memory, whole(times(f, k, self._image)), type)
            self.staging.write(f, f.at(x, whole(times(f, here, self.source.image)), type), target, first)
            if more:
                source = f.at(c, whole(times(f, here, self.cotangents.image)), type)
                more.write(f, source, f.at(target, self._staged, type), first)

        repeat(f, 0, self.block, stage)
        if more:
            left, image_step, output_step = f.at(memory, self._staged, type), self._image, more.plane
        else:
            place = plus(f, times(f, image, self.cotangents.image), times(f, first, g.count[1]))
            left = f.at(c, whole(place), type)
            image_step, output_step = self.cotangents.image, self.cotangents.channel
        done = 0
        for number, taps in enumerate(g.row_taps):
            shift = number * self.staging.residue_step + taps.shift * g.count[1]

            def row(a: Index, shift: int = shift, step: int = taps.shift_step, done: int = done) -> None:
                seen = f.at(memory, whole(plus(f, times(f, a, step * g.count[1]), shift)), type)
                sums = f.at(partial, whole(times(f, plus(f, a, done), self._row)), type)

                def beside(columns: Run, m: Index) -> None:
                    right = f.at(seen, whole(times(f, m, self.staging.plane)), type)

                    def below(outputs: Run, o: Index) -> None:
                        at = f.at(left, whole(times(f, o, output_step)), type)
                        place = self._place(f, outputs, o, columns, m)
                        tile = (outputs.size, columns.size)
                        vectors = self._sums(f, tile, at, right, image_step, output_step)
                        self._add(f, vectors, f.at(sums, whole(place), type))

                    each_part(f, self._outputs, 0, self._outputs[-1].end, below)

                each_part(f, self._columns, 0, self._columns[-1].end, beside)

            repeat(f, 0, taps.count, row)
            done += taps.count

    @property
    def _row(self) -> int:
        """Elements of the sums for one row of the kernel."""
        return self._outputs[-1].end * self._columns[-1].end * self._tile

    def _place(self, f: Function, outputs: Run, o: Index, columns: Run, m: Index) -> Index:
        """Where the sums of a tile lie among those of its row of the kernel."""
        down = plus(f, _over(f, plus(f, o, -outputs.origin), outputs.size), outputs.begin)
        across = plus(f, _over(f, plus(f, m, -columns.origin), columns.size), columns.begin)
        return times(f, plus(f, times(f, down, self._columns[-1].end), across), self._tile)

    def _sums(
        self, f: Function, tile: tuple[int, int], left: Value, right: Value, image_step: int, output_step: int
    ) -> list[Value]:
        """Products summed over the positions of all images of a block, lane by lane; outputs outside."""
        type, lanes = self.type, self.lanes
        full = self.positions // lanes
        rest = in_one(self.positions - full * lanes, lanes, self.masked)
        zeros = [literal(0, type.of(lanes))] * (tile[0] * tile[1])

        vector = (Piece(0, lanes, lanes),)

        def step(sums: list[Value], a: Value, b: Value, parts: Sequence[Piece]) -> list[Value]:
            row = [load_part(f, f.at(b, m * self.staging.plane, type), type, lanes, parts) for m in range(tile[1])]
            column = [load_part(f, f.at(a, o * output_step, type), type, lanes, parts) for o in range(tile[0])]
            return [f.fma(u, v, sums[i * len(row) + k]) for i, u in enumerate(column) for k, v in enumerate(row)]

        def steps(sums: list[Value], a: Value, b: Value, count: int) -> list[Value]:
            for k in range(count):
                sums = step(sums, f.at(a, k * lanes, type), f.at(b, k * lanes, type), vector)
            return sums

        images = f.loop(0, self.block, 1, zeros, name="images") if self.block > 1 else None
        sums = images.carried if images else zeros
        a = f.at(left, f.mul(images.index, literal(image_step, I64)), type) if images else left
        b = f.at(right, f.mul(images.index, literal(self._image, I64)), type) if images else right
        rounds = full // UNROLLED
        if rounds > 1:
            loop = f.loop(0, rounds * UNROLLED * lanes, UNROLLED * lanes, sums, name="positions")
            at_a, at_b = (f.at(p, loop.index, type) for p in (a, b))
            sums = f.close(loop, steps(loop.carried, at_a, at_b, UNROLLED))
        done = rounds * UNROLLED if rounds > 1 else 0
        sums = steps(sums, f.at(a, done * lanes, type), f.at(b, done * lanes, type), full - done)
        if self.positions > full * lanes:
            sums = step(sums, f.at(a, full * lanes, type), f.at(b, full * lanes, type), rest)
        return f.close(images, sums) if images else sums

    def _add(self, f: Function, vectors: list[Value], memory: Value) -> None:
        """Sum each vector over its lanes and add the results to those in memory."""
        zero = literal(0, vectors[0].type)
        for start in range(0, len(vectors), self.lanes):
            some = vectors[start : start + self.lanes]
            size = 1 << (len(some) - 1).bit_length()
            value = summed(f, [*some, *[zero] * (size - len(some))])
            value = value if size > 1 else _alone(f, value)
            place = f.at(memory, start, self.type)
            f.store(f.add(f.load(place, value.type), value), place)

    # ---- the sums of all units -----------------------------------------------------------------------------------

    @property
    def gathering_units(self) -> int:
        return self.geometry.groups * self._outputs[-1].end

    def write_gathering(self, f: Function, scratch: Value) -> None:
        """Add the units' sums and put each number where it is in the result; a unit is a row of tiles."""
        g, type = self.geometry, self.type
        partials = f.at(scratch, self.dense, I8)
        loop = f.loop(f["begin"], f["end"])
        group, part = split(f, loop.index, self._outputs[-1].end)
        sums = f.at(partials, whole(times(f, group, self._shares[1] * self._partial)), type)
        result = f.at(scratch, whole(times(f, group, g.outputs * g.columns * g.kernel[0])), type)

        def outputs_from(outputs: Run, o: Index) -> None:
            done = 0
            for taps in g.row_taps:

                def row(a: Index, taps: RowTaps = taps, done: int = done) -> None:
                    rows = f.at(sums, whole(times(f, plus(f, a, done), self._row)), type)
                    p = plus(f, times(f, a, taps.step), taps.first)

                    def beside(columns: Run, m: Index) -> None:
                        source = f.at(rows, whole(self._place(f, outputs, o, columns, m)), type)
                        self._gather(f, (outputs.size, columns.size), source, result, o, m, p)

                    each_part(f, self._columns, 0, self._columns[-1].end, beside)

                repeat(f, 0, taps.count, row)
                done += taps.count

        each_part(f, self._outputs, part, plus(f, part, 1), outputs_from)
        f.close(loop)

    def _gather(
        self, f: Function, tile: tuple[int, int], source: Value, result: Value, o: Index, m: Index, p: Index
    ) -> None:
        """The numbers of one tile."""
        g, type = self.geometry, self.type
        height, width = g.kernel
        places = []
        for k in range(tile[1]):
            channel, q = _over(f, plus(f, m, k), width), _rest(f, plus(f, m, k), width)
            place = plus(f, times(f, plus(f, times(f, channel, height), p), width), q)
            places.append(plus(f, place, times(f, o, g.columns * height)))
        for start in range(0, tile[0] * tile[1], self.lanes):
            total = f.load(f.at(source, start, type), type.of(self.lanes))
            for unit in range(1, self._shares[1]):
                total = f.add(total, f.load(f.at(source, unit * self._partial + start, type), type.of(self.lanes)))
            for lane in range(min(self.lanes, tile[0] * tile[1] - start)):
                i, k = divmod(start + lane, tile[1])
                place = plus(f, places[k], i * g.columns * height)
                f.store(f.extract(total, lane), f.at(result, whole(place), type))


def _alone(f: Function, value: Value) -> Value:
    """A single sum: `summed` gives a scalar, or a vector of one."""
    return value if not value.type.lanes else f.extract(value, 0)


def _over(f: Function, index: Index, by: int) -> Index:
    if by == 1:
        return index
    return index // by if isinstance(index, int) else f.div(index, literal(by, I64))


def _rest(f: Function, index: Index, by: int) -> Index:
    if by == 1:
        return 0
    return index % by if isinstance(index, int) else f.rem(index, literal(by, I64))
