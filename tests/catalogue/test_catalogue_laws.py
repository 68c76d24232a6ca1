"""Laws that whole families of operators keep: broadcasting, linearity, transposes, masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from catalogue_checks import visited
from catalogue_points import Array, Point, all_points, at, call, tensors
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from chainrule.ops.shape_maths import input_name
from chainrule.tensor.backward import grad
from chainrule.tensor.numpy_maths import NumPyMaths
from chainrule.tensor.tensor import wrap

EPS = float(np.finfo(np.float64).eps)


def gradients(point: Point, inputs: list[Any], places: list[int], c: Array) -> list[Array]:
    """The cotangents of the inputs at some places, for a cotangent of the result."""
    given_ = tensors(inputs, places)
    y = call(point.op, given_, point.params)
    return [g.value for g in grad(y, [given_[i] for i in places], wrap(c, None))]


# ---- broadcasting --------------------------------------------------------------------------------------------

ELEMENTWISE = [p for p in all_points("typical") if p.op.kind.broadcasts and p.number == 1 and p.op.name != "cast"]


def resized(x: Array, shape: tuple[int, ...], shift: int) -> Array:
    """The case's numbers, repeated into another shape."""
    return np.resize(np.roll(x.ravel(), shift), shape)


@at(ELEMENTWISE)
@seed(0)
@settings(max_examples=12, deadline=None, database=None)
@given(data=st.data())
def test_a_broadcast_is_the_stretched_call_and_its_gradient_sums_back(point: Point, data: st.DataObject) -> None:
    case = point.inputs()
    made = data.draw(
        mutually_broadcastable_shapes(num_shapes=len(case), min_dims=0, max_dims=3, max_side=3, min_side=0)
    )
    inputs = [resized(x, s, i) for i, (x, s) in enumerate(zip(case, made.input_shapes, strict=True))]
    stretched = [np.broadcast_to(x, made.result_shape) for x in inputs]
    y = call(point.op, tensors(inputs), point.params).value
    full = call(point.op, tensors(stretched), point.params).value
    assert y.shape == made.result_shape
    assert np.array_equal(y, full, equal_nan=True)
    places = point.differentiable()
    if not places or y.dtype.kind != "f":
        return
    c = np.resize([1.0, -0.5, 2.0], y.shape)
    for i, g, all_of_it in zip(
        places, gradients(point, inputs, places, c), gradients(point, stretched, places, c), strict=True
    ):
        lead = all_of_it.ndim - inputs[i].ndim
        axes = tuple(a for a in range(all_of_it.ndim) if a < lead or inputs[i].shape[a - lead] == 1)
        back = all_of_it.sum(axis=axes, keepdims=True).reshape(inputs[i].shape)
        largest = np.abs(all_of_it).max(initial=1)
        # at most 27 terms, in another order
        np.testing.assert_allclose(g, back, rtol=0, atol=27 * EPS * largest)


# ---- linearity -----------------------------------------------------------------------------------------------


@at(visited("linear"))
@seed(0)
@settings(max_examples=10, deadline=None, database=None)
@given(s=st.integers(-8, 8), t=st.integers(-8, 8), draw=st.integers(0, 2**32 - 1))
def test_an_input_that_its_rule_does_not_read_enters_linearly(point: Point, s: int, t: int, draw: int) -> None:
    """f(x + s u + t v) - f(x) = s (f(x + u) - f(x)) + t (f(x + v) - f(x)), up to rounding."""
    rng = np.random.default_rng(draw)
    inputs = point.inputs()

    def value(place: int, x: Array) -> Array:
        return call(point.op, tensors([*inputs[:place], x, *inputs[place + 1 :]]), point.params).value

    for place in point.differentiable():
        if not point.op.is_linear_in(input_name(point.op, place)):
            continue
        x = inputs[place]
        u, v = rng.integers(-4, 4, x.shape), rng.integers(-4, 4, x.shape)
        start = value(place, x)
        left = value(place, x + s * u + t * v) - start
        right = s * (value(place, x + u) - start) + t * (value(place, x + v) - start)
        # numbers below 10^3 in sums of at most 12 terms
        np.testing.assert_allclose(left, right, rtol=0, atol=1e4 * EPS * max(1, np.abs(left).max(initial=0)))


@at(visited("transpose"))
def test_the_pullback_is_the_transpose(point: Point) -> None:
    """<c, f(x + d) - f(x)> = <pullback(c), d>, exactly in small integers."""
    rng, places = point.random(), point.differentiable()
    inputs = [
        x if i not in places else rng.integers(-9, 9, x.shape).astype(float) for i, x in enumerate(point.inputs())
    ]
    y = call(point.op, tensors(inputs), point.params).value
    c = rng.integers(-9, 9, y.shape).astype(float)
    for place, g in zip(places, gradients(point, inputs, places, c), strict=True):
        d = rng.integers(-9, 9, inputs[place].shape).astype(float)
        moved = [*inputs[:place], inputs[place] + d, *inputs[place + 1 :]]
        change = call(point.op, tensors(moved), point.params).value - y
        assert (c * change).sum() == (g * d).sum()


# ---- masks ---------------------------------------------------------------------------------------------------


@at(visited("masks"))
def test_an_infinite_cotangent_makes_no_nan_in_a_masked_branch(point: Point) -> None:
    inputs, places = point.inputs(), point.differentiable()
    y = call(point.op, tensors(inputs), point.params).value
    for infinite in (np.inf, -np.inf):
        for g in gradients(point, inputs, places, np.full(y.shape, infinite)):
            assert not np.isnan(g).any(), f"{point.id}: {g}"


def test_a_mask_over_a_large_array_hides_infinite_and_undefined_cotangents() -> None:
    g = np.resize([np.inf, -np.inf, np.nan, 1.0], 4096)
    y = np.resize([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0], 4096)
    masked = NumPyMaths.where(y <= 0, 0, g)
    assert np.array_equal(masked, np.where(y <= 0, 0, g), equal_nan=True)
    assert not np.isnan(masked[y <= 0]).any()
