"""layer_norm, rms_norm, batch_norm, group_norm under PyTorch's names. The formulas stand in `ops/normalisation.py`."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ArgumentTypeError, ShapeError
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.functions.inplace import write
from chainrule.tensor.printing import describe
from chainrule.tensor.switches import no_grad
from chainrule.tensor.tensor import Tensor


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) weight + bias, with mean and variance over the last axes.

    Args:
        input: (..., *normalized_shape).
        normalized_shape: the sizes of the last axes, over which it is normalised.
        weight, bias: of shape normalized_shape.

    Raises:
        ShapeError: for shapes that do not end so.
        ArgumentError: if normalized_shape has no sizes.
        DTypeError: for integers, or different element types.

    Source: Ba, Kiros and Hinton 2016, "Layer normalization".
    """
    axes = _checked_rows("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    return GATES["layer_norm"](input, weight, bias, axes=axes, eps=eps)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) weight, with the mean over the last axes.

    Args:
        input, normalized_shape, weight: as in layer_norm.
        eps: the element type's eps for None.

    Raises:
        ShapeError, ArgumentError, DTypeError: as layer_norm.

    Source: Zhang and Sennrich 2019, "Root mean square layer normalization".
    """
    axes = _checked_rows("rms_norm", input, normalized_shape, weight=weight)
    if eps is None and input.value.dtype.kind == "f":
        eps = float(np.finfo(input.value.dtype).eps)
    return GATES["rms_norm"](input, weight, axes=axes, eps=eps)


def _checked_rows(name: str, input: Tensor, sizes: Any, **learnt: Tensor | None) -> int:
    """The number of axes to normalise over."""
    if not isinstance(sizes, Sequence):
        raise ArgumentTypeError(f"{name}(): argument 'normalized_shape' must be tuple of ints, not {sizes!r}")
    sizes, shape = tuple(sizes), tuple(input.value.shape)
    if not sizes:
        raise ArgumentError(
            f"{name}: Expected normalized_shape to be at least 1-dimensional, but got normalized_shape=()"
        )
    if shape[-len(sizes) :] != sizes:
        wanted = ", ".join(map(str, ("*", *sizes)))
        raise ShapeError(
            f"{name}: Given normalized_shape={list(sizes)}, expected input with shape [{wanted}], but got input of "
            f"size {list(shape)}",
            got=[describe("input", input)],
        )
    for what, x in learnt.items():
        if x is not None and x.value.shape != sizes:
            raise ShapeError(
                f"{name}: Expected {what} to be of same shape as normalized_shape, but got {what} of shape "
                f"{list(x.value.shape)} and normalized_shape={list(sizes)}",
                got=[describe(what, x)],
            )
    return len(sizes)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) weight + bias for each channel, with the batch's or the running statistics.

    Args:
        input: (N, C, ...).
        running_mean, running_var: (C,). In training (where both may be None) they become
            (1 - momentum) running + momentum of the batch, with the unbiased variance; else they are what is taken.
        weight, bias: (C,).

    Raises:
        ArgumentError: in training with one value for a channel, or none; else without running statistics.
        ShapeError: for other than C numbers.
        DTypeError: for integers, or different element types.

    Source: Ioffe and Szegedy 2015, "Batch normalization", algorithms 1 and 2.
    """
    running = {"running_mean": running_mean, "running_var": running_var}
    _check_channels("batch_norm", input, **running, weight=weight, bias=bias)
    if not training:
        for what, x in running.items():
            if x is None:
                raise ArgumentError(f"batch_norm: {what} must be defined in evaluation mode")
        return GATES["batch_norm_inference"](input, running_mean, running_var, weight, bias, eps=eps)
    shape = input.value.shape
    refuse_single_values("batch_norm", shape, shape[0] * prod(shape[2:]))
    y = GATES["batch_norm"](input, weight, bias, eps=eps)
    if running_mean is not None or running_var is not None:
        _follow(input, running_mean, running_var, momentum)
    return y


def _follow(x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, momentum: float | Tensor) -> None:
    """Move the running statistics towards those of the batch."""
    shape = x.value.shape
    if not prod(shape):
        raise ArgumentError("batch_norm: a batch without elements has no statistics", got=[describe("input", x)])
    over = (0, *range(2, len(shape)))
    with no_grad():
        if running_mean is not None:
            mean = GATES["mean"](x, axis=over)
            write(running_mean, GATES["lerp"](running_mean, mean, momentum), "batch_norm")
        if running_var is not None:
            var = GATES["var"](x, axis=over, correction=1)
            write(running_var, GATES["lerp"](running_var, var, momentum), "batch_norm")


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """(x - mean) / sqrt(var + eps) weight + bias, with mean and variance of each sample's groups of channels.

    Args:
        input: (N, C, ...).
        num_groups: a divisor of C.
        weight, bias: (C,).

    Raises:
        ArgumentError: if num_groups does not divide C, or the groups of one sample have one value each.
        ShapeError: for other than C numbers.
        DTypeError: for integers, or different element types.

    Source: Wu and He 2018, "Group normalization".
    """
    _check_channels("group_norm", input, weight=weight, bias=bias)
    shape = input.value.shape
    n, channels = shape[:2]
    if num_groups < 1 or channels % num_groups:
        raise ArgumentError(
            "group_norm: Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(shape)} and num_groups={num_groups}"
        )
    refuse_single_values("group_norm", shape, n * channels // num_groups * prod(shape[2:]))
    rows = (n, num_groups, channels // num_groups * prod(shape[2:]))
    y = GATES["reshape"](GATES["layer_norm"](GATES["reshape"](input, shape=rows), eps=eps), shape=shape)
    beside = (channels,) + (1,) * (len(shape) - 2)
    if weight is not None:
        y = GATES["mul"](y, GATES["reshape"](weight, shape=beside))
    return y if bias is None else GATES["add"](y, GATES["reshape"](bias, shape=beside))


def refuse_single_values(name: str, shape: tuple[int, ...], count: int) -> None:
    """Raises ArgumentError where the variance would be that of one value, and every result 0."""
    if count == 1:
        raise ArgumentError(f"{name}: Expected more than 1 value per channel when training, got input size {shape}")


def _check_channels(name: str, input: Tensor, **vectors: Tensor | None) -> None:
    shape = input.value.shape
    if len(shape) < 2:
        raise ShapeError(
            f"{name}: Expected at least 2 dimensions (N, C, ...) for input tensor but received {len(shape)}"
        )
    for what, x in vectors.items():
        if x is not None and x.value.shape != shape[1:2]:
            raise ShapeError(
                f"{name}: {what} should contain {shape[1]} elements, one for each channel, not {x.value.shape}",
                got=[describe("input", input), describe(what, x)],
            )
