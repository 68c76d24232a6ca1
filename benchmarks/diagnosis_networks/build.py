"""A specification as what a user has in hand: a model, a loss, batches, an optimizer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import nn, optim
from diagnosis_networks import tasks
from diagnosis_networks.architectures import Detach, LastState, LogOfRelu, Loop, MaskedRoot, WithUnused, blocks
from diagnosis_networks.specification import Specification
from diagnosis_networks.tasks import Array, Batch, Rng, Task

BATCHES = 2  # that a diagnosis is shown
NOISE = 0.3  # of paired targets
INSERTED = {"detach": Detach, "masked root": MaskedRoot, "log of zero": LogOfRelu}


@dataclass(frozen=True, eq=False)
class Built:
    """What is diagnosed and trained."""

    model: Any
    optimizer: Any
    task: Task
    batch: int

    def shown(self) -> list[Batch]:
        """The batches of a diagnosis, the same ones each time."""
        return self.drawn(np.random.default_rng(81), BATCHES)

    def drawn(self, rng: Rng, count: int) -> list[Batch]:
        """Batches to train on; of data no larger than two batches, all of it each time: pairs stay together."""
        if len(self.task.inputs) <= 2 * self.batch:
            return [(cr.tensor(self.task.inputs), cr.tensor(self.task.targets))] * count
        return self.task.batches(rng, count, self.batch)


def build(spec: Specification, seed: int, weights: int = 0) -> Built:
    """The network of a specification; another `weights` draws other weights for the same task.

    The default generator goes on as if nothing had been drawn.
    """
    task = tasks.make(spec.task, spec.features, spec.steps, seed)
    rng = np.random.default_rng([seed, 11, weights])
    with cr.random.fork_rng():
        cr.manual_seed(int(rng.integers(2**31)))
        parts = blocks(spec, task.inputs.shape[-1], task.outputs)
        _initialise(spec, rng, parts)
        model = nn.Sequential(*_operated(spec, parts))
    task = task.scaled(spec.scale, spec.shift)
    if spec.paired:
        task = _paired(task, model, rng, spec.batch)
    trained = [p for p in model.parameters() if p.requires_grad]
    rate = spec.rate * spec.rate_factor
    optimizer = optim.Adam(trained, rate) if spec.optimizer == "adam" else optim.SGD(trained, rate, momentum=0.9)
    return Built(model, optimizer, task, spec.batch)


def fill(parameter: Any, values: Array | float) -> None:
    """The values as a parameter's, outside the graph."""
    with cr.no_grad():
        parameter.copy_(cr.tensor(np.broadcast_to(np.asarray(values, np.float32), parameter.shape).copy()))


def weight_layers(parts: list[nn.Module]) -> list[Any]:
    """The linear and convolutional layers, in the order of the network."""
    return [m for part in parts for m in part.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


def _initialise(spec: Specification, rng: Rng, parts: list[nn.Module]) -> None:
    layers = weight_layers(parts)
    for number, layer in enumerate(layers):
        shape = layer.weight.shape
        fan_in, fan_out = prod(shape[1:]), shape[0] * prod(shape[2:])
        variance = {"he": 2 / fan_in, "xavier": 2 / (fan_in + fan_out)}.get(spec.initialisation, 1 / fan_in)
        head = number == len(layers) - 1
        gain = 1.0 if head and spec.gain > 1 else spec.gain  # a loss that is huge from the start is another fault
        fill(layer.weight, gain * sqrt(1 / fan_in if head else variance) * rng.standard_normal(shape))
        if spec.constant is not None:
            fill(layer.weight, spec.constant)
        if layer.bias is not None:
            fill(layer.bias, spec.bias if spec.bias is not None and number == spec.bias_at else 0.0)
    for part in parts:
        if isinstance(part, Loop):
            matrix = rng.standard_normal((spec.width, spec.width))
            matrix = np.linalg.qr(matrix)[0] if spec.initialisation == "orthogonal" else matrix / sqrt(spec.width)
            fill(part.recurrent.weight, spec.gain * matrix)
        if isinstance(part, LastState):  # Gers et al. 2000; Jozefowicz et al. 2015: gates that remember at first
            fill(part.lstm.bias_ih_l0, np.repeat([0.0, 3.0, 0.0, 0.0], spec.width))


def _operated(spec: Specification, parts: list[nn.Module]) -> list[nn.Module]:
    middle = max(1, len(parts) // 2)
    for surgery in spec.surgery:
        if surgery == "freeze":
            for part in parts[:middle]:
                part.requires_grad_(False)
        elif surgery == "unused":
            parts = [*parts[:-1], WithUnused(spec.width), parts[-1]]
        elif surgery == "detach":
            parts = [*parts[:middle], Detach(), *parts[middle:]]
        else:
            parts = [*parts[:-1], INSERTED[surgery](), parts[-1]]
    return parts


def _paired(task: Task, model: Any, rng: Rng, batch: int) -> Task:
    """Each input twice, with the model's answer plus and minus the same noise: the gradients of a pair cancel."""
    x = np.concatenate([task.inputs[:batch]] * 2)
    with cr.no_grad():
        answers = model(cr.tensor(x)).numpy()
    noise = NOISE * rng.standard_normal((batch, 1)).astype(np.float32)
    y = answers + np.concatenate([noise, -noise])
    return replace(task, inputs=x, targets=y, held_inputs=x, held_targets=y)
