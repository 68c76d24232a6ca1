"""Dead code: instructions whose results nothing needs, and constants that nothing reads."""

from __future__ import annotations

from chainrule.compiler.ir import Graph
from chainrule.compiler.rewrite import Rewrite, needed


def remove_dead_code(graph: Graph) -> Graph:
    """The same program without the instructions that lead to no output.

    Constants that nothing reads go as well where no other input comes after them: callers know inputs by their place.
    """
    body = needed(graph, graph.outputs)
    read = {*graph.outputs, *[x for instruction in body for x in instruction.values]}
    last = max([i for i, x in enumerate(graph.inputs) if x.role != "constant"], default=-1)
    rewrite = Rewrite(graph, inputs=[x for i, x in enumerate(graph.inputs) if i <= last or x in read])
    for instruction in body:
        rewrite.keep(instruction)
    return rewrite.finished()
