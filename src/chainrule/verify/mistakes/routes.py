"""What a quantity receives along several routes adds up: one route alone, or one counted twice, is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Literal

from chainrule.symbolic.expression import Expression, Number, Symbol, replaced, symbols
from chainrule.symbolic.simplify import is_call
from chainrule.verify.mistakes.site import Mutation, Site


def overwritten_instead_of_added(site: Site) -> Iterator[Mutation]:
    """= for +=: some of the contributions are lost."""
    yield from (Mutation(total) for total in _partial(_contributions(site)))


def missing_sum_over_time(site: Site) -> Iterator[Mutation]:
    """The contribution of some time steps alone, for a parameter that every step reads in the same way."""
    if site.is_step and reads_alike(site) == "time":
        yield from overwritten_instead_of_added(site)


def double_counting(site: Site) -> Iterator[Mutation]:
    """One of several contributions counted twice."""
    every = _contributions(site)
    if len(every) > 1:
        for i, twice in enumerate(every):
            yield Mutation(_sum([*every, twice]))
            yield Mutation(_sum([*every[:i], Number(2) * twice, *every[i + 1 :]]))


def _contributions(site: Site) -> list[Expression]:
    """The contributions that a step adds up: its routes, or the terms of a sum in one of them."""
    f = site.formula
    if site.is_step:
        routes = list(site.network.derivation.routes(site.quantity).values())
        if len(routes) > 1:
            return routes
    return _terms(f) if is_call(f, "add") and not site.is_in_slope else []


def _terms(f: Expression) -> list[Expression]:
    return [term for part in f.parts for term in _terms(part)] if is_call(f, "add") else [f]


def _partial(every: list[Expression]) -> Iterator[Expression]:
    """The sums that lack one contribution, and each contribution alone."""
    if len(every) < 2:
        return
    yield from reversed(every)
    if len(every) > 2:
        for i in range(len(every)):
            yield _sum(every[:i] + every[i + 1 :])


def _sum(terms: list[Expression]) -> Expression:
    return reduce(lambda a, b: a + b, terms)


def reads_alike(site: Site) -> Literal["time", "neurons", ""]:
    """What the statements that read a quantity are, if several of them have the same structure.

    "time" where one of them leads to the next, as the steps of a recurrence do, "neurons" where none does.
    """
    program = site.network.program
    users = [s for s in program.users[site.quantity] if s.name in program.reaching]
    if len({_structure(s.formula, site.quantity) for s in users}) == len(users):
        return ""
    behind: dict[str, set[str]] = {}
    for statement in program.statements:
        read = symbols(statement.formula).keys()
        behind[statement.name] = set(read).union(*[behind.get(name, set()) for name in read])
    return "time" if any(a.name in behind[b.name] for a in users for b in users) else "neurons"


def _structure(f: Expression, keep: str) -> Expression:
    """The formula with every other quantity anonymous."""
    return replaced(f, {name: Symbol("_", s.shape, s.dtype) for name, s in symbols(f).items() if name != keep})
