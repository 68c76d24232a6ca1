"""Which claims are wrong: each is judged by the tolerance asked for and by how far off the measured slope may be.

A claim is wrong where it differs by more than both together; right where it does not, and the slope is known as well
as was asked; undecided where it is known less well. Where the slopes on the two sides differ, a claim between them is
valid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from chainrule.verify.differences import CERTAIN, Array, Slopes


@dataclass(frozen=True)
class Tolerance:
    """A claim c of a slope s may differ by atol * min(1, the largest |s|) + rtol * |s|.

    PyTorch's is atol + rtol * |s|: it takes any gradient for right whose numbers are all below atol.
    """

    atol: float
    rtol: float

    def tight(self, expected: Array, scale: float) -> Array:
        """How far a claim may be off where the slope is known exactly."""
        return np.asarray(self.atol * min(1.0, max(scale, 1e-4)) + self.rtol * np.abs(expected))

    def asked(self, expected: Array) -> Array:
        """How well a slope must be known for a verdict: as PyTorch's tolerance."""
        return np.asarray(self.atol + self.rtol * np.abs(expected))


@dataclass(frozen=True)
class Judged:
    """Claims and slopes with what follows from them; arrays of one shape, (numbers, elements)."""

    claimed: Array
    slopes: Slopes
    nearest: Array
    uncertain: Array
    wrong: Array
    kink: Array
    undecided: Array

    @property
    def difference(self) -> Array:
        """claimed - expected, to the nearer end of the interval at a kink."""
        return self.claimed - self.nearest


def judged(claimed: Array, slopes: Slopes, combine: Array, tolerance: Tolerance) -> Judged:
    """What follows from claims and slopes.

    Args:
        claimed, slopes: (numbers, elements): for each output, if they are looked at, then for three combinations.
        combine: (3, outputs), the combinations.
        tolerance: how close a claim must be.
    """
    with np.errstate(all="ignore"):
        kink, low, high = _valid(slopes, combine)
        slopes = replace(slopes, kink=kink, left=low, right=high)
        value, uncertain = slopes.value, CERTAIN * slopes.error
        nearest = np.where(slopes.kink, np.clip(claimed, low, high), value)
        scale = float(np.max(np.where(np.isfinite(uncertain), np.abs(value), 0.0), initial=0.0))
        allowed = tolerance.tight(nearest, scale) + uncertain
        infinite = ~np.isfinite(claimed)
        known = np.isfinite(uncertain) & ~(slopes.rough & infinite)
        wrong = known & (infinite | ~(np.abs(claimed - nearest) <= allowed))
        unknown = ~(uncertain <= tolerance.asked(value)) & ~slopes.kink
        if len(claimed) == 3 and combine.shape[1] > 1:  # each of many outputs may claim another side
            wrong, unknown = wrong & ~slopes.kink, unknown | (wrong & slopes.kink)
    return Judged(claimed, slopes, nearest, uncertain, wrong, slopes.kink & ~wrong, unknown & ~wrong)


def _valid(slopes: Slopes, combine: Array) -> tuple[Array, Array, Array]:
    """Where there is a kink, and the ends of the interval of valid claims there.

    A combination of outputs that have kinks may claim another side for each of them.
    """
    low, high = np.minimum(slopes.left, slopes.right), np.maximum(slopes.left, slopes.right)
    kink = slopes.kink.copy()
    units = len(low) - 3
    if units and kink[:units].any():
        low, high = np.where(kink, low, slopes.value), np.where(kink, high, slopes.value)
        for row, c in enumerate(combine, start=units):
            ends = c[:, None] * low[:units], c[:, None] * high[:units]
            low[row], high[row] = np.minimum(*ends).sum(axis=0), np.maximum(*ends).sum(axis=0)
            kink[row] = kink[:units].any(axis=0)
    return kink, low, high
