"""Normalisation: numbers shifted and scaled to mean 0 and variance 1 over some axes, then by learnt numbers.

With z = (x - mean) rstd and y = z weight + bias, the cotangent gz = g weight of z gives
gx = rstd (gz - mean(gz) - z mean(gz z)): the means are over the same axes.
"""

from __future__ import annotations

from chainrule.errors import ArgumentError, ShapeError
from chainrule.ops.kinds import composite
from chainrule.ops.maths import Maths, Value
from chainrule.shapes import Axes, Shape

# ---- over the last axes: each row by itself ----------------------------------------------------------------------


@composite(takes="float", source="Ba, Kiros and Hinton 2016")
def layer_norm(
    m: Maths, x: Value, weight: Value = None, bias: Value = None, *, axes: int = 1, eps: float = 1e-5
) -> Value:
    """(x - mean) / sqrt(var + eps) weight + bias, with mean and variance (of the population) over the last `axes`."""
    return _affine(_standard(m, x, last(axes), eps)[0], weight, bias)


@layer_norm.compute(keeps=("mean", "rstd"))
def layer_norm_with_statistics(
    m: Maths, x: Value, weight: Value = None, bias: Value = None, *, axes: int = 1, eps: float = 1e-5
) -> tuple[Value, Value, Value]:
    z, mean, rstd = _standard(m, x, last(axes), eps)
    return _affine(z, weight, bias), mean, rstd


@layer_norm.pullback("x")
def without_shift_and_stretch_of_the_row(
    m: Maths, g: Value, x: Value, weight: Value, mean: Value, rstd: Value, axes: int
) -> Value:
    return _input_cotangent(m, g if weight is None else g * weight, (x - mean) * rstd, rstd, last(axes))


@layer_norm.pullback("weight")
def standard_rows(m: Maths, g: Value, x: Value, mean: Value, rstd: Value, axes: int) -> Value:
    return _over_rows(m, g * ((x - mean) * rstd), axes)


layer_norm.pullback("bias")(lambda m, g, axes: _over_rows(m, g, axes))


@composite(takes="float", source="Zhang and Sennrich 2019")
def rms_norm(m: Maths, x: Value, weight: Value = None, *, axes: int = 1, eps: float = 1e-5) -> Value:
    """x / sqrt(mean(x^2) + eps) weight, with the mean over the last `axes`."""
    return _affine(x * _inverse_root(m, x, last(axes), eps), weight, None)


@rms_norm.compute(keeps=("rstd",))
def rms_norm_with_statistic(
    m: Maths, x: Value, weight: Value = None, *, axes: int = 1, eps: float = 1e-5
) -> tuple[Value, Value]:
    rstd = _inverse_root(m, x, last(axes), eps)
    return _affine(x * rstd, weight, None), rstd


@rms_norm.pullback("x")
def without_stretch_of_the_row(m: Maths, g: Value, x: Value, weight: Value, rstd: Value, axes: int) -> Value:
    gz, z = g if weight is None else g * weight, x * rstd
    return rstd * (gz - z * m.mean(gz * z, axis=last(axes), keepdims=True))


@rms_norm.pullback("weight")
def rows_of_unit_square(m: Maths, g: Value, x: Value, rstd: Value, axes: int) -> Value:
    return _over_rows(m, g * (x * rstd), axes)


# ---- over all axes but the second: each channel by itself ---------------------------------------------------------


@composite(takes="float", source="Ioffe and Szegedy 2015")
def batch_norm(m: Maths, x: Value, weight: Value = None, bias: Value = None, *, eps: float = 1e-5) -> Value:
    """(x - mean) / sqrt(var + eps) weight + bias for x (N, C, ...), with the batch's statistics of each channel."""
    along = beside_channels(x.shape)
    return _affine(_standard(m, x, over_channels(x.shape), eps)[0], *_columns(m, along, weight, bias))


@batch_norm.compute(keeps=("mean", "rstd"))
def batch_norm_with_statistics(
    m: Maths, x: Value, weight: Value = None, bias: Value = None, *, eps: float = 1e-5
) -> tuple[Value, Value, Value]:
    z, mean, rstd = _standard(m, x, over_channels(x.shape), eps)
    return _affine(z, *_columns(m, beside_channels(x.shape), weight, bias)), mean, rstd


@batch_norm.pullback("x")
def without_shift_and_stretch_of_the_channel(
    m: Maths, g: Value, x: Value, weight: Value, mean: Value, rstd: Value
) -> Value:
    (weight,) = _columns(m, beside_channels(x.shape), weight)
    gz = g if weight is None else g * weight
    return _input_cotangent(m, gz, (x - mean) * rstd, rstd, over_channels(x.shape))


@batch_norm.pullback("weight")
def standard_channels(m: Maths, g: Value, x: Value, mean: Value, rstd: Value) -> Value:
    return m.sum(g * ((x - mean) * rstd), axis=over_channels(x.shape))


batch_norm.pullback("bias")(lambda m, g: m.sum(g, axis=over_channels(g.shape)))


@composite(takes="float", source="Ioffe and Szegedy 2015, algorithm 2")
def batch_norm_inference(
    m: Maths, x: Value, mean: Value, var: Value, weight: Value = None, bias: Value = None, *, eps: float = 1e-5
) -> Value:
    """(x - mean) / sqrt(var + eps) weight + bias for x (N, C, ...), with statistics that were gathered before."""
    mean, rstd, weight, bias = _columns(m, beside_channels(x.shape), mean, m.rsqrt(var + eps), weight, bias)
    return _affine((x - mean) * rstd, weight, bias)


@batch_norm_inference.pullback("x")
def stretched_again(m: Maths, g: Value, var: Value, weight: Value, eps: float) -> Value:
    rstd = m.rsqrt(var + eps)
    return g * _columns(m, beside_channels(g.shape), rstd if weight is None else rstd * weight)[0]


@batch_norm_inference.pullback("weight")
def by_the_gathered_statistics(m: Maths, g: Value, x: Value, mean: Value, var: Value, eps: float) -> Value:
    mean, rstd = _columns(m, beside_channels(x.shape), mean, m.rsqrt(var + eps))
    return m.sum(g * ((x - mean) * rstd), axis=over_channels(x.shape))


batch_norm_inference.pullback("bias")(lambda m, g: m.sum(g, axis=over_channels(g.shape)))

# ---- what they share ----------------------------------------------------------------------------------------------


def last(axes: int) -> tuple[int, ...]:
    """The last axes, counted from the end."""
    return tuple(range(-axes, 0))


def over_channels(x: Shape) -> tuple[int, ...]:
    """All axes but the second."""
    return (0, *range(2, len(x)))


def beside_channels(x: Shape) -> Shape:
    """The shape in which a number for each channel broadcasts with x."""
    return (-1,) + (1,) * (len(x) - 2)


def _columns(m: Maths, shape: Shape, *vectors: Value) -> list[Value]:
    return [None if v is None else m.reshape(v, shape=shape) for v in vectors]


def _standard(m: Maths, x: Value, over: Axes, eps: float) -> tuple[Value, Value, Value]:
    """z = (x - mean) rstd, and the statistics with the axes at size 1."""
    mean = m.mean(x, axis=over, keepdims=True)
    centred = x - mean
    rstd = _inverse_root(m, centred, over, eps)
    return centred * rstd, mean, rstd


def _inverse_root(m: Maths, x: Value, over: Axes, eps: float) -> Value:
    return m.rsqrt(m.mean(m.square(x), axis=over, keepdims=True) + eps)


def _affine(z: Value, weight: Value, bias: Value) -> Value:
    y = z if weight is None else z * weight
    return y if bias is None else y + bias


def _input_cotangent(m: Maths, gz: Value, z: Value, rstd: Value, over: Axes) -> Value:
    """gz without what a shift and a stretch of x would change, which z does not see."""
    shift, stretch = m.mean(gz, axis=over, keepdims=True), m.mean(gz * z, axis=over, keepdims=True)
    return rstd * (gz - shift - z * stretch)


def _over_rows(m: Maths, g: Value, axes: int) -> Value:
    rows = tuple(range(len(g.shape) - axes))
    return m.sum(g, axis=rows) if rows else g


# ---- shapes --------------------------------------------------------------------------------------------------------


@layer_norm.shape
def rows_out(
    x: Shape, weight: Shape | None = None, bias: Shape | None = None, *, axes: int = 1, eps: float = 1e-5
) -> Shape:
    if not 1 <= axes <= len(x):
        raise ArgumentError(f"axes={axes} is not in [1, {len(x)}], the number of axes of x {x}")
    for name, learnt in (("weight", weight), ("bias", bias)):
        if learnt is not None and learnt != x[len(x) - axes :]:
            raise ShapeError(f"{name} {learnt} has not the shape {x[len(x) - axes :]} of the last axes of x {x}")
    return x


@rms_norm.shape
def rows_of_one_size(x: Shape, weight: Shape | None = None, *, axes: int = 1, eps: float = 1e-5) -> Shape:
    return rows_out(x, weight, axes=axes)


@batch_norm.shape
def channels_out(x: Shape, weight: Shape | None = None, bias: Shape | None = None, *, eps: float = 1e-5) -> Shape:
    return _channels_checked(x, weight=weight, bias=bias)


@batch_norm_inference.shape
def channels_out_by_the_gathered(
    x: Shape,
    mean: Shape,
    var: Shape,
    weight: Shape | None = None,
    bias: Shape | None = None,
    *,
    eps: float = 1e-5,
) -> Shape:
    return _channels_checked(x, mean=mean, var=var, weight=weight, bias=bias)


def _channels_checked(x: Shape, **vectors: Shape | None) -> Shape:
    if len(x) < 2:
        raise ShapeError(f"x {x} is not (N, C, ...)")
    for name, vector in vectors.items():
        if vector is not None and vector != x[1:2]:
            raise ShapeError(f"{name} {vector} is not one number for each of the {x[1]} channels of x {x}")
    return x


# ---- cases ---------------------------------------------------------------------------------------------------------

ROWS = [[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]]
BLOCK = [[[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]], [[2.5, 4.0, -0.5], [1.5, -3.5, 0.75]]]
WEIGHT, BIAS = [0.5, -1.5, 2.0], [0.25, 1.0, -0.5]
for norm in (layer_norm, batch_norm):
    norm.cases((ROWS,), (ROWS, WEIGHT, BIAS), (ROWS, WEIGHT), (ROWS, None, BIAS, {"eps": 0.5}))
    norm.cases((ROWS, [1.0, 2.0]), (ROWS, WEIGHT, [1.0]), tag="rejected")
layer_norm.cases((BLOCK, ROWS, ROWS, {"axes": 2}), (BLOCK, WEIGHT), ([2.0, 1.0, 4.0], WEIGHT, BIAS))
layer_norm.cases((ROWS, {"axes": 0}), (ROWS, {"axes": 3}), tag="rejected")
rms_norm.cases((ROWS,), (ROWS, WEIGHT), (BLOCK, ROWS, {"axes": 2, "eps": 0.5}), ([2.0, 1.0, 4.0], WEIGHT))
rms_norm.cases((ROWS, [1.0, 2.0]), (ROWS, {"axes": 3}), tag="rejected")
batch_norm.cases((BLOCK, [0.5, -1.5], [0.25, 1.0]))
batch_norm.cases(([1.0, 2.0],), tag="rejected")
MEAN, VAR = [0.5, 1.0, -0.25], [0.75, 2.0, 0.0]
batch_norm_inference.cases(
    (ROWS, MEAN, VAR),
    (ROWS, MEAN, VAR, WEIGHT, BIAS),
    (BLOCK, MEAN[:2], VAR[:2], [0.5, -1.5], [0.25, 1.0], {"eps": 0.5}),
)
batch_norm_inference.cases((ROWS, MEAN[:2], VAR), (ROWS, MEAN, VAR, [1.0]), tag="rejected")
