"""Running text in lines of a terminal, in which a Chinese character takes two cells and may begin a line of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chainrule.notation.plain import cells

WIDE = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uff60"
CLOSING = "，。；：、！？）」』》"
"""Signs that no line begins with."""

_PIECE = re.compile(rf"\s+|[{WIDE}][{CLOSING}]*|[^\s{WIDE}]+[{CLOSING}]*")


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """The text in lines of at most so many cells, each with the indent; a longer word stands on a line of its own."""
    lines, line = [], ""
    for piece in _pieces(text):
        if line and cells(indent + line + piece.rstrip()) > width:
            lines.append(indent + line.rstrip())
            line = ""
        line += piece if line else piece.lstrip()
    return [*lines, indent + line.rstrip()] if line.strip() else lines


def _pieces(text: str) -> Iterator[str]:
    """What a line may be broken between: words, Chinese characters, spaces."""
    for found in _PIECE.finditer(text):
        yield " " if found[0].isspace() else found[0]
