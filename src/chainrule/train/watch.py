"""The callbacks of a run: validation, the best weights, the history on disk, checkpoints."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import numpy as np

from chainrule.errors import FileFormatError, NonFiniteLossError
from chainrule.tensor.functions.random import Generator
from chainrule.train.checkpoint import Arrays, Checkpoint, pack, random_states, restore_random_states, save, unpack
from chainrule.train.files import append_line, jsonable
from chainrule.train.loop import Callback, Record, Training
from chainrule.train.metrics import evaluate, finite, measure
from chainrule.train.problem import Problem
from chainrule.train.run import RunFolder
from chainrule.train.steps import Function

SHARE_OF_TIME = 0.05
"""Saving takes at most this share of the time; a run whose epochs are long saves after every one."""


class Validation(Callback):
    """Adds the loss and the metrics on the validation rows to each record."""

    def __init__(self, problem: Problem, judgement: Function) -> None:
        self.problem, self.judgement = problem, judgement

    def after_epoch(self, training: Training, record: Record) -> None:
        assert self.problem.validation is not None
        evaluation = evaluate(training.model, training.loss, self.problem.validation, self.judgement)
        record["validation_loss"] = evaluation.loss
        record["validation"] = measure(evaluation, self.problem.task, self.problem.treatment.scale)


class Best(Callback):
    """Keeps the weights of the epoch with the lowest validation loss; without validation, of the last.

    With patience, training stops after so many epochs without a lower one.
    """

    def __init__(self, patience: int | None = None) -> None:
        self.patience = patience
        self.epoch, self.loss = 0, math.inf
        self.weights: Arrays = {}

    def after_epoch(self, training: Training, record: Record) -> None:
        loss = record.get("validation_loss")
        if loss is None or loss < self.loss:
            self.epoch, self.loss = training.epoch, math.inf if loss is None else loss
            self.weights = weights_of(training.model)
        elif self.patience is not None and training.epoch - self.epoch >= self.patience:
            training.stop = f"no lower validation loss in {self.patience} epochs"


class Sound(Callback):
    """Stops a training whose losses or weights are no longer finite before anything of it is saved."""

    def after_epoch(self, training: Training, record: Record) -> None:
        loss = record.get("validation_loss", 0.0)
        weights = (p.value for p in training.model.parameters())
        if math.isfinite(loss) and finite(weights):
            return
        what = "the weights are" if math.isfinite(loss) else "the validation loss is"
        raise NonFiniteLossError(
            f"{what} no longer finite at the end of epoch {training.epoch}",
            got=[f"learning rate  {record['lr']:g}", f"training loss  {record['train_loss']:.4g}"],
            mend=f"Take a smaller learning rate (try {record['lr'] / 10:.2g}).",
        )


class History(Callback):
    """Writes a line for each epoch to metrics.jsonl."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def after_epoch(self, training: Training, record: Record) -> None:
        append_line(self.folder.metrics, json.dumps(jsonable(record), ensure_ascii=False))


class Checkpoints(Callback):
    """Keeps the state after the last whole epoch in memory, and on disk as often as is cheap.

    What is in memory is saved when the run is interrupted, at whatever moment that happens: no half-made step is
    in it.
    """

    def __init__(self, folder: RunFolder, best: Best, generators: dict[str, Generator]) -> None:
        self.folder, self.best, self.generators = folder, best, generators
        self.latest: Checkpoint | None = None
        self.saved_epoch = 0
        self._saved_at, self._cost = -math.inf, 0.0

    def after_epoch(self, training: Training, record: Record) -> None:
        self.latest = self._captured(training)
        last = training.epoch == training.epochs or training.stop is not None
        if last or self._cost <= SHARE_OF_TIME * (time.monotonic() - self._saved_at):
            self.flush()

    @property
    def latest_epoch(self) -> int:
        """The last whole epoch; 0 where there is none."""
        return 0 if self.latest is None else int(self.latest.state["epoch"])

    def flush(self) -> None:
        """Saves the latest whole epoch, if the disk does not have it."""
        if self.latest is not None and self.saved_epoch < self.latest_epoch:
            start = time.monotonic()
            save(self.latest, self.folder.checkpoint)
            self.saved_epoch = self.latest_epoch
            self._saved_at = time.monotonic()
            self._cost = self._saved_at - start

    def _captured(self, training: Training) -> Checkpoint:
        return pack(
            {
                "epoch": training.epoch,
                "stop": training.stop,
                "model": weights_of(training.model),
                "optimizer": training.optimizer.state_dict(),
                "scheduler": None if training.scheduler is None else training.scheduler.state_dict(),
                "random": random_states(self.generators),
                "best": {"epoch": self.best.epoch, "loss": _finite(self.best.loss), "weights": self.best.weights},
            }
        )

    def restore(self, checkpoint: Checkpoint, model: Any, optimizer: Any, scheduler: Any | None) -> str | None:
        """Puts everything where the checkpoint has it; returns why training had stopped, if it had.

        Raises:
            FileFormatError: the checkpoint lacks something.
            StateError: it does not fit the model or the optimizer.
        """
        try:
            state = unpack(checkpoint)
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            if scheduler is not None:
                scheduler.load_state_dict(state["scheduler"])
            restore_random_states(state["random"], self.generators)
            best, stop = state["best"], state["stop"]
            self.best.epoch = best["epoch"]
            self.best.loss = math.inf if best["loss"] is None else best["loss"]
            self.best.weights = {name: tensor.value for name, tensor in best["weights"].items()}
            self.saved_epoch = state["epoch"]
        except (KeyError, TypeError, AttributeError) as error:
            raise FileFormatError(
                f"{self.folder.checkpoint} is damaged", got=[f"{type(error).__name__}: {error}"]
            ) from error
        self.latest = checkpoint
        return None if stop is None else str(stop)


def weights_of(model: Any) -> Arrays:
    """Copies of a model's parameters and buffers by name."""
    return {name: np.array(tensor.value) for name, tensor in model.state_dict().items()}


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
