"""pieces: what is put together from parts, each copied to its place."""

from __future__ import annotations

from math import prod

from chainrule.compiler.fuse import Group
from chainrule.compiler.ir import Value
from chainrule.compiler.targets.llvm.kernels.copies import copied
from chainrule.compiler.targets.llvm.kernels.writer import Kernel
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.views import View, sliced, whole
from chainrule.shapes import Shape, normal_axis


def write_pieces(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """cat, pad, embed: each part that is not there yet to its place, and one number elsewhere."""
    (instruction,) = group.instructions
    y, name = instruction.result, instruction.op.name
    if name == "cat":
        axis = normal_axis(instruction.params["axis"], y.ndim)
        kernels, start = [], 0
        for i, x in enumerate(instruction.values):
            stop = start + x.shape[axis]
            key = (*[slice(None)] * axis, slice(start, stop))
            start = stop
            if prod(x.shape) and i not in group.placed:
                kernels.append(copied(group, {**views, y: part_of(y, key, x.shape)}, machine, x))
        return kernels
    everywhere = copied(group, {**views, y: whole(y)}, machine, None, instruction.params.get("value", 0))
    x = instruction.values[0]
    if not prod(x.shape):
        return [everywhere]
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
