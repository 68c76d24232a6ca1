"""pool: max_pool2d, avg_pool2d and their gradients, and what follows on their results element by element."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from math import inf, prod

from chainrule.compiler.fuse import Group
from chainrule.compiler.ir import Value
from chainrule.compiler.targets.llvm import text
from chainrule.compiler.targets.llvm.convolution.input import scattered
from chainrule.compiler.targets.llvm.convolution.output import UNITS, aligned, shared, split
from chainrule.compiler.targets.llvm.convolution.staging import mask_of, spaced
from chainrule.compiler.targets.llvm.elements import Index
from chainrule.compiler.targets.llvm.elementwise import TYPES, Typed, emit
from chainrule.compiler.targets.llvm.gemm.lanes import Piece, pieces
from chainrule.compiler.targets.llvm.gemm.parts import Index as Number
from chainrule.compiler.targets.llvm.gemm.parts import plus, times, whole
from chainrule.compiler.targets.llvm.kernels.writer import Kernel, Writer
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I8, I32, I64, Type, literal
from chainrule.compiler.views import View
from chainrule.ops.pooling import ONE, pooled
from chainrule.ops.windows import Windows


def write_pool(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """The kernel of a pooling, which has to be the group's first instruction."""
    instruction = group.instructions[0]
    params, given = dict(instruction.params), [views[v] for v in instruction.values]
    name = instruction.op.name
    x = instruction.values[1 if name == "max_pool2d_input" else 0]
    size = params.pop("size", x.shape[2:])
    windows = pooled(
        (*x.shape[:2], *size), params["kernel"], params["stride"], params["padding"], params.get("dilation", ONE),
        params["ceil_mode"],
    )  # fmt: skip
    w = Writer(group, views, machine, scratch=name == "max_pool2d_input")
    if name in ("max_pool2d", "max_pool2d_input"):
        pool = _Pool(w, windows, views[x], -inf)
        return [pool.forth() if name == "max_pool2d" else pool.back(*given)]
    mean = _Mean(w, windows, views[x], 0.0, params["count_include_pad"], params["divisor_override"])
    return [mean.forth() if name == "avg_pool2d" else mean.back()]


@dataclass(frozen=True)
class _Pool:
    """A pooling while its kernel is written; planes are its pieces of work, and the margins are full of `fill`."""

    w: Writer
    windows: Windows
    x: View
    fill: float

    @property
    def result(self) -> Value:
        return self.w.group.instructions[0].result

    @property
    def type(self) -> Type:
        return TYPES[self.result.dtype.name]

    @property
    def planes(self) -> int:
        return prod(self.x.shape[:2])

    @property
    def share(self) -> int:
        return -(-self.planes // UNITS)

    def pieces(self, width: int) -> tuple[Piece, ...]:
        """A row in vectors."""
        bits = self.w.machine.vector_bits
        return pieces(width, bits // (8 * self.type.bytes), bits > 128)

    def each_plane(self, body: Callable[[Number, Number], None]) -> int:
        """The body for image and channel of each plane; returns the units."""
        f = self.w.f
        loop = f.loop(*shared(f, self.share, self.planes))
        image, channel = split(f, loop.index, self.x.shape[1])
        body(image, channel)
        f.close(loop)
        return -(-self.planes // self.share)

    def plane(self, view: View, image: Number, channel: Number) -> text.Value:
        """Where a plane of a value begins."""
        f = self.w.f
        place = plus(f, times(f, image, view.strides[0]), times(f, channel, view.strides[1]))
        return f.at(self.w.e.pointers[view.root], whole(plus(f, place, view.offset)), self.type)

    def finish(self, place: tuple[Number, Number, Number, int], value: text.Value, mask: text.Value | None) -> None:
        """What follows from a finished vector, and its store."""
        e, y = self.w.e, self.result
        image, channel, row = (whole(i) for i in place[:3])
        column = literal(place[3], I64)
        e.enter(image, channel, row, column)
        e.mask, e.lanes = mask, value.type.lanes or 1
        here = [Index(image), Index(channel), Index(row), Index(column, int(bool(value.type.lanes)))]
        e.remember(y, here, Typed(value, y.dtype))
        self.w.store(here)
        e.mask = None

    def row(self, plane: text.Value, i: Number, p: int, piece: Piece) -> list[text.Value]:
        """What the windows of a piece of row i see in row p of the kernel, column by column."""
        f, width = self.w.f, self.windows.kernel[1]
        if not self.windows.tile or self.x.strides[3] != 1 or not piece.lanes:
            return [self.seen(plane, i, p, q, piece) for q in range(width)]
        number = plus(f, times(f, i, self.windows.stride[0]), p)  # the windows lie side by side: loaded as one
        source = f.at(plane, whole(plus(f, times(f, number, self.x.strides[2]), piece.offset * width)), self.type)
        lanes = piece.lanes * width
        mask = None if piece.is_full else f.first_lanes(piece.valid * width, lanes)
        wide = f.load(source, self.type.of(lanes), mask=mask)
        return [f.shuffle(wide, wide, range(q, lanes, width)) for q in range(width)]

    def seen(self, plane: text.Value, i: Number, p: int, q: int, piece: Piece) -> text.Value:
        """What the windows of a piece of row i see at place (p, q)."""
        f, windows = self.w.f, self.windows
        (s, t), (top, left), (d, e), (height, width) = windows.stride, windows.padding, windows.dilation, windows.size
        row = plus(f, times(f, i, s), p * d - top)
        is_inside = p * d >= top and (windows.count[0] - 1) * s + p * d - top < height
        here = row if is_inside else f.intrinsic("smin", I64, whole(row), literal(height - 1, I64))
        here = here if is_inside else f.intrinsic("smax", I64, whole(here), literal(0, I64))
        source = f.at(plane, whole(times(f, here, self.x.strides[2])), self.type)
        places = [(piece.offset + k) * t + q * e - left for k in range(max(piece.lanes, 1))]
        wanted = [0 <= place < width and k < piece.valid for k, place in enumerate(places)]
        value = spaced(f, source, places, wanted, self.x.strides[3], piece.lanes, self.type)
        nothing = literal(self.fill, value.type)
        if not all(wanted):
            value = f.select(mask_of(wanted), value, nothing) if piece.lanes else nothing
        if is_inside:
            return value
        return f.select(f.compare("ult", whole(row), literal(height, I64)), value, nothing)

    def joined(self, a: text.Value, b: text.Value) -> text.Value:
        """What two parts of a window come to."""
        dtype = self.result.dtype
        return emit(self.w.f, "maximum", [Typed(a, dtype), Typed(b, dtype)], dtype)

    def over(self, total: text.Value, row: Number, columns: Sequence[int | None]) -> text.Value:
        """What becomes of that when the window is complete: windows of a row, one in each lane."""
        return total

    def forth(self) -> Kernel:
        """One number for each window."""
        f, windows = self.w.f, self.windows

        def body(image: Number, channel: Number) -> None:
            plane = self.plane(self.x, image, channel)
            loop = f.loop(0, windows.count[0])
            for piece in self.pieces(windows.count[1]):
                seen = [x for p in range(windows.kernel[0]) for x in self.row(plane, loop.index, p, piece)]
                here = range(piece.offset, piece.offset + piece.valid)
                value = self.over(reduce(self.joined, seen), loop.index, here)
                self.finish((image, channel, loop.index, piece.offset), value, piece.mask(f))
            f.close(loop)

        return self.w.finished(self.each_plane(body))

    # ---- and back --------------------------------------------------------------------------------------------------

    def back(self, c: View, x: View, top: View) -> Kernel:
        """c where each window's first maximum stands.

        First the place in its window of each maximum, as a number, for a whole plane; then each element of x looks
        at the windows that see it.
        """
        if self.windows.tile:
            return self._back_to_tiles(c, x, top)
        f, windows = self.w.f, self.windows
        number = I32 if self.type.bytes == 4 else I64
        down, across = windows.count
        slot = aligned((down * across + self.w.lanes) * number.bytes)
        assert self.w.scratch is not None
        memory = f.at(self.w.scratch, f.mul(f["begin"], literal(slot, I64)), I8)

        def body(image: Number, channel: Number) -> None:
            self._find(self.plane(x, image, channel), top, self.plane(top, image, channel), memory, number)
            given = self.plane(c, image, channel)
            self.give(image, channel, lambda row, piece: self._given(c, given, memory, number, row, piece))

        units = self.each_plane(body)
        return self.w.finished(units, units * slot)

    def _back_to_tiles(self, c: View, x: View, top: View) -> Kernel:
        """The same where each element is seen by one window: it gets c or 0 while the window is in registers."""
        f, windows = self.w.f, self.windows
        height, width = windows.kernel

        def body(image: Number, channel: Number) -> None:
            planes = [self.plane(view, image, channel) for view in (c, x, top)]
            loop = f.loop(0, windows.count[0])
            for piece in self.pieces(windows.count[1]):
                given = self._row(c, planes[0], loop.index, piece)
                largest = self._row(top, planes[2], loop.index, piece)
                hits = [
                    f.compare("oeq", x, largest)
                    for p in range(height)
                    for x in self.row(planes[1], loop.index, p, piece)
                ]
                before = hits[0]
                for k in range(1, len(hits)):  # only the first one counts
                    hit, hits[k] = hits[k], f.bits("and", hits[k], f.bits("xor", before, literal(1, before.type)))
                    before = f.bits("or", before, hit)
                nowhere = f.bits("xor", before, literal(1, before.type))
                hits[0] = f.bits("or", hits[0], nowhere)
                for p in range(height):
                    parts = [f.select(hit, given, literal(0, given.type)) for hit in hits[p * width : (p + 1) * width]]
                    value = _interleaved(f, parts)
                    mask = None if piece.is_full else f.first_lanes(piece.valid * width, value.type.lanes)
                    row = plus(f, times(f, loop.index, height), p)
                    self.finish((image, channel, row, piece.offset * width), value, mask)
            f.close(loop)

        return self.w.finished(self.each_plane(body))

    def _find(self, plane: text.Value, top: View, tops: text.Value, memory: text.Value, number: Type) -> None:
        """The place of each window's first maximum, row by row of the kernel; 0 where nothing is equal to it."""
        f, windows = self.w.f, self.windows
        loop = f.loop(0, windows.count[0])
        target = f.at(memory, whole(times(f, loop.index, windows.count[1])), number)
        for piece in self.pieces(windows.count[1]):
            largest = self._row(top, tops, loop.index, piece)
            found = literal(0, number.of(piece.lanes))
            for place in reversed(range(prod(windows.kernel))):
                x = self.seen(plane, loop.index, *divmod(place, windows.kernel[1]), piece)
                found = f.select(f.compare("oeq", x, largest), literal(place, found.type), found)
            piece.store(f, found, target)
        f.close(loop)

    def _row(self, view: View, plane: text.Value, i: Number, piece: Piece) -> text.Value:
        """A piece of a row of the windows' values."""
        f = self.w.f
        row = f.at(plane, whole(times(f, i, view.strides[2])), self.type)
        lanes = range(max(piece.lanes, 1))
        wanted = [k < piece.valid for k in lanes]
        return spaced(f, row, [piece.offset + k for k in lanes], wanted, view.strides[3], piece.lanes, self.type)

    def give(
        self, image: Number, channel: Number, given: Callable[[tuple[text.Value, int], Piece], text.Value]
    ) -> None:
        """Every row of a plane, `index * stride + residue`, from what its pieces are given."""
        f, windows = self.w.f, self.windows
        stride, height = windows.stride[0], windows.size[0]
        loop = f.loop(0, -(-height // stride))
        for residue in range(stride):
            row = plus(f, times(f, loop.index, stride), residue)
            inside, after = f.fresh("inside"), f.fresh("after")
            f.branch(f.compare("ult", whole(row), literal(height, I64)), inside, after)
            f.begin(inside)
            for piece in self.pieces(windows.size[1]):
                value = given((loop.index, residue), piece)
                self.finish((image, channel, row, piece.offset), value, piece.mask(f))
            f.jump(after)
            f.begin(after)
        f.close(loop)

    def seeing(self, row: tuple[text.Value, int]) -> Iterator[tuple[int, text.Value, text.Value | None]]:
        """The rows of windows that may see that row: at which row of the kernel, which, and whether it exists.

        Where it does not, another one stands in its place; None where it always does.
        """
        f, windows = self.w.f, self.windows
        for p in range(windows.kernel[0]):
            shift, rest = divmod(row[1] + windows.padding[0] - p * windows.dilation[0], windows.stride[0])
            if rest:
                continue
            i = whole(plus(f, row[0], shift))
            first, last = shift, -(-windows.size[0] // windows.stride[0]) - 1 + shift
            if first >= 0 and last < windows.count[0]:
                yield p, i, None
            else:
                exists = f.compare("ult", i, literal(windows.count[0], I64))
                yield p, f.select(exists, i, literal(0, I64)), exists

    def _given(
        self, c: View, plane: text.Value, memory: text.Value, number: Type, row: tuple[text.Value, int], piece: Piece
    ) -> text.Value:
        """The sum for a piece of row `index * stride + residue` over the windows that see it."""
        f, windows = self.w.f, self.windows
        type = self.type.of(piece.lanes)
        total: text.Value | None = None
        for p, here, exists in self.seeing(row):
            for q in range(windows.kernel[1]):
                places = self.columns(q, piece)
                if all(place is None for place in places):
                    continue
                start = f.at(plane, f.mul(here, literal(c.strides[2], I64)), self.type)
                if c.strides[3] == 1 or windows.count[1] == 1:
                    given = scattered(f, start, places, type)
                else:
                    given = _gathered(f, start, places, c.strides[3], type)
                found = f.at(memory, f.mul(here, literal(windows.count[1], I64)), number)
                found = scattered(f, found, places, number.of(piece.lanes))
                hit = f.compare("eq", found, literal(p * windows.kernel[1] + q, found.type))
                zero = literal(0, type)
                value = f.select(hit, given, zero)
                if exists is not None:
                    value = f.select(exists, value, zero)
                total = value if total is None else f.add(total, value)
        return literal(0, type) if total is None else total

    def columns(self, q: int, piece: Piece) -> list[int | None]:
        """The window that sees each column of a piece at column q of the kernel; None where there is none."""
        windows = self.windows
        places: list[int | None] = []
        for k in range(max(piece.lanes, 1)):
            column = piece.offset + k + windows.padding[1] - q * windows.dilation[1]
            j, rest = divmod(column, windows.stride[1])
            places.append(j if k < piece.valid and not rest and 0 <= j < windows.count[1] else None)
        return places


@dataclass(frozen=True)
class _Mean(_Pool):
    """The same of means: `fill` is 0."""

    counts_padding: bool
    divisor: int | None

    def joined(self, a: text.Value, b: text.Value) -> text.Value:
        return self.w.f.add(a, b)

    def over(self, total: text.Value, row: Number, columns: Sequence[int | None]) -> text.Value:
        """A sum by the number of elements that count in its window."""
        return self.w.f.div(total, self._number(row, columns, total.type))

    def back(self) -> Kernel:  # type: ignore[override]  # a mean's gradient depends on the cotangent only
        """The sum, for each element, of what its windows have by their numbers."""
        c = self.x

        def body(image: Number, channel: Number) -> None:
            plane = self.plane(c, image, channel)
            self.give(image, channel, lambda row, piece: self._shares(plane, row, piece))

        return self.w.finished(self.each_plane(body))

    def _shares(self, plane: text.Value, row: tuple[text.Value, int], piece: Piece) -> text.Value:
        f, type = self.w.f, self.type.of(piece.lanes)
        total = zero = literal(0, type)
        for _, here, exists in self.seeing(row):
            start = f.at(plane, f.mul(here, literal(self.x.strides[2], I64)), self.type)
            for places in self._apart([self.columns(q, piece) for q in range(self.windows.kernel[1])]):
                value = self.over(spread(f, start, places, self.x.strides[3], type), here, places)
                if exists is not None:
                    value = f.select(exists, value, zero)
                if piece.lanes and None in places:
                    value = f.select(mask_of([place is not None for place in places]), value, zero)
                total = f.add(total, value)
        return total

    def _apart(self, columns: list[list[int | None]]) -> list[list[int | None]]:
        """The same columns of windows in fewer lists: where windows do not overlap, each lane sees only one."""
        if self.windows.kernel[1] <= self.windows.stride[1]:
            columns = [[next((j for j in seen if j is not None), None) for seen in zip(*columns, strict=True)]]
        return [places for places in columns if any(place is not None for place in places)]

    def _number(self, row: Number, columns: Sequence[int | None], type: Type) -> text.Value:
        """What the sums of these windows are divided by."""
        if self.divisor is not None:
            return literal(float(self.divisor), type)
        f, element = self.w.f, self.type
        across = [1 if j is None else self._counted(1, j) for j in columns]
        across += [1] * (max(type.lanes, 1) - len(across))
        down = {self._counted(0, i) for i in range(self.windows.count[0])}
        if len(down) == 1:
            across, down = [n * max(down) for n in across], {1}
        if len(set(across)) == 1:
            number = literal(float(across[0]), type)
        else:
            numbers = ", ".join([literal(float(n), element).typed for n in across])
            number = text.Value(f"<{numbers}>", type)
        if down == {1}:
            return number
        start = f.sub(f.mul(whole(row), literal(self.windows.stride[0], I64)), literal(self.windows.padding[0], I64))
        low, high = self._counting(0)
        end = f.add(start, literal(self.windows.kernel[0], I64))
        end = f.intrinsic("smin", I64, end, literal(high, I64))
        rows = f.sub(end, f.intrinsic("smax", I64, start, literal(low, I64)))
        return f.mul(number, f.splat(f.convert("sitofp", rows, element), type.lanes))

    def _counted(self, axis: int, place: int) -> int:
        """How many rows, or columns, count of the windows in that place."""
        low, high = self._counting(axis)
        start = place * self.windows.stride[axis] - self.windows.padding[axis]
        return min(start + self.windows.kernel[axis], high) - max(start, low)

    def _counting(self, axis: int) -> tuple[int, int]:
        """From which to before which row, or column, elements count."""
        padding = self.windows.padding[axis] if self.counts_padding else 0
        return -padding, self.windows.size[axis] + padding


def spread(f: text.Function, row: text.Value, places: Sequence[int | None], step: int, type: Type) -> text.Value:
    """Elements of a row, `step` apart, at places that never fall, each in its lane; anything in the other lanes."""
    found = [place for place in places if place is not None]
    first, count = found[0], found[-1] - found[0] + 1
    if not type.lanes or step != 1:
        return _gathered(f, row, list(places), step, type)
    loaded = f.load(f.at(row, first, type), type, mask=mask_of([i < count for i in range(type.lanes)]))
    return f.shuffle(loaded, loaded, [0 if place is None else place - first for place in places])


def _interleaved(f: text.Function, vectors: list[text.Value]) -> text.Value:
    """The first lanes of all vectors, then the second ones ...: one long vector."""
    lanes, count = vectors[0].type.lanes, len(vectors)
    if not lanes:
        wide = text.Value("zeroinitializer", vectors[0].type.of(count))
        for k, value in enumerate(vectors):
            wide = f.insert(wide, value, k)
        return wide if count > 1 else vectors[0]
    total = vectors[0]
    for k, value in enumerate(vectors[1:], 1):  # element i of vector j lies at i * k + j
        places = [[i * k + j for j in range(k)] + [lanes * k + i] for i in range(lanes)]
        longer = f.shuffle(value, value, [min(i, lanes - 1) for i in range(lanes * k)]) if k > 1 else value
        total = f.shuffle(total, longer, [place for group in places for place in group])
    assert total.type.lanes == lanes * count
    return total


def _gathered(f: text.Function, row: text.Value, places: list[int | None], step: int, type: Type) -> text.Value:
    """Elements of a row that lie `step` apart, one by one; 0 where there is no place."""
    if not type.lanes:
        return f.load(f.at(row, (places[0] or 0) * step, type), type)
    result = literal(0, type)
    for lane, place in enumerate(places):
        if place is not None:
            result = f.insert(result, f.load(f.at(row, place * step, type), type.element), lane)
    return result
