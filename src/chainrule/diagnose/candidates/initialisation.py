"""Initialisation anew: He, Xavier, orthogonal, LSUV; biases of 0; for recurrent layers orthogonal steps and open gates.

Sources: He et al. 2015, Glorot & Bengio 2010, Saxe et al. 2014, Mishkin & Matas 2016 (LSUV), Jozefowicz et al. 2015
(the forget gate's bias).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule.diagnose.candidates.candidate import Candidate, layers, stream
from chainrule.diagnose.measure import rms
from chainrule.diagnose.run import call, cut_off
from chainrule.nn import init
from chainrule.nn.activation import ELU, GELU, SELU, LeakyReLU, Mish, ReLU, ReLU6, SiLU, Softplus
from chainrule.nn.module import Module
from chainrule.nn.recurrent import GRU, LSTM, RNN
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


def candidates(family: str, model: Module, optimizer: Optimizer | None, batches: Sequence[Any]) -> list[Candidate]:
    """The candidates of the families "initialisation", "bias" and "recurrent"."""
    if family == "recurrent":
        return _recurrent(model)
    if not layers(model):
        return []
    if family == "bias":
        return [Candidate("biases of 0", _loop("nn.init.zeros_(layer.bias)", "layer.bias is not None"), _zero_biases)]
    if family != "initialisation":
        return []
    rectified = any(isinstance(module, RECTIFIERS) for module in model.modules())
    names = ["He initialisation" if rectified else "Xavier initialisation", "orthogonal initialisation"]
    if rectified:
        names[1:] = ["Xavier initialisation"]
    drawn = [
        Candidate(
            name,
            _loop(f"{DRAWS[name][0]}\n        if layer.bias is not None:\n            nn.init.zeros_(layer.bias)"),
            partial(_draw, name),
        )
        for name in names
    ]
    return [*drawn, Candidate("LSUV initialisation", LSUV, partial(_unit_variance, batches[0][0]))]


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


LSUV = """def unit_variance(layer, inputs, output):
    layer.weight.data /= output.std()
    return output / output.std()

for layer in [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]:
    nn.init.orthogonal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    layer.register_forward_hook(unit_variance)
model(inputs)  # one batch; then take the hooks away"""


def _unit_variance(inputs: Any, model: Module, optimizer: Optimizer | None) -> None:
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


# ---- recurrent layers ----------------------------------------------------------------------------------------


def _recurrent(model: Module) -> list[Candidate]:
    found = []
    if any(isinstance(module, RNN | GRU | LSTM) for module in model.modules()):
        code = (
            "for layer in model.modules():\n    if isinstance(layer, nn.RNN | nn.GRU | nn.LSTM):\n"
            "        for name, w in layer.named_parameters():\n            if name.startswith('weight_hh'):\n"
            "                for gate in w.data.split(layer.hidden_size):\n"
            "                    nn.init.orthogonal_(gate)"
        )
        found.append(Candidate("orthogonal recurrent weights", code, _orthogonal_steps))
    if any(isinstance(module, LSTM) for module in model.modules()):
        code = (
            "for layer in model.modules():\n    if isinstance(layer, nn.LSTM):\n        h = layer.hidden_size\n"
            "        for name, b in layer.named_parameters():\n            if name.startswith('bias_ih'):\n"
            "                b.data[h : 2 * h] = 3.0"
        )
        found.append(Candidate("open forget gates", code, _open_gates))
    return found


def _orthogonal_steps(model: Module, optimizer: Optimizer | None) -> None:
    generator = stream()
    for layer in model.modules():
        if isinstance(layer, RNN | GRU | LSTM):
            for name, w in layer.named_parameters():
                if name.startswith("weight_hh"):
                    with no_grad():
                        for k in range(0, w.shape[0], layer.hidden_size):
                            init.orthogonal_(w[k : k + layer.hidden_size], generator=generator)


def _open_gates(model: Module, optimizer: Optimizer | None) -> None:
    for layer in model.modules():
        if isinstance(layer, LSTM):
            h = layer.hidden_size
            for name, b in layer.named_parameters():
                if name.startswith("bias_ih"):
                    with no_grad():
                        b[h : 2 * h] = 3.0
