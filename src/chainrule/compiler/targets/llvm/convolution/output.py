"""conv2d: each output plane is the sum over channels and taps of weights times staged planes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from chainrule.compiler.targets.llvm.convolution.geometry import Geometry, largest_divisor
from chainrule.compiler.targets.llvm.convolution.staging import Source, Staging
from chainrule.compiler.targets.llvm.convolution.tiles import Axis, Tile, Tiling, tiling
from chainrule.compiler.targets.llvm.gemm.parts import Index, Run, each_part, plus, times, whole
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I64, Function, Type, Value, literal

Weights = tuple[int, int, int, int]
"""The distances, in elements, of the axes of the weight: outputs, channels, rows and columns."""

Start = Callable[[Value, int], Value]
"""The vector of so many lanes that the sums of an output begin with: its bias."""

Epilogue = Callable[[Value, Index, Index, Value, Value | None], None]
"""Takes a finished vector: image, output plane, position, the vector, its mask."""

UNITS, WORTH = 16, 1 << 22
"""In how many units a convolution is cut at most, and the operations from which on it has to be cut at all."""


@dataclass(frozen=True)
class Output:
    """The loops over bands of rows of all images; a band is staged, and then read by all tiles."""

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

    @cached_property
    def rows(self) -> int:
        """Output rows of a band: what they see fits into half of the second cache, and threads have enough of them."""
        g, down = self.geometry, self.geometry.count[0]
        row = g.columns * len(g.row_taps) * g.count[1] * self.type.bytes
        fitting = max(1, self.machine.l2_bytes // 2 // row - g.reach)
        wanted = -(-UNITS // (g.images * g.groups)) if g.flops > WORTH else 1
        return largest_divisor(down, max(1, min(fitting, down // wanted)))

    @cached_property
    def staging(self) -> Staging:
        g = self.geometry
        residues = tuple([taps.residue for taps in g.row_taps])
        return Staging(
            self.source, g.size, g.stride, g.padding, g.dilation[1], g.channels, g.kernel[1], residues,
            self.rows + g.reach, g.count[1], self.type, self.lanes, self.masked, g.is_inside,
        )  # fmt: skip

    @cached_property
    def tiling(self) -> Tiling:
        positions = self.rows * self.geometry.count[1]
        return tiling(self.geometry.outputs, positions, self.lanes, self.masked, self.machine.registers)

    @property
    def pieces(self) -> int:
        """Bands of all groups of all images."""
        return self.geometry.images * self.geometry.groups * (self.geometry.count[0] // self.rows)

    @property
    def units(self) -> int:
        return -(-self.pieces // self._share)

    @property
    def _share(self) -> int:
        return -(-self.pieces // UNITS)

    @property
    def slot(self) -> int:
        """Bytes of scratch memory of one caller."""
        return aligned(self.staging.elements * self.type.bytes)

    @property
    def scratch(self) -> int:
        return self.units * self.slot

    def write(
        self, f: Function, x: Value, weight: Value, scratch: Value, start: Start, prepare: Callable[[], None],
        epilogue: Epilogue,
    ) -> None:  # fmt: skip
        """Write the loops over units begin <= unit < end; `prepare` is called before a band's tiles."""
        g, staging = self.geometry, self.staging
        memory = f.at(scratch, f.mul(f["begin"], literal(self.slot, I64)), Type("i8"))
        loop = f.loop(*shared(f, self._share, self.pieces))
        bands = g.count[0] // self.rows
        image, group, band = split(f, loop.index, g.groups, bands)
        first = times(f, band, self.rows)
        planes = plus(f, times(f, image, self.source.image), times(f, group, g.channels * self.source.channel))
        staging.write(f, f.at(x, whole(planes), self.type), memory, first)
        prepare()
        output = times(f, group, g.outputs)
        position = times(f, first, g.count[1])

        def tile(rows: Run, i: Index, columns: Run, j: Index) -> None:
            shape = Tile(rows.size, self.tiling.pieces(columns), self.weights[0], self.type)
            row = whole(plus(f, output, i))
            sums = []
            for k in range(rows.size):
                here = whole(plus(f, row, k))
                sums += [start(here, v.lanes) for v in shape.vectors]
            a = f.at(weight, whole(times(f, row, self.weights[0])), self.type)
            b = f.at(memory, whole(times(f, j, self.lanes)), self.type)
            for number, taps in enumerate(g.row_taps):
                axes = [
                    Axis(g.channels, self.weights[1], g.kernel[1] * staging.plane),
                    Axis(taps.count, taps.step * self.weights[2], taps.shift_step * g.count[1]),
                    Axis(g.kernel[1], self.weights[3], staging.plane),
                ]
                from_a = f.at(a, taps.first * self.weights[2], self.type)
                from_b = f.at(b, number * staging.residue_step + taps.shift * g.count[1], self.type)
                sums = shape.summed(f, sums, axes, from_a, from_b)
            at = plus(f, position, times(f, j, self.lanes))
            for k in range(rows.size):
                for n, v in enumerate(shape.vectors):
                    value = sums[k * len(shape.vectors) + n]
                    epilogue(whole(image), plus(f, row, k), plus(f, at, v.offset), value, v.mask(f))

        each_tile(f, self.tiling, tile)
        f.close(loop)


def each_tile(f: Function, tiles: Tiling, body: Callable[[Run, Index, Run, Index], None]) -> None:
    """The body for every tile: positions inside, so that the weights of a row of tiles stay in the first cache."""

    def along(rows: Run, i: Index) -> None:
        each_part(f, tiles.vectors, 0, tiles.vectors[-1].end, lambda columns, j: body(rows, i, columns, j))

    each_part(f, tiles.rows, 0, tiles.rows[-1].end, along)


def shared(f: Function, share: int, total: int) -> tuple[Value, Value]:
    """The pieces of the units begin <= unit < end, of which each has `share`, the last one perhaps fewer."""
    first, last = (f.mul(f[name], literal(share, I64)) for name in ("begin", "end"))
    return first, f.intrinsic("smin", I64, last, literal(total, I64))


def split(f: Function, flat: Value, *sizes: int) -> list[Index]:
    """An index over axes of which the first has any size and the others have these."""
    parts: list[Index] = []
    for n in reversed(sizes):
        parts.append(0 if n == 1 else f.rem(flat, literal(n, I64)))
        flat = flat if n == 1 else f.div(flat, literal(n, I64))
    return [flat, *reversed(parts)]


def aligned(size: int) -> int:
    """A number of bytes, up to whole cache lines."""
    return -(-size // 64) * 64
