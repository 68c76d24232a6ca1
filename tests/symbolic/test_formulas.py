"""Every operator's derivative, written down as a formula and evaluated, is what the engine computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from catalogue_points import Point, all_points, at

from chainrule.symbolic.differentiate import cotangents
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Expression, Number, Symbol, call
from chainrule.tensor.arrays import dtype_of
from chainrule.tensor.backward import grad
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.tensor import wrap

EPS = 2.0**-52
POINTS = [p for p in all_points("typical", "kink") if p.differentiable() and p.op.result != "parameter"]


def formula_of(point: Point, inputs: list[Any]) -> tuple[Expression, dict[str, Any]]:
    """The operator on symbols, and their values."""
    values = {f"x{i}": x for i, x in enumerate(inputs) if isinstance(x, np.ndarray)}
    given = [Symbol(f"x{i}", x.shape, dtype_of(x.dtype)) if f"x{i}" in values else x for i, x in enumerate(inputs)]
    return call(point.op.name, *given, **point.params), values


@at(POINTS)
def test_a_formula_has_the_value_and_the_gradients_of_the_engine(point: Point) -> None:
    """To 64 eps of the largest cotangent or gradient: simplified products round in another order."""
    inputs = point.inputs()
    places = point.differentiable()
    tensors = [wrap(x, None).clone() if isinstance(x, np.ndarray) else x for x in inputs]
    for i in places:
        tensors[i].requires_grad_()
    y = GATES[point.op.name](*tensors, **point.numpy_params)
    c = np.asarray(point.random().normal(size=y.shape))
    expected = grad(y, [tensors[i] for i in places], wrap(c, None), allow_unused=True)

    formula, values = formula_of(point, inputs)
    np.testing.assert_array_equal(evaluate(formula, values), y.detach().numpy())
    values["g"] = c
    found = cotangents(formula, Symbol("g", c.shape), [f"x{i}" for i in places], Symbol("y", y.shape))
    values["y"] = y.detach().numpy()
    for i, gradient in zip(places, expected, strict=True):
        wanted = np.zeros_like(inputs[i]) if gradient is None else gradient.numpy()
        got = evaluate(found.get(f"x{i}", Number(0.0, inputs[i].shape)), values)
        assert got.shape == wanted.shape
        scale = max(np.abs(wanted).max(initial=0.0), np.abs(c).max(initial=0.0))
        np.testing.assert_allclose(got, wanted, rtol=64 * EPS, atol=64 * EPS * scale)


def test_a_formula_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(RuntimeError, match="inner sizes differ, 3 and 2"):
        call("matmul", Symbol("a", (2, 3)), Symbol("b", (2, 3)))
