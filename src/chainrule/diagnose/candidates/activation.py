"""Another activation: what has no cap below 1, with the initialisation that belongs to it; or one that never dies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from chainrule.diagnose.candidates.candidate import Candidate, layers, places, stream
from chainrule.nn import init
from chainrule.nn.activation import LeakyReLU, ReLU, ReLU6, Sigmoid, Tanh
from chainrule.nn.module import Module
from chainrule.optim.optimizer import Optimizer

CAPPED = (Sigmoid, Tanh)


def candidates(family: str, model: Module, optimizer: Optimizer | None, batches: Sequence[Any]) -> list[Candidate]:
    """The candidates of the families "activation" and "leaky": none where no activation is a module of its own."""
    modules = list(model.modules())
    if family == "activation" and any(isinstance(module, CAPPED) for module in modules):
        found = [Candidate("ReLU with He initialisation", _code("nn.Sigmoid | nn.Tanh", "nn.ReLU()", True), _to_relu)]
        if any(isinstance(module, Sigmoid) for module in modules):
            change = partial(_replace, (Sigmoid,), Tanh, "tanh")
            found.append(Candidate("tanh with Xavier initialisation", _code("nn.Sigmoid", "nn.Tanh()", False), change))
        return found
    if family == "leaky" and any(isinstance(module, ReLU | ReLU6) for module in modules):
        code = _code("nn.ReLU | nn.ReLU6", "nn.LeakyReLU(0.1)", None)
        return [Candidate("leaky ReLU", code, partial(_replace, (ReLU, ReLU6), partial(LeakyReLU, 0.1), None))]
    return []


def _code(old: str, new: str, he: bool | None) -> str:
    swap = (
        f"for owner in list(model.modules()):\n    for name, child in list(owner.named_children()):\n"
        f"        if isinstance(child, {old}):\n            setattr(owner, name, {new})"
    )
    if he is None:
        return swap
    drawn = 'kaiming_normal_(layer.weight, nonlinearity="relu")' if he else "xavier_normal_(layer.weight)"
    return (
        f"{swap}\nfor layer in model.modules():\n    if isinstance(layer, nn.Linear | nn.Conv2d):\n"
        f"        nn.init.{drawn}\n        if layer.bias is not None:\n            nn.init.zeros_(layer.bias)"
    )


def _to_relu(model: Module, optimizer: Optimizer | None) -> None:
    _replace(CAPPED, ReLU, "relu", model, optimizer)


def _replace(
    old: tuple[type, ...], new: Any, initialise: str | None, model: Module, optimizer: Optimizer | None
) -> None:
    swapped: dict[int, Module] = {}
    for owner, name, child in places(model):
        if isinstance(child, old):
            setattr(owner, name, swapped.setdefault(id(child), new()))
    if initialise is None:
        return
    generator = stream()
    for _, layer in layers(model):
        if initialise == "relu":
            init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        else:
            init.xavier_normal_(layer.weight, generator=generator)
        if layer.bias is not None:
            init.zeros_(layer.bias)
