"""The benchmark of cr.diagnose: its networks are the same each time and as ill as they are said to be, its sums right.

The benchmark's figures are worth what its networks are worth, so they are tested without chainrule.diagnose.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path[:0] = [str(BENCHMARKS), str(Path(__file__).parent)]

import diagnosis  # noqa: E402  (the benchmark, not installed)
import known_cases  # noqa: E402  (beside this file)
from diagnosis_networks import answers, baseline, draw, faults, harm, remedies, scoring  # noqa: E402  (not installed)
from diagnosis_networks.build import build, weight_layers  # noqa: E402

COUNTED = draw.names("tuning")[:200] + draw.names("tuning")[-100:]


def first_with(*names: str) -> draw.Network:
    """The first network to tune on with exactly these faults."""
    networks = map(draw.network, draw.names("tuning"))
    return next(n for n in networks if tuple(f.name for f in n.faults) == names)


def gradients(network: draw.Network) -> dict[str, Any]:
    """The gradients of one batch by the names of the parameters; None where there is none."""
    built = build(network.spec, network.seed)
    x, y = built.shown()[0]
    with np.errstate(all="ignore"):
        loss = built.task.loss(built.model(x), y)
        if loss.requires_grad:
            loss.backward()
    return {name: None if p.grad is None else p.grad.numpy() for name, p in built.model.named_parameters()}


def rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.asarray(values, np.float64) ** 2)))


# the networks -------------------------------------------------------------------------------------------------------


def test_a_network_is_the_same_each_time_it_is_drawn() -> None:
    assert [draw.network(name) for name in COUNTED[::7]] == [draw.network(name) for name in COUNTED[::7]]
    one, two = (build(draw.network("tuning-faulty-10").spec, 3) for _ in range(2))
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    for (a, _), (b, _) in zip(one.shown(), two.shown(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_another_draw_of_the_weights_keeps_the_task() -> None:
    spec = draw.network("tuning-healthy-0").spec
    one, two = build(spec, 3), build(spec, 3, weights=1)
    np.testing.assert_array_equal(one.task.inputs, two.task.inputs)
    a, b = (next(iter(built.model.parameters())).detach().numpy() for built in (one, two))
    assert np.any(a != b)


def test_building_a_network_leaves_the_default_generator_as_it_was() -> None:
    state = cr.get_rng_state().numpy().copy()
    build(draw.network("tuning-healthy-5").spec, 3)
    np.testing.assert_array_equal(cr.get_rng_state().numpy(), state)


@pytest.mark.parametrize("of", draw.DRAWS)
def test_every_fault_is_in_every_draw_and_some_networks_have_two(of: str) -> None:
    networks = [draw.network(name) for name in draw.names(of) if "faulty" in name]
    assert len(networks) >= 200
    assert {f.name for n in networks for f in n.faults} == set(faults.BY_NAME)
    assert 0.15 * len(networks) < sum(len(n.faults) == 2 for n in networks) < 0.25 * len(networks)


def test_no_network_is_in_two_draws() -> None:
    seeds = [draw.network(name).seed for of in draw.DRAWS for name in draw.names(of)]
    assert len(set(seeds)) == len(seeds)


def test_a_twin_is_the_faulty_network_without_its_faults() -> None:
    name = draw.twins("report")[0]
    twin, faulty = draw.network(name), draw.network(name.replace("twin", "faulty"))
    assert (twin.spec, twin.seed, twin.faults) == (faulty.twin, faulty.seed, ())


@pytest.mark.parametrize("of", draw.DRAWS)
def test_every_network_has_a_record_and_every_recorded_loss_shows_the_harm(of: str) -> None:
    record = draw.accepted(of)
    assert list(record) == draw.names(of)
    for name, row in record.items():
        network = draw.network(name)
        if all(f.by_definition for f in network.faults) and network.faults:
            continue
        assert row["twin"] <= harm.LEARNS * row["constant"], name
        if network.faults:
            assert row.get("loss", math.inf) >= harm.WORSE * row["twin"], name


@pytest.mark.parametrize("name", ["tuning-faulty-10", "report-faulty-14", "calibration-healthy-8"])
def test_a_recorded_loss_is_reached_again(name: str) -> None:
    network = draw.network(name)
    loss, constant = harm.trained_loss(network.spec, network.seed)
    recorded = draw.accepted(name.partition("-")[0])[name]
    assert loss == pytest.approx(recorded["loss"], rel=0.05)  # BLAS may add in another order: 200 steps
    assert constant == pytest.approx(recorded["constant"], rel=1e-5)


def test_a_network_whose_fault_does_no_harm_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harm, "WORSE", 1e9)
    assert harm.passes(first_with("dead relu")) is None
    monkeypatch.setattr(harm, "LEARNS", 0.0)
    assert harm.passes(draw.network("tuning-healthy-8")) is None


# the faults, one by one ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sigmoid depth", "small initialisation"])
def test_gradients_vanish_that_are_said_to(name: str) -> None:
    assert first_gradient_beside_twin(first_with(name)) < 1e-2


def test_gradients_explode_that_are_said_to() -> None:
    assert first_gradient_beside_twin(first_with("large initialisation")) > 1e3


def first_gradient_beside_twin(network: draw.Network) -> float:
    """The size of the first layer's gradient, as a multiple of its size without the fault."""
    twin = draw.Network(network.name, network.seed, network.twin, network.twin, ())
    ill, well = (rms(next(iter(gradients(n).values()))) for n in (network, twin))
    return ill / well


def test_tanh_is_saturated_that_is_said_to_be() -> None:
    assert answers.said("saturated") in baseline.diagnose(_built("saturated tanh"))


def test_a_dead_layer_has_no_active_unit_and_no_gradient() -> None:
    network = first_with("dead relu")
    gradient = gradients(network)
    layer = [key for key in gradient if key.endswith("weight")][network.spec.bias_at]
    assert rms(gradient[layer]) < 1e-6


def test_constant_weights_are_constant() -> None:
    layers = weight_layers(list(_built("constant initialisation").model))
    assert all(np.ptp(layer.weight.detach().numpy()) == 0 for layer in layers)


@pytest.mark.parametrize(("name", "factor"), [("large learning rate", 1e3), ("small learning rate", 1e-3)])
def test_the_learning_rate_is_out_of_scale(name: str, factor: float) -> None:
    network = first_with(name)
    assert build(network.spec, network.seed).optimizer.param_groups[0]["lr"] == pytest.approx(
        factor * network.twin.rate
    )


@pytest.mark.parametrize("name", ["small learning rate", "large learning rate", "unscaled inputs", "dead relu"])
def test_a_faint_fault_is_the_root_of_the_full_one(name: str) -> None:
    fault, twin = faults.BY_NAME[name], draw.network("tuning-healthy-0").spec
    full, faint = (fault.plant(np.random.default_rng(3), twin, strength) for strength in (1.0, 0.5))
    for of in ("rate_factor", "scale", "bias"):
        if getattr(full, of) is not None:
            assert abs(getattr(faint, of)) == pytest.approx(abs(getattr(full, of)) ** 0.5)
    assert full != faint


def test_unscaled_inputs_are_large() -> None:
    assert rms(_built("unscaled inputs").task.inputs) > 50


@pytest.mark.parametrize("name", ["masked where", "log of zero"])
def test_gradients_are_no_numbers_that_are_said_not_to_be(name: str) -> None:
    assert any(not np.isfinite(g).all() for g in gradients(first_with(name)).values())


def test_every_fault_by_definition_shows_in_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [(n, f) for n in map(draw.network, COUNTED[:200]) for f in n.faults if f.by_definition]
    assert len(shown) > 30
    assert [n.name for n, f in shown if not harm.evident(n, f)] == []
    monkeypatch.setattr(harm, "STILL", 0.0)
    assert not harm.evident(first_with("converged"), faults.BY_NAME["converged"])


@pytest.mark.parametrize("name", ["detached branch", "frozen parameters", "unused parameters"])
def test_some_parameters_and_not_all_get_no_gradient(name: str) -> None:
    reached = [g is not None for g in gradients(first_with(name)).values()]
    assert any(reached)
    assert not all(reached)


def test_a_detached_branch_ends_at_its_first_layer_and_an_unused_layer_does_not() -> None:
    detached, unused = (list(gradients(first_with(name)).values()) for name in ("detached branch", "unused parameters"))
    assert detached[0] is None
    assert unused[0] is not None


def test_a_converged_network_has_a_loss_and_no_gradient() -> None:
    built = _built("converged")
    x, y = built.shown()[0]
    assert built.task.loss(built.model(x), y).item() > 0.02
    assert max(rms(g) for g in gradients(first_with("converged")).values()) < 1e-6


def test_a_long_recurrence_forgets_its_first_input() -> None:
    built = _built("long recurrence")
    x, y = built.shown()[0]
    x.requires_grad_(True)
    built.task.loss(built.model(x), y).backward()
    g = x.grad.numpy()
    assert rms(g[:, 0]) < 1e-6 * rms(g[:, -1])


def _built(name: str) -> Any:
    network = first_with(name)
    return build(network.spec, network.seed)


# known cases --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", known_cases.CASES.values(), ids=known_cases.CASES)
def test_every_known_case_has_a_loss(make: Callable[[], known_cases.Case]) -> None:
    case = make()
    with np.errstate(all="ignore"):
        loss = case.loss_fn(case.model(case.batches[0][0]), case.batches[0][1])
    assert loss.ndim == 0
    assert case.optimizer.param_groups[0]["params"]
    assert all(answers.said(cause).cause in dict(answers.CAUSES) for cause in case.expected)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("unsaturated_sigmoid_depth_30", 0.0, 1e-15),
        ("tiny_normal_depth_50", 0.0, 0.0),
        ("one_and_a_half_identity", 1e14, math.inf),
        ("unit_normal_depth_50", 1e6, math.inf),
        ("dead_relu", 0.0, 0.0),
        ("converged", 0.0, 1e-6),
        *[(name, 1e-3, 1.0) for name in ("he_relu", "xavier_tanh", "resnet", "pre_ln_transformer", "lstm")],
    ],
)
def test_the_first_gradient_of_a_known_case_is_as_large_as_its_name_says(name: str, low: float, high: float) -> None:
    case = known_cases.CASES[name]()
    case.loss_fn(case.model(case.batches[0][0]), case.batches[0][1]).backward()
    first = next(p for p in case.model.parameters() if p.ndim > 1)
    assert low <= rms(first.grad.numpy()) <= high


def test_the_known_recurrence_forgets_and_the_known_lstm_remembers() -> None:
    shares = []
    for case in (known_cases.long_recurrence(), known_cases.lstm()):
        x, y = case.batches[0]
        x.requires_grad_(True)
        case.loss_fn(case.model(x), y).backward()
        shares.append(rms(x.grad.numpy()[:, 0]) / rms(x.grad.numpy()[:, -1]))
    assert shares[0] < 1e-20
    assert shares[1] > 1e-3


def test_the_nan_of_a_known_case_is_in_the_gradient_and_not_in_the_loss() -> None:
    case = known_cases.nan_from_masked_where()
    with np.errstate(all="ignore"):
        loss = case.loss_fn(case.model(case.batches[0][0]), case.batches[0][1])
        loss.backward()
    assert math.isfinite(loss.item())
    assert any(not np.isfinite(p.grad.numpy()).all() for p in case.model.parameters())


# answers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("non-finite values", "non-finite"),
        ("dead units", "dead"),
        ("symmetric or constant initialisation", "constant"),
        ("stationary point", "stationary"),
        ("learning rate out of scale", "learning rate"),
        ("data out of scale", "scale"),
        ("something new", "something new"),
    ],
)
def test_causes_are_translated_by_their_first_row(text: str, word: str) -> None:
    assert answers.said(text).cause == word


# the scorer, on results made by hand --------------------------------------------------------------------------------


def outcome(name: str, planted: tuple[str, ...], *said: tuple[str, str, float]) -> scoring.Outcome:
    return scoring.Outcome(name, planted, tuple(answers.said(*one) for one in said))


RIGHT = outcome("faulty-1", ("sigmoid depth",), ("vanishing", "the cap of the activation", 0.9))
WRONG_MECHANISM = outcome("faulty-3", ("sigmoid depth",), ("vanishing", "weights", 0.9))
FOLLOWS = outcome("faulty-5", ("dead relu",), ("vanishing", "dead units", 0.8), ("dead units", "dead", 0.7))
ONE_OF_TWO = outcome("faulty-7", ("dead relu", "frozen parameters"), ("dead units", "dead", 0.6))
MISSED = outcome("faulty-9", ("masked where",), ("exploding", "weights", 0.3))
SILENT = outcome("healthy-1", ())
ALARM = outcome("healthy-3", (), ("vanishing", "cap", 0.2))
ALL = [RIGHT, WRONG_MECHANISM, FOLLOWS, ONE_OF_TWO, MISSED, SILENT, ALARM]


def test_figures_count_causes_mechanisms_and_alarms() -> None:
    f = scoring.figures(ALL)
    assert (f.faulty, f.healthy, f.false_alarms, f.errors) == (5, 2, 1, 0)
    assert f.primary == pytest.approx(3 / 5)  # a consequence in the first place is not the cause
    assert f.primary_precision == pytest.approx(3 / 6)
    assert f.mechanism == pytest.approx(2 / 3)
    assert f.recall == pytest.approx(4 / 6)
    assert f.precision == pytest.approx(5 / 7)  # but it is no wrong finding


def test_the_mechanism_is_that_of_the_first_finding() -> None:
    more = outcome("faulty-1", ("sigmoid depth",), ("vanishing", "the cap", 0.9), ("dead units", "dead", 0.8))
    assert more.mechanism_is_right() is True
    assert MISSED.mechanism_is_right() is None


def test_the_report_lists_failures_with_what_was_said_and_counts_twins_apart() -> None:
    result = scoring.report(ALL, [outcome("twin-1", (), ("dead units", "dead", 0.9)), outcome("twin-3", ())])
    assert result["figures"]["false_alarms"] == 1
    assert (result["twins"], result["alarms on twins"]) == (2, 1)
    assert list(result["failures"]) == ["faulty-5", "faulty-7", "faulty-9", "healthy-3", "twin-1"]
    assert result["failures"]["faulty-7"] == "dead relu and frozen parameters: said dead"
    assert not result["reached"]
    assert scoring.report([RIGHT, SILENT])["reached"]


def test_calibration_sets_confidence_beside_the_share_that_is_right() -> None:
    bins = scoring.calibration(ALL)
    assert [(b.low, b.high, b.findings) for b in bins] == [(0.0, 0.5, 2), (0.5, 0.8, 2), (0.8, 0.9, 1), (0.9, 0.95, 2)]
    assert [b.right for b in bins] == [0, 1, 1, 1]
    assert bins[1].confidence == pytest.approx(0.65)
    expected = (2 * 0.25 + 2 * (1 - 0.65) + (1 - 0.8) + 2 * (1 - 0.9)) / 7
    assert scoring.calibration_error(bins) == pytest.approx(expected)


def test_a_confidence_of_one_is_in_the_last_bin() -> None:
    (last,) = scoring.calibration([outcome("faulty-1", ("sigmoid depth",), ("vanishing", "cap", 1.0))])
    assert (last.high, last.findings) == (1.0, 1)


def test_calibration_counts_findings_by_how_clear_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    found = [("vanishing", True, True), ("vanishing", True, True), ("scale", True, False), ("scale", False, True)]
    assert diagnosis.share_of(found, True) == (2, 3)
    assert diagnosis.share_of(found, True, "scale") == (0, 1)
    assert diagnosis.calibrated(found) == 1  # the source counts more
    assert "CLEARLY, NEARLY = (2, 3), (1, 1)" in capsys.readouterr().out


def test_a_diagnosis_that_raises_is_a_failure_and_finds_nothing() -> None:
    broken = scoring.Outcome("faulty-1", ("dead relu",), (), error="ValueError: no")
    assert broken.failed()
    assert scoring.figures([broken]).recall == 0
    assert scoring.by_fault([broken])["dead relu"]["instead"] == {"ValueError: no": 1}


def test_the_primary_finding_of_a_diagnosis_comes_first_and_causes_once() -> None:
    class Finding:
        def __init__(self, cause: str, confidence: float) -> None:
            self.cause, self.mechanism, self.confidence = cause, "", confidence

    class Diagnosis:
        findings = (Finding("dead units", 0.5), Finding("vanishing", 0.9), Finding("dead units", 0.4))
        primary = findings[1]

    assert [s.cause for s in answers.of_diagnosis(Diagnosis)] == ["vanishing", "dead"]


# remedies -----------------------------------------------------------------------------------------------------------


def trial(untouched: float, recommended: str | None, **losses: float) -> remedies.Trial:
    return remedies.Trial("faulty-0", untouched, 1.0, losses, recommended)


def test_a_remedy_improves_if_it_falls_and_ends_below_the_best_constant_answer() -> None:
    assert trial(1.0, "he", he=0.5).recommended_improves
    assert not trial(0.5, "he", he=0.49).recommended_improves  # too little
    assert not trial(math.inf, "clip", clip=1e6, he=0.5).recommended_improves  # huge, where another gets there
    assert trial(1e9, "clip", clip=1e6, he=2.0).recommended_improves  # where none gets there, falling is all
    assert not trial(math.inf, "clip", clip=math.inf).recommended_improves
    assert not trial(1.0, None, he=0.5).recommended_improves


def test_the_best_of_all_remedies_is_the_one_with_the_lowest_loss() -> None:
    assert trial(1.0, "clip", clip=0.8, he=0.3).best == "he"
    assert trial(0.3, "clip", clip=0.8, he=0.3).best is None
    assert trial(0.3, None).best is None


def test_a_trial_trains_untouched_and_remedied_copies_on_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harm.train, "__defaults__", (0, 20))

    class Nothing:
        name = "nothing"

        def apply(self, model: Any, optimizer: Any) -> tuple[Any, Any]:
            return model, optimizer

    class Broken(Nothing):
        name = "broken"

        def apply(self, model: Any, optimizer: Any) -> tuple[Any, Any]:
            raise ValueError("not for this network")

    result = remedies.trial(draw.network("tuning-healthy-8"), None, [Nothing(), Broken()])
    assert result.losses == {"nothing": result.untouched, "broken": math.inf}
    assert result.best is None
