"""The error function on arrays: NumPy has none.

Source: float64 by the piecewise rational approximations of FreeBSD's msun (s_erf.c, Sun Microsystems 1993),
below 1 ulp; float32 through float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

_SMALL = (
    (1.28379167095512558561e-01, -3.25042107247001499370e-01, -2.84817495755985104766e-02,
     -5.77027029648944159157e-03, -2.37630166566501626084e-05),
    (1.0, 3.97917223959155352819e-01, 6.50222499887672944485e-02, 5.08130628187576562776e-03,
     1.32494738004321644526e-04, -3.96022827877536812320e-06),
)  # fmt: skip
_NEAR_ONE = (
    (-2.36211856075265944077e-03, 4.14856118683748331666e-01, -3.72207876035701323847e-01,
     3.18346619901161753674e-01, -1.10894694282396677476e-01, 3.54783043256182359371e-02,
     -2.16637559486879084300e-03),
    (1.0, 1.06420880400844228286e-01, 5.40397917702171048937e-01, 7.18286544141962662868e-02,
     1.26171219808761642112e-01, 1.36370839120290507362e-02, 1.19844998467991074170e-02),
)  # fmt: skip
_MIDDLE = (
    (-9.86494403484714822705e-03, -6.93858572707181764372e-01, -1.05586262253232909814e01,
     -6.23753324503260060396e01, -1.62396669462573470355e02, -1.84605092906711035994e02,
     -8.12874355063065934246e01, -9.81432934416914548592e00),
    (1.0, 1.96512716674392571292e01, 1.37657754143519042600e02, 4.34565877475229228821e02,
     6.45387271733267880336e02, 4.29008140027567833386e02, 1.08635005541779435134e02,
     6.57024977031928170135e00, -6.04244152148580987438e-02),
)  # fmt: skip
_LARGE = (
    (-9.86494292470009928597e-03, -7.99283237680523006574e-01, -1.77579549177547519889e01,
     -1.60636384855821916062e02, -6.37566443368389627722e02, -1.02509513161107724954e03,
     -4.83519191608651397019e02),
    (1.0, 3.03380607434824582924e01, 3.25792512996573918826e02, 1.53672958608443695994e03,
     3.19985821950859553908e03, 2.55305040643316442583e03, 4.74528541206955367215e02,
     -2.24409524465858183362e01),
)  # fmt: skip
_ERF_OF_ONE = 8.45062911510467529297e-01  # rounded to float32, so that adding the rest is exact enough


BLOCK = 1 << 13
"""Elements that are computed at once: some ten arrays of so many float64 stay in the second cache."""


def erf(x: Array) -> Array:
    """(2 / sqrt(pi)) * integral of exp(-t^2) from 0 to x, in the dtype of `x`."""
    given = np.ascontiguousarray(x).reshape(-1)
    y = np.empty(given.shape, x.dtype)
    for start in range(0, given.size, BLOCK):
        y[start : start + BLOCK] = _block(given[start : start + BLOCK].astype(np.float64))
    return y.reshape(x.shape)


def _block(x: Array) -> Array:
    """erf of a few float64."""
    a = np.abs(x)
    y = x + x * _ratio(_SMALL, np.minimum(a * a, 1.0))
    far = np.flatnonzero(a >= 0.84375)
    if far.size:
        y[far] = np.copysign(_away_from_zero(a[far]), x[far])
    return np.asarray(y)


def _away_from_zero(a: Array) -> Array:
    near_one = _ERF_OF_ONE + _ratio(_NEAR_ONE, np.clip(a, 0.84375, 1.25) - 1.0)
    z = np.clip(a, 1.25, 6.0)
    s = 1.0 / (z * z)
    rest = np.where(z < 1 / 0.35, _ratio(_MIDDLE, s), _ratio(_LARGE, s))
    top = _without_low_bits(z)  # exp(-z^2) = exp(-top^2) * exp((top - z)(top + z)) loses no digits
    tail = np.exp(-top * top - 0.5625) * np.exp((top - z) * (top + z) + rest) / z
    return np.where(a < 1.25, near_one, 1.0 - tail)


def _ratio(coefficients: tuple[Sequence[float], Sequence[float]], t: Array) -> Array:
    p, q = coefficients
    return _polynomial(p, t) / _polynomial(q, t)


def _polynomial(coefficients: Sequence[float], t: Array) -> Array:
    value = np.full_like(t, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        value *= t
        value += c
    return value


def _without_low_bits(z: Array) -> Array:
    bits = np.ascontiguousarray(z).view(np.int64) & np.int64(-(1 << 32))
    return np.asarray(bits).view(np.float64).reshape(z.shape)
