"""`chainrule verify`, as students and teachers use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chainrule.cli.main import main

SLIP = """given
  x = [0.5, 0.1]
  t = [1, 0]
  W = random(2, 2)
forward
  z = W @ x
  a = sigmoid(z)
  L = 1/2 * sum((a - t)**2)
claims
  dL/da = a - t
  dL/dz = dL/da * a
  dL/dW = dL/dz @ x.T
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slip.txt").write_text(SLIP)
    (tmp_path / "right.txt").write_text(SLIP.replace("dL/da * a\n", "dL/da * a * (1 - a)\n"))
    (tmp_path / "broken.txt").write_text(SLIP.replace("dL/da * a\n", "dL/da * (a\n"))
    return tmp_path


def test_the_exit_status_says_the_verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "right.txt"]) == 0
    assert main(["verify", "slip.txt"]) == 1
    assert main(["verify", "broken.txt"]) == 2
    assert main(["verify", "nowhere.txt"]) == 2
    said = capsys.readouterr()
    assert "The first wrong step is dL/dz, in line 11." in said.out
    assert "line 11, column 19" in said.err
    assert "nowhere.txt" in said.err


def test_a_file_that_cannot_be_read_does_not_hide_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "broken.txt", "slip.txt"]) == 2
    assert "activation for its derivative" in capsys.readouterr().out


def test_json_has_one_object_for_each_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "slip.txt", "broken.txt", "--json"]) == 2
    slip, broken = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (slip["ok"], slip["first_wrong"]) == (False, "dL/dz")
    assert (broken["ok"], broken["line"]) == (False, 11)


def test_the_report_speaks_chinese(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "slip.txt", "--lang", "zh"]) == 1
    assert "第一个错误的步骤是第 11 行的 dL/dz" in capsys.readouterr().out


def test_a_slip_costs_points_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "slip.txt", "--grade", "--json"]) == 1
    grade = json.loads(capsys.readouterr().out)
    assert [mark["got"] for mark in grade["marks"]] == [1, 0.5, 1]


def test_a_rubric_sets_the_weights_and_asks_for_what_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "rubric.json").write_text('{"points": {"dL/dz": 4, "dL/db": 2}, "partial": 0.25}')
    main(["verify", "slip.txt", "--grade", "--rubric", "rubric.json", "--json"])
    grade = json.loads(capsys.readouterr().out)
    assert [(mark["claim"], mark["got"], mark["of"]) for mark in grade["marks"]] == [("dL/dz", 1, 4), ("dL/db", 0, 2)]


def test_a_slip_that_the_rubric_does_not_list_costs_points_where_it_first_shows(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rubric = '{"points": {"dL/da": 2, "dL/dW": 4, "dL/dx": 1}, "partial": 0.25}'
    (folder / "rubric.json").write_text(rubric)
    (folder / "slip.txt").write_text(SLIP + "  dL/dx = W.T @ dL/dz\n")
    main(["verify", "slip.txt", "--grade", "--rubric", "rubric.json", "--json"])
    marks = {mark["claim"]: mark for mark in json.loads(capsys.readouterr().out)["marks"]}
    assert {name: mark["got"] for name, mark in marks.items()} == {"dL/da": 2, "dL/dW": 1, "dL/dx": 1}
    assert "activation for its derivative" in marks["dL/dW"]["reason"]


def test_a_rubric_holds_whatever_the_loss_is_called(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (folder / "right.txt").read_text("utf-8")
    (folder / "cost.txt").write_text(text.replace("dL/", "dC/").replace("L =", "C =").replace("L  =", "C  ="), "utf-8")
    (folder / "rubric.json").write_text('{"points": {"dL/dz": 4}}')
    main(["verify", "cost.txt", "--grade", "--rubric", "rubric.json", "--json"])
    assert [mark["got"] for mark in json.loads(capsys.readouterr().out)["marks"]] == [4]


def test_a_folder_of_submissions_is_graded_file_by_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", ".", "--grade"]) == 2
    said = capsys.readouterr().out
    assert "right.txt   3 of 3 points." in said
    assert "slip.txt   2.5 of 3 points." in said
    assert "broken.txt" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify"], "no file to check"),
        (["verify", "slip.txt", "--rubric", "r.json"], "Add --grade"),
        (["verify", "--example", "article9"], "no example is called 'article9'"),
        (["verify", "slip.txt", "--grade", "--rubric", "slip.txt"], "is not JSON"),
    ],
)
def test_a_mistaken_command_line_is_explained(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "files", "slips"),
    [
        ("article0", 3, ["dL/dyhat", "dL/dW2", "dL/dz"]),
        ("article1", 4, ["dl/dz2", "dl/dz2", "dl/dz3", "dl/dz3"]),
        ("article2", 1, ["dL/db1"]),
        ("article3", 1, ["dL/dz2"]),
        ("article4", 1, [None]),
    ],
)
def test_the_worked_errors_of_the_articles_are_written_and_found(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, files: int, slips: list[str | None]
) -> None:
    status = main(["verify", "--example", name, "--json"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == len(list(folder.glob("article*.txt"))) == files
    assert sorted(map(str, [one["first_wrong"] for one in found])) == sorted(map(str, slips))
    assert status == (0 if slips == [None] else 1)


def test_an_example_that_was_edited_is_not_overwritten(folder: Path) -> None:
    (folder / "article3.txt").write_text(SLIP)
    assert main(["verify", "--example", "article3"]) == 1
    assert (folder / "article3.txt").read_text() == SLIP
