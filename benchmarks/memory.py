"""Growth of peak memory over 20 steps of a 1024-wide network above the warmed-up baseline, each library alone.

python benchmarks/memory.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from workloads import LIBRARIES, environment, make


def peak_mebibytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def measure(library: str, workload: str) -> None:
    if library != "chainrule":
        import torch

        torch.set_num_threads(1)
    small = make("mlp-64-adam" if workload.endswith("adam") else "mlp-784-momentum", library)
    for _ in range(5):  # the library, its kernels and its pools are warm
        small()
    step = make(workload, library)
    before = peak_mebibytes()
    for _ in range(20):
        step()
    print(f"{peak_mebibytes() - before:.1f}")


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
