"""Runs are compiled where that can be done, to the same metrics; where it cannot, they say so and are eager."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.cli.main import main
from chainrule.errors import NonFiniteLossError
from chainrule.tensor.functions.random import Generator
from chainrule.train import steps
from chainrule.train.config import Request
from chainrule.train.loop import Callback, Shuffled, Training, fit
from chainrule.train.problem import Examples
from chainrule.train.session import Interrupted, resume, start
from chainrule.train.steps import Compiling, backward_of

BUILDER = """
import random
import numpy as np
from chainrule import nn, optim

class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x):
        h = self.inner(x)
        if h.sum() > 0:
            h = h.relu()
        return self.outer(h)

class Noisy(nn.Sequential):
    def forward(self, x):
        return super().forward(x + random.random() * 0.1)

class Counting(nn.Sequential):
    def forward(self, x):
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(x) / self.calls

class Halving(optim.Optimizer):
    '''Keeps its rate in Python, and changes it at each step.'''
    def __init__(self, params):
        super().__init__(params, {"lr": 0.5})
        self.rate = 0.5

    def step(self):
        for p in self.param_groups[0]["params"]:
            p.data.sub_(self.rate * p.grad)
        self.rate *= 0.9

def build(kind="plain"):
    layers = [nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)]
    kinds = {"branching": Branching, "noisy": lambda: Noisy(*layers), "counting": lambda: Counting(*layers)}
    model = kinds.get(kind, lambda: nn.Sequential(*layers))()
    inputs = np.random.default_rng(0).normal(size=(80, 3))
    made = {"model": model, "loss": nn.CrossEntropyLoss(), "train": (inputs, (inputs.sum(1) > 0).astype(int))}
    return {**made, "optimizer": Halving(model.parameters())} if kind == "halving" else made
"""


@pytest.fixture
def builder(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(BUILDER)
    return f"{path}:build"


def result_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return content


def lines_of(request: Request, folder: Path) -> list[str]:
    """What a run says."""
    said: list[str] = []
    start(request, str(folder), say=said.append)
    return said


def assert_alike(ours: dict[str, Any], theirs: dict[str, Any], tolerance: float = 2e-3) -> None:
    """The same numbers in both results, to rounding that has gone through all epochs."""
    assert ours["best_epoch"] == theirs["best_epoch"]
    for part, metrics in theirs["metrics"].items():
        assert ours["metrics"][part] == pytest.approx(metrics, rel=tolerance, abs=1e-5)
    for a, b in zip(ours["history"], theirs["history"], strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=tolerance)
        assert a["validation_loss"] == pytest.approx(b["validation_loss"], rel=tolerance)
        assert a["lr"] == b["lr"]
        assert a["gradient_norms"] == pytest.approx(b["gradient_norms"], rel=10 * tolerance, abs=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_a_compiled_and_an_eager_run_agree(tmp_path: Path, optimizer: str) -> None:
    asked: dict[str, Any] = {
        "data": "iris",
        "layers": (8,),
        "epochs": 8,
        "optimizer": optimizer,
        "schedule": "onecycle",
    }
    said = lines_of(Request(**asked), tmp_path / "compiled")
    start(Request(**asked, compile=False), str(tmp_path / "eager"))
    assert len(said) == 1, said
    assert_alike(result_of(tmp_path / "compiled"), result_of(tmp_path / "eager"))


def test_dropout_and_batch_norm_give_the_run_that_they_give_eagerly(tmp_path: Path, builder: str) -> None:
    said = lines_of(Request(builder, epochs=6), tmp_path / "compiled")
    start(Request(builder, epochs=6, compile=False), str(tmp_path / "eager"))
    assert len(said) == 1, said
    assert_alike(result_of(tmp_path / "compiled"), result_of(tmp_path / "eager"))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("branching", "looks at the elements of a tensor"),
        ("noisy", "draws random numbers of Python or NumPy"),
        ("counting", "changes Counting.calls"),
    ],
)
def test_a_model_that_cannot_be_compiled_is_trained_eagerly_and_one_line_says_why(
    tmp_path: Path, builder: str, kind: str, reason: str
) -> None:
    asked: dict[str, Any] = {"data": builder, "arguments": {"kind": kind}, "epochs": 4}
    said = [line for line in lines_of(Request(**asked), tmp_path / "asked") if "not compiled" in line]
    assert len(said) == 1
    assert reason in said[0]
    assert "\n" not in said[0]
    if kind == "branching":
        line = BUILDER.splitlines().index("        if h.sum() > 0:") + 1
        assert f"mine.py:{line}" in said[0]
    start(Request(**asked, compile=False), str(tmp_path / "eager"))
    ours, theirs = (result_of(tmp_path / name) for name in ("asked", "eager"))
    assert ours["metrics"] == theirs["metrics"]


def test_an_optimizer_of_the_user_runs_in_python(tmp_path: Path, builder: str) -> None:
    asked: dict[str, Any] = {"data": builder, "arguments": {"kind": "halving"}, "epochs": 4}
    start(Request(**asked), str(tmp_path / "compiled"))
    start(Request(**asked, compile=False), str(tmp_path / "eager"))
    assert_alike(result_of(tmp_path / "compiled"), result_of(tmp_path / "eager"))


def test_no_compile_is_honoured_written_down_and_kept_by_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object) -> None:
        raise AssertionError("something is compiled")

    monkeypatch.setattr(steps, "compiled", refuse)
    with pytest.raises(AssertionError, match="something is compiled"):
        main(["train", "iris", "--epochs", "2", "--quiet", "--out", str(tmp_path / "by default")])
    folder = tmp_path / "run"
    assert main(["train", "iris", "--epochs", "2", "--no-compile", "--quiet", "--out", str(folder)]) == 0
    config = json.loads((folder / "config.json").read_text())
    assert config["settings"]["compile"] is config["request"]["compile"] is False
    with pytest.raises(Interrupted):
        start(Request("iris", epochs=3, compile=False), str(tmp_path / "parts"), [Interrupting()])
    resume(tmp_path / "parts")
    capsys.readouterr()
    assert main(["train", "--resume", str(folder), "--no-compile"]) == 2
    assert "--no-compile cannot be changed" in capsys.readouterr().err


class Interrupting(Callback):
    def after_backward(self, training: Training) -> None:
        if training.epoch == 2:
            raise KeyboardInterrupt


# ---- the steps alone ------------------------------------------------------------------------------------------


def network() -> nn.Sequential:
    cr.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def batch(n: int = 10) -> Examples:
    rng = np.random.default_rng(0)
    return Examples(rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 2, n))


def test_a_compiled_step_is_not_taken_where_the_loss_is_not_finite() -> None:
    data, model = batch(), network()
    data.inputs[7] = np.nan
    before = [p.detach().numpy().copy() for p in model.parameters()]
    optimizer = optim.Adam(model.parameters())
    with pytest.raises(NonFiniteLossError, match="the loss became nan at epoch 1, batch 1"):
        fit(model, F.cross_entropy, Shuffled(data, 10), optimizer, epochs=1, compile=Compiling(model, print))
    for p, array in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), array)


def test_gradients_that_a_callback_has_changed_are_those_of_the_step() -> None:
    class Clipping(Callback):
        def after_backward(self, training: Training) -> None:
            nn.utils.clip_grad_norm_(training.model.parameters(), 0.01)
            for p in list(training.model.parameters())[:1]:
                p.grad = p.grad * 2

    weights = []
    for is_compiled in (True, False):
        model = network()
        batches = Shuffled(batch(), 4, Generator().manual_seed(1))
        optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        compile = Compiling(model, print) if is_compiled else steps.as_it_is
        fit(model, F.cross_entropy, batches, optimizer, epochs=4, callbacks=[Clipping()], compile=compile)
        weights.append([p.detach().numpy() for p in model.parameters()])
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def everything(model: nn.Module, optimizer: optim.Optimizer) -> list[Any]:
    """Copies of parameters, gradients and the optimizer's state."""
    tensors = [*model.parameters(), *[p.grad for p in model.parameters()]]
    tensors += [t for entry in optimizer.state.values() for t in entry.values()]
    return [t.detach().numpy().copy() for t in tensors if t is not None]


def test_a_failed_trace_leaves_parameters_gradients_and_optimizer_as_they_were() -> None:
    model = network()
    optimizer = optim.Adam(model.parameters())
    x, y = cr.ones(4, 3), cr.tensor([0, 1, 0, 1])
    backward_of(model, F.cross_entropy, optimizer)(x, y)
    optimizer.step()
    before, said = everything(model, optimizer), list[str]()
    at_the_eager_call: list[Any] = []

    def step(inputs: cr.Tensor, targets: cr.Tensor) -> float:
        if said:
            at_the_eager_call.extend(everything(model, optimizer))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return float(loss)

    assert Compiling(model, said.append)(step)(x, y) > 0
    assert "test_train_compiled.py:" in said[0]
    for a, b in zip(at_the_eager_call, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_batches_of_ever_other_shapes_are_left_eager() -> None:
    model, said = network(), list[str]()
    run = Compiling(model, said.append)(lambda x: model(x))
    for n in range(1, 25):
        assert run(cr.ones(n, 3)).shape == (n, 2)
    assert said == ["eager, not compiled: its batches are of more than 16 shapes"]
