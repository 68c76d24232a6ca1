"""What is found: the known cases by their planted cause, the shares, and no alarm where nothing is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.diagnose import gradients, verdict
from chainrule.diagnose.causes.gain import MECHANISMS, contributions, excess
from chainrule.notation.words.words import words

sys.path.insert(0, str(Path(__file__).parent))
import known_cases

CASES = list(known_cases.CASES.values()) if isinstance(known_cases.CASES, dict) else list(known_cases.CASES)


def stack(depth: int, activation: type[nn.Module], std: float, width: int = 32) -> nn.Sequential:
    """Square layers of N(0, std^2 / width) with biases of 0."""
    cr.manual_seed(1)
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(width, width)
        nn.init.normal_(linear.weight, std=std / width**0.5)
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def data(batches: int = 2, width: int = 32) -> list[tuple[cr.Tensor, cr.Tensor]]:
    cr.manual_seed(2)
    return [(cr.randn(32, width), cr.randint(0, 4, (32,))) for _ in range(batches)]


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_the_first_finding_of_a_known_case_is_its_planted_cause(build: object) -> None:
    case = build()  # type: ignore[operator]
    findings = gradients(case.model, case.loss_fn, case.batches, case.optimizer).findings
    if case.expected:
        assert findings[0].cause in case.expected
    else:
        assert findings == ()


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_shares_and_what_is_unexplained_sum_to_one(build: object) -> None:
    case = build()  # type: ignore[operator]
    found = verdict(gradients(case.model, case.loss_fn, case.batches))
    shares = [one.share for one in found.findings if one.share is not None]
    if shares:
        assert found.unexplained is not None
        assert sum(shares) + found.unexplained == pytest.approx(1, abs=1e-9)
    else:
        assert found.unexplained is None


@pytest.mark.parametrize(
    ("activation", "std", "mechanism"),
    [(nn.Sigmoid, 1.0, "activation cap"), (nn.Tanh, 0.3, "small weights"), (nn.ReLU, 0.5, "small weights")],
)
def test_vanishing_names_the_mechanism_of_which_the_mend_depends(
    activation: type[nn.Module], std: float, mechanism: str
) -> None:
    first = gradients(stack(20, activation, std), F.cross_entropy, data()).findings[0]
    assert (first.cause, first.mechanism) == ("vanishing", mechanism)
    assert first.share is not None
    assert first.share > 0.8


def test_two_causes_share_the_total_in_the_ratio_of_their_logarithms() -> None:
    # a sigmoid's cap is log 4 a layer; weights of std 1/4 another log 4: half and half
    findings = gradients(stack(20, nn.Sigmoid, 0.25), F.cross_entropy, data()).findings
    shares = {one.mechanism: one.share for one in findings}
    assert shares["activation cap"] == pytest.approx(0.5, abs=0.05)
    assert shares["small weights"] == pytest.approx(0.5, abs=0.05)


def test_contributions_sum_to_the_excess_of_the_ledger() -> None:
    ledger = gradients(stack(12, nn.GELU, 1.2), F.cross_entropy, data()).ledger
    assert sum(contributions(ledger).values()) == pytest.approx(excess(ledger), abs=1e-9)


def test_units_that_are_silent_in_one_batch_only_are_not_dead() -> None:
    model = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1))
    nn.init.ones_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    with cr.no_grad():
        model[0].weight[0] = -1.0
    low, high = -cr.rand(16, 1) - 0.1, cr.rand(16, 1) + 0.1

    def causes(batches: object) -> list[str]:
        return [one.cause for one in gradients(model, F.mse_loss, batches).findings]

    assert "dead units" not in causes((low, low))  # 7 of 8 are silent, but one is not
    assert "dead units" not in causes([(low, low), (high, high)])


def test_dead_units_are_found_on_several_batches_and_blamed_on_their_bias() -> None:
    model = stack(3, nn.ReLU, 1.4)
    nn.init.constant_(model[2].bias, -30.0)
    first = gradients(model, F.cross_entropy, data()).findings[0]
    assert (first.cause, first.mechanism, first.where) == ("dead units", "negative bias", "2")
    assert first.evidence["batches"] == 2


def test_a_zero_initialised_last_layer_is_no_symmetry() -> None:
    model = stack(2, nn.ReLU, 1.4)
    nn.init.zeros_(model[-1].weight)
    assert "constant initialisation" not in [one.cause for one in gradients(model, F.cross_entropy, data()).findings]


def test_non_finite_numbers_name_the_operator_and_the_users_line() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            z = self.linear(x)
            return cr.where(z > 0, (z * (z > 0)).sqrt(), cr.zeros_like(z))

    x = cr.randn(8, 4)
    first = gradients(Masked(), F.mse_loss, (x, x)).findings[0]
    assert (first.cause, first.mechanism) == ("non-finite", "made backward by sqrt")
    assert Path(__file__).name in first.where


def test_a_vanishing_gradient_that_underflows_is_blamed_on_the_weights() -> None:
    first = gradients(stack(60, nn.Tanh, 0.01), F.cross_entropy, data()).findings[0]
    assert (first.cause, first.mechanism) == ("vanishing", "small weights")


def test_the_learning_rate_is_not_judged_without_an_optimizer() -> None:
    model, batches = stack(3, nn.ReLU, 1.4), data()
    huge = cr.optim.SGD(model.parameters(), lr=1e4)
    assert gradients(model, F.cross_entropy, batches).findings == ()
    assert [one.cause for one in gradients(model, F.cross_entropy, batches, huge).findings] == ["learning rate"]


@pytest.mark.parametrize("scale", [100.0, 1e-3])
def test_inputs_far_from_one_are_a_finding_and_one_hot_rows_are_not(scale: float) -> None:
    model = nn.Linear(64, 4)
    y = cr.randint(0, 4, (32,))
    first = gradients(model, F.cross_entropy, (scale * cr.randn(32, 64), y)).findings[0]
    assert (first.cause, first.where) == ("scale", "inputs[0]")
    rows = cr.tensor(np.eye(64, dtype=np.float32)[:32])
    assert gradients(model, F.cross_entropy, (rows, y)).findings == ()


def test_mechanisms_have_chinese_names() -> None:
    names = words("zh").diagnosis.names
    assert set(MECHANISMS.values()) <= names.keys()
