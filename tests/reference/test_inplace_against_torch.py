"""In-place operations: every method writes PyTorch's values and has its gradient; what is wrong is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")
X = np.linspace(0.2, 0.9, 6).reshape(2, 3)
Y = np.linspace(-1.0, 1.5, 6).reshape(2, 3)

Method = Callable[[Any, Any, Any], Any]
METHODS: dict[str, Method] = {
    **{
        f"{name}_": lambda m, x, y, name=name: getattr(x, f"{name}_")()
        for name in ("abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "erf", "exp", "expm1", "floor", "log", "log10", "log1p",
                     "log2", "neg", "reciprocal", "relu", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh",
                     "trunc", "round", "zero")
    },
    "add_": lambda m, x, y: x.add_(y, alpha=2),
    "sub_": lambda m, x, y: x.sub_(y),
    "mul_": lambda m, x, y: x.mul_(y),
    "div_": lambda m, x, y: x.div_(y),
    "pow_": lambda m, x, y: x.pow_(y),
    "pow_ number": lambda m, x, y: x.pow_(3),
    "remainder_": lambda m, x, y: x.remainder_(0.3),
    "lerp_": lambda m, x, y: x.lerp_(y, 0.25),
    "atan2_": lambda m, x, y: x.atan2_(y),
    "clamp_": lambda m, x, y: x.clamp_(0.3, 0.7),
    "addcmul_": lambda m, x, y: x.addcmul_(y, y, value=0.5),
    "addcdiv_": lambda m, x, y: x.addcdiv_(y, y + 3, value=0.5),
    "copy_": lambda m, x, y: x.copy_(y),
    "copy_ broadcast": lambda m, x, y: x.copy_(y[0]),
    "fill_": lambda m, x, y: x.fill_(2.5),
    "fill_ tensor": lambda m, x, y: x.fill_(y.sum()),
    "masked_fill_": lambda m, x, y: x.masked_fill_(y.detach() > 0, 0.5),
    "masked_scatter_": lambda m, x, y: x.masked_scatter_(y.detach() > 0, y),
    "scatter_": lambda m, x, y: x.scatter_(1, m.tensor([[0, 2, 1], [2, 1, 0]]), y),
    "scatter_add_": lambda m, x, y: x.scatter_add_(0, m.tensor([[0, 0, 1], [1, 0, 1]]), y),
    "index_add_": lambda m, x, y: x.index_add_(1, m.tensor([0, 0, 2]), y),
    "index_copy_": lambda m, x, y: x.index_copy_(0, m.tensor([1, 0]), y),
    "index_fill_": lambda m, x, y: x.index_fill_(1, m.tensor([1]), -1.0),
    "index_put_": lambda m, x, y: x.index_put_((m.tensor([0, 1]), m.tensor([2, 0])), y[0, :2]),
    "tril_": lambda m, x, y: x.tril_(),
    "triu_": lambda m, x, y: x.triu_(1),
    "+=": lambda m, x, y: x.__iadd__(y),
    "-=": lambda m, x, y: x.__isub__(y),
    "*=": lambda m, x, y: x.__imul__(y),
    "/=": lambda m, x, y: x.__itruediv__(y),
    "**=": lambda m, x, y: x.__ipow__(2),
    "unsqueeze_": lambda m, x, y: x.unsqueeze_(1),
    "t_": lambda m, x, y: x.t_(),
    "transpose_": lambda m, x, y: x.transpose_(0, 1),
    "squeeze_": lambda m, x, y: x.unsqueeze_(0).squeeze_(0),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_an_in_place_method_has_pytorchs_values_and_gradients(name: str) -> None:
    results = []
    for lib in (cr, torch):
        x, y = lib.tensor(X, requires_grad=True), lib.tensor(Y, requires_grad=True)
        h = x * 1.0
        same = METHODS[name](lib, h, y)
        assert same is h
        assert h.requires_grad
        weights = lib.tensor(np.cos(np.arange(6.0)).reshape(tuple(h.shape)))
        (h * weights).sum().backward()
        grads = [np.zeros((2, 3)) if g is None else g.numpy() for g in (x.grad, y.grad)]  # None says 0
        results.append([h.detach().numpy(), *grads])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, 1e-12, 1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_an_in_place_method_is_refused_on_a_leaf_and_on_a_view_of_one(name: str) -> None:
    for lib in (cr, torch):
        x, y = lib.tensor(X, requires_grad=True), lib.tensor(Y)
        for target in (x, x.view(2, 3)):
            if target is not x and name in ("unsqueeze_", "t_", "transpose_", "squeeze_"):
                continue
            with pytest.raises(RuntimeError):
                METHODS[name](lib, target, y)
        np.testing.assert_array_equal(x.detach().numpy(), X)
        with lib.no_grad():
            if name not in ("unsqueeze_", "t_", "transpose_", "squeeze_"):
                METHODS[name](lib, x, y)
        assert x.is_leaf


def test_a_write_to_a_value_that_is_needed_is_refused_naming_both_lines() -> None:
    x = cr.tensor(X, requires_grad=True)
    y = x.exp()
    y.add_(1)
    with pytest.raises(
        RuntimeError,
        match=r"(?s)inplace operation: ExpBackward saved 'y'.*saved in .*:\d+.*written by add_ in .*:\d+.*clone",
    ):
        y.sum().backward()


@pytest.mark.parametrize(
    ("needs", "allowed"),
    [(lambda y: y.exp(), True), (lambda y: y * 2.0, True), (lambda y: y.sin(), False), (lambda y: y * y, False), (lambda y: y + y, True),
     (lambda y: y.sum(), True), (lambda y: y.relu(), True), (lambda y: y.matmul(y.T), False), (lambda y: y.reshape(-1), True)],
)  # fmt: skip
def test_writing_an_input_afterwards_is_refused_exactly_where_its_value_is_read(needs: Any, allowed: bool) -> None:
    for lib in (cr, torch):
        x = lib.tensor(X, requires_grad=True)
        y = x * 1.5
        z = needs(y)
        y.zero_()
        if allowed:
            z.sum().backward()
        else:
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                z.sum().backward()


def test_shapes_and_types_that_do_not_fit_the_memory_are_refused() -> None:
    for lib in (cr, torch):
        with pytest.raises(RuntimeError, match="broadcast shape"):
            lib.ones(3).add_(lib.ones(2, 3))
        with pytest.raises(RuntimeError, match="can't be cast"):
            lib.ones(3, dtype=lib.int64).add_(1.5)
        with pytest.raises(RuntimeError, match="can't be cast"):
            lib.ones(3, dtype=lib.int64).div_(2)
        with pytest.raises(RuntimeError, match="single memory location"):
            lib.ones(1).expand(3).add_(1)


def test_a_write_through_detach_is_seen() -> None:
    for lib in (cr, torch):
        x = lib.tensor(X, requires_grad=True)
        y = x.sin()
        z = y * y
        y.detach().zero_()
        assert y.abs().sum().item() == 0
        with pytest.raises(RuntimeError, match="inplace"):
            z.sum().backward()


def test_writes_under_no_grad_count_too() -> None:
    for lib in (cr, torch):
        w = lib.tensor(X, requires_grad=True)
        loss = (w * w).sum()
        with lib.no_grad():
            w -= 0.1
        with pytest.raises(RuntimeError, match="inplace"):
            loss.backward()


def test_versions_count_the_writes() -> None:
    for lib in (cr, torch):
        x = lib.ones(3)
        assert x._version == 0
        x.add_(1)
        x[0] = 2
        assert x._version == 2
        assert x[1:]._version == 2
        assert x.detach()._version == 2
        x[1:].zero_()
        assert x._version == 3


def test_writing_into_a_view_of_a_constant_gives_the_constant_a_history() -> None:
    results = []
    for lib in (cr, torch):
        w = lib.tensor([1.0, 2.0], requires_grad=True)
        table = lib.zeros(3, 2)
        for i in range(3):
            table[i].copy_(w * (i + 1))
        table[0, 0].mul_(10)
        (table * table).sum().backward()
        results.append((table.tolist(), w.grad.tolist(), table.is_leaf))
    assert results[0] == results[1]


def test_a_view_made_without_grad_may_not_be_differentiated_through() -> None:
    for lib in (cr, torch):
        x = lib.tensor(X, requires_grad=True)
        h = x * 2
        with lib.no_grad():
            view = h[0]
        with pytest.raises(RuntimeError, match="no_grad"):
            view.mul_(x[0])


def test_detach_in_place_is_refused_on_views() -> None:
    for lib in (cr, torch):
        h = lib.tensor(X, requires_grad=True) * 2
        with pytest.raises(RuntimeError, match="detach"):
            h[0].detach_()
        assert not h.detach_().requires_grad


def test_changing_a_shape_in_place_keeps_the_history_of_views() -> None:
    results = []
    for lib in (cr, torch):
        x = lib.tensor(X, requires_grad=True)
        h = x * 2
        row = h[0]
        row.unsqueeze_(0)
        row.mul_(3)
        (h * h).sum().backward()
        results.append((row.tolist(), h.tolist(), x.grad.tolist()))
    assert results[0] == results[1]


def test_reshape_copies_where_it_must_and_then_shares_nothing() -> None:
    for lib in (cr, torch):
        h = lib.tensor(X, requires_grad=True) * 1.0
        copied = h.T.reshape(-1)
        copied.zero_()
        np.testing.assert_array_equal(h.detach().numpy(), X)
        shared = h.reshape(-1)
        shared.zero_()
        assert h.abs().sum().item() == 0
