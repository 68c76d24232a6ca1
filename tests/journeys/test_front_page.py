"""What the front page shows is what the commands print today: the file, the command line, every line that is shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from chainrule.cli.main import main

README = Path(__file__).parents[2] / "README.md"


def blocks(heading: str) -> list[str]:
    """The blocks of code of a section."""
    sections = re.split(r"^## ", README.read_text("utf-8"), flags=re.MULTILINE)
    (section,) = [one for one in sections if one.startswith(heading)]
    return re.findall(r"^```\w*\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def check(command: str, shown: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command line, and find what is shown, in order, in what it prints; three dots stand for left-out lines."""
    program, *arguments = shlex.split(command, comments=True)
    assert program == "chainrule"
    assert main(arguments) == status
    printed = capsys.readouterr().out
    place = 0
    for part in shown.split("...\n"):
        assert part in printed[place:]
        place = printed.index(part, place) + len(part)


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)


def test_the_front_page_shows_what_verify_prints(capsys: pytest.CaptureFixture[str]) -> None:
    command, shown = blocks("Is this derivation right?")
    check(command, shown, 1, capsys)


def test_the_front_page_shows_what_diagnose_prints(capsys: pytest.CaptureFixture[str]) -> None:
    file, command, shown = blocks("Why do gradients vanish here?")
    Path("deep.py").write_text(file, "utf-8")
    check(command, shown, 1, capsys)
