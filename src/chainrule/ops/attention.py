"""Attention: each query's mean of the values, weighted by how well their keys match it."""

from __future__ import annotations

from math import inf, sqrt
from typing import Any

from chainrule import shapes
from chainrule.errors import ArgumentError, ShapeError
from chainrule.ops.kinds import composite
from chainrule.ops.maths import Maths, Value
from chainrule.shapes import Shape


def factor(query: Value, scale: float | None) -> float:
    """What the scores are multiplied by: 1 / sqrt(E) where nothing is said."""
    return 1 / sqrt(max(query.shape[-1], 1)) if scale is None else scale


def scores(m: Maths, query: Value, key: Value, attn_mask: Value, is_causal: bool, scale: float | None) -> Value:
    """(..., L, S): scale q k^T, and -inf where a key is hidden from a query."""
    s = m.matmul(query * factor(query, scale), m.mT(key))
    if is_causal:
        ones = 1 + m.zeros(shape=s.shape[-2:], dtype=query.dtype)
        return m.where(m.ne(m.tril(ones), 0), s, -inf)
    if attn_mask is None:
        return s
    return m.where(attn_mask, s, -inf) if attn_mask.dtype.kind == "b" else s + attn_mask


@composite(takes="float", promotes=("query", "key", "value"), source="Vaswani et al. 2017, eq. 1")
def scaled_dot_product_attention(
    m: Maths,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> Value:
    """softmax(scale q k^T + mask) v for q (..., L, E), k (..., S, E), v (..., S, Ev); scale is 1 / sqrt(E) for None.

    A mask of bools, broadcast to (..., L, S), says which keys take part; one of floats is added to the scores.
    is_causal: query i sees the keys up to i. A query that sees no key gets 0.
    """
    e = m.exp(scores(m, query, key, attn_mask, is_causal, scale))
    return m.matmul(e / positive(m, m.sum(e, axis=-1, keepdims=True)), value)


def positive(m: Maths, total: Value) -> Value:
    """The sum of the weights, and 1 where there are none: 0 / 1 is the 0 of a query that sees no key."""
    return m.where(m.eq(total, 0), 1, total)


@scaled_dot_product_attention.compute(keeps=("weights",))
def attention_without_overflow(
    m: Maths,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[Value, Value]:
    """The same, and the weights, (..., L, S)."""
    s = scores(m, query, key, attn_mask, is_causal, scale)
    e = m.exp(s if 0 in s.shape else s - largest_finite(m, s))
    weights = e / positive(m, m.sum(e, axis=-1, keepdims=True))
    return m.matmul(weights, value), weights


def largest_finite(m: Maths, s: Value) -> Value:
    """The largest score of each query; 0 where that is -inf, since -inf - -inf would be nan."""
    top = m.amax(s, axis=-1, keepdims=True)
    return m.where(m.isfinite(top), top, 0)


def score_cotangents(m: Maths, g: Value, y: Value, value: Value, weights: Value) -> Value:
    """(..., L, S): softmax's pullback of g v^T; the sum of weights times g v^T over the keys is that of g y."""
    return weights * (m.matmul(g, m.mT(value)) - m.sum(g * y, axis=-1, keepdims=True))


# The rules name all inputs, so that a second derivative can recompute the weights from them.


@scaled_dot_product_attention.pullback("query", "key")
def from_the_other_side(
    m: Maths,
    g: Value,
    y: Value,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value,
    weights: Value,
    scale: float | None,
) -> tuple[Value, Value]:
    gs = score_cotangents(m, g, y, value, weights)
    c = factor(query, scale)
    return m.matmul(gs, key * c), m.matmul(m.mT(gs), query * c)


@scaled_dot_product_attention.pullback("value")
def shared_by_weight(
    m: Maths, g: Value, query: Value, key: Value, value: Value, attn_mask: Value, weights: Value
) -> Value:
    return m.matmul(m.mT(weights), g)


@scaled_dot_product_attention.pullback("attn_mask")
def of_the_scores_it_was_added_to(
    m: Maths, g: Value, y: Value, query: Value, key: Value, value: Value, attn_mask: Value, weights: Value
) -> Value:
    gs = score_cotangents(m, g, y, value, weights)
    axes = shapes.stretched_axes(gs.shape, attn_mask.shape)
    return m.reshape(m.sum(gs, axis=axes, keepdims=True), shape=attn_mask.shape) if axes else gs


@scaled_dot_product_attention.shape
def one_result_a_query(
    query: Shape,
    key: Shape,
    value: Shape,
    attn_mask: Shape | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> Shape:
    if min(len(query), len(key), len(value)) < 2:
        raise ShapeError(f"query {query}, key {key} and value {value} have two axes or more")
    if not query[:-2] == key[:-2] == value[:-2]:
        raise ShapeError(f"query {query}, key {key} and value {value} have the same axes before the last two")
    if query[-1] != key[-1]:
        raise ShapeError(f"query {query} and key {key} have the same last size")
    if key[-2] != value[-2]:
        raise ShapeError(f"there is one value for each key: key {key} and value {value} differ at axis -2")
    if attn_mask is not None:
        check_mask(attn_mask, (*query[:-1], key[-2]), is_causal)
    return (*query[:-1], value[-1])


def check_mask(mask: Shape, of: Shape, is_causal: bool) -> None:
    """Raises if a mask does not stretch to the scores, or is one too many."""
    if is_causal:
        raise ArgumentError("explicit attn_mask should not be set when is_causal=True")
    try:
        stretches = shapes.broadcast(mask, of) == of
    except ShapeError:
        stretches = False
    if not stretches:
        raise ShapeError(f"attn_mask {mask} does not stretch to the scores, {of}")


Q = [[0.5, -1.0, 2.0], [1.0, 1.5, -0.5]]
K = [[1.0, 0.25, -0.75], [-0.5, 2.0, 1.0], [0.3, -1.5, 0.8], [2.0, 0.6, -1.2]]
V = [[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25], [0.75, 1.25]]
SOME = [[True, False, True, True], [False, True, True, False]]
BIAS = [[0.5, -1.0, 0.25, 2.0], [-0.75, 1.5, 0.0, 0.3]]
CASES: tuple[tuple[Any, ...], ...] = (
    (Q, K, V), ([Q, Q[::-1]], [K, K], [V, V]), (Q, K, V, {"is_causal": True}), (Q, K, V, {"scale": 0.3}),
    (Q, K, V, SOME), (Q, K, V, BIAS), (Q, K, V, BIAS[:1]), ([Q, Q[::-1]], [K, K], [V, V], BIAS),
    (Q, K, V, [SOME[0], [False] * 4]),
)  # fmt: skip
scaled_dot_product_attention.cases(*CASES)
scaled_dot_product_attention.cases(([[800.0], [-800.0]], [[1.0], [-1.0], [0.5]], [[1.0], [-2.0], [0.5]]), tag="extreme")
scaled_dot_product_attention.cases(
    (Q, V, K), (Q, K, V[:3]), (Q[0], K, V), (Q, [K, K], V), (Q, K, V, [[True] * 3]), (Q, K, V, [SOME, SOME]),
    (Q, K, V, SOME, {"is_causal": True}),
    tag="rejected",
)  # fmt: skip
