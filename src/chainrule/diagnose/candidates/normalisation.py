"""Normalisation between the layers: LayerNorm (BatchNorm2d for images) after each hidden layer.

Sources: Ba et al. 2016, Ioffe & Szegedy 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from chainrule.diagnose.candidates.candidate import FEW, Candidate, Case, is_replaceable, layers, replace_at, written
from chainrule.nn.container import Sequential
from chainrule.nn.convolution import Conv2d
from chainrule.nn.module import Module
from chainrule.nn.normalisation import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RMSNorm
from chainrule.optim.optimizer import Optimizer

NORMS = (LayerNorm, RMSNorm, GroupNorm, BatchNorm1d, BatchNorm2d)
REASON = "each layer's results are brought to size 1, whatever its weights are"
LOOP = """layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
for name, layer in {which}:
    owner, _, child = name.rpartition(".")
    norm = nn.BatchNorm2d(layer.out_channels) if isinstance(layer, nn.Conv2d) else nn.LayerNorm(layer.out_features)
    setattr(model.get_submodule(owner), child, nn.Sequential(layer, norm))"""


def candidates(family: str, case: Case) -> list[Candidate]:
    """The candidate of the family "normalisation"; none for a model that has norms, or no hidden layer to put one."""
    has_norm = any(isinstance(module, NORMS) for module in case.model.modules())
    if family != "normalisation" or has_norm:
        return []
    paths = hidden(case)
    return [Candidate("normalisation", REASON, _code(case.model, paths), partial(_normalise, paths))] if paths else []


def hidden(case: Case) -> list[str]:
    """The paths of the layers that can be followed by a norm: called once, of several units, all but the last called.

    A norm in a recurrence, where a layer is called at each step, or behind the output is another network.
    """
    layer = dict(layers(case.model))
    called = [path for path in case.seen if path in layer]
    return [
        path
        for path in called[:-1]
        if case.seen[path].calls == 1 and _units(layer[path]) > 1 and is_replaceable(case.model, path)
    ]


def _units(layer: Any) -> int:
    return int(layer.out_channels if isinstance(layer, Conv2d) else layer.out_features)


def _norm(layer: Any) -> str:
    kind = "BatchNorm2d" if isinstance(layer, Conv2d) else "LayerNorm"
    return f"nn.{kind}({_units(layer)})"


def _code(model: Module, paths: Sequence[str]) -> str:
    layer = dict(layers(model))
    if len(paths) <= FEW:
        lines = [f"{written(p)} = nn.Sequential({written(p)}, {_norm(layer[p])})" for p in paths]
        return "\n".join(lines)
    if list(paths) == list(layer)[:-1]:
        return LOOP.format(which="layers[:-1]")
    return LOOP.format(which=f"[(name, layer) for name, layer in layers if name in {tuple(paths)}]")


def _normalise(paths: Sequence[str], model: Module, optimizer: Optimizer | None) -> None:
    for path in paths:
        layer: Any = model.get_submodule(path)
        norm = BatchNorm2d(_units(layer)) if isinstance(layer, Conv2d) else LayerNorm(_units(layer))
        replace_at(model, path, Sequential(layer, norm.to(layer.weight.dtype)))
