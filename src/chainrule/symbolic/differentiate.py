"""The derivative of a formula as a formula: the rules of the catalogue, written down instead of run.

`cotangents(y, g, of)` is one step of the backward pass. An elementwise operator of one variable contributes
`g * Slope`; another one what its rule writes; one without a rule is expanded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from chainrule import shapes
from chainrule.ops.op import Op, Rule
from chainrule.ops.shape_maths import input_name
from chainrule.symbolic.expression import (
    Call,
    Expression,
    Formulas,
    Number,
    Pulled,
    Slope,
    Symbol,
    call,
    kept,
    replaced,
    symbols,
)
from chainrule.symbolic.simplify import simplified

LONGEST = 40
"""So many operators a rule may write: all of the catalogue do with less but the recurrences, which repeat steps."""


def cotangents(y: Expression, g: Expression, of: Iterable[str], result: Symbol | None = None) -> dict[str, Expression]:
    """What each symbol of a formula receives from the cotangent of its value.

    Args:
        y: the formula.
        g: the cotangent of its value: dL/dy, of y's shape.
        of: the names of the symbols wanted.
        result: the symbol that stands for y's value, so that rules that read it say `a (1 - a)`.

    Returns:
        For each of the wanted symbols that y depends on, the sum of the contributions of its occurrences,
        simplified, of the symbol's shape.

    Raises:
        UnsupportedError: for an operator that has no derivative in a wanted direction.
    """
    wanted = set(of)
    found: dict[str, Expression] = {}

    def visit(formula: Expression, g: Expression, result: Expression) -> None:
        if isinstance(formula, Symbol):
            if formula.name in wanted:
                before = found.get(formula.name)
                found[formula.name] = g if before is None else before + g
        elif isinstance(formula, Call):
            live = [i for i, x in enumerate(formula.inputs) if x is not None and wanted & symbols(x).keys()]
            for i, contribution in contributions(formula, g, live, result).items():
                x = formula.inputs[i]
                assert x is not None
                visit(x, summed_to(contribution, x.shape), x)

    visit(y, g, result if result is not None else y)
    return {name: simplified(formula) for name, formula in found.items()}


def contributions(formula: Call, g: Expression, live: list[int], result: Expression) -> dict[int, Expression]:
    """The cotangents of some of an operator's inputs, by their places, before broadcast axes are summed."""
    op = formula.op
    if not live or not op.differentiable_inputs:
        return _expanded(formula, g, live) if live and not op.primitive and _is_smooth(op) else {}
    pulled: dict[int, Expression] = {}
    for rule in op.rules:
        served = [i for i in live if input_name(op, i) in rule.serves]
        if served:
            pulled |= dict(zip(served, _pulled(rule, formula, g, served, result), strict=True))
    return pulled


def slope_of(op: Op, at: Expression, params: dict[str, Any], result: Expression | None = None) -> Slope:
    """The derivative of an elementwise operator of one variable, such as sigma'(z)."""
    y = result if result is not None else call(op.name, at, **params)
    (rule,) = op.rules
    given = given_to(rule, Call(op, (at,), tuple(params.items()), at.shape, at.dtype), y)
    formula = rule.body(Formulas, *given) if rule.is_slope else rule.body(Formulas, Number(1, at.shape), *given)
    return Slope(op, at, tuple(params.items()), simplified(_expression(formula)))


def has_slope(op: Op) -> bool:
    """True for an elementwise operator of one variable whose derivative is not one number: it deserves a name."""
    one_variable = op.kind.name == "elementwise" and len(op.inputs) == 1
    return one_variable and not op.is_linear_in(op.inputs[0]) and bool(op.rules[0].reads)


def summed_to(formula: Expression, shape: shapes.Shape) -> Expression:
    """The sum over the axes along which a value of this shape was stretched."""
    if formula.shape == shape:
        return formula
    extra = formula.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        [i + extra for i, n in enumerate(shape) if n == 1 and formula.shape[i + extra] != 1]
    )
    total = call("sum", formula, axis=axes, keepdims=True) if axes else formula
    return total if total.shape == shape else call("reshape", total, shape=shape)


# ---- rules ----------------------------------------------------------------------------------------------------


def _pulled(rule: Rule, formula: Call, g: Expression, served: list[int], result: Expression) -> list[Expression]:
    op = formula.op
    if has_slope(op):
        (x,) = formula.parts
        return [g * slope_of(op, x, dict(formula.params), result)]
    if op.kind.name == "reduction" and not dict(formula.params).get("keepdims", False):
        axis = dict(formula.params).get("axis")
        if axis is not None:  # rules take g and y with the reduced axes at size 1
            whole = shapes.kept(formula.parts[0].shape, axis)
            g, result = (call("reshape", v, shape=whole) for v in (g, result))
    given = given_to(rule, formula, result)
    if rule.is_slope:
        return [g * _expression(rule.body(Formulas, *given))]
    pulled = rule.body(Formulas, g, *given)
    if _is_long(pulled, [g, result, *formula.parts]):
        return [Pulled(formula, rule, i, g, result) for i in served]
    if not isinstance(pulled, tuple | list):
        return [_expression(pulled)]
    if op.variadic and rule.serves == (op.inputs[-1],):
        return [_expression(pulled[i - len(op.inputs) + 1]) for i in served]
    return [_expression(pulled[rule.serves.index(input_name(op, i))]) for i in served]


def _is_long(pulled: Any, known: Iterable[Expression]) -> bool:
    """True if a rule writes more operators than a reader would follow: those of a recurrence grow with its steps."""
    seen = {id(x) for x in known}
    ahead = [x for x in (pulled if isinstance(pulled, tuple | list) else [pulled]) if isinstance(x, Expression)]
    found = 0
    while ahead and found <= LONGEST:
        formula = ahead.pop()
        if id(formula) not in seen:
            seen.add(id(formula))
            found += 1
            ahead += formula.parts
    return found > LONGEST


def given_to(rule: Rule, formula: Call, result: Expression) -> list[Any]:
    """What a rule reads beside the cotangent: formulas, parameters, shapes."""
    return [_read(name, formula, result) for name in rule.reads]


def _read(name: str, formula: Call, result: Expression) -> Any:
    """What a rule asks for by name: an input, the result, a statistic, a parameter, a shape or an element type."""
    op = formula.op
    params = {**op.params, **dict(formula.params)}
    if name == "y":
        return result
    if name in op.keeps:
        return kept(formula)[op.keeps.index(name)]
    if name in params:
        return params[name]
    if name in op.inputs:
        place = op.inputs.index(name)
        if op.variadic and name == op.inputs[-1]:
            return tuple([_plain(x) for x in formula.inputs[place:]])
        return _plain(formula.inputs[place]) if place < len(formula.inputs) else None
    base, _, what = name.rpartition("_")
    place = op.inputs.index(base)
    if op.variadic and base == op.inputs[-1]:
        return [getattr(x, what) for x in formula.inputs[place:]]
    x = formula.inputs[place]
    return None if x is None else getattr(x, what)


def _plain(x: Expression | None) -> Any:
    """Numbers as operator bodies take them: in Python's own types."""
    return x.plain if isinstance(x, Number) and not x.shape else x


def _expression(x: Any) -> Expression:
    return x if isinstance(x, Expression) else Number(x)


def _is_smooth(op: Op) -> bool:
    """False where the result has no derivative to speak of: masks and indices."""
    return op.result not in ("bool", "int64")


def _expanded(formula: Call, g: Expression, live: list[int]) -> dict[int, Expression]:
    """The cotangents through what the operator's definition writes, for an operator without rules."""
    stand_ins = {
        i: Symbol(f"<{i}>", x.shape, x.dtype) for i, x in enumerate(formula.inputs) if x is not None and i in live
    }
    inputs = [stand_ins.get(i, x) for i, x in enumerate(formula.inputs)]
    body: Callable[..., Any] = formula.op.definition
    written = _expression(body(Formulas, *[_plain(x) for x in inputs], **dict(formula.params)))
    found = cotangents(written, g, [s.name for s in stand_ins.values()])
    back = {s.name: formula.inputs[i] for i, s in stand_ins.items()}
    return {i: replaced(found[s.name], back) for i, s in stand_ins.items() if s.name in found}  # type: ignore[arg-type]
