"""One run of the benchmark: contenders in processes of their own, checked against each other, then timed in turns."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.bench import machine
from chainrule.bench.contenders import Contender, named
from chainrule.bench.machine import Peak
from chainrule.bench.networks import initial
from chainrule.bench.processes import Worker
from chainrule.bench.workloads import Workload

TOLERANCE = 1e-4
OF_MOVEMENT = 0.01
"""What a distance relative to the parameters' movement counts: within the tolerance, movements agree to 1%."""

TRIAL_SECONDS = 0.1

Results: TypeAlias = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds, in which every contender has its turn, and seconds of a turn."""

    rounds: int = 9
    seconds: float = 0.1


@dataclass(frozen=True)
class Measurement:
    """What one contender does on one row.

    Args:
        contender: its name.
        variant: the way of writing it that was fastest.
        fixed: microseconds of a step on the same batch at each call; None where it failed.
        fresh: microseconds of a step on another batch at each call.
        first_call: seconds of the first call, compilation included.
        memory: MiB that steps hold at most, above what was held before the model was made.
        distance: how far losses and parameters are from our eager ones after the first steps, relative to their size.
        failure: why there is no time.
    """

    contender: str
    variant: str
    fixed: float | None = None
    fresh: float | None = None
    first_call: float | None = None
    memory: float | None = None
    distance: float | None = None
    failure: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether it computed what our eager step did, or where that cannot run, our compiled one."""
        return self.distance is not None and self.distance <= TOLERANCE


@dataclass(frozen=True)
class Row:
    """A workload at a number of threads: the floor in microseconds, what bounds it, and who took how long."""

    workload: Workload
    threads: int
    floor: float
    bound: str
    goal: float | None
    measurements: Sequence[Measurement]

    def of(self, contender: str) -> Measurement | None:
        """What a contender did, if it took part."""
        return next((m for m in self.measurements if m.contender == contender), None)

    @property
    def ours(self) -> float | None:
        """Microseconds of our compiled step."""
        compiled = self.of("chainrule")
        return None if compiled is None else compiled.fixed

    @property
    def best_peer(self) -> Measurement | None:
        """The fastest other library whose results agree."""
        peers = (m for m in self.measurements if named(m.contender).is_peer and m.fixed is not None and m.agrees)
        return min(peers, key=lambda m: m.fixed or math.inf, default=None)

    @property
    def ratio(self) -> float | None:
        """Our time over the best peer's: below 1 we are ahead. None where one is missing, or ours is wrong."""
        best, ours = self.best_peer, self.of("chainrule")
        if best is None or best.fixed is None or ours is None or ours.fixed is None or not ours.agrees:
            return None
        return ours.fixed / best.fixed

    def share(self, measurement: Measurement) -> float | None:
        """The floor over the contender's time: 1 is as fast as the machine allows."""
        return self.floor / measurement.fixed if measurement.fixed and self.floor else None


@dataclass(frozen=True)
class Run:
    """Everything that was measured, and on what."""

    machine: Mapping[str, str]
    peaks: Sequence[Peak]
    rows: Sequence[Row]
    sweep: Sequence[Row]


@dataclass(frozen=True)
class Session:
    """Who takes part, for how long, and who is told what is being measured."""

    contenders: Sequence[Contender]
    effort: Effort = Effort()
    say: Callable[[str], None] = lambda line: None

    def run(self, rows: Sequence[Workload], sweep: Sequence[Workload], threads: Sequence[int]) -> Run:
        """Measures the machine, then the rows and the sweep at each number of threads.

        Every row gets fresh processes, so that first calls and memory are its own; the sweep keeps one process for
        each way of writing a step.
        """
        self.say("measuring the machine")
        footprints = [workload.update_footprint for workload in (*rows, *sweep)]
        found: list[Row] = []
        swept: list[Row] = []
        with tempfile.TemporaryDirectory(prefix="chainrule-bench-", ignore_cleanup_errors=True) as folder:
            peaks = {count: machine.peak(count, footprints, Path(folder)) for count in sorted({1, *threads})}
            for count in threads:
                for workload in rows:
                    with crew(count, Path(folder)) as processes:
                        found.append(self._row(workload, peaks, count, processes))
                with crew(count, Path(folder)) as processes:
                    swept += [self._row(workload, peaks, count, processes) for workload in sweep]
        return Run(machine.description(), tuple(peaks.values()), tuple(found), tuple(swept))

    def _row(self, workload: Workload, peaks: Mapping[int, Peak], threads: int, processes: Crew) -> Row:
        self.say(f"{workload.name}  {workload.title}, {threads} thread{'s' * (threads > 1)}")
        work = (workload.flops, workload.update_bytes, workload.update_footprint)
        floor, bound = peaks[threads].floor(*work)
        goal = None if workload.goal is None else workload.goal.time(threads, peaks[1].floor(*work)[0])
        runners = [contender for contender in self.contenders if contender.can_run(workload)]
        times = race(build(workload, runners, processes), initial(workload.network), self.effort)
        return Row(workload, threads, floor, bound, goal, times)


Crew: TypeAlias = Callable[[Contender, str], Worker]
"""The process of a contender for one way of writing a step."""


@contextmanager
def crew(threads: int, folder: Path) -> Iterator[Crew]:
    """Processes with so many threads, each started when it is first asked for, all ended with the block."""
    workers: dict[tuple[str, str], Worker] = {}

    def worker(contender: Contender, variant: str) -> Worker:
        key = contender.name, variant
        if key not in workers:
            workers[key] = Worker(contender, threads, folder)
        return workers[key]

    try:
        yield worker
    finally:
        for one in workers.values():
            one.close()


@dataclass(frozen=True, eq=False)
class Entry:
    """One way of writing a step, built in its process: the worker's answer, its results, and a first impression."""

    worker: Worker
    variant: str
    answer: Mapping[str, Any]
    results: Results | None = None
    trial: float = math.inf

    @property
    def contender(self) -> str:
        """Whose it is."""
        return self.worker.contender.name


def build(workload: Workload, contenders: Iterable[Contender], processes: Crew) -> list[Entry]:
    """Builds every way of writing the workload, one at a time, when all processes have loaded their libraries."""
    runners = [(processes(one, variant), variant) for one in contenders for variant, _ in one.makers(workload)]
    for worker, _ in runners:
        worker.ask("ready")
    return [_entry(workload, worker, variant) for worker, variant in runners]


def _entry(workload: Workload, worker: Worker, variant: str) -> Entry:
    answer = worker.ask("build", workload.name, variant)
    if "error" in answer:
        return Entry(worker, variant, answer)
    path = Path(answer["results"])
    with np.load(path) as archive:
        results = dict(archive)
    path.unlink()
    return Entry(worker, variant, answer, results, worker.ask("time", TRIAL_SECONDS).get("us", math.inf))


REFERENCE = "chainrule-eager"

TURNS: Mapping[str, float] = {"time": 1.0, "fresh": 0.5}
"""The commands of a turn, and the part of its seconds that each gets."""


def race(entries: Sequence[Entry], start: Results, effort: Effort) -> list[Measurement]:
    """Times the fastest variant of each contender in turns; our eager step, if it ran, is the one to agree with.

    Args:
        entries: the contenders' steps.
        start: the weights that all started from.
        effort: how long to measure.
    """
    best = _fastest(entries)
    running = [entry for entry in best if entry.results is not None]
    by_trust = sorted(running, key=lambda entry: entry.contender != REFERENCE)
    reference = by_trust[0].results if by_trust else None
    times: dict[tuple[Entry, str], list[float]] = {(entry, command): [] for entry in running for command in TURNS}
    for _ in range(effort.rounds):
        for entry, command in times:
            times[entry, command].append(entry.worker.ask(command, effort.seconds * TURNS[command]).get("us", math.nan))
    return [_measurement(entry, start, reference or {}, times) for entry in best]


def _fastest(entries: Sequence[Entry]) -> list[Entry]:
    """One entry for each contender, in their order."""
    best: dict[str, Entry] = {}
    for entry in entries:
        if entry.contender not in best or entry.trial < best[entry.contender].trial:
            best[entry.contender] = entry
    return list(best.values())


def _measurement(
    entry: Entry, start: Results, reference: Results, times: Mapping[tuple[Entry, str], list[float]]
) -> Measurement:
    if entry.results is None:
        return Measurement(entry.contender, entry.variant, failure=entry.answer["error"])
    return Measurement(
        entry.contender,
        entry.variant,
        statistics.median(times[entry, "time"]),
        statistics.median(times[entry, "fresh"]),
        entry.answer["first_call"],
        entry.answer["memory"],
        distance(entry.results, reference, start),
    )


def distance(results: Results, reference: Results, start: Results) -> float:
    """How far results are from the reference: the largest distance of an array, in the Euclidean norm.

    |a - b| counts relative to |b| and, for parameters, a hundredth of it relative to how far b moved from its start:
    a wrong gradient shows however small the steps are. One part in 10^4 of |b| is added to the movement, since where
    there was next to none, rounding is all there is. The losses count as one array.

    Infinite where names or shapes differ, or where there is a NaN.
    """
    if results.keys() != reference.keys():
        return math.inf
    return max(_distance(results[name], reference[name], start.get(name)) for name in reference)


def _distance(a: NDArray[np.float32], b: NDArray[np.float32], start: NDArray[np.float32] | None) -> float:
    if a.shape != b.shape:
        return math.inf
    gap, size = _norm(a - b), _norm(b) + float(np.finfo(np.float32).tiny)
    found = gap / size
    if start is not None:
        found = max(found, OF_MOVEMENT * gap / (_norm(b - start) + 1e-4 * size))
    return math.inf if math.isnan(found) else found


def _norm(array: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(np.ravel(array).astype(np.float64)))
