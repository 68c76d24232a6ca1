"""Charts made of areas, for the terminal: a stacked bar of letters, a heat map of shades, a histogram of blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from rich.cells import cell_len
from rich.text import Text

from chainrule.report.axis import SMALLEST
from chainrule.report.document import HeatMap, Histograms, StackedBars
from chainrule.report.shades import Shades, shades_of
from chainrule.report.values import printable, written

LONGEST_LABEL = 20
MOST_ROWS = 24
"""Of more rows, evenly chosen ones are shown."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHADES = " ░▒▓█"
BLOCKS = " ▁▂▃▄▅▆▇█"
NOT_FINITE, ZERO, SUM = "×", "·", "◆"


def area_lines(chart: StackedBars | HeatMap | Histograms, width: int) -> Iterator[Text]:
    """The chart's lines, at most `width` characters long."""
    match chart:
        case StackedBars():
            return _stacked_bars(chart, width)
        case HeatMap():
            return _heat_map(chart, width)
        case Histograms():
            return _histograms(chart, width)


def _stacked_bars(chart: StackedBars, width: int) -> Iterator[Text]:
    if not chart.labels or not chart.stacks:
        yield Text("No values to draw", style="dim")
        return
    rows, labels, gutter = _rows(chart.labels)
    numbers = {row: written(chart.totals[row]) for row in rows}
    room = max(10, width - gutter - max(map(len, numbers.values())) - 4)
    values = [[stack.values[row] for stack in chart.stacks] for row in range(len(chart.labels))]
    low = min(sum([v for v in one if v < 0]) for one in values)
    high = max(sum([v for v in one if v > 0]) for one in values)
    if chart.value_label:
        yield Text(printable(chart.value_label), style="dim")
    for row, label in zip(rows, labels, strict=True):
        bar = _stacked(values[row], chart.totals[row], low, high, room)
        yield Text(f"{_padded(label, gutter)}  {bar}  {numbers[row]}", no_wrap=True)
    names = [f"{letter} {stack.name}" for letter, stack in zip(LETTERS, chart.stacks, strict=False)]
    yield Text("   ".join([*map(printable, names), f"{SUM} {printable(chart.total_label)}"]), style="dim")


def _stacked(values: Sequence[float], total: float, low: float, high: float, room: int) -> str:
    """Each part as a run of its letter, to the left of zero the negative ones; a mark at the sum."""
    extent = high - low
    scale = (room - 1) / (extent if extent > SMALLEST else 1.0)  # of denormal numbers the quotient overflows
    zero = round(-low * scale)
    cells = [" "] * room
    cells[zero] = "|"
    for sign in (-1, 1):
        reached = 0.0
        for letter, value in zip(LETTERS, values, strict=False):
            if value * sign <= 0:
                continue
            start, end = sorted((round((reached - low) * scale), round((reached + value - low) * scale)))
            for at in range(start, end):
                cells[at + (sign > 0)] = letter
            reached += value
    cells[round((total - low) * scale)] = SUM
    return "".join(cells)


def _heat_map(chart: HeatMap, width: int) -> Iterator[Text]:
    shades = shades_of(chart)
    if shades is None:
        yield Text("No values to draw", style="dim")
        return
    rows, labels, gutter = _rows(chart.rows)
    room = max(10, width - gutter - 2)
    stride = -(-len(chart.columns) // room)
    for row, label in zip(rows, labels, strict=True):
        cells = [_shade(value, shades) for value in chart.values[row][::stride]]
        wide = max(1, min(4, room // len(cells)))
        yield Text(f"{_padded(label, gutter)}  {''.join([cell * wide for cell in cells])}", no_wrap=True)
    first, last = printable(chart.columns[0]), printable(chart.columns[-1])
    yield Text(f"{' ' * gutter}  {printable(chart.x_label)} {first} – {last}", style="dim")
    legend = "  ".join([f"{SHADES[step] if step else repr(' ')} {shades.label(step / 4)}" for step in range(5)])
    yield Text(f"{printable(chart.value_label)}: {legend}  {ZERO} 0  {NOT_FINITE} NaN", style="dim")


def _shade(value: float | None, shades: Shades) -> str:
    if value is None:
        return " "
    if not isfinite(value):
        return NOT_FINITE
    depth = shades.depth(value)
    return ZERO if depth is None else SHADES[round(depth * (len(SHADES) - 1))]


def _histograms(chart: Histograms, width: int) -> Iterator[Text]:
    if not chart.labels or len(chart.edges) < 2:
        yield Text("No values to draw", style="dim")
        return
    rows, labels, gutter = _rows(chart.labels)
    remarks = chart.remarks or [""] * len(chart.labels)
    bins = len(chart.edges) - 1
    wide = max(1, (width - gutter - max(map(cell_len, remarks)) - 6) // bins)
    for row, label in zip(rows, labels, strict=True):
        highest = max(chart.shares[row], default=0.0) or 1.0
        # what is there is seen, however little of it there is
        bars = [BLOCKS[0 if not s else max(1, round(s / highest * 8))] * wide for s in chart.shares[row]]
        yield Text(f"{_padded(label, gutter)} │{''.join(bars)}│ {printable(remarks[row])}".rstrip(), no_wrap=True)
    first, last = f"{chart.edges[0]:g}", f"{chart.edges[-1]:g}"
    yield Text(f"{' ' * gutter}  {first}{last:>{max(len(last) + 1, bins * wide - len(first))}}", style="dim")
    if chart.x_label:
        yield Text(f"{' ' * gutter}  {printable(chart.x_label)}", style="dim")


def _rows(names: Sequence[str]) -> tuple[list[int], list[str], int]:
    """The rows to show, their labels cut to length, and the width of the longest."""
    count = len(names)
    rows = sorted({round(i * (count - 1) / (MOST_ROWS - 1)) for i in range(MOST_ROWS)}) if count > MOST_ROWS else [
        *range(count)
    ]  # fmt: skip
    cut = [printable(names[row]) for row in rows]
    cut = [name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…" for name in cut]
    return rows, cut, max(map(cell_len, cut))


def _padded(label: str, width: int) -> str:
    return " " * (width - cell_len(label)) + label
