"""linear: the affine map of a layer."""

from __future__ import annotations

from chainrule.errors import ShapeError
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b over the last axis.

    Args:
        input: (..., in_features); one sample may come without an axis for the batch.
        weight: (out_features, in_features).
        bias: (out_features,).

    Returns:
        (..., out_features).

    Raises:
        ShapeError: for sizes that differ.
        DTypeError: for different element types.
    """
    try:
        return GATES["linear"](input, weight, bias)
    except ShapeError:
        if not isinstance(input, Tensor) or input.ndim != 1:
            raise
    return GATES["linear"](input.unsqueeze(0), weight, bias).squeeze(0)  # a sample alone: rare, so asked last
