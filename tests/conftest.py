"""Shared by all tests: inside CI, a test that PyTorch or another oracle should have decided must not be skipped."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import pytest
from hypothesis import settings

# CI draws the same examples in every run, so that it answers for the change alone; a developer's run draws new ones
settings.register_profile("new examples", deadline=None)
settings.register_profile("the same examples", deadline=None, derandomize=True)
settings.load_profile("the same examples" if os.environ.get("CI") else "new examples")

# no test writes to the user's cache of compiled programs
_cache = tempfile.TemporaryDirectory(prefix="chainrule-cache-")
os.environ.setdefault("CHAINRULE_CACHE_DIR", _cache.name)

REQUIRED = os.environ.get("CHAINRULE_REQUIRE_ORACLES") == "1"
ORACLES = ("torch", "safetensors", "sklearn", "pyarrow", "importlinter", "mypy")
_missing: list[str] = []


def _note(report: Any) -> None:
    if REQUIRED and report.skipped and any(f"'{name}'" in str(report.longrepr) for name in ORACLES):
        _missing.append(f"{report.nodeid}: {report.longrepr[-1] if report.longrepr else ''}")


def pytest_collectreport(report: Any) -> None:
    _note(report)


def pytest_runtest_logreport(report: Any) -> None:
    _note(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _missing:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for line in _missing:
        terminalreporter.write_line(f"ORACLE SKIPPED {line}", red=True)
