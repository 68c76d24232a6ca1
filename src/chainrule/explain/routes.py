"""One weight: the routes from it to the loss, and what each contributes to its derivative."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from chainrule.errors import GraphError
from chainrule.explain.run import ROUNDING, Run
from chainrule.explain.scalar import element_name
from chainrule.symbolic.differential import differential
from chainrule.symbolic.elements import Index
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Expression, Symbol, symbols
from chainrule.tensor.graph import Array

MOST = 20_000
"""So many routes are followed one by one; where there are more, those through one neuron are taken together."""

MOVE = "<move>"
"""The name of the movement of one element."""


@dataclass(frozen=True)
class Route:
    """A way from a weight to the loss: the elements on it, and the product of the local derivatives along it.

    A route that ends before the loss stands for all routes that begin like it.
    """

    through: tuple[str, ...]
    contribution: float


def routes(run: Run, weight: str, place: Index) -> list[Route]:
    """The routes of one element, the largest contribution first.

    Raises:
        GraphError: the contributions do not add up to the gradient, which is a mistake of this library.
    """
    effects = _Effects(run)
    found = [Route(through, value) for through, value in _follow(run, effects, weight, place)]
    gradient = float(run.exact[run.rate(weight).name][place])
    total = sum(route.contribution for route in found)
    scale = max(abs(gradient), sum(abs(route.contribution) for route in found))
    if abs(total - gradient) > ROUNDING * scale:
        raise GraphError(
            "the routes of a weight do not add up to its derivative",
            got=[f"routes  {total:.17g}", f"derivative  {gradient:.17g}"],
            mend="This is a mistake in chainrule. Please report it with the program.",
        )
    return sorted(found, key=lambda route: -abs(route.contribution))


class _Effects:
    """How the elements of a quantity move with one element of what it reads."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._statements = {s.name: s for s in run.program.statements}
        self._formulas: dict[tuple[str, str], Expression] = {}
        self._known: dict[tuple[str, str, int], Array] = {}

    def of(self, user: str, name: str, at: int) -> Array:
        """The derivative of each element of the user by element `at` of the quantity, flat."""
        key = (user, name, at)
        if key not in self._known:
            x = self.run.program.symbols[name]
            one = np.zeros(x.shape)
            one.reshape(-1)[at] = 1.0
            moved = evaluate(self._formula(user, name), {**self.run.exact, MOVE: one})
            self._known[key] = np.asarray(moved).reshape(-1)
        return self._known[key]

    def _formula(self, user: str, name: str) -> Expression:
        if (user, name) not in self._formulas:
            statement, x = self._statements[user], self.run.program.symbols[name]
            moves = {name: Symbol(MOVE, x.shape)}
            self._formulas[user, name] = differential(statement.formula, moves, statement.symbol)
        return self._formulas[user, name]


def _follow(run: Run, effects: _Effects, weight: str, place: Index) -> Iterator[tuple[tuple[str, ...], float]]:
    """Every route, or, where there are too many, the routes to the neurons that read the weight's layer."""
    loss = run.program.loss
    whole = _count(run, weight) <= MOST
    start = (weight, int(np.ravel_multi_index(place, run.program.symbols[weight].shape)) if place else 0)
    stack: list[tuple[tuple[str, int], tuple[str, ...], float]] = [(start, (_title(run, *start),), 1.0)]
    while stack:
        (name, at), through, factor = stack.pop()
        if name == loss:
            yield through, factor
            continue
        if not whole and len(through) > 3:
            rest = float(run.exact[run.rate(name).name].reshape(-1)[at])
            yield (*through, "…"), factor * rest
            continue
        for user in run.users(name):
            column = effects.of(user, name, at)
            for k in np.flatnonzero(column):
                after = (user, int(k))
                stack.append((after, (*through, _title(run, *after)), factor * float(column[k])))


def _count(run: Run, weight: str) -> float:
    """How many routes lead from the weight's elements to the loss, about: the product of the widths on the way."""
    ways: dict[str, float] = {run.program.loss: 1.0}
    for name in reversed(run.path):
        if name != run.program.loss:
            ways[name] = sum(ways.get(u, 0.0) * _fan(run, u, name) for u in run.users(name))
    return ways.get(weight, 0.0)


def _fan(run: Run, user: str, name: str) -> int:
    """How many elements of a user one element of a quantity reaches, at most."""
    statement = next(s for s in run.program.statements if s.name == user)
    y, x = run.program.symbols[user], run.program.symbols[name]
    by_element = getattr(statement.formula, "op", None)
    if by_element is not None and by_element.kind.name == "elementwise" and y.shape == x.shape:
        return 1
    return max(y.shape, default=1) if name in symbols(statement.formula) else 0


def _title(run: Run, name: str, at: int) -> str:
    symbol = run.program.symbols[name]
    place = tuple([int(i) for i in np.unravel_index(at, symbol.shape)]) if symbol.shape else ()
    return element_name(symbol, place)
