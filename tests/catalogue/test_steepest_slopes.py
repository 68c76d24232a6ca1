"""The steepest slope that an operator declares is that of its derivative: reached, and never exceeded."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.ops.catalogue import CATALOGUE
from chainrule.tensor.dispatch import GATES

BOUNDED = sorted(name for name, op in CATALOGUE.items() if op.lipschitz is not None)
GRID = np.concatenate([np.linspace(-30, 30, 600_001), [-700.0, 700.0]])
PARAMS = {"clamp": {"min": -1.0, "max": 2.0}}
OTHERS = [
    ("leaky_relu", {"negative_slope": 0.3}),
    ("leaky_relu", {"negative_slope": -2.5}),
    ("elu", {"alpha": 0.5}),
    ("elu", {"alpha": 3.0}),
    ("softplus", {"beta": 2.0}),
    ("hardtanh", {"min_val": -3.0, "max_val": 0.5}),
]


def steepest_on_grid(name: str, params: dict[str, float]) -> float:
    x = cr.tensor(GRID, requires_grad=True)
    GATES[name](x, **params).sum().backward()
    return float(np.max(np.abs(x.grad.numpy())))


def test_every_activation_declares_its_steepest_slope() -> None:
    assert set(BOUNDED) >= {"sigmoid", "tanh", "relu", "gelu", "gelu_tanh", "selu", "silu", "mish", "elu", "softplus"}
    assert CATALOGUE["sigmoid"].lipschitz == 0.25
    assert CATALOGUE["exp"].lipschitz is None


@pytest.mark.parametrize("name", BOUNDED)
def test_the_declared_slope_is_reached_and_never_exceeded(name: str) -> None:
    op = CATALOGUE[name]
    assert len(op.inputs) == 1
    found = steepest_on_grid(name, PARAMS.get(name, {}))
    assert op.lipschitz * (1 - 1e-3) <= found <= op.lipschitz * (1 + 8 * 2**-52)  # the rule's own rounding


@pytest.mark.parametrize(("name", "params"), OTHERS)
def test_the_declared_slope_follows_the_parameters(name: str, params: dict[str, float]) -> None:
    steepest = CATALOGUE[name].steepest(params)
    assert steepest * (1 - 1e-3) <= steepest_on_grid(name, params) <= steepest * (1 + 8 * 2**-52)
