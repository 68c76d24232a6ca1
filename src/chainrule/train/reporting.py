"""What came out of a run, as data (`Outcome`) and as a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chainrule.diagnose.report import watch_blocks
from chainrule.diagnose.watch import POINTS, Event, Watch
from chainrule.errors import NonFiniteLossError
from chainrule.notation.words import words
from chainrule.report import (
    Alignment,
    Block,
    Document,
    Facts,
    Figure,
    Heading,
    HeatMap,
    LineChart,
    Paragraph,
    Series,
    Table,
    Value,
    to_html,
)
from chainrule.train.config import Settings, Task
from chainrule.train.layers import Layers, in_words
from chainrule.train.loop import Record
from chainrule.train.metrics import METRIC_OF, NAMES, Metrics, written
from chainrule.train.problem import Problem
from chainrule.train.run import RunFolder

if TYPE_CHECKING:
    from chainrule.train.prediction import Predictions

MOST_CLASSES_SHOWN = 30
MOST_LINES = 8


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished run.

    metrics are those of the best epoch's weights on each part. confusion counts the test rows of each class
    (down) by predicted class (across). stopped says why training ended before its last epoch. watch is what was
    seen of the layers; None if the run was not watched.
    """

    problem: Problem
    settings: Settings
    folder: RunFolder
    model: str
    parameters: int
    records: list[Record]
    best_epoch: int
    stopped: str | None
    metrics: dict[str, Metrics]
    confusion: list[list[int]] | None
    seconds: float
    versions: dict[str, str]
    watch: Watch | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes; their numbers where they have none."""
        names = self.problem.treatment.class_names
        return names or tuple(str(i) for i in range(len(self.confusion or ())))

    def to_dict(self) -> dict[str, Any]:
        """Everything, as what JSON holds."""
        return {
            "run": str(self.folder.path),
            "data": self.problem.origin.to_dict(),
            "task": self.problem.task,
            "rows": self.problem.sizes,
            "treatment": [*self.problem.lines, *(f"{name}: {line}" for name, line in self.problem.columns.items())],
            "settings": self.settings.to_dict(),
            "model": self.model,
            "parameters": self.parameters,
            "epochs": len(self.records),
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
            "events": None if self.watch is None else self.watch.to_dict()["events"],
            "seconds": self.seconds,
            "metrics": self.metrics,
            "classes": list(self.class_names) if self.problem.task == "classification" else None,
            "confusion": self.confusion,
            "history": self.records,
            "versions": self.versions,
        }


def summary(outcome: Outcome) -> Document:
    """The end of a run for the terminal: what came out, the confusion or error table, and where the files are."""
    return Document(
        title=headline(outcome),
        subtitle="",
        blocks=[
            Facts(
                [
                    ("trained", _training_in_words(outcome)),
                    ("weights", _choice_in_words(outcome)),
                    *_seen_in_words(outcome.watch),
                    ("run folder", str(outcome.folder.path)),
                    ("report", str(outcome.folder.report)),
                ]
            ),
            *_tables(outcome),
        ],
    )


def full_report(outcome: Outcome) -> str:
    """The run as the text of one HTML file."""
    problem = outcome.problem
    blocks: list[Block] = [
        Facts(
            [
                ("result", headline(outcome)),
                ("trained", _training_in_words(outcome)),
                ("weights", _choice_in_words(outcome)),
                ("parameters", outcome.parameters),
                *_seen_in_words(outcome.watch),
            ]
        ),
        Heading("Training"),
        *_curves(outcome.records, outcome.problem.task),
        *_layers(outcome.watch),
        Heading("Result"),
        *_tables(outcome),
        Heading("Data"),
        Facts([("source", problem.citation or _source(outcome)), ("SHA-256", problem.origin.sha256)]),
        *(Paragraph(line) for line in problem.lines),
        *([Facts(list(problem.columns.items()))] if problem.columns else []),
        Heading("Configuration"),
        Facts(_settings_in_words(outcome)),
    ]
    return to_html(Document(f"{problem.name}: training run", str(outcome.folder.path.name), blocks))


def report_of_failure(
    name: str, folder: RunFolder, error: NonFiniteLossError, epochs: int, layers: Layers | None
) -> str:
    """The HTML file of a run whose loss or weights were no longer finite: why, and what its layers did until then."""
    records = folder.read_history(epochs)
    watch = None if layers is None else layers.watch
    blocks: list[Block] = [
        Facts([("failed", error.what), *(("", line) for line in error.got), ("what to do", error.mend or "")]),
        *([Heading("Training"), *_curves(records, None)] if records else []),
        *_layers(watch),
    ]
    return to_html(Document(f"{name}: training failed", str(folder.path.name), blocks))


def headline(outcome: Outcome) -> str:
    """The result in a line, on the test rows where there are some."""
    part = next((name for name in ("test", "validation", "train") if name in outcome.metrics), None)
    if part is None:
        return f"{outcome.problem.name}: training loss {outcome.records[-1]['train_loss']:.4g}"
    metrics = outcome.metrics[part]
    wanted = METRIC_OF.get(outcome.problem.task)
    name = wanted if wanted in metrics else "loss"
    where = {"test": "test ", "validation": "validation ", "train": "training "}[part]
    return f"{outcome.problem.name}: {where}{written(str(name), metrics[str(name)])}"


def _training_in_words(outcome: Outcome) -> str:
    epochs = f"{len(outcome.records)} epochs in {outcome.seconds:.1f} s"
    return epochs if outcome.stopped is None else f"{epochs}; stopped early: {outcome.stopped}"


def _choice_in_words(outcome: Outcome) -> str:
    if outcome.problem.validation is None:
        return f"of the last epoch ({outcome.best_epoch}): there are no validation rows to choose by"
    return f"of epoch {outcome.best_epoch}, which has the lowest validation loss"


# ---- tables ---------------------------------------------------------------------------------------------------


def _tables(outcome: Outcome) -> list[Block]:
    blocks: list[Block] = [_metric_table(outcome)] if outcome.metrics else []
    if outcome.confusion is None:
        return blocks
    if len(outcome.confusion) > MOST_CLASSES_SHOWN:
        line = f"The confusion table of {len(outcome.confusion)} classes is in {outcome.folder.result.name}."
        return [*blocks, Paragraph(line)]
    return [*blocks, confusion_table(outcome.confusion, outcome.class_names, "Test rows")]


def _metric_table(outcome: Outcome) -> Table:
    names = list(dict.fromkeys(name for metrics in outcome.metrics.values() for name in metrics))
    caption = "Errors in the unit of the target" if outcome.problem.task == "regression" else "Loss and accuracy"
    rows: list[list[Value]] = [
        [part, outcome.problem.sizes.get(part), *(_cell(name, metrics.get(name)) for name in names)]
        for part, metrics in outcome.metrics.items()
    ]
    if outcome.problem.task == "regression":
        caption += "; the loss is of the standardised target" if outcome.problem.outputs else ""
    return _numbers_table(["part", "rows", *(NAMES.get(name, name) for name in names)], rows, caption)


def _cell(name: str, value: float | None) -> Value:
    return f"{value:.2%}" if name == "accuracy" and value is not None else value


def _numbers_table(columns: list[str], rows: list[list[Value]], caption: str) -> Table:
    """A table of a name and numbers, where percentages, which are texts, stand right as well."""
    sides: list[Alignment] = ["left", *(["right"] * (len(columns) - 1))]  # type: ignore[list-item]  # literals
    return Table(columns, rows, alignment=sides, caption=caption)


def confusion_table(counts: list[list[int]], class_names: tuple[str, ...], rows: str) -> Table:
    """Counts of each class (down) by predicted class (across), and the share of each class that is right."""
    lines: list[list[Value]] = []
    shades: list[list[float | None]] = []
    for number, (name, row) in enumerate(zip(class_names, counts, strict=True)):
        total = sum(row)
        lines.append([name, *row, f"{row[number] / total:.1%}" if total else None])
        shades.append([None, *((count / total if total else None) for count in row), None])
    return Table(
        ["", *class_names, "right"],
        lines,
        alignment=["left", *["right"] * (len(class_names) + 1)],  # type: ignore[list-item]  # literals
        caption=f"{rows} of each class (down) by predicted class (across)",
        emphasis=shades,
    )


# ---- charts ---------------------------------------------------------------------------------------------------


def _layers(watch: Watch | None) -> list[Block]:
    """What the watch saw: events, a heat map of layers over steps for each quantity, the slopes of activations."""
    if watch is None or not watch.looks:
        return []
    return [Heading("Layers"), *watch_blocks(watch, words("en"))]


def _seen_in_words(watch: Watch | None) -> list[tuple[str, Value]]:
    """The events in a line, if there were any."""
    alike: dict[tuple[str, str], list[Event]] = {}
    for event in () if watch is None else watch.events:
        alike.setdefault((event.kind, event.what), []).append(event)
    return [("watch", f"step {some[0].step:,}: {in_words(some)}") for some in alike.values()]


def _curves(records: list[Record], task: Task | None) -> list[Block]:
    epochs = [float(record["epoch"]) for record in records]
    losses = [Series("training", epochs, [record["train_loss"] for record in records])]
    if "validation_loss" in records[-1]:
        losses.append(Series("validation", epochs, [record["validation_loss"] for record in records]))
    blocks: list[Block] = [
        Figure(
            LineChart("Loss", "epoch", "loss", losses),
            "The training loss is the mean over the epoch's batches, while the weights changed.",
        )
    ]
    name = None if task is None else METRIC_OF.get(task)
    if name is not None and name in records[-1].get("validation", {}):
        values = [record["validation"][name] for record in records]
        chart = LineChart(NAMES[name].capitalize() if name != "rmse" else "RMSE", "epoch", NAMES[name],
                          [Series("validation", epochs, values)])  # fmt: skip
        blocks.append(Figure(chart, "On the validation rows, after each epoch."))
    blocks.append(
        Figure(
            _norms(records, epochs),
            "The Euclidean norm over a layer's weights and biases, for the last batch of each epoch.",
        )
    )
    rates = [record["lr"] for record in records]
    blocks.append(Figure(LineChart("Learning rate", "epoch", "learning rate", [Series("lr", epochs, rates)])))
    return blocks


def _norms(records: list[Record], epochs: list[float]) -> LineChart | HeatMap:
    """A line for each layer; of many layers, whose lines nobody could tell apart, a row of shades."""
    title = "Gradient norm of each layer"
    norms = {
        layer: [record["gradient_norms"].get(layer) for record in records] for layer in records[-1]["gradient_norms"]
    }
    if len(norms) > MOST_LINES:
        every = -(-len(records) // POINTS)
        columns, rows = [f"{e:.0f}" for e in epochs[::every]], [values[::every] for values in norms.values()]
        return HeatMap(title, list(norms), columns, rows, "epoch", "norm", log=True)
    lines = [Series(f"layer {layer}", epochs, values) for layer, values in norms.items()]
    return LineChart(title, "epoch", "norm", lines, log_y=True)


def _source(outcome: Outcome) -> str:
    origin = outcome.problem.origin
    return f"{origin.location}:{origin.function}" if origin.function else origin.location


def _settings_in_words(outcome: Outcome) -> list[tuple[str, Value]]:
    items: list[tuple[str, Value]] = []
    for name, value in outcome.settings.to_dict().items():
        if value is None:
            continue
        if isinstance(value, tuple):
            value = ", ".join(map(str, value)) or "none"
        items.append((name.replace("_", " "), str(value)))
    items.append(("model", " ".join(outcome.model.split())))
    return [*items, *outcome.versions.items()]


# ---- predictions ----------------------------------------------------------------------------------------------


def prediction_summary(predictions: Predictions, out: str | None) -> Document:
    """How many rows were predicted, where they are, their score where the targets are known, and notes."""
    count = f"{len(predictions):,} row{'s' * (len(predictions) != 1)} predicted"
    blocks: list[Block] = [Paragraph(note) for note in predictions.notes]
    if out is not None:
        blocks.append(Facts([("predictions", out)]))
    if predictions.score:
        names, values = zip(*predictions.score.items(), strict=True)
        scored: list[Value] = ["score", len(predictions.labelled_rows), *map(_cell, names, values)]
        columns = ["", "rows", *(NAMES.get(name, name) for name in names)]
        blocks.append(_numbers_table(columns, [scored], "On the rows whose target is known"))
    if predictions.confusion is not None and len(predictions.confusion) <= MOST_CLASSES_SHOWN:
        blocks.append(confusion_table(predictions.confusion, predictions.class_names, "Rows"))
    return Document(f"{predictions.source}: {count}", "", blocks)
