"""Rephrasing: operators that kernels have no form for, said with those they have.

einsum is sums and products of two; a reduction of no elements is a number; the place of an extreme is the least index
at which it stands; adding at one index for each row is a choice for every element; a sum of zeros with pieces that
tile them (the gradient of a value that was cut in pieces) is the pieces side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from chainrule import dtypes
from chainrule.compiler.ir import Graph, Instruction, Operand, Value
from chainrule.compiler.passes.contraction import contracted, matrix_product
from chainrule.compiler.rewrite import Rewrite
from chainrule.shapes import normal_axes, normal_axis
from chainrule.tensor.arrays import numpy_dtype


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


def _einsum(rewrite: Rewrite, instruction: Instruction) -> Value:
    """Products of two; see `contraction`."""
    operands = [x for x in rewrite.at(instruction) if isinstance(x, Value)]
    y = instruction.result
    if any(0 in x.shape for x in operands):
        return _filled(rewrite, y, 0)
    return contracted(operands, instruction.params["spec"])


def _matmul(rewrite: Rewrite, instruction: Instruction) -> Value | None:
    """Sums of no products are 0; other element types than kernels have."""
    a, b = rewrite.at(instruction)
    assert isinstance(a, Value)
    assert isinstance(b, Value)
    if a.shape[-1] == 0:
        return _filled(rewrite, instruction.result, 0)
    return None if a.dtype in (dtypes.float32, dtypes.float64) else matrix_product(a, b)


def _filled(rewrite: Rewrite, y: Value, number: int) -> Value:
    """One number in the shape and type of a result."""
    value = rewrite.new.constant(np.asarray(number, numpy_dtype(y.dtype)), y.dtype)
    if y.shape:
        value = rewrite.new.maths.broadcast_to(value, shape=y.shape)
    return value


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


def _sum_of_pieces(rewrite: Rewrite, instruction: Instruction) -> Value | None:
    """Pieces that lie beside each other in zeros, joined. A -0.0 among them stays, which 0 + -0.0 does not."""
    shape = instruction.result.shape
    pieces: list[tuple[int, int, int, Value]] = []
    for embed in _summands(rewrite.at(instruction)):
        span = None if embed is None or embed.result.shape != shape else _span(embed)
        if embed is None or span is None:
            return None
        pieces.append((*span, embed.values[0]))
    pieces.sort(key=lambda piece: piece[:3])
    axes, starts, ends, values = zip(*pieces, strict=True)
    if len(set(axes)) > 1 or [*starts, shape[axes[0]]] != [0, *ends] or any(v.ndim != len(shape) for v in values):
        return None
    y: Value = rewrite.new.maths.cat(*values, axis=axes[0])
    return y if y.dtype is instruction.result.dtype else None


def _summands(operands: Sequence[Operand]) -> Iterator[Instruction | None]:
    """The embeds of which a value is the sum; None for anything else that is added."""
    left = list(operands)
    while left:
        x = left.pop()
        maker = x.maker if isinstance(x, Value) else None
        if maker is not None and maker.op.name == "add":
            left += maker.inputs
        else:
            yield maker if maker is not None and maker.op.name == "embed" else None


def _span(embed: Instruction) -> tuple[int, int, int] | None:
    """The axis along which an embed fills a part, and from where to where; None unless it fills all of the others."""
    key, shape = embed.params["key"], embed.result.shape
    if not all(isinstance(part, slice) for part in key):
        return None
    spans = [part.indices(n) for part, n in zip(key, shape, strict=False)]
    partial = [axis for axis, (span, n) in enumerate(zip(spans, shape, strict=False)) if span != (0, n, 1)]
    if len(partial) != 1 or spans[partial[0]][2] != 1:
        return None
    return partial[0], *spans[partial[0]][:2]


def _reduction(rewrite: Rewrite, instruction: Instruction) -> Value | None:
    """A reduction over no axis is a cast at most; one over no elements is what changes nothing.

    Sums and products of float16 are computed in float32 and rounded once.
    """
    (x,) = rewrite.at(instruction)
    assert isinstance(x, Value)
    if 0 in x.shape:
        return _filled(rewrite, instruction.result, int(instruction.op.name in ("prod", "all")))
    m, params = rewrite.new.maths, instruction.params
    if instruction.op.name in ("sum", "prod") and x.dtype is dtypes.float16:
        call = m.sum if instruction.op.name == "sum" else m.prod
        y: Value = m.cast(call(m.cast(x, dtype=dtypes.float32), **params), dtype=x.dtype)
        return y
    axes = normal_axes(params["axis"], x.ndim)
    if axes or params["axis"] is None or x.dtype is not instruction.result.dtype:
        return None
    return x


def _scan(rewrite: Rewrite, instruction: Instruction) -> Value | None:
    """Of a number, itself."""
    (x,) = rewrite.at(instruction)
    assert isinstance(x, Value)
    y: Value | None = None if x.ndim else rewrite.new.maths.cast(x, dtype=instruction.result.dtype)
    return y


def _argsort(rewrite: Rewrite, instruction: Instruction) -> Value | None:
    """A number is the first of itself."""
    return None if instruction.result.shape else _filled(rewrite, instruction.result, 0)


FORMS = {
    "add": _sum_of_pieces, "einsum": _einsum, "matmul": _matmul, "put_along": _put_along,
    "argmax": _place_of_extreme, "argmin": _place_of_extreme,
    "sum": _reduction, "amax": _reduction, "amin": _reduction, "prod": _reduction,
    "any": _reduction, "all": _reduction, "cumsum": _scan, "cumprod": _scan, "argsort": _argsort,
}  # fmt: skip
