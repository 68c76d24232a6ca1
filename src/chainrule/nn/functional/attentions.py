"""scaled_dot_product_attention: each query's mean of the values, weighted by how well their keys match it."""

from __future__ import annotations

from chainrule.errors import DTypeError, ShapeError, UnsupportedError
from chainrule.nn.functional.dropouts import checked_probability, dropout
from chainrule.shapes import broadcast
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.failures import users_line
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale q k^T + mask) v.

    Args:
        query: (..., L, E).
        key: (..., S, E).
        value: (..., S, Ev); the first axes of the three broadcast.
        attn_mask: it broadcasts to (..., L, S): bools, where True means that the key takes part, or numbers of the
            query's type, which are added to the scores.
        dropout_p: the probability of leaving out a weight, whether training or not.
        is_causal: query i sees the keys up to i.
        scale: 1 / sqrt(E) for None.

    Returns:
        (..., L, Ev); 0 for a query that sees no key.

    Raises:
        ShapeError: for sizes that do not fit.
        DTypeError: for different element types, or a mask of integers.
        ArgumentError: for a mask beside is_causal, a dropout_p outside [0, 1].
        UnsupportedError: for enable_gqa.

    Source: Vaswani et al. 2017, "Attention is all you need", eq. 1.
    """
    if enable_gqa:
        raise UnsupportedError(
            "scaled_dot_product_attention: enable_gqa=True is not supported",
            mend="Repeat key and value along the axis of heads: key.repeat_interleave(n, -3).",
        )
    checked_probability(dropout_p)
    if attn_mask is not None:
        check_mask(query, attn_mask)
    query, key, value = with_common_batch(query, key, value)
    if not dropout_p:
        return GATES["scaled_dot_product_attention"](query, key, value, attn_mask, is_causal=is_causal, scale=scale)
    weights = GATES["attention_weights"](query, key, attn_mask, is_causal=is_causal, scale=scale)
    return GATES["matmul"](dropout(weights, dropout_p), value)


def check_mask(query: Tensor, attn_mask: Tensor) -> None:
    """Raises DTypeError for a mask of integers, or of other floats than the query."""
    dtype = attn_mask.value.dtype
    if dtype.kind != "b" and dtype != query.value.dtype:
        raise DTypeError(
            "Expected attn_mask dtype to be bool or to match query dtype",
            got=[describe("attn_mask", attn_mask), describe("query", query)],
            where=users_line(),
        )


def with_common_batch(*tensors: Tensor) -> list[Tensor]:
    """The tensors with their axes before the last two stretched to a common shape."""
    shapes = [x.value.shape for x in tensors]
    if all(s[:-2] == shapes[0][:-2] for s in shapes) or min(map(len, shapes)) < 2:
        return list(tensors)
    try:
        batch = broadcast(*[s[:-2] for s in shapes])
    except ShapeError:
        return list(tensors)  # the operator says what does not fit
    return [GATES["broadcast_to"](x, shape=(*batch, *s[-2:])) for x, s in zip(tensors, shapes, strict=True)]
