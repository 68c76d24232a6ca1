"""Kernels: each group of the fused program as a function `void kernel(ptr pointers, i64 begin, i64 end)`.

`pointers` is an array with the address of every value that the group reads or stores; begin and end are units of
work (rows, blocks of columns, tiles): any split of 0..units gives the same bits. A kernel's text does not say whose
memory it works on, so equal layers share one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from chainrule.compiler.fuse import REDUCTIONS, Group, taken_axis
from chainrule.compiler.ir import Instruction, Value
from chainrule.compiler.targets.llvm import text
from chainrule.compiler.targets.llvm.elements import START, Elements, Index, Place
from chainrule.compiler.targets.llvm.elementwise import TYPES, Typed, emit
from chainrule.compiler.targets.llvm.gemm import Product, Strides, plan
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I64, PTR, Function, Loop, Type, literal
from chainrule.compiler.views import MOVES, View, sliced, whole
from chainrule.dtypes import DType
from chainrule.shapes import Shape, normal_axis

UNROLLED = 8
"""A row of up to so many vectors is computed without a loop, and stays in registers between its reductions."""


@dataclass(frozen=True)
class Kernel:
    """One function: its text with the name left open, its units of work, and the scratch memory that it takes.

    `is_divisible` says that threads may share the units: each has memory of its own in the scratch, or needs none.
    """

    body: str
    units: int
    scratch: int = 0
    is_divisible: bool = True
    declared: tuple[tuple[str, str], ...] = ()


NAME = "KERNEL"
"""Stands for the function's name in a kernel's text."""


def kernels_of(group: Group, views: dict[Value, View], inlined: set[Value], machine: Machine) -> list[Kernel]:
    """The kernels of a group, to be run one after the other."""
    return WRITERS[group.kind](group, views, inlined, machine)


class Writer:
    """A kernel function that is being written."""

    def __init__(self, group: Group, views: dict[Value, View], machine: Machine, *, scratch: bool = False) -> None:
        self.group, self.views, self.machine = group, views, machine
        self.stored = group.stored
        self.values = worked_on(group)
        f = Function(
            NAME, [("pointers", PTR), ("begin", I64), ("end", I64)], attributes=f"nounwind {machine.attributes}"
        )
        self.f = f
        pointers = {v: f.load(f.at(f["pointers"], i, PTR), PTR) for i, v in enumerate(self.values)}
        self.scratch = f.load(f.at(f["pointers"], len(self.values), PTR), PTR) if scratch else None
        self.lanes = lanes_for(group, machine)
        self.e = Elements(f, group, views, pointers, self.lanes)

    def finished(self, units: int, scratch: int = 0, *, is_divisible: bool = True) -> Kernel:
        self.f.ret()
        return Kernel(self.f.text(), units, scratch, is_divisible, tuple(self.f.declared.items()))

    def store(self, here: Place) -> None:
        """Compute all stored values at a place, then store them: one may stand where another's input was."""
        computed = [self.e.at(y, here) for y in self.stored]
        for y, t in zip(self.stored, computed, strict=True):
            self.e.store(y, here, t)

    def divided(self, flat: text.Value, sizes: Shape) -> list[text.Value | int]:
        """The indices of a flat one over axes of these sizes."""
        indices: list[text.Value | int] = []
        for n in reversed(sizes[1:]):
            if n == 1:
                indices.append(0)
                continue
            size = literal(n, I64)
            indices.append(self.f.value(f"urem {flat.typed}, {size}", I64))
            flat = self.f.value(f"udiv {flat.typed}, {size}", I64)
        if sizes:
            indices.append(flat if sizes[0] != 1 else 0)
        return indices[::-1]

    def chunks(self, size: int, body: Callable[[Index, text.Value | None], None], *, unrolled: bool) -> None:
        """Run the body over 0..size, a vector at a time; the last may be masked."""
        lanes = self.lanes
        full = size - size % lanes
        if unrolled:
            for start in range(0, full, lanes):
                body(Index(start, 1), None)
        elif full:
            self.e.before_loop()
            loop = self.f.loop(0, full, lanes)
            self.e.enter(loop.index)
            body(Index(loop.index, 1), None)
            self.f.close(loop)
            self.e.enter()
        if size > full:
            mask = self.f.first_lanes(size - full, lanes)
            self.e.mask = mask
            body(Index(full, 1), mask)
            self.e.mask = None


def worked_on(group: Group) -> list[Value]:
    """The values whose addresses a group's kernels take, in their order: not numbers that stand in the text."""
    factors = {behind_moves(x) for x in group.instructions[0].values} if group.kind == "gemm" else set()
    return list(dict.fromkeys([v for v in [*group.reads, *group.stored] if v in factors or not _is_literal(v)]))


def behind_moves(value: Value) -> Value:
    """The value that another one is a movement of."""
    while value.maker is not None and value.maker.op.name in MOVES:
        value = value.maker.values[0]
    return value


def lanes_for(group: Group, machine: Machine) -> int:
    """Lanes of a vector of the group's widest floats (float32 where there are none)."""
    sizes = [
        v.dtype.itemsize for i in group.instructions for v in [*i.results, *i.values] if v.ndim and v.dtype.kind == "f"
    ]
    return machine.vector_bits // 8 // max([4, *sizes])


def _is_literal(value: Value) -> bool:
    constant = value.graph.constants.get(value)
    return constant is not None and constant.size == 1


# ---- elementwise -----------------------------------------------------------------------------------------------


def write_map(group: Group, views: dict[Value, View], inlined: set[Value], machine: Machine) -> list[Kernel]:
    """Elementwise work over a shape; the last axis, or all of them where memory allows, runs through the lanes."""
    instruction = group.instructions[0]
    if instruction.op.name == "reshape":
        return write_copy(instruction, group, views, machine)
    w = Writer(group, views, machine)
    shape = group.space
    if is_flat(group, views, inlined):
        return _flat_map(w, shape)
    rows, columns = shape[:-1], shape[-1] if shape else 1
    loop = w.f.loop(w.f["begin"], w.f["end"])
    w.e.enter(loop.index)
    place = [Index(i) for i in w.divided(loop.index, rows)]
    w.e.enter()

    def body(column: Index, mask: text.Value | None) -> None:
        w.store([*place, column] if shape else [])

    if columns == 1:
        w.e.before_loop()
        body(START, None)
    else:
        w.chunks(columns, body, unrolled=columns <= 4 * w.lanes)
    w.f.close(loop)
    return [w.finished(prod(rows))]


FLAT_BLOCK = 1024
"""Elements of one unit of a flat map."""


def _flat_map(w: Writer, shape: Shape) -> list[Kernel]:
    """Elementwise work over contiguous memory: the index along the last axis runs on through all of it."""
    f, e, lanes, size = w.f, w.e, w.lanes, prod(shape)
    lead = [START] * (len(shape) - 1)
    unit = literal(FLAT_BLOCK, I64)
    start, stop = f.mul(f["begin"], unit), f.mul(f["end"], unit)
    stop = f.intrinsic("umin", I64, stop, literal(size, I64))
    full = f.bits("and", f.sub(stop, start), literal(-lanes, I64))
    last = f.add(start, full)

    def body(index: Index) -> None:
        w.store([*lead, index])

    e.before_loop()
    if size >= lanes:
        into, after = f.fresh("full"), f.fresh("rest")
        f.line(f"br i1 {f.compare('ult', start, last)}, label %{into}, label %{after}")
        f.begin(into)
        loop = f.loop(start, last, lanes)
        e.enter(loop.index)
        body(Index(loop.index, 1))
        f.close(loop)
        f.line(f"br label %{after}")
        f.begin(after)
        e.enter()
    if size % lanes:
        some, done = f.fresh("some"), f.fresh("done")
        f.line(f"br i1 {f.compare('ult', last, stop)}, label %{some}, label %{done}")
        f.begin(some)
        e.mask = f.first_lanes(size % lanes, lanes)
        e.enter(last)
        body(Index(last, 1))
        f.line(f"br label %{done}")
        f.begin(done)
    return [w.finished(-(-size // FLAT_BLOCK))]


def is_flat(group: Group, views: dict[Value, View], inlined: set[Value]) -> bool:
    """True if everything is contiguous over the whole shape, or one number."""
    for instruction in group_with_inlined(group, inlined):
        if instruction.op.kind.name != "elementwise":
            return False
        for x in [*instruction.values, *instruction.results]:
            if x.ndim and prod(x.shape) != 1 and (x.shape != group.space or not views[x].is_contiguous):
                return False
            if x.maker is not None and views[x].root is not x and x.shape != views[x].root.shape and prod(x.shape) != 1:
                return False
    return prod(group.space) > 1 and group.space[-1] > 1


def group_with_inlined(group: Group, inlined: set[Value]) -> list[Instruction]:
    """The instructions of a group, and those that it computes for itself."""
    found = list(group.instructions)
    for instruction in found:
        for x in instruction.values:
            maker = x.maker
            if maker is not None and maker not in found and (x in inlined):
                found.append(maker)
    return found


def write_copy(instruction: Instruction, group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """A reshape that moves elements: from the strides they have to a row-major order."""
    x, y = instruction.values[0], instruction.result
    return [copied(group, {**views, y: View(y, 0, x.shape, whole(x).strides)}, machine, x)]


def copied(group: Group, views: dict[Value, View], machine: Machine, x: Value | None, number: float = 0) -> Kernel:
    """A value, or a number if there is none, to every place of the group's result, whose view says where those are."""
    (y,) = group.stored
    shape = views[y].shape
    w = Writer(group, views, machine)
    loop = w.f.loop(w.f["begin"], w.f["end"])
    w.e.enter(loop.index)
    place = [Index(i) for i in w.divided(loop.index, shape[:-1])]
    w.e.enter()

    def body(column: Index, mask: text.Value | None) -> None:
        here = [*place, column] if shape else []
        value = Typed(literal(number, TYPES[y.dtype.name]), y.dtype) if x is None else w.e.at(x, here)
        w.e.store(y, here, value)

    columns = shape[-1] if shape else 1
    if columns == 1:
        w.e.before_loop()
        body(START, None)
    else:
        w.chunks(columns, body, unrolled=columns <= 4 * w.lanes)
    w.f.close(loop)
    return w.finished(prod(shape[:-1]))


def write_pieces(group: Group, views: dict[Value, View], inlined: set[Value], machine: Machine) -> list[Kernel]:
    """cat, pad, embed: each part to its place; put_add: rows added to those that an index names, one by one."""
    (instruction,) = group.instructions
    y, name = instruction.result, instruction.op.name
    if name == "cat":
        axis = normal_axis(instruction.params["axis"], y.ndim)
        kernels, start = [], 0
        for x in instruction.values:
            stop = start + x.shape[axis]
            key = (*[slice(None)] * axis, slice(start, stop))
            start = stop
            if prod(x.shape):
                kernels.append(copied(group, {**views, y: part_of(y, key, x.shape)}, machine, x))
        return kernels
    everywhere = copied(group, {**views, y: whole(y)}, machine, None, instruction.params.get("value", 0))
    x = instruction.values[0]
    if not prod(x.shape):
        return [everywhere]
    if name == "put_add":
        return [everywhere, _added_rows(instruction, group, views, machine)]
    if name == "pad":
        widths = instruction.params["widths"]
        key = tuple([slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True)])
    else:
        key = instruction.params["key"]
    return [everywhere, copied(group, {**views, y: part_of(y, key, x.shape)}, machine, x)]


def part_of(value: Value, key: tuple[object, ...], shape: Shape) -> View:
    """value[key] as a place to write to."""
    view = sliced(whole(value), key, shape)
    assert view is not None, f"{key} is no slice"
    return view


def _added_rows(instruction: Instruction, group: Group, views: dict[Value, View], machine: Machine) -> Kernel:
    """put_add along one axis: in the order of the index, so that equal runs add in equal order."""
    x, index = instruction.values
    y = instruction.result
    axis = taken_axis(instruction)
    assert axis is not None
    w = Writer(group, views, machine)
    f, e = w.f, w.e
    outer = x.shape[: axis + index.ndim]
    loop = f.loop(0, prod(outer))
    e.enter(loop.index)
    place = [Index(i) for i in w.divided(loop.index, outer)]
    chosen = e.at(index, place[axis:]).value
    if chosen.type.scalar != "i64":
        chosen = f.convert("sext", chosen, I64)
    size = y.shape[axis]
    chosen = f.select(f.compare("slt", chosen, literal(0, I64)), f.add(chosen, literal(size, I64)), chosen)
    chosen = f.intrinsic("smin", I64, f.intrinsic("smax", I64, chosen, literal(0, I64)), literal(size - 1, I64))
    e.enter()
    e.before_loop()
    tail = x.shape[axis + index.ndim :]

    def body(inner: list[Index]) -> None:
        there = [*place[:axis], Index(chosen), *inner]
        sum_ = emit(f, "add", e.same_lanes([e.load(views[y], there, y.dtype), e.at(x, [*place, *inner])]), y.dtype)
        e.store(y, there, Typed(sum_, y.dtype))

    if not tail:
        body([])
    else:
        rows = f.loop(0, prod(tail[:-1]))
        e.enter(rows.index)
        lead = [Index(i) for i in w.divided(rows.index, tail[:-1])]
        e.enter()
        w.chunks(tail[-1], lambda column, mask: body([*lead, column]), unrolled=tail[-1] <= 4 * w.lanes)
        f.close(rows)
    f.close(loop)
    return w.finished(1)


# ---- reductions -------------------------------------------------------------------------------------------------


def identity(name: str, dtype: DType, type: Type) -> text.Value:
    """What a reduction starts with."""
    if name in ("sum", "any"):
        return literal(0, type)
    if name in ("prod", "all"):
        return literal(1, type)
    if type.is_float:
        return literal(float("-inf") if name == "amax" else float("inf"), type)
    if dtype.kind == "b":
        return literal(name == "amin", type)
    bits = 8 * dtype.itemsize
    low, high = (0, 2**bits - 1) if dtype.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return literal(low if name == "amax" else high, type)


COMBINES = {
    "sum": "add", "prod": "mul", "amax": "maximum", "amin": "minimum", "any": "logical_or", "all": "logical_and",
}  # fmt: skip


def combined(f: Function, name: str, a: text.Value, b: text.Value, dtype: DType) -> text.Value:
    """Two partial results as one."""
    return emit(f, COMBINES[name], [Typed(a, dtype), Typed(b, dtype)], dtype)


def across(f: Function, name: str, vector: text.Value, dtype: DType) -> text.Value:
    """All lanes as one element: halves are combined until one is left."""
    lanes = vector.type.lanes
    while lanes > 1:
        lanes //= 2
        low, high = (f.shuffle(vector, vector, range(start, start + lanes)) for start in (0, lanes))
        vector = combined(f, name, low, high, dtype)
    return f.extract(vector, 0)


class Reduction:
    """One reduction that is being written: partial results in vectors."""

    def __init__(self, w: Writer, instruction: Instruction) -> None:
        self.w, self.instruction = w, instruction
        self.name, self.x, self.y = instruction.op.name, instruction.values[0], instruction.result
        self.type = TYPES[self.y.dtype.name]

    def element(self, place: Place, mask: text.Value | None, lanes: int) -> text.Value:
        """The input at a place, as the result's type; where the mask is false, what changes nothing."""
        f, e = self.w.f, self.w.e
        t = e.at(self.x, place)
        if self.name in ("any", "all") and t.dtype.kind != "b":
            zero = literal(0, t.value.type)
            t = Typed(f.compare("une" if t.value.type.is_float else "ne", t.value, zero), self.y.dtype)
        elif t.dtype is not self.y.dtype:
            t = Typed(emit(f, "cast", [t], self.y.dtype), self.y.dtype)
        value = e.splat(t, lanes).value
        if mask is None:
            return value
        return f.select(mask, value, identity(self.name, self.y.dtype, value.type))

    def start(self, lanes: int) -> text.Value:
        return identity(self.name, self.y.dtype, self.type.of(lanes))

    def with_(self, a: text.Value, b: text.Value) -> text.Value:
        return combined(self.w.f, self.name, a, b, self.y.dtype)


def write_rows(group: Group, views: dict[Value, View], inlined: set[Value], machine: Machine) -> list[Kernel]:
    """Reductions over the last axis and what stands around them, one row after the other."""
    w = Writer(group, views, machine)
    f, e = w.f, w.e
    rows, columns = group.space[:-1], group.space[-1]
    unrolled = columns <= UNROLLED * w.lanes
    loop = f.loop(f["begin"], f["end"])
    e.enter(loop.index)
    lead = [Index(i) for i in w.divided(loop.index, rows)]
    e.enter()
    e.before_loop()

    def place(value: Value, column: Index) -> list[Index]:
        if value.shape == group.space and (columns != 1 or value.ndim != len(rows)):
            return [*lead, column]
        return [*lead, START] if value.ndim == len(group.space) else list(lead)

    for instruction in group.instructions:
        if instruction.op.name not in REDUCTIONS or instruction.values[0].shape != group.space:
            continue
        r = Reduction(w, instruction)
        total = _row_total(w, r, lead, columns, unrolled)
        e.before_loop()
        e.remember(r.y, place(r.y, START), Typed(total, r.y.dtype), fixed=True)
    wide = [y for y in group.stored if y.shape == group.space]
    numbers = [(y, place(y, START)) for y in group.stored if y not in wide]
    for y, here, t in [(y, here, e.at(y, here)) for y, here in numbers]:
        e.store(y, here, t)

    def body(column: Index, mask: text.Value | None) -> None:
        for y in wide:
            here = [*lead, column]
            e.store(y, here, e.at(y, here))

    if wide:
        w.chunks(columns, body, unrolled=unrolled)
    f.close(loop)
    return [w.finished(prod(rows))]


def _row_total(w: Writer, r: Reduction, lead: Place, columns: int, unrolled: bool) -> text.Value:
    """One row reduced: partial results in the lanes, combined at the end."""
    f, e, lanes = w.f, w.e, w.lanes
    parts: list[text.Value] = []
    full = columns - columns % lanes
    if unrolled:
        parts += [r.element([*lead, Index(start, 1)], None, lanes) for start in range(0, full, lanes)]
    elif full:
        ways = min(4, full // lanes)
        block = full - full % (ways * lanes)
        e.before_loop()
        loop = f.loop(0, block, ways * lanes, [r.start(lanes)] * ways)
        e.enter(loop.index)
        following = []
        for k, carried in enumerate(loop.carried):
            index = loop.index if not k else f.add(loop.index, literal(k * lanes, I64))
            e.inner.add(str(index))
            following.append(r.with_(carried, r.element([*lead, Index(index, 1)], None, lanes)))
        parts += f.close(loop, following)
        e.enter()
        parts += [r.element([*lead, Index(start, 1)], None, lanes) for start in range(block, full, lanes)]
    if columns > full:
        mask = f.first_lanes(columns - full, lanes)
        e.mask = mask
        parts.append(r.element([*lead, Index(full, 1)], mask, lanes))
        e.mask = None
    while len(parts) > 1:
        parts = [r.with_(a, b) for a, b in zip(parts[::2], parts[1::2], strict=False)] + parts[len(parts) & ~1 :]
    return across(f, r.name, parts[0], r.y.dtype)


def write_columns(group: Group, views: dict[Value, View], inlined: set[Value], machine: Machine) -> list[Kernel]:
    """A reduction over other axes than the last alone."""
    (instruction,) = [i for i in group.instructions if i.op.name in REDUCTIONS and i.values[0].shape == group.space]
    shape, axes = group.space, group.axes
    if len(shape) - 1 in axes:
        return _reduced_lanes(group, instruction, views, machine)
    return _kept_lanes(group, instruction, views, machine)


def _nest(
    w: Writer, sizes: list[tuple[int, int]], carry: list[text.Value], body: Callable[..., list[text.Value]]
) -> list[text.Value]:
    """Loops over axes (axis, size), the body innermost: carried values go through all of them."""
    f = w.f
    loops: list[Loop] = []
    place: dict[int, text.Value | int] = {}
    for axis, size in sizes:
        if size == 1:
            place[axis] = 0
            continue
        if len(loops) == len([s for _, s in sizes if s > 1]) - 1:
            w.e.before_loop()
        loop = f.loop(0, size, 1, carry)
        loops.append(loop)
        place[axis], carry = loop.index, loop.carried
    if loops:
        w.e.enter(loops[-1].index)
    carry = body(place, carry)
    for loop in reversed(loops):
        carry = f.close(loop, carry)
    w.e.enter()
    return carry


COLUMN_VECTORS = 4
"""How many vectors of columns are summed side by side."""


def _kept_lanes(group: Group, instruction: Instruction, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """The last axis is kept: it runs through the lanes, and the reduced ones through loops."""
    w = Writer(group, views, machine)
    f, e, lanes = w.f, w.e, w.lanes
    shape, axes = group.space, group.axes
    columns = shape[-1]
    kept = [i for i in range(len(shape) - 1) if i not in axes]
    width = min(COLUMN_VECTORS, -(-columns // lanes))
    blocks = -(-columns // (width * lanes))
    reduction = Reduction(w, instruction)
    loop = f.loop(f["begin"], f["end"])
    *outer, block = w.divided(loop.index, (*[shape[i] for i in kept], blocks))
    at = dict(zip(kept, outer, strict=True))
    first = f.mul(e.number(block), literal(width * lanes, I64))
    ragged = columns % (width * lanes) != 0

    def mask_of(k: int) -> text.Value | None:
        if not ragged:
            return None
        left = f.sub(literal(columns - k * lanes, I64), first)
        left = f.intrinsic("smax", I64, left, literal(0, I64))
        return f.first_lanes(left, lanes)

    masks = [mask_of(k) for k in range(width)]
    starts = [f.add(first, literal(k * lanes, I64)) if k else first for k in range(width)]
    e.enter()

    def body(place: dict[int, text.Value | int], carried: list[text.Value]) -> list[text.Value]:
        after = []
        for k in range(width):
            here = [
                Index(starts[k], 1) if i == len(shape) - 1 else Index({**at, **place}[i]) for i in range(len(shape))
            ]
            e.mask = masks[k]
            after.append(reduction.with_(carried[k], reduction.element(here, None, lanes)))
        e.mask = None
        return after

    sizes = [(i, shape[i]) for i in axes]
    totals = _nest(w, sizes, [reduction.start(lanes)] * width, body)
    e.before_loop()
    for k, total in enumerate(totals):
        e.mask = masks[k]
        _finish(
            w, group, instruction, total, {**{i: Index(b) for i, b in at.items()}, len(shape) - 1: Index(starts[k], 1)}
        )
    e.mask = None
    f.close(loop)
    return [w.finished(prod([shape[i] for i in kept]) * blocks)]


def _reduced_lanes(group: Group, instruction: Instruction, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """The last axis is reduced with others: it runs through the lanes, which are combined at the end."""
    w = Writer(group, views, machine)
    f, e, lanes = w.f, w.e, w.lanes
    shape, axes = group.space, group.axes
    kept = [i for i in range(len(shape)) if i not in axes]
    reduction = Reduction(w, instruction)
    loop = f.loop(f["begin"], f["end"])
    at = dict(zip(kept, w.divided(loop.index, tuple([shape[i] for i in kept])), strict=True))
    e.enter()
    columns = shape[-1]
    full = columns - columns % lanes

    def element(place: dict[int, text.Value | int], column: Index) -> text.Value:
        here = [column if i == len(shape) - 1 else Index({**at, **place}[i]) for i in range(len(shape))]
        return reduction.element(here, e.mask, lanes)

    def body(place: dict[int, text.Value | int], carried: list[text.Value]) -> list[text.Value]:
        (total,) = carried
        if full:
            e.before_loop()
            inner = f.loop(0, full, lanes, [total])
            e.enter(inner.index)
            (total,) = f.close(inner, [reduction.with_(inner.carried[0], element(place, Index(inner.index, 1)))])
            e.enter()
        if columns > full:
            e.mask = f.first_lanes(columns - full, lanes)
            total = reduction.with_(total, element(place, Index(full, 1)))
            e.mask = None
        return [total]

    (total,) = _nest(w, [(i, shape[i]) for i in axes[:-1]], [reduction.start(lanes)], body)
    total = across(f, reduction.name, total, reduction.y.dtype)
    e.before_loop()
    _finish(w, group, instruction, total, {i: Index(b) for i, b in at.items()})
    f.close(loop)
    return [w.finished(prod([shape[i] for i in kept]))]


def _finish(w: Writer, group: Group, instruction: Instruction, total: text.Value, at: dict[int, Index]) -> None:
    """Store what follows from a finished reduction at the kept indices."""

    def place(value: Value) -> list[Index]:
        if value.ndim == len(group.space):
            return [START if i in group.axes else at[i] for i in range(value.ndim)]
        return [at[i] for i in sorted(at)]

    y = instruction.result
    w.e.remember(y, place(y), Typed(total, y.dtype), fixed=True)
    computed = [(stored, place(stored)) for stored in group.stored]
    for stored, here, result in [(v, here, w.e.at(v, here)) for v, here in computed]:
        w.e.store(stored, here, result)


# ---- matrix products -----------------------------------------------------------------------------------------------


def write_gemm(group: Group, views: dict[Value, View], inlined: set[Value], machine: Machine) -> list[Kernel]:
    """A matrix product, for each index of the leading axes, and what follows on its result while it is in registers."""
    instruction = group.instructions[0]
    a, b = (views[x] for x in instruction.values)
    y = instruction.result
    type = TYPES[y.dtype.name]
    batch, rows = y.shape[:-2], y.shape[-2]
    if batch and all(s == 0 or n == 1 for s, n in zip(b.strides[:-2], b.shape[:-2], strict=True)):
        joined = _joined_rows(a, batch, rows)
        if joined is not None:
            matrix = View(b.root, b.offset, b.shape[-2:], b.strides[-2:])
            return _products(group, views, machine, joined, matrix, (), prod(batch) * rows, type)
    a, b = (_with_batch(v, batch) for v in (a, b))
    return _products(group, views, machine, a, b, batch, rows, type)


def _joined_rows(a: View, batch: Shape, rows: int) -> View | None:
    """The left operand with its leading axes and rows as one axis, if they are evenly spaced."""
    sizes, strides = a.shape[:-1], a.strides[:-1]
    if sizes != (*batch, rows):
        return None
    real = [(n, s) for n, s in zip(sizes, strides, strict=True) if n != 1]
    for (_, s), (m, t) in pairwise(real):
        if s != m * t:
            return None
    step = real[-1][1] if real else 0
    return View(a.root, a.offset, (prod(sizes), a.shape[-1]), (step, a.strides[-1]))


def _with_batch(v: View, batch: Shape) -> View:
    """The view with all leading axes; stride 0 where it is stretched."""
    own = v.shape[:-2]
    lead = len(batch) - len(own)
    strides = [0 if n == 1 else s for n, s in zip(own, v.strides[:-2], strict=True)]
    return View(v.root, v.offset, (*batch, *v.shape[-2:]), (*[0] * lead, *strides, *v.strides[-2:]))


def _products(
    group: Group, views: dict[Value, View], machine: Machine, a: View, b: View, batch: Shape, rows: int, type: Type
) -> list[Kernel]:
    m, k, n = rows, a.shape[-1], b.shape[-1]
    y = group.instructions[0].result
    product = Product(
        m, n, k, Strides(a.strides[-2], a.strides[-1]), Strides(b.strides[-2], b.strides[-1]), Strides(n, 1), type
    )
    chosen = plan(product, machine)
    kernels = []
    if not batch:
        for phase in chosen.phases:
            w = Writer(group, views, machine, scratch=True)
            _write_phases(w, [phase], a, b, (), w.f["begin"], w.f["end"], y, type)
            kernels.append(w.finished(phase.units, chosen.scratch_bytes))
        return kernels
    w = Writer(group, views, machine, scratch=True)
    loop = w.f.loop(w.f["begin"], w.f["end"])
    at = w.divided(loop.index, batch)
    zero = literal(0, I64)
    for phase in chosen.phases:
        _write_phases(w, [phase], a, b, tuple(at), zero, literal(phase.units, I64), y, type)
    w.f.close(loop)
    return [w.finished(prod(batch), chosen.scratch_bytes, is_divisible=not chosen.scratch_bytes)]


def _write_phases(
    w: Writer, phases: list[object], a: View, b: View, at: tuple[text.Value | int, ...], begin: text.Value,
    end: text.Value, y: Value, type: Type,
) -> None:  # fmt: skip
    f, e = w.f, w.e
    corner = [*[Index(i) for i in at], START, START]
    e.enter()
    e.hole = None
    left, right = (e.address(v, corner[-len(v.shape) :], type) for v in (a, b))
    if y.shape[-2:] != (1, 1):  # else every place is the same, and the hole lies before the product
        e.before_loop()
    lead = y.shape[:-2]
    split: dict[tuple[str, str], list[text.Value | int]] = {}
    runs_on = bool(lead) and rows_run_on(w.group, w.views)

    def epilogue(
        f: Function, row: text.Value, column: text.Value, value: text.Value, mask: text.Value | None, along: str
    ) -> None:
        if at or not lead:
            rows: list[text.Value | int] = [*at, row]
        elif runs_on:
            rows = [*[0] * len(lead), row]
        else:
            key = (row.name, f.label)
            if key not in split:
                split[key] = w.divided(row, y.shape[:-1])
            rows = split[key]
        vector = bool(value.type.lanes)
        *outer, last = [Index(i) for i in rows]
        here = [*outer, Index(last.base, int(vector and along == "m")), Index(column, int(vector and along == "n"))]
        e.enter(row, column, *[i for i in rows if isinstance(i, text.Value)])
        e.inner -= {str(i) for i in at}
        e.mask, e.lanes = mask, value.type.lanes or 1
        e.remember(y, here, Typed(value, y.dtype))
        w.store(here)
        e.mask = None

    for phase in phases:
        phase.write(f, left, right, w.scratch, begin, end, epilogue)  # type: ignore[attr-defined]


def rows_run_on(group: Group, views: dict[Value, View]) -> bool:
    """True if a row's number leads to the same element as its indices: all that is read there is contiguous."""
    y = group.instructions[0].result
    for instruction in group.instructions[1:]:
        if instruction.op.kind.name != "elementwise":
            return False
        for x in [*instruction.values, *instruction.results]:
            whole_rows = x.shape == y.shape and views[x].is_contiguous and views[x].root.shape == y.shape
            if not whole_rows and prod(x.shape[:-1]) != 1:
                return False
            if x.maker is not None and x.maker not in group.instructions and views[x].root not in group.reads:
                return False  # computed here from what may be stretched along the rows
    return True


WRITERS = {
    "map": write_map, "rows": write_rows, "columns": write_columns, "gemm": write_gemm,
    "pieces": write_pieces,
}  # fmt: skip
