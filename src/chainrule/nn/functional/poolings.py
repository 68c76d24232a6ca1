"""max_pool2d, avg_pool2d, adaptive_avg_pool2d under PyTorch's names. What they compute stands in `ops/pooling.py`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, UnsupportedError
from chainrule.nn.functional.planes import for_each_axis, on_batches
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.graph import Array
from chainrule.tensor.tensor import Tensor, wrap


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """The largest element of each window; of several that are equal, the first gets the gradient.

    Args:
        input: (N, C, height, width) or (C, height, width).
        kernel_size: height and width of a window; an integer, or one for each axis, as all the following.
        stride: by how much the window moves; the kernel size for None.
        padding: how far a window may reach over the edge; at most half of the kernel.
        dilation: how far apart the elements are that it sees.
        ceil_mode: a last window that reaches over the edge counts.
        return_indices: not supported.

    Raises:
        ShapeError: for another number of axes, or a window larger than the padded input.
        ArgumentError: for numbers out of range.
        DTypeError: for integers.
        UnsupportedError: for return_indices.
    """
    refuse_indices(return_indices)
    kernel = for_each_axis(kernel_size, 2, "kernel_size")
    options = {
        "kernel": kernel,
        "stride": _stride(stride, kernel),
        "padding": for_each_axis(padding, 2, "padding"),
        "dilation": for_each_axis(dilation, 2, "dilation"),
        "ceil_mode": bool(ceil_mode),
    }
    return on_batches("max_pool2d", input, 2, lambda x: GATES["max_pool2d"](x, **options))


def refuse_indices(return_indices: bool) -> None:
    """Raises UnsupportedError if the places of the maxima are asked for."""
    if return_indices:
        raise UnsupportedError("max_pool2d: return_indices=True is not supported: only the maxima are returned")


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window.

    Args:
        input, kernel_size, stride, padding, ceil_mode: as in max_pool2d; what reaches over the edge is 0.
        count_include_pad: the padding's zeros count as elements of the window.
        divisor_override: what every sum is divided by, instead of the number of elements.

    Raises:
        ShapeError, ArgumentError, DTypeError: as max_pool2d, and for a divisor of 0.
    """
    kernel = for_each_axis(kernel_size, 2, "kernel_size")
    options = {
        "kernel": kernel,
        "stride": _stride(stride, kernel),
        "padding": for_each_axis(padding, 2, "padding"),
        "ceil_mode": bool(ceil_mode),
        "count_include_pad": bool(count_include_pad),
        "divisor_override": divisor_override,
    }
    return on_batches("avg_pool2d", input, 2, lambda x: GATES["avg_pool2d"](x, **options))


def _stride(stride: Any, kernel: tuple[int, ...]) -> tuple[int, ...]:
    nothing = stride is None or (isinstance(stride, Sequence) and not len(stride))
    return kernel if nothing else for_each_axis(stride, 2, "stride")


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The means of as many windows as asked for: the i-th of m starts at floor(i n / m), ends at ceil((i+1) n / m).

    Args:
        input: (N, C, height, width) or (C, height, width).
        output_size: m, an integer, or one for each axis; None keeps the input's size.

    Raises:
        ShapeError: for another number of axes.
        ArgumentError: for a negative size.
    """
    given = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * 2
    sizes = input.value.shape[-2:]
    if len(given) == 2:
        given = tuple([n if m is None else m for m, n in zip(given, sizes, strict=False)])
    wanted = for_each_axis(given, 2, "output_size")
    if min(wanted) < 0:
        raise ArgumentError(f"adaptive_avg_pool2d: elements of output_size must be 0 or more, but received {wanted}")
    return on_batches("adaptive_avg_pool2d", input, 2, lambda x: _means(x, wanted))


def _means(x: Tensor, wanted: tuple[int, ...]) -> Tensor:
    height, width = sizes = x.value.shape[2:]
    if all(m and not n % m for n, m in zip(sizes, wanted, strict=True)) and 0 not in x.value.shape[1:]:
        kernel = (height // wanted[0], width // wanted[1])
        return GATES["avg_pool2d"](x, kernel=kernel, stride=kernel)
    down, across = (wrap(averages(n, m, x.value.dtype), None) for n, m in zip(sizes, wanted, strict=True))
    return GATES["matmul"](GATES["matmul"](down, x), GATES["mT"](across))


@lru_cache(64)
def averages(n: int, m: int, dtype: np.dtype[Any]) -> Array:
    """(m, n): the matrix that takes the means of m windows over n elements, shared: read only."""
    matrix = np.zeros((m, n), dtype)
    for i in range(m):
        start, stop = i * n // m, -(-(i + 1) * n // m)
        matrix[i, start:stop] = 1 / (stop - start) if stop > start else np.nan
    matrix.flags.writeable = False
    return matrix
