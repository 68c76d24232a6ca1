"""Expansion: operators taken apart into primitives, by reading their bodies into the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.compiler.fuse import is_whole
from chainrule.compiler.ir import Graph, Operand, Value
from chainrule.compiler.rewrite import Rewrite
from chainrule.ops.op import Op


def expand(graph: Graph, kept: frozenset[str] = frozenset()) -> Graph:
    """The same program in primitives and in the operators named in `kept`, which the target runs as they are."""
    rewrite = Rewrite(graph, Expanding(graph.name, kept))
    for instruction in graph:
        results = rewrite.new.append(instruction.op, rewrite.at(instruction), instruction.params)
        rewrite.replace(instruction, results)
    return rewrite.finished()


class Expanding(Graph):
    """A graph that takes operators apart as they are called: of another one, it appends what its body calls."""

    def __init__(self, name: str, kept: frozenset[str]) -> None:
        super().__init__(name)
        self.kept = kept

    def append(self, op: Op, inputs: Sequence[Operand], params: dict[str, Any]) -> tuple[Value, ...]:
        if op.primitive or (op.name in self.kept and is_whole(op, inputs)):
            return super().append(op, inputs, params)
        results = op.body(self.maths, *inputs, **params)
        return results if isinstance(results, tuple) else (results,)
