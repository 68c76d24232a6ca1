"""What a builder function may return, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.train.config import Request
from chainrule.train.session import prepare, start

START = """
import numpy as np
import chainrule as cr
from chainrule import nn, optim
from chainrule.data import DataLoader, Dataset, IterableDataset, TensorDataset

x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
t = (x[:, 0] > 0).astype(np.int64)
y = x[:, :1] * 3

class Rows(Dataset):
    def __len__(self):
        return 60
    def __getitem__(self, i):
        return x[i], t[i]

class Stream(IterableDataset):
    def __iter__(self):
        return iter([(x[i], t[i]) for i in range(60)])
"""


def made(folder: Path, train: str, loss: str = "nn.CrossEntropyLoss()", outputs: int = 2, more: str = "") -> str:
    path = folder / "mine.py"
    path.write_text(
        f"{START}\ndef build():\n    model = nn.Linear(3, {outputs})\n"
        f"    return {{'model': model, 'loss': {loss}, 'train': {train}{more}}}\n"
    )
    return f"{path}:build"


@pytest.mark.parametrize(
    ("train", "validated"),
    [
        ("(x, t)", True),
        ("[cr.tensor(x), cr.tensor(t)]", True),
        ("(x.astype(np.float64), t.astype(np.int8))", True),
        ("TensorDataset(cr.tensor(x), cr.tensor(t))", True),
        ("Rows()", True),
        ("DataLoader(Rows(), batch_size=8, shuffle=True)", False),
        ("DataLoader(Stream(), batch_size=8)", False),
    ],
)
def test_every_kind_of_data_is_learned(tmp_path: Path, train: str, validated: bool) -> None:
    data = made(tmp_path, train, more=", 'test': (x, t)")
    outcome = start(Request(data=data, epochs=15, lr=0.05), str(tmp_path / "run"))
    assert outcome.problem.task == "classification"
    assert outcome.metrics["test"]["accuracy"] > 0.9
    assert ("validation" in outcome.metrics) == validated
    assert outcome.confusion is not None


def test_an_iterable_data_set_needs_a_loader(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an IterableDataset has no order to split"):
        prepare(Request(data=made(tmp_path, "Stream()")))


@pytest.mark.parametrize(
    ("train", "loss", "outputs", "task"),
    [
        ("(x, t)", "nn.functional.cross_entropy", 2, "classification"),
        ("(x, y)", "nn.MSELoss()", 1, "regression"),
        ("(x, (y > 0).astype(np.float32))", "nn.BCEWithLogitsLoss()", 1, "other"),
        ("(x, t)", "lambda out, t: out.sum()", 1, "other"),
    ],
)
def test_the_task_follows_from_loss_and_targets(tmp_path: Path, train: str, loss: str, outputs: int, task: str) -> None:
    assert prepare(Request(data=made(tmp_path, train, loss, outputs))).problem.task == task


def test_keywords_reach_the_function_and_the_seed_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        f"{START}\ndef build(width, name='a'):\n    assert name == 'b'\n"
        "    model = nn.Sequential(nn.Linear(3, width), nn.Linear(width, 2))\n"
        "    return {'model': model, 'loss': nn.CrossEntropyLoss(), 'train': (x, t)}\n"
    )

    def weights(seed: int) -> Any:
        request = Request(data=f"{path}:build", arguments={"width": 5, "name": "b"}, seed=seed)
        return prepare(request).model[0].weight.detach().numpy()

    assert weights(0).shape == (5, 3)
    assert np.array_equal(weights(0), weights(0))
    assert not np.array_equal(weights(0), weights(1))


def test_an_optimizer_of_the_builder_is_used(tmp_path: Path) -> None:
    data = made(tmp_path, "(x, t)", more=", 'optimizer': optim.SGD(model.parameters(), lr=0.37)")
    prepared = prepare(Request(data=data))
    assert prepared.optimizer.param_groups[0]["lr"] == 0.37
    assert prepared.settings.optimizer == "given"


def test_a_neighbour_of_the_file_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("WIDTH = 7\n")
    path = tmp_path / "mine.py"
    path.write_text(
        f"from neighbour_of_mine import WIDTH\n{START}\ndef build():\n"
        "    model = nn.Sequential(nn.Linear(3, WIDTH), nn.Linear(WIDTH, 2))\n"
        "    return {'model': model, 'loss': nn.CrossEntropyLoss(), 'train': (x, t)}\n"
    )
    assert prepare(Request(data=f"{path}:build")).model[0].weight.shape == (7, 3)


def test_a_schedule_that_needs_the_number_of_batches_is_refused_where_there_is_none(tmp_path: Path) -> None:
    data = made(tmp_path, "DataLoader(Stream(), batch_size=8)")
    with pytest.raises(ValueError, match="onecycle needs to know how many batches"):
        prepare(Request(data=data, schedule="onecycle"))
