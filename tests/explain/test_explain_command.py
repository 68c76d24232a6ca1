"""`chainrule explain`: a program or a run folder, in every form; nothing is run as Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.cli.main import main

PROGRAM = "z = w*x + b; y = sigmoid(z); L = 1/2*(y - t)**2"
AT = ["--at", "x=0.5,w=0.4,b=0.1,t=0.8"]


def printed(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["explain", *args]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["explain", *args]) == 2
    return capsys.readouterr().err


def test_the_worked_example_is_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, PROGRAM, *AT, "--wrt", "w,b", "--lr", "0.01", "--json"))
    values = {s["symbol"]: s["value"] for section in found["sections"] for s in section["steps"]}
    exact = {
        "z": 0.3, "y": 0.574442516811659, "L": 0.025438089111129, "dL/dy": -0.225557483188341,
        "d(y)/d(z)": 0.244458311690746, "d(z)/d(w)": 0.5, "dL/dw": -0.027569700764718, "dL/db": -0.055139401529436,
        "w_new": 0.400275697007647, "b_new": 0.100551394015294,
    }  # fmt: skip
    for symbol, value in exact.items():
        assert values[symbol] == pytest.approx(value, abs=1e-15), symbol


def test_forms_and_languages(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert r"\frac{" in printed(capsys, PROGRAM, *AT, "--latex")
    assert printed(capsys, PROGRAM, *AT, "--markdown").startswith("# Derivation")
    assert "反向传播" in printed(capsys, PROGRAM, *AT, "--lang", "zh")
    assert "tr(" in printed(
        capsys, "z = W@x; L = sum(z**2)", "--at", "x=[1,2],W=[[1,2],[3,4]]", "--level", "differential"
    )
    printed(capsys, PROGRAM, *AT, "--html", str(tmp_path / "e.html"))
    assert (tmp_path / "e.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_mistakes_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "neither a run folder nor a program" in refused(capsys, "nowhere")
    assert "'t'" in refused(capsys, PROGRAM, "--at", "x=0.5,w=0.4,b=0.1")
    assert "no quantity is called 'v'" in refused(capsys, PROGRAM, *AT, "--wrt", "v")
    assert "gives 'x' twice" in refused(capsys, PROGRAM, "--at", "x=1,x=2")
    assert "no number" in refused(capsys, PROGRAM, "--at", "x=__import__('os')")
    assert "NAME=VALUE" in refused(capsys, PROGRAM, "--at", "0.5")
    assert "'.' has no meaning here" in refused(capsys, "z = x.__class__; L = z", "--at", "x=1")
    assert "--sample applies to a run folder" in refused(capsys, PROGRAM, *AT, "--sample", "1")


def test_a_trained_run_is_explained_on_one_of_its_test_rows(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chainrule.train.config import Request
    from chainrule.train.session import start

    monkeypatch.chdir(tmp_path)
    start(Request(data="iris", epochs=2, layers=(5,)), "run")
    capsys.readouterr()
    text = printed(capsys, "run", "--sample", "3", "--layer", "2")
    assert "2.weight" in text
    assert "softmax" in text
    assert "no layer 'fc9'" in refused(capsys, "run", "--layer", "fc9")
    assert "--sample takes a test row from 1 to" in refused(capsys, "run", "--sample", "0")
    assert "--at applies to a program" in refused(capsys, "run", "--at", "x=1")


@pytest.mark.parametrize("form", ["--json", "--latex", "--markdown", "--html"])
def test_what_other_programs_read_is_utf_8_whatever_the_terminal_shows(form: str) -> None:
    words = ["explain", "z = w*x; L = z**2", "--at", "w=2,x=3", "--lang", "zh", form]
    done = subprocess.run(
        [sys.executable, "-m", "chainrule", *words], capture_output=True, check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert "∂" in done.stdout.decode("utf-8") or "\\partial" in done.stdout.decode("utf-8")
