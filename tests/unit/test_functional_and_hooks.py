"""autograd.functional and hooks: what they refuse, and handles."""

from __future__ import annotations

from typing import Any

import pytest

import chainrule as cr
from chainrule.tensor import functional
from chainrule.tensor.switches import set_grad_enabled

X = cr.tensor([1.0, 2.0, 3.0])


@pytest.mark.parametrize("name", ["jacobian", "hessian", "vjp", "jvp", "vhp", "hvp"])
def test_inputs_and_results_must_be_tensors(name: str) -> None:
    function = getattr(functional, name)
    with pytest.raises(TypeError, match="inputs must be a Tensor"):
        function(lambda x: x, [1.0, 2.0])
    with pytest.raises((TypeError, RuntimeError)):
        function(lambda x: 3.0, X)


@pytest.mark.parametrize("name", ["jvp", "hvp", "vhp"])
def test_v_has_the_shape_of_the_inputs(name: str) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)v does not fit.*\(2,\).*\(3,\)"):
        getattr(functional, name)(lambda x: (x * x).sum(), X, cr.ones(2))


def test_v_of_a_vjp_has_the_shape_of_the_result() -> None:
    with pytest.raises(RuntimeError, match=r"\(2,\)"):
        functional.vjp(lambda x: x * x, X, cr.ones(2))
    with pytest.raises(RuntimeError, match="scalar"):
        functional.vjp(lambda x: x * x, X)


def test_a_hessian_needs_a_function_with_one_number() -> None:
    with pytest.raises(RuntimeError, match="single element"):
        functional.hessian(lambda x: x * x, X)


def test_the_inputs_themselves_are_left_alone() -> None:
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    functional.jacobian(lambda t: t * t, x)
    functional.hessian(lambda t: (t**3).sum(), x)
    assert x.grad is None
    assert not X.requires_grad


def test_they_differentiate_inside_no_grad() -> None:
    with cr.no_grad():
        assert functional.jacobian(lambda t: t * t, X).tolist() == [[2.0, 0, 0], [0, 4.0, 0], [0, 0, 6.0]]


def test_a_hook_needs_a_gradient_and_returns_tensors_of_its_shape() -> None:
    with pytest.raises(RuntimeError, match="hook"):
        X.register_hook(lambda g: g)
    with pytest.raises(RuntimeError, match="non-leaf"):
        (X * cr.ones(3, requires_grad=True)).register_post_accumulate_grad_hook(lambda p: None)
    for wrong, kind in ((lambda g: 3.0, TypeError), (lambda g: cr.ones(2), RuntimeError)):
        x = cr.ones(3, requires_grad=True)
        x.register_hook(wrong)
        with pytest.raises(kind, match="hook"):
            x.sum().backward()


def test_a_handle_is_a_context_manager() -> None:
    x = cr.ones(1, requires_grad=True)
    with x.register_hook(lambda g: g * 5):
        x.sum().backward()
    x.sum().backward()
    assert x.grad.tolist() == [6.0]


def test_an_optimiser_in_a_post_accumulate_hook_sees_the_finished_gradient() -> None:
    w = cr.tensor([2.0], requires_grad=True)

    def update(p: cr.Tensor) -> None:
        with cr.no_grad():
            p -= 0.1 * p.grad
        p.grad = None

    w.register_post_accumulate_grad_hook(update)
    (w * w * 3).sum().backward()
    assert w.item() == pytest.approx(2 - 0.1 * 12)
    assert w.grad is None


def test_modes_come_back_after_an_error_and_inside_generators() -> None:
    @cr.no_grad()
    def failing() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert cr.is_grad_enabled()

    @cr.no_grad()
    def numbers() -> Any:
        try:
            yield cr.is_grad_enabled()
        finally:
            seen.append(cr.is_grad_enabled())

    seen: list[bool] = []
    steps = numbers()
    assert next(steps) is False
    assert cr.is_grad_enabled()
    steps.close()
    assert seen == [False]
    assert cr.is_grad_enabled()

    @set_grad_enabled(False)
    def echo() -> Any:
        got = yield 1
        while True:
            got = yield (got, cr.is_grad_enabled())

    machine = echo()
    next(machine)
    assert machine.send("sent") == ("sent", False)


def test_one_switch_object_may_be_entered_twice() -> None:
    switch = cr.no_grad()
    with switch, switch:
        assert not cr.is_grad_enabled()
    assert cr.is_grad_enabled()


def test_a_decorator_keeps_the_functions_name_and_methods_work() -> None:
    class Model:
        @cr.no_grad()
        def predict(self, x: cr.Tensor) -> cr.Tensor:
            """Predicts."""
            return x * cr.ones(1, requires_grad=True)

    assert not Model().predict(cr.ones(1)).requires_grad
    assert Model.predict.__name__ == "predict"
    assert Model.predict.__doc__ == "Predicts."
