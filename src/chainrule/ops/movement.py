"""Movement: elements change places, none is computed. Each operator stands beside its transpose."""

from __future__ import annotations

from typing import Any

from chainrule import dtypes, shapes
from chainrule.errors import ShapeError
from chainrule.ops.kinds import movement
from chainrule.ops.maths import Maths, Value
from chainrule.shapes import Shape

GRID = [[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]]


@movement.primitive(views=True)
def reshape(m: Maths, x: Value, *, shape: Shape) -> Value:
    """The elements in the same row-major order in another shape; one size may be -1."""
    return m.reshape(x, shape=shape)


reshape.pullback("x")(lambda m, g, x_shape: m.reshape(g, shape=x_shape))


@reshape.shape
def reshaped(x: Shape, *, shape: Shape) -> Shape:
    size = 1
    for n in x:
        size *= n
    return shapes.filled_in(shape, size)


reshape.cases((GRID, {"shape": (3, 2)}), (GRID, {"shape": (6,)}), (GRID, {"shape": (-1, 1)}))
reshape.cases((GRID, {"shape": (4, 2)}), (GRID, {"shape": (-1, 4)}), tag="rejected")


@movement.primitive(views=True)
def permute(m: Maths, x: Value, *, order: tuple[int, ...]) -> Value:
    """The axes in another order: axis i of the result is axis order[i] of x, counted from 0."""
    return m.permute(x, order=order)


@permute.pullback("x")
def back(m: Maths, g: Value, order: tuple[int, ...]) -> Value:
    return m.permute(g, order=tuple([order.index(i) for i in range(len(order))]))


@permute.shape
def reordered(x: Shape, *, order: tuple[int, ...]) -> Shape:
    if sorted(order) != list(range(len(x))):
        raise ShapeError(f"permute: {order} is not an order of the {len(x)} axes of shape {x}")
    return shapes.permuted(x, order)


permute.cases((GRID, {"order": (1, 0)}), ([GRID], {"order": (2, 0, 1)}))
permute.cases((GRID, {"order": (0, 2)}), (GRID, {"order": (0,)}), tag="rejected")


@movement(views=True)
def mT(m: Maths, x: Value) -> Value:
    """The last two axes exchanged: the transpose of each matrix."""
    n = len(x.shape)
    return m.permute(x, order=(*range(n - 2), n - 1, n - 2))


mT.pullback("x")(lambda m, g: m.mT(g))


@mT.shape
def transposed(x: Shape) -> Shape:
    if len(x) < 2:
        raise ShapeError(f"mT: a matrix has at least two axes, this has shape {x}")
    return (*x[:-2], x[-1], x[-2])


mT.cases(GRID, [GRID, GRID])
mT.cases([1.0, 2.0], tag="rejected")


@movement.primitive(views=True)
def broadcast_to(m: Maths, x: Value, *, shape: Shape) -> Value:
    """x stretched along axes of size 1 and new leading axes, without a copy."""
    return m.broadcast_to(x, shape=shape)


@broadcast_to.pullback("x")
def summed_over_the_stretch(m: Maths, g: Value, x_shape: Shape) -> Value:
    axes = shapes.stretched_axes(g.shape, x_shape)
    return m.reshape(m.sum(g, axis=axes, keepdims=True), shape=x_shape) if axes else g


@broadcast_to.shape
def stretched(x: Shape, *, shape: Shape) -> Shape:
    if shapes.broadcast(x, shape) != tuple(shape):
        raise ShapeError(f"broadcast_to: {x} does not stretch to {tuple(shape)}")
    return tuple(shape)


broadcast_to.cases(([[1.0], [2.0]], {"shape": (3, 2, 4)}), ([1.0, 2.0], {"shape": (2,)}))
broadcast_to.cases(([1.0, 2.0], {"shape": (3,)}), ([[1.0, 2.0]], {"shape": (2,)}), tag="rejected")


@movement.primitive(views=True)
def slice_(m: Maths, x: Value, *, key: tuple[Any, ...]) -> Value:
    """x[key] for integers and slices, one for each of the leading axes: a view."""
    return m.slice(x, key=key)


@movement.primitive
def embed(m: Maths, x: Value, *, key: tuple[Any, ...], shape: Shape) -> Value:
    """Zeros of `shape` with x at `key`: the transpose of slice."""
    return m.embed(x, key=key, shape=shape)


slice_.pullback("x")(lambda m, g, x_shape, key: m.embed(g, key=key, shape=x_shape))
embed.pullback("x")(lambda m, g, key: m.slice(g, key=key))


@slice_.shape
def sliced(x: Shape, *, key: tuple[Any, ...]) -> Shape:
    return shapes.taken(x, key, [])


@embed.shape
def embedded(x: Shape, *, key: tuple[Any, ...], shape: Shape) -> Shape:
    if shapes.taken(shape, key, []) != x:
        raise ShapeError(f"embed: {x} is not the shape of the slice {key} of {shape}")
    return shape


KEY = (slice(0, 2), slice(2, None, -2))
slice_.cases((GRID, {"key": (1,)}), (GRID, {"key": KEY}), (GRID, {"key": (slice(1, None), 0)}))
slice_.cases((GRID, {"key": (2,)}), (GRID, {"key": (0, 0, 0)}), tag="rejected")
embed.cases(
    ([[1.0, 2.0], [3.0, 4.0]], {"key": KEY, "shape": (2, 3)}), ([1.0, 2.0, 3.0], {"key": (1,), "shape": (2, 3)})
)


@movement(views=True)
def flip(m: Maths, x: Value, *, axes: tuple[int, ...]) -> Value:
    """x in the opposite order along the axes."""
    backwards = shapes.normal_axes(axes, len(x.shape)) if axes else ()
    return m.slice(x, key=tuple([slice(None, None, -1 if a in backwards else None) for a in range(len(x.shape))]))


flip.pullback("x")(lambda m, g, axes: m.flip(g, axes=axes))
flip.shape(lambda x, *, axes: (shapes.normal_axes(axes, len(x)), x)[1])
flip.cases((GRID, {"axes": (0,)}), (GRID, {"axes": (0, -1)}))
flip.cases((GRID, {"axes": (2,)}), tag="rejected")


@movement
def roll(m: Maths, x: Value, *, shift: int, axis: int) -> Value:
    """x moved by `shift` places along one axis; what leaves at the end enters at the start."""
    axis = shapes.normal_axis(axis, len(x.shape))
    n = x.shape[axis]
    cut = -shift % n if n else 0
    lead = (slice(None),) * axis
    return m.cat(m.slice(x, key=(*lead, slice(cut, n))), m.slice(x, key=(*lead, slice(0, cut))), axis=axis)


roll.pullback("x")(lambda m, g, shift, axis: m.roll(g, shift=-shift, axis=axis))
roll.shape(lambda x, *, shift, axis: (shapes.normal_axis(axis, len(x)), x)[1])
roll.cases((GRID, {"shift": 1, "axis": 1}), (GRID, {"shift": -4, "axis": 1}), (GRID, {"shift": 1, "axis": 0}))


@movement.primitive
def pad(m: Maths, x: Value, *, widths: tuple[tuple[int, int], ...], value: float = 0.0) -> Value:
    """x with `widths[axis] = (before, after)` more elements of one value on each axis."""
    return m.pad(x, widths=widths, value=value)


@pad.pullback("x")
def without_the_margin(m: Maths, g: Value, x_shape: Shape, widths: tuple[tuple[int, int], ...]) -> Value:
    return m.slice(g, key=tuple([slice(before, before + n) for (before, _), n in zip(widths, x_shape, strict=True)]))


@pad.shape
def padded(x: Shape, *, widths: tuple[tuple[int, int], ...], value: float = 0.0) -> Shape:
    if len(widths) != len(x):
        raise ShapeError(f"pad: {len(widths)} pairs of widths for the {len(x)} axes of shape {x}")
    return tuple([n + before + after for n, (before, after) in zip(x, widths, strict=True)])


pad.cases((GRID, {"widths": ((1, 0), (2, 3)), "value": 0.5}), (GRID, {"widths": ((0, 0), (1, 1))}))
pad.cases((GRID, {"widths": ((1, 0),)}), tag="rejected")


@movement.primitive(converts=True)
def cat(m: Maths, *xs: Value, axis: int = 0) -> Value:
    """The inputs one after the other along an axis; the other sizes agree."""
    return m.cat(*xs, axis=axis)


@cat.pullback("xs")
def each_its_part(m: Maths, g: Value, xs_shape: list[Shape], axis: int) -> list[Value]:
    parts, start = [], 0
    for shape in xs_shape:
        stop = start + shape[axis]
        parts.append(m.slice(g, key=(slice(None),) * (axis % len(shape)) + (slice(start, stop),)))
        start = stop
    return parts


@cat.shape
def joined(*xs: Shape, axis: int = 0) -> Shape:
    first = xs[0]
    along = shapes.normal_axis(axis, len(first))
    for shape in xs[1:]:
        if len(shape) != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(first, shape, strict=True)) if i != along
        ):
            raise ShapeError(f"cat: sizes must agree except along axis {axis}: {first} and {shape}")
    return (*first[:along], sum([s[along] for s in xs]), *first[along + 1 :])


cat.cases((GRID, GRID, {"axis": 0}), (GRID, [[7.0], [8.0]], {"axis": -1}))
cat.cases((GRID, [[7.0]], {"axis": 1}), (GRID, GRID, {"axis": 2}), tag="rejected")


@movement.primitive
def tril(m: Maths, x: Value, *, diagonal: int = 0) -> Value:
    """x on and below the diagonal, 0 above it."""
    return m.tril(x, diagonal=diagonal)


@movement.primitive
def triu(m: Maths, x: Value, *, diagonal: int = 0) -> Value:
    """x on and above the diagonal, 0 below it."""
    return m.triu(x, diagonal=diagonal)


tril.pullback("x")(lambda m, g, diagonal: m.tril(g, diagonal=diagonal))
triu.pullback("x")(lambda m, g, diagonal: m.triu(g, diagonal=diagonal))


@tril.shape
@triu.shape
def of_matrices(x: Shape, *, diagonal: int = 0) -> Shape:
    if len(x) < 2:
        raise ShapeError(f"tril, triu: a matrix has at least two axes, this has shape {x}")
    return x


for triangle in (tril, triu):
    triangle.cases(GRID, (GRID, {"diagonal": 1}), ([GRID, GRID], {"diagonal": -1}))
    triangle.cases(([1.0, 2.0],), tag="rejected")

# ---- made from nothing, for bodies that need a constant -------------------------------------------------------


@movement.primitive(result="parameter")
def zeros(m: Maths, *, shape: Shape, dtype: object) -> Value:
    """Zeros of a shape."""
    return m.zeros(shape=shape, dtype=dtype)


@movement.primitive(result="parameter")
def eye(m: Maths, *, size: int, dtype: object) -> Value:
    """The unit matrix."""
    return m.eye(size=size, dtype=dtype)


zeros.shape(lambda *, shape, dtype: shape)
eye.shape(lambda *, size, dtype: (size, size))
zeros.cases(({"shape": (2, 3), "dtype": dtypes.float32},), ({"shape": (), "dtype": dtypes.int64},))
eye.cases(({"size": 3, "dtype": dtypes.float32},), ({"size": 0, "dtype": dtypes.bool_},))

# ---- copies ------------------------------------------------------------------------------------------------


@movement.primitive
def clone(m: Maths, x: Value) -> Value:
    """A copy of x in memory of its own."""
    return m.clone(x)


clone.pullback("x")(lambda m, g: g)
clone.shape(lambda x: x)
clone.cases(GRID)
