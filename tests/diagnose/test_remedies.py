"""Remedies: tried on copies, recommended only where they improve, and nothing of the user's changed."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.diagnose import gradients, remedies
from chainrule.diagnose.candidates import FAMILIES
from chainrule.errors import ArgumentError
from chainrule.notation.words.words import words


def stack(depth: int, activation: type[nn.Module], std: float, width: int = 16) -> nn.Sequential:
    cr.manual_seed(1)
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(width, width)
        nn.init.normal_(linear.weight, std=std / width**0.5)
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers, nn.Linear(width, 1))


def data(scale: float = 1.0) -> list[tuple[cr.Tensor, cr.Tensor]]:
    cr.manual_seed(2)
    xs = [cr.randn(64, 16) for _ in range(3)]
    return [(scale * x, x[:, :1] - x[:, 1:2]) for x in xs]


def test_a_sigmoids_cap_is_mended_by_the_activation_and_not_by_an_initialisation() -> None:
    model = stack(15, nn.Sigmoid, 1.0)
    tried = remedies(model, F.mse_loss, data(), optim.Adam(model.parameters(), 1e-3), steps=30)
    assert tried.recommended is not None
    assert tried.recommended.name in ("tanh with Xavier initialisation", "ReLU with He initialisation")
    assert not any(one.name in ("Xavier initialisation", "orthogonal initialisation") for one in tried.tried)


def test_small_weights_are_mended_by_an_initialisation_and_not_by_the_activation() -> None:
    model = stack(15, nn.Tanh, 0.2)
    tried = remedies(model, F.mse_loss, data(), optim.Adam(model.parameters(), 1e-3), steps=30)
    assert tried.recommended is not None
    assert any("initialisation" in one.name for one in tried.improving)
    assert not any("tanh" in one.name or "ReLU" in one.name for one in tried.tried)
    trial = tried.recommended
    assert trial.after.end is not None
    assert trial.before.end is not None
    assert trial.after.end < 0.9 * trial.before.end
    assert abs(trial.after.log_gain) < abs(trial.before.log_gain)


def test_without_steps_the_gradient_alone_is_judged() -> None:
    tried = remedies(stack(15, nn.Tanh, 0.2), F.mse_loss, data())
    assert tried.recommended is not None
    assert tried.recommended.after.end is None


def test_applying_a_remedy_and_training_gives_the_printed_loss() -> None:
    model, batches = stack(12, nn.Tanh, 0.2), data()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    best = remedies(model, F.mse_loss, batches, optimizer, steps=9).tried[0]
    changed, stepping = best.apply(model, optimizer)
    assert stepping is not None
    assert stepping.param_groups[0]["momentum"] == 0.9
    for step in range(9):
        x, y = batches[step % 2]
        stepping.zero_grad()
        F.mse_loss(changed(x), y).backward()
        stepping.step()
    assert F.mse_loss(changed(batches[2][0]), batches[2][1]).item() == best.after.end


def test_the_code_of_an_initialisation_runs_and_mends() -> None:
    model = stack(15, nn.Tanh, 0.2)
    best = next(one for one in remedies(model, F.mse_loss, data()).tried if one.name == "Xavier initialisation")
    exec(best.code, {"nn": nn, "model": model})
    assert gradients(model, F.mse_loss, data()).findings == ()


@pytest.mark.parametrize(
    ("activation", "std"), [(nn.Sigmoid, 1.0), (nn.Tanh, 0.2), (nn.Tanh, 6.0), (nn.ReLU, 0.3), (nn.ReLU, 6.0)]
)
def test_the_code_of_every_remedy_runs(activation: type[nn.Module], std: float) -> None:
    model = stack(12, activation, std)
    optimizer = optim.Adam(model.parameters(), 1e-3)
    tried = remedies(model, F.mse_loss, data(), optimizer).tried
    assert tried
    for one in tried:
        assert one.failure == ""
        mine = deepcopy(model)
        names = {"nn": nn, "optim": optim, "model": mine, "inputs": data()[0][0]}
        names["optimizer"] = optim.Adam(mine.parameters(), 1e-3)
        if "loss.backward" not in one.code:
            exec(one.code, names)
            assert mine(data()[0][0]).shape == (64, 1)


def test_unscaled_inputs_are_mended_by_standardising() -> None:
    model = stack(2, nn.Tanh, 1.0)
    tried = remedies(model, F.mse_loss, data(300.0), optim.Adam(model.parameters(), 1e-2), steps=40)
    assert tried.recommended is not None
    assert tried.recommended.name == "standardised inputs"


def test_nothing_is_tried_on_a_healthy_network() -> None:
    model = stack(5, nn.Tanh, 1.0)
    tried = remedies(model, F.mse_loss, data(), optim.Adam(model.parameters(), 1e-3), steps=3)
    assert tried.tried == ()
    assert tried.recommended is None


def test_model_optimizer_and_generators_stay_as_they_are() -> None:
    model = stack(12, nn.Sigmoid, 1.0)
    optimizer = optim.Adam(model.parameters(), 1e-3)
    batches = data()
    F.mse_loss(model(batches[0][0]), batches[0][1]).backward()
    optimizer.step()

    def everything() -> list[bytes]:
        tensors = [*model.state_dict().values(), *[p.grad for p in model.parameters()]]
        tensors += [v for entry in optimizer.state.values() for v in entry.values()]
        arrays = [np.asarray(getattr(t, "value", t)).tobytes() for t in tensors]
        return [*arrays, cr.get_rng_state().numpy().tobytes(), str(np.random.get_state()).encode()]

    before, kinds = everything(), repr(model)
    remedies(model, F.mse_loss, batches, optimizer, steps=2)
    assert everything() == before
    assert repr(model) == kinds


def test_steps_without_an_optimizer_are_refused() -> None:
    with pytest.raises(ArgumentError, match="only with an optimizer"):
        remedies(stack(2, nn.Tanh, 1.0), F.mse_loss, data(), steps=5)


def test_negative_steps_are_refused() -> None:
    with pytest.raises(ArgumentError, match="0 or more"):
        remedies(stack(2, nn.Tanh, 1.0), F.mse_loss, data(), steps=-1)


def test_every_mechanism_with_a_remedy_has_a_chinese_name() -> None:
    assert FAMILIES.keys() <= words("zh").diagnosis.names.keys()
