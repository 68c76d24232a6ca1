"""The compiler's program: a graph of catalogue operators on typed values, each assigned once, in order.

A Value knows its shape and element type; Python numbers stand among the inputs as they are. A `Graph` is also
what operator bodies are read into: `graph.maths` is their `m`, and values have Python's operators.
`print(graph)` shows the program, `parse` (in `notation.py`) reads what was printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import prod
from typing import Any, TypeAlias

from chainrule.dtypes import DType
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.maths import Operators
from chainrule.ops.op import Op
from chainrule.ops.shape_maths import Abstract, input_name, operand_type, results_of
from chainrule.shapes import Shape

Operand: TypeAlias = "Value | float | int | bool | None"

PRINTED = 16
"""So many elements of a constant, or fewer, `print(graph)` shows."""


class Value(Operators["Value"]):
    """What one instruction makes, or an input of the graph: `role` says which, and what for.

    Roles: "argument", "state" (read, and perhaps replaced, at each call), "number" (a hyperparameter: float64
    without axes), "constant" (an array known at trace time), "result" (an instruction made it).
    """

    __slots__ = ("dtype", "graph", "maker", "name", "role", "shape")

    def __init__(
        self, graph: Graph, name: str, shape: Shape, dtype: DType, role: str, maker: Instruction | None = None
    ) -> None:
        self.graph, self.name, self.shape, self.dtype, self.role, self.maker = graph, name, shape, dtype, role, maker

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        return f"%{self.name}: {self.dtype.name}[{', '.join(map(str, self.shape))}]"

    def _call(self, name: str, *inputs: Any) -> Value:
        y: Value = self.graph.call(CATALOGUE[name], *inputs)
        return y


class Instruction:
    """One operator call: inputs by position, parameters by name, one result or several; `site` is the user's line."""

    __slots__ = ("inputs", "op", "params", "results", "site")

    def __init__(self, op: Op, inputs: tuple[Operand, ...], params: dict[str, Any], site: str = "") -> None:
        self.op, self.inputs, self.params, self.site = op, inputs, params, site
        self.results: tuple[Value, ...] = ()

    @property
    def values(self) -> list[Value]:
        """The inputs that are values of the graph."""
        return [x for x in self.inputs if isinstance(x, Value)]

    @property
    def result(self) -> Value:
        """The only result."""
        (only,) = self.results
        return only

    def __repr__(self) -> str:
        given = [f"%{x.name}" if isinstance(x, Value) else repr(x) for x in self.inputs]
        given += [f"{name}={value!r}" for name, value in self.params.items()]
        at = f"  # {self.site}" if self.site else ""
        return f"{', '.join(map(repr, self.results))} = {self.op.name}({', '.join(given)}){at}"


class Graph:
    """A program: inputs, instructions in order, outputs."""

    def __init__(self, name: str = "program") -> None:
        self.name = name
        self.inputs: list[Value] = []
        self.instructions: list[Instruction] = []
        self.outputs: list[Value] = []
        self.constants: dict[Value, Any] = {}
        self.site: Callable[[], str] = str
        self.maths = GraphMaths(self)
        self._count = 0

    def fresh(self) -> str:
        """A name that no other value has."""
        self._count += 1
        return str(self._count)

    def input(self, shape: Shape, dtype: DType, role: str, name: str = "") -> Value:
        """A new input of the program."""
        value = Value(self, name or self.fresh(), tuple(shape), dtype, role)
        self.inputs.append(value)
        return value

    def constant(self, array: Any, dtype: DType) -> Value:
        """An array that is known now, as an input."""
        value = self.input(array.shape, dtype, "constant")
        self.constants[value] = array
        return value

    def call(self, op: Op, *inputs: Any, **params: Any) -> Any:
        """Append a call of an operator; returns its value (without kept statistics), or an update's values.

        Inputs of different element types are cast to their common one first, as the operators on Tensors do.

        Raises:
            ShapeError, DTypeError, ArgumentError: what the operator's shape rule refuses.
        """
        params = {name: params.get(name, default) for name, default in op.params.items()}
        if op.converts or op.result == "float":
            inputs = self._converted(op, inputs)
        y = self.append(op, inputs, params)
        return y if op.kind.name == "update" else y[0]

    def append(self, op: Op, inputs: Sequence[Operand], params: dict[str, Any]) -> tuple[Value, ...]:
        """Append a call whose inputs have their final types; returns all results."""
        made = Instruction(op, tuple(inputs), params, self.site())
        made.results = tuple(
            [
                Value(self, self.fresh(), shape, dtype, "result", made)
                for shape, dtype in results_of(op, list(map(abstract, inputs)), params)
            ]
        )
        self.instructions.append(made)
        return made.results

    def _converted(self, op: Op, inputs: Sequence[Operand]) -> tuple[Operand, ...]:
        common = operand_type(op, list(map(abstract, inputs)))
        return tuple(
            [
                self.call(CATALOGUE["cast"], x, dtype=common)
                if isinstance(x, Value) and input_name(op, i) in op.promotes and x.dtype is not common
                else x
                for i, x in enumerate(inputs)
            ]
        )

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self.instructions)

    def __str__(self) -> str:
        inputs = [f"    {x!r} {x.role}{self._elements(x)}" for x in self.inputs]
        body = [f"    {i!r}" for i in self.instructions]
        outputs = ", ".join([f"%{x.name}" for x in self.outputs])
        return "\n".join([f"graph {self.name}(", *inputs, ") {", *body, f"    return {outputs}", "}"])

    def _elements(self, x: Value) -> str:
        """A small constant's elements, as nested lists."""
        array = self.constants.get(x)
        return f" = {array.tolist()}" if array is not None and array.size <= PRINTED else ""


class GraphMaths:
    """`m` on the values of a graph: each call appends an instruction."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in CATALOGUE:
            raise AttributeError(f"no operator '{name}'")
        return partial(self._graph.call, CATALOGUE[name])


def abstract(x: Operand) -> Any:
    """A value as the shape rules see it."""
    return Abstract(x.shape, x.dtype) if isinstance(x, Value) else x


def size_of(value: Value) -> int:
    """Bytes that a value takes."""
    return prod(value.shape) * value.dtype.itemsize
