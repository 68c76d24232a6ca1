"""A document as one HTML file that needs nothing else: no script and no request; the font of formulas is in it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from itertools import groupby
from math import sqrt

from chainrule.report.document import (
    Alignment,
    Block,
    Cell,
    Code,
    Document,
    Facts,
    Figure,
    Formula,
    Heading,
    Math,
    Paragraph,
    Table,
    alignments,
)
from chainrule.report.markup import Markup, checked_mathml, element, text
from chainrule.report.points import notes
from chainrule.report.svg import to_svg
from chainrule.report.values import written, written_rows

# From this share of its row on, a shaded cell is bold as well: shade alone vanishes without colour.
STRONG = 0.5
DEEPEST_SHADE = 0.5
# From this number of columns on, a table is set smaller.
MANY_COLUMNS = 11

_PAGE = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:{font_source}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def to_html(document: Document) -> str:
    """The whole document as the text of one HTML file, to be written as UTF-8."""
    style = files("chainrule.report").joinpath("style.css").read_text("utf-8")
    with_formulas = any(map(_has_formulas, document.blocks))
    return _PAGE.format(
        language=text(document.language),
        title=text(document.title),
        style=_font_face() + style if with_formulas else style,
        font_source="; font-src data:" if with_formulas else "",
        body="\n".join([_header(document), *_body(document.blocks)]),
    )


def _header(document: Document) -> Markup:
    subtitle = [element("p", text(document.subtitle))] if document.subtitle else []
    return element("header", element("h1", text(document.title)), *subtitle)


def _body(blocks: Iterable[Block]) -> Iterator[Markup]:
    for kind, group in groupby(blocks, key=type):
        rendered = [_block(block) for block in group]
        if kind is Figure:
            yield element("div", *rendered, class_="figures")
        else:
            yield from rendered


def _block(block: Block) -> Markup:
    match block:
        case Heading():
            return element("h2", text(block.text))
        case Paragraph():
            return element("p", *[text(run) if isinstance(run, str) else _math(run) for run in block.runs])
        case Formula():
            return _formula(block)
        case Code():
            return _code(block)
        case Facts():
            return _facts(block)
        case Table():
            return _table(block)
        case Figure():
            return _figure(block)


def _has_formulas(block: Block) -> bool:
    match block:
        case Formula():
            return True
        case Paragraph():
            return not all(isinstance(run, str) for run in block.runs)
        case Table():
            return any(isinstance(cell, Math) for row in block.rows for cell in row)
    return False


def _font_face() -> str:
    font = b64encode(files("chainrule.report").joinpath("fonts", "stix-two-math.woff2").read_bytes()).decode()
    return (
        '@font-face { font-family: "STIX Two Math Embedded"; '
        f'src: url("data:font/woff2;base64,{font}") format("woff2"); }}\n'
    )


def _math(math: Math, *, display: bool = False) -> Markup:
    return checked_mathml(math.mathml(display=display))


def _formula(formula: Formula) -> Markup:
    title = [element("p", text(formula.title))] if formula.title else []
    label = [element("span", text(formula.label), class_="label")] if formula.label else []
    line = element(
        "div",
        _math(formula.math, display=True),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=formula.title or "Formula",
    )
    return element("div", *title, element("div", line, *label, class_="line"), class_="formula")


def _code(code: Code) -> Markup:
    title = [element("p", text(code.title))] if code.title else []
    lines = element("pre", element("code", text(code.text)), class_="scroll", tabindex="0", role="region",
                    aria_label=code.title or "Code")  # fmt: skip
    return element("div", *title, lines, class_="code")


def _facts(facts: Facts) -> Markup:
    lines = (
        part for name, value in facts.items for part in (element("dt", text(name)), element("dd", text(written(value))))
    )
    return element("dl", *lines)


def _figure(figure: Figure) -> Markup:
    sentences = [element("p", text(figure.caption))] if figure.caption else []
    sentences += [element("p", text(note), class_="note") for note in notes(figure.chart)]
    caption = [element("figcaption", *sentences)] if sentences else []
    return element("figure", element("h3", text(figure.chart.title)), to_svg(figure.chart), *caption)


def _table(table: Table) -> Markup:
    caption = [element("p", text(table.caption), class_="caption")] if table.caption else []
    # A table wider than the page scrolls, and its caption does not; a keyboard must reach it to scroll.
    scrolling = element(
        "div", _grid(table), class_="scroll", tabindex="0", role="region", aria_label=table.caption or "Table"
    )
    return element("div", *caption, scrolling, class_="table")


def _grid(table: Table) -> Markup:
    sides = alignments(table)
    names = [
        element("th", text(name), scope="col", class_=side) for name, side in zip(table.columns, sides, strict=True)
    ]
    shades = table.emphasis or [[None] * len(table.columns)] * len(table.rows)
    texts = written_rows(table)
    rows = [
        _row(list(map(_content, cells, line)), sides, shade)
        for cells, line, shade in zip(table.rows, texts, shades, strict=True)
    ]
    return element("table", element("thead", element("tr", *names)), element("tbody", *rows), class_=_kind(table))


def _kind(table: Table) -> str:
    return " ".join(
        name
        for name, holds in (
            ("matrix", table.emphasis is not None),
            ("many", len(table.columns) >= MANY_COLUMNS),
        )
        if holds
    )


def _content(cell: Cell, written_value: str) -> Markup:
    return _math(cell) if isinstance(cell, Math) else text(written_value)


def _row(cells: Sequence[Markup], sides: Sequence[Alignment], shades: Sequence[float | None]) -> Markup:
    name = element("th", cells[0], scope="row", class_=sides[0])
    return element("tr", name, *map(_cell, cells[1:], sides[1:], shades[1:]))


def _cell(content: Markup, side: Alignment, shade: float | None) -> Markup:
    if not shade:
        return element("td", content, class_=side)
    strong = " strong" if shade >= STRONG else ""
    return element("td", content, class_=f"{side} shaded{strong}", style=f"--opacity:{_opacity(shade):.2f}")


def _opacity(shade: float) -> float:
    """Grows with the root, so that a few mistakes among many hits can be seen as well."""
    return DEEPEST_SHADE * sqrt(shade)
