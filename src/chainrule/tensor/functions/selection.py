"""Indexing, gather, scatter, sort ...: selection under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    IndexOutOfRangeError,
    InPlaceError,
    ShapeError,
    UnsupportedError,
)
from chainrule.shapes import normal_axis
from chainrule.tensor.arrays import array_of
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.functions.reduction import ValuesAndIndices, with_numpys_names
from chainrule.tensor.graph import Array, state
from chainrule.tensor.printing import describe
from chainrule.tensor.recording import recorder
from chainrule.tensor.tensor import Tensor, wrap, wrote

# ---- x[key] ------------------------------------------------------------------------------------------------


def getitem(input: Tensor, key: Any) -> Tensor:
    """x[key]: integers, slices, None, Ellipsis, index arrays and masks, as in NumPy. Without arrays a view."""
    if type(key) is int or type(key) is slice:
        return GATES["slice"](input, key=(key,))
    x, plain, indices = prepared(input, key)
    if indices:
        return GATES["take"](x, *indices, key=plain)
    return GATES["slice"](x, key=plain) if plain else x


def setitem(input: Tensor, key: Any, value: Any) -> None:
    """x[key] = value, in place; value is a number or broadcasts to x[key].

    Raises:
        InPlaceError: on a leaf that requires a gradient, outside no_grad().
        ShapeError: if value does not fit.
    """
    from chainrule.tensor.functions.inplace import write

    v = value if isinstance(value, Tensor) else wrap(array_of(value), None)
    x, plain, indices = prepared(input, key)
    if (state.mode.grad and (input.edge is not None or v.edge is not None)) or recorder() is not None:
        v = v if v.value.dtype == x.value.dtype else GATES["cast"](v, dtype=x.value.dtype)
        write(x, GATES["assign"](x, v, *indices, key=plain), "x[key] = value")
        return
    if not x.value.flags.writeable:
        raise InPlaceError(
            "x[key] = value: several elements of x are one place in memory, or the memory is read-only.",
            got=[describe("x", input)],
            mend="Please clone() the tensor before performing the operation.",
        )
    places = iter([i.value for i in indices])
    raw = tuple([next(places) if part is None else part for part in plain])
    try:
        x.value[raw] = v.value
    except ValueError as error:
        raise ShapeError(
            f"x[key] = value: {error}", got=[describe("x[key]", x.value[raw]), describe("value", v)]
        ) from None
    except IndexError as error:
        raise IndexOutOfRangeError(f"x[key] = value: {error}", got=[describe("x", input)]) from None
    wrote(input)


def _parts(key: Any) -> tuple[Any, ...]:
    if isinstance(key, tuple):
        return key
    return (key,)


def prepared(input: Tensor, key: Any) -> tuple[Tensor, tuple[Any, ...], list[Tensor]]:
    """What the operators slice and take need: x with its new axes, the key, and its index arrays.

    None in the user's key becomes an axis of size 1; Ellipsis is written out; masks become indices; the
    returned key has None where an index array stands. Beside index arrays, integers select first, as in
    PyTorch (to NumPy an integer is one more index array, and x[0, :, [1, 2]] has its axes exchanged).
    """
    if type(key) is int or type(key) is slice:
        return input, (key,), []
    parts = [_part(p) for p in _parts(key)]
    shape = input.value.shape
    used = sum([p.ndim if _is_mask(p) else 0 if p is None or p is Ellipsis else 1 for p in parts])
    if sum([p is Ellipsis for p in parts]) > 1:
        raise ArgumentError("an index can only have a single ellipsis ('...')")
    if used > len(shape):
        raise IndexOutOfRangeError(f"too many indices for tensor of dimension {len(shape)}", got=[describe("x", input)])
    rest = len(shape) - used
    written: list[Any] = []
    for p in parts:
        written += [slice(None)] * rest if p is Ellipsis else [p]
    sizes: list[int] = []
    plain: list[Any] = []
    indices: list[Tensor] = []
    axis = 0
    for p in written:
        if p is None:
            sizes.append(1)
            plain.append(slice(None))
        elif _is_mask(p):
            if p.shape != shape[axis : axis + p.ndim]:
                raise IndexOutOfRangeError(
                    f"the shape of the mask {p.shape} at index {axis} does not match the shape of the tensor {shape}"
                )
            for places in p.nonzero():
                plain.append(None)
                indices.append(wrap(places, None))
                sizes.append(shape[axis])
                axis += 1
        else:
            if isinstance(p, np.ndarray | Tensor):
                indices.append(p if isinstance(p, Tensor) else wrap(p, None))
                p = None
            plain.append(p)
            sizes.append(shape[axis])
            axis += 1
    sizes += shape[axis:]
    if len(indices) > 1 and any(isinstance(p, Tensor) and not p.value.ndim for p in written):
        raise UnsupportedError(
            "a tensor without axes is no index beside other index tensors in a compiled function",
            mend="Give it an axis: x[i[None], j].",
        )
    x = input if len(sizes) == len(shape) else GATES["reshape"](input, shape=tuple(sizes))
    if indices and any(isinstance(p, int) for p in plain):
        x = GATES["slice"](x, key=tuple([p if isinstance(p, int) else slice(None) for p in plain]))
        plain = [p for p in plain if not isinstance(p, int)]
    while plain and plain[-1] == slice(None) and len(plain) > 1:
        plain.pop()
    return x, tuple(plain), indices


def _is_mask(p: Any) -> bool:
    return isinstance(p, np.ndarray) and p.dtype.kind == "b"


def _part(p: Any) -> Any:
    """One part of a key as an int, slice, None, Ellipsis, an array of integers or bools, or a Tensor to be traced."""
    if isinstance(p, Tensor):
        if recorder() is not None and p.value.dtype.kind == "i":
            return p  # it may have other elements at each call of the program
        p = p.value
    elif isinstance(p, list | tuple | range):
        p = np.asarray([q.item() if isinstance(q, Tensor) else q for q in p])
        if not p.size:
            p = p.astype(np.int64)
    elif isinstance(p, bool | np.bool_):
        raise ArgumentTypeError("a single True or False is no index; use a mask of the tensor's shape")
    if isinstance(p, np.ndarray):
        if p.dtype == np.uint8:
            raise IndexOutOfRangeError(
                "a uint8 tensor is no index: is it a mask or are they places?", mend="Say x[i.bool()] or x[i.long()]."
            )
        if p.dtype.kind not in "ib":
            raise IndexOutOfRangeError(f"tensors used as indices must be integers or bools, not {p.dtype}")
        return int(p) if p.ndim == 0 and p.dtype.kind != "b" else p
    if p is None or p is Ellipsis:
        return p
    if isinstance(p, slice):
        return slice(*[None if v is None else int(v) for v in (p.start, p.stop, p.step)])
    if hasattr(p, "__index__"):
        return p.__index__()
    raise ArgumentTypeError(f"an index is an integer, slice, None, Ellipsis, tensor or list, not {type(p).__name__}")


# ---- along one axis ------------------------------------------------------------------------------------------


def _index(index: Any, name: str) -> Tensor:
    if not isinstance(index, Tensor) or index.value.dtype.kind not in "iu":
        shown = index.dtype if isinstance(index, Tensor) else type(index).__name__
        raise DTypeError(f"{name}(): index is a tensor of integers, not {shown}")
    return index


@with_numpys_names
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """out[i][j][k] = input[index[i][j][k]][j][k] for dim 0, and likewise for the others."""
    axis = normal_axis(dim, input.value.ndim)
    return GATES["gather"](input, _index(index, "gather"), axis=axis)


@with_numpys_names
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """gather where input and indices broadcast; without dim over the flat input."""
    if dim is None:
        return GATES["take"](GATES["reshape"](input, shape=(-1,)), GATES["reshape"](indices, shape=(-1,)), key=(None,))
    axis = normal_axis(dim, input.value.ndim)
    shape = [max(a, b) for a, b in zip(input.value.shape, indices.value.shape, strict=True)]
    full = [n if a == axis else s for a, (n, s) in enumerate(zip(input.value.shape, shape, strict=True))]
    wanted = [n if a == axis else s for a, (n, s) in enumerate(zip(indices.value.shape, shape, strict=True))]
    x = GATES["broadcast_to"](input, shape=tuple(full))
    i = GATES["broadcast_to"](_index(indices, "take_along_dim"), shape=tuple(wanted))
    return GATES["gather"](x, i, axis=axis)


def _source(input: Tensor, index: Tensor, src: Any) -> Tensor:
    """src cut to the index's shape; a number as a tensor of it."""
    if not isinstance(src, Tensor):
        return wrap(np.full(index.value.shape, src, input.value.dtype), None)
    if src.value.shape == index.value.shape:
        return src
    return getitem(src, tuple([slice(0, n) for n in index.value.shape]))


@with_numpys_names
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    """input with src (or value) written at the index along an axis; reduce="add" adds instead."""
    axis = normal_axis(dim, input.value.ndim)
    source = _source(input, _index(index, "scatter"), value if src is None else src)
    if reduce == "add":
        return GATES["scatter_add"](input, index, source, axis=axis)
    if reduce is not None:
        raise ArgumentError(f"scatter: reduce is None or 'add', not {reduce!r}")
    return GATES["scatter"](input, index, source, axis=axis)


@with_numpys_names
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """input with src added at the index along an axis; repeated places add up."""
    axis = normal_axis(dim, input.value.ndim)
    return GATES["scatter_add"](input, index, _source(input, _index(index, "scatter_add"), src), axis=axis)


def _key_along(axis: int) -> tuple[Any, ...]:
    return (slice(None),) * axis + (None,)


@with_numpys_names
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of an axis named by a vector of indices."""
    axis = normal_axis(dim, input.value.ndim)
    return GATES["take"](input, _index(index, "index_select"), key=_key_along(axis))


@with_numpys_names
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """input with alpha times the slices of source added at the indices along an axis."""
    axis = normal_axis(dim, input.value.ndim)
    added = source if alpha == 1 else source * alpha
    return input + GATES["put_add"](added, _index(index, "index_add"), key=_key_along(axis), shape=input.value.shape)


@with_numpys_names
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """input with the slices of source written at the indices along an axis."""
    axis = normal_axis(dim, input.value.ndim)
    return GATES["assign"](input, source, _index(index, "index_copy"), key=_key_along(axis))


@with_numpys_names
def index_fill(input: Tensor, dim: int, index: Tensor, value: float) -> Tensor:
    """input with a number written at the indices along an axis."""
    axis = normal_axis(dim, input.value.ndim)
    v = wrap(np.asarray(value, input.value.dtype), None)
    return GATES["assign"](input, v, _index(index, "index_fill"), key=_key_along(axis))


def index_put(input: Tensor, indices: tuple[Tensor, ...], values: Tensor, accumulate: bool = False) -> Tensor:
    """input with values written (or added) at index arrays."""
    x, plain, places = prepared(input, tuple(indices))
    if accumulate:
        return x + GATES["put_add"](
            values.expand_as(getitem(x, tuple(indices))), *places, key=plain, shape=x.value.shape
        )
    return GATES["assign"](x, values, *places, key=plain)


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flat input at the indices."""
    return GATES["take"](GATES["reshape"](input, shape=(-1,)), _index(index, "take"), key=(None,))


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """value where the mask holds, else input."""
    _mask(mask, "masked_fill")
    if isinstance(value, Tensor) and value.value.ndim:
        raise ShapeError("masked_fill only supports a 0-dimensional value tensor", got=[describe("value", value)])
    if not isinstance(value, Tensor):
        value = wrap(np.asarray(value, input.value.dtype), None)
    return GATES["where"](mask, GATES["cast"](value, dtype=input.value.dtype), input)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, on one axis; both broadcast."""
    _mask(mask, "masked_select")
    shape = np.broadcast_shapes(input.value.shape, mask.value.shape)
    return getitem(GATES["broadcast_to"](input, shape=shape), wrap(np.broadcast_to(mask.value, shape), None))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """input with the elements of source, in order, where the mask holds."""
    _mask(mask, "masked_scatter")
    places = np.broadcast_to(mask.value, input.value.shape).nonzero()
    flat = getitem(GATES["reshape"](source, shape=(-1,)), slice(0, len(places[0]) if places else 1))
    return GATES["assign"](input, flat, *[wrap(p, None) for p in places], key=(None,) * len(places))


def _mask(mask: Tensor, name: str) -> None:
    if mask.value.dtype.kind != "b":
        raise DTypeError(f"{name}: expected a bool mask, not {mask.dtype}", mend="Compare first: x > 0")


# ---- order -----------------------------------------------------------------------------------------------------


@with_numpys_names
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices that sort along an axis; always stable."""
    return GATES["argsort"](input, axis=dim, descending=descending)


@with_numpys_names
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> ValuesAndIndices:
    """(values in order, their indices) along an axis; always stable."""
    if not input.value.ndim:
        return ValuesAndIndices(input, wrap(np.zeros((), np.int64), None))
    order = GATES["argsort"](input, axis=dim, descending=descending)
    return ValuesAndIndices(GATES["gather"](input, order, axis=normal_axis(dim, input.value.ndim)), order)


@with_numpys_names
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    """(values, indices) of the k largest (or smallest) elements along an axis, in order."""
    axis = normal_axis(dim, input.value.ndim)
    size = input.value.shape[axis] if input.value.ndim else 1
    if not 0 <= k <= size:
        raise IndexOutOfRangeError(f"selected index k out of range: k = {k}, the axis has {size}")
    if not input.value.ndim:
        return sort(input)
    order = GATES["argsort"](input, axis=axis, descending=largest)
    chosen = GATES["clone"](GATES["slice"](order, key=(slice(None),) * axis + (slice(0, k),)))
    return ValuesAndIndices(GATES["gather"](input, chosen, axis=axis), chosen)


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of nonzero elements: a row for each, or a tuple of one vector for each axis."""
    places = input.value.nonzero() if input.value.ndim else np.atleast_1d(input.value).nonzero()
    if as_tuple:
        return tuple([wrap(p.astype(np.int64), None) for p in places])
    return wrap(
        np.stack(places, 1).astype(np.int64) if input.value.ndim else np.zeros((len(places[0]), 0), np.int64), None
    )


@with_numpys_names
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements (or slices along an axis) in order, with where each came from and how often."""
    found: Any = np.unique(input.value, return_inverse=True, return_counts=True, axis=dim)
    values, inverse, counts = found
    shape = input.value.shape if dim is None else (-1,)
    parts = [values] + [inverse.reshape(shape)] * return_inverse + [counts] * return_counts
    tensors = tuple([wrap(np.asarray(p), None) for p in parts])
    return tensors[0] if len(tensors) == 1 else tensors


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number 0, 1, ... appears, or the sum of its weights."""
    return wrap(np.bincount(input.value, None if weights is None else weights.value, minlength), None)


def searchsorted(sorted_sequence: Tensor, input: Any, *, right: bool = False) -> Tensor:
    """Where each value would be inserted into an ordered vector."""
    values = input.value if isinstance(input, Tensor) else input
    return wrap(np.asarray(np.searchsorted(sorted_sequence.value, values, "right" if right else "left")), None)


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of `bins` equal intervals of [min, max]."""
    low, high = (float(input.value.min()), float(input.value.max())) if min == max == 0 else (min, max)
    counts, _ = np.histogram(input.value, bins, (low, high))
    return wrap(counts.astype(input.value.dtype), None)


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """1 at each label's place of a new last axis, else 0; int64.

    Raises:
        IndexOutOfRangeError: for a label below 0 or not below num_classes.
    """
    labels: Array = _index(input, "one_hot").value
    if labels.size and labels.min() < 0:
        raise IndexOutOfRangeError(f"one_hot: Class values must be non-negative, not {labels.min()}")
    classes = num_classes if num_classes >= 0 else int(labels.max()) + 1 if labels.size else 0
    if labels.size and labels.max() >= classes:
        raise IndexOutOfRangeError(f"one_hot: label {labels.max()} is not below num_classes = {classes}")
    return GATES["one_hot"](input, classes=classes, dtype=np.dtype(np.int64))
