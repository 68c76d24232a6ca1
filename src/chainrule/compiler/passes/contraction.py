"""Contraction: einsum said with movements, sums, and products of two: matrix products where letters are summed.

A letter that an operand has twice is its diagonal, and one that no other operand has, nor the result, is summed first.
Operands are put together two by two, next always the pair that makes the smallest result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

from chainrule.compiler.ir import Value
from chainrule.dtypes import float16, float32, float64


@dataclass(frozen=True)
class Term:
    """A value whose axes have letters."""

    letters: tuple[str, ...]
    value: Value

    def size(self, letters: Iterable[str]) -> list[int]:
        """The sizes of axes by their letters; 1 for those that it lacks."""
        return [self.value.shape[self.letters.index(c)] if c in self.letters else 1 for c in letters]

    def arranged(self, *groups: Sequence[str]) -> Value:
        """The value with these letters in this order, those of each group as one axis."""
        m = self.value.graph.maths
        order = tuple([self.letters.index(c) for group in groups for c in group if c in self.letters])
        y: Value = m.reshape(m.permute(self.value, order=order), shape=tuple([prod(self.size(g)) for g in groups]))
        return y


def contracted(operands: Sequence[Value], spec: str) -> Value:
    """Einstein's sum of values of one graph, in it.

    Args:
        operands: none of them empty.
        spec: as `ik,kj->ij`.
    """
    terms, out = spec.split("->")
    left = [diagonal(Term(tuple(letters), x)) for letters, x in zip(terms.split(","), operands, strict=True)]
    while len(left) > 1:
        a, b = min(combinations(left, 2), key=lambda pair: size_of_product(pair, wanted(left, pair, out)))
        left = [*[t for t in left if t is not a and t is not b], product(a, b, wanted(left, (a, b), out))]
    return summed(left[0], set(out)).arranged(*out)


def wanted(left: Sequence[Term], pair: tuple[Term, Term], out: str) -> set[str]:
    """The letters that the result, or an operand beside the pair, has."""
    return set(out).union(*[t.letters for t in left if t not in pair])


def size_of_product(pair: tuple[Term, Term], wanted: set[str]) -> int:
    """How many elements the product of two has."""
    a, b = pair
    return prod(a.size(wanted)) * prod(b.size([c for c in wanted if c not in a.letters]))


def diagonal(x: Term) -> Term:
    """The elements where axes of the same letter agree, with one axis for them: each n + 1 places after the last."""
    for c in x.letters:
        if x.letters.count(c) > 1:
            first, n = x.letters.index(c), x.size(c)[0]
            second = x.letters.index(c, first + 1)
            others = [i for i in range(len(x.letters)) if i not in (first, second)]
            m, rest = x.value.graph.maths, tuple([x.value.shape[i] for i in others])
            flat = m.reshape(m.permute(x.value, order=(*others, first, second)), shape=(*rest, n * n))
            y = m.slice(flat, key=(*[slice(None)] * len(rest), slice(None, None, n + 1)))
            return diagonal(Term((*[x.letters[i] for i in others], c), y))
    return x


def summed(x: Term, kept: set[str]) -> Term:
    """Without the letters that are not kept."""
    axes = tuple([i for i, c in enumerate(x.letters) if c not in kept])
    if not axes:
        return x
    m = x.value.graph.maths
    y = m.cast(m.sum(x.value, axis=axes, keepdims=False), dtype=x.value.dtype)  # sums of integers are int64
    return Term(tuple([c for c in x.letters if c in kept]), y)


def product(a: Term, b: Term, kept: set[str]) -> Term:
    """The product of two, summed over the letters that are not kept."""
    a, b = summed(a, kept.union(b.letters)), summed(b, kept.union(a.letters))
    m = a.value.graph.maths
    batch = [c for c in a.letters if c in b.letters and c in kept]
    inner = [c for c in a.letters if c in b.letters and c not in kept]
    rows = [c for c in a.letters if c not in b.letters]
    columns = [c for c in b.letters if c not in a.letters]
    letters = (*batch, *rows, *columns)
    if not inner:
        return Term(letters, m.mul(a.arranged(*letters), b.arranged(*letters)))
    y = matrix_product(a.arranged(*batch, rows, inner), b.arranged(*batch, inner, columns))
    return Term(letters, m.reshape(y, shape=(*a.size([*batch, *rows]), *b.size(columns))))


def matrix_product(a: Value, b: Value) -> Value:
    """Products over the last two axes, in operators that have kernels for the element type.

    Of float16 in float32, rounded once; of integers and bools as a sum over an axis between rows and columns.
    """
    m, dtype = a.graph.maths, a.dtype
    if dtype in (float32, float64):
        y: Value = m.matmul(a, b)
    elif dtype is float16:
        y = m.matmul(m.cast(a, dtype=float32), m.cast(b, dtype=float32))
    else:
        pairs = m.mul(m.reshape(a, shape=(*a.shape, 1)), m.reshape(b, shape=(*b.shape[:-2], 1, *b.shape[-2:])))
        y = m.sum(pairs, axis=(pairs.ndim - 2,), keepdims=False)
    return m.cast(y, dtype=dtype)  # type: ignore[no-any-return]
