"""Common subexpressions: what is computed twice from the same values is computed once. All operators are pure."""

from __future__ import annotations

from typing import Any

from chainrule.compiler.ir import Graph, Instruction, Operand, Value
from chainrule.compiler.rewrite import Rewrite

SMALL = 1 << 10
"""Elements up to which constants are compared."""


def share_common_subexpressions(graph: Graph) -> Graph:
    """The same program with each operator called once on the same inputs and parameters; equal constants are one."""
    rewrite = Rewrite(graph)
    first: dict[Any, Value] = {}
    for x, array in graph.constants.items():
        if array.size <= SMALL:
            rewrite.values[x] = first.setdefault((x.shape, x.dtype, array.tobytes()), rewrite.values[x])
    seen: dict[Any, Instruction] = {}
    for instruction in graph:
        inputs = rewrite.at(instruction)
        call = _call(instruction, inputs)
        if call in seen:
            rewrite.replace(instruction, seen[call].results)
        else:
            seen[call] = rewrite.keep(instruction, inputs)
    return rewrite.finished()


def _call(instruction: Instruction, inputs: tuple[Operand, ...]) -> Any:
    """What the results depend on. Numbers by their text and type: 1, 1.0 and True differ, so do 0.0 and -0.0."""
    given = tuple([x if isinstance(x, Value) else (type(x), repr(x)) for x in inputs])
    return instruction.op.name, given, repr(instruction.params)
