"""The pool of threads that compiled programs divide their large kernels among; its machine code is `fork_join`.

One pool for the process. Its address never changes, so a program can keep it: after `set_num_threads` and after a
fork too. No thread is started before a kernel is divided; then machine code calls back to start those that are
missing. They are daemon threads of Python which enter machine code and stay there, without the GIL, until the
interpreter exits. Ctrl-C during a program is handled when its native call returns.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import time
import warnings
from typing import Any

import numpy as np

from chainrule.compiler.targets.llvm.fork_join import LINE, Bed, Word, fork_join_text
from chainrule.compiler.targets.llvm.machine import host
from chainrule.compiler.targets.llvm.native import Native, compile_text
from chainrule.compiler.threads import MAX_THREADS, address_of_number, get_num_threads, set_num_threads

SPIN_SECONDS = 20e-6
"""How long a thread spins before it sleeps: longer than the pause between two kernels, shorter than to wake it."""

_WORD = 8
_pools: dict[str, Pool] = {}


class Pool:
    """A team of threads: the one that calls, and workers. See `Pool.current`."""

    def __init__(self) -> None:
        self._native: Native = compile_text(fork_join_text(host()), host())
        self._enter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._native.address("cr_worker"))
        self._hire = ctypes.CFUNCTYPE(None)(self._start_missing_workers)
        self._memory = np.zeros(Word.END + (MAX_THREADS + 1) * LINE, np.uint64)  # pages that are not used cost nothing
        start = -self._memory.ctypes.data % (LINE * _WORD) // _WORD
        self._words = self._memory[start:]
        self._beds = self._words[Word.END :]
        self._workers: list[threading.Thread] = []
        self._words[Word.PARALLEL] = self._native.address("cr_parallel")
        self._words[Word.THREADS] = address_of_number()
        self._words[Word.HIRE] = ctypes.cast(self._hire, ctypes.c_void_p).value or 0
        self._words[Word.BEDS] = self._beds.ctypes.data
        self._words[Word.SPIN] = self._ticks(SPIN_SECONDS)
        self._make_bed(self._words[Word.BED :])

    @staticmethod
    def current() -> Pool:
        """The pool of this process, made at the first call; it starts no thread.

        Raises:
            ArgumentError: OMP_NUM_THREADS is not a positive integer.
        """
        if "pool" not in _pools:
            made = Pool()
            if _pools.setdefault("pool", made) is made:  # else another thread was faster
                atexit.register(made._close)
                if hasattr(os, "register_at_fork"):
                    os.register_at_fork(after_in_child=made._forget_workers)
        return _pools["pool"]

    @property
    def address(self) -> int:
        """Where it lies, for machine code: `fork_join.Word` is its layout. A multiple of 64."""
        return int(self._words.ctypes.data)

    @property
    def threads(self) -> int:
        """Among how many threads a kernel is divided: `get_num_threads()`."""
        return get_num_threads()

    @property
    def started(self) -> int:
        """How many workers there are: none before the first kernel is divided."""
        return len(self._workers)

    def _start_missing_workers(self) -> None:
        """Called by machine code, by the one thread that has the team."""
        try:
            for number in range(len(self._workers), get_num_threads() - 1):
                self._start_worker(number)
        except RuntimeError as error:  # the system gives no more threads
            started, wanted = len(self._workers) + 1, get_num_threads()
            set_num_threads(started)  # or every kernel would try again
            warnings.warn(f"{started} threads instead of {wanted}: {error}", RuntimeWarning, stacklevel=1)
        finally:
            self._words[Word.WORKERS] = len(self._workers)

    def _start_worker(self, number: int) -> None:
        bed = self._beds[number * LINE :]
        self._make_bed(bed)
        bed[Bed.POOL], bed[Bed.NUMBER] = self.address, number
        name, address = f"chainrule-worker-{number}", bed.ctypes.data
        worker = threading.Thread(target=self._enter, args=(address,), name=name, daemon=True)
        worker.start()
        self._workers.append(worker)

    def _make_bed(self, bed: Any) -> None:
        bed[Bed.ASLEEP] = 0
        bed[Bed.LOCK] = _taken_lock()

    def _ticks(self, seconds: float) -> int:
        """So much time, in ticks of the processor's clock."""
        now = ctypes.CFUNCTYPE(ctypes.c_int64)(self._native.address("cr_now"))
        start, first = time.perf_counter(), now()
        time.sleep(1e-3)
        ticks: int = now() - first
        return round(ticks / (time.perf_counter() - start) * seconds)

    def _forget_workers(self) -> None:
        """In a forked child, which has only the thread that forked: as new. The parent's locks may be in any state."""
        self._workers = []
        for word in (Word.WORKERS, Word.TAKEN, Word.TICKETS, Word.PENDING):
            self._words[word] = 0
        self._make_bed(self._words[Word.BED :])

    def _close(self) -> None:
        """At exit: end the workers, so that none is in machine code while the interpreter takes itself apart.

        If a daemon thread is just now in a divided kernel they stay; the process ends with them as they are.
        """
        close = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(self._native.address("cr_close"))
        if close(self.address):
            for worker in self._workers:
                worker.join(1.0)


def _taken_lock() -> int:
    """A lock of Python's C API that is taken: who takes it again sleeps until another releases it. Never freed."""
    api = ctypes.PyDLL(None, handle=ctypes.pythonapi._handle)  # our own object: no one else's types change
    api.PyThread_allocate_lock.restype = ctypes.c_void_p
    api.PyThread_acquire_lock.argtypes = (ctypes.c_void_p, ctypes.c_int)
    lock = api.PyThread_allocate_lock()
    if not lock:
        raise MemoryError("no lock for a thread of the pool")
    api.PyThread_acquire_lock(lock, 1)
    return int(lock)
