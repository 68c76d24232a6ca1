"""One reduction that is being written: partial results in vectors, and how they become one."""

from __future__ import annotations

from chainrule.compiler.ir import Instruction
from chainrule.compiler.targets.llvm import text
from chainrule.compiler.targets.llvm.elements import Place
from chainrule.compiler.targets.llvm.elementwise import TYPES, Typed, emit
from chainrule.compiler.targets.llvm.kernels.writer import Writer
from chainrule.compiler.targets.llvm.text import Function, Type, literal
from chainrule.dtypes import DType


def identity(name: str, dtype: DType, type: Type) -> text.Value:
    """What a reduction starts with."""
    if name in ("sum", "any"):
        return literal(0, type)
    if name in ("prod", "all"):
        return literal(1, type)
    if type.is_float:
        return literal(float("-inf") if name == "amax" else float("inf"), type)
    if dtype.kind == "b":
        return literal(name == "amin", type)
    bits = 8 * dtype.itemsize
    low, high = (0, 2**bits - 1) if dtype.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return literal(low if name == "amax" else high, type)


COMBINES = {
    "sum": "add", "prod": "mul", "amax": "maximum", "amin": "minimum", "any": "logical_or", "all": "logical_and",
}  # fmt: skip


def combined(f: Function, name: str, a: text.Value, b: text.Value, dtype: DType) -> text.Value:
    """Two partial results as one."""
    return emit(f, COMBINES[name], [Typed(a, dtype), Typed(b, dtype)], dtype)


def across(f: Function, name: str, vector: text.Value, dtype: DType) -> text.Value:
    """All lanes as one element: halves are combined until one is left."""
    lanes = vector.type.lanes
    while lanes > 1:
        lanes //= 2
        low, high = (f.shuffle(vector, vector, range(start, start + lanes)) for start in (0, lanes))
        vector = combined(f, name, low, high, dtype)
    return f.extract(vector, 0)


class Reduction:
    """One reduction that is being written: partial results in vectors."""

    def __init__(self, w: Writer, instruction: Instruction) -> None:
        self.w, self.instruction = w, instruction
        self.name, self.x, self.y = instruction.op.name, instruction.values[0], instruction.result
        self.type = TYPES[self.y.dtype.name]

    def element(self, place: Place, mask: text.Value | None, lanes: int) -> text.Value:
        """The input at a place, as the result's type; where the mask is false, what changes nothing."""
        f, e = self.w.f, self.w.e
        t = e.at(self.x, place)
        if self.name in ("any", "all") and t.dtype.kind != "b":
            zero = literal(0, t.value.type)
            t = Typed(f.compare("une" if t.value.type.is_float else "ne", t.value, zero), self.y.dtype)
        elif t.dtype is not self.y.dtype:
            t = Typed(emit(f, "cast", [t], self.y.dtype), self.y.dtype)
        value = e.splat(t, lanes).value
        if mask is None:
            return value
        return f.select(mask, value, identity(self.name, self.y.dtype, value.type))

    def start(self, lanes: int) -> text.Value:
        return identity(self.name, self.y.dtype, self.type.of(lanes))

    def with_(self, a: text.Value, b: text.Value) -> text.Value:
        return combined(self.w.f, self.name, a, b, self.y.dtype)
