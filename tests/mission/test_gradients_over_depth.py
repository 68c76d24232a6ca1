"""docs/articles.md, A0.9 to A0.11, A1.9, A2.3, A3.7, A4.5: why gradients vanish and explode, diagnosed."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn


def chain(depth: int, activation: type[nn.Module] | None, gain: float | None = None, width: int = 16) -> nn.Sequential:
    """`depth` square layers; with a gain, each weight is that multiple of the unit matrix."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layer = nn.Linear(width, width, bias=gain is None)
        if gain is not None:
            with cr.no_grad():
                layer.weight.copy_(gain * cr.eye(width))
        layers += [layer] if activation is None else [layer, activation()]
    return nn.Sequential(*layers)


def diagnosed(model: nn.Module, width: int = 16) -> cr.diagnose.Diagnosis:
    cr.manual_seed(1)
    return cr.diagnose.gradients(model, F.mse_loss, (cr.randn(32, width), cr.randn(32, width)))


@pytest.mark.parametrize(("gain", "cause"), [(1.5, "exploding"), (0.5, "vanishing")])
def test_a0_9_and_a0_10_a_factor_at_each_layer_is_a_power_of_the_depth(gain: float, cause: str) -> None:
    found = diagnosed(chain(30, None, gain))
    assert found.ledger.total == pytest.approx(29 * log(gain), rel=1e-5)
    assert found.primary is not None
    assert found.primary.cause == cause


def test_a0_11_both_pictures_stand_in_the_page(tmp_path: object) -> None:
    page = diagnosed(chain(30, None, 0.5)).to_html()
    assert page.count("<svg") >= 2


def test_a1_9_and_a2_3_the_cap_of_the_sigmoid_is_told_from_its_saturation() -> None:
    cr.manual_seed(0)
    unsaturated = diagnosed(chain(12, nn.Sigmoid))
    causes = unsaturated.ledger.by_cause
    assert causes["cap"] == pytest.approx(11 * log(0.25)) or causes["cap"] == pytest.approx(12 * log(0.25))
    assert abs(causes["saturation"]) < 0.1 * abs(causes["cap"])
    assert unsaturated.primary is not None
    assert (unsaturated.primary.cause, unsaturated.primary.mechanism) == ("vanishing", "activation cap")


def test_a2_3_seventy_five_quarters_are_zero_in_float32() -> None:
    assert np.float32(0.25) ** 74 > 0
    quarter = np.float32(1)
    for _ in range(75):
        quarter *= np.float32(0.25)
    assert quarter == 0
    ended = diagnosed(chain(80, None, 0.25)).ledger.ends_at
    assert ended is not None
    assert ended.why == "zero"


def test_a3_7_a_minimum_is_stationary_and_not_vanishing() -> None:
    cr.manual_seed(0)
    model = nn.Linear(3, 1)
    x = cr.randn(64, 3)
    with cr.no_grad():
        y = model(x)
    found = cr.diagnose.gradients(model, F.mse_loss, (x, y))
    assert [finding.cause for finding in found.findings] == ["stationary point"]


@pytest.mark.parametrize(
    ("factor", "printed"), [(1.01, 2.70), (1.1, 1.38e4), (1.5, 4.07e17), (0.9, 2.66e-5), (0.25, 6.2e-61)]
)
def test_a4_5_a_hundred_factors_multiply(factor: float, printed: float) -> None:
    model = chain(101, None, factor, width=2).double()
    cr.manual_seed(1)
    x, y = cr.randn(4, 2, dtype=cr.float64), cr.randn(4, 2, dtype=cr.float64)
    found = cr.diagnose.gradients(model, F.mse_loss, (x, y))
    assert np.exp(found.ledger.total) == pytest.approx(printed, rel=0.01)
