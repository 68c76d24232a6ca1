"""The engine against PyTorch: leaves, accumulation, grad(), higher orders, Functions, vjp, jvp, jacobian, hessian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.tensor import functional
from chainrule.tensor.backward import grad
from chainrule.tensor.function import Function

torch = pytest.importorskip("torch")
LIBS = [pytest.param((cr, grad, Function, functional), id="chainrule")]
LIBS += [pytest.param((torch, torch.autograd.grad, torch.autograd.Function, torch.autograd.functional), id="torch")]
X = np.array([0.5, -1.25, 2.0])


def both(program: Callable[..., Any], tolerance: float = 1e-12) -> None:
    """Run one program in both libraries; its result is nested lists of numbers."""
    ours, theirs = (program(*case.values[0]) for case in LIBS)
    flat_ours, flat_theirs = list(flattened(ours)), list(flattened(theirs))
    assert [type(v) is float for v in flat_ours] == [type(v) is float for v in flat_theirs]
    for a, b in zip(flat_ours, flat_theirs, strict=True):
        if isinstance(b, float):
            assert a == pytest.approx(b, rel=tolerance, abs=tolerance, nan_ok=True)
        else:
            assert a == b


def flattened(x: Any) -> Any:
    if hasattr(x, "tolist"):
        x = x.tolist()
    if isinstance(x, list | tuple):
        yield len(x)
        for part in x:
            yield from flattened(part)
    else:
        yield x


# ---- leaves, results, accumulation ---------------------------------------------------------------------------


def test_leaves_and_results_say_the_same_about_themselves() -> None:
    def program(lib: Any, *_: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        c = lib.tensor(X)
        y = x * 2
        d = y.detach()
        with lib.no_grad():
            z = x * 2
        tensors = (x, c, y, d, z, c * 2, y.clone(), x.clone(), x.view(3, 1), x.detach().requires_grad_())
        return [(t.requires_grad, t.is_leaf, t.grad_fn is None, t.is_leaf and t.grad is None) for t in tensors]

    both(program)


def test_gradients_accumulate_over_paths_and_passes() -> None:
    def program(lib: Any, *_: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        y = x.sin()
        z = y * x + y * y + x
        z.sum().backward(retain_graph=True)
        first = x.grad.tolist()
        z.sum().backward()
        return first, x.grad

    both(program)


def test_a_gradient_argument_weighs_the_results() -> None:
    def program(lib: Any, *_: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        (x * x).backward(gradient=lib.tensor([1.0, 0.5, -2.0], dtype=lib.float64))
        return x.grad

    both(program)


def test_inputs_restrict_backward() -> None:
    def program(lib: Any, *_: Any) -> Any:
        x, w = lib.tensor(X, requires_grad=True), lib.tensor(X + 1, requires_grad=True)
        h = x * w
        (h * h).sum().backward(inputs=[w], retain_graph=True)
        found: list[Any] = [x.grad is None, w.grad.tolist()]
        h.retain_grad()
        (h * h).sum().backward(inputs=[x, h], retain_graph=True)
        found += [x.grad.tolist(), h.grad.tolist(), w.grad.tolist()]
        h.sum().backward()
        return [*found, h.grad]

    both(program)


def test_several_roots_share_a_sweep() -> None:
    def program(lib: Any, grad: Any, *_: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        a, b = x * x, x.exp()
        return grad([a, b, a.sum()], x, [lib.ones_like(a), b.detach(), None])

    both(program)


def test_grad_of_unused_inputs() -> None:
    def program(lib: Any, grad: Any, *_: Any) -> Any:
        x, w = lib.tensor(X, requires_grad=True), lib.tensor(X, requires_grad=True)
        loss = (x * x).sum()
        g, none = grad(loss, [x, w], allow_unused=True, retain_graph=True)
        refused = False
        try:
            grad(loss, [x, w], retain_graph=True)
        except RuntimeError:
            refused = True
        return g, none is None, refused, grad(loss, [x, w], materialize_grads=True)

    both(program)


def test_grad_by_a_result_stops_there() -> None:
    """What lies behind the result is not run, and not freed."""

    def program(lib: Any, grad: Any, *_: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        h = x.exp()
        (g,) = grad((h * h).sum(), h)
        untouched = x.grad is None
        h.sum().backward()
        return g, untouched, x.grad

    both(program)


def test_grad_by_a_result_and_by_its_leaf() -> None:
    def program(lib: Any, grad: Any, *_: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        h = x.exp()
        return grad((h * h * x).sum(), [h, x])

    both(program)


def test_the_gradient_of_a_tensor_by_itself_is_one_and_can_be_written() -> None:
    x = cr.tensor(2.0, requires_grad=True)
    (g,) = grad(x, x)
    g.add_(1)
    (again,) = grad(x, x)
    assert again.item() == 1.0


def test_detach_cuts_one_path_only() -> None:
    def program(lib: Any, *_: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        (x * x.detach() + x.sin().detach_()).sum().backward()
        return x.grad

    both(program)


# ---- higher orders ---------------------------------------------------------------------------------------------


def repeatedly(function: Callable[[Any], Any], orders: int) -> Callable[..., Any]:
    def program(lib: Any, grad: Any, *_: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        y, found = function(x), []
        for _ in range(orders):
            (y,) = grad(y.sum(), x, create_graph=True)
            found.append(y.detach())
        return found

    return program


@pytest.mark.parametrize(
    "function",
    [lambda x: x**4, lambda x: x.sin().exp(), lambda x: x.tanh() * x, lambda x: x.sigmoid().log(), lambda x: (x * x + 1).sqrt(),
     lambda x: x.softmax(0) * x, lambda x: x / (1 + x * x), lambda x: x.sin().cumsum(0) * x.flip(0).exp(), lambda x: (x.reshape(3, 1) @ x.reshape(1, 3)).sin()],
)  # fmt: skip
def test_four_derivatives_agree(function: Callable[[Any], Any]) -> None:
    both(repeatedly(function, 4), 1e-9)


def test_the_third_derivative_of_a_fourth_power() -> None:
    x = cr.tensor([0.5, -2.0], dtype=cr.float64, requires_grad=True)
    y = x**4
    for _ in range(3):
        (y,) = grad(y.sum(), x, create_graph=True)
    np.testing.assert_allclose(y.detach().numpy(), 24 * x.detach().numpy(), 1e-14)


def test_hessian_vector_products_agree() -> None:
    def program(lib: Any, grad: Any, *_: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        v = lib.tensor([1.0, -1.0, 0.5], dtype=lib.float64)
        (g,) = grad((x.exp() * x.flip(0)).sum(), x, create_graph=True)
        return grad((g * v).sum(), x)

    both(program)


def test_a_gradient_penalty_trains_the_weights() -> None:
    def program(lib: Any, grad: Any, *_: Any) -> Any:
        w = lib.tensor(np.linspace(-1, 1, 6).reshape(2, 3), requires_grad=True)
        x = lib.tensor(np.linspace(0, 1, 6).reshape(2, 3), requires_grad=True)
        score = (x @ w.T).tanh().sum()
        (g,) = grad(score, x, create_graph=True)
        ((g.norm(2, 1) - 1) ** 2).mean().backward()
        return w.grad, x.grad

    both(program)


def test_backward_with_create_graph_leaves_gradients_that_can_be_differentiated() -> None:
    def program(lib: Any, grad: Any, *_: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        (g,) = grad((x**3).sum(), x, create_graph=True)
        g.sum().backward()
        return x.grad

    both(program)


# ---- Function ----------------------------------------------------------------------------------------------------


def cube_of(Base: Any) -> Any:
    class Cube(Base):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 3 * x**2 * g

    return Cube


def exp_of(Base: Any) -> Any:
    class Exp(Base):
        @staticmethod
        def forward(x: Any) -> Any:
            return x.exp()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(output)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (y,) = ctx.saved_tensors
            return y * g

    return Exp


@pytest.mark.parametrize("make", [cube_of, exp_of])
def test_functions_that_save_inputs_or_results_are_differentiated_three_times(make: Any) -> None:
    def program(lib: Any, grad: Any, Base: Any, _: Any) -> Any:
        operation = make(Base).apply
        x = lib.tensor(X, requires_grad=True)
        y = operation(x.sin())
        found = []
        for _order in range(3):
            (y,) = grad(y.sum(), x, create_graph=True)
            found.append(y.detach())
        return found

    both(program, 1e-10)


def test_a_function_of_several_arguments_and_results() -> None:
    def program(lib: Any, grad: Any, Base: Any, _: Any) -> Any:
        class Op(Base):
            @staticmethod
            def forward(ctx: Any, x: Any, factor: float, w: Any, name: str) -> Any:
                ctx.factor = factor
                ctx.save_for_backward(x, w)
                ctx.needs = ctx.needs_input_grad
                return x * factor, x * w, (x > 0)

            @staticmethod
            def backward(ctx: Any, ga: Any, gb: Any, gmask: Any) -> Any:
                x, w = ctx.saved_tensors
                seen.append((tuple(ctx.needs_input_grad), gmask is None))
                return ga * ctx.factor + gb * w, None, gb * x if ctx.needs_input_grad[2] else None, None

        seen: list[Any] = []
        x, w = lib.tensor(X, requires_grad=True), lib.tensor(X + 1)
        a, b, mask = Op.apply(x, 2.5, w, "name")
        (a.sin() + b).sum().backward(retain_graph=True)
        first = x.grad.tolist()
        a2, _, _ = Op.apply(x, 2.0, w, "name")
        a2.sum().backward()  # the cotangent of the second result is zeros
        return first, x.grad, mask.requires_grad, a.requires_grad, [s[0] for s in seen]

    both(program)


def test_a_function_may_return_none_and_not_materialize() -> None:
    def program(lib: Any, grad: Any, Base: Any, _: Any) -> Any:
        class Op(Base):
            @staticmethod
            def forward(ctx: Any, x: Any, w: Any) -> Any:
                ctx.set_materialize_grads(False)
                return x * 1, w * 1

            @staticmethod
            def backward(ctx: Any, ga: Any, gb: Any) -> Any:
                seen.append(gb is None)
                return ga, gb

        seen: list[bool] = []
        x, w = lib.tensor(X, requires_grad=True), lib.tensor(X, requires_grad=True)
        a, _b = Op.apply(x, w)
        a.sum().backward()
        return seen, x.grad, w.grad is None or w.grad.abs().sum().item() == 0

    both(program)


def test_a_function_that_works_in_place_marks_its_input_dirty() -> None:
    def program(lib: Any, grad: Any, Base: Any, _: Any) -> Any:
        class Double_(Base):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                x.mul_(2)
                ctx.mark_dirty(x)
                return x

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return 2 * g

        x = lib.tensor(X, requires_grad=True)
        h = x * 3
        same = Double_.apply(h)
        (h * h).sum().backward()
        refused = False
        try:
            Double_.apply(x)
        except RuntimeError:
            refused = True
        return x.grad, h, same is h, refused

    both(program)


def test_a_function_may_return_a_stretched_gradient() -> None:
    def program(lib: Any, grad: Any, Base: Any, _: Any) -> Any:
        class Add(Base):
            @staticmethod
            def forward(ctx: Any, a: Any, b: Any) -> Any:
                return a + b

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g, g

        a = lib.tensor(np.ones((2, 3)), requires_grad=True)
        b = lib.tensor(X, requires_grad=True)
        (Add.apply(a, b) * a.detach()).sum().backward()
        return a.grad, b.grad

    both(program)


def test_results_marked_non_differentiable_need_no_gradient() -> None:
    def program(lib: Any, grad: Any, Base: Any, _: Any) -> Any:
        class Op(Base):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                y, z = x * 2, x * 3
                ctx.mark_non_differentiable(z)
                return y, z

            @staticmethod
            def backward(ctx: Any, gy: Any, gz: Any) -> Any:
                return gy * 2 + gz

        x = lib.tensor(X, requires_grad=True)
        y, z = Op.apply(x)
        (y + z).sum().backward()
        return y.requires_grad, z.requires_grad, x.grad

    both(program)


# ---- vjp, jvp, jacobian, hessian --------------------------------------------------------------------------------


def two_results(x: Any, w: Any) -> Any:
    return x.sin() * w, (x * x * w).sum()


def scalar(x: Any, w: Any) -> Any:
    return (x.exp() * w * w).sum() + x.sum() * w.prod()


def inputs(lib: Any) -> Any:
    return lib.tensor(X), lib.tensor(X * 0.5 + 1)


def test_jacobians_agree() -> None:
    both(lambda lib, g, F, fn: fn.jacobian(two_results, inputs(lib)))
    both(lambda lib, g, F, fn: fn.jacobian(lambda x: x.reshape(3, 1) * x, lib.tensor(X)))
    both(lambda lib, g, F, fn: fn.jacobian(lambda x, w: (x * 1, w.detach() * 2 + 0 * w), inputs(lib)))


def test_hessians_agree() -> None:
    both(lambda lib, g, F, fn: fn.hessian(scalar, inputs(lib)))
    both(lambda lib, g, F, fn: fn.hessian(lambda x: (x**3).sum(), lib.tensor(X)))
    both(lambda lib, g, F, fn: fn.hessian(lambda x: (x * 3).sum(), lib.tensor(X)))


@pytest.mark.parametrize("name", ["vjp", "jvp"])
def test_products_with_jacobians_agree(name: str) -> None:
    def program(lib: Any, g: Any, F: Any, fn: Any) -> Any:
        x, w = inputs(lib)
        v = (lib.ones_like(x), lib.tensor(2.0, dtype=lib.float64)) if name == "vjp" else (x * 2, w + 1)
        return getattr(fn, name)(two_results, (x, w), v)

    both(program)


@pytest.mark.parametrize("name", ["vhp", "hvp"])
def test_products_with_hessians_agree(name: str) -> None:
    def program(lib: Any, g: Any, F: Any, fn: Any) -> Any:
        x, w = inputs(lib)
        return getattr(fn, name)(scalar, (x, w), (x + 1, w - 1))

    both(program)


def test_a_jacobian_with_create_graph_can_be_differentiated() -> None:
    def program(lib: Any, grad: Any, F: Any, fn: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        j = fn.jacobian(lambda t: t**3, x, create_graph=True)
        return grad((j * j).sum(), x)

    both(program)


@pytest.mark.parametrize("name", ["jacobian", "vjp"])
def test_strict_refuses_an_independent_input(name: str) -> None:
    with pytest.raises(RuntimeError, match="independent"):
        getattr(functional, name)(lambda x, w: x.sum(), inputs(cr), strict=True)


# ---- hooks ---------------------------------------------------------------------------------------------------------


def test_hooks_see_and_replace_gradients_in_order() -> None:
    def program(lib: Any, *_: Any) -> Any:
        seen: list[Any] = []
        x = lib.tensor(X, requires_grad=True)
        y = x * 2
        y.register_hook(lambda g: seen.append(("y1", g.tolist())))
        y.register_hook(lambda g: g * 10)
        y.register_hook(lambda g: seen.append(("y3", g.tolist())))
        y.retain_grad()
        gone = y.register_hook(lambda g: g * 1000)
        gone.remove()
        gone.remove()
        x.register_hook(lambda g: g + 1)
        x.register_hook(lambda g: seen.append(("x", g.tolist())))
        x.register_post_accumulate_grad_hook(lambda leaf: seen.append(("post", leaf.grad.tolist(), leaf is x)))
        (y * y).sum().backward()
        return seen, x.grad, y.grad

    both(program)


def test_a_hook_on_a_shared_result_is_called_once_with_the_sum() -> None:
    def program(lib: Any, *_: Any) -> Any:
        seen: list[Any] = []
        x = lib.tensor(X, requires_grad=True)
        y = x.sin()
        y.register_hook(lambda g: seen.append(g.tolist()))
        (y * 2 + y * y + y.exp()).sum().backward()
        return seen, x.grad

    both(program)


def test_hooks_act_on_grad_too() -> None:
    def program(lib: Any, grad: Any, *_: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        y = x * 2
        y.register_hook(lambda g: g * 3)
        x.register_hook(lambda g: g * 5)
        loss = (y * y).sum()
        return grad(loss, x, retain_graph=True), grad(loss, y)

    both(program)


# ---- what is kept, what is lost -----------------------------------------------------------------------------------


def test_a_frozen_leaf_keeps_its_gradient() -> None:
    def program(lib: Any, *_: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        (x * x).sum().backward()
        x.requires_grad_(False)
        frozen = x.grad.tolist()
        x.requires_grad_()
        (x * x).sum().backward()
        return frozen, x.grad

    both(program)


def test_grad_can_be_set_and_cleared() -> None:
    def program(lib: Any, *_: Any) -> Any:
        x = lib.tensor(X, requires_grad=True)
        x.grad = lib.ones_like(x)
        (x * 2).sum().backward()
        total = x.grad.tolist()
        x.grad = None
        (x * 2).sum().backward()
        refused = []
        for wrong in (lib.ones(2), lib.ones(3, dtype=lib.float32), 3.0):
            try:
                x.grad = wrong
            except (RuntimeError, TypeError) as error:
                refused.append(isinstance(error, TypeError))
        return total, x.grad, refused

    both(program)


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode"])
def test_modes_nest_and_decorate(mode: str) -> None:
    def program(lib: Any, *_: Any) -> Any:
        x = lib.ones(1, requires_grad=True)
        switch = getattr(lib, mode)

        @switch()
        def called() -> bool:
            return (x * 2).requires_grad

        @switch
        def bare() -> bool:
            return lib.is_grad_enabled()

        @lib.no_grad()
        def numbers() -> Any:
            for _ in range(2):
                yield lib.is_grad_enabled()

        found = [called(), bare(), lib.is_grad_enabled()]
        steps = numbers()
        found += [next(steps), lib.is_grad_enabled(), next(steps)]
        with switch():
            found.append((x * 2).requires_grad)
            with lib.enable_grad() if mode == "no_grad" else lib.inference_mode(False):
                found.append((x * 2).requires_grad)
            found.append(lib.is_grad_enabled())
        lib.set_grad_enabled(False)
        found.append(lib.is_grad_enabled())
        lib.set_grad_enabled(True)
        with lib.set_grad_enabled(False):
            found.append(lib.is_grad_enabled())
        try:
            with switch():
                raise KeyError
        except KeyError:
            found.append(lib.is_grad_enabled())
        return found

    both(program)
