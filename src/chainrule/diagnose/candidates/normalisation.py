"""Normalisation between the layers: LayerNorm (BatchNorm2d for images) before each activation of a Sequential.

Sources: Ba et al. 2016, Ioffe & Szegedy 2015.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from chainrule.diagnose.candidates.candidate import Candidate
from chainrule.nn.container import Sequential
from chainrule.nn.convolution import Conv2d
from chainrule.nn.linear import Linear
from chainrule.nn.module import Module
from chainrule.nn.normalisation import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RMSNorm
from chainrule.optim.optimizer import Optimizer

NORMS = (LayerNorm, RMSNorm, GroupNorm, BatchNorm1d, BatchNorm2d)
CODE = """for block in [m for m in model.modules() if isinstance(m, nn.Sequential)]:
    for name, layer in list(block.named_children())[:-1]:
        if isinstance(layer, nn.Linear):
            setattr(block, name, nn.Sequential(layer, nn.LayerNorm(layer.out_features)))
        elif isinstance(layer, nn.Conv2d):
            setattr(block, name, nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels)))"""


def candidates(family: str, model: Module, optimizer: Optimizer | None, batches: Sequence[Any]) -> list[Candidate]:
    """The candidate of the family "normalisation"; none for a model that has norms, or layers outside of Sequential."""
    has_norm = any(isinstance(module, NORMS) for module in model.modules())
    if family != "normalisation" or has_norm or not list(_hidden(model)):
        return []
    return [Candidate("normalisation", CODE, _normalise)]


def _hidden(model: Module) -> Iterator[tuple[Module, str, Any]]:
    """The layers of a Sequential that are followed by another module of it."""
    for block in list(model.modules()):
        if isinstance(block, Sequential):
            for (name, layer), _ in pairwise(list(block.named_children())):
                if isinstance(layer, Linear | Conv2d):
                    yield block, name, layer


def _normalise(model: Module, optimizer: Optimizer | None) -> None:
    for block, name, layer in list(_hidden(model)):
        kind = layer.weight.dtype
        norm = LayerNorm(layer.out_features) if isinstance(layer, Linear) else BatchNorm2d(layer.out_channels)
        setattr(block, name, Sequential(layer, norm.to(kind).train(block.training)))
