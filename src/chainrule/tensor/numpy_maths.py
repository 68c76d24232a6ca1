"""Reader: NumPy. It supplies the primitives; every other operator follows from its own body.

A few operators that are not primitive have a NumPy body here as well, where speed or accuracy needs one;
the tests bind each of them to its declaration.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from math import prod
from typing import Any, TypeAlias

import numpy as np

from chainrule import shapes
from chainrule.ops.attention import factor as score_factor
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.contraction import sizes_by_letter as einsum_shape
from chainrule.ops.maths import Value
from chainrule.ops.op import Op
from chainrule.tensor import normalisation, planes
from chainrule.tensor.erf import erf
from chainrule.tensor.graph import Array

Key: TypeAlias = tuple[Any, ...]

ndarray, newaxis, putmask = np.ndarray, np.newaxis, np.putmask
maximum = np.maximum
BLAS = frozenset((np.dtype(np.float32), np.dtype(np.float64)))
"""The element types that NumPy hands to BLAS."""
ZERO = {np.dtype(t): np.zeros((), t) for t in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")}
"""0 as an array: a Python 0 costs each call 0.2 us for its conversion."""
HALF, FLOAT32 = np.dtype(np.float16), np.dtype(np.float32)
_sum: Callable[..., Value] = np.add.reduce
_max: Callable[..., Value] = np.maximum.reduce
_min: Callable[..., Value] = np.minimum.reduce
_prod: Callable[..., Value] = np.multiply.reduce


class NumPyMaths:
    """`m` on NumPy arrays. Parameters come by name, inputs by position."""

    # ---- elementwise -----------------------------------------------------------------------------------
    add, sub, mul, div, pow, neg = np.add, np.subtract, np.multiply, np.true_divide, np.power, np.negative
    abs, sign, floor, ceil, trunc = np.absolute, np.sign, np.floor, np.ceil, np.trunc
    exp, expm1, log, log1p, log2, log10 = np.exp, np.expm1, np.log, np.log1p, np.log2, np.log10
    sqrt, sin, cos, tan = np.sqrt, np.sin, np.cos, np.tan
    asin, acos, atan, atan2 = np.arcsin, np.arccos, np.arctan, np.arctan2
    sinh, cosh, tanh = np.sinh, np.cosh, np.tanh
    erf = staticmethod(erf)
    maximum, minimum = np.maximum, np.minimum
    eq, ne, lt, le, gt, ge = (
        np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
    )  # fmt: skip
    logical_and, logical_or, logical_xor, logical_not = (
        np.logical_and, np.logical_or, np.logical_xor, np.logical_not,
    )  # fmt: skip
    bitwise_and, bitwise_or, bitwise_xor, bitwise_not = (
        np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert,
    )  # fmt: skip
    isnan, isinf, isfinite, square = np.isnan, np.isinf, np.isfinite, np.square

    @staticmethod
    def round(x: Array) -> Value:
        return np.positive(x) if x.dtype.kind in "iu" else np.rint(x)  # np.rint of integers gives floats

    @staticmethod
    def remainder(a: Any, b: Any) -> Value:
        return np.remainder(a, divisor(b))

    @staticmethod
    def floor_divide(a: Any, b: Any) -> Value:
        return np.floor_divide(a, divisor(b))

    @staticmethod
    def where(condition: Any, a: Any, b: Any) -> Value:
        if type(a) is int and a == 0 and type(b) is ndarray and b.shape == condition.shape:
            return zeroed(condition, b)
        if type(b) is int and b == 0 and type(a) is ndarray and a.shape == condition.shape:
            return zeroed(np.logical_not(condition), a)
        return np.where(condition, a, b)

    @staticmethod
    def cast(x: Array, dtype: Any) -> Value:
        return np.asarray(x).astype(dtype, copy=False)

    @staticmethod
    def relu(x: Array) -> Value:
        return maximum(x, ZERO[x.dtype])

    # ---- reductions --------------------------------------------------------------------------------------
    @staticmethod
    def sum(x: Array, axis: Any = None, keepdims: bool = False) -> Value:
        if axis == (0,) and x.ndim == 2 and not keepdims and x.dtype in BLAS:
            return ones(len(x), x.dtype).dot(x)  # a bias gradient: a third of the time of np.add.reduce
        if x.dtype is HALF:
            return _sum(x, axis, FLOAT32, None, keepdims).astype(HALF)
        if x.dtype.kind == "f":
            return _sum(x, axis, None, None, keepdims)
        return _sum(x, axis, _accumulator(x), None, keepdims)

    @staticmethod
    def mean(x: Array, axis: Any = None, keepdims: bool = False) -> Value:
        if x.dtype is HALF:  # the sum of 66,000 ones is no float16; their mean is
            return (_sum(x, axis, FLOAT32, None, keepdims) / max(shapes.count(x.shape, axis), 1)).astype(HALF)
        return CATALOGUE["mean"].body(NumPyMaths, x, axis=axis, keepdims=keepdims)

    @staticmethod
    def prod(x: Array, axis: Any = None, keepdims: bool = False) -> Value:
        return _prod(x, axis=axis, keepdims=keepdims, dtype=_accumulator(x))

    @staticmethod
    def amax(x: Array, axis: Any = None, keepdims: bool = False) -> Value:
        return _max(x, axis, None, None, keepdims)

    @staticmethod
    def amin(x: Array, axis: Any = None, keepdims: bool = False) -> Value:
        return _min(x, axis, None, None, keepdims)

    any, all = np.any, np.all

    @staticmethod
    def argmax(x: Array, axis: Any = None, keepdims: bool = False) -> Value:
        return np.argmax(x, axis=axis, keepdims=keepdims)

    @staticmethod
    def argmin(x: Array, axis: Any = None, keepdims: bool = False) -> Value:
        return np.argmin(x, axis=axis, keepdims=keepdims)

    @staticmethod
    def cumsum(x: Array, axis: int) -> Value:
        return np.cumsum(x, axis=axis, dtype=_accumulator(x))

    @staticmethod
    def cumprod(x: Array, axis: int) -> Value:
        return np.cumprod(x, axis=axis, dtype=_accumulator(x))

    # ---- contractions ------------------------------------------------------------------------------------
    @staticmethod
    def matmul(a: Array, b: Array) -> Value:
        if a.ndim == 2 == b.ndim:
            return a.dot(b)
        if a.ndim < 2 or b.ndim < 2:  # NumPy takes vectors; the rules need matrices
            raise ValueError("the shape of a vector")
        return np.matmul(a, b)

    @staticmethod
    def linear(x: Array, weight: Array, bias: Array | None = None) -> Value:
        if x.ndim < 2 or weight.ndim != 2:
            raise ValueError("the shape of a vector")
        if x.ndim == 2:
            y = x.dot(weight.T)
        else:  # one product for all rows: of three axes or more NumPy multiplies row by row, ten times slower
            y = x.reshape(prod(x.shape[:-1]), x.shape[-1]).dot(weight.T).reshape((*x.shape[:-1], weight.shape[0]))
        if bias is not None:
            if bias.shape != weight.shape[:1]:
                raise ValueError("the shape of bias")
            y += bias
        return y

    @staticmethod
    def einsum(*operands: Array, spec: str) -> Value:
        einsum_shape(*[x.shape for x in operands], spec=spec)  # NumPy stretches axes of size 1
        return np.einsum(spec, *operands, optimize=len(operands) > 1)

    conv2d = staticmethod(planes.conv2d)
    conv2d_input = staticmethod(planes.conv2d_input)
    conv2d_weight = staticmethod(planes.conv2d_weight)

    # ---- pooling -----------------------------------------------------------------------------------------
    max_pool2d = staticmethod(planes.max_pool2d)
    max_pool2d_input = staticmethod(planes.max_pool2d_input)
    avg_pool2d = staticmethod(planes.avg_pool2d)
    avg_pool2d_input = staticmethod(planes.avg_pool2d_input)

    # ---- movement ----------------------------------------------------------------------------------------
    @staticmethod
    def reshape(x: Array, shape: tuple[int, ...]) -> Value:
        return x.reshape(shape)

    @staticmethod
    def permute(x: Array, order: tuple[int, ...]) -> Value:
        return x.transpose(order)

    @staticmethod
    def mT(x: Array) -> Value:
        return x.T if x.ndim == 2 else x.swapaxes(-1, -2)

    @staticmethod
    def flip(x: Array, axes: tuple[int, ...]) -> Value:
        return np.flip(x, axes).copy()  # in memory of its own, as in PyTorch

    @staticmethod
    def broadcast_to(x: Array, shape: tuple[int, ...]) -> Value:
        if x.size == 1 and type(x) is ndarray and x.dtype.kind == "f" and x.ndim <= len(shape):  # NumPy's takes 4 us
            y = ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
            y.flags.writeable = False
            return y
        return np.broadcast_to(x, shape)

    @staticmethod
    def slice(x: Array, key: Key) -> Value:
        y = x[key]
        return y if type(y) is ndarray else x[(*key, ...)]  # one element: a view, not a NumPy scalar

    @staticmethod
    def embed(x: Array, key: Key, shape: tuple[int, ...]) -> Value:
        y = np.zeros(shape, x.dtype)
        if y[key].shape != x.shape:
            raise ValueError(f"the shape {x.shape} is not that of the slice")
        y[key] = x
        return y

    @staticmethod
    def pad(x: Array, widths: tuple[tuple[int, int], ...], value: float = 0.0) -> Value:
        if len(widths) != x.ndim:  # NumPy repeats a single pair
            raise ValueError("the shape has another number of axes")
        return np.pad(x, widths, constant_values=value)

    @staticmethod
    def cat(*xs: Array, axis: int = 0) -> Value:
        return np.concatenate(xs, axis)

    @staticmethod
    def clone(x: Array) -> Value:
        return np.array(x, order="C")

    @staticmethod
    def tril(x: Array, diagonal: int = 0) -> Value:
        return np.tril(matrices(x), diagonal)

    @staticmethod
    def triu(x: Array, diagonal: int = 0) -> Value:
        return np.triu(matrices(x), diagonal)

    @staticmethod
    def eye(*, size: int, dtype: Any) -> Value:
        return np.eye(size, dtype=dtype)

    @staticmethod
    def zeros(*, shape: tuple[int, ...], dtype: Any) -> Value:
        return np.zeros(shape, dtype)

    # ---- selection ---------------------------------------------------------------------------------------
    @staticmethod
    def take(x: Array, *indices: Array, key: Key) -> Value:
        if key == (None,) and len(indices) == 1 and indices[0].dtype.kind in "iu":
            return x.take(indices[0], 0)  # a third of the time of x[index]
        return x[filled(key, indices)]

    @staticmethod
    def embedding(weight: Array, index: Array, padding_idx: int | None = None) -> Value:
        if weight.ndim != 2:
            raise ValueError("the shape is not that of a table")
        if index.size and _min(index, None) < 0:  # NumPy counts them from the end
            raise IndexError(f"index {_min(index, None)} is out of range")
        return weight.take(index, 0)

    @staticmethod
    def put_add(x: Array, *indices: Array, key: Key, shape: tuple[int, ...]) -> Value:
        if x.shape != shapes.taken(shape, key, [i.shape for i in indices]):  # NumPy would stretch it
            raise ValueError("the shape is not that of the places")
        y = np.zeros(shape, x.dtype)
        if len(indices) == 1 and key == (None,):
            _add_rows(y, indices[0], x)
        else:
            np.add.at(y, filled(key, indices), x)
        return y

    @staticmethod
    def assign(x: Array, v: Array, *indices: Array, key: Key) -> Value:
        y = x.copy()
        y[filled(key, indices)] = v
        return y

    @staticmethod
    def gather(x: Array, index: Array, axis: int) -> Value:
        if index.ndim != x.ndim:
            raise ValueError("the shape has another number of axes")
        if index.size and index.min() < 0:
            raise IndexError(f"index {index.min()} is out of bounds for dimension {axis} with size {x.shape[axis]}")
        if axis == x.ndim - 1 == 1 and index.shape == (x.shape[0], 1):  # one label a row
            return x[rows(x.shape[0]), index[:, 0]][:, newaxis]
        return x[along(index, axis)]

    @staticmethod
    def put_along(x: Array, index: Array, axis: int, shape: tuple[int, ...]) -> Value:
        if not x.ndim == index.ndim == len(shape) or x.shape != index.shape:
            raise ValueError("the shape is not that of the index")
        y = np.zeros(shape, x.dtype)
        np.add.at(y, along(index, axis), x)
        return y

    @staticmethod
    def scatter(x: Array, index: Array, src: Array, axis: int) -> Value:
        if src.shape != index.shape or index.ndim != x.ndim:
            raise ValueError("the shape is not that of the index")
        y = x.copy()
        y[along(index, axis)] = src
        return y

    @staticmethod
    def argsort(x: Array, axis: int = -1, descending: bool = False) -> Value:
        if not x.ndim:
            return np.zeros((), np.int64)
        if not descending:
            return np.argsort(x, axis=axis, kind="stable")
        # reversed before and after: equal elements keep their order
        flipped = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
        return x.shape[axis] - 1 - np.flip(flipped, axis)

    @staticmethod
    def one_hot(index: Array, *, classes: int, dtype: Any) -> Value:
        y = np.zeros((index.size, classes), dtype)
        y[rows(index.size), index.reshape(-1)] = 1
        return y.reshape((*index.shape, classes))

    # ---- attention ---------------------------------------------------------------------------------------
    @staticmethod
    def attention_weights(
        query: Array, key: Array, attn_mask: Array | None = None, *, is_causal: bool = False, scale: float | None = None
    ) -> Value:
        s = np.matmul(query * query.dtype.type(score_factor(query, scale)), key.swapaxes(-1, -2))
        if not s.size:
            return s
        if attn_mask is not None and attn_mask.dtype.kind != "b":
            s += attn_mask
            attn_mask = None
        elif is_causal:
            attn_mask = not_after(*s.shape[-2:])
        if s.dtype in BLAS and _max(s, None) < MODERATE and _min(s, None) > -MODERATE:
            np.exp(s, out=s)
            if attn_mask is not None:
                s *= attn_mask
        else:
            if attn_mask is not None:
                np.copyto(s, -np.inf, where=np.logical_not(attn_mask))
            top = _max(s, -1, None, None, True)
            s -= np.where(np.isfinite(top), top, ZERO[s.dtype])
            np.exp(s, out=s)
        n = s.shape[-1]
        total = s.reshape(-1, n).dot(ones(n, s.dtype)).reshape((*s.shape[:-1], 1))
        if not total.all():
            total[total == 0] = 1
        s /= total
        return s

    # ---- losses ------------------------------------------------------------------------------------------
    @staticmethod
    def cross_entropy_backward(
        g: Array, x: Array, target: Array, weight: Array | None, lse: Array, **options: Any
    ) -> Value:
        if not plain_labels(target, weight, options):
            return CATALOGUE["cross_entropy_backward"].body(NumPyMaths, g, x, target, weight, lse, **options)
        p = x - lse
        np.exp(p, out=p)
        p[rows(len(p)), target] -= 1
        p *= g[:, newaxis] if options["reduction"] == "none" else g / len(p) if options["reduction"] == "mean" else g
        return p

    class Keeping:
        """Own bodies of operators that return kept statistics beside their value."""

        @staticmethod
        def cross_entropy(x: Array, target: Array, weight: Array | None = None, **options: Any) -> tuple[Array, Array]:
            if not plain_labels(target, weight, options):
                kept: tuple[Array, Array] = CATALOGUE["cross_entropy"].body(NumPyMaths, x, target, weight, **options)
                return kept
            top = _max(x, 1, None, None, True)
            z = x - top
            at_label = z[rows(len(z)), target]
            np.exp(z, out=z)
            lse = np.log(_sum(z, 1))
            each = lse - at_label
            top += lse[:, newaxis]
            if options["reduction"] == "none":
                return each, top
            total = _sum(each)
            return (total / x.dtype.type(len(z)) if options["reduction"] == "mean" else total), top

        @staticmethod
        def lstm(x: Array, h0: Array, c0: Array, w_hh: Array) -> tuple[Array, Array]:
            steps, _, width = x.shape
            n = width // 4
            y, gates, w = np.empty((2, steps + 1, *h0.shape), x.dtype), np.empty(x.shape, x.dtype), w_hh.T
            h, c = y
            h[0], c[0] = h0, c0
            for t in range(steps):
                z = np.add(h[t].dot(w), x[t], out=gates[t])
                g = np.tanh(z[:, 2 * n : 3 * n])
                logistic(z)  # of the quarter of g, too: one call for all is less than two
                z[:, 2 * n : 3 * n] = g
                after = np.multiply(z[:, n : 2 * n], c[t], out=c[t + 1])
                g *= z[:, :n]
                after += g
                np.multiply(z[:, 3 * n :], np.tanh(after, out=g), out=h[t + 1])
            return y, gates

        layer_norm = staticmethod(normalisation.layer_norm)
        rms_norm = staticmethod(normalisation.rms_norm)
        batch_norm = staticmethod(normalisation.batch_norm)

    # ---- random ------------------------------------------------------------------------------------------
    @staticmethod
    def uniform(key: int, counter: int, *, shape: tuple[int, ...], dtype: Any) -> Value:
        bits = words(key, counter, prod(shape)).reshape(shape)
        if dtype == np.float64:
            return (bits >> np.uint64(11)) * 2.0**-53
        return ((bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)).astype(dtype, copy=False)

    @staticmethod
    def random_integers(key: int, counter: int, *, low: int, high: int, shape: tuple[int, ...]) -> Value:
        return (words(key, counter, prod(shape)) % np.uint64(high - low)).astype(np.int64).reshape(shape) + low


def logistic(x: Array) -> None:
    """x becomes 1 / (1 + e^-x), in place: where e^-x overflows, the 0 is the number that is meant."""
    np.negative(x, out=x)
    np.exp(x, out=x)
    x += 1
    np.reciprocal(x, out=x)


MODERATE = 50.0
"""Scores between minus and plus this need no shift by their largest: neither they nor their sum overflow in float32.

Two extremes of all scores take a tenth of the time of the largest of each row.
"""


@lru_cache(64)
def not_after(queries: int, keys: int) -> Array:
    """Which keys do not come after each query, shared: read only."""
    seen = np.tri(queries, keys, dtype=np.bool_)
    seen.flags.writeable = False
    return seen


def plain_labels(target: Array, weight: Array | None, options: dict[str, Any]) -> bool:
    """True if every row counts with weight 1: the common case, which has a shorter way."""
    if weight is not None or options["label_smoothing"] or options["ignore_index"] >= 0 or target.dtype.kind != "i":
        return False
    return target.size > 0 and bool(_min(target, None) >= 0)


def divisor(b: Any) -> Any:
    """`b`, for a division of integers: by 0 NumPy says 0 and PyTorch raises."""
    if (type(b) is int or (type(b) is ndarray and b.dtype.kind in "iub")) and not np.all(b):
        raise ZeroDivisionError("an integer is divided by zero")
    return b


INTEGERS: dict[int, np.dtype[Any]] = {2: np.dtype(np.int16), 4: np.dtype(np.int32), 8: np.dtype(np.int64)}


def zeroed(mask: Array, x: Array) -> Value:
    """`x` with 0 where the mask holds, for every value of x: masking a cotangent.

    Large arrays by multiplying the bits with 0 or 1, exact for inf and nan: np.where takes 2.0 ms for a random
    mask of 512 x 1024 float32 (a mispredicted branch for every other element), this 0.2 ms.
    """
    if x.size < 1024 or x.dtype.kind != "f":
        y = x.copy()
        putmask(y, mask, ZERO[x.dtype])
        return y
    return np.multiply(x.view(INTEGERS[x.itemsize]), np.logical_not(mask)).view(x.dtype)


def _accumulator(x: Array) -> Any:
    """int64 for integers and bools: sums and products of them, as in PyTorch; None leaves floats alone."""
    return np.int64 if x.dtype.kind in "biu" else None


def words(key: int, counter: int, n: int) -> Value:
    """`n` random 64-bit words: the Philox blocks counter, counter + 1, ... of four words each."""
    return np.random.Philox(key=key, counter=counter).random_raw(n)


@lru_cache(64)
def ones(n: int, dtype: np.dtype[Any]) -> Array:
    """n ones, shared: read only."""
    vector = np.ones(n, dtype)
    vector.flags.writeable = False
    return vector


@lru_cache(64)
def rows(n: int) -> Value:
    """arange(n), shared: read only."""
    numbers = np.arange(n)
    numbers.flags.writeable = False
    return numbers


def matrices(x: Array) -> Array:
    """`x`, which has at least two axes; NumPy makes a matrix of a vector."""
    if x.ndim < 2:
        raise ValueError("the shape of a vector")
    return x


def filled(key: Key, indices: tuple[Array, ...]) -> Key:
    """The key with its index arrays back in the places marked None."""
    arrays = iter(indices)
    return tuple([next(arrays) if part is None else part for part in key])


def along(index: Array, axis: int) -> Key:
    """The advanced index that reads `x[..., index[i, j, k], ...]`: open grids on the other axes."""
    grid: list[Any] = []
    for a, n in enumerate(index.shape):
        grid.append(index if a == axis else np.arange(n).reshape([n if b == a else 1 for b in range(index.ndim)]))
    return tuple(grid)


FEW = 8192
"""So many elements, or fewer, np.add.at adds one by one faster than they are sorted."""


def _add_rows(y: Array, index: Array, x: Array) -> None:
    """`y[index] += x` for an index along the first axis that may repeat; np.add.at takes 15 times longer.

    The rows are sorted by their place. If many places have few rows each, the k-th rows of all places that have so
    many are added at once, for one k after the other; else the rows of each place are summed in one go.
    """
    n, width = index.size, prod(y.shape[1:])
    flat = index.reshape(-1).astype(np.intp, copy=False)  # narrow integers would overflow below
    flat = flat % len(y) if n else flat
    y, x = y.reshape(len(y), width), x.reshape(n, width)
    if n * width <= FEW:
        np.add.at(y.reshape(-1), (flat[:, newaxis] * width + rows(width)).reshape(-1), x.reshape(-1))
        return
    order = (flat.astype(np.uint16) if len(y) <= 1 << 16 else flat).argsort(kind="stable")  # 16 bits: a radix sort
    place = flat.take(order)
    is_first = np.empty(n, np.bool_)
    is_first[0] = True
    np.not_equal(place[1:], place[:-1], out=is_first[1:])
    first = np.flatnonzero(is_first)
    count = np.append(first[1:], n) - first
    most = int(count.max())
    if 4 * most > len(first):
        y[place.take(first)] = np.add.reduceat(x.take(order, 0), first, axis=0)
        return
    by_count = count.argsort(kind="stable")[::-1]
    first = first.take(by_count)
    total = x.take(order.take(first), 0)
    for k, places in enumerate(np.searchsorted(-count.take(by_count), -np.arange(1, most)).tolist(), 1):
        total[:places] += x.take(order.take(first[:places] + k), 0)
    y[place.take(first)] = total


def runner(op: Op, maths: Any = NumPyMaths) -> Callable[..., Any]:
    """The function that runs an operator, with its kept statistics if it has any: the reader's own, else its body."""
    if op.keeps:
        own: Callable[..., Any] = getattr(maths.Keeping, op.name, None) or partial(op.body, maths)
        return own
    run: Callable[..., Any] = getattr(maths, op.name)
    return run


def complete(maths: Any) -> None:
    """Give a reader every operator that it does not supply itself, from the operator's body."""
    for op in CATALOGUE.values():
        if not hasattr(maths, op.name):
            assert not op.primitive, f"{maths.__name__} lacks the primitive {op.name}"
            setattr(maths, op.name, staticmethod(_value_only(op, maths)))


def _value_only(op: Op, maths: Any) -> Callable[..., Any]:
    if not op.keeps:
        return partial(op.body, maths)
    return lambda *inputs, **params: op.body(maths, *inputs, **params)[0]


complete(NumPyMaths)
