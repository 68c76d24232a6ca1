"""The process in which a contender is timed: `python -m chainrule.bench.worker CONTENDER THREADS FOLDER`.

It reads a command a line from standard input and answers each with a line of JSON, `{"error": ...}` where the command
failed; what libraries print goes to standard error.

- `ready` answers when the library is loaded;
- `build ROW VARIANT` makes the program, takes its first steps and leaves losses and parameters in FOLDER;
- `time SECONDS` measures a step on the same batch, `fresh SECONDS` on another batch at each call.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.bench import contenders
from chainrule.bench.workloads import SEED, Workload, find

AGREEMENT_STEPS = 10
BATCHES = 16
SCANNED_CALLS = 2
SHORTEST = 1e-3  # seconds between two readings of the clock
WARM_SECONDS = 0.3


def main(arguments: Sequence[str]) -> None:
    """Answers commands until standard input ends."""
    name, threads, folder = arguments
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    contender = contenders.named(name)
    contenders.prepare(contender, int(threads))
    worker = Worker(contender, Path(folder))
    for line in sys.stdin:
        try:
            answer = worker.answer(*line.split("\t"))
        except Exception as error:  # whatever a library raises: the row says so
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers)


class Worker:
    """A contender and the program it has built last."""

    def __init__(self, contender: contenders.Contender, folder: Path) -> None:
        self.contender = contender
        self.folder = folder

    def answer(self, command: str, *arguments: str) -> dict[str, Any]:
        """What a command finds."""
        arguments = tuple(argument.strip() for argument in arguments)
        match command.strip():
            case "ready":
                return {}
            case "build":
                return self.build(*arguments)
            case "time":
                return {"us": self.time(float(arguments[0]), self.tensors[:1])}
            case "fresh":
                return {"us": self.time(float(arguments[0]), self.tensors)}
            case unknown:
                raise ValueError(f"no such command: {unknown}")

    def build(self, row: str, variant: str) -> dict[str, Any]:
        """Makes the program and takes the steps by which contenders are compared."""
        workload = find(row)
        arrays = batches(workload)
        before = anonymous_memory()
        self.program = dict(self.contender.makers(workload))[variant]()
        self.tensors = [(self.program.tensor(x), self.program.tensor(y)) for x, y in arrays]
        start = time.perf_counter()
        losses = [self.step(self.tensors[0])]
        first_call = time.perf_counter() - start
        calls = AGREEMENT_STEPS if workload.scanned is None else 1
        losses += [self.step(batch) for batch in self.tensors[1:calls]]
        path = self.folder / f"{os.getpid()}.npz"
        results: dict[str, Any] = {"loss": np.stack(losses), **self.program.parameters()}
        np.savez(path, **results)
        reset_peak()
        self.warm()
        peak = anonymous_memory(peak=True)
        memory = None if before is None or peak is None else peak - before
        return {"first_call": first_call, "memory": memory, "results": str(path)}

    def step(self, batch: tuple[Any, Any]) -> np.ndarray[Any, Any]:
        """A call, and its loss when it is there."""
        loss = self.program.step(*batch)
        self.program.wait(loss)
        return np.array(loss.detach() if hasattr(loss, "detach") else loss)

    def warm(self) -> None:
        """Calls with every batch, until what a library does in its first calls is done."""
        end = time.perf_counter() + WARM_SECONDS
        for batch in itertools.cycle(self.tensors):
            self.program.wait(self.program.step(*batch))
            if time.perf_counter() > end:
                return

    def time(self, seconds: float, batches: Sequence[tuple[Any, Any]]) -> float:
        """Microseconds of a training step, as the median over stretches of at least a millisecond."""
        cycle = itertools.cycle(batches)
        calls = max(1, round(SHORTEST / self.stretch(1, cycle)))
        times: list[float] = []
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            times.append(self.stretch(calls, cycle) / calls)
        return statistics.median(times) / self.program.steps_a_call * 1e6

    def stretch(self, calls: int, cycle: Iterator[tuple[Any, Any]]) -> float:
        """Seconds of so many calls, the work of the last included."""
        chosen = list(itertools.islice(cycle, calls))
        step = self.program.step
        start = time.perf_counter()
        for x, y in chosen:
            loss = step(x, y)
        self.program.wait(loss)
        return time.perf_counter() - start


def batches(workload: Workload) -> list[tuple[Any, Any]]:
    """The arrays that every contender gets; many steps in a call have an axis of steps in front."""
    rng = np.random.default_rng(SEED)
    draw = workload.network.batch
    if workload.scanned is None:
        return [draw(rng, workload.batch) for _ in range(BATCHES)]
    calls = [[draw(rng, workload.batch) for _ in range(workload.scanned)] for _ in range(SCANNED_CALLS)]
    return [(np.stack([x for x, _ in steps]), np.stack([y for _, y in steps])) for steps in calls]


def anonymous_memory(*, peak: bool = False) -> float | None:
    """MiB that this process holds, now or at most since the last reset, without the pages of the libraries' own files.

    None where no /proc says it.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    sizes = {name: value for name, _, value in (row.partition(":") for row in status.read_text().splitlines())}
    resident, files = (int(sizes[name].split()[0]) / 1024 for name in ("VmHWM" if peak else "VmRSS", "RssFile"))
    return resident - files


def reset_peak() -> None:
    """Lets the peak start from what is resident now, so that compiling does not count as a step's memory."""
    peak = Path("/proc/self/clear_refs")
    if peak.exists():
        peak.write_text("5")


if __name__ == "__main__":
    main(sys.argv[1:])
