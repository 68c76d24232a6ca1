"""convolution: conv2d, conv2d_input and conv2d_weight, and what follows on their results element by element."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from chainrule.compiler.fuse import Group
from chainrule.compiler.ir import Instruction, Value
from chainrule.compiler.targets.llvm import text
from chainrule.compiler.targets.llvm.convolution.geometry import Geometry
from chainrule.compiler.targets.llvm.convolution.input import Input
from chainrule.compiler.targets.llvm.convolution.output import Output
from chainrule.compiler.targets.llvm.convolution.staging import Source
from chainrule.compiler.targets.llvm.convolution.weight import Weight
from chainrule.compiler.targets.llvm.elements import START, Index, Place
from chainrule.compiler.targets.llvm.elementwise import TYPES, Typed
from chainrule.compiler.targets.llvm.gemm.parts import Index as Number
from chainrule.compiler.targets.llvm.gemm.parts import whole
from chainrule.compiler.targets.llvm.kernels.maps import is_flat, mapped, with_recomputed
from chainrule.compiler.targets.llvm.kernels.writer import Kernel, Writer
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I8, I64, literal
from chainrule.compiler.views import View, contiguous_strides
from chainrule.ops.convolution import windows_of
from chainrule.shapes import Shape


def write_convolution(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """The kernels of a convolution, which has to be the group's first instruction."""
    return WRITERS[group.instructions[0].op.name](group, views, machine)


def flops_of_convolution(instruction: Instruction) -> int:
    """Operations of one of the three convolutions."""
    return geometry_of(instruction).flops


def geometry_of(instruction: Instruction) -> Geometry:
    """The sizes of one of the three convolutions."""
    params, (first, second, *_), y = instruction.params, instruction.values, instruction.result
    shapes = {
        "conv2d": (first.shape, second.shape), "conv2d_input": (y.shape, second.shape),
        "conv2d_weight": (second.shape, y.shape),
    }  # fmt: skip
    x, weight = shapes[instruction.op.name]
    groups = params["groups"]
    w = windows_of(x, weight, params["stride"], params["padding"], params["dilation"], groups)
    return Geometry(
        x[0], groups, weight[1], weight[0] // groups, w.size, w.kernel, w.stride, w.padding, w.dilation, w.count
    )


def _write_output(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    instruction = group.instructions[0]
    x, weight = (views[v] for v in instruction.values[:2])
    bias = instruction.inputs[2] if len(instruction.inputs) > 2 else None
    y = instruction.result
    plan = Output(geometry_of(instruction), Source(*x.strides), _four(weight), TYPES[y.dtype.name], machine)
    w = Writer(group, views, machine, scratch=True)
    f, e = w.f, w.e
    assert w.scratch is not None
    scratch, is_flat_there = w.scratch, _is_flat_beside(group, views)
    result = f.at(scratch, plan.scratch, I8)
    prepare, outer = _scopes(w, y)

    def start(output: text.Value, lanes: int) -> text.Value:
        if not isinstance(bias, Value):
            return literal(0, plan.type.of(lanes))
        e.enter(output)
        e.hole = None
        return f.splat(e.at(bias, [Index(output)]).value, lanes)

    def epilogue(
        image: text.Value, output: Number, position: Number, value: text.Value, mask: text.Value | None
    ) -> None:
        row, column = whole(output), whole(position)
        at = Index(column, int(bool(value.type.lanes)))
        here = [Index(image), Index(row), *([START, at] if y.shape[-1] > 1 else [at, START])]
        e.enter(row, column, *outer(image))
        e.mask, e.lanes = mask, value.type.lanes or 1
        if is_flat_there:
            e.remember(y, here, Typed(value, y.dtype))
            w.store(here)
        else:
            e.pointers[y] = result
            e.store(y, here, Typed(value, y.dtype))
        e.mask = None

    plan.write(f, _address(w, x), _address(w, weight), scratch, start, prepare, epilogue)
    if is_flat_there:
        return [w.finished(plan.units, plan.scratch)]
    size = plan.scratch + prod(y.shape) * plan.type.bytes
    return [w.finished(plan.units, size), _after(group, views, machine, plan.scratch, size)]


def _write_input(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    instruction = group.instructions[0]
    c, weight = (views[v] for v in instruction.values)
    y = instruction.result
    plan = Input(geometry_of(instruction), Source(*c.strides), _four(weight), TYPES[y.dtype.name], machine)
    packing = Writer(group, views, machine, scratch=True)
    assert packing.scratch is not None
    plan.write_packing(packing.f, _address(packing, weight), packing.scratch)
    w = Writer(group, views, machine, scratch=True)
    e = w.e
    assert w.scratch is not None
    prepare, outer = _scopes(w, y)

    def epilogue(
        image: text.Value, channel: Number, row: Number, column: int, value: text.Value, mask: text.Value | None
    ) -> None:
        i, j, k = whole(channel), whole(row), literal(column, I64)
        here = [Index(image), Index(i), Index(j), Index(k, int(bool(value.type.lanes)))]
        e.enter(i, j, k, *outer(image))
        e.mask, e.lanes = mask, value.type.lanes or 1
        e.remember(y, here, Typed(value, y.dtype))
        w.store(here)
        e.mask = None

    plan.write(w.f, _address(w, c), w.scratch, prepare, epilogue)
    return [packing.finished(plan.packing_units, plan.scratch), w.finished(plan.units, plan.scratch)]


def _write_weight(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    instruction = group.instructions[0]
    c, x = (views[v] for v in instruction.values)
    type = TYPES[instruction.result.dtype.name]
    plan = Weight(geometry_of(instruction), Source(*c.strides), Source(*x.strides), type, machine)
    summing, gathering = (Writer(group, views, machine, scratch=True) for _ in range(2))
    assert summing.scratch is not None
    assert gathering.scratch is not None
    plan.write(summing.f, _address(summing, c), _address(summing, x), summing.scratch)
    plan.write_gathering(gathering.f, gathering.scratch)
    return [
        summing.finished(plan.units, plan.scratch),
        gathering.finished(plan.gathering_units, plan.scratch),
        _after(group, views, machine, 0, plan.scratch),
    ]


def _after(group: Group, views: dict[Value, View], machine: Machine, offset: int, scratch: int) -> Kernel:
    """What follows on a result that lies in the scratch memory, as a map; its copy if nothing does."""
    y = group.instructions[0].result
    w = _Resumed(group, views, machine, offset)
    rest = Group("map", group.space, group.instructions[1:], stored=group.stored, reads=[*group.reads, y])
    return w.finished(mapped(w, group.space, is_flat(rest, views)), scratch)


class _Resumed(Writer):
    """A map over a convolution's result, which lies in the scratch memory."""

    def __init__(self, group: Group, views: dict[Value, View], machine: Machine, offset: int) -> None:
        super().__init__(group, views, machine, scratch=True)
        assert self.scratch is not None
        self.result = group.instructions[0].result
        self.memory = self.f.at(self.scratch, offset, I8)

    def store(self, here: Place) -> None:
        """What follows from the element, or the vector, at a place."""
        y, strides = self.result, contiguous_strides(self.result.shape)
        type = TYPES[y.dtype.name]
        offset = self.e.scaled([(i.base, s) for i, s in zip(here, strides, strict=True)])
        lanes = self.lanes if any(i.lane for i in here) else 0
        mask = self.e.mask if lanes else None
        value = self.f.load(self.f.at(self.memory, self.e.number(offset), type), type.of(lanes), mask=mask)
        hole, fixed = self.e.hole, self.e.fixed
        if self.e.is_fixed(here):  # what follows from the element may not be computed before it is loaded
            self.e.before_loop()
        self.e.remember(y, here, Typed(value, y.dtype))
        super().store(here)
        self.e.hole, self.e.fixed = hole, fixed


def _is_flat_beside(group: Group, views: dict[Value, View]) -> bool:
    """True if a plane's position leads to the same element as its row and column, in all that is read there."""
    y = group.instructions[0].result
    for instruction in with_recomputed(group, views)[1:]:
        if instruction.op.kind.name != "elementwise":
            return False
        for x in [*instruction.values, *instruction.results]:
            if not _runs_on(views[x], x.shape, y.shape):
                return False
            if x.maker is not None and views[x].root is not x and x.shape != views[x].root.shape and prod(x.shape) != 1:
                return False
    return True


def _runs_on(view: View, shape: Shape, planes: Shape) -> bool:
    return prod(shape[-2:]) == 1 or (shape == planes and view.is_contiguous)


def _scopes(w: Writer, y: Value) -> tuple[Callable[[], None], Callable[[text.Value], list[text.Value]]]:
    """What to do before an image's loops, and whether the image counts as what changes in them.

    In a result of one element for each image every place is the same all through the loops, but not known before.
    """
    if prod(y.shape[1:]) == 1:
        return w.e.enter, lambda image: [image]
    return w.e.before_loop, lambda image: []


def _four(view: View) -> tuple[int, int, int, int]:
    a, b, c, d = view.strides
    return a, b, c, d


def _address(w: Writer, view: View) -> text.Value:
    """Where a view's first element lies."""
    return w.f.at(w.e.pointers[view.root], view.offset, TYPES[view.root.dtype.name])


WRITERS = {"conv2d": _write_output, "conv2d_input": _write_input, "conv2d_weight": _write_weight}
