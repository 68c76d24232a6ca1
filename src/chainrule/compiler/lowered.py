"""What a program becomes on its way to machine code (`step.lower(x, y)`), and what it costs (`step.cost(x, y)`)."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from math import prod

import numpy as np

from chainrule.compiler.fuse import CONVOLUTIONS, Group
from chainrule.compiler.ir import Graph, Instruction, Value, size_of
from chainrule.compiler.passes.expand import expand
from chainrule.compiler.recorded import Part
from chainrule.compiler.targets.llvm.kernels.convolutions import flops_of_convolution
from chainrule.compiler.targets.llvm.machine import host
from chainrule.compiler.targets.llvm.native import compile_text
from chainrule.compiler.targets.llvm.peak import flops_per_round, peak_text
from chainrule.compiler.targets.llvm.target import ARENA, KEPT, Plan, plan_of, program_text
from chainrule.compiler.targets.llvm.text import F32

WORK = {
    "exp": 12, "expm1": 16, "log": 14, "log1p": 16, "tanh": 18, "erf": 20, "sin": 16, "cos": 16, "pow": 30, "sqrt": 4,
    "div": 4,
}  # fmt: skip
"""About how many floating-point operations one element takes; 1 for those that are not named."""


@dataclass(frozen=True)
class Cost:
    """What one call takes at least.

    Attributes:
        flops: floating-point operations; a multiply-add counts as two.
        bytes: memory that arguments, state and results take, each counted once.
        flops_per_second, bytes_per_second: of the machine the estimate is for.
    """

    flops: float
    bytes: float
    flops_per_second: float
    bytes_per_second: float

    @property
    def seconds(self) -> float:
        """The roofline: no program takes less than its arithmetic, nor than its memory traffic."""
        return max(self.flops / self.flops_per_second, self.bytes / self.bytes_per_second)

    def __str__(self) -> str:
        return (
            f"{self.flops / 1e6:.3f} MFLOP, {self.bytes / 1e6:.3f} MB, at least {self.seconds * 1e6:.2f} us "
            f"at {self.flops_per_second / 1e9:.0f} GFLOP/s and {self.bytes_per_second / 1e9:.0f} GB/s"
        )


@dataclass(frozen=True)
class Lowered:
    """A program in each of its forms; printing shows them one after the other.

    Attributes:
        traced: the graph as the function ran.
        expanded: composites as their bodies.
        simplified: constants folded, repeated and unused instructions gone.
        plan: kernels and memory.
        llvm: the text that LLVM compiles.
    """

    traced: Graph
    expanded: Graph
    simplified: Graph
    plan: Plan
    llvm: str

    @property
    def kernels(self) -> str:
        """The groups in the order in which they run: what they compute, read and store."""
        return "\n".join([_described(i, g) for i, g in enumerate(self.plan.groups)])

    @property
    def memory(self) -> str:
        """Where every value is: the caller's memory, or an offset in the arena."""
        lines = []
        for group in self.plan.groups:
            for y in group.stored:
                place = self.plan.places[y]
                where = f"arena + {place.offset}" if place.slot == ARENA else f"slot {place.slot}"
                lines.append(f"%{y.name}: {size_of(y)} bytes at {where}")
        return "\n".join([*lines, f"arena: {self.plan.arena_bytes} bytes, scratch: {self.plan.scratch_bytes} bytes"])

    def __str__(self) -> str:
        parts = {
            "traced": self.traced, "expanded": self.expanded, "simplified": self.simplified, "kernels": self.kernels,
            "memory": self.memory, "llvm": self.llvm,
        }  # fmt: skip
        return "\n\n".join([f"# {name}\n{part}" for name, part in parts.items()])


def lowered(part: Part) -> Lowered:
    """A part of a program in each of its forms."""
    simple = part.simplified(KEPT)
    plan = plan_of(simple)
    return Lowered(part.graph, expand(part.graph, KEPT), simple.graph, plan, program_text(plan))


def cost(part: Part) -> Cost:
    """What a part of a program costs on this machine."""
    graph = part.simplified(frozenset()).graph
    return Cost(flops_of(graph), traffic_of(graph), *speed())


@cache
def speed() -> tuple[float, float]:
    """Of one core of this machine: float32 operations and bytes per second, measured once in a few milliseconds."""
    machine = host()
    native = compile_text(peak_text(F32, machine), machine)  # holds the code while it runs
    run = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)(native.address("peak"))
    rounds = 100_000
    flops = flops_per_round(F32, machine) * rounds / min(_seconds(lambda: run(rounds)) for _ in range(5))
    source, target = np.ones(1 << 24, np.uint8), np.ones(1 << 24, np.uint8)
    traffic = 2 * source.nbytes / min(_seconds(lambda: np.copyto(target, source)) for _ in range(5))
    return flops, traffic


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _described(number: int, group: Group) -> str:
    work = " ".join([i.op.name for i in group.instructions])
    reads, stores = (", ".join([_named(v) for v in values]) for values in (group.reads, group.stored))
    space = "x".join(map(str, group.space)) or "1"
    lines = [f"{number:3} {group.kind:8} {space:12} {work}", f"    reads {reads}", f"    stores {stores}"]
    return "\n".join(lines)


def _named(value: Value) -> str:
    return f"%{value.name}[{', '.join(map(str, value.shape))}]"


def flops_of(instructions: Iterable[Instruction]) -> float:
    """The floating-point operations of primitives and convolutions."""
    total = 0.0
    for instruction in instructions:
        y = instruction.results[0]
        if instruction.op.name in CONVOLUTIONS:
            total += flops_of_convolution(instruction)
        elif instruction.op.name == "matmul":
            total += 2 * prod(y.shape) * instruction.values[0].shape[-1]
        elif instruction.op.kind.name == "elementwise" and y.dtype.kind == "f":
            total += WORK.get(instruction.op.name, 1) * prod(y.shape)
        elif instruction.op.kind.name == "reduction":
            total += prod(instruction.values[0].shape)
    return total


def traffic_of(graph: Graph) -> float:
    """The bytes of a graph's inputs and outputs."""
    return float(sum([size_of(v) for v in [*graph.inputs, *graph.outputs]]))
