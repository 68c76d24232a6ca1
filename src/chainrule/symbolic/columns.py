"""A program on row batches as the textbook writes it: samples are columns, z = W a + b.

Every activation of shape (batch, features) becomes (features, batch), every vector a column. The formulas are carried
over by moving the transpose inwards; where an operator does not let it through, it stays and is seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

import numpy as np

from chainrule.ops.loss import elementwise_loss_shape
from chainrule.symbolic.expression import Call, Expression, Number, Symbol, call, replaced, symbols, with_each_part
from chainrule.symbolic.program import Program, Statement
from chainrule.symbolic.simplify import is_call, simplified
from chainrule.tensor.graph import Array

ALONG = ("softmax", "log_softmax")
"""Operators along one axis, which may be the other one."""


@dataclass(frozen=True)
class Columns:
    """A program whose quantities `turned` stand as columns."""

    program: Program
    turned: frozenset[str]

    def value(self, name: str, value: Array) -> Array:
        """A value, or a gradient, of the rows' program as one of this program."""
        return as_columns(value) if name in self.turned else value


def as_columns(value: Array) -> Array:
    """A batch of rows, or a vector, as columns."""
    return np.swapaxes(value, -1, -2) if value.ndim > 1 else value.reshape(-1, 1)


def in_columns(program: Program, activations: Iterable[str]) -> Columns:
    """The program with these quantities, and those that are combined with them element by element, as columns.

    Args:
        program: on rows.
        activations: quantities of one or two axes: inputs, z and a of layers, biases, labels of the outputs' shape.
    """
    turned = {name for name in activations if 1 <= len(program.symbols[name].shape) <= 2}
    turned |= _alongside(program, turned)
    new = {name: replace(s, shape=_turned_shape(s)) for name, s in program.symbols.items() if name in turned}
    back = {name: _in_rows(new[name], program.symbols[name]) for name in turned}
    statements = []
    for statement in program.statements:
        formula = replaced(statement.formula, back)
        formula = columns(formula) if statement.name in turned else total(formula)
        statements.append(Statement(statement.name, simplified(formula), statement.where))
    givens = tuple([new.get(s.name, s) for s in program.givens])
    return Columns(Program(givens, tuple(statements), program.loss), frozenset(turned))


def _alongside(program: Program, turned: set[str]) -> set[str]:
    """What elementwise formulas combine with activations: dropout's results, residual sums, labels of a loss."""
    found: set[str] = set()
    for statement in program.statements:
        read = {n: s for n, s in symbols(statement.formula).items() if 1 <= s.ndim <= 2}
        if not _is_elementwise(statement.formula) or not (turned | found) & read.keys():
            continue
        shapes = {program.symbols[n].shape for n in (turned | found) & read.keys()}
        found |= {n for n, s in read.items() if s.shape in shapes}
        if statement.formula.shape in shapes:
            found.add(statement.name)
    return found


def _is_elementwise(formula: Expression) -> bool:
    if not isinstance(formula, Call):
        return True
    by_element = formula.op.kind.name in ("elementwise", "random") or formula.op.shape_rule is elementwise_loss_shape
    total = formula.op.name in ("sum", "mean") and not formula.shape
    return (by_element or total) and all(map(_is_elementwise, formula.parts))


def _turned_shape(s: Symbol) -> tuple[int, ...]:
    return s.shape[::-1] if s.ndim == 2 else (s.shape[0], 1)


def _in_rows(new: Symbol, old: Symbol) -> Expression:
    """The old quantity by the new one."""
    return call("mT", new) if old.ndim == 2 else call("reshape", new, shape=old.shape)


def columns(formula: Expression) -> Expression:
    """The transpose of a formula of two axes, or a vector as a column; transposes stand as far inside as they go."""
    if formula.ndim == 0:
        return formula
    if is_call(formula, "mT"):
        return formula.parts[0]
    if is_call(formula, "reshape"):
        inner = formula.parts[0]
        wanted = (formula.shape[0], 1) if formula.ndim == 1 else formula.shape[::-1]
        if inner.shape == wanted and 1 in wanted:
            return total(inner)
        if formula.ndim == 1 and inner.shape == wanted[::-1]:
            return columns(inner)
    if isinstance(formula, Call):
        through = _through(formula)
        if through is not None:
            return through
    return call("mT", formula) if formula.ndim > 1 else call("reshape", formula, shape=(*formula.shape, 1))


def _through(formula: Call) -> Expression | None:
    """The transpose of an operator's result by the transposes of its inputs, where there is such a formula."""
    op, params = formula.op, dict(formula.params)
    if op.kind.name == "elementwise" and formula.ndim <= 2:
        return call(op.name, *[None if x is None else columns(x) for x in formula.inputs], **params)
    if op.name == "linear" and formula.ndim == 2:
        x, weight, *rest = formula.inputs
        assert x is not None
        product = call("matmul", weight, columns(x))
        return product if not rest or rest[0] is None else call("add", product, columns(rest[0]))
    if op.name == "matmul" and formula.ndim == 2:
        a, b = formula.parts
        if a.ndim == b.ndim == 2:
            return call("matmul", columns(b), columns(a))
    if op.name in ALONG and formula.ndim == 2:
        (x,) = formula.parts
        return call(op.name, columns(x), **{**params, "axis": 1 - params.get("axis", -1) % 2})
    return None


def total(formula: Expression) -> Expression:
    """A formula with columns inside what adds up all elements."""
    formula = sum_of_sums(formula)
    if not isinstance(formula, Call):
        return formula
    params = dict(formula.params)
    adds_all = formula.op.name in ("sum", "mean") and not formula.shape and params.get("axis") is None
    if adds_all and formula.parts[0].ndim <= 2:
        return call(formula.op.name, columns(formula.parts[0]), **params)
    if formula.op.shape_rule is elementwise_loss_shape and not formula.shape:
        return call(formula.op.name, *[None if x is None else columns(x) for x in formula.inputs], **params)
    return with_each_part(formula, total)


def sum_of_sums(formula: Expression) -> Expression:
    """A sum or a mean of what is itself summed along an axis, as one sum over all."""
    if not (is_call(formula, "sum") or is_call(formula, "mean")) or formula.shape:
        return formula
    (inner,) = formula.parts
    negated = is_call(inner, "neg")
    summed = inner.parts[0] if negated else inner
    if not is_call(summed, "sum"):
        return formula
    one = call("sum", summed.parts[0])
    if is_call(formula, "mean") and inner.shape != (1,):
        one = call("mul", Number(Fraction(1, prod(inner.shape))), one)
    return call("neg", one) if negated else one
