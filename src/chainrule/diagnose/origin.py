"""Where a number that is not finite comes from: the first operation that makes one from numbers that are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from chainrule.diagnose.run import Run, tensors_in
from chainrule.diagnose.unrolled import Graph, array_of, op_name, sent
from chainrule.tensor.graph import Leaf, Node


@dataclass(frozen=True)
class Origin:
    """The first infinite number or nan.

    Args:
        phase: "inputs" or "parameters" (they were not finite before anything ran), "forward", or "backward".
        op: the operator that made it; "" for inputs and parameters.
        path: the module in which it ran, or the parameter's name.
        where: the user's line.
    """

    phase: Literal["inputs", "parameters", "forward", "backward"]
    op: str = ""
    path: str = ""
    where: str = ""


def origin(run: Run, graph: Graph) -> Origin | None:
    """The origin of what is not finite in the loss or in a gradient; None if all are finite.

    Infinities that do not reach them, such as those of a mask before a softmax, are no fault.
    """
    if is_finite(run.loss.value):
        if all(g is None or is_finite(g) for g in run.gradients.values()):
            return None
        return _backward(run, graph)
    if not all(is_finite(x.value) for x in tensors_in(run.inputs)):
        return Origin("inputs")
    for name, p in run.model.named_parameters():
        if not is_finite(p.value):
            return Origin("parameters", path=name)
    return _forward(run, graph)


def is_finite(x: Any) -> bool:
    """True if there is neither nan nor infinity in an array; whatever is no array of floats is finite."""
    return not isinstance(x, np.ndarray) or x.dtype.kind != "f" or bool(np.isfinite(x).all())


def _forward(run: Run, graph: Graph) -> Origin | None:
    """From the loss along results that are not finite, to the one that was computed from finite numbers."""
    node = graph.root
    while True:
        lost = [e for e in graph.edges(node) if isinstance(e, Node) and e.kept and not is_finite(e.kept.result)]
        if not lost:
            return _at("forward", run, graph, node)
        node = next((e for e in lost if e.kept and np.isnan(e.kept.result).any()), lost[0])


def _backward(run: Run, graph: Graph) -> Origin | None:
    """The first node, from the loss down, that is sent something finite and sends something that is not."""
    for node in reversed(graph.nodes):
        if node.cotangent is not None and is_finite(array_of(node.cotangent)):
            for to in dict.fromkeys(graph.edges(node)):
                if _leads_on(to) and not is_finite(sent(graph, node, to)):
                    return _at("backward", run, graph, node)
    return _at("backward", run, graph, graph.root)  # finite shares whose sum overflows


def _leads_on(to: Node | Leaf) -> bool:
    return isinstance(to, Leaf) or to.cotangent is not None


def _at(phase: Literal["forward", "backward"], run: Run, graph: Graph, node: Node) -> Origin:
    made = graph.home.get(node, node)
    return Origin(phase, op_name(node), run.path(made), run.where(made))
