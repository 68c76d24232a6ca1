"""Convolutions as modules. What they compute stands in `functional/convolutions.py` and `ops/convolution.py`."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.functional.convolutions import padded_to, transposed_size
from chainrule.nn.functional.planes import for_each_axis
from chainrule.nn.linear import checked_size, empty_parameter
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter
from chainrule.tensor.tensor import Tensor

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """What they have in common: the arguments, the parameters and their first values; `axes` is set by each."""

    axes: int
    transposed = False
    output_padding: tuple[int, ...] = ()
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_channels = checked_size(in_channels, "in_channels")
        self.out_channels = checked_size(out_channels, "out_channels")
        self.groups = checked_size(groups, "groups")
        _check_groups(self.in_channels, self.out_channels, self.groups)
        self.kernel_size = for_each_axis(kernel_size, self.axes, "kernel_size")
        self.stride = for_each_axis(stride, self.axes, "stride")
        self.dilation = for_each_axis(dilation, self.axes, "dilation")
        self.padding = padding if isinstance(padding, str) else for_each_axis(padding, self.axes, "padding")
        self.padding_mode = padding_mode
        if padding_mode not in PADDING_MODES:
            raise ArgumentError(f"padding_mode must be one of {PADDING_MODES}, but got padding_mode={padding_mode!r}")
        self.margins = self._margins()
        first, second = (self.in_channels, self.out_channels)[:: 1 if self.transposed else -1]
        self.weight = empty_parameter((first, second // self.groups, *self.kernel_size), device, dtype)
        if bias:
            self.bias = empty_parameter((self.out_channels,), device, dtype)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _margins(self) -> list[int]:
        """The padding as F.pad takes it: before and after the last axis first."""
        if isinstance(self.padding, str):
            sides = padded_to(self.padding, self.kernel_size, self.stride, self.dilation)
        else:
            sides = [(n, n) for n in self.padding]
        return [n for both in reversed(sides) for n in both]

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        if self.weight.value.size:
            init.kaiming_uniform_(self.weight, a=sqrt(5))  # the bound is sqrt(6 / ((1 + 5) fan_in))
        if self.bias is not None:
            fan_in = prod(self.weight.value.shape[1:])
            bound = 1 / sqrt(fan_in) if fan_in else 0.0
            init.uniform_(self.bias, -bound, bound)

    def _around(self, x: Tensor) -> tuple[Tensor, Any]:
        """The input, and the zeros to put around it: other elements are put there first."""
        if self.padding_mode == "zeros":
            return x, self.padding
        return F.pad(x, self.margins, mode=self.padding_mode), 0

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if self.padding != (0,) * self.axes:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * self.axes:
            parts.append(f"dilation={self.dilation}")
        if any(self.output_padding):
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class Conv1d(_Convolution):
    """Kernels moved over rows: (N, in_channels, length) to (N, out_channels, length'). Arguments: those of Conv2d."""

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, length) or (C, length)."""
        x, padding = self._around(input)
        return F.conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Convolution):
    """Kernels moved over planes: (N, in_channels, height, width) to (N, out_channels, height', width').

    Args:
        in_channels, out_channels: the channels of x and of y.
        kernel_size: the size of a window; an integer, or one for each axis, as stride, padding and dilation.
        stride: by how much it moves.
        padding: elements added on both sides of each axis; "valid" adds none, "same" keeps the sizes at stride 1.
        dilation: how far apart the elements are that a window sees.
        groups: the channels are cut into so many parts, and each part of y sees its part of x.
        bias: False leaves the bias out.
        padding_mode: what the padding consists of: "zeros", or elements of x by "reflect", "replicate", "circular".

    Attributes:
        weight: (out_channels, in_channels / groups, *kernel_size), uniform in [-b, b) at first with
            b = 1 / sqrt(in_channels / groups * prod(kernel_size)).
        bias: (out_channels,), likewise; None without bias.

    Raises:
        ArgumentTypeError, ArgumentError: for sizes that are no integers, or out of range; channels that groups does not
            divide; another padding or padding_mode; "same" with a stride.

    Source: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition".
    """

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, height, width) or (C, height, width)."""
        x, padding = self._around(input)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class ConvTranspose2d(_Convolution):
    """The transpose of a Conv2d in its input, plus bias: (N, in_channels, height, width) to larger planes.

    Args:
        in_channels, out_channels: the channels of x and of y.
        kernel_size, stride, padding, dilation, groups: those of the convolution whose transpose this is.
        output_padding: rows and columns that y has more at its end: below the stride or the dilation.
        bias: False leaves the bias out.
        padding_mode: "zeros" only.

    Attributes:
        weight: (in_channels, out_channels / groups, *kernel_size), uniform in [-b, b) at first with
            b = 1 / sqrt(out_channels / groups * prod(kernel_size)).
        bias: (out_channels,), likewise; None without bias.

    Raises:
        ArgumentTypeError, ArgumentError: as Conv2d; for another padding_mode; at the call for an output_size that no
            output_padding gives.

    Source: Zeiler, Krishnan, Taylor and Fergus 2010, "Deconvolutional networks".
    """

    axes = 2
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ArgumentError('Only "zeros" padding mode is supported for ConvTranspose2d')
        padding = for_each_axis(padding, self.axes, "padding")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, device=device, dtype=dtype
        )
        self.output_padding = for_each_axis(output_padding, self.axes, "output_padding")

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, height, width) or (C, height, width); output_size says height' and width' of y."""
        more = self.output_padding if output_size is None else self._more(input, tuple(output_size)[-self.axes :])
        options = (self.stride, self.padding, more, self.groups, self.dilation)
        return F.conv_transpose2d(input, self.weight, self.bias, *options)

    def _more(self, x: Tensor, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """The output_padding that gives planes of the wanted size."""
        assert not isinstance(self.padding, str)
        size = x.value.shape[-self.axes :]
        least = transposed_size(size, self.kernel_size, self.stride, self.padding, self.dilation)
        most = tuple([n + s - 1 for n, s in zip(least, self.stride, strict=True)])
        if not all(low <= n <= high for low, n, high in zip(least, wanted, most, strict=True)):
            raise ArgumentError(
                f"requested an output size of {wanted}, but valid sizes range from {least} to {most} (for an input of "
                f"{size})"
            )
        return tuple([n - low for n, low in zip(wanted, least, strict=True)])


def _check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    if groups < 1:
        raise ArgumentError("groups must be a positive integer")
    for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ArgumentError(f"{what} must be divisible by groups", got=[f"{what}  {channels}", f"groups  {groups}"])
