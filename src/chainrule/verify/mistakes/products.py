"""Matrix products: transposes, the order of factors, elementwise for matrix product and the other way round."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.symbolic.expression import Expression, Slope, call
from chainrule.symbolic.simplify import is_call, transpose
from chainrule.verify.mistakes.site import Mutation, Site


def turned(x: Expression) -> Expression:
    """x^T, without a double transpose."""
    return transpose(call("mT", x))


def missing_transpose(site: Site) -> Iterator[Mutation]:
    """An operand, or the result, is not transposed, or is and should not be."""
    f = site.formula
    if is_call(f, "mT"):
        yield Mutation(f.parts[0])
    if is_call(f, "matmul"):
        a, b = f.parts
        for left, right in ((turned(a), b), (a, turned(b))):
            if _fit(left, right):
                yield Mutation(call("matmul", left, right))
    if site.is_step and f.ndim > 1:
        yield Mutation(turned(f))


def swapped_factors(site: Site) -> Iterator[Mutation]:
    """The operands of a matrix product the other way round."""
    f = site.formula
    if is_call(f, "matmul"):
        a, b = f.parts
        if _fit(b, a):
            yield Mutation(call("matmul", b, a))


def outer_product_in_the_wrong_order(site: Site) -> Iterator[Mutation]:
    """a delta^T for delta a^T."""
    f = site.formula
    if is_call(f, "matmul") and site.quantity in site.network.weights:
        a, b = f.parts
        yield Mutation(call("matmul", turned(b), turned(a)))


def elementwise_for_matrix_product(site: Site) -> Iterator[Mutation]:
    """* for @."""
    f = site.formula
    if is_call(f, "matmul"):
        a, b = f.parts
        for left, right in ((a, b), (turned(a), b), (a, turned(b))):
            if _spread(left, right):
                yield Mutation(left * right)


def matrix_product_for_elementwise(site: Site) -> Iterator[Mutation]:
    """@ for *."""
    f = site.formula
    if is_call(f, "mul") and min(part.ndim for part in f.parts) > 1:
        a, b = f.parts
        for left, right in ((a, b), (b, a), (a, turned(b)), (turned(a), b), (b, turned(a)), (turned(b), a)):
            if _fit(left, right):
                yield Mutation(call("matmul", left, right))


def diag_forgotten(site: Site) -> Iterator[Mutation]:
    """sigma'(z) @ delta for diag(sigma'(z)) @ delta."""
    f = site.formula
    if is_call(f, "mul") and any(isinstance(part, Slope) for part in f.parts):
        yield from matrix_product_for_elementwise(site)


def _fit(a: Expression, b: Expression) -> bool:
    return a.ndim > 1 and b.ndim > 1 and a.shape[-1] == b.shape[-2] and a.shape[:-2] == b.shape[:-2]


def _spread(a: Expression, b: Expression) -> bool:
    return a.ndim == b.ndim and all(m == n or 1 in (m, n) for m, n in zip(a.shape, b.shape, strict=True))
