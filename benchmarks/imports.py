"""The time of `import chainrule` beside `import numpy`: the best of 20 fresh processes each.

python benchmarks/imports.py
"""

from __future__ import annotations

import subprocess
import sys

PROGRAM = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def best_seconds(module: str, runs: int = 20) -> float:
    command = [sys.executable, "-c", PROGRAM.format(module)]
    return min(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(runs))


if __name__ == "__main__":
    numpy, ours = best_seconds("numpy"), best_seconds("chainrule")
    print(f"numpy {numpy * 1e3:.1f} ms, chainrule {ours * 1e3:.1f} ms, ratio {ours / numpy:.2f}")
