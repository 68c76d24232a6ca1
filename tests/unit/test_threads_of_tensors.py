"""Threads: each has its own grad mode, and several train at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr


def in_threads(*programs: Callable[[], Any]) -> list[Any]:
    results: list[Any] = [None] * len(programs)
    failures: list[BaseException] = []

    def run(i: int) -> None:
        try:
            results[i] = programs[i]()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(programs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


def test_grad_mode_is_one_for_each_thread() -> None:
    inside, checked = threading.Event(), threading.Event()

    def without() -> bool:
        with cr.no_grad():
            inside.set()
            checked.wait(10)
            return cr.is_grad_enabled()

    def other() -> tuple[bool, bool]:
        inside.wait(10)
        found = cr.is_grad_enabled(), (cr.ones(1, requires_grad=True) * 2).requires_grad
        checked.set()
        return found

    assert in_threads(without, other) == [False, (True, True)]
    with cr.no_grad():
        assert in_threads(cr.is_grad_enabled) == [True]


def train(seed: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    x, y = cr.tensor(rng.normal(size=(32, 3))), cr.tensor(rng.normal(size=(32, 1)))
    w = cr.zeros(3, 1, dtype=cr.float64, requires_grad=True)
    for _ in range(100):
        loss = ((x @ w).tanh() - y).square().mean()
        loss.backward()
        with cr.no_grad():
            w.sub_(0.1 * w.grad)
            w.grad.zero_()
    return w.detach().numpy()


def test_threads_that_train_at_once_do_not_disturb_each_other() -> None:
    alone = [train(seed) for seed in range(4)]
    together = in_threads(*[lambda seed=seed: train(seed) for seed in range(4)])
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_new_thread_sees_no_numpy_warning() -> None:
    assert in_threads(lambda: cr.tensor([1000.0]).exp().item())[0] == float("inf")
    assert in_threads(lambda: (cr.zeros(1) / 0).isnan().item())[0] is True
