"""Units of a kernel that threads divide between them touch different memory: no race is waited for, none can hide.

In place of the pool's threads stands a team that runs each unit by itself, from the scratch memory as it was before
the kernel. So what a unit writes is seen byte by byte, and what it reads of another one's is noise.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite.binding")

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.compiler.targets.llvm import target

Array = np.ndarray[Any, Any]
KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
PARALLEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class Team:
    """What a program finds in place of the pool: it keeps the scratch memory that two units of a kernel wrote."""

    def __init__(self) -> None:
        self._parallel = PARALLEL(self._run)
        address = ctypes.cast(self._parallel, ctypes.c_void_p).value
        self._pool = np.array([address], np.uint64)  # the address of cr_parallel stands first
        self.address = self._pool.ctypes.data
        self.scratch = np.empty(0, np.uint8)
        self.jobs: list[tuple[int, int, int]] = []

    def watch(self, executable: Any) -> None:
        """Look at a program's scratch memory from now on; it begins as noise."""
        plan = executable.plan
        self.scratch = executable.arena[plan.arena_bytes : plan.arena_bytes + plan.scratch_bytes]
        self.scratch[...] = np.random.default_rng(0).integers(1, 60, self.scratch.size)  # as floats: small numbers
        self.jobs = []

    def _run(self, pool: int, kernel: int, context: int, units: int) -> None:
        call, before = KERNEL(kernel), self.scratch.copy()
        writers = np.zeros(before.size, np.uint8)
        after = before.copy()
        for unit in range(units):
            self.scratch[...] = before
            call(context, unit, unit + 1)
            changed = self.scratch != before
            writers[changed] += 1
            after[changed] = self.scratch[changed]
        self.scratch[...] = after
        self.jobs.append((units, int((writers > 0).sum()), int((writers > 1).sum())))


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch) -> Team:
    team = Team()
    monkeypatch.setattr(target, "WORTH_DIVIDING", 0.0)
    monkeypatch.setattr(target, "Pool", SimpleNamespace(current=lambda: team))
    return team


def check(team: Team, program: Callable[..., Any], *data: Array) -> None:
    """Each unit has scratch memory of its own, and the results are those of one thread."""
    step, args = cr.compile(program), [cr.tensor(a) for a in data]
    team.watch(step.program_for(tuple(args)).execute)
    found = [y.numpy().copy() for y in step(*args)]
    assert team.jobs
    assert [shared for _, _, shared in team.jobs] == [0] * len(team.jobs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, "WORTH_DIVIDING", np.inf)
        expected = [y.numpy() for y in cr.compile(lambda *a: program(*a))(*args)]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


CONVOLUTIONS = {
    "LeNet's first": ((5, 1, 28, 28), (6, 1, 5, 5), {}),
    "LeNet's second": ((5, 6, 12, 12), (16, 6, 5, 5), {}),
    "same": ((2, 3, 14, 14), (5, 3, 3, 3), {"padding": 1}),
    "more images than units": ((37, 2, 8, 8), (3, 2, 3, 3), {}),
    "several units of the weight": ((16, 8, 28, 28), (16, 8, 3, 3), {"padding": 1}),
    "bands of one image": ((1, 16, 56, 56), (16, 16, 3, 3), {"padding": 1}),
    "strided": ((3, 4, 19, 17), (6, 4, 3, 3), {"stride": 2, "padding": 1}),
    "strides and dilation": ((3, 2, 17, 15), (3, 2, 3, 3), {"stride": (4, 6), "dilation": (2, 3)}),
    "depthwise": ((2, 8, 10, 10), (8, 1, 3, 3), {"padding": 1, "groups": 8}),
    "groups": ((2, 9, 7, 9), (6, 3, 3, 3), {"groups": 3, "stride": (1, 2)}),
}


@pytest.mark.parametrize(("shape", "kernel", "options"), CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_units_of_a_convolution_have_scratch_of_their_own(
    team: Team, shape: tuple[int, ...], kernel: tuple[int, ...], options: dict[str, Any]
) -> None:
    def program(x: cr.Tensor, weight: cr.Tensor) -> tuple[cr.Tensor | None, ...]:
        x, weight = (a.detach().requires_grad_() for a in (x, weight))
        y = F.conv2d(x, weight, **options)
        (y * y).sum().backward()
        return y, x.grad, weight.grad

    draw = np.random.default_rng(1).standard_normal
    check(team, program, draw(shape).astype(np.float32), draw(kernel).astype(np.float32))
    assert max(units for units, _, _ in team.jobs) > 1
    assert sum(written for _, written, _ in team.jobs) > 0


@pytest.mark.parametrize("options", [{"stride": 2}, {"stride": 2, "padding": 1}, {"stride": 1}], ids=str)
def test_units_of_a_pooling_have_scratch_of_their_own(team: Team, options: dict[str, Any]) -> None:
    def program(x: cr.Tensor) -> tuple[cr.Tensor | None, ...]:
        x = x.detach().requires_grad_()
        y = F.max_pool2d(x, 3, **options)
        (y * y).sum().backward()
        return y, x.grad

    check(team, program, np.random.default_rng(1).standard_normal((5, 6, 13, 12)).astype(np.float32))


@pytest.mark.parametrize("sizes", [(7, 33, 65), (64, 64, 64), (200, 257, 100), (512, 300, 40)], ids=str)
def test_units_of_a_product_have_scratch_of_their_own(team: Team, sizes: tuple[int, int, int]) -> None:
    def program(a: cr.Tensor, b: cr.Tensor) -> tuple[cr.Tensor | None, ...]:
        a, b = (x.detach().requires_grad_() for x in (a, b))
        y = (a @ b).relu()
        (y * y).sum().backward()
        return y, a.grad, b.grad

    rows, inner, columns = sizes
    draw = np.random.default_rng(1).standard_normal
    check(team, program, draw((rows, inner)).astype(np.float32), draw((inner, columns)).astype(np.float32))
