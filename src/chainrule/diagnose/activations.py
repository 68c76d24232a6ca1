"""What modules return: its size, and how steep an activation is where it was applied, as a share of the steepest."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from chainrule.diagnose.ledger import cap_of
from chainrule.diagnose.measure import rms
from chainrule.diagnose.run import call, check_model, cut_off, untouched_generators
from chainrule.nn.module import Module
from chainrule.tensor.graph import Array, Mode, Node, state
from chainrule.tensor.numpy_maths import NumPyMaths
from chainrule.tensor.tensor import Tensor

BINS = 20
FLAT = 0.05
"""A slope below this share of its cap counts as flat."""


@dataclass(frozen=True)
class Activation:
    """What one module returned.

    Args:
        size: its root mean square.
        shares: of |phi'(z)| / sup |phi'| the share of elements in each of 20 equal bins from 0 to 1; None for a module
            that did not end in an activation.
        flat: the share of elements below 0.05; None likewise.
    """

    size: float
    shares: tuple[float, ...] | None = None
    flat: float | None = None


def activation_of(output: Tensor) -> Activation:
    """What a tensor shows that a module returned; the rule is run that its backward pass will run."""
    node = output.edge
    cap = cap_of(node) if isinstance(node, Node) else None
    if not isinstance(node, Node) or not cap or node.saved is None or not output.value.size:
        return Activation(size_of(output.value))
    pull, *_ = node.plan.steps[0]
    slopes = np.abs(np.asarray(pull(NumPyMaths, np.ones_like(output.value), node.saved))) / cap
    counts, _ = np.histogram(slopes[np.isfinite(slopes)], BINS, (0.0, 1.0 + 1e-6))  # of float32 a cap may round up
    shares = tuple((counts / slopes.size).tolist())
    return Activation(size_of(output.value), shares, float(np.mean(slopes < FLAT)))


def activations(model: Module, inputs: Any) -> Mapping[str, Activation]:
    """What the modules without children return, by name, when a copy of the model runs on the inputs.

    Raises:
        ArgumentTypeError: a model that is no Module.
        GraphError: a model without parameters.
    """
    check_model(model)
    copied = deepcopy(model)
    found: dict[str, Activation] = {}
    for name, module in copied.named_modules():
        if not list(module.children()):

            def see(module: Module, args: Any, output: Any, name: str = name) -> None:
                if isinstance(output, Tensor) and output.value.dtype.kind == "f":
                    found[name] = activation_of(output)

            module.register_forward_hook(see)
    before = state.mode
    state.mode = Mode(grad=True)
    try:
        with untouched_generators():
            call(copied, cut_off(inputs))
    finally:
        state.mode = before
    return found


def size_of(x: Array) -> float:
    """The root mean square; not finite if an element is not. Fast where the squares are far from the type's limits."""
    flat = x.reshape(-1)
    square = float(np.dot(flat, flat)) / max(flat.size, 1)
    return sqrt(square) if 1e-30 < square < 1e30 else rms(x)
