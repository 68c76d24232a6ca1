"""The formulas of the articles, as each convention writes them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from chainrule.notation.boxes import Box, Chain
from chainrule.notation.conventions import convention
from chainrule.notation.names import name_box
from chainrule.notation.plain import plain
from chainrule.notation.tex import tex
from chainrule.notation.typeset import typeset, value_box
from chainrule.ops.catalogue import CATALOGUE
from chainrule.symbolic.differentiate import slope_of
from chainrule.symbolic.expression import Expression, Number, Symbol, call

A0, A1, A2, A3, A4 = (convention(f"article{i}") for i in range(5))
W3, Z2, A2_, D3 = Symbol("W3", (2, 3)), Symbol("z2", (3, 1)), Symbol("a2", (3, 1)), Symbol("dL/dz3", (2, 1))
SIGMA = CATALOGUE["sigmoid"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("W2", r"W^{2} W^{(2)} W_{2}"), ("x1", "x_{1} x_{1} x_{1}"), ("fc2.weight", r"\mathrm{fc2.weight} " * 3),
     ("yhat", r"\hat{y} " * 3), ("delta2", r"\delta^{2} \delta^{(2)} \delta_{2}"), ("ell", r"\ell " * 3),
     ("dL/dz2", r"\delta^{2} \delta^{(2)} \frac{\partial L}{\partial z_{2}}"), ("hidden", r"\mathrm{hidden} " * 3),
     ("w3_24", r"w_{24}^{3} w_{24}^{(3)} w_{3,24}"), ("y_true", r"y_{\mathrm{true}} " * 3),
     ("dC/da", r"\frac{\partial C}{\partial a} " * 3)],
)  # fmt: skip
def test_a_name_under_three_conventions(name: str, shown: str) -> None:
    written = "".join([tex(name_box(name, c)).replace(" ", "") for c in (A1, A2, A0)])
    assert written == shown.replace(" ", "")


def test_a_derivative_by_anything_else_is_no_delta_and_article4_has_a_straight_d() -> None:
    assert tex(name_box("d(a2)/d(z2)", A1)) == r"\frac{\partial a^{2}}{\partial z^{2}}"
    assert tex(name_box("dL/dw", A4)) == r"\frac{d L}{d w}"


def step() -> Expression:
    """A1.8: the recursion."""
    return call("matmul", call("mT", W3), D3) * slope_of(SIGMA, Z2, {}, A2_)


def text(formula: Expression | Box, c=A3) -> str:  # type: ignore[no-untyped-def]
    return plain(typeset(formula, c) if isinstance(formula, Expression) else formula)


def test_the_recursion_with_a_hadamard_product_and_with_a_diagonal_matrix() -> None:
    assert text(step(), replace(A3, layer="parentheses")) == "(W⁽³⁾)ᵀ δ⁽³⁾ ⊙ σ′(z⁽²⁾)"
    assert text(step(), A1) == "diag(σ′(z²)) (W³)ᵀ δ³"
    assert text(step(), A0) == "W₃ᵀ (∂L/∂z₃) ⊙ a₂ ⊙ (1 − a₂)"


def test_a_hadamard_product_inside_a_matrix_product_has_parentheses() -> None:
    x = call("mT", Symbol("x", (2, 1)))
    assert text(call("matmul", step(), x)) == "((W³)ᵀ δ³ ⊙ σ′(z²)) xᵀ"


def test_the_losses_of_the_articles() -> None:
    difference = call("pow", Symbol("a3", (2, 1)) - Symbol("y", (2, 1)), 2)
    half = Number(Fraction(1, 2)) * call("sum", difference)
    assert text(half, A1) == "1/2 ‖a³ − y‖²"
    assert text(half, A3) == "1/2 ∑ (a³ − y)²"
    assert tex(typeset(call("mean", difference), A0)) == r"\frac{1}{2} \sum (a_{3} - y)^{2}"


def test_signs_are_kept_apart() -> None:
    a, b = Symbol("a"), Symbol("b")
    assert text(a - (b - a)) == "a − (b − a)"
    assert text(a + (-b)) == "a + (−b)"
    assert text(a * (-b)) == "a ⋅ (−b)"
    assert text(-(a + b)) == "−(a + b)"
    assert text((a + b) * a) == "(a + b) ⋅ a"
    assert text(call("pow", -a, 2)) == "(−a)²"
    assert text(a / (a * b)) == "a/(a ⋅ b)"
    assert text(call("sum", Symbol("u", (3,)) + 1) * a) == "(∑ (u + 1)) ⋅ a"


def test_numbers_put_in_are_told_apart() -> None:
    """A4.2: three factors."""
    product = Symbol("dL/dy") * Symbol("d(y)/d(z)") * Symbol("d(z)/d(w)")
    values = {"dL/dy": -0.226, "d(y)/d(z)": 0.244, "d(z)/d(w)": -0.5}
    assert plain(typeset(product, A4, values)) == "−0.226 ⋅ 0.244 ⋅ (−0.5)"
    assert plain(typeset(Number(2) * Symbol("w"), A4, {"w": 0.3})) == "2 ⋅ 0.3"
    slope = slope_of(SIGMA, Symbol("z"), {}, Symbol("y"))
    assert plain(typeset(slope, A4, {"y": 0.574})) == "0.574 ⋅ (1 − 0.574)"


def test_small_matrices_are_written_out_and_large_ones_have_dots_and_their_size() -> None:
    assert plain(value_box(np.array([[1.0, -0.5], [0.25, 3.0]]), A1)) == "⎡1.00  −0.50⎤\n⎣0.25   3.00⎦"
    assert plain(value_box(np.zeros((64, 10)), A1)).endswith("₆₄ₓ₁₀")
    assert len(plain(value_box(np.zeros((64, 10)), A1)).splitlines()) == 4
    assert plain(value_box(np.arange(2.0), convention("pytorch"))) == "[0  1]"
    assert plain(value_box(np.zeros((2, 3, 4)), A1)) == "[⋯]₂ₓ₃ₓ₄"


def test_a_transposed_matrix_of_numbers_is_shown_transposed() -> None:
    assert plain(typeset(call("mT", Symbol("x", (2, 1))), A1, {"x": np.array([[1.0], [2.0]])})) == "[1  2]"


def test_masks_are_indicators_and_cases_have_both_conditions() -> None:
    z, g = Symbol("z2", (3, 1)), Symbol("g", (3, 1))
    assert text(call("where", z > 0, g, 0)) == "𝟏{z² > 0} ⊙ g"
    assert text(call("where", z <= 0, 0, g)) == "𝟏{z² > 0} ⊙ g"
    assert text((z > 0) * g) == "𝟏{z² > 0} ⊙ g"
    assert (
        tex(typeset(call("where", z > 0, z, g), A1))
        == r"\begin{cases} z^{2}, & z^{2} > 0 \\ g, & z^{2} \le 0 \end{cases}"
    )


def test_parameters_that_are_not_the_default_are_shown() -> None:
    z = Symbol("z2", (3, 1))
    assert text(call("leaky_relu", z)) == "leaky_relu(z²)"
    assert text(call("leaky_relu", z, negative_slope=0.2)) == "leaky_relu(z², negative_slope = 0.2)"
    wide = Symbol("z2", (3, 4))
    assert [text(call("softmax", wide, axis=i)) for i in (0, 1)] == ["softmax(z²)", "softmax(z², axis = 1)"]
    assert text(call("sum", wide, axis=1)) == "∑ⱼ z²"


def test_a_chain_stands_on_one_line_or_with_its_equality_signs_below_each_other() -> None:
    w, x = Symbol("w"), Symbol("x")
    short = Chain(typeset(Symbol("z"), A4), (typeset(w * x, A4), typeset(w * x, A4, {"w": 0.4, "x": 0.5})))
    assert plain(short) == "z = w ⋅ x = 0.4 ⋅ 0.5"
    assert plain(short, 16) == "z = w ⋅ x\n  = 0.4 ⋅ 0.5"


def test_sizes_stand_below_matrices() -> None:
    assert plain(typeset(call("matmul", W3, A2_), A1, sizes=True)) == "W³  a²\n2×3 3×1"
