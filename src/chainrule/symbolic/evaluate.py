"""The value of a formula: its operators run by a reader, on the arrays that its symbols stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.dtypes import DType
from chainrule.ops.shape_maths import input_name
from chainrule.symbolic.differentiate import given_to
from chainrule.symbolic.expression import Call, Expression, Kept, Number, Pulled, Slope, Symbol
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.numpy_maths import NumPyMaths, runner


def evaluate(formula: Expression, values: Mapping[str, Any], memo: dict[Expression, Any] | None = None) -> Any:
    """The array that a formula gives, in NumPy's arithmetic.

    Args:
        formula: what to compute.
        values: the arrays of its symbols, by name.
        memo: values of formulas found before with the same `values`; it is added to.

    Raises:
        KeyError: for a symbol without a value.
    """
    memo = {} if memo is None else memo
    found = memo.get(formula)
    if found is None:
        found = memo[formula] = _computed(formula, values, memo)
    return found


def _computed(formula: Expression, values: Mapping[str, Any], memo: dict[Expression, Any]) -> Any:
    match formula:
        case Symbol(name):
            return values[name]
        case Number():
            return np.full(formula.shape, formula.plain, numpy_dtype(formula.dtype))
        case Slope():
            y = evaluate(formula.formula, values, memo)
            return y if y.shape == formula.shape else np.broadcast_to(y, formula.shape)
        case Kept():
            return _run(formula.of, values, memo)[1 + formula.of.op.keeps.index(formula.name)]
        case Pulled():
            return _pulled(formula, values, memo)
        case Call():
            y = _run(formula, values, memo)
            return np.asarray(y[0] if formula.op.keeps else y)
    raise TypeError(f"not a formula: {formula!r}")


def _run(formula: Call, values: Mapping[str, Any], memo: dict[Expression, Any]) -> Any:
    op = formula.op
    inputs = [_input(formula, x, values, memo) for x in formula.inputs]
    if all(not isinstance(x, np.ndarray) for x in inputs):  # bodies expect an array among their inputs
        inputs = [None if x is None else np.asarray(x) for x in inputs]
    every = {**op.params, **dict(formula.params)}
    params = {name: numpy_dtype(p) if isinstance(p, DType) else p for name, p in every.items()}
    return runner(op, NumPyMaths)(*inputs, **params)


def _pulled(formula: Pulled, values: Mapping[str, Any], memo: dict[Expression, Any]) -> Any:
    """What the rule gives to the input, run on arrays."""
    rule, op = formula.rule, formula.of.op
    given = [
        evaluate(x, values, memo) if isinstance(x, Expression) else x
        for x in given_to(rule, formula.of, formula.result)
    ]
    found = rule.body(NumPyMaths, evaluate(formula.g, values, memo), *given)
    return np.asarray(found[rule.serves.index(input_name(op, formula.place))])


def _input(formula: Call, x: Expression | None, values: Mapping[str, Any], memo: dict[Expression, Any]) -> Any:
    if x is None:
        return None
    if isinstance(x, Number) and not x.shape and formula.op.converts:
        return x.plain
    return evaluate(x, values, memo)
