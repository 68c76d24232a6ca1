"""How well `cr.verify.derivation` finds and names mistakes: random derivations, right ones and with mistakes planted.

python benchmarks/localisation.py --derivations 2000 --correct 10000 --seed 0 [--jobs 2] [--json] [--failures DIR]

Exit 0 if the goals are reached (99% found at the right step, 95% named rightly, no false alarm), else 1.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from localisation.scoring import CORRECT, PLANTED, Outcome, Summary, drawn, measure, report


def outcome_of(seed: int, failures: Path | None, number: tuple[int, int]) -> Outcome:
    """Draws one derivation, has it verified, and keeps its text if the verdict is not the right one."""
    planted, index = number
    derivation = drawn(seed, planted, index)
    outcome = measure(derivation, index)
    if failures is not None and outcome.failed:
        name = f"{'planted' if planted else 'correct'}-{seed}-{index}.txt"
        (failures / name).write_text(report(derivation, outcome), encoding="utf-8")
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--derivations", type=int, default=2000, help="derivations with mistakes")
    parser.add_argument("--correct", type=int, default=10000, help="derivations without")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--failures", type=Path, metavar="DIR", help="write every failure there as a text file")
    args = parser.parse_args()
    if args.failures is not None:
        args.failures.mkdir(parents=True, exist_ok=True)
    numbers = [(PLANTED, i) for i in range(args.derivations)] + [(CORRECT, i) for i in range(args.correct)]
    work = partial(outcome_of, args.seed, args.failures)
    summary = Summary()
    for library in ("OMP", "OPENBLAS", "MKL"):  # of the jobs: the matrices are small, and the jobs share the cores
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn")) as pool:
        for outcome in pool.map(work, numbers, chunksize=20):
            summary.add(outcome)
    print(json.dumps(summary.to_dict(), indent=2) if args.json else summary)
    return 0 if summary.reached else 1


if __name__ == "__main__":
    sys.exit(main())
