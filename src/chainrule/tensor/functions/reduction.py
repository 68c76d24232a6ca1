"""sum, mean, var, max ...: reductions under PyTorch's names (`dim`, `keepdim`; NumPy's `axis`, `keepdims` too)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from chainrule.errors import ArgumentError, DTypeError, IndexOutOfRangeError
from chainrule.shapes import Axes, normal_axes, normal_axis
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor, wrap

F = TypeVar("F", bound=Callable[..., Any])
NUMPYS_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def with_numpys_names(function: F) -> F:
    """Let a function take `axis` for `dim` and `keepdims` for `keepdim`, as PyTorch's do."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            kwargs = {NUMPYS_NAMES.get(name, name): value for name, value in kwargs.items()}
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def axes_of(dim: Any) -> Axes:
    """A list of axes as the tuple that operators take."""
    return tuple(dim) if isinstance(dim, list) else dim


def as_dtype(input: Tensor, dtype: Any) -> Tensor:
    """The input in another element type; as it is for None."""
    return input if dtype is None else GATES["cast"](input, dtype=numpy_dtype(dtype))


@with_numpys_names
def sum(input: Tensor, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over the axes `dim` (all by default); integers and bools give int64."""
    if dim is None and not keepdim and dtype is None:
        return GATES["sum"](input)
    return GATES["sum"](as_dtype(input, dtype), axis=axes_of(dim), keepdims=keepdim)


@with_numpys_names
def mean(input: Tensor, dim: Axes = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over the axes; floats only, as in PyTorch.

    Raises:
        DTypeError: for integers and bools.
    """
    return GATES["mean"](as_dtype(input, dtype), axis=axes_of(dim), keepdims=keepdim)


@with_numpys_names
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product over one axis, or of all elements."""
    return GATES["prod"](as_dtype(input, dtype), axis=dim, keepdims=keepdim)


def _correction(unbiased: bool | None, correction: float | None) -> float:
    if correction is not None:
        return correction
    return 1 if unbiased is None or unbiased else 0


@with_numpys_names
def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance with Bessel's correction, or with `unbiased=False`, `correction=c` divided by n - c."""
    if isinstance(dim, bool):  # var(unbiased)
        dim, unbiased = None, dim
    return GATES["var"](input, axis=axes_of(dim), correction=_correction(unbiased, correction), keepdims=keepdim)


@with_numpys_names
def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation: the square root of var."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return GATES["std"](input, axis=axes_of(dim), correction=_correction(unbiased, correction), keepdims=keepdim)


@with_numpys_names
def var_mean(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, **options: Any
) -> Any:
    """(variance, mean)."""
    return var(input, dim, unbiased, keepdim, **options), mean(input, None if isinstance(dim, bool) else dim, keepdim)


@with_numpys_names
def std_mean(
    input: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, **options: Any
) -> Any:
    """(standard deviation, mean)."""
    return std(input, dim, unbiased, keepdim, **options), mean(input, None if isinstance(dim, bool) else dim, keepdim)


class ValuesAndIndices(NamedTuple):
    """What max, min, sort, topk and their relatives return for an axis."""

    values: Tensor
    indices: Tensor


def _not_empty(input: Tensor, name: str, dim: int | None) -> None:
    ndim = input.value.ndim
    size = input.value.size if dim is None or not ndim else input.value.shape[normal_axis(dim, ndim)]
    if size == 0:
        raise IndexOutOfRangeError(
            f"{name}(): no identity for an empty axis; there is nothing to choose from", got=[describe("input", input)]
        )


def _none_empty(input: Tensor, name: str, dim: Any) -> None:
    """The same for several axes; all of them for ()."""
    for axis in normal_axes(axes_of(dim), input.value.ndim):
        _not_empty(input, name, axis)


@with_numpys_names
def amax(input: Tensor, dim: Axes = (), keepdim: bool = False) -> Tensor:
    """The largest element over the axes; elements that tie share the gradient."""
    _none_empty(input, "amax", dim)
    return GATES["amax"](input, axis=axes_of(dim) if dim != () else None, keepdims=keepdim)


@with_numpys_names
def amin(input: Tensor, dim: Axes = (), keepdim: bool = False) -> Tensor:
    """The smallest element over the axes; elements that tie share the gradient."""
    _none_empty(input, "amin", dim)
    return GATES["amin"](input, axis=axes_of(dim) if dim != () else None, keepdims=keepdim)


@with_numpys_names
def aminmax(input: Tensor, *, dim: Axes = None, keepdim: bool = False) -> Any:
    """(smallest, largest) over the axis, or of all elements."""
    return amin(input, () if dim is None else dim, keepdim), amax(input, () if dim is None else dim, keepdim)


def _extremum(input: Tensor, dim: int, keepdim: bool, place: str) -> ValuesAndIndices:
    if not input.value.ndim:
        return ValuesAndIndices(GATES["reshape"](input, shape=()), wrap(np.zeros((), np.int64), None))
    axis = normal_axis(dim, input.value.ndim)
    _not_empty(input, place[3:], axis)
    kept = GATES[place](input, axis=axis, keepdims=True)
    values = GATES["gather"](input, kept, axis=axis)
    if keepdim:
        return ValuesAndIndices(values, kept)
    shape = input.value.shape[:axis] + input.value.shape[axis + 1 :]
    return ValuesAndIndices(GATES["reshape"](values, shape=shape), GATES["reshape"](kept, shape=shape))


@with_numpys_names
def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; with an axis (values, indices); with a tensor as second argument, maximum."""
    if isinstance(dim, Tensor):
        return GATES["maximum"](input, dim)
    return amax(input) if dim is None else _extremum(input, dim, keepdim, "argmax")


@with_numpys_names
def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; with an axis (values, indices); with a tensor as second argument, minimum."""
    if isinstance(dim, Tensor):
        return GATES["minimum"](input, dim)
    return amin(input) if dim is None else _extremum(input, dim, keepdim, "argmin")


@with_numpys_names
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The place of the largest element, the first of a tie."""
    _not_empty(input, "argmax", dim)
    return GATES["argmax"](input, axis=dim, keepdims=keepdim)


@with_numpys_names
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The place of the smallest element, the first of a tie."""
    _not_empty(input, "argmin", dim)
    return GATES["argmin"](input, axis=dim, keepdims=keepdim)


@with_numpys_names
def any(input: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """True if an element is nonzero."""
    return GATES["any"](input, axis=axes_of(dim), keepdims=keepdim)


@with_numpys_names
def all(input: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """True if no element is zero."""
    return GATES["all"](input, axis=axes_of(dim), keepdims=keepdim)


@with_numpys_names
def logsumexp(input: Tensor, dim: Axes, keepdim: bool = False) -> Tensor:
    """log sum e^x over the axes, without overflow."""
    return GATES["logsumexp"](input, axis=axes_of(dim), keepdims=keepdim)


@with_numpys_names
def norm(input: Tensor, p: Any = "fro", dim: Axes = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """(sum |x|^p)^(1/p) over the axes; "fro" is p = 2."""
    if p is None or p == "fro":
        p = 2.0
    if not isinstance(p, int | float):
        raise ArgumentError(f"norm: p is a number, inf or 'fro', not {p!r}")
    return GATES["norm"](as_dtype(input, dtype), p=float(p), axis=axes_of(dim), keepdims=keepdim)


def dist(input: Tensor, other: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm of input - other."""
    return norm(input - other, p)


@with_numpys_names
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """At each place the sum of the elements up to it along the axis."""
    gate = GATES["cumsum" if input.value.ndim else "sum"]  # NumPy makes a vector of a number
    return gate(as_dtype(input, dtype), axis=normal_axis(dim, input.value.ndim))


@with_numpys_names
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """At each place the product of the elements up to it along the axis."""
    gate = GATES["cumprod" if input.value.ndim else "prod"]
    return gate(as_dtype(input, dtype), axis=normal_axis(dim, input.value.ndim))


@with_numpys_names
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element in order, the lower of two; with an axis (values, indices)."""
    _not_empty(input, "median", dim)
    if dim is None:
        flat = GATES["reshape"](input, shape=(-1,))
        return _kth(flat, (flat.value.size - 1) // 2, 0, False).values
    axis = normal_axis(dim, input.value.ndim)
    return _kth(input, (input.value.shape[axis] - 1) // 2, axis, keepdim)


@with_numpys_names
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """The k-th smallest element along the axis, counted from 1, and its place."""
    axis = normal_axis(dim, input.value.ndim)
    size = input.value.shape[axis] if input.value.ndim else 1
    if not 1 <= k <= size:
        raise ArgumentError(f"kthvalue(): k = {k} is not in [1, {size}], the size of axis {dim}")
    if not input.value.ndim:
        return _extremum(input, 0, keepdim, "argmax")
    return _kth(input, k - 1, axis, keepdim)


def _kth(input: Tensor, k: int, axis: int, keepdim: bool) -> ValuesAndIndices:
    order = GATES["argsort"](input, axis=axis)
    index = wrap(np.take(order.value, [k], axis=axis), None)
    values = GATES["gather"](input, index, axis=axis)
    if keepdim:
        return ValuesAndIndices(values, index)
    shape = values.value.shape[:axis] + values.value.shape[axis + 1 :]
    return ValuesAndIndices(GATES["reshape"](values, shape=shape), wrap(index.value.reshape(shape), None))


@with_numpys_names
def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """e^x / sum e^x along the axis."""
    return GATES["softmax"](as_dtype(input, dtype), axis=dim)


@with_numpys_names
def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """log softmax, without overflow."""
    return GATES["log_softmax"](as_dtype(input, dtype), axis=dim)


@with_numpys_names
def count_nonzero(input: Tensor, dim: Axes = None) -> Tensor:
    """How many elements are not 0."""
    return GATES["sum"](GATES["ne"](input, 0), axis=axes_of(dim))


def equal(input: Tensor, other: Tensor) -> bool:
    """True if both have the same shape and elements."""
    return bool(np.array_equal(input.value, other.value))


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """True if |input - other| <= atol + rtol |other| for every element."""
    if input.value.dtype != other.value.dtype:
        raise DTypeError("allclose: the element types differ", got=[describe("input", input), describe("other", other)])
    return bool(np.allclose(input.value, other.value, rtol=rtol, atol=atol, equal_nan=equal_nan))


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Where |input - other| <= atol + rtol |other|."""
    return wrap(np.asarray(np.isclose(input.value, other.value, rtol=rtol, atol=atol, equal_nan=equal_nan)), None)
