"""columns: a reduction over other axes than the last alone, and what follows from its result."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from chainrule.compiler.fuse import REDUCTIONS, Group
from chainrule.compiler.ir import Instruction, Value
from chainrule.compiler.targets.llvm import text
from chainrule.compiler.targets.llvm.elements import START, Index
from chainrule.compiler.targets.llvm.elementwise import Typed
from chainrule.compiler.targets.llvm.kernels.reductions import Reduction, across
from chainrule.compiler.targets.llvm.kernels.writer import Kernel, Writer
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I64, Loop, literal
from chainrule.compiler.views import View


def write_columns(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
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
            outer = [Index({**at, **place}[i]) for i in range(len(shape) - 1)]
            here = [*outer, Index(starts[k], 1, lanes)]
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
            (total,) = f.close(inner, [reduction.with_(inner.carried[0], element(place, Index(inner.index, 1, lanes)))])
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
