"""How a value reads in a report: four significant digits, true minus signs, nothing that breaks a page."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TypeGuard

from chainrule.report.document import Cell, Math, Table

MISSING = "–"
ONE_LINE = 10_000
"""A width at which no formula is broken."""
SIGNIFICANT_DIGITS = 4

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
# Control characters but tab and newline, lone surrogates and noncharacters: none of them may stand in
# HTML or be encoded as UTF-8, and an escape character would command a terminal.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def printable(text: str) -> str:
    """The text with a replacement character in place of whatever would break a page or a terminal."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def written(value: Cell) -> str:
    """A cell's value as text.

    Example:
        >>> [written(v) for v in (101770, 0.93125, 2.5e-7, -3.0, None, float("nan"))]
        ['101,770', '0.9313', '2.500×10⁻⁷', '−3.000', '–', 'NaN']
    """
    if value is None:
        return MISSING
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Math):
        return printable(value.plain(ONE_LINE))
    if isinstance(value, Integral):
        return _with_minus(str(value) if isinstance(value, bool) else f"{int(value):,}")
    return _written_float(float(value))


def written_column(values: Sequence[Cell]) -> list[str]:
    """Values that stand below each other, as text: fractions with the same number of decimals.

    Values of too different size for that (fewer than two digits of one would remain) stand for themselves.

    Example:
        >>> written_column([0.12, 0.05, None]), written_column([1234.5, 0.034])
        (['0.1200', '0.0500', '–'], ['1,234', '0.03400'])
    """
    fractions = [value for value in values if _is_fraction(value)]
    exponents = [math.floor(math.log10(abs(value))) for value in fractions if value]
    alike = bool(exponents) and max(exponents) - min(exponents) <= SIGNIFICANT_DIGITS - 2
    if not alike or not -4 < max(exponents) < 6:
        return [written(value) for value in values]
    decimals = max(0, SIGNIFICANT_DIGITS - 1 - max(exponents))
    return [fixed(value, decimals) if _is_fraction(value) and value else written(value) for value in values]


def written_rows(table: Table) -> list[list[str]]:
    """The cells of a table as text, row by row."""
    columns = [written_column(column) for column in zip(*table.rows, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def times_ten_to(mantissa: str, exponent: int) -> str:
    """`mantissa × 10^exponent`, typeset: `2.5×10⁻⁷`."""
    return _with_minus(mantissa) + "×10" + str(exponent).translate(_SUPERSCRIPTS)


def fixed(value: float, decimals: int) -> str:
    """The value with that many decimals, grouped by thousands."""
    return _with_minus(f"{value:,.{decimals}f}")


def _is_fraction(value: Cell) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, Integral) and math.isfinite(value)


def _written_float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    mantissa, exponent_text = f"{value:.{SIGNIFICANT_DIGITS - 1}e}".split("e")
    exponent = int(exponent_text)
    if -4 < exponent < 6:
        return fixed(value, max(0, SIGNIFICANT_DIGITS - 1 - exponent))
    return times_ten_to(mantissa, exponent)


def _with_minus(digits: str) -> str:
    return digits.replace("-", "−")
