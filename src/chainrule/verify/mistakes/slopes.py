"""What is written for an activation's derivative: the activation, another point, another layer, another function."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.ops.catalogue import CATALOGUE
from chainrule.symbolic.differentiate import slope_of
from chainrule.symbolic.expression import Call, Expression, Number, Slope, Symbol, call, replaced, symbols
from chainrule.verify.mistakes.network import ACTIVATIONS, Activation
from chainrule.verify.mistakes.site import Mutation, Site


def activation_for_its_derivative(site: Site) -> Iterator[Mutation]:
    """a for sigma'(z): the slip of printed recursions."""
    f = site.formula
    if isinstance(f, Slope):
        yield Mutation(site.network.result(f.op, f.at, f.params))
    for a in _written_out(site):
        yield Mutation(_from_above(site, a) * a.symbol)


def pre_activation_for_the_derivative(site: Site) -> Iterator[Mutation]:
    """z for sigma'(z)."""
    if isinstance(site.formula, Slope):
        yield Mutation(site.formula.at)
    for a in _written_out(site):
        yield Mutation(_from_above(site, a) * a.at)


def at_the_activation(site: Site) -> Iterator[Mutation]:
    """sigma'(a) for sigma'(z)."""
    f = site.formula
    if isinstance(f, Slope):
        yield Mutation(slope_of(f.op, site.network.result(f.op, f.at, f.params), dict(f.params)))
    for a in _written_out(site):
        yield Mutation(_from_above(site, a) * replaced(a.slope, {a.at.name: a.symbol}))


def at_the_wrong_layer(site: Site) -> Iterator[Mutation]:
    """sigma'(z) of another layer, by that layer's function or by this one's."""
    f = site.formula
    if isinstance(f, Slope) and f.at in site.network.pre_activations:
        own = site.network.result(f.op, f.at, f.params)
        for a in site.network.activations:
            if a.at != f.at:
                yield Mutation(a.slope)
        if isinstance(own, Symbol):
            for other in site.network.passed_on.values():
                if other.shape == own.shape and other not in (own, f.at):
                    yield Mutation(replaced(f.formula, {own.name: other}))
        for z in site.network.pre_activations:
            if z != f.at:
                yield Mutation(slope_of(f.op, z, dict(f.params)))
    for here in _written_out(site):
        for a in site.network.activations:
            if a.at != here.at:
                yield Mutation(_from_above(site, here) * a.slope)
                yield Mutation(_from_above(site, here) * replaced(here.slope, {here.at.name: a.at}))


def of_another_activation(site: Site) -> Iterator[Mutation]:
    """The derivative of another activation function, at z, or by its formula in a from this a."""
    f = site.formula
    if isinstance(f, Slope) and f.op.name in ACTIVATIONS:
        a = site.network.result(f.op, f.at, f.params)
        for name in ACTIVATIONS:
            if name != f.op.name:
                yield Mutation(slope_of(CATALOGUE[name], f.at, {}))
                yield Mutation(slope_of(CATALOGUE[name], f.at, {}, a))


def formula_in_z(site: Site) -> Iterator[Mutation]:
    """z (1 - z) for a (1 - a): the formula in a, with z put in."""
    f = site.formula
    if isinstance(f, Slope):
        a = site.network.result(f.op, f.at, f.params)
        if isinstance(a, Symbol) and a.name in symbols(f.formula):
            yield Mutation(replaced(f.formula, {a.name: f.at}))


def dropped_slope(site: Site) -> Iterator[Mutation]:
    """A slope that is a product itself, such as 2 z, is missing as a whole."""
    for a in _written_out(site):
        yield Mutation(_from_above(site, a))


def slope_twice(site: Site) -> Iterator[Mutation]:
    """A slope that is a product itself stands there twice."""
    for a in _written_out(site):
        yield Mutation(site.formula * a.slope)


def log_of_the_wrong_thing(site: Site) -> Iterator[Mutation]:
    """log z or log t for log p, and 1/z or 1/t for its derivative 1/p."""
    f = site.formula
    if isinstance(f, Slope) and f.op.name == "log":
        yield from (Mutation(slope_of(f.op, other, {})) for other in _others(site, f.at))
    elif isinstance(f, Call) and f.op.name == "log":
        yield from (Mutation(call("log", other)) for other in _others(site, f.parts[0]))


def _others(site: Site, at: Expression) -> Iterator[Expression]:
    yield 1 - at
    for s in site.network.quantities:
        if s != at and s.shape == at.shape and not site.network.is_derivative(s):
            yield s
            yield 1 - s


def _written_out(site: Site) -> Iterator[Activation]:
    """The activation whose slope a whole step is a product with, where the step does not show it as f'(z): 2 z."""
    if site.is_step:
        for a in site.network.activations:
            if a.at.name == site.quantity and not isinstance(a.slope, Slope):
                routes = site.network.derivation.routes(site.quantity)
                if list(routes) == [a.symbol.name]:
                    yield a


def _from_above(site: Site, a: Activation) -> Expression:
    """What arrives at the activation: its derivative, or 1 for the loss itself."""
    if a.symbol.name == site.network.program.loss:
        return Number(1, a.symbol.shape)
    return site.network.derivation.named(a.symbol.name)
