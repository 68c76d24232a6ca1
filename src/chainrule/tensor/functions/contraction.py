"""matmul, einsum and the products of vectors and matrices under PyTorch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ArgumentTypeError, DTypeError, GraphError, ShapeError
from chainrule.tensor.arrays import array_of
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.functions.creation import into
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor, wrap


def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The matrix product; vectors count as a row on the left and as a column on the right; batches broadcast.

    With `out` the elements go there, which no gradient passes.

    Raises:
        ShapeError: where the inner sizes differ or an operand is 0-d.
        DTypeError: for operands of different element types.
        GraphError: for `out` and an operand that requires a gradient.
    """
    if out is not None:
        return _product_into(out, input, other)
    try:
        left, right = input.value.ndim, other.value.ndim
    except AttributeError:
        if isinstance(input, Tensor) and isinstance(other, np.ndarray):
            return matmul(input, wrap(array_of(other), None))
        raise ArgumentTypeError(
            f"matmul takes tensors, not {type(input).__name__} and {type(other).__name__}"
        ) from None
    if left > 1 < right:
        return GATES["matmul"](input, other)
    if not left or not right:
        raise ShapeError(
            "both arguments to matmul need to be at least 1D", got=[describe("input", input), describe("other", other)]
        )
    a = GATES["reshape"](input, shape=(1, input.value.shape[0])) if left == 1 else input
    b = GATES["reshape"](other, shape=(other.value.shape[0], 1)) if right == 1 else other
    y = GATES["matmul"](a, b)
    shape = y.value.shape
    shape = shape[: -2 if left == 1 else -1] + (() if right == 1 else shape[-1:])
    return GATES["reshape"](y, shape=shape)


def _product_into(out: Tensor, input: Tensor, other: Tensor) -> Tensor:
    product = matmul(input, other)
    if product.edge is not None:
        raise GraphError(
            "matmul(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad"
        )
    return into(out, product.value)


def _with_axes(name: str, *wanted: tuple[Tensor, int]) -> None:
    for x, ndim in wanted:
        if x.value.ndim != ndim:
            raise ShapeError(f"{name}: expected a {ndim}-D tensor", got=[describe("got", x)])


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, without broadcasting."""
    _with_axes("mm", (input, 2), (mat2, 2))
    return GATES["matmul"](input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices, (b, n, m) and (b, m, p)."""
    _with_axes("bmm", (input, 3), (mat2, 3))
    if input.value.shape[0] != mat2.value.shape[0]:
        raise ShapeError("bmm: the batches differ in size", got=[describe("input", input), describe("mat2", mat2)])
    return GATES["matmul"](input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    _with_axes("mv", (input, 2), (vec, 1))
    return matmul(input, vec)


def dot(input: Tensor, other: Tensor) -> Tensor:
    """The inner product of two vectors."""
    _with_axes("dot", (input, 1), (other, 1))
    if input.value.shape != other.value.shape:
        raise ShapeError("dot: the vectors differ in size", got=[describe("input", input), describe("other", other)])
    return matmul(input, other)


inner = dot


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The products of every element of one vector with every element of another, (n, m)."""
    _with_axes("outer", (input, 1), (vec2, 1))
    return GATES["mul"](GATES["reshape"](input, shape=(-1, 1)), vec2)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta input + alpha mat1 mat2."""
    y = mm(mat1, mat2)
    return (input if beta == 1 else input * beta) + (y if alpha == 1 else y * alpha)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta input + alpha mat vec."""
    y = mv(mat, vec)
    return (input if beta == 1 else input * beta) + (y if alpha == 1 else y * alpha)


def einsum(equation: str, *operands: Any) -> Tensor:
    """Einstein's sum: `einsum("bik,kj->bij", a, b)`. An ellipsis stands for any leading axes.

    Raises:
        ArgumentError: for a malformed equation.
        ShapeError: where a letter has two sizes.
    """
    tensors = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], list | tuple) else list(operands)
    spec = explicit(equation, [x.value.ndim for x in tensors])
    kinds = {x.value.dtype for x in tensors}
    if len(kinds) > 1:
        raise DTypeError(
            "einsum: the element types differ", got=[describe(f"operand {i}", x) for i, x in enumerate(tensors)]
        )
    return GATES["einsum"](*tensors, spec=spec)


def explicit(equation: str, ndims: list[int]) -> str:
    """The equation with its result and the letters of its ellipses written out."""
    text = equation.replace(" ", "")
    left, arrow, out = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ArgumentError(f"einsum('{equation}'): {len(terms)} terms for {len(ndims)} operands")
    letters = {c for c in text if c.isalpha()}
    free = [c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in letters]
    if any(not (c.isalpha() or c in ".,->") for c in text):
        raise ArgumentError(f"einsum('{equation}'): subscripts are letters, '...', ',' and '->'")
    hidden = max([n - len(t.replace("...", "")) for t, n in zip(terms, ndims, strict=True) if "..." in t], default=0)
    batch = "".join(free[:hidden])
    full = []
    for term, ndim in zip(terms, ndims, strict=True):
        shown = term.replace("...", "")
        missing = ndim - len(shown)
        if missing and "..." not in term:
            raise ShapeError(f"einsum('{equation}'): the term '{term}' has {len(shown)} axes, its operand {ndim}")
        full.append(term.replace("...", batch[hidden - missing :] if missing > 0 else ""))
    if not arrow:
        seen = "".join(full)
        out = batch + "".join(sorted({c for c in seen if seen.count(c) == 1 and c not in batch}))
    out = out.replace("...", batch)
    if unknown := [c for c in out if not any(c in t for t in full)]:
        raise ArgumentError(f"einsum('{equation}'): the result's '{unknown[0]}' is in no term")
    return ",".join(full) + "->" + out
