"""Formulas on floats: what float and double differ in, polynomials, the parts of a number, and sums of two numbers.

The words that `vector_maths.py` and `vector_angles.py` are written in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps

from chainrule.compiler.targets.llvm.registers import Register, fma
from chainrule.compiler.targets.llvm.text import Function, Value


def instructions(formula: Callable[..., Register]) -> Callable[..., Value]:
    """A formula on registers as a function of the function that is being written, and of values."""

    @wraps(formula)
    def write(f: Function, *operands: Value) -> Value:
        return formula(*[Register(f, x) for x in operands]).value

    return write


# ---- float and double ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """A floating-point format: bits of the fraction, and what is added to exponents."""

    digits: int
    bias: int

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)

    @property
    def shifter(self) -> float:
        """1.5 2^digits: added to a number it rounds to an integer, which then stands in the low bits."""
        return 1.5 * 2.0**self.digits

    @property
    def shifter_bits(self) -> int:
        return ((self.bias + self.digits) << self.digits) + (1 << (self.digits - 1))


SINGLE, DOUBLE = Format(23, 127), Format(52, 1023)


def format_of(x: Register) -> Format:
    return {"float": SINGLE, "double": DOUBLE}[x.type.scalar]


@dataclass(frozen=True)
class Numbers:
    """Constants that differ between the formats, each rounded to its format."""

    single: tuple[float, ...]
    double: tuple[float, ...]

    def of(self, x: Register) -> tuple[float, ...]:
        """Those for the format of x."""
        return self.single if x.type.scalar == "float" else self.double


@dataclass(frozen=True)
class Polynomial(Numbers):
    """Coefficients, lowest power first."""

    def __call__(self, x: Register) -> Register:
        coefficients = self.of(x)
        if len(coefficients) < 8:
            return horner(coefficients, x)
        square = x * x  # two chains side by side: the processor waits half as long for the one before
        return fma(horner(coefficients[1::2], square), x, horner(coefficients[::2], square))


def horner(coefficients: Sequence[float], x: Register) -> Register:
    y = x.constant(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        y = fma(y, x, c)
    return y


def odd(polynomial: Polynomial, x: Register) -> Register:
    """x + x^3 P(x^2)."""
    square = x * x
    return fma(x * square, polynomial(square), x)


# ---- parts of numbers ----------------------------------------------------------------------------------------------


def real(bits: Register, like: Register) -> Register:
    """The float with these bits."""
    return bits.to("bitcast", like.type)


def number(n: Register, like: Register) -> Register:
    """A small integer as a float: by its place in the shifter's low bits, for not every processor converts i64."""
    fmt = format_of(like)
    return real(n + fmt.shifter_bits, like) - fmt.shifter


def rounded(x: Register, factor: float) -> tuple[Register, Register]:
    """The integer nearest to x factor: as a float, and with the shifter's bits added."""
    shifted = fma(factor, x, format_of(x).shifter)
    return shifted - format_of(x).shifter, shifted.bits


def power_of_two(biased: Register, like: Register) -> Register:
    """2^(n - bias) of an integer n from 0 (which gives 0) to 2 bias + 1 (which gives infinity)."""
    return real(biased << format_of(like).digits, like)


def with_sign_of(x: Register, sign: Register) -> Register:
    return x.intrinsic("copysign", sign)


Pair = tuple[Register, Register]
"""A number as an unevaluated sum: its rounding, and the rest."""


def sum_of(large: Register, small: Register) -> Pair:
    """large + small, exactly; |large| >= |small|, or large = 0."""
    y = large + small
    return y, (large - y) + small


def product_of(a: Register, b: Register) -> Pair:
    """a b, exactly."""
    y = a * b
    return y, fma(a, b, -y)


def pair_product(a: Pair, b: Pair) -> Pair:
    y, rest = product_of(a[0], b[0])
    return y, fma(a[0], b[1], fma(a[1], b[0], rest))
