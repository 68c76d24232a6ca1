"""Every derivative rule against the exact derivative of its definition, first and second order, at every case.

In arithmetic of 110 digits (700 at extremes) the central difference with h = 1e-25 is the derivative to 50
digits, for any operator. Each test draws a cotangent c and looks at all derivatives of <c, f(inputs)>.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from catalogue_checks import visited
from catalogue_points import Array, Point, at, call, tensors

from chainrule.tensor.backward import grad
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.tensor import Tensor, wrap
from chainrule.verify.exact_maths import ExactMaths

EXACT = {"typical": ExactMaths(digits=110), "extreme": ExactMaths(digits=700)}
STEP = "1e-25"
EPS = float(np.finfo(np.float64).eps)

SLOPE = 10 * EPS
"""A slope is up to ten roundings of the operator and its rule away."""

CANCELS = {
    "sigmoid": "y (1 - y) is exact to eps of the largest slope, 1/4; it reaches 0 where y rounds to 1",
    "tanh": "1 - y^2 is exact to eps of the largest slope, 1; it reaches 0 where |y| rounds to 1",
    "expm1": "y + 1 is exact to eps of 1; it reaches 0 where y rounds to -1",
    "gelu": "x exp(-x^2/2) loses x^2 eps of itself where it is 1e-190",
}
"""Elementwise operators whose small slopes are exact to eps of 1, not of themselves, and why."""


class Directions:
    """The exact function <c, f(inputs)> of an operator, and its derivatives along perturbations."""

    def __init__(self, point: Point, inputs: list[Any], c: Array) -> None:
        self.m = EXACT[point.case.tag]
        self.h = self.m.context.mpf(STEP)
        self.point, self.c = point, self.m.number(c)
        self.inputs = [self.m.number(x) if isinstance(x, np.ndarray) else x for x in inputs]

    def value(self, *moves: tuple[int, Any]) -> Any:
        """The operator's result after adding h d to the input at each place."""
        moved = list(self.inputs)
        for place, d in moves:
            moved[place] = moved[place] + self.h * d
        return getattr(self.m, self.point.op.name)(*moved, **self.point.numpy_params)

    def number(self, *moves: tuple[int, Any]) -> Any:
        return self.m.sum(self.c * self.value(*moves)).item()

    def _elements(self, place: int, slope: Callable[[tuple[int, Any]], Any]) -> Array:
        """The slope along each element of an input; at extremes the step is 1e-25 of the element."""
        x = self.inputs[place]
        slopes = np.empty(x.shape, object)
        for index in np.ndindex(*x.shape):
            size = abs(x[index]) or 1 if self.point.case.tag == "extreme" else 1
            d = self.m.number(np.zeros(x.shape))
            d[index] = size
            slopes[index] = slope((place, d)) / size
        return slopes

    def gradient(self, place: int) -> Array:
        """d<c, f> / d(input), one number for each element."""
        return self._elements(place, lambda e: (self.number(e) - self.number(opposite(e))) / (2 * self.h))

    def gradient_along(self, place: int, moves: list[tuple[int, Any]]) -> Array:
        """The derivative of that gradient along a direction in all inputs."""
        back = [opposite(v) for v in moves]

        def mixed(e: tuple[int, Any]) -> Any:
            ahead = self.number(*moves, e) - self.number(*moves, opposite(e))
            behind = self.number(*back, e) - self.number(*back, opposite(e))
            return (ahead - behind) / (4 * self.h**2)

        return self._elements(place, mixed)

    def result_along(self, moves: list[tuple[int, Any]]) -> Array:
        """The derivative of the result itself along a direction."""
        change = self.value(*moves) - self.value(*[opposite(v) for v in moves])
        return np.asarray(change / (2 * self.h))


def opposite(move: tuple[int, Any]) -> tuple[int, Any]:
    return move[0], -move[1]


def assert_close(point: Point, got: Array, truth: Array, *, relative: bool, size: float = 1.0) -> None:
    """Within SLOPE of each number, or of the largest number of the case, which counts as 1 at least."""
    assert got.shape == truth.shape
    convert = EXACT[point.case.tag].context.convert
    largest = max([abs(t) for t in truth.ravel()] + [1])
    for y, t in zip(got.ravel(), truth.ravel(), strict=True):
        allowed = SLOPE * size * (abs(t) if relative else largest) + 5e-324
        error = abs(convert(float(y)) - t)
        assert error <= allowed, f"{point.id}: {y!r}, not {float(t)!r}: {float(error / allowed):.3g} times the bound"


def rounding_of_exponents(point: Point, inputs: list[Any]) -> float:
    """exp(x - log sum exp) inherits the rounding of its exponent, |x| eps: 800 times more at x = 800."""
    if point.op.kind.name == "elementwise":
        return 1.0
    return max([1.0, *[float(np.abs(x).max()) for x in inputs if isinstance(x, np.ndarray) and x.size]])


@at(visited("first derivative"))
def test_the_gradient_is_that_of_the_definition(point: Point) -> None:
    inputs, places, rng = point.inputs(), point.differentiable(), point.random()
    given = tensors(inputs, places)
    y = call(point.op, given, point.params)
    c = rng.uniform(0.5, 1.5, y.value.shape)
    gradients = grad(y, [given[i] for i in places], wrap(c, None))
    exact = Directions(point, inputs, c)
    relative = point.op.kind.name == "elementwise" and point.op.name not in CANCELS
    relative = relative and all(np.shape(x) == y.value.shape for x in inputs)  # else slopes are added up
    for place, g in zip(places, gradients, strict=True):
        size = rounding_of_exponents(point, inputs)
        assert_close(point, g.value, exact.gradient(place), relative=relative, size=size)


@at(visited("first derivative"))
def test_rules_on_tensors_give_what_rules_on_arrays_give(point: Point) -> None:
    inputs, places = point.inputs(), point.differentiable()
    found = []
    for create_graph in (False, True):
        given = tensors(inputs, places)
        y = call(point.op, given, point.params)
        c = wrap(np.asarray(point.random().uniform(0.5, 1.5, y.value.shape)), None)
        found.append(grad(y, [given[i] for i in places], c, create_graph=create_graph))
    roundings = 8 if point.op.keeps else 2  # the reader's own statistics, and those that the declared body gives again
    for raw, recorded in zip(*found, strict=True):
        np.testing.assert_allclose(recorded.value, raw.value, rtol=roundings * EPS, atol=roundings * EPS)


@at(visited("second derivative"))
def test_the_second_derivatives_are_those_of_the_definition(point: Point) -> None:
    inputs, places, rng = point.inputs(), point.differentiable(), point.random()
    given = tensors(inputs, places)
    y = call(point.op, given, point.params)
    c: Tensor = wrap(rng.uniform(0.5, 1.5, y.value.shape), None).requires_grad_()
    directions = [rng.uniform(0.5, 1.5, inputs[i].shape) for i in places]
    gradients = grad(y, [given[i] for i in places], c, create_graph=True)
    along = [GATES["sum"](g * wrap(v, None)) for g, v in zip(gradients, directions, strict=True)]
    total = along[0]
    for more in along[1:]:
        total = total + more
    targets = [*[given[i] for i in places], c]
    second = grad(total, targets, materialize_grads=True) if total.requires_grad else None
    exact = Directions(point, inputs, c.value)
    moves = [(i, exact.m.number(v)) for i, v in zip(places, directions, strict=True)]
    truths = [*[exact.gradient_along(i, moves) for i in places], exact.result_along(moves)]
    for k, (target, truth) in enumerate(zip(targets, truths, strict=True)):
        got = np.zeros(target.value.shape) if second is None else second[k].value
        assert_close(point, got, truth, relative=False)
