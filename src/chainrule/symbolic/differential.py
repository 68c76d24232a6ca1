"""The differential of a formula: how its value moves when its symbols do, dz = dW a + W da + db.

The same rules as backward, read forward: an elementwise slope multiplies the movement instead of the cotangent, and an
operator that is linear in an input acts on that input's movement as it acts on the input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chainrule.errors import UnsupportedError
from chainrule.ops.shape_maths import input_name
from chainrule.symbolic.differentiate import contributions, has_slope, slope_of
from chainrule.symbolic.expression import Call, Expression, Formulas, Number, Symbol, call, replaced, symbols
from chainrule.symbolic.simplify import simplified

MULTILINEAR = frozenset(("contraction", "movement", "reduction", "selection"))
"""The kinds whose operators are linear in an input whose rule reads neither it nor the result; others may be affine."""


def differential(formula: Expression, moves: Mapping[str, Expression], result: Symbol | None = None) -> Expression:
    """How a formula moves when these symbols do.

    Args:
        formula: y.
        moves: the movement of each symbol that moves, of its shape: `{"W2": Symbol("dW2", (3, 2))}`.
        result: the symbol that stands for y's value.

    Returns:
        dy, of y's shape: linear in the movements; 0 if none of them is in the formula.

    Raises:
        UnsupportedError: for an operator without a derivative, or that is known only from the result back.
    """
    found = _moved(formula, moves, result if result is not None else formula)
    return Number(0, formula.shape) if found is None else simplified(found)


def _moved(formula: Expression, moves: Mapping[str, Expression], result: Expression) -> Expression | None:
    if isinstance(formula, Symbol):
        return moves.get(formula.name)
    if not isinstance(formula, Call) or not moves.keys() & symbols(formula).keys():
        return None
    inner = [None if x is None else _moved(x, moves, x) for x in formula.inputs]
    live = [i for i, dx in enumerate(inner) if dx is not None]
    if not live:
        return None
    parts = [_through(formula, i, inner, result) for i in _groups(formula, live)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _groups(formula: Call, live: list[int]) -> list[int]:
    """The inputs whose movements are taken one by one; the variadic ones of a joining operator count once."""
    joins = formula.op.variadic and "operands" not in formula.op.rules[0].reads if formula.op.rules else False
    return live[:1] if joins else live


def _beside(formula: Call, place: int, moving: str, read: tuple[str, ...]) -> Expression | None:
    """What another input is while one moves: itself where it multiplies, 0 or nothing where it is added."""
    op, x = formula.op, formula.inputs[place]
    name = input_name(op, place)
    if x is None or name in read or name not in op.differentiable_inputs:
        return x
    return None if name in op.optional else Number(0.0, x.shape)


def _through(formula: Call, place: int, inner: list[Expression | None], result: Expression) -> Expression:
    """What the movement of one input does to the result."""
    op, params = formula.op, dict(formula.params)
    dx = inner[place]
    assert dx is not None
    if op.kind.name == "elementwise" and op.rules:
        if has_slope(op):
            return slope_of(op, formula.parts[0], params, result) * dx
        stretched = dx if dx.shape == formula.shape else call("broadcast_to", dx, shape=formula.shape)
        return contributions(formula, stretched, [place], result)[place]
    name = input_name(op, place)
    rule = next((rule for rule in op.rules if name in rule.serves), None)
    linear = rule is not None and op.is_linear_in(name) and name not in op.optional and not params.get("value")
    if op.kind.name in MULTILINEAR and rule is not None and linear:
        others = [_beside(formula, i, name, rule.reads) for i in range(len(inner))]
        if op.variadic:
            return call(op.name, *[x if dx is None else dx for x, dx in zip(others, inner, strict=True)], **params)
        return call(op.name, *[dx if i == place else x for i, x in enumerate(others)], **params)
    if op.primitive or params.get("value"):  # pad with a value other than 0 is no linear map
        raise UnsupportedError(f"the differential of {op.name} is known only from its result back")
    body: Callable[..., Any] = op.definition
    x = formula.inputs[place]
    assert x is not None
    held = Symbol(_unused(formula), x.shape, x.dtype)
    inputs = [held if i == place else one for i, one in enumerate(formula.inputs)]
    plain = [one.plain if isinstance(one, Number) and not one.shape else one for one in inputs]
    written = _moved(body(Formulas, *plain, **params), {held.name: dx}, result)
    return Number(0, formula.shape) if written is None else replaced(written, {held.name: x})


def _unused(formula: Expression) -> str:
    """A name that is not in a formula, which may have been written out inside another one."""
    known, name = symbols(formula), "<x>"
    while name in known:
        name += "'"
    return name
