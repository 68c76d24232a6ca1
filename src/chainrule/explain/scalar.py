"""The derivation in numbers: every neuron by itself, w^l_jk, z^l_j, a^l_j, delta^l_j."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import prod
from typing import Any

import numpy as np

from chainrule.explain import matrix
from chainrule.explain.reasons import Reasons
from chainrule.explain.run import Run
from chainrule.explain.step import Section, Step, step
from chainrule.notation.numbers import carried
from chainrule.notation.typeset import is_written_out
from chainrule.notation.words import Words
from chainrule.symbolic.differentiate import cotangents
from chainrule.symbolic.elements import Index, element
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Expression, Number, Slope, Symbol, symbols, with_each_part
from chainrule.symbolic.simplify import is_call, simplified

MOST = 12
"""So many elements of one quantity are shown, unless all are wanted."""


def sections(run: Run, words: Words, *, full: bool = False) -> list[Section]:
    """Forward, backward, in numbers; where every quantity is one number, with the local derivatives on their own."""
    if all(prod(s.shape) == 1 and not s.shape for s in run.program.symbols.values()):
        return numbers(run, words)
    elements = Elements(run, words, full)
    reasons = elements.reasons
    forward: list[Step] = []
    for statement in run.program.statements:
        if statement.name in run.forward:
            forward += elements.of(statement.symbol, run.written(statement.formula), reasons.forward(statement.name))
    backward: list[Step] = []
    for name in matrix.backward_order(run, run.passed_over):
        backward += elements.of(run.rate(name), elements.formula(name), reasons.backward(name))
    return [
        Section(words.labels.forward, tuple(forward)),
        Section(words.labels.backward, tuple(backward), elements.note()),
    ]


class Elements:
    """Steps for the elements of quantities."""

    def __init__(self, run: Run, words: Words, full: bool) -> None:
        self.run, self.words, self.full = run, words, full
        self.reasons = Reasons(run, words)
        self.left_out = 0
        self.values: dict[str, Any] = {}

    def formula(self, name: str) -> Expression:
        """dL/dname, activations in between written out."""
        between = self.run.passed_over
        users = self.run.users(name)
        if users and all(u in between for u in users):
            return self.run.inlined(name, set(self.run.path) - between)
        return self.run.step(name)

    def of(self, left: Symbol, formula: Expression, why: Any, only: Index | None = None) -> Iterator[Step]:
        """A step for each element; the first one says why."""
        size = max(prod(left.shape), 1)
        most = size if self.full or only is not None else MOST
        self.left_out += max(size - most, 0)
        places = [only] if only is not None else islice(np.ndindex(left.shape), most)
        for k, place in enumerate(places):
            name = self.named(left, place)
            written = self.by_name(element(formula, place, self.run.convention.terms))
            value = self.run.value(left.name)[place]
            yield step(
                self.run, name, [written], why if k == 0 else (), value=np.asarray(value), values=self.values,
                recomputed=left.name in self.run.recomputed, key=("element", left.name, place),
                of=self.run.of(left.name),
            )  # fmt: skip

    def note(self) -> Any:
        return self.words.left_out(self.left_out) if self.left_out else ()

    def by_name(self, formula: Expression) -> Expression:
        """A formula of elements with names of their own in place of `slice(W, key=(0, 1))`."""
        if is_call(formula, "slice") and isinstance(formula.parts[0], Symbol):
            return self.named(formula.parts[0], dict(formula.params)["key"])  # type: ignore[attr-defined]
        if isinstance(formula, Symbol):
            return self.named(formula, ())
        return with_each_part(formula, self.by_name)

    def named(self, symbol: Symbol, place: Index) -> Symbol:
        """The symbol of an element, whose number is noted."""
        name = element_name(symbol, place)
        if name not in self.values:
            self.values[name] = np.asarray(self.run.shown[symbol.name])[place]
        return Symbol(name, (), symbol.dtype)


def element_name(symbol: Symbol, place: Index) -> str:
    """`w2_13`, `z2_1`, `dL/dw2_13`: weights in small letters, indices from 1, no index along axes of size 1."""
    start, slash, base = symbol.name.rpartition("/d")
    if base[:1] == "W":
        base = "w" + base[1:]
    kept = [i + 1 for i, n in zip(place, symbol.shape, strict=True) if n > 1 or len(symbol.shape) == 1]
    if base[:1] == "w" and len(symbol.shape) == 2:
        kept = [i + 1 for i in place]
    if not kept:
        return f"{start}{slash}{base}"
    short = all(n < 10 for n in symbol.shape)
    return f"{start}{slash}{base}_{('' if short else ',').join(map(str, kept))}"


# ---- one number for each quantity ------------------------------------------------------------------------------


def numbers(run: Run, words: Words) -> list[Section]:
    """The chain rule with numbers: values, then the derivative of each quantity by what it reads, then the products."""
    reasons = Reasons(run, words)
    statements = {s.name: s for s in run.program.statements}
    forward = [matrix.forward_step(run, reasons, statements[name]) for name in run.forward]
    local, values, exact = _local(run)
    reasons_of = {run.rate(name).name: reasons.sign(name) for name in run.targets}
    locals_ = [
        step(
            run, symbol, _written_out(run, formula), reasons_of.get(symbol.name, ()), value=exact[symbol.name],
            values=values,
        )
        for symbol, formula in local.values()
    ]  # fmt: skip
    products: list[Step] = []
    for name in matrix.backward_order(run, frozenset()):
        rate = run.rate(name)
        if any(symbol.name == rate.name for symbol, _ in local.values()):
            continue  # what the loss reads: its derivative is a local one
        formula = _chain(run, name, local)
        why = (*_reason(run, words, reasons, name), *matrix.sign(reasons, name))
        products.append(step(run, rate, [formula], why, value=run.exact[rate.name], values=values))
    return [
        Section(words.labels.forward, tuple(forward)),
        Section(words.labels.local, tuple(locals_)),
        Section(words.labels.backward, tuple(products)),
    ]


def _written_out(run: Run, formula: Expression) -> list[Expression]:
    """sigma'(z), and what it is."""
    if isinstance(formula, Slope) and not is_written_out(formula, run.convention):
        return [formula, formula.formula]
    return [formula]


def _reason(run: Run, words: Words, reasons: Reasons, name: str) -> Any:
    users = run.users(name)
    if not users:
        return words.does_not_reach(reasons.box(name), reasons.box(run.program.loss))
    if len(users) > 1:
        return words.through_several(reasons.box(name), [reasons.box(u) for u in users])
    return words.only_through(reasons.box(name), reasons.box(users[0]))


Local = dict[tuple[str, str], tuple[Symbol, Expression]]


def _local(run: Run) -> tuple[Local, dict[str, Any], dict[str, Any]]:
    """The derivative of each quantity by what it reads, with the numbers shown and the exact ones."""
    found: Local = {}
    values, exact = dict(run.shown), dict(run.exact)
    for statement in reversed(run.program.statements):
        if statement.name not in run.on_path:
            continue
        for name in symbols(statement.formula):
            if name not in run.on_path:
                continue
            of_loss = statement.name == run.program.loss
            title = run.rate(name).name if of_loss and len(run.users(name)) == 1 else f"d({statement.name})/d({name})"
            formula = cotangents(statement.formula, Number(1.0), [name], statement.symbol).get(name, Number(0))
            found[statement.name, name] = (Symbol(title), formula)
            exact[title] = evaluate(formula, run.exact)
            values[title] = carried(evaluate(formula, run.shown), run.convention)
    return found, values, exact


def _chain(run: Run, name: str, local: Local) -> Expression:
    """dL/dname as a product of local derivatives where one route leads to the loss, else as a sum over the routes."""
    users = run.users(name)
    if len(users) == 1:
        factors: list[Expression] = []
        at = name
        while len(run.users(at)) == 1 and at != run.program.loss:
            user = run.users(at)[0]
            factors.insert(0, local[user, at][0])
            at = user
        if at != run.program.loss:
            factors.insert(0, run.rate(at))
        formula = factors[0]
        for factor in factors[1:]:
            formula = formula * factor
        return formula
    terms = [_through(run, user, local[user, name][0]) for user in users]
    total: Expression = terms[0] if terms else Number(0)
    for term in terms[1:]:
        total = total + term
    return total


def _through(run: Run, user: str, factor: Symbol) -> Expression:
    return factor if user == run.program.loss else simplified(run.rate(user) * factor)
