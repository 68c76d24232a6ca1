"""What a program gives the worker that times it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Program:
    """A training step of one library, from the initial weights on.

    Args:
        variant: how it was written, where a library has several ways (`fused`, `default`).
        step: `step(x, y)` does one training step on tensors of the library and returns the loss, perhaps unfinished.
        tensor: from a NumPy array to what `step` takes.
        wait: blocks until a loss that `step` returned is there.
        parameters: copies of the present parameters, under PyTorch's names.
        steps_a_call: how many training steps a call of `step` does; the loss then holds one number for each, and
            `x` and `y` have an axis of steps in front.
    """

    variant: str
    step: Callable[[Any, Any], Any]
    tensor: Callable[[NDArray[np.generic]], Any]
    wait: Callable[[Any], object]
    parameters: Callable[[], dict[str, NDArray[np.float32]]]
    steps_a_call: int = 1


class Maker(Protocol):
    """Makes a program with fresh weights; called once for each time it is built."""

    def __call__(self) -> Program: ...


Makers = Sequence[tuple[str, Maker]]
