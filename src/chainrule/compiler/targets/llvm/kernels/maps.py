"""map: elementwise work over one shape, each element by itself."""

from __future__ import annotations

from math import prod

from chainrule.compiler.fuse import DRAWS, Group
from chainrule.compiler.ir import Instruction, Value
from chainrule.compiler.targets.llvm import text
from chainrule.compiler.targets.llvm.elements import START, Index
from chainrule.compiler.targets.llvm.kernels.writer import Kernel, Writer
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I64, literal
from chainrule.compiler.views import View
from chainrule.shapes import Shape


def write_map(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """Elementwise work over a shape; the last axis, or all of them where memory allows, runs through the lanes."""
    w = Writer(group, views, machine)
    return [w.finished(mapped(w, group.space, is_flat(group, views)))]


def mapped(w: Writer, shape: Shape, flat: bool) -> int:
    """Write the loops of a map, over all of memory as one axis if it is flat; returns the units."""
    if flat:
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
        w.chunks(columns, body, unrolled=w.is_short(columns, 4))
    w.f.close(loop)
    return prod(rows)


FLAT_BLOCK = 1024
"""Elements of one unit of a flat map."""


def _flat_map(w: Writer, shape: Shape) -> int:
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
        body(Index(loop.index, 1, lanes))
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
        body(Index(last, 1, lanes))
        f.line(f"br label %{done}")
        f.begin(done)
    return -(-size // FLAT_BLOCK)


def is_flat(group: Group, views: dict[Value, View]) -> bool:
    """True if everything is contiguous over the whole shape, or one number."""
    for instruction in with_recomputed(group, views):
        is_draw = instruction.op.name in DRAWS and instruction.result.shape == group.space
        if instruction.op.kind.name != "elementwise" and not is_draw:
            return False
        for x in [*instruction.values, *instruction.results]:
            if x.ndim and prod(x.shape) != 1 and (x.shape != group.space or not views[x].is_contiguous):
                return False
            if x.maker is not None and views[x].root is not x and x.shape != views[x].root.shape and prod(x.shape) != 1:
                return False
    return prod(group.space) > 1 and group.space[-1] > 1


def with_recomputed(group: Group, views: dict[Value, View]) -> list[Instruction]:
    """The instructions of a group, and those of other groups that it computes again for itself."""
    found = list(group.instructions)
    for instruction in found:
        for root in [views[x].root for x in instruction.values]:
            if root.maker is not None and root.maker not in found and root not in group.reads:
                found.append(root.maker)
    return found
