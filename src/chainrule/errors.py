"""Every exception that chainrule raises, and the five parts their messages are made of.

Each class also derives from the class that PyTorch raises in that place, so that existing `except`
clauses keep working.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


class ChainruleError(Exception):
    """The base of all errors of this library.

    Args:
        what: the operation and what it wanted, in one line (`matmul(a, b): the inner sizes differ`).
        got: what came instead, one line for each argument (`a  (64, 784)  float32`).
        where: the user's line (`Classifier.forward, examples/digits.py:31`).
        mend: what to do, only where it follows from the facts.
    """

    def __init__(
        self,
        what: str,
        *,
        got: Iterable[str] = (),
        where: str | None = None,
        mend: str | None = None,
    ) -> None:
        self.what, self.got, self.where, self.mend = what, tuple(got), where, mend
        lines = [what, *(f"    {line}" for line in self.got)]
        if where is not None:
            lines.append(f"    in {where}")
        if mend is not None:
            lines.append(f"    {mend}")
        super().__init__("\n".join(lines))


class ShapeError(ChainruleError, RuntimeError):
    """Shapes that an operation cannot combine."""


class DTypeError(ChainruleError, RuntimeError):
    """An element type that an operation does not take (integers that require a gradient, complex numbers)."""


class ArgumentError(ChainruleError, ValueError, RuntimeError):
    """An argument outside its range: PyTorch's Python code raises ValueError for it, its C++ code RuntimeError."""


class ArgumentTypeError(ChainruleError, TypeError):
    """An argument of the wrong Python type."""


class IndexOutOfRangeError(ChainruleError, IndexError, RuntimeError):
    """An index, axis or class label outside its range: IndexError or, from PyTorch's kernels, RuntimeError."""


class GraphError(ChainruleError, RuntimeError):
    """A gradient that cannot be computed: nothing to differentiate, a graph already freed, a changed value."""


class InPlaceError(GraphError):
    """An in-place write that would make a gradient wrong."""


class UnsupportedError(ChainruleError, NotImplementedError):
    """Something that PyTorch has and chainrule does not (complex numbers, a CUDA device)."""


class TraceError(ChainruleError, RuntimeError):
    """Something that a compiled program cannot do, with the line where it was asked for."""


class IllegalGraphError(ChainruleError, AssertionError):
    """A compiler's graph that breaks a rule of graphs: our own mistake, found before it becomes a wrong number."""


class StateError(ChainruleError, RuntimeError):
    """A state dictionary or checkpoint that does not fit the object it is loaded into."""


class FileFormatError(ChainruleError, ValueError):
    """A file that is damaged, truncated or not of the format its name promises."""


class DataError(ChainruleError, ValueError):
    """Data that cannot be trained on: unknown columns, no rows, NaN, one class only."""


class CompileError(ChainruleError, RuntimeError):
    """A program that cannot be turned into machine code: text that LLVM refuses, a function that is nowhere."""


class UsageError(ChainruleError, ValueError):
    """A command line that asks for something contradictory or unknown."""


class MemberError(ChainruleError, AttributeError):
    """A member of a module that does not exist, is of another kind, or cannot be assigned yet."""


class MemberNameError(ChainruleError, KeyError):
    """A name that a member of a module cannot have: empty, with a dot, or taken."""

    __str__ = Exception.__str__  # KeyError would show the message quoted


class OutsideRangeError(ArgumentError, RuntimeError):
    """A number outside its range, where PyTorch raises a RuntimeError."""


class AssertedError(ArgumentError, AssertionError):
    """An argument that does not fit, where PyTorch has an assert."""


class LabelShapeError(ShapeError, ValueError):
    """Labels of another shape than the rows, where PyTorch raises a ValueError or a RuntimeError."""


class ResumeError(ArgumentError, KeyError):
    """A scheduler that is to resume (last_epoch >= 0) at an optimiser that was never scheduled."""

    __str__ = Exception.__str__


class NonFiniteLossError(ChainruleError, ArithmeticError):
    """A loss that became nan or infinite during training."""


class FileWriteError(ChainruleError, OSError):
    """A file that could not be written: a full disk, a folder without permission."""


class NotationError(ChainruleError, SyntaxError):
    """A formula or a derivation file that cannot be read, with the line and column, both from 1, of the fault."""

    def __init__(self, what: str, *, line: int, column: int, text: str = "", mend: str | None = None) -> None:
        excerpt = pointed_at(text, column) if text else []
        super().__init__(f"line {line}, column {column}: {what}", got=excerpt, mend=mend)
        self.line, self.column, self.reason = line, column, what


class GradcheckError(ChainruleError, RuntimeError):
    """A gradient that a check found wrong or could not decide; the message is the report, `findings` the result."""

    def __init__(self, what: str, *, findings: object) -> None:
        super().__init__(what)
        self.findings = findings


EXCERPT = 100
"""So many characters of a long line are shown."""


def pointed_at(text: str, column: int) -> list[str]:
    """A line of a text, cut where it is long, and below it a mark under one of its columns, counted from 1."""
    start = max(min(column - 1 - EXCERPT // 2, len(text) - EXCERPT), 0)
    shown = text[start : start + EXCERPT]
    before = "".join([_blank(letter) for letter in text[start : column - 1]])
    more = ("… " if start else "", " …" if start + EXCERPT < len(text) else "")
    return [f"{more[0]}{shown}{more[1]}", f"{' ' * len(more[0])}{before}^"]


def _blank(letter: str) -> str:
    """What is as wide as a letter and empty: two spaces for a Chinese one, none for an accent, a tab for a tab."""
    if letter == "\t":
        return letter
    if unicodedata.combining(letter):
        return ""
    return "  " if unicodedata.east_asian_width(letter) in "WF" else " "
