"""The derivation by matrix differentials: dl = tr(G^T dy), dy put in, factors moved round, the gradient read off.

Every line is checked with numbers before it is shown: for a random movement, all its sides are the change of the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import GraphError, UnsupportedError
from chainrule.explain import matrix
from chainrule.explain.reasons import Reasons
from chainrule.explain.run import Run
from chainrule.explain.step import Section, Step
from chainrule.notation.boxes import APPLY, TIMES, Box, Fenced, Operator, Word, row
from chainrule.notation.conventions import Convention
from chainrule.notation.numbers import number_box
from chainrule.notation.plain import plain
from chainrule.notation.prose import Prose
from chainrule.notation.typeset import sum_box, typeset
from chainrule.notation.words import Words
from chainrule.symbolic.differential import differential
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Expression, Number, Symbol, call, symbols
from chainrule.symbolic.program import Statement
from chainrule.symbolic.simplify import is_call, simplified

LINEAR = 2.0**-52 * 2**20
"""How far two sides of a line may differ: the same sum in another order."""

SECANT = 1e-5
"""How far the change of the loss along a short secant may be from its differential, relative: h^2 and rounding / h."""

STEP = 1e-6

KINK = 1e-3
"""How far the slopes on both sides differ at a kink, relative: what curvature makes of a smooth loss is 1e-6 of it."""


def sections(run: Run, words: Words) -> list[Section]:
    """Forward, then a section for each derivative: the differential of the loss through one quantity."""
    reasons = Reasons(run, words)
    statements = {s.name: s for s in run.program.statements}
    forward = [matrix.forward_step(run, reasons, statements[name]) for name in run.forward]
    found = [Section(words.labels.forward, tuple(forward))]
    random = np.random.default_rng(0)
    squares = _as_trace(run, words, statements[run.program.loss])
    if squares:
        found.append(Section(words.labels.loss, tuple(squares)))
    for name in matrix.backward_order(run, frozenset()):
        found.append(_section(run, words, reasons, name, random))
    return found


def _section(run: Run, words: Words, reasons: Reasons, name: str, random: np.random.Generator) -> Section:
    x = run.program.symbols[name]
    move = Symbol(f"d{name}", x.shape)
    lines = _Lines(run, {**run.exact, move.name: random.normal(size=x.shape)})
    users = run.users(name)
    parts = [_part(run, lines, name, user, move) for user in users]
    moved = lines.values[move.name]
    sides = [sum(part.share for part in parts), _product(run.exact[run.rate(name).name], moved)]
    note = _checked(words, name, sides, _along(run, name, moved))
    title, read_off = plain(typeset(run.rate(name), run.convention)), matrix.backward_step(run, reasons, name)
    if not users:
        return Section(title, (read_off,))
    d_loss, last = Symbol(f"d{run.program.loss}"), _inner(run, run.step(name), move)
    first, put_in = [part.first for part in parts], [part.put_in for part in parts]
    steps: list[Step] = []
    if first != [last]:
        through = words.chain_of_differentials([reasons.box(u) for u in users])
        steps.append(lines.line(d_loss, _plus(first, run.convention), through))
    for user, part in zip(users, parts, strict=True):
        if part.moved is not None:
            dy = Symbol(f"d{user}", run.program.symbols[user].shape)
            steps.append(lines.line(dy, typeset(part.moved, run.convention), words.differential_of(reasons.box(user))))
    if put_in not in (first, [last]):
        steps.append(lines.line(d_loss, _plus(put_in, run.convention), words.put_in()))
    steps.append(lines.line(d_loss, last, _why_last(run, words, reasons, name, parts, move)))
    return Section(title, (*steps, read_off), note)


@dataclass(frozen=True)
class _Part:
    """The part of a differential of the loss that comes through one reader of a quantity.

    Attributes:
        first, put_in: tr(G^T dy), and the same with dy put in.
        moved: dy; None for the loss itself, and where it has no formula.
        share: what both are for a random movement.
    """

    first: Box
    put_in: Box
    moved: Expression | None
    share: float


def _part(run: Run, lines: _Lines, name: str, user: str, move: Symbol) -> _Part:
    route = run.derivation.routes(name)[user]
    pulled = _product(evaluate(route, run.exact), lines.values[move.name])
    if user == run.program.loss:
        inner = _inner(run, run.step(name) if len(run.users(name)) == 1 else route, move)
        return _Part(inner, inner, None, pulled)
    g, y = run.rate(user), run.program.symbols[user]
    statement = next(s for s in run.program.statements if s.name == user)
    first = _inner(run, g, Symbol(f"d{user}", y.shape))
    try:
        moved = run.written(_spread(differential(statement.formula, {name: move}, y)))
    except UnsupportedError:
        return _Part(first, _inner(run, route, move), None, pulled)
    dy = lines.values[f"d{user}"] = evaluate(moved, lines.values)
    return _Part(first, _inner(run, g, moved), moved, _product(run.exact[g.name], dy))


def _why_last(run: Run, words: Words, reasons: Reasons, name: str, parts: Sequence[_Part], move: Symbol) -> Prose:
    """Why the movement stands last under one trace; nothing to say where several parts are added."""
    if len(parts) > 1:
        return ()
    if run.users(name) == [run.program.loss]:
        return words.derivative_of_loss(reasons.box(name))
    return _why_moved(words, parts[0].moved, move)


class _Lines:
    """Makes the lines of a derivation by differentials."""

    def __init__(self, run: Run, values: dict[str, Any]) -> None:
        self.run, self.values = run, values

    def line(self, left: Symbol, right: Box, why: Prose) -> Step:
        box = typeset(left, self.run.convention)
        return Step(left.name, box, (right,), None, None, self.values.get(left.name), why, key=("d", left.name))


def _spread(moved: Expression) -> Expression:
    """A column that is added to each sample, as the product that it is: db 1^T."""
    if is_call(moved, "broadcast_to") and moved.ndim == 2 and moved.parts[0].shape == (moved.shape[0], 1):
        return call("matmul", moved.parts[0], Number(1, (1, moved.shape[1])))
    return moved


def _why_moved(words: Words, moved: Expression | None, move: Symbol) -> Prose:
    """By which law the movement comes to stand last under the trace; nothing to say where it does already."""
    if moved is None or moved == move:
        return ()
    if is_call(moved, "matmul"):
        return words.transpose_of_product() if move.name in symbols(moved.parts[1]) else words.trace_of_product()
    return words.factor_moves_over() if moved.ndim == 2 else ()


def _inner(run: Run, g: Expression, moved: Expression) -> Box:
    """tr(g^T moved) as a box; of numbers their product."""
    c = run.convention
    if not g.shape:
        return typeset(simplified(g * moved), c)
    if g.ndim == 2:
        return row(Word("tr"), APPLY, Fenced(typeset(call("matmul", simplified(call("mT", g)), moved), c)))
    return row(Operator("∑", "prefix"), TIMES, typeset(g * moved, c))


def _plus(boxes: list[Box], convention: Convention) -> Box:
    return sum_box(len(boxes), lambda i: ("+", boxes[i]), convention.terms)


def _product(g: Any, moved: Any) -> float:
    return float(np.sum(g * moved))


def _along(run: Run, name: str, move: Any) -> tuple[float, float]:
    """How fast the loss changes when one quantity moves there and back: secants of the program itself."""

    def loss(h: float) -> float:
        values = dict(run.givens)
        if name in values:
            values[name] = values[name] + h * move
        for statement in run.program.statements:
            values[statement.name] = evaluate(statement.formula, values)
            if statement.name == name:
                values[name] = values[name] + h * move
        return float(values[run.program.loss].reshape(()))

    here = loss(0.0)
    return (here - loss(-STEP)) / STEP, (loss(STEP) - here) / STEP


def _checked(words: Words, name: str, sides: list[float], slopes: tuple[float, float]) -> Prose:
    """What the check of a section's lines has found: the largest relative difference, or a kink of the loss.

    At a kink (equal elements under a maximum) the sides have to agree with each other alone: the slopes on its two
    sides differ, and the derivative is one of many that are valid.

    Raises:
        GraphError: they disagree, which is a mistake of this library.
    """
    left, right = slopes
    change = (left + right) / 2
    scale = max(abs(change), *[abs(side) for side in sides], 1e-30)
    spread = max(abs(side - sides[-1]) for side in sides) / scale
    secant = abs(sides[-1] - change)
    has_kink = abs(right - left) > KINK * max(scale, 1.0)
    if spread > LINEAR or (secant > SECANT * max(scale, 1.0) and not has_kink):
        raise GraphError(
            f"a line of the derivation by {name} does not hold",
            got=[f"sides  {sides}", f"change of the loss  {change:.9g}"],
            mend="This is a mistake in chainrule: please report it.",
        )
    if has_kink:
        return words.checked_at_kink(_size(spread), number_box(f"{left:.4g}"), number_box(f"{right:.4g}"))
    return words.checked(_size(max(spread, secant / max(scale, 1.0))))


def _size(x: float) -> Box:
    """A number of one digit and its power of ten."""
    return number_box(f"{x:.0e}" if x else "0")


def _is_one(formula: Expression) -> bool:
    """True for a formula of one element."""
    return all(n == 1 for n in formula.shape)


def _as_trace(run: Run, words: Words, statement: Statement) -> list[Step]:
    """A squared error by the trace trick: l = c tr(e^T e), so dl = c tr(de^T e + e^T de) = 2 c tr(e^T de)."""
    formula, number = simplified(statement.formula), Number(1)
    c = run.convention
    if is_call(formula, "mul") and isinstance(formula.parts[0], Number):
        number, formula = formula.parts[0], formula.parts[1]
    if is_call(formula, "mse_loss") and not formula.shape:
        a, b = formula.parts
        formula = call("mean", call("square", a - b))
    if is_call(formula, "mean") and _is_one(formula):
        (x,) = formula.parts
        number = simplified(call("div", number, int(np.prod(x.shape))))  # type: ignore[assignment]
        formula = call("sum", x)
    if not (is_call(formula, "sum") and _is_one(formula) and isinstance(number, Number)):
        return []
    (square,) = formula.parts
    power = is_call(square, "pow") and isinstance(square.parts[1], Number) and square.parts[1].value == 2
    if not (power or is_call(square, "square")) or square.parts[0].ndim != 2:
        return []
    error = square.parts[0]
    e, de = Symbol("e", error.shape), Symbol("de", error.shape)
    lines = _Lines(run, {})

    def trace(factor: Number, *formulas: Expression) -> Box:
        inside = row(*[x for f in formulas for x in (Operator("+"), typeset(f, c))][1:])
        shown = [typeset(simplified(factor), c), TIMES] if factor.value != 1 else []
        return row(*shown, Word("tr"), APPLY, Fenced(inside))

    loss, d_loss = statement.symbol, Symbol(f"d{statement.name}")
    back, forth = call("matmul", call("mT", de), e), call("matmul", call("mT", e), de)
    return [
        lines.line(e, typeset(error, c), ()),
        lines.line(loss, trace(number, call("matmul", call("mT", e), e)), words.own_trace()),
        lines.line(d_loss, trace(number, back, forth), words.differential_of(typeset(loss, c))),
        lines.line(d_loss, trace(Number(2 * number.value), forth), words.trace_of_transpose()),
    ]
