"""The steps of a derivation by the modules that make them: a section for each call, equal calls side by side.

What enters and leaves a call is read off the program: on the way forward the quantities that its formulas read and
that others read of it, on the way back the derivatives of the loss by those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np

from chainrule.explain.run import Run
from chainrule.explain.step import CallSteps, EqualCalls, Flow, Fold, Item, Section, Step, all_steps, shown_steps
from chainrule.notation.typeset import typeset
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import symbols
from chainrule.symbolic.modules import ModuleCall
from chainrule.tensor.graph import Array

SMALLEST = 3
"""A module that computes fewer quantities has no section of its own: a Linear is one step."""


class ByModules:
    """Divides sections of steps into the modules of a run."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def section(self, section: Section, *, side_by_side: bool) -> Section:
        """The section with a section inside for each call of a module, as far as modules are known.

        A section about one derivative, whose steps are about no quantity of their own, stays as it is.

        Args:
            side_by_side: whether equal calls that follow each other become one item.
        """
        steps = shown_steps(section.items)
        if not self.inside or not is_about_quantities(section):
            return section
        items = tuple(self._items(steps, 0))
        return Section(section.title, _side_by_side(items) if side_by_side else items, section.note)

    @cached_property
    def inside(self) -> dict[ModuleCall, frozenset[str]]:
        """The quantities that each call computes, of the calls that have a section of their own."""
        found: dict[ModuleCall, list[str]] = {}
        for name in self.run.forward:
            for call in self.run.around(name):
                found.setdefault(call, []).append(name)
        return {call: frozenset(names) for call, names in found.items() if len(names) >= SMALLEST}

    def _items(self, steps: Sequence[Step], depth: int) -> Iterator[Item]:
        for call, run in groupby(steps, key=lambda one: self._call(one, depth)):
            if call is None:
                yield from run
            else:
                inside = list(run)
                yield self._call_steps(call, inside, tuple(self._items(inside, depth + 1)))

    def _call(self, one: Step, depth: int) -> ModuleCall | None:
        around = self.run.around_rate if self.run.is_rate(one.symbol) else self.run.around
        calls = [call for call in around(one.of) if call in self.inside]
        return calls[depth] if depth < len(calls) else None

    def _call_steps(self, call: ModuleCall, steps: Sequence[Step], items: tuple[Item, ...]) -> CallSteps:
        if not any(self.run.is_rate(one.symbol) for one in steps):
            return CallSteps(call.path, call.kind, items, *self.forward(call))
        found = [one.value for one in steps if one.of in self.run.parameters]
        return CallSteps(call.path, call.kind, items, *self.backward(call), _rms(*found) if found else None)

    # ---- what goes in and out --------------------------------------------------------------------------------

    def forward(self, call: ModuleCall) -> tuple[tuple[Flow, ...], tuple[Flow, ...]]:
        """The values that a call takes, and those that it gives; what is given only where it takes nothing else."""
        taken, given = self._flows[call]
        computed = [name for name in taken if name not in self.run.givens]
        return tuple(map(self._value, computed or taken)), tuple(map(self._value, given))

    def backward(self, call: ModuleCall) -> tuple[tuple[Flow, ...], tuple[Flow, ...]]:
        """The derivatives by what a call gives, which it takes on the way back, and those by what it took."""
        taken, given = ([name for name in names if name in self.run.on_path] for names in self._flows[call])
        return tuple([self._rate(name, None) for name in given]), tuple([self._rate(name, call) for name in taken])

    def around(self, name: str) -> list[ModuleCall]:
        """The calls with a section of their own around a quantity, or around all that reads what is given."""
        around = self.run.around_rate if name in self.run.givens else self.run.around
        return [call for call in around(name) if call in self.inside]

    @cached_property
    def _flows(self) -> dict[ModuleCall, tuple[list[str], list[str]]]:
        """What each call reads of the quantities outside, parameters apart, and what others read of it."""
        found: dict[ModuleCall, tuple[list[str], list[str]]] = {call: ([], []) for call in self.inside}
        for statement in self.run.program.statements:
            around = set(self.run.around(statement.name))
            for name in symbols(statement.formula):
                of = set(self.run.around(name)) if name not in self.run.givens else set()
                for call in (around - of) & self.inside.keys():
                    if name not in self.run.parameters and name not in found[call][0]:
                        found[call][0].append(name)
                for call in (of - around) & self.inside.keys():
                    if name not in found[call][1]:
                        found[call][1].append(name)
        return found

    def _value(self, name: str) -> Flow:
        symbol = self.run.program.symbols[name]
        return Flow(typeset(symbol, self.run.convention), symbol.shape, _rms(self.run.value(name)))

    def _rate(self, name: str, call: ModuleCall | None) -> Flow:
        """The derivative by a quantity; of what a call reads, the part that comes through the call."""
        rate = self.run.rate(name)
        value, whole = self.run.exact[rate.name], True
        if call is not None and not self.inside[call].issuperset(self.run.users(name)):
            routes = [f for user, f in self.run.derivation.routes(name).items() if user in self.inside[call]]
            value, whole = sum(evaluate(route, self.run.exact) for route in routes), False
        return Flow(typeset(rate, self.run.convention), rate.shape, _rms(value), whole)


def is_about_quantities(section: Section) -> bool:
    """True if each step is about a quantity; False for a section about one derivative, or about routes."""
    return all(one.of for one in all_steps(section.items))


def within(section: Section, path: str) -> Section:
    """The part of a section that belongs to a module; a section about one derivative whole or not at all."""
    if is_about_quantities(section):
        return Section(section.title, tuple(_within(section.items, path)))
    belongs = any(_is_inside(one.module, path) for one in all_steps(section.items))
    return section if belongs else Section(section.title, ())


def _within(items: Sequence[Item], path: str) -> Iterator[Item]:
    """The items that belong to a module, its calls opened."""
    for item in items:
        match item:
            case Step() if _is_inside(item.module, path):
                yield item
            case Fold():
                yield from _within([one for block in item.repeats for one in block], path)
            case EqualCalls() if all(_is_inside(call.path, path) for call in item.calls):
                yield EqualCalls((replace(item.first, opened=True), *item.calls[1:]))
            case EqualCalls():
                yield from _within(item.calls, path)
            case CallSteps() if _is_inside(item.path, path):
                yield replace(item, opened=True)
            case CallSteps():
                yield from _within(item.items, path)


def _is_inside(path: str, outer: str) -> bool:
    return path == outer or path.startswith(f"{outer}.")


def _rms(*values: Any) -> float:
    """The root mean square of all elements."""
    flat: list[Array] = [np.ravel(np.asarray(value, np.float64)) for value in values]
    together = np.concatenate(flat)
    return float(np.linalg.norm(together) / np.sqrt(max(together.size, 1)))


def _side_by_side(items: Sequence[Item]) -> tuple[Item, ...]:
    """The items with equal calls of modules that follow each other in one."""
    found: list[Item] = []
    for key, run in groupby(items, key=_likeness):
        if key is None:
            found += run
            continue
        calls = [replace(c, items=_side_by_side(c.items)) for c in run if isinstance(c, CallSteps)]
        found.append(EqualCalls(tuple(calls)) if len(calls) > 1 else calls[0])
    return tuple(found)


def _likeness(item: Item) -> Any:
    """What equal calls have in common: class, formulas, and how the steps read each other; None for what is no call.

    Quantities count by when they are first spoken of, so that neither their numbers nor what a call is given matter.
    """
    if not isinstance(item, CallSteps):
        return None
    numbers: dict[str, int] = {}
    steps = []
    for one in item.steps:
        names = (one.symbol, *one.parts)
        steps.append((_nameless(one.key), *[numbers.setdefault(name, len(numbers)) for name in names]))
    return (item.kind, len(item.enters), len(item.leaves), item.parameters is None, *steps)


def _nameless(key: Any) -> Any:
    """The key of a step without the names of symbols: a symbol is a pair of name and shape."""
    match key:
        case (str(), tuple() as shape):
            return shape
        case tuple():
            return tuple([_nameless(part) for part in key])
    return key
