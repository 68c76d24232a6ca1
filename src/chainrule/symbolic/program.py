"""A program: given quantities, then named quantities in order, the last scalar of which is the loss.

A text file, a recorded graph and a function all become this. `Derivation` differentiates it by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from chainrule.symbolic.differentiate import cotangents
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Expression, Number, Symbol, replaced, symbols
from chainrule.symbolic.simplify import simplified


@dataclass(frozen=True)
class Statement:
    """`name = formula`; `where` says where it stands: a line of a file, or a place in the user's program."""

    name: str
    formula: Expression
    where: str = ""

    @cached_property
    def symbol(self) -> Symbol:
        """What stands for the value in the formulas below."""
        return Symbol(self.name, self.formula.shape, self.formula.dtype)


@dataclass(frozen=True)
class Program:
    """Statements in order, each of which reads givens and statements above it; `loss` names one of size 1."""

    givens: tuple[Symbol, ...]
    statements: tuple[Statement, ...]
    loss: str

    @cached_property
    def symbols(self) -> dict[str, Symbol]:
        """Every quantity by name, in order."""
        return {s.name: s for s in (*self.givens, *[statement.symbol for statement in self.statements])}

    @cached_property
    def users(self) -> dict[str, list[Statement]]:
        """The statements that read each quantity."""
        found: dict[str, list[Statement]] = {name: [] for name in self.symbols}
        for statement in self.statements:
            for name in symbols(statement.formula):
                found[name].append(statement)
        return found

    @cached_property
    def reaching(self) -> frozenset[str]:
        """The quantities that the loss depends on, the loss included."""
        reached = {self.loss}
        for statement in reversed(self.statements):
            if statement.name in reached:
                reached |= symbols(statement.formula).keys()
        return frozenset(reached)

    def values(self, givens: Mapping[str, Any]) -> dict[str, Any]:
        """The value of every quantity, from those of the givens."""
        values = dict(givens)
        for statement in self.statements:
            values[statement.name] = evaluate(statement.formula, values)
        return values


@dataclass
class Derivation:
    """The backward pass of a program, in formulas.

    A step says dL/dname through the derivatives of what reads the name: `dL/dz2 = dL/da2 * sigma'(z2)`. `seed` is
    the cotangent that the pass starts from, of the loss's shape; without one it is 1, and the loss has one element.
    """

    program: Program
    seed: Expression | None = None
    _steps: dict[str, dict[str, Expression]] = field(default_factory=dict)

    @property
    def start(self) -> Expression:
        """dL/dL."""
        return Number(1, self.program.symbols[self.program.loss].shape) if self.seed is None else self.seed

    def named(self, name: str) -> Symbol:
        """dL/dname as a symbol."""
        quantity = self.program.symbols[name]
        return Symbol(f"d{self.program.loss}/d{name}", quantity.shape, quantity.dtype)

    def routes(self, name: str) -> dict[str, Expression]:
        """What a quantity receives from each statement that reads it, by the statement's name."""
        if name not in self._steps:
            self._steps[name] = self._routes(name)
        return self._steps[name]

    def step(self, name: str) -> Expression:
        """dL/dname through the derivatives of the quantities that read it; 0 if none of them reaches the loss."""
        if name == self.program.loss:
            return self.start
        routes = list(self.routes(name).values())
        if not routes:
            return Number(0, self.program.symbols[name].shape)
        total = routes[0]
        for route in routes[1:]:
            total = total + route
        return simplified(total)

    def inlined(self, name: str, known: Iterable[str]) -> Expression:
        """dL/dname through the derivatives of the `known` quantities alone; with none, down to the loss."""
        stop = {self.named(k).name for k in known}
        return self._inlined(self.step(name), stop)

    def values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The derivatives of the loss by every quantity, `dL/dname` to array, added to the values given."""
        found = dict(values)
        for name in reversed(self.program.symbols):
            found[self.named(name).name] = evaluate(self.step(name), found)
        return found

    def _inlined(self, formula: Expression, stop: set[str]) -> Expression:
        prefix = f"d{self.program.loss}/d"
        by = {
            s: self._inlined(self.step(s.removeprefix(prefix)), stop)
            for s in symbols(formula)
            if s.startswith(prefix) and s not in stop
        }
        return simplified(replaced(formula, by)) if by else formula

    def _routes(self, name: str) -> dict[str, Expression]:
        found: dict[str, Expression] = {}
        for statement in self.program.users[name]:
            if statement.name not in self.program.reaching:
                continue
            g = self.start if statement.name == self.program.loss else self.named(statement.name)
            route = cotangents(statement.formula, g, [name], statement.symbol).get(name)
            if route is not None:
                found[statement.name] = route
        return found
