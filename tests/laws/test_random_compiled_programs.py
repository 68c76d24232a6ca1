"""Law: a random program (forward, backward, an update) leaves the same run eagerly, by NumPy, and by LLVM.

A step of a program is an operator at one of its cases. Its inputs are parameters, or earlier results brought into the
shape and the range of the case; so results of any operator are inputs of any other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import nn, optim
from chainrule.tensor.dispatch import GATES

sys.path.insert(0, str(Path(__file__).parents[1] / "catalogue"))
from catalogue_points import Point, all_points

Array = np.ndarray[Any, Any]
Choices = list[tuple[int, int]]
POINTS: list[Point] = [
    p for p in all_points("typical") if p.op.differentiable_inputs and p.op.kind.name not in ("random", "update")
]
choices = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=5, max_size=50)
"""For each step which operator, and how its inputs are chosen."""


class Program:
    """A step: all operators, a loss of their results, its gradients and an update."""

    def __init__(self, steps: Choices, dtype: type, seed: int = 0) -> None:
        self.steps = [(POINTS[which % len(POINTS)], how) for which, how in steps]
        self.dtype = cr.float32 if dtype is np.float32 else cr.float64
        self.given = [point.inputs(dtype) for point, _ in self.steps]
        self.rules = [point.differentiable(dtype) for point, _ in self.steps]
        self.seed, self.random = seed, np.random.default_rng(seed)
        self.parameters: dict[tuple[int, int], Any] = {}
        for k, arrays in enumerate(self.given):
            for i, x in enumerate(arrays):
                if isinstance(x, np.ndarray):
                    tensor = cr.tensor(x * self.nudges(x) if x.dtype.kind == "f" else x)
                    self.parameters[k, i] = nn.Parameter(tensor) if i in self.rules[k] else tensor
        self.trained = [p for p in self.parameters.values() if p.requires_grad]
        self.optimizer = optim.SGD(self.trained, lr=0.1)

    def __call__(self) -> tuple[cr.Tensor, cr.Tensor]:
        self.optimizer.zero_grad()
        made: list[cr.Tensor] = []
        for k, (point, how) in enumerate(self.steps):
            inputs = [self.input(made, k, i, how // 7**i) for i in range(len(self.given[k]))]
            y = GATES[point.op.name](*inputs, **point.numpy_params)
            if y.dtype is self.dtype and y.numel():
                made.append(y)
        loss = sum([bounded(y, -1.0, 1.0).mean() * 0.9**i for i, y in enumerate(reversed(made))])
        last = made[-1].detach().clone()  # which may look at a parameter
        loss.backward()
        self.optimizer.step()
        return loss.detach(), last

    def input(self, made: list[cr.Tensor], k: int, i: int, how: int) -> Any:
        x = self.given[k][i]
        if not isinstance(x, np.ndarray):
            return x
        if i not in self.rules[k] or not made or how % 4 == 0 or not x.size:
            return self.parameters[k, i]
        y = made[-1 - how // 4 % min(len(made), 4)]
        if tuple(y.shape) != x.shape:
            flat = y.reshape(-1)
            copies = -(-x.size // y.numel())  # each another multiple: between equal elements rounding would choose
            y = cr.cat([flat * (1 - 0.13 * c) for c in range(copies)])[: x.size].reshape(x.shape)
        y = bounded(y, float(x.min()), float(x.max()))
        return y * cr.tensor(self.nudges(x)) if self.seed else y

    def nudges(self, x: Array) -> Array:
        """Factors that move each element by two roundings or none; 1 for the seed 0."""
        steps: Array = self.random.choice([-2, 0, 2], x.shape) if self.seed else np.zeros(x.shape)
        return (1 + steps * np.finfo(x.dtype).eps).astype(x.dtype)

    def left(self, call: Callable[[], tuple[cr.Tensor, cr.Tensor]]) -> list[Array]:
        """What a call gives and leaves: results, gradients, parameters."""
        results = [y.numpy().copy() for y in call()]
        grads = [np.zeros(p.shape) if p.grad is None else p.grad.numpy().copy() for p in self.trained]
        return [*results, *grads, *[p.detach().numpy().copy() for p in self.trained]]


def bounded(y: cr.Tensor, low: float, high: float) -> cr.Tensor:
    """The elements between two numbers, so that every operator gets what it is defined for."""
    return low + (high - low) * y.sigmoid()


def check(steps: Choices, dtype: type, environ: Any) -> None:
    """To 1024 eps of what is largest, plus 256 times what changes if each operator's inputs move by two roundings.

    An operator and its derivative round more often than that (sums of n terms n times), and what the program makes of
    one rounding it makes of all. A program that turns so few roundings into a quarter of a result says nothing.
    """
    eps = float(np.finfo(dtype).eps)
    wanted = Program(steps, dtype)
    expected = wanted.left(wanted)
    assume(all(np.isfinite(x).all() for x in expected))
    bounds = [1024 * eps * np.abs(x).max(initial=1.0) for x in expected]
    for seed in range(1, 4):
        nudged = Program(steps, dtype, seed)
        for i, (x, y) in enumerate(zip(nudged.left(nudged), expected, strict=True)):
            bounds[i] += 256 * np.abs(x - y).max(initial=0)
    assume(all(bound < 0.25 * np.abs(x).max(initial=1.0) for bound, x in zip(bounds, expected, strict=True)))
    for jit in "01":
        environ("CHAINRULE_JIT", jit)
        program = Program(steps, dtype)
        got = program.left(cr.compile(program.__call__, denormals="keep"))
        for x, y, bound in zip(got, expected, bounds, strict=True):
            names = [point.op.name for point, _ in program.steps]
            assert np.abs(x - y).max(initial=0) <= bound, f"CHAINRULE_JIT={jit}: {names}"


@settings(
    max_examples=16, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(steps=choices, dtype=st.sampled_from([np.float32, np.float64]))
def test_a_program_leaves_the_same_eagerly_by_numpy_and_by_llvm(
    steps: Choices, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(steps, dtype, monkeypatch.setenv)
