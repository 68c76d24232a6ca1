"""A function and its claimed gradients as arrays in and arrays out, and the function's slopes, measured.

What the function is made of, and whose arrays it takes, is the business of those who build a BlackBox
(`gradients.py`, `pairs.py`); here it is called and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.verify.differences import LEVELS, Array, Ladder, Slopes, slopes

Cotangents = Sequence[Array | None]
"""One upstream gradient for each output; None for an output that nothing depends on."""

Value = Callable[[Sequence[Array]], list[Array]]
Pull = Callable[[Sequence[Cotangents]], list[list[Array | None]]]


@dataclass(frozen=True)
class BlackBox:
    """A function at a point, with the gradients that are claimed there.

    Args:
        title: what is checked, `gradcheck of softplus`.
        names: of the inputs to differentiate by.
        point: their values, in the type that the function takes.
        value: the outputs for other values of these inputs; it does not change what it is given.
        pull: for each list of upstream gradients, one for each output, the claimed gradients at `point`, one for each
            input; None for a gradient that is not claimed.
        dtype: the arithmetic in which it computes.
    """

    title: str
    names: tuple[str, ...]
    point: tuple[Array, ...]
    value: Value
    pull: Pull
    dtype: np.dtype[Any]

    def on_grid(self, x: Array) -> Array:
        """The nearest values that the function can tell apart, in the type that it takes."""
        return x if x.dtype == self.dtype else np.asarray(x, self.dtype).astype(x.dtype)


def precision(value: Value, point: Sequence[Array]) -> np.dtype[Any]:
    """The arithmetic in which a function computes: that of its coarsest input or output, or the one its numbers betray.

    A float64 result all of whose numbers are float32 ones, at points off the grid of float32, was computed in
    float32 somewhere.
    """
    rng = np.random.default_rng(20)
    with np.errstate(all="ignore"):
        first, second = [
            value([np.asarray(x + scale * rng.uniform(1, 2, x.shape), x.dtype) for x in point])
            for scale in (1e-4, -1e-4)
        ]
        types = {one.dtype for one in (*point, *first) if one.dtype.kind == "f"} | {np.dtype(np.float64)}
        coarsest = min(types, key=_width)
        y, other = joined(first), joined(second)
        whole = np.array_equal(y, np.round(y), equal_nan=True)  # counts, and constants, are on every grid
        if not whole and not np.array_equal(y, other, equal_nan=True):
            for coarse in (np.dtype(np.float16), np.dtype(np.float32)):
                if all(np.array_equal(v.astype(coarse), v, equal_nan=True) for v in (y, other)):
                    return min(coarsest, coarse, key=_width)
    return coarsest


def _width(dtype: np.dtype[Any]) -> int:
    return dtype.itemsize


class Probe:
    """A function's numbers, and those of some combinations of them, at points beside the given one.

    Args:
        box: the function.
        upstreams: upstream gradients c of all outputs; the slopes of <c, y> are measured.
        every: measure the slopes of every single output number as well; they come first.
        ladder: the steps.

    Attributes:
        evaluations: how often the function was called.
    """

    def __init__(self, box: BlackBox, upstreams: Sequence[Cotangents], every: bool, ladder: Ladder) -> None:
        self.box, self.every, self.ladder = box, every, ladder
        self.combine = np.stack([joined([c for c in row if c is not None]) for row in upstreams])
        self.point = tuple([box.on_grid(x) for x in box.point])
        self.evaluations = 0
        self.base = self(self.point)
        with np.errstate(all="ignore"):
            y = np.abs(joined(box.value(self.point)))
            combined = np.abs(self.combine) @ y
        self.size = np.concatenate([y, combined]) if every else combined

    def __call__(self, point: Sequence[Array]) -> Array:
        """(numbers,): the outputs one by one, if wanted, and their combinations."""
        self.evaluations += 1
        with np.errstate(all="ignore"):
            y = joined(self.box.value(point))
            combined = self.combine @ y
        return np.concatenate([y, combined]) if self.every else combined

    def elements(self, number: int, places: Array, relative: bool = False) -> Slopes:
        """The slopes by single elements x of an input: arrays of (numbers, len(places)).

        Steps are for numbers about 1, and in proportion to |x| above; `relative`, below as well.
        """
        x = self.point[number]

        def at(k: int, step: float) -> tuple[Array, float]:
            place = int(places[k])
            moved = x.copy()
            before = float(moved.flat[place])
            size = abs(before) if relative else max(1.0, abs(before))
            moved.flat[place] = self.box.on_grid(np.asarray(before + step * size, x.dtype))
            return moved, abs(float(moved.flat[place]) - before)

        return self._measured(number, len(places), at)

    def along(self, number: int, directions: Sequence[Array]) -> Slopes:
        """The slopes along directions in one input: arrays of (numbers, len(directions))."""
        x = self.point[number]

        def at(k: int, step: float) -> tuple[Array, float]:
            return self.box.on_grid(np.asarray(x + step * directions[k], x.dtype)), abs(step)

        return self._measured(number, len(directions), at)

    def _measured(self, number: int, count: int, at: Callable[[int, float], tuple[Array, float]]) -> Slopes:
        """The slopes of `count` curves through the point; at(k, step) is curve k, and how far it really went."""
        values = np.empty((2, LEVELS, len(self.base), count))
        steps = np.empty((2, LEVELS, 1, count))
        point = list(self.point)
        for k in range(count):
            for side, sign in enumerate((1, -1)):
                for level, step in enumerate(self.ladder.steps):
                    point[number], steps[side, level, 0, k] = at(k, sign * step)
                    values[side, level, :, k] = self(point)
        base = np.broadcast_to(self.base[:, None], values.shape[2:])
        size = np.broadcast_to(self.size[:, None], values.shape[2:])
        return slopes(base, values[0], values[1], steps[0], steps[1], size, self.ladder)


def joined(arrays: Sequence[Array]) -> Array:
    """All numbers of some arrays in one float64 array."""
    if len(arrays) == 1:
        return np.asarray(arrays[0], np.float64).ravel()
    return np.concatenate([np.zeros(0), *[np.ravel(one) for one in arrays]]).astype(np.float64, copy=False)
