"""A document as the source of a LaTeX article. It needs amsmath, amssymb, and ctex where the text is Chinese."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.report.document import (
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
from chainrule.report.latex_text import escaped
from chainrule.report.terminal import block_text
from chainrule.report.values import printable, written, written_rows

_SIDES = {"left": "l", "right": "r", "center": "c"}


def to_latex(document: Document) -> str:
    """The document as one file for pdflatex, or for xelatex in Chinese; charts are drawn with characters."""
    chinese = document.language.startswith("zh")
    lines = [
        rf"\documentclass{{{'ctexart' if chinese else 'article'}}}",
        r"\usepackage{amsmath,amssymb}",
        rf"\title{{{_text(document.title)}}}",
        rf"\author{{{_text(document.subtitle)}}}",
        r"\date{}",
        r"\begin{document}",
        r"\maketitle",
    ]
    for block in document.blocks:
        lines += ["", *_block(block)]
    return "\n".join([*lines, "", r"\end{document}", ""])


def _block(block: Block) -> Iterator[str]:
    match block:
        case Heading():
            yield rf"\section*{{{_text(block.text)}}}"
        case Paragraph():
            yield "".join([_text(run) if isinstance(run, str) else f"${run.tex()}$" for run in block.runs])
        case Formula():
            if block.title:
                yield _text(block.title)
            yield r"\begin{equation*}"
            yield block.math.tex() + (rf" \tag{{{_text(_bare(block.label))}}}" if block.label else "")
            yield r"\end{equation*}"
        case Code():
            if block.title:
                yield _text(block.title)
            yield r"\begin{verbatim}"
            yield printable(block.text).encode("ascii", "replace").decode()
            yield r"\end{verbatim}"
        case Facts():
            yield r"\begin{description}"
            yield from [rf"\item[{_text(name)}] {_text(written(value))}" for name, value in block.items]
            yield r"\end{description}"
        case Table():
            yield from _table(block)
        case Figure():
            yield r"\begin{verbatim}"
            yield block_text(block, braille=False).encode("ascii", "replace").decode()
            yield r"\end{verbatim}"


def _table(table: Table) -> Iterator[str]:
    if table.caption:
        yield _text(table.caption) + r"\par"
    yield rf"\noindent\begin{{tabular}}{{{''.join([_SIDES[side] for side in alignments(table)])}}}"
    yield " & ".join(map(_text, table.columns)) + r" \\ \hline"
    for cells, texts in zip(table.rows, written_rows(table), strict=True):
        yield " & ".join([_cell(cell, text) for cell, text in zip(cells, texts, strict=True)]) + r" \\"
    yield r"\end{tabular}"


def _cell(cell: Cell, text: str) -> str:
    return f"${cell.tex()}$" if isinstance(cell, Math) else _text(text)


def _text(plain: str) -> str:
    return escaped(printable(plain))


def _bare(label: str) -> str:
    """A number without its parentheses, which `\\tag` sets itself."""
    return label.removeprefix("(").removesuffix(")")
