"""A finished run and new data: predictions, in the words and units of the data, and their score."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data import bundled
from chainrule.errors import ChainruleError, FileFormatError, StateError, UsageError
from chainrule.tensor.tensor import wrap
from chainrule.train.config import Settings, Task
from chainrule.train.metrics import Evaluation, Metrics, confusion, evaluate, measure, outputs_for
from chainrule.train.network import build_network
from chainrule.train.problem import Array, Examples, Feed, Origin
from chainrule.train.run import RunFolder
from chainrule.train.session import rebuilt
from chainrule.train.sources import as_table, kind_of
from chainrule.train.treatment import (
    AsGiven,
    Incoming,
    PixelTreatment,
    TableTreatment,
    Treatment,
    treatment_from_dict,
)

TRAINED_ON = "These rows include those the run was trained on. Without DATA its test rows are predicted."


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says about rows.

    outputs are the model's, numbers in the target's unit; probabilities (n, classes) where the outputs mean
    some. positions number the rows, in `unit`s of the source. targets belong to labelled_rows; score and
    confusion are there where there are any.
    """

    source: str
    task: Task
    class_names: tuple[str, ...]
    outputs: Array
    probabilities: Array | None
    positions: Sequence[int]
    unit: str
    targets: Array
    labelled_rows: Array
    score: Metrics
    confusion: list[list[int]] | None
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.outputs)

    @property
    def predicted(self) -> list[Any]:
        """The class of each row by name, or its number; a list of numbers where a row has several outputs."""
        if self.task == "classification" and self.outputs.ndim == 2:
            return [self._class(number) for number in self.outputs.argmax(axis=1)]
        flat = self.outputs.reshape(len(self.outputs), -1).astype(np.float64)
        return [row[0] if len(row) == 1 else row for row in flat.tolist()]

    def to_csv(self) -> str:
        """A table with the place of each row, its prediction, its target where known, and probabilities."""
        predicted = self.predicted
        several = bool(predicted) and isinstance(predicted[0], list)
        names = [f"output_{i}" for i in range(len(predicted[0]))] if several else ["prediction"]
        known = self._known()
        chances = [] if self.probabilities is None else [f"probability of {c}" for c in self.class_names]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([self.unit, *names, *(["target"] if known else []), *chances])
        for row, value in enumerate(predicted):
            values = [_written(v) for v in (value if several else [value])]
            target = [_written(known.get(row, ""))] if known else []
            shares = [] if self.probabilities is None else [f"{p:.6g}" for p in self.probabilities[row]]
            writer.writerow([self.positions[row], *values, *target, *shares])
        return text.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Everything, as what JSON holds."""
        known = self._known()
        rows: list[dict[str, Any]] = []
        for row, value in enumerate(self.predicted):
            entry: dict[str, Any] = {self.unit: self.positions[row], "prediction": value}
            if row in known:
                entry["target"] = known[row]
            if self.probabilities is not None:
                shares = self.probabilities[row].tolist()
                entry["probabilities"] = dict(zip(self.class_names, shares, strict=True))
            rows.append(entry)
        return {
            "data": self.source,
            "task": self.task,
            "classes": list(self.class_names) if self.task == "classification" else None,
            "score": self.score or None,
            "scored_rows": len(self.labelled_rows) if self.score else 0,
            "confusion": self.confusion,
            "notes": list(self.notes),
            "predictions": rows,
        }

    def _known(self) -> dict[int, Any]:
        """The target of each row that has one, as predictions are written."""
        if not self.score or self.targets.reshape(len(self.targets), -1).shape[1:] != (1,):
            return {}
        values = self.targets.reshape(-1).tolist()
        if self.task == "classification":
            values = [self._class(number) for number in values]
        return dict(zip(self.labelled_rows.tolist(), values, strict=True))

    def _class(self, number: int) -> str:
        return self.class_names[number]


def predict(run: str | Path, data: str | None = None, data_folder: str | None = None) -> Predictions:
    """Predictions of a run's model.

    Args:
        run: the run folder.
        data: a CSV or Parquet file with the columns of training, an .npy file of inputs, or a bundled name; by
            default the test rows of the run itself.
        data_folder: where a bundled set's files are.

    Raises:
        DataError: the run, or the data, cannot be used; columns are missing or unknown.
        StateError: the builder's file or the data changed since the run began.
        FileFormatError: a file is damaged.
        UsageError: the data is of another kind than the run takes.
    """
    folder = RunFolder(Path(run))
    config = folder.read_config()
    treatment = treatment_from_dict(folder.part_of_config(config, "treatment"))
    origin = Origin.from_dict(folder.part_of_config(config, "origin"))
    settings = Settings.from_dict(folder.part_of_config(config, "settings"))
    weights = folder.read_model()
    test: Feed | None = None
    loss: Any = settings.loss
    if data is None or origin.kind == "builder":
        prepared = rebuilt(folder, config)
        model, loss, test = prepared.model, prepared.loss, prepared.problem.test
    else:
        inputs, outputs_wanted = (folder.part_of_config(config, name) for name in ("inputs", "outputs"))
        model = build_network(inputs, outputs_wanted, settings)
    _load_weights(model, weights, folder)
    if data is None:
        incoming, outputs = _own_test(folder, test, model, loss)
    else:
        incoming = _incoming(data, treatment, origin, data_folder)
        outputs = outputs_for(model, incoming.inputs)
    task: Task = folder.part_of_config(config, "task")
    name = str(config.get("name")) + " (test rows)" if data is None else str(data)
    return _predictions(name, task, treatment, loss, incoming, outputs)


def trained(run: str | Path) -> tuple[Any, Any, Examples]:
    """The model of a run with its weights, its loss, and its test rows.

    Raises:
        UsageError: the run has no test rows in memory; otherwise as `predict`.
    """
    folder = RunFolder(Path(run))
    config = folder.read_config()
    weights = folder.read_model()
    prepared = rebuilt(folder, config)
    _load_weights(prepared.model, weights, folder)
    test = prepared.problem.test
    if not isinstance(test, Examples):
        raise UsageError(f"the run {folder.path} has no test rows that can be picked by number")
    return prepared.model, prepared.loss, test


def _load_weights(model: Any, weights: dict[str, Array], folder: RunFolder) -> None:
    try:
        model.load_state_dict({name: wrap(array, None) for name, array in weights.items()})
    except (ChainruleError, RuntimeError) as error:
        raise StateError(
            f"the weights in {folder.model} do not fit the model of the run", got=str(error).splitlines()
        ) from error


def _own_test(folder: RunFolder, test: Feed | None, model: Any, loss: Any) -> tuple[Incoming, Array]:
    if test is None:
        raise UsageError(f"the run {folder.path} has no test rows", mend="Name data to predict.")
    evaluation = evaluate(model, loss, test)
    n = len(evaluation.outputs)
    inputs = test.inputs if isinstance(test, Examples) else evaluation.outputs
    return Incoming(inputs, evaluation.targets, np.arange(n), range(1, n + 1), "test row"), evaluation.outputs


def _incoming(data: str, treatment: Treatment, origin: Origin, data_folder: str | None) -> Incoming:
    path = Path(data)
    kind = "array" if path.suffix.lower() == ".npy" else kind_of(data)
    if kind == "builder":
        raise UsageError(
            f"{data}: predict takes data, not a function",
            mend="Give a CSV, Parquet or .npy file, or nothing for the run's own test rows.",
        )
    if kind != "bundled":
        if data_folder is not None:
            raise UsageError(f"--data-folder applies to bundled data sets, not to {data}")
        incoming = treatment.read(path)
        same = origin.kind == "table" and str(path.resolve()) == origin.location
    else:
        incoming = _bundled(bundled.load(data, data_folder), treatment)
        same = origin.kind == "bundled" and data == origin.location
    return Incoming(**{**vars(incoming), "notes": (*incoming.notes, TRAINED_ON)}) if same else incoming


def _bundled(data: bundled.DataSet, treatment: Treatment) -> Incoming:
    if isinstance(treatment, TableTreatment):
        return treatment.incoming(as_table(data))
    if isinstance(treatment, AsGiven):
        raise UsageError(
            f"this run's data came from a function, and {data.name} may not be of its kind",
            mend="Give a CSV or .npy file of inputs, or nothing for the run's own test rows.",
        )
    assert isinstance(treatment, PixelTreatment)
    if data.feature_names != treatment.feature_names or data.class_names != treatment.class_names:
        raise UsageError(
            f"{data.name} does not have the pixels and classes that this run learned",
            got=[f"pixels   {len(data.feature_names)}, learned {len(treatment.feature_names)}",
                 f"classes  {', '.join(data.class_names)}"],
        )  # fmt: skip
    n = len(data.targets)
    return Incoming(treatment.apply(data.features), data.targets, np.arange(n), range(1, n + 1), "row")


def _predictions(
    source: str, task: Task, treatment: Treatment, loss: Any, incoming: Incoming, outputs: Array
) -> Predictions:
    names = treatment.class_names
    if task == "classification" and outputs.ndim == 2:
        names = names or tuple(str(i) for i in range(outputs.shape[1]))
        if len(names) != outputs.shape[1]:
            raise FileFormatError(
                "the model's outputs do not match the run's classes",
                got=[f"outputs {outputs.shape}", f"classes {len(names)}"],
            )
    scale, shift = treatment.scale
    targets, rows = incoming.targets, incoming.labelled_rows
    score: Metrics = {}
    table = None
    if len(rows):
        evaluation = Evaluation(outputs[rows], targets, float("nan"))
        score = measure(evaluation, task, treatment.scale)
        if task == "classification" and outputs.ndim == 2 and targets.ndim == 1:
            table = confusion(evaluation, len(names))
    if task == "regression":
        outputs = outputs.astype(np.float64) * scale + shift
        targets = targets.astype(np.float64) * scale + shift
    return Predictions(
        source=source,
        task=task,
        class_names=names,
        outputs=outputs,
        probabilities=_probabilities(task, loss, outputs),
        positions=incoming.positions,
        unit=incoming.unit,
        targets=targets,
        labelled_rows=rows,
        score=score,
        confusion=table,
        notes=incoming.notes,
    )


def _probabilities(task: Task, loss: Any, outputs: Array) -> Array | None:
    """What the outputs say as probabilities: softmax of logits, exp of log-probabilities; None for others."""
    if task != "classification" or outputs.ndim != 2:
        return None
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    wide = outputs.astype(np.float64)
    if name in ("cross_entropy", "CrossEntropyLoss"):
        e = np.exp(wide - wide.max(axis=1, keepdims=True))
        shares: Array = e / e.sum(axis=1, keepdims=True)
        return shares
    return np.exp(wide) if name in ("nll_loss", "NLLLoss") else None


def _written(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)
