"""Elementwise functions: most are the gates themselves, under PyTorch's names; a few have options of their own."""

from __future__ import annotations

from typing import Any

from chainrule.errors import ArgumentError, ArgumentTypeError
from chainrule.tensor.dispatch import GATES, Gate
from chainrule.tensor.tensor import Tensor, default_float

PLAIN = (
    "abs", "acos", "asin", "atan", "atan2", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "ceil",
    "cos", "cosh", "eq", "erf", "exp", "expm1", "floor", "floor_divide", "ge", "gt", "isfinite", "isinf", "isnan",
    "le", "lerp", "log", "log10", "log1p", "log2", "logical_and", "logical_not", "logical_or", "logical_xor", "lt",
    "maximum", "minimum", "mul", "ne", "neg", "pow", "reciprocal", "relu", "remainder", "rsqrt", "sigmoid", "sign",
    "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc",
)  # fmt: skip
"""Names whose gate is the public function."""

ALIASES = {
    "absolute": "abs", "arccos": "acos", "arcsin": "asin", "arctan": "atan", "arctan2": "atan2", "fix": "trunc",
    "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "multiply": "mul", "negative": "neg",
    "not_equal": "ne",
}  # fmt: skip
"""PyTorch's second names of some of them."""


def __getattr__(name: str) -> Gate:
    """The gate of that name, made at its first use."""
    gate = ALIASES.get(name, name)
    if gate not in PLAIN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = GATES[gate]
    return GATES[gate]


def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """input + alpha other."""
    return GATES["add"](input, other if alpha == 1 else other * alpha)


def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """input - alpha other."""
    return GATES["sub"](input, other if alpha == 1 else other * alpha)


subtract = sub


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """input / other; rounded down ("floor") or towards zero ("trunc") on request."""
    if rounding_mode is None:
        return GATES["div"](input, other)
    if rounding_mode == "floor":
        return GATES["floor_divide"](input, other)
    if rounding_mode == "trunc":
        if any(_is_float(x) for x in (input, other)):
            return GATES["trunc"](GATES["div"](input, other))
        down, rest = GATES["floor_divide"](input, other), GATES["remainder"](input, other)
        return GATES["add"](down, GATES["logical_and"](down < 0, GATES["ne"](rest, 0)))  # exact for any integer
    raise ArgumentError(f"div: rounding_mode is None, 'floor' or 'trunc', not {rounding_mode!r}")


def _is_float(x: Any) -> bool:
    return x.value.dtype.kind == "f" if isinstance(x, Tensor) else isinstance(x, float)


divide = true_divide = div


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """other - alpha input."""
    return sub(other, input, alpha=alpha)


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """input where the condition holds, else other; with the condition alone the indices where it holds."""
    if input is None and other is None:
        from chainrule.tensor.functions.selection import nonzero

        return nonzero(condition, as_tuple=True)
    if condition.value.dtype.kind != "b":
        raise ArgumentTypeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype}"
        )
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        from chainrule.tensor.functions.creation import tensor

        input = tensor(input)
    return GATES["where"](condition, input, other)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """x moved into [min, max]; the bounds are numbers or tensors, and one may be missing.

    Raises:
        ArgumentError: if both are missing.
    """
    if min is None and max is None:
        raise ArgumentError("clamp: At least one of 'min' or 'max' must not be None")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        y = input if min is None else GATES["maximum"](input, min)
        return y if max is None else GATES["minimum"](y, max)
    if input.value.dtype.kind != "f" and (type(min) is float or type(max) is float):
        input = GATES["cast"](input, dtype=default_float())
    return GATES["clamp"](input, min=min, max=max)


clip = clamp


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest integer, halves to the even one; or to so many decimals."""
    if not decimals:
        return GATES["round"](input)
    return GATES["round"](input * 10.0**decimals) / 10.0**decimals


def frac(input: Tensor) -> Tensor:
    """x without its integer part."""
    return input - GATES["trunc"](input)


def nan_to_num(input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """nan, inf and -inf replaced by numbers: 0, and the largest and smallest finite ones."""
    import numpy as np

    limit = float(np.finfo(input.value.dtype).max)
    y = GATES["where"](GATES["isnan"](input), nan, input)
    y = GATES["where"](GATES["eq"](input, float("inf")), limit if posinf is None else posinf, y)
    return GATES["where"](GATES["eq"](input, -float("inf")), -limit if neginf is None else neginf, y)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """input + value tensor1 tensor2."""
    return input + tensor1 * tensor2 * value


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """input + value tensor1 / tensor2."""
    return input + tensor1 / tensor2 * value


def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """log(e^input + e^other), without overflow."""
    return GATES["maximum"](input, other) + GATES["log1p"](GATES["exp"](-GATES["abs"](input - other)))
