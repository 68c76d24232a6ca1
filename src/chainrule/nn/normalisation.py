"""Normalisation as modules. What each computes stands in `functional/normalisations.py` and `ops/normalisation.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.linear import checked_size, empty_parameter
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.functions.inplace import write
from chainrule.tensor.switches import no_grad
from chainrule.tensor.tensor import Tensor, wrap


class _Affine(Module):
    """A weight, 1 at first, and a bias, 0 at first; None where they are not asked for."""

    weight: Parameter | None
    bias: Parameter | None

    def _learn(self, shape: tuple[int, ...], device: Any, dtype: Any, **wanted: bool) -> None:
        for name, learnt in wanted.items():
            self.register_parameter(name, empty_parameter(shape, device, dtype) if learnt else None)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        for name, fill in (("weight", init.ones_), ("bias", init.zeros_)):
            learnt = self._parameters.get(name)
            if learnt is not None:
                fill(learnt)


# ---- over the last axes ------------------------------------------------------------------------------------------


class LayerNorm(_Affine):
    """(x - mean) / sqrt(var + eps) weight + bias, with mean and variance over the last axes.

    Args:
        normalized_shape: the sizes of the last axes; an integer for one.
        eps: what keeps the root from 0.
        elementwise_affine: False leaves weight and bias out.
        bias: False leaves the bias out.

    Attributes:
        weight, bias: of shape normalized_shape, 1 and 0 at first; None where they are left out.

    Source: Ba, Kiros and Hinton 2016, "Layer normalization".
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _sizes(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        wanted = {"weight": elementwise_affine, "bias": elementwise_affine and bias}
        self._learn(self.normalized_shape, device, dtype, **wanted)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """(..., *normalized_shape); the same shape."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class RMSNorm(_Affine):
    """x / sqrt(mean(x^2) + eps) weight, with the mean over the last axes.

    Args:
        normalized_shape: the sizes of the last axes; an integer for one.
        eps: what keeps the root from 0; the input type's eps for None.
        elementwise_affine: False leaves the weight out.

    Attributes:
        weight: of shape normalized_shape, 1 at first; None where it is left out.

    Source: Zhang and Sennrich 2019, "Root mean square layer normalization".
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _sizes(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self._learn(self.normalized_shape, device, dtype, weight=elementwise_affine)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """(..., *normalized_shape); the same shape."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


def _sizes(shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    return tuple([checked_size(n, "normalized_shape") for n in sizes])


# ---- over the batch ----------------------------------------------------------------------------------------------


class _BatchNorm(_Affine):
    """What BatchNorm1d and BatchNorm2d share; `ndims` says which numbers of axes each takes."""

    ndims: tuple[int, ...]
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = checked_size(num_features, "num_features")
        self.eps, self.momentum, self.affine, self.track_running_stats = eps, momentum, affine, track_running_stats
        shape = (self.num_features,)
        self._learn(shape, device, dtype, weight=affine, bias=affine and bias)
        for name in ("running_mean", "running_var"):
            statistic = wrap(empty_parameter(shape, device, dtype).value, None) if track_running_stats else None
            self.register_buffer(name, statistic)
        self.register_buffer("num_batches_tracked", wrap(np.zeros((), np.int64), None) if track_running_stats else None)
        self.reset_running_stats()
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Running mean 0 and variance 1, and no batches counted."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...); the same shape."""
        if input.value.ndim not in self.ndims:
            wanted = " or ".join([f"{n}D" for n in self.ndims])
            raise ArgumentError(f"{type(self).__name__}: expected {wanted} input (got {input.value.ndim}D input)")
        follows = self.training and self.track_running_stats
        by_batch = self.training or (self.running_mean is None and self.running_var is None)
        mean, var = (None, None) if by_batch and not follows else (self.running_mean, self.running_var)
        momentum = self._counted() if follows else 0.0
        return F.batch_norm(input, mean, var, self.weight, self.bias, by_batch, momentum, self.eps)

    def _counted(self) -> float | Tensor:
        """Count this batch, and say how far the running statistics move: for momentum None, to the average of all."""
        n, mean = self.num_batches_tracked, self.running_mean
        with no_grad():
            if n is not None:
                write(n, GATES["add"](n, 1), "batch_norm")
            if self.momentum is None and n is not None and mean is not None:
                return GATES["reciprocal"](GATES["cast"](n, dtype=mean.value.dtype))
        return 0.0 if self.momentum is None else self.momentum

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """BatchNorm2d for (N, C) or (N, C, length)."""

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """(x - mean) / sqrt(var + eps) weight + bias for each channel of (N, C, height, width).

    While training, mean and variance are the batch's, and the running statistics follow them; after eval(), or
    without a batch to take them from, they are the running ones.

    Args:
        num_features: C.
        eps: what keeps the root from 0.
        momentum: running becomes (1 - momentum) running + momentum batch; None: the average of all batches.
        affine: False leaves weight and bias out.
        track_running_stats: False keeps no running statistics: the batch's are taken in eval(), too.
        bias: False leaves the bias out.

    Attributes:
        weight, bias: (C,), 1 and 0 at first; None where they are left out.
        running_mean, running_var: (C,), 0 and 1 at first; the variance is the unbiased one.
        num_batches_tracked: how many batches they have followed.

    Raises:
        ArgumentTypeError, ArgumentError: for a num_features that is no integer, or negative; at the call for another
            number of axes, or one value for a channel while training.

    Source: Ioffe and Szegedy 2015, "Batch normalization".
    """

    ndims = (4,)


# ---- over groups of channels -------------------------------------------------------------------------------------


class GroupNorm(_Affine):
    """(x - mean) / sqrt(var + eps) weight + bias, with mean and variance of each sample's groups of channels.

    Args:
        num_groups: how many; a divisor of num_channels.
        num_channels: C of x (N, C, ...).
        eps: what keeps the root from 0.
        affine: False leaves weight and bias out.
        bias: False leaves the bias out.

    Attributes:
        weight, bias: (C,), 1 and 0 at first; None where they are left out.

    Raises:
        ArgumentError: if num_groups does not divide num_channels.

    Source: Wu and He 2018, "Group normalization".
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = checked_size(num_groups, "num_groups")
        self.num_channels = checked_size(num_channels, "num_channels")
        if not self.num_groups or self.num_channels % self.num_groups:
            raise ArgumentError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.eps, self.affine = eps, affine
        self._learn((self.num_channels,), device, dtype, weight=affine, bias=affine and bias)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...); the same shape."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
