"""docs/articles.md, the lines that are formulas: each is right as a claim, in every spelling, and wrong when changed.

What is merely another convention (diag or the elementwise product, the order of commuting factors, layers above, in
parentheses or below, the letter of the loss) is right too.
"""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.errors import NotationError
from chainrule.verify import derivation

TWO_LAYERS = """given
  x  = [0.5, -0.3, 0.2]
  t  = [0.2, 0.7]
  W1 = random(4, 3, seed=1)
  b1 = random(4)
  W2 = random(2, 4)
  b2 = random(2)
forward
  z1 = W1 @ x + b1
  a1 = {f}(z1)
  z2 = W2 @ a1 + b2
  y  = {g}(z2)
  L  = {loss}
claims
"""
FROM_THE_INPUT = """given
  x  = [0.5, 0.1]
  y  = [1, 0]
  W2 = random(3, 2, seed=1)
  b2 = random(3)
  W3 = random(4, 3)
  b3 = random(4)
  W4 = random(2, 4)
  b4 = random(2)
forward
  z2 = W2 @ x + b2
  a2 = sigmoid(z2)
  z3 = W3 @ a2 + b3
  a3 = sigmoid(z3)
  z4 = W4 @ a3 + b4
  a4 = {g}(z4)
  {loss} = {error}
claims
"""
HALF = "1/2 * sum((a4 - y)**2)"


def a0(f: str = "sigmoid", g: str = "sigmoid", loss: str = "mean((y - t)**2)") -> str:
    """A network of the sizes 3-4-2 as A0 numbers it."""
    return TWO_LAYERS.format(f=f, g=g, loss=loss)


def layers(loss: str = "l", error: str = HALF, g: str = "sigmoid") -> str:
    """Layers 1, the input, to 4, as A1 and A3 number them."""
    return FROM_THE_INPUT.format(loss=loss, error=error, g=g)


def right(network: str, *claims: str) -> None:
    """Every claim is right, and every one of them is wrong when it is made 3% larger."""
    for claim in claims:
        result = derivation(text=f"{network}  {claim}\n")
        assert result.ok, f"{claim}\n{result}"
        assert result.redrawn == 3
        left, formula = claim.split(" = ", 1)
        larger = rf"{left} = 1.03 \left({formula}\right)" if "\\" in claim else f"{left} = 1.03 * ({formula})"
        changed = derivation(text=f"{network}  {larger}\n")
        assert changed.first_wrong is not None, larger
        assert {one.verdict for one in changed.claims} <= {"wrong", "consequence"}, larger


# ---- A0 ------------------------------------------------------------------------------------------------------------


def test_a0_2_the_sizes_are_checked_and_a_transposed_gradient_does_not_have_them() -> None:
    right(a0(), "dL/dW1 = dL/dz1 @ x.T", "dL/dW2 = dL/dz2 @ a1.T", "dL/db1 = dL/dz1", "dL/db2 = dL/dz2")
    first = derivation(text=a0() + "  dL/dW1 = x @ dL/dz1.T\n").first_wrong
    assert first is not None
    assert first.right_value is not None
    assert first.right_value.shape == (4, 3)
    assert first.mistake is not None
    assert "outer product in the wrong order" in [first.mistake.name, *[other.name for other in first.mistake.also]]


def test_a0_4_the_losses_and_what_they_start_the_backward_pass_with() -> None:
    right(a0(), "dL/dy = 2/2 * (y - t)")
    cross_entropy = a0(g="softmax", loss="-sum(t * log(y))").replace("[0.2, 0.7]", "[0, 1]")
    right(cross_entropy, "dL/dy = -t / y", "dL/dz2 = y - t")
    binary = a0(loss="-sum(t * log(y) + (1 - t) * log(1 - y))").replace("[0.2, 0.7]", "[0, 1]")
    right(binary, "dL/dy = (1 - t) / (1 - y) - t / y", "dL/dz2 = y - t")


def test_a0_5_the_chain_of_both_layers_and_its_factors() -> None:
    right(
        a0(),
        "dL/dz2 = dL/dy * dy/dz2",
        r"\frac{\partial L}{\partial z_2} = \frac{\partial L}{\partial y} \cdot \frac{\partial y}{\partial z_2}",
        r"\frac{\partial L}{\partial z_2} = \frac{\partial L}{\partial y} \frac{\partial y}{\partial z_2}",
        "dL/da1 = W2.T @ dL/dz2",
        "dL/dz1 = dL/da1 * da1/dz1",
        "dL/dW1 = dL/dz1 @ x.T",
    )
    factors = derivation(text=a0() + "  dz2/dW2 = a1\n  dz2/db2 = 1\n  dz1/dW1 = x\n  dz1/db1 = 1\n")
    assert factors.ok, factors
    assert [one.name for one in factors.claims if "outer product" in one.notes] == ["dz2/dW2", "dz1/dW1"]


@pytest.mark.parametrize(("f", "slope"), [("sigmoid", "a1 * (1 - a1)"), ("relu", "z1 > 0"), ("1 * ", "1")])
def test_a0_6_the_slopes_of_sigmoid_relu_and_linear(f: str, slope: str) -> None:
    right(a0(f=f), f"da1/dz1 = 1 * ({slope})", f"dL/dz1 = dL/da1 * ({slope})")


def test_a0_6_relu_at_zero_has_the_slope_0_and_verify_says_that_zero_is_a_kink() -> None:
    text = "given\n  z = [-1.5, 0, 2]\nforward\n  a = relu(z)\n  L = sum(a)\nclaims\n  dL/dz = "
    at_zero = derivation(text=f"{text}1 * (z > 0)\n").claims[0]
    assert (at_zero.verdict, at_zero.right_value.ravel().tolist()) == ("right", [0, 0, 1])
    other = derivation(text=f"{text}1 * (z >= 0)\n").claims[0]
    assert (other.verdict, other.notes) == ("right", ("kink",))
    assert derivation(text=f"{text}1 * (z > -2)\n").claims[0].verdict == "wrong"


# ---- A1 ------------------------------------------------------------------------------------------------------------


def test_a1_1_delta_is_the_derivative_by_z() -> None:
    right(
        layers("L"),
        "delta4 = dL/da4 * sigmoid'(z4)",
        r"\frac{\partial L}{\partial z^4} = \frac{\partial L}{\partial a^4} \odot \sigma'(z^4)",
        "dL/da3 = W4.T @ delta4",
        r"\partial L / \partial b^4 = \delta^4",
    )


def test_a1_1_delta_of_a_convolution_a_pooling_and_a_recurrence_is_judged() -> None:
    """The engine's delta of each is right, and the same with one element changed is wrong."""
    cr.manual_seed(3)
    image, kernel = cr.randn(1, 1, 6, 6, dtype=cr.float64), cr.randn(2, 1, 3, 3, dtype=cr.float64, requires_grad=True)
    x, h = cr.randn(3, 2, dtype=cr.float64), cr.randn(3, 3, dtype=cr.float64)
    inputs, weight = cr.randn(3, 2, dtype=cr.float64), cr.randn(3, 3, dtype=cr.float64, requires_grad=True)
    with cr.explain.record():
        convolved = F.conv2d(image, kernel)
        pooled = F.max_pool2d(convolved.relu(), 2)
        step1 = x @ inputs.T + h @ weight
        step2 = x @ inputs.T + step1.tanh() @ weight
        losses = pooled.square().sum(), step2.tanh().square().sum()
    quantities = (
        {"z1": convolved, "z2": pooled, "W": kernel},
        {"z1": step1, "z2": step2, "W": weight},
    )
    for loss, named in zip(losses, quantities, strict=True):
        for tensor in named.values():
            tensor.retain_grad()
        loss.backward(retain_graph=True)
        claims = {f"dL/d{name}": tensor.grad.numpy().copy() for name, tensor in named.items()}
        assert cr.verify.compare(claims, loss=loss, at=named).ok
        claims["dL/dz1"].flat[np.argmax(np.abs(claims["dL/dz1"]))] *= 1.1
        changed = cr.verify.compare(claims, loss=loss, at=named)
        assert changed.first_wrong is not None
        assert changed.first_wrong.name == "dL/dz1"


def test_a1_2_the_scalar_equations_and_the_matrix_form_are_the_same() -> None:
    right(
        layers(),
        "dl/dW3[1, 2] = dl/dz3[1] * a2[2]",  # indices of a file count from 0
        "dl/db2[2] = dl/dz2[2]",
        "dl/da3[0] = W4[0, 0] * dl/dz4[0] + W4[1, 0] * dl/dz4[1]",
        "dl/da3 = W4.T @ dl/dz4",
    )


def test_a1_4_and_a1_5_the_first_derivative_of_half_the_squared_distance() -> None:
    right(layers(), "dl/da4 = a4 - y", r"\frac{\partial l}{\partial a^L} = a^L - y")
    right(layers("L"), r"\frac{\partial L}{\partial a^L} = (a^L - y)")


def test_a1_6_delta_of_the_last_layer_with_either_product() -> None:
    right(
        layers(),
        "dl/dz4 = (a4 - y) * sigmoid'(z4)",
        "dl/dz4 = diag(sigmoid'(z4)) @ (a4 - y)",
        "da4/dz4 = sigmoid'(z4)",
        "da4/dz4 = diag(sigmoid'(z4))",
        r"\delta^{L} = (a^L - y) \odot \sigma'(z^L)",
        r"\delta^{L} = \sigma'(z^L) \circ (a^L - y)",
        r"\delta^{L} = \operatorname{diag}(\sigma'(z^L)) (a^L - y)",
        r"\delta^{L} = (a^L - y) \odot a^L \odot (1 - a^L)",
    )


def test_a1_7_the_parameters_of_every_layer() -> None:
    right(
        layers(),
        "dl/dW4 = dl/dz4 @ a3.T",
        r"\frac{\partial l}{\partial W^{l}} = \delta^{l} (a^{l-1})^T",
        r"\frac{\partial l}{\partial b^{l}} = \delta^{l}",
        "dl/dW4 = outer(dl/dz4, a3)",
    )


def test_a1_8_the_jacobian_and_the_recursion_in_every_layer() -> None:
    right(
        layers(),
        "dz3/dz2 = W3 @ diag(sigmoid'(z2))",
        r"\frac{\partial z^{l+1}}{\partial z^l} = W^{l+1} \operatorname{diag}(\sigma'(z^l))",
        r"\delta^{l} = (W^{l+1})^T \delta^{l+1} \odot \sigma'(z^{l})",
        r"\delta^{l} = \operatorname{diag}(\sigma'(z^{l})) (W^{l+1})^T \delta^{l+1}",
        "dl/dz2 = (W3 @ diag(sigmoid'(z2))).T @ dl/dz3",
    )
    recursion = derivation(text=layers() + r"  \delta^{l} = (W^{l+1})^T \delta^{l+1} \odot \sigma'(z^{l})")
    assert [one.name for one in recursion.claims] == ["dl/dz2", "dl/dz3"]  # downwards from L, every layer


# ---- A2, A3 --------------------------------------------------------------------------------------------------------


def test_a2_2_layers_in_parentheses_and_the_slope_in_front() -> None:
    right(
        layers("L"),
        r"\delta^{(l)} = \sigma'(z^{(l)}) \odot (W^{(l+1)})^T \delta^{(l+1)}",
        r"\frac{\partial L}{\partial W^{(l)}} = \delta^{(l)} (a^{(l-1)})^T",
        r"\frac{\partial L}{\partial b^{(l)}} = \delta^{(l)}",
        r"\delta_l = \sigma'(z_l) \circ W_{l+1}^T \delta_{l+1}",
    )


def test_a2_7_the_derivative_of_the_worked_example_by_formula_and_by_number() -> None:
    text = "given\n  x = [[1, 1], [1, 1]]\nforward\n  y = x + 2\n  z = 3 * y * y\n  o = mean(z, axis=all)\nclaims\n"
    right(text, "do/dx = 3/2 * (x + 2)", "do/dz = 1/4 * ones(2, 2)")
    assert derivation(text=text + "  do/dx = [[4.5, 4.5], [4.5, 4.5]]\n").ok
    assert derivation(text=text + "  do/dx = [[4.5, 4.5], [4.5, 4.4]]\n").first_wrong is not None


def test_a3_3_to_a3_5_the_squared_error_the_recipe_and_the_sum_over_the_next_layer() -> None:
    right(
        layers("C", "sum((a4 - y)**2)"),
        "dC/da4 = 2 * (a4 - y)",
        "dC/dW3[1, 2] = a2[2] * dC/dz3[1]",
        "dC/db3[1] = dC/dz3[1]",
        "dC/dz3[2] = (W4[0, 2] * dC/dz4[0] + W4[1, 2] * dC/dz4[1]) * sigmoid'(z3[2])",
        r"\delta^{l} = ((W^{l+1})^T \delta^{l+1}) \odot \sigma'(z^{l})",
    )


def test_a3_6_the_last_layer_in_general_has_cross_terms_for_softmax_alone() -> None:
    softmax = layers("C", "sum((a4 - y)**2)", "softmax")
    right(
        softmax,
        "dC/dz4 = (diag(a4) - a4 @ a4.T) @ dC/da4",  # a_k (1{k=j} - a_j), and the matrix is symmetric
        "da4/dz4 = diag(a4) - a4 @ a4.T",
        "dC/dz4 = a4 * (dC/da4 - sum(dC/da4 * a4))",
        "dC/dz4[0] = dC/da4[0] * a4[0] * (1 - a4[0]) - dC/da4[1] * a4[1] * a4[0]",
    )
    right(layers("C", "sum((a4 - y)**2)"), "dC/dz4 = diag(a4 * (1 - a4)) @ dC/da4")
    assert not derivation(text=softmax + "  dC/dz4 = diag(a4 * (1 - a4)) @ dC/da4\n").ok


# ---- A4 ------------------------------------------------------------------------------------------------------------

NEURON = """given
  x      = 0.5
  w      = 0.4
  b      = 0.1
  y_true = 0.8
forward
  z = w*x + b
  y = sigmoid(z)
  L = 1/2 * (y - y_true)**2
claims
"""


def test_a4_2_the_three_factors_and_their_product() -> None:
    right(NEURON, "dL/dy = y - y_true", "dy/dz = y * (1 - y)", "dz/dw = x", "dL/dw = dL/dy * dy/dz * dz/dw")
    right(NEURON, "dL/dw = (y - y_true) * y * (1 - y) * x", "dL/db = dL/dy * dy/dz", "dL/dx = dL/dy * dy/dz * w")


@pytest.mark.parametrize(
    ("claim", "exact"),
    [
        ("dL/dy = -0.226", -0.225557483188341),
        ("dy/dz = 0.244", 0.244458311690746),
        ("dz/dw = 0.5", 0.5),
        ("dL/dw = -0.027", -0.027569700764718),
        ("dL/dw = -0.028", -0.027569700764718),
        ("dL/db = -0.055", -0.055139401529436),
        ("dL/dx = -0.022", -0.022055760611774),
    ],
)
def test_a4_3_printed_numbers_are_right_at_their_precision_and_the_exact_ones_are_reported(
    claim: str, exact: float
) -> None:
    result = derivation(text=NEURON + f"  {claim}\n")
    assert result.ok
    assert result.claims[0].right_value is not None
    assert result.claims[0].right_value.item() == pytest.approx(exact, abs=1e-15)
    left, number = claim.split(" = ")
    for off in (0.002, -0.002):  # two units of the last digit is neither rounded nor truncated
        assert derivation(text=NEURON + f"  {left} = {float(number) + off:.3f}\n").first_wrong is not None


def test_a4_6_one_wrong_link_spoils_the_chain_and_is_named_alone() -> None:
    claims = "  dL/dy = y - y_true\n  dy/dz = y\n  dL/dz = dL/dy * dy/dz\n  dL/dw = dL/dz * x\n  dL/db = dL/dz\n"
    result = derivation(text=NEURON + claims)
    assert result.first_wrong is not None
    assert result.first_wrong.name == "dy/dz"
    assert [one.verdict for one in result.claims] == ["right", "wrong", "consequence", "consequence", "consequence"]


# ---- what cannot be meant ------------------------------------------------------------------------------------------


def test_a0_e3_one_name_for_the_prediction_and_the_label_is_refused() -> None:
    with pytest.raises(NotationError, match="'y' is defined already"):
        derivation(text=NEURON.replace("y_true", "y") + "  dL/dz = y * (1 - y)\n")


def test_a0_e3_n_of_the_width_where_n_of_the_samples_is_meant_is_a_named_mistake() -> None:
    """The mean is over 3 outputs of 5 samples: n is neither 3 nor 5."""
    text = """given
  X = random(2, 5)
  T = random(3, 5)
  W = random(3, 2)
forward
  Y = W @ X
  L = mean((Y - T)**2, axis=all)
claims
"""
    right(text, "dL/dY = 2/15 * (Y - T)")
    for n, ratio in ((3, "5"), (5, "3")):
        first = derivation(text=text + f"  dL/dY = 2/{n} * (Y - T)\n").first_wrong
        assert first is not None
        assert first.ratio == ratio
        assert first.mistake is not None
        assert first.mistake.name in ("mean over the wrong axis", "factor n")


def test_a1_e5_l_may_be_the_loss_and_the_layer_at_once() -> None:
    both = derivation(text=layers("l") + r"  \frac{\partial l}{\partial W^{l}} = \delta^{l} (a^{l-1})^T")
    assert [one.name for one in both.claims] == ["dl/dW2", "dl/dW3", "dl/dW4"]
    assert both.ok
    last = derivation(text=layers("l") + r"  \frac{\partial l}{\partial z^{L}} = (a^L - y) \odot \sigma'(z^L)")
    assert [one.name for one in last.claims] == ["dl/dz4"]  # the l of the loss alone is no layer
    assert last.ok
