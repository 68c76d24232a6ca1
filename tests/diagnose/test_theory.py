"""The mean-field prediction agrees with known constants and with wide random networks."""

from __future__ import annotations

from math import inf, isclose, log, sqrt

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.diagnose import preflight
from chainrule.diagnose.theory import chi, depth_scale, moments, variance_map
from chainrule.errors import ArgumentTypeError
from chainrule.ops.catalogue import CATALOGUE

RELU, TANH, SIGMOID = (CATALOGUE[name] for name in ("relu", "tanh", "sigmoid"))


def test_he_initialisation_keeps_the_variance_and_chi_at_one_for_relu() -> None:
    assert isclose(variance_map(RELU, {}, 2.0, 0.0, 0.7), 0.7, rel_tol=1e-12)
    assert isclose(chi(RELU, {}, 2.0, 0.7), 1.0, rel_tol=1e-12)
    assert depth_scale(1.0) == inf
    assert isclose(depth_scale(0.25), 1 / log(4))


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "gelu", "selu", "elu", "hardtanh"])
@pytest.mark.parametrize("q", [0.1, 1.0, 4.0])
def test_moments_agree_with_a_dense_sum(name: str, q: float) -> None:
    z = np.linspace(-12, 12, 400_000) * sqrt(q)  # no point at 0, where slopes jump
    density = np.exp(-z * z / (2 * q))
    x = cr.tensor(z, requires_grad=True)
    y = getattr(cr.nn.functional, name)(x) if not hasattr(cr, name) else getattr(cr, name)(x)
    y.sum().backward()
    values = [np.sum(density * v.numpy() ** 2) / np.sum(density) for v in (y.detach(), x.grad)]
    # a jump of the slope: one point may be on the wrong side, of weight 0.003 / sqrt(2 pi); a kink: the step, squared
    assert moments(CATALOGUE[name], {}, q) == pytest.approx(values, rel=4e-3 if name == "hardtanh" else 1e-5)


def wide(activation: type[nn.Module], gain: float, depth: int = 12, width: int = 512) -> nn.Sequential:
    cr.manual_seed(3)
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(width, width)
        nn.init.normal_(linear.weight, std=sqrt(gain / width))
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers)


@pytest.mark.parametrize(("activation", "gain"), [(nn.ReLU, 2.0), (nn.Tanh, 1.0), (nn.Sigmoid, 1.0)])
def test_wide_random_networks_do_what_is_predicted(activation: type[nn.Module], gain: float) -> None:
    found = preflight(wide(activation, gain), cr.randn(64, 512))
    # a layer of n units has a mean square that is off by sqrt(5 / n) (ReLU's fourth moment), a log rms by half of it
    one = 0.5 * sqrt(5 / 512)
    assert found.total is not None
    assert abs(found.total - found.ledger.total) < 4 * one * sqrt(12)
    for prediction in found.predictions:
        assert prediction.deviation is not None
        assert abs(prediction.deviation) < 4 * one
    chis = [p.chi for p in found.predictions if p.chi is not None]
    assert len(chis) == 11
    if activation is nn.ReLU:
        assert chis == pytest.approx([1.0] * 11, rel=0.02)  # the drawn weights' own mean square
    if activation is nn.Sigmoid:
        assert max(chis) < 1 / 16 * 1.02  # sigma_w^2 times the cap squared


def test_constant_weights_deviate_from_the_prediction_for_random_ones() -> None:
    model = wide(nn.Tanh, 1.0, depth=4, width=64)
    for p in model.parameters():
        if p.ndim == 2:
            p.data = cr.full((64, 64), 0.125)
    found = preflight(model, cr.randn(16, 64))
    assert max(abs(p.deviation or 0.0) for p in found.predictions) > 0.5


def test_normalisation_is_predicted_and_a_residual_connection_is_not() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 256), nn.LayerNorm(256), nn.ReLU(), nn.Linear(256, 256))
    found = preflight(model, 30 * cr.randn(32, 256))
    assert found.predictions[0].deviation == pytest.approx(0.0, abs=0.1)

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(32, 32), nn.Linear(32, 32)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            y = self.first(x)
            return y + self.second(cr.tanh(y))

    found = preflight(Residual(), cr.randn(8, 32))
    assert found.predictions[0].log_gain is None
    assert found.total is None


def test_preflight_leaves_the_model_and_the_generator_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    state = cr.get_rng_state().numpy().copy()
    preflight(model, cr.ones(3, 4))
    assert all(np.array_equal(before[name], value.numpy()) for name, value in model.state_dict().items())
    assert np.array_equal(state, cr.get_rng_state().numpy())
    assert all(p.grad is None for p in model.parameters())


def test_preflight_raises_when_the_model_returns_no_floats() -> None:
    class Decides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return self.linear(x).argmax(1)

    with pytest.raises(ArgumentTypeError, match="returns a tensor of floats"):
        preflight(Decides(), cr.ones(2, 3))
