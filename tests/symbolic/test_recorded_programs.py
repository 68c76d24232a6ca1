"""Programs read from graphs, turned to columns, taken element by element, and moved: against the engine and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from catalogue_points import Point, all_points, at

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import UnsupportedError
from chainrule.symbolic.columns import as_columns, in_columns
from chainrule.symbolic.differential import differential
from chainrule.symbolic.elements import element
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Symbol, call, symbols
from chainrule.symbolic.program import Derivation
from chainrule.symbolic.recorded import program_of
from chainrule.tensor.arrays import dtype_of

EPS = 2.0**-52
POINTS = [p for p in all_points("typical") if p.differentiable() and p.op.result != "parameter"]


def formula_of(point: Point) -> tuple[Any, dict[str, Any]]:
    inputs = point.inputs()
    values = {f"x{i}": x for i, x in enumerate(inputs) if isinstance(x, np.ndarray)}
    given = [Symbol(f"x{i}", x.shape, dtype_of(x.dtype)) if f"x{i}" in values else x for i, x in enumerate(inputs)]
    return call(point.op.name, *given, **point.params), values


@at(POINTS)
def test_a_differential_is_the_change_along_a_short_secant(point: Point) -> None:
    """To 1e-6: the square of the step, and rounding divided by it."""
    formula, values = formula_of(point)
    moved = [f"x{i}" for i in point.differentiable()]
    random = point.random()
    directions = {name: random.normal(size=values[name].shape) for name in moved}
    moves = {name: Symbol(f"d{name}", values[name].shape) for name in moved}
    try:
        dy = evaluate(differential(formula, moves), {**values, **{f"d{n}": d for n, d in directions.items()}})
    except UnsupportedError:
        pytest.skip("known only from the result back")
    h = 1e-6
    ends = [evaluate(formula, values | {n: values[n] + s * h * d for n, d in directions.items()}) for s in (1, -1)]
    secant = (ends[0] - ends[1]) / (2 * h)
    scale = max(np.abs(secant).max(initial=0.0), 1.0)
    np.testing.assert_allclose(np.broadcast_to(dy, secant.shape), secant, atol=1e-6 * scale, rtol=0)


@at([p for p in POINTS if p.op.kind.name in ("elementwise", "reduction", "contraction", "movement", "composite")])
def test_an_element_of_a_formula_has_the_value_of_the_element(point: Point) -> None:
    """To 64 eps of the largest element: definitions round in another order than what computes them."""
    formula, values = formula_of(point)
    whole = evaluate(formula, values)
    scale = np.abs(whole).max(initial=1.0)
    for place in list(np.ndindex(whole.shape))[:4]:
        try:
            one = element(formula, place)
        except UnsupportedError:
            pytest.skip("no definition by elements")
        assert one.shape == ()
        assert evaluate(one, values) == pytest.approx(whole[place], abs=64 * EPS * scale, nan_ok=True)


def test_a_matrix_products_element_is_the_sum_over_the_inner_index() -> None:
    w, x = Symbol("W", (2, 3)), Symbol("x", (3, 1))
    terms = [call("slice", w, key=(1, k)) * call("slice", x, key=(k, 0)) for k in range(3)]
    assert element(call("matmul", w, x), (1, 0)) == terms[0] + terms[1] + terms[2]


def model_and_loss(seed: int = 0) -> tuple[nn.Sequential, cr.Tensor]:
    cr.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x, y = cr.randn(5, 3, dtype=cr.float64), cr.randn(5, 2, dtype=cr.float64)
    return model, F.mse_loss(model(x), y)


def test_a_recorded_program_has_the_values_and_gradients_of_its_run() -> None:
    model, loss = model_and_loss()
    r = program_of(loss)
    assert [s.name for s in r.program.statements] == ["z1", "a1", "z2", "L"]
    values = r.program.values({s.name: r.values[s.name] for s in r.program.givens})
    assert values["L"] == pytest.approx(loss.item(), rel=64 * EPS)
    found = Derivation(r.program).values(values)
    loss.backward()
    np.testing.assert_allclose(found["dL/dW1"], model[0].weight.grad.numpy(), rtol=1e-12)


def test_a_program_in_columns_has_the_same_loss_and_the_transposed_derivatives() -> None:
    model, loss = model_and_loss()
    r = program_of(loss)
    c = in_columns(r.program, r.activations)
    assert {"x", "z1", "a1", "z2", "t", "b1", "b2"} == c.turned
    assert "mT" not in {one.op.name for s in c.program.statements for one in walked(s.formula)}
    values = c.program.values({s.name: c.value(s.name, r.values[s.name]) for s in c.program.givens})
    assert values["L"] == pytest.approx(loss.item(), rel=64 * EPS)
    rows, columns = Derivation(r.program).values(r.values), Derivation(c.program).values(values)
    np.testing.assert_allclose(columns["dL/dz1"], as_columns(rows["dL/dz1"]), rtol=1e-12)
    np.testing.assert_allclose(columns["dL/dW1"], rows["dL/dW1"], rtol=1e-12)
    del model


def walked(formula: Any) -> list[Any]:
    from chainrule.symbolic.expression import Call, walk

    return [one for one in walk(formula) if isinstance(one, Call)]


def test_names_of_the_caller_stand_beside_those_of_the_textbook() -> None:
    model, loss = model_and_loss()
    r = program_of(loss, names={"kernel": model[0].weight, "first": model[0].bias}, first_layer=2, loss_name="C")
    assert r.called == {"W2": "kernel", "b2": "first"}
    assert r.program.loss == "C"
    assert set(symbols(r.program.statements[0].formula)) == {"x", "W2", "b2"}


def test_a_node_remembers_numbers_and_views_without_keeping_them() -> None:
    w = cr.ones(3, 3, requires_grad=True)
    x = cr.ones(3)
    y = (w @ x) * 2.0
    assert y.grad_fn.constants == (None, 2.0)  # type: ignore[union-attr]
    (product,) = [n for n, _ in y.grad_fn.next_functions[0][0].next_functions]  # type: ignore[union-attr]
    column = product.constants[1]()
    assert column.shape == (3, 1)
    y.sum().backward()
    del column
    assert np.shares_memory(product.constants[1](), x.value)  # the reshaped vector is gone, its memory is not
    del x
    assert product.constants[1]() is None
