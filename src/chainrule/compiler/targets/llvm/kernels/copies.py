"""Copies: a value, or one number, to the places of another one."""

from __future__ import annotations

from math import prod

from chainrule.compiler.fuse import Group
from chainrule.compiler.ir import Value
from chainrule.compiler.targets.llvm import text
from chainrule.compiler.targets.llvm.elements import START, Index
from chainrule.compiler.targets.llvm.elementwise import TYPES, Typed
from chainrule.compiler.targets.llvm.kernels.writer import Kernel, Writer
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import literal
from chainrule.compiler.views import View, whole


def write_copy(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """A reshape that moves elements: from the strides they have to a row-major order."""
    (instruction,) = group.instructions
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
