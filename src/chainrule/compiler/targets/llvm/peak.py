"""The fastest that a core can multiply and add: a loop of nothing else, to measure products against."""

from __future__ import annotations

from typing import Protocol

from chainrule.compiler.targets.llvm.text import I64, Function, Type, literal, module_text

CHAINS, STEPS = 12, 8
"""Independent sums, enough for two units of latency four to six; steps of each of them in one round."""


class Machine(Protocol):
    """What the loop needs to know about a processor."""

    @property
    def vector_bits(self) -> int: ...


def flops_per_round(type: Type, machine: Machine) -> int:
    """The operations of one round of the loop; a multiplication with its addition counts as two."""
    return 2 * CHAINS * STEPS * (machine.vector_bits // (8 * type.bytes))


def peak_text(type: Type, machine: Machine) -> str:
    """A module with `@peak(i64 rounds)`, which returns a number that depends on every step.

    Source: the loop s = s x + y with x < 1, whose sums stay finite however often it runs.
    """
    lanes = machine.vector_bits // (8 * type.bytes)
    f = Function("peak", [("rounds", I64)], type, linkage="dso_local")
    x, y = (f.splat(literal(number, type), lanes) for number in (0.5, 1.0))
    loop = f.loop(literal(0, I64), f["rounds"], carry=[literal(i, type.of(lanes)) for i in range(CHAINS)])
    sums = loop.carried
    for _ in range(STEPS):
        sums = [f.fma(s, x, y) for s in sums]
    total, *others = f.close(loop, sums)
    for other in others:
        total = f.add(total, other)
    f.ret(f.extract(total, 0))
    return module_text([f])
