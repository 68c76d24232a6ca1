"""Activations under PyTorch's names. The formulas and derivatives stand in `ops/activation.py`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from chainrule.errors import ArgumentError, ShapeError
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.functions.inplace import write
from chainrule.tensor.functions.reduction import as_dtype
from chainrule.tensor.graph import state
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor, wrap


def into(input: Tensor, name: str, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """`compute(input)`, written into the input's memory.

    The rules read the input as it was: where a gradient is recorded, from a copy.

    Raises:
        InPlaceError: for a leaf that requires a gradient.
    """
    if state.mode.grad and input.edge is not None:
        return write(input, compute(wrap(input.value.copy(), input.edge)), f"{name}_")
    return write(input, compute(input), f"{name}_")


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return into(input, "relu", GATES["relu"]) if inplace else GATES["relu"](input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return into(input, "relu6", GATES["relu6"]) if inplace else GATES["relu6"](input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x for x > 0, else negative_slope x."""
    if inplace:
        return into(input, "leaky_relu", lambda x: leaky_relu(x, negative_slope))
    return GATES["leaky_relu"](input, negative_slope=negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x for x > 0, else alpha (e^x - 1)."""
    return into(input, "elu", lambda x: elu(x, alpha)) if inplace else GATES["elu"](input, alpha=alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """scale (x for x > 0, else alpha (e^x - 1)), with the constants that keep mean 0 and variance 1."""
    return into(input, "selu", GATES["selu"]) if inplace else GATES["selu"](input)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x), with Phi the normal distribution function; approximate="tanh" is the formula of GPT-2.

    Raises:
        ArgumentError: for another approximation.
    """
    if approximate == "none":
        return GATES["gelu"](input)
    checked_approximation(approximate)
    return GATES["gelu_tanh"](input)


def checked_approximation(approximate: str) -> str:
    """The name of an approximation of gelu.

    Raises:
        ArgumentError: for a name that is none.
    """
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: approximate argument must be either none or tanh, not {approximate!r}.")
    return approximate


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x sigmoid(x), also called swish."""
    return into(input, "silu", GATES["silu"]) if inplace else GATES["silu"](input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(log(1 + e^x))."""
    return into(input, "mish", GATES["mish"]) if inplace else GATES["mish"](input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta x)) / beta, and x itself where beta x > threshold."""
    return GATES["softplus"](input, beta=beta, threshold=threshold)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return GATES["softsign"](input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x cut to [min_val, max_val].

    Raises:
        ArgumentError: if min_val is above max_val.
    """
    checked_bounds(min_val, max_val)
    if inplace:
        return into(input, "hardtanh", lambda x: hardtanh(x, min_val, max_val))
    return GATES["hardtanh"](input, min_val=min_val, max_val=max_val)


def checked_bounds(min_val: float, max_val: float) -> None:
    """Refuse bounds in the wrong order.

    Raises:
        ArgumentError: if min_val is above max_val.
    """
    if min_val > max_val:
        raise ArgumentError(f"hardtanh: min_val {min_val} cannot be greater than max_val {max_val}")


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6."""
    return into(input, "hardsigmoid", GATES["hardsigmoid"]) if inplace else GATES["hardsigmoid"](input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x min(max(x + 3, 0), 6) / 6."""
    return into(input, "hardswish", GATES["hardswish"]) if inplace else GATES["hardswish"](input)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x for x > 0, else weight x.

    Args:
        input: any shape; with several weights (N, C, ...).
        weight: one number, or one for each channel: (C,).

    Raises:
        ShapeError: for another number of weights.
    """
    size, shape = weight.value.size, input.value.shape
    if size != 1:
        channels = shape[1] if len(shape) > 1 else 1
        if weight.value.ndim != 1 or size != channels:
            raise ShapeError(
                f"prelu: the weight is one number or one for each of the {channels} channels",
                got=[describe("input", input), describe("weight", weight)],
            )
        weight = GATES["reshape"](weight, shape=(size,) + (1,) * (len(shape) - 2))
    elif weight.value.ndim > len(shape):
        weight = GATES["reshape"](weight, shape=())
    return GATES["prelu"](input, weight)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return GATES["sigmoid"](input)


def logsigmoid(input: Tensor) -> Tensor:
    """log sigmoid(x)."""
    return GATES["logsigmoid"](input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return GATES["tanh"](input)


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """e^x_j / sum_k e^x_k along the axis.

    Without `dim` PyTorch's old choice, with a warning: axis 0 of tensors with 0, 1 or 3 axes, else axis 1.
    `dtype` converts the input first.
    """
    axis = implicit_axis("softmax", input, _stacklevel) if dim is None else dim
    return GATES["softmax"](as_dtype(input, dtype), axis=axis)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """log softmax along the axis, without overflow; `dim` and `dtype` as in softmax."""
    axis = implicit_axis("log_softmax", input, _stacklevel) if dim is None else dim
    return GATES["log_softmax"](as_dtype(input, dtype), axis=axis)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """softmax(-x)."""
    axis = implicit_axis("softmin", input, _stacklevel) if dim is None else dim
    return GATES["softmax"](GATES["neg"](as_dtype(input, dtype)), axis=axis)


def implicit_axis(name: str, input: Tensor, stacklevel: int) -> int:
    """The axis that PyTorch chooses where none is given; warns."""
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=stacklevel,
    )
    return 0 if input.value.ndim in (0, 1, 3) else 1


def relu_(input: Tensor) -> Tensor:
    """relu in place."""
    return relu(input, inplace=True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """leaky_relu in place."""
    return leaky_relu(input, negative_slope, inplace=True)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """elu in place."""
    return elu(input, alpha, inplace=True)


def selu_(input: Tensor) -> Tensor:
    """selu in place."""
    return selu(input, inplace=True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """hardtanh in place."""
    return hardtanh(input, min_val, max_val, inplace=True)
