"""Rewriting: how a pass makes a new graph of an old one. The old graph stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chainrule.compiler.ir import Graph, Instruction, Operand, Value


class Rewrite:
    """A graph in the making, and for each value of the old graph the new one that stands for it.

    The new graph has all inputs of the old one in their order, constants too: callers know them by their place.
    Constants that a pass adds come after them. Instructions keep the user's line.
    """

    def __init__(self, old: Graph, new: Graph | None = None, inputs: Sequence[Value] | None = None) -> None:
        self.old, self.new = old, Graph(old.name) if new is None else new
        self.values: dict[Value, Value] = {}
        for x in old.inputs if inputs is None else inputs:
            self.add_input(x)

    def add_input(self, x: Value) -> None:
        """Let an input of the new graph stand for a value; it is an argument if an instruction made the value."""
        role = "argument" if x.role == "result" else x.role
        self.values[x] = value = self.new.input(x.shape, x.dtype, role, "" if x.name.isdecimal() else x.name)
        if role == "constant":
            self.new.constants[value] = self.old.constants[x]

    def at(self, instruction: Instruction) -> tuple[Operand, ...]:
        """The new operands of an instruction; calls of the new graph are on its line from now on."""
        site = instruction.site
        self.new.site = lambda: site
        return tuple([self.values[x] if isinstance(x, Value) else x for x in instruction.inputs])

    def replace(self, instruction: Instruction, results: Iterable[Value]) -> None:
        """Let values of the new graph stand for the results of an instruction."""
        self.values.update(zip(instruction.results, results, strict=True))

    def keep(self, instruction: Instruction, inputs: tuple[Operand, ...] | None = None) -> Instruction:
        """Repeat an instruction on its new operands, or on given ones that lead to results of the same types."""
        operands = self.at(instruction) if inputs is None else inputs
        made = Instruction(instruction.op, operands, instruction.params, instruction.site)
        made.results = tuple(
            [Value(self.new, self.new.fresh(), y.shape, y.dtype, "result", made) for y in instruction.results]
        )
        self.new.instructions.append(made)
        self.replace(instruction, made.results)
        return made

    def finished(self, outputs: Sequence[Value] | None = None) -> Graph:
        """The new graph; its outputs stand for those of the old one, or for the given values.

        Values without a name of their own are numbered as they are defined, inputs first, so that equal programs print
        the same text.
        """
        self.new.outputs = [self.values[y] for y in (self.old.outputs if outputs is None else outputs)]
        self.new.site = str
        made = [y for instruction in self.new for y in instruction.results]
        unnamed = [value for value in (*self.new.inputs, *made) if value.name.isdecimal()]
        for number, value in enumerate(unnamed, 1):
            value.name = str(number)
        return self.new


def needed(graph: Graph, outputs: Iterable[Value], known: Iterable[Value] = ()) -> list[Instruction]:
    """The instructions, in order, that compute values; what leads to `known` ones is left out."""
    wanted, known = set(outputs), set(known)
    found = []
    for instruction in reversed(graph.instructions):
        if any(y in wanted and y not in known for y in instruction.results):
            found.append(instruction)
            wanted.update(instruction.values)
    return found[::-1]


def extracted(graph: Graph, inputs: Sequence[Value], outputs: Sequence[Value]) -> Graph:
    """The part of a graph that leads from some of its values to others, as a graph of its own.

    Args:
        graph: the whole.
        inputs: values of it that become the inputs, in this order; constants need not be among them.
        outputs: values of it that follow from the inputs.

    Raises:
        KeyError: if an output does not follow from the inputs.
    """
    body = needed(graph, outputs, known=inputs)
    read = {*outputs, *[x for instruction in body for x in instruction.values]}
    constants = [x for x in graph.constants if x in read and x not in inputs]
    rewrite = Rewrite(graph, inputs=[*inputs, *constants])
    for instruction in body:
        rewrite.keep(instruction)
    return rewrite.finished(outputs)
