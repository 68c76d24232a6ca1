"""Attention: each query's mean of the values, weighted by how well their keys match it."""

from __future__ import annotations

from math import inf, sqrt

from chainrule import shapes
from chainrule.errors import ArgumentError, ShapeError
from chainrule.ops.activation import softmax_pullback
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


# ---- the weights ---------------------------------------------------------------------------------------------


@composite(takes="float", promotes=("query", "key"), source="Vaswani et al. 2017, eq. 1")
def attention_weights(
    m: Maths, query: Value, key: Value, attn_mask: Value = None, *, is_causal: bool = False, scale: float | None = None
) -> Value:
    """softmax(scale q k^T + mask), (..., L, S), for q (..., L, E) and k (..., S, E); scale is 1 / sqrt(E) for None.

    A mask of bools, broadcast to (..., L, S), says which keys take part; one of floats is added to the scores.
    is_causal: query i sees the keys up to i. The weights of a query that sees no key are 0.
    """
    e = m.exp(scores(m, query, key, attn_mask, is_causal, scale))
    return e / positive(m, m.sum(e, axis=-1, keepdims=True))


def positive(m: Maths, total: Value) -> Value:
    """The sum of a query's weights; 1 where there are none, since 0 / 1 is the 0 that is meant."""
    return m.where(m.eq(total, 0), 1, total)


@attention_weights.compute
def weights_without_overflow(
    m: Maths, query: Value, key: Value, attn_mask: Value = None, *, is_causal: bool = False, scale: float | None = None
) -> Value:
    s = scores(m, query, key, attn_mask, is_causal, scale)
    if 0 in s.shape:
        return s
    top = m.amax(s, axis=-1, keepdims=True)
    e = m.exp(s - m.where(m.isfinite(top), top, 0))  # -inf - -inf would be nan
    return e / positive(m, m.sum(e, axis=-1, keepdims=True))


@attention_weights.pullback("query", "key")
def from_the_other_side(
    m: Maths, g: Value, y: Value, query: Value, key: Value, scale: float | None
) -> tuple[Value, Value]:
    return to_query_and_key(m, softmax_pullback(m, g, y, -1), query, key, scale)


@attention_weights.pullback("attn_mask")
def through_the_softmax(m: Maths, g: Value, y: Value, attn_mask_shape: Shape) -> Value:
    return to_mask(m, softmax_pullback(m, g, y, -1), attn_mask_shape)


def to_query_and_key(m: Maths, g: Value, query: Value, key: Value, scale: float | None) -> tuple[Value, Value]:
    """Their cotangents from that of the scores."""
    c = factor(query, scale)
    return m.matmul(g, key) * c, m.matmul(m.mT(g), query) * c


def to_mask(m: Maths, g: Value, shape: Shape) -> Value:
    """The cotangent of a mask that was stretched to the scores and added, from theirs."""
    axes = shapes.stretched_axes(g.shape, shape)
    return m.reshape(m.sum(g, axis=axes, keepdims=True), shape=shape) if axes else g


@attention_weights.shape
def one_weight_a_pair(
    query: Shape, key: Shape, attn_mask: Shape | None = None, *, is_causal: bool = False, scale: float | None = None
) -> Shape:
    if min(len(query), len(key)) < 2 or query[:-2] != key[:-2] or query[-1] != key[-1]:
        raise ShapeError(f"query {query} and key {key} are not (..., L, E) and (..., S, E)")
    pairs = (*query[:-1], key[-2])
    if attn_mask is not None:
        check_mask(attn_mask, pairs, is_causal)
    return pairs


def check_mask(mask: Shape, pairs: Shape, is_causal: bool) -> None:
    """Raises if a mask does not stretch to the scores, or is one too many."""
    if is_causal:
        raise ArgumentError("Explicit attn_mask should not be set when is_causal=True")
    try:
        stretches = shapes.broadcast(mask, pairs) == pairs
    except ShapeError:
        stretches = False
    if not stretches:
        raise ShapeError(f"attn_mask {mask} does not stretch to the scores, {pairs}")


# ---- the mean of the values ----------------------------------------------------------------------------------


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
    """softmax(scale q k^T + mask) v, (..., L, Ev), for v (..., S, Ev); the rest as in attention_weights."""
    return m.matmul(m.attention_weights(query, key, attn_mask, is_causal=is_causal, scale=scale), value)


@scaled_dot_product_attention.compute(keeps=("weights",))
def attention_with_weights(
    m: Maths,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[Value, Value]:
    weights = m.attention_weights(query, key, attn_mask, is_causal=is_causal, scale=scale)
    return m.matmul(weights, value), weights


def score_cotangents(m: Maths, g: Value, y: Value, value: Value, weights: Value) -> Value:
    """Softmax's pullback of g v^T, whose mean over the keys by weight is the sum of g y over Ev."""
    return weights * (m.matmul(g, m.mT(value)) - m.sum(g * y, axis=-1, keepdims=True))


# The rules name all inputs, so that a second derivative can recompute the weights from them.


@scaled_dot_product_attention.pullback("query", "key")
def through_the_weights(
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
    return to_query_and_key(m, score_cotangents(m, g, y, value, weights), query, key, scale)


@scaled_dot_product_attention.pullback("value")
def shared_by_weight(
    m: Maths, g: Value, query: Value, key: Value, value: Value, attn_mask: Value, weights: Value
) -> Value:
    return m.matmul(m.mT(weights), g)


@scaled_dot_product_attention.pullback("attn_mask")
def through_the_weights_to_the_mask(
    m: Maths, g: Value, y: Value, query: Value, key: Value, value: Value, attn_mask: Value, weights: Value
) -> Value:
    return to_mask(m, score_cotangents(m, g, y, value, weights), attn_mask.shape)


@scaled_dot_product_attention.shape
def one_mean_a_query(
    query: Shape,
    key: Shape,
    value: Shape,
    attn_mask: Shape | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> Shape:
    pairs = one_weight_a_pair(query, key, attn_mask, is_causal=is_causal, scale=scale)
    if value[:-1] != key[:-1]:
        raise ShapeError(f"there is one value for each key, but key is {key} and value {value}")
    return (*pairs[:-1], value[-1])


Q = [[0.5, -1.0, 2.0], [1.0, 1.5, -0.5]]
K = [[1.0, 0.25, -0.75], [-0.5, 2.0, 1.0], [0.3, -1.5, 0.8], [2.0, 0.6, -1.2]]
V = [[1.0, -0.5], [0.5, 0.75], [-1.0, 0.25], [0.75, 1.25]]
SOME = [[True, False, True, True], [False, True, True, False]]
BIAS = [[0.5, -1.0, 0.25, 2.0], [-0.75, 1.5, 0.0, 0.3]]
for op, values in ((attention_weights, []), (scaled_dot_product_attention, [V])):
    op.cases(
        (Q, K, *values), ([Q, Q[::-1]], [K, K], *[[v, v] for v in values]), (Q, K, *values, {"is_causal": True}),
        (Q, K, *values, {"scale": 0.3}), (Q, K, *values, SOME), (Q, K, *values, BIAS), (Q, K, *values, BIAS[:1]),
        ([Q, Q[::-1]], [K, K], *[[v, v] for v in values], BIAS), (Q, K, *values, [SOME[0], [False] * 4]),
    )  # fmt: skip
    op.cases(([[800.0], [-800.0]], [[1.0], [-1.0], [0.5], [0.0]], *values), tag="extreme")
    op.cases(
        (Q, V, *values), (Q[0], K, *values), (Q, [K, K], *values), (Q, K, *values, [[True] * 3]),
        (Q, K, *values, [SOME, SOME]), (Q, K, *values, SOME, {"is_causal": True}),
        tag="rejected",
    )  # fmt: skip
scaled_dot_product_attention.cases((Q, K, V[:3]), (Q, K, V[0]), tag="rejected")
