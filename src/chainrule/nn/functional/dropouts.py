"""Dropout: elements or whole channels left out at random. The draws come from the default generator."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from chainrule.errors import ArgumentError, ShapeError
from chainrule.nn.functional.activations import into
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.functions import random
from chainrule.tensor.functions.random import default_generator
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor


def checked_probability(p: float) -> float:
    """A probability of leaving out.

    Raises:
        ArgumentError: if it is not in [0, 1].
    """
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout probability has to be between 0 and 1, but got {p}")
    return p


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element 0 with probability p, else divided by 1 - p; the input itself outside training.

    Raises:
        ArgumentError: if p is not in [0, 1].
    """
    if inplace:
        return into(input, "dropout", lambda x: random.dropout(x, p, training))
    return random.dropout(input, p, training)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Whole channels of (N, C, L) or (C, L) left out.

    Raises:
        ShapeError: for another number of axes.
        ArgumentError: if p is not in [0, 1].
    """
    return _by_channel(input, p, training, inplace, "dropout1d", batched=3, unbatched=2)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Whole channels of (N, C, H, W) left out.

    Three axes are taken as (N, C, L), with a warning, as in PyTorch.

    Raises:
        ShapeError: for another number of axes.
        ArgumentError: if p is not in [0, 1].
    """
    if input.value.ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3-D input to dropout2d and assuming that channel-wise 1-D dropout behavior is "
            "desired - input is interpreted as shape (N, C, L). Use dropout1d for that.",
            stacklevel=2,
        )
        return _by_channel(input, p, training, inplace, "dropout2d", batched=3, unbatched=3)
    return _by_channel(input, p, training, inplace, "dropout2d", batched=4, unbatched=4)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Whole channels of (N, C, D, H, W) or (C, D, H, W) left out.

    Raises:
        ShapeError: for another number of axes.
        ArgumentError: if p is not in [0, 1].
    """
    return _by_channel(input, p, training, inplace, "dropout3d", batched=5, unbatched=4)


def _by_channel(
    input: Tensor, p: float, training: bool, inplace: bool, name: str, *, batched: int, unbatched: int
) -> Tensor:
    """Channels left out of an input with as many axes as a batch has, or one sample."""
    checked_probability(p)
    ndim = input.value.ndim
    if ndim not in (batched, unbatched):
        wanted = f"{batched}D" if batched == unbatched else f"{unbatched}D or {batched}D"
        raise ShapeError(f"{name}: Expected {wanted} input, not {ndim}D", got=[describe("input", input)])
    if not training or p == 0:
        return input
    axes = 2 if ndim == batched else 1
    shape = input.value.shape[:axes] + (1,) * (ndim - axes)
    drop = _masked(shape, p)
    return into(input, name, drop) if inplace else drop(input)


def _masked(shape: tuple[int, ...], p: float) -> Callable[[Tensor], Tensor]:
    """The function that leaves out what a mask of this shape says, drawn now."""

    def drop(x: Tensor) -> Tensor:
        kept = GATES["ge"](random.uniform_numbers(shape, x.value.dtype, default_generator), p)
        return GATES["where"](kept, GATES["mul"](x, 1 / (1 - p) if p < 1 else 0.0), 0.0)

    return drop
