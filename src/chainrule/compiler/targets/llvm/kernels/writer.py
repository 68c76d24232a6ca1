"""A kernel function that is being written: what all kinds of kernels share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chainrule.compiler.fuse import DRAWS, Group
from chainrule.compiler.ir import Value
from chainrule.compiler.targets.llvm import text
from chainrule.compiler.targets.llvm.elements import Elements, Index, Place
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I64, PTR, Function, literal
from chainrule.compiler.views import MOVES, View
from chainrule.shapes import Shape


@dataclass(frozen=True)
class Kernel:
    """One function: its text with the name left open, its units of work, and the scratch memory that it takes.

    `is_divisible` says that threads may share the units: each has memory of its own in the scratch, or needs none.
    """

    body: str
    units: int
    scratch: int = 0
    is_divisible: bool = True
    declared: tuple[tuple[str, str], ...] = ()


NAME = "KERNEL"
"""Stands for the function's name in a kernel's text."""


class Writer:
    """A kernel function that is being written."""

    def __init__(self, group: Group, views: dict[Value, View], machine: Machine, *, scratch: bool = False) -> None:
        self.group, self.views, self.machine = group, views, machine
        self.stored = group.stored
        self.values = worked_on(group)
        f = Function(
            NAME, [("pointers", PTR), ("begin", I64), ("end", I64)], attributes=f"nounwind {machine.attributes}"
        )
        self.f = f
        pointers = {v: f.load(f.at(f["pointers"], i, PTR), PTR) for i, v in enumerate(self.values)}
        self.scratch = f.load(f.at(f["pointers"], len(self.values), PTR), PTR) if scratch else None
        self.lanes = lanes_for(group, machine)
        self.e = Elements(f, group, views, pointers, self.lanes)

    def finished(self, units: int, scratch: int = 0, *, is_divisible: bool = True) -> Kernel:
        self.f.ret()
        return Kernel(self.f.text(), units, scratch, is_divisible, tuple(self.f.declared.items()))

    def store(self, here: Place) -> None:
        """Compute all stored values at a place, then store them: one may stand where another's input was."""
        computed = [self.e.at(y, here) for y in self.stored]
        for y, t in zip(self.stored, computed, strict=True):
            self.e.store(y, here, t)

    def is_short(self, size: int, vectors: int) -> bool:
        """True if a row is computed without a loop: up to so many vectors, and no random numbers, which are long."""
        return size <= vectors * self.lanes and not any(i.op.name in DRAWS for i in self.group.instructions)

    def divided(self, flat: text.Value, sizes: Shape) -> list[text.Value | int]:
        """The indices of a flat one over axes of these sizes."""
        indices: list[text.Value | int] = []
        for n in reversed(sizes[1:]):
            if n == 1:
                indices.append(0)
                continue
            size = literal(n, I64)
            indices.append(self.f.value(f"urem {flat.typed}, {size}", I64))
            flat = self.f.value(f"udiv {flat.typed}, {size}", I64)
        if sizes:
            indices.append(flat if sizes[0] != 1 else 0)
        return indices[::-1]

    def chunks(self, size: int, body: Callable[[Index, text.Value | None], None], *, unrolled: bool) -> None:
        """Run the body over 0..size, a vector at a time; the last may be masked."""
        lanes = self.lanes
        full = size - size % lanes
        if unrolled:
            for start in range(0, full, lanes):
                body(Index(start, 1), None)
        elif full:
            self.e.before_loop()
            loop = self.f.loop(0, full, lanes)
            self.e.enter(loop.index)
            body(Index(loop.index, 1, lanes), None)
            self.f.close(loop)
            self.e.enter()
        if size > full:
            mask = self.f.first_lanes(size - full, lanes)
            self.e.mask = mask
            body(Index(full, 1), mask)
            self.e.mask = None


def worked_on(group: Group) -> list[Value]:
    """The values whose addresses a group's kernels take, in their order: not numbers that stand in the text."""
    is_whole = group.kind in ("gemm", "convolution", "pool")  # its factors are read from memory, numbers too
    factors = {behind_moves(x) for x in group.instructions[0].values} if is_whole else set()
    return list(dict.fromkeys([v for v in [*group.reads, *group.stored] if v in factors or not _is_literal(v)]))


def behind_moves(value: Value) -> Value:
    """The value that another one is a movement of."""
    while value.maker is not None and value.maker.op.name in MOVES:
        value = value.maker.values[0]
    return value


def lanes_for(group: Group, machine: Machine) -> int:
    """Lanes of a vector of the group's widest floats (float32 where there are none)."""
    sizes = [
        v.dtype.itemsize for i in group.instructions for v in [*i.results, *i.values] if v.ndim and v.dtype.kind == "f"
    ]
    return machine.vector_bits // 8 // max([4, *sizes])


def _is_literal(value: Value) -> bool:
    constant = value.graph.constants.get(value)
    return constant is not None and constant.size == 1
