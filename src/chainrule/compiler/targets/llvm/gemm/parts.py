"""How an axis is cut into parts, and loops over some of them: bounds that are known are folded while writing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.compiler.targets.llvm.text import I1, I64, Function, Value, literal

Index = Value | int
"""An integer that the program computes, or one that is known while it is written."""


@dataclass(frozen=True)
class Run:
    """Parts of one size: part `begin` starts at `origin`, the next one `size` later, up to part `end`."""

    begin: int
    end: int
    origin: int
    size: int


def even_parts(total: int, most: int) -> tuple[Run, ...]:
    """A length in as few parts of at most `most` as it takes, whose sizes differ by one at most; large ones first.

    33 in parts of at most 8 is 7 + 7 + 7 + 6 + 6: two kernels serve every length, and none of them is small.
    """
    count = -(-total // most)
    size, large = -(-total // count), total - count * (-(-total // count) - 1)
    first = Run(0, large, 0, size)
    return (first,) if large == count else (first, Run(large, count, large * size, size - 1))


def whole(index: Index) -> Value:
    """An index as an operand."""
    return literal(index, I64) if isinstance(index, int) else index


def plus(f: Function, a: Index, b: Index) -> Index:
    """a + b."""
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    return a if b == 0 else b if a == 0 else f.add(whole(a), whole(b))


def times(f: Function, a: Index, factor: int) -> Index:
    """a * factor."""
    if isinstance(a, int) or factor == 0:
        return a * factor if isinstance(a, int) else 0
    return a if factor == 1 else f.mul(a, literal(factor, I64))


def at_least(f: Function, a: Index, bound: int) -> Index:
    """The larger of the two."""
    if isinstance(a, int):
        return max(a, bound)
    return a if bound == 0 else f.intrinsic("smax", I64, a, literal(bound, I64))


def at_most(f: Function, a: Index, bound: int) -> Index:
    """The smaller of the two."""
    return min(a, bound) if isinstance(a, int) else f.intrinsic("smin", I64, a, literal(bound, I64))


def repeat(f: Function, first: Index, last: Index, body: Callable[[Index], None]) -> None:
    """The body for first <= index < last, which may be nothing; without a loop where it is known to be once."""
    if isinstance(first, int) and isinstance(last, int):
        if first + 1 == last:
            body(first)
        elif first < last:
            loop = f.loop(first, last)
            body(loop.index)
            f.close(loop)
        return
    inside, outside = f.fresh("some"), f.fresh("none")
    some = f.value(f"icmp slt {whole(first).typed}, {whole(last)}", I1)
    f.line(f"br i1 {some}, label %{inside}, label %{outside}")
    f.begin(inside)
    loop = f.loop(whole(first), whole(last))
    body(loop.index)
    f.close(loop)
    f.line(f"br label %{outside}")
    f.begin(outside)


def each_part(f: Function, runs: Sequence[Run], first: Index, last: Index, body: Callable[[Run, Index], None]) -> None:
    """The body for the parts first <= part < last, with the run that the part is of and the place where it starts."""
    for run in runs:

        def at_part(part: Index, run: Run = run) -> None:
            body(run, plus(f, times(f, part, run.size), run.origin - run.begin * run.size))

        only = len(runs) == 1
        repeat(
            f, first if only else at_least(f, first, run.begin), last if only else at_most(f, last, run.end), at_part
        )
