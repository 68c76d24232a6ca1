"""What the gates compute is what the definitions say: float results against exact arithmetic, at every case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from catalogue_checks import visited
from catalogue_points import Array, Point, at, call, has_gate, tensors

from chainrule.tensor.numpy_maths import NumPyMaths, runner
from chainrule.verify.exact_maths import ExactMaths

EXACT = {"typical": ExactMaths(digits=60), "extreme": ExactMaths(digits=700)}  # 1 - tanh(710) needs 620 digits

ULPS = {
    "movement": 0,  # elements change places
    "selection": 1,  # put_add and scatter_add add two numbers
    "contraction": 2,  # at most three terms of each dot product
    "elementwise": 2.5,  # NumPy's own functions, and up to three roundings around them
    "reduction": 4,  # at most twelve terms
    "composite": 8,  # a softmax, then a sum
    "random": 2,  # sqrt(-2 log u) cos(2 pi v)
    "update": 4,  # a quotient of two averages
}
"""How far a result may be from the truth, by kind."""

SUMS = ("contraction", "reduction", "composite", "update")
"""Kinds that add terms of either sign: their unit is the ulp of the largest result, at least of the cases' terms, 1."""

ILL_CONDITIONED = {
    "gelu": ("largest", 2.5, "1 + erf cancels left of 0, as in PyTorch"),
    "gelu_tanh": ("largest", 2.5, "1 + tanh cancels left of 0, as in PyTorch"),
    "rmsprop": ("largest", 32, "the variance v - a^2 of the centred variant cancels"),
}
"""Operators with a unit and a bound of their own, and why."""


def exact_value(point: Point, inputs: list[Any]) -> Any:
    """The definition in exact arithmetic at float inputs."""
    m = EXACT[point.case.tag]
    numbers = [m.number(x) if isinstance(x, np.ndarray) else x for x in inputs]
    return getattr(m, point.op.name)(*numbers, **point.numpy_params)


def assert_within(point: Point, y: Array, truth: Any) -> None:
    """Within the bound of the operator, in ulp of the result's type; a right inf, nan, 0 or subnormal is right."""
    assert y.shape == truth.shape
    if y.dtype.kind != "f":
        assert np.array_equal(y, truth.astype(y.dtype))
        return
    m = EXACT[point.case.tag]
    nearest = m.rounded(truth, y.dtype)
    finite = np.isfinite(nearest)
    assert np.array_equal(y[~finite], nearest[~finite], equal_nan=True)
    kind = point.op.kind.name
    unit, bound, _ = ILL_CONDITIONED.get(point.op.name, ("largest" if kind in SUMS else "own", ULPS[kind], ""))
    size = np.abs(nearest[finite])
    if unit == "largest" and size.size:
        size = np.full_like(size, max(size.max(), 1))
    for got, wanted, ulp in zip(y[finite], truth[finite], np.spacing(size), strict=True):
        error = abs(m.context.convert(float(got)) - wanted) / m.context.convert(float(ulp))
        assert error <= bound, f"{point.id}: {got!r} is {float(error):.3g} ulp from {float(wanted)!r}"


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@at(visited("value"))
def test_the_result_is_the_definitions(point: Point, dtype: Any) -> None:
    inputs = point.inputs(dtype)
    truth = exact_value(point, inputs)
    if has_gate(point.op):
        assert_within(point, call(point.op, tensors(inputs), point.params).value, truth)
        return
    parts = runner(point.op)(*inputs, **point.params)
    assert len(parts) == len(truth)
    for y, wanted in zip(parts, truth, strict=True):
        assert_within(point, y, wanted)


OWN_BODIES = """
    relu square log2 log10 tan sinh cosh isnan isinf isfinite attention_weights linear conv2d
    conv2d_input conv2d_weight cross_entropy cross_entropy_backward mT flip layer_norm rms_norm batch_norm
    max_pool2d max_pool2d_input avg_pool2d avg_pool2d_input lstm mean embedding
"""
"""Operators that follow from others, and that the NumPy reader computes by code of its own all the same."""


def has_own_body(point: Point) -> bool:
    own = NumPyMaths.Keeping if point.op.keeps else NumPyMaths
    function = getattr(vars(own).get(point.op.name), "__func__", vars(own).get(point.op.name))
    return not point.op.primitive and function is not None and getattr(function, "func", None) is not point.op.body


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@at([p for p in visited("value") if has_own_body(p)])
def test_the_numpy_readers_own_body_is_the_declared_one(point: Point, dtype: Any) -> None:
    inputs, params = point.inputs(dtype), {**point.op.params, **point.numpy_params}
    declared, own = point.op.body(NumPyMaths, *inputs, **params), runner(point.op)(*inputs, **params)
    for y, truth in zip(own, declared, strict=True) if point.op.keeps else [(own, declared)]:
        finite = np.where(np.isfinite(truth), truth, 0)
        tolerance = 8 * np.finfo(dtype).eps  # two ways to one number, each within 4 ulp; sinh's body cancels at 0
        np.testing.assert_allclose(y, truth, rtol=tolerance, atol=tolerance * max(np.abs(finite).max(), 1))


def test_own_bodies_are_those_that_speed_or_accuracy_needs() -> None:
    assert list(dict.fromkeys(p.op.name for p in visited("value") if has_own_body(p))) == OWN_BODIES.split()


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -1e-40, 3e38])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_large_masks_choose_bit_by_bit_what_where_chooses(dtype: Any) -> None:
    x = np.resize(SPECIAL.astype(dtype), (60, 50))
    mask = np.random.default_rng(0).random(x.shape) < 0.5
    for choose, expected in (
        (NumPyMaths.where(mask, 0, x), np.where(mask, dtype(0), x)),
        (NumPyMaths.where(mask, x, 0), np.where(mask, x, dtype(0))),
    ):
        assert choose.dtype == dtype
        assert np.array_equal(choose, expected, equal_nan=True)


def test_relu_of_a_large_array_keeps_nan_and_its_type() -> None:
    x = np.resize(SPECIAL.astype(np.float32), 4096)
    y = NumPyMaths.relu(x)
    assert y.dtype == np.float32
    assert np.array_equal(y, np.where(np.isnan(x), x, np.maximum(x, 0)), equal_nan=True)


def test_many_repeated_rows_are_added_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    index, x = rng.integers(-7, 7, (10, 9)), rng.standard_normal((10, 9, 3))
    y = NumPyMaths.put_add(x, index, key=(None,), shape=(7, 3))
    truth = np.zeros((7, 3))
    for place, row in zip(index.ravel(), x.reshape(-1, 3), strict=True):
        truth[place] += row
    np.testing.assert_allclose(y, truth, rtol=0, atol=1e-14)  # 20 terms of order 1 in another order


def test_a_bias_gradient_by_a_product_with_ones_is_the_sum() -> None:
    x = np.random.default_rng(0).standard_normal((33, 5))
    np.testing.assert_allclose(NumPyMaths.sum(x, axis=(0,)), x.sum(0), rtol=0, atol=1e-14)  # 33 terms of order 1
