"""Why a quantity is what it is, in words: chosen by how the formula that reads it reads it."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite, prod

from chainrule.explain.run import Run
from chainrule.notation.boxes import Box, Identifier
from chainrule.notation.prose import Part, Prose
from chainrule.notation.typeset import function_name, typeset
from chainrule.notation.words import Words
from chainrule.ops.op import Op
from chainrule.symbolic.differentiate import has_slope, slope_of
from chainrule.symbolic.expression import Call, Expression, Symbol, call, symbols, walk
from chainrule.symbolic.program import Statement
from chainrule.symbolic.simplify import is_call

MENTIONED = 6
"""So many names stand in one sentence."""

LOSSES = frozenset(("cross_entropy_of_probabilities", "cross_entropy"))


class Reasons:
    """Chooses the sentences for the steps of a run."""

    def __init__(self, run: Run, words: Words) -> None:
        self.run, self.words = run, words
        self.statements = {s.name: s for s in run.program.statements}

    def box(self, name: str) -> Box:
        """A quantity's name as a formula."""
        return typeset(self.run.program.symbols[name], self.run.convention)

    def rate_box(self, name: str) -> Box:
        return typeset(self.run.rate(name), self.run.convention)

    # ---- forward ---------------------------------------------------------------------------------------------

    def forward(self, name: str) -> Prose:
        """Why a quantity has the value that it has."""
        words, formula = self.words, self.statements[name].formula
        read = list(symbols(formula))
        boxes = [self.box(n) for n in read if n in self.run.program.symbols]
        if name == self.run.program.loss and len(boxes) > 1:
            output = [n for n in read if n in self.statements]
            label = [n for n in read if n not in self.statements]
            if len(output) == 1 and len(label) == 1:
                truth = next((x for x in walk(formula) if is_call(x, "one_hot")), None)
                if truth is None:
                    return words.loss_measures(self.box(name), self.box(output[0]), self.box(label[0]))
                t = self._truth(truth)
                measured = words.loss_measures(self.box(name), self.box(output[0]), t)
                return (*measured, words.gap, *words.one_hot(t, self.box(label[0])))
        if isinstance(formula, Call) and all(isinstance(part, Symbol) for part in formula.parts) and len(boxes) == 1:
            if formula.op.name == "softmax":
                return words.probabilities(self.box(name), boxes[0])
            if formula.op.kind.name == "elementwise" and has_slope_rule(formula):
                said = words.activated if prod(formula.shape) > 1 else words.function_of
                return said(self.box(name), boxes[0], called(formula.op))
        product = next((p for p in _products(formula)), None)
        if product is not None:
            data = [n for part in product.parts for n in symbols(part) if not self._is_parameter(n)]
            if data and (is_call(formula, "add") or is_call(formula, "linear")):
                return words.weighted_sums(self.box(name), self.box(data[0]))
        return words.computed(self.box(name), boxes) if boxes else ()

    def _truth(self, labels: Expression) -> Box:
        """The labels' columns of 0 and 1, by their name."""
        truth = self.run.label(labels)
        return typeset(truth.parts[0] if is_call(truth, "mT") else truth, self.run.convention)

    def _is_parameter(self, name: str) -> bool:
        """True for a weight or bias: of a layer, or called so in a program that was written down."""
        letter, _ = self.run.layers.get(name, (name[:1], 0))
        return letter in ("W", "w", "b") and name not in self.statements

    # ---- backward --------------------------------------------------------------------------------------------

    def backward(self, name: str) -> Prose:
        """Why the derivative by a quantity is what its formula says."""
        run, words = self.run, self.words
        if name == run.program.loss:
            return words.starts_at_one(self.box(name))
        users = run.users(name)
        of = self.box(name)
        if not users:
            return words.does_not_reach(of, self.box(run.program.loss))
        if len(users) > 1:
            return words.through_several(of, [self.box(u) for u in users])
        statement = self.statements[users[0]]
        through = self.box(users[0])
        reason = self._through(name, statement)
        if reason:
            return reason
        if statement.name == run.program.loss:
            return words.derivative_of_loss(of)
        return words.only_through(of, through)

    def _through(self, name: str, statement: Statement) -> Prose:
        words, run = self.words, self.run
        formula, y = statement.formula, self.box(statement.name)
        of = self.box(name)
        if isinstance(formula, Call) and formula.op.name in LOSSES:
            logits = symbols(formula.parts[0])
            if name in logits:
                p = typeset(_softmax_of(formula.parts[0], run), run.convention)
                return words.cross_terms_cancel(of, p, self._truth(formula.parts[1]))
        if isinstance(formula, Call) and any(part == run.program.symbols[name] for part in formula.parts):
            if formula.op.name == "softmax":
                return words.cross_terms(y, of)
            if formula.op.kind.name == "elementwise" and has_slope_rule(formula):
                slope = slope_of(formula.op, formula.parts[0], dict(formula.params), statement.symbol)
                return words.slope_of_activation(of, y, typeset(slope, run.convention))
        for product in _products(formula):
            sides = _sides(product)
            for place, side in enumerate(sides):
                if name in symbols(side):
                    other = sides[1 - place]
                    if self._is_parameter(name):
                        data = next(iter(symbols(other)), None)
                        if data is not None:
                            product_of = words.outer_product(of, self.rate_box(statement.name), self.box(data))
                            is_batch = product.ndim > 1 and product.shape[-1 if place == 0 else -2] > 1
                            return (*product_of, words.gap, *words.sum_over_batch(of)) if is_batch else product_of
                    return words.through_next_layer(of, self.rate_box(statement.name))
        if _is_added(formula, name):
            passes = words.bias_passes_on(of, y)
            if run.program.symbols[name].shape == statement.formula.shape:
                return passes
            return (*passes, words.gap, *words.sum_over_batch(of))
        return ()

    def recomputed(self) -> Prose:
        """Which values the run had not kept."""
        names = [name for name in self.run.forward if name in self.run.recomputed]
        if not names:
            return ()
        boxes: list[Part] = [self.box(name) for name in names[:MENTIONED]]
        return self.words.recomputed(boxes if len(names) <= MENTIONED else [*boxes, "…"])

    # ---- what a gradient says --------------------------------------------------------------------------------

    def sign(self, name: str) -> Prose:
        """What the sign of a derivative by one number says; nothing for several."""
        value = self.run.exact[self.run.rate(name).name]
        if value.size != 1:
            return () if value.any() else self.words.stationary()
        number = float(value.reshape(()))
        if number == 0:
            return self.words.stationary()
        if not isfinite(number):
            return ()
        return (self.words.increase if number < 0 else self.words.decrease)(self.box(name))


def called(function: Op) -> Prose:
    """The name of a function, with the letter that formulas have for it: sigmoid σ."""
    box = function_name(function)
    return (function.name, " ", box) if isinstance(box, Identifier) else (box,)


def has_slope_rule(formula: Call) -> bool:
    """True for an activation: a bent elementwise function of one variable."""
    return bool(formula.op.rules) and has_slope(formula.op)


def _products(formula: Expression) -> Iterator[Call]:
    for one in walk(formula):
        if isinstance(one, Call) and one.op.name in ("matmul", "linear"):
            yield one


def _sides(product: Call) -> tuple[Expression, Expression]:
    return product.parts[0], product.parts[1]


def _is_added(formula: Expression, name: str) -> bool:
    """True if a quantity is added to the rest of a formula as it is."""
    if isinstance(formula, Symbol):
        return formula.name == name
    if isinstance(formula, Call):
        if formula.op.name == "linear":
            return len(formula.parts) > 2 and name in symbols(formula.parts[2])
        if formula.op.name in ("add", "reshape", "broadcast_to"):
            return any(_is_added(part, name) for part in formula.parts)
    return False


def _softmax_of(logits: Expression, run: Run) -> Expression:
    """The probabilities of the classes."""
    probabilities = call("softmax", logits, axis=-1)
    turned = logits.ndim == 2 and run.convention.batch == "columns"
    return run.written(call("mT", probabilities)) if turned else probabilities
