"""Requests become settings: the defaults, and the way through JSON."""

from __future__ import annotations

import json

import pytest

from chainrule.errors import FileFormatError, UsageError
from chainrule.train.config import OPTIMIZERS, Given, Request, Settings, settle
from chainrule.train.files import jsonable


def settled(request: Request, rows: int = 1294) -> Settings:
    return settle(request, task="classification", training_rows=rows, batches=None, given=Given())


def test_the_defaults_are_these() -> None:
    assert settled(Request("digits")) == Settings(
        layers=(256, 128), activation="relu", loss="cross_entropy", optimizer="adam", lr=0.003, momentum=None,
        weight_decay=0.0, schedule="cosine", epochs=44, batch_size=32, seed=0, validation=0.1, early_stopping=None,
        compile=True, watch=0.01,
    )  # fmt: skip


@pytest.mark.parametrize(("rows", "epochs"), [(50, 200), (1294, 44), (54000, 10)])
def test_a_run_is_about_1800_steps_long_in_10_to_200_epochs(rows: int, epochs: int) -> None:
    assert settled(Request("x"), rows).epochs == epochs


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_has_a_rate_and_only_some_a_momentum(name: str) -> None:
    settings = settled(Request("x", optimizer=name))
    assert settings.lr == OPTIMIZERS[name].lr
    assert settings.momentum == {"momentum": 0.9, "sgd": 0.0, "rmsprop": 0.0}.get(name)
    assert settings.weight_decay == (0.01 if name == "adamw" else 0.0)


def test_what_a_builder_brings_along_is_given() -> None:
    given = Given(model=True, optimizer=True, batches=True)
    settings = settle(Request("x"), task="other", training_rows=0, batches=9, given=given)
    assert (settings.loss, settings.optimizer, settings.schedule) == ("given", "given", "none")
    assert settings.layers is settings.lr is settings.batch_size is None
    assert settings.epochs == 200


def test_requests_and_settings_survive_json() -> None:
    request = Request("t.csv", target="y", layers=(3, 4), arguments={"a": [1, 2]}, lr=0.1)
    assert Request.from_dict(json.loads(json.dumps(jsonable(request.to_dict())))) == request
    settings = settled(request)
    assert Settings.from_dict(json.loads(json.dumps(jsonable(settings.to_dict())))) == settings


def test_damaged_settings_are_named() -> None:
    content = settled(Request("x")).to_dict()
    with pytest.raises(FileFormatError, match="the settings of the run are damaged"):
        Settings.from_dict({**content, "more": 1})
    with pytest.raises(FileFormatError, match="the request of the run are damaged"):
        Request.from_dict({**Request("x").to_dict(), "lr": -1})
    with pytest.raises(FileFormatError, match="the settings of the run are damaged"):
        Settings.from_dict([])  # type: ignore[arg-type]  # what a damaged file may hold


def test_an_empty_list_of_layers_is_a_linear_model() -> None:
    assert settled(Request("x", layers=())).layers == ()
    with pytest.raises(UsageError, match="--layers must be whole numbers of at least 1"):
        Request("x", layers=(4, -1))
