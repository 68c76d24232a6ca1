"""Sums and products of numbers, some of them negative: what is printed, read as Python, gives the same value."""

from __future__ import annotations

import itertools

import pytest

from chainrule.notation.conventions import convention
from chainrule.notation.plain import plain
from chainrule.notation.typeset import typeset
from chainrule.symbolic.expression import Expression, Symbol

A, B, C, D, E = (Symbol(name) for name in "abcde")
FORMULAS = (
    (A * B + C * D) * E, (A + B) * C, A * B + C * D + E, A * B - C * D, A - (B + C), A - (B - C), A * (B * C + D),
    A - B * C - D, (A - B) * (C - D), A + B + C + D, E * (A * B + C), -(A + B) * C, A - (-B),
)  # fmt: skip


@pytest.mark.parametrize("formula", FORMULAS)
def test_signs_and_parentheses_keep_the_meaning(formula: Expression) -> None:
    for signs in itertools.product((1.0, -1.0), repeat=5):
        numbers = [sign * size for sign, size in zip(signs, (0.5, 0.25, 2.0, 1.5, 3.0), strict=True)]
        values = dict(zip("abcde", numbers, strict=True))
        read = plain(typeset(formula, convention("article1")), 1000)
        printed = plain(typeset(formula, convention("article1"), values), 1000)
        assert value(printed, {}) == value(read, values), (printed, read, values)


def test_of_a_negative_product_the_first_number_alone_has_parentheses() -> None:
    values = {"a": -0.5, "b": 0.1, "c": -2.0, "d": 3.0}
    assert plain(typeset(A * B + C * D, convention("article1"), values)) == "−0.5 ⋅ 0.1 + (−2) ⋅ 3"
    assert plain(typeset(A * B - C * D, convention("article1"), values)) == "−0.5 ⋅ 0.1 − (−2) ⋅ 3"


def test_a_sum_that_begins_with_a_minus_keeps_its_parentheses_as_a_factor() -> None:
    values = {"a": -0.5, "b": 0.1, "c": 2.0, "d": 3.0, "e": 4.0}
    shown = plain(typeset((A * B + C * D) * E, convention("article1"), values))
    assert shown == "(−0.5 ⋅ 0.1 + 2 ⋅ 3) ⋅ 4"


def value(text: str, names: dict[str, float]) -> float:
    return float(eval(text.replace("−", "-").replace("⋅", "*"), {"__builtins__": {}}, names))
