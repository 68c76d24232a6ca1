"""The presets say what docs/articles.md says of each text, and numbers come out as the articles print them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.errors import ArgumentError, ArgumentTypeError
from chainrule.notation.conventions import PRESETS, Convention, convention, squared_error
from chainrule.notation.numbers import carried, shown, shown_alike
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Symbol

A1, A4 = convention("article1"), convention("article4")


def test_a_preset_is_found_by_its_name_and_an_object_is_itself() -> None:
    assert list(PRESETS) == [*[f"article{i}" for i in range(5)], "nielsen", "pytorch"]
    assert all(convention(name).name == name for name in PRESETS)
    mine = Convention("mine", decimals=2)
    assert convention(mine) is mine


def test_an_unknown_preset_raises_and_lists_those_there_are() -> None:
    with pytest.raises(ArgumentError, match=r"'article9'(.|\n)*article0, article1(.|\n)*nielsen, pytorch"):
        convention("article9")
    with pytest.raises(ArgumentTypeError, match="of type int"):
        convention(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["layer", "batch", "rounding", "first_weight", "squared_error", "decimals"])
def test_a_field_outside_its_values_raises(field: str) -> None:
    with pytest.raises(ArgumentError, match=field):
        replace(A1, **{field: 99})


def test_the_facts_of_the_articles() -> None:
    """docs/articles.md: A0.2, A1.3, A2.2, A3.1 and the section on conventions."""
    assert [PRESETS[n].first_weight for n in ("article0", "article1", "article3")] == [1, 2, 2]
    assert [PRESETS[n].layer for n in ("article1", "article2")] == ["superscript", "parentheses"]
    assert [PRESETS[n].loss for n in ("article1", "article3", "nielsen")] == ["ell", "C", "C"]
    assert [n for n in PRESETS if PRESETS[n].batch == "rows"] == ["pytorch"]


def test_the_worked_example_of_a4_is_printed_digit_for_digit() -> None:
    """A4.3: three decimals cut off, each step from the printed numbers of the one before."""
    c = A4

    def step(value: float) -> float:
        printed.append(shown(value, c))
        return float(carried(value, c))

    printed: list[str] = []
    z = step(0.5 * 0.4 + 0.1)
    y = step(1 / (1 + np.exp(-z)))
    step(0.5 * (y - 0.8) ** 2)
    slope = step(y - 0.8) * step(y * (1 - y)) * 0.5
    gradient = step(slope)
    assert printed == ["0.3", "0.574", "0.025", "-0.226", "0.244", "-0.027"]
    assert shown(0.4 - 0.01 * gradient, c, c.update_decimals) == "0.40027"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (1 / 3, "0.3333"), (2 / 3, "0.6667"), (-0.0, "0"), (27.0, "27"), (3, "3"), (2.5e-7, "2.5e-7"),
     (-4e-5, "-4e-5"), (4.0713e17, "4.071e17"), (9.9999e-5, "0.0001"), (1e-9 / 3, "3.333e-10"), (1e300, "1e300"),
     (float("nan"), "nan"), (float("inf"), "inf"), (-float("inf"), "-inf"), (np.float32(0.1), "0.1"),
     (0.9996e-300, "9.996e-301"), (5e-324, "5e-324")],
)  # fmt: skip
def test_a_number_rounded_to_four_decimals(value: float, text: str) -> None:
    assert shown(value, A1) == text


def test_what_computing_left_of_a_decimal_number_is_not_cut_down() -> None:
    assert shown(0.7 + 0.1 - 0.5, A4) == "0.3"  # 0.29999999999999993
    assert shown(np.float32(0.7) + np.float32(0.1) - np.float32(0.5), A4) == "0.3"
    assert shown(0.2999, A4) == "0.299"


@given(st.floats(-1e300, 1e300), st.integers(0, 15), st.sampled_from([A1, A4]))
def test_a_shown_number_reads_back_to_the_decimals_that_it_has(value: float, decimals: int, c: Convention) -> None:
    text = shown(value, c, decimals)
    assert text not in ("-0", "0") or value == 0
    got = float(text)
    slack = 1 if c.rounding == "truncated" else 0.5
    if "e" in text:
        assert abs(got - value) <= abs(value) * 10.0 ** -max(decimals - 1, 1) or abs(value) < 1e-307
    else:
        assert abs(got - value) <= slack * 10.0**-decimals * (1 + 1e-9) + 1e-9 * abs(value)


def test_the_numbers_of_a_matrix_have_the_same_decimals() -> None:
    assert shown_alike([0.5, 1, -0.25, 1e-9, 1 / 3, float("nan")], A1) == [
        "0.5000", "1.0000", "-0.2500", "1e-9", "0.3333", "nan",
    ]  # fmt: skip
    assert shown_alike([1.0, 0.0], A1) == ["1", "0"]


def test_carried_numbers_are_those_shown_and_exact_ones_themselves() -> None:
    x = np.array([[0.57444, -0.2226]])
    assert carried(x, A1) is x
    np.testing.assert_array_equal(carried(x, A4), [[0.574, -0.222]])
    assert carried(3, A4) == 3


def test_the_squared_error_has_the_factor_of_the_convention() -> None:
    a, y = Symbol("a", (4, 1)), Symbol("y", (4, 1))
    values = {"a": np.array([[1.0], [2.0], [3.0], [5.0]]), "y": np.ones((4, 1))}
    total = Fraction(0 + 1 + 4 + 16)
    for name, factor in (("article0", Fraction(1, 4)), ("article1", Fraction(1, 2)), ("article3", Fraction(1))):
        assert evaluate(squared_error(a, y, convention(name)), values) == float(total * factor)
