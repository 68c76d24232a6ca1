"""Sums over the batch, over what was stretched, over neurons, over time, and what is left when they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from chainrule import shapes
from chainrule.symbolic.expression import Call, Expression, Number, call
from chainrule.symbolic.simplify import is_call
from chainrule.verify.mistakes.products import elementwise_for_matrix_product, turned
from chainrule.verify.mistakes.routes import overwritten_instead_of_added, reads_alike
from chainrule.verify.mistakes.site import Mutation, Site

TERMS = 4
"""Of a sum of more terms, so many of the first and the last are tried as the one that was taken."""


def missing_sum_over_the_batch(site: Site) -> Iterator[Mutation]:
    """The gradient of a parameter without the sum over the samples, or from one sample alone."""
    f = site.formula
    if _is_sum(f) and _is_parameter(site) and len(_summed(f)) == 1:
        yield from _unsummed(f)
    elif is_call(f, "matmul") and site.quantity in site.network.weights:
        yield from _one_term_each(f)
        yield Mutation(_outer_products(f))


def missing_sum_over_a_broadcast_axis(site: Site) -> Iterator[Mutation]:
    """What was stretched over an axis receives a sum over it; without the sum, the shape is that of the result."""
    if _is_sum(site.formula) and site.quantity not in site.network.softmaxes:
        yield from _unsummed(site.formula)


def missing_sum_over_neurons(site: Site) -> Iterator[Mutation]:
    """A neuron acts through all neurons of the next layer; one of them alone, or none added up."""
    f = site.formula
    if is_call(f, "matmul") and site.quantity not in site.network.weights:
        yield from _one_term_each(f)
        yield from elementwise_for_matrix_product(site)
    elif _is_sum(f) and site.quantity in site.network.softmaxes:
        yield from _unsummed(f)
    elif site.is_step and reads_alike(site) == "neurons":
        yield from overwritten_instead_of_added(site)


def sum_over_the_wrong_axis(site: Site) -> Iterator[Mutation]:
    """Summed over the features instead of the batch, or the other way round."""
    f = site.formula
    sum_ = _inner_sum(f)
    if sum_ is None:
        return
    (x,) = sum_.parts
    params = dict(sum_.params)
    for axis in range(x.ndim):
        if (axis,) != _summed(sum_) and x.shape[axis] > 1:
            yield Mutation(call("sum", x, **{**params, "axis": (axis,)}))
    yield Mutation(call("sum", x, **{**params, "axis": None}))


def summed_elements(site: Site) -> Iterator[Mutation]:
    """One sum over the elements where each element has a derivative of its own."""
    f = site.formula
    if site.is_step:
        for axis, n in enumerate(f.shape):
            if n > 1:
                yield Mutation(call("sum", f, axis=(axis,), keepdims=True))
        yield Mutation(call("sum", f))


def mean_for_sum(site: Site) -> Iterator[Mutation]:
    """The mean over the samples of what has to be summed."""
    f = site.formula
    if _is_sum(f):
        sum_ = _inner_sum(f)
        assert sum_ is not None
        yield Mutation(Number(Fraction(1, shapes.count(sum_.parts[0].shape, _summed(sum_)))) * f)


def softmax_as_elementwise(site: Site) -> Iterator[Mutation]:
    """p (1 - p), as for a sigmoid: the diagonal of the softmax's Jacobian alone."""
    statement = site.network.softmaxes.get(site.quantity)
    if not site.is_step or statement is None:
        return
    g, y = site.network.derivation.named(statement.name), statement.symbol
    if is_call(statement.formula, "softmax"):
        yield Mutation(g * (y * (1 - y)))
        yield Mutation(g * y)
    else:
        yield Mutation(g * (1 - call("exp", y)))
        yield Mutation(g - call("exp", y) * g)


# ---- what is left ---------------------------------------------------------------------------------------------


def _unsummed(f: Expression) -> Iterator[Mutation]:
    """The terms as they are, and single ones."""
    sum_ = _inner_sum(f)
    assert sum_ is not None
    (x,) = sum_.parts
    yield Mutation(x)
    axes = _summed(sum_)
    if len(axes) == 1:
        (axis,) = axes
        for k in _some(x.shape[axis]):
            one = _slice(x, axis, k)
            yield Mutation(one if one.shape == f.shape else call("reshape", one, shape=f.shape))


def _one_term_each(f: Expression) -> Iterator[Mutation]:
    """Single terms of the sum that a matrix product is."""
    a, b = f.parts
    if a.shape[-1] > 1:
        for k in _some(a.shape[-1]):
            yield Mutation(call("matmul", _slice(a, a.ndim - 1, k), _slice(b, b.ndim - 2, k)))


def _outer_products(f: Expression) -> Expression:
    """The terms of the sum that a matrix product is, along a new first axis."""
    a, b = f.parts
    if a.ndim != 2 or b.ndim != 2:
        return f
    (m, n), k = a.shape, b.shape[1]
    return call("reshape", turned(a), shape=(n, m, 1)) * call("reshape", b, shape=(n, 1, k))


def _slice(x: Expression, axis: int, k: int) -> Expression:
    return call("slice", x, key=(*[slice(None)] * axis, slice(k, k + 1)))


def _some(n: int) -> list[int]:
    return list(range(n)) if n <= TERMS else [*range(TERMS - 1), n - 1]


def _is_sum(f: Expression) -> bool:
    return _inner_sum(f) is not None


def _inner_sum(f: Expression) -> Call | None:
    """The sum that a formula is, perhaps reshaped."""
    if is_call(f, "reshape"):
        f = f.parts[0]
    return f if isinstance(f, Call) and f.op.name == "sum" else None


def _summed(f: Expression) -> shapes.Shape:
    sum_ = _inner_sum(f)
    assert sum_ is not None
    return shapes.normal_axes(dict(sum_.params).get("axis"), sum_.parts[0].ndim)


def _is_parameter(site: Site) -> bool:
    """True for the derivative by a given: a weight or a bias."""
    return site.quantity in site.network.givens
