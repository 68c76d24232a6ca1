"""The graph of a run as the diagnosis reads it: recurrent operators unrolled, and the operators with weights marked.

`lstm`, `gru` and `rnn` are one node each in the graph, with all time steps inside. Here their bodies in the catalogue
are run again on Tensors, so that every step is a node, and the cotangent that the operator received is swept through:
a recurrence reads the same whether a user wrote the loop or the operator runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.tensor.backward import sweep, unbroadcast
from chainrule.tensor.dispatch import TensorMaths
from chainrule.tensor.graph import Array, Edge, Leaf, Mode, Node, keep_values, state
from chainrule.tensor.numpy_maths import NumPyMaths
from chainrule.tensor.switches import no_grad
from chainrule.tensor.tensor import Tensor, wrap

RECURRENT = frozenset(("lstm", "gru", "rnn"))
WEIGHT_AT = {"linear": (1,), "conv2d": (1,), "conv2d_input": (1,), "matmul": (0, 1)}
"""Where an operator that maps its input linearly may have its weight; an einsum may have it anywhere."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes behind a loss, the oldest first, with their edges where these differ from the nodes' own.

    Args:
        root: the loss's node.
        nodes: all of them; each comes after what it was computed from.
        rewired: the edges of nodes that read an unrolled operator, or lie inside of one.
        home: for a step inside an unrolled operator, the operator's node.
    """

    root: Node
    nodes: tuple[Node, ...]
    rewired: Mapping[Node, tuple[Edge, ...]] = field(default_factory=dict)
    home: Mapping[Node, Node] = field(default_factory=dict)

    def edges(self, node: Node) -> tuple[Edge, ...]:
        """What a node was computed from."""
        return self.rewired.get(node, node.edges)

    @cached_property
    def parameters(self) -> frozenset[Edge]:
        """What was computed from parameters and numbers alone: weights, however they are turned or scaled."""
        found: set[Edge] = set()
        for node in self.nodes:
            found.update(e for e in self.edges(node) if isinstance(e, Leaf))
            if all(e in found for e in self.edges(node)) and not _reads_data(node):
                found.add(node)
        return frozenset(found)

    def weight_places(self, node: Node) -> tuple[int, ...]:
        """Which of a node's edges are the weight of a linear map; () for other operators."""
        name = op_name(node)
        if (name not in WEIGHT_AT and name != "einsum") or node in self.parameters:
            return ()
        edges = self.edges(node)
        inputs = [i for i, need in enumerate(node.plan.needs) if need]
        allowed = WEIGHT_AT.get(name, tuple(range(len(node.plan.needs))))
        return tuple([k for k, i in enumerate(inputs) if i in allowed and edges[k] in self.parameters])

    @cached_property
    def layers(self) -> frozenset[Node]:
        """The nodes that multiply by a weight."""
        return frozenset(node for node in self.nodes if self.weight_places(node))


def op_name(node: Node) -> str:
    """The catalogue's name of what a node computed; a Function's own name."""
    op = getattr(node.plan, "op", None)
    return node.name().removesuffix("Backward") if op is None else str(op.name)


def array_of(g: Any) -> Array:
    """A cotangent as an array: that of a Function with several results is put in a row."""
    if hasattr(g, "parts"):
        parts = [np.asarray(part).ravel() for part in g.parts.values() if part is not None]
        return np.concatenate(parts) if parts else np.zeros(1)
    return np.asarray(g)


def sent(graph: Graph, node: Node, to: Edge) -> Array:
    """The cotangent that this node alone sends to something it was computed from."""
    edges = graph.edges(node)
    total: Any = None
    with no_grad():
        for pull, at, places, pick in node.plan.steps:
            wanted = places if pick is not None else (at,)
            if not any(edges[k] is to for k in wanted):
                continue
            part = pull(NumPyMaths, node.cotangent, node.saved or ())
            for k, one in zip(wanted, [part[i] for i in pick] if pick is not None else [part], strict=True):
                if edges[k] is to:
                    if node.plan.broadcasts and one.shape != node.edges[k].shape:
                        one = unbroadcast(NumPyMaths, one, node.edges[k].shape)
                    total = one if total is None else total + one
    return array_of(total)


def _reads_data(node: Node) -> bool:
    """True if an input without an edge is an array with axes, or nobody knows."""
    if node.kept is None:
        return True
    for value, need in zip(node.kept.inputs, node.plan.needs, strict=True):
        if not need and isinstance(value, np.ndarray) and value.ndim > 0:
            return True
    return False


# ---- making it -----------------------------------------------------------------------------------------------


def unrolled(root: Node) -> Graph:
    """The graph behind a loss that was swept under `keep_values`, with its recurrent operators as their steps."""
    nodes: list[Node] = []
    rewired: dict[Node, tuple[Edge, ...]] = {}
    home: dict[Node, Node] = {}
    instead: dict[Edge, Edge] = {}
    for node in nodes_behind(root):
        edges = tuple([instead.get(e, e) for e in node.edges])
        if edges != node.edges:
            rewired[node] = edges
        if op_name(node) not in RECURRENT or node.cotangent is None:
            nodes.append(node)
            continue
        result, outside = _steps(node, edges)
        instead[node] = result
        for step in nodes_behind(result):
            nodes.append(step)
            home[step] = node
            rewired[step] = tuple([outside.get(e, e) for e in step.edges])
    return Graph(root, tuple(nodes), rewired, home)


def nodes_behind(root: Node) -> list[Node]:
    """A node and all nodes it was computed from, the oldest first."""
    seen, stack = {root}, [root]
    while stack:
        for edge in stack.pop().edges:
            if isinstance(edge, Node) and edge not in seen:
                seen.add(edge)
                stack.append(edge)
    return sorted(seen, key=lambda node: node.order)


def _steps(node: Node, edges: tuple[Edge, ...]) -> tuple[Node, dict[Edge, Edge]]:
    """A recurrent operator's result, computed and swept step by step, and what its leaves stand for."""
    assert node.kept is not None
    tensors: list[Tensor | None] = []
    outside: dict[Edge, Edge] = {}
    given = iter(edges)
    before = state.mode
    state.mode = Mode(grad=True)
    try:
        with keep_values():
            for value, need in zip(node.kept.inputs, node.plan.needs, strict=True):
                tensor = None if value is None else wrap(value, None)
                if need and tensor is not None:
                    tensor.requires_grad_()
                    assert tensor.edge is not None
                    outside[tensor.edge] = next(given)
                tensors.append(tensor)
            op = node.plan.op
            y = op.body(TensorMaths, *tensors, **(node.params or {}))
            y = y[0] if op.keeps else y
            assert isinstance(y.edge, Node)
            sweep([(y.edge, node.cotangent)], retain_graph=True, create_graph=False, wanted=set(outside))
    finally:
        state.mode = before
    return y.edge, outside
