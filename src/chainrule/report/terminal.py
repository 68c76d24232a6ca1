"""A document for the terminal, through rich: tables, and charts drawn with characters.

A chart without colour is told apart by the letters that stand on its lines. A terminal that cannot encode
Unicode gets the same document in ASCII.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from itertools import pairwise

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from chainrule.report.axis import Axis, linear_axis
from chainrule.report.canvas import Canvas
from chainrule.report.document import (
    Bars,
    Block,
    Chart,
    Code,
    Document,
    Facts,
    Figure,
    Formula,
    Heading,
    LineChart,
    Paragraph,
    Series,
    Table,
    alignments,
)
from chainrule.report.letters import area_lines
from chainrule.report.points import Point, as_float, axes, drawable, lines_and_dots, notes, runs
from chainrule.report.values import ONE_LINE, printable, written, written_column, written_rows

CHART_ROWS = 12
CHART_WIDTH = 76
COLOURS = ("cyan", "yellow", "green", "magenta", "red", "blue")
LETTERS = string.ascii_lowercase + string.ascii_uppercase + string.digits
LETTERS_ON_A_LINE = 3
LONGEST_WORD = 24
INDENT = "    "
"""Before each line of a formula or a program."""
STRONG, ABSENT = 0.5, 0.0
# Between the columns of a table the widest that fits; rich draws one space of it as the column's edge.
GAPS = (3, 2, 1)

_ASCII = str.maketrans(
    {"−": "-", "–": "-", "×": "x", "∞": "inf", "│": "|", "┤": "+", "└": "+", "─": "-", "┬": "+", "█": "#"}
    | {"…": "...", "·": "-", "◆": "*", "░": ".", "▒": ":", "▓": "%"}
    | dict(zip("▁▂▃▄▅▆▇", "_.-:=+*", strict=True))
    | dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁽⁾ᵀ", "0123456789-()T", strict=True))
    | dict(zip("₀₁₂₃₄₅₆₇₈₉ⱼₖ⎡⎢⎣⎤⎥⎦⎛⎜⎝⎞⎟⎠⎧⎨⎩⎪⎫⎬⎭", "0123456789jk[[[]]]((())){{{{}}}", strict=True))
    | {"ᵢ": "i", "⊙": "*", "⋅": "*", "∑": "sum", "∏": "prod", "∂": "d", "′": "'", "𝟏": "1", "‖": "|", "√": "sqrt"}
    | {"σ": "sigma", "δ": "delta", "ℓ": "l", "η": "eta", "θ": "theta", "≤": "<=", "≥": ">=", "≠": "!=", "⊤": "T"}
    | {"⋯": "...", "⋮": ":", "⋱": ":"}
)


def in_ascii(text: str) -> str:
    """Text for a terminal that knows no more: mathematical signs by their names, what has none as a question mark."""
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def to_text(document: Document, width: int = 80) -> str:
    """The document as plain text, lines at most `width` characters long."""
    return _rendered(document, width, braille=True)


def block_text(block: Block, width: int = 80, *, braille: bool = True) -> str:
    """One block as plain text; without `braille`, in ASCII."""
    plain = "".join(
        line + "\n" for line in _rendered(Document("", "", [block]), width, braille=braille).split("\n")[2:]
    )
    return plain.strip("\n") if braille else plain.strip("\n").translate(_ASCII)


def print_document(document: Document, console: Console) -> None:
    """Prints the document, in the colours and the width that the console has (rich honours NO_COLOR)."""
    if console.options.ascii_only:
        console.out(in_ascii(_rendered(document, console.width, braille=False)), end="", highlight=False)
        return
    for renderable in _renderables(document, console.width, braille=True):
        console.print(renderable, highlight=False)


def _rendered(document: Document, width: int, *, braille: bool) -> str:
    plain = Console(
        file=StringIO(),
        width=width,
        color_system=None,
        force_terminal=False,
        legacy_windows=False,
        _environ={},
    )
    with plain.capture() as capture:
        for renderable in _renderables(document, width, braille=braille):
            plain.print(renderable, highlight=False)
    return "".join(line.rstrip() + "\n" for line in capture.get().splitlines())


def _renderables(document: Document, width: int, *, braille: bool) -> Iterator[RenderableType]:
    yield _text(document.title, "bold")
    if document.subtitle:
        yield _text(document.subtitle, "dim")
    for block in document.blocks:
        yield Text()
        yield from _block(block, width, braille=braille)


def _block(block: Block, width: int, *, braille: bool) -> Iterator[RenderableType]:
    match block:
        case Heading():
            yield _text(block.text, "bold underline")
        case Paragraph():
            yield _text("".join([run if isinstance(run, str) else run.plain(ONE_LINE) for run in block.runs]))
        case Formula():
            yield from _formula(block, width)
        case Code():
            yield from [_text(block.title, "dim")] if block.title else []
            yield from [Text(INDENT + printable(line), overflow="fold") for line in block.text.splitlines()]
        case Facts():
            yield _facts(block)
        case Table():
            yield from _table(block, width)
        case Figure():
            yield from _figure(block, width, braille=braille)


def _formula(formula: Formula, width: int) -> Iterator[RenderableType]:
    head = "  ".join(filter(None, (formula.title, formula.label)))
    if head:
        yield _text(head, "dim")
    for line in formula.math.plain(max(width - len(INDENT), 20)).splitlines():
        yield Text(INDENT + printable(line), no_wrap=True)


def _text(plain: str, style: str = "") -> Text:
    return Text(printable(plain), style=style)


# ---- facts and tables --------------------------------------------------------------------------------


def _facts(facts: Facts) -> RenderableType:
    grid = RichTable.grid(padding=(0, 3, 0, 0))
    grid.add_column()
    grid.add_column(overflow="fold")
    for name, value in facts.items:
        grid.add_row(_text(name, "dim"), Text(written(value)))
    return grid


def _table(table: Table, width: int) -> Iterator[RenderableType]:
    if table.caption:
        yield _text(table.caption, "italic")
    needed, whole = _needed_widths(table), _whole_widths(table)
    fits = [gap for widths in (whole, needed) for gap in GAPS if sum(widths) + gap * (len(widths) - 1) <= width]
    gap = next(iter(fits), GAPS[-1])
    for columns in _column_groups([one + gap for one in needed], width + gap):
        widths = _widths([needed[c] for c in columns], [whole[c] for c in columns], width - gap * (len(columns) - 1))
        yield _part_of_table(table, columns, widths, gap)


def _widths(needed: Sequence[int], whole: Sequence[int], width: int) -> list[int]:
    """What each column gets: what it needs, and of what is left first those that want least more.

    Left alone, rich takes from all columns alike, and breaks words in some where others have room.
    """
    widths, left = list(needed), width - sum(needed)
    for column in sorted(range(len(needed)), key=lambda c: whole[c] - needed[c]):
        more = max(0, min(whole[column] - needed[column], left))
        widths[column] += more
        left -= more
    return widths


def _part_of_table(table: Table, columns: Sequence[int], widths: Sequence[int], gap: int) -> RenderableType:
    sides = alignments(table)
    rich_table = RichTable(box=box.SIMPLE_HEAD, padding=(0, gap - 1, 0, 0), pad_edge=False, show_edge=False)
    for column, width in zip(columns, widths, strict=True):
        rich_table.add_column(_text(table.columns[column]), justify=sides[column], overflow="fold", width=max(width, 1))
    for index, cells in enumerate(written_rows(table)):
        shades = table.emphasis[index] if table.emphasis is not None else [None] * len(cells)
        rich_table.add_row(*(Text(cells[column], style=_style(shades[column])) for column in columns))
    return rich_table


def _style(shade: float | None) -> str:
    if shade is None:
        return ""
    if shade == ABSENT:
        return "dim"
    return "bold" if shade >= STRONG else ""


def _column_groups(needed: Sequence[int], width: int) -> Iterator[list[int]]:
    """The columns in groups that fit the width; each begins with the first column, which names the rows."""
    group = [0]
    for column in range(1, len(needed)):
        if len(group) > 1 and sum(needed[member] for member in [*group, column]) > width:
            yield group
            group = [0]
        group.append(column)
    yield group


def _needed_widths(table: Table) -> list[int]:
    """What the longest word of each column takes; longer text wraps, and very long words break."""
    return [
        min(LONGEST_WORD, max(cell_len(word) for one in column for word in one.split() or [""]))
        for column in _texts_of_columns(table)
    ]


def _whole_widths(table: Table) -> list[int]:
    """What the longest line of each column takes."""
    return [max(cell_len(line) for one in column for line in one.split("\n")) for column in _texts_of_columns(table)]


def _texts_of_columns(table: Table) -> list[tuple[str, ...]]:
    return list(zip(*[[printable(name) for name in table.columns], *written_rows(table)], strict=True))


# ---- charts ----------------------------------------------------------------------------------------------


def _figure(figure: Figure, width: int, *, braille: bool) -> Iterator[RenderableType]:
    yield _text(figure.chart.title, "bold")
    yield from _chart(figure.chart, min(width, CHART_WIDTH), braille=braille)
    if figure.caption:
        yield _text(figure.caption)
    for note in notes(figure.chart):
        yield _text(note, "italic")


def _chart(chart: Chart, width: int, *, braille: bool) -> Iterator[RenderableType]:
    if isinstance(chart, Bars):
        yield from _bars(chart, width)
        return
    if not isinstance(chart, LineChart):
        yield from area_lines(chart, width)
        return
    both = axes(chart, x_count=5, y_count=5)
    if both is None:
        yield _text("No values to draw", "dim")
        return
    yield _text(f"{chart.y_label} ({chart.log_label})" if chart.log_y else chart.y_label, "dim")
    yield from _line_chart(chart, *both, width, braille=braille)


def _line_chart(chart: LineChart, x_axis: Axis, y_axis: Axis, width: int, *, braille: bool) -> Iterator[Text]:
    gutter = max(map(cell_len, y_axis.labels)) + 1
    canvas = Canvas(max(10, width - gutter - 1), CHART_ROWS)
    letters = "".join(LETTERS[index % len(LETTERS)] for index in range(len(chart.series)))
    for series in chart.series:
        _draw(canvas, series, x_axis, y_axis, log_y=chart.log_y)
    if len(chart.series) > 1:
        _put_letters(canvas, len(chart.series))
    labels = {round((1 - y_axis.position(t)) * (CHART_ROWS - 1)): s for t, s in _ticks(y_axis)}
    for row, cells in enumerate(canvas.rows_of_cells(letters, braille=braille)):
        line = Text(f"{labels.get(row, ''):>{gutter - 1}} {'┤' if row in labels else '│'}", no_wrap=True)
        for character, owner in cells:
            line.append(character, style="" if owner is None else COLOURS[owner % len(COLOURS)])
        yield line
    yield from _x_axis(chart.x_label, x_axis, gutter, canvas.columns)
    if len(chart.series) > 1:
        yield from _legend(chart.series, letters, width)


def _draw(canvas: Canvas, series: Series, x_axis: Axis, y_axis: Axis, *, log_y: bool) -> None:
    right, bottom = canvas.last_dot

    def place(point: Point) -> Point:
        return x_axis.position(point[0]) * right, (1 - y_axis.position(point[1])) * bottom

    number = canvas.add_line()
    stretches = [[place(point) for point in run] for run in runs(series, log_y=log_y)]
    lines, dots = lines_and_dots(stretches)
    for line in lines:
        for start, end in pairwise(line):
            canvas.connect(number, start, end)
    for dot in dots:
        canvas.spot(number, dot)


def _put_letters(canvas: Canvas, count: int) -> None:
    """A few letters along each line, shifted so that the letters of different lines stand apart."""
    for line in range(count):
        columns = canvas.columns_of(line)
        for turn in range(min(LETTERS_ON_A_LINE, len(columns))):
            share = (turn + (line + 0.5) / count) / LETTERS_ON_A_LINE
            canvas.put_letter(line, columns[int(share * len(columns))])


def _x_axis(label: str, axis: Axis, gutter: int, columns: int) -> Iterator[Text]:
    rule, numbers = ["─"] * columns, ""
    for tick, tick_label in _ticks(axis):
        column = round(axis.position(tick) * (columns - 1))
        start = max(0, min(column - len(tick_label) // 2, columns - len(tick_label)))
        if start >= len(numbers) + (1 if numbers else 0):
            rule[column] = "┬"
            numbers = numbers.ljust(start) + tick_label
    indent = " " * gutter
    yield Text(f"{indent}└{''.join(rule)}", no_wrap=True)
    yield Text(f"{indent} {numbers}", no_wrap=True)
    yield Text(f"{indent} {printable(label):^{columns}}".rstrip(), style="dim")


def _legend(series: Sequence[Series], letters: str, width: int) -> Iterator[Text]:
    """The letters with their names, as many to a line as fit."""
    line = Text()
    for index, one in enumerate(series):
        entry = Text(letters[index], style=f"bold {COLOURS[index % len(COLOURS)]}")
        entry = Text.assemble(entry, " ", printable(one.name))
        if line and line.cell_len + entry.cell_len + 3 > width:
            yield line
            line = Text()
        line = Text.assemble(line, "   " if line else "", entry)
    yield line


def _bars(chart: Bars, width: int) -> Iterator[RenderableType]:
    if not chart.labels:
        yield _text("No values to draw", "dim")
        return
    if chart.value_label:
        yield _text(chart.value_label, "dim")
    values = [as_float(value) for value in chart.values]
    numbers = written_column(chart.values)
    labels = [printable(label) for label in chart.labels]
    gutter = min(LONGEST_WORD, max(map(cell_len, labels)))
    room = max(10, width - gutter - max(map(len, numbers)) - 4)
    axis = linear_axis([0.0, *filter(drawable, values)], count=5, enclose=False)
    grid = RichTable.grid(padding=(0, 2, 0, 0))
    grid.add_column(max_width=gutter, overflow="fold")
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    for label, value, number in zip(labels, values, numbers, strict=True):
        grid.add_row(Text(label), Text(_bar(value, axis, room), style=COLOURS[0]), Text(number))
    yield grid


def _bar(value: float, axis: Axis, room: int) -> str:
    if not drawable(value):
        return " " * room
    start, end = sorted((round(axis.position(0) * room), round(axis.position(value) * room)))
    return (" " * start + "█" * (end - start)).ljust(room)


def _ticks(axis: Axis) -> Iterable[tuple[float, str]]:
    return zip(axis.ticks, axis.labels, strict=True)
