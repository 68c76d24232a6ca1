"""An axis: the range that a chart shows and its ticks, which stand at 1, 2 or 5 times a power of ten.

Ticks are computed as fractions, from the decimal digits that Python prints for a float, and rounded once:
a tick at 0.3 is the float 0.3, and a range that starts at 0.3 starts at that tick.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from chainrule.report.values import fixed, times_ten_to

# Values that differ by less than this share of their size make a constant.
FLAT = 1e-6
# Magnitudes outside these overflow or vanish in the arithmetic of an axis.
LARGEST, SMALLEST = 1e300, 1e-290


@dataclass(frozen=True)
class Axis:
    """The range from `low` to `high`, the ticks in it, and how they read."""

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    log: bool = False

    def position(self, value: float) -> float:
        """Where the value stands: 0 at `low`, 1 at `high`."""
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)


def linear_axis(values: Sequence[float], *, count: int, enclose: bool) -> Axis:
    """The axis of finite values with about `count` ticks, on whole numbers if all values are whole.

    Args:
        values: finite, at most `LARGEST` in magnitude; none give the axis from 0 to 1.
        count: at most that many steps between ticks inside the range; 5 or more leave at least two ticks.
        enclose: whether the range is widened to begin and end at a tick.
    """
    low, high = (Fraction(repr(bound)) for bound in _range(values))
    step = _nice_step((high - low) / count)
    if all(value.is_integer() for value in values):
        step = max(step, Fraction(1))
    outward = (math.floor(low / step), math.ceil(high / step))
    inward = (math.ceil(low / step), math.floor(high / step))
    first, last = outward if enclose else inward
    ticks = tuple(float(index * step) for index in range(first, last + 1))
    if enclose:
        low, high = first * step, last * step
    return Axis(float(low), float(high), ticks, _linear_labels(ticks, float(step)))


def log_axis(values: Sequence[float], *, count: int) -> Axis:
    """The logarithmic axis of positive values: from one of 1, 2, 5 times a power of ten to another.

    Args:
        values: from `SMALLEST` to `LARGEST`; none give the axis from 1 to 10.
        count: the most ticks at powers of ten; an axis of fewer than three such has ticks at 2 and 5 as well.
    """
    low, high = (min(values), max(values)) if values else (1.0, 10.0)
    first = max(index for index in _indices_around(low) if _one_two_five(index) <= low)
    last = min(index for index in _indices_around(high) if _one_two_five(index) >= high and index > first)
    indices = range(first, last + 1)
    decades = [index for index in indices if index % 3 == 0]
    if len(decades) >= 3:
        stride = 3 * math.ceil(len(decades) / count)
        shown = [index for index in decades if index % stride == 0]
    else:
        shown = list(indices)
    ticks = tuple(map(_one_two_five, shown))
    return Axis(_one_two_five(first), _one_two_five(last), ticks, _log_labels(shown), log=True)


def _range(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    size = max(abs(low), abs(high))
    if size < SMALLEST:
        return -1.0, 1.0
    if high - low < FLAT * size:
        return low - size / 10, high + size / 10
    return low, high


def _nice_step(at_least: Fraction) -> Fraction:
    power = Fraction(10) ** math.floor(math.log10(at_least))
    return next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= at_least)


def _linear_labels(ticks: Sequence[float], step: float) -> tuple[str, ...]:
    largest = max(map(abs, ticks), default=0.0)
    place = _decimal_place(step)
    if largest < 1e6 and place >= -5:
        return tuple(fixed(tick, max(0, -place)) for tick in ticks)
    exponent = _decimal_place(largest)
    decimals = max(0, exponent - place)
    return tuple(times_ten_to(f"{tick / 10.0**exponent:.{decimals}f}", exponent) if tick else "0" for tick in ticks)


def _decimal_place(value: float) -> int:
    """The power of ten of the first digit; a logarithm rounded just below a whole number counts as it."""
    return math.floor(math.log10(value) + 1e-9)


def _one_two_five(index: int) -> float:
    """The sequence ..., 0.5, 1, 2, 5, 10, ... with 1 at index 0."""
    decade, place = divmod(index, 3)
    return float((1, 2, 5)[place] * Fraction(10) ** decade)


def _indices_around(value: float) -> range:
    """Indices of `_one_two_five` that surely contain the value's neighbours on both sides."""
    start = 3 * math.floor(math.log10(value))
    return range(start - 3, start + 7)


def _log_labels(indices: Sequence[int]) -> tuple[str, ...]:
    if all(-9 <= index <= 12 for index in indices):
        return tuple(fixed(_one_two_five(index), max(0, -(index // 3))) for index in indices)
    return tuple(times_ten_to(str((1, 2, 5)[index % 3]), index // 3).removeprefix("1×") for index in indices)
