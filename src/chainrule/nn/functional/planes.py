"""What convolution and pooling share: a number for each spatial axis, and a sample without a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.errors import ArgumentError, ArgumentTypeError, ShapeError
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor


def for_each_axis(n: Any, axes: int, what: str) -> tuple[int, ...]:
    """One integer for each axis: one for all of them is repeated.

    Raises:
        ArgumentError: for another number of integers.
        ArgumentTypeError: for what is no integer.
    """
    if type(n) is tuple and len(n) == axes and all(type(k) is int for k in n):
        return n
    numbers = tuple(n) if isinstance(n, Sequence) and not isinstance(n, str) else (n,)
    if not all(hasattr(k, "__index__") and not isinstance(k, bool) for k in numbers):
        raise ArgumentTypeError(f"{what} is an integer or {axes} of them, not {n!r}")
    if len(numbers) not in (1, axes):
        raise ArgumentError(f"expected {what} to be a single integer or {axes} of them, but got {what}={n!r}")
    return tuple([k.__index__() for k in numbers]) * (axes // len(numbers))


def on_batches(name: str, input: Tensor, axes: int, run: Callable[[Tensor], Tensor]) -> Tensor:
    """`run` of (N, C, d1, ...), or of (C, d1, ...) as a batch of one.

    Raises:
        ShapeError: for another number of axes.
    """
    shape = input.value.shape
    if len(shape) == axes + 2:
        return run(input)
    if len(shape) != axes + 1:
        raise ShapeError(
            f"{name}: Expected {axes + 1}D (unbatched) or {axes + 2}D (batched) input to {name}, but got input of "
            f"size: {list(shape)}",
            got=[describe("input", input)],
        )
    y = run(GATES["reshape"](input, shape=(1, *shape)))
    return GATES["reshape"](y, shape=y.value.shape[1:])
