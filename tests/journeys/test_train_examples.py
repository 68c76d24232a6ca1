"""The scripts in examples/ run, quickly and without a warning, and do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "examples"


def output_of(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_by_hand_learns_the_flowers() -> None:
    found = re.search(r"test accuracy ([\d.]+)%", output_of("by_hand.py"))
    assert found
    assert float(found[1]) > 85


def test_train_and_predict_names_two_flowers() -> None:
    lines = output_of("train_and_predict.py").splitlines()
    assert [line.split(",")[1] for line in lines[-2:]] == ["setosa", "virginica"]


def test_spirals_is_learned_from_the_command_line_and_predicted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = f"{EXAMPLES / 'spirals.py'}:build"
    assert main(["train", data, "--set", "points=400", "--out", "run", "--quiet"]) == 0
    found = re.match(r"spirals: test accuracy ([\d.]+)%", capsys.readouterr().out)
    assert found
    assert float(found[1]) > 95
    assert main(["predict", "run"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 201
    assert f"{found[1]}%" in err


def test_the_readme_names_every_example() -> None:
    page = (EXAMPLES / "README.md").read_text()
    assert all(f"`{path.name}`" in page for path in EXAMPLES.glob("*.py"))
