"""The run as a report: for each number of threads the times, then what they cost, then the sweep's worst ratios."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from chainrule.bench.contenders import CONTENDERS, Contender, named
from chainrule.bench.machine import Peak
from chainrule.bench.session import TOLERANCE, Measurement, Row, Run
from chainrule.bench.workloads import Workload
from chainrule.report import Alignment, Block, Document, Facts, Heading, Paragraph, Table, Value

WORST_SHOWN = 5
LONG = 2
"""Microseconds of a floor beside which a call is no longer most of a step."""

LEGEND = (
    "Microseconds of a training step (forward, loss, backward, update), float32; medians over alternating rounds. "
    "The floor is what the step's operations take at the measured peak, or its update at the measured bandwidth of "
    "memory or cache, whichever is longer; in brackets each contender's share of it. "
    f"× marks results that are further than {TOLERANCE:g} from our eager ones after ten steps."
)


def document(run: Run) -> Document:
    """The whole report."""
    return Document("chainrule bench", "Training steps beside those of other libraries", list(_blocks(run)))


def as_json(run: Run) -> dict[str, Any]:
    """Everything that was measured, as what JSON holds."""
    return {
        "machine": dict(run.machine),
        "peaks": [asdict(peak) for peak in run.peaks],
        "rows": [_row_as_json(row) for row in run.rows],
        "sweep": [_row_as_json(row) for row in run.sweep],
    }


def _row_as_json(row: Row) -> dict[str, Any]:
    workload = row.workload
    return {
        "name": workload.name,
        "title": workload.title,
        "batch": workload.batch,
        "algorithm": workload.algorithm,
        "parameters": workload.parameters,
        "flops": workload.flops,
        "update_bytes": workload.update_bytes,
        "threads": row.threads,
        "floor": row.floor,
        "bound": row.bound,
        "goal": row.goal,
        "ratio": row.ratio,
        "measurements": [
            asdict(one) | {"agrees": one.agrees, "share": row.share(one)} for one in row.measurements
        ],
    }  # fmt: skip


def _blocks(run: Run) -> Iterator[Block]:
    yield Facts([*run.machine.items(), *((f"peak, {_threads(p.threads)}", _peak(p)) for p in run.peaks)])
    yield Paragraph(LEGEND)
    if run.rows:
        yield Facts([(workload.name, _described(workload)) for workload in dict.fromkeys(r.workload for r in run.rows)])
    for threads in dict.fromkeys(row.threads for row in run.rows):
        rows = [row for row in run.rows if row.threads == threads]
        yield Heading(_threads(threads))
        yield _times(rows)
        yield _fresh(rows)
        yield _costs(rows)
        yield from _failures(rows)
    for threads in dict.fromkeys(row.threads for row in run.sweep):
        rows = [row for row in run.sweep if row.threads == threads]
        yield Heading(f"{len(rows)} random networks, {_threads(threads)}")
        yield from _sweep(rows)
        yield from _failures(rows)


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def _peak(peak: Peak) -> str:
    return f"{peak.flops / 1e9:,.0f} GFLOP/s in float32"


def _times(rows: Sequence[Row]) -> Table:
    columns = _columns(rows)
    header = ["row", "floor", *(one.title for one in columns), "to best peer", "goal"]
    return Table(
        header,
        [
            [
                row.workload.name,
                _microseconds(row.floor),
                *(_time_and_share(row, row.of(one.name)) for one in columns),
                None if row.ratio is None else f"{row.ratio:.2f}",
                _goal(row),
            ]
            for row in rows
        ],
        _left(1, header),
        caption="The same batch at each call",
    )


def _fresh(rows: Sequence[Row]) -> Table:
    columns = _columns(rows)
    header = ["row", *(one.title for one in columns)]
    return Table(
        header,
        [[row.workload.name, *(_microseconds(_of(row, one, "fresh")) for one in columns)] for row in rows],
        _left(1, header),
        caption="Another batch at each call",
    )


def _costs(rows: Sequence[Row]) -> Table:
    columns = _columns(rows)
    compilers = [one for one in columns if one.compiles]
    header = ["row", *(f"{one.title}, s" for one in compilers), *(f"{one.title}, MiB" for one in columns)]
    return Table(
        header,
        [
            [
                row.workload.name,
                *(_decimals(_of(row, one, "first_call"), 2) for one in compilers),
                *(_decimals(_of(row, one, "memory"), 1) for one in columns),
            ]
            for row in rows
        ],
        _left(1, header),
        caption="The first call with empty caches, and peak memory (the model, its state and the step)",
    )


def _failures(rows: Sequence[Row]) -> Iterator[Block]:
    failed = [(row, one) for row in rows for one in row.measurements if one.failure is not None]
    strayed = [(row, one) for row in rows for one in row.measurements if one.failure is None and not one.agrees]
    if failed or strayed:
        yield Facts(
            [(f"{row.workload.name}, {named(one.contender).title}", one.failure) for row, one in failed]
            + [(f"{row.workload.name}, {named(one.contender).title}", _strayed(one)) for row, one in strayed]
        )


def _strayed(measurement: Measurement) -> str:
    return f"its results are {measurement.distance:.1e} from our eager ones"


def _sweep(rows: Sequence[Row]) -> Iterator[Block]:
    compared = [row for row in rows if row.ratio is not None]
    ahead = sum(row.ratio is not None and row.ratio < 1 for row in compared)
    if compared:
        yield Paragraph(f"Ahead of every peer on {ahead} of {len(compared)}.")
        yield _worst("to best peer", sorted(compared, key=lambda row: -(row.ratio or 0)))
    timed = [row for row in rows if row.ours is not None and row.floor >= LONG]
    if timed:
        shares = sorted(timed, key=lambda row: -(row.ours or 0) / row.floor)
        yield _worst(f"to floor, among those with a floor of {LONG} us or more", shares)


def _worst(by: str, rows: Sequence[Row]) -> Table:
    columns = _columns(rows)
    header = ["row", "workload", "floor", *(one.title for one in columns), "to best peer"]
    return Table(
        header,
        [
            [
                row.workload.name,
                _described(row.workload),
                _microseconds(row.floor),
                *(_time_and_share(row, row.of(one.name)) for one in columns),
                None if row.ratio is None else f"{row.ratio:.2f}",
            ]
            for row in rows[:WORST_SHOWN]
        ],
        _left(2, header),
        caption=f"The worst {by}",
    )


def _left(count: int, header: Sequence[str]) -> list[Alignment]:
    """The first columns hold words, the others numbers."""
    return ["left" if column < count else "right" for column in range(len(header))]


def _columns(rows: Sequence[Row]) -> list[Contender]:
    return [one for one in CONTENDERS if any(row.of(one.name) is not None for row in rows)]


def _described(workload: Workload) -> str:
    return f"{workload.title}, batch {workload.batch}, {workload.algorithm}"


def _of(row: Row, contender: Contender, quantity: str) -> float | None:
    measurement = row.of(contender.name)
    return None if measurement is None else getattr(measurement, quantity)


def _time_and_share(row: Row, measurement: Measurement | None) -> Value:
    if measurement is None or measurement.fixed is None:
        return None
    share = row.share(measurement)
    in_brackets = "" if share is None else f" ({share:.0%})"
    return f"{_microseconds(measurement.fixed)}{in_brackets}{'' if measurement.agrees else ' ×'}"


def _goal(row: Row) -> str | None:
    if row.goal is None:
        return None
    verdict = "" if row.ours is None else " met" if row.ours <= row.goal else " missed"
    return f"{_microseconds(row.goal)}{verdict}"


def _microseconds(time: float | None) -> str | None:
    if time is None or math.isnan(time):
        return None
    return f"{time:,.0f}" if time >= 100 else f"{time:.3g}"


def _decimals(value: float | None, decimals: int) -> str | None:
    return None if value is None else f"{value:,.{decimals}f}"
