"""The verdict on each claim: right, wrong, a consequence of an earlier slip, or undecided."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import ArgumentError, ArgumentTypeError, NotationError
from chainrule.verify import compare, derivation

NETWORK = """given
  x  = [0.5, 0.1]
  t  = [1, 0]
  W2 = random(3, 2, seed=1)
  b2 = zeros(3)
  W3 = random(2, 3)
  b3 = zeros(2)
forward
  z2 = W2 @ x + b2
  a2 = sigmoid(z2)
  z3 = W3 @ a2 + b3
  a3 = sigmoid(z3)
  L  = 1/2 * sum((a3 - t)**2)
claims
"""
BATCH = """given
  X = random(2, 4)
  T = random(3, 4)
  W = random(3, 2)
  b = random(3)
  n = 4
forward
  Z = W @ X + b
  A = relu(Z)
  L = 1/(2*n) * sum((A - T)**2, axis=all)
claims
"""


def verdicts(text: str, *claims: str) -> dict[str, str]:
    result = derivation(text=text + "\n".join([f"  {claim}" for claim in claims]))
    return {claim.name: claim.verdict for claim in result.claims}


def test_what_follows_from_a_slip_is_not_a_slip() -> None:
    result = derivation(
        text=NETWORK
        + """  dL/dz3 = (a3 - t) * a3 * (1 - a3)
  dL/dz2 = (W3.T @ dL/dz3) * a2
  dL/dW2 = dL/dz2 @ x.T
  dL/db2 = dL/dz2
  dL/dW3 = dL/dz3 @ a2.T
"""
    )
    assert [c.verdict for c in result.claims] == ["right", "wrong", "consequence", "consequence", "right"]
    assert result.first_wrong is not None
    assert (result.first_wrong.name, result.first_wrong.line) == ("dL/dz2", 16)
    assert result.first_wrong.ratio == "1 / (1 - a2)"
    assert result.first_wrong.mistake is not None
    assert result.first_wrong.mistake.name == "activation for its derivative"
    assert result.claims[2].upstream == "dL/dz2"
    assert not result.ok


def test_a_slip_that_a_claim_writes_out_again_is_a_consequence() -> None:
    found = verdicts(
        NETWORK,
        "dL/dz3 = (a3 - t) * a3",
        "dL/dW3 = ((a3 - t) * a3) @ a2.T",
        "dL/dW2 = ((W3.T @ dL/dz3) * dsigmoid(z2)) @ x.T",
    )
    assert found == {"dL/dz3": "wrong", "dL/dW3": "consequence", "dL/dW2": "consequence"}


def test_claims_may_stand_in_any_order() -> None:
    found = verdicts(
        NETWORK, "dL/dW2 = dL/dz2 @ x.T", "dL/dz2 = (W3.T @ dL/dz3) * a2", "dL/dz3 = (a3 - t) * dsigmoid(z3)"
    )
    assert found == {"dL/dW2": "consequence", "dL/dz2": "wrong", "dL/dz3": "right"}


def test_two_slips_are_two_wrong_claims() -> None:
    result = derivation(text=NETWORK + "  dL/dz3 = a3 - t\n  dL/dz2 = (W3.T @ dL/dz3) * a2\n  dL/db2 = 2 * dL/dz2\n")
    assert [c.verdict for c in result.claims] == ["wrong", "wrong", "wrong"]
    assert result.first_wrong is not None
    assert result.first_wrong.name == "dL/dz3"


def test_what_is_right_at_one_point_by_chance_is_wrong() -> None:
    result = derivation(text="given\n  x = 2.0\nforward\n  L = x**2\nclaims\n  dL/dx = x + 2\n")
    assert result.claims[0].verdict == "wrong"
    assert "by chance" in result.claims[0].notes


def test_a_claim_at_a_kink_of_the_given_point_is_right_if_it_is_right_beside_it() -> None:
    text = "given\n  x = [0.0, 1.0]\nforward\n  y = relu(x)\n  L = sum(y)\nclaims\n  dL/dx = {}\n"
    right = derivation(text=text.format("(x >= 0)"))
    assert right.ok
    assert "kink" in right.claims[0].notes
    assert not derivation(text=text.format("(x > 0) * 2")).ok


@pytest.mark.parametrize(
    "claim",
    [
        "dL/dW = (1/n * (A - T) * (Z > 0)) @ X.T",
        "dL/dW = outer((A[:, 0] - T[:, 0]) * (Z[:, 0] > 0), X[:, 0]) / n"
        " + (((A[:, 1:4] - T[:, 1:4]) * (Z[:, 1:4] > 0)) @ X[:, 1:4].T) / n",
        "dL/db = sum((A - T) * relu'(Z), axis=1) / n",
        "dL/db = mean((A - T) * relu'(Z), axis=batch)",
        "dL/dA = (A - T) / n",
    ],
)
def test_a_batch_is_a_matrix_of_columns(claim: str) -> None:
    result = derivation(text=BATCH + "  " + claim)
    assert result.ok, str(result)


@pytest.mark.parametrize("claim", ["dL/db = ((A - T) * relu'(Z)) / n", "dL/dW = X @ dL/dZ.T", "dL/dA = 0.5"])
def test_a_claim_of_the_wrong_shape_is_wrong_and_says_so(claim: str) -> None:
    result = derivation(text=BATCH + "  " + claim)
    assert result.claims[0].verdict == "wrong"
    assert "shape" in result.claims[0].notes


def test_a_claim_whose_shapes_do_not_fit_is_wrong_with_the_reason() -> None:
    result = derivation(text=NETWORK + "  dL/dz3 = (a3 - t) * dsigmoid(z3)\n  dL/dz2 = W3 @ dL/dz3 * dsigmoid(z2)\n")
    assert result.claims[1].verdict == "wrong"
    assert "(2 × 3) @ (2 × 1)" in result.claims[1].reason
    assert result.claims[1].correction == "(W3.T @ dL/dz3) * sigmoid'(z2)"
    assert result.claims[1].mistake is not None
    assert result.claims[1].mistake.name == "missing transpose"


@pytest.mark.parametrize(
    ("printed", "verdict"),
    [
        ("-0.0276", "right"), ("-0.027", "right"), ("-0.028", "right"), ("-0.0275", "right"), ("-0.026", "wrong"),
        ("-0.029", "wrong"), ("0.027", "wrong"), ("-0.226 * 0.244 * 0.5", "right"),
        ("-2.7e-2", "right"), ("-1", "wrong"),
    ],
)  # fmt: skip
def test_numbers_are_right_as_printed_rounded_or_truncated(printed: str, verdict: str) -> None:
    text = """given
  x = 0.5
  w = 0.4
  b = 0.1
  t = 0.8
forward
  z = w*x + b
  y = sigmoid(z)
  L = 1/2*(y - t)**2
claims
  dL/dw = """
    result = derivation(text=text + printed)
    assert result.claims[0].verdict == verdict
    assert result.claims[0].right_value == pytest.approx(-0.027569700764718)


def test_numbers_that_follow_from_a_wrong_number_are_a_consequence() -> None:
    result = derivation(
        text="""given
  x = 0.5
  w = 0.4
  b = 0.1
  t = 0.8
forward
  z = w*x + b
  y = sigmoid(z)
  L = 1/2*(y - t)**2
claims
  dL/dy = -0.226
  dL/dz = -0.130
  dL/dw = -0.065
  dL/db = -0.0551
"""
    )
    assert [c.verdict for c in result.claims] == ["right", "wrong", "consequence", "right"]
    assert result.claims[1].mistake is not None
    assert result.claims[1].mistake.name == "activation for its derivative"


def test_factors_between_quantities_may_be_claimed_and_used() -> None:
    found = verdicts(
        NETWORK,
        "da3/dz3 = a3 * (1 - a3)",
        "d(z3)/d(a2) = W3",
        "dz3/dW3 = a2",
        "da2/dz2 = diag(a2 * (1 - a2))",
        "dz3/db3 = ones(2)",
        "dL/da2 = dz3/da2.T @ ((a3 - t) * da3/dz3)",
        "da2/dx = W2",
    )
    assert found.pop("da2/dx") == "wrong"
    assert set(found.values()) == {"right"}, found


def test_a_loss_that_is_not_the_sum_of_its_rows_is_not_guessed() -> None:
    with pytest.raises(NotationError, match="ends without a loss"):
        derivation(text="given\n  X = random(2, 3)\nforward\n  l = sum(X**2)\nclaims\n  dl/dX = 2*X\n")


def test_a_function_of_arrays_can_be_verified() -> None:
    def forward(x: cr.Tensor, W: cr.Tensor, t: cr.Tensor) -> dict[str, cr.Tensor]:
        z = W @ x
        a = cr.tanh(z)
        return {"z": z, "a": a, "L": ((a - t) ** 2).sum()}

    result = derivation(
        forward=forward,
        given={"x": np.array([[0.3], [0.8]]), "W": np.eye(2) + 0.5, "t": np.array([[0.1], [-0.4]])},
        claims={
            "dL/da": lambda v: 2 * (v["a"] - v["t"]),
            "dL/dz": lambda v: v["dL/da"] * (1 - v["a"]),
            "dL/dW": "dL/dz @ x.T",
        },
    )
    assert [c.verdict for c in result.claims] == ["right", "wrong", "consequence"]


def test_derivatives_of_a_program_are_compared_with_the_right_ones() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Sigmoid(), nn.Linear(5, 2))
    x, y = cr.randn(4, 3), cr.randn(4, 2)
    z1 = model[0](x)
    a1 = model[1](z1)
    z2 = model[2](a1)
    loss = F.mse_loss(z2, y)
    delta2 = (2 / 8 * (z2 - y)).detach().numpy()
    wrong = (delta2 @ model[2].weight.detach().numpy()) * a1.detach().numpy()
    result = compare(
        {"dL/dz2": delta2, "dL/dz1": wrong, "dL/dW1": wrong.T @ x.numpy(), "dL/dW2": delta2.T @ a1.detach().numpy()},
        loss=loss,
        at={"x": x, "y": y, "z1": z1, "a1": a1, "z2": z2, "W1": model[0].weight, "W2": model[2].weight},
    )
    assert {c.name: c.verdict for c in result.claims} == {
        "dL/dz2": "right", "dL/dz1": "wrong", "dL/dW1": "consequence", "dL/dW2": "right",
    }  # fmt: skip
    assert result.claims[1].mistake is not None
    assert result.claims[1].mistake.name == "activation for its derivative"


def test_arguments_that_say_nothing_are_refused() -> None:
    with pytest.raises(ArgumentError, match="give the path of a file"):
        derivation()
    with pytest.raises(ArgumentError, match="give the path of a file"):
        derivation("a.txt", text="b")
    with pytest.raises(ArgumentError, match="nothing is claimed"):
        derivation(forward=lambda x: x.sum(), given={"x": [1.0]}, claims={})
    with pytest.raises(ArgumentTypeError, match="forward returns Tensors"):
        derivation(forward=lambda x: 3.0, given={"x": [1.0]}, claims={"dL/dx": "x"})


def test_a_result_is_data_that_json_can_hold() -> None:
    result = derivation(text=NETWORK + "  dL/dz3 = a3 - t\n  dL/da2 = W3 @ dL/dz3\n")
    data = json.loads(result.to_json())
    assert data["ok"] is False
    assert data["first_wrong"] == "dL/dz3"
    assert [claim["verdict"] for claim in data["claims"]] == ["wrong", "wrong"]
    assert data["claims"][0]["mistake"]["name"] == "dropped factor"
    assert data["claims"][0]["ratio"] == "1 / (a3 * (1 - a3))"


def test_the_report_names_the_slip_in_both_languages() -> None:
    from chainrule.verify.report import printed

    result = derivation(text=NETWORK + "  dL/dz3 = a3 - t\n  dL/dW3 = dL/dz3 @ a2.T\n")
    english, chinese = printed(result), printed(result, "zh")
    assert "x wrong        line 15  dL/dz3 = a3 - t" in english
    assert "It should be dL/dz3 = (a3 - t) * sigmoid'(z3)." in english
    assert "The first wrong step is dL/dz3, in line 15." in english
    assert "应当是 dL/dz3 = (a3 - t) * sigmoid'(z3)" in chinese
    assert str(result) == english


def test_a_claim_that_is_not_finite_says_so() -> None:
    result = derivation(text=NETWORK + "  dL/dz3 = (a3 - t) / (b3 - b3)\n")
    assert result.claims[0].verdict == "wrong"
    assert "dL/dz3 is not finite." in str(result)


def test_a_claim_that_skips_forty_steps_is_judged_in_seconds() -> None:
    steps = range(40)
    text = "given\n  x = [0.3, -0.2]\n" + "".join([f"  W{i} = random(2, 2)\n" for i in steps])
    text += "forward\n  a0 = x\n" + "".join([f"  a{i + 1} = tanh(W{i} @ a{i})\n" for i in steps])
    start = time.perf_counter()
    assert not derivation(text=text + "  L = sum(a40**2)\nclaims\n  dL/da1 = 2 * a40 * W0[0, 0]\n").ok
    assert time.perf_counter() - start < 30  # 2 s on the machine where it was written
