"""Selection: elements chosen by index arrays, and their transposes, which add into places."""

from __future__ import annotations

from typing import Any

from chainrule import dtypes, shapes
from chainrule.errors import ShapeError
from chainrule.ops.kinds import composite, selection
from chainrule.ops.maths import Maths, Value
from chainrule.shapes import Shape

ROWS = [[1.0, -2.0, 0.5], [3.0, 0.25, -1.0], [0.75, 2.0, 4.0]]


@selection.primitive(promotes=("x",))
def take(m: Maths, x: Value, *indices: Value, key: tuple[Any, ...]) -> Value:
    """x[key], where each None in the key stands for the next index array: NumPy's advanced indexing."""
    return m.take(x, *indices, key=key)


@selection.primitive(promotes=("x",))
def put_add(m: Maths, x: Value, *indices: Value, key: tuple[Any, ...], shape: Shape) -> Value:
    """Zeros of `shape` with x added at the key; repeated places add up. The transpose of take."""
    return m.put_add(x, *indices, key=key, shape=shape)


@take.pullback("x")
def back_into_place(m: Maths, g: Value, x_shape: Shape, indices: Value, key: tuple[Any, ...]) -> Value:
    return m.put_add(g, *indices, key=key, shape=x_shape)


put_add.pullback("x")(lambda m, g, indices, key: m.take(g, *indices, key=key))


@take.shape
def chosen(x: Shape, *indices: Shape, key: tuple[Any, ...]) -> Shape:
    return shapes.taken(x, key, indices)


@put_add.shape
def put_into(x: Shape, *indices: Shape, key: tuple[Any, ...], shape: Shape) -> Shape:
    places = shapes.taken(shape, key, indices)
    if x != places:
        raise ShapeError(f"put_add(x, ...): x {x} has not the shape of its places in {shape}, {places}")
    return shape


take.cases(
    (ROWS, [2, 0, 2, 1], {"key": (None,)}), (ROWS, [[0, 1], [2, 2]], [[1, 1], [0, 2]], {"key": (None, None)}),
    (ROWS, [0, -1, 2], {"key": (slice(1, None), None)}),
    ([ROWS, ROWS], [0, 1], [2, 2], {"key": (None, slice(0, 2), None)}),
    (ROWS, [0, 1], {"key": (1, None)}),
)  # fmt: skip
put_add.cases(([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [1, 0, 1], {"key": (None,), "shape": (2, 2)}))


@selection.primitive(promotes=("x", "v"))
def assign(m: Maths, x: Value, v: Value, *indices: Value, key: tuple[Any, ...]) -> Value:
    """x with the elements at the key replaced by v; the key as in take, v broadcasts."""
    return m.assign(x, v, *indices, key=key)


@assign.pullback("x")
def elsewhere(m: Maths, g: Value, v_dtype: object, indices: Value, key: tuple[Any, ...]) -> Value:
    return m.assign(g, m.zeros(shape=(), dtype=v_dtype), *indices, key=key)


@assign.pullback("v")
def from_the_places(m: Maths, g: Value, v_shape: Shape, indices: Value, key: tuple[Any, ...]) -> Value:
    at_key = m.take(g, *indices, key=key) if indices else m.slice(g, key=key)
    lead = len(v_shape) - len(at_key.shape)  # v may have leading axes of size 1 that the places lack
    axes = shapes.stretched_axes(at_key.shape, v_shape[max(lead, 0) :])
    return m.reshape(m.sum(at_key, axis=axes, keepdims=True) if axes else at_key, shape=v_shape)


@assign.shape
def with_places_replaced(x: Shape, v: Shape, *indices: Shape, key: tuple[Any, ...]) -> Shape:
    places = shapes.taken(x, key, indices)
    lead = len(v) - len(places)  # axes of size 1 that the places lack do no harm
    if any(n != 1 for n in v[: max(lead, 0)]) or shapes.broadcast(v[max(lead, 0) :], places) != places:
        raise ShapeError(f"assign(x, v, ...): v {v} does not broadcast to its places in {x}, {places}")
    return x


assign.cases(
    (ROWS, [7.0, 8.0, 9.0], {"key": (1,)}), (ROWS, 5.0, {"key": (slice(0, 2), 1)}),
    (ROWS, [[1.5]], {"key": (slice(1, 3), slice(0, 2))}),
    (ROWS, [[7.0, 8.0, 9.0], [1.0, 2.0, 3.0]], [2, 0], {"key": (None,)}),
)  # fmt: skip


@selection.primitive(promotes=("x",))
def gather(m: Maths, x: Value, index: Value, *, axis: int) -> Value:
    """x[i, index[i, j], ...] with the index in the place of one axis, counted from 0; index has x's ndim."""
    return m.gather(x, index, axis=axis)


@selection.primitive(promotes=("x",))
def put_along(m: Maths, x: Value, index: Value, *, axis: int, shape: Shape) -> Value:
    """Zeros of `shape` with x added at the index along one axis: the transpose of gather."""
    return m.put_along(x, index, axis=axis, shape=shape)


@selection.primitive(promotes=("x", "src"))
def scatter(m: Maths, x: Value, index: Value, src: Value, *, axis: int) -> Value:
    """x with src written at the index along one axis; which of several writes to one place wins is not defined."""
    return m.scatter(x, index, src, axis=axis)


@composite(promotes=("x", "src"))
def scatter_add(m: Maths, x: Value, index: Value, src: Value, *, axis: int) -> Value:
    """x with src added at the index along one axis; repeated places add up."""
    return x + m.put_along(src, index, axis=axis, shape=x.shape)


gather.pullback("x")(lambda m, g, index, x_shape, axis: m.put_along(g, index, axis=axis, shape=x_shape))
put_along.pullback("x")(lambda m, g, index, axis: m.gather(g, index, axis=axis))
scatter.pullback("x")(lambda m, g, index, axis: m.scatter(g, index, 0 * m.gather(g, index, axis=axis), axis=axis))
scatter.pullback("src")(lambda m, g, index, axis: m.gather(g, index, axis=axis))
scatter_add.pullback("x")(lambda m, g: g)
scatter_add.pullback("src")(lambda m, g, index, axis: m.gather(g, index, axis=axis))


@gather.shape
def of_the_index(x: Shape, index: Shape, *, axis: int) -> Shape:
    wider = [i > n for a, (i, n) in enumerate(zip(index, x, strict=False)) if a != axis and 0 not in index]
    if len(index) != len(x) or any(wider):
        raise ShapeError(f"gather(x, index) along axis {axis}: index {index} is larger than x {x} on another axis")
    return index


@put_along.shape
def put_at_the_index(x: Shape, index: Shape, *, axis: int, shape: Shape) -> Shape:
    if x != index:
        raise ShapeError(f"put_along(x, index): x {x} and index {index} differ in shape")
    of_the_index(shape, index, axis=axis)
    return shape


@scatter.shape
@scatter_add.shape
def of_the_target(x: Shape, index: Shape, src: Shape, *, axis: int) -> Shape:
    if not len(index) == len(x) == len(src) or index != src:
        raise ShapeError(f"scatter(x, index, src): index {index} and src {src} have the axes of x {x} and one shape")
    of_the_index(x, index, axis=axis)
    return x


PLACES = [[2, 0], [1, 1], [0, 2]]
gather.cases((ROWS, PLACES, {"axis": 1}), (ROWS, [[0, 2, 1]], {"axis": 0}))
gather.cases((ROWS, [0, 1], {"axis": 1}), (ROWS, [[0, 1, 2, 0]], {"axis": 0}), tag="rejected")
put_along.cases(([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], PLACES, {"axis": 1, "shape": (3, 3)}))
scatter.cases((ROWS, [[2, 0], [1, 0], [0, 2]], [[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]], {"axis": 1}))
scatter_add.cases((ROWS, PLACES, [[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]], {"axis": 1}))

# ---- rows of a table --------------------------------------------------------------------------------------


@selection(promotes=("weight",), source="Bengio et al. 2003, section 2")
def embedding(m: Maths, weight: Value, index: Value, *, padding_idx: int | None = None) -> Value:
    """The row weight[index[i]] for each i: a one-hot vector times the table; the row padding_idx gets no gradient."""
    return m.take(weight, index, key=(None,))


@embedding.pullback("weight")
def added_to_their_rows(m: Maths, g: Value, weight_shape: Shape, index: Value, padding_idx: int | None) -> Value:
    if padding_idx is not None:
        g = m.where(m.reshape(m.eq(index, padding_idx), shape=(*index.shape, 1)), 0, g)
    return m.put_add(g, index, key=(None,), shape=weight_shape)


@embedding.shape
def one_row_each(weight: Shape, index: Shape, *, padding_idx: int | None = None) -> Shape:
    if len(weight) != 2:
        raise ShapeError(f"embedding: 'weight' must be 2-D, (rows, width), not {weight}")
    return (*index, weight[1])


embedding.cases((ROWS, [2, 0, 2, 1]), (ROWS, [[0, 1], [1, 1]]))
embedding.cases((ROWS, [2, 0, 2, 1], {"padding_idx": 2}), tag="kink")  # its gradient is 0 by declaration
embedding.cases((ROWS[0], [0, 1]), tag="rejected")

# ---- indices, without a derivative -------------------------------------------------------------------------


@selection.primitive(result="int64")
def argsort(m: Maths, x: Value, *, axis: int = -1, descending: bool = False) -> Value:
    """The places that sort x along an axis; elements that tie keep their order."""
    return m.argsort(x, axis=axis, descending=descending)


argsort.shape(lambda x, *, axis=-1, descending=False: (shapes.normal_axis(axis, len(x)), x)[1])
argsort.cases((ROWS, {}), ([3.0, 1.0, 3.0, 2.0], {"descending": True}))


@selection.primitive(result="parameter", promotes=())
def one_hot(m: Maths, index: Value, *, classes: int, dtype: object) -> Value:
    """1 at the index of a new last axis, else 0."""
    return m.one_hot(index, classes=classes, dtype=dtype)


one_hot.shape(lambda index, *, classes, dtype: (*index, classes))
one_hot.cases(([2, 0, 1], {"classes": 3, "dtype": dtypes.float32}), ([[1, 0]], {"classes": 2, "dtype": dtypes.int64}))
