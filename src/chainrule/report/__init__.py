"""A report as data (`Document` and its blocks), and its renderings: HTML, terminal, Markdown, LaTeX."""

from chainrule.report.document import (
    Alignment,
    Bars,
    Block,
    Cell,
    Chart,
    Code,
    Document,
    Facts,
    Figure,
    Formula,
    Heading,
    HeatMap,
    Histograms,
    LineChart,
    Math,
    Paragraph,
    Series,
    Stack,
    StackedBars,
    Table,
    Value,
)
from chainrule.report.html import to_html
from chainrule.report.latex import to_latex
from chainrule.report.markdown import to_markdown
from chainrule.report.svg import to_svg
from chainrule.report.terminal import print_document, to_text

__all__ = [
    "Alignment",
    "Bars",
    "Block",
    "Cell",
    "Chart",
    "Code",
    "Document",
    "Facts",
    "Figure",
    "Formula",
    "Heading",
    "HeatMap",
    "Histograms",
    "LineChart",
    "Math",
    "Paragraph",
    "Series",
    "Stack",
    "StackedBars",
    "Table",
    "Value",
    "print_document",
    "to_html",
    "to_latex",
    "to_markdown",
    "to_svg",
    "to_text",
]
