"""Many steps in one native call: rows of the data are gathered into a batch, the program runs, its result is kept.

`void epochs(ptr table, ptr work)` goes through `work`: the number of steps, the rows in their order (int64), where
the results go, then for each argument its data and its batch buffer, then the random counters to move on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from chainrule.compiler.ir import Value
from chainrule.compiler.targets.llvm.entry import restore_denormals, start_flushing
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I1, I8, I64, PTR, VOID, Function, literal


@dataclass(frozen=True)
class Batch:
    """An argument that is a batch of rows: its slot in the table, rows and bytes of each."""

    slot: int
    rows: int
    row_bytes: int


def batches_of(inputs: Sequence[Value], first: int) -> list[Batch]:
    """The arguments among inputs whose slots start at `first`, as batches of one length; none if they are not that."""
    arguments = [(first + i, v) for i, v in enumerate(inputs) if v.role == "argument"]
    if len({v.shape[:1] for _, v in arguments}) != 1 or not arguments[0][1].shape:
        return []
    return [Batch(slot, v.shape[0], prod(v.shape[1:]) * v.dtype.itemsize) for slot, v in arguments]


STEPS, ROWS, RESULTS, FIRST = 0, 1, 2, 3
"""Places in `work`, counted in words of eight bytes."""


def write_epochs(
    program: str, batches: Sequence[Batch], result_slot: int, result_bytes: int, counters: int,
    machine: Machine, *, flushes: bool,
) -> Function:  # fmt: skip
    """The loop over the steps; `counters` pairs (address, increment) stand at the end of `work`."""
    f = Function("epochs", [("table", PTR), ("work", PTR)], linkage="", attributes=f"nounwind {machine.attributes}")
    mode = start_flushing(f, machine) if flushes else None
    steps = f.load(f.at(f["work"], STEPS, I64), I64)
    rows, results = (f.load(f.at(f["work"], place, PTR), PTR) for place in (ROWS, RESULTS))
    places = []
    for i, batch in enumerate(batches):
        data, buffer = (f.load(f.at(f["work"], FIRST + 2 * i + k, PTR), PTR) for k in range(2))
        f.store(buffer, f.at(f["table"], batch.slot, PTR))
        places.append((batch, data, buffer))
    loop = f.loop(0, steps)
    count = batches[0].rows
    row = f.loop(0, count)
    here = f.load(f.at(rows, f.add(f.mul(loop.index, literal(count, I64)), row.index), I64), I64)
    for batch, data, buffer in places:
        size = literal(batch.row_bytes, I64)
        to, source = (f.at(p, f.mul(i, size), I8) for p, i in ((buffer, row.index), (data, here)))
        f.call("llvm.memcpy.p0.p0.i64", VOID, to, source, size, literal(0, I1))
    f.close(row)
    f.store(f.at(results, f.mul(loop.index, literal(result_bytes, I64)), I8), f.at(f["table"], result_slot, PTR))
    f.call(program, VOID, f["table"])
    first = FIRST + 2 * len(batches)
    for k in range(counters):
        counter = f.load(f.at(f["work"], first + 2 * k, PTR), PTR)
        by = f.load(f.at(f["work"], first + 2 * k + 1, I64), I64)
        f.store(f.add(f.load(counter, I64), by), counter)
    f.close(loop)
    if mode is not None:
        restore_denormals(f, mode, machine)
    f.ret()
    return f
