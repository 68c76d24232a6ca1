"""Another activation: what has no cap below 1, with the initialisation that belongs to it; or one that never dies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from chainrule.diagnose.candidates.candidate import Candidate, Case, layers, places, stream
from chainrule.diagnose.candidates.rewriting import Rewritten, with_other_functions
from chainrule.nn import init
from chainrule.nn.activation import LeakyReLU, ReLU, ReLU6, Sigmoid, Tanh
from chainrule.nn.module import Module
from chainrule.optim.optimizer import Optimizer

CAPPED = (Sigmoid, Tanh)
NEW = {
    "he": (
        "ReLU with He initialisation",
        "ReLU's slope is 1 wherever it is active, and He's weights make up for the half that is not",
        'kaiming_normal_(layer.weight, nonlinearity="relu")',
    ),
    "xavier": (
        "tanh with Xavier initialisation",
        "tanh's slope is up to 1, a sigmoid's up to 1/4",
        "xavier_normal_(layer.weight)",
    ),
}
NEVER_FLAT = "the slope is 0.1 where ReLU's is 0, so that silent units get a gradient"


def candidates(family: str, case: Case) -> list[Candidate]:
    """The candidates of the families "activation" and "leaky": for modules, and for functions in the user's code."""
    modules = list(case.model.modules())
    if family == "activation":
        tanh = _other(case.model, (Sigmoid,), Tanh, "tanh", "xavier")
        return [one for one in (_other(case.model, CAPPED, ReLU, "relu", "he"), tanh) if one is not None]
    if family == "leaky" and any(isinstance(module, ReLU | ReLU6) for module in modules):
        code = _swap("nn.ReLU | nn.ReLU6", "nn.LeakyReLU(0.1)")
        change = partial(_replace, (ReLU, ReLU6), partial(LeakyReLU, 0.1))
        return [Candidate("leaky ReLU", NEVER_FLAT, code, change)]
    return []


def _other(model: Module, old: tuple[type, ...], new: type, function: str, initialisation: str) -> Candidate | None:
    """Another activation with the initialisation that belongs to it; None where there is none to exchange."""
    called = with_other_functions(model, [kind.__name__.lower() for kind in old], function)
    has_modules = any(isinstance(module, old) for module in model.modules())
    if not called and not has_modules:
        return None
    code = [one.code for one in called]
    code += [_swap(" | ".join([f"nn.{kind.__name__}" for kind in old]), f"nn.{new.__name__}()")] if has_modules else []
    name, reason, drawn = NEW[initialisation]
    code.append(
        f"for layer in model.modules():\n    if isinstance(layer, nn.Linear | nn.Conv2d):\n"
        f"        nn.init.{drawn}\n        if layer.bias is not None:\n            nn.init.zeros_(layer.bias)"
    )
    return Candidate(name, reason, "\n".join(code), partial(_exchange, called, old, new, initialisation))


def _swap(old: str, new: str) -> str:
    return (
        f"for owner in list(model.modules()):\n    for name, child in list(owner.named_children()):\n"
        f"        if isinstance(child, {old}):\n            setattr(owner, name, {new})"
    )


def _exchange(
    called: Sequence[Rewritten],
    old: tuple[type, ...],
    new: Any,
    initialisation: str,
    model: Module,
    optimizer: Optimizer | None,
) -> None:
    for one in called:
        one.give(model, optimizer)
    _replace(old, new, model, optimizer)
    generator = stream()
    for _, layer in layers(model):
        if initialisation == "he":
            init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        else:
            init.xavier_normal_(layer.weight, generator=generator)
        if layer.bias is not None:
            init.zeros_(layer.bias)


def _replace(old: tuple[type, ...], new: Any, model: Module, optimizer: Optimizer | None) -> None:
    swapped: dict[int, Module] = {}
    for owner, name, child in places(model):
        if isinstance(child, old):
            setattr(owner, name, swapped.setdefault(id(child), new()))
