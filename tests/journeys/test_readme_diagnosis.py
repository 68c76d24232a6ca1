"""The front page's diagnosis is what the command prints today: the file, the command line, every line that is shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from chainrule.cli.main import main

README = Path(__file__).parents[2] / "README.md"


def blocks() -> list[str]:
    """The blocks of code of the section on diagnosis: the file, the command line, what it prints."""
    section = re.split(r"^## ", README.read_text("utf-8"), flags=re.MULTILINE)
    (diagnosis,) = [one for one in section if one.startswith("Why do gradients vanish here?")]
    return re.findall(r"^```\w*\n(.*?)^```", diagnosis, re.DOTALL | re.MULTILINE)


def test_the_front_page_shows_what_diagnose_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, command, shown = blocks()
    (tmp_path / "deep.py").write_text(file, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    program, *arguments = shlex.split(command, comments=True)
    assert program == "chainrule"
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    place = 0
    for part in shown.split("...\n"):  # three dots stand for lines that are left out
        assert part in printed[place:]
        place = printed.index(part, place) + len(part)
