"""An interrupted run goes on to the same end as an uninterrupted one, and nothing written is ever damaged."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chainrule.cli.main import main
from chainrule.errors import FileFormatError, FileWriteError, NonFiniteLossError, StateError
from chainrule.train import checkpoint as checkpoints
from chainrule.train.config import Request
from chainrule.train.loop import Callback, Record, Training
from chainrule.train.session import Interrupted, resume, start

FILES = ("model.safetensors", "metrics.jsonl", "result.json")

BUILDER = """
import random
import numpy as np
from chainrule import nn, optim

def build(rate=0.01, own="no"):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(80, 3))
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.3), Noise(), nn.Linear(8, 2))
    made = {"model": model, "loss": nn.CrossEntropyLoss(), "train": (inputs, (inputs.sum(1) > 0).astype(int))}
    if own == "yes":
        made["optimizer"] = optim.Adam(model.parameters(), lr=rate)
    return made

class Noise(nn.Module):
    '''Draws from the streams of NumPy and Python that a user's model may draw from.'''
    def forward(self, x):
        return x + (np.random.rand() + random.random()) * 0.01 if self.training else x
"""


class InterruptAt(Callback):
    """Presses Ctrl-C in the middle of an epoch, between backward and step."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.epoch, self.batch = epoch, batch

    def after_backward(self, training: Training) -> None:
        if training.epoch == self.epoch and training.step == self.batch:
            raise KeyboardInterrupt


def comparable(folder: Path) -> dict[str, Any]:
    """What a run left behind, without its own name, times, and which steps a watch looked at, as time allowed."""
    result = json.loads((folder / "result.json").read_text())
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for record in [*metrics, *result["history"]]:
        del record["seconds"], record["watch"]
    del result["seconds"]
    del result["run"]
    return {"result": result, "metrics": metrics, "model": (folder / "model.safetensors").read_bytes()}


def builder_file(folder: Path) -> Path:
    path = folder / "mine.py"
    path.write_text(BUILDER)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "momentum", "schedule": "onecycle", "early_stopping": 3, "epochs": 12, "lr": 0.2},
        {"optimizer": "adamw", "schedule": "step", "validation": 0.0},
        {"optimizer": "rmsprop", "schedule": "none", "batch_size": 1, "epochs": 4},
        {"optimizer": "adagrad"},
        {"optimizer": "adadelta"},
    ],
)
@pytest.mark.parametrize("moment", [(1, 1), (3, 2), (4, 0)])
def test_a_resumed_run_ends_like_an_uninterrupted_one(
    tmp_path: Path, options: dict[str, Any], moment: tuple[int, int]
) -> None:
    request = Request(data="iris", layers=(6,), **{"epochs": 6, "batch_size": 16, **options})
    start(request, str(tmp_path / "whole"))
    with pytest.raises(Interrupted) as caught:
        start(request, str(tmp_path / "parts"), [InterruptAt(*moment)])
    assert caught.value.epoch == moment[0] - 1
    resume(tmp_path / "parts")
    assert comparable(tmp_path / "parts") == comparable(tmp_path / "whole")


@pytest.mark.parametrize("own", ["no", "yes"])
def test_a_builders_run_resumes_with_dropout_and_random_numbers_of_its_own(tmp_path: Path, own: str) -> None:
    data = f"{builder_file(tmp_path)}:build"
    request = Request(data=data, arguments={"own": own}, epochs=6, batch_size=16)
    start(request, str(tmp_path / "whole"))
    with pytest.raises(Interrupted):
        start(request, str(tmp_path / "parts"), [InterruptAt(4, 2)])
    resume(tmp_path / "parts")
    assert comparable(tmp_path / "parts") == comparable(tmp_path / "whole")


def test_a_run_may_be_interrupted_again_and_again(tmp_path: Path) -> None:
    request = Request(data="iris", layers=(6,), epochs=8)
    start(request, str(tmp_path / "whole"))
    with pytest.raises(Interrupted):
        start(request, str(tmp_path / "parts"), [InterruptAt(2, 1)])
    for epoch in (3, 6, 8):
        with pytest.raises(Interrupted):
            resume(tmp_path / "parts", [InterruptAt(epoch, 0)])
    resume(tmp_path / "parts")
    assert comparable(tmp_path / "parts") == comparable(tmp_path / "whole")


def test_the_best_epoch_before_an_interruption_is_remembered(tmp_path: Path) -> None:
    request = Request(data="iris", epochs=12, lr=0.02, schedule="none", optimizer="adam")
    best = start(request, str(tmp_path / "whole")).best_epoch
    assert 1 < best < 9, "this test needs a run whose best epoch is not among the last"
    with pytest.raises(Interrupted):
        start(request, str(tmp_path / "parts"), [InterruptAt(best + 2, 1)])
    resume(tmp_path / "parts")
    assert comparable(tmp_path / "parts") == comparable(tmp_path / "whole")


def test_saving_takes_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []

    def slow(checkpoint: checkpoints.Checkpoint, path: Path) -> None:
        saved.append(checkpoint.state["epoch"])
        time.sleep(0.05)

    monkeypatch.setattr("chainrule.train.watch.save", slow)
    start(Request(data="iris", layers=(4,), epochs=60), str(tmp_path / "run"))
    assert saved[0] == 1
    assert saved[-1] == 60
    assert len(saved) < 10


def test_lines_of_epochs_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    """As after a crash: the history is written for every epoch, the checkpoint not."""
    request = Request(data="iris", layers=(6,), epochs=6)
    start(request, str(tmp_path / "whole"))
    with pytest.raises(Interrupted):
        start(request, str(tmp_path / "parts"), [InterruptAt(3, 1)])
    with (tmp_path / "parts" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "train_loss": 1}\n{"epoch": 4, "tra')
    resume(tmp_path / "parts")
    assert comparable(tmp_path / "parts") == comparable(tmp_path / "whole")


def command(*args: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "chainrule", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent to a process of its own")
def test_ctrl_c_saves_a_checkpoint_says_how_to_go_on_and_exits_130(tmp_path: Path) -> None:
    args = ["train", "digits", "--epochs", "100", "--layers", "32", "--batch-size", "8"]
    # a job started in the background ignores SIGINT, and its children with it
    process = command(
        *args, "--out", "run", cwd=tmp_path, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    found = re.search(r"interrupted after epoch (\d+) of 100\nGo on with: chainrule train --resume run\n", err)
    assert found, err
    assert checkpoints.load(checkpoint).state["epoch"] == int(found[1])
    assert [path.name for path in checkpoint.parent.glob("*.tmp")] == []


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_run_can_be_resumed(tmp_path: Path) -> None:
    args = ["train", "iris", "--epochs", "400", "--layers", "6", "--batch-size", "4", "--quiet"]
    process = command(*args, "--out", "parts", cwd=tmp_path)
    checkpoint = tmp_path / "parts" / "checkpoint.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)
    resume(tmp_path / "parts")
    start(Request(data="iris", epochs=400, layers=(6,), batch_size=4), str(tmp_path / "whole"))
    assert comparable(tmp_path / "parts") == comparable(tmp_path / "whole")


# ---- what resume refuses --------------------------------------------------------------------------------------


def interrupted(tmp_path: Path, request: Request) -> Path:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        start(request, str(run), [InterruptAt(3, 0)])
    return run


def refusal(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["train", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search("^error: ", err, re.MULTILINE)
    assert "Traceback" not in err
    return err


def test_resume_says_that_a_builders_file_changed_or_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = builder_file(tmp_path)
    run = interrupted(tmp_path, Request(data=f"{path}:build", epochs=5))
    path.write_text(BUILDER + "\n# changed\n")
    said = refusal(capsys, "--resume", str(run))
    assert f"the file {path} changed since the run began" in said
    assert "SHA-256 then" in said
    path.unlink()
    assert f"{path} is gone, from which the run was made" in refusal(capsys, "--resume", str(run))


def test_resume_says_that_a_table_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)))
    run = interrupted(tmp_path, Request(data=str(path), target="y", epochs=5))
    path.write_text(path.read_text() + "41,a\n")
    assert "changed since the run began" in refusal(capsys, "--resume", str(run))


def test_resume_refuses_a_complete_run_and_one_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start(Request(data="iris", layers=(4,), epochs=2), str(tmp_path / "run"))
    assert "is complete: there is nothing to go on with" in refusal(capsys, "--resume", str(tmp_path / "run"))
    assert "is not a run folder: it has no config.json" in refusal(capsys, "--resume", str(tmp_path / "nowhere"))


def test_resume_takes_no_other_options(capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "--resume", "run", "--epochs", "9", "--lr", "1")
    assert "--lr, --epochs cannot be changed" in said
    assert "DATA cannot be changed" in refusal(capsys, "iris", "--resume", "run")


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("checkpoint.safetensors", lambda content: content[:-10], "checkpoint.safetensors"),
        ("checkpoint.safetensors", lambda content: content[:100], "checkpoint.safetensors"),
        ("checkpoint.safetensors", lambda content: b"", "checkpoint.safetensors"),
        ("config.json", lambda content: content[:-30], "config.json is not whole JSON"),
        ("config.json", lambda content: b"[]", "config.json must hold a JSON object"),
        ("config.json", lambda content: b'{"format": 9}', "config.json is not of format 1"),
        ("config.json", lambda content: b'{"format": 1}', "config.json is damaged: it has no 'request'"),
        ("config.json", lambda content: content.replace(b'"epochs"', b'"apochs"'), "the request of the run"),
        ("config.json", lambda content: content.replace(b'"adam"', b'"adamw"'), "settings in"),
        ("metrics.jsonl", lambda content: content[:20], "metrics.jsonl is damaged"),
        ("metrics.jsonl", lambda content: b"", "does not have a line for each of the 2 epochs"),
    ],
)
def test_resume_names_the_damaged_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, damage: Callable[[bytes], bytes], words: str
) -> None:
    run = interrupted(tmp_path, Request(data="iris", layers=(4,), epochs=5))
    content = (run / file).read_bytes()
    (run / file).write_bytes(damage(content))
    assert words in refusal(capsys, "--resume", str(run))


def test_a_checkpoint_of_another_network_does_not_fit(tmp_path: Path) -> None:
    run = interrupted(tmp_path, Request(data="iris", layers=(4,), epochs=5))
    other = tmp_path / "other"
    other.mkdir()
    wider = interrupted(other, Request(data="iris", layers=(5,), epochs=5))
    (run / "checkpoint.safetensors").write_bytes((wider / "checkpoint.safetensors").read_bytes())
    with pytest.raises((StateError, FileFormatError, RuntimeError), match=r"size mismatch|0\.weight"):
        resume(run)


# ---- a loss that is not finite --------------------------------------------------------------------------------


class PoisonAt(Callback):
    """Makes a weight infinite after an epoch's backward pass."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def after_backward(self, training: Training) -> None:
        if training.epoch == self.epoch and training.step == 1:
            next(iter(training.model.parameters())).grad.value[...] = float("inf")


def test_a_loss_that_is_not_finite_stops_the_run_and_the_last_good_checkpoint_stays(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(NonFiniteLossError) as caught:
        start(Request(data="iris", layers=(4,), epochs=9), str(run), [PoisonAt(4)])
    said = str(caught.value)
    assert "the loss became nan at epoch 4, batch 3" in said
    assert "learning rate  0.002" in said
    assert "Take a smaller learning rate" in said
    assert f"The state after epoch 3 is in {run / 'checkpoint.safetensors'}." in said
    assert checkpoints.load(run / "checkpoint.safetensors").state["epoch"] == 3
    start(Request(data="iris", layers=(4,), epochs=9), str(tmp_path / "whole"))
    resume(run)
    assert comparable(run) == comparable(tmp_path / "whole")


def test_a_rate_that_is_too_high_is_named_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{i},{i * i}\n" for i in range(60)))
    said = refusal(capsys, str(path), "--target", "y", "--optimizer", "sgd", "--lr", "1e6", "--quiet")
    assert re.search(r"the (loss became|validation loss is no longer) (nan|inf|finite) at", said)
    assert "Take a smaller learning rate" in said
    assert "No epoch was completed." in said


class PoisonAtTheEnd(Callback):
    def after_backward(self, training: Training) -> None:
        if training.epoch == 2 and training.step == training.batches - 1:  # type: ignore[operator]  # known here
            next(iter(training.model.parameters())).grad.value[...] = float("nan")


@pytest.mark.parametrize("validation", [0.0, 0.1])
def test_weights_that_are_not_finite_after_an_epochs_last_step_are_not_saved(tmp_path: Path, validation: float) -> None:
    request = Request(data="iris", layers=(4,), epochs=9, validation=validation)
    with pytest.raises(NonFiniteLossError, match="no longer finite at the end of epoch 2"):
        start(request, str(tmp_path / "run"), [PoisonAtTheEnd()])
    assert checkpoints.load(tmp_path / "run" / "checkpoint.safetensors").state["epoch"] == 1


# ---- a full disk ----------------------------------------------------------------------------------------------

FULL_DISK = """
import resource, sys
from pathlib import Path
from chainrule.cli.main import main
from chainrule.train.loop import Callback
import chainrule.train.watch as watch

class Fill(watch.History):
    def after_epoch(self, training, record):
        super().after_epoch(training, record)
        if training.epoch == 3:  # from now on no file may be larger than 2000 bytes
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

import chainrule.train.session as session
session.History = Fill
sys.exit(main(["train", "digits", "--layers", "4", "--epochs", "400", "--batch-size", "64", "--out", "run", "--quiet"]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on the size of files stands for a full disk")
def test_a_disk_without_room_leaves_the_last_checkpoint_whole(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2, done.stderr
    assert re.search(r"^error: cannot write run/\w+[.]\w+: File too large", done.stderr)
    assert "files already written there are undamaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert checkpoints.load(tmp_path / "run" / "checkpoint.safetensors").state["epoch"] in (1, 2)
    assert list((tmp_path / "run").glob(".*")) == []
    for text in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[:2]:
        json.loads(text)


class NoRoomAfter(Callback):
    """After an epoch, the disk does not take any more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def after_epoch(self, training: Training, record: Record) -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        self.monkeypatch.setattr(os, "fsync", full)


def test_a_full_disk_at_the_end_is_named_and_the_run_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(data="iris", layers=(4,), epochs=1)
    with pytest.raises(FileWriteError, match=r"cannot write .*: No space left on device\n.*Free some space"):
        start(request, str(tmp_path / "run"), [NoRoomAfter(monkeypatch)])
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoint.safetensors", "config.json", "metrics.jsonl",
    ]  # fmt: skip
    monkeypatch.undo()
    resume(tmp_path / "run")
    start(request, str(tmp_path / "whole"))
    assert comparable(tmp_path / "run") == comparable(tmp_path / "whole")
