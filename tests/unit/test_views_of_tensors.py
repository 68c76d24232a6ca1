"""Views: which operators make them, what they share, and what becomes of them when their parents change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.tensor.views import View

SHARING: dict[str, Callable[[cr.Tensor], cr.Tensor]] = {
    "x[i]": lambda x: x[1],
    "x[i, j]": lambda x: x[1, 2],
    "x[a:b]": lambda x: x[:, 1:3],
    "x[None]": lambda x: x[None],
    "x[...]": lambda x: x[..., 0],
    "view": lambda x: x.view(2, 6),
    "reshape": lambda x: x.reshape(-1),
    "flatten": lambda x: x.flatten(),
    "unflatten": lambda x: x.unflatten(1, (2, 2)),
    "T": lambda x: x.T,
    "t": lambda x: x.t(),
    "mT": lambda x: x.mT,
    "transpose": lambda x: x.transpose(0, 1),
    "permute": lambda x: x.permute(1, 0),
    "movedim": lambda x: x.movedim(0, 1),
    "squeeze": lambda x: x.unsqueeze(0).squeeze(0),
    "unsqueeze": lambda x: x.unsqueeze(-1),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "select": lambda x: x.select(0, 2),
    "split": lambda x: x.split(2)[0],
    "chunk": lambda x: x.chunk(2, 1)[1],
    "unbind": lambda x: x.unbind(1)[2],
    "diagonal": lambda x: x.diagonal(1),
    "diagonal of a transpose": lambda x: x.T.diagonal(-1),
    "iteration": lambda x: next(iter(x)),
    "detach": lambda x: x.detach(),
    "data": lambda x: x.data,
    "expand to the same shape": lambda x: x.expand(3, -1),
    "view_as": lambda x: x.view_as(cr.ones(4, 3)),
}
COPYING: dict[str, Callable[[cr.Tensor], cr.Tensor]] = {
    "clone": lambda x: x.clone(),
    "x[list]": lambda x: x[[0, 1]],
    "x[mask]": lambda x: x[x > 0],
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1),
    "repeat": lambda x: x.repeat(1, 1),
    "repeat of a number": lambda x: x[0, 0].repeat(3),
    "tile": lambda x: x.tile(2),
    "T.reshape": lambda x: x.T.reshape(-1),
    "contiguous": lambda x: x.T.contiguous(),
    "tril": lambda x: x.tril(),
    "cat": lambda x: cr.cat([x]),
}


def base() -> cr.Tensor:
    return cr.arange(1.0, 13.0).reshape(3, 4).clone()


@pytest.mark.parametrize("name", SHARING)
def test_a_write_through_a_view_is_seen_in_its_parent(name: str) -> None:
    x = base()
    SHARING[name](x).zero_()
    assert (x == 0).any()
    y = base()
    view = SHARING[name](y)
    y.zero_()
    assert not view.any()


@pytest.mark.parametrize("name", COPYING)
def test_a_copy_has_memory_of_its_own(name: str) -> None:
    x = base()
    COPYING[name](x).zero_()
    assert (x != 0).all()


@pytest.mark.parametrize("name", [n for n in SHARING if n not in ("detach", "data")])
def test_a_write_through_a_view_of_a_result_stops_and_carries_gradients(name: str) -> None:
    x = base().double().requires_grad_()
    w = cr.tensor(3.0, dtype=cr.float64, requires_grad=True)
    h = x * 2
    view = SHARING[name](h)
    view.mul_(w)
    h.sum().backward()
    touched = (h / (2 * x)).detach().round().numpy()  # 3 where the view is, else 1
    np.testing.assert_allclose(x.grad.numpy(), 2 * touched)
    assert w.grad.item() == pytest.approx(2 * x.detach().numpy()[touched == 3].sum())


def test_a_view_taken_before_the_parent_was_written_has_the_new_history() -> None:
    x = cr.ones(3, requires_grad=True)
    h = x * 2
    first, inner = h[0], h[1:][0]
    h.mul_(5)
    (first + inner).backward()
    assert x.grad.tolist() == [10.0, 10.0, 0.0]


def test_views_of_views_pass_writes_to_the_root() -> None:
    x = cr.ones(2, 3, requires_grad=True)
    h = x * 1
    h[1:].T[0].mul_(7)
    h.sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0, 1.0], [7.0, 1.0, 1.0]]


def test_requires_grad_of_a_parent_does_not_reach_views_taken_before() -> None:
    x = cr.ones(3)
    view = x[:2]
    x.requires_grad_()
    assert not view.requires_grad
    assert x[:2].requires_grad
    later = x[:2]
    x.requires_grad_(False)
    assert later.requires_grad


def test_a_view_whose_parent_changed_its_shape_is_refused() -> None:
    x = cr.ones(2, 3, requires_grad=True)
    h = x * 1
    view = h[0]
    h.transpose_(0, 1)
    with pytest.raises(RuntimeError, match="changed its shape"):
        view.sum().backward()


def test_a_chain_of_views_longer_than_pythons_stack() -> None:
    x = cr.ones(3, requires_grad=True)
    h = x * 1
    view: Any = h
    for _ in range(3000):
        view = view[...]
        view = view.view(3)
    view.mul_(2)
    assert h.tolist() == [2.0, 2.0, 2.0]
    h.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    h.mul_(1)
    assert view.requires_grad


def test_a_stretched_tensor_is_read_only() -> None:
    for x in (cr.ones(1, requires_grad=True) * 1, cr.ones(1)):
        for write in (lambda v: v.add_(1), lambda v: v[0].zero_(), lambda v: v.__setitem__(0, 2.0)):
            with pytest.raises(RuntimeError, match=r"clone\(\)"):
                write(x.expand(3))


def test_a_view_is_a_tensor_and_its_copies_are_plain_ones() -> None:
    import copy
    import pickle

    view = cr.arange(6.0)[1:3]
    assert isinstance(view, View)
    for made in (copy.deepcopy(view), pickle.loads(pickle.dumps(view)), view.clone(), view + 0):
        assert type(made) is cr.Tensor
        assert made.tolist() == [1.0, 2.0]
