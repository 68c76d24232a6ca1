"""Simplification: all passes that make a program smaller and keep its meaning, until none finds anything."""

from __future__ import annotations

from chainrule.compiler.ir import Graph
from chainrule.compiler.passes.common_subexpressions import share_common_subexpressions
from chainrule.compiler.passes.dead_code import remove_dead_code
from chainrule.compiler.passes.fold_constants import fold_constants
from chainrule.compiler.passes.identities import remove_identities

PASSES = (fold_constants, remove_identities, share_common_subexpressions, remove_dead_code)
"""In this order: numbers that are known make identities, and those make equal calls; what is left over goes last."""


def simplify(graph: Graph) -> Graph:
    """The same program, as small as the passes can make it."""
    before = ""
    graph = remove_dead_code(graph)
    while (text := str(graph)) != before:
        before = text
        for simpler in PASSES:
            graph = simpler(graph)
    return graph
