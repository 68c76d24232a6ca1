"""Memory stays flat: however often functions are compiled and dropped, traced again, and called."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def resident() -> int:
    """Bytes of memory that this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def growth(work: Callable[[], object], warm: int, times: int) -> int:
    """By how many bytes the process has grown when all of that was done, after a start that fills every cache."""
    for _ in range(warm):
        work()
    before = resident()
    for _ in range(times):
        work()
    return resident() - before


def trained() -> Callable[..., Any]:
    model = nn.Linear(4, 1, bias=False)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x: cr.Tensor) -> cr.Tensor:
        loss = model(x).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return cr.compile(step)  # type: ignore[no-any-return]


@linux
def test_functions_that_are_compiled_and_dropped_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than 10 kB each, what the allocators keep included."""
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    x = cr.ones(2, 4)
    assert growth(lambda: trained()(x), warm=20, times=40) < 400_000


@linux
def test_programs_that_were_pushed_out_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("chainrule.compiler.compile.MOST_PROGRAMS", 4)
    compiled = cr.compile(lambda x, s: (x * s).sum())
    x, numbers = cr.ones(4), iter(range(10**6))
    assert growth(lambda: compiled(x, next(numbers)), warm=20, times=40) < 400_000


@linux
@pytest.mark.parametrize("kind", ["a step", "other arguments", "a gradient outside"])
def test_calls_leave_nothing(kind: str) -> None:
    """100,000 calls by the quick way, fewer by the others; not one object more."""
    x = cr.ones(2, 4)
    if kind == "a step":
        work, times = trained(), 100_000
        call = lambda: work(x)  # noqa: E731
    elif kind == "other arguments":
        pair, times = cr.compile(lambda xs: {"y": xs[0] * 2, "x": xs[1]}), 4_000
        strided = cr.from_numpy(np.ones((4, 2), np.float32).T)
        call = lambda: pair([strided, x])  # noqa: E731
    else:
        w, times = cr.ones(2, 4, requires_grad=True), 4_000
        product = cr.compile(lambda x: (x * w).tanh().sum())
        call = lambda: product(x).backward()  # noqa: E731
    for _ in range(100):
        call()
    gc.collect()
    objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
    assert growth(call, warm=1000, times=times) < 300_000
    assert len(gc.get_objects()) - objects < 50
    assert sys.getallocatedblocks() - blocks < 300


def test_a_dropped_function_lets_its_parameters_go() -> None:
    layer = nn.Linear(4, 1)
    compiled = cr.compile(lambda x, layer=layer: layer(x).detach())
    compiled(cr.ones(2, 4))
    gone = weakref.ref(layer.weight)
    del layer, compiled
    gc.collect()
    assert gone() is None
