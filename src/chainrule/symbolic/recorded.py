"""The graph that a program leaves behind, as a Program with the values of its quantities.

What deserves a name has one: the layers' W, b, z and a, what the caller has names for, what several statements read,
and what no short formula says. All else is written into the formula that reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.dtypes import DType
from chainrule.errors import GraphError
from chainrule.symbolic.expression import Expression, Symbol, call, walk
from chainrule.symbolic.graph_values import Constant, GraphValues, Source
from chainrule.symbolic.layers import Layer, Reading, parameters
from chainrule.symbolic.program import Program, Statement
from chainrule.symbolic.simplify import simplified
from chainrule.tensor.arrays import dtype_of
from chainrule.tensor.graph import Array, Edge, Leaf, Node, address, line_of
from chainrule.tensor.numpy_maths import runner
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor

ARITHMETIC = frozenset(("add", "sub", "mul", "div", "neg", "pow", "square", "mean", "sum", "cast", "clone"))
"""Operators that are written into the formula that reads them."""

LONGEST = 8
"""So many operators a formula may have before a part of it gets a name."""


@dataclass(frozen=True)
class Recorded:
    """A program that ran.

    Args:
        program: what it computed.
        values: the value of each quantity of the program, as it was in the run.
        names: the name of each node, leaf and constant that has one.
        layers: its layers.
        activations: the quantities that have one row for each sample, or are vectors: inputs, z, a, biases, labels.
        recomputed: the quantities whose values were computed again.
        called: what the user calls a quantity, where that is not its name here: `W1` is `fc1.weight`.
    """

    program: Program
    values: dict[str, Array]
    names: dict[Any, str]
    layers: tuple[Layer, ...] = ()
    activations: frozenset[str] = frozenset()
    recomputed: frozenset[str] = frozenset()
    called: dict[str, str] = field(default_factory=dict)


def program_of(
    loss: Tensor, *, names: Mapping[str, Tensor] | None = None, first_layer: int = 1, loss_name: str = "L"
) -> Recorded:
    """The program that computed a tensor, in formulas, with the values that it had.

    Args:
        loss: a result of recorded operations, before or after backward().
        names: what the caller calls tensors: leaves, results on the way, constants.
        first_layer: the number of the first layer's weight.
        loss_name: what the result is called.

    Raises:
        GraphError: there is no graph (a compiled program leaves none); a parameter was written since; a value cannot be
            found again.
        UnsupportedError: an operation without a formula (a Function, a write through a view).
    """
    if not isinstance(loss.edge, Node):
        raise no_graph(loss)
    graph = GraphValues(loss.edge, loss.value)
    return _Naming(graph, dict(names or {}), first_layer, loss_name).recorded()


def no_graph(loss: Tensor) -> GraphError:
    """The error for a tensor that no recorded operation made."""
    if isinstance(loss.edge, Leaf):
        return GraphError("there is nothing to explain: this tensor was not computed", got=[describe("tensor", loss)])
    return GraphError(
        "this tensor carries no graph, so its gradients have no derivation",
        got=[describe("tensor", loss)],
        mend="The loss of a compiled step carries none: compute it once without chainrule.compile. Else nothing it was "
        "computed from requires a gradient, or it was made under no_grad() or by detach().",
    )


class _Naming:
    """Gives names to the nodes of a graph, and writes down their formulas."""

    def __init__(self, graph: GraphValues, called: dict[str, Tensor], first_layer: int, loss_name: str) -> None:
        self.graph, self.loss_name = graph, loss_name
        self.reading = Reading(graph)
        self.root = graph.nodes[-1]
        self.layers = tuple(self.reading.layers(first_layer))
        self.inside = {layer.product for layer in self.layers}
        self.by_user = _users_names(called)
        self.names: dict[Any, str] = {}
        self.called: dict[str, str] = {}
        self.symbols: dict[Any, Symbol] = {}
        self.values: dict[str, Array] = {}
        self.formulas: dict[Node, Expression] = {}
        self.statements: list[Statement] = []

    def recorded(self) -> Recorded:
        self._name(self.root, self.loss_name)
        self._name_layers()
        for node in self.graph.nodes:
            for place, source in enumerate(self.graph.sources[node]):
                if isinstance(source, Leaf | Constant) and source not in self.names:
                    self._name(source, self._name_of_given(source, node, place))
        for node in self.graph.nodes:
            self._write(node)
        givens = [s for source, s in self.symbols.items() if not isinstance(source, Node)]
        program = Program(tuple(givens), tuple(self.statements), self.loss_name)
        recomputed = {self.names[node] for node in self.graph.recomputed if node in self.names}
        activations = frozenset(self._activations())
        return Recorded(program, self.values, self.names, self.layers, activations, frozenset(recomputed), self.called)

    def _activations(self) -> Iterator[str]:
        """What stands as rows, or as vectors, where a textbook has columns."""
        for layer in self.layers:
            parts = [layer.source, layer.bias, layer.z, layer.a]
            names = [self.names[x] for x in parts if x is not None and x in self.names]
            yield from [name for name in names if layer.rows or self.values[name].ndim == 1]

    # ---- names -----------------------------------------------------------------------------------------------

    def _name(self, source: Any, wanted: str) -> None:
        """Give a name, another one where it is taken; the user's own is noted."""
        taken = set(self.names.values())
        name, n = wanted, 2
        while name in taken:
            name, n = f"{wanted}_{n}", n + 1
        self.names[source] = name
        own = self._users(source)
        if own is not None and own != name and source is not self.root:
            self.called[name] = own

    def _name_layers(self) -> None:
        for letter, edge, number in parameters(list(self.layers)):
            self._name(edge, f"{letter}{number}")
        for layer in self.layers:
            for letter, node in (("z", layer.z), ("a", layer.a)):
                if node is not None and node not in self.names:
                    self._name(node, f"{letter}{layer.number}")

    def _name_of_given(self, source: Leaf | Constant, node: Node, place: int) -> str:
        own = self._users(source)
        if own is not None:
            return re.sub(r"\W+", "_", own).strip("_")
        if self.layers and source is self.reading._before_moves(self.layers[0].source):
            return "x"
        if node.plan.op.inputs[min(place, len(node.plan.op.inputs) - 1)] == "target":
            return "t" if self.graph.value_of(source).dtype.kind == "f" else "labels"
        if isinstance(source, Constant) and self.layers and source.value.shape == self.layers[-1].z.shape:
            return "t"
        if isinstance(source, Leaf) and not self.layers and len(self.graph.leaves) == 1:
            return "x"
        return f"{'p' if isinstance(source, Leaf) else 'c'}{1 + sum(n[0] in 'pc' for n in self.names.values())}"

    def _users(self, source: Any) -> str | None:
        if isinstance(source, Constant):
            return self.by_user.get(_place_of(source.value))
        return self.by_user.get(source)

    # ---- formulas --------------------------------------------------------------------------------------------

    def _write(self, node: Node) -> None:
        inputs = [self._expression(source) for source in self.graph.sources[node]]
        formula = (
            self._with_labels_as_columns(node, inputs)
            or self._with_mask(node, inputs)
            or call(node.plan.op.name, *inputs, **_in_float64(node.params or {}))
        )
        formula = _plainer(simplified(formula))
        self.formulas[node] = formula
        if node not in self.names and self._needs_a_name(node, formula):
            own = self._users(node)
            self._name(node, own if own is not None else f"v{1 + sum(n[0] == 'v' for n in self.names.values())}")
        if node in self.names:
            name = self.names[node]
            statement = Statement(name, formula, line_of(node.site))
            self.symbols[node] = statement.symbol
            self.values[name] = self.graph.values[node]
            self.statements.append(statement)

    def _with_labels_as_columns(self, node: Node, inputs: list[Any]) -> Expression | None:
        """Cross entropy of labels as that of the probabilities 0 and 1, whose derivative is softmax(z) - truth."""
        params = dict(node.params or {})
        if node.plan.op.name != "cross_entropy" or inputs[2] is not None:
            return None
        logits, labels, _ = inputs
        ignored = params.pop("ignore_index")
        if np.any(self.graph.value_of(self.graph.sources[node][1]) == ignored):
            return None
        truth = call("one_hot", labels, classes=logits.shape[-1], dtype=dtypes.float64)
        return call("cross_entropy_of_probabilities", logits, truth, None, **params)

    def _with_mask(self, node: Node, inputs: list[Any]) -> Expression | None:
        """Dropout as the product with the mask that was drawn: 0 or 1 / (1 - p)."""
        if node.plan.op.name != "dropout":
            return None
        _, key, counter = self.graph.sources[node]
        ones = np.ones(node.shape)
        mask = Constant(runner(node.plan.op)(ones, key, counter, **(node.params or {}))[0])
        self._name(mask, "mask")
        return call("mul", inputs[0], self._given(mask))

    def _expression(self, source: Source) -> Expression | int | float | None:
        if isinstance(source, Node):
            return self.symbols.get(source) or self.formulas[source]
        if isinstance(source, Leaf | Constant):
            return self._given(source)
        return source

    def _given(self, source: Leaf | Constant) -> Symbol:
        if source not in self.symbols:
            name = self.names[source]
            value = self.values[name] = self.graph.value_of(source)
            dtype = dtypes.float64 if value.dtype.kind == "f" else dtype_of(value.dtype)
            self.symbols[source] = Symbol(name, value.shape, dtype)
        return self.symbols[source]

    def _needs_a_name(self, node: Node, formula: Expression) -> bool:
        op = node.plan.op
        if self._users(node) is not None:
            return True
        if node in self.inside:
            return False
        if op.kind.name == "movement" or op.name in ARITHMETIC:
            only_moved = all(not one.parts or getattr(one, "op", op).kind.name == "movement" for one in walk(formula))
            if only_moved:
                return False
            several = len(self.reading.readers.get(node, [])) > 1
            bent = any(r.plan.op.name not in ARITHMETIC for r in self.reading.readers.get(node, []))
            return (
                several
                or (bent and op.kind.name != "movement")
                or sum(1 for one in walk(formula) if one.parts) > LONGEST
            )
        return True


def _users_names(called: dict[str, Tensor]) -> dict[Any, str]:
    """The user's names by edge, and by place in memory for tensors without one."""
    found: dict[Any, str] = {}
    for name, x in called.items():
        found.setdefault(x.edge if x.edge is not None else _place_of(x.value), name)
    return found


def _place_of(a: Array) -> tuple[int, int]:
    """Where an array lies and how much it holds: a reshaped tensor is still the same one."""
    return address(a), a.size


def _in_float64(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as formulas take them: our element types, and float64 for floats, in which formulas are evaluated."""
    found = dict(params)
    for name, p in params.items():
        if isinstance(p, np.dtype | type):
            p = dtype_of(np.dtype(p))
        if isinstance(p, DType):
            found[name] = dtypes.float64 if p.is_floating_point else p
    return found


def _plainer(formula: Expression) -> Expression:
    """Without operators that only copy."""
    if getattr(formula, "op", None) is not None and formula.op.name in ("clone", "contiguous"):  # type: ignore[attr-defined]
        return formula.parts[0]
    return formula


def edge_of(tensor: Tensor) -> Edge:
    """A tensor's place in the graph.

    Raises:
        GraphError: it has none.
    """
    if tensor.edge is None:
        raise GraphError(
            "this tensor does not require a gradient, so there is none to explain", got=[describe("wrt", tensor)]
        )
    return tensor.edge
