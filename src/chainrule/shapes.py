"""Pure functions on shapes: tuples of sizes in, tuples of sizes out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

from chainrule.errors import ArgumentError, IndexOutOfRangeError, ShapeError

Shape = tuple[int, ...]
Axes = int | tuple[int, ...] | None


def normal_axis(axis: int, ndim: int) -> int:
    """The axis counted from 0, for one in [-ndim, ndim); a 0-d array has one (virtual) axis, as in PyTorch.

    Raises:
        IndexOutOfRangeError: for an axis outside that range.
    """
    room = max(ndim, 1)
    if not -room <= axis < room:
        raise IndexOutOfRangeError(
            f"Dimension out of range (expected to be in range of [{-room}, {room - 1}], but got {axis})"
        )
    return axis + room if axis < 0 else axis


def normal_axes(axis: Axes, ndim: int) -> Shape:
    """The axes, counted from 0 and sorted; all of them for None or an empty tuple.

    Raises:
        ArgumentError: for an axis that appears twice.
    """
    if axis is None or axis == ():
        return tuple(range(ndim))
    axes = sorted(normal_axis(a, ndim) for a in ((axis,) if isinstance(axis, int) else axis))
    if len(set(axes)) < len(axes):
        raise ArgumentError(f"an axis appears twice in dim={axis}")
    return tuple(axes) if ndim else ()


@lru_cache(1024)
def kept(shape: Shape, axis: Axes) -> Shape:
    """`shape` with the reduced axes at size 1."""
    axes = normal_axes(axis, len(shape))
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def reduced(shape: Shape, axis: Axes, keepdims: bool) -> Shape:
    """`shape` after a reduction over `axis`."""
    axes = normal_axes(axis, len(shape))
    if keepdims:
        return kept(shape, axis)
    return tuple([n for i, n in enumerate(shape) if i not in axes])


def count(shape: Shape, axis: Axes) -> int:
    """How many elements a reduction over `axis` puts together."""
    return prod([shape[a] for a in normal_axes(axis, len(shape))])


def broadcast(*shapes: Shape) -> Shape:
    """The common shape, by NumPy's rule: sizes are equal or 1, aligned at the last axis.

    Raises:
        ShapeError: where two sizes differ and neither is 1.
    """
    out: list[int] = []
    for k in range(1, max(map(len, shapes), default=0) + 1):
        sizes = {s[-k] for s in shapes if len(s) >= k and s[-k] != 1}
        if len(sizes) > 1:
            listed = " and ".join(map(str, shapes))
            raise ShapeError(f"the shapes {listed} do not broadcast: axis -{k} has sizes {sorted(sizes)}")
        out.append(sizes.pop() if sizes else 1)
    return tuple(reversed(out))


@lru_cache(1024)
def stretched_axes(shape: Shape, source: Shape) -> Shape:
    """The axes of `shape` along which `source` was stretched to it."""
    lead = len(shape) - len(source)
    return tuple(range(lead)) + tuple([i + lead for i, n in enumerate(source) if n == 1 and shape[i + lead] != 1])


def filled_in(shape: Sequence[int], size: int) -> Shape:
    """A reshape's target with its one -1 computed from the number of elements.

    Raises:
        ShapeError: when `size` elements do not fit the shape.
        ArgumentError: for two unknown sizes or a size below -1.
    """
    target = tuple(shape)
    if any(n < -1 for n in target) or target.count(-1) > 1:
        raise ArgumentError(f"reshape: only one size can be inferred, and none is negative: {target}")
    known = prod([n for n in target if n != -1])
    if -1 in target:
        if known == 0 or size % known:
            raise ShapeError(f"shape {target} is invalid for input of size {size}")
        return tuple([size // known if n == -1 else n for n in target])
    if known != size:
        raise ShapeError(f"shape {target} is invalid for input of size {size}")
    return target


def permuted(shape: Shape, order: Sequence[int]) -> Shape:
    """`shape` with its axes in the given order (a permutation of range(ndim))."""
    return tuple([shape[a] for a in order])


def taken(shape: Shape, key: Sequence[object], index_shapes: Sequence[Shape]) -> Shape:
    """The shape of x[key] for ints, slices, and None where the next index array stands.

    Index arrays broadcast together; their axes come where the first of them stands if they are adjacent
    (an int counts as one of them beside an array), else first: NumPy's rule.

    Raises:
        IndexOutOfRangeError: for too many indices or an int outside its axis.
    """
    if len(key) > len(shape):
        raise IndexOutOfRangeError(f"too many indices ({len(key)}) for a tensor of shape {shape}")
    has_arrays = any(part is None for part in key)
    before: list[int] = []
    after: list[int] = []
    places: list[int] = []
    for axis, part in enumerate(key):
        size = shape[axis]
        if isinstance(part, slice):
            (after if places else before).append(len(range(*part.indices(size))))
            continue
        if part is not None:
            if not -size <= int(part) < size:  # type: ignore[call-overload]
                raise IndexOutOfRangeError(f"index {part} is out of bounds for dimension {axis} with size {size}")
            if not has_arrays:
                continue
        places.append(axis)
    rest = list(shape[len(key) :])
    if not has_arrays:
        return tuple(before + after + rest)
    joint = list(broadcast(*index_shapes))
    adjacent = places == list(range(places[0], places[-1] + 1))
    return tuple(before + joint + after + rest if adjacent else joint + before + after + rest)
