"""Which points of a chart can be drawn, which of them a screen can tell apart, and what was left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TypeAlias

from chainrule.report.axis import LARGEST, SMALLEST, Axis, linear_axis, log_axis
from chainrule.report.document import Bars, Chart, LineChart, Series
from chainrule.report.values import printable, written

Point: TypeAlias = tuple[float, float]


def runs(series: Series, *, log_y: bool) -> list[list[Point]]:
    """The series as stretches of drawable points; a line connects the points of one stretch."""
    points = zip(map(as_float, series.xs), map(as_float, series.ys), strict=True)
    return [list(run) for shown, run in groupby(points, key=lambda point: _shown(point, log_y=log_y)) if shown]


def axes(chart: LineChart, *, x_count: int, y_count: int) -> tuple[Axis, Axis] | None:
    """The x and y axis of a chart, or None where it has no point to draw."""
    points = [point for series in chart.series for run in runs(series, log_y=chart.log_y) for point in run]
    if not points:
        return None
    xs, ys = zip(*points, strict=True)
    y_axis = log_axis(ys, count=y_count) if chart.log_y else linear_axis(ys, count=y_count, enclose=True)
    return linear_axis(xs, count=x_count, enclose=False), y_axis


def thinned(points: Iterable[Point]) -> list[Point]:
    """Of the points in each column of pixels the first, the lowest, the highest and the last, in order.

    A line through these covers the same pixels as the line through all. `points` are in pixels.

    Source: U. Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014.
    """
    kept: list[Point] = []
    for _, group in groupby(points, key=lambda point: math.floor(point[0])):
        column = list(group)
        heights = [y for _, y in column]
        indices = {0, heights.index(min(heights)), heights.index(max(heights)), len(column) - 1}
        kept += [column[index] for index in sorted(indices)]
    return kept


def lines_and_dots(stretches: Iterable[Sequence[Point]]) -> tuple[list[list[Point]], list[Point]]:
    """Stretches, in pixels, as thinned lines, and those within one column of pixels as thinned dots."""
    lines: list[list[Point]] = []
    dots: list[Point] = []
    for stretch in stretches:
        first_column = math.floor(stretch[0][0])
        if all(math.floor(x) == first_column for x, _ in stretch):
            dots += stretch
        else:
            lines.append(thinned(stretch))
    return lines, thinned(dots)


def notes(chart: Chart) -> list[str]:
    """Sentences about the values that the chart cannot show."""
    if isinstance(chart, Bars):
        missing = [label for label, value in zip(chart.labels, chart.values, strict=True) if not drawable(value)]
        return [f"No bar for {_listed(missing)}: the value is missing or not finite."] if missing else []
    if not isinstance(chart, LineChart):
        return []
    names_by_note: dict[str, list[str]] = {}
    for series in chart.series:
        for note in _series_notes(series, chart):
            names_by_note.setdefault(note, []).append(series.name)
    return [f"{_listed(names)}: {note}" for note, names in names_by_note.items()]


def as_float(value: float | None) -> float:
    """The value, NaN for a missing one."""
    return math.nan if value is None else float(value)


def drawable(value: float | None) -> bool:
    """Whether the value is there, finite, and not so large that an axis overflows."""
    return abs(as_float(value)) <= LARGEST


def _shown(point: Point, *, log_y: bool) -> bool:
    return drawable(point[0]) and drawable(point[1]) and (not log_y or point[1] >= SMALLEST)


def _series_notes(series: Series, chart: LineChart) -> Iterable[str]:
    points = list(zip(map(as_float, series.xs), map(as_float, series.ys), strict=True))
    if not points:
        yield "no values."
    gaps = [x for x, y in points if not (drawable(x) and drawable(y))]
    if gaps:
        yield f"{_counted(gaps, points, chart)} missing or not finite, and left out of the line."
    if chart.log_y:
        too_small = [x for x, y in points if drawable(x) and drawable(y) and y < SMALLEST]
        if too_small:
            yield f"{_counted(too_small, points, chart)} zero or negative, which a log axis cannot show."


def _counted(xs: Sequence[float], points: Sequence[Point], chart: LineChart) -> str:
    verb = "is" if len(xs) == 1 else "are"
    place = "" if math.isnan(xs[0]) else f" (first at {printable(chart.x_label)} {_short(xs[0])})"
    return f"{len(xs):,} of {len(points):,} values{place} {verb}"


def _short(x: float) -> str:
    return written(int(x)) if x.is_integer() else written(x)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(printable(name) or "unnamed" for name in names)
