"""What a watch costs: training steps with one and without, compiled and eager, in turn in one process.

python benchmarks/watch.py [--seconds 30] [--budget 0.01] [W4/1 W5 ...]

Three copies of each workload of `chainrule bench` train in turn, a short while each, in an order that changes: one
alone, one with a watch, and a second one alone, whose ratio to the first shows what is noise. A ratio is of the total
times, looks included, and not of medians: a median would never see a step with a look. The watch's clock stands still
while the others run.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from chainrule.bench.machine import description
from chainrule.bench.networks import initial
from chainrule.bench.programs.torchlike import MODELS, load
from chainrule.bench.workloads import LR, MOMENTUM, SEED, Workload, find
from chainrule.diagnose import Watch

ROWS = ("W4/1", "W4/32", "W4/128", "W5", "W6", "W7", "W8", "W9")
KINDS = ("compiled", "eager")
TURN = 0.05
"""Seconds, about, that one copy trains before the next has its turn."""


class Copy:
    """A workload's training step, perhaps watched, and the times of its turns."""

    def __init__(self, workload: Workload, kind: str, budget: float | None) -> None:
        ours = load("chainrule")
        model, loss_of = MODELS[workload.network.kind](ours, workload.network)
        model.load_state_dict({name: ours.package.tensor(array) for name, array in initial(workload.network).items()})
        optimiser = _optimiser(ours.optim, workload, model)
        batch = workload.network.batch(np.random.default_rng(SEED), workload.batch)
        self.batch = tuple([ours.package.tensor(array) for array in batch])

        def step(x: Any, y: Any) -> Any:
            optimiser.zero_grad()
            loss = loss_of(x, y)
            loss.backward()
            optimiser.step()
            return loss

        self.step: Callable[..., Any] = ours.package.compile(step) if kind == "compiled" else step
        for _ in range(5):  # compiled, and its memory made
            self.step(*self.batch)
        self.watch = None if budget is None else Watch(model, "auto", budget, clock=self._time)
        self.seconds: list[float] = []
        self.steps = 0
        self._stopped = time.perf_counter()
        self._away = 0.0

    def turn(self, steps: int) -> None:
        """Train so many steps, and note the time."""
        start = time.perf_counter()
        self._away += start - self._stopped
        if self.watch is None:
            for _ in range(steps):
                self.step(*self.batch)
        else:
            for _ in range(steps):
                self.step(*self.batch)
                self.watch.step()
        self._stopped = time.perf_counter()
        self.seconds.append(self._stopped - start)
        self.steps += steps

    def _time(self) -> float:
        """The watch's clock, which stands still between the turns."""
        return time.perf_counter() - self._away

    @property
    def mean(self) -> float:
        """Seconds of a step, looks included."""
        return sum(self.seconds) / self.steps


def _optimiser(optim: Any, workload: Workload, model: Any) -> Any:
    lr = LR[workload.algorithm]
    if workload.algorithm in ("adam", "adamw"):
        return {"adam": optim.Adam, "adamw": optim.AdamW}[workload.algorithm](model.parameters(), lr=lr)
    return optim.SGD(model.parameters(), lr=lr, momentum=MOMENTUM if workload.algorithm == "momentum" else 0.0)


def measure(name: str, kind: str, seconds: float, budget: float) -> str:
    """A line of the table."""
    workload = find(name)
    alone, again, watched = copies = [Copy(workload, kind, b) for b in (None, None, budget)]
    alone.turn(3)
    steps = max(1, round(TURN / (alone.seconds.pop() / 3)))
    alone.steps = 0
    end = time.perf_counter() + seconds
    for order in itertools.cycle(itertools.permutations(copies)):
        for copy in order:
            copy.turn(steps)
        if time.perf_counter() > end:
            break
    assert watched.watch is not None
    typical = median([w / a for w, a in zip(watched.seconds, alone.seconds, strict=True)])
    return (
        f"{name:7} {kind:9} {1e6 * alone.mean:10.1f} {1e6 * watched.mean:10.1f} {watched.mean / alone.mean:8.4f} "
        f"{again.mean / alone.mean:8.4f} {typical:8.4f} {100 * watched.watch.overhead:9.2f}% {watched.steps:8,} "
        f"{watched.watch.taken:6,}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=list(ROWS))
    parser.add_argument("--seconds", type=float, default=30.0, help="for each line of the table")
    parser.add_argument("--budget", type=float, default=0.01)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    args = parser.parse_args()
    print(", ".join(description().values()))
    print("times in microseconds; ratio: watched to alone; noise: alone again to alone; turns: median ratio of turns")
    print(f"{'':17} {'alone':>10} {'watched':>10} {'ratio':>8} {'noise':>8} {'turns':>8} {'account':>10} {'steps':>8} "
          f"{'looks':>6}")  # fmt: skip
    for name in args.workloads:
        for kind in args.kinds:
            print(measure(name, kind, args.seconds, args.budget), flush=True)


if __name__ == "__main__":
    main()
