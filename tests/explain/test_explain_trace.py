"""`explain.trace`: what the layers compute, by name and number, and their gradients after backward()."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import ArgumentError, ArgumentTypeError, GraphError


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(3, 4)
        self.fc2 = nn.Linear(4, 2)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return self.fc2(self.fc1(x).relu())


def test_layers_are_found_by_name_and_by_number() -> None:
    cr.manual_seed(0)
    model, x, y = Model(), cr.randn(5, 3), cr.randn(5, 2)
    t = cr.explain.trace(model, x)
    assert cr.equal(t.z["fc1"], model.fc1(x))
    assert cr.equal(t.a[1], model.fc1(x).relu())
    assert cr.equal(t.a["fc2"], t.output)
    F.mse_loss(t.output, y).backward()
    delta = 2 * (t.output - y) / 10
    np.testing.assert_allclose(t.delta["fc2"].numpy(), delta.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(t.dW[2].numpy(), (delta.T @ t.a[1]).detach().numpy(), rtol=1e-5, atol=1e-7)
    assert cr.equal(t.dW["fc1"], model.fc1.weight.grad)
    assert cr.equal(t.db["fc1"], model.fc1.bias.grad)
    np.testing.assert_allclose(t.db[1].numpy(), t.delta[1].sum(0).numpy(), rtol=1e-5, atol=1e-7)
    assert t.layers == {1: "fc1", 2: "fc2"}
    assert list(t.delta) == [1, 2]


def test_no_hooks_are_left_on_the_model() -> None:
    model = Model()
    cr.explain.trace(model, cr.randn(5, 3))
    assert model._hooks is None
    assert all(m._hooks is None for m in model.modules())


def test_what_is_not_there_is_named() -> None:
    t = cr.explain.trace(Model(), cr.randn(5, 3))
    with pytest.raises(GraphError, match=r"delta is known after backward\(\)"):
        _ = t.delta["fc1"]
    with pytest.raises(ArgumentError, match=r"(?s)no layer is called 'fc3'.*1 \(fc1\), 2 \(fc2\)"):
        _ = t.z["fc3"]
    with pytest.raises(ArgumentTypeError, match="takes a Module, not function"):
        cr.explain.trace(lambda x: x, cr.ones(2))  # type: ignore[arg-type]
    with cr.no_grad(), pytest.raises(GraphError, match="nothing was recorded"):
        cr.explain.trace(Model(), cr.randn(5, 3))
