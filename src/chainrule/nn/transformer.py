"""TransformerEncoderLayer: attention among the rows of a sequence, then a small network on each row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.nn import functional as F
from chainrule.nn.attention import MultiheadAttention
from chainrule.nn.dropout import Dropout
from chainrule.nn.linear import Linear
from chainrule.nn.module import Module
from chainrule.nn.normalisation import LayerNorm
from chainrule.tensor.tensor import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


class TransformerEncoderLayer(Module):
    """x = norm1(x + attention(x)), then norm2(x + linear2(activation(linear1(x)))), with dropout after each part.

    Args:
        d_model: E, the size of the last axis.
        nhead: heads of the attention; it divides E.
        dim_feedforward: the size between linear1 and linear2.
        dropout: the probability of leaving out attention weights, activations and results, while training.
        activation: "relu", "gelu", or a function of a tensor.
        layer_norm_eps: what LayerNorm adds to the variance.
        batch_first: input and result are (B, L, E), not (L, B, E).
        norm_first: normalise what goes into the parts, not what comes out: x + attention(norm1(x)) ...
        bias: False leaves all biases out.

    Raises:
        ArgumentError: for another activation, heads that do not divide E.

    Source: Vaswani et al. 2017, section 3.1; norm_first: Xiong et al. 2020.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        placed = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **placed)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **placed)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **placed)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **placed)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **placed)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = checked_activation(activation)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """The same shape. The masks are those of MultiheadAttention: attn_mask and key_padding_mask."""

        def attended(x: Tensor) -> Tensor:
            options = {"key_padding_mask": src_key_padding_mask, "attn_mask": src_mask, "is_causal": is_causal}
            result, _ = self.self_attn(x, x, x, need_weights=False, **options)
            return self.dropout1(result)  # type: ignore[no-any-return]  # a module's call may return anything

        if self.norm_first:
            x = src + attended(self.norm1(src))
            return x + self._each_row(self.norm2(x))
        x = self.norm1(src + attended(src))
        return self.norm2(x + self._each_row(x))  # type: ignore[no-any-return]

    def _each_row(self, x: Tensor) -> Tensor:
        hidden = self.dropout(self.activation(self.linear1(x)))
        return self.dropout2(self.linear2(hidden))  # type: ignore[no-any-return]


def checked_activation(activation: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The function of that name, or the function itself.

    Raises:
        ArgumentError: for another name.
    """
    if not isinstance(activation, str):
        return activation
    if activation not in ACTIVATIONS:
        raise ArgumentError(f"activation should be relu/gelu, not {activation}")
    return ACTIVATIONS[activation]
