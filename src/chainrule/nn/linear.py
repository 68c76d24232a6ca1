"""Linear and the modules that only move elements: Identity, Flatten, Unflatten."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

from chainrule.errors import ArgumentError, ArgumentTypeError
from chainrule.nn import init
from chainrule.nn.functional.affine import linear
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter
from chainrule.tensor.arrays import empty, numpy_dtype
from chainrule.tensor.device import Device
from chainrule.tensor.functions import movement
from chainrule.tensor.tensor import Tensor, default_float, wrap


def empty_parameter(shape: tuple[int, ...], device: Any, dtype: Any) -> Parameter:
    """An uninitialised parameter, after the arguments that every layer takes."""
    Device.of(device)
    return Parameter(wrap(empty(shape, default_float() if dtype is None else numpy_dtype(dtype)), None))


def checked_size(n: Any, what: str) -> int:
    """A size that is an integer of 0 or more.

    Raises:
        ArgumentTypeError: if it is no integer.
        ArgumentError: if it is negative.
    """
    if not hasattr(n, "__index__") or isinstance(n, bool):
        raise ArgumentTypeError(f"{what} is an integer, not {n!r}")
    if n.__index__() < 0:
        raise ArgumentError(f"{what} is 0 or more, not {n}")
    return int(n)


class Linear(Module):
    """y = x W^T + b, over the last axis of x.

    Args:
        in_features: the size of the last axis of x.
        out_features: the size of the last axis of y.
        bias: False leaves b out.

    Attributes:
        weight: (out_features, in_features), uniform in [-1/sqrt(in_features), 1/sqrt(in_features)) at first.
        bias: (out_features,), likewise; None without bias.

    Raises:
        ArgumentTypeError, ArgumentError: for sizes that are no integers, or negative.

    Source: LeCun, Bottou, Orr and Müller 1998, "Efficient BackProp", section 4.6, for the scale of the weights.
    """

    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features = checked_size(in_features, "in_features")
        self.out_features = checked_size(out_features, "out_features")
        self.weight = empty_parameter((self.out_features, self.in_features), device, dtype)
        if bias:
            self.bias = empty_parameter((self.out_features,), device, dtype)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=sqrt(5))  # the bound is sqrt(6 / ((1 + 5) in)) = 1 / sqrt(in)
        if self.bias is not None:
            bound = 1 / sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        return linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Identity(Module):
    """y = x; arguments of the constructor are accepted and mean nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """The input itself."""
        return input


class Flatten(Module):
    """The axes from start_dim to end_dim as one: (N, C, H, W) to (N, C H W)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """The elements in the same order with fewer axes."""
        return movement.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """The axis `dim` as several: (N, 50) with (2, 25) to (N, 2, 25)."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise ArgumentTypeError(f"Unflatten: dim is an integer, not {dim!r}: tensors have no named axes here")
        if not isinstance(unflattened_size, Sequence) or not all(isinstance(n, int) for n in unflattened_size):
            raise ArgumentTypeError(f"unflattened_size must be a tuple of ints, but found {unflattened_size!r}")
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """The elements in the same order with more axes."""
        return movement.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
