"""What is measured of an array: its size as root mean square, its range, and its share of zeros and non-finite numbers.

In float64 whatever the array is: squares of float32 numbers neither overflow nor underflow there, so that the
smallest gradient which a float32 can hold has a logarithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log, nan, sqrt

import numpy as np

from chainrule.tensor.graph import Array

BINS = 20
"""Of a histogram of slopes: the first holds what is flatter than 5% of the steepest."""


@dataclass(frozen=True)
class Statistics:
    """An array in a few numbers.

    Args:
        rms: the root mean square, sqrt(mean(x^2)); nan or inf where the array is not finite.
        low, high: the smallest and the largest element that is finite; nan if there is none.
        zeros, nonfinite: the shares of elements that are exactly 0, and that are infinite or nan, in [0, 1].
        size: the number of elements.
    """

    rms: float
    low: float
    high: float
    zeros: float
    nonfinite: float
    size: int

    @property
    def is_zero(self) -> bool:
        """True if every element is exactly 0."""
        return self.zeros == 1.0

    @property
    def is_finite(self) -> bool:
        """True if every element is a finite number."""
        return self.nonfinite == 0.0

    @property
    def log_rms(self) -> float:
        """The natural logarithm of the root mean square; -inf for zeros, and what is not finite as it is."""
        return log(self.rms) if 0 < self.rms < inf else -inf if self.rms == 0 else self.rms


def rms(x: Array) -> float:
    """sqrt(mean(x^2)), of the magnitude for what has no elements 0."""
    v = np.asarray(x, np.float64).ravel()
    if not v.size:
        return 0.0
    square = float(np.dot(v, v)) / v.size
    if 1e-290 < square < inf or x.dtype != np.float64:  # squares of shorter floats are exact in range
        return sqrt(square) if isfinite(square) else square
    largest = float(np.max(np.abs(v)))
    if largest == 0 or not isfinite(largest):
        return largest
    v = v / largest
    return largest * sqrt(float(np.dot(v, v)) / v.size)


def measure(x: Array) -> Statistics:
    """The statistics of an array of any shape."""
    if not x.size:
        return Statistics(0.0, nan, nan, 1.0, 0.0, 0)
    size, low, high = x.size, float(np.min(x)), float(np.max(x))
    lost = 0
    if not (isfinite(low) and isfinite(high)):
        finite = x[np.isfinite(x)]
        lost = size - finite.size
        low, high = (float(np.min(finite)), float(np.max(finite))) if finite.size else (nan, nan)
    zeros = size - int(np.count_nonzero(x))
    return Statistics(rms(x), low, high, zeros / size, lost / size, size)


def steepness(slopes: Array, cap: float) -> tuple[float, ...]:
    """Of |phi'(z)| / sup |phi'| the share of the elements in each of 20 equal bins from 0 to 1.

    Elements that are not finite are in none of them.
    """
    shares = np.abs(slopes) * (BINS / cap)
    places = np.minimum(shares[np.isfinite(shares)].astype(np.intp), BINS - 1)  # a slope may be rounded above its cap
    return tuple((np.bincount(places, minlength=BINS) / max(slopes.size, 1)).tolist())


def average(statistics: Sequence[Statistics]) -> Statistics:
    """Several batches' statistics as one: the geometric mean of sizes, the whole range, the mean shares.

    The geometric mean, because the logarithms are what a ledger adds: its identity holds of the average, too.
    """
    n = len(statistics)
    sizes = [one.rms for one in statistics]
    if not all(isfinite(size) for size in sizes):
        mean = nan if any(size != size for size in sizes) else inf
    else:
        mean = exp(sum(map(log, sizes)) / n) if all(sizes) else 0.0
    lows, highs = ([v for v in values if v == v] for values in zip(*[(s.low, s.high) for s in statistics], strict=True))
    return Statistics(
        mean,
        min(lows, default=nan),
        max(highs, default=nan),
        sum(one.zeros for one in statistics) / n,
        sum(one.nonfinite for one in statistics) / n,
        statistics[0].size,
    )
