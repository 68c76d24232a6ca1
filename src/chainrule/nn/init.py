"""Initialisation: functions that fill a parameter in place, outside the graph, and return it.

All draws take `generator=None`, the default generator.
"""

from __future__ import annotations

import warnings
from math import erf, prod, sqrt
from typing import Any, TypeVar

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.tensor.functions import random
from chainrule.tensor.functions.random import Generator
from chainrule.tensor.graph import Array
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor, wrote

T = TypeVar("T", bound=Tensor)

LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid")
"""Nonlinearities (and layers) with gain 1."""


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights before a nonlinearity grow, so that the variance of its results stays.

    1 for linear maps and sigmoid, 5/3 for tanh, sqrt(2) for relu, sqrt(2 / (1 + slope^2)) for leaky_relu, 3/4 for selu.

    Args:
        nonlinearity: its name in nn.functional.
        param: the slope of leaky_relu, 0.01 by default.

    Raises:
        ArgumentError: for another name, or a slope that is no number.

    Source: He et al. 2015, "Delving deep into rectifiers", section 2.2.
    """
    if nonlinearity in LINEAR:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, int | float):
            raise ArgumentError(f"negative_slope {slope} not a valid number")
        return sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ArgumentError(f"Unsupported nonlinearity {nonlinearity}")


# ---- constants -----------------------------------------------------------------------------------------------


def constant_(tensor: T, val: float) -> T:
    """`val` in every place."""
    return _fill(tensor, np.full(tensor.value.shape, val, tensor.value.dtype))


def ones_(tensor: T) -> T:
    """1 in every place."""
    return constant_(tensor, 1.0)


def zeros_(tensor: T) -> T:
    """0 in every place."""
    return constant_(tensor, 0.0)


def eye_(tensor: T) -> T:
    """The identity matrix, as far as it goes.

    Raises:
        ArgumentError: unless there are two axes.
    """
    _check_axes("eye_", tensor, 2, 2)
    return _fill(tensor, np.eye(*tensor.value.shape))


def dirac_(tensor: T, groups: int = 1) -> T:
    """Convolution weights that hand each input channel on: 1 in the middle of the kernel from channel i to i.

    Args:
        tensor: (out_channels, in_channels, k1, ...), with three to five axes.
        groups: the same in each group of output channels.

    Raises:
        ArgumentError: for another number of axes, or output channels that the groups do not divide.
    """
    _check_axes("dirac_", tensor, 3, 5)
    shape = tensor.value.shape
    if shape[0] % groups:
        raise ArgumentError("dim 0 must be divisible by groups", got=[describe("tensor", tensor), f"groups  {groups}"])
    values = np.zeros(shape, tensor.value.dtype)
    middle = tuple([k // 2 for k in shape[2:]])
    per_group = shape[0] // groups
    for group in range(groups):
        for i in range(min(per_group, shape[1])):
            values[(group * per_group + i, i, *middle)] = 1
    return _fill(tensor, values)


# ---- distributions -------------------------------------------------------------------------------------------


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> T:
    """Uniform numbers in [a, b)."""
    return _fill(tensor, _uniform(tensor, generator) * (b - a) + a)


def normal_(tensor: T, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> T:
    """Normal numbers of a mean and a standard deviation."""
    return _fill(tensor, _normal(tensor, generator) * std + mean)


def trunc_normal_(
    tensor: T, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Generator | None = None
) -> T:
    """Normal numbers in [a, b]: those outside are drawn again.

    If less than 0.3 of the normal distribution lies in [a, b], uniform numbers are drawn, and kept with the
    probability that the density has there relative to its maximum.

    Raises:
        ArgumentError: if b is not above a, or std is not positive.
    """
    if not a < b or not std > 0:
        raise ArgumentError(f"trunc_normal_: a < b and std > 0 are needed, not a={a}, b={b}, std={std}")
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_: nearly all values lie at one end.",
            stacklevel=2,
        )
    inside = 0.5 * (erf((b - mean) / (std * sqrt(2))) - erf((a - mean) / (std * sqrt(2))))
    highest = -0.5 * ((min(max(mean, a), b) - mean) / std) ** 2
    values = np.empty(tensor.value.size, _kind(tensor))
    todo = np.arange(values.size)
    while todo.size:
        if inside > 0.3:
            drawn = random.standard_normal((todo.size,), values.dtype, generator) * std + mean
            good = (drawn >= a) & (drawn <= b)
        else:
            drawn = random.uniform((todo.size,), values.dtype, generator) * (b - a) + a
            chance = np.exp(-0.5 * ((drawn - mean) / std) ** 2 - highest)
            good = random.uniform((todo.size,), values.dtype, generator) < chance
        values[todo[good]] = drawn[good]
        todo = todo[~good]
    return _fill(tensor, values.reshape(tensor.value.shape))


def xavier_uniform_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Uniform in [-r, r) with r = gain sqrt(6 / (fan_in + fan_out)).

    Raises:
        ArgumentError: for fewer than two axes.

    Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", eq. 16.
    """
    bound = gain * sqrt(6.0 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Normal with standard deviation gain sqrt(2 / (fan_in + fan_out)).

    Raises:
        ArgumentError: for fewer than two axes.

    Source: Glorot and Bengio 2010, eq. 12.
    """
    return normal_(tensor, 0.0, gain * sqrt(2.0 / sum(fans(tensor))), generator)


def kaiming_uniform_(
    tensor: T,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> T:
    """Uniform in [-r, r) with r = gain sqrt(3 / fan).

    Args:
        a: the slope of the leaky_relu that follows.
        mode: "fan_in" keeps the variance of the values, "fan_out" that of the gradients.
        nonlinearity: what follows, for `calculate_gain`.

    Raises:
        ArgumentError: for fewer than two axes, another mode or nonlinearity.

    Source: He et al. 2015, "Delving deep into rectifiers", eq. 15.
    """
    if _nothing_to_do(tensor):
        return tensor
    bound = sqrt(3.0) * calculate_gain(nonlinearity, a) / sqrt(fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: T,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> T:
    """Normal with standard deviation gain / sqrt(fan); the arguments are those of kaiming_uniform_.

    Raises:
        ArgumentError: for fewer than two axes, another mode or nonlinearity.

    Source: He et al. 2015, "Delving deep into rectifiers", eq. 10.
    """
    if _nothing_to_do(tensor):
        return tensor
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / sqrt(fan(tensor, mode)), generator)


def orthogonal_(tensor: T, gain: float = 1, generator: Generator | None = None) -> T:
    """`gain` times a random matrix with orthonormal rows or columns, whichever are fewer; uniform among those.

    Axes from the second on count as columns.

    Raises:
        ArgumentError: for fewer than two axes.

    Source: Saxe, McClelland and Ganguli 2014, "Exact solutions to the nonlinear dynamics of learning".
    """
    _check_axes("orthogonal_", tensor, 2)
    if not tensor.value.size:
        return tensor
    rows, columns = tensor.value.shape[0], prod(tensor.value.shape[1:])
    flat = random.standard_normal((max(rows, columns), min(rows, columns)), np.dtype(np.float64), generator)
    q, r = np.linalg.qr(flat)
    q *= np.sign(np.diag(r))  # without the signs the distribution is not uniform (Mezzadri 2007)
    return _fill(tensor, gain * (q.T if rows < columns else q).reshape(tensor.value.shape))


def sparse_(tensor: T, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> T:
    """Normal numbers with the share `sparsity` of each column at 0.

    Raises:
        ArgumentError: unless there are two axes.

    Source: Martens 2010, "Deep learning via Hessian-free optimization", section 5.
    """
    _check_axes("sparse_", tensor, 2, 2)
    rows, columns = tensor.value.shape
    values = _normal(tensor, generator) * std
    zeros = int(np.ceil(sparsity * rows))
    order = np.argsort(random.uniform((rows, columns), np.dtype(np.float64), generator), axis=0)
    np.put_along_axis(values, order[:zeros], 0, axis=0)
    return _fill(tensor, values)


# ---- fans ----------------------------------------------------------------------------------------------------


def fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs each output has, and how many outputs each input: (out, in, kernel ...).

    Raises:
        ArgumentError: for fewer than two axes.
    """
    shape = tensor.value.shape
    if len(shape) < 2:
        raise ArgumentError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions",
            got=[describe("tensor", tensor)],
        )
    field = prod(shape[2:])
    return shape[1] * field, shape[0] * field


def fan(tensor: Tensor, mode: str) -> int:
    """One of the two.

    Raises:
        ArgumentError: for a mode other than "fan_in" and "fan_out".
    """
    modes = ("fan_in", "fan_out")
    if str(mode).lower() not in modes:
        raise ArgumentError(f"Mode {mode} not supported, please use one of {list(modes)}")
    return fans(tensor)[modes.index(str(mode).lower())]


_calculate_fan_in_and_fan_out, _calculate_correct_fan = fans, fan  # programs use PyTorch's private names


# ---- filling -------------------------------------------------------------------------------------------------


def _fill(tensor: T, values: Array) -> T:
    if not isinstance(tensor, Tensor):
        raise ArgumentError(f"a Tensor is initialised, not {type(tensor).__name__}")
    np.copyto(tensor.value, values, casting="unsafe")
    wrote(tensor)
    return tensor


def _kind(tensor: Tensor) -> np.dtype[Any]:
    """The type to draw in: the tensor's, or float64 for integers."""
    dtype = tensor.value.dtype
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def _uniform(tensor: Tensor, generator: Generator | None) -> Array:
    return random.uniform(tensor.value.shape, _kind(tensor), generator)  # type: ignore[no-any-return]


def _normal(tensor: Tensor, generator: Generator | None) -> Array:
    return random.standard_normal(tensor.value.shape, _kind(tensor), generator)  # type: ignore[no-any-return]


def _nothing_to_do(tensor: Tensor) -> bool:
    if 0 not in tensor.value.shape:
        return False
    warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return True


def _check_axes(name: str, tensor: Tensor, least: int, most: int | None = None) -> None:
    ndim = tensor.value.ndim
    if ndim < least or (most is not None and ndim > most):
        wanted = f"{least}" if most == least else f"{least} to {most}" if most else f"{least} or more"
        raise ArgumentError(f"{name}: tensors with {wanted} dimensions are supported", got=[describe("tensor", tensor)])
