"""Candidate: one change of a model or its training, as code to read and as a function to apply."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from chainrule.nn.convolution import Conv2d
from chainrule.nn.linear import Linear
from chainrule.nn.module import Module
from chainrule.optim.optimizer import Optimizer
from chainrule.tensor.functions.random import Generator

Change = Callable[[Module, Optimizer | None], Module | None]
"""Changes the copies it gets; returns another model where it wraps the one given."""


@dataclass(frozen=True)
class Candidate:
    """A change that may mend a fault.

    Args:
        name: "He initialisation".
        code: the change in chainrule's own words, to paste behind the model's and optimiser's construction.
        change: makes it, on a copy that `apply` gives it; what it adds is given to the optimiser by `apply`.
    """

    name: str
    code: str
    change: Change

    def apply(self, model: Module, optimizer: Optimizer | None = None) -> tuple[Module, Optimizer | None]:
        """A changed copy of the model, and an optimiser of the same kind and options for it, without a state.

        The model and the optimiser given stay as they are.

        Args:
            model: the model that was diagnosed, or another of the same structure.
            optimizer: what trains it. Its groups keep their options; parameters that the change adds join the first.
        """
        changed, stepping = deepcopy((model, optimizer))
        before = {id(p) for p in changed.parameters()}
        if stepping is not None:
            stepping.state.clear()
        wrapped = self.change(changed, stepping)
        changed = changed if wrapped is None else wrapped
        if stepping is not None:
            trained = {id(p) for group in stepping.param_groups for p in group["params"]}
            kept = {id(p) for p in changed.parameters()}
            for group in stepping.param_groups:
                group["params"] = [p for p in group["params"] if id(p) in kept or id(p) not in before]
            added = [p for p in changed.parameters() if id(p) not in before and id(p) not in trained]
            stepping.param_groups[0]["params"] += added
            for group in stepping.param_groups:
                if "param_names" in group and len(group["param_names"]) != len(group["params"]):
                    named = {id(p): name for name, p in changed.named_parameters()}
                    group["param_names"] = [named.get(id(p), "") for p in group["params"]]
        return changed, stepping


def stream() -> Generator:
    """Random numbers of the remedies' own: the user's generators are not drawn from."""
    return Generator().manual_seed(0)


def layers(model: Module) -> list[tuple[str, Any]]:
    """The linear and convolutional layers with their paths, in the order of registration."""
    return [(path, module) for path, module in model.named_modules() if isinstance(module, Linear | Conv2d)]


def places(model: Module) -> Iterator[tuple[Module, str, Module]]:
    """Every module below, with its owner and its name there."""
    for owner in list(model.modules()):
        for name, module in list(owner.named_children()):
            yield owner, name, module
