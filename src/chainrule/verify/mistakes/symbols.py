"""One quantity for another: of the wrong layer, before for after the activation, target for prediction, shifted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from chainrule.symbolic.expression import Call, Expression, Slope, Symbol, call, replaced, symbols
from chainrule.symbolic.simplify import is_call
from chainrule.verify.mistakes.network import Network
from chainrule.verify.mistakes.site import Mutation, Site

Role = Callable[[Network, Symbol, Symbol], bool]
"""Whether writing the second quantity for the first is this mistake."""


def exchanged(site: Site, role: Role) -> Iterator[Mutation]:
    """Another quantity for a symbol: here, or, from the whole step, wherever it stands.

    A quantity of another shape is tried alone and as the operand of a matrix product: elsewhere it would broadcast.
    """
    f = site.formula
    network = site.network
    if isinstance(f, Symbol):
        free = site.is_step or is_call(site.around[-1], "matmul") or is_call(site.around[-1], "mT")
        for other in network.quantities:
            fits = other.shape == f.shape or (free and other.ndim == f.ndim)
            if other != f and fits and role(network, f, other):
                yield Mutation(other)
        return
    if isinstance(f, Slope):
        f = f.formula
    elif not site.is_step:
        return
    for s in symbols(f).values():
        if role is _another_activation and not _stands_free(f, s):
            continue
        for other in network.quantities:
            if other != s and other.shape == s.shape and role(network, s, other):
                yield Mutation(replaced(f, {s.name: other}))


def previous_activation_of_the_wrong_layer(site: Site) -> Iterator[Mutation]:
    if not site.is_in_slope and not isinstance(site.formula, Slope):  # there it is the derivative at the wrong layer
        yield from exchanged(site, _another_activation)


def weight_of_the_wrong_layer(site: Site) -> Iterator[Mutation]:
    return exchanged(site, _another_weight)


def derivative_of_the_wrong_quantity(site: Site) -> Iterator[Mutation]:
    return exchanged(site, _another_derivative)


def z_for_a(site: Site) -> Iterator[Mutation]:
    return exchanged(site, _own_pre_activation)


def a_for_z(site: Site) -> Iterator[Mutation]:
    return exchanged(site, _own_activation)


def target_for_prediction(site: Site) -> Iterator[Mutation]:
    return exchanged(site, _target)


def wrong_quantity(site: Site) -> Iterator[Mutation]:
    return exchanged(site, _none_of_these)


def index_off_by_one(site: Site) -> Iterator[Mutation]:
    """The neighbour in place of an element, or of a layer."""
    f = site.formula
    if isinstance(f, Symbol):
        for axis, n in enumerate(f.shape):
            if n > 1:
                yield Mutation(call("roll", f, shift=1, axis=axis))
                yield Mutation(call("roll", f, shift=-1, axis=axis))
    elif isinstance(f, Call) and f.op.name == "slice":
        yield from (Mutation(call("slice", f.parts[0], key=key)) for key in _neighbours(f))
    yield from exchanged(site, _next_layer)


def forgotten_bias(site: Site) -> Iterator[Mutation]:
    """z, or a = f(z), computed without the bias."""
    f = site.formula
    bare = site.network.without_bias
    if isinstance(f, Symbol) and f.name in bare:
        yield Mutation(bare[f.name])
    elif isinstance(f, Slope):
        by: dict[str, Expression] = {name: bare[name] for name in symbols(f.formula) if name in bare}
        if by:
            yield Mutation(replaced(f.formula, by))


def weights_after_the_update(site: Site) -> Iterator[Mutation]:
    """W - lr dL/dW where the W of the forward pass belongs."""
    f = site.formula
    network = site.network
    if isinstance(f, Symbol) and f.name in network.givens and f.name not in network.targets:
        step = network.derivation.named(f.name)
        rate = Symbol("<rate>")
        yield Mutation(f - rate * step, unknown=rate)
        for given in network.program.givens:
            if not given.shape and given != f:
                yield Mutation(f - given * step)


def _stands_free(f: Expression, s: Symbol) -> bool:
    """True if a symbol stands outside of slopes."""
    if isinstance(f, Slope):
        return False
    return f == s or any(_stands_free(part, s) for part in f.parts)


def names(network: Network, right: Symbol, wrong: Symbol) -> list[str]:
    """What it is called to write one quantity for another."""
    return [name for name, role in ROLES.items() if role(network, right, wrong)]


# ---- roles ----------------------------------------------------------------------------------------------------


def _own_pre_activation(network: Network, s: Symbol, other: Symbol) -> bool:
    return network.before.get(s.name) == other


def _own_activation(network: Network, s: Symbol, other: Symbol) -> bool:
    return network.before.get(other.name) == s


def _another_derivative(network: Network, s: Symbol, other: Symbol) -> bool:
    """Between z and an a computed from it element by element, a factor is dropped or counted twice instead."""
    if not (network.is_derivative(s) and network.is_derivative(other)):
        return False
    by, of = network.quantity(s), network.quantity(other)
    users = network.program.users
    return s.shape != other.shape or all(user.name not in (by, of) for user in [*users[by], *users[of]])


def _link_missing(network: Network, s: Symbol, other: Symbol) -> bool:
    """dL/da for dL/dz, where a = f(z) is all that reads z."""
    if not (network.is_derivative(s) and network.is_derivative(other)) or s.shape != other.shape:
        return False
    return [user.name for user in network.program.users[network.quantity(s)]] == [network.quantity(other)]


def _link_twice(network: Network, s: Symbol, other: Symbol) -> bool:
    """dL/dz for dL/da."""
    return _link_missing(network, other, s)


def _another_weight(network: Network, s: Symbol, other: Symbol) -> bool:
    return s.name in network.weights and other.name in network.weights


def _another_activation(network: Network, s: Symbol, other: Symbol) -> bool:
    own = network.before.get(s.name) == other or network.before.get(other.name) == s
    return s.name in network.passed_on and other.name in network.passed_on and not own


def _target(network: Network, s: Symbol, other: Symbol) -> bool:
    return s.name in network.passed_on and other.name in network.targets


def _next_layer(network: Network, s: Symbol, other: Symbol) -> bool:
    related = _another_weight(network, s, other) or _another_activation(network, s, other)
    return related and network.layers_apart(s, other) == 1


def _none_of_these(network: Network, s: Symbol, other: Symbol) -> bool:
    named = (_another_derivative, _another_weight, _another_activation, _target)
    if any(role(network, s, other) for role in named) or network.is_derivative(s) or network.is_derivative(other):
        return False
    return network.before.get(s.name) != other and network.before.get(other.name) != s


def _neighbours(f: Call) -> Iterator[tuple[object, ...]]:
    """The keys of a slice moved by one place along one axis, within its input."""
    key = dict(f.params)["key"]
    shape = f.parts[0].shape
    for axis, part in enumerate(key):
        if isinstance(part, slice) and part.step in (None, 1) and part != slice(None):
            start, stop = part.start or 0, shape[axis] if part.stop is None else part.stop
            for by in (-1, 1):
                if start + by >= 0 and stop + by <= shape[axis]:
                    yield (*key[:axis], slice(start + by, stop + by), *key[axis + 1 :])


ROLES: dict[str, Role] = {
    "target for prediction": _target,
    "previous activation of the wrong layer": _another_activation,
    "W of the wrong layer": _another_weight,
    "z for a": _own_pre_activation,
    "a for z": _own_activation,
    "derivative of the wrong quantity": _another_derivative,
    "wrong quantity": _none_of_these,
    "index off by one": _next_layer,
    "dropped factor": _link_missing,
    "factor counted twice": _link_twice,
}
"""The mistakes that write one quantity for another, by name."""
