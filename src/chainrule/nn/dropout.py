"""Dropout: elements, or whole channels, are left out at random while training."""

from __future__ import annotations

from chainrule.nn import functional as F
from chainrule.nn.functional.dropouts import checked_probability
from chainrule.nn.module import Module
from chainrule.tensor.tensor import Tensor


class _Dropout(Module):
    """What all of them have: p, and that eval() turns them off.

    Args:
        p: the probability of being left out; what stays is divided by 1 - p.
        inplace: write the result into the input's memory.

    Raises:
        ArgumentError: if p is not in [0, 1].
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p, self.inplace = checked_probability(p), inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Each element 0 with probability p, else divided by 1 - p. Source: Srivastava et al. 2014."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape; the same shape."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Whole channels of (N, C, L) or (C, L). Source: Tompson et al. 2015."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Whole channels of (N, C, H, W). Source: Tompson et al. 2015."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Whole channels of (N, C, D, H, W) or (C, D, H, W). Source: Tompson et al. 2015."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape."""
        return F.dropout3d(input, self.p, self.training, self.inplace)
