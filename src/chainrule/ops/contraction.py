"""Contractions: sums of products over shared axes. Each is linear in every operand."""

from __future__ import annotations

from math import prod

from chainrule import shapes
from chainrule.errors import ShapeError
from chainrule.ops.kinds import contraction
from chainrule.ops.maths import Maths, Value
from chainrule.shapes import Shape

A = [[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]]
B = [[0.5, 1.5], [-1.0, 2.0], [4.0, -0.5]]


@contraction.primitive(symbol="")
def matmul(m: Maths, a: Value, b: Value) -> Value:
    """Matrix products over the last two axes; leading axes broadcast. Vectors come as matrices."""
    return m.matmul(a, b)


matmul.pullback("a")(lambda m, g, b: m.matmul(g, m.mT(b)))  # the sweep sums broadcast batch axes away
matmul.pullback("b")(lambda m, g, a: m.matmul(m.mT(a), g))


@matmul.shape
def rows_by_columns(a: Shape, b: Shape) -> Shape:
    if min(len(a), len(b)) < 2:
        raise ShapeError(f"matmul(a, b): both have at least two axes, not {len(a)} and {len(b)}")
    if a[-1] != b[-2]:
        raise ShapeError(f"matmul(a, b): the inner sizes differ, {a[-1]} and {b[-2]}")
    return (*shapes.broadcast(a[:-2], b[:-2]), a[-2], b[-1])


matmul.cases((A, B), ([A, A], B), ([[A], [A]], [B, B, B]))
matmul.cases((A, A), ([A, A, A], [B, B]), tag="rejected")


@contraction
def linear(m: Maths, x: Value, weight: Value, bias: Value = None) -> Value:
    """x W^T + b: the textbook's W x + b for row batches. weight is (out_features, in_features)."""
    y = m.matmul(x, m.mT(weight))
    return y if bias is None else y + bias


linear.pullback("x")(lambda m, g, weight: m.matmul(g, weight))


@linear.pullback("weight")
def outer_products_summed_over_the_batch(m: Maths, g: Value, x: Value) -> Value:
    if len(x.shape) > 2:
        g, x = (m.reshape(v, shape=(prod(v.shape[:-1]), v.shape[-1])) for v in (g, x))
    return m.matmul(m.mT(g), x)


@linear.pullback("bias")
def summed_over_the_batch(m: Maths, g: Value) -> Value:
    return m.sum(g, axis=tuple(range(len(g.shape) - 1)))


@linear.shape
def features_out(x: Shape, weight: Shape, bias: Shape | None = None) -> Shape:
    if len(weight) != 2 or len(x) < 2:
        raise ShapeError(f"linear: x {x} needs two axes or more, and weight {weight} exactly two")
    if x[-1] != weight[1]:
        raise ShapeError(
            f"linear(x, weight): x has {x[-1]} features in its last axis, weight (out, in) takes {weight[1]}"
        )
    if bias is not None and bias != weight[:1]:
        raise ShapeError(f"linear: bias {bias} is not the {weight[:1]} that weight {weight} gives")
    return (*x[:-1], weight[0])


WEIGHT = [[0.5, -1.0, 4.0], [1.5, 2.0, -0.5]]
linear.cases((A, WEIGHT, [0.25, -0.75]), (A, WEIGHT), ([A, A], WEIGHT, [0.25, -0.75]))
linear.cases((A, B), (A, WEIGHT, [1.0, 2.0, 3.0]), tag="rejected")


@contraction.primitive
def einsum(m: Maths, *operands: Value, spec: str) -> Value:
    """Einstein's sum: `ik,kj->ij`. The spec names every axis by a letter and its result; no ellipsis."""
    return m.einsum(*operands, spec=spec)


@einsum.pullback("operands")
def exchange_with_the_result(m: Maths, g: Value, operands: Value, spec: str) -> list[Value]:
    """Linear in each operand: its letters and the result's change places."""
    ins, out = spec.split("->")
    terms = ins.split(",")
    return [_through_operand(m, g, k, operands, terms, out) for k in range(len(operands))]


def _through_operand(m: Maths, g: Value, k: int, operands: Value, terms: list[str], out: str) -> Value:
    term, shape = terms[k], operands[k].shape
    letters = "".join(dict.fromkeys(term))
    others = [(t, v) for i, (t, v) in enumerate(zip(terms, operands, strict=True)) if i != k]
    present = "".join([c for c in letters if c in out or any(c in t for t, _ in others)])
    spec = ",".join([out, *[t for t, _ in others]]) + "->" + present
    r = m.einsum(g, *[v for _, v in others], spec=spec)
    # letters that only this operand has were summed alone: spread along them
    sizes = dict(zip(term, shape, strict=True))
    r = m.reshape(r, shape=tuple([sizes[c] if c in present else 1 for c in letters]))
    r = m.broadcast_to(r, shape=tuple([sizes[c] for c in letters]))
    return r if letters == term else _onto_diagonal(m, r, letters, term, sizes)


def _onto_diagonal(m: Maths, r: Value, letters: str, term: str, sizes: dict[str, int]) -> Value:
    """Put `r` where repeated letters of `term` agree, and 0 elsewhere."""
    free = iter([c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in term])
    seen: set[str] = set()
    fresh, deltas = "", []
    for c in term:
        new = next(free) if c in seen else c
        if c in seen:
            deltas.append((c + new, m.eye(size=sizes[c], dtype=r.dtype)))
        seen.add(c)
        fresh += new
    return m.einsum(r, *[d for _, d in deltas], spec=",".join([letters, *[t for t, _ in deltas]]) + "->" + fresh)


@einsum.shape
def sizes_by_letter(*operands: Shape, spec: str) -> Shape:
    ins, out = spec.split("->")
    sizes: dict[str, int] = {}
    for term, shape in zip(ins.split(","), operands, strict=True):
        if len(term) != len(shape):
            raise ShapeError(f"einsum('{spec}'): the term '{term}' has {len(term)} axes, its operand {shape}")
        for letter, size in zip(term, shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ShapeError(f"einsum('{spec}'): axis '{letter}' has the sizes {sizes[letter]} and {size}")
    return tuple([sizes[c] for c in out])


S = [[1.0, 2.0], [3.0, -4.0]]
einsum.cases(
    (A, B, {"spec": "ik,kj->ij"}), (A, A, {"spec": "ij,ij->i"}), ([1.0, 2.0], [0.5, -1.0, 3.0], {"spec": "i,j->ij"}),
    (A, {"spec": "ij->j"}), (S, {"spec": "ii->i"}), (S, {"spec": "ii->"}), (A, B, S, {"spec": "ik,kj,jl->il"}),
    ([[A, A]], [B], {"spec": "bcik,bkj->bcij"}),
)  # fmt: skip
einsum.cases((A, A, {"spec": "ik,kj->ij"}), (A, {"spec": "i->i"}), tag="rejected")
