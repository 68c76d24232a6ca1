"""How good outputs are: accuracy and confusion for classes, errors in the target's unit for numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.report import values
from chainrule.tensor.switches import no_grad
from chainrule.tensor.tensor import Tensor, wrap
from chainrule.train.config import Task
from chainrule.train.problem import Array, Examples, Feed
from chainrule.train.steps import Function, judgement_of

EVALUATION_BATCH = 1024
Metrics = dict[str, float]
METRIC_OF: dict[Task, str] = {"classification": "accuracy", "regression": "rmse"}
"""The metric that stands for a task in one number."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's outputs on a part of the data, the targets, and the mean loss."""

    outputs: Array
    targets: Array
    loss: float


def evaluate(model: Any, loss: Function, feed: Feed, judgement: Function | None = None) -> Evaluation:
    """Outputs and mean loss, in evaluation mode and without recording gradients.

    The loss of a batch counts by its number of examples, so that a mean over each batch gives the mean over all.
    judgement is `steps.judgement_of(model, loss)` compiled, where the same is evaluated again and again.
    """
    judgement = judgement or judgement_of(model, loss)
    training = model.training
    model.eval()
    outputs, targets, total = [], [], 0.0
    with no_grad():
        for inputs, wanted in _batches(feed):
            predicted, value = judgement(inputs, wanted)
            total += value.item() * len(wanted)
            outputs.append(predicted.value)
            targets.append(wanted.value)
    model.train(training)
    count = sum(map(len, targets))
    return Evaluation(np.concatenate(outputs), np.concatenate(targets), total / count)


def outputs_for(model: Any, inputs: Array) -> Array:
    """The model's outputs for inputs in memory, in evaluation mode."""
    training = model.training
    model.eval()
    with no_grad():
        outputs = [
            model(wrap(inputs[start : start + EVALUATION_BATCH], None)).value
            for start in range(0, len(inputs), EVALUATION_BATCH)
        ]
    model.train(training)
    return np.concatenate(outputs)


def _batches(feed: Feed) -> Iterator[tuple[Tensor, Tensor]]:
    if not isinstance(feed, Examples):
        yield from feed
        return
    for start in range(0, len(feed), EVALUATION_BATCH):
        part = slice(start, start + EVALUATION_BATCH)
        yield wrap(feed.inputs[part], None), wrap(feed.targets[part], None)


def measure(evaluation: Evaluation, task: Task, scale: tuple[float, float] = (1.0, 0.0)) -> Metrics:
    """The metrics of the task: accuracy, or rmse, mae and r2 of outputs * scale[0] + scale[1].

    Where outputs and targets do not have the shapes of either there are none, and the loss stands alone.
    """
    outputs, targets = evaluation.outputs, evaluation.targets
    if task == "classification" and outputs.ndim == targets.ndim + 1:
        return {"accuracy": float(np.mean(outputs.argmax(axis=1) == targets))}
    if task == "regression" and outputs.shape == targets.shape:
        return _errors(outputs.astype(np.float64), targets.astype(np.float64), scale[0])
    return {}


def _errors(outputs: Array, targets: Array, unit: float) -> Metrics:
    """Errors of standardised numbers in their unit; r2 is NaN where all targets are the same."""
    error = outputs - targets
    spread = float(np.sum((targets - targets.mean()) ** 2))
    return {
        "rmse": float(np.sqrt(np.mean(error**2))) * unit,
        "mae": float(np.mean(np.abs(error))) * unit,
        "r2": 1.0 - float(np.sum(error**2)) / spread if spread > 0 else float("nan"),
    }


def confusion(evaluation: Evaluation, classes: int) -> list[list[int]]:
    """How often a row of each class (down) was taken for each class (across)."""
    pairs = evaluation.targets * classes + evaluation.outputs.argmax(axis=1)
    counts: list[list[int]] = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).tolist()
    return counts


def in_words(metrics: Metrics) -> str:
    """The metrics on one line: `accuracy 97.50%`."""
    return "  ".join(written(name, value) for name, value in metrics.items())


def written(name: str, value: float) -> str:
    """One metric with its name."""
    if name == "accuracy":
        return f"accuracy {value:.2%}"
    return f"{NAMES.get(name, name)} {values.written(value)}"


NAMES = {"accuracy": "accuracy", "rmse": "RMSE", "mae": "MAE", "r2": "R²", "loss": "loss"}


def finite(values: Iterable[Array]) -> bool:
    """Whether all numbers are finite."""
    return all(bool(np.isfinite(value).all()) for value in values)
