"""vjp, jvp, jacobian, hessian of functions of tensors, by the reverse sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import ArgumentTypeError, GraphError, ShapeError
from chainrule.tensor.backward import grad
from chainrule.tensor.functions import movement
from chainrule.tensor.printing import describe
from chainrule.tensor.switches import enable_grad
from chainrule.tensor.tensor import Tensor, wrap

Tensors = tuple[Tensor, ...]


def _as_tuple(x: Any, what: str) -> Tensors:
    parts = tuple(x) if isinstance(x, tuple | list) else (x,)
    for i, part in enumerate(parts):
        if not isinstance(part, Tensor):
            raise ArgumentTypeError(
                f"{what} must be a Tensor or a tuple of Tensors; element {i} is {type(part).__name__}"
            )
    return parts


def _fresh(inputs: Tensors, create_graph: bool) -> Tensors:
    """Inputs to differentiate by: connected to the user's graph if the result is to be differentiated again."""
    if create_graph:
        return tuple([x.view_as(x) if x.requires_grad else wrap(x.value, None).requires_grad_() for x in inputs])
    return tuple([wrap(x.value, None).requires_grad_() for x in inputs])


def _like(x: Any, parts: Any) -> Any:
    return tuple(parts) if isinstance(x, tuple | list) else parts[0]


def _detached(parts: Any, create_graph: bool) -> list[Any]:
    return list(parts) if create_graph else [p.detach() for p in parts]


def _zeros(x: Tensor) -> Tensor:
    return wrap(np.zeros(x.value.shape, x.value.dtype), None)


def _check_vector(v: Tensors, like: Tensors, what: str) -> None:
    if len(v) != len(like) or any(a.value.shape != b.value.shape for a, b in zip(v, like, strict=False)):
        raise ShapeError(
            f"v does not fit the {what}", got=[*[describe("v", a) for a in v], *[describe(what, b) for b in like]]
        )


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), v^T J): the cotangents of the inputs for the cotangent v of the output.

    v may be missing for an output of one element. `strict` raises for an input the output does not depend on.
    """
    with enable_grad():
        xs = _fresh(_as_tuple(inputs, "inputs"), create_graph)
        output = func(*xs)
        ys = _as_tuple(output, "outputs")
        vs = None if v is None else _as_tuple(v, "v")
        if vs is not None:
            _check_vector(vs, ys, "output")
        grads = grad(ys, xs, vs, create_graph=create_graph, allow_unused=True)
    got = [_required(g, x, i, strict) for i, (g, x) in enumerate(zip(grads, xs, strict=True))]
    return _like(output, _detached(ys, create_graph)), _like(inputs, got)


def _required(g: Tensor | None, x: Tensor, i: int, strict: bool) -> Tensor:
    if g is None:
        if strict:
            raise GraphError(f"The output of the user-provided function is independent of input {i}.")
        return _zeros(x)
    return g


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), J v): the output's tangents for the inputs' tangent v, by differentiating u^T J in u."""
    with enable_grad():
        xs = _fresh(_as_tuple(inputs, "inputs"), create_graph)
        vs = _as_tuple(v, "v") if v is not None else tuple([wrap(np.ones_like(x.value), None) for x in xs])
        _check_vector(vs, xs, "input")
        output = func(*xs)
        ys = _as_tuple(output, "outputs")
        us = tuple([_zeros(y).requires_grad_() for y in ys])
        grads = grad(ys, xs, us, create_graph=True, allow_unused=True)
        reached = [(g, w) for g, w in zip(grads, vs, strict=True) if g is not None and g.requires_grad]
        if strict and len(reached) < len(xs):
            raise GraphError("The output of the user-provided function is independent of one of its inputs.")
        if not reached:
            return _like(output, _detached(ys, create_graph)), _like(output, [_zeros(y) for y in ys])
        tangents = grad(
            [g for g, _ in reached], us, [w for _, w in reached], create_graph=create_graph, allow_unused=True
        )
    got = [_zeros(y) if t is None else t for t, y in zip(tangents, ys, strict=True)]
    return _like(output, _detached(ys, create_graph)), _like(output, got)


def jacobian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False
) -> Any:
    """dy_i/dx_j, of shape output.shape + input.shape, row by row; a tuple of tuples for several outputs, inputs."""
    with enable_grad():
        xs = _fresh(_as_tuple(inputs, "inputs"), create_graph)
        output = func(*xs)
        ys = _as_tuple(output, "outputs")
        table = [_rows(y, xs, create_graph, strict) for y in ys]
    return _like(output, [_like(inputs, row) for row in table])


def _rows(y: Tensor, xs: Tensors, create_graph: bool, strict: bool) -> list[Tensor]:
    """The Jacobian of one output by every input."""
    if not y.requires_grad:
        return [_required(None, x, i, strict).new_zeros((*y.shape, *x.shape)) for i, x in enumerate(xs)]
    rows: list[list[Tensor]] = [[] for _ in xs]
    for place in range(y.value.size):
        unit = np.zeros(y.value.size, y.value.dtype)
        unit[place] = 1
        grads = grad(y, xs, wrap(unit.reshape(y.value.shape), None), True, create_graph, allow_unused=True)
        for i, (g, x) in enumerate(zip(grads, xs, strict=True)):
            rows[i].append(_required(g, x, i, strict))
    return [
        movement.stack(row).reshape((*y.shape, *x.shape)) if row else x.new_zeros((*y.shape, *x.shape))
        for row, x in zip(rows, xs, strict=True)
    ]


def hessian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False
) -> Any:
    """d^2y/(dx_i dx_j) of a function with one number as its result, of shape input.shape + input.shape."""
    several = isinstance(inputs, tuple | list)

    def gradient(*xs: Tensor) -> Any:
        y = func(*xs)
        if not isinstance(y, Tensor) or y.value.size != 1:
            raise ShapeError("The Tensor returned by the function given to hessian should contain a single element")
        grads = grad(y.reshape(()), xs, create_graph=True, allow_unused=True) if y.requires_grad else [None] * len(xs)
        got = tuple([_required(g, x, i, strict) for i, (g, x) in enumerate(zip(grads, xs, strict=True))])
        return got if several else got[0]

    return jacobian(gradient, inputs, create_graph=create_graph, strict=strict)


def vhp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), v^T H) of a function with one number as its result."""
    return _hessian_product(func, inputs, v, create_graph)


def hvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), H v) of a function with one number as its result; H is symmetric, so this is vhp."""
    return _hessian_product(func, inputs, v, create_graph)


def _hessian_product(func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool) -> Any:
    with enable_grad():
        xs = _fresh(_as_tuple(inputs, "inputs"), create_graph)
        y = func(*xs)
        vs = _as_tuple(v, "v") if v is not None else tuple([wrap(np.ones_like(x.value), None) for x in xs])
        _check_vector(vs, xs, "input")
        firsts = grad(y, xs, create_graph=True, materialize_grads=True)
        live = [(g, w) for g, w in zip(firsts, vs, strict=True) if g.requires_grad]
        if not live:
            return _detached([y], create_graph)[0], _like(inputs, [_zeros(x) for x in xs])
        seconds = grad(
            [g for g, _ in live], xs, [w for _, w in live], create_graph=create_graph, materialize_grads=True
        )
    return _detached([y], create_graph)[0], _like(inputs, seconds)
