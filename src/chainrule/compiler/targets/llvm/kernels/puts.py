"""puts: elements written, or added, at places that indices say.

In the order of the indices, one after the other: of several writes to one place the last one stays, and equal runs add
in equal order. Only along axes where all places differ do elements share a vector, or go to other threads.
"""

from __future__ import annotations

from math import prod

from chainrule.compiler.fuse import Group
from chainrule.compiler.ir import Instruction, Value
from chainrule.compiler.selection import Line, selection
from chainrule.compiler.targets.llvm.elements import START, Elements, Index, Place, along, selected
from chainrule.compiler.targets.llvm.elementwise import Typed, emit
from chainrule.compiler.targets.llvm.kernels.copies import copied
from chainrule.compiler.targets.llvm.kernels.writer import Kernel, Writer
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.views import View, whole
from chainrule.shapes import Shape, normal_axis, taken


def write_puts(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """assign, scatter: x, and then what is written into it; put_add, put_along: zeros, and then what is added."""
    put = Put(group.instructions[0])
    kernels = [] if group.in_place else [copied(group, {**views, put.y: whole(put.y)}, machine, put.x)]
    if prod(put.shape):
        kernels.append(_written(put, group, views, machine))
    return kernels


class Put:
    """What is put where: `source`, stretched to `shape`, into `x` (None: zeros).

    Along the axes `apart` of the shape all places differ.
    """

    def __init__(self, instruction: Instruction) -> None:
        self.instruction, self.y = instruction, instruction.result
        self.adds = instruction.op.name in ("put_add", "put_along")
        x, *inputs = [None, *instruction.inputs] if self.adds else instruction.inputs
        assert x is None or isinstance(x, Value)
        self.x, self.source = x, inputs[1] if instruction.op.name == "scatter" else inputs[0]
        if instruction.op.name in ("put_along", "scatter"):
            index = instruction.values[1]
            self.shape: Shape = index.shape
            self.apart = set(range(index.ndim)) - {normal_axis(instruction.params["axis"], index.ndim)}
        else:
            self.indices = [i for i in inputs[1:] if isinstance(i, Value)]
            key, index_shapes = instruction.params["key"], [i.shape for i in self.indices]
            self.shape = taken(self.y.shape, key, index_shapes)
            parts = selection(self.y.shape, key, index_shapes).parts
            self.apart = {part.axis for part in parts if isinstance(part, Line) and part.axis is not None}

    def element(self, e: Elements, place: Place) -> None:
        """Put the source's element at a place, or a vector of them."""
        instruction, y, x = self.instruction, self.y, self.source
        if instruction.op.name in ("put_along", "scatter"):
            there = along(e, instruction, place)
        else:
            there = selected(e, y.shape, instruction.params["key"], self.indices, place)
        lead = max(x.ndim - len(place), 0) if isinstance(x, Value) else 0  # axes of size 1 that the places lack
        t = e.operand(x, [*[START] * lead, *place], (*[1] * lead, *self.shape), y.dtype)
        if self.adds:
            t = Typed(emit(e.f, "add", e.same_lanes([e.loaded(y, there), t]), y.dtype), y.dtype)
        e.put(y, there, t)


def _written(put: Put, group: Group, views: dict[Value, View], machine: Machine) -> Kernel:
    """A unit is a place along the first axes, as far as all places differ along them."""
    w = Writer(group, views, machine)
    f, e, shape = w.f, w.e, put.shape
    has_lanes = bool(shape) and shape[-1] > 1 and len(shape) - 1 in put.apart
    loops = shape[:-1] if has_lanes else shape
    split = next((i for i in range(len(loops)) if i not in put.apart), len(loops))
    outer = f.loop(f["begin"], f["end"])
    lead = [Index(i) for i in w.divided(outer.index, loops[:split])]
    inner = f.loop(0, prod(loops[split:]))
    place = [*lead, *[Index(i) for i in w.divided(inner.index, loops[split:])]]
    e.enter()
    e.before_loop()
    if has_lanes:
        w.chunks(shape[-1], lambda column, mask: put.element(e, [*place, column]), unrolled=w.is_short(shape[-1], 4))
    else:
        put.element(e, place)
    f.close(inner)
    f.close(outer)
    return w.finished(prod(loops[:split]))
