"""Convolution and pooling on NumPy arrays: few calls on long rows, and one matrix product for all windows.

Convolutions turn the batch into the innermost axis first. A window that moves by one column then moves by N
elements, so that what all windows of a row see at one place of the kernel is one run of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from math import inf, prod
from typing import Any

import numpy as np

from chainrule.ops.convolution import NONE, ONE, kernels_in, planes_in, planes_out, windows_of
from chainrule.ops.pooling import pooled
from chainrule.ops.windows import Pair, Windows, places
from chainrule.tensor.graph import Array

HALF = np.dtype(np.float16)

COLUMNS = 1 << 21
"""Bytes of windows that are laid out at once: they stay in the cache until the product has read them.

Of a kernel of 7 x 7 on 64 x 64 planes, with steps of 2, one sample at a time takes a third of the time of two: rows
of two elements cost more than the batch saves.
"""

FEW = 4
"""Fewer samples than these are taken one by one."""


# ---- convolution -----------------------------------------------------------------------------------------------


def in_float32(body: Callable[..., Array]) -> Callable[..., Array]:
    """The same with sums of float16 in float32, and rounded once."""

    @wraps(body)
    def run(*inputs: Array | None, **params: Any) -> Array:
        first = inputs[0]
        if first is None or first.dtype is not HALF:
            return body(*inputs, **params)
        wider = [None if x is None else x.astype(np.float32) for x in inputs]
        return body(*wider, **params).astype(HALF)

    return run


@in_float32
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Pair = ONE,
    padding: Pair = NONE,
    dilation: Pair = ONE,
    groups: int = 1,
) -> Array:
    """The windows as columns of one matrix for each group, which the kernels multiply from the left."""
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    shape = planes_out(x.shape, weight.shape, None if bias is None else bias.shape, **options)
    windows = windows_of(x.shape, weight.shape, **options)
    if is_pointwise(windows, groups):
        y: Array = np.matmul(weight[:, :, 0, 0], flat(x))
        if bias is not None:
            y += bias[:, np.newaxis]
        return y.reshape(shape)
    y = np.empty((shape[0], prod(shape[1:])), x.dtype)
    kernels = weight.reshape(groups, shape[1] // groups, prod(weight.shape[1:]))
    shift = None if bias is None else bias.reshape(groups, shape[1] // groups, 1)
    for part in parts(x, windows):
        z = product(kernels, columns(x[part], windows, groups))
        if shift is not None:
            z += shift
        samples = y[part]
        samples[...] = z.reshape(y.shape[1], len(samples)).T
    return y.reshape(shape)


@in_float32
def conv2d_input(
    c: Array,
    weight: Array,
    *,
    size: Pair,
    stride: Pair = ONE,
    padding: Pair = NONE,
    dilation: Pair = ONE,
    groups: int = 1,
) -> Array:
    """What each window is to receive, as columns of one matrix for each group, added where the windows stood."""
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    shape = planes_in(c.shape, weight.shape, size=size, **options)
    windows = windows_of(shape, weight.shape, **options)
    if is_pointwise(windows, groups):
        x: Array = np.matmul(weight[:, :, 0, 0].T, flat(c))
        return x.reshape(shape)
    x = np.empty(shape, c.dtype)
    kernels = weight.reshape(groups, weight.shape[0] // groups, prod(weight.shape[1:])).swapaxes(1, 2)
    for part in parts(x, windows):
        into_planes(product(kernels, rows(c[part], groups)), windows, x[part])
    return x


@in_float32
def conv2d_weight(
    c: Array,
    x: Array,
    *,
    size: Pair,
    stride: Pair = ONE,
    padding: Pair = NONE,
    dilation: Pair = ONE,
    groups: int = 1,
) -> Array:
    """One product for each group: its rows of c times its windows."""
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    shape = kernels_in(c.shape, x.shape, size=size, **options)
    windows = windows_of(x.shape, shape, **options)
    if is_pointwise(windows, groups):
        weight: Array = np.matmul(flat(c), flat(x).swapaxes(1, 2)).sum(0)
        return weight.reshape(shape)
    weight = np.zeros((groups, shape[0] // groups, prod(shape[1:])), c.dtype)
    for part in parts(x, windows):
        weight += product(rows(c[part], groups), columns(x[part], windows, groups).swapaxes(1, 2))
    return weight.reshape(shape)


def is_pointwise(windows: Windows, groups: int) -> bool:
    """True for kernels of one element, which multiply each sample as it lies; tiny planes are better put together."""
    return groups == 1 and places(windows) == 1 and windows.tile and prod(windows.size) >= 8


def flat(x: Array) -> Array:
    """(N, C, height, width) to (N, C, height width)."""
    return x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])


def parts(x: Array, windows: Windows) -> Iterator[slice]:
    """Slices of the batch whose windows take COLUMNS bytes at most, or single samples."""
    one = x.shape[1] * places(windows) * prod(windows.count) * x.itemsize
    step = COLUMNS // max(one, 1)
    step = 1 if step < FEW else step
    return (slice(start, start + step) for start in range(0, len(x), step))


def product(a: Array, b: Array) -> Array:
    """Matrix products, group by group; of one group by the shorter way."""
    products: Array = a[0].dot(b[0])[np.newaxis] if len(a) == 1 else np.matmul(a, b)
    return products


def rows(x: Array, groups: int) -> Array:
    """(N, C, height, width) to (groups, C / groups, height width N): a row for each channel."""
    n, channels, height, width = x.shape
    return batch_last(x).reshape(groups, channels // groups, height * width * n)


def columns(x: Array, windows: Windows, groups: int) -> Array:
    """(N, C, height, width) to (groups, C / groups places, down across N): a column for each window and sample."""
    n, channels = x.shape[:2]
    grid = batch_last(x)
    if windows.padded != windows.size:
        within, grid = grid, np.zeros((channels, *windows.padded, n), x.dtype)
        grid[windows.inside[1:]] = within
    plane, row, column, one = grid.strides
    (down, across), (lower, further) = windows.stride, windows.dilation
    strides = (plane, row * lower, column * further, row * down, column * across, one)
    seen = np.ndarray((channels, *windows.kernel, *windows.count, n), grid.dtype, grid, 0, strides)
    return seen.reshape(groups, channels // groups * places(windows), prod(windows.count) * n)


def batch_last(x: Array) -> Array:
    """(N, C, height, width) to (C, height, width, N) in memory of its own."""
    return np.ascontiguousarray(x.reshape(len(x), prod(x.shape[1:])).T).reshape(*x.shape[1:], len(x))


def into_planes(v: Array, windows: Windows, x: Array) -> None:
    """The transpose of `columns`, written to x (N, C, height, width): places that several windows saw add up."""
    n, channels = x.shape[:2]
    v = v.reshape(channels, places(windows), *windows.count, n)
    grid = np.zeros((channels, *windows.padded, n), x.dtype)
    for place, tap in enumerate(windows.taps):
        grid[tap[1:]] += v[:, place]
    x[...] = grid[windows.inside[1:]].transpose(3, 0, 1, 2)


# ---- pooling ---------------------------------------------------------------------------------------------------


def max_pool2d(
    x: Array, *, kernel: Pair, stride: Pair, padding: Pair = NONE, dilation: Pair = ONE, ceil_mode: bool = False
) -> Array:
    """The largest element of each window."""
    windows = pooled(x.shape, kernel, stride, padding, dilation, ceil_mode)
    return folded(np.maximum, with_margins(x, windows, -inf), windows)


def max_pool2d_input(
    c: Array,
    x: Array,
    top: Array,
    *,
    kernel: Pair,
    stride: Pair,
    padding: Pair = NONE,
    dilation: Pair = ONE,
    ceil_mode: bool = False,
) -> Array:
    """Each c to the first element of its window that is not less than the maximum: of nan, to the window's first.

    What is handed on is c's bits times 0 or 1, and what is kept is the rest of them: infinite cotangents are safe.
    """
    windows = pooled(x.shape, kernel, stride, padding, dilation, ceil_mode)
    x = with_margins(x, windows, -inf)
    integer = np.dtype(f"i{c.itemsize}")
    gx = np.empty(x.shape, c.dtype) if windows.tile else np.zeros(x.shape, c.dtype)
    left = np.ascontiguousarray(c).view(integer)
    for tap in windows.taps:
        rest = np.less(x[tap], top).astype(integer)
        rest *= left
        if windows.tile:
            np.bitwise_xor(left, rest, out=gx.view(integer)[tap])
        else:
            gx[tap] += np.bitwise_xor(left, rest).view(c.dtype)
        left = rest
    return without_margins(gx, windows)


@in_float32
def avg_pool2d(
    x: Array,
    *,
    kernel: Pair,
    stride: Pair,
    padding: Pair = NONE,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """The sum of each window by its divisor."""
    windows = pooled(x.shape, kernel, stride, padding, ONE, ceil_mode)
    y = folded(np.add, with_margins(x, windows, 0.0), windows)
    y /= divisor(windows, count_include_pad, divisor_override, x.dtype)
    return y


@in_float32
def avg_pool2d_input(
    c: Array,
    *,
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair = NONE,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Each c by its divisor to all that its window saw."""
    windows = pooled((*c.shape[:2], *size), kernel, stride, padding, ONE, ceil_mode)
    share = c / divisor(windows, count_include_pad, divisor_override, c.dtype)
    if windows.tile:
        (down, across), (height, width) = windows.count, kernel
        gx = np.empty((*c.shape[:2], down, height, across, width), c.dtype)
        gx[...] = share[:, :, :, np.newaxis, :, np.newaxis]
        return gx.reshape(*c.shape[:2], *size)
    gx = np.zeros((*c.shape[:2], *windows.padded), c.dtype)
    for tap in windows.taps:
        gx[tap] += share
    return without_margins(gx, windows)


def folded(f: Callable[..., Array], x: Array, windows: Windows) -> Array:
    """f over the elements of each window: over the rows that it sees, then over the columns."""
    for axis, steps in ((2, windows.rows), (3, windows.columns)):
        lead = (slice(None),) * axis
        first, *others = [x[(*lead, step)] for step in steps]
        x = f(first, others[0]) if others else first.copy()
        for other in others[1:]:
            f(x, other, out=x)
    return x


def with_margins(x: Array, windows: Windows, fill: float) -> Array:
    """The planes with their margins filled; the array itself where there are none."""
    if windows.padded == windows.size:
        return x
    padded = np.full((*x.shape[:2], *windows.padded), fill, x.dtype)
    padded[windows.inside] = x
    return padded


def without_margins(x: Array, windows: Windows) -> Array:
    """The planes alone."""
    return x if windows.padded == windows.size else np.ascontiguousarray(x[windows.inside])


@lru_cache(256)
def divisor(windows: Windows, count_include_pad: bool, divisor_override: int | None, dtype: np.dtype[Any]) -> Array:
    """What the sum of each window is divided by, shared: read only."""
    if divisor_override is not None:
        numbers = np.array(divisor_override, dtype)
    else:
        down, across = (_counted(windows, axis, count_include_pad) for axis in (0, 1))
        numbers = np.outer(down, across).astype(dtype)
        numbers = numbers[0, 0] if (numbers == numbers[0, 0]).all() else numbers
    numbers = np.asarray(numbers)
    numbers.flags.writeable = False
    return numbers


def _counted(windows: Windows, axis: int, count_include_pad: bool) -> Array:
    """How many elements each window counts along an axis: those of the plane, and of the padding if it counts."""
    edge = windows.padding[axis] if count_include_pad else 0
    starts = np.arange(windows.count[axis]) * windows.stride[axis] - windows.padding[axis]
    stops = np.minimum(starts + windows.kernel[axis], windows.size[axis] + edge)
    return stops - np.maximum(starts, -edge)
