"""How a number reads under a convention: so many decimals, rounded or cut off, and what later steps go on with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np

from chainrule.notation.boxes import MINUS, Box, Fraction, Identifier, Numeral, Operator, Scripts, row
from chainrule.notation.conventions import Convention

# Computing 0.3 may give 0.29999999999999993: within so many units in the last place a float is the decimal number
# beside it, and is not cut down to 0.299.
NOISE = 8
LARGEST = 1e6
"""From this size on a number that is not whole is shown with a power of ten."""
LONGEST = 8
"""So many characters a number may have that a formula states in full."""


def shown(value: Any, convention: Convention, decimals: int | None = None) -> str:
    """A real number as digits that `float` reads: `0.574`, `-0.027`, `2.5e-7`, `nan`, `inf`.

    Whole numbers have no decimals. Zeros at the end are kept only where digits were dropped: 0.5 is a half, 0.500 is
    nearly one. A power of ten stands where the decimals would show 0, and from a million on. There is no -0.

    Args:
        value: a real number, of Python or NumPy.
        convention: its `decimals` and `rounding` are read.
        decimals: how many, where the convention's own number does not fit.
    """
    places = convention.decimals if decimals is None else decimals
    number = float(value)
    if not math.isfinite(number):
        return "nan" if math.isnan(number) else ("inf" if number > 0 else "-inf")
    if number == 0 or (number.is_integer() and abs(number) < 2.0**53 and abs(number) < 1e12):
        return str(int(number))
    if abs(number) >= LARGEST or (kept := _cut(value, places, convention)) == 0:
        return _with_power(value, places, convention)
    if decimals is not None and _cut(value, convention.decimals, convention) == 0:  # few of its digits would be left
        return _with_power(value, places, convention)
    if _is(kept, value):
        return _plainest(kept)
    return f"{kept:f}"


def carried(value: Any, convention: Convention) -> Any:
    """What later steps go on with: the value, or, where the convention carries shown numbers, what was shown.

    Args:
        value: a real number or an array; an array is carried element by element.
    """
    if convention.intermediates == "exact":
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "f":
        return value
    taken = [float(shown(x, convention)) for x in array.ravel()]
    return np.array(taken, array.dtype).reshape(array.shape) if array.shape else array.dtype.type(taken[0])


def shown_alike(values: Iterable[Any], convention: Convention, decimals: int | None = None) -> list[str]:
    """Numbers that stand in one matrix: all with the decimals that the longest of them needs."""
    texts = [shown(value, convention, decimals) for value in values]
    places = max([len(t.partition(".")[2]) for t in texts if _is_fixed(t)], default=0)
    return [t if not _is_fixed(t) or not places else _padded(t, places) for t in texts]


def number_box(text: str) -> Box:
    """Digits as `shown` writes them, as a box: a minus sign, a power of ten, infinity."""
    if text.startswith("-"):
        return row(MINUS, number_box(text[1:]))
    if text == "inf":
        return Operator("∞", "mark")
    if text == "nan":
        return Identifier("NaN")
    mantissa, e, power = text.partition("e")
    if not e:
        return Numeral(text)
    ten = Scripts(Numeral("10"), sup=number_box(str(int(power))))
    return ten if mantissa == "1" else row(Numeral(mantissa), Operator("×"), ten)


def stated(value: Any, convention: Convention) -> Box:
    """A number that a formula states: 2, 1/2 as a fraction, 1e-05 as a power of ten, a long decimal as `shown`."""
    numerator, denominator = getattr(value, "numerator", None), getattr(value, "denominator", 1)
    if numerator is not None and denominator != 1:
        fraction = Fraction(Numeral(str(abs(numerator))), Numeral(str(denominator)))
        return row(MINUS, fraction) if numerator < 0 else fraction
    if isinstance(value, int):
        return number_box(str(value))
    text = repr(float(value)).removesuffix(".0")
    return number_box(text if len(text) <= LONGEST else shown(value, convention))


def _cut(value: Any, places: int, convention: Convention) -> Decimal:
    """The value with so many decimals."""
    step = Decimal(1).scaleb(-places)
    exact = _decimal(value)
    nearest = exact.quantize(step, ROUND_HALF_EVEN)
    if convention.rounding == "rounded" or _is(nearest, value):
        return nearest
    return exact.quantize(step, ROUND_DOWN)


def _with_power(value: Any, places: int, convention: Convention) -> str:
    exact = _decimal(value)
    power = exact.adjusted()
    mantissa = _cut_mantissa(exact.scaleb(-power), max(places - 1, 1), convention)
    if abs(mantissa) >= 10:  # 9.996 became 10.00
        mantissa, power = _cut_mantissa(mantissa / 10, max(places - 1, 1), convention), power + 1
    digits = _plainest(mantissa) if _is(mantissa.scaleb(power), value) else f"{mantissa:f}"
    return f"{digits}e{power}"


def _cut_mantissa(mantissa: Decimal, places: int, convention: Convention) -> Decimal:
    how = ROUND_HALF_EVEN if convention.rounding == "rounded" else ROUND_DOWN
    return mantissa.quantize(Decimal(1).scaleb(-places), how)


def _decimal(value: Any) -> Decimal:
    """The decimal number that Python or NumPy prints for the float."""
    return Decimal(str(value)) if isinstance(value, np.floating) else Decimal(repr(float(value)))


def _is(number: Decimal, value: Any) -> bool:
    """Whether a float is this decimal number, up to the noise of computing it."""
    eps = float(np.finfo(value.dtype).eps) if isinstance(value, np.floating) else 2.0**-52
    return abs(float(number) - float(value)) <= NOISE * eps * abs(float(value))


def _is_fixed(text: str) -> bool:
    return "e" not in text and text[-1].isdigit()


def _padded(text: str, places: int) -> str:
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.ljust(places, '0')}"


def _plainest(number: Decimal) -> str:
    """Without zeros at the end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
