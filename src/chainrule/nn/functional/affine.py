"""linear: the affine map of a layer."""

from __future__ import annotations

from chainrule.tensor.dispatch import GATES
from chainrule.tensor.tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b over the last axis.

    Args:
        input: (..., in_features).
        weight: (out_features, in_features).
        bias: (out_features,).

    Returns:
        (..., out_features).

    Raises:
        ShapeError: for sizes that differ.
        DTypeError: for different element types.
    """
    return GATES["linear"](input, weight, bias)
