"""`chainrule diagnose`: what it says, and what its exit status says to a continuous integration."""

from __future__ import annotations

import json

import pytest

from chainrule.cli.main import main

FILE = """
import chainrule as cr
from chainrule import nn, optim


def build(activation="ReLU", depth=3, gain=1.0):
    cr.manual_seed(0)
    layers = []
    for _ in range(depth):
        linear = nn.Linear(16, 16)
        nn.init.kaiming_normal_(linear.weight)
        layers += [linear, getattr(nn, activation)()]
    model = nn.Sequential(*layers, nn.Linear(16, 4))
    x = cr.randn(128, 16)
    y = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    return {"model": model, "loss": nn.CrossEntropyLoss(), "train": (x, y),
            "optimizer": optim.SGD(model.parameters(), lr=0.05)}
"""


@pytest.fixture
def built(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(FILE)
    return f"{path}:build"


DEEP = ("--set", "activation=Sigmoid", "--set", "depth=25")


def test_a_healthy_network_exits_with_0(built, capsys):
    assert main(["diagnose", built]) == 0
    assert "healthy" in capsys.readouterr().out


def test_a_vanishing_gradient_exits_with_1_and_names_the_cap(built, capsys):
    assert main(["diagnose", built, *DEEP]) == 1
    out = capsys.readouterr().out
    assert "vanishing" in out
    assert "activation cap" in out


def test_fail_on_other_causes_exits_with_0(built):
    assert main(["diagnose", built, *DEEP, "--fail-on", "exploding"]) == 0
    assert main(["diagnose", built, *DEEP, "--fail-on", "exploding,vanishing"]) == 1


def test_json_is_one_object_with_findings(built, capsys):
    main(["diagnose", built, *DEEP, "--json"])
    content = json.loads(capsys.readouterr().out)
    assert content["findings"][0]["cause"] == "vanishing"
    assert len(content["ledgers"]) == 4


def test_try_prints_before_and_after_and_the_code(built, capsys):
    assert main(["diagnose", built, *DEEP, "--try", "--batches", "2", "--json"]) == 1
    tried = json.loads(capsys.readouterr().out)["remedies"]
    best = next(one for one in tried["tried"] if one["name"] == tried["recommended"])
    assert best["improves"]
    assert abs(best["after"]["log_gain"]) < abs(best["before"]["log_gain"])
    assert "nn." in best["code"]


def test_the_page_is_written_in_chinese(built, tmp_path):
    page = tmp_path / "out.html"
    main(["diagnose", built, *DEEP, "--html", str(page), "--lang", "zh"])
    text = page.read_text("utf-8")
    assert '<html lang="zh">' in text
    assert "梯度消失" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no data set and no file"),
        (["{built}", "--steps", "3"], "--steps K is for --try"),
        (["{built}", "--batches", "0"], "--batches is at least 1"),
        (["{built}", "--fail-on", ","], "names of causes"),
        (["{built}", "--fail-on", "vanishing,explode"], "there is no cause 'explode'"),
        (["{folder}"], "is not a run folder"),
    ],
)
def test_what_cannot_be_diagnosed_exits_with_2_and_says_why(built, tmp_path, capsys, arguments, message):
    words = [a.format(built=built, folder=tmp_path) for a in arguments]
    assert main(["diagnose", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_run_folder_is_diagnosed_with_its_weights(tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", "iris", "--epochs", "2", "--no-compile", "--quiet", "--out", run]) == 0
    capsys.readouterr()
    assert main(["diagnose", run, "--json"]) in (0, 1)
    content = json.loads(capsys.readouterr().out)
    assert content["optimizer"] == "Adam"
    assert len(content["ledger"]["rows"]) == 3
