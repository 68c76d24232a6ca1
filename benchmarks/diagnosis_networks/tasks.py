"""Tasks: inputs and targets, a part held out, and the loss of the best constant answer to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.data import bundled

Array = NDArray[Any]
Rng = np.random.Generator
Batch = tuple[Any, Any]

TRAINING, HELD_OUT = 512, 256


@dataclass(frozen=True, eq=False)
class Task:
    """Data to learn from and data to judge by.

    Args:
        inputs, held_inputs: (samples, ...) float32.
        targets, held_targets: (samples, 1) float32 for a regression, (samples,) int64 for a classification.
        outputs: the size of the model's last axis: 1, or the number of classes.
    """

    inputs: Array
    targets: Array
    held_inputs: Array
    held_targets: Array
    outputs: int

    @property
    def classifies(self) -> bool:
        return self.targets.dtype == np.int64

    def loss(self, output: Any, target: Any) -> Any:
        """Cross entropy, or the mean squared error."""
        return F.cross_entropy(output, target) if self.classifies else F.mse_loss(output, target)

    def batches(self, rng: Rng, count: int, size: int) -> list[Batch]:
        """`count` batches, drawn with replacement."""
        return [self._batch(rng.integers(0, len(self.inputs), size)) for _ in range(count)]

    def _batch(self, rows: Array) -> Batch:
        return cr.tensor(self.inputs[rows]), cr.tensor(self.targets[rows])

    @property
    def held_out(self) -> Batch:
        return cr.tensor(self.held_inputs), cr.tensor(self.held_targets)

    @property
    def constant_loss(self) -> float:
        """The held-out loss of the constant answer that is best for it: the variance, or the entropy of the classes."""
        if not self.classifies:
            return float(self.held_targets.astype(np.float64).var())
        shares = np.bincount(self.held_targets, minlength=self.outputs) / len(self.held_targets)
        shares = shares[shares > 0]
        return float(-(shares * np.log(shares)).sum())

    def scaled(self, factor: float, shift: float) -> Task:
        """The same task with inputs factor x + shift."""
        inputs, held = (np.float32(factor) * x + np.float32(shift) for x in (self.inputs, self.held_inputs))
        return replace(self, inputs=inputs, held_inputs=held)


def make(name: str, features: int, steps: int, seed: int) -> Task:
    """The task of that name.

    Args:
        name: "regression", "blobs", "iris", "digits", "images" (digits as (1, 8, 8)), "memory" (what was the first
            of `steps` inputs?) or "tokens" (a mean over `steps` tokens).
        features: the size of an input's last axis, where the task leaves it open.
    """
    rng = np.random.default_rng([seed, 7])
    match name:
        case "regression":
            x = rng.standard_normal((TRAINING + HELD_OUT, features))
            a, b = rng.standard_normal((2, features)) / np.sqrt(features)
            return _regression(x, np.sin(2 * x @ a) + x @ b)
        case "blobs":
            centres = 1.5 * rng.standard_normal((4, features))
            y = rng.integers(0, 4, TRAINING + HELD_OUT)
            return _classification(_standard(centres[y] + rng.standard_normal((len(y), features))), y, 4)
        case "iris" | "digits" | "images":
            data = bundled.load("iris" if name == "iris" else "digits")
            order = rng.permutation(len(data.targets))[: TRAINING + HELD_OUT]
            x = _standard(data.features[order].astype(np.float64))
            x = x.reshape(-1, 1, 8, 8) if name == "images" else x
            return _classification(x, data.targets[order], len(data.class_names))
        case "memory":
            x = 0.1 * rng.standard_normal((TRAINING + HELD_OUT, steps, features))
            x[:, 0] = rng.standard_normal((len(x), features))
            return _regression(x, x[:, 0, 0])
        case "tokens":
            x = rng.standard_normal((TRAINING + HELD_OUT, steps, features))
            return _regression(x, np.tanh(x @ (2 * rng.standard_normal(features) / np.sqrt(features))).mean(1))
    raise ValueError(f"no task is called {name!r}")


def _standard(x: Array) -> Array:
    return np.asarray((x - x.mean(0)) / (x.std(0) + 1e-2))


def _regression(x: Array, y: Array) -> Task:
    return _split(x, _standard(y)[:, None].astype(np.float32), 1)


def _classification(x: Array, y: Array, classes: int) -> Task:
    return _split(x, y.astype(np.int64), classes)


def _split(x: Array, y: Array, outputs: int) -> Task:
    n = 2 * len(x) // 3
    x = x.astype(np.float32)
    return Task(x[:n], y[:n], x[n:], y[n:], outputs)
