"""Fork and join: the machine code by which a program divides a kernel's units between threads.

A program calls, through the address that stands first in the pool,

    void cr_parallel(ptr pool, ptr kernel, ptr context, i64 units)

which calls `kernel(ptr context, i64 begin, i64 end)` on ranges that cover 0 ... units, and returns when all are
done. The ranges depend on the units and the number of threads only; which thread works on which does not matter, if
what a kernel does for a unit depends on nothing but that unit. `emit_parallel` writes the call.

**A job** is cut into chunks, and whoever is free takes the next: while the system lets a worker wait, the caller goes
on alone. One word, the tickets, says what is left: how many chunks there are, how many were taken from the front (by
the caller) and from the back (by workers); an atomic addition takes one and tells which. So of two threads each finds
in its cache what it had there in the kernel before. Only who has taken a chunk reads the job, and the caller changes
it only when all chunks are done: nobody is ever late for a job.

**Waiting** is spinning for about 20 us, then sleeping on a lock of Python's C API, which is a semaphore on every
platform. Who wants to sleep says so and then looks once more for a reason to stay up; who gives a reason looks
afterwards for sleepers. Both in one order for all threads (seq_cst), so one of them sees the other.

**Never slower than alone.** When another process keeps a core busy, a worker can be stopped within a chunk, for
milliseconds, and the caller has to wait. So the caller keeps an account: a job earns the time that it would have taken
alone (chunks x the caller's mean time for one) less the time that it took, the waking of workers included. When the
account is overdrawn, the caller works alone for twenty times as long: waiting costs at most a twentieth.

Several callers at once: the first has the team, the others work alone. So does a kernel that divides its own work.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.text import I32, I64, PTR, VOID, Function, Type, Value, literal, module_text

LINE = 16
"""Words between what different threads write: two cache lines, since processors fetch them in pairs."""

CHUNKS_PER_THREAD = 2
"""How finely a job is cut. With 1 nobody helps a slow core; with 4 a kernel of 14 us gains nothing from a second core,
as its threads contend for the tickets (Zen 5: 7.1, 7.6 and 13.8 us with 1, 2 and 4)."""


OVERDRAFT, CEILING = 4, 512
"""What the account may owe, and the most that it holds, in times of spinning: 80 us and 10 ms."""

REPAYMENT = 20
"""How many times what dividing lost is then worked alone."""


class Word(IntEnum):
    """The layout of a pool: places in it, counted in words of eight bytes. It begins on a cache line of its own."""

    PARALLEL = 0  # address of cr_parallel
    THREADS = 1  # address of the number of threads, an i64 (chainrule.compiler.threads)
    HIRE = 2  # address of a function `void ()` that starts the missing workers
    WORKERS = 3  # how many were started
    BEDS = 4  # address of the workers' beds, LINE words each
    SPIN = 5  # how long a thread spins before it sleeps, in ticks of the processor's clock
    BED = LINE  # the caller's bed
    TAKEN = 2 * LINE  # 1 while a caller has the team
    ACCOUNT = 2 * LINE + 1  # ticks that dividing has earned lately
    ALONE = 2 * LINE + 2  # ticks that the caller still works alone, because dividing did not pay
    TICKETS = 3 * LINE  # chunks, and how many were taken
    KERNEL = 3 * LINE + 1  # the job: what to call,
    CONTEXT = 3 * LINE + 2  # with which context,
    SHARE = 3 * LINE + 3  # on how many units at least in a chunk,
    REST = 3 * LINE + 4  # in how many chunks on one more,
    MODE = 3 * LINE + 5  # and how the caller rounds and treats subnormal numbers
    PENDING = 4 * LINE  # chunks that the caller waits for, less those that workers have done
    END = 5 * LINE


class Bed(IntEnum):
    """The layout of where a thread sleeps, in words."""

    ASLEEP = 0  # 1 from when it wants to sleep until somebody has decided to wake it
    LOCK = 1  # a lock that is taken: the sleeper waits for it
    POOL = 2  # of a worker: its pool,
    NUMBER = 3  # and which worker it is, from 0


# Tickets: 20 bits each for what was taken from the front, what from the back, and the number of chunks. Threads that
# find nothing have counted too; at most once each, so no field runs over.
_BITS = 20
_FRONT, _BACK, _CHUNKS = 0, _BITS, 2 * _BITS
CLOSED = -(1 << 63) | ((1 << _BITS) - 1) << _CHUNKS
"""Tickets that tell the workers to end: there is always something to take, and the sign says what."""


def emit_parallel(f: Function, pool: Value, kernel_name: str, context: Value, units: int) -> None:
    """Write into a program: call a kernel of the same module on all units, divided between the pool's threads.

    A program that has such a call releases the GIL (and holds its own lock): the first one starts Python threads.

    Args:
        f: the function that is being written.
        pool: the address of the pool, `Pool.current().address`; null at run time: the kernel is called here, once.
        kernel_name: a function `void (ptr context, i64 begin, i64 end)`; what it does for a unit may not depend on
            the others of its range, nor on the thread. It keeps the floating-point mode.
        context: what the kernel gets as its first argument.
        units: how many, at least 1.
    """
    assert units >= 1, f"{kernel_name}: {units} units"
    alone, team, after = (f.fresh(name) for name in ("alone", "team", "after"))
    first, last = literal(0, I64), literal(units, I64)
    f.branch(f.compare("eq", pool, Value("null", PTR)), alone, team)
    f.begin(alone)
    f.call(kernel_name, VOID, context, first, last)
    f.jump(after)
    f.begin(team)
    f.call_at(f.load(f.at(pool, Word.PARALLEL, PTR), PTR), VOID, pool, Value(f"@{kernel_name}", PTR), context, last)
    f.jump(after)
    f.begin(after)


def fork_join_text(machine: Machine) -> str:
    """The module: cr_parallel, and what the pool's owner calls: cr_worker, cr_close, cr_now."""
    writers = (
        _write_parallel, _write_alone, _write_team, _write_worker, _write_close, _write_now, _write_chunk, _write_wake
    )  # fmt: skip
    return module_text([write(machine) for write in writers])


# ---- the caller ---------------------------------------------------------------------------------------------------


def _write_parallel(machine: Machine) -> Function:
    """`void cr_parallel(ptr pool, ptr kernel, ptr context, i64 units)`: cut into chunks, find out who works on them."""
    params = [("pool", PTR), ("kernel", PTR), ("context", PTR), ("units", I64)]
    f = _function("cr_parallel", params, machine)
    pool, units = f["pool"], f["units"]
    f.branch(f.compare("slt", units, ONE), "end", "some")

    f.begin("some")
    threads = f.atomic_load(_load(f, pool, Word.THREADS, PTR), I64, "monotonic")
    several = f.compare("sgt", threads, ONE)
    most = f.select(several, f.mul(threads, literal(CHUNKS_PER_THREAD, I64)), ONE)
    chunks = f.call("llvm.smin.i64", I64, units, most)
    job = [f["kernel"], f["context"], f.div(units, chunks), f.rem(units, chunks), chunks]
    f.branch(f.compare("eq", chunks, ONE), "alone", "ask")
    f.begin("ask")
    taken = f.atomic_update("xchg", f.at(pool, Word.TAKEN, I64), ONE, "acquire")
    f.branch(f.compare("eq", taken, ZERO), "ours", "alone")

    f.begin("alone")
    f.call("cr_alone", VOID, *job)
    f.jump("end")

    f.begin("ours")
    debt = _load(f, pool, Word.ALONE)
    f.branch(f.compare("sgt", debt, ZERO), "repay", "divide")
    f.begin("repay")
    start = now(f)
    f.call("cr_alone", VOID, *job)
    f.store(f.sub(debt, f.sub(now(f), start)), f.at(pool, Word.ALONE, I64))
    f.jump("release")
    f.begin("divide")
    f.call("cr_team", VOID, pool, *job, threads)
    f.jump("release")
    f.begin("release")
    f.atomic_store(ZERO, f.at(pool, Word.TAKEN, I64))
    f.jump("end")
    f.begin("end")
    f.ret()
    return f


_JOB = [("kernel", PTR), ("context", PTR), ("share", I64), ("rest", I64), ("chunks", I64)]
"""What to call with which context; a chunk has `share` units, the first `rest` chunks one more."""


def _write_alone(machine: Machine) -> Function:
    """`void cr_alone(job)`: all chunks, one after the other."""
    f = _function("cr_alone", _JOB, machine, linkage="internal")
    loop = f.loop(ZERO, f["chunks"])
    f.call("cr_chunk", VOID, f["kernel"], f["context"], f["share"], f["rest"], loop.index)
    f.close(loop)
    f.ret()
    return f


def _write_team(machine: Machine) -> Function:
    """`void cr_team(ptr pool, job, i64 threads)`: publish the job, work on it, wait for the others, book the time."""
    f = _function("cr_team", [("pool", PTR), *_JOB, ("threads", I64)], machine, linkage="internal")
    pool, chunks = f["pool"], f["chunks"]
    tickets = f.at(pool, Word.TICKETS, I64)
    mode = _read_mode(f, machine)
    helpers = f.sub(f["threads"], ONE)
    f.branch(f.compare("slt", _load(f, pool, Word.WORKERS), helpers), "hire", "publish")
    f.begin("hire")
    f.call_at(_load(f, pool, Word.HIRE, PTR), VOID)
    f.jump("publish")

    f.begin("publish")
    start = now(f)
    job = {Word.KERNEL: f["kernel"], Word.CONTEXT: f["context"], Word.SHARE: f["share"], Word.REST: f["rest"]}
    for word, value in (job | {Word.MODE: mode}).items():
        f.store(value, f.at(pool, word, I64))
    first_taken = f.bits("or", f.bits("shl", chunks, literal(_CHUNKS, I64)), literal(1 << _FRONT, I64))
    f.atomic_store(first_taken, tickets, "seq_cst")
    _wake_workers(f, pool, f.call("llvm.smin.i64", I64, helpers, f.sub(chunks, ONE)))

    start_of_work = now(f)
    loop = f.loop(ZERO, chunks)  # it is left when nothing is left, at the latest after the last chunk
    f.call("cr_chunk", VOID, f["kernel"], f["context"], f["share"], f["rest"], loop.index)
    taken = f.atomic_update("add", tickets, literal(1 << _FRONT, I64), "monotonic")
    f.branch(_something_left(f, taken), "again", "settle")
    f.begin("again")
    f.close(loop)
    f.line("unreachable")

    f.begin("settle")
    end_of_work = now(f)
    own = _field(f, taken, _FRONT)  # only the caller takes from there
    missing = f.sub(chunks, own)
    before = f.atomic_update("add", f.at(pool, Word.PENDING, I64), missing)
    f.branch(f.compare("eq", f.add(before, missing), ZERO), "book", "wait")
    f.begin("wait")
    _spin(f, pool, lambda: _nothing_pending(f, pool), machine, reason="book")
    _sleep(f, f.at(pool, Word.BED, I64), lambda: _nothing_pending(f, pool), reason="book")
    f.jump("wait")  # it may be a worker of an earlier job that woke us

    f.begin("book")
    alone = f.div(f.mul(f.sub(end_of_work, start_of_work), chunks), own)
    _book(f, pool, f.sub(alone, f.sub(now(f), start)))
    f.ret()
    return f


def _book(f: Function, pool: Value, earned: Value) -> None:
    """Add to the account; if it is overdrawn, begin a new one and have the caller work alone."""
    account, spin = f.at(pool, Word.ACCOUNT, I64), _load(f, pool, Word.SPIN)
    most = f.mul(spin, literal(CEILING, I64))
    balance = f.call("llvm.smin.i64", I64, f.add(f.load(account, I64), earned), most)
    overdrawn = f.compare("slt", balance, f.mul(spin, literal(-OVERDRAFT, I64)))
    f.store(f.select(overdrawn, ZERO, balance), account)
    debt = f.mul(balance, literal(-REPAYMENT, I64))
    f.store(f.select(overdrawn, debt, ZERO), f.at(pool, Word.ALONE, I64))


def _nothing_pending(f: Function, pool: Value) -> Value:
    return f.compare("eq", f.atomic_load(f.at(pool, Word.PENDING, I64), I64, "seq_cst"), ZERO)


def _wake_workers(f: Function, pool: Value, count: Value) -> None:
    """Wake the first `count` (at least 1) of those who sleep."""
    beds = _load(f, pool, Word.BEDS, PTR)
    loop = f.loop(ZERO, count)
    f.call("cr_wake", VOID, f.at(beds, f.mul(loop.index, literal(LINE, I64)), I64))
    f.close(loop)


# ---- a worker -----------------------------------------------------------------------------------------------------


def _write_worker(machine: Machine) -> Function:
    """`void cr_worker(ptr bed)`: a worker's life; returns when the pool closes."""
    f = _function("cr_worker", [("bed", PTR)], machine)
    bed = f["bed"]
    pool = _load(f, bed, Bed.POOL, PTR)
    mode = f.value("alloca i64", PTR)
    f.store(_read_mode(f, machine), mode)
    cell = f.value("alloca i32", PTR)
    tickets, pending = f.at(pool, Word.TICKETS, I64), f.at(pool, Word.PENDING, I64)
    least = f.add(_load(f, bed, Bed.NUMBER), ONE)  # with more threads than these this worker is wanted
    f.jump("idle")

    f.begin("idle")
    threads = f.atomic_load(_load(f, pool, Word.THREADS, PTR), I64, "monotonic")
    f.branch(f.compare("slt", least, threads), "wanted", "unwanted")
    f.begin("wanted")
    _spin(f, pool, lambda: _something_left(f, f.atomic_load(tickets, I64, "monotonic")), machine, reason="take")
    f.jump("unwanted")
    f.begin("unwanted")
    _sleep(f, bed, lambda: _something_left(f, f.atomic_load(tickets, I64, "seq_cst")), reason="take")
    f.jump("idle")

    f.begin("take")
    taken = f.atomic_update("add", tickets, literal(1 << _BACK, I64), "acquire")
    f.branch(f.compare("slt", taken, ZERO), "end", "look")
    f.begin("look")
    f.branch(_something_left(f, taken), "work", "idle")

    f.begin("work")
    wanted = _load(f, pool, Word.MODE)
    f.branch(f.compare("eq", wanted, f.load(mode, I64)), "call", "adapt")
    f.begin("adapt")
    _write_mode(f, wanted, cell, machine)
    f.store(wanted, mode)
    f.jump("call")
    f.begin("call")
    number = f.sub(f.sub(_field(f, taken, _CHUNKS), ONE), _field(f, taken, _BACK))
    job = [_load(f, pool, Word.KERNEL, PTR), _load(f, pool, Word.CONTEXT, PTR)]
    f.call("cr_chunk", VOID, *job, _load(f, pool, Word.SHARE), _load(f, pool, Word.REST), number)
    before = f.atomic_update("sub", pending, ONE)
    f.branch(f.compare("eq", before, ONE), "finished", "idle")
    f.begin("finished")  # the caller is waiting for this very chunk
    f.call("cr_wake", VOID, f.at(pool, Word.BED, I64))
    f.jump("idle")

    f.begin("end")
    f.ret()
    return f


# ---- the pool's owner ---------------------------------------------------------------------------------------------


def _write_close(machine: Machine) -> Function:
    """`i64 cr_close(ptr pool)`: end the workers, and leave callers alone for ever; 0 if a caller has the team now."""
    f = _function("cr_close", [("pool", PTR)], machine, I64)
    pool = f["pool"]
    taken = f.atomic_update("xchg", f.at(pool, Word.TAKEN, I64), ONE, "acquire")
    f.branch(f.compare("eq", taken, ZERO), "close", "busy")
    f.begin("close")
    f.atomic_store(literal(CLOSED, I64), f.at(pool, Word.TICKETS, I64), "seq_cst")
    workers = _load(f, pool, Word.WORKERS)
    f.branch(f.compare("eq", workers, ZERO), "closed", "wake")
    f.begin("wake")
    _wake_workers(f, pool, workers)
    f.jump("closed")
    f.begin("closed")
    f.ret(ONE)
    f.begin("busy")
    f.ret(ZERO)
    return f


def _write_now(machine: Machine) -> Function:
    """`i64 cr_now()`: the processor's clock, to measure how fast it ticks."""
    f = _function("cr_now", [], machine, I64)
    f.ret(now(f))
    return f


# ---- chunks -------------------------------------------------------------------------------------------------------


def _write_chunk(machine: Machine) -> Function:
    """`void cr_chunk(kernel, context, share, rest, number)`: the kernel on a chunk; the first `rest` are longer."""
    params = [("kernel", PTR), ("context", PTR), ("share", I64), ("rest", I64), ("number", I64)]
    f = _function("cr_chunk", params, machine, linkage="internal")
    kernel, context, share, rest, number = (f[name] for name, _ in params)
    begin = f.add(f.mul(number, share), f.call("llvm.smin.i64", I64, number, rest))
    one_more = f.convert("zext", f.compare("slt", number, rest), I64)
    f.call_at(kernel, VOID, context, begin, f.add(begin, f.add(share, one_more)))
    f.ret()
    return f


def _field(f: Function, tickets: Value, place: int) -> Value:
    shifted = f.bits("lshr", tickets, literal(place, I64)) if place else tickets
    return f.bits("and", shifted, literal((1 << _BITS) - 1, I64))


def _something_left(f: Function, tickets: Value) -> Value:
    taken = f.add(_field(f, tickets, _FRONT), _field(f, tickets, _BACK))
    return f.compare("ult", taken, _field(f, tickets, _CHUNKS))


# ---- waiting ------------------------------------------------------------------------------------------------------


def _spin(f: Function, pool: Value, ready: Callable[[], Value], machine: Machine, *, reason: str) -> None:
    """Spin until it is ready, then go to the block `reason`; go on here when it took too long."""
    spin, still, tired = (f.fresh(name) for name in ("spin", "still", "tired"))
    start, limit = now(f), _load(f, pool, Word.SPIN)
    f.jump(spin)
    f.begin(spin)
    f.branch(ready(), reason, still)
    f.begin(still)
    _pause(f, machine)
    f.branch(f.compare("slt", f.sub(now(f), start), limit), spin, tired)
    f.begin(tired)


def _sleep(f: Function, bed: Value, ready: Callable[[], Value], *, reason: str) -> None:
    """Sleep until woken and go on here; or go to the block `reason` if it is ready after all."""
    up, down, caught, asleep = (f.fresh(name) for name in ("up", "down", "caught", "asleep"))
    sleeps = f.at(bed, Bed.ASLEEP, I64)
    lock = _load(f, bed, Bed.LOCK, PTR)
    f.atomic_update("xchg", sleeps, ONE)
    f.branch(ready(), up, down)
    f.begin(down)
    f.call("PyThread_acquire_lock", I32, lock, literal(1, I32))
    f.jump(asleep)
    f.begin(up)
    still = f.atomic_update("xchg", sleeps, ZERO)
    f.branch(f.compare("eq", still, ONE), reason, caught)
    f.begin(caught)  # somebody has decided to wake us: the lock will be released, and has to be taken again
    f.call("PyThread_acquire_lock", I32, lock, literal(1, I32))
    f.jump(reason)
    f.begin(asleep)


def _write_wake(machine: Machine) -> Function:
    """`void cr_wake(ptr bed)`: wake who sleeps there, if somebody does."""
    f = _function("cr_wake", [("bed", PTR)], machine, linkage="internal")
    sleeps = f.at(f["bed"], Bed.ASLEEP, I64)
    f.branch(f.compare("eq", f.atomic_load(sleeps, I64, "seq_cst"), ONE), "asleep", "awake")
    f.begin("asleep")
    before = f.atomic_update("xchg", sleeps, ZERO)
    f.branch(f.compare("eq", before, ONE), "wake", "awake")
    f.begin("wake")
    f.call("PyThread_release_lock", VOID, _load(f, f["bed"], Bed.LOCK, PTR))
    f.jump("awake")
    f.begin("awake")
    f.ret()
    return f


def _pause(f: Function, machine: Machine) -> None:
    """Tell the processor that this is a waiting loop; for some ten cycles it does less."""
    if machine.is_x86:
        f.call("llvm.x86.sse2.pause", VOID)
    else:  # `yield` does nothing on most; a barrier waits about as long as x86's `pause`
        f.call("llvm.aarch64.isb", VOID, literal(15, I32))


def now(f: Function) -> Value:
    """The time: the TSC of x86, CNTVCT of AArch64; both tick evenly, and in step on all cores."""
    return f.call("llvm.readcyclecounter", I64)


# ---- the floating-point mode --------------------------------------------------------------------------------------


def _read_mode(f: Function, machine: Machine) -> Value:
    """This thread's MXCSR without its sticky flags, or its FPCR, as an i64."""
    if not machine.is_x86:
        return f.call("llvm.aarch64.get.fpcr", I64)
    cell = f.value("alloca i32", PTR)
    f.call("llvm.x86.sse.stmxcsr", VOID, cell)
    return f.bits("and", f.convert("zext", f.load(cell, I32), I64), literal(~0x3F & 0xFFFF, I64))


def _write_mode(f: Function, mode: Value, cell: Value, machine: Machine) -> None:
    if not machine.is_x86:
        f.call("llvm.aarch64.set.fpcr", VOID, mode)
        return
    f.store(f.convert("trunc", mode, I32), cell)
    f.call("llvm.x86.sse.ldmxcsr", VOID, cell)


# ---- words --------------------------------------------------------------------------------------------------------

ZERO, ONE = literal(0, I64), literal(1, I64)


def _function(
    name: str, params: list[tuple[str, Type]], machine: Machine, result: Type = VOID, *, linkage: str = ""
) -> Function:
    return Function(name, params, result, linkage=linkage, attributes=f"nounwind {machine.attributes}")


def _load(f: Function, base: Value, word: int, type: Type = I64) -> Value:
    """A word that changes only while this thread cannot be reading it."""
    return f.load(f.at(base, word, I64), type)
