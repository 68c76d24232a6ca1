"""Reader: NumPy, one instruction after the other. What it computes is what a graph means; every pass keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.compiler.facts import Facts, Watch
from chainrule.compiler.ir import Graph, Instruction, Operand, Value
from chainrule.dtypes import DType
from chainrule.ops.op import Op
from chainrule.ops.shape_maths import input_name
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.graph import Array
from chainrule.tensor.numpy_maths import runner

WORD = 1 << 64
"""An int64 that holds a key or a counter of random words stands for the unsigned number with its bits."""


def run(graph: Graph, arrays: Mapping[Value, Array]) -> list[Array]:
    """The arrays of the graph's outputs. An output that is a view of an input shares its memory.

    Args:
        graph: of any operators of the catalogue.
        arrays: one for each input but the constants, of its shape and element type.

    Raises:
        KeyError: if an input has no array.
    """
    return _run(graph, _last_uses(graph), arrays)


def program(graph: Graph) -> Callable[[Sequence[Array]], list[Array]]:
    """The graph as a function: arrays in the order of its inputs, without the constants, to those of its outputs."""
    given = [x for x in graph.inputs if x.role != "constant"]
    last_uses = _last_uses(graph)
    return lambda arrays: _run(graph, last_uses, dict(zip(given, arrays, strict=True)))


def executable(graph: Graph) -> Interpreted:
    """The graph as a program of the target NumPy."""
    return Interpreted(graph)


class Interpreted:
    """A graph that writes its outputs into given arrays: `Executable` in `program.py`. It has no entry."""

    entry: Callable[..., Any] | None = None
    batches: Sequence[Any] = ()

    def __init__(self, graph: Graph) -> None:
        self.run = program(graph)

    def point(self, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> None:
        """Nothing: without an entry, all arrays come with each call."""

    def steps(self, data: Sequence[Array], rows: Array, results: Array, counters: Sequence[tuple[Array, int]]) -> None:
        """Never called: there are no `batches`."""
        raise AssertionError("NumPy runs one step at a time")

    def watch(self, facts: Facts) -> Watch:
        """Never called: there is no `entry`."""
        raise AssertionError("programs that run on NumPy look at everything anew")

    def __call__(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Write the outputs, which may be the very arrays of inputs."""
        given = {id(x) for x in inputs}
        made = [y.copy() if id(y) in given or y.base is not None else y for y in self.run(inputs)]
        for y, place in zip(made, outputs, strict=True):
            place[...] = y


@np.errstate(all="ignore")
def evaluate(instruction: Instruction, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """The arrays of one instruction's results.

    Args:
        instruction: what to run.
        inputs: an array for each input that is a value; numbers and None as they are.
    """
    op = instruction.op
    given = [_number(x) if _stands_for_a_number(op, i, x) else x for i, x in enumerate(inputs)]
    params = {name: numpy_dtype(p) if isinstance(p, DType) else p for name, p in instruction.params.items()}
    made = runner(op)(*given, **params)
    parts = made if isinstance(made, tuple) else (made,)
    return tuple([_as_promised(y, value) for y, value in zip(parts, instruction.results, strict=True)])


def _run(graph: Graph, last_uses: Sequence[Sequence[Value]], arrays: Mapping[Value, Array]) -> list[Array]:
    known = {**graph.constants, **arrays}

    def array_of(x: Operand) -> Any:
        return known[x] if isinstance(x, Value) else x

    for instruction, done in zip(graph, last_uses, strict=True):
        made = evaluate(instruction, [array_of(x) for x in instruction.inputs])
        known.update(zip(instruction.results, made, strict=True))
        for x in done:
            del known[x]
    return [known[y] for y in graph.outputs]


def _last_uses(graph: Graph) -> list[list[Value]]:
    """For each instruction, the values that nothing after it reads: their memory is given back there."""
    read = set(graph.outputs)
    last_uses = []
    for instruction in reversed(graph.instructions):
        last = dict.fromkeys([x for x in (*instruction.values, *instruction.results) if x not in read])
        read.update(last)
        last_uses.append(list(last))
    return last_uses[::-1]


def _stands_for_a_number(op: Op, place: int, x: Any) -> bool:
    """True for hyperparameters, keys and counters: the bodies expect Python numbers, which widen no array."""
    return op.kind.name in ("update", "random") and input_name(op, place) not in op.promotes and hasattr(x, "dtype")


def _number(x: Array) -> float | int:
    number: float | int = x.item()
    return number % WORD if isinstance(number, int) else number


def _as_promised(y: Any, value: Value) -> Array:
    """The result in the value's element type: of numbers alone, NumPy makes float64 and we promise float32."""
    array = np.asarray(y).astype(numpy_dtype(value.dtype), copy=False)
    assert array.shape == value.shape, f"NumPy made {array.shape} of {value.maker!r}"
    return array
