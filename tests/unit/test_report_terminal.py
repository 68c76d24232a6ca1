"""The same document in the terminal: width, colour, letters on lines, and consoles without Unicode."""

import math
import re
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from chainrule.report import (
    Bars,
    Code,
    Document,
    Facts,
    Figure,
    Heading,
    LineChart,
    Paragraph,
    Series,
    Table,
    print_document,
    to_html,
    to_latex,
    to_markdown,
    to_text,
)
from chainrule.report.canvas import Canvas

EPOCHS = list(range(1, 31))
LOSS = LineChart(
    "Loss",
    "epoch",
    "nats",
    [
        Series("training", EPOCHS, [2 / e for e in EPOCHS]),
        Series("validation", EPOCHS, [2 / e + 0.2 for e in EPOCHS]),
    ],
)
ANY_VALUE = st.none() | st.floats() | st.integers(-(10**9), 10**9)


def document_of(*blocks):
    return Document("Title", "Subtitle", blocks)


def everything():
    wide = Table(["", *"abcdefghijklmnopqrstuvwxyz"], [[c, *range(100, 126)] for c in "abc"])
    return document_of(
        Facts([("Model", "Linear(64, 10)"), ("Parameters", 101770)]),
        Heading("Learning"),
        Paragraph("It learns. " * 20),
        Figure(LOSS, "Lower is better."),
        Figure(Bars("Weights", ["a", "a much longer name than the gutter"], [1.0, -0.5], "loss")),
        wide,
    )


def printed(document, **options):
    stream = StringIO()
    print_document(document, Console(file=stream, width=80, legacy_windows=False, **options))
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_asked(width):
    assert max(map(cell_len, to_text(everything(), width).splitlines())) <= width


def test_every_block_appears_in_the_text():
    text = to_text(everything())
    for expected in ("Title", "Subtitle", "101,770", "Learning", "It learns.", "Lower is better.", "−0.500"):
        assert expected in text


def test_a_line_chart_has_twelve_rows_labels_and_a_letter_for_each_line():
    lines = to_text(document_of(Figure(LOSS))).splitlines()
    rows = [line for line in lines if "│" in line or "┤" in line]
    assert len(rows) == 12
    assert rows[0].startswith("2.5 ┤")
    assert rows[-1].startswith("0.0 ┤")
    assert any("a" in row for row in rows)
    assert any("b" in row for row in rows)
    assert "a training   b validation" in lines
    assert any(line.strip() == "epoch" for line in lines)


def test_a_single_line_needs_no_letter_and_no_legend():
    text = to_text(document_of(Figure(LineChart("L", "x", "y", LOSS.series[:1]))))
    assert "training" not in text


def test_a_single_point_can_be_seen():
    text = to_text(document_of(Figure(LineChart("L", "x", "y", [Series("s", [1], [0.5])]))))
    assert any("\u2801" <= character <= "\u28ff" for character in text)


@given(st.lists(st.lists(ANY_VALUE, max_size=8), max_size=4), st.booleans(), st.integers(30, 100))
@settings(deadline=None, max_examples=50)
def test_any_values_make_a_chart_within_the_width(columns, log_y, width):
    series = [Series(f"s{i}", list(range(len(ys))), ys) for i, ys in enumerate(columns)]
    bars = Bars("Bars", [str(i) for i in range(len(series))], [(c.ys or [None])[0] for c in series])
    text = to_text(document_of(Figure(LineChart("L", "x", "y", series, log_y=log_y)), Figure(bars)), width)
    assert max(map(cell_len, text.splitlines())) <= width


def test_gaps_are_noted_below_a_chart():
    chart = LineChart("L", "epoch", "y", [Series("s", [1, 2], [1.0, math.nan])])
    assert "1 of 2 values (first at epoch 2) is missing" in to_text(document_of(Figure(chart)), 120)


def test_a_table_too_wide_for_the_terminal_continues_below_with_its_row_names():
    text = to_text(everything(), 80)
    rows = [line.split()[1:] for line in text.splitlines() if line.startswith("a 1")]
    assert len(rows) == 2
    assert [number for row in rows for number in row] == [str(number) for number in range(100, 126)]


def test_markup_and_escape_characters_in_names_are_only_text():
    text = to_text(document_of(Paragraph("[bold]not bold[/bold] \x1b[31m"), Table(["[red]"], [["[/red]"]])))
    assert "[bold]not bold[/bold]" in text
    assert "[red]" in text
    assert "[/red]" in text
    assert "\x1b" not in text


def test_colour_appears_on_a_terminal_and_not_with_no_color(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = printed(document_of(Figure(LOSS)), force_terminal=True, color_system="standard")
    assert "\x1b[36m" in coloured
    assert "\x1b[33m" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    plain = printed(document_of(Figure(LOSS)), force_terminal=True, color_system="standard")
    assert "\x1b[36m" not in plain
    assert "\x1b[33m" not in plain


def test_to_text_has_no_escape_codes_whatever_the_environment(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "33")
    assert "\x1b" not in to_text(everything())
    assert max(map(len, to_text(everything()).splitlines())) > 33


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_without_unicode_gets_the_document_in_ascii(encoding):
    stream = TextIOWrapper(BytesIO(), encoding=encoding)
    print_document(document_of(*everything().blocks, Paragraph("−1 × 10⁻³ λ")), Console(file=stream, width=80))
    stream.flush()
    text = stream.buffer.getvalue().decode("ascii")
    assert "-1 x 10-3 ?" in text
    assert "aa" in text
    assert "bb" in text
    assert "####" in text


def test_emphasis_is_bold_where_strong_and_faint_where_absent():
    table = Table(["", "x", "y"], [["a", 9, 0]], emphasis=[[None, 0.9, 0.0]])
    text = printed(document_of(table), force_terminal=True, color_system="standard", no_color=False)
    assert "\x1b[1m9" in text
    assert "\x1b[2m0" in text


def test_empty_blocks_are_printed_without_complaint():
    assert "No values to draw" in to_text(
        document_of(Facts([]), Table(["a"], []), Figure(LineChart("L", "x", "y", [])), Figure(Bars("B", [], [])))
    )


def test_a_canvas_draws_in_braille_dots():
    canvas = Canvas(2, 1)
    line = canvas.add_line()
    canvas.connect(line, (0, 3), (3, 0))
    assert list(canvas.rows_of_cells("a", braille=True)) == [[("⡠", 0), ("⠊", 0)]]
    assert list(canvas.rows_of_cells("a", braille=False)) == [[("a", 0), ("a", 0)]]


def test_words_in_a_table_do_not_break_where_another_column_can_wrap():
    table = Table(["name", "a long heading of words", "value"], [["two words", "x", "1.23456×10⁻¹⁴"]] * 2)
    lines = to_text(Document("t", "", [table]), 34).splitlines()
    assert all(len(line) <= 34 for line in lines)
    assert sum("1.23456×10⁻¹⁴" in line for line in lines) == 2
    assert any("heading" in line for line in lines)


@pytest.mark.parametrize("render", [to_text, to_html, to_markdown, to_latex])
def test_lines_of_a_program_keep_their_indentation(render):
    printed = render(Document("t", "", [Code("for x in y:\n    x < 1", "The change")]))
    assert "The change" in printed
    assert re.search(r"for x in y:\n *    x (<|&lt;) 1", printed)
