"""Notation: the graph that a text shows, as `print(graph)` writes it.

graph step(
    %1: float32[2, 3] argument
    %2: float32[] constant = 0.5
) {
    %3: float32[2, 3] = mul(%1, %2)  # step, train.py:12
    return %3
}
"""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np

from chainrule.compiler.ir import Graph, Instruction, Value
from chainrule.dtypes import dtype_named
from chainrule.errors import ArgumentError
from chainrule.ops.catalogue import CATALOGUE
from chainrule.shapes import Shape
from chainrule.tensor.arrays import numpy_dtype

HEADER = re.compile(r"graph (.+)\(")
DEFINED = re.compile(r"%([\w.]+): (\w+)\[([\d, ]*)\]")
INPUT = re.compile(rf"{DEFINED.pattern} (\w+)(?: = (.+))?")
CALL = re.compile(rf"((?:{DEFINED.pattern}(?:, )?)+) = (.+)")
USED = re.compile(r"""(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|%(?P<value>[\w.]+)|  # (?P<site>.*)""")
NAMES = {"inf": float("inf"), "nan": float("nan"), "Ellipsis": ...}


def parse(text: str) -> Graph:
    """The graph that `str(graph)` wrote. A constant that it wrote without its elements has no array.

    Args:
        text: the program, one input or instruction a line.

    Raises:
        ArgumentError: for a line that is not of this notation, or a value or operator that does not exist.
        ArgumentTypeError: for an unknown element type.
    """
    return _Reader().read(text)


class _Reader:
    """What the lines so far have made: the graph, and its values by name."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.values: dict[str, Value] = {}

    def read(self, text: str) -> Graph:
        """The graph of the whole text."""
        lines = enumerate(text.strip().splitlines(), 1)
        for number, line in lines:
            try:
                self.line(line.strip())
            except SyntaxError as error:
                raise ArgumentError(f"line {number} of a graph: {error.msg}", got=[line.strip()]) from None
        for _ in range(max([int(name) for name in self.values if name.isdecimal()], default=0)):
            self.graph.fresh()  # the names that are taken
        return self.graph

    def line(self, line: str) -> None:
        """Read one line. Raises SyntaxError if it is not of this notation."""
        if header := HEADER.fullmatch(line):
            self.graph.name = header[1]
        elif defined := INPUT.fullmatch(line):
            self.input(*defined.groups())
        elif call := CALL.fullmatch(line):
            self.call(DEFINED.findall(call[1]), call.groups()[-1])
        elif line.startswith("return"):
            self.graph.outputs = [self.value(match["value"]) for match in USED.finditer(line)]
        elif line not in (") {", "}"):
            raise SyntaxError("neither an input nor an instruction")

    def input(self, name: str, dtype: str, sizes: str, role: str, elements: str | None) -> None:
        value = self.graph.input(shape_of(sizes), dtype_named(dtype), role, name)
        self.values[name] = value
        if elements is not None:
            array = np.array(self.expression(elements), numpy_dtype(value.dtype))
            self.graph.constants[value] = array.reshape(value.shape)

    def call(self, results: list[tuple[str, str, str]], text: str) -> None:
        sites: list[str] = []

        def python(used: re.Match[str]) -> str:
            """Values as Python can read them, without the user's line."""
            if used["site"] is not None:
                sites.append(used["site"])
                return ""
            return used["text"] or f"values[{used['value']!r}]"

        call = ast.parse(USED.sub(python, text), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in CATALOGUE:
            raise SyntaxError("this is no call of an operator")
        params = {str(p.arg): self.item(p.value) for p in call.keywords}
        made = Instruction(CATALOGUE[call.func.id], tuple(map(self.item, call.args)), params, "".join(sites))
        made.results = tuple(
            [
                Value(self.graph, name, shape_of(sizes), dtype_named(dtype), "result", made)
                for name, dtype, sizes in results
            ]
        )
        self.graph.instructions.append(made)
        self.values.update({y.name: y for y in made.results})

    def expression(self, text: str) -> Any:
        """The Python value of a text."""
        return self.item(ast.parse(text, mode="eval").body)

    def item(self, node: ast.expr) -> Any:
        """What an operand or a parameter says: a value, a number, a slice, an element type ..., or a tuple of them."""
        match node:
            case ast.Constant():
                return node.value
            case ast.Tuple():
                return tuple(map(self.item, node.elts))
            case ast.List():
                return list(map(self.item, node.elts))
            case ast.UnaryOp(op=ast.USub()):
                return -self.item(node.operand)
            case ast.Name(id=name) if name in NAMES:
                return NAMES[name]
            case ast.Subscript(value=ast.Name(id="values"), slice=ast.Constant(value=str(name))):
                return self.value(name)
            case ast.Attribute(value=ast.Name(id="chainrule"), attr=name):
                return dtype_named(name)
            case ast.Call(func=ast.Name(id="slice")):
                return slice(*map(self.item, node.args))
        raise SyntaxError(f"what is {ast.unparse(node)}?")

    def value(self, name: str) -> Value:
        if name not in self.values:
            raise SyntaxError(f"%{name} is not defined")
        return self.values[name]


def shape_of(sizes: str) -> Shape:
    """The shape in a type's brackets."""
    return tuple([int(n) for n in sizes.split(",") if n.strip()])
