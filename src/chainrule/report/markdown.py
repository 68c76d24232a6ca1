"""A document as Markdown, formulas between dollar signs as GitHub, Jupyter and pandoc read them."""

from __future__ import annotations

import re
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
from chainrule.report.terminal import block_text
from chainrule.report.values import printable, written, written_rows

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|$~])")
_RULES = {"left": ":--", "right": "--:", "center": ":-:"}


def to_markdown(document: Document) -> str:
    """The document as Markdown; charts are drawn with characters."""
    parts = [f"# {_text(document.title)}"]
    if document.subtitle:
        parts.append(_text(document.subtitle))
    for block in document.blocks:
        parts += _block(block)
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Heading():
            yield f"## {_text(block.text)}"
        case Paragraph():
            yield "".join([_text(run) if isinstance(run, str) else f"${run.tex()}$" for run in block.runs])
        case Formula():
            if block.title:
                yield _text(block.title)
            tag = rf" \tag{{{_tag(block.label)}}}" if block.label else ""
            yield f"$$\n{block.math.tex()}{tag}\n$$"
        case Code():
            if block.title:
                yield _text(block.title)
            yield f"```python\n{printable(block.text)}\n```"
        case Facts():
            yield "\n".join([f"- {_text(name)}: {_text(written(value))}" for name, value in block.items])
        case Table():
            yield from _table(block)
        case Figure():
            yield f"```text\n{block_text(block)}\n```"


def _table(table: Table) -> Iterator[str]:
    if table.caption:
        yield _text(table.caption)
    rows = [
        [_cell(cell, text) for cell, text in zip(cells, texts, strict=True)]
        for cells, texts in zip(table.rows, written_rows(table), strict=True)
    ]
    lines = [[_text(name) for name in table.columns], [_RULES[side] for side in alignments(table)], *rows]
    yield "\n".join([f"| {' | '.join(line)} |" for line in lines])


def _cell(cell: Cell, text: str) -> str:
    # a bar ends a cell even inside a formula
    if isinstance(cell, Math):
        return "$" + cell.tex().replace("|", r"\vert ") + "$"
    return _text(text).replace("\n", " ")


def _text(plain: str) -> str:
    return _SPECIAL.sub(r"\\\1", printable(plain))


def _tag(label: str) -> str:
    """A number as `\\tag` takes it, which sets the parentheses itself."""
    return label.removeprefix("(").removesuffix(")")
