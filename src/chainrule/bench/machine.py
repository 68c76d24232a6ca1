"""What this machine can do at best: floating-point operations and bytes a second, measured, and its description.

`python -m chainrule.bench.machine THREADS BYTES...` prints the measurement as JSON; it has a process of its own,
which may use as many processors as there are threads.

The peak is that of a loop of float32 multiply-adds in registers. The bandwidth is that of NumPy's a = a + b over arrays
which together are as large as those of a row's update: a small network is measured in the cache that holds it.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chainrule.bench.contenders import environment
from chainrule.bench.processes import processors
from chainrule.compiler.targets.llvm import machine as llvm_machine
from chainrule.compiler.targets.llvm.native import compile_text
from chainrule.compiler.targets.llvm.peak import flops_per_round, peak_text
from chainrule.compiler.targets.llvm.text import F32

ROUNDS = 10_000
FLOPS_SECONDS = 0.3
BANDWIDTH_SECONDS = 0.05
SMALLEST = 1 << 18
"""Bytes below which the calls would be measured, not the memory."""


@dataclass(frozen=True)
class Peak:
    """What the machine does at most with so many threads.

    Args:
        threads: how many.
        flops: float32 operations a second.
        bandwidth: bytes a second that an update reads and writes, by the bytes of the arrays it goes through.
    """

    threads: int
    flops: float
    bandwidth: dict[int, float]

    def floor(self, flops: int, update_bytes: int, footprint: int) -> tuple[float, str]:
        """Microseconds below which a step cannot come, and what bounds it: `operations` or `memory`."""
        bounds = {"operations": flops / self.flops, "memory": update_bytes / self.bandwidth[footprint]}
        if flops == 0:
            return 0.0, "operations"
        bound = max(bounds, key=bounds.__getitem__)
        return bounds[bound] * 1e6, bound


def peak(threads: int, footprints: Sequence[int], folder: Path) -> Peak:
    """Measures the machine with so many threads.

    Args:
        threads: how many.
        footprints: bytes of the arrays for which the bandwidth is wanted.
        folder: where compiled code may be kept.
    """
    command = [sys.executable, "-m", "chainrule.bench.machine", str(threads), *map(str, sorted(set(footprints)))]
    with processors(threads):
        where = environment(threads, str(folder))
        answer = subprocess.run(command, capture_output=True, text=True, check=True, env=where)
    found = json.loads(answer.stdout)
    bandwidth = {int(footprint): speed for footprint, speed in found["bandwidth"].items()}
    return Peak(threads, found["flops"], bandwidth)


def description() -> dict[str, str]:
    """The processor, the system and the versions of what takes part."""
    packages = ("chainrule", "numpy", "llvmlite", "torch", "jax", "jaxlib")
    versions = [f"{p} {importlib.metadata.version(p)}" for p in packages if importlib.util.find_spec(p) is not None]
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(versions),
        "date": time.strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _flops(threads: int) -> float:
    """Operations a second of multiply-adds that wait for nothing, in so many threads at once."""
    host = llvm_machine.host()
    program = compile_text(peak_text(F32, host), host)
    loop = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)(program.address("peak"))
    with ThreadPoolExecutor(threads) as pool:
        times = list(pool.map(_best, [functools.partial(loop, ROUNDS)] * threads, [FLOPS_SECONDS] * threads))
    return sum(flops_per_round(F32, host) * ROUNDS / seconds for seconds in times)


def _bandwidth(footprint: int, threads: int) -> float:
    """Bytes a second of a = a + b over arrays of so many bytes together, shared among threads."""
    count = max(footprint, SMALLEST) // 8 // threads
    pairs = [(np.ones(count, np.float32), np.ones(count, np.float32)) for _ in range(threads)]
    additions = [functools.partial(np.add, a, b, out=a) for a, b in pairs]
    with ThreadPoolExecutor(threads) as pool:
        return sum(12 * count / seconds for seconds in pool.map(_best, additions, [BANDWIDTH_SECONDS] * threads))


def _best(work: Callable[[], object], seconds: float) -> float:
    """The shortest of many times."""
    best = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def main(arguments: Sequence[str]) -> None:
    """Prints what `peak` reads."""
    threads, *footprints = map(int, arguments)
    bandwidth = {footprint: _bandwidth(footprint, threads) for footprint in footprints}
    print(json.dumps({"flops": _flops(threads), "bandwidth": bandwidth}))


if __name__ == "__main__":
    main(sys.argv[1:])
