"""Legality: the rules that every graph keeps, so that a reader can rely on them. Tests check them after each pass.

Each value has a name of its own and is defined once, before it is used. Inputs of one operator share their element
type where it asks for that. Results have the shapes and types that the operator's declaration promises.
"""

from __future__ import annotations

from typing import Any

from chainrule.compiler.ir import Graph, Instruction, Value, abstract
from chainrule.errors import ChainruleError, IllegalGraphError
from chainrule.ops.op import REQUIRED
from chainrule.ops.shape_maths import Abstract, input_name, operand_type, results_of
from chainrule.tensor.arrays import dtype_of

ROLES = ("argument", "state", "number", "constant")
"""What an input of a graph can be."""


def check(graph: Graph) -> None:
    """Nothing, if the graph keeps all rules.

    Raises:
        IllegalGraphError: for the first instruction or value that breaks one.
    """
    defined: dict[Value, None] = {}
    names: set[str] = set()

    def define(value: Value, where: str) -> None:
        demand(value.graph is graph, "belongs to another graph", value, where)
        demand(value not in defined, "is defined twice", value, where)
        demand(value.name not in names, "has the name of another value", value, where)
        defined[value] = None
        names.add(value.name)

    for x in graph.inputs:
        check_input(graph, x)
        define(x, "the inputs")
    for x in graph.constants:
        demand(x in defined and x.role == "constant", "has an array and is no constant", x, "the constants")
    for instruction in graph:
        where = repr(instruction)
        for x in instruction.values:
            demand(x in defined, "is used before it is defined", x, where)
        check_call(instruction)
        for y in instruction.results:
            demand(y.role == "result" and y.maker is instruction, "does not know who made it", y, where)
            define(y, where)
    for y in graph.outputs:
        demand(isinstance(y, Value), "is no value", y, "the outputs")
        demand(y in defined, "is not defined", y, "the outputs")


def demand(holds: bool, otherwise: str, culprit: Any, where: str) -> None:
    """Raises IllegalGraphError, which says what the culprit is or does, unless the rule holds."""
    if not holds:
        raise IllegalGraphError(f"illegal graph: {culprit!r} {otherwise}", where=where)


def check_input(graph: Graph, x: Value) -> None:
    """An input has a known role and no maker; a number has no axes; a constant has its array."""
    where = "the inputs"
    demand(x.role in ROLES, f"has the role '{x.role}'; there are {', '.join(ROLES)}", x, where)
    demand(x.maker is None, "is an input that an instruction made", x, where)
    demand(x.role != "number" or not x.shape, "is a number with axes", x, where)
    if x.role == "constant":
        demand(x in graph.constants, "is a constant without an array", x, where)
        array = graph.constants[x]
        same = array.shape == x.shape and dtype_of(array.dtype) is x.dtype
        demand(same, f"is a constant whose array is {array.dtype} {array.shape}", x, where)


def check_call(instruction: Instruction) -> None:
    """The inputs, parameters and results of a call are as the operator's declaration says."""
    op, where = instruction.op, repr(instruction)
    least, most = len(op.inputs) - len(op.optional) - op.variadic, len(op.inputs)
    given = len(instruction.inputs)
    demand(least <= given and (op.variadic or given <= most), f"takes {least} to {most} inputs, not {given}", op, where)
    for i, x in enumerate(instruction.inputs):
        name = input_name(op, i)
        demand(
            x is None or isinstance(x, Value | bool | int | float), f"has a {type(x).__name__} as '{name}'", op, where
        )
        absent = x is None and op.primitive and name not in op.optional
        demand(not absent, f"has None as '{name}'", op, where)
    demand(set(instruction.params) == set(op.params), f"has the parameters {', '.join(op.params)}", op, where)
    missing = [name for name, value in instruction.params.items() if value is REQUIRED]
    demand(not missing, f"lacks {', '.join(missing)}", op, where)
    operands = [abstract(x) for x in instruction.inputs]
    try:
        promised = results_of(op, operands, instruction.params)
        common = operand_type(op, operands)
    except ChainruleError as refused:
        raise IllegalGraphError(f"illegal graph: {refused}", where=where) from refused
    for i, x in enumerate(operands):
        shares = isinstance(x, Abstract) and input_name(op, i) in op.promotes
        demand(not shares or x.dtype is common, f"computes in {common} and has a {x.dtype if shares else x}", op, where)
    made = [(y.shape, y.dtype) for y in instruction.results]
    demand(made == promised, f"promises {promised}", op, where)
