"""pad: more elements around a tensor, constant or taken from itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from chainrule.errors import ArgumentError, ShapeError
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.graph import Array
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor, wrap


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """More elements at both ends of the last axes; negative numbers take elements away.

    Args:
        input: any shape.
        pad: (left, right) of the last axis, then of the one before, and so on.
        mode: "constant" (with `value`, 0 by default); "reflect" (2 1 | 0 1 2 | 1 0), "replicate" (0 0 | 0 1 2 | 2 2),
            "circular" (1 2 | 0 1 2 | 0 1).

    Raises:
        ArgumentError: for an odd number of widths, another mode, a value with a mode that has none.
        ShapeError: for more widths than axes, or more elements than the mode can take from the axis.
    """
    shape = input.value.shape
    if len(pad) % 2:
        raise ArgumentError(f"pad: padding length must be divisible by 2, got {tuple(pad)}")
    if len(pad) > 2 * len(shape):
        raise ShapeError(
            f"pad: {len(pad) // 2} axes are to be padded, the input has {len(shape)}", got=[describe("input", input)]
        )
    widths = [(0, 0)] * (len(shape) - len(pad) // 2) + [
        (int(pad[i]), int(pad[i + 1])) for i in range(len(pad) - 2, -1, -2)
    ]
    if mode == "constant":
        return _with_constant(input, widths, 0.0 if value is None else value)
    if mode not in INDEX:
        raise ArgumentError(f"pad: mode is 'constant', 'reflect', 'replicate' or 'circular', not {mode!r}")
    if value is not None:
        raise ArgumentError(f"pad: padding mode {mode!r} doesn't take in value argument")
    for axis, (left, right) in enumerate(widths):
        if left or right:
            input = _from_itself(input, axis, left, right, mode)
    return input


def _with_constant(x: Tensor, widths: list[tuple[int, int]], value: float) -> Tensor:
    for axis, (left, right) in enumerate(widths):
        if left + right + x.value.shape[axis] < 0:
            raise ShapeError(f"pad: axis {axis} would have a negative size", got=[describe("input", x)])
    if any(left < 0 or right < 0 for left, right in widths):
        sizes = zip(widths, x.value.shape, strict=True)
        key = tuple([slice(max(-left, 0), n - max(-right, 0)) for (left, right), n in sizes])
        x = GATES["slice"](x, key=key)
        widths = [(max(left, 0), max(right, 0)) for left, right in widths]
    return GATES["pad"](x, widths=tuple(widths), value=value)


def _from_itself(x: Tensor, axis: int, left: int, right: int, mode: str) -> Tensor:
    n = x.value.shape[axis]
    most = {"reflect": n - 1, "replicate": None if n else 0, "circular": n}[mode]
    if (most is not None and max(left, right) > most) or left + right + n < 0:
        raise ShapeError(
            f"pad: Padding size should be less than the corresponding input dimension: ({left}, {right}) at axis "
            f"{axis} of size {n} with mode {mode!r}",
            got=[describe("input", x)],
        )
    places = INDEX[mode](np.arange(-left, n + right), n)
    return GATES["take"](x, wrap(places, None), key=(slice(None),) * axis + (None,))


INDEX: dict[str, Callable[[Array, int], Array]] = {
    "reflect": lambda i, n: n - 1 - np.abs(n - 1 - np.abs(i)),
    "replicate": lambda i, n: np.clip(i, 0, n - 1),
    "circular": lambda i, n: i % n,
}
"""For each mode, which element stands at the places -left ... n + right - 1."""
