"""Small programs written for PyTorch run with `import chainrule as torch`, and are what they say: programs for PyTorch.

Each file of `programs/` checks its own result. It runs twice: as it is, and with PyTorch in chainrule's place.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import chainrule

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))


@pytest.fixture(autouse=True)
def _same_state_for_everyone() -> Any:
    """Programs seed the default generator."""
    state = chainrule.get_rng_state()
    yield
    chainrule.set_rng_state(state)


def run(source: str, path: Path) -> None:
    exec(compile(source, str(path), "exec"), {"__name__": "__main__"})


def test_there_are_a_dozen_programs() -> None:
    assert len(PROGRAMS) >= 12


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_the_program_runs_on_chainrule(path: Path) -> None:
    run(path.read_text(), path)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_the_program_runs_on_pytorch(path: Path) -> None:
    pytest.importorskip("torch")
    run(re.sub(r"\bchainrule\b", "torch", path.read_text()), path)
