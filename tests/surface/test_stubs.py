"""methods.pyi is what tools/make_stubs.py writes, and a strict type checker accepts a user's program with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
from typing import assert_type

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import Tensor, nn, optim
from chainrule.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y.relu()


x = cr.randn(3, 4, requires_grad=True)
w = cr.zeros(2)
w -= 0.1 * w
assert_type(w, Tensor)
assert_type(x.relu(), Tensor)
assert_type(x @ x.T, Tensor)
assert_type(x.sum(dim=1), Tensor)
assert_type(x.mean(axis=0, keepdims=True), Tensor)
assert_type(1 - x, Tensor)
assert_type(-x / 2.0 + x**2, Tensor)
assert_type(x[0], Tensor)
assert_type(x > 0, Tensor)
assert_type(x == 0, Tensor)
assert_type(x.masked_fill(x > 0, 0.0).view(-1, 2).float(), Tensor)
assert_type(w.clamp_(min=0).add_(1.0, alpha=2), Tensor)
contiguous: bool = w.is_contiguous()

model = Net()
optimizer = optim.Adam(model.parameters(), lr=1e-3)
for xb, yb in DataLoader(TensorDataset(cr.randn(8, 4), cr.randint(0, 2, (8,))), batch_size=4, shuffle=True):
    optimizer.zero_grad()
    F.cross_entropy(model(xb), yb).backward()
    optimizer.step()
"""


def test_the_stub_is_fresh() -> None:
    command = [sys.executable, str(ROOT / "tools" / "make_stubs.py"), "--check"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_users_program_passes_the_strict_type_checker(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(program)]
    environment = {"MYPYPATH": str(ROOT / "src"), "PATH": "", "HOME": str(tmp_path)}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_mistake_in_a_users_program_is_found(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text("import chainrule\n\nn: int = chainrule.ones(2).relu()\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(program)]
    environment = {"MYPYPATH": str(ROOT / "src"), "PATH": "", "HOME": str(tmp_path)}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert 'has type "Tensor", variable has type "int"' in run.stdout
