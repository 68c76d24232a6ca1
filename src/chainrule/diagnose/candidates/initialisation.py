"""Initialisation anew: He, Xavier, orthogonal, LSUV; or the biases alone.

Sources: He et al. 2015, Glorot & Bengio 2010, Saxe et al. 2014, Mishkin & Matas 2016 (LSUV).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from chainrule.diagnose.candidates.candidate import Candidate, Case, layers, stream
from chainrule.diagnose.measure import rms
from chainrule.diagnose.run import call, cut_off
from chainrule.nn import init
from chainrule.nn.activation import ELU, GELU, SELU, LeakyReLU, Mish, ReLU, ReLU6, SiLU, Softplus
from chainrule.nn.module import Module
from chainrule.optim.optimizer import Optimizer
from chainrule.tensor.functions.random import Generator
from chainrule.tensor.switches import no_grad
from chainrule.tensor.tensor import Tensor

RECTIFIERS = (ReLU, ReLU6, LeakyReLU, ELU, SELU, GELU, SiLU, Mish, Softplus)
DRAWS: dict[str, tuple[str, Callable[[Tensor, Generator], Any]]] = {
    "He initialisation": (
        'nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")',
        lambda w, g: init.kaiming_normal_(w, nonlinearity="relu", generator=g),
    ),
    "Xavier initialisation": (
        "nn.init.xavier_normal_(layer.weight)",
        lambda w, g: init.xavier_normal_(w, generator=g),
    ),
    "orthogonal initialisation": (
        "nn.init.orthogonal_(layer.weight)",
        lambda w, g: init.orthogonal_(w, generator=g),
    ),
}


REASONS = {
    "He initialisation": "a layer with ReLU keeps the size of signals if its weights have variance 2 / fan in",
    "Xavier initialisation": "a layer keeps the size of signals and gradients if its weights have variance 1 / fan",
    "orthogonal initialisation": "an orthogonal matrix keeps every length, of signals and of gradients",
    "LSUV initialisation": "each layer's weights are scaled until its results on a batch have size 1",
    "biases of 0": "units are not switched off by their biases",
}


def candidates(family: str, case: Case) -> list[Candidate]:
    """The candidates of the families "initialisation" and "bias"."""
    if not layers(case.model):
        return []
    if family == "bias":
        code = _loop("nn.init.zeros_(layer.bias)", "layer.bias is not None")
        return [Candidate("biases of 0", REASONS["biases of 0"], code, _zero_biases)]
    if family != "initialisation":
        return []
    rectified = any(isinstance(module, RECTIFIERS) for module in case.model.modules())
    names = ["He initialisation", "Xavier initialisation"]
    names = names if rectified else [*names[1:], "orthogonal initialisation"]
    drawn = [
        Candidate(
            name,
            REASONS[name],
            _loop(f"{DRAWS[name][0]}\n        if layer.bias is not None:\n            nn.init.zeros_(layer.bias)"),
            partial(_draw, name),
        )
        for name in names
    ]
    name = "LSUV initialisation"
    return [*drawn, Candidate(name, REASONS[name], LSUV, partial(_unit_size, case.batches[0][0]))]


def _loop(body: str, also: str = "") -> str:
    condition = "isinstance(layer, nn.Linear | nn.Conv2d)" + (f" and {also}" if also else "")
    return f"for layer in model.modules():\n    if {condition}:\n        {body}"


def _draw(name: str, model: Module, optimizer: Optimizer | None) -> None:
    generator = stream()
    for _, layer in layers(model):
        DRAWS[name][1](layer.weight, generator)
    _zero_biases(model, optimizer)


def _zero_biases(model: Module, optimizer: Optimizer | None) -> None:
    for _, layer in layers(model):
        if layer.bias is not None:
            init.zeros_(layer.bias)


LSUV = """def unit_size(layer, inputs, output):
    size = output.square().mean().sqrt()
    layer.weight.data /= size
    return output / size

hooks = []
for layer in [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]:
    nn.init.orthogonal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    hooks.append(layer.register_forward_hook(unit_size))
model(inputs)
for hook in hooks:
    hook.remove()"""


def _unit_size(inputs: Any, model: Module, optimizer: Optimizer | None) -> None:
    """Orthogonal weights, scaled layer by layer while a batch runs, so that every layer's result has size 1."""
    _draw("orthogonal initialisation", model, optimizer)
    seen: set[int] = set()

    def scale(layer: Any, args: Any, output: Any) -> Any:
        size = rms(np.asarray(output.value))
        if id(layer) in seen or not 0 < size < float("inf"):
            return output
        seen.add(id(layer))
        layer.weight.mul_(1 / size)
        return output / size

    handles = [layer.register_forward_hook(scale) for _, layer in layers(model)]
    with no_grad():
        call(model, cut_off(inputs))
    for handle in handles:
        handle.remove()
