"""What a module returns: its size, and how steep an activation is where it was applied, as a share of the steepest."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from chainrule.diagnose.ledger import cap_of
from chainrule.diagnose.measure import rms, steepness
from chainrule.tensor.graph import Array, Node
from chainrule.tensor.numpy_maths import NumPyMaths
from chainrule.tensor.tensor import Tensor


@dataclass(frozen=True)
class Activation:
    """What one module returned.

    Args:
        size: its root mean square.
        shares: of |phi'(z)| / sup |phi'| the share of elements in each of 20 equal bins from 0 to 1; None for a module
            that did not end in an activation.
    """

    size: float
    shares: tuple[float, ...] | None = None

    @property
    def flat(self) -> float | None:
        """The share of elements whose slope is below 5% of the steepest; None as `shares`."""
        return None if self.shares is None else self.shares[0]


def activation_of(output: Tensor) -> Activation:
    """What a tensor shows that a module returned; the rule is run that its backward pass will run."""
    node = output.edge
    cap = cap_of(node) if isinstance(node, Node) else None
    if not isinstance(node, Node) or not cap or node.saved is None or not output.value.size:
        return Activation(size_of(output.value))
    pull, *_ = node.plan.steps[0]
    slopes = np.asarray(pull(NumPyMaths, np.ones_like(output.value), node.saved))
    return Activation(size_of(output.value), steepness(slopes, cap))


def size_of(x: Array) -> float:
    """The root mean square; not finite if an element is not. Fast where the squares are far from the type's limits."""
    flat = x.reshape(-1)
    square = float(np.dot(flat, flat)) / max(flat.size, 1)
    return sqrt(square) if 1e-30 < square < 1e30 else rms(x)
