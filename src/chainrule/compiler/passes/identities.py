"""Identities: instructions whose result is, bit for bit, another value, and chains of movements that are one.

x + 0 is no identity of floats, because -0.0 + 0 is 0.0. The rules know numbers by sight: that a value is the number 1
throughout is for `fold_constants.py` to find.
"""

from __future__ import annotations

from collections.abc import Callable
from math import copysign
from typing import Any, TypeAlias

import numpy as np

from chainrule.compiler.ir import Graph, Instruction, Operand, Value
from chainrule.compiler.rewrite import Rewrite
from chainrule.dtypes import DType, int64
from chainrule.ops.catalogue import CATALOGUE
from chainrule.shapes import Shape, normal_axes
from chainrule.tensor.arrays import numpy_dtype

Rule: TypeAlias = Callable[[Instruction, tuple[Operand, ...]], Operand]
"""From an instruction and its operands in the new graph to the value that the result equals; None if there is none."""


def remove_identities(graph: Graph) -> Graph:
    """The same program without instructions that change nothing; chains of movements become one."""
    rewrite = Rewrite(graph)
    for instruction in graph:
        inputs = rewrite.at(instruction)
        rule = RULES.get(instruction.op.name)
        same = None if rule is None else rule(instruction, inputs)
        if isinstance(same, Value):
            rewrite.replace(instruction, [same])
        else:
            rewrite.keep(instruction, inputs)
    return rewrite.finished()


def is_number(x: Operand, number: float) -> bool:
    """True for a Python number of this value and sign: 0.0 is not -0.0."""
    return isinstance(x, bool | int | float) and x == number and copysign(1, x) == copysign(1, number)


def made_by(x: Operand, name: str) -> Instruction | None:
    """The instruction that made a value, if it is a call of that operator."""
    maker = x.maker if isinstance(x, Value) else None
    return maker if maker is not None and maker.op.name == name else None


# ---- arithmetic ------------------------------------------------------------------------------------------------


def without_right(neutral: float) -> Rule:
    """x op neutral = x."""
    return lambda instruction, inputs: inputs[0] if is_number(inputs[1], neutral) else None


def product(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """x 1 = 1 x = x."""
    a, b = inputs
    return a if is_number(b, 1) else b if is_number(a, 1) else None


def total(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """x + (-0.0) = x for floats, x + 0 = x for the others."""
    a, b = inputs
    zero = -0.0 if instruction.result.dtype.is_floating_point else 0
    return a if is_number(b, zero) else b if is_number(a, zero) else None


def undone(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """f(f(x)) = x."""
    inner = made_by(inputs[0], instruction.op.name)
    return None if inner is None else inner.inputs[0]


def undone_for_bools(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """not not x = x, if x is a bool."""
    x = undone(instruction, inputs)
    return x if isinstance(x, Value) and x.dtype is instruction.result.dtype else None


def choice(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """Of two branches that are one value, unless the condition stretches it."""
    _, a, b = inputs
    return a if a is b and isinstance(a, Value) and a.shape == instruction.result.shape else None


def cast(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """To the type that x has; or back to it, from a type that has all its numbers."""
    (x,), dtype = inputs, instruction.result.dtype
    if isinstance(x, Value) and x.dtype is dtype:
        return x
    inner = made_by(x, "cast")
    first = None if inner is None else inner.inputs[0]
    if isinstance(x, Value) and isinstance(first, Value) and first.dtype is dtype and has_all(x.dtype, dtype):
        return first
    return None


def has_all(wide: DType, narrow: DType) -> bool:
    """True if each number of the narrow type is one of the wide type."""
    if narrow is int64 and wide.is_floating_point:  # NumPy calls this cast safe
        return False
    return np.can_cast(numpy_dtype(narrow), numpy_dtype(wide), "safe")


def reduction(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """Of single elements: the elements themselves, as long as they keep their type."""
    (x,), y = inputs, instruction.result
    if not isinstance(x, Value) or x.dtype is not y.dtype:
        return None
    if any(x.shape[a] != 1 for a in normal_axes(instruction.params["axis"], x.ndim)):
        return None
    return reshaped(x, y.shape)


def sum_of_single_elements(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """The elements themselves; of floats plus 0.0, for the sum of -0.0 alone is 0.0."""
    same = reduction(instruction, inputs)
    if not isinstance(same, Value) or not same.dtype.is_floating_point:
        return same
    result: Value = same.graph.call(CATALOGUE["add"], same, 0.0)
    return result


# ---- movements -------------------------------------------------------------------------------------------------


def reshaped(x: Operand, shape: Shape) -> Value:
    """x in another shape by one reshape, from before those that made x; none if it had that shape."""
    inner = made_by(x, "reshape")
    first = x if inner is None else inner.inputs[0]
    assert isinstance(first, Value)
    return first if first.shape == shape else called("reshape", first, shape=shape)


def reshape(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """At once to the last shape."""
    return reshaped(inputs[0], instruction.result.shape)


def broadcast_to(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """At once to the last shape; not at all if that is the first."""
    inner = made_by(inputs[0], "broadcast_to")
    first, shape = inputs[0] if inner is None else inner.inputs[0], instruction.result.shape
    assert isinstance(first, Value)
    return first if first.shape == shape else called("broadcast_to", first, shape=shape)


def permute(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """By all orders at once; not at all if that leaves the axes where they are."""
    first, order = inputs[0], tuple(instruction.params["order"])
    inner = made_by(first, "permute")
    if inner is not None:
        first, order = inner.inputs[0], tuple([inner.params["order"][a] for a in order])
    assert isinstance(first, Value)
    return first if order == tuple(range(len(order))) else called("permute", first, order=order)


def called(name: str, x: Value, **params: Any) -> Value:
    """The result of a new call."""
    y: Value = x.graph.call(CATALOGUE[name], x, **params)
    return y


def whole_slice(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """x[:, :] = x."""
    (x,) = inputs
    assert isinstance(x, Value)
    key = zip(instruction.params["key"], x.shape, strict=False)  # axes without a part of the key are whole
    return x if all(isinstance(part, slice) and part.indices(n) == (0, n, 1) for part, n in key) else None


def of_one(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """One input joined to no other."""
    return inputs[0] if len(inputs) == 1 else None


def without_margin(instruction: Instruction, inputs: tuple[Operand, ...]) -> Operand:
    """A margin of no width."""
    return None if any(map(any, instruction.params["widths"])) else inputs[0]


RULES: dict[str, Rule] = {
    "add": total, "sub": without_right(0.0), "mul": product, "div": without_right(1), "pow": without_right(1),
    "neg": undone, "bitwise_not": undone, "logical_not": undone_for_bools, "where": choice, "cast": cast,
    "sum": sum_of_single_elements,
    **dict.fromkeys(("amax", "amin", "prod", "any", "all"), reduction),
    "reshape": reshape, "broadcast_to": broadcast_to, "permute": permute, "mT": undone, "slice": whole_slice,
    "clone": lambda instruction, inputs: inputs[0], "cat": of_one, "pad": without_margin,
}  # fmt: skip
"""By the name of the operator. The result has the shape and the element type of the instruction's."""
