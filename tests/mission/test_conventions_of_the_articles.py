"""docs/articles.md, the last section: the same run, printed under every preset and in both languages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.explain import Explanation
from chainrule.explain.gradient import of_program
from chainrule.notation.conventions import PRESETS, convention
from chainrule.notation.language.statements import parse_statements
from chainrule.notation.plain import plain
from chainrule.symbolic.expression import Symbol

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
def test_the_same_run_is_printed_under_every_preset(preset: str, lang: str) -> None:
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
def test_numbers_indices_letters_and_elementwise_factors_follow_the_preset(preset: str) -> None:
    _, loss = run(samples=1)
    e = cr.explain.gradient(loss, level="matrix", convention=preset)
    formulas = [s.formula for s in e.steps]
    for formula in HIDDEN_LAYER[preset]:
        assert formula in formulas, formulas


def test_rows_of_a_batch_as_pytorch_has_them() -> None:
    _, loss = run()
    formulas = [s.formula for s in cr.explain.gradient(loss, level="matrix", convention="pytorch").steps]
    assert any("x " in f and "ᵀ" in f and f.startswith("z") for f in formulas), formulas


def neuron(preset: str) -> Explanation:
    text = "z = w*x + b; y = sigmoid(z); L = 1/2*(y - t)**2"
    program = parse_statements(text, {name: Symbol(name) for name in ("x", "w", "b", "t")})
    return of_program(program, {"x": 0.5, "w": 0.4, "b": 0.1, "t": 0.8}, ("w", "b"), convention=preset, lr=0.01)


def number(e: Explanation, symbol: str) -> str:
    box = e[symbol].number
    assert box is not None
    return plain(box)


def test_decimals_are_rounded_or_truncated() -> None:
    assert number(neuron("article4"), "dL/dw") == "−0.027"
    rounded = neuron("article2")
    assert number(rounded, "dL/dw").startswith("−0.0276")


@pytest.mark.parametrize(
    ("error", "slope"), [("1/2 * (y - t)**2", 1.0), ("(y - t)**2 / 3", 2 / 3), ("(y - t)**2", 2.0)]
)
def test_the_factor_of_the_loss_is_that_of_the_formula(error: str, slope: float) -> None:
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
