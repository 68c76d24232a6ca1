"""Where the time of a compiled step goes, kernel by kernel (`step.profile(x, y)`).

The program is compiled once more with the processor's clock read before each kernel and after the last, and runs on
copies: parameters, optimiser state and random generators stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chainrule.compiler.fuse import Group
from chainrule.compiler.ir import Instruction, size_of
from chainrule.compiler.lowered import flops_of, speed
from chainrule.compiler.recorded import Part
from chainrule.compiler.targets.llvm.target import KEPT, Compiled, plan_of
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.graph import Array

SECONDS, FEWEST, MOST = 0.3, 7, 10_000
"""How long the program is run, in how many calls at least and at most."""


@dataclass(frozen=True)
class KernelTime:
    """One kernel of a call.

    Attributes:
        kind: of the kernel: gemm, convolution, pool, rows, columns, map ...; "alone" runs on NumPy.
        space: the shape it runs over.
        operators: what it computes.
        seconds: the median over the calls, from the end of the kernel before to its own.
        flops: floating-point operations; a multiply-add counts as two.
        bytes: memory that it reads and stores, each value counted once.
    """

    kind: str
    space: tuple[int, ...]
    operators: tuple[str, ...]
    seconds: float
    flops: float
    bytes: float


@dataclass(frozen=True)
class Profile:
    """The kernels of a call in the order in which they run.

    Printing shows those that do the same together, the longest first: their number, share of the time, microseconds,
    and operations and bytes per nanosecond.

    Attributes:
        kernels: one for each that runs.
        flops_per_second: what one core of this machine reaches in float32.
    """

    kernels: tuple[KernelTime, ...]
    flops_per_second: float

    @property
    def seconds(self) -> float:
        """Of all kernels."""
        return sum([k.seconds for k in self.kernels])

    def __str__(self) -> str:
        alike: dict[object, list[KernelTime]] = {}
        for kernel in self.kernels:
            alike.setdefault((kernel.kind, kernel.space, kernel.operators), []).append(kernel)
        groups = sorted(alike.values(), key=lambda group: -sum([k.seconds for k in group]))
        count = len(self.kernels)
        peak = f"one core reaches {self.flops_per_second / 1e9:.0f} GFLOP/s"
        head = [
            f"{count} kernel{'s' * (count != 1)}, {self.seconds * 1e6:.1f} us; {peak}",
            "share      us GFLOP/s   GB/s  kernel",
        ]
        return "\n".join([*head, *map(self._line, groups)])

    def _line(self, group: list[KernelTime]) -> str:
        """Kernels that do the same, as one."""
        first = group[0]
        seconds = sum([k.seconds for k in group])
        flops, traffic = (sum([getattr(k, name) for k in group]) / max(seconds, 1e-12) for name in ("flops", "bytes"))
        share = seconds / max(self.seconds, 1e-12)
        numbers = f"{share:5.1%} {seconds * 1e6:7.1f} {flops / 1e9:7.1f} {traffic / 1e9:6.1f}"
        space = "x".join(map(str, first.space)) or "1"
        return f"{numbers}  {len(group)} {first.kind} {space}: {' '.join(first.operators)}"


class Timed(Compiled):
    """A program that notes how long each of its kernels takes."""

    def __init__(self, part: Part, *, flushes: bool) -> None:
        simple = part.simplified(KEPT)
        plan = plan_of(simple)
        self.in_place = simple.in_place
        self.stamps = np.zeros(sum([len(s.kernels) + 1 for s in plan.steps if s.alone is None]), np.int64)
        self.seconds_alone: dict[Instruction, float] = {}
        super().__init__(plan, flushes, simple.own, simple.leaves, self.stamps)

    def run_alone(self, instruction: Instruction, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        start = time.perf_counter()
        super().run_alone(instruction, inputs, outputs)
        self.seconds_alone[instruction] = time.perf_counter() - start

    def profile(self, inputs: Sequence[Array]) -> Profile:
        """Run on these arrays, which it writes to, and take the medians."""
        graph = self.plan.graph
        arrays = dict(zip([v for v in graph.inputs if v.role != "constant"], inputs, strict=True))
        outputs = [
            arrays[graph.inputs[self.in_place[i]]] if i in self.in_place else np.empty(y.shape, numpy_dtype(y.dtype))
            for i, y in enumerate(graph.outputs)
        ]
        self(inputs, outputs)  # the first call meets cold caches
        stamps: list[Array] = []
        alone: list[list[float]] = []
        began = [time.perf_counter()]
        while len(stamps) < FEWEST or (began[-1] - began[0] < SECONDS and len(stamps) < MOST):
            self(inputs, outputs)
            stamps.append(self.stamps.copy())
            alone.append(list(self.seconds_alone.values()))
            began.append(time.perf_counter())
        ticks = int(stamps[-1][:1].sum() - stamps[0][:1].sum())  # from the begin of the first call to that of the last
        medians = np.median(np.diff(stamps), axis=0) * ((began[-2] - began[0]) / max(ticks, 1))
        times: dict[Group, float] = {}
        first = 0
        for step in self.plan.steps:
            if step.alone is None:
                for place, (_, group) in enumerate(step.kernels, first):
                    times[group] = times.get(group, 0.0) + float(medians[place])
                first += len(step.kernels) + 1
        on_numpy = [group for group in self.plan.groups if group.kind == "alone"]
        times |= zip(on_numpy, map(float, np.median(alone, axis=0)), strict=True)
        kernels = [kernel_time(group, times[group]) for group in self.plan.groups if group in times]
        return Profile(tuple(kernels), speed()[0])


def kernel_time(group: Group, seconds: float) -> KernelTime:
    """A group and its time, with the work that it does."""
    operators = tuple([i.op.name for i in group.instructions])
    traffic = float(sum([size_of(v) for v in [*group.reads, *group.stored]]))
    return KernelTime(group.kind, group.space, operators, seconds, flops_of(group.instructions), traffic)
