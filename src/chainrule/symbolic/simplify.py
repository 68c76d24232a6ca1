"""What a reader would not write: factors of 1, double signs, transposes of transposes, stretching that a product does.

`simplified(f)` has the value of `f`, up to rounding, where both are finite. Products come out as one number, then
the factors in the order in which they stood, then what divides them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache, reduce

from chainrule import shapes
from chainrule.shapes import Shape
from chainrule.symbolic.expression import Call, Expression, Number, Real, call, with_each_part


@lru_cache(maxsize=1 << 15)
def simplified(formula: Expression) -> Expression:
    """The formula as one would write it by hand. Derivations share their parts: each is simplified once."""
    formula = with_each_part(formula, simplified)
    rule = RULES.get(formula.op.name) if isinstance(formula, Call) else None
    return formula if rule is None else rule(formula)  # type: ignore[arg-type]  # a rule is found for calls only


# ---- products -------------------------------------------------------------------------------------------------


@dataclass
class Product:
    """A number, the factors above the line, and those below."""

    number: Real = 1
    factors: list[Expression] = field(default_factory=list)
    divisors: list[Expression] = field(default_factory=list)

    def times(self, formula: Expression) -> None:
        """Take in one more factor, taken apart."""
        if isinstance(formula, Number):
            self.number = times(self.number, formula.value)
        elif is_call(formula, "neg"):
            self.number = -self.number
            self.times(formula.parts[0])
        elif is_call(formula, "mul"):
            for part in formula.parts:
                self.times(part)
        elif is_call(formula, "div"):
            self.times(formula.parts[0])
            self.over(formula.parts[1])
        elif is_call(formula, "broadcast_to"):
            self.times(formula.parts[0])
        else:
            self.factors.append(formula)

    def over(self, formula: Expression) -> None:
        """Divide by one more factor."""
        if isinstance(formula, Number) and formula.value != 0:
            self.number = ratio(self.number, formula.value)
        else:
            self.divisors.append(formula)

    def formula(self, shape: Shape) -> Expression:
        """The product, of this shape."""
        if not self.factors and not self.divisors:
            return Number(self.number, shape)
        negative = float(self.number) < 0
        size = -self.number if negative else self.number
        factors = self.factors if self.factors and size == 1 else [Number(size), *self.factors]
        y = reduce(lambda a, b: call("mul", a, b), factors)
        for divisor in self.divisors:
            y = call("div", y, divisor)
        y = call("neg", y) if negative else y
        return y if y.shape == shape else call("broadcast_to", y, shape=shape)


def product(formula: Call) -> Expression:
    taken = Product()
    taken.times(formula)
    return taken.formula(formula.shape)


def exact(number: Real) -> Real:
    """An integer where the number is one."""
    if isinstance(number, Fraction):
        return number.numerator if number.denominator == 1 else number
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**53:
        return int(number)
    return number


def times(a: Real, b: Real) -> Real:
    """a b, exactly if both are ratios of integers."""
    if isinstance(a, float) or isinstance(b, float):
        return exact(float(a) * float(b))
    return exact(Fraction(a) * Fraction(b))


def ratio(a: Real, b: Real) -> Real:
    """a / b, exactly if both are ratios of integers."""
    if isinstance(a, float) or isinstance(b, float):
        return exact(float(a) / float(b))
    return exact(Fraction(a) / Fraction(b))


def added(a: Real, b: Real) -> Real:
    """a + b, exactly if both are ratios of integers."""
    if isinstance(a, float) or isinstance(b, float):
        return exact(float(a) + float(b))
    return exact(Fraction(a) + Fraction(b))


# ---- sums, powers, movements ----------------------------------------------------------------------------------


def plus(formula: Call) -> Expression:
    a, b = formula.parts
    if isinstance(a, Number) and isinstance(b, Number) and a.shape == b.shape:
        return Number(added(a.value, b.value), a.shape)
    if is_zero(b) and a.shape == formula.shape:
        return a
    if is_zero(a) and b.shape == formula.shape:
        return b
    if is_call(b, "neg"):
        return call("sub", a, b.parts[0])
    return formula


def minus(formula: Call) -> Expression:
    a, b = formula.parts
    if isinstance(a, Number) and isinstance(b, Number) and a.shape == b.shape:
        return Number(added(a.value, -b.value), a.shape)
    if is_zero(b) and a.shape == formula.shape:
        return a
    if is_zero(a) and b.shape == formula.shape:
        return simplified(call("neg", b))
    if is_call(b, "neg"):
        return call("add", a, b.parts[0])
    return formula


def power(formula: Call) -> Expression:
    base, exponent = formula.parts
    if isinstance(exponent, Number) and exponent.value == 1 and base.shape == formula.shape:
        return base
    return formula


def transpose(formula: Call) -> Expression:
    (x,) = formula.parts
    if isinstance(x, Number):
        return Number(x.value, formula.shape)
    return x.parts[0] if is_call(x, "mT") else formula


def stretch(formula: Call) -> Expression:
    (x,) = formula.parts
    if isinstance(x, Number):
        return Number(x.value, formula.shape)
    return x if x.shape == formula.shape else formula


def reshape(formula: Call) -> Expression:
    (x,) = formula.parts
    if isinstance(x, Number):
        return Number(x.value, formula.shape)
    if is_call(x, "reshape"):
        return reshape(call("reshape", x.parts[0], shape=formula.shape))
    return x if x.shape == formula.shape else formula


def total(formula: Call) -> Expression:
    (x,) = formula.parts
    axes = shapes.normal_axes(dict(formula.params).get("axis"), x.ndim)
    if is_call(x, "one_hot") and axes == (x.ndim - 1,):
        return Number(1, formula.shape)
    nothing_to_add = all(x.shape[i] == 1 for i in axes)
    return x if nothing_to_add and x.shape == formula.shape else formula


def cast(formula: Call) -> Expression:
    (x,) = formula.parts
    return x if x.dtype is formula.dtype else formula


RULES: dict[str, Callable[[Call], Expression]] = {
    "mul": product, "div": product, "neg": product, "add": plus, "sub": minus, "pow": power, "mT": transpose,
    "broadcast_to": stretch, "reshape": reshape, "sum": total, "cast": cast,
}  # fmt: skip


def is_call(formula: Expression, name: str) -> bool:
    """True for a call of that operator."""
    return isinstance(formula, Call) and formula.op.name == name


def is_zero(formula: Expression) -> bool:
    return isinstance(formula, Number) and formula.value == 0
