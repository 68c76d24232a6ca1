"""autograd.Function: what it refuses, frees and passes on."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import chainrule as cr
from chainrule.tensor.backward import grad
from chainrule.tensor.function import Function, once_differentiable


class Double(Function):
    @staticmethod
    def forward(ctx: Any, x: cr.Tensor) -> cr.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: cr.Tensor) -> Any:
        return g * 2


def returning(result: Any) -> Any:
    class Op(Function):
        @staticmethod
        def forward(ctx: Any, x: cr.Tensor, factor: float) -> cr.Tensor:
            return x * factor

        @staticmethod
        def backward(ctx: Any, g: cr.Tensor) -> Any:
            return result(g)

    return Op


def test_the_node_has_the_functions_name() -> None:
    x = cr.ones(2, requires_grad=True)
    y = Double.apply(x)
    assert repr(y.grad_fn) == "<DoubleBackward>"
    assert not Double.apply(cr.ones(2)).requires_grad


@pytest.mark.parametrize("count", [1, 3])
def test_a_wrong_number_of_gradients_is_counted(count: int) -> None:
    op = returning(lambda g: (g,) * count)
    with pytest.raises(RuntimeError, match=rf"incorrect number of gradients \(expected 2, got {count}\)"):
        op.apply(cr.ones(2, requires_grad=True), 3.0).sum().backward()


def test_surplus_nones_are_passed_over() -> None:
    x = cr.ones(2, requires_grad=True)
    returning(lambda g: (g * 5, None, None, None)).apply(x, 3.0).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]


def test_a_gradient_of_a_wrong_shape_names_index_and_shapes() -> None:
    op = returning(lambda g: (cr.ones(3), None))
    with pytest.raises(RuntimeError, match=r"index 0 - got \[3\] but expected shape compatible with \[2\]"):
        op.apply(cr.ones(2, requires_grad=True), 3.0).sum().backward()


def test_a_gradient_that_is_no_tensor_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="float for input 0"):
        returning(lambda g: (1.0, None)).apply(cr.ones(2, requires_grad=True), 3.0).sum().backward()


def test_a_gradient_of_another_type_is_converted() -> None:
    x = cr.ones(2, requires_grad=True)
    returning(lambda g: (g.double(), None)).apply(x, 3.0).sum().backward()
    assert x.grad.dtype is cr.float32


def test_forward_and_backward_must_be_written() -> None:
    class Nothing(Function):
        pass

    class NoBackward(Function):
        @staticmethod
        def forward(ctx: Any, x: cr.Tensor) -> cr.Tensor:
            return x * 1

    x = cr.ones(1, requires_grad=True)
    with pytest.raises(NotImplementedError, match="forward"):
        Nothing.apply(x)
    with pytest.raises(NotImplementedError, match="backward"):
        NoBackward.apply(x).sum().backward()


def test_only_tensors_can_be_saved() -> None:
    class Op(Function):
        @staticmethod
        def forward(ctx: Any, x: cr.Tensor) -> cr.Tensor:
            ctx.save_for_backward(2.0)
            return x

    with pytest.raises(TypeError, match="save_for_backward"):
        Op.apply(cr.ones(1))


class Squared(Function):
    @staticmethod
    def forward(ctx: Any, x: cr.Tensor) -> cr.Tensor:
        ctx.save_for_backward(x, None)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: cr.Tensor) -> Any:
        x, none = ctx.saved_tensors
        assert none is None
        return 2 * x * g


def test_a_saved_tensor_that_was_written_is_refused() -> None:
    x = cr.ones(2, requires_grad=True) * 3
    y = Squared.apply(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation \(add_\)"):
        y.sum().backward()


def test_a_second_pass_is_refused() -> None:
    y = Squared.apply(cr.ones(2, requires_grad=True)).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_once_differentiable_refuses_the_second_derivative_only() -> None:
    class Once(Function):
        @staticmethod
        def forward(ctx: Any, x: cr.Tensor) -> cr.Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, g: cr.Tensor) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * x * g

    x = cr.tensor([3.0], requires_grad=True)
    Once.apply(x).sum().backward()
    assert x.grad.tolist() == [6.0]
    (g,) = grad(Once.apply(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_saving_a_result_makes_no_reference_cycle() -> None:
    class Exp(Function):
        @staticmethod
        def forward(ctx: Any, x: cr.Tensor) -> cr.Tensor:
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx: Any, g: cr.Tensor) -> Any:
            (y,) = ctx.saved_tensors
            return y * g

    gc.disable()
    try:
        x = cr.ones(2, requires_grad=True)
        y = Exp.apply(x)
        gone = weakref.ref(y.value)
        del y
        assert gone() is None
        y = Exp.apply(x)
        (g,) = grad(y.sum(), x, create_graph=True)
        gone = weakref.ref(y.value)
        del y, g
        assert gone() is None
    finally:
        gc.enable()


def test_an_input_that_is_returned_is_a_result_of_its_own() -> None:
    class Same(Function):
        @staticmethod
        def forward(ctx: Any, x: cr.Tensor) -> cr.Tensor:
            return x

        @staticmethod
        def backward(ctx: Any, g: cr.Tensor) -> Any:
            return g * 7

    x = cr.ones(2, requires_grad=True)
    y = Same.apply(x)
    assert y is not x
    y.sum().backward()
    assert x.grad.tolist() == [7.0, 7.0]
    assert x.is_leaf


def test_forward_sees_the_arguments_themselves() -> None:
    seen: list[Any] = []

    class Look(Function):
        @staticmethod
        def forward(ctx: Any, x: cr.Tensor, note: dict[str, int]) -> cr.Tensor:
            seen.extend([x.requires_grad, cr.is_grad_enabled(), note, ctx.needs_input_grad])
            return x * 1

    x = cr.ones(2, requires_grad=True)
    note = {"a": 1}
    Look.apply(x, note)
    assert seen == [True, False, note, (True, False)]


def test_results_come_back_in_the_container_that_forward_chose() -> None:
    class Pair(Function):
        @staticmethod
        def forward(ctx: Any, x: cr.Tensor) -> Any:
            return x * 1, "text"

        @staticmethod
        def backward(ctx: Any, g: cr.Tensor, none: Any) -> Any:
            assert none is None
            return g

    x = cr.ones(2, requires_grad=True)
    y, text = Pair.apply(x)
    assert text == "text"
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
