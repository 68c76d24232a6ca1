"""The spine: the route from the loss to the first layer that passes the most layers, and what happens on each edge.

Every node of the route has a cotangent g, the sum of what its readers send. For an edge from v to u the rule of v is
run again on what was kept and gives the share c that v alone sends to u. So

    log rms(g_u) - log rms(g_v)  =  [log rms(c) - log rms(g_v)]  +  [log rms(g_u) - log rms(c)]
                                     gain along the edge              join: what other routes add

and the sum over the route is exact: a chain, a residual connection, attention and a recurrence read alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite, log

from chainrule.diagnose.measure import rms
from chainrule.diagnose.unrolled import Graph, array_of, sent
from chainrule.errors import ArgumentError, GraphError
from chainrule.tensor.graph import Array, Node


@dataclass(frozen=True, eq=False)
class Crossing:
    """One edge of the spine, from the reader `node` to what it was computed from, `to`.

    Args:
        gain: log rms of what the node sends along the edge, less log rms of its cotangent.
        join: log rms of the whole cotangent of `to`, less that of what came along the edge. Where the edge carries
            exactly nothing, but other routes something, all of the change since the last cotangent that was not
            zero is booked here.
        carries: whether the edge carries anything, so that it has a gain.
    """

    node: Node
    to: Node
    gain: float
    join: float
    carries: bool


@dataclass(frozen=True, eq=False)
class Spine:
    """The route and its edges, from the loss down.

    Args:
        nodes: from the loss to the first layer, both included.
        crossings: the edges between them.
        sizes: log rms of each node's cotangent; -inf for zeros, inf or nan for what is not finite.
        ends: the place in `nodes` from which on all cotangents are zero, or the first that is not finite; None.
    """

    graph: Graph
    nodes: tuple[Node, ...]
    crossings: tuple[Crossing, ...]
    sizes: tuple[float, ...]
    ends: int | None


def spine(graph: Graph, steps: Sequence[int] | None = None) -> Spine:
    """The spine of a graph that was swept.

    Of several routes that pass equally many layers it takes, node by node, the edge that carries most.

    Args:
        steps: the places in `graph.nodes` of a spine of an earlier run (`places`); that route is taken again.

    Raises:
        GraphError: no layer, an operator that multiplies by a weight, lies behind the loss.
        ArgumentError: the route of the earlier run does not exist here.
    """
    nodes = _strongest_of_the_deepest(graph) if steps is None else _again(graph, steps)
    sizes = tuple([_log(rms(array_of(node.cotangent))) for node in nodes])
    ends = _end(sizes)
    counted = len(nodes) if ends is None else ends
    crossings = []
    last = sizes[0]
    for k in range(counted - 1):
        node, to = nodes[k], nodes[k + 1]
        carried = _log(rms(sent(graph, node, to))) if isfinite(sizes[k]) and isfinite(sizes[k + 1]) else -inf
        if isfinite(carried):
            crossing = Crossing(node, to, carried - sizes[k], sizes[k + 1] - carried, True)
        else:
            crossing = Crossing(node, to, 0.0, sizes[k + 1] - last if isfinite(sizes[k + 1]) else 0.0, False)
        if isfinite(sizes[k + 1]):
            last = sizes[k + 1]
        crossings.append(crossing)
    uncounted = range(max(counted - 1, 0), len(nodes) - 1)
    crossings += [Crossing(nodes[k], nodes[k + 1], 0.0, 0.0, False) for k in uncounted]
    return Spine(graph, nodes, tuple(crossings), sizes, ends)


def places(route: Spine) -> tuple[int, ...]:
    """Where the nodes of a spine stand in its graph: the same route in the graph of another batch."""
    at = {node: k for k, node in enumerate(route.graph.nodes)}
    return tuple([at[node] for node in route.nodes])


def _log(size: float) -> float:
    return log(size) if 0 < size < inf else -inf if size == 0 else size


def _end(sizes: Sequence[float]) -> int | None:
    """Where only zeros follow, or the first cotangent that is not finite stands."""
    for k, size in enumerate(sizes):
        if size != -inf and not isfinite(size):
            return k
    zeros = next((k for k, size in enumerate(reversed(sizes)) if size != -inf), len(sizes))
    return len(sizes) - zeros if zeros else None


def _strongest_of_the_deepest(graph: Graph) -> tuple[Node, ...]:
    depth: dict[Node, int] = {}
    below: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        if node.cotangent is None:  # it does not lead to a parameter of the model
            continue
        known = [e for e in dict.fromkeys(graph.edges(node)) if isinstance(e, Node) and e in depth]
        deepest = max((depth[e] for e in known), default=0)
        below[node] = [e for e in known if depth[e] == deepest] if deepest else []
        depth[node] = deepest + (node in graph.layers)
    if not depth.get(graph.root):
        raise GraphError(
            "there is no layer behind the loss: no linear map, matrix product or convolution with a parameter",
            mend="A gain from layer to layer needs one layer at least.",
        )
    route = [graph.root]
    while choices := below[route[-1]]:
        route.append(max(choices, key=lambda to: _size(sent(graph, route[-1], to))) if choices[1:] else choices[0])
    last = max(k for k, node in enumerate(route) if node in graph.layers)
    return tuple(route[: last + 1])


def _size(g: Array) -> float:
    size = rms(g)
    return size if size == size else inf


def _again(graph: Graph, steps: Sequence[int]) -> tuple[Node, ...]:
    fits = all(step < len(graph.nodes) for step in steps)
    route = tuple([graph.nodes[step] for step in steps]) if fits else ()
    joined = all(b in graph.edges(a) and b.cotangent is not None for a, b in pairwise(route))
    if not route or not joined or route[0] is not graph.root:
        raise ArgumentError(
            "the batches take different routes through the model, so that there is no mean over them",
            got=[f"first batch  {len(steps)} operations on the route", f"this batch  {len(graph.nodes)} in all"],
            mend="Diagnose them one by one, or pad them to one length.",
        )
    return route
