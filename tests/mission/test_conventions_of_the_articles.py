"""docs/articles.md, the last section: the same run, printed under every preset and in both languages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.explain import Explanation
from chainrule.explain.gradient import of_program
from chainrule.notation.conventions import PRESETS, Convention, convention, squared_error
from chainrule.notation.language.statements import parse_statements
from chainrule.notation.numbers import shown
from chainrule.notation.plain import plain
from chainrule.notation.typeset import typeset
from chainrule.symbolic.expression import Symbol
from chainrule.verify import derivation

HIDDEN_LAYER = {
    # the last line of the recursion, and the gradient of the first weight, in a batch of one sample
    "article0": ("∂L/∂z₁ = ∂L/∂a₁ ⊙ a₁ ⊙ (1 − a₁)", "∂L/∂W₁ = (∂L/∂z₁) xᵀ"),
    "article1": ("δ² = diag(σ′(z²)) (W³)ᵀ δ³", "∂ℓ/∂W² = δ² xᵀ"),
    "article2": ("δ⁽¹⁾ = (W⁽²⁾)ᵀ δ⁽²⁾ ⊙ σ′(z⁽¹⁾)", "∂L/∂W⁽¹⁾ = δ⁽¹⁾ xᵀ"),
    "article3": ("δ² = (W³)ᵀ δ³ ⊙ σ′(z²)", "∂C/∂W² = δ² xᵀ"),
}


def run(samples: int = 4) -> tuple[nn.Sequential, cr.Tensor]:
    cr.manual_seed(4)
    model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 2), nn.Sigmoid()).double()
    x, y = cr.randn(samples, 2, dtype=cr.float64), cr.rand(samples, 2, dtype=cr.float64)
    return model, F.mse_loss(model(x), y)


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_c1_and_c8_the_same_run_is_printed_under_every_preset(preset: str, lang: str) -> None:
    model, loss = run()
    e = cr.explain.gradient(loss, level="matrix", convention=preset, lang=lang)
    text = str(e)
    assert len(text.splitlines()) < 200
    assert ("前向传播" in text) == (lang == "zh")
    loss.backward()
    chosen = convention(preset)
    for number, layer in zip((chosen.first_weight, chosen.first_weight + 1), (model[0], model[2]), strict=True):
        found = e[f"d{chosen.loss}/dW{number}"].value  # number of the first weight, letter of the loss
        np.testing.assert_allclose(found, layer.weight.grad.numpy(), rtol=1e-10)
    assert ("∂" in text) == (preset != "article4")


@pytest.mark.parametrize("preset", HIDDEN_LAYER)
def test_c1_and_c2_and_c5_and_c6_numbers_indices_letters_and_elementwise_factors_follow_the_preset(preset: str) -> None:
    _, loss = run(samples=1)
    e = cr.explain.gradient(loss, level="matrix", convention=preset)
    formulas = [s.formula for s in e.steps]
    for formula in HIDDEN_LAYER[preset]:
        assert formula in formulas, formulas


def test_c4_rows_of_a_batch_as_pytorch_has_them() -> None:
    _, loss = run()
    formulas = [s.formula for s in cr.explain.gradient(loss, level="matrix", convention="pytorch").steps]
    assert any("x " in f and "ᵀ" in f and f.startswith("z") for f in formulas), formulas


def neuron(preset: str | Convention) -> Explanation:
    text = "z = w*x + b; y = sigmoid(z); L = 1/2*(y - t)**2"
    program = parse_statements(text, {name: Symbol(name) for name in ("x", "w", "b", "t")})
    return of_program(program, {"x": 0.5, "w": 0.4, "b": 0.1, "t": 0.8}, ("w", "b"), convention=preset, lr=0.01)


def number(e: Explanation, symbol: str) -> str:
    box = e[symbol].number
    assert box is not None
    return plain(box)


def test_c7_decimals_are_rounded_or_truncated() -> None:
    assert number(neuron("article4"), "dL/dw") == "−0.027"
    rounded = neuron("article2")
    assert number(rounded, "dL/dw").startswith("−0.0276")


@pytest.mark.parametrize(
    ("changes", "printed"),
    [
        ({"intermediates": "carried", "rounding": "truncated"}, "−0.226"),  # from 0.574, which was cut off
        ({"intermediates": "exact", "rounding": "truncated"}, "−0.225"),
        ({"intermediates": "exact", "rounding": "rounded"}, "−0.226"),
        ({"intermediates": "exact", "rounding": "rounded", "decimals": 5}, "−0.22556"),
    ],
)
def test_c7_later_steps_go_on_with_exact_numbers_or_with_printed_ones(changes: dict[str, Any], printed: str) -> None:
    chosen = replace(convention("article4"), **changes)
    assert number(neuron(chosen), "dL/dy") == printed


@pytest.mark.parametrize(("letter", "shown"), [("L", "L"), ("C", "C"), ("ell", "ℓ"), ("J", "J")])
def test_c5_every_letter_of_the_loss(letter: str, shown: str) -> None:
    _, loss = run()
    e = cr.explain.gradient(loss, level="matrix", convention=replace(convention("article2"), loss=letter))
    assert e[f"d{letter}/dW1"].formula.startswith(f"∂{shown}/∂W⁽¹⁾ = ")


@pytest.mark.parametrize(("product", "formula"), [("diag", "diag(σ′(z²)) (W³)ᵀ δ³"), ("hadamard", "(W³)ᵀ δ³ ⊙ σ′(z²)")])
def test_c6_a_diagonal_matrix_or_an_elementwise_product(product: Any, formula: str) -> None:
    _, loss = run(samples=1)
    e = cr.explain.gradient(loss, level="matrix", convention=replace(convention("article1"), product=product))
    assert e["dell/dz2"].formula == f"δ² = {formula}"


@pytest.mark.parametrize(
    ("factor", "formula"), [("half", "1/2 ∑ (a − t)²"), ("mean", "1/3 ∑ (a − t)²"), ("sum", "∑ (a − t)²")]
)
def test_c3_the_squared_error_of_a_convention_has_its_factor(factor: Any, formula: str) -> None:
    chosen = replace(convention("article2"), squared_error=factor)
    error = squared_error(Symbol("a", (3, 1)), Symbol("t", (3, 1)), chosen)
    assert plain(typeset(error, chosen)) == formula


@pytest.mark.parametrize(
    ("claim", "holds"),
    [
        (r"\delta^{2} = (W^3)^T \delta^3 \odot \sigma'(z^2)", True),
        (r"\delta^{(2)} = (W^{(3)})^T \delta^{(3)} \circ \sigma'(z^{(2)})", True),
        (r"\delta_2 = W_3^T \delta_3 \odot \sigma'(z_2)", True),
        (r"\delta^{2} = \mathrm{diag}(\sigma'(z^2)) (W^3)^\top \delta^3", True),
        (r"\frac{\partial C}{\partial z^2} = \sigma'(z^2) \odot (W^3)^T \delta^3", True),
        (r"\frac{\partial J}{\partial z^2} = \sigma'(z^2) \odot (W^3)^T \delta^3", True),
        (r"\delta^{2} = (W^3)^T \delta^3 \odot \sigma'(z^3)", False),
    ],
)
def test_c2_and_c5_and_c6_a_claim_is_right_in_every_convention(claim: str, holds: bool) -> None:
    text = """given
  x = [0.5, 0.1]
  t = [1, 0]
  W2 = random(2, 2)
  W3 = random(2, 2)
forward
  z2 = W2 @ x
  a2 = sigmoid(z2)
  z3 = W3 @ a2
  a3 = sigmoid(z3)
  L  = 1/2 * sum((a3 - t)**2)
claims
"""
    assert derivation(text=text + claim + "\n").ok == holds


def test_c1_and_c4_and_c7_claims_follow_the_numbering_the_samples_and_the_decimals_of_their_file() -> None:
    """The first weight may be any number; samples may be rows; numbers may be rounded or cut off."""
    text = """given
  X  = [[0.5, 0.1], [-0.3, 0.8], [0.2, 0.4]]
  T  = [[1], [0], [1]]
  W{k} = [[0.3], [-0.2]]
forward
  Z{k} = X @ W{k}
  L  = mean((Z{k} - T)**2, axis=all)
claims
  dL/dW{k} = X.T @ dL/dZ{k}
  dL/dZ{k} = 2/3 * (Z{k} - T)
"""
    for k in (1, 2):
        found = derivation(text=text.format(k=k))
        assert found.ok
        exact = found.claims[1].right_value
        assert exact is not None
        for how in ("rounded", "truncated"):
            chosen = replace(convention("article4"), rounding=how)
            rows = ", ".join([f"[{shown(x, chosen)}]" for x in exact.ravel()])
            assert derivation(text=text.format(k=k).replace(f"2/3 * (Z{k} - T)", f"[{rows}]")).ok


@pytest.mark.parametrize(
    ("error", "slope"), [("1/2 * (y - t)**2", 1.0), ("(y - t)**2 / 3", 2 / 3), ("(y - t)**2", 2.0)]
)
def test_c3_the_factor_of_the_loss_is_that_of_the_formula(error: str, slope: float) -> None:
    program = parse_statements(f"L = {error}", {name: Symbol(name) for name in ("y", "t")})
    e = of_program(program, {"y": 0.5, "t": 0.2}, ("y",))
    assert e["dL/dy"].value == pytest.approx(slope * 0.3)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda e: e.to_html(), "<math"),
        (lambda e: e.to_latex(), r"\delta"),
        (lambda e: e.to_markdown(), "$$"),
        (lambda e: e.to_json(), '"convention"'),
    ],
)
def test_every_form_follows_the_preset(change: Callable[[Explanation], str], expected: str) -> None:
    _, loss = run()
    assert expected in change(cr.explain.gradient(loss, level="matrix", convention="article2"))
