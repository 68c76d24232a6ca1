"""The slope of a function from its values beside a point: extrapolated, with an error, left and right apart.

One difference (f(x + h) - f(x - h)) / 2h cannot tell a wrong gradient from a step that is too long (curvature), too
short (rounding), or that crosses a kink. Differences at several steps can: as h shrinks, those of a smooth function
converge, those of a kink converge to different numbers on the two sides, those of a jump grow without bound.

Everything here works on many functions at once: arrays are [level, ...], the shortest step first.

Source: Ridders 1982, "Accurate computation of F'(x) and F'(x)F''(x)" (the table, and its error); Higham 2002, ch. 25.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

LEVELS = 5
CERTAIN = 4
"""An estimate is certain to this many times its error, which is itself an estimate."""


@dataclass(frozen=True)
class Ladder:
    """The steps at which a function is looked at: smallest * ratio^k, all of them powers of two.

    Args:
        smallest: the shortest step.
        ratio: of each step to the one before.
        unit: the distance from 1 to the next number of the arithmetic that the function computes in.
    """

    smallest: float
    ratio: int
    unit: float

    @property
    def steps(self) -> tuple[float, ...]:
        """The steps, the shortest first."""
        return tuple([self.smallest * self.ratio**k for k in range(LEVELS)])

    @staticmethod
    def of(eps: float, dtype: np.dtype[Any]) -> Ladder:
        """The steps from `eps` on for functions that compute in `dtype`; none shorter than the root of its unit.

        They are 8 times the one before, or 4 or 2 times if the longest would be more than 1/2.
        """
        unit = float(np.finfo(dtype).eps)
        smallest = 2.0 ** round(math.log2(max(eps, math.sqrt(unit))))
        ratio = next((r for r in (8, 4) if smallest * r ** (LEVELS - 1) <= 1 / 2), 2)
        return Ladder(smallest, ratio, unit)


@dataclass(frozen=True)
class Slopes:
    """What differences say about slopes; all arrays are of one shape.

    Args:
        value: the slope, from both sides where both exist.
        error: how far off it may be; at a kink, how far off left and right may be; inf where too few values exist.
        left, right: the slopes on either side.
        kink: True where left and right differ by more than their errors: the function has no derivative there.
        rough: True where no slope can be seen: the function jumps, its slope grows without bound, or it changes too
            fast for the shortest step. The error is then as large as the largest difference.
    """

    value: Array
    error: Array
    left: Array
    right: Array
    kink: Array
    rough: Array

    def at(self, some: Array) -> Slopes:
        """Those at some places of the last axis."""
        return Slopes(*[getattr(self, field.name)[..., some] for field in fields(Slopes)])

    def _vagueness(self) -> Array:
        """The error as a part of the slope; 1 where it is half of it or more."""
        with np.errstate(all="ignore"):
            part = self.error / np.abs(self.value)
        return np.where((part < 0.5) & ~self.rough, part, 1.0)

    def better(self, other: Slopes) -> Slopes:
        """The one known to more digits, element by element; if neither has one, that with the smaller error."""
        vague, its_vague = self._vagueness(), other._vagueness()
        mine = (vague < its_vague) | ((vague == its_vague) & (self.error <= other.error))
        names = [field.name for field in fields(Slopes)]
        return Slopes(*[np.where(mine, getattr(self, n), getattr(other, n)) for n in names])


def joined_slopes(first: Slopes, second: Slopes) -> Slopes:
    """The slopes of both, side by side along the last axis."""
    names = [field.name for field in fields(Slopes)]
    return Slopes(*[np.concatenate([getattr(first, n), getattr(second, n)], axis=-1) for n in names])


def slopes(
    base: Array, up: Array, down: Array, up_steps: Array, down_steps: Array, size: Array, ladder: Ladder
) -> Slopes:
    """The slopes at 0 of functions with values `base` at 0, `up` at `up_steps` and `down` at -`down_steps`.

    Args:
        base: of any shape (...). Where it is not finite there is no slope: value nan, error inf.
        up, down: (LEVELS, ...). Values that are not finite (log of a negative number) are left out.
        up_steps, down_steps: positive, broadcastable to (LEVELS, ...): the steps as rounding left them.
        size: how large the numbers are that a value is the sum of: its rounding is a part of that.
        ladder: which steps were meant.
    """
    with np.errstate(all="ignore"):
        largest = np.fmax(size, np.fmax.reduce(np.abs(np.concatenate([up, down]))))
        rounding = ladder.unit * largest
        noise = _noise(up + down - 2 * base, rounding, ladder.ratio**2)
        forward, backward = (up - base) / up_steps, (base - down) / down_steps
        central = _limit((up - down) / (up_steps + down_steps), noise / up_steps, ladder.ratio**2)
        right = _limit(forward, 2 * noise / up_steps, ladder.ratio)
        left = _limit(backward, 2 * noise / down_steps, ladder.ratio)
        rough = _jumps(up - base, base - down, max(1e-6, math.sqrt(ladder.unit)) * largest)
        rough |= _grows(forward, 2 * rounding / up_steps, ladder.ratio)
        rough |= _grows(backward, 2 * rounding / down_steps, ladder.ratio)
        kink = _differ(left, right) & ~rough
        one_sided = np.where(right[1] <= left[1], right, left)
        value, error = np.where(np.isfinite(central[1]), central, one_sided)
        error = np.where(kink, np.fmax(left[1], right[1]), error)
        steepest = np.fmax.reduce(np.abs(np.concatenate([forward, backward])))
        error = np.where(rough, np.fmax(steepest, error), error)
        error = np.where((steepest == 0) & np.isfinite(base), 0.0, error)  # it does not read this input at all
    return Slopes(value, error, left[0], right[0], kink, rough)


def _noise(second: Array, rounding: Array, factor: int) -> Array:
    """How far off one value may be: its rounding, or what the second differences f(x + h) + f(x - h) - 2 f(x) betray.

    They grow with h^2 for a smooth function; a function that computes in less than its result's precision shows its
    own rounding in what is left when that part is taken away.
    """
    rest = np.fmin.reduce(np.abs(second[:-1] - second[1:] / factor)) / 2
    return np.asarray(np.fmax(rounding, np.nan_to_num(rest, nan=0.0, posinf=0.0)))


def _limit(differences: Array, noise: Array, factor: int) -> Array:
    """The limit of differences as the step goes to 0, and its error: (2, ...).

    The entry of Neville's table that differs least from the two it was made of; `factor` is by how much the
    differences' leading error grows from one level to the next.
    """
    table = _before_it_wanders(differences, noise)
    best, error = np.full(table.shape[1:], np.nan), np.full(table.shape[1:], np.inf)
    for column in range(LEVELS):
        if column == 0:
            gaps = np.abs(np.diff(table, axis=0))
            spread = np.concatenate([gaps, gaps[-1:]])
        else:
            weight = 1 / (float(factor) ** column - 1)
            finer, coarser = table[:-1], table[1:]
            table = finer + weight * (finer - coarser)
            spread = np.maximum(np.abs(table - finer), np.abs(table - coarser))
        total = spread + 2 * noise[: len(table)]
        for candidate, its_error in zip(table, total, strict=True):
            better = its_error < error  # False for nan
            best, error = np.where(better, candidate, best), np.where(better, its_error, error)
    return np.stack([best, error])


def _before_it_wanders(differences: Array, noise: Array) -> Array:
    """The differences up to the step where they stop behaving as those of a smooth function; nan beyond.

    While steps are short, neighbours differ less and less (rounding fades), then more and more (curvature grows).
    Where they differ less again, a step has left the neighbourhood: passed a kink, or the flat end of a steep
    function. Neighbours that agree out there say nothing about the slope here.
    """
    gaps = np.abs(np.diff(differences, axis=0))
    kept = differences.copy()
    risen = np.zeros(gaps.shape[1:], bool)
    left = np.zeros(gaps.shape[1:], bool)
    for k in range(1, len(gaps)):
        left |= risen & (gaps[k] < gaps[k - 1])
        risen |= (gaps[k] > 2 * gaps[k - 1]) & (gaps[k] > CERTAIN * noise[k])
        kept[k + 1][left] = np.nan
    return kept


def _differ(left: Array, right: Array) -> Array:
    """True where two limits differ by much more than their errors, and visibly."""
    gap = np.abs(right[0] - left[0])
    certain = gap > 2 * CERTAIN * (left[1] + right[1])
    return np.asarray(certain & (gap > 1e-6 * (np.abs(left[0]) + np.abs(right[0]))))


def _jumps(up: Array, down: Array, visible: Array) -> Array:
    """True where the shortest step changes the value by a quarter or more of what the longest do, and visibly."""
    changes = np.abs(np.concatenate([up, down]))
    shortest = np.maximum(np.abs(up[0]), np.abs(down[0]))
    return np.asarray((shortest > visible) & (shortest > np.fmax.reduce(changes) / 4))


def _grows(differences: Array, rounding: Array, ratio: int) -> Array:
    """True where the slope has no limit, as those of sqrt(x) and x log(x) at 0: it grows by ever as much, or more.

    The differences of a smooth function converge ever faster; where a kink or a flat part is near, the slope of the
    shortest step stands alone, `ratio` times as far from the next as that from the one after.
    """
    gaps = -np.diff(differences, axis=0)
    growth = gaps[:-1] / gaps[1:]
    visible = np.abs(gaps).min(axis=0) > 1e-3 * np.abs(differences).max(axis=0)
    certain = (np.abs(gaps) > CERTAIN * rounding[:-1]).all(axis=0)
    return np.asarray(visible & certain & ((growth > 0.7) & (growth < 0.75 * ratio)).all(axis=0))
