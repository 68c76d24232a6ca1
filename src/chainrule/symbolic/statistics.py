"""What a statistic that an operator keeps beside its value depends on: layer_norm's mean on x, not on the weight."""

from __future__ import annotations

from typing import Any

from chainrule.compiler.ir import Graph, Value
from chainrule.compiler.rewrite import needed
from chainrule.symbolic.expression import Expression, Kept, Number


def inputs_of(statistic: Kept) -> tuple[Expression, ...]:
    """The inputs of the call that the statistic is computed from: those that the operator's body reads for it."""
    of, graph = statistic.of, Graph()
    given: list[Value | Any] = []
    for x in of.inputs:
        if x is None or isinstance(x, Number):
            given.append(None if x is None else x.plain)
        else:
            given.append(graph.input(x.shape, x.dtype, "argument"))
    results = of.op.body(graph.maths, *given, **dict(of.params))
    wanted = results[1 + of.op.keeps.index(statistic.name)]
    read = {wanted, *[x for instruction in needed(graph, [wanted]) for x in instruction.values]}
    return tuple([x for x, value in zip(of.inputs, given, strict=True) if x is not None and value in read])
