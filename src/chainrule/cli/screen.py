"""What standard output is: how wide, and whether it shows colours."""

from __future__ import annotations

import os
import shutil
import sys

NARROWEST = 40


def width(otherwise: int) -> int:
    """The columns of the terminal, no more than `otherwise`; that too where output goes into a file."""
    if not (sys.stdout.isatty() or "COLUMNS" in os.environ):
        return otherwise
    return min(max(shutil.get_terminal_size((otherwise, 24)).columns, NARROWEST), otherwise)


def in_colour() -> bool:
    """True for a terminal that was not asked to do without colours (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write(text: str) -> None:
    """The text on standard output, in ASCII where that cannot show it."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        from chainrule.report.terminal import in_ascii

        text = in_ascii(text)
    sys.stdout.write(text)


def write_document(text: str) -> None:
    """A page, a source or JSON on standard output: for other programs, so in UTF-8, whatever the terminal shows."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
