"""Residual connections: x + f(x) around each layer of a Sequential that keeps the width. Source: He et al. 2016."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from chainrule.diagnose.candidates.candidate import Candidate
from chainrule.nn.activation import GELU, ReLU, Sigmoid, SiLU, Tanh
from chainrule.nn.container import Sequential
from chainrule.nn.linear import Identity, Linear
from chainrule.nn.module import Module
from chainrule.optim.optimizer import Optimizer

ACTIVATIONS = (ReLU, Tanh, Sigmoid, GELU, SiLU)
CODE = """class Residual(nn.Module):
    def __init__(self, layer, activation):
        super().__init__()
        self.layer, self.activation = layer, activation

    def forward(self, x):
        return x + self.activation(self.layer(x))

for block in [m for m in model.modules() if isinstance(m, nn.Sequential)]:
    children = list(block.named_children())
    for (name, layer), (after, act) in zip(children, children[1:]):
        if isinstance(layer, nn.Linear) and layer.in_features == layer.out_features:
            if isinstance(act, nn.ReLU | nn.Tanh | nn.Sigmoid | nn.GELU | nn.SiLU):
                setattr(block, name, Residual(layer, act))
                setattr(block, after, nn.Identity())"""


class Residual(Module):
    """x + activation(layer(x))."""

    def __init__(self, layer: Module, activation: Module) -> None:
        super().__init__()
        self.layer, self.activation = layer, activation

    def forward(self, x: Any) -> Any:
        return x + self.activation(self.layer(x))


def candidates(family: str, model: Module, optimizer: Optimizer | None, batches: Sequence[Any]) -> list[Candidate]:
    """The candidate of the family "residual"; none where fewer than two layers of a Sequential keep the width."""
    if family != "residual" or len(list(_straight(model))) < 2:
        return []
    return [Candidate("residual connections", CODE, _connect)]


def _straight(model: Module) -> Iterator[tuple[Module, str, Module, str, Module]]:
    for block in list(model.modules()):
        if isinstance(block, Sequential):
            for (name, layer), (after, act) in pairwise(list(block.named_children())):
                square = isinstance(layer, Linear) and layer.in_features == layer.out_features
                if square and isinstance(act, ACTIVATIONS):
                    yield block, name, layer, after, act


def _connect(model: Module, optimizer: Optimizer | None) -> None:
    for block, name, layer, after, act in list(_straight(model)):
        setattr(block, name, Residual(layer, act).train(block.training))
        setattr(block, after, Identity())
