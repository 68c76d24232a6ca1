"""Factories: the shapes, types and elements that PyTorch makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")

CALLS: list[Callable[[Any], Any]] = [
    lambda m: m.zeros(2, 3), lambda m: m.zeros((2, 3)), lambda m: m.zeros([2]), lambda m: m.zeros(()), lambda m: m.ones(2, dtype=m.int32),
    lambda m: m.zeros(size=(2,)), lambda m: m.full((2, 2), 1.5), lambda m: m.full((2,), 3), lambda m: m.full((2,), True),
    lambda m: m.full((), 2.0, dtype=m.float64), lambda m: m.arange(5), lambda m: m.arange(1, 7, 2), lambda m: m.arange(0, 1, 0.25),
    lambda m: m.arange(5, 0, -2), lambda m: m.arange(3.0), lambda m: m.arange(3, dtype=m.float64), lambda m: m.arange(0),
    lambda m: m.arange(0.0, 0.5, 0.1), lambda m: m.linspace(0, 1, 5), lambda m: m.linspace(3, -1, 3, dtype=m.float64),
    lambda m: m.linspace(0, 1, 1), lambda m: m.linspace(0, 1, 0), lambda m: m.logspace(0, 2, 3), lambda m: m.logspace(0, 3, 4, base=2),
    lambda m: m.eye(3), lambda m: m.eye(2, 3), lambda m: m.zeros_like(m.ones(2, dtype=m.float64)), lambda m: m.ones_like(m.zeros(2, 2), dtype=m.int64),
    lambda m: m.full_like(m.zeros(2), 7), lambda m: m.tril_indices(3, 3), lambda m: m.triu_indices(2, 3, 1), lambda m: m.scalar_tensor(2.5),
    lambda m: m.ones(2, dtype=m.float64).new_zeros(3), lambda m: m.ones(2, dtype=m.int64).new_tensor([1, 2]), lambda m: m.ones(2).new_full((2,), 5),
    lambda m: m.tensor([[1, 2], [3, 4]]), lambda m: m.tensor([1.5, 2], dtype=m.int64), lambda m: m.tensor(5.0), lambda m: m.tensor(()),
    lambda m: m.tensor([m.tensor(1.0), m.tensor(2.0)]), lambda m: m.as_tensor([1, 2.0]), lambda m: m.asarray([True]),
    lambda m: m.empty(0, 3), lambda m: m.ones(2, 3).new_ones((1,)), lambda m: m.tensor(np.arange(3, dtype=np.int16)),
]  # fmt: skip


@pytest.mark.parametrize("i", range(len(CALLS)))
def test_a_factory_makes_what_pytorch_makes(i: int) -> None:
    ours, theirs = CALLS[i](cr), CALLS[i](torch)
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert str(ours.dtype).rpartition(".")[2] == str(theirs.dtype).rpartition(".")[2]
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), 1e-6)


def test_requires_grad_and_device_are_keywords_of_every_factory() -> None:
    for make in (cr.zeros, cr.ones, cr.rand, cr.randn, cr.empty):
        x = make(2, requires_grad=True, device="cpu", dtype=cr.float64)
        assert x.requires_grad
        assert x.is_leaf
        assert x.device.type == "cpu"
    assert cr.tensor([1.0], requires_grad=True).requires_grad
    assert cr.full((2,), 1.0, requires_grad=True).requires_grad


@pytest.mark.parametrize(
    ("call", "kind"),
    [(lambda m: m.tensor([[1, 2], [3]]), ValueError), (lambda m: m.tensor("text"), TypeError), (lambda m: m.tensor([None]), (TypeError, RuntimeError)),
     (lambda m: m.zeros(2.5), TypeError), (lambda m: m.zeros(-1), (RuntimeError, ValueError)), (lambda m: m.arange(0, 5, 0), (RuntimeError, ValueError)),
     (lambda m: m.arange(0, 5, -1), (RuntimeError, ValueError)), (lambda m: m.linspace(0, 1, -1), (RuntimeError, ValueError)),
     (lambda m: m.ones(2, dtype=m.int64, requires_grad=True), RuntimeError), (lambda m: m.zeros(2, device="cuda:7"), (RuntimeError, NotImplementedError, AssertionError)),
     (lambda m: m.tensor([2**70]), (RuntimeError, ValueError, TypeError, OverflowError)), (lambda m: m.eye(-1), (RuntimeError, ValueError))],
)  # fmt: skip
def test_what_cannot_be_made_is_refused_by_both(call: Any, kind: Any) -> None:
    for lib in (cr, torch):
        with pytest.raises(kind):
            call(lib)


def test_tensor_of_a_tensor_is_a_copy_without_history() -> None:
    x = cr.ones(2, requires_grad=True)
    y = cr.tensor(x)
    y[0] = 5
    assert x.tolist() == [1.0, 1.0]
    assert not y.requires_grad
