"""Rephrasing: operators that kernels have no form for, said with those they have.

einsum of two operands is a matrix product between movements; the place of an extreme is the least index at which it
stands; adding at one index for each row is a choice for every element.
"""

from __future__ import annotations

from math import prod

import numpy as np

from chainrule import dtypes
from chainrule.compiler.ir import Graph, Instruction, Value
from chainrule.compiler.rewrite import Rewrite
from chainrule.shapes import normal_axes, normal_axis


def rephrase(graph: Graph) -> Graph:
    """The same program in the operators that become kernels, where there is such a form."""
    rewrite = Rewrite(graph)
    for instruction in graph:
        form = FORMS.get(instruction.op.name)
        result = None if form is None else form(rewrite, instruction)
        if result is None:
            rewrite.keep(instruction)
        else:
            rewrite.replace(instruction, [result])
    return rewrite.finished()


def _einsum(rewrite: Rewrite, instruction: Instruction) -> Value | None:
    """A product of two operands without repeated letters: axes in the order batch, own, summed, then `matmul`."""
    terms, out = instruction.params["spec"].split("->")
    letters = terms.split(",")
    if len(letters) != 2 or any(len(set(t)) != len(t) for t in letters):
        return None
    a, b = rewrite.at(instruction)
    assert isinstance(a, Value)
    assert isinstance(b, Value)
    m = rewrite.new.maths
    left, right = letters
    if any(c not in out and c not in right for c in left) or any(c not in out and c not in left for c in right):
        return None  # a letter that one operand has alone and that is summed away
    size = dict(zip(left + right, a.shape + b.shape, strict=True))
    batch = [c for c in left if c in right and c in out]
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]
    summed = [c for c in left if c in right and c not in out]

    def arranged(x: Value, term: str, *groups: list[str]) -> Value:
        order = tuple([term.index(c) for group in groups for c in group])
        lead = tuple([size[c] for c in batch])
        shape = (*lead, *[prod([size[c] for c in group]) for group in groups[1:]])
        y: Value = m.reshape(m.permute(x, order=order), shape=shape)
        return y

    y = m.matmul(arranged(a, left, batch, rows, summed), arranged(b, right, batch, summed, columns))
    made = [*batch, *rows, *columns]
    y = m.reshape(y, shape=tuple([size[c] for c in made]))
    result: Value = m.permute(y, order=tuple([made.index(c) for c in out]))
    return result


def _place_of_extreme(rewrite: Rewrite, instruction: Instruction) -> Value | None:
    """argmax or argmin: the least index at which the extreme stands; NaN counts as it."""
    (x,) = rewrite.at(instruction)
    assert isinstance(x, Value)
    axis, keepdims = instruction.params["axis"], instruction.params["keepdims"]
    m = rewrite.new.maths
    if axis is None:
        x = m.reshape(x, shape=(prod(x.shape),))
    at = 0 if axis is None else normal_axis(axis, x.ndim)
    size = x.shape[at]
    extreme = (
        m.amax(x, axis=(at,), keepdims=True)
        if instruction.op.name == "argmax"
        else m.amin(x, axis=(at,), keepdims=True)
    )
    hit = m.eq(x, extreme)
    if x.dtype.is_floating_point:
        hit = m.logical_or(hit, m.ne(x, x))
    places = m.where(hit, _indices(rewrite, size, at, x.ndim), size)
    result: Value = m.amin(places, axis=(at,), keepdims=bool(keepdims) and axis is not None)
    shape = instruction.result.shape
    return result if result.shape == shape else m.reshape(result, shape=shape)


def _indices(rewrite: Rewrite, size: int, axis: int, ndim: int) -> Value:
    """0, 1, 2 ... along an axis."""
    shape = [1] * ndim
    shape[axis] = size
    return rewrite.new.constant(np.arange(size, dtype=np.int64).reshape(shape), dtypes.int64)


def _put_along(rewrite: Rewrite, instruction: Instruction) -> Value | None:
    """One element for each row: at its index it, elsewhere 0."""
    x, index = rewrite.at(instruction)
    assert isinstance(x, Value)
    assert isinstance(index, Value)
    shape = instruction.params["shape"]
    axis = normal_axis(instruction.params["axis"], x.ndim)
    others = [n == k for i, (n, k) in enumerate(zip(x.shape, shape, strict=True)) if i != axis]
    if x.shape[axis] != 1 or not all(others):
        return None
    m = rewrite.new.maths
    hit = m.eq(index, _indices(rewrite, shape[axis], axis, x.ndim))
    result: Value = m.where(hit, x, 0)
    return result


def _reduction(rewrite: Rewrite, instruction: Instruction) -> Value | None:
    """A reduction over no axis is a cast at most; axes become a tuple."""
    (x,) = rewrite.at(instruction)
    assert isinstance(x, Value)
    axes = normal_axes(instruction.params["axis"], x.ndim)
    if axes or instruction.params["axis"] is None or x.dtype is not instruction.result.dtype:
        return None
    return x


FORMS = {
    "einsum": _einsum, "argmax": _place_of_extreme, "argmin": _place_of_extreme, "put_along": _put_along,
    "sum": _reduction, "amax": _reduction, "amin": _reduction, "prod": _reduction,
}  # fmt: skip
