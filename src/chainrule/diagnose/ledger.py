"""The ledger: how the size of the gradient changes from layer to layer, and which part of it has which cause.

A layer is an operator that multiplies by a weight, z = W a + b, with what stands between it and the next one. Its
delta is dL/dz, and going down from the layer above (or, for the last one, from the model's output)

    log rms(delta^l) - log rms(delta^(l+1))  =  sum over the causes of the log gain,

exactly: the logarithms that the spine's edges give, sorted by what the edge's operator is. An activation's part is
split in two: its cap, log sup |phi'|, which no weights can change, and the rest, which is never positive: saturation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite, log, sqrt
from typing import Any, Literal

import numpy as np

from chainrule.diagnose.measure import Statistics, average, measure, steepness
from chainrule.diagnose.run import Run, tensors_in
from chainrule.diagnose.spine import Crossing, Spine
from chainrule.diagnose.unrolled import Graph, array_of, op_name, sent
from chainrule.errors import ArgumentError
from chainrule.tensor.graph import Array, Edge, Node
from chainrule.tensor.numpy_maths import NumPyMaths
from chainrule.tensor.switches import no_grad

Cause = Literal["weights", "cap", "saturation", "normalisation", "attention", "gate", "join", "other"]

CAUSES: tuple[Cause, ...] = ("weights", "cap", "saturation", "normalisation", "attention", "gate", "join", "other")
"""weights: W^T along delta. cap: log sup |phi'|. saturation: the rest of an activation's gain: flat or dead units.
normalisation: layer, batch and RMS norm. attention: softmax and products of two computed values. gate: products,
element by element, with another value. join: what other routes add. other: pooling, reshaping, dropout, scales."""

NORMALISATIONS = frozenset(("layer_norm", "rms_norm", "batch_norm", "batch_norm_inference"))
ATTENTION = frozenset(
    ("softmax", "log_softmax", "attention_weights", "scaled_dot_product_attention", "matmul", "einsum")
)


@dataclass(frozen=True)
class Row:
    """One layer.

    Args:
        number: 1 for the first layer, next to the input; the last has the highest.
        name: the module that multiplies by the weight, "net.3"; the operator's name outside of modules.
        step: the time step, from 1 at the first, where the same weight is met again and again; else None.
        op: the operator with the weight: linear, matmul, conv2d, conv2d_input, einsum.
        between: the operators between this layer and the next, in the order of the forward pass.
        fan_in, fan_out: how many values a value of z is made of, and how many z a value of the input enters; None
            where the operator does not say (einsum, transposed convolution).
        z, a: the layer's result, and what the next layer reads (after the last: the model's output).
        delta: dL/dz.
        weight, dW: the weight, and this layer's share of its gradient: of a shared weight, what this use adds.
        slope: phi'(z) of the first activation after the layer; None if there is none that is capped.
        steepness: of |phi'(z)| / sup |phi'| the share of the elements in each of 20 equal bins from 0 to 1; None as
            `slope`.
        silent: the units (last axis, of images the channels) whose slope was 0 at every place of the batch.
        units: how many units there are.
        log_gains: the change of log rms(delta) from the layer above to this one, by cause; causes left out are 0.
        spread: the standard deviation of each over the batches; 0 for one batch.
        counted: False where the gradient ended before this layer.
    """

    number: int
    name: str
    step: int | None
    op: str
    between: tuple[str, ...]
    fan_in: int | None
    fan_out: float | None
    z: Statistics
    a: Statistics
    delta: Statistics
    weight: Statistics
    dW: Statistics
    slope: Statistics | None
    steepness: tuple[float, ...] | None
    silent: frozenset[int]
    units: int
    log_gains: Mapping[Cause, float]
    spread: Mapping[Cause, float] = field(default_factory=dict)
    counted: bool = True

    @property
    def log_gain(self) -> float:
        """log rms(delta^l) - log rms(delta^(l+1))."""
        return sum(self.log_gains.values())


@dataclass(frozen=True)
class End:
    """Where a ledger ends, because there is no logarithm to add: delta is exactly zero, or not finite.

    Args:
        number, name: the layer whose delta is the first that cannot be counted.
        why: "zero" or "non-finite".
        op, path: the operator on whose result the gradient was lost first, and the module in which it ran.
        where: the user's line that called it; "" where a module of the library did.
    """

    number: int
    name: str
    why: Literal["zero", "non-finite"]
    op: str
    path: str
    where: str


@dataclass(frozen=True)
class Ledger:
    """The rows, the first layer first, and what stands around them.

    Args:
        rows: by layer.
        loss: the loss itself (of several batches their mean).
        output: dL/d(output) where the route leaves the model: the loss's own scale, from which the gains count.
        ends_at: where the gradient ends; None if it reaches the first layer.
        batches: how many batches this is the mean of.
    """

    rows: tuple[Row, ...]
    loss: float
    output: Statistics
    ends_at: End | None = None
    batches: int = 1

    @property
    def total(self) -> float:
        """log rms(delta^1) - log rms(dL/d(output)), as far as the gradient comes: the sum of all log gains."""
        return sum(row.log_gain for row in self.rows)

    @property
    def by_cause(self) -> dict[Cause, float]:
        """The total, by cause."""
        return {cause: sum(row.log_gains.get(cause, 0.0) for row in self.rows) for cause in CAUSES}

    @property
    def depth(self) -> int:
        """How many layers the ledger counts."""
        return sum(row.counted for row in self.rows)


# ---- from one run --------------------------------------------------------------------------------------------


def ledger(run: Run, graph: Graph, route: Spine) -> Ledger:
    """The ledger of a run, along the spine of its graph."""
    nodes = route.nodes
    inside = [k for k, node in enumerate(nodes) if run.is_in_model(graph.home.get(node, node))]
    above = start = next((k for k in inside if isfinite(route.sizes[k])), inside[0] if inside else 0)
    layers = [k for k, node in enumerate(nodes) if node in graph.layers and k >= start]
    weights = [_parameter(graph, nodes[k]) for k in layers]
    rows: list[Row] = []
    end: End | None = None
    for met, k in enumerate(layers):
        is_counted = route.ends is None or k < route.ends
        steps = weights[met:].count(weights[met]) if weights.count(weights[met]) > 1 else None
        row = _row(run, graph, route, k, above, len(layers) - met, steps, is_counted)
        if not is_counted and end is None:
            end = _end(run, graph, route, row)
        rows.append(row)
        above = k
    loss = float(np.asarray(run.loss.value, np.float64).reshape(()))
    return Ledger(tuple(rows[::-1]), loss, measure(array_of(nodes[start].cotangent)), end)


def parts(graph: Graph, crossing: Crossing) -> list[tuple[Cause, float]]:
    """The log gain of one edge of the spine, by cause."""
    found: list[tuple[Cause, float]] = [("join", crossing.join)]
    if not crossing.carries:
        return found
    cap = cap_of(crossing.node)
    if cap is not None and cap > 0:
        return [*found, ("cap", log(cap)), ("saturation", crossing.gain - log(cap))]
    return [*found, (_cause(graph, crossing.node), crossing.gain)]


def cap_of(node: Node) -> float | None:
    """sup |phi'| of the activation that a node computed; None for other operators, and for slopes without a bound."""
    op = getattr(node.plan, "op", None)
    return None if op is None else op.steepest(node.params or {})


def _cause(graph: Graph, node: Node) -> Cause:
    name = op_name(node)
    if node in graph.layers:
        return "weights"
    if name in NORMALISATIONS:
        return "normalisation"
    if name in ATTENTION:
        return "attention"
    inputs = () if node.kept is None else node.kept.inputs
    is_gate = name == "mul" and all(isinstance(x, np.ndarray) and x.size > 1 for x in inputs)
    return "gate" if is_gate else "other"


def _row(
    run: Run, graph: Graph, route: Spine, k: int, above: int, number: int, step: int | None, is_counted: bool
) -> Row:
    nodes = route.nodes
    node, reader = nodes[k], nodes[above]
    place = graph.weight_places(node)[0]
    weight = np.asarray(_input(node, place))
    after = [n for n in nodes[above:k][::-1] if n not in graph.layers]
    activation = next((n for n in after if cap_of(n) is not None), None)
    slope = None if activation is None else slopes(activation)
    cap = None if activation is None else cap_of(activation)
    gains: dict[Cause, float] = {}
    for crossing in route.crossings[above:k]:
        for cause, gain in parts(graph, crossing):
            gains[cause] = gains.get(cause, 0.0) + gain
    fan_in, fan_out = fans(node, weight)
    z = _with_bias(graph, node, after)
    name = run.path(graph.home.get(node, node)) or op_name(node)
    return Row(
        number=number,
        name=name,
        step=step,
        op=op_name(node),
        between=tuple([op_name(n) for n in after]),
        fan_in=fan_in,
        fan_out=fan_out,
        z=measure(z),
        a=measure(
            _read(graph, reader, nodes[above + 1]) if reader in graph.layers and above < k else _put_out(run, reader)
        ),
        delta=measure(array_of(node.cotangent)),
        weight=measure(weight),
        dW=measure(sent(graph, node, graph.edges(node)[place])),
        slope=None if slope is None else measure(slope),
        steepness=steepness(slope, cap) if slope is not None and cap else None,
        silent=frozenset() if slope is None else silent_units(slope),
        units=z.shape[_unit_axis(z)] if z.ndim else 1,
        log_gains={cause: gain for cause, gain in gains.items() if gain},
        counted=is_counted,
    )


def slopes(node: Node) -> Array:
    """phi'(z) at every element that an activation was applied to."""
    pull, *_ = node.plan.steps[0]
    with no_grad():
        return np.asarray(pull(NumPyMaths, np.ones_like(_result(node)), node.saved or ()))


def silent_units(slope: Array) -> frozenset[int]:
    """The units whose slope is 0 at every place: nothing can be learned through them from this batch."""
    if not slope.ndim:
        return frozenset()
    axis = _unit_axis(slope)
    asleep = ~np.any(slope, axis=tuple([k for k in range(slope.ndim) if k != axis % slope.ndim]))
    return frozenset(np.flatnonzero(asleep).tolist())


def fans(node: Node, weight: Array) -> tuple[int, float] | tuple[None, None]:
    """How many values an element of z is made of, and how many z an element of the input enters, on average."""
    name, params = op_name(node), node.params or {}
    if name == "linear":
        return weight.shape[1], float(weight.shape[0])
    if name == "matmul" and weight.ndim >= 2:
        is_right = node.kept is not None and node.kept.inputs[1] is weight
        rows, columns = weight.shape[-2:]
        return (rows, float(columns)) if is_right else (columns, float(rows))
    if name == "conv2d":
        taps = int(np.prod(weight.shape[2:]))
        fan_out = weight.shape[0] // params["groups"] * taps / float(np.prod(params["stride"]))
        return weight.shape[1] * taps, fan_out
    return None, None


def _unit_axis(z: Array) -> int:
    return 1 if z.ndim == 4 else -1


def _result(node: Node) -> Array:
    """What an operator of the catalogue computed."""
    assert node.kept is not None
    return np.asarray(node.kept.result)


def _put_out(run: Run, node: Node) -> Array:
    """The model's output; a Function's node keeps none, so that it is looked up among the tensors returned."""
    returned = next((x.value for x in tensors_in(run.output) if x.edge is node), None)
    return _result(node) if returned is None else returned


def _input(node: Node, place: int) -> Any:
    """The value that came along an edge."""
    assert node.kept is not None
    return node.kept.inputs[[i for i, need in enumerate(node.plan.needs) if need][place]]


def _read(graph: Graph, layer: Node, source: Node) -> Array:
    """What a layer above reads: the value on the edge along which the spine leaves it."""
    return np.asarray(_input(layer, graph.edges(layer).index(source)))


def _with_bias(graph: Graph, node: Node, after: Sequence[Node]) -> Array:
    """z: the product, with the bias where that is added next."""
    adds = bool(after) and op_name(after[0]) == "add" and any(e in graph.parameters for e in graph.edges(after[0]))
    return _result(after[0] if adds else node)


def _parameter(graph: Graph, node: Node) -> Edge:
    """The parameter behind a layer's weight, through transposes and scales."""
    edge = graph.edges(node)[graph.weight_places(node)[0]]
    while isinstance(edge, Node):
        edge = graph.edges(edge)[0]
    return edge


def _end(run: Run, graph: Graph, route: Spine, row: Row) -> End:
    assert route.ends is not None
    lost = route.nodes[max(route.ends - 1, 0)]
    made = graph.home.get(lost, lost)
    why: Literal["zero", "non-finite"] = "zero" if route.sizes[route.ends] == -inf else "non-finite"
    return End(row.number, row.name, why, op_name(lost), run.path(made), run.where(made))


# ---- over several batches ------------------------------------------------------------------------------------


def mean_ledger(ledgers: Sequence[Ledger]) -> Ledger:
    """The mean over batches, row by row, with the standard deviation of each log gain.

    The identity holds of the mean, too: sizes are averaged as logarithms. A unit is silent if it was in every batch. A
    row counts if it does in every batch, and the ledger ends where the first of them does.

    Raises:
        ArgumentError: the ledgers have different layers.
    """
    if len(ledgers) == 1:
        return ledgers[0]
    layers = {tuple([(row.name, row.step) for row in one.rows]) for one in ledgers}
    if len(layers) != 1:
        raise ArgumentError(
            "the batches take different routes through the model, so that there is no mean over them",
            got=[f"layers  {sorted(map(len, layers))}"],
            mend="Diagnose them one by one, or pad them to one length.",
        )
    rows = tuple([_mean_row(rows) for rows in zip(*[one.rows for one in ledgers], strict=True)])
    ends = [one.ends_at for one in ledgers if one.ends_at is not None]
    return Ledger(
        rows,
        sum(one.loss for one in ledgers) / len(ledgers),
        average([one.output for one in ledgers]),
        max(ends, key=lambda end: end.number, default=None),
        sum(one.batches for one in ledgers),
    )


def _mean_row(rows: Sequence[Row]) -> Row:
    first, n = rows[0], len(rows)
    gains: dict[Cause, float] = {}
    spread: dict[Cause, float] = {}
    for cause in CAUSES:
        booked = [row.log_gains.get(cause, 0.0) for row in rows]
        if any(booked):
            gains[cause] = sum(booked) / n
            spread[cause] = sqrt(sum((gain - gains[cause]) ** 2 for gain in booked) / n)
    slope = [row.slope for row in rows if row.slope is not None]
    shares = [row.steepness for row in rows if row.steepness is not None]
    return replace(
        first,
        z=average([row.z for row in rows]),
        a=average([row.a for row in rows]),
        delta=average([row.delta for row in rows]),
        weight=average([row.weight for row in rows]),
        dW=average([row.dW for row in rows]),
        slope=average(slope) if slope else None,
        steepness=tuple([sum(column) / len(shares) for column in zip(*shares, strict=True)]) if shares else None,
        silent=frozenset.intersection(*[row.silent for row in rows]),
        log_gains=gains,
        spread=spread,
        counted=all(row.counted for row in rows),
    )
