"""Law: any program of views, in-place writes and arithmetic has PyTorch's values and gradients, or is refused.

A program is a list of instructions over a growing list of tensors. It runs in both libraries. A write that
PyTorch allows must be allowed here, with the same values everywhere; a gradient that PyTorch computes must be
computed here. What PyTorch refuses may be refused, or be right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chainrule as cr

torch = pytest.importorskip("torch")

START = np.linspace(0.3, 1.7, 12).reshape(3, 4)
OTHER = np.linspace(-1.0, 0.8, 12).reshape(3, 4)


def row(x: Any, n: int) -> Any:
    return x[n % x.shape[0]]


def rows(x: Any, n: int) -> Any:
    return x[n % x.shape[0] :]


VIEWS = {
    "row": row,
    "rows": rows,
    "every second": lambda x, n: x[..., :: 1 + n % 2],
    "transpose": lambda x, n: x.transpose(0, x.ndim - 1),
    "new axis": lambda x, n: x.unsqueeze(n % (x.ndim + 1)),
    "squeeze": lambda x, n: x.squeeze(),
    "flat": lambda x, n: x.reshape(-1),
    "diagonal": lambda x, n: x.diagonal(),
    "expand": lambda x, n: x.expand(2, *x.shape),
    "detach": lambda x, n: x.detach(),
    "narrow": lambda x, n: x.narrow(0, 0, 1),
    "itself": lambda x, n: x.view(x.shape),
}
FRESH = {
    "double": lambda x, n: x * 2.0,
    "square": lambda x, n: x * x,
    "sine": lambda x, n: x.sin(),
    "tanh": lambda x, n: x.tanh(),
    "clone": lambda x, n: x.clone(),
    "sum": lambda x, n: x.sum(),
    "picked": lambda x, n: x[[0, 0]],
    "flip": lambda x, n: x.flip(0),
}
WRITES = {
    "add_": lambda x, n: x.add_(n + 0.5),
    "mul_": lambda x, n: x.mul_(n - 1.5),
    "zero_": lambda x, n: x.zero_(),
    "fill_": lambda x, n: x.fill_(n + 0.25),
    "clamp_": lambda x, n: x.clamp_(-0.5, 1.0),
    "sin_": lambda x, n: x.sin_(),
    "tanh_": lambda x, n: x.tanh_(),
    "relu_": lambda x, n: x.relu_(),
    "pow_": lambda x, n: x.pow_(2),
    "set row": lambda x, n: x.__setitem__(n % x.shape[0], 0.75),
    "set rows": lambda x, n: x.__setitem__([0, -1], 1.25),
}
TWO = {
    "plus": lambda a, b: a + b,
    "times": lambda a, b: a * b,
    "plus=": lambda a, b: a.add_(b),
    "times=": lambda a, b: a.mul_(b),
    "minus=": lambda a, b: a.sub_(b, alpha=2),
    "copy_": lambda a, b: a.copy_(b),
    "set": lambda a, b: a.__setitem__(0, b),
}
STEPS = [*VIEWS, *FRESH, *WRITES, *TWO]
instruction = st.tuples(st.sampled_from(STEPS), st.integers(0, 7), st.integers(0, 7), st.booleans())


class Run:
    """One library running a program on its own tensors."""

    def __init__(self, lib: Any) -> None:
        self.lib = lib
        self.leaf = lib.tensor(START, requires_grad=True)
        self.constant = lib.tensor(OTHER)
        self.tensors = [self.leaf * 1.0, self.constant, self.leaf]

    def step(self, name: str, i: int, j: int, without_grad: bool) -> str | None:
        """Run one instruction; the message of a refusal, or None."""
        x = self.tensors[i % len(self.tensors)]
        y = self.tensors[j % len(self.tensors)]
        with self.lib.set_grad_enabled(not (without_grad and name not in TWO)):
            try:
                made = TWO[name](x, y) if name in TWO else (VIEWS | FRESH | WRITES)[name](x, j)
            except (RuntimeError, IndexError) as error:
                return str(error)
        if name in VIEWS or name in FRESH or name in ("plus", "times"):
            self.tensors.append(made)
        return None

    def gradient(self) -> Any:
        """d(weighted sum of every tensor)/d(leaf), or None if it is refused."""
        total = self.leaf.sum() * 0.0
        try:
            for k, x in enumerate(self.tensors):
                total = total + (x * x).sum() * (0.5 + 0.1 * k)
            total.backward()
        except RuntimeError:
            return None
        return np.asarray(self.leaf.grad.tolist())


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(instruction, min_size=1, max_size=8))
def test_programs_of_views_and_writes_agree_with_pytorch(program: list[tuple[str, int, int, bool]]) -> None:
    ours, theirs = Run(cr), Run(torch)
    for name, i, j, without_grad in program:
        their_error = theirs.step(name, i, j, without_grad)
        if their_error is None:
            error = ours.step(name, i, j, without_grad)
            if error is not None and "clone() the tensor" in error:
                return  # stretched memory is read only here; PyTorch lets a single element of it be written
            assert error is None, f"{name} was refused"
        elif ours.step(name, i, j, without_grad) is None:
            return  # allowed here, refused there: from now on the two differ
        for k, (a, b) in enumerate(zip(ours.tensors, theirs.tensors, strict=True)):
            np.testing.assert_allclose(a.tolist(), b.tolist(), 1e-12, err_msg=f"tensor {k} after {name}")
    theirs_gradient = theirs.gradient()
    if theirs_gradient is not None:
        gradient = ours.gradient()
        assert gradient is not None, "the gradient was refused"
        np.testing.assert_allclose(gradient, theirs_gradient, 1e-9, 1e-12)
