"""What mean-field theory predicts of a wide random network: the size of its values, and of its gradients, by layer.

With independent weights of mean square sigma_w^2 / fan_in, z is Gaussian over the units of a wide layer, and

    q^l  =  sigma_w^2 E[phi(sqrt(q^(l-1)) u)^2] + sigma_b^2,        u ~ N(0, 1)
    chi  =  sigma_w^2 E[phi'(sqrt(q) u)^2],

q the mean square of z and chi what one layer multiplies the mean square of delta by: below 1 gradients vanish, above 1
they explode, on the scale of 1 / |log chi| layers. phi and phi' are the catalogue's own.

Source: Poole et al. 2016; Schoenholz et al. 2017. For ReLU, He et al. 2015; linearised, Glorot and Bengio 2010.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import inf, log, sqrt
from typing import Any

import numpy as np

from chainrule.ops.op import Op
from chainrule.tensor.backward import grad
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.graph import Array
from chainrule.tensor.switches import enable_grad
from chainrule.tensor.tensor import wrap

POINTS = 8192
"""Points of the quadrature: even, so that half of them lie on each side of a kink at 0, where ReLU has its own."""


@lru_cache(maxsize=1)
def quadrature() -> tuple[Array, Array]:
    """Points u and weights p of E[f(u)] = sum p f(u) for u ~ N(0, 1): midpoints of equal steps in [-12, 12].

    For smooth f as exact as float64 is, for the density falls to 0 at the ends; where f jumps, wrong by half a step.
    Gauss-Hermite's points lie so far apart that hardtanh's mean squared slope comes out 14% wrong with 256 of them.
    """
    points = (np.arange(POINTS) + 0.5) * (24 / POINTS) - 12
    density = np.exp(-0.5 * points * points)
    return points, density / density.sum()


def moments(op: Op, params: Mapping[str, Any], q: float) -> tuple[float, float]:
    """E[phi(z)^2] and E[phi'(z)^2] for z ~ N(0, q).

    Args:
        op: an activation: an elementwise operator of one input.
        params: its parameters.
        q: the mean square of z, positive.
    """
    points, weights = quadrature()
    with enable_grad():
        z = wrap(sqrt(q) * points, None).requires_grad_()
        y = GATES[op.name](z, **params)
        (slope,) = grad(y, z, grad_outputs=wrap(np.ones(POINTS), None))
    return float(weights @ y.value**2), float(weights @ slope.value**2)


def variance_map(op: Op, params: Mapping[str, Any], sigma_w2: float, sigma_b2: float, q: float) -> float:
    """q of the next layer: sigma_w^2 E[phi(z)^2] + sigma_b^2 for z ~ N(0, q)."""
    return sigma_w2 * moments(op, params, q)[0] + sigma_b2


def chi(op: Op, params: Mapping[str, Any], sigma_w2: float, q: float) -> float:
    """What a layer multiplies the mean square of the gradient by: sigma_w^2 E[phi'(z)^2] for z ~ N(0, q)."""
    return sigma_w2 * moments(op, params, q)[1]


def depth_scale(chi: float) -> float:
    """In how many layers the mean square of the gradient changes by a factor e: 1 / |log chi|; inf for chi = 1."""
    if chi == 0:
        return 0.0
    return inf if chi == 1 else 1 / abs(log(chi))
