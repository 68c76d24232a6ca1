"""Arithmetic, powers, logarithms, trigonometry, comparisons and logic: elementwise maps with broadcasting."""

from __future__ import annotations

from math import inf, log, nan, pi, sqrt

from chainrule import dtypes
from chainrule.ops.kinds import elementwise
from chainrule.ops.maths import Maths, Value

# ---- + - * / and powers ------------------------------------------------------------------------------------


@elementwise.primitive(symbol="+")
def add(m: Maths, a: Value, b: Value) -> Value:
    """The sum a + b."""
    return m.add(a, b)


add.derivative("a")(lambda m: 1)
add.derivative("b")(lambda m: 1)
add.cases(([-1.5, 2.0], [0.25, 3.0]), ([[1.0], [2.0]], [0.5, -0.5, 4.0]))
add.cases(([1.0, 2.0], [1.0, 2.0, 3.0]), tag="rejected")
add.cases(([1e300, -1e300], [1e300, 1e-300]), tag="extreme")


@elementwise.primitive(takes="number", symbol="-")
def sub(m: Maths, a: Value, b: Value) -> Value:
    """The difference a - b."""
    return m.sub(a, b)


sub.derivative("a")(lambda m: 1)
sub.derivative("b")(lambda m: -1)
sub.cases(([-1.5, 2.0], [0.25, 3.0]), ([[1.0], [2.0]], [0.5, -0.5, 4.0]))
sub.cases(([1.0, 2.0], [1.0, 2.0, 3.0]), tag="rejected")


@elementwise.primitive(symbol=r"\cdot")
def mul(m: Maths, a: Value, b: Value) -> Value:
    """The product a b."""
    return m.mul(a, b)


mul.derivative("a")(lambda m, b: b)
mul.derivative("b")(lambda m, a: a)
mul.cases(([-1.5, 2.0], [0.25, 3.0]), ([[1.0], [2.0]], [0.5, -0.5, 4.0]))
mul.cases(([1.0, 2.0], [1.0, 2.0, 3.0]), tag="rejected")


@elementwise.primitive(symbol="/", result="float")
def div(m: Maths, a: Value, b: Value) -> Value:
    """The quotient a / b; integers give the default float."""
    return m.div(a, b)


div.derivative("a")(lambda m, b: 1 / b)
div.derivative("b")(lambda m, b, y: -y / b)
div.cases(([-1.5, 2.0], [0.25, 3.0]), ([[1.0], [2.0]], [0.5, -0.5, 4.0]))
div.cases(([1.0, 2.0], [1.0, 2.0, 3.0]), tag="rejected")


@elementwise.primitive(takes="number")
def floor_divide(m: Maths, a: Value, b: Value) -> Value:
    """The largest integer not above a / b; the slope is 0 everywhere."""
    return m.floor_divide(a, b)


floor_divide.cases(([-7.0, 7.0, 5.6], [2.0, -2.0, 0.5]))
floor_divide.cases(([-4.0, 5.5], [2.0, 0.5]), tag="kink")


@elementwise.primitive(takes="number")
def remainder(m: Maths, a: Value, b: Value) -> Value:
    """a - b floor(a / b): it has the sign of b."""
    return m.remainder(a, b)


remainder.pullback("a")(lambda m, g: g)
remainder.pullback("b")(lambda m, g, a, b: -g * m.floor_divide(a, b))
remainder.cases(([-7.3, 7.3, 5.6], [2.0, -2.0, 0.5]))
remainder.cases(([-1.0, 3.0], [inf, -inf]), tag="kink")


@elementwise.primitive(takes="number")
def pow_(m: Maths, a: Value, b: Value) -> Value:
    """The power a^b; nan for a negative base with a fractional exponent."""
    return m.pow(a, b)


@pow_.pullback("a")
def through_base(m: Maths, g: Value, a: Value, b: Value) -> Value:
    """b a^(b-1), and 0 for b = 0 also where 1/a overflows. The mask is no wider: d^2 y / da db is 1/a at b = 0."""
    if isinstance(b, (int, float)):
        return m.mul(g, 0.0) if b == 0 else g * (b * m.pow(a, b - 1))
    one = m.logical_and(m.eq(b, 0), m.logical_not(m.isfinite(1 / a)))
    return m.where(one, 0, g * (b * m.pow(m.where(one, 1, a), b - 1)))


@pow_.pullback("b")
def through_exponent(m: Maths, g: Value, a: Value, b: Value, y: Value) -> Value:
    """a^b log a, and 0 where a = 0 and b >= 0."""
    if isinstance(a, (int, float)):
        a = m.zeros(shape=(), dtype=b.dtype) + a
    at_zero = m.logical_and(m.eq(a, 0), b >= 0)
    return m.where(at_zero, 0, g * (y * m.log(m.where(at_zero, 1, a))))


pow_.cases(([0.5, 2.0, 3.0], [2.0, -1.5, 0.5]), ([[1.5], [0.5]], [2.0, 0.0, -1.0]))
pow_.cases(([0.0, 0.0, 1.0, 1e-310], [2.0, 0.0, 0.0, 0.0]), tag="kink")


@elementwise.primitive(takes="number", symbol="-")
def neg(m: Maths, x: Value) -> Value:
    """-x."""
    return m.neg(x)


neg.derivative("x")(lambda m: -1)
neg.cases([-2.0, 0.0, 3.0])


@elementwise(takes="number", symbol=r"{}^2")
def square(m: Maths, x: Value) -> Value:
    """x^2."""
    return x * x


square.derivative("x")(lambda m, x: 2 * x)
square.cases([-2.0, 0.0, 3.0])
square.cases([-1e150, 1e-150], tag="extreme")


@elementwise(result="float")
def reciprocal(m: Maths, x: Value) -> Value:
    """1 / x."""
    return 1 / x


reciprocal.derivative("x")(lambda m, y: -y * y)
reciprocal.cases([-2.0, 0.5, 3.0])


@elementwise.primitive(result="float", symbol=r"\sqrt")
def sqrt_(m: Maths, x: Value) -> Value:
    """The square root; its slope at 0 is infinite."""
    return m.sqrt(x)


sqrt_.derivative("x")(lambda m, y: 0.5 / y)
sqrt_.cases([0.25, 1.0, 9.5])
sqrt_.cases([0.0], tag="kink")
sqrt_.cases([1e-300, 1e300], tag="extreme")


@elementwise(result="float")
def rsqrt(m: Maths, x: Value) -> Value:
    """1 / sqrt(x)."""
    return 1 / m.sqrt(x)


rsqrt.derivative("x")(lambda m, y: -0.5 * y * y * y)
rsqrt.cases([0.25, 1.0, 9.5])
rsqrt.cases([1e-150, 1e150], tag="extreme")

# ---- exponentials and logarithms ---------------------------------------------------------------------------


@elementwise.primitive(result="float", symbol=r"\exp")
def exp(m: Maths, x: Value) -> Value:
    """e^x."""
    return m.exp(x)


exp.derivative("x")(lambda m, y: y)
exp.cases([-2.0, -0.5, 0.0, 0.5, 2.0])
exp.cases([-745.0, -104.0, 88.0, 709.0], tag="extreme")


@elementwise.primitive(result="float")
def expm1(m: Maths, x: Value) -> Value:
    """e^x - 1, exact near 0."""
    return m.expm1(x)


expm1.derivative("x")(lambda m, y: y + 1)
expm1.cases([-2.0, 1e-8, 0.0, 0.5, 2.0])
expm1.cases([-100.0, 88.0], tag="extreme")


@elementwise.primitive(result="float", symbol=r"\log")
def log_(m: Maths, x: Value) -> Value:
    """The natural logarithm; -inf at 0, nan below."""
    return m.log(x)


log_.derivative("x")(lambda m, x: 1 / x)
log_.cases([0.25, 1.5, 9.5])
log_.cases([1e-300, 1e300], tag="extreme")


@elementwise.primitive(result="float")
def log1p(m: Maths, x: Value) -> Value:
    """log(1 + x), exact near 0."""
    return m.log1p(x)


log1p.derivative("x")(lambda m, x: 1 / (1 + x))
log1p.cases([-0.5, 1e-8, 0.25, 9.5])
log1p.cases([-0.9999, -1e-300, 1e-300, 1e300], tag="extreme")


@elementwise(result="float")
def log2(m: Maths, x: Value) -> Value:
    """The logarithm to base 2."""
    return m.log(x) / m.log(2.0 + 0 * x)


log2.derivative("x")(lambda m, x: 1 / (x * log(2.0)))
log2.cases([0.25, 1.5, 9.5])


@elementwise(result="float")
def log10(m: Maths, x: Value) -> Value:
    """The logarithm to base 10."""
    return m.log(x) / m.log(10.0 + 0 * x)


log10.derivative("x")(lambda m, x: 1 / (x * log(10.0)))
log10.cases([0.25, 1.5, 9.5])

# ---- absolute value, rounding ------------------------------------------------------------------------------


@elementwise.primitive(lipschitz=1.0)
def abs_(m: Maths, x: Value) -> Value:
    """|x|; the slope at 0 is 0."""
    return m.abs(x)


abs_.pullback("x")(lambda m, g, x: m.where(x > 0, g, m.where(x < 0, -g, 0 * g)))
abs_.cases([-2.0, 0.5])
abs_.cases([0.0, -0.0], tag="kink")


def flat(m: Maths, g: Value) -> Value:
    """The pullback of a step function: 0 everywhere."""
    return m.zeros(shape=g.shape, dtype=g.dtype)


@elementwise.primitive(takes="number")
def sign(m: Maths, x: Value) -> Value:
    """-1, 0 or 1; the slope is 0 everywhere."""
    return m.sign(x)


@elementwise.primitive(takes="number")
def floor(m: Maths, x: Value) -> Value:
    """The largest integer not above x; the slope is 0 everywhere."""
    return m.floor(x)


@elementwise.primitive(takes="number")
def ceil(m: Maths, x: Value) -> Value:
    """The smallest integer not below x; the slope is 0 everywhere."""
    return m.ceil(x)


@elementwise.primitive(takes="number")
def round_(m: Maths, x: Value) -> Value:
    """The nearest integer, halves to the even one; the slope is 0 everywhere."""
    return m.round(x)


@elementwise.primitive(takes="number")
def trunc(m: Maths, x: Value) -> Value:
    """The integer part, towards 0; the slope is 0 everywhere."""
    return m.trunc(x)


floor_divide.pullback("a")(flat)
floor_divide.pullback("b")(flat)
for step in (sign, floor, ceil, round_, trunc):
    step.pullback("x")(flat)
    step.cases([-1.7, -0.2, 0.3, 2.6])
    step.cases([-2.0, -0.5, 0.0, 0.5, 1.5], tag="kink")

# ---- trigonometry ------------------------------------------------------------------------------------------


@elementwise.primitive(result="float", symbol=r"\sin", lipschitz=1.0)
def sin(m: Maths, x: Value) -> Value:
    """The sine of x in radians."""
    return m.sin(x)


sin.derivative("x")(lambda m, x: m.cos(x))
sin.cases([-2.0, 0.0, 0.5, 4.0])


@elementwise.primitive(result="float", symbol=r"\cos", lipschitz=1.0)
def cos(m: Maths, x: Value) -> Value:
    """The cosine of x in radians."""
    return m.cos(x)


cos.derivative("x")(lambda m, x: -m.sin(x))
cos.cases([-2.0, 0.0, 0.5, 4.0])


@elementwise(result="float", symbol=r"\tan")
def tan(m: Maths, x: Value) -> Value:
    """The tangent of x in radians."""
    return m.sin(x) / m.cos(x)


tan.derivative("x")(lambda m, y: 1 + y * y)
tan.cases([-1.0, 0.0, 0.5, 4.0])


@elementwise.primitive(result="float")
def asin(m: Maths, x: Value) -> Value:
    """The angle in [-pi/2, pi/2] whose sine is x in [-1, 1]; nan outside."""
    return m.asin(x)


asin.derivative("x")(lambda m, x: m.rsqrt((1 - x) * (1 + x)))
asin.cases([-0.75, 0.0, 0.5])


@elementwise.primitive(result="float")
def acos(m: Maths, x: Value) -> Value:
    """The angle in [0, pi] whose cosine is x in [-1, 1]; nan outside."""
    return m.acos(x)


acos.derivative("x")(lambda m, x: -m.rsqrt((1 - x) * (1 + x)))
acos.cases([-0.75, 0.0, 0.5])


@elementwise.primitive(result="float", lipschitz=1.0)
def atan(m: Maths, x: Value) -> Value:
    """The angle in (-pi/2, pi/2) whose tangent is x."""
    return m.atan(x)


atan.derivative("x")(lambda m, x: 1 / (1 + x * x))
atan.cases([-2.0, 0.0, 0.5])


@elementwise.primitive(result="float")
def atan2(m: Maths, a: Value, b: Value) -> Value:
    """The angle in (-pi, pi] of the point with height a and abscissa b; both slopes at the origin are 0."""
    return m.atan2(a, b)


def squared_distance(m: Maths, a: Value, b: Value) -> Value:
    """a^2 + b^2, and 1 at the origin."""
    d = a * a + b * b
    return m.where(m.eq(d, 0), 1, d)


atan2.derivative("a")(lambda m, a, b: b / squared_distance(m, a, b))
atan2.derivative("b")(lambda m, a, b: -a / squared_distance(m, a, b))
atan2.cases(([0.0, -0.0, 0.0], [0.0, 0.0, -0.0]), tag="kink")
atan2.cases(([1.0, -2.0, 0.5], [0.5, 1.0, -3.0]))
atan2.cases(([1e-10, -1e10], [1e10, 1e-10]), tag="extreme")


@elementwise(result="float")
def sinh(m: Maths, x: Value) -> Value:
    """(e^x - e^-x) / 2."""
    return (m.exp(x) - m.exp(-x)) / 2


sinh.derivative("x")(lambda m, x: m.cosh(x))
sinh.cases([-2.0, 0.0, 0.5])
sinh.cases([-700.0, -1e-10, 1e-10, 700.0], tag="extreme")


@elementwise(result="float")
def cosh(m: Maths, x: Value) -> Value:
    """(e^x + e^-x) / 2."""
    return (m.exp(x) + m.exp(-x)) / 2


cosh.derivative("x")(lambda m, x: m.sinh(x))
cosh.cases([-2.0, 0.0, 0.5])
cosh.cases([-700.0, 700.0], tag="extreme")


@elementwise.primitive(result="float", symbol=r"\tanh", lipschitz=1.0)
def tanh(m: Maths, x: Value) -> Value:
    """(e^x - e^-x) / (e^x + e^-x)."""
    return m.tanh(x)


tanh.derivative("x")(lambda m, y: 1 - y * y)
tanh.cases([-2.0, -0.5, 0.0, 0.5, 2.0])
tanh.cases([-710.0, -20.0, -1e-10, 1e-300, 20.0, 710.0], tag="extreme")


@elementwise.primitive(result="float", lipschitz=2 / sqrt(pi))
def erf(m: Maths, x: Value) -> Value:
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return m.erf(x)


erf.derivative("x")(lambda m, x: 2 / sqrt(pi) * m.exp(-x * x))
erf.cases([-2.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0])
erf.cases([-40.0, -6.5, -1e-10, 1e-300, 5.0, 6.5, 40.0], tag="extreme")

# ---- choosing ----------------------------------------------------------------------------------------------


@elementwise.primitive
def maximum(m: Maths, a: Value, b: Value) -> Value:
    """The larger of the two; a tie gives each input half of the cotangent."""
    return m.maximum(a, b)


maximum.pullback("a")(lambda m, g, a, b: m.where(a < b, 0, m.where(m.eq(a, b), 0.5 * g, g)))
maximum.pullback("b")(lambda m, g, a, b: m.where(b < a, 0, m.where(m.eq(a, b), 0.5 * g, g)))


@elementwise.primitive
def minimum(m: Maths, a: Value, b: Value) -> Value:
    """The smaller of the two; a tie gives each input half of the cotangent."""
    return m.minimum(a, b)


minimum.pullback("a")(lambda m, g, a, b: m.where(a > b, 0, m.where(m.eq(a, b), 0.5 * g, g)))
minimum.pullback("b")(lambda m, g, a, b: m.where(b > a, 0, m.where(m.eq(a, b), 0.5 * g, g)))

for choice in (maximum, minimum):
    choice.cases(([-1.0, 2.0, 3.0], [0.5, 1.0, 4.0]), ([[1.0], [2.0]], [0.5, 3.0]))
    choice.cases(([1.0, 0.0], [1.0, 0.0]), tag="kink")


@elementwise(lipschitz=1.0)
def clamp(m: Maths, x: Value, *, min: float | None = None, max: float | None = None) -> Value:
    """x moved into [min, max]; the slope is 1 on the closed interval and 0 outside."""
    y = x if min is None else m.maximum(x, min)
    return y if max is None else m.minimum(y, max)


@clamp.pullback("x")
def inside(m: Maths, g: Value, x: Value, min: float | None, max: float | None) -> Value:
    if min is not None:
        g = m.where(x >= min, g, 0)
    return g if max is None else m.where(x <= max, g, 0)


clamp.cases(([-1.0, 0.3, 3.0], {"min": -0.5, "max": 1.0}), ([-1.0, 3.0], {"max": 1.0}), ([-1.0, 3.0], {"min": 0.0}))
clamp.cases(([-0.5, 1.0, nan], {"min": -0.5, "max": 1.0}), tag="kink")


@elementwise.primitive(promotes=("a", "b"))
def where(m: Maths, condition: Value, a: Value, b: Value) -> Value:
    """a where the condition holds, else b. The cotangent of the other branch is 0, also for inf and nan."""
    return m.where(condition, a, b)


where.pullback("a")(lambda m, g, condition: m.where(condition, g, 0))
where.pullback("b")(lambda m, g, condition: m.where(condition, 0, g))
where.cases(([True, False, True], [1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]), ([[True], [False]], [1.0, 2.0], [[0.5], [3.0]]))


@elementwise(takes="float")
def lerp(m: Maths, start: Value, end: Value, weight: Value) -> Value:
    """start + weight (end - start)."""
    return start + weight * (end - start)


lerp.derivative("start")(lambda m, weight: 1 - weight)
lerp.derivative("end")(lambda m, weight: weight)
lerp.derivative("weight")(lambda m, start, end: end - start)
lerp.cases(([1.0, -2.0], [3.0, 0.5], [0.25, 0.75]))


@elementwise.primitive(result="parameter")
def cast(m: Maths, x: Value, *, dtype: object) -> Value:
    """x in another element type."""
    return m.cast(x, dtype=dtype)


cast.pullback("x")(lambda m, g, x_dtype: m.cast(g, dtype=x_dtype))
cast.cases(([1.5, -2.0], {"dtype": dtypes.float64}), ([0.0, 2.75, -1.5], {"dtype": dtypes.int64}))

# ---- comparisons and logic: no derivative ------------------------------------------------------------------


@elementwise.primitive(result="bool", symbol="=")
def eq(m: Maths, a: Value, b: Value) -> Value:
    """a = b."""
    return m.eq(a, b)


@elementwise.primitive(result="bool", symbol=r"\ne")
def ne(m: Maths, a: Value, b: Value) -> Value:
    """a differs from b."""
    return m.ne(a, b)


@elementwise.primitive(result="bool", symbol="<")
def lt(m: Maths, a: Value, b: Value) -> Value:
    """a < b."""
    return m.lt(a, b)


@elementwise.primitive(result="bool", symbol=r"\le")
def le(m: Maths, a: Value, b: Value) -> Value:
    """a <= b."""
    return m.le(a, b)


@elementwise.primitive(result="bool", symbol=">")
def gt(m: Maths, a: Value, b: Value) -> Value:
    """a > b."""
    return m.gt(a, b)


@elementwise.primitive(result="bool", symbol=r"\ge")
def ge(m: Maths, a: Value, b: Value) -> Value:
    """a >= b."""
    return m.ge(a, b)


for comparison in (eq, ne, lt, le, gt, ge):
    comparison.cases(([1.0, 2.0, 3.0], [2.0, 2.0, 1.0]), ([[1.0], [2.0]], [1.0, 3.0]))


@elementwise.primitive(result="bool", symbol=r"\land")
def logical_and(m: Maths, a: Value, b: Value) -> Value:
    """Both are nonzero."""
    return m.logical_and(a, b)


@elementwise.primitive(result="bool", symbol=r"\lor")
def logical_or(m: Maths, a: Value, b: Value) -> Value:
    """One of them is nonzero."""
    return m.logical_or(a, b)


@elementwise.primitive(result="bool")
def logical_xor(m: Maths, a: Value, b: Value) -> Value:
    """Exactly one of them is nonzero."""
    return m.logical_xor(a, b)


@elementwise.primitive(result="bool", symbol=r"\lnot")
def logical_not(m: Maths, x: Value) -> Value:
    """x is zero."""
    return m.logical_not(x)


for logic in (logical_and, logical_or, logical_xor):
    logic.cases(([True, True, False, False], [True, False, True, False]), ([0.0, 2.0], [1.0, 3.0]))
logical_not.cases([True, False], [0.0, 2.0])


@elementwise.primitive(takes="integer")
def bitwise_and(m: Maths, a: Value, b: Value) -> Value:
    """Bit by bit, for integers and bools."""
    return m.bitwise_and(a, b)


@elementwise.primitive(takes="integer")
def bitwise_or(m: Maths, a: Value, b: Value) -> Value:
    """Bit by bit, for integers and bools."""
    return m.bitwise_or(a, b)


@elementwise.primitive(takes="integer")
def bitwise_xor(m: Maths, a: Value, b: Value) -> Value:
    """Bit by bit, for integers and bools."""
    return m.bitwise_xor(a, b)


@elementwise.primitive(takes="integer")
def bitwise_not(m: Maths, x: Value) -> Value:
    """Every bit of an integer or bool turned."""
    return m.bitwise_not(x)


for bits in (bitwise_and, bitwise_or, bitwise_xor):
    bits.cases(([5, 3, 0], [1, 6, 7]), ([True, False], [True, True]))
bitwise_not.cases([5, -1, 0], [True, False])


@elementwise(result="bool")
def isnan(m: Maths, x: Value) -> Value:
    """x is not a number."""
    return m.ne(x, x)


@elementwise(result="bool")
def isinf(m: Maths, x: Value) -> Value:
    """x is infinite."""
    return m.eq(m.abs(x), float("inf"))


@elementwise(result="bool")
def isfinite(m: Maths, x: Value) -> Value:
    """x is neither infinite nor nan."""
    return m.lt(m.abs(x), float("inf"))


for test in (isnan, isinf, isfinite):
    test.cases([1.0, float("inf"), float("-inf"), float("nan")])
