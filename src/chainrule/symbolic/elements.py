"""One element of a formula, as a formula of elements: z_j = sum_k w_jk a_k + b_j.

An operator without a rule here is written out by its definition.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import product
from operator import add
from typing import Any, TypeAlias

import numpy as np

from chainrule import shapes
from chainrule.errors import UnsupportedError
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import (
    Call,
    Expression,
    Formulas,
    LeftOut,
    Number,
    Pulled,
    Slope,
    Symbol,
    call,
)
from chainrule.symbolic.simplify import simplified

Index: TypeAlias = tuple[int, ...]

ElementRule: TypeAlias = Callable[[Call, Index, int], Expression]

FIRST = 3
"""So many terms of a long sum stand before what is left out of it."""

TOGETHER = 32
"""So many terms are added one after the other."""


def element(formula: Expression, index: Index, most: int = 0) -> Expression:
    """The element of a formula at an index, as a formula without axes.

    A symbol's element is `slice(W, key=(j, k))`; every other operator acts on elements.

    Args:
        most: a sum of more terms than this has its first ones, `LeftOut` and its last one; 0 for whole sums.

    Raises:
        UnsupportedError: for an operator that has no definition by elements: a sort, a random draw.
    """
    return simplified(_element(formula, index, most))


def _element(formula: Expression, index: Index, most: int) -> Expression:
    match formula:
        case Number():
            return Number(formula.value)
        case Slope(op, at, params, of):
            return Slope(op, _element(at, index, most), params, _element(of, index, most))
        case Call():
            return _of_call(formula, index, most)
        case Pulled():
            raise UnsupportedError(
                f"the derivative of {formula.of.op.name} has no short formula for one element",
                mend='Ask for level="matrix".',
            )
    return call("slice", formula, key=index) if index else formula


def _of_call(formula: Call, index: Index, most: int) -> Expression:
    op = formula.op
    if op.kind.name == "elementwise":
        inputs = [None if x is None else _element(x, _stretched(index, x.shape), most) for x in formula.inputs]
        return call(op.name, *inputs, **dict(formula.params))
    rule = RULES.get(op.name)
    if rule is not None:
        return rule(formula, index, most)
    if op.primitive or op.kind.name in ("random", "update"):
        raise UnsupportedError(f"{op.name} has no formula for one element", mend='Ask for level="matrix".')
    body: Callable[..., Any] = op.definition
    plain = [x.plain if isinstance(x, Number) and not x.shape else x for x in formula.inputs]
    return _element(body(Formulas, *plain, **dict(formula.params)), index, most)


def _stretched(index: Index, shape: shapes.Shape) -> Index:
    """The index in an operand that broadcasts."""
    inner = index[len(index) - len(shape) :]
    return tuple([0 if n == 1 else i for i, n in zip(inner, shape, strict=True)])


def _matmul(formula: Call, index: Index, most: int) -> Expression:
    a, b = formula.parts
    *batch, i, j = index
    left, right = _stretched(tuple(batch), a.shape[:-2]), _stretched(tuple(batch), b.shape[:-2])

    def term(k: int) -> Expression:
        return _element(a, (*left, i, k), most) * _element(b, (*right, k, j), most)

    return _sum_of(a.shape[-1], term, most)


def _linear(formula: Call, index: Index, most: int) -> Expression:
    x, weight, *rest = formula.inputs
    assert x is not None
    assert weight is not None
    *batch, j = index
    width, bias = x.shape[-1], rest[0] if rest else None

    def term(k: int) -> Expression:
        if k == width:
            assert bias is not None
            return _element(bias, (j,), most)
        return _element(x, (*batch, k), most) * _element(weight, (j, k), most)

    return _sum_of(width if bias is None else width + 1, term, most)


def _reduced(formula: Call, index: Index) -> list[Index]:
    """The places of the elements that are put together to one element of a reduction."""
    (x,) = formula.parts
    params = dict(formula.params)
    axes = shapes.normal_axes(params.get("axis"), x.ndim)
    left = iter(index)
    fixed = {}
    for axis in range(x.ndim):
        if axis not in axes:
            fixed[axis] = next(left)
        elif params.get("keepdims", False):
            next(left)
    ranges = [range(x.shape[axis]) if axis in axes else (fixed[axis],) for axis in range(x.ndim)]
    return list(product(*ranges))


def _sum(formula: Call, index: Index, most: int) -> Expression:
    places = _reduced(formula, index)
    return _sum_of(len(places), lambda k: _element(formula.parts[0], places[k], most), most)


def _mean(formula: Call, index: Index, most: int) -> Expression:
    return _sum(formula, index, most) / len(_reduced(formula, index))


def _extreme(name: str) -> ElementRule:
    def extreme(formula: Call, index: Index, most: int) -> Expression:
        elements = [_element(formula.parts[0], place, most) for place in _reduced(formula, index)]
        return reduce(lambda a, b: call(name, a, b), elements)

    return extreme


def _sum_of(count: int, term: Callable[[int], Expression], most: int) -> Expression:
    """The sum of so many terms, each made when it is needed; with all of them, as sums of sums.

    A formula as deep as a batch is long would be too deep to walk.
    """
    if most and count > most:
        terms = [*map(term, range(FIRST)), LeftOut(count - FIRST - 1), term(count - 1)]
    else:
        terms = list(map(term, range(count)))
    while len(terms) > TOGETHER:
        terms = [reduce(add, terms[i : i + TOGETHER]) for i in range(0, len(terms), TOGETHER)]
    return reduce(add, terms) if terms else Number(0)


def _moved(formula: Call, index: Index, most: int) -> Expression:
    """A movement's element: where it stood before, found by moving the places themselves."""
    (x,) = formula.parts
    places = np.arange(max(int(np.prod(x.shape)), 1)).reshape(x.shape)
    moved = evaluate(call(formula.op.name, Symbol("places", x.shape), **dict(formula.params)), {"places": places})
    place = int(moved[index])
    return _element(x, tuple([int(i) for i in np.unravel_index(place, x.shape)]), most)


MOVES = ("reshape", "permute", "mT", "broadcast_to", "slice", "flip")
RULES: dict[str, ElementRule] = {
    "matmul": _matmul, "linear": _linear, "sum": _sum, "mean": _mean, "amax": _extreme("maximum"),
    "amin": _extreme("minimum"), "max": _extreme("maximum"), "min": _extreme("minimum"),
    "cast": lambda f, i, most: _element(f.parts[0], i, most),
    **dict.fromkeys(MOVES, _moved),
}  # fmt: skip
