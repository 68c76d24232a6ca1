"""Exact arithmetic itself: digits, values without a real number, shapes, and what floats round to."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from chainrule.errors import ArgumentError, ArgumentTypeError
from chainrule.verify.exact_maths import ExactMaths

m = ExactMaths(digits=50)


def test_a_composite_has_all_the_digits_asked_for() -> None:
    with mpmath.workdps(60):
        truth = 1 / (1 + mpmath.exp(-2))
        assert abs(truth - mpmath.mpf(str(m.sigmoid(m.number(2.0)).item()))) < mpmath.mpf("1e-48")


def test_readers_of_different_precision_do_not_disturb_each_other() -> None:
    coarse, fine = ExactMaths(digits=15), ExactMaths(digits=200)
    for reader, digits in ((fine, 200), (coarse, 15), (fine, 200)):
        third = reader.div(reader.number(1.0), 3).item()
        assert reader.context.nstr(third, digits) == "0." + "3" * digits


def test_cancellation_needs_digits() -> None:
    few, many = ExactMaths(digits=60), ExactMaths(digits=700)
    assert (1 - few.tanh(few.number(100.0))).item() == 0
    assert float((1 - many.tanh(many.number(100.0))).item()) == pytest.approx(2.767793053473475e-87, rel=1e-14)


def test_fewer_digits_than_floats_have_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"ExactMaths\(digits=10\): floats have 15 digits"):
        ExactMaths(digits=10)


@pytest.mark.parametrize(
    ("name", "inputs", "expected"),
    [
        ("log", (0.0,), -np.inf),
        ("log", (-1.0,), np.nan),
        ("sqrt", (-1.0,), np.nan),
        ("asin", (2.0,), np.nan),
        ("pow", (-8.0, 1 / 3), np.nan),
        ("pow", (-8.0, 3.0), -512.0),
        ("pow", (0.0, -1.0), np.inf),
        ("div", (1.0, 0.0), np.inf),
        ("div", (-1.0, 0.0), -np.inf),
        ("div", (0.0, 0.0), np.nan),
        ("remainder", (-7.5, 2.0), 0.5),
        ("floor_divide", (-7.5, 2.0), -4.0),
        ("trunc", (-1.7,), -1.0),
        ("round", (2.5,), 2.0),
        ("logsigmoid", (-800.0,), -800.0),
    ],
)
def test_special_values_are_those_of_floats(name: str, inputs: tuple[float, ...], expected: float) -> None:
    y = getattr(m, name)(*[m.number(x) for x in inputs])
    assert np.array_equal(m.rounded(y, np.float64), expected, equal_nan=True)


def test_division_by_an_operator_is_inf_and_nan_too() -> None:
    x = m.number([1.0, 0.0])
    assert m.rounded(x / (0 * x), np.float64).tolist()[0] == np.inf
    assert m.rounded(1 / x, np.float64).tolist() == [1.0, np.inf]


def test_a_quotient_of_indices_is_refused_by_the_sign_and_exact_by_the_operator() -> None:
    index = m.number([1, 2])
    with pytest.raises(ArgumentTypeError, match=r"take m\.div"):
        _ = index / 3
    assert m.div(index, 3)[0] == m.div(m.number(1.0), 3).item()


def test_the_extremum_with_nan_is_nan() -> None:
    x, nan = m.number([1.0, np.nan]), m.number([np.nan, 1.0])
    for y in (m.maximum(x, nan), m.minimum(x, nan)):
        assert np.isnan(m.rounded(y, np.float64)).all()


def test_results_without_axes_keep_a_shape() -> None:
    x = m.number([1.0, 2.0])
    total = m.sum(x)
    assert total.shape == (total - 1).shape == (1 / total).shape == m.slice(x, key=(0,)).shape == ()


def test_zeros_that_movement_makes_are_numbers() -> None:
    y = m.pad(m.number([1.0]), widths=((1, 1),))
    assert [type(v) for v in y] == [m.context.mpf] * 3


def test_masks_and_indices_stay_bools_and_integers() -> None:
    x = m.number([3.0, 1.0, 2.0])
    assert (x > 1.5).dtype == np.bool_
    assert m.argsort(x).tolist() == [1, 2, 0]
    assert m.take(x, m.argsort(x), key=(None,)).astype(float).tolist() == [1.0, 2.0, 3.0]
    assert m.where(x > 1.5, np.array([7, 8, 9]), 0).dtype == np.int64


def test_floats_mean_the_binary_numbers_that_they_are() -> None:
    assert (m.number(0.1) * 10).item() != 1
    assert m.number(np.float32(0.1)).item() == float(np.float32(0.1))


def test_rounding_reaches_infinity_zero_and_subnormals() -> None:
    x = m.exp(m.number([1000.0, -1000.0, -100.0, 1.0]))
    assert m.rounded(x, np.float32).tolist()[:2] == [np.inf, 0.0]
    assert 0 < m.rounded(x, np.float32)[2] < np.finfo(np.float32).tiny
    assert m.rounded(x, np.float64)[3] == np.e


def test_an_unknown_operator_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no operator 'nonsense'"):
        m.nonsense(1)
