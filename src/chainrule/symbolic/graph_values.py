"""What went into and came out of each node of a graph: kept, saved by a rule, remembered weakly, or computed again.

A value that was written after its node was made is refused, as the sweep refuses it: a derivation with the numbers of
another step would be worse than none.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from chainrule.errors import GraphError, UnsupportedError
from chainrule.tensor.graph import Array, Edge, Leaf, Node, Window, address, line_of, write_to
from chainrule.tensor.numpy_maths import NumPyMaths, runner
from chainrule.tensor.plan import Plan

COMPILED = "_ConnectedBackward"
"""The node that stands for a whole compiled program."""

RECORD = "Compute the loss under `with chainrule.explain.record():`, which keeps every value."


@dataclass(frozen=True, eq=False)
class Constant:
    """An input without an edge that is an array. Nodes that were given the same array share it."""

    value: Array


Source: TypeAlias = "Edge | Constant | int | float | bool | None"


class GraphValues:
    """The nodes behind a result, oldest first, with what they read and their values.

    Args:
        root: the node to start from.
        value: its value.

    Raises:
        GraphError: a parameter was written since, an array is gone, or a value cannot be found again.
        UnsupportedError: a node that no operator of the catalogue made.
    """

    def __init__(self, root: Node, value: Array) -> None:
        edges = behind(root)
        self.nodes = [edge for edge in edges if isinstance(edge, Node)]
        self.leaves = [edge for edge in edges if isinstance(edge, Leaf)]
        self.sources: dict[Node, tuple[Source, ...]] = {}
        self.values: dict[Any, Array] = {root: value}
        self.recomputed: set[Node] = set()
        self._constants: dict[Any, Constant] = {}
        self._seen_saved()
        for node in self.nodes:
            self.sources[node] = tuple(self._sources(node))
            self._find_value(node)

    # ---- values ----------------------------------------------------------------------------------------------

    def _seen_saved(self) -> None:
        """The results that some rule saved, its own or another node's."""
        for node in self.nodes:
            if not isinstance(node.plan, Plan):
                raise no_formula(node)
            if node.kept is not None:
                self.values[node] = node.kept.result
            for want, value in zip(node.plan.wants, node.saved or (), strict=False):
                edge = node if want == "y" else _edge_named(node, want)
                if isinstance(edge, Node) and edge not in self.values and isinstance(value, np.ndarray):
                    check_unwritten(value, node, f"'{want}'")
                    self.values[edge] = value

    def _find_value(self, node: Node) -> None:
        for place, source in enumerate(self.sources[node]):
            if isinstance(source, Leaf):
                self._find_leaf(source, node, place)
        if node not in self.values:
            self.values[node] = self._computed(node)
            self.recomputed.add(node)

    def _find_leaf(self, leaf: Leaf, node: Node, place: int) -> None:
        if node.kept is not None:
            value = node.kept.inputs[place]
        else:
            check_unwritten(leaf.value, node, "a parameter or input")
            value = leaf.value
        before = self.values.setdefault(leaf, value)
        if before is not value and not np.array_equal(before, value):
            raise GraphError(
                "a leaf was written between two of the operations of this loss, so that it has no one value",
                where=line_of(node.site),
                mend="Explain a loss that was computed from one state of the parameters.",
            )

    def _computed(self, node: Node) -> Array:
        """A node's result, computed again from what it read."""
        inputs = [self.value_of(source) for source in self.sources[node]]
        y = runner(node.plan.op, NumPyMaths)(*inputs, **(node.params or {}))
        return np.asarray(y[0] if node.plan.op.keeps else y)

    def value_of(self, source: Source) -> Any:
        """The value of an input: an array, a number, or None."""
        if isinstance(source, Constant):
            return source.value
        return self.values[source] if isinstance(source, Node | Leaf) else source

    # ---- inputs ----------------------------------------------------------------------------------------------

    def _sources(self, node: Node) -> Iterator[Source]:
        edges = iter(node.edges)
        for place, needs in enumerate(node.plan.needs):
            yield next(edges) if needs else self._constant(node, place)

    def _constant(self, node: Node, place: int) -> Source:
        remembered = node.constants[place] if node.constants is not None else None
        if not isinstance(remembered, weakref.ref | Window):
            number: Source = remembered
            return number
        value = remembered() if node.kept is None else node.kept.inputs[place]
        name = _input_name(node, place)
        if value is None and node.saved is not None and name in node.plan.wants:
            value = node.saved[node.plan.wants.index(name)]
            if isinstance(value, list):
                value = value[place - len(node.plan.fixed)]
        if value is None:
            raise GraphError(
                "the values of this derivation cannot be found again: "
                f"'{name}' of {node.plan.op.name} was an array that nothing holds any more",
                where=line_of(node.site),
                mend=RECORD,
            )
        if node.kept is None:
            check_unwritten(value, node, f"'{name}'")
        key = (address(value), value.shape, value.strides, value.dtype.str)
        return self._constants.setdefault(key, Constant(value))


def behind(root: Edge) -> list[Edge]:
    """The node and all behind it, what was made first coming first; leaves as they are met."""
    seen = {root}
    stack = [root]
    while stack:
        for edge in stack.pop().edges:
            if edge not in seen:
                seen.add(edge)
                stack.append(edge)
    nodes = sorted([edge for edge in seen if isinstance(edge, Node)], key=lambda node: node.order)
    leaves = dict.fromkeys(edge for node in nodes for edge in node.edges if isinstance(edge, Leaf))
    return [*leaves, *nodes]


def check_unwritten(value: Array, node: Node, what: str) -> None:
    """Refuse a value that was written after the node read or made it.

    Raises:
        GraphError: it was.
    """
    write = write_to(value)
    if write is not None and write.time > node.order:
        at = f" in {line_of(write.site)}" if write.site else ""
        raise GraphError(
            f"the values of this derivation are gone: {what} of {node.plan.op.name} was written after it was used",
            got=[f"written by {write.by}{at}", f"used in {line_of(node.site)}"],
            mend=f"Explain before the optimiser steps. {RECORD}",
        )


def no_formula(node: Node) -> UnsupportedError:
    """The error for a node that no operator of the catalogue made."""
    if node.name() == COMPILED:
        return UnsupportedError(
            "the result of a compiled program carries no graph of its operations: its gradient has no derivation",
            where=line_of(node.site),
            mend="Compute the loss once without chainrule.compile and explain that one.",
        )
    return UnsupportedError(
        f"{node.name()} has no formula: it is hand-written, or writes through a view",
        where=line_of(node.site),
        mend="A hand-written backward is checked by chainrule.verify.backward; for x[i] = ... take chainrule.where.",
    )


def _input_name(node: Node, place: int) -> str:
    op = node.plan.op
    return op.inputs[min(place, len(op.inputs) - 1)]


def _edge_named(node: Node, want: str) -> Edge | None:
    """The edge of the input of that name, if it is one input with an edge."""
    plan = node.plan
    if want not in plan.fixed:
        return None
    place = plan.fixed.index(want)
    return node.edges[sum(plan.needs[:place])] if plan.needs[place] else None
