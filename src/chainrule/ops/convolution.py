"""Convolution over planes, and the two maps that it consists of seen from its other operands.

y = conv2d(x, w) is linear in x and in w, and <c, conv2d(x, w)> = <conv2d_input(c, w), x> = <conv2d_weight(c, x), w>:
three operators, of which each one's derivatives are the other two.
"""

from __future__ import annotations

from chainrule.errors import ArgumentError, ShapeError
from chainrule.ops.kinds import contraction
from chainrule.ops.maths import Maths, Value
from chainrule.ops.windows import Pair, Windows, overlapped, places, seen, windows_on
from chainrule.shapes import Shape

ONE, NONE = (1, 1), (0, 0)


@contraction(takes="float", source="LeCun, Bottou, Bengio and Haffner 1998, section II.A")
def conv2d(
    m: Maths,
    x: Value,
    weight: Value,
    bias: Value = None,
    *,
    stride: Pair = ONE,
    padding: Pair = NONE,
    dilation: Pair = ONE,
    groups: int = 1,
) -> Value:
    """y[n, o, i, j] = b[o] + sum_cpq weight[o, c, p, q] x[n, c, i s + p d - padding, j s + q d - padding].

    x is (N, C, height, width), weight (out, C / groups, kernel height, kernel width). With groups the channels of
    x and y are cut into as many parts, and each part of y sees its part of x.
    """
    windows = windows_of(x.shape, weight.shape, stride, padding, dilation, groups)
    y = m.einsum(_grouped(m, seen(m, x, windows), groups), _kernels(m, weight, groups), spec="ngcijt,goct->ngoij")
    y = m.reshape(y, shape=(x.shape[0], weight.shape[0], *windows.count))
    return y if bias is None else y + m.reshape(bias, shape=(-1, 1, 1))


@contraction(takes="float")
def conv2d_input(
    m: Maths,
    c: Value,
    weight: Value,
    *,
    size: Pair,
    stride: Pair = ONE,
    padding: Pair = NONE,
    dilation: Pair = ONE,
    groups: int = 1,
) -> Value:
    """The transpose of conv2d in x, planes of `size`: each c[n, o, i, j] weight[o] is added where its window stood."""
    channels = weight.shape[1] * groups
    windows = windows_of((c.shape[0], channels, *size), weight.shape, stride, padding, dilation, groups)
    v = m.einsum(_grouped(m, c, groups), _kernels(m, weight, groups), spec="ngoij,goct->ngcijt")
    return overlapped(m, m.reshape(v, shape=(c.shape[0], channels, *windows.count, places(windows))), windows)


@contraction(takes="float")
def conv2d_weight(
    m: Maths,
    c: Value,
    x: Value,
    *,
    size: Pair,
    stride: Pair = ONE,
    padding: Pair = NONE,
    dilation: Pair = ONE,
    groups: int = 1,
) -> Value:
    """The transpose of conv2d in weight, kernels of `size`: the sum over all windows of c times what each one saw."""
    weight = (c.shape[1], x.shape[1] // groups, *size)
    windows = windows_of(x.shape, weight, stride, padding, dilation, groups)
    taps = _grouped(m, seen(m, x, windows), groups)
    return m.reshape(m.einsum(_grouped(m, c, groups), taps, spec="ngoij,ngcijt->goct"), shape=weight)


def _grouped(m: Maths, v: Value, groups: int) -> Value:
    """(N, channels, ...) to (N, groups, channels / groups, ...)."""
    return m.reshape(v, shape=(v.shape[0], groups, v.shape[1] // groups, *v.shape[2:]))


def _kernels(m: Maths, weight: Value, groups: int) -> Value:
    """(out, C / groups, height, width) to (groups, out / groups, C / groups, places)."""
    out, channels, height, width = weight.shape
    return m.reshape(weight, shape=(groups, out // groups, channels, height * width))


# ---- derivatives ---------------------------------------------------------------------------------------------


@conv2d.pullback("x")
def back_to_the_input(
    m: Maths, g: Value, x_shape: Shape, weight: Value, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Value:
    size = x_shape[2:]
    return m.conv2d_input(g, weight, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)


@conv2d.pullback("weight")
def back_to_the_weight(
    m: Maths, g: Value, x: Value, weight_shape: Shape, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Value:
    size = weight_shape[2:]
    return m.conv2d_weight(g, x, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)


conv2d.pullback("bias")(lambda m, g: m.sum(g, axis=(0, 2, 3)))


@conv2d_input.pullback("c")
def forth_again(m: Maths, g: Value, weight: Value, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Value:
    return m.conv2d(g, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)


@conv2d_input.pullback("weight")
def by_the_cotangent_as_input(
    m: Maths, g: Value, c: Value, weight_shape: Shape, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Value:
    size = weight_shape[2:]
    return m.conv2d_weight(c, g, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)


@conv2d_weight.pullback("c")
def by_the_cotangent_as_weight(
    m: Maths, g: Value, x: Value, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Value:
    return m.conv2d(x, g, stride=stride, padding=padding, dilation=dilation, groups=groups)


@conv2d_weight.pullback("x")
def back_through_the_cotangent(
    m: Maths, g: Value, c: Value, x_shape: Shape, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Value:
    size = x_shape[2:]
    return m.conv2d_input(c, g, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)


# ---- shapes --------------------------------------------------------------------------------------------------


def windows_of(x: Shape, weight: Shape, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Windows:
    """The windows of a convolution's kernels on its planes.

    Raises:
        ShapeError: for other than four axes, channels that do not fit, or a kernel larger than the padded plane.
        ArgumentError: for groups, a stride or a dilation below 1, or a negative padding.
    """
    if len(x) != 4 or len(weight) != 4:
        raise ShapeError(f"x {x} is not (N, C, height, width) with weight {weight} (out, C / groups, height, width)")
    if groups < 1:
        raise ArgumentError(f"groups is 1 or more, not {groups}")
    if not weight[0] or weight[0] % groups:
        raise ShapeError(f"weight {weight}: its {weight[0]} output channels are no multiple of groups={groups}")
    if x[1] != weight[1] * groups:
        raise ShapeError(
            f"weight {weight} with groups={groups} takes x with {weight[1] * groups} channels, not x {x} with {x[1]}"
        )
    return windows_on(x[2:], weight[2:], stride, padding, dilation)


@conv2d.shape
def planes_out(
    x: Shape,
    weight: Shape,
    bias: Shape | None = None,
    *,
    stride: Pair = ONE,
    padding: Pair = NONE,
    dilation: Pair = ONE,
    groups: int = 1,
) -> Shape:
    windows = windows_of(x, weight, stride, padding, dilation, groups)
    if bias is not None and bias != weight[:1]:
        raise ShapeError(f"bias {bias} is not the {weight[:1]} that weight {weight} gives")
    return (x[0], weight[0], *windows.count)


@conv2d_input.shape
def planes_in(
    c: Shape,
    weight: Shape,
    *,
    size: Pair,
    stride: Pair = ONE,
    padding: Pair = NONE,
    dilation: Pair = ONE,
    groups: int = 1,
) -> Shape:
    if len(weight) != 4:
        raise ShapeError(f"weight {weight} is not (out, C / groups, height, width)")
    x = (*c[:1], weight[1] * groups, *size)
    _check_cotangent(c, x, weight, windows_of(x, weight, stride, padding, dilation, groups))
    return x


@conv2d_weight.shape
def kernels_in(
    c: Shape,
    x: Shape,
    *,
    size: Pair,
    stride: Pair = ONE,
    padding: Pair = NONE,
    dilation: Pair = ONE,
    groups: int = 1,
) -> Shape:
    if len(c) != 4 or len(x) != 4 or groups < 1:
        raise ShapeError(f"c {c} and x {x} are not (N, channels, height, width) with groups={groups}")
    weight = (c[1], x[1] // groups, *size)
    _check_cotangent(c, x, weight, windows_of(x, weight, stride, padding, dilation, groups))
    return weight


def _check_cotangent(c: Shape, x: Shape, weight: Shape, windows: Windows) -> None:
    y = (x[0], weight[0], *windows.count)
    if c != y:
        raise ShapeError(f"c {c} is not the shape {y} of the convolution of x {x} with weight {weight}")


# ---- cases: small numbers that floats hold exactly -------------------------------------------------------------

PLANES = [[[[1.0, -2.0, 0.5, 3.0], [0.25, -1.0, 2.0, 1.5], [-0.5, 4.0, 1.0, -3.0]]]]
TWO_PLANES = [[PLANES[0][0], [[2.0, 1.0, -1.0, 0.5], [3.0, -0.5, 0.25, 1.0], [1.5, -2.0, 4.0, -1.5]]]]
KERNELS = [[[[0.5, -1.0], [2.0, 0.25]]], [[[1.5, 1.0], [-0.5, -2.0]]]]
KERNEL_OF_TWO = [[KERNELS[0][0], KERNELS[1][0]]]
COARSE = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}

conv2d.cases(
    (PLANES, KERNELS, [0.5, -1.5]), (PLANES, KERNELS, COARSE), (TWO_PLANES, KERNEL_OF_TWO, [0.75]),
    (TWO_PLANES, KERNELS, {"groups": 2, "padding": (1, 0)}), ([PLANES[0], PLANES[0]], [[[[2.0]]]], {"stride": (2, 2)}),
)  # fmt: skip
conv2d.cases(
    (PLANES, KERNEL_OF_TWO), (PLANES, KERNELS, [1.0]), (TWO_PLANES, KERNEL_OF_TWO, {"groups": 2}), (PLANES[0], KERNELS),
    (PLANES, KERNELS, {"dilation": (3, 1)}), (PLANES, KERNELS, {"stride": (0, 1)}), (PLANES, KERNELS, {"groups": 0}),
    tag="rejected",
)  # fmt: skip
conv2d_input.cases(
    ([[[[1.0, 2.0, -1.0]], [[0.5, -3.0, 4.0]]]], KERNELS, {"size": (2, 4)}),
    (PLANES, [[[[2.0, -0.5]]]], {"size": (5, 5), "stride": (2, 1), "padding": (0, 1), "dilation": (1, 3)}),
    (TWO_PLANES, KERNELS, {"size": (2, 5), "padding": (1, 0), "groups": 2}),
)  # fmt: skip
conv2d_input.cases((PLANES, KERNELS, {"size": (3, 4)}), (PLANES, PLANES[0], {"size": (3, 4)}), tag="rejected")
conv2d_weight.cases(
    ([[[[1.0, 2.0, -1.0]], [[0.5, -3.0, 4.0]]]], PLANES, {"size": (3, 2)}),
    ([[[[1.0, -0.5, 2.0, 3.0]]]], PLANES, {"size": (2, 3), "stride": (3, 1), "padding": (0, 2), "dilation": (1, 2)}),
    (TWO_PLANES, TWO_PLANES, {"size": (1, 3), "padding": (0, 1), "groups": 2}),
)  # fmt: skip
conv2d_weight.cases((PLANES, PLANES, {"size": (2, 2)}), (PLANES[0], PLANES, {"size": (1, 1)}), tag="rejected")
