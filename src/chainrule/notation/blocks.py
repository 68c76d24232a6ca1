"""From boxes and prose to the blocks of a report."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.notation.boxes import Box
from chainrule.notation.mathml import mathml
from chainrule.notation.plain import plain
from chainrule.notation.prose import Prose
from chainrule.notation.tex import tex
from chainrule.report.document import Formula


@dataclass(frozen=True)
class Math:
    """A box as a report asks for it (`report.Math`): printed when the target is known."""

    box: Box

    def plain(self, width: int) -> str:
        """Unicode text, at most so wide where it can be broken."""
        return plain(self.box, width)

    def tex(self) -> str:
        """LaTeX for math mode."""
        return tex(self.box)

    def mathml(self, *, display: bool) -> str:
        """One `<math>` element."""
        return mathml(self.box, display=display)


def formula(box: Box, title: str = "", label: str = "") -> Formula:
    """A box on lines of its own."""
    return Formula(Math(box), title, label)


def text_of(prose: Prose) -> str:
    """A sentence as plain text on one line, as terminals, --json and messages have it."""
    return "".join([part if isinstance(part, str) else " ".join(plain(part, 10_000).split()) for part in prose])
