"""`preflight`: a network judged before its first step, without labels: the theory's prediction beside the measurement.

The measurement is the ledger of a random cotangent at the model's outputs. The prediction starts from the mean square
of the input and takes from the weights their mean squares alone, as if they were random: where weights are dependent
(orthogonal, constant, trained) it deviates, which is a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log
from typing import Any

import numpy as np

from chainrule.diagnose.ledger import NORMALISATIONS, Ledger, Row, ledger
from chainrule.diagnose.measure import Statistics, measure, rms
from chainrule.diagnose.run import check_model, run, tensors_in, untouched_generators
from chainrule.diagnose.spine import Spine, spine
from chainrule.diagnose.theory import depth_scale, moments
from chainrule.diagnose.unrolled import op_name, unrolled
from chainrule.errors import ArgumentTypeError
from chainrule.nn.module import Module
from chainrule.tensor.functions.random import Generator, standard_normal
from chainrule.tensor.graph import Node
from chainrule.tensor.tensor import Tensor, wrap

MOVES = frozenset(("reshape", "permute", "mT", "clone", "cast"))
"""What changes neither the size of values nor that of gradients."""


@dataclass(frozen=True)
class Prediction:
    """One layer, predicted and measured.

    Args:
        number, name: as in the ledger.
        q, measured_q: the mean square of z.
        chi: sigma_w^2 E[phi'(z)^2] of this layer's activation and the next layer's weights, as if both layers were
            equally wide; None where no next layer follows, or nothing is predicted.
        log_gain, measured_log_gain: log rms(delta^l) - log rms(delta^(l+1)); the prediction is None where more stands
            between the layers than activations, normalisation right after the layer, and changes of shape.
    """

    number: int
    name: str
    q: float | None
    measured_q: float
    chi: float | None
    log_gain: float | None
    measured_log_gain: float

    @property
    def deviation(self) -> float | None:
        """measured_log_gain - log_gain."""
        return None if self.log_gain is None else self.measured_log_gain - self.log_gain

    @property
    def depth_scale(self) -> float | None:
        """In how many layers like this one the mean square of the gradient changes by a factor e."""
        return None if self.chi is None else depth_scale(self.chi)


@dataclass(frozen=True)
class Preflight:
    """The prediction by layer, the first layer first, beside the ledger that was measured.

    Args:
        predictions: one for each row of the ledger.
        ledger: of a random cotangent of rms 1 at the outputs.
        input: the input's statistics.
    """

    predictions: tuple[Prediction, ...]
    ledger: Ledger
    input: Statistics

    @property
    def total(self) -> float | None:
        """The predicted log gain from the output to the first layer; None where a layer is not predicted."""
        gains = [one.log_gain for one in self.predictions]
        return None if None in gains else sum(gain for gain in gains if gain is not None)


def preflight(model: Module, x: Any) -> Preflight:
    """How gradients will flow through a model before it is trained: predicted, and measured, layer by layer.

    Args:
        model: any nn.Module with one layer or more; it stays as it is.
        x: its inputs: a tensor, a tuple of arguments, or a dictionary of them by name.

    Returns:
        A Preflight; gains are natural logarithms of root mean squares.

    Raises:
        ArgumentTypeError: a model that is no Module, or one that returns no tensor of floats.
        GraphError: no layer, or outputs that depend on no parameter.

    Source: Poole et al. 2016; Schoenholz et al. 2017.
    """
    check_model(model)
    with untouched_generators():
        one = run(model, _random_projection, (x, None))
        graph = unrolled(one.root)
        route = spine(graph)
        measured = ledger(one, graph, route)
    floats = [t.value for t in tensors_in(one.inputs) if t.value.dtype.kind == "f"]
    given = measure(np.concatenate([v.ravel() for v in floats]) if floats else np.zeros(0, np.float32))
    return Preflight(predicted(route, measured), measured, given)


def _random_projection(outputs: Any, targets: None) -> Tensor:
    """sum(r y) over all outputs y, with r ~ N(0, 1) of a stream of its own: the cotangent of y is r."""
    floats = [y for y in tensors_in(outputs) if y.value.dtype.kind == "f"]
    if not floats:
        raise ArgumentTypeError(
            "preflight needs a model that returns a tensor of floats", got=[f"output  {type(outputs).__name__}"]
        )
    stream = Generator().manual_seed(0)
    parts = [(y * wrap(standard_normal(y.value.shape, y.value.dtype, stream), None)).sum() for y in floats]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


# ---- the prediction ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Passed:
    """What stands between two layers does to the mean squares of values and of gradients."""

    q: float
    gain: float


def predicted(route: Spine, measured: Ledger) -> tuple[Prediction, ...]:
    """One prediction for each row, the first layer first: q in, through the layer, and through what follows it."""
    graph, nodes = route.graph, route.nodes
    layers = [k for k, node in enumerate(nodes) if node in graph.layers][::-1]
    found: list[Prediction] = []
    q_in: float | None = _mean_square_read(nodes[layers[0]], graph.weight_places(nodes[layers[0]])[0])
    for row, k in zip(measured.rows, layers, strict=True):
        above = next((j for j in range(k - 1, -1, -1) if nodes[j] in graph.layers), None)
        between = _until_next(route, k, above, len(row.between))
        q = None if q_in is None else _through_weights(row, nodes[k], q_in)
        passed = None if q is None or between is None else _through(between, q)
        upper = measured.rows[row.number] if row.number < len(measured.rows) else None
        chi = gain = None
        if passed is not None and passed.gain > 0:
            gain = 0.5 * log(passed.gain)
            if upper is not None:
                size = upper.weight.rms**2
                known = upper.fan_in is not None and upper.fan_out is not None and size > 0
                chi = upper.fan_in * size * passed.gain if known and upper.fan_in is not None else None
                gain = gain + 0.5 * log(upper.fan_out * size) if known and upper.fan_out is not None else None
        found.append(Prediction(row.number, row.name, q, row.z.rms**2, chi, gain, row.log_gain))
        q_in = row.a.rms**2 if passed is None else passed.q
    return tuple(found)


def _mean_square_read(layer: Node, weight_place: int) -> float:
    """The mean square of what the first layer reads."""
    assert layer.kept is not None
    places = [i for i, need in enumerate(layer.plan.needs) if need]
    other = next(i for i in range(len(layer.kept.inputs)) if i != places[weight_place])
    return rms(np.asarray(layer.kept.inputs[other])) ** 2


def _through_weights(row: Row, layer: Node, q: float) -> float | None:
    """q of z = W a + b from that of a."""
    if row.fan_in is None:
        return None
    bias = layer.kept.inputs[2] if layer.kept is not None and len(layer.kept.inputs) > 2 else None
    return row.fan_in * row.weight.rms**2 * q + (0.0 if bias is None else rms(np.asarray(bias)) ** 2)


def _until_next(route: Spine, k: int, above: int | None, count: int) -> list[Node] | None:
    """The nodes between a layer and the next, in the order of the forward pass; None where other routes join."""
    first = k - count if above is None else above
    between = [node for node in route.nodes[first:k][::-1] if node not in route.graph.layers]
    return None if any(abs(c.join) > 1e-6 for c in route.crossings[first:k]) else between


def _through(between: Sequence[Node], q: float) -> _Passed | None:
    """Through activations and normalisation; None where something else stands there."""
    gain, is_gaussian = 1.0, True
    for node in between:
        op, name = getattr(node.plan, "op", None), op_name(node)
        if name in MOVES:
            continue
        if not is_gaussian or op is None or q == 0 or not isfinite(q):
            return None
        if name in NORMALISATIONS and name != "batch_norm_inference":
            gamma2, beta2 = _affine(node)
            q, gain = gamma2 + beta2, gain * gamma2 / q
        elif op.lipschitz is not None and len(op.inputs) == 1:
            q, slope2 = moments(op, node.params or {}, q)
            gain, is_gaussian = gain * slope2, False
        else:
            return None
    return _Passed(q, gain)


def _affine(node: Node) -> tuple[float, float]:
    """The mean squares of a normalisation's weight and bias."""
    assert node.kept is not None
    given = dict(zip(node.plan.op.inputs, node.kept.inputs, strict=False))
    weight, bias = given.get("weight"), given.get("bias")
    return (1.0 if weight is None else rms(weight) ** 2), (0.0 if bias is None else rms(bias) ** 2)
