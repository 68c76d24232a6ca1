"""scans: at each place what the elements up to it make together, along one axis: cumsum and cumprod.

One element after the other, as in NumPy, so that the roundings are the same. What runs side by side is along the other
axes: the lanes where the last axis is one of them, else a few rows.
"""

from __future__ import annotations

from math import prod

from chainrule.compiler.fuse import Group
from chainrule.compiler.ir import Instruction, Value
from chainrule.compiler.targets.llvm import text
from chainrule.compiler.targets.llvm.elements import Index
from chainrule.compiler.targets.llvm.elementwise import TYPES, Typed, emit
from chainrule.compiler.targets.llvm.kernels.writer import Kernel, Writer
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I64, literal
from chainrule.compiler.views import View
from chainrule.shapes import normal_axis

STEPS = {"cumsum": ("add", -0.0), "cumprod": ("mul", 1)}
"""What puts two elements together, and what changes none."""
ROWS, VECTORS = 4, 4
"""How many rows, or vectors of columns, run side by side."""


def write_scans(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """A unit is a few rows, or a block of columns for one place along the axes before the scanned one."""
    (instruction,) = group.instructions
    w = Writer(group, views, machine)
    f, shape = w.f, group.space
    axis, last = normal_axis(instruction.params["axis"], len(shape)), len(shape) - 1
    others = tuple([n for i, n in enumerate(shape[:-1]) if i != axis])
    loop = f.loop(f["begin"], f["end"])
    if axis == last:
        units, masks, fixed = _rows(w, loop.index, others)
    else:
        units, masks, fixed = _columns(w, loop.index, others, shape[-1], axis)
    w.e.enter()
    w.e.before_loop()
    _scan(w, instruction, axis, fixed, masks)
    f.close(loop)
    return [w.finished(units)]


Side = tuple[int, list[text.Value | None], list[list[Index]]]
"""The units of work; for each of what runs side by side its mask, and its place along the other axes."""


def _rows(w: Writer, unit: text.Value, others: tuple[int, ...]) -> Side:
    """A few rows; past the last one, that again."""
    f, count = w.f, prod(others)
    width = min(ROWS, count)
    first = f.mul(unit, literal(width, I64))
    places = []
    for k in range(width):
        row = f.intrinsic("umin", I64, f.add(first, literal(k, I64)), literal(count - 1, I64))
        places.append([Index(i) for i in w.divided(row, others)])
    return -(-count // width), [None] * width, places


def _columns(w: Writer, unit: text.Value, others: tuple[int, ...], columns: int, axis: int) -> Side:
    """A few vectors along the last axis."""
    f, lanes = w.f, w.lanes
    width = min(VECTORS, -(-columns // lanes))
    blocks = -(-columns // (width * lanes))
    *lead, block = w.divided(unit, (*others, blocks))
    first = f.mul(w.e.number(block), literal(width * lanes, I64))
    starts = [f.add(first, literal(k * lanes, I64)) for k in range(width)]
    masks: list[text.Value | None] = [None] * width
    if columns % (width * lanes):
        left = [f.intrinsic("smax", I64, f.sub(literal(columns, I64), s), literal(0, I64)) for s in starts]
        masks = [f.first_lanes(n, lanes) for n in left]
    return prod(others) * blocks, masks, [[*map(Index, lead), Index(s, 1, lanes)] for s in starts]


def _scan(
    w: Writer, instruction: Instruction, axis: int, fixed: list[list[Index]], masks: list[text.Value | None]
) -> None:
    """The loop along the axis; what was put together so far goes from round to round."""
    f, e, x, y = w.f, w.e, instruction.values[0], instruction.result
    combine, neutral = STEPS[instruction.op.name]
    type = TYPES[y.dtype.name]
    lanes = w.lanes if fixed[0] and fixed[0][-1].lane else 0
    start = literal(neutral if type.is_float else int(neutral), type.of(lanes))
    along = f.loop(0, x.shape[axis], 1, [start] * len(fixed))
    e.enter(along.index)
    totals = []
    for total, others, mask in zip(along.carried, fixed, masks, strict=True):
        place = [*others[:axis], Index(along.index), *others[axis:]]
        e.mask = mask
        t = e.at(x, place)
        t = e.splat(Typed(emit(f, "cast", [t], y.dtype), y.dtype), total.type.lanes)
        totals.append(emit(f, combine, [Typed(total, y.dtype), t], y.dtype))
        e.store(y, place, Typed(totals[-1], y.dtype))
    e.mask = None
    f.close(along, totals)
