"""Factors lost, doubled, divided by or multiplied in: signs, numbers, masks."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from chainrule.symbolic.expression import Expression, Number, Real, Slope, call
from chainrule.symbolic.simplify import is_call
from chainrule.verify.mistakes.site import Mutation, Site
from chainrule.verify.mistakes.slopes import dropped_slope, slope_twice


def dropped_factor(site: Site) -> Iterator[Mutation]:
    """One factor of a product is missing."""
    f = site.formula
    if is_call(f, "mul") or is_call(f, "matmul"):
        for kept, lost in (f.parts, f.parts[::-1]):
            if not isinstance(lost, Number):
                yield Mutation(kept)
            if is_call(f, "matmul") and is_call(kept, "mT"):
                yield Mutation(kept.parts[0])  # of an outer product of columns, outer(delta, a)
    elif is_call(f, "div"):
        above, below = f.parts
        if not isinstance(below, Number):
            yield Mutation(above)
        if not isinstance(above, Number):
            yield Mutation(call("div", Number(1), below))
    elif is_call(f, "pow") or is_call(f, "square"):
        yield Mutation(f.parts[0])
    yield from dropped_slope(site)


def dropped_term(site: Site) -> Iterator[Mutation]:
    """One term of a difference, or of a sum within a slope, is missing."""
    f = site.formula
    if is_call(f, "sub"):
        yield Mutation(f.parts[0])
        yield Mutation(-f.parts[1])
        yield Mutation(f.parts[1])
    elif is_call(f, "add") and site.is_in_slope:
        yield from (Mutation(part) for part in f.parts)


def factor_twice(site: Site) -> Iterator[Mutation]:
    """A factor stands there twice."""
    f = site.formula
    if is_call(f, "mul"):
        for part in f.parts:
            if not isinstance(part, Number):
                yield Mutation(f * part)
    elif is_call(f, "matmul"):
        yield Mutation(f * f)
    yield from slope_twice(site)


def wrong_sign(site: Site) -> Iterator[Mutation]:
    """Plus for minus, minus for plus, or the whole step negated."""
    f = site.formula
    if is_call(f, "neg"):
        yield Mutation(f.parts[0])
    elif site.is_step:
        yield Mutation(-f)
    if is_call(f, "sub"):
        a, b = f.parts
        yield Mutation(a + b)
        yield Mutation(b - a)
    elif is_call(f, "add"):
        a, b = f.parts
        yield Mutation(a - b)
        yield Mutation(b - a)


# ---- numbers --------------------------------------------------------------------------------------------------


def times(site: Site, number: Real) -> Iterator[Mutation]:
    """A number multiplies the whole step."""
    if site.is_step:
        yield Mutation(Number(number) * site.formula)


def factor_2(site: Site) -> Iterator[Mutation]:
    return times(site, 2)


def factor_half(site: Site) -> Iterator[Mutation]:
    return times(site, Fraction(1, 2))


def factor_n(site: Site) -> Iterator[Mutation]:
    for n in site.network.sizes:
        yield from times(site, n)


def factor_over_n(site: Site) -> Iterator[Mutation]:
    for n in site.network.sizes:
        yield from times(site, Fraction(1, n))


def sum_for_mean(site: Site) -> Iterator[Mutation]:
    """The loss is a mean over n, and the step that of a sum."""
    if _is_at_the_loss(site):
        for n in site.network.mean_counts:
            yield from times(site, n)


def mean_over_wrong_axis(site: Site) -> Iterator[Mutation]:
    """Divided by the size of another axis than the one the loss takes its mean over."""
    if _is_at_the_loss(site):
        for n in site.network.mean_counts:
            for other in site.network.sizes:
                if other != n:
                    yield from times(site, Fraction(n, other))


def _is_at_the_loss(site: Site) -> bool:
    """True for a step that passes on nothing from above: 1/n is in what the others pass on."""
    return site.is_step and not site.network.mentions_derivatives(site.formula)


# ---- masks ----------------------------------------------------------------------------------------------------


def forgotten_mask(site: Site) -> Iterator[Mutation]:
    """What should stop where a unit is inactive, a value is clipped or an entry is masked out, goes through."""
    f = site.formula
    if isinstance(f, Slope) and is_call(f.formula, "where") and all(isinstance(b, Number) for b in f.formula.parts[1:]):
        yield Mutation(Number(1, f.shape))
    elif is_call(f, "where") and not site.is_in_slope:
        yield from (Mutation(branch) for branch in f.parts[1:] if branch.shape == f.shape)
    elif is_call(f, "clamp"):
        yield Mutation(f.parts[0])
    elif _is_mask(f):
        yield Mutation(Number(1, f.shape))


def inverted_mask(site: Site) -> Iterator[Mutation]:
    """The mask lets through what it should stop."""
    f = site.formula
    if is_call(f, "where"):
        condition, a, b = f.parts
        yield Mutation(call("where", condition, b, a))
    elif _is_mask(f):
        yield Mutation(1 - f)


def _is_mask(f: Expression) -> bool:
    """True for 0 and 1 from a comparison, such as z > 0 as numbers."""
    if is_call(f, "cast"):
        f = f.parts[0]
        return f.dtype.kind == "b"
    return False


def loss_for_its_derivative(site: Site) -> Iterator[Mutation]:
    """The square was not differentiated: (a - t)^2 for (a - t)."""
    f = site.formula
    if is_call(f, "sub") and not site.is_in_slope and not site.network.mentions_derivatives(f):
        yield Mutation(f * f)


def loss_derivative_forgotten(site: Site) -> Iterator[Mutation]:
    """The backward pass starts with 1 at the output instead of at the loss."""
    if _is_at_the_loss(site):
        yield Mutation(Number(1, site.formula.shape))
