"""A chart as inline SVG.

Everything is drawn in `currentColor`, so that it stands on light and dark pages alike; the classes `series-0`
to `series-5` let a style sheet colour the series. Without colour they differ by dashes and, where there are
many, by markers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from chainrule.report.areas import heat_map, histograms, stacked_bars
from chainrule.report.axis import Axis, linear_axis
from chainrule.report.document import Bars, Chart, HeatMap, Histograms, LineChart, Series, StackedBars
from chainrule.report.markup import Markup, coordinate, element
from chainrule.report.picture import (
    FONT_SIZE,
    GAP,
    LINE_HEIGHT,
    WIDTH,
    line_path,
    nothing_to_draw,
    picture,
    series_class,
    shortened,
    ticks,
    widest,
    words_at,
    xy,
)
from chainrule.report.points import Point, as_float, axes, drawable, lines_and_dots, runs
from chainrule.report.values import written, written_column

DASHES = ("", "7 4", "2 3", "11 3 2 3")
MARKERS = (
    "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",  # disc
    "m-2.8-2.8h5.6v5.6h-5.6z",  # square
    "m0-3.8l3.5 6.3h-7z",  # triangle
    "m0-4l3.6 4l-3.6 4l-3.6-4z",  # diamond
    "m0 3.8l3.5-6.3h-7z",  # triangle on its point
    "m-3-3l6 6m0-6l-6 6",  # cross
    "m-3.6 0h7.2m-3.6-3.6v7.2",  # plus
)
MARKERS_ON_A_LINE = 5
LINES_TOLD_APART_BY_DASHES = len(DASHES)
LONGEST_NAME_BESIDE_A_LINE = 14

PLOT_HEIGHT = 200.0
SAMPLE_WIDTH = 26.0
LOG_DECADES = 8
BAR_HEIGHT, BAR_PITCH = 13.0, 22.0


def to_svg(chart: Chart) -> Markup:
    """The chart as an `<svg>` element that scales to the width it is given.

    It has an accessible name and description, but shows no title: that is for the text around it.
    """
    match chart:
        case LineChart():
            return _line_chart(chart)
        case Bars():
            return _bars(chart)
        case StackedBars():
            return stacked_bars(chart)
        case HeatMap():
            return heat_map(chart)
        case Histograms():
            return histograms(chart)


# ---- line charts -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plot:
    """The rectangle inside the axes, and how values fall into it."""

    x: Axis
    y: Axis
    left: float
    right: float
    top: float
    bottom: float

    def place(self, point: Point) -> Point:
        across, up = self.x.position(point[0]), self.y.position(point[1])
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)


@dataclass(frozen=True)
class _Drawn:
    """A series in the coordinates of the picture."""

    index: int
    name: str
    lines: list[list[Point]]
    dots: list[Point]
    is_reference: bool

    @property
    def points(self) -> list[Point]:
        return sorted([*self.dots, *(point for line in self.lines for point in line)])


def _line_chart(chart: LineChart) -> Markup:
    both = axes(chart, x_count=6, y_count=LOG_DECADES if chart.log_y else 5)
    if both is None:
        return picture(chart.title, "No values to draw.", 3 * LINE_HEIGHT, [nothing_to_draw()])
    beside = _names_fit_beside_lines(chart.series)
    plot = _plot(*both, room_for_names=widest(one.name for one in chart.series) if beside else GAP)
    drawn = [_drawn(index, series, chart, plot) for index, series in enumerate(chart.series)]
    with_markers = len(drawn) > LINES_TOLD_APART_BY_DASHES
    parts = [*_grid(plot), *_axis_labels(chart, plot)]
    parts += [_series(one, _phase(one.index, len(drawn)) if with_markers else None) for one in drawn]
    height = plot.bottom + 2 * LINE_HEIGHT + GAP
    if beside:
        parts += _names_beside_lines(drawn, plot)
    else:
        legend, height = _legend(drawn, plot.left, height + LINE_HEIGHT, with_markers=with_markers)
        parts += legend
    return picture(chart.title, _described(chart), height, parts)


def _plot(x_axis: Axis, y_axis: Axis, *, room_for_names: float) -> _Plot:
    top = LINE_HEIGHT + GAP
    return _Plot(
        x_axis,
        y_axis,
        left=widest(y_axis.labels) + GAP,
        right=WIDTH - room_for_names - GAP,
        top=top,
        bottom=top + PLOT_HEIGHT,
    )


def _drawn(index: int, series: Series, chart: LineChart, plot: _Plot) -> _Drawn:
    stretches = [[plot.place(point) for point in run] for run in runs(series, log_y=chart.log_y)]
    lines, dots = lines_and_dots(stretches)
    return _Drawn(index, series.name, lines, dots, series.is_reference)


def _grid(plot: _Plot) -> Iterator[Markup]:
    rows = [(plot.place((plot.x.low, tick))[1], label) for tick, label in ticks(plot.y)]
    yield line_path("".join(f"M{xy(plot.left, y)}H{coordinate(plot.right)}" for y, _ in rows), stroke_opacity="0.16")
    for y, label in rows:
        yield words_at(label, plot.left - GAP, y + FONT_SIZE / 3, anchor="end", quiet=True)
    columns = [(plot.place((tick, plot.y.low))[0], label) for tick, label in ticks(plot.x)]
    yield line_path("".join(f"M{xy(x, plot.bottom)}v5" for x, _ in columns), stroke_opacity="0.5")
    for x, label in columns:
        yield words_at(label, x, plot.bottom + LINE_HEIGHT, anchor="middle", quiet=True)


def _axis_labels(chart: LineChart, plot: _Plot) -> Iterator[Markup]:
    y_label = f"{chart.y_label} ({chart.log_label})" if chart.log_y else chart.y_label
    yield words_at(y_label, 0, FONT_SIZE)
    yield words_at(chart.x_label, (plot.left + plot.right) / 2, plot.bottom + 2 * LINE_HEIGHT, anchor="middle")


def _series(drawn: _Drawn, phase: float | None) -> Markup:
    path_of_lines = "".join("M" + "L".join(xy(*point) for point in line) for line in drawn.lines)
    dots_path = "".join(f"M{xy(*point)}h0" for point in drawn.dots)
    parts = [_line(drawn, path_of_lines)] if path_of_lines else []
    if dots_path:
        parts.append(line_path(dots_path, stroke_width=4.5, stroke_linecap="round"))
    if phase is not None:
        parts.append(_markers(drawn.index, _spread(drawn.points, phase)))
    return element("g", *parts, class_=_class(drawn))


def _class(drawn: _Drawn) -> str:
    return "reference" if drawn.is_reference else series_class(drawn.index)


def _line(drawn: _Drawn, path: str) -> Markup:
    if drawn.is_reference:
        return line_path(path, stroke_width=1)
    dash = DASHES[drawn.index % len(DASHES)]
    dashes = {"stroke_dasharray": dash} if dash else {}
    return line_path(path, stroke_width=1.8, stroke_linejoin="round", **dashes)


def _markers(index: int, points: Iterable[Point]) -> Markup:
    shape = MARKERS[index % len(MARKERS)]
    return line_path("".join(f"M{xy(*point)}{shape}" for point in points), fill="currentColor", stroke_width=1.4)


def _spread(points: Sequence[Point], phase: float) -> list[Point]:
    """A few of the points, evenly along the line, beginning at a share `phase` of their distance."""
    if len(points) <= MARKERS_ON_A_LINE:
        return list(points)
    distance = len(points) / MARKERS_ON_A_LINE
    return [points[int((turn + phase) * distance)] for turn in range(MARKERS_ON_A_LINE)]


def _phase(index: int, count: int) -> float:
    """Shifts the markers of one line against those of its neighbours."""
    return (index + 0.5) / count


def _names_fit_beside_lines(series: Sequence[Series]) -> bool:
    return len(series) <= LINES_TOLD_APART_BY_DASHES and all(
        len(one.name) <= LONGEST_NAME_BESIDE_A_LINE for one in series
    )


def _names_beside_lines(drawn: Sequence[_Drawn], plot: _Plot) -> Iterator[Markup]:
    ending = sorted((one for one in drawn if one.points), key=lambda one: one.points[-1][1])
    heights = _apart([one.points[-1][1] for one in ending], plot.top, plot.bottom)
    for one, height in zip(ending, heights, strict=True):
        label = words_at(one.name, plot.right + GAP, height + FONT_SIZE / 3)
        yield element("g", label, class_=_class(one))


def _apart(heights: Sequence[float], top: float, bottom: float) -> list[float]:
    """The heights, in order, moved so far that they stand a line apart between top and bottom."""
    lowered: list[float] = []
    for height in heights:
        lowered.append(max(height, lowered[-1] + LINE_HEIGHT - 2 if lowered else top))
    raised: list[float] = []
    for height in reversed(lowered):
        raised.append(min(height, raised[-1] - LINE_HEIGHT + 2 if raised else bottom))
    return raised[::-1]


def _legend(drawn: Sequence[_Drawn], left: float, top: float, *, with_markers: bool) -> tuple[list[Markup], float]:
    """The names with samples of their lines, in equal columns, and the height at which they end."""
    width = SAMPLE_WIDTH + GAP + widest(one.name for one in drawn) + 2 * GAP
    columns = max(1, int((WIDTH - left) // width))
    entries: list[Markup] = []
    for place, one in enumerate(drawn):
        row, column = divmod(place, columns)
        entries += _legend_entry(one, left + column * width, top + row * LINE_HEIGHT, with_markers=with_markers)
    return entries, top + -(-len(drawn) // columns) * LINE_HEIGHT - GAP


def _legend_entry(one: _Drawn, x: float, y: float, *, with_markers: bool) -> Iterator[Markup]:
    middle = y - FONT_SIZE / 3
    sample = [_line(one, f"M{xy(x, middle)}h{coordinate(SAMPLE_WIDTH)}")]
    if with_markers:
        sample.append(_markers(one.index, [(x + SAMPLE_WIDTH / 2, middle)]))
    yield element("g", *sample, class_=_class(one))
    yield words_at(one.name, x + SAMPLE_WIDTH + GAP, y)


def _described(chart: LineChart) -> str:
    ends = []
    for series in chart.series:
        last = [point for run in runs(series, log_y=chart.log_y) for point in run][-1:]
        ends += [f"{series.name} → {written(y)}" for _, y in last]
    return f"{chart.y_label} / {chart.x_label}: {'; '.join(ends)}"  # no words of ours: the page may be in any language


# ---- bars --------------------------------------------------------------------------------------------


def _bars(chart: Bars) -> Markup:
    if not chart.labels:
        return picture(chart.title, "No values to draw.", 3 * LINE_HEIGHT, [nothing_to_draw()])
    values = [as_float(value) for value in chart.values]
    axis = linear_axis([0.0, *filter(drawable, values)], count=5, enclose=False)
    labels = [shortened(label) for label in chart.labels]
    numbers = written_column(chart.values)
    left = widest(labels) + GAP + (widest(numbers) + GAP if axis.low < 0 else 0)
    right = WIDTH - widest(numbers) - GAP
    parts = [words_at(chart.value_label, left, FONT_SIZE)]
    top = LINE_HEIGHT + GAP

    def across(value: float) -> float:
        return left + axis.position(value) * (right - left)

    for row, (label, value, number) in enumerate(zip(labels, values, numbers, strict=True)):
        parts += _bar(label, number, top + row * BAR_PITCH, across(0), across(value if drawable(value) else 0))
    bottom = top + len(labels) * BAR_PITCH
    parts.append(line_path(f"M{xy(across(0), top - 2)}V{coordinate(bottom - BAR_PITCH + BAR_HEIGHT + 2)}"))
    described = "; ".join(f"{label} {number}" for label, number in zip(chart.labels, numbers, strict=True))
    return picture(chart.title, described, bottom, parts)


def _bar(label: str, number: str, top: float, zero: float, end: float) -> Iterator[Markup]:
    baseline = top + BAR_HEIGHT / 2 + FONT_SIZE / 3
    yield words_at(label, 0, baseline)
    yield element(
        "g",
        element("rect", x=min(zero, end), y=top, width=abs(end - zero), height=BAR_HEIGHT, fill="currentColor"),
        class_=series_class(0),
    )
    left_of_zero = end < zero
    yield words_at(
        number,
        end - GAP / 2 if left_of_zero else end + GAP / 2,
        baseline,
        anchor="end" if left_of_zero else "start",
    )
