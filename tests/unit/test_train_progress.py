"""Which kind of progress a stream gets, and what it writes."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from typing import Any

import pytest

from chainrule.train.loop import Training
from chainrule.train.progress import LiveBar, PlainLines, Progress, progress_on, record_in_words, time_in_words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "kind"),
    [
        (Terminal(), {"TERM": "xterm-256color"}, LiveBar),
        (Terminal(), {"TERM": "dumb"}, PlainLines),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, PlainLines),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, LiveBar),
        (io.StringIO(), {"TERM": "xterm"}, PlainLines),
    ],
)
def test_a_live_bar_is_for_terminals_that_want_it(stream: Any, environ: dict[str, str], kind: type) -> None:
    assert type(progress_on(stream, environ)) is kind
    assert type(progress_on(stream, environ, quiet=True)) is Progress


def watched(progress: Progress, epochs: int) -> None:
    training = Training(model=None, loss=None, optimizer=None, scheduler=None, epochs=epochs, batches=4)  # type: ignore[arg-type]
    record = {"train_loss": 0.25, "validation_loss": 0.5, "validation": {"accuracy": 0.9}}
    with progress:
        progress.say("hello")
        progress.before_training(training)
        for training.epoch in range(1, epochs + 1):
            progress.after_epoch(training, record)


def test_plain_lines_say_losses_metric_and_time_left() -> None:
    stream = io.StringIO()
    watched(PlainLines(stream), 3)
    words = "loss 0.2500  validation loss 0.5000  accuracy 90.00%"
    assert stream.getvalue().splitlines() == [
        "hello", f"epoch 1/3  {words}  0 s left", f"epoch 2/3  {words}  0 s left", f"epoch 3/3  {words}",
    ]  # fmt: skip


@pytest.mark.parametrize(("epochs", "lines"), [(1, 1), (10, 10), (200, 10), (44, 11)])
def test_a_long_run_has_about_ten_lines(epochs: int, lines: int) -> None:
    stream = io.StringIO()
    watched(PlainLines(stream), epochs)
    assert len(stream.getvalue().splitlines()) - 1 == lines


def test_an_epoch_after_a_long_silence_gets_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**6, 40))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    stream = io.StringIO()
    watched(PlainLines(stream), 200)
    assert len(stream.getvalue().splitlines()) - 1 == 200


def everything_from(descriptor: int) -> str:
    """What was written to a pseudo-terminal whose other side is closed."""
    parts = []
    with contextlib.suppress(OSError):  # Linux ends it with an error
        while part := os.read(descriptor, 65536):
            parts.append(part)
    os.close(descriptor)
    return b"".join(parts).decode()


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_a_live_bar_is_drawn_on_a_terminal_and_leaves_the_cursor_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as stream:
        watched(LiveBar(stream), 3)
    written = everything_from(ours)
    assert "epoch 3/3" in written
    assert "accuracy 90.00%" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
@pytest.mark.parametrize("columns", [60, 80, 100, 140])
def test_a_live_bar_fits_its_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.delenv("NO_COLOR", raising=False)
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as stream:
        watched(LiveBar(stream), 200)
    written = everything_from(ours)
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written).splitlines()[-1].rstrip()
    assert last.startswith("epoch 200/200")
    assert "90.00%" in last
    assert "…" not in last
    assert len(last) < columns


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (3600 * 2 + 65, "2 h 1 min")]
)
def test_times_are_words(seconds: float, words: str) -> None:
    assert time_in_words(seconds) == words


def test_a_record_without_validation_shows_the_loss_alone() -> None:
    assert record_in_words({"train_loss": 1 / 3}) == "loss 0.3333"


def test_the_package_imports_neither_rich_nor_the_run_on_the_way_to_its_loop() -> None:
    import subprocess

    code = "import sys, chainrule.train.loop; print('rich' in sys.modules, 'chainrule.train.session' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
