"""Reductions and scans over axes. In a rule `g` and `y` arrive with the reduced axes at size 1."""

from __future__ import annotations

from math import inf
from typing import Any

from chainrule import shapes
from chainrule.errors import IndexOutOfRangeError, ShapeError
from chainrule.ops.kinds import composite, reduction
from chainrule.ops.maths import Maths, Value
from chainrule.shapes import Axes, Shape

BLOCK = [[[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]], [[2.5, 4.0, -0.5], [1.5, -3.5, 0.75]]]
AXES: tuple[dict[str, Any], ...] = (
    {},
    {"axis": 1},
    {"axis": (0, -1)},
    {"axis": 1, "keepdims": True},
    {"axis": None, "keepdims": True},
)
ONE_AXIS: tuple[dict[str, Any], ...] = ({}, {"axis": 1}, {"axis": -1, "keepdims": True})


@reduction.primitive(symbol=r"\sum", result="accumulated")
def sum_(m: Maths, x: Value, *, axis: Axes = None, keepdims: bool = False) -> Value:
    """The sum over the axes; integers and bools give int64."""
    return m.sum(x, axis=axis, keepdims=keepdims)


@sum_.pullback("x")
def spread(m: Maths, g: Value, x_shape: Value) -> Value:
    return m.broadcast_to(g, shape=x_shape)


@reduction(takes="float")
def mean(m: Maths, x: Value, *, axis: Axes = None, keepdims: bool = False) -> Value:
    """The sum over the axes divided by how many elements it adds; nan for none."""
    n = shapes.count(x.shape, axis)
    total = m.sum(x, axis=axis, keepdims=keepdims)
    return total / n if n else total * float("nan")


@mean.pullback("x")
def spread_evenly(m: Maths, g: Value, x_shape: Value, axis: Axes) -> Value:
    return m.broadcast_to(g / max(shapes.count(x_shape, axis), 1), shape=x_shape)


@reduction.primitive(symbol=r"\prod", result="accumulated")
def prod(m: Maths, x: Value, *, axis: int | None = None, keepdims: bool = False) -> Value:
    """The product over one axis, or over all elements; right also where factors are 0."""
    return m.prod(x, axis=axis, keepdims=keepdims)


@prod.pullback("x")
def product_of_the_others(m: Maths, g: Value, x: Value, axis: int | None) -> Value:
    flat = m.reshape(x, shape=(-1,)) if axis is None else x
    along = 0 if axis is None else axis % len(x.shape)
    before = product_before(m, flat, along)
    after = m.flip(product_before(m, m.flip(flat, axes=(along,)), along), axes=(along,))
    return g * m.reshape(before * after, shape=x.shape)


def product_before(m: Maths, x: Value, axis: int) -> Value:
    """At each place the product of all earlier elements along the axis; 1 at the first."""
    lead = (slice(None),) * axis
    first = m.slice(x, key=(*lead, slice(0, 1)))
    ones = m.cast(m.eq(first, first), dtype=x.dtype)
    return m.cat(ones, m.cumprod(m.slice(x, key=(*lead, slice(0, x.shape[axis] - 1))), axis=axis), axis=axis)


@reduction.primitive(symbol=r"\max")
def amax(m: Maths, x: Value, *, axis: Axes = None, keepdims: bool = False) -> Value:
    """The largest element over the axes; elements that tie share the cotangent evenly."""
    return m.amax(x, axis=axis, keepdims=keepdims)


@reduction.primitive(symbol=r"\min")
def amin(m: Maths, x: Value, *, axis: Axes = None, keepdims: bool = False) -> Value:
    """The smallest element over the axes; elements that tie share the cotangent evenly."""
    return m.amin(x, axis=axis, keepdims=keepdims)


def nonempty(x: Shape, *, axis: Axes = None, keepdims: bool = False, **_: Any) -> Shape:
    """The shape of a reduction that has no value for no elements."""
    y = shapes.reduced(x, axis, keepdims)
    if shapes.count(x, axis) == 0 and 0 not in y:
        wrong = ShapeError if axis is None else IndexOutOfRangeError  # what PyTorch raises
        raise wrong(f"no elements to choose from: shape {x}, dim={axis}")
    return y


for extremum in (amax, amin):
    extremum.shape(nonempty)


@amax.pullback("x")
@amin.pullback("x")
def share_among_ties(m: Maths, g: Value, x: Value, y: Value, axis: Axes) -> Value:
    hit = m.eq(x, y)
    ties = m.sum(m.cast(hit, dtype=g.dtype), axis=axis, keepdims=True)
    return m.where(hit, g / ties, 0)


@reduction(takes="float")
def var(m: Maths, x: Value, *, axis: Axes = None, correction: float = 1, keepdims: bool = False) -> Value:
    """sum (x - mean)^2 / (n - correction): correction 1 is Bessel's, 0 the population's."""
    centred = x - m.mean(x, axis=axis, keepdims=True)
    n = shapes.count(x.shape, axis) - correction
    total = m.sum(centred * centred, axis=axis, keepdims=keepdims)
    return total / n if n > 0 else total / 0.0 if hasattr(total, "dtype") else total * float("nan")


@var.pullback("x")
def from_the_mean(m: Maths, g: Value, x: Value, axis: Axes, correction: float) -> Value:
    n = shapes.count(x.shape, axis) - correction
    return (x - m.mean(x, axis=axis, keepdims=True)) * (g * (2 / n if n > 0 else inf))


@reduction(takes="float")
def std(m: Maths, x: Value, *, axis: Axes = None, correction: float = 1, keepdims: bool = False) -> Value:
    """The square root of var; the cotangent is 0 where the deviation is 0."""
    return m.sqrt(m.var(x, axis=axis, correction=correction, keepdims=keepdims))


@std.pullback("x")
def from_the_mean_by_deviation(m: Maths, g: Value, x: Value, y: Value, axis: Axes, correction: float) -> Value:
    n = shapes.count(x.shape, axis) - correction
    still = m.eq(y, 0)
    slope = m.where(still, 0, g / m.where(still, 1, y)) * (1 / n if n > 0 else inf)
    return (x - m.mean(x, axis=axis, keepdims=True)) * slope


@reduction(takes="float")
def logsumexp(m: Maths, x: Value, *, axis: Axes = None, keepdims: bool = False) -> Value:
    """log sum e^x over the axes."""
    return m.log(m.sum(m.exp(x), axis=axis, keepdims=keepdims))


@logsumexp.compute
def logsumexp_without_overflow(m: Maths, x: Value, *, axis: Axes = None, keepdims: bool = False) -> Value:
    if 0 in x.shape:
        return m.log(m.sum(m.exp(x), axis=axis, keepdims=keepdims))
    top = m.amax(x, axis=axis, keepdims=True)
    top = m.where(m.isfinite(top), top, 0)  # rows of -inf only, or with inf: the sum itself says it
    y = top + m.log(m.sum(m.exp(x - top), axis=axis, keepdims=True))
    return y if keepdims else m.reshape(y, shape=shapes.reduced(x.shape, axis, False))


logsumexp.pullback("x")(lambda m, g, x, y: g * m.exp(x - y))


@reduction(takes="float", symbol=r"\lVert\cdot\rVert")
def norm(m: Maths, x: Value, *, p: float = 2.0, axis: Axes = None, keepdims: bool = False) -> Value:
    """(sum |x|^p)^(1/p) over the axes; p = inf, -inf: the largest, smallest |x|; p = 0: how many differ from 0."""
    if p == 0:
        return m.sum(m.cast(m.ne(x, 0), dtype=x.dtype), axis=axis, keepdims=keepdims)
    if p == inf:
        return m.amax(m.abs(x), axis=axis, keepdims=keepdims)
    if p == -inf:
        return m.amin(m.abs(x), axis=axis, keepdims=keepdims)
    if p == 1:
        return m.sum(m.abs(x), axis=axis, keepdims=keepdims)
    if p == 2:
        return m.sqrt(m.sum(x * x, axis=axis, keepdims=keepdims))
    return m.pow(m.sum(m.pow(m.abs(x), p), axis=axis, keepdims=keepdims), 1 / p)


@norm.pullback("x")
def along_the_unit_vector(m: Maths, g: Value, x: Value, y: Value, p: float, axis: Axes) -> Value:
    """The subgradient 0 where the norm is 0."""
    if p == 0:
        return 0 * x * g
    if p in (inf, -inf):
        hit = m.eq(m.abs(x), y)
        ties = m.sum(m.cast(hit, dtype=g.dtype), axis=axis, keepdims=True)
        return m.where(hit, m.sign(x) * (g / ties), 0)
    if p == 1:
        return m.sign(x) * g
    zero = m.eq(y, 0)
    size = m.where(zero, 1, y)
    if p == 2:
        return m.where(zero, 0, x * (g / size))
    absent = m.eq(x, 0)
    ratio = m.where(absent, 1, m.abs(x)) / size
    return m.where(m.logical_or(zero, absent), 0, m.sign(x) * m.pow(ratio, p - 1) * g)


@norm.shape
def norm_shape(x: Shape, *, p: float = 2.0, axis: Axes = None, keepdims: bool = False) -> Shape:
    return nonempty(x, axis=axis, keepdims=keepdims) if p in (inf, -inf) else shapes.reduced(x, axis, keepdims)


for over_any_axes in (sum_, mean, amax, amin, var, std, logsumexp, norm):
    over_any_axes.cases(*[(BLOCK, params) for params in AXES])
    over_any_axes.cases((BLOCK, {"axis": 3}), (BLOCK, {"axis": (1, 1)}), tag="rejected")
prod.cases(*[(BLOCK, params) for params in ONE_AXIS], ([[2.0, 0.0, 3.0], [0.0, 0.0, 4.0]], {"axis": 1}))
for pair in (var, std):
    pair.cases((BLOCK, {"axis": 2, "correction": 0}))
for extremum in (amax, amin):
    extremum.cases(([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], {"axis": 1}), tag="kink")
logsumexp.cases(([[800.0, -800.0, 799.0]], {"axis": 1}), tag="extreme")
norm.cases(*[(BLOCK, {"p": p, "axis": 1}) for p in (1.0, 3.0, inf, -inf)])
norm.cases(([0.0, 0.0],), ([0.0, 0.0], {"p": 1.0}), ([0.0, 0.0], {"p": 3.0}), tag="kink")
std.cases(([2.0, 2.0, 2.0],), tag="kink")

# ---- without a derivative ----------------------------------------------------------------------------------


@reduction.primitive(result="bool")
def any_(m: Maths, x: Value, *, axis: Axes = None, keepdims: bool = False) -> Value:
    """One element at least is nonzero."""
    return m.any(x, axis=axis, keepdims=keepdims)


@reduction.primitive(result="bool")
def all_(m: Maths, x: Value, *, axis: Axes = None, keepdims: bool = False) -> Value:
    """No element is zero."""
    return m.all(x, axis=axis, keepdims=keepdims)


for test in (any_, all_):
    test.cases(([[True, False], [True, True]], {"axis": 1}), ([0.0, 1.0],))


@reduction.primitive(result="int64")
def argmax(m: Maths, x: Value, *, axis: int | None = None, keepdims: bool = False) -> Value:
    """The place of the largest element, the first of a tie; of the flattened input for axis None."""
    return m.argmax(x, axis=axis, keepdims=keepdims)


@reduction.primitive(result="int64")
def argmin(m: Maths, x: Value, *, axis: int | None = None, keepdims: bool = False) -> Value:
    """The place of the smallest element, the first of a tie; of the flattened input for axis None."""
    return m.argmin(x, axis=axis, keepdims=keepdims)


for place in (argmax, argmin):
    place.shape(nonempty)
    place.cases(*[(BLOCK, params) for params in ONE_AXIS])

# ---- scans -------------------------------------------------------------------------------------------------


@composite.primitive(result="accumulated")
def cumsum(m: Maths, x: Value, *, axis: int) -> Value:
    """At each place the sum of the elements up to it, along one axis."""
    return m.cumsum(x, axis=axis)


@cumsum.pullback("x")
def sum_of_the_later(m: Maths, g: Value, axis: int) -> Value:
    return m.flip(m.cumsum(m.flip(g, axes=(axis,)), axis=axis), axes=(axis,))


@composite.primitive(result="accumulated")
def cumprod(m: Maths, x: Value, *, axis: int) -> Value:
    """At each place the product of the elements up to it, along one axis; right also where factors are 0."""
    return m.cumprod(x, axis=axis)


@cumprod.pullback("x")
def by_recurrence_from_the_end(m: Maths, g: Value, x: Value, axis: int) -> Value:
    """dL/dx_i = (x_1 ... x_{i-1}) r_i with r_i = g_i + x_{i+1} r_{i+1}: no division, so zeros do no harm."""
    axis %= max(len(x.shape), 1)
    lead = (slice(None),) * axis

    def at(v: Value, i: int) -> Value:
        return m.slice(v, key=(*lead, slice(i, i + 1)))

    r = [at(g, x.shape[axis] - 1)]
    for i in range(x.shape[axis] - 2, -1, -1):
        r.append(at(g, i) + at(x, i + 1) * r[-1])
    return product_before(m, x, axis) * m.cat(*reversed(r), axis=axis)


for scan in (cumsum, cumprod):
    scan.shape(lambda x, *, axis: (shapes.normal_axis(axis, len(x)), x)[1])
    scan.cases((BLOCK, {"axis": 0}), (BLOCK, {"axis": -1}))
    scan.cases((BLOCK, {"axis": 3}), tag="rejected")
cumprod.cases(([[2.0, 0.0, 3.0, 0.0, 4.0]], {"axis": 1}))
