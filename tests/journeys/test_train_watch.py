"""A run watches its layers: it writes down what it sees, tells at once what is new, and changes nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.cli.main import main
from chainrule.diagnose.watch import Event
from chainrule.errors import NonFiniteLossError
from chainrule.interop.safetensors import load_file
from chainrule.train import steps
from chainrule.train.config import Request
from chainrule.train.layers import COLUMNS, in_words
from chainrule.train.loop import Callback, Training
from chainrule.train.problem import Examples
from chainrule.train.session import Interrupted, resume, start
from chainrule.train.sources import load

BUILDER = """
import numpy as np
import chainrule as cr
from chainrule import nn

class Net(nn.Module):
    def __init__(self, bias, kind):
        super().__init__()
        self.inner, self.outer, self.kind = nn.Linear(3, 32), nn.Linear(32, 2), kind
        with cr.no_grad():
            self.inner.bias.fill_(bias)

    def forward(self, x):
        h = self.inner(x).relu()
        if self.kind == "log":
            h = (h - 0.001).log()
        if self.kind == "branching" and h.sum() > -1:
            h = h * 1.0
        return self.outer(h)

def build(bias=0.0, kind="plain"):
    inputs = np.random.default_rng(0).normal(size=(320, 3))
    model = Net(bias, kind)
    return {"model": model, "loss": nn.CrossEntropyLoss(), "train": (inputs, (inputs.sum(1) > 0).astype(int))}
"""


@pytest.fixture
def builder(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(BUILDER)
    return f"{path}:build"


def records_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def looks_of(folder: Path) -> list[dict[str, Any]]:
    return [look for record in records_of(folder) for look in record["watch"]["looks"]]


class Interrupting(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def after_backward(self, training: Training) -> None:
        if training.epoch == self.epoch and training.step == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("compiled", [None, False])
def test_a_watched_run_ends_with_the_bits_of_one_that_is_not(tmp_path: Path, compiled: bool | None) -> None:
    asked: dict[str, Any] = {"data": "iris", "layers": (8,), "epochs": 8, "compile": compiled}
    start(Request(**asked, watch=0.5), str(tmp_path / "watched"))
    start(Request(**asked, watch=0.0), str(tmp_path / "alone"))
    ours, theirs = (tmp_path / name / "model.safetensors" for name in ("watched", "alone"))
    assert ours.read_bytes() == theirs.read_bytes()
    assert looks_of(tmp_path / "watched")
    for a, b in zip(records_of(tmp_path / "watched"), records_of(tmp_path / "alone"), strict=True):
        del a["seconds"], b["seconds"], a["watch"]
        assert a == b


def test_each_record_has_the_steps_and_the_layers_that_were_looked_at(tmp_path: Path) -> None:
    outcome = start(Request("iris", layers=(8,), epochs=6, batch_size=16, watch=0.5), str(tmp_path / "run"))
    records = records_of(tmp_path / "run")
    assert [record["watch"]["steps"] for record in records] == [7 * epoch for epoch in range(1, 7)]
    for record in records:
        looks = record["watch"]["looks"]
        assert len(looks) <= COLUMNS // 6
        assert all(7 * (record["epoch"] - 1) < look["step"] <= 7 * record["epoch"] for look in looks)
    first, *later = looks_of(tmp_path / "run")
    assert set(first["layers"]) == {"0", "2"}
    assert set(first["layers"]["0"]) == {"weight", "gradient", "dead"}
    assert all(set(look["layers"]["0"]) == {"weight", "gradient", "dead", "update"} for look in later)
    assert outcome.watch is not None
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Size of the gradient" in page
    assert "Update, as a share of the weights" in page


def test_an_eager_run_sees_what_modules_return_too(tmp_path: Path, builder: str) -> None:
    start(Request(builder, epochs=3, compile=False, watch=0.5), str(tmp_path / "asked"))
    start(Request(builder, arguments={"kind": "branching"}, epochs=3, watch=0.5), str(tmp_path / "refused"))
    for name in ("asked", "refused"):
        assert all("activation" in look["layers"]["outer"] for look in looks_of(tmp_path / name))


def test_a_watch_makes_no_program_of_a_run_be_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def counted(function: Any) -> Any:
        made.append(compiled(function))
        return made[-1]

    compiled = steps.compiled
    monkeypatch.setattr(steps, "compiled", counted)
    counts = []
    for name, budget in (("watched", 0.5), ("alone", 0.0)):
        made.clear()
        start(Request("iris", layers=(8,), epochs=8, batch_size=16, watch=budget), str(tmp_path / name))
        counts.append([sum(map(len, one.programs.values())) for one in made])
    assert counts[0] == counts[1] == [1, 2, 1]  # an evaluation; batches of 16 and of the 12 left over; an update


def test_no_watch_leaves_no_trace(tmp_path: Path) -> None:
    outcome = start(Request("iris", layers=(8,), epochs=2, watch=0.0), str(tmp_path / "run"))
    assert outcome.watch is outcome.to_dict()["events"] is None
    assert all("watch" not in record for record in records_of(tmp_path / "run"))
    assert "looks in" not in (tmp_path / "run" / "report.html").read_text()


class InterruptingAtOnce(Callback):
    """Behind the first look, where a watch is ready for the second."""

    model: Any = None

    def after_backward(self, training: Training) -> None:
        self.model = training.model
        raise KeyboardInterrupt


def test_an_interrupted_run_leaves_no_hooks_on_the_model(tmp_path: Path, builder: str) -> None:
    interrupting = InterruptingAtOnce()
    with pytest.raises(Interrupted):
        start(Request(builder, epochs=2, compile=False, watch=0.5), str(tmp_path / "run"), [interrupting])
    assert [name for name, m in interrupting.model.named_modules() if m._hooks is not None] == []


def test_a_resumed_run_goes_on_watching_and_tells_nothing_twice(tmp_path: Path, builder: str) -> None:
    asked = Request(builder, arguments={"bias": -1e5}, epochs=8, watch=0.5)
    said: list[str] = []
    with pytest.raises(Interrupted):
        start(asked, str(tmp_path / "run"), [Interrupting(6)], said.append)
    outcome = resume(tmp_path / "run", say=said.append)
    assert len([line for line in said if "no gradient reaches layer inner" in line]) == 1
    records = records_of(tmp_path / "run")
    assert [record["watch"]["steps"] for record in records] == [9 * epoch for epoch in range(1, 9)]
    assert [e["where"] for record in records for e in record["watch"]["events"]] == ["inner"]
    assert outcome.watch is not None
    seen = [look.step for look in outcome.watch.looks]
    assert seen == sorted(seen)
    assert seen[0] == 1
    assert seen[-1] > 45
    assert outcome.to_dict()["events"][0]["kind"] == "dead layer"


def test_a_dead_layer_is_told_when_it_is_seen_and_at_the_end(
    tmp_path: Path, builder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    args = [builder, "--set", "bias=-1e5", "--epochs", "4", "--watch", "0.5", "--out", str(run)]
    assert main(["train", *args]) == 0
    out, err = capsys.readouterr()
    told = "no gradient reaches layer inner: none of its units learns"
    assert re.search(rf"^epoch 1, batch \d: {told}$", err, re.MULTILINE)
    assert told in " ".join(out.split())
    assert re.search(rf"step \d: {told}", (run / "report.html").read_text())


def test_a_loss_that_is_nan_names_the_operation_and_leaves_a_report(
    tmp_path: Path, builder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["train", builder, "--set", "kind=log", "--out", str(run)]) == 2
    said = capsys.readouterr().err
    line = BUILDER.splitlines().index("            h = (h - 0.001).log()") + 1
    assert "first not finite  the result of log, Net.forward, " in said
    assert f"mine.py:{line}\n" in said
    assert (
        "epoch 1, batch 1: the gradients of inner.weight, inner.bias, outer.weight, outer.bias are not finite" in said
    )
    page = (run / "report.html").read_text()
    assert "training failed" in page
    assert "the loss became nan at epoch 1, batch 1" in page


def test_a_learning_rate_that_is_too_large_is_told_by_the_first_step(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(NonFiniteLossError, match="first not finite  the result of linear in layer 2"):
        start(Request("digits", optimizer="sgd", lr=1e8, epochs=5), str(tmp_path / "run"), say=said.append)
    assert any(line.startswith("epoch 1, batch 2: one step changed the weights of layers 0, 2, 4 by ") for line in said)


class PoisonAtTheEnd(Callback):
    def after_backward(self, training: Training) -> None:
        if training.epoch == 2 and training.step == training.batches - 1:  # type: ignore[operator]  # known here
            next(iter(training.model.parameters())).grad.value[...] = float("nan")


def test_weights_that_are_not_finite_at_the_end_of_an_epoch_are_named(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(NonFiniteLossError):
        start(Request("iris", layers=(4,), epochs=9), str(tmp_path / "run"), [PoisonAtTheEnd()], said.append)
    assert any("epoch 2, batch 4: the weights 0.weight are not finite (nan)" in line for line in said), said
    assert "Size of the weights" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("kind", "what", "value", "places", "words"),
    [
        ("dead layer", "gradient", 1.0, "a", "no gradient reaches layer a: none of its units learns"),
        ("dead units", "gradient", 0.6, "a", "at least half of the units of layer a get no gradient"),
        ("jump", "weights", 12.5, "ab", "one step changed the weights of layers a, b by 12.50 times their size"),
        ("non-finite", "weights", float("nan"), "a", "the weights a are not finite (nan)"),
        ("non-finite", "gradient", float("inf"), "a", "the gradient of a is not finite (infinite)"),
        ("non-finite", "gradient", 1.0, "abcdef", "the gradients of a, b, c, d and 2 more are not finite (infinite)"),
        ("non-finite", "Log", float("nan"), "a", "the result of layer a (Log) is not finite (nan)"),
    ],
)
def test_every_event_is_a_sentence(kind: Any, what: str, value: float, places: str, words: str) -> None:
    assert in_words([Event(3, 2, kind, where, what, value) for where in places]) == words


@pytest.mark.parametrize("share", ["1", "-0.1", "nan"])
def test_a_budget_that_is_no_share_is_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iris", "--watch", share]) == 2
    assert "--watch must be from 0 to below 1" in capsys.readouterr().err


def test_the_share_of_dead_units_is_that_of_units_that_no_training_row_makes_active(tmp_path: Path) -> None:
    start(Request("digits", epochs=12, watch=0.5), str(tmp_path / "run"))
    weights = {name: tensor.value for name, tensor in load_file(tmp_path / "run" / "model.safetensors").items()}
    training = load(Request("digits")).train
    assert isinstance(training, Examples)
    first = np.maximum(training.inputs @ weights["0.weight"].T + weights["0.bias"], 0)
    second = np.maximum(first @ weights["2.weight"].T + weights["2.bias"], 0)
    last = looks_of(tmp_path / "run")[-1]["layers"]
    for layer, activation in (("0", first), ("2", second)):
        silent = float(np.mean(activation.max(axis=0) == 0))
        assert silent > 0.05
        assert last[layer]["dead"] == pytest.approx(silent, abs=0.04)  # three batches are not all rows


def test_the_gradient_norms_of_many_layers_are_shades_and_not_lines(tmp_path: Path) -> None:
    for count in (2, 12):
        start(Request("iris", layers=(8,) * count, epochs=2, watch=0.0), str(tmp_path / str(count)))
    few, many = ((tmp_path / name / "report.html").read_text() for name in ("2", "12"))
    assert "layer 0</text>" in few
    assert "layer 0</text>" not in many
    assert "Gradient norm of each layer" in many
