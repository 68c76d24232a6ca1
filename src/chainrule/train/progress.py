"""Progress on the standard error stream: a live bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import IO, Any, Self

from chainrule.report import values
from chainrule.train.loop import Callback, Record, Training
from chainrule.train.metrics import in_words

LINES = 10
"""About how many plain lines a run has."""
LONGEST_SILENCE = 30.0
"""Seconds after which an epoch gets a plain line in any case."""

WIDE, ROOMY, NARROW = 110, 90, 70
"""Columns of a terminal that take the whole bar, all words, and a bar at all."""


class Progress(Callback):
    """Says nothing. The other kinds of progress are written as this one: `with progress: ... fit(...)`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the terminal as it should be, whatever happened."""

    def say(self, line: str) -> None:
        """Tells something in a line."""


class PlainLines(Progress):
    """One line for each epoch of a short run, about ten in all of a long one; no colour, no movement."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self._began = self._spoke = time.monotonic()
        self._first = 0

    def say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)

    def before_training(self, training: Training) -> None:
        self._began = self._spoke = time.monotonic()
        self._first = training.epoch

    def after_epoch(self, training: Training, record: Record) -> None:
        now = time.monotonic()
        every = max(1, round(training.epochs / LINES))
        last = training.epoch == training.epochs or training.stop is not None
        if not (last or training.epoch % every == 0 or now - self._spoke > LONGEST_SILENCE):
            return
        self._spoke = now
        left = (now - self._began) / (training.epoch - self._first) * (training.epochs - training.epoch)
        ending = f"  {time_in_words(left)} left" if not last else ""
        width = len(str(training.epochs))
        self.say(f"epoch {training.epoch:>{width}}/{training.epochs}  {record_in_words(record)}{ending}")


class LiveBar(Progress):
    """A bar that moves with every batch, with the losses of the last whole epoch; drawn by rich."""

    def __init__(self, stream: IO[str]) -> None:
        from rich.console import Console

        self.console = Console(file=stream)
        self._bar: Any = None

    def say(self, line: str) -> None:
        self.console.print(line, style="dim", highlight=False, soft_wrap=True)

    def before_training(self, training: Training) -> None:
        self._bar = _bar(training, self.console)
        self._bar.start()

    def after_epoch(self, training: Training, record: Record) -> None:
        narrow = self.console.width < ROOMY
        self._bar.show(record_in_few_words(record) if narrow else record_in_words(record))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def progress_on(stream: IO[str], environ: Mapping[str, str] = os.environ, *, quiet: bool = False) -> Progress:
    """The kind of progress that suits a stream.

    NO_COLOR and TERM=dumb ask for plain lines: rich leaves colours out for them, but would still move the cursor.
    """
    if quiet:
        return Progress()
    plain = bool(environ.get("NO_COLOR")) or environ.get("TERM") in ("dumb", "unknown")
    if plain or not stream.isatty():
        return PlainLines(stream)
    return LiveBar(stream)


def record_in_words(record: Record) -> str:
    """`loss 0.1234  validation loss 0.1543  accuracy 96.53%`."""
    parts = [f"loss {record['train_loss']:.4f}"]
    if "validation_loss" in record:
        parts.append(f"validation loss {record['validation_loss']:.4f}")
        parts.append(in_words({k: v for k, v in record["validation"].items() if k in ("accuracy", "rmse")}))
    return "  ".join(part for part in parts if part)


def record_in_few_words(record: Record) -> str:
    """`loss 0.1234 / 0.1543  96.53%`: training and validation loss, and the metric."""
    if "validation_loss" not in record:
        return record_in_words(record)
    numbers = {k: f"{v:.2%}" if k == "accuracy" else values.written(v) for k, v in record["validation"].items()}
    metric = [number for name, number in numbers.items() if name in ("accuracy", "rmse")]
    return "  ".join([f"loss {record['train_loss']:.4f} / {record['validation_loss']:.4f}", *metric])


def time_in_words(seconds: float) -> str:
    """`12 s`, `3 min 20 s` or `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _bar(training: Training, console: Any) -> Any:
    """A rich Progress that asks the training how far it is whenever it draws itself, so that batches cost nothing."""
    from rich.progress import BarColumn, ProgressColumn, TextColumn
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    batches = training.batches or 1

    class TimeLeft(ProgressColumn):
        def render(self, task: Any) -> Text:
            if task.finished or task.time_remaining is None:
                return Text(f"{time_in_words(task.elapsed or 0)}", style="dim")
            return Text(f"{time_in_words(task.time_remaining)} left", style="dim")

    class Bar(RichProgress):
        def get_renderables(self) -> Iterable[Any]:
            if self.task_ids:
                within = min(training.step, batches) if training.batches else 0
                done = max(0, training.epoch - 1) * batches + within
                self.update(self.task_ids[0], completed=done, epoch=training.epoch)
            return super().get_renderables()

        def show(self, words: str) -> None:
            self.update(self.task_ids[0], words=words)

    bar = Bar(
        TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
        *([BarColumn(bar_width=24 if console.width >= WIDE else 10)] if console.width >= NARROW else []),
        TextColumn("{task.fields[words]}"),
        TimeLeft(),
        console=console,
        refresh_per_second=8,
    )
    bar.add_task("", total=training.epochs * batches, epoch=training.epoch, epochs=training.epochs, words="")
    return bar
