"""The derivation in matrices: z, a, delta, outer products; the batch written out."""

from __future__ import annotations

from collections.abc import Callable, Set

from chainrule.explain.reasons import Reasons
from chainrule.explain.run import Run
from chainrule.explain.step import Section, Step, step
from chainrule.notation.prose import Prose
from chainrule.notation.words import Words
from chainrule.ops.loss import elementwise_loss_shape, rows_of_probabilities
from chainrule.symbolic.columns import sum_of_sums, total
from chainrule.symbolic.expression import Call, Expression, Formulas, walk
from chainrule.symbolic.program import Statement
from chainrule.symbolic.simplify import is_call, simplified

LOSSES = (elementwise_loss_shape, rows_of_probabilities)
"""The shape rules of losses whose definition is short."""


def sections(run: Run, words: Words) -> list[Section]:
    """Forward, then backward: each derivative by those of what reads the quantity."""
    reasons = Reasons(run, words)
    statements = {s.name: s for s in run.program.statements}
    forward = [forward_step(run, reasons, statements[name]) for name in run.forward]
    backward = [backward_step(run, reasons, name) for name in backward_order(run, run.passed_over)]
    return [
        Section(words.labels.forward, tuple(forward), reasons.recomputed()),
        Section(words.labels.backward, tuple(backward)),
    ]


def forward_step(run: Run, reasons: Reasons, statement: Statement) -> Step:
    """What a statement computes."""
    again = statement.name in run.recomputed
    formulas = [run.written(statement.formula)]
    if (definition := written_out(statement.formula)) is not None:
        definition = run.written(definition)
        takes_rows = any(is_call(part, "mT") for part in walk(definition))
        formulas.append(simplified((total if takes_rows else sum_of_sums)(definition)))
    return step(run, statement.symbol, formulas, reasons.forward(statement.name), recomputed=again)


def written_out(formula: Expression) -> Expression | None:
    """What a loss of the catalogue is by its definition; None for other formulas."""
    if not isinstance(formula, Call) or formula.op.kind.name != "composite" or formula.op.shape_rule not in LOSSES:
        return None
    body: Callable[..., Expression] = formula.op.definition
    return simplified(body(Formulas, *formula.inputs, **dict(formula.params)))


def backward_step(run: Run, reasons: Reasons, name: str) -> Step:
    """The derivative by a quantity; that by an activation in between is written out."""
    formulas = [run.step(name)]
    between = run.passed_over
    users = run.users(name)
    if users and all(u in between for u in users):
        formulas = [run.inlined(name, set(run.path) - between)]
    return step(run, run.rate(name), formulas, (*reasons.backward(name), *sign(reasons, name)))


def sign(reasons: Reasons, name: str) -> Prose:
    """What the sign of a wanted derivative says, after another sentence."""
    said = reasons.sign(name) if name in reasons.run.targets else ()
    return (reasons.words.gap, *said) if said else ()


def backward_order(run: Run, between: Set[str]) -> list[str]:
    """The quantities whose derivatives are shown, in the order of the backward pass; targets when they are ready.

    Args:
        between: those that are passed over.
    """
    computed = {s.name for s in run.program.statements}
    ready: dict[str, list[str]] = {}
    for name in run.targets:
        users = run.users(name)
        if name not in run.program.reaching or (not users and name != run.program.loss):
            ready.setdefault(run.program.loss, []).append(name)
        elif name not in computed:
            first = min(users, key=list(run.program.symbols).index)
            ready.setdefault(first, []).append(name)
    order: list[str] = []
    for name in reversed(run.path):
        if name in computed and name not in between and name != run.program.loss:
            order.append(name)
        order += sorted(ready.get(name, []), key=lambda n: n[:1] in "bB")
    return order
