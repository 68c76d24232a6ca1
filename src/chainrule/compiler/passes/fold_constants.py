"""Constant folding: what is known at compile time is computed now, by the interpreter.

A value whose elements are all one known number is *uniform*. Its number is known however large it is, and it stays a
number that is stretched: no large array is made of it. Where elements are computed, it is written as the number.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from chainrule.compiler.interpret import evaluate
from chainrule.compiler.ir import Graph, Instruction, Operand, Value, abstract, size_of
from chainrule.compiler.rewrite import Rewrite
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.shape_maths import input_name, operand_type, results_of
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.graph import Array

MOST_BYTES = 1 << 16
"""A larger result is computed at each call: the program would carry it about."""


def fold_constants(graph: Graph) -> Graph:
    """The same program with its known parts as constants and numbers."""
    return _Folding(graph).folded()


class _Folding:
    """`known` has the arrays, and `uniform` the numbers (0-d arrays), of values of the new graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.rewrite = graph, Rewrite(graph)
        self.known: dict[Value, Array] = {}
        self.uniform: dict[Value, Array] = {}
        for value, array in self.rewrite.new.constants.items():
            self.note(value, array)

    def note(self, value: Value, array: Array) -> None:
        """Remember the elements of a value."""
        self.known[value] = array
        if is_uniform(array):
            self.uniform[value] = number_of(array)

    def folded(self) -> Graph:
        for instruction in self.graph:
            self.fold(instruction)
        return self.rewrite.finished()

    def fold(self, instruction: Instruction) -> None:
        """Let a constant stand for a result that is known; else repeat the instruction, with the numbers it reads."""
        inputs = self.rewrite.at(instruction)
        number = self.number(instruction, inputs)
        if number is not None:
            self.replace(instruction, inputs, number)
            return
        inputs = self.with_numbers(instruction, inputs)
        array = self.array(instruction, inputs)
        if array is None:
            self.rewrite.keep(instruction, inputs)
        elif is_uniform(array):
            self.replace(instruction, inputs, number_of(array))
        else:
            self.rewrite.replace(instruction, [self.constant(array, instruction.result)])

    def constant(self, array: Array, y: Value) -> Value:
        """A new constant of the element type of a value."""
        value = self.rewrite.new.constant(array, y.dtype)
        self.note(value, array)
        return value

    def array(self, instruction: Instruction, inputs: tuple[Operand, ...]) -> Array | None:
        """The result, if all inputs are known, and it is neither large nor larger than they are together."""
        y = instruction.results[0]
        if len(instruction.results) > 1:
            return None
        sizes = [prod(x.shape) if x in self.known else -1 for x in inputs if isinstance(x, Value)]
        if -1 in sizes or prod(y.shape) > sum(sizes) or size_of(y) >= MOST_BYTES:
            return None
        return evaluate(instruction, [self.known[x] if isinstance(x, Value) else x for x in inputs])[0]

    # ---- uniform values --------------------------------------------------------------------------------------

    def number(self, instruction: Instruction, inputs: tuple[Operand, ...]) -> Array | None:
        """The one number that a result's elements all are; None if they differ or are not known."""
        op, y = instruction.op, instruction.results[0]
        if op.name == "zeros":
            return np.zeros((), numpy_dtype(y.dtype))
        if op.views or op.name == "clone":  # each element is one of the input's
            first = inputs[0]
            return self.uniform.get(first) if isinstance(first, Value) and size_of(y) else None
        if op.kind.broadcasts and all(x in self.uniform for x in inputs if isinstance(x, Value)):
            return self.element(instruction, inputs)
        return None

    def element(self, instruction: Instruction, inputs: tuple[Operand, ...]) -> Array | None:
        """What an elementwise operator makes of numbers; None if it makes another type of numbers than of arrays."""
        alone = Graph()
        operands = [alone.input((), x.dtype, "constant") if isinstance(x, Value) else x for x in inputs]
        (y,) = alone.append(instruction.op, operands, instruction.params)
        if y.dtype is not instruction.result.dtype:
            return None
        numbers = [self.uniform[x] if isinstance(x, Value) else x for x in inputs]
        return evaluate(alone.instructions[0], numbers)[0]

    def replace(self, instruction: Instruction, inputs: tuple[Operand, ...], number: Array) -> None:
        """Let a constant without axes stand for a uniform result; stretched, if the result has axes."""
        y, (first, *_) = instruction.result, (*inputs, None)
        is_stretched = instruction.op.name == "broadcast_to" and isinstance(first, Value) and not first.shape
        if instruction.op.name == "zeros" or (is_stretched and first in self.known):
            value = self.rewrite.keep(instruction, inputs).result
        else:
            value = self.constant(number, y)
            if y.shape:
                value = self.rewrite.new.call(CATALOGUE["broadcast_to"], value, shape=y.shape)
            self.rewrite.replace(instruction, [value])
        self.uniform[value] = number

    def with_numbers(self, instruction: Instruction, inputs: tuple[Operand, ...]) -> tuple[Operand, ...]:
        """The operands of an elementwise operator, the uniform ones as numbers where that changes no type or shape."""
        op = instruction.op
        if not op.kind.broadcasts or not op.converts:
            return inputs
        for i, x in enumerate(inputs):
            if isinstance(x, Value) and x in self.uniform and input_name(op, i) in op.promotes:
                trial = (*inputs[:i], self.uniform[x].item(), *inputs[i + 1 :])
                if any(isinstance(x, Value) for x in trial) and types(instruction, trial) == types(instruction, inputs):
                    inputs = trial
        return inputs


def types(instruction: Instruction, inputs: tuple[Operand, ...]) -> Any:
    """The shapes and element types of the results, and the element type in which they are computed."""
    operands = [abstract(x) for x in inputs]
    return results_of(instruction.op, operands, instruction.params), operand_type(instruction.op, operands)


def number_of(array: Array) -> Array:
    """The first element, as an array without axes."""
    return array.reshape(-1)[:1].reshape(())


def is_uniform(array: Array) -> bool:
    """True if all elements have the same bits: neither are 0.0 and -0.0 one number, nor is nan two."""
    if not array.size:
        return False
    bits = np.ascontiguousarray(array).reshape(-1).view(f"u{array.itemsize}")
    return bool(bits[0] == bits[-1] and (bits == bits[0]).all())
