"""Hooks of modules: what they see, what they replace, in which order."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import UnsupportedError
from chainrule.tensor.backward import grad


class Scale(nn.Module):
    def forward(self, x, factor=2.0):
        if factor == 0:
            raise ValueError("no factor")
        return x * factor


def test_a_forward_hook_sees_and_replaces_the_output():
    module = Scale()
    seen = []
    handle = module.register_forward_hook(lambda m, args, y: seen.append((m, args, y)))
    x = cr.ones(1)
    y = module(x)
    assert seen[0][0] is module
    assert seen[0][1] == (x,)
    assert seen[0][2] is y
    module.register_forward_hook(lambda m, args, y: y + 1)
    assert module(x).tolist() == [3.0]
    handle.remove()
    module(x)
    assert len(seen) == 2


def test_a_forward_pre_hook_replaces_the_arguments():
    module = Scale()
    with module.register_forward_pre_hook(lambda m, args: args[0] + 1):
        assert module(cr.ones(1)).tolist() == [4.0]
    with module.register_forward_pre_hook(lambda m, args: (args[0] + 1, 3.0)):
        assert module(cr.ones(1)).tolist() == [6.0]
    with module.register_forward_pre_hook(lambda m, a, k: (a, {"factor": k["factor"] * 2}), with_kwargs=True):
        assert module(cr.ones(1), factor=5.0).tolist() == [10.0]
    with (
        module.register_forward_pre_hook(lambda m, a, k: a, with_kwargs=True),
        pytest.raises(RuntimeError, match="must return None or a tuple of \\(new_args, new_kwargs\\)"),
    ):
        module(cr.ones(1))
    assert module(cr.ones(1)).tolist() == [2.0]


def test_hooks_run_in_the_order_of_registration_or_first_if_prepended():
    module, order = Scale(), []
    module.register_forward_hook(lambda *_: order.append("a"))
    module.register_forward_hook(lambda m, args, kwargs, y: order.append(("b", kwargs)), with_kwargs=True)
    module.register_forward_hook(lambda *_: order.append("first"), prepend=True)
    module(cr.ones(1), factor=1.0)
    assert order == ["first", "a", ("b", {"factor": 1.0})]


def test_a_hook_that_is_always_called_is_called_when_forward_fails():
    module, seen = Scale(), []
    module.register_forward_hook(lambda m, args, y: seen.append(y), always_call=True)
    module.register_forward_hook(lambda m, args, y: seen.append("never"))
    with pytest.raises(ValueError, match="no factor"):
        module(cr.ones(1), 0)
    assert seen == [None]


def test_a_hook_that_is_always_called_is_called_once():
    module, seen = Scale(), []

    def fail(*_):
        raise KeyError("later")

    module.register_forward_hook(lambda m, args, y: seen.append(y.tolist()), always_call=True)
    module.register_forward_hook(fail)
    with pytest.raises(KeyError, match="later"):
        module(cr.ones(1))
    assert seen == [[2.0]]


def test_an_error_of_such_a_hook_is_told_and_does_not_hide_the_first():
    module = Scale()

    def fail(*_):
        raise KeyError("from the hook")

    module.register_forward_hook(fail, always_call=True)
    with pytest.warns(UserWarning, match="was silenced"), pytest.raises(ValueError, match="no factor"):
        module(cr.ones(1), 0)


def test_a_backward_hook_may_scale_the_gradient_of_the_input():
    module = Scale()
    module.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10,))
    x = cr.ones(2, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.tolist() == [20.0, 20.0]
    x.grad = None
    with cr.no_grad():
        assert module(x).tolist() == [2.0, 2.0]


def test_backward_hooks_work_under_create_graph():
    module = Scale()
    module.register_full_backward_hook(lambda m, gi, go: (gi[0] * gi[0],))
    x = cr.tensor([3.0], requires_grad=True)
    (g,) = grad((module(x) * x).sum(), x, create_graph=True)  # d/dx 2x^2 by parts: 2x + (2x)^2
    assert g.item() == pytest.approx(2 * 3 + (2 * 3) ** 2)


@pytest.mark.parametrize(
    ("hook", "error", "message"),
    [
        (lambda m, gi, go: (gi[0], gi[0]), RuntimeError, "returned 2 gradients, expected 1"),
        (lambda m, gi, go: 3.0, TypeError, "returns None, a Tensor or a tuple of them"),
    ],
)
def test_a_backward_hook_that_returns_something_else_is_refused(hook, error, message):
    module = Scale()
    module.register_full_backward_hook(hook)
    with pytest.raises(error, match=message):
        module(cr.ones(2, requires_grad=True)).sum().backward()


def test_a_backward_hook_without_tensors_in_the_output_warns():
    class Strange(nn.Module):
        def forward(self, x):
            return {"y": x}

    module = Strange()
    module.register_full_backward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="should be a Tensor or a tuple of Tensors"):
        module(cr.ones(1, requires_grad=True))


def test_the_old_backward_hook_is_refused_with_the_new_ones_name():
    with pytest.raises(UnsupportedError, match="register_full_backward_hook"):
        Scale().register_backward_hook(lambda *_: None)
