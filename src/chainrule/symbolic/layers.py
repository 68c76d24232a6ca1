"""The layers of a graph, as a textbook numbers them: z = W a + b, then a = sigma(z).

Recognised by what was computed, not by who computed it: nn.Linear, F.linear, `x @ w + b` and `W @ x + b` alike. They
are numbered in the order in which they ran, so that branches and shared weights have numbers of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chainrule.symbolic.differentiate import has_slope
from chainrule.symbolic.graph_values import Constant, GraphValues, Source
from chainrule.tensor.graph import Edge, Leaf, Node

MOVES = frozenset(("reshape", "mT", "permute", "broadcast_to", "clone", "cast"))
"""What an affine map may go through without being another one."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One affine map and the activation that reads it alone.

    `product` is the node of the matrix product, `z` that of the affine map's result; `rows` says that samples are rows.
    """

    number: int
    weight: Leaf
    bias: Source
    source: Source
    product: Node
    z: Node
    a: Node | None
    rows: bool


class Reading:
    """Which nodes read a node or leaf."""

    def __init__(self, graph: GraphValues) -> None:
        self.graph = graph
        self.readers: dict[Edge, list[Node]] = {}
        for node in graph.nodes:
            for edge in node.edges:
                self.readers.setdefault(edge, []).append(node)

    def layers(self, first: int) -> list[Layer]:
        """The layers, the first of which has the number `first`."""
        found: list[Layer] = []
        for node in self.graph.nodes:
            layer = self._layer(node, first + len(found))
            if layer is not None:
                found.append(layer)
        return found

    def _layer(self, node: Node, number: int) -> Layer | None:
        name = node.plan.op.name
        sources = self.graph.sources[node]
        if name == "linear" and isinstance(sources[1], Leaf):
            bias = sources[2] if len(sources) > 2 else None
            return Layer(number, sources[1], bias, sources[0], node, node, self._activation(node), True)
        if name == "add":
            for product, bias in (sources, sources[::-1]):
                if self._is_bias(bias, node) and (factors := self._product(product)) is not None:
                    return self._by_hand(number, factors, bias, node)
        if name == "matmul" and not self._continues(node) and (factors := self._product(node)) is not None:
            return self._by_hand(number, factors, None, self._last_move(node))
        return None

    def _by_hand(self, number: int, factors: tuple[Node, Source, Leaf, bool], bias: Source, z: Node) -> Layer:
        product, source, weight, rows = factors
        return Layer(number, weight, bias, source, product, z, self._activation(z), rows)

    def _product(self, source: Source) -> tuple[Node, Source, Leaf, bool] | None:
        """A matrix product with a parameter: its node, the other operand, the parameter, and if it stands right."""
        node = self._before_moves(source)
        if not isinstance(node, Node) or node.plan.op.name != "matmul" or len(self.readers.get(node, [])) > 1:
            return None
        left, right = (self._before_moves(x) for x in self.graph.sources[node])
        left_is_weight = isinstance(left, Leaf) and len(left.shape) == 2
        right_is_weight = isinstance(right, Leaf) and len(right.shape) == 2
        if left_is_weight and right_is_weight:  # the data want a gradient too: a batch of rows unless z is a column
            right_is_weight = node.shape[-1] != 1 or self.graph.values[right].shape[-1] != 1
            left_is_weight = not right_is_weight
        if isinstance(right, Leaf) and right_is_weight:
            return node, left, right, True
        return (node, right, left, False) if isinstance(left, Leaf) and left_is_weight else None

    def _before_moves(self, source: Source) -> Source:
        """What a value was before it was only moved."""
        while isinstance(source, Node) and source.plan.op.name in MOVES:
            source = self.graph.sources[source][0]
        return source

    def _last_move(self, node: Node) -> Node:
        """The node after which a value is read by more than a movement."""
        while len(readers := self.readers.get(node, [])) == 1 and readers[0].plan.op.name == "reshape":
            node = readers[0]
        return node

    def _continues(self, node: Node) -> bool:
        """True if a bias is added to a product, so that the sum is the layer's z."""
        readers = self.readers.get(self._last_move(node), [])
        if len(readers) != 1 or readers[0].plan.op.name != "add":
            return False
        return any(self._is_bias(x, readers[0]) for x in self.graph.sources[readers[0]])

    def _is_bias(self, source: Source, node: Node) -> bool:
        """True for a parameter or constant that is the same for every sample."""
        source = self._before_moves(source)
        if not isinstance(source, Leaf | Constant):
            return False
        shape: tuple[int, ...] = self.graph.value_of(source).shape
        return sum([n != 1 for n in shape]) < 2

    def _activation(self, z: Node) -> Node | None:
        """The one elementwise function, or softmax, that reads z."""
        readers = self.readers.get(z, [])
        if len(readers) != 1:
            return None
        op = readers[0].plan.op
        bends = op.rules and op.kind.name == "elementwise" and has_slope(op) and op.name not in ("neg", "square")
        return readers[0] if bends or op.name in ("softmax", "log_softmax") else None


def parameters(layers: list[Layer]) -> Iterator[tuple[str, Edge, int]]:
    """W and b of each layer with its number; what several layers share counts for the first."""
    seen: set[Edge] = set()
    for layer in layers:
        for letter, edge in (("W", layer.weight), ("b", layer.bias)):
            if isinstance(edge, Leaf) and edge not in seen:
                seen.add(edge)
                yield letter, edge, layer.number
