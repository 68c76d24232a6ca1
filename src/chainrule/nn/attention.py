"""MultiheadAttention: attention in several subspaces at once."""

from __future__ import annotations

from typing import Any

from chainrule.errors import ArgumentError, AssertedError, UnsupportedError
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.functional.attentions import check_mask
from chainrule.nn.functional.dropouts import checked_probability
from chainrule.nn.linear import Linear, empty_parameter
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor


class MultiheadAttention(Module):
    """W_o concat(head_1, ..., head_h) + b_o, with head_i = attention(W_qi q + b_qi, W_ki k + b_ki, W_vi v + b_vi).

    Args:
        embed_dim: E, the size of the queries' and results' last axis.
        num_heads: h; it divides E.
        dropout: the probability of leaving out a weight, while training.
        bias: False leaves all biases out.
        kdim, vdim: the sizes of the last axes of key and value; E if None.
        batch_first: query, key, value and result are (B, L, E), not (L, B, E).
        add_bias_kv, add_zero_attn: not supported.

    Attributes:
        in_proj_weight: (3 E, E): W_q, W_k and W_v below each other, uniform as Xavier's at first; None if kdim or vdim
            differs from E: then q_proj_weight (E, E), k_proj_weight (E, kdim) and v_proj_weight (E, vdim) are there.
        in_proj_bias: (3 E,), 0 at first; None without bias.
        out_proj: the Linear (E, E) of W_o, its bias 0 at first.

    Raises:
        ArgumentError: for sizes that are not positive, or heads that do not divide E.
        UnsupportedError: for add_bias_kv and add_zero_attn.

    Source: Vaswani et al. 2017, section 3.2.2.
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ArgumentError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads}"
            )
        if embed_dim % num_heads:
            raise AssertedError(f"embed_dim must be divisible by num_heads: {embed_dim} is not by {num_heads}")
        for name, asked in (("add_bias_kv", add_bias_kv), ("add_zero_attn", add_zero_attn)):
            if asked:
                raise UnsupportedError(f"MultiheadAttention: {name}=True is not supported")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.dropout, self.batch_first = checked_probability(dropout), batch_first
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        one = self.kdim == self.vdim == embed_dim
        shapes = {
            "in_proj_weight": (3 * embed_dim, embed_dim) if one else None,
            "q_proj_weight": None if one else (embed_dim, embed_dim),
            "k_proj_weight": None if one else (embed_dim, self.kdim),
            "v_proj_weight": None if one else (embed_dim, self.vdim),
            "in_proj_bias": (3 * embed_dim,) if bias else None,
        }
        for name, shape in shapes.items():
            self.register_parameter(name, None if shape is None else empty_parameter(shape, device, dtype))
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the projections of the inputs anew; the biases are 0."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The result, and the weights if they are needed; without them it takes less time and memory.

        Args:
            query, key, value: (L, B, E), (S, B, kdim) and (S, B, vdim); with batch_first (B, L, E) ...; or without B.
            key_padding_mask: (B, S): bools, where True means that the key is left out, or numbers that are added to
                the scores.
            need_weights: whether the weights are returned.
            attn_mask: (L, S) or (B heads, L, S): likewise.
            average_attn_weights: the mean of the weights over the heads, or the weights of each head.
            is_causal: a promise that attn_mask leaves out what comes after each query, and nothing else.

        Returns:
            (L, B, E) in the order of the query's axes, and (B, L, S), of each head (B, heads, L, S), or None. A query
            whose keys are all left out gets weights of 0.

        Raises:
            ArgumentError: for sizes and numbers of axes that do not fit, masks of another shape or type, is_causal
                without a mask.
        """
        is_batched = self._checked(query, key, value)
        axis = 0 if self.batch_first or not is_batched else 1
        parts = zip((query, key, value), self._projections(), strict=True)
        q, k, v = (self._heads(GATES["linear"](x, w, b), axis) for x, (w, b) in parts)
        mask = self._mask(q, k, key_padding_mask, attn_mask, is_causal, is_batched)
        dropped = self.dropout if self.training else 0.0
        causal = is_causal and not need_weights and key_padding_mask is None
        weights = None
        if need_weights:
            weights = F.dropout(GATES["attention_weights"](q, k, mask), dropped)
            heads = GATES["matmul"](weights, v)
        else:
            heads = F.scaled_dot_product_attention(q, k, v, None if causal else mask, dropped, causal)
        result = self.out_proj(self._together(heads, axis))
        if weights is not None and average_attn_weights:
            weights = GATES["mean"](weights, axis=1)
        if not is_batched:
            result = GATES["slice"](result, key=(0,))
            weights = None if weights is None else GATES["slice"](weights, key=(0,))
        return result, weights

    # ---- projections and heads -------------------------------------------------------------------------------

    def _projections(self) -> list[tuple[Tensor, Tensor | None]]:
        """Weight and bias of query, key and value."""
        thirds = [(slice(i * self.embed_dim, (i + 1) * self.embed_dim),) for i in range(3)]
        bias = self.in_proj_bias
        biases = [None if bias is None else GATES["slice"](bias, key=third) for third in thirds]
        whole = self.in_proj_weight
        if whole is None:
            weights: list[Any] = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        else:
            weights = [GATES["slice"](whole, key=third) for third in thirds]
        return list(zip(weights, biases, strict=True))

    def _heads(self, x: Tensor, axis: int) -> Tensor:
        """(B, L, E) with the batch at the given axis, or (L, E), to (B, heads, L, E / heads)."""
        first = x.value.shape[:-1] if x.value.ndim == 3 else (1, x.value.shape[0])
        x = GATES["reshape"](x, shape=(*first, self.num_heads, self.head_dim))
        return GATES["permute"](x, order=(1, 2, 0, 3) if axis else (0, 2, 1, 3))

    def _together(self, heads: Tensor, axis: int) -> Tensor:
        """Back from there."""
        x = GATES["permute"](heads, order=(2, 0, 1, 3) if axis else (0, 2, 1, 3))
        return GATES["reshape"](x, shape=(*x.value.shape[:2], self.embed_dim))

    # ---- masks -----------------------------------------------------------------------------------------------

    def _mask(
        self, q: Tensor, k: Tensor, padding: Tensor | None, mask: Tensor | None, is_causal: bool, is_batched: bool
    ) -> Tensor | None:
        """What attention takes, (B, heads, L, S) after broadcasting: True for the keys that take part, or numbers."""
        batch, heads, length, _ = q.value.shape
        keys = k.value.shape[2]
        given = []
        if is_causal and mask is None:
            raise ArgumentError("MultiheadAttention: Need attn_mask if specifying the is_causal hint.")
        if mask is not None:
            _check_type("attn_mask", mask)
            shape: tuple[int, ...] = (length, keys) if mask.value.ndim == 2 else (batch * heads, length, keys)
            if mask.value.ndim not in (2, 3):
                raise AssertedError("attn_mask is 2-D or 3-D", got=[describe("attn_mask", mask)])
            if mask.value.shape != shape:
                raise ArgumentError(
                    f"The shape of the {len(shape)}D attn_mask is {mask.value.shape}, but should be {shape}.",
                    got=[describe("attn_mask", mask)],
                )
            given.append(mask if len(shape) == 2 else GATES["reshape"](mask, shape=(batch, heads, length, keys)))
        if padding is not None:
            _check_type("key_padding_mask", padding)
            wanted = (batch, keys) if is_batched else (keys,)
            if padding.value.shape != wanted:
                raise AssertedError(
                    f"Expected key_padding_mask of shape {wanted}", got=[describe("key_padding_mask", padding)]
                )
            given.append(GATES["reshape"](padding, shape=(batch, 1, 1, keys)))
        if not given:
            return None
        if all(x.value.dtype.kind == "b" for x in given):
            return GATES["logical_not"](given[0] if len(given) == 1 else GATES["logical_or"](*given))
        zero = GATES["zeros"](shape=(), dtype=q.value.dtype)
        numbers = [GATES["where"](x, float("-inf"), zero) if x.value.dtype.kind == "b" else x for x in given]
        total = numbers[0] if len(numbers) == 1 else GATES["add"](*numbers)
        check_mask(q, total)
        return total

    # ---- arguments -------------------------------------------------------------------------------------------

    def _checked(self, query: Tensor, key: Tensor, value: Tensor) -> bool:
        """True for batches.

        Raises:
            ArgumentError: for sizes and numbers of axes that do not fit.
        """
        ndims = [x.value.ndim for x in (query, key, value)]
        if ndims[0] not in (2, 3):
            raise AssertedError(
                f"query should be unbatched 2D or batched 3D tensor but received {ndims[0]}-D query tensor"
            )
        if len(set(ndims)) > 1:
            raise AssertedError(
                f"For a {ndims[0]}-D `query`, expected `key` and `value` to be {ndims[0]}-D but found {ndims[1]}-D and "
                f"{ndims[2]}-D tensors respectively"
            )
        sizes = {"query": self.embed_dim, "key": self.kdim, "value": self.vdim}
        got = [describe(name, x) for name, x in zip(sizes, (query, key, value), strict=True)]
        for (name, size), x in zip(sizes.items(), (query, key, value), strict=True):
            if x.value.shape[-1] != size:
                raise AssertedError(
                    f"was expecting embedding dimension of {size}, but got {x.value.shape[-1]} for {name}", got=got
                )
        if key.value.shape[:-1] != value.value.shape[:-1]:
            raise AssertedError("the shapes of key and value do not match", got=got)
        batch = 0 if self.batch_first else 1
        if ndims[0] == 3 and query.value.shape[batch] != key.value.shape[batch]:
            raise AssertedError("the batches of query and key differ in size", got=got)
        return ndims[0] == 3


def _check_type(name: str, mask: Tensor) -> None:
    if mask.value.dtype.kind not in "bf":
        raise AssertedError(f"only bool and floating types of {name} are supported", got=[describe(name, mask)])
