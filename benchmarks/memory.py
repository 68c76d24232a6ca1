"""Growth of peak memory over 20 steps of a 1024-wide network above what is resident before them, each library alone.

python benchmarks/memory.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from workloads import LIBRARIES, environment, make


def resident_mebibytes(line: str) -> float:
    """VmRSS (now) or VmHWM (the peak since the last reset) of this process; Linux only."""
    status = Path("/proc/self/status").read_text()
    return next(int(row.split()[1]) / 1024 for row in status.splitlines() if row.startswith(line))


def reset_peak() -> None:
    """Let the peak start from what is resident now, so that making the model does not hide it."""
    Path("/proc/self/clear_refs").write_text("5")


def measure(library: str, workload: str) -> None:
    if library != "chainrule":
        import torch

        torch.set_num_threads(1)
    small = make("mlp-64-adam" if workload.endswith("adam") else "mlp-784-momentum", library)
    for _ in range(5):  # the library, its kernels and its pools are warm
        small()
    step = make(workload, library)
    reset_peak()
    before = resident_mebibytes("VmRSS")
    for _ in range(20):
        step()
    print(f"{resident_mebibytes('VmHWM') - before:.1f}")


def main() -> None:
    if len(sys.argv) == 3:
        measure(sys.argv[1], sys.argv[2])
        return
    for workload in ("mlp-1024-momentum", "mlp-1024-adam"):
        for library in LIBRARIES:
            command = [sys.executable, str(Path(__file__)), library, workload]
            grown = sorted(
                float(subprocess.run(command, capture_output=True, text=True, check=True, env=environment(1)).stdout)
                for _ in range(3)
            )
            print(f"{workload:20} {library:12} {grown[1]:8.1f} MiB above the warm baseline (median of 3)", flush=True)


if __name__ == "__main__":
    main()
