"""Derivation files that mean harm, or are broken: an error with its line and column, never code, never a hang."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from chainrule.cli.main import main
from chainrule.errors import ArgumentError, DataError, FileFormatError, NotationError
from chainrule.verify import derivation
from chainrule.verify.claims import read

FORWARD = """given
  x = [0.5, 2]
forward
  z = 2 * x
  a = sigmoid(z)
  L = sum(a**2)
claims
"""
FIRST_CLAIM = 8


def claims(*lines: str) -> str:
    return FORWARD + "".join([f"  {line}\n" for line in lines])


def forward(given: str, *lines: str) -> str:
    return f"given\n  {given}\nforward\n" + "".join([f"  {line}\n" for line in lines]) + "claims\n  dL/dx = 1\n"


@pytest.mark.parametrize(
    ("lines", "line", "round_"),
    [
        (("dL/dz = dL/dz",), 8, "dL/dz -> dL/dz"),
        (("dL/dz = dL / dz",), 8, "dL/dz -> dL/dz"),
        (("dL/da = dL/dz", "dL/dz = dL/da"), 8, "dL/da -> dL/dz -> dL/da"),
        (("dL/da = 2 * a", "dL/dz = dL/da * da/dz", "da/dz = dL/dz / dL/da"), 9, "dL/dz -> da/dz -> dL/dz"),
        (("dL/dz = dL/da * a * (1 - a)", "dL/da = dL/dz / (a * (1 - a))"), 8, "dL/dz -> dL/da -> dL/dz"),
    ],
)
def test_claims_stated_in_terms_of_each_other_are_refused_at_the_first(
    lines: tuple[str, ...], line: int, round_: str
) -> None:
    with pytest.raises(NotationError, match="stated in terms of itself") as refused:
        derivation(text=claims(*lines))
    assert round_ in str(refused.value)
    assert (refused.value.line, refused.value.column) == (line, 3)


def forward_part(x: Any) -> dict[str, Any]:
    z = 2 * x
    return {"z": z, "L": (z * z).sum()}


def test_claims_in_python_that_go_round_are_refused_by_name() -> None:
    with pytest.raises(ArgumentError, match="dL/dz is stated in terms of itself"):
        derivation(
            forward=forward_part,
            given={"x": [[1.0], [2.0]]},
            claims={"dL/dz": lambda v: v["dL/dz"]},
        )


def test_a_claim_may_be_stated_by_one_further_from_the_loss() -> None:
    """dL/da by dL/dx, which is wrong: what follows from it is a consequence, and nothing goes round."""
    result = derivation(text=claims("dL/dx = 3 * x", "dL/dz = dL/dx / 2"))
    assert [claim.verdict for claim in result.claims] == ["wrong", "consequence"]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_derivation_of_hundreds_of_steps_needs_no_deep_stack(reverse: bool) -> None:
    n = 250
    steps = [f"  z{i + 1} = tanh(z{i})\n" for i in range(n)]
    stated = [f"  dL/dz{i} = dL/dz{i + 1} * (1 - z{i + 1}**2)\n" for i in range(n)]
    stated = stated[::-1] if reverse else stated
    text = f"given\n  z0 = 0.5\nforward\n{''.join(steps)}  L = z{n} * 1\nclaims\n{''.join(stated)}"
    assert derivation(text=text).ok


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        (claims("dL/dx = x.__class__"), 8, 12, "'.' has no meaning"),
        (claims("dL/dx = x.T.__init__"), 8, 14, "'.' has no meaning"),
        (claims('dL/dx = eval("1")'), 8, 16, "has no meaning"),
        (claims("dL/dx = eval(x)"), 8, 11, "eval"),
        (claims("dL/dx = __import__(x)"), 8, 11, "__import__"),
        (claims("dL/dx = lambda: x"), 8, 17, "cannot stand here"),
        (claims("dL/dx = x if x else x"), 8, 13, "'if'"),
        (claims("dL/dx = [x for x in x]"), 8, 11, "not closed"),
        (claims("dL/dx = x; x = 1"), 8, 12, "';' has no meaning"),
        (claims("dL/dx = 2 * q"), 8, 15, "no quantity is called 'q'"),
        (claims("dL/dq = 1"), 8, 3, "no quantity is called 'q'"),
        (claims("dL = 1"), 8, 3, "'dL' is not a derivative"),
        (claims("dL/dx = relu(x"), 8, 15, "not closed"),
        (claims("dL/dx = " + "(" * 3000 + "x" + ")" * 3000), 8, None, "nested more than"),
        (claims("dL/dx = " + "-" * 3000 + "x"), 8, None, "nested more than"),
        (claims("dL/dx = " + "+".join("x" * 5000)), 8, None, "terms deep"),
        (forward("x = " + "[" * 3000 + "]" * 3000, "L = sum(x)"), 2, None, "nested more than"),
        (forward("x = random(100000, 100000)", "L = sum(x)"), 2, 7, "more than the 1000000"),
        (forward("x = 9**9**9**9", "L = sum(x)"), 2, 11, "is not a number"),
        (forward("x = y\n  y = x", "L = sum(x)"), 2, 7, "no quantity is called 'y'"),
        (forward("x = [1, 2]", "z = 2 * z", "L = sum(z)"), 4, 11, "no quantity is called 'z'"),
        (forward("x = [1, 2]", "a = 2 * z", "z = x", "L = sum(a)"), 4, 11, "no quantity is called 'z'"),
        (forward("x = [1, 2]", "x = 3", "L = sum(x)"), 4, 3, "defined already"),
        (forward("x = [1, 2]", "z = x @ x", "L = sum(z)"), 4, 9, "the shapes do not fit: (2 × 1) @ (2 × 1)"),
        (forward("x = [1, 2]", "z = 2 * x"), 5, 1, "ends without a loss"),
        (FORWARD, 8, 1, "nothing is claimed"),
        ("", 1, 1, "the section 'given' is missing"),
        ("given\n\x00 x = 1\n", 2, 1, "has no meaning"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_at_its_line_and_column(
    text: str, line: int, column: int | None, message: str
) -> None:
    with pytest.raises(NotationError) as refused:
        derivation(text=text)
    assert message in str(refused.value)
    assert refused.value.line == line
    assert column is None or refused.value.column == column
    assert max(map(len, str(refused.value).splitlines())) < 200, "a long line is shown in part"


@pytest.mark.parametrize("given", ["x = [0, 1]", "x = [-1, 1]", "x = " + "9" * 5000])
def test_a_forward_part_that_is_not_finite_is_refused(given: str) -> None:
    with pytest.raises(DataError, match="not finite"):
        derivation(text=forward(given, "L = sum(log(x) + x)"))


def test_a_huge_file_is_refused_at_once() -> None:
    started = time.perf_counter()
    with pytest.raises(NotationError, match="more than 1000000"):
        derivation(text=claims(*["dL/dx = 1"] * 2_000_000))
    assert time.perf_counter() - started < 5


def test_unused_givens_are_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "unused.txt"
    file.write_text("given\n  x = [1, 2]\n  u = 3\nforward\n  L = sum(x)\nclaims\n  dL/dx = ones(2)\n", "utf-8")
    assert main(["verify", str(file)]) == 0
    assert "warning: u, given in line 3" in capsys.readouterr().out


RIGHT = "given\n\tx = [1, 2]\nforward\n\tL = sum(x**2)\nclaims\n\tdL/dx = 2*x\n"


@pytest.mark.parametrize(
    "written",
    [
        RIGHT.encode(),
        b"\xef\xbb\xbf" + RIGHT.replace("\n", "\r\n").encode(),
        RIGHT.replace("\n", "\r").encode(),
        RIGHT.encode("utf-16"),
        RIGHT.replace("x", "\u03b8").encode(),
        RIGHT.replace("x", "y\u0302").encode(),
        RIGHT.replace("x", "\u0177").replace("2*\u0177", "2*y\u0302").encode(),
        RIGHT.replace("x", "x\u0302").replace("=", "\uff1d").replace("(", "\uff08").replace(")", "\uff09").encode(),
        RIGHT.replace("x", "\u6743\u91cd").replace("\n", "\u3000\uff03 \u4e2d\u6587\n").encode(),
        RIGHT.replace("x", "z\u2082").replace("dL/dz\u2082", "dL/dz2").encode(),
    ],
)
def test_files_of_all_editors_are_read(written: bytes, tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_bytes(written)
    assert derivation(file).ok


def test_a_file_in_another_encoding_is_refused_once_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gbk.txt"
    file.write_bytes("given # \u8f93\u5165".encode("gbk"))
    with pytest.raises(FileFormatError, match="UTF-8"):
        read(file)
    assert main(["verify", str(file)]) == 2
    assert capsys.readouterr().err.count("gbk.txt") == 1
    assert main(["verify", str(tmp_path / "none.txt")]) == 2
    assert capsys.readouterr().err.endswith("none.txt: No such file or directory\n")


def test_the_mark_stands_under_its_column_also_behind_wide_letters_and_tabs() -> None:
    with pytest.raises(NotationError) as refused:
        derivation(text=RIGHT.replace("x", "\u6743").replace("2*\u6743", "2*\u6743 + q"))
    *_, shown, mark = str(refused.value).splitlines()[:3]
    assert mark == "    \t" + " " * len("dL/d") + "  " + " " * len(" = 2*") + "  " + " " * len(" + ") + "^"
    assert shown.startswith("    \t")


def test_a_file_is_checked_in_less_than_a_second() -> None:
    text = claims("dL/da = 2 * a", "dL/dz = dL/da * a", "dL/dx = 2 * dL/dz")
    derivation(text=text)
    started = time.perf_counter()
    assert derivation(text=text).first_wrong is not None
    assert time.perf_counter() - started < 1
