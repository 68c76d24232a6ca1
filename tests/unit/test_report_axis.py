"""The law of ticks, and how numbers read."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.report.axis import LARGEST, SMALLEST, linear_axis, log_axis
from chainrule.report.values import printable, written, written_column

drawable_values = st.floats(-LARGEST, LARGEST)
positive_values = st.floats(SMALLEST, LARGEST)
one_two_or_five = {Fraction(1), Fraction(2), Fraction(5)}


def mantissa(step: Fraction) -> Fraction:
    """The step divided by its power of ten."""
    digits = f"{float(step):.6e}"
    return Fraction(digits.split("e")[0])


@given(st.lists(drawable_values, max_size=8), st.integers(5, 10))
def test_linear_ticks_are_evenly_one_two_or_five_times_a_power_of_ten_apart(values, count):
    axis = linear_axis(values, count=count, enclose=True)
    exact = [Fraction(repr(tick)) for tick in axis.ticks]
    steps = {later - earlier for earlier, later in pairwise(exact)}
    assert 2 <= len(axis.ticks) <= count + 2
    assert len(axis.labels) == len(axis.ticks)
    assert len(steps) == 1
    assert {mantissa(step) for step in steps} <= one_two_or_five


@given(st.lists(drawable_values, min_size=1, max_size=8), st.integers(5, 10))
def test_an_enclosing_axis_begins_and_ends_at_ticks_around_all_values(values, count):
    axis = linear_axis(values, count=count, enclose=True)
    assert (axis.low, axis.high) == (axis.ticks[0], axis.ticks[-1])
    assert axis.low <= min(values) <= max(values) <= axis.high
    assert all(0 <= axis.position(value) <= 1 for value in values)


@given(st.lists(drawable_values, min_size=2, max_size=8, unique=True), st.integers(5, 10))
def test_ticks_of_an_axis_that_does_not_enclose_lie_in_its_range(values, count):
    axis = linear_axis(values, count=count, enclose=False)
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert 1 <= len(axis.ticks) <= count + 1


@given(st.lists(st.integers(-(10**6), 10**6).map(float), min_size=1, max_size=8))
def test_whole_values_get_whole_ticks(values):
    axis = linear_axis(values, count=6, enclose=False)
    assert all(tick.is_integer() for tick in axis.ticks)


@given(st.lists(drawable_values, max_size=8), st.integers(5, 10))
def test_labels_of_different_ticks_differ(values, count):
    axis = linear_axis(values, count=count, enclose=True)
    assert len(set(axis.labels)) == len(axis.labels)


@given(st.lists(positive_values, max_size=8), st.integers(3, 8))
def test_log_ticks_are_one_two_or_five_times_a_power_of_ten_around_all_values(values, count):
    axis = log_axis(values, count=count)
    assert len(axis.ticks) >= 2
    assert {mantissa(Fraction(repr(tick))) for tick in axis.ticks} <= one_two_or_five
    assert list(axis.ticks) == sorted(set(axis.ticks))
    assert len(set(axis.labels)) == len(axis.labels)
    assert all(axis.low <= value <= axis.high for value in values)
    assert axis.low <= axis.ticks[0] < axis.ticks[-1] <= axis.high


def test_a_log_axis_of_many_decades_shows_each_only_where_there_is_room():
    assert log_axis([1e-3, 1e2], count=8).labels == ("0.001", "0.01", "0.1", "1", "10", "100")
    assert log_axis([1e-30, 1.0], count=8).labels[-1] == "10⁰"
    assert len(log_axis([1e-30, 1.0], count=8).ticks) == 8


def test_ticks_are_the_floats_one_would_write():
    assert linear_axis([0.1, 0.3], count=5, enclose=True).ticks == (0.1, 0.15, 0.2, 0.25, 0.3)
    assert linear_axis([0.0, 1.0], count=5, enclose=True).labels == ("0", "1")


@pytest.mark.parametrize("value", [0.0, 1e-300, 0.6931471805599453, -5.0, 1e300])
def test_a_constant_gets_an_axis_with_room_on_both_sides(value):
    axis = linear_axis([value] * 3, count=5, enclose=True)
    assert axis.low < value < axis.high


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "True"),
        (0, "0"),
        (-1234567, "−1,234,567"),
        (0.0, "0"),
        (0.93125, "0.9313"),
        (0.99999, "1.000"),
        (12345.678, "12,346"),
        (2.5e-7, "2.500×10⁻⁷"),
        (-3.2e12, "−3.200×10¹²"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        ("as it is", "as it is"),
    ],
)
def test_values_read_with_four_digits_and_true_minus_signs(value, text):
    assert written(value) == text


def test_fractions_below_each_other_share_their_decimals():
    assert written_column([0.12, 0.05, -0.001, 0.0, None, 7, math.nan]) == [
        "0.1200",
        "0.0500",
        "−0.0010",
        "0",
        "–",
        "7",
        "NaN",
    ]


def test_fractions_of_very_different_size_keep_their_own_digits():
    assert written_column([1234.5, 0.034]) == ["1,234", "0.03400"]


def test_numpy_scalars_read_like_pythons():
    np = pytest.importorskip("numpy")
    assert [written(np.float32(0.5)), written(np.int64(1234)), written(np.float64("nan"))] == [
        "0.5000",
        "1,234",
        "NaN",
    ]


@given(st.text())
def test_printable_text_can_be_written_as_utf_8_and_commands_no_terminal(text):
    assert b"\x1b" not in printable(text).encode()
