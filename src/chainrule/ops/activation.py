"""Activations: elementwise maps of one number, and the softmax family."""

from __future__ import annotations

from math import pi, sqrt

from chainrule import shapes
from chainrule.ops.kinds import composite, elementwise
from chainrule.ops.maths import Maths, Value

POINTS = [-2.0, -0.5, 0.25, 0.5, 2.0]


@elementwise(symbol=r"\sigma", result="float", source="Bishop 2006, eq. 4.59", lipschitz=0.25)
def sigmoid(m: Maths, x: Value) -> Value:
    """Logistic function 1 / (1 + e^-x): the probability whose log-odds are x."""
    return 1 / (1 + m.exp(-x))


@sigmoid.compute
def sigmoid_without_overflow(m: Maths, x: Value) -> Value:
    e = m.exp(-m.abs(x))  # in (0, 1] for either sign of x
    return m.where(x >= 0, 1, e) / (1 + e)


@sigmoid.derivative("x")
def sigmoid_slope(m: Maths, y: Value) -> Value:
    return y * (1 - y)  # reads y alone; reaches 0 when y rounds to 1: x > 16.6 (float32), 36.7 (float64)


sigmoid.cases([*POINTS, 0.0])
sigmoid.cases([-700.0, -100.0, -16.0, 16.0, 700.0], tag="extreme")


@elementwise(result="float", lipschitz=1.0)
def logsigmoid(m: Maths, x: Value) -> Value:
    """log sigmoid(x) = -log(1 + e^-x)."""
    return -m.log(1 + m.exp(-x))


@logsigmoid.compute
def logsigmoid_without_overflow(m: Maths, x: Value) -> Value:
    return m.minimum(x, 0) - m.log1p(m.exp(-m.abs(x)))


logsigmoid.derivative("x")(lambda m, x: m.sigmoid(-x))
logsigmoid.cases([*POINTS, 0.0])
logsigmoid.cases([-700.0, 30.0], tag="extreme")


@elementwise(takes="number", symbol=r"\operatorname{ReLU}", source="Nair and Hinton 2010", lipschitz=1.0)
def relu(m: Maths, x: Value) -> Value:
    """max(x, 0); the slope at 0 is 0."""
    return m.maximum(x, 0)


@relu.pullback("x")
def where_active(m: Maths, g: Value, y: Value) -> Value:
    return m.where(y <= 0, 0, g)  # not g * (y > 0): inf * 0 is nan; a nan in y lets g through, as in PyTorch


relu.cases(POINTS)
relu.cases([0.0, -0.0], tag="kink")


@elementwise(takes="float", lipschitz=1.0)
def hardtanh(m: Maths, x: Value, *, min_val: float = -1.0, max_val: float = 1.0) -> Value:
    """x cut to [min_val, max_val]; the slope at both ends is 0."""
    return m.minimum(m.maximum(x, min_val), max_val)


@hardtanh.pullback("x")
def strictly_inside(m: Maths, g: Value, x: Value, min_val: float, max_val: float) -> Value:
    return m.where(m.logical_or(x <= min_val, x >= max_val), 0, g)


hardtanh.cases([-2.0, -0.5, 0.5, 3.0], ([-2.0, 0.7, 3.0], {"min_val": -1.5, "max_val": 2.0}))
hardtanh.cases([-1.0, 1.0], tag="kink")


@elementwise(takes="number", source="Krizhevsky 2010", lipschitz=1.0)
def relu6(m: Maths, x: Value) -> Value:
    """min(max(x, 0), 6)."""
    return m.minimum(m.maximum(x, 0), 6)


relu6.pullback("x")(lambda m, g, y: m.where(m.logical_or(y <= 0, y >= 6), 0, g))
relu6.cases([-2.0, 0.5, 5.0, 7.0])
relu6.cases([0.0, 6.0], tag="kink")


@elementwise(
    takes="float", source="Maas, Hannun and Ng 2013", lipschitz=lambda negative_slope: max(1.0, abs(negative_slope))
)
def leaky_relu(m: Maths, x: Value, *, negative_slope: float = 0.01) -> Value:
    """x for x > 0, else negative_slope x; the slope at 0 is negative_slope."""
    return m.where(x > 0, x, negative_slope * x)


@leaky_relu.pullback("x")
def leak(m: Maths, g: Value, x: Value, negative_slope: float) -> Value:
    return m.where(x > 0, g, negative_slope * g)


leaky_relu.cases(POINTS, (POINTS, {"negative_slope": 0.3}))
leaky_relu.cases([0.0], tag="kink")


@elementwise(takes="float", source="He et al. 2015")
def prelu(m: Maths, x: Value, weight: Value) -> Value:
    """x for x > 0, else weight x, with a learned weight."""
    return m.where(x > 0, x, weight * x)


prelu.pullback("x")(lambda m, g, x, weight: m.where(x > 0, g, weight * g))
prelu.pullback("weight")(lambda m, g, x: m.where(x > 0, 0, x * g))
prelu.cases((POINTS, [0.25]), ([[-1.0, 2.0], [-3.0, 0.5]], [0.25, 0.5]))
prelu.cases(([0.0], [0.25]), tag="kink")


@elementwise(
    result="float", source="Clevert, Unterthiner and Hochreiter 2016", lipschitz=lambda alpha: max(1.0, abs(alpha))
)
def elu(m: Maths, x: Value, *, alpha: float = 1.0) -> Value:
    """x for x > 0, else alpha (e^x - 1)."""
    return m.where(x > 0, x, alpha * m.expm1(m.minimum(x, 0)))


@elu.derivative("x")
def elu_slope(m: Maths, x: Value, alpha: float) -> Value:
    return m.where(x > 0, 1, alpha * m.exp(m.where(x > 0, 0, x)))


elu.cases(POINTS, (POINTS, {"alpha": 0.5}))
elu.cases([-700.0, -1e-10, 700.0], tag="extreme")
elu.cases(([0.0], {"alpha": 0.5}), tag="kink")

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@elementwise(result="float", source="Klambauer et al. 2017", lipschitz=SELU_SCALE * SELU_ALPHA)
def selu(m: Maths, x: Value) -> Value:
    """scale (x for x > 0, else alpha (e^x - 1)), with the constants that keep mean 0 and variance 1."""
    return SELU_SCALE * m.where(x > 0, x, SELU_ALPHA * m.expm1(m.minimum(x, 0)))


@selu.derivative("x")
def selu_slope(m: Maths, x: Value) -> Value:
    return m.where(x > 0, SELU_SCALE, (SELU_SCALE * SELU_ALPHA) * m.exp(m.where(x > 0, 0, x)))


selu.cases(POINTS)
selu.cases([-700.0, -1e-10, 700.0], tag="extreme")
selu.cases([0.0], tag="kink")


@elementwise(result="float", source="Hendrycks and Gimpel 2016", lipschitz=1.1289041451851548)
def gelu(m: Maths, x: Value) -> Value:
    """x Phi(x), with Phi the normal distribution function."""
    return 0.5 * x * (1 + m.erf(x * sqrt(0.5)))


@gelu.derivative("x")
def gelu_slope(m: Maths, x: Value) -> Value:
    return 0.5 * (1 + m.erf(x * sqrt(0.5))) + x * m.exp(-0.5 * x * x) * (1 / sqrt(2 * pi))


gelu.cases([*POINTS, 0.0])
gelu.cases([-30.0, 30.0], tag="extreme")


@elementwise(result="float", source="Hendrycks and Gimpel 2016", lipschitz=1.1289930686587718)
def gelu_tanh(m: Maths, x: Value) -> Value:
    """gelu with Phi(x) replaced by (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2."""
    return 0.5 * x * (1 + m.tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)))


@gelu_tanh.derivative("x")
def gelu_tanh_slope(m: Maths, x: Value) -> Value:
    xx = x * x
    t = m.tanh(sqrt(2 / pi) * x * (1 + 0.044715 * xx))
    return 0.5 * (1 + t) + (0.5 * sqrt(2 / pi)) * x * (1 - t * t) * (1 + 3 * 0.044715 * xx)


gelu_tanh.cases([*POINTS, 0.0])
gelu_tanh.cases([-30.0, 30.0], tag="extreme")


@elementwise(result="float", source="Elfwing, Uchibe and Doya 2018", lipschitz=1.0998393201288669)
def silu(m: Maths, x: Value) -> Value:
    """x sigmoid(x), also called swish."""
    return x * m.sigmoid(x)


@silu.derivative("x")
def silu_slope(m: Maths, x: Value) -> Value:
    s = m.sigmoid(x)
    return s * (1 + x * (1 - s))


silu.cases([*POINTS, 0.0])
silu.cases([-700.0, 700.0], tag="extreme")


@elementwise(result="float", lipschitz=1.0)
def softplus(m: Maths, x: Value, *, beta: float = 1.0, threshold: float = 20.0) -> Value:
    """log(1 + e^(beta x)) / beta, and x itself where beta x > threshold."""
    return m.where(beta * x > threshold, x, m.log(1 + m.exp(beta * x)) / beta)


@softplus.compute
def softplus_without_overflow(m: Maths, x: Value, *, beta: float = 1.0, threshold: float = 20.0) -> Value:
    u = beta * x
    return m.where(u > threshold, x, (m.maximum(u, 0) + m.log1p(m.exp(-m.abs(u)))) / beta)


@softplus.derivative("x")
def softplus_slope(m: Maths, x: Value, beta: float, threshold: float) -> Value:
    u = beta * x
    return m.where(u > threshold, 1, m.sigmoid(u))


softplus.cases([*POINTS, 0.0], ([-3.0, 1.0, 15.0], {"beta": 2.0, "threshold": 20.0}))
softplus.cases([-700.0, 19.0, 700.0], tag="extreme")


@elementwise(result="float", source="Misra 2019", lipschitz=1.0884981612517279)
def mish(m: Maths, x: Value) -> Value:
    """x tanh(log(1 + e^x))."""
    return x * m.tanh(m.softplus(x))


@mish.derivative("x")
def mish_slope(m: Maths, x: Value) -> Value:
    t = m.tanh(m.softplus(x))
    return t + x * (1 - t * t) * m.sigmoid(x)


mish.cases([*POINTS, 0.0])
mish.cases([-700.0, -30.0, 30.0, 700.0], tag="extreme")


@elementwise(result="float", lipschitz=1.0)
def softsign(m: Maths, x: Value) -> Value:
    """x / (1 + |x|)."""
    return x / (1 + m.abs(x))


@softsign.derivative("x")
def softsign_slope(m: Maths, x: Value) -> Value:
    return 1 / m.square(1 + m.abs(x))


softsign.cases([*POINTS])
softsign.cases([-1e100, 1e-100, 1e100], tag="extreme")
softsign.cases([0.0], tag="kink")


@elementwise(takes="float", source="Courbariaux, Bengio and David 2015", lipschitz=1 / 6)
def hardsigmoid(m: Maths, x: Value) -> Value:
    """min(max(x + 3, 0), 6) / 6."""
    return m.minimum(m.maximum(x + 3, 0), 6) / 6


hardsigmoid.pullback("x")(lambda m, g, x: m.where(m.logical_or(x <= -3, x >= 3), 0, g / 6))
hardsigmoid.cases([-4.0, -1.0, 0.5, 5.0])
hardsigmoid.cases([-3.0, 3.0], tag="kink")


@elementwise(takes="float", source="Howard et al. 2019", lipschitz=1.5)
def hardswish(m: Maths, x: Value) -> Value:
    """x min(max(x + 3, 0), 6) / 6."""
    return x * m.minimum(m.maximum(x + 3, 0), 6) / 6


@hardswish.pullback("x")
def hardswish_pullback(m: Maths, g: Value, x: Value) -> Value:
    return m.where(x <= -3, 0, m.where(x < 3, g * (x / 3 + 0.5), g))


hardswish.cases([-4.0, -1.0, 0.5, 5.0])
hardswish.cases([-3.0, 3.0], tag="kink")

# ---- over an axis ------------------------------------------------------------------------------------------

LOGITS = [[0.5, -1.0, 2.0], [1.0, 1.5, -0.5]]


def largest(m: Maths, x: Value, axis: int) -> Value:
    """The largest element along the axis, which takes the overflow out of e^x; an empty axis has none."""
    return 0 if 0 in x.shape else m.amax(x, axis=axis, keepdims=True)


@composite(takes="float", symbol=r"\operatorname{softmax}", source="Bishop 2006, eq. 4.62")
def softmax(m: Maths, x: Value, *, axis: int = -1) -> Value:
    """e^x_j / sum_k e^x_k along the axis: every output depends on every input."""
    e = m.exp(x)
    return e / m.sum(e, axis=axis, keepdims=True)


@softmax.compute
def softmax_without_overflow(m: Maths, x: Value, *, axis: int = -1) -> Value:
    e = m.exp(x - largest(m, x, axis))
    return e / m.sum(e, axis=axis, keepdims=True)


@softmax.pullback("x")
def softmax_pullback(m: Maths, g: Value, y: Value, axis: int) -> Value:
    gy = g * y
    return gy - y * m.sum(gy, axis=axis, keepdims=True)


softmax.cases(LOGITS, (LOGITS, {"axis": 0}))
softmax.cases([[800.0, -800.0, 799.0]], tag="extreme")


@composite(takes="float", source="Bishop 2006, eq. 4.62")
def log_softmax(m: Maths, x: Value, *, axis: int = -1) -> Value:
    """x_j - log sum_k e^x_k along the axis."""
    return x - m.log(m.sum(m.exp(x), axis=axis, keepdims=True))


@log_softmax.compute
def log_softmax_without_overflow(m: Maths, x: Value, *, axis: int = -1) -> Value:
    z = x - largest(m, x, axis)
    return z - m.log(m.sum(m.exp(z), axis=axis, keepdims=True))


@log_softmax.pullback("x")
def log_softmax_pullback(m: Maths, g: Value, y: Value, axis: int) -> Value:
    return g - m.exp(y) * m.sum(g, axis=axis, keepdims=True)


log_softmax.cases(LOGITS, (LOGITS, {"axis": 0}))
log_softmax.cases([[800.0, -800.0, 799.0]], tag="extreme")

for same_shape in (softmax, log_softmax):
    same_shape.shape(lambda x, *, axis=-1: (shapes.normal_axis(axis, len(x)), x)[1])
