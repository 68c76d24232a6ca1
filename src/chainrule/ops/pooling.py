"""Pooling: each window of a plane becomes one number, its largest element or its mean."""

from __future__ import annotations

from math import inf

from chainrule.errors import ArgumentError, ShapeError
from chainrule.ops.kinds import composite
from chainrule.ops.maths import Maths, Value
from chainrule.ops.windows import Pair, Windows, overlapped, places, seen, windows_on
from chainrule.shapes import Shape

ONE, NONE = (1, 1), (0, 0)

# ---- the largest element ---------------------------------------------------------------------------------------


@composite(takes="float", source="Ranzato, Huang, Boureau and LeCun 2007")
def max_pool2d(
    m: Maths,
    x: Value,
    *,
    kernel: Pair,
    stride: Pair,
    padding: Pair = NONE,
    dilation: Pair = ONE,
    ceil_mode: bool = False,
) -> Value:
    """The largest element of each window of x (N, C, height, width); of a tie the first has the slope, row by row."""
    windows = pooled(x.shape, kernel, stride, padding, dilation, ceil_mode)
    return m.amax(seen(m, x, windows, fill=-inf), axis=4)


@composite(takes="float", promotes=("c",))
def max_pool2d_input(
    m: Maths,
    c: Value,
    x: Value,
    top: Value,
    *,
    kernel: Pair,
    stride: Pair,
    padding: Pair = NONE,
    dilation: Pair = ONE,
    ceil_mode: bool = False,
) -> Value:
    """The transpose of max_pool2d at x, with the maxima `top`: each c is added where its window's maximum stands."""
    windows = pooled(x.shape, kernel, stride, padding, dilation, ceil_mode)
    shape = (*c.shape, places(windows))
    chosen = m.put_along(m.reshape(c, shape=(*c.shape, 1)), _first_maxima(m, x, top, windows), axis=4, shape=shape)
    return overlapped(m, chosen, windows)


def _first_maxima(m: Maths, x: Value, top: Value, windows: Windows) -> Value:
    """The place in each window of its first element that is equal to its maximum: (N, C, down, across, 1)."""
    hit = m.eq(seen(m, x, windows, fill=-inf), m.reshape(top, shape=(*top.shape, 1)))
    return m.argmax(m.cast(hit, dtype=x.dtype), axis=4, keepdims=True)


@max_pool2d.pullback("x")
def to_the_first_maxima(
    m: Maths,
    g: Value,
    x: Value,
    y: Value,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool,
) -> Value:
    return m.max_pool2d_input(
        g, x, y, kernel=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )


@max_pool2d_input.pullback("c")
def from_the_first_maxima(
    m: Maths,
    g: Value,
    x: Value,
    top: Value,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool,
) -> Value:
    windows = pooled(x.shape, kernel, stride, padding, dilation, ceil_mode)
    chosen = m.gather(seen(m, g, windows), _first_maxima(m, x, top, windows), axis=4)
    return m.reshape(chosen, shape=top.shape)


# ---- the mean --------------------------------------------------------------------------------------------------


@composite(takes="float", source="LeCun, Bottou, Bengio and Haffner 1998, section II.B")
def avg_pool2d(
    m: Maths,
    x: Value,
    *,
    kernel: Pair,
    stride: Pair,
    padding: Pair = NONE,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    """The sum of each window of x (N, C, height, width) by its number of elements, or by `divisor_override`.

    The zeros of the padding count (unless `count_include_pad` is False), a window's part beyond it never does.
    """
    windows = pooled(x.shape, kernel, stride, padding, ONE, ceil_mode)
    total = m.sum(seen(m, x, windows), axis=4)
    return total / _divisor(m, windows, count_include_pad, divisor_override, x.dtype)


@composite(takes="float")
def avg_pool2d_input(
    m: Maths,
    c: Value,
    *,
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair = NONE,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    """The transpose of avg_pool2d, planes of `size`: each c by its divisor is added to all that its window saw."""
    windows = pooled((*c.shape[:2], *size), kernel, stride, padding, ONE, ceil_mode)
    share = c / _divisor(m, windows, count_include_pad, divisor_override, c.dtype)
    spread = m.broadcast_to(m.reshape(share, shape=(*c.shape, 1)), shape=(*c.shape, places(windows)))
    return overlapped(m, spread, windows)


def _divisor(m: Maths, windows: Windows, count_include_pad: bool, divisor_override: int | None, dtype: object) -> Value:
    """What each window's sum is divided by: a number, or (1, 1, down, across) where windows reach over the edge."""
    if divisor_override is not None:
        return divisor_override
    padding = windows.padding if count_include_pad else NONE
    counted = [(min(before, p), min(after, p)) for p, (before, after) in zip(padding, windows.margins, strict=True)]
    if counted == list(windows.margins):
        return places(windows)
    rest = [(b - p, a - q) for (b, a), (p, q) in zip(windows.margins, counted, strict=True)]
    ones = m.pad(1 + m.zeros(shape=(1, 1, *windows.size), dtype=dtype), widths=((0, 0), (0, 0), *counted), value=1.0)
    ones = m.pad(ones, widths=((0, 0), (0, 0), *rest))
    return m.sum(seen(m, ones, windows_on(windows.padded, windows.kernel, windows.stride, NONE, ONE)), axis=4)


@avg_pool2d.pullback("x")
def to_all_of_the_window(
    m: Maths,
    g: Value,
    x_shape: Shape,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Value:
    return m.avg_pool2d_input(
        g,
        size=x_shape[2:],
        kernel=kernel,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


@avg_pool2d_input.pullback("c")
def mean_again(
    m: Maths,
    g: Value,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Value:
    return m.avg_pool2d(
        g,
        kernel=kernel,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


# ---- shapes ----------------------------------------------------------------------------------------------------


def pooled(x: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> Windows:
    """The windows of a pooling.

    Raises:
        ShapeError: for other than four axes, no channels, or a kernel larger than the padded plane.
        ArgumentError: for a kernel, stride or dilation below 1, a padding below 0 or above half of the kernel.
    """
    if len(x) != 4 or 0 in x[1:]:
        raise ShapeError(f"x {x} is not (N, C, height, width) with one element at least in each of the last three axes")
    for p, k, d in zip(padding, kernel, dilation, strict=True):
        if 2 * p > d * (k - 1) + 1:
            raise ArgumentError(
                f"padding {padding} is more than half of what the kernel {kernel} with dilation {dilation} reaches over"
            )
    return windows_on(x[2:], kernel, stride, padding, dilation, ceil_mode)


@max_pool2d.shape
def maxima(
    x: Shape, *, kernel: Pair, stride: Pair, padding: Pair = NONE, dilation: Pair = ONE, ceil_mode: bool = False
) -> Shape:
    return (*x[:2], *pooled(x, kernel, stride, padding, dilation, ceil_mode).count)


@max_pool2d_input.shape
def maxima_back(
    c: Shape,
    x: Shape,
    top: Shape,
    *,
    kernel: Pair,
    stride: Pair,
    padding: Pair = NONE,
    dilation: Pair = ONE,
    ceil_mode: bool = False,
) -> Shape:
    result = (*x[:2], *pooled(x, kernel, stride, padding, dilation, ceil_mode).count)
    if not c == top == result:
        raise ShapeError(f"c {c} and top {top} have not the shape {result} of the pooled x {x}")
    return x


@avg_pool2d.shape
def means(
    x: Shape,
    *,
    kernel: Pair,
    stride: Pair,
    padding: Pair = NONE,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Shape:
    _check_divisor(divisor_override)
    return (*x[:2], *pooled(x, kernel, stride, padding, ONE, ceil_mode).count)


@avg_pool2d_input.shape
def means_back(
    c: Shape,
    *,
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair = NONE,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Shape:
    _check_divisor(divisor_override)
    x = (*c[:2], *size)
    result = (*c[:2], *pooled(x, kernel, stride, padding, ONE, ceil_mode).count)
    if c != result:
        raise ShapeError(f"c {c} has not the shape {result} of the pooled x {x}")
    return x


def _check_divisor(divisor_override: int | None) -> None:
    if divisor_override == 0:
        raise ArgumentError("divisor_override is not 0")


# ---- cases -----------------------------------------------------------------------------------------------------

PLANE = [[[[1.0, -2.0, 0.5, 3.0], [0.25, -1.0, 2.0, 1.5], [-0.5, 4.0, 1.25, -3.0]]]]
HALVES = {"kernel": (2, 2), "stride": (2, 2)}
OVERLAPPING = {"kernel": (3, 2), "stride": (1, 1), "padding": (1, 1)}
OVER_THE_EDGE = {"kernel": (2, 3), "stride": (2, 2), "ceil_mode": True}
TOO_LARGE = {"kernel": (4, 2), "stride": (1, 1)}
TOO_PADDED = {"kernel": (2, 2), "stride": (1, 1), "padding": (2, 0)}

max_pool2d.cases(
    (PLANE, HALVES), ([PLANE[0], PLANE[0]], OVERLAPPING), (PLANE, OVER_THE_EDGE),
    (PLANE, {"kernel": (2, 2), "stride": (1, 1), "dilation": (2, 2)}),
)  # fmt: skip
max_pool2d.cases(([[[[1.0, 3.0], [3.0, 3.0]]]], HALVES), ([[[[2.0, 2.0, 2.0]]]], OVERLAPPING), tag="kink")
max_pool2d_input.cases(
    ([[[[1.5, -2.0]]]], PLANE, [[[[1.0, 3.0]]]], HALVES),
    ([[[[1.5, -2.0], [0.5, 3.0]]]], PLANE, [[[[2.0, 3.0], [4.0, 1.25]]]], OVER_THE_EDGE),
)  # fmt: skip
avg_pool2d.cases(
    (PLANE, HALVES), ([PLANE[0], PLANE[0]], OVERLAPPING), (PLANE, {**OVERLAPPING, "count_include_pad": False}),
    (PLANE, OVER_THE_EDGE), (PLANE, {**OVER_THE_EDGE, "padding": (1, 1)}), (PLANE, {**HALVES, "divisor_override": -3}),
)  # fmt: skip
avg_pool2d_input.cases(
    ([[[[1.5, -2.0]]]], {**HALVES, "size": (3, 4)}),
    ([[[[1.5, -2.0], [0.5, 3.0]]]], {**OVER_THE_EDGE, "padding": (1, 1), "size": (2, 3)}),
)  # fmt: skip
for pool in (max_pool2d, avg_pool2d):
    pool.cases((PLANE, TOO_LARGE), (PLANE[0], HALVES), (PLANE, TOO_PADDED), tag="rejected")
max_pool2d_input.cases(([[[[1.0]]]], PLANE, [[[[1.0, 3.0]]]], HALVES), tag="rejected")
avg_pool2d_input.cases(
    ([[[[1.0]]]], {**HALVES, "size": (3, 4)}), ([[[[1.0]]]], {**HALVES, "size": (2, 2), "divisor_override": 0}),
    tag="rejected",
)  # fmt: skip
