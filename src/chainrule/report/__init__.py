"""A report as data (`Document` and its blocks), and its renderings as an HTML file and for the terminal."""

from chainrule.report.document import (
    Alignment,
    Bars,
    Block,
    Chart,
    Document,
    Facts,
    Figure,
    Heading,
    LineChart,
    Paragraph,
    Series,
    Table,
    Value,
)
from chainrule.report.html import to_html
from chainrule.report.svg import to_svg
from chainrule.report.terminal import print_document, to_text

__all__ = [
    "Alignment",
    "Bars",
    "Block",
    "Chart",
    "Document",
    "Facts",
    "Figure",
    "Heading",
    "LineChart",
    "Paragraph",
    "Series",
    "Table",
    "Value",
    "print_document",
    "to_html",
    "to_svg",
    "to_text",
]
