"""One element of a formula, as a formula of elements: z_j = sum_k w_jk a_k + b_j.

An operator without a rule here is written out by its definition.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from chainrule import shapes
from chainrule.errors import UnsupportedError
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Call, Expression, Formulas, Number, Pulled, Slope, Symbol, call
from chainrule.symbolic.simplify import simplified

Index: TypeAlias = tuple[int, ...]


def element(formula: Expression, index: Index) -> Expression:
    """The element of a formula at an index, as a formula without axes.

    A symbol's element is `slice(W, key=(j, k))`; every other operator acts on elements.

    Raises:
        UnsupportedError: for an operator that has no definition by elements: a sort, a random draw.
    """
    return simplified(_element(formula, index))


def _element(formula: Expression, index: Index) -> Expression:
    match formula:
        case Number():
            return Number(formula.value)
        case Slope(op, at, params, of):
            return Slope(op, _element(at, index), params, _element(of, index))
        case Call():
            return _of_call(formula, index)
        case Pulled():
            raise UnsupportedError(
                f"the derivative of {formula.of.op.name} has no short formula for one element",
                mend='Ask for level="matrix".',
            )
    return call("slice", formula, key=index) if index else formula


def _of_call(formula: Call, index: Index) -> Expression:
    op = formula.op
    if op.kind.name == "elementwise":
        inputs = [None if x is None else _element(x, _stretched(index, x.shape)) for x in formula.inputs]
        return call(op.name, *inputs, **dict(formula.params))
    rule = RULES.get(op.name)
    if rule is not None:
        return rule(formula, index)
    if op.primitive or op.kind.name in ("random", "update"):
        raise UnsupportedError(f"{op.name} has no formula for one element", mend='Ask for level="matrix".')
    body: Callable[..., Any] = op.definition
    plain = [x.plain if isinstance(x, Number) and not x.shape else x for x in formula.inputs]
    return _element(body(Formulas, *plain, **dict(formula.params)), index)


def _stretched(index: Index, shape: shapes.Shape) -> Index:
    """The index in an operand that broadcasts."""
    inner = index[len(index) - len(shape) :]
    return tuple([0 if n == 1 else i for i, n in zip(inner, shape, strict=True)])


def _matmul(formula: Call, index: Index) -> Expression:
    a, b = formula.parts
    *batch, i, j = index
    left, right = _stretched(tuple(batch), a.shape[:-2]), _stretched(tuple(batch), b.shape[:-2])
    terms = [_element(a, (*left, i, k)) * _element(b, (*right, k, j)) for k in range(a.shape[-1])]
    return _sum_of(terms)


def _linear(formula: Call, index: Index) -> Expression:
    x, weight, *rest = formula.inputs
    assert x is not None
    assert weight is not None
    *batch, j = index
    terms = [_element(x, (*batch, k)) * _element(weight, (j, k)) for k in range(x.shape[-1])]
    bias = rest[0] if rest else None
    return _sum_of(terms if bias is None else [*terms, _element(bias, (j,))])


def _reduced(formula: Call, index: Index) -> list[Expression]:
    """The elements that are put together to one element of a reduction."""
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
    return [_element(x, place) for place in product(*ranges)]


def _sum(formula: Call, index: Index) -> Expression:
    return _sum_of(_reduced(formula, index))


def _mean(formula: Call, index: Index) -> Expression:
    terms = _reduced(formula, index)
    return _sum_of(terms) / len(terms)


def _extreme(name: str) -> Callable[[Call, Index], Expression]:
    return lambda formula, index: reduce(lambda a, b: call(name, a, b), _reduced(formula, index))


def _sum_of(terms: list[Expression]) -> Expression:
    return reduce(lambda a, b: a + b, terms) if terms else Number(0)


def _moved(formula: Call, index: Index) -> Expression:
    """A movement's element: where it stood before, found by moving the places themselves."""
    (x,) = formula.parts
    places = np.arange(max(int(np.prod(x.shape)), 1)).reshape(x.shape)
    moved = evaluate(call(formula.op.name, Symbol("places", x.shape), **dict(formula.params)), {"places": places})
    place = int(moved[index])
    return _element(x, tuple([int(i) for i in np.unravel_index(place, x.shape)]))


MOVES = ("reshape", "permute", "mT", "broadcast_to", "slice", "flip")
RULES: dict[str, Callable[[Call, Index], Expression]] = {
    "matmul": _matmul, "linear": _linear, "sum": _sum, "mean": _mean, "amax": _extreme("maximum"),
    "amin": _extreme("minimum"), "max": _extreme("maximum"), "min": _extreme("minimum"),
    "cast": lambda f, i: _element(f.parts[0], i),
    **dict.fromkeys(MOVES, _moved),
}  # fmt: skip
