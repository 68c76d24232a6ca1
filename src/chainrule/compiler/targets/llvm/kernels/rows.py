"""rows: reductions over the last axis and what stands around them, one row after the other."""

from __future__ import annotations

from math import prod

from chainrule.compiler.fuse import REDUCTIONS, Group
from chainrule.compiler.ir import Value
from chainrule.compiler.targets.llvm import text
from chainrule.compiler.targets.llvm.elements import START, Index, Place
from chainrule.compiler.targets.llvm.elementwise import Typed
from chainrule.compiler.targets.llvm.kernels.reductions import Reduction, across
from chainrule.compiler.targets.llvm.kernels.writer import Kernel, Writer
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I64, literal
from chainrule.compiler.views import View

UNROLLED = 8
"""A row of up to so many vectors is computed without a loop, and stays in registers between its reductions."""


def write_rows(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """Reductions over the last axis and what stands around them, one row after the other."""
    w = Writer(group, views, machine)
    f, e = w.f, w.e
    rows, columns = group.space[:-1], group.space[-1]
    unrolled = w.is_short(columns, UNROLLED)
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
            following.append(r.with_(carried, r.element([*lead, Index(index, 1, lanes)], None, lanes)))
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
