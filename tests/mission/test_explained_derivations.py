"""docs/articles.md, the lines that are formulas and numbers: each as `explain` prints it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli.main import main
from chainrule.explain import Explanation
from chainrule.explain.gradient import of_program
from chainrule.notation.language.statements import parse_statements
from chainrule.notation.plain import plain
from chainrule.symbolic.expression import Symbol

F64 = cr.float64
X, T = [[0.5], [0.1]], [[1.0], [0.0]]
W2, B2 = [[0.3, -0.2], [0.8, 0.5], [-0.6, 0.4]], [[0.1], [0.0], [-0.1]]
W3, B3 = [[0.2, -0.5, 0.7], [0.4, 0.1, -0.3]], [[0.05], [-0.05]]
TWO_LAYERS = "z2 = W2 @ x + b2; a2 = sigmoid(z2); z3 = W3 @ a2 + b3; a3 = sigmoid(z3); {loss} = {error}"
HALF = "1/2 * sum((a3 - t)**2)"
PARAMETERS = ("W2", "b2", "W3", "b3")


def written(text: str, wrt: tuple[str, ...], **options: Any) -> Explanation:
    """The derivation of a program on the givens above."""
    known = {"x": X, "t": T, "W2": W2, "b2": B2, "W3": W3, "b3": B3, "W1": W2, "b1": B2}
    givens = {name: np.array(value) for name, value in known.items() if name in text}
    program = parse_statements(text, {name: Symbol(name, value.shape) for name, value in givens.items()})
    return of_program(program, givens, wrt, **options)


def two_layers(level: str, convention: str = "article1", loss: str = "L", error: str = HALF) -> Explanation:
    text = TWO_LAYERS.format(loss=loss, error=error)
    return written(text, PARAMETERS, level=level, convention=convention)


# ---- A0 ----------------------------------------------------------------------------------------------------------


def test_a0_2_and_a0_5_the_pipeline_and_its_chain_in_the_numbering_of_a0() -> None:
    text = "z1 = W1 @ x + b1; a1 = relu(z1); z2 = W3 @ a1 + b3; y = sigmoid(z2); L = mean((y - t)**2)"
    e = written(text, ("W3", "b3", "W1", "b1"), level="matrix", convention="article0")
    assert e["z1"].formula == "z₁ = W₁ x + b₁"
    assert e["dL/dW3"].formula == "∂L/∂W₃ = (∂L/∂z₂) a₁ᵀ"  # the outer product that dz2/dW2 = a1 hides
    assert e["dL/db3"].formula == "∂L/∂b₃ = ∂L/∂z₂"
    assert e["dL/dz2"].formula.startswith("∂L/∂z₂ = ∂L/∂y ⊙ ")
    assert e["dL/dW1"].formula == "∂L/∂W₁ = (∂L/∂z₁) xᵀ"


def test_a0_3_and_a0_6_the_slopes_linear_1_sigmoid_y_1_minus_y_relu_0_at_0() -> None:
    text = "y = {f}; L = sum(y)"
    sigmoid = written(text.format(f="sigmoid(x)"), ("x",), level="matrix", convention="article0")
    assert "y ⊙ (1 − y)" in sigmoid["dL/dx"].formula
    z = np.array([-1.0, 0.0, 2.0])
    program = parse_statements("y = relu(z); L = sum(y)", {"z": Symbol("z", (3,))})
    np.testing.assert_array_equal(of_program(program, {"z": z}, ("z",), level="matrix")["dL/dz"].value, [0, 0, 1])


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [
        ("mean((x - t)**2)", lambda x, t: 2 * (x - t) / 2),
        ("-sum(t * log(x))", lambda x, t: -t / x),
        ("-sum(t * log(x) + (1 - t) * log(1 - x))", lambda x, t: (x - t) / (x * (1 - x))),
    ],
)
def test_a0_4_the_losses_and_their_first_factors(loss: str, gradient: Any) -> None:
    e = written(f"L = {loss}", ("x",), level="matrix", convention="article0")
    np.testing.assert_allclose(e["dL/dx"].value, gradient(np.array(X), np.array(T)), rtol=1e-12)


# ---- A1 ----------------------------------------------------------------------------------------------------------


def test_a1_1_and_a1_3_delta_z_and_a_of_layers_counted_from_the_input() -> None:
    e = two_layers("matrix")
    assert e["z2"].formula == "z² = W² x + b²"
    assert e["a2"].formula == "a² = σ(z²)"
    assert [s.symbol for s in e.steps if "/dz" in s.symbol] == ["dL/dz3", "dL/dz2"]
    assert e["dL/dz3"].formula.startswith("δ³ = ")


def test_a1_2_single_weights_biases_and_activations_have_their_indices() -> None:
    e = two_layers("scalar")
    assert e["z3_2"].formula == "z₂³ = w₂₁³ ⋅ a₁² + w₂₂³ ⋅ a₂² + w₂₃³ ⋅ a₃² + b₂³"
    assert {"dL/dw3_22", "dL/db2_3", "a3_1"} <= {s.symbol for s in e.steps}


def test_a1_4_the_loss_is_half_the_squared_distance() -> None:
    e = two_layers("matrix", loss="ell")
    assert e["ell"].formula == "ℓ = 1/2 ‖a³ − t‖²"


def test_a1_5_the_loss_by_differentials_and_the_trace_trick() -> None:
    e = two_layers("differential", loss="ell")
    lines = [s.formula for section in e.sections for s in section.steps]
    for line in (
        "ℓ = 1/2 tr(eᵀ e)",
        "dℓ = 1/2 tr((de)ᵀ e + eᵀ de)",
        "dℓ = tr(eᵀ de)",
        "dℓ = tr((a³ − t)ᵀ da³)",
        "∂ℓ/∂a³ = a³ − t",
    ):
        assert line in lines


def test_a1_6_the_activation_as_a_diagonal_matrix() -> None:
    e = two_layers("differential", loss="ell")
    lines = [s.formula for section in e.sections for s in section.steps]
    assert "da³ = diag(σ′(z³)) dz³" in lines
    assert two_layers("matrix")["dL/dz3"].formula == "δ³ = diag(σ′(z³)) (a³ − t)"
    assert two_layers("matrix", "article2")["dL/dz3"].formula == "δ⁽³⁾ = (a⁽³⁾ − t) ⊙ σ′(z⁽³⁾)"


def test_a1_7_weights_get_outer_products_and_biases_delta() -> None:
    e = two_layers("differential", loss="ell")
    lines = [s.formula for section in e.sections for s in section.steps]
    assert "dz³ = dW³ a²" in lines
    assert e["dell/dW3"].formula == "∂ℓ/∂W³ = δ³ (a²)ᵀ"
    assert e["dell/db3"].formula == "∂ℓ/∂b³ = δ³"


def test_a1_8_the_recursion_with_its_transpose_and_its_order() -> None:
    e = two_layers("matrix")
    assert e["dL/dz2"].formula == "δ² = diag(σ′(z²)) (W³)ᵀ δ³"
    assert e["dL/dz2"].value.shape == (3, 1)
    assert "dz³ = W³ da²" in [s.formula for s in two_layers("differential").steps]


# ---- A2 ----------------------------------------------------------------------------------------------------------


def test_a2_2_numbers_of_layers_in_parentheses() -> None:
    e = two_layers("matrix", "article2")
    assert e["dL/dz2"].formula == "δ⁽²⁾ = (W⁽³⁾)ᵀ δ⁽³⁾ ⊙ σ′(z⁽²⁾)"
    assert e["dL/dW3"].formula == "∂L/∂W⁽³⁾ = δ⁽³⁾ (a⁽²⁾)ᵀ"
    assert e["dL/dW3"].shape == (2, 3)


def test_a2_7_the_example_of_the_tutorial() -> None:
    x = cr.ones(2, 2, dtype=F64, requires_grad=True)
    y = x + 2
    z = y * y * 3
    out = z.mean()
    e = cr.explain.gradient(out, x, level="matrix")
    assert (y[0, 0].item(), z[0, 0].item(), e["ell"].value) == (3, 27, 27)
    np.testing.assert_array_equal(e["dell/dx"].value, np.full((2, 2), 4.5))
    one = cr.explain.gradient(out, x, level="scalar")
    assert one["dell/dx_11"].value == 4.5


# ---- A3 ----------------------------------------------------------------------------------------------------------

A3 = {"convention": "article3", "loss": "C", "error": "sum((a3 - t)**2)"}


def test_a3_1_the_later_index_comes_first() -> None:
    e = two_layers("scalar", **A3)
    assert e["z2_3"].formula == "z₃² = w₃₁² ⋅ x₁ + w₃₂² ⋅ x₂ + b₃²"
    assert e["a2_3"].formula == "a₃² = σ(z₃²)"


def test_a3_2_the_sign_of_a_derivative_is_read() -> None:
    program = parse_statements("y = sigmoid(w); C = (y - 1)**2", {"w": Symbol("w")})
    assert "a larger w makes the loss smaller" in of_program(program, {"w": 0.0}, ("w",))["dC/dw"].reason


def test_a3_3_squared_error_has_twice_the_difference() -> None:
    assert two_layers("scalar", **A3)["dC/dz3_1"].formula == "δ₁³ = 2 (a₁³ − t₁) ⋅ σ′(z₁³)"


def test_a3_4_the_recipe() -> None:
    e = two_layers("scalar", **A3)
    assert e["dC/dw3_23"].formula == "∂C/∂w₂₃³ = δ₂³ ⋅ a₃²"
    assert e["dC/db3_2"].formula == "∂C/∂b₂³ = δ₂³"


def test_a3_5_a_neuron_acts_through_all_neurons_of_the_next_layer_with_the_slope_not_the_activation() -> None:
    step = two_layers("scalar", **A3)["dC/dz2_2"]
    assert step.formula == "δ₂² = (w₁₂³ ⋅ δ₁³ + w₂₂³ ⋅ δ₂³) ⋅ σ′(z₂²)"


def test_a3_6_softmax_has_cross_terms_and_sigmoid_has_none() -> None:
    text = "z3 = W3 @ sigmoid(W2 @ x + b2) + b3; a3 = softmax(z3); C = sum((a3 - t)**2)"
    e = written(text, ("b3",), level="matrix", convention="article3")
    a = e["a3"].value[:, 0]
    jacobian = np.diag(a) - np.outer(a, a)  # a_k (1{k=j} - a_j)
    np.testing.assert_allclose(e["dC/dz3"].value[:, 0], jacobian @ (2 * (a - np.array(T)[:, 0])), rtol=1e-12)
    assert "cross terms" in e["dC/dz3"].reason


# ---- A4 ----------------------------------------------------------------------------------------------------------

PRINTED = {
    "z": "0.3", "y": "0.574", "L": "0.025", "dL/dy": "−0.226", "d(y)/d(z)": "0.244", "d(z)/d(w)": "0.5",
    "dL/dw": "−0.027", "w_new": "0.40027",
}  # fmt: skip
EXACT = {
    "z": 0.3, "y": 0.574442516811659, "L": 0.025438089111129, "dL/dy": -0.225557483188341,
    "d(y)/d(z)": 0.244458311690746, "d(z)/d(w)": 0.5, "dL/dw": -0.027569700764718, "dL/db": -0.055139401529436,
    "dL/dx": -0.022055760611774, "w_new": 0.400275697007647, "b_new": 0.100551394015294,
}  # fmt: skip


def one_neuron(convention: str) -> Explanation:
    program = parse_statements(
        "z = w*x + b; y = sigmoid(z); L = 1/2*(y - t)**2", {name: Symbol(name) for name in ("x", "w", "b", "t")}
    )
    givens = {"x": 0.5, "w": 0.4, "b": 0.1, "t": 0.8}
    return of_program(program, givens, ("w", "b", "x"), convention=convention, lr=0.01)


def test_a4_2_the_product_of_three_factors_and_the_step_against_it() -> None:
    e = one_neuron("article4")
    assert e["dL/dw"].formula == "dL/dw = dL/dy ⋅ dy/dz ⋅ dz/dw"
    assert e["dL/dy"].formula == "dL/dy = y − t"
    assert e["d(y)/d(z)"].formula == "dy/dz = y ⋅ (1 − y)"
    assert e["w_new"].formula == "w_new = w − η ⋅ dL/dw"


def test_a4_3_the_numbers_as_printed_and_as_they_are() -> None:
    e = one_neuron("article4")
    for symbol, digits in PRINTED.items():
        number = e[symbol].number
        assert number is not None
        assert plain(number) == digits, symbol
    for symbol, value in EXACT.items():
        assert e[symbol].value == pytest.approx(value, abs=1e-15), symbol


def test_a4_4_a_negative_derivative_says_increase_w(capsys: pytest.CaptureFixture[str]) -> None:
    assert "a larger w makes the loss smaller" in one_neuron("article4")["dL/dw"].reason
    command = ["explain", "L = (w*x - t)**2", "--at", "w=1,x=2,t=1", "--wrt", "w"]
    assert main(command) == 0
    assert "a smaller w makes the loss smaller" in capsys.readouterr().out


def test_a3_7_a_zero_gradient_at_a_minimum_is_stationary_not_vanishing() -> None:
    x = cr.tensor(3.0, dtype=F64, requires_grad=True)
    e = cr.explain.gradient((x - 3.0) ** 2, x)
    assert "stationary point, not a vanishing gradient" in e.steps[-1].reason
    assert e.steps[-1].value == 0
