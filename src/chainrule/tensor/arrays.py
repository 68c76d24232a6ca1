"""Between Python data, NumPy's element types and ours."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.dtypes import DType
from chainrule.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from chainrule.tensor.graph import Array

_TO_NUMPY = {d: np.dtype(d.name) for d in dtypes.STORED}
_FROM_NUMPY = {n: d for d, n in _TO_NUMPY.items()}
_PYTHON = {float: dtypes.float32, int: dtypes.int64, bool: dtypes.bool_}


def dtype_of(n: np.dtype[Any]) -> DType:
    """Our element type of a NumPy one.

    Raises:
        UnsupportedError: for complex numbers.
        ArgumentTypeError: for a type without a counterpart (strings, objects, uint16 ...).
    """
    known = _FROM_NUMPY.get(n)
    if known is not None:
        return known
    if n.newbyteorder("=") in _FROM_NUMPY:  # the same type in the other byte order
        return _FROM_NUMPY[n.newbyteorder("=")]
    return dtypes.dtype_named(n.name)


def numpy_dtype(d: Any) -> np.dtype[Any]:
    """NumPy's element type of ours, of `float`, `int`, `bool`, or of a NumPy type.

    Raises:
        UnsupportedError: for bfloat16, which NumPy does not have, and for complex types.
    """
    if isinstance(d, DType):
        if d is dtypes.bfloat16:
            raise UnsupportedError("bfloat16 has no arithmetic here; use float32, or float16 to save memory")
        return _TO_NUMPY[d]
    if d in _PYTHON:
        return _TO_NUMPY[_PYTHON[d]]
    try:
        return _TO_NUMPY[dtype_of(np.dtype(d))]
    except TypeError:
        raise ArgumentTypeError(f"{d!r} is not an element type; use chainrule.float32, chainrule.int64 ...") from None


LINE = 64
"""Bytes of a cache line. Vectors that lie across two lines take a load for each: a matrix product that reads its
factors where they are takes up to 1.3 times as long (128 x 784 with 784 x 128 on Zen 5, 512-bit vectors)."""


SMALL = 4096
"""Bytes below which looking where an array begins takes longer than what it saves."""


def empty(shape: tuple[int, ...], dtype: Any, allocate: Callable[..., Array] = np.empty) -> Array:
    """An uninitialised array that begins on a cache line, which NumPy's own need not; a small one may be anywhere."""
    kind = np.dtype(dtype)
    size = prod(shape) * kind.itemsize
    if size < SMALL:
        return allocate(shape, kind)
    raw = allocate(size + LINE, np.uint8)
    return np.ndarray(shape, kind, raw, -raw.__array_interface__["data"][0] % LINE)


def zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array of zeros, where `empty` puts it."""
    return empty(shape, dtype, np.zeros)


def full(shape: tuple[int, ...], number: Any, dtype: Any) -> Array:
    """An array of one number, where `empty` puts it."""
    array = empty(shape, dtype)
    array[...] = number
    return array


def copy_of(array: Array, dtype: Any = None) -> Array:
    """A contiguous copy, where `empty` puts it."""
    copy = empty(array.shape, array.dtype if dtype is None else dtype)
    np.copyto(copy, array, casting="unsafe")
    return copy


def array_of(data: Any) -> Array:
    """Nested sequences, numbers, arrays or tensors as a NumPy array of a type we have.

    Raises:
        ArgumentError: for ragged sequences.
        ArgumentTypeError: for data that are no numbers.
    """
    if hasattr(data, "edge"):
        return data.value  # type: ignore[no-any-return]
    array = np.asarray(data) if isinstance(data, np.ndarray | np.generic) else _from_python(data)
    if array.dtype.kind == "c":
        raise UnsupportedError(
            "complex numbers are not supported: chainrule computes with real numbers.",
            mend="Keep the real and the imaginary part as two tensors.",
        )
    wanted = numpy_dtype(array.dtype)
    return array if array.dtype == wanted and array.dtype.isnative else array.astype(wanted)


def _from_python(data: Any) -> Array:
    if isinstance(data, list | tuple) and any(hasattr(part, "edge") for part in data):
        data = [array_of(part) for part in data]
    try:
        array = np.array(data)
    except ValueError as error:
        raise ArgumentError(f"the nested sequence has rows of different lengths: {error}") from None
    if array.dtype.kind in "OUSV":
        raise ArgumentTypeError(f"cannot make a tensor of {type(data).__name__} data: {str(data)[:60]!r}")
    return array
