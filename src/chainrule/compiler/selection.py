"""Selection: where x[key] finds its elements, for keys of integers, slices and index arrays (None), by NumPy's rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from chainrule.shapes import Shape, broadcast


@dataclass(frozen=True)
class Line:
    """Places start, start + step ... of an axis of x, one for each place of an axis of x[key]; None: `start` alone."""

    start: int
    step: int = 1
    axis: int | None = None


@dataclass(frozen=True)
class Indexed:
    """Places of an axis of x that an index array says: the one of that number."""

    number: int


Part: TypeAlias = Line | Indexed


@dataclass(frozen=True)
class Selection:
    """What x[key] reads along each axis of x. The index arrays' common axes are `joint`, from axis `first` on."""

    parts: tuple[Part, ...]
    first: int
    joint: Shape


def selection(shape: Shape, key: Sequence[Any], index_shapes: Sequence[Shape]) -> Selection:
    """The selection x[key] of an x of that shape; the shape of what it gives is `shapes.taken`."""
    full = [*key, *[slice(None)] * (len(shape) - len(key))]
    arrays = [i for i, part in enumerate(full) if not isinstance(part, slice)] if index_shapes else []
    joint = broadcast(*index_shapes)
    adjacent = arrays == list(range(arrays[0], arrays[-1] + 1)) if arrays else True
    first = arrays[0] if arrays and adjacent else 0  # all before it are slices, each an axis of the result
    parts: list[Part] = []
    axis = 0 if adjacent else len(joint)
    numbers = iter(range(len(index_shapes)))
    for i, (part, n) in enumerate(zip(full, shape, strict=True)):
        if adjacent and arrays and i == first:
            axis += len(joint)
        if isinstance(part, slice):
            start, _, step = part.indices(n)
            parts.append(Line(start, step, axis))
            axis += 1
        elif part is None:
            parts.append(Indexed(next(numbers)))
        else:
            parts.append(Line(int(part) % n))
    return Selection(tuple(parts), first, joint)
