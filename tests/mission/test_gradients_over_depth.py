"""docs/articles.md, why gradients vanish and explode: A0.9 to A0.11, A1.9, A2.3, A3.7, A4.5, and errors about it."""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Any

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.diagnose.pictures import two_panels
from chainrule.notation.words import words
from chainrule.verify import derivation


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


def drawn(depth: int, activation: type[nn.Module] | None, scale: float, bias: float = 0.0, width: int = 16) -> Any:
    """`depth` square layers whose weights have the variance scale^2 / width, and whose biases are all the same."""
    cr.manual_seed(0)
    model = chain(depth, activation, width=width)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, scale / sqrt(width))
            nn.init.constant_(layer.bias, bias)
    return model


def diagnosed(model: nn.Module, width: int = 16, **options: Any) -> cr.diagnose.Diagnosis:
    cr.manual_seed(1)
    return cr.diagnose.gradients(model, F.mse_loss, (cr.randn(32, width), cr.randn(32, width)), **options)


def found_in(model: nn.Module, **options: Any) -> tuple[str, str]:
    """The cause and the mechanism of the primary finding."""
    primary = diagnosed(model, **options).primary
    assert primary is not None
    return primary.cause, primary.mechanism


# ---- causes and effects -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gain", "cause"), [(1.5, "exploding"), (0.5, "vanishing")])
def test_a0_9_and_a0_10_a_factor_at_each_layer_is_a_power_of_the_depth(gain: float, cause: str) -> None:
    found = diagnosed(chain(30, None, gain))
    assert found.ledger.total == pytest.approx(29 * log(gain), rel=1e-5)
    assert found.primary is not None
    assert found.primary.cause == cause


@pytest.mark.parametrize("activation", [None, nn.ReLU])
def test_a0_9_weights_initialised_too_large_explode(activation: type[nn.Module] | None) -> None:
    assert found_in(drawn(20, activation, 4.0)) == ("exploding", "large weights")


def test_a0_9_an_activation_steeper_than_1_explodes_with_weights_that_keep_the_size() -> None:
    model = chain(20, nn.SELU)  # the slope of SELU just below 0 is 1.76
    for k, layer in enumerate(model):
        if isinstance(layer, nn.Linear):
            nn.init.eye_(layer.weight)
            nn.init.constant_(layer.bias, 0.0075 if k else 0.0)  # so that every z is -0.01 again
    cr.manual_seed(1)
    found = cr.diagnose.gradients(model, F.mse_loss, (cr.full((32, 16), -0.01), cr.randn(32, 16)))
    assert found.ledger.by_cause["weights"] == pytest.approx(0, abs=1e-4)
    assert found.primary is not None
    assert (found.primary.cause, found.primary.mechanism) == ("exploding", "activation cap")


def test_a0_9_the_effect_is_huge_updates() -> None:
    model = drawn(20, None, 4.0)
    found = diagnosed(model, optimizer=optim.SGD(model.parameters(), lr=0.01))
    ratios = [p.update_ratio for p in found.parameters if p.name.endswith("weight")]
    assert all(ratio is not None and ratio > 1e6 for ratio in ratios)


@pytest.mark.parametrize("activation", [None, nn.Tanh, nn.ReLU])
def test_a0_10_weights_initialised_too_small_vanish(activation: type[nn.Module] | None) -> None:
    assert found_in(drawn(20, activation, 0.3)) == ("vanishing", "small weights")


@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Tanh])
def test_a0_10_saturated_units_vanish_with_weights_that_keep_the_size(activation: type[nn.Module]) -> None:
    found = diagnosed(drawn(15, activation, 1.0, bias=3.0))
    causes = found.ledger.by_cause
    assert causes["saturation"] < -15
    assert abs(causes["weights"]) < 2
    assert "saturated" in [finding.cause for finding in found.findings]


def test_a0_10_the_effect_is_parameters_that_hardly_move() -> None:
    model = drawn(20, nn.Tanh, 0.3)
    found = diagnosed(model, optimizer=optim.SGD(model.parameters(), lr=0.01))
    ratios = [p.update_ratio for p in found.parameters if p.name.endswith("weight")]
    assert all(ratio is not None and ratio < 1e-10 for ratio in ratios)


@pytest.mark.parametrize(("gain", "side"), [(0.5, 0), (1.5, 1)])
def test_a0_11_vanishing_stands_on_the_left_and_exploding_on_the_right_over_depth(gain: float, side: int) -> None:
    found = diagnosed(chain(30, None, gain))
    panels = [figure.chart for figure in two_panels(found.ledger, found.predictions, words("en"))]
    assert [panel.title for panel in panels] == ["Vanishing", "Exploding"]
    measured = panels[side].series[0]
    assert measured.name == "measured"
    assert (measured.xs[0], measured.xs[-1]) == (0, 30)  # from the output back to the first layer
    assert measured.ys[-1] == pytest.approx(gain**29, rel=1e-4)  # the loss itself has no weights
    assert "measured" not in [series.name for series in panels[1 - side].series]
    page = found.to_html()
    row = page[page.index('class="figures"') :]
    assert row.index("<h3>Vanishing</h3>") < row.index("<h3>Exploding</h3>") < row.index("</div>")


# ---- A1.9: what shapes a gradient ----------------------------------------------------------------------------------


def test_a1_9_the_loss_gives_the_first_factor_alone() -> None:
    model = drawn(3, nn.Tanh, 1.0)
    cr.manual_seed(1)
    batch = (cr.randn(32, 16), cr.randn(32, 16))
    mean, total = (cr.diagnose.gradients(model, nn.MSELoss(reduction=how), batch).ledger for how in ("mean", "sum"))
    assert total.output.rms == pytest.approx(32 * 16 * mean.output.rms, rel=1e-5)
    assert total.total == pytest.approx(mean.total, rel=1e-5)


def test_a1_9_the_activation_enters_at_every_step() -> None:
    """In 5 and in 10 layers the activation's own part is a multiple of the same factor."""
    caps = {depth: diagnosed(drawn(depth, nn.Sigmoid, 1.0)).ledger.by_cause["cap"] for depth in (5, 10)}
    assert caps[10] == pytest.approx(2 * caps[5])
    assert caps[5] == pytest.approx(5 * log(0.25))


def test_a1_9_narrow_and_deep_networks_have_unstable_early_layers() -> None:
    def spread(depth: int, width: int) -> float:
        totals = []
        for seed in range(10):
            model = drawn(depth, None, 1.0, width=width)
            cr.manual_seed(seed)
            for layer in model:
                nn.init.normal_(layer.weight, 0.0, 1 / sqrt(width))
            totals.append(diagnosed(model, width).ledger.total)
        return float(np.std(totals))

    assert spread(12, 4) > 1.5 * spread(12, 48)
    assert spread(12, 4) > 1.2 * spread(3, 4)


@pytest.mark.parametrize(("cell", "low", "high"), [(nn.RNN, -200, -12), (nn.LSTM, -4, 1)])
def test_a1_9_the_architecture_decides_how_far_back_in_time_a_gradient_reaches(
    cell: type[nn.Module], low: float, high: float
) -> None:
    class Last(nn.Module):
        """The last output of a recurrence, as one number."""

        def __init__(self) -> None:
            super().__init__()
            self.cell, self.out = cell(4, 8, batch_first=True), nn.Linear(8, 1)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return self.out(self.cell(x)[0][:, -1])

    cr.manual_seed(0)
    model = Last()
    if cell is nn.LSTM:
        with cr.no_grad():
            model.cell.bias_ih_l0[8:16] = 4.0  # the forget gates are open: the cell keeps what it has
    steps = 30
    x = cr.randn(16, steps, 4, requires_grad=True)
    F.mse_loss(model(x), cr.randn(16, 1)).backward()
    sizes = np.sqrt((x.grad.numpy() ** 2).mean((0, 2)))
    assert low < log(sizes[0] / sizes[-1]) < high


# ---- A2.3 and its error: four causes -------------------------------------------------------------------------------


def test_a1_9_and_a2_3_the_cap_of_the_sigmoid_is_told_from_its_saturation() -> None:
    cr.manual_seed(0)
    unsaturated = diagnosed(chain(12, nn.Sigmoid))
    causes = unsaturated.ledger.by_cause
    assert causes["cap"] == pytest.approx(12 * log(0.25))
    assert abs(causes["saturation"]) < 0.1 * abs(causes["cap"])
    assert unsaturated.primary is not None
    assert (unsaturated.primary.cause, unsaturated.primary.mechanism) == ("vanishing", "activation cap")


def test_a2_3_relu_is_the_remedy() -> None:
    model = drawn(10, nn.Sigmoid, 1.0)
    assert found_in(model) == ("vanishing", "activation cap")
    assert not diagnosed(drawn(10, nn.ReLU, sqrt(2))).findings


def test_a2_e3_saturation_the_cap_the_weights_and_the_depth_are_told_apart() -> None:
    """The claim "the cause is saturation" is checked for four networks that all vanish: it is true of one."""
    vanishing = {
        "activation cap": drawn(12, nn.Sigmoid, 1.0),
        "large sums": drawn(12, nn.Tanh, 1.0, bias=3.0),
        "small weights": drawn(12, nn.Tanh, 0.3),
    }
    for mechanism, model in vanishing.items():
        found = diagnosed(model)
        assert found.ledger.total < log(1e-5)
        assert found.primary is not None
        assert found.primary.mechanism == mechanism
        is_saturated = found.ledger.by_cause.get("saturation", 0.0) < 0.5 * found.ledger.total
        assert is_saturated == (mechanism == "large sums")
    short, long = (diagnosed(drawn(depth, nn.Sigmoid, 1.0)) for depth in (3, 12))  # the same layers: only the depth
    assert not short.findings
    assert long.findings


def test_a2_e3_ten_unsaturated_sigmoids_leave_a_millionth() -> None:
    """Units at 0, where the sigmoid is steepest: nothing is saturated, and 0.25^10 = 9.5e-7 is left."""

    class Centred(nn.Module):
        def forward(self, z: cr.Tensor) -> cr.Tensor:
            return z.sigmoid() - 0.5

    model = chain(10, Centred, 1.0).double()
    x = cr.zeros(4, 16, dtype=cr.float64)
    found = cr.diagnose.gradients(model, F.mse_loss, (x, cr.ones(4, 16, dtype=cr.float64)))
    assert f"{exp(found.ledger.total):.1e}" == "9.5e-07"
    assert found.ledger.by_cause.get("saturation", 0.0) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("layers", "lost"), [(74, False), (75, True)])
def test_a2_e3_the_75th_quarter_is_exactly_zero_in_float32_and_the_74th_is_not(layers: int, lost: bool) -> None:
    x = cr.ones(1, requires_grad=True)
    y = x
    for _ in range(layers):
        y = y * 0.25
    y.sum().backward()
    assert x.grad.dtype == cr.float32
    assert (x.grad.item() == 0) == lost
    ended = diagnosed(chain(layers + 20, None, 0.25)).ledger.ends_at
    assert ended is not None
    assert ended.why == "zero"


def test_a0_e2_the_slope_of_the_sigmoid_only_ever_shrinks_a_gradient() -> None:
    """Its part of the ledger is log 0.25 in each layer or less, whatever the weights: it never becomes large."""
    for scale in (0.5, 1.0, 30.0):
        causes = diagnosed(drawn(10, nn.Sigmoid, scale)).ledger.by_cause
        assert causes["cap"] == pytest.approx(10 * log(0.25))
        assert causes["saturation"] <= 0


# ---- A3.7 and A4.5 -------------------------------------------------------------------------------------------------


def at_its_minimum() -> tuple[nn.Module, Any]:
    cr.manual_seed(0)
    model = nn.Linear(3, 1)
    x = cr.randn(64, 3)
    with cr.no_grad():
        return model, (x, model(x))


def test_a3_7_and_a3_e4_a_minimum_is_stationary_and_not_vanishing() -> None:
    found = cr.diagnose.gradients(at_its_minimum()[0], F.mse_loss, at_its_minimum()[1])
    assert [finding.cause for finding in found.findings] == ["stationary point"]


def test_a3_e4_a_gradient_that_vanishes_is_not_called_stationary() -> None:
    found = diagnosed(drawn(20, nn.Sigmoid, 1.0))
    causes = [finding.cause for finding in found.findings]
    assert "vanishing" in causes
    assert "stationary point" not in causes


@pytest.mark.parametrize(
    ("factor", "printed"), [(1.01, 2.70), (1.1, 1.38e4), (1.5, 4.07e17), (0.9, 2.66e-5), (0.25, 6.2e-61)]
)
def test_a4_5_a_hundred_factors_multiply(factor: float, printed: float) -> None:
    model = chain(101, None, factor, width=2).double()
    cr.manual_seed(1)
    x, y = cr.randn(4, 2, dtype=cr.float64), cr.randn(4, 2, dtype=cr.float64)
    found = cr.diagnose.gradients(model, F.mse_loss, (x, y))
    assert np.exp(found.ledger.total) == pytest.approx(printed, rel=0.01)


@pytest.mark.parametrize(("factor", "called"), [("1.5", "exploding"), ("0.25", "vanishing")])
def test_a4_e3_an_exploding_or_vanishing_gradient_is_no_error_but_badly_scaled(factor: str, called: str) -> None:
    """verify calls the gradient of forty such layers right, and diagnose says what ails it."""
    forward = "\n".join(f"  z{k} = {factor} * z{k - 1}" for k in range(1, 41))
    text = f"given\n  z0 = [0.1, 0.2]\n  t = [1, 0]\nforward\n{forward}\n  L = 1/2 * sum((z40 - t)**2)\nclaims\n"
    result = derivation(text=f"{text}  dL/dz40 = z40 - t\n  dL/dz0 = {factor}**40 * dL/dz40\n")
    assert result.ok
    found = diagnosed(chain(40, None, float(factor)))
    assert found.primary is not None
    assert found.primary.cause == called
    x = cr.randn(2, 16, dtype=cr.float64, requires_grad=True)
    model = chain(40, None, float(factor)).double()
    assert cr.verify.gradcheck(model, (x,), atol=0.0, rtol=1e-5)
