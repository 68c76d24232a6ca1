"""Pooling as modules. What each computes stands in `functional/poolings.py` and `ops/pooling.py`."""

from __future__ import annotations

from typing import Any

from chainrule.nn import functional as F
from chainrule.nn.functional.poolings import refuse_indices
from chainrule.nn.module import Module
from chainrule.tensor.tensor import Tensor


class MaxPool2d(Module):
    """The largest element of each window: (N, C, height, width) to (N, C, height', width').

    Args:
        kernel_size: height and width of a window; an integer, or one for each axis, as all the following.
        stride: by how much the window moves; the kernel size for None.
        padding: how far a window may reach over the edge; at most half of the kernel.
        dilation: how far apart the elements are that it sees.
        return_indices: not supported.
        ceil_mode: a last window that reaches over the edge counts.

    Raises:
        UnsupportedError: for return_indices.
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        refuse_indices(return_indices)
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, height, width) or (C, height, width)."""
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window: (N, C, height, width) to (N, C, height', width').

    Args:
        kernel_size, stride, padding, ceil_mode: as in MaxPool2d; what reaches over the edge is 0.
        count_include_pad: the padding's zeros count as elements of the window.
        divisor_override: what every sum is divided by, instead of the number of elements.
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad, self.divisor_override = ceil_mode, count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, height, width) or (C, height, width)."""
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """The means of as many windows as asked for: (N, C, height, width) to (N, C, *output_size).

    Args:
        output_size: an integer, or one for each axis; None keeps the input's size.
    """

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, height, width) or (C, height, width)."""
        return F.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"
