"""Eager training steps beside PyTorch's: medians of alternating rounds, each library in its own process.

python benchmarks/eager.py [--rounds 7] [--seconds 0.4] [--threads 1 2] [WORKLOAD ...]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from workloads import LIBRARIES, WORKLOADS, environment

TARGETS = {"four-ops": 0.6, "mlp-64-adam": 0.6, "mlp-784-momentum": 0.8, "mlp-1024-momentum": 1.1, "mlp-1024-adam": 1.1}


class Worker:
    """One library in a process of its own."""

    def __init__(self, library: str, threads: int) -> None:
        command = [sys.executable, str(Path(__file__).with_name("workloads.py")), library, str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(threads)
        )

    def measure(self, workload: str, seconds: float) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{workload} {seconds}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def machine() -> str:
    versions = " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "torch"))
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next((n.split(":")[1].strip() for n in cpuinfo.read_text().splitlines() if "model name" in n), model)
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    args = parser.parse_args()
    print(machine())
    print(f"{'workload':20} {'threads':>7} " + " ".join(f"{name:>14}" for name in LIBRARIES) + "   ratio  target")
    best: dict[str, dict[str, float]] = {w: {} for w in args.workloads}
    for threads in args.threads:
        workers = {name: Worker(name, threads) for name in LIBRARIES}
        for workload in args.workloads:
            times: dict[str, list[float]] = {name: [] for name in LIBRARIES}
            for _ in range(args.rounds):
                for name, worker in workers.items():
                    times[name].append(worker.measure(workload, args.seconds))
            medians = {name: statistics.median(t) for name, t in times.items()}
            report(workload, str(threads), medians)
            for name, t in medians.items():
                best[workload][name] = min(t, best[workload].get(name, t))
        for worker in workers.values():
            worker.process.terminate()
    if len(args.threads) > 1:
        for workload, medians in best.items():
            report(workload, "best", medians)


def report(workload: str, threads: str, medians: dict[str, float]) -> None:
    ratio = medians["chainrule"] / min(t for name, t in medians.items() if name != "chainrule")
    columns = " ".join(f"{medians[name]:11.1f} us" for name in LIBRARIES)
    print(f"{workload:20} {threads:>7} {columns}  {ratio:6.2f}  {TARGETS.get(workload, 1.0):6.2f}", flush=True)


if __name__ == "__main__":
    main()
