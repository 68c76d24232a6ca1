"""docs/articles.md: every line, error and convention of the page has a test that is named after it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "articles.md"

ID = re.compile(r"\*\*((?:A\d\.E?|C)\d+)\*\*")
IN_A_NAME = re.compile(r"_(a\d_e?\d+|c\d+)(?=_)")
RANGE = re.compile(r"_a(\d)_(\d+)_to_a\1_(\d+)_")


def listed() -> list[str]:
    """The ids of the page, in its order: A0.1, A0.E1, C1."""
    return ID.findall(PAGE.read_text("utf-8"))


def named() -> dict[str, str]:
    """The ids that tests have in their names, each with the name of one such test."""
    found: dict[str, str] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for name in ids_in(node.name):
                    found.setdefault(name, node.name)
    return found


def ids_in(name: str) -> list[str]:
    """The ids in the name of a test: test_a3_3_to_a3_5_... is about three lines."""
    found = [one.replace("_", ".").upper() for one in IN_A_NAME.findall(name)]
    for article, first, last in RANGE.findall(name):
        found += [f"A{article}.{k}" for k in range(int(first), int(last) + 1)]
    return found


def test_the_page_lists_its_lines_errors_and_conventions_once_each() -> None:
    ids = listed()
    assert len(ids) == len(set(ids))
    lines = {f"A{a}.{k}" for a, last in enumerate((11, 10, 9, 7, 6)) for k in range(1, last + 1)}
    errors = {f"A{a}.E{k}" for a, last in enumerate((5, 5, 3, 4, 3)) for k in range(1, last + 1)}
    assert set(ids) == lines | errors | {f"C{k}" for k in range(1, 9)}
    errors_below = re.findall(r"\*\*Errors to know\*\*\n\n((?:- .*\n)+)", PAGE.read_text("utf-8"))
    assert len(errors_below) == 5
    assert all(re.match(r"- \*\*A\d\.E\d\*\* ", one) for block in errors_below for one in block.splitlines())


def test_every_id_of_the_page_is_in_the_name_of_a_test() -> None:
    tests = named()
    assert [one for one in listed() if one not in tests] == []


def test_no_test_is_named_after_a_line_that_the_page_does_not_have() -> None:
    ids = set(listed())
    assert {name: test for name, test in named().items() if name not in ids} == {}


def test_names_are_read_as_they_are_written() -> None:
    assert ids_in("test_a0_10_x") == ["A0.10"]
    assert ids_in("test_a1_9_and_a2_e3_x") == ["A1.9", "A2.E3"]
    assert set(ids_in("test_a3_3_to_a3_5_x")) == {"A3.3", "A3.4", "A3.5"}
    assert ids_in("test_c2_x") == ["C2"]
    assert ids_in("test_every_case") == []
