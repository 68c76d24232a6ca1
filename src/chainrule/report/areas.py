"""SVG of the charts that are made of areas: stacked bars, heat maps, histograms.

Causes differ by texture as well as by colour, and shades are one hue from faint to full: both can be read without
colour, on light and on dark pages. Textures are drawn as lines and not as `<pattern>`s, whose ids would clash between
the pictures of one page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isfinite

from chainrule.report.axis import linear_axis
from chainrule.report.document import HeatMap, Histograms, StackedBars
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
from chainrule.report.shades import Shades, shades_of
from chainrule.report.values import written

TALLEST = 560.0
"""The height that the rows of a chart share."""
ROW = 20.0
THINNEST = 4.0
LEAST_OPACITY = 0.07
STEPS_OF_LEGEND = 5
SPACING = 4.0
"""Between the lines of a texture."""
TEXTURES = 6
Rectangle = tuple[float, float, float, float]
"""Left, top, width, height."""


# ---- stacked bars ------------------------------------------------------------------------------------------


def stacked_bars(chart: StackedBars) -> Markup:
    """The bars, each cause with its colour and texture, a tick through each bar at its sum."""
    if not chart.labels or not chart.stacks:
        return picture(chart.title, "No values to draw.", 3 * LINE_HEIGHT, [nothing_to_draw()])
    pitch = _pitch(len(chart.labels))
    labels = [shortened(label) for label in chart.labels]
    ends = [end for row in range(len(labels)) for end in _extent(chart, row)]
    axis = linear_axis([0.0, *ends], count=5, enclose=True)
    left, right, top = widest(labels) + GAP, WIDTH - GAP, LINE_HEIGHT + GAP
    bottom = top + len(labels) * pitch

    def across(value: float) -> float:
        return left + axis.position(value) * (right - left)

    places = [(across(tick), label) for tick, label in ticks(axis)]
    parts = [words_at(chart.value_label, 0, FONT_SIZE)]
    parts.append(line_path("".join([f"M{xy(x, top)}V{coordinate(bottom)}" for x, _ in places]), stroke_opacity="0.16"))
    parts += [words_at(label, x, bottom + LINE_HEIGHT, anchor="middle", quiet=True) for x, label in places]
    parts += list(_row_labels(labels, left, top, pitch))
    for index, stack in enumerate(chart.stacks):
        boxes = [
            _box(across(start), across(start + stack.values[row]), top + row * pitch, pitch)
            for row, start in enumerate(_starts(chart, index))
            if stack.values[row]
        ]
        parts.append(_filled(index, boxes))
    marks = "".join([f"M{xy(across(t), top + row * pitch)}v{coordinate(pitch)}" for row, t in enumerate(chart.totals)])
    parts.append(line_path(marks, stroke_width=2.6))
    parts.append(line_path(f"M{xy(across(0), top - 3)}V{coordinate(bottom + 3)}"))
    legend, height = _legend(chart, bottom + 2.6 * LINE_HEIGHT)
    described = "; ".join([f"{name} {written(t)}" for name, t in zip(chart.labels, chart.totals, strict=True)])
    return picture(chart.title, f"{chart.value_label}: {described}", height, [*parts, *legend])


def _extent(chart: StackedBars, row: int) -> tuple[float, float]:
    values = [stack.values[row] for stack in chart.stacks]
    return sum([v for v in values if v < 0], 0.0), sum([v for v in values if v > 0], 0.0)


def _starts(chart: StackedBars, index: int) -> list[float]:
    """For each bar where this cause's part begins: after the parts of the same sign before it."""
    starts = []
    for row in range(len(chart.labels)):
        mine = chart.stacks[index].values[row]
        starts.append(sum([s.values[row] for s in chart.stacks[:index] if (s.values[row] < 0) == (mine < 0)], 0.0))
    return starts


def _box(start: float, end: float, top: float, pitch: float) -> Rectangle:
    margin = pitch * 0.14
    return min(start, end), top + margin, abs(end - start), pitch - 2 * margin


def _filled(index: int, boxes: Sequence[Rectangle]) -> Markup:
    """Boxes with the colour and the texture of a cause."""
    kind = index % TEXTURES
    outline = "".join([f"M{xy(x, y)}h{coordinate(w)}v{coordinate(h)}h{coordinate(-w)}z" for x, y, w, h in boxes])
    parts = [element("path", d=outline, fill="currentColor", fill_opacity="0.85" if kind == 0 else "0.16")]
    if kind:
        lines = "".join([f"M{xy(*a)}L{xy(*b)}" for box in boxes for a, b in _texture(kind, box)])
        parts.append(line_path(outline + lines, stroke_width="0.9"))
    return element("g", *parts, class_=series_class(index))


def _texture(kind: int, box: Rectangle) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The lines of a texture inside of a box: 1 slanted, 2 upright, 3 level, 4 slanted the other way, 5 both ways."""
    x, y, w, h = box
    if kind in (1, 5):
        yield from _slanted(box)
    if kind in (4, 5):
        yield from [((2 * x + w - ax, ay), (2 * x + w - bx, by)) for (ax, ay), (bx, by) in _slanted(box)]
    if kind == 2:
        yield from [((x + at, y), (x + at, y + h)) for at in _every(w)]
    if kind == 3:
        yield from [((x, y + at), (x + w, y + at)) for at in _every(h)]


def _slanted(box: Rectangle) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Lines at 45 degrees, cut at the box: on each, the sum of the distances from left and top is constant."""
    x, y, w, h = box
    for total in _every(w + h):
        low, high = max(0.0, total - h), min(w, total)
        yield (x + low, y + total - low), (x + high, y + total - high)


def _every(length: float) -> list[float]:
    return [SPACING * (i + 1) for i in range(int((length - 1e-6) // SPACING))]


def _legend(chart: StackedBars, top: float) -> tuple[list[Markup], float]:
    """A box of each cause with its name, then the mark of the sum, and the height at which they end."""
    names = [*[stack.name for stack in chart.stacks], chart.total_label]
    width = widest(names) + 26 + 3 * GAP
    columns = max(1, int(WIDTH // width))
    parts: list[Markup] = []
    for place, name in enumerate(names):
        row, column = divmod(place, columns)
        x, y = column * width, top + row * LINE_HEIGHT
        if place < len(chart.stacks):
            parts.append(_filled(place, [(x, y - 10, 26, 12)]))
        else:
            parts.append(line_path(f"M{xy(x + 13, y - 11)}v14", stroke_width=2.6))
        parts.append(words_at(name, x + 26 + GAP, y))
    return parts, top + -(-len(names) // columns) * LINE_HEIGHT - GAP


# ---- heat maps ---------------------------------------------------------------------------------------------


def heat_map(chart: HeatMap) -> Markup:
    """Rows of cells, the deeper the larger; a dot for zero on a logarithmic scale, a cross for what is not finite."""
    shades = shades_of(chart)
    if shades is None:
        return picture(chart.title, "No values to draw.", 3 * LINE_HEIGHT, [nothing_to_draw()])
    pitch = _pitch(len(chart.rows))
    labels = [shortened(label) for label in chart.rows]
    left, top = widest(labels) + GAP, GAP / 2
    cell = (WIDTH - GAP - left) / len(chart.columns)
    bottom = top + len(labels) * pitch
    parts = list(_row_labels(labels, left, top, pitch))
    for row, values in enumerate(chart.values):
        y = top + row * pitch
        parts += _cells(values, shades, left, y, cell, pitch)
    parts += list(_column_labels(chart, left, cell, bottom))
    parts += list(_scale(chart, shades, left, bottom + 3.1 * LINE_HEIGHT))
    described = f"{chart.value_label}: {written(shades.low)} – {written(shades.high)}"
    return picture(chart.title, described, bottom + 4.4 * LINE_HEIGHT, [element("g", *parts, class_=series_class(0))])


def _cells(
    values: Sequence[float | None], shades: Shades, left: float, y: float, cell: float, pitch: float
) -> Iterator[Markup]:
    """Neighbours of the same shade share one rectangle."""
    crosses = dots = ""
    start = 0
    depths = [shades.depth(value) for value in values]
    for end in range(1, len(values) + 1):
        if end < len(values) and depths[end] == depths[start] and depths[end] is not None:
            continue
        depth = depths[start]
        if depth is not None:
            yield element(
                "rect", x=left + start * cell, y=y, width=(end - start) * cell, height=pitch, fill="currentColor",
                fill_opacity=_opacity(depth),
            )  # fmt: skip
        start = end
    size = min(cell, pitch) * 0.25
    for column, value in enumerate(values):
        x, middle = left + (column + 0.5) * cell, y + pitch / 2
        if value is not None and not isfinite(value):
            crosses += f"M{xy(x - size, middle - size)}l{xy(2 * size, 2 * size)}m0 {coordinate(-2 * size)}"
            crosses += f"l{xy(-2 * size, 2 * size)}"
        elif value is not None and shades.depth(value) is None:
            dots += f"M{xy(x, middle)}h0"
    if crosses:
        yield line_path(crosses, stroke_width=1.4)
    if dots:
        yield line_path(dots, stroke_width=2.2, stroke_linecap="round")


def _opacity(depth: float) -> str:
    return f"{LEAST_OPACITY + (1 - LEAST_OPACITY) * depth:.2f}"


def _column_labels(chart: HeatMap, left: float, cell: float, bottom: float) -> Iterator[Markup]:
    room = widest(chart.columns) + GAP
    stride = max(1, -(-int(room) // max(1, int(cell))), -(-len(chart.columns) // 6))
    for column in range(0, len(chart.columns), stride):
        yield words_at(chart.columns[column], left + (column + 0.5) * cell, bottom + LINE_HEIGHT, anchor="middle",
                       quiet=True)  # fmt: skip
    yield words_at(chart.x_label, (left + WIDTH - GAP) / 2, bottom + 2 * LINE_HEIGHT, anchor="middle")


def _scale(chart: HeatMap, shades: Shades, left: float, y: float) -> Iterator[Markup]:
    """A few shades with their values."""
    room = (WIDTH - GAP - left) / STEPS_OF_LEGEND
    yield words_at(chart.value_label, left, y)
    for step in range(STEPS_OF_LEGEND if shades.high > shades.low else 1):
        depth = step / (STEPS_OF_LEGEND - 1)
        x = left + step * room
        yield element("rect", x=x, y=y + 6, width=14.0, height=11.0, fill="currentColor", fill_opacity=_opacity(depth))
        yield words_at(shades.label(depth), x + 18, y + 16, quiet=True)


# ---- histograms --------------------------------------------------------------------------------------------


def histograms(chart: Histograms) -> Markup:
    """A row of columns for each label, over one axis; each row is as high as its largest share."""
    if not chart.labels or len(chart.edges) < 2:
        return picture(chart.title, "No values to draw.", 3 * LINE_HEIGHT, [nothing_to_draw()])
    pitch = max(26.0, _pitch(len(chart.labels)) * 1.6)
    labels = [shortened(label) for label in chart.labels]
    remarks = chart.remarks or [""] * len(labels)
    axis = linear_axis(list(chart.edges), count=5, enclose=False)
    left, right, top = widest(labels) + GAP, WIDTH - GAP - widest(remarks) - GAP, GAP
    bottom = top + len(labels) * pitch

    def across(value: float) -> float:
        return left + axis.position(value) * (right - left)

    parts: list[Markup] = []
    for row, (label, shares, remark) in enumerate(zip(labels, chart.shares, remarks, strict=True)):
        base = top + (row + 1) * pitch
        parts += [words_at(label, 0, base - 3), words_at(remark, right + GAP, base - 3, quiet=True)]
        highest = max(shares, default=0.0) or 1.0
        columns = ""
        for (a, b), share in zip(pairwise(chart.edges), shares, strict=True):
            height = share / highest * (pitch - 5)
            if share:
                columns += f"M{xy(across(a), base)}v{coordinate(-height)}H{coordinate(across(b))}v{coordinate(height)}"
        if columns:
            body = line_path(columns, fill="currentColor", fill_opacity="0.35", stroke_width="0.9")
            parts.append(element("g", body, class_=series_class(0)))
        parts.append(line_path(f"M{xy(left, base)}H{coordinate(right)}", stroke_opacity="0.4"))
    for tick, label in ticks(axis):
        parts.append(line_path(f"M{xy(across(tick), bottom)}v5", stroke_opacity="0.5"))
        parts.append(words_at(label, across(tick), bottom + LINE_HEIGHT, anchor="middle", quiet=True))
    parts.append(words_at(chart.x_label, (left + right) / 2, bottom + 2 * LINE_HEIGHT, anchor="middle"))
    described = "; ".join([f"{label} {remark}".strip() for label, remark in zip(chart.labels, remarks, strict=True)])
    return picture(chart.title, described, bottom + 2 * LINE_HEIGHT + GAP, parts)


# ---- rows --------------------------------------------------------------------------------------------------


def _pitch(rows: int) -> float:
    return max(THINNEST, min(ROW, TALLEST / rows))


def _row_labels(labels: Sequence[str], left: float, top: float, pitch: float) -> Iterator[Markup]:
    """The names of the rows, as many as stand below each other."""
    stride = max(1, -(-int(FONT_SIZE + 2) // int(pitch)))
    for row in range(0, len(labels), stride):
        y = top + (row + 0.5) * pitch + FONT_SIZE / 3
        yield words_at(labels[row], left - GAP, y, anchor="end")
