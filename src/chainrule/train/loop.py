"""The training loop: forward, backward, step; and the callbacks that look on.

    fit(model, loss, Shuffled(examples, 32), optimizer, epochs=30, callbacks=[...])

A callback hears of every epoch, and of every batch where it asks to (`after_backward`): the gradients are there and
the step is not yet taken. Callbacks that do not ask cost nothing per batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from chainrule.errors import DataError, NonFiniteLossError
from chainrule.tensor.functions.random import Generator, randperm
from chainrule.tensor.tensor import Tensor, wrap
from chainrule.train.problem import Examples
from chainrule.train.steps import Compile, Function, as_it_is, backward_of, update_of

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Record: TypeAlias = dict[str, Any]
"""What is known of an epoch: epoch (from 1), train_loss, lr, seconds, gradient_norms; callbacks add to it."""


@dataclass(eq=False)
class Training:
    """A training in progress, as callbacks see it.

    batches is how many an epoch has, where that is known. epoch counts from 1 and is the one being trained; step is
    the number of batches so far in it. A callback that sets `stop` to a reason ends the training after the epoch.
    """

    model: Any
    loss: Loss
    optimizer: Any
    scheduler: Any | None
    epochs: int
    batches: int | None = None
    epoch: int = 0
    step: int = 0
    batch_loss: float = math.nan
    stop: str | None = None
    records: list[Record] = field(default_factory=list)


class Callback:
    """Looks on. A subclass overrides what it wants to hear of."""

    def before_training(self, training: Training) -> None:
        """Called once, before the first epoch."""

    def before_epoch(self, training: Training) -> None:
        """Called before each epoch."""

    def after_backward(self, training: Training) -> None:
        """Called for each batch, between the backward pass and the step."""

    def loss_not_finite(self, training: Training, inputs: Any, targets: Any) -> None:
        """Called for a batch whose loss is NaN or infinite, after the backward pass, before the training fails."""

    def after_epoch(self, training: Training, record: Record) -> None:
        """Called after each epoch; what it adds to the record is kept."""


class Shuffled:
    """Batches (inputs, targets) of examples in memory, in a new random order each time it is iterated.

    Every example comes once; the last batch may be smaller. With batch_size=1 a batch is one random example, and a
    step of SGD is the plain stochastic one.

    Args:
        examples: the arrays.
        batch_size: how many examples a batch has.
        generator: draws the order; by default the one that `manual_seed` seeds.
    """

    def __init__(self, examples: Examples, batch_size: int, generator: Generator | None = None) -> None:
        self.examples, self.batch_size, self.generator = examples, batch_size, generator

    def __len__(self) -> int:
        return math.ceil(len(self.examples) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, targets, size = self.examples.inputs, self.examples.targets, self.batch_size
        order = randperm(len(inputs), generator=self.generator).value
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield wrap(inputs.take(rows, 0), None), wrap(targets.take(rows, 0), None)


def fit(
    model: Any,
    loss: Loss,
    batches: Iterable[Any],
    optimizer: Any,
    *,
    epochs: int,
    epochs_done: int = 0,
    scheduler: Any | None = None,
    schedule_per_batch: bool = False,
    callbacks: Sequence[Callback] = (),
    compile: Compile = as_it_is,
) -> Training:
    """Trains the model and returns what is known of every epoch.

    Args:
        model: called with the inputs of a batch; put into training mode before each epoch.
        loss: of outputs and targets, the mean over the batch.
        batches: gives pairs (inputs, targets), once for each epoch: `Shuffled`, or a DataLoader.
        optimizer, scheduler: updates the model's parameters; sets the learning rate.
        epochs: the number of the last epoch.
        epochs_done: where a resumed training continues.
        schedule_per_batch: whether the scheduler steps after every batch instead of after every epoch.
        callbacks: look on, in this order.
        compile: what the two halves of a step are made of: `as_it_is`, or a `steps.Compiling`.

    Raises:
        NonFiniteLossError: the loss of a batch is NaN or infinite. The step is not taken.
        DataError: there are no batches.
    """
    training = Training(model, loss, optimizer, scheduler, epochs, count_of(batches), epochs_done)
    backward, update = compile(backward_of(model, loss, optimizer)), update_of(optimizer, compile)
    for callback in callbacks:
        callback.before_training(training)
    for epoch in range(epochs_done + 1, epochs + 1):
        training.epoch, training.step = epoch, 0
        model.train()
        for callback in callbacks:
            callback.before_epoch(training)
        rate = optimizer.param_groups[0]["lr"]
        start = time.perf_counter()
        mean_loss = _one_epoch(
            training, batches, backward, update, scheduler if schedule_per_batch else None, callbacks
        )
        record: Record = {"epoch": epoch, "train_loss": mean_loss, "lr": float(rate)}
        record["seconds"] = time.perf_counter() - start
        record["gradient_norms"] = gradient_norms(model)
        if scheduler is not None and not schedule_per_batch:
            scheduler.step()
        training.records.append(record)
        for callback in callbacks:
            callback.after_epoch(training, record)
        if training.stop is not None:
            break
    return training


def _one_epoch(
    training: Training,
    batches: Iterable[Any],
    backward: Function,
    update: Callable[[], Any],
    scheduler: Any | None,
    callbacks: Sequence[Callback],
) -> float:
    """The mean loss of an epoch's batches, each weighted by its number of examples."""
    hooks = [c.after_backward for c in callbacks if type(c).after_backward is not Callback.after_backward]
    total, examples = 0.0, 0
    for inputs, targets in batches:
        number = backward(inputs, targets).item()
        if not math.isfinite(number):
            for callback in callbacks:
                callback.loss_not_finite(training, inputs, targets)
            raise _not_finite(training, number)
        for hook in hooks:
            training.batch_loss = number
            hook(training)
        update()
        if scheduler is not None:
            scheduler.step()
        size = len(targets)
        total += number * size
        examples += size
        training.step += 1
        training.batch_loss = number
    if not examples:
        raise DataError("there are no batches to train on")
    return total / examples


def count_of(batches: Any) -> int | None:
    """How many batches an epoch has, where that is known."""
    try:
        return len(batches)
    except (TypeError, NotImplementedError):
        return None


def gradient_norms(model: Any) -> dict[str, float]:
    """The Euclidean norm of the gradient of each layer's parameters together, as the last batch left it.

    A layer is the module that owns parameters: `0` for `0.weight` and `0.bias`. Parameters without a gradient
    count as 0.
    """
    squares: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        layer = name.rpartition(".")[0] or name
        gradient = parameter.grad
        square = 0.0
        if gradient is not None:
            flat = gradient.value.ravel().astype(np.float64)
            square = float(flat @ flat)
        squares[layer] = squares.get(layer, 0.0) + square
    return {layer: math.sqrt(square) for layer, square in squares.items()}


def _not_finite(training: Training, number: float) -> NonFiniteLossError:
    rate = training.optimizer.param_groups[0]["lr"]
    first = training.epoch == 1 and training.step == 0
    got = [f"learning rate  {rate:g}"]
    if not first:
        got.append(f"loss of the batch before  {training.batch_loss:.4g}")
    if first:
        mend = "It is so before the first step: look at the loss function, the targets and the scale of the inputs."
    else:
        mend = f"Take a smaller learning rate (try {rate / 10:.2g})."
    return NonFiniteLossError(
        f"the loss became {number} at epoch {training.epoch}, batch {training.step + 1}", got=got, mend=mend
    )
