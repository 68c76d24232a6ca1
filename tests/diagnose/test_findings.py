"""What is found: the known cases by their planted cause, the shares, and no alarm where nothing is wrong."""

from __future__ import annotations

import sys
from math import inf
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.diagnose import gradients, verdict
from chainrule.diagnose.causes import confidence
from chainrule.diagnose.causes.finding import Finding
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


def test_a_learning_rate_is_too_small_if_no_step_takes_a_noticeable_part_of_the_loss_off() -> None:
    model, batches = stack(3, nn.ReLU, 1.4), data()
    slow = cr.optim.Adam(model.parameters(), lr=1e-6)
    (first,) = gradients(model, F.cross_entropy, batches, slow).findings
    assert (first.cause, first.mechanism) == ("learning rate", "steps too small to matter")
    assert first.evidence["decrease / loss, at most"] < 1e-3
    usual = cr.optim.Adam(model.parameters(), lr=1e-3)
    assert gradients(model, F.cross_entropy, batches, usual).findings == ()


def test_a_rate_is_too_large_for_adam_though_small_weights_make_the_gradient_vanish() -> None:
    model, batches = stack(20, nn.ReLU, 0.1), data()
    causes = [
        [
            one.cause
            for one in gradients(model, F.cross_entropy, batches, cr.optim.Adam(model.parameters(), lr)).findings
        ]
        for lr in (1e-3, 1.0)
    ]
    assert causes == [["vanishing"], ["vanishing", "learning rate"]]


def test_a_rate_is_judged_by_the_parameters_that_a_gradient_reaches() -> None:
    class Cut(nn.Module):
        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return x.detach()

    layers = list(stack(6, nn.ReLU, 1.4))
    model = nn.Sequential(*layers[:-1], Cut(), layers[-1])
    found = gradients(model, F.cross_entropy, data(), cr.optim.SGD(model.parameters(), 1e3)).findings
    assert {one.cause for one in found} == {"learning rate", "detached parameters"}


@pytest.mark.parametrize(("norm_first", "causes"), [(False, ["learning rate"]), (True, [])])
def test_a_large_rate_harms_where_each_sum_is_normalised_and_not_where_it_grows(
    norm_first: bool, causes: list[str]
) -> None:
    case = known_cases.post_ln_transformer()
    model = known_cases._transformer(12, norm_first)
    found = gradients(model, case.loss_fn, case.batches, cr.optim.Adam(model.parameters(), 1e-2)).findings
    assert [one.cause for one in found] == causes


LOSSES = {"squares": F.mse_loss, "absolute": F.l1_loss, "entropy": F.cross_entropy}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_multiplied_by_a_small_number_is_out_of_scale_and_no_stationary_point(name: str) -> None:
    model, x = stack(3, nn.ReLU, 1.4), cr.randn(32, 32)
    y = cr.randint(0, 4, (32,)) if name == "entropy" else cr.randn(32, 4)
    first = gradients(model, lambda out, y: 1e-6 * LOSSES[name](out, y), (x, y)).findings[0]
    assert (first.cause, first.mechanism) == ("scale", "small loss")


@pytest.mark.parametrize("factor", [1.0, 1e-4])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_is_met_is_a_stationary_point_whatever_it_is_multiplied_by(name: str, factor: float) -> None:
    model, x = stack(3, nn.ReLU, 1.4), cr.randn(32, 32)
    with cr.no_grad():
        model[-1].weight.mul_(100.0 if name == "entropy" else 1.0)
        out = model(x)
    y = out.argmax(-1) if name == "entropy" else out + 1e-6 * cr.randn(32, 4)
    keep = [k for k, row in enumerate(out.tolist()) if sorted(row)[-1] - sorted(row)[-2] > 15] or [0]
    x, y = (x[keep], y[keep]) if name == "entropy" else (x, y)
    found = gradients(model, lambda out, y: factor * LOSSES[name](out, y), (x, y)).findings
    if name == "absolute" and factor == 1.0:  # its derivative does not fall: it is near, and asks as much as ever
        assert found == ()
    else:
        assert (found[0].cause, found[0].mechanism) == ("stationary point", "the loss is met")


def test_the_signal_explodes_that_grows_where_the_gradient_is_cut_off() -> None:
    class Cut(nn.Module):
        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return x.detach()

    layers = list(stack(20, nn.ReLU, 2.8))
    model = nn.Sequential(*layers[:36], Cut(), *layers[36:])
    first = gradients(model, F.cross_entropy, data()).findings[0]
    assert (first.cause, first.mechanism) == ("exploding", "large weights")
    assert first.evidence["log gain of the signal"] > np.log(1000)


def test_large_inputs_come_before_the_saturation_that_they_make() -> None:
    found = gradients(stack(6, nn.Tanh, 1.0), F.cross_entropy, [(1e4 * x, y) for x, y in data()]).findings
    assert [one.cause for one in found][:2] == ["scale", "saturated"]


def test_large_weights_that_saturate_are_named_for_that_before_the_gradient_that_they_make_grow() -> None:
    causes = [one.cause for one in gradients(stack(12, nn.Tanh, 20.0), F.cross_entropy, data()).findings]
    assert causes[0] == "saturated"


# confidence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("margin", "expected"), [(None, 10 / 11), (inf, 10 / 11), (1.0, 10 / 11), (0.9, 4 / 6)])
def test_confidence_is_the_frequency_of_right_findings_that_were_as_clear(
    margin: float | None, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confidence, "CLEARLY", (9, 9))
    monkeypatch.setattr(confidence, "NEARLY", (3, 4))
    assert confidence.confidence(Finding("vanishing", "", "", margin=margin)) == pytest.approx(expected)


def test_evidence_that_is_nearer_to_its_threshold_is_less_sure() -> None:
    sure = [gradients(stack(10, nn.ReLU, std), F.cross_entropy, data()).findings[0].confidence for std in (0.66, 0.3)]
    assert 0.5 < sure[0] < sure[1] < 1


def test_a_margin_is_how_many_natural_logarithms_the_evidence_is_beyond_its_threshold() -> None:
    y = cr.randint(0, 4, (32,))
    (first,) = gradients(nn.Linear(64, 4), F.cross_entropy, (cr.full((32, 64), 100.0), y)).findings
    assert first.margin == pytest.approx(np.log(10))


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
