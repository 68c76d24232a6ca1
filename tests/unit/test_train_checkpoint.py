"""Nested states survive the way through a safetensors file; random streams go on where they were."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DataError, FileFormatError, StateError
from chainrule.interop.safetensors import save_file
from chainrule.tensor.functions.random import Generator
from chainrule.train import checkpoint as checkpoints


def test_a_nested_state_comes_back_as_it_was(tmp_path: Path) -> None:
    state = {
        "epoch": 3,
        "state": {0: {"step": np.float32(2), "exp_avg": cr.tensor([1.0, 2.0])}, 1: {"buffer": None}},
        "groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1], "on": True}],
        "a.b": cr.tensor([1]),
        "a": {"b": cr.tensor([2])},
        "$array": "not one",
    }
    path = tmp_path / "c.safetensors"
    checkpoints.save(checkpoints.pack({"epoch": 1, "all": state}), path)
    back = checkpoints.unpack(checkpoints.load(path))["all"]
    assert back["state"][0]["exp_avg"].tolist() == [1.0, 2.0]
    assert back["state"][0]["step"] == 2.0
    assert back["state"][1] == {"buffer": None}
    assert back["groups"] == [{"lr": 0.1, "betas": [0.9, 0.999], "params": [0, 1], "on": True}]
    assert (back["a.b"].tolist(), back["a"]["b"].tolist()) == ([1], [2])
    assert back["$array"] == "not one"


def test_a_packed_state_is_a_copy() -> None:
    weight = cr.zeros(2)
    packed = checkpoints.pack({"w": weight})
    weight.numpy()[...] = 9
    assert packed.arrays["w"].tolist() == [0, 0]


def test_what_a_file_cannot_hold_is_named() -> None:
    with pytest.raises(StateError, match=r"a checkpoint cannot hold a\.0\.f\n    builtins\.function"):
        checkpoints.pack({"a": [{"f": lambda x: x}]})


def test_files_that_are_no_checkpoints_are_named(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(DataError, match="cannot read"):
        checkpoints.load(path)
    save_file({"w": cr.zeros(2)}, path)
    with pytest.raises(FileFormatError, match="is not a checkpoint of format 1"):
        checkpoints.load(path)
    save_file({"w": cr.zeros(2)}, path, metadata={"format": "1", "state": "{"})
    with pytest.raises(FileFormatError, match="is damaged"):
        checkpoints.load(path)
    save_file({"w": cr.zeros(2)}, path, metadata={"format": "1", "state": "[]"})
    with pytest.raises(FileFormatError, match="it names no epoch"):
        checkpoints.load(path)


def test_random_streams_go_on_where_they_were(tmp_path: Path) -> None:
    checkpoints.seed_all(5)
    own = {"loader": Generator().manual_seed(8)}

    def draws() -> list[object]:
        return [
            cr.rand(3).tolist(),
            np.random.rand(3).tolist(),
            np.random.normal(),
            random.random(),
            cr.rand(2, generator=own["loader"]).tolist(),
        ]

    draws()
    checkpoints.save(checkpoints.pack({"epoch": 0, "r": checkpoints.random_states(own)}), tmp_path / "c")
    expected = draws()
    assert draws() != expected
    checkpoints.restore_random_states(checkpoints.unpack(checkpoints.load(tmp_path / "c"))["r"], own)
    assert draws() == expected
