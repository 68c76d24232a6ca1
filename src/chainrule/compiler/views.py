"""Views: which values are other values' memory seen through strides, so that no kernel has to move them.

Every value that is stored lies contiguous in memory of its own. permute, mT, broadcast_to, slice and most reshapes of
it are a `View`; a reshape that would have to move elements is none, and becomes a kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from chainrule.compiler.ir import Graph, Instruction, Value
from chainrule.shapes import Shape

MOVES = frozenset(("reshape", "permute", "mT", "broadcast_to", "slice", "clone"))


@dataclass(frozen=True)
class View:
    """Element i of a value lies at offset + i . strides in the memory of `root`, counted in elements."""

    root: Value
    offset: int
    shape: Shape
    strides: tuple[int, ...]

    @property
    def is_contiguous(self) -> bool:
        """True if it is all of consecutive memory in row-major order."""
        return self.strides == contiguous_strides(self.shape) or all(
            n == 1 or s == t for n, s, t in zip(self.shape, self.strides, contiguous_strides(self.shape), strict=True)
        )


def contiguous_strides(shape: Shape) -> tuple[int, ...]:
    """The strides of row-major order."""
    return tuple([prod(shape[i + 1 :]) for i in range(len(shape))])


def views_of(graph: Graph) -> dict[Value, View]:
    """The view that each value is; what is no other value's view is its own, whole and contiguous."""
    views: dict[Value, View] = {}
    for value in graph.inputs:
        views[value] = whole(value)
    for instruction in graph:
        for value in instruction.results:
            view = None
            if instruction.op.name in MOVES and isinstance(instruction.inputs[0], Value):
                view = moved(instruction, views[instruction.inputs[0]])
            views[value] = view or whole(value)
    return views


def whole(value: Value) -> View:
    """All of a stored value."""
    return View(value, 0, value.shape, contiguous_strides(value.shape))


def moved(instruction: Instruction, x: View) -> View | None:
    """The view that a movement makes of a view; None if elements have to move."""
    name, shape = instruction.op.name, instruction.result.shape
    if name == "clone":
        return x
    if name == "permute":
        order = instruction.params["order"]
        return View(x.root, x.offset, shape, tuple([x.strides[i] for i in order]))
    if name == "mT":
        return View(x.root, x.offset, shape, (*x.strides[:-2], x.strides[-1], x.strides[-2]))
    if name == "broadcast_to":
        lead = len(shape) - len(x.shape)
        strides = [0 if n == 1 and m != 1 else s for n, m, s in zip(x.shape, shape[lead:], x.strides, strict=True)]
        return View(x.root, x.offset, shape, (*[0] * lead, *strides))
    if name == "slice":
        return sliced(x, instruction.params["key"], shape)
    return reshaped(x, shape)


def sliced(x: View, key: tuple[Any, ...], shape: Shape) -> View | None:
    """x[key] for integers and slices."""
    offset, strides, sizes = x.offset, [], []
    if any(part is None or part is Ellipsis for part in key):
        return None
    for part, n, stride in zip((*key, *[slice(None)] * (len(x.shape) - len(key))), x.shape, x.strides, strict=True):
        if isinstance(part, slice):
            start, stop, step = part.indices(n)
            offset += start * stride if len(range(start, stop, step)) else 0
            strides.append(step * stride)
            sizes.append(len(range(start, stop, step)))
        else:
            offset += (part + n if part < 0 else part) * stride
    return View(x.root, offset, shape, tuple(strides)) if tuple(sizes) == shape else None


def reshaped(x: View, shape: Shape) -> View | None:
    """The elements in another shape, if strides can say it: axes are grouped into runs that lie evenly."""
    if prod(shape) == 0:
        return None
    axes = [(n, s) for n, s in zip(x.shape, x.strides, strict=True) if n != 1]
    runs: list[tuple[int, int]] = []  # neighbouring axes that are one evenly spaced run
    for n, s in axes:
        if runs and runs[-1][1] == n * s:
            runs[-1] = (runs[-1][0] * n, s)
        else:
            runs.append((n, s))
    strides, place, left = [], 0, runs[0][0] if runs else 1
    for n in shape:
        if n == 1:
            strides.append(0)
            continue
        while left == 1 and place + 1 < len(runs):
            place += 1
            left = runs[place][0]
        if left % n:
            return None
        left //= n
        strides.append(left * runs[place][1])
    return View(x.root, x.offset, shape, tuple(strides))
