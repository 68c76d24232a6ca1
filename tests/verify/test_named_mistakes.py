"""What a wrong claim is called: slips in spellings of one's own, two at once, and what must not be given a name."""

from __future__ import annotations

import pytest

from chainrule.verify import derivation

LAYERS = """given
  x  = random(3)
  t  = random(2)
  W1 = random(4, 3)
  b1 = random(4)
  W2 = random(3, 4)
  b2 = random(3)
  W3 = random(2, 3)
forward
  z1 = W1 @ x + b1
  a1 = softplus(z1)
  z2 = W2 @ a1 + b2
  a2 = tanh(z2)
  z3 = W3 @ a2
  a3 = sigmoid(z3)
  L  = 1/2 * sum((a3 - t)**2)
claims
"""
CLASSES = """given
  x = random(3)
  t = [0, 1]
  W1 = random(4, 3)
  W2 = random(2, 4)
forward
  z1 = W1 @ x
  a1 = tanh(z1)
  z2 = W2 @ a1
  p  = softmax(z2)
  L  = -sum(t * log(p))
claims
"""
SCALARS = """given
  x_1 = 0.4
  x_2 = -0.7
  w_11 = 0.5
  w_12 = -1.2
  w_21 = 0.8
  w_22 = 0.3
  b_1 = 0.1
  b_2 = -0.2
  v_1 = 1.1
  v_2 = -0.6
  c = 0.3
  t = 0.9
forward
  z_1 = w_11 * x_1 + w_12 * x_2 + b_1
  z_2 = w_21 * x_1 + w_22 * x_2 + b_2
  a_1 = sigmoid(z_1)
  a_2 = sigmoid(z_2)
  y = v_1 * a_1 + v_2 * a_2 + c
  L = 1/2 * (y - t)**2
claims
"""
OUTPUTS = """given
  x = 0.4
  w_1 = 0.5
  w_2 = -1.2
  w_3 = 0.8
  b_1 = 0.1
  b_2 = -0.2
  b_3 = 0.7
  t_1 = 0.2
  t_2 = 0.9
  t_3 = -0.3
forward
  z_1 = w_1 * x + b_1
  z_2 = w_2 * x + b_2
  z_3 = w_3 * x + b_3
  p_1 = tanh(z_1)
  p_2 = tanh(z_2)
  p_3 = tanh(z_3)
  L = 1/2 * ((p_1 - t_1)**2 + (p_2 - t_2)**2 + (p_3 - t_3)**2)
claims
"""


def named(text: str, claim: str) -> str | None:
    """What the mistake of a single wrong claim is called."""
    (found,) = derivation(text=f"{text}  {claim}\n").claims
    assert found.verdict == "wrong"
    return None if found.mistake is None else found.mistake.name


# ---- one mistake --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claim",
    [
        "dL/dz2 = (1 - a1**2) * dL/da2",  # the formula in a, of an a of another size
        "dL/dz2 = dL/da2 * (1 - a1) * (1 + a1)",  # the same in two factors
        "dL/dz2 = diag(1 - a1**2) @ dL/da2",
        "dL/dz1 = dL/da1 * (1 - exp(-a2))",  # a spelling that no rule has
    ],
)
def test_the_slope_of_a_layer_of_another_size_is_the_derivative_at_the_wrong_layer(claim: str) -> None:
    assert named(LAYERS, claim) == "derivative at the wrong layer"


def test_the_derivative_by_a_for_that_by_z_lacks_a_factor_and_is_no_wrong_quantity() -> None:
    assert named(LAYERS, "dL/dW2 = dL/da2 @ a1.T") == "dropped factor"
    assert named(LAYERS.replace("tanh(z2)", "relu(z2)"), "dL/dW2 = dL/da2 @ a1.T") == "forgotten mask"


def test_a_factor_that_one_term_of_a_product_multiplied_out_lacks_is_a_dropped_factor() -> None:
    text = LAYERS.replace("1/2 * sum((a3 - t)**2)", "-sum(t * log(a3) + (1 - t) * log(1 - a3))")
    text = text.replace("t  = random(2)", "t  = [0, 1]")
    assert named(text, "dL/da3 = (a3 - t) / (1 - a3 * a3)") == "dropped factor"


def test_updated_weights_are_found_in_a_claim_that_inlines_the_step() -> None:
    """dL/dz2 = p - t sums to 0, so that sums over dL/dW2 vanish: no sum is missing."""
    assert named(CLASSES, "dL/dz1 = (1 - tanh(z1)**2) * ((W2 - 0.1 * dL/dW2).T @ dL/dz2)") == "weights after the update"


def test_the_sum_within_a_softmax_is_over_neurons_in_the_gradient_of_a_weight_too() -> None:
    assert named(CLASSES, "dL/dW2 = (p * (dL/dp - p * dL/dp)) @ a1.T") in (
        "missing sum over neurons",
        "softmax treated as elementwise",
    )


def test_n_may_be_the_number_of_outputs_of_a_network_written_neuron_by_neuron() -> None:
    assert named(OUTPUTS, "dL/dp_2 = 3 * (p_2 - t_2)") == "factor n"


def test_a_weight_of_a_network_written_neuron_by_neuron_is_a_weight() -> None:
    assert named(SCALARS, "dL/da_2 = v_1 * dL/dy") == "W of the wrong layer"


def test_of_two_readings_the_one_that_puts_the_written_quantity_in_is_named() -> None:
    """The ratio is 10, which is 2 n for 5 elements as well."""
    text = LAYERS.replace("z1 = W1 @ x + b1", "u = 0.1 * x\n  z1 = W1 @ u + b1").replace("random(2)", "random(5)")
    text = text.replace("random(2, 3)", "random(5, 3)")
    slope = "exp(-z1) / (1 + exp(-z1))**2"
    name = named(text.replace("softplus", "sigmoid"), f"dL/dW1 = (dL/da1 * ({slope})) @ x.T")
    assert name == "previous activation of the wrong layer"


# ---- two mistakes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "names"),
    [
        ("dL/dz2 = dL/da2 * (1 + a2) * (1 + a2)", {"wrong sign"}),
        ("dL/da2 = -(W2.T @ dL/dz3)", {"W of the wrong layer", "wrong sign"}),
        ("dL/dW2 = a2.T @ dL/dz2", {"swapped factors", "previous activation of the wrong layer"}),
        ("dL/dz3 = (-1 - a3) * a3", {"wrong sign", "dropped factor"}),
        ("dL/dz2 = dL/da2 * (1 - a2**2) * (1 - tanh(z2)**2) / 3", {"factor counted twice", "factor 1/n"}),
    ],
)
def test_of_two_mistakes_at_once_both_are_named(claim: str, names: set[str]) -> None:
    found = named(LAYERS, claim)
    assert found is not None
    assert names <= set(found.split(" + "))


# ---- what has no name -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claim",
    [
        "dL/dz3 = dL/da3 * sqrt(sigmoid(z3) * (1 - sigmoid(z3)))",  # sqrt(s(z) (1 - s(-z))) is s(z)
        "dL/dz3 = dL/da3 * exp(a3 - a3**2)",
        "dL/dW2 = dL/dz2 @ tanh(a1).T",
        "dL/dz2 = tanh(dL/da2) * (1 - a2**2)",
        "dL/db1 = abs(dL/dz1)",
    ],
)
def test_what_the_catalogue_lacks_is_not_called_two_mistakes(claim: str) -> None:
    assert named(LAYERS, claim) is None


def test_a_size_is_no_sign_where_the_given_numbers_have_one_sign() -> None:
    """|y - t| is t - y on the data and on redraws that keep the signs."""
    text = "given\n  w = 0.2\n  x = 0.5\n  t = 3.0\nforward\n  y = w * x\n  L = 1/2 * (y - t)**2\nclaims\n"
    assert named(text, "dL/dw = abs(dL/dy) * x") is None


# ---- the step -------------------------------------------------------------------------------------------------------


def test_a_wrong_claim_follows_from_no_claim_whose_shapes_do_not_fit() -> None:
    result = derivation(text=LAYERS + "  dL/da2 = dL/dz3 @ W3.T\n  dL/dz2 = dL/da2 * a2\n")
    assert [claim.verdict for claim in result.claims] == ["wrong", "wrong"]


def test_softplus_beyond_its_threshold_makes_no_right_claim_wrong() -> None:
    """There its slope is 1 and not sigmoid(z), which a difference of the two shows: redraws stay below."""
    for name in ("x", "z", "v", "s", "u", "q"):
        text = f"given\n  {name} = 18.0\nforward\n  a = softplus({name})\n  L = a - {name}\nclaims\n"
        assert derivation(text=text + f"  dL/d{name} = sigmoid({name}) - 1\n").ok


def test_a_unit_that_is_dead_on_the_data_and_some_redraws_hides_no_mistake() -> None:
    """relu(z) is alive where x is far larger than given: about one redraw in four."""
    text = "given\n  x = 1.0\n  b = -1.4\nforward\n  z = x + b\n  a = relu(z)\n  L = 1/2 * a**2\nclaims\n"
    (claim,) = derivation(text=text + "  dL/dz = a * (z > 0) + dL/da * (z > 0)\n").claims
    assert claim.verdict == "wrong"
