"""`explain.update`: the formulas of the catalogue's updates, with the numbers that the next step produces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim
from chainrule.errors import ArgumentError, GraphError, UnsupportedError

OPTIMISERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.2, weight_decay=0.01),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "maximize": lambda p: optim.SGD(p, lr=0.1, maximize=True),
    "adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1),
    "amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "plain rmsprop": lambda p: optim.RMSprop(p, lr=0.01),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1, initial_accumulator_value=0.5),
    "adadelta": lambda p: optim.Adadelta(p, lr=1.0),
}


@pytest.mark.parametrize("name", list(OPTIMISERS))
def test_the_explained_step_is_the_step_that_follows(name: str) -> None:
    """Also at the first step, where there is no state yet. 1e-12: the same arithmetic in another order."""
    cr.manual_seed(0)
    w = cr.randn(3, 2, dtype=cr.float64, requires_grad=True)
    opt = OPTIMISERS[name]([w])
    for k in range(4):
        opt.zero_grad()
        (w**2 * cr.arange(6, dtype=cr.float64).reshape(3, 2)).sum().backward()
        before = w.detach().clone()
        for lang in ("en", "zh"):
            e = cr.explain.update(opt, w, lang=lang)
            assert cr.equal(w.detach(), before), "explaining changes nothing"
        print(e)
        opt.step()
        np.testing.assert_allclose(e["w_new"].value, w.detach().numpy(), rtol=1e-12, atol=1e-15, err_msg=f"step {k}")


@pytest.mark.parametrize("name", list(OPTIMISERS))
def test_under_record_the_step_that_was_taken_is_explained_until_there_is_another_gradient(name: str) -> None:
    w = cr.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=cr.float64, requires_grad=True)
    opt = OPTIMISERS[name]([w])
    for _ in range(3):
        opt.zero_grad()
        (w**2).sum().backward()
        coming = cr.explain.update(opt, w)
        before = w.detach().clone()
        with cr.explain.record():
            opt.step()
        opt.param_groups[0]["lr"] *= 0.5  # the step had the rate of its time
        taken = cr.explain.update(opt)
        assert [s.numbers for s in taken.steps] == [s.numbers for s in coming.steps]
        np.testing.assert_allclose(taken["w_new"].value, w.detach().numpy(), rtol=1e-12, atol=1e-15)
        assert not cr.equal(w.detach(), before)
        opt.zero_grad()
        assert str(cr.explain.update(opt, w)) == str(taken), "also after zero_grad()"


def test_adam_is_shown_term_by_term() -> None:
    w = cr.ones(2, dtype=cr.float64, requires_grad=True)
    opt = optim.Adam([w], lr=0.01)
    (w * cr.tensor([2.0, 3.0], dtype=cr.float64)).sum().backward()
    e = cr.explain.update(opt)
    assert [s.symbol for s in e.steps] == ["m_new", "s_new", "mhat", "shat", "w_new"]
    np.testing.assert_allclose(e["m_new"].value, [0.2, 0.3], rtol=1e-12)
    np.testing.assert_allclose(e["mhat"].value, [2.0, 3.0], rtol=1e-12)
    np.testing.assert_allclose(e["shat"].value, [4.0, 9.0], rtol=1e-12)
    np.testing.assert_allclose(e["w_new"].value, [0.99, 0.99], rtol=1e-8)
    assert "step 1" in str(e)


def test_what_has_no_next_step_is_refused() -> None:
    w = cr.ones(2, requires_grad=True)
    opt = optim.SGD([w], lr=0.1)
    with pytest.raises(GraphError, match="no parameter has a gradient"):
        cr.explain.update(opt)
    with pytest.raises(GraphError, match="this parameter has no gradient"):
        cr.explain.update(opt, w)
    with pytest.raises(ArgumentError, match="does not have this parameter"):
        cr.explain.update(opt, cr.ones(2, requires_grad=True))

    class Own(optim.Optimizer):
        pass

    with pytest.raises(UnsupportedError, match="Own is not an optimizer of the catalogue"):
        cr.explain.update(Own([w], {}))
