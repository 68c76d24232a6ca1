"""Boxes as LaTeX for math mode; it needs the packages amsmath and amssymb."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from chainrule.notation.boxes import (
    APPLY,
    TIMES,
    Box,
    Cases,
    Chain,
    Fenced,
    Fraction,
    Hat,
    Identifier,
    Limits,
    Matrix,
    Numeral,
    Operator,
    Root,
    Row,
    Scripts,
    Text,
    Word,
    row,
)
from chainrule.notation.plain import block
from chainrule.report.latex_text import LETTERS, SIGNS, escaped

__all__ = ["escaped", "is_tall", "tex"]

BRACKETS = {
    "{": r"\{", "}": r"\}", "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil", "‖": r"\|",
}  # fmt: skip
FUNCTIONS = frozenset(["exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "max", "min"])
"""The functions that have a command of their own."""


LINE = 68
"""So many cells of a terminal are about as wide as a line of an article at 10pt."""
LONGEST = 20 * LINE
"""What is longer is no formula to read, however it is broken."""


def tex(box: Box) -> str:
    """The box as LaTeX, without the dollar signs around it."""
    match box:
        case Identifier(text):
            return _letters(text)
        case Word(text):
            return _function(text)
        case Numeral(text):
            return text
        case Text(text):
            return rf"\text{{{escaped(text)}}}" if text else "{}"
        case Operator():
            return _sign(box)
        case Row(parts):
            return _row(parts)
        case Scripts():
            return _scripts(box)
        case Limits(base, below):
            return _limits(base, below)
        case Fraction(top, bottom):
            return rf"\frac{{{tex(top)}}}{{{tex(bottom)}}}"
        case Root(body):
            return rf"\sqrt{{{tex(body)}}}"
        case Fenced(body, left, right):
            return _fenced(tex(body), BRACKETS.get(left, left), BRACKETS.get(right, right), tall=is_tall(body))
        case Hat(base):
            return rf"\hat{{{tex(base)}}}"
        case Matrix(rows):
            return _lines("bmatrix", [" & ".join(map(tex, row)) for row in rows])
        case Cases(rows):
            return _lines("cases", [f"{tex(value)}, & {tex(condition)}" for value, condition in rows])
        case Chain():
            return _chain(box)
    raise TypeError(f"not a box: {box!r}")


def is_tall(box: Box) -> bool:
    """True for what needs brackets that grow: fractions, matrices, sums with an index."""
    match box:
        case Fraction() | Matrix() | Cases() | Chain() | Limits():
            return True
        case Row(parts):
            return any(map(is_tall, parts))
        case Scripts(base) | Hat(base):
            return is_tall(base)
        case Fenced(body) | Root(body):
            return is_tall(body)
    return False


def _letters(text: str) -> str:
    if text in LETTERS:
        return LETTERS[text]
    if not re.fullmatch(r"[A-Za-z0-9_.]+", text):  # of other scripts and signs a mathematical font has few
        return rf"\text{{{escaped(text)}}}"
    return text if len(text) == 1 and text.isalpha() else rf"\mathrm{{{escaped(text)}}}"


def _function(text: str) -> str:
    if text in FUNCTIONS:
        return "\\" + text
    return r"\operatorname{" + escaped(text).replace(" ", r"\,") + "}"


def _sign(operator: Operator) -> str:
    if operator in (TIMES, APPLY):
        return ""
    return SIGNS.get(operator.text, operator.text)


def _row(parts: tuple[Box, ...], write: Callable[[Box], str] = tex) -> str:
    """Side by side with spaces, which end commands; none after a sign of a number or before a comma."""
    written = ""
    for part in parts:
        text = write(part)
        tight = written == "-" or text == ","
        written += text if tight or not (written and text) else f" {text}"
    return written


def _scripts(box: Scripts) -> str:
    base = tex(box.base)
    if isinstance(box.base, Scripts | Row | Limits | Fraction):
        base = f"{{{base}}}"
    sub = "" if box.sub is None else f"_{{{tex(box.sub)}}}"
    if isinstance(box.sup, Operator) and box.sup.text == "′":
        return f"{base}{sub}'"
    return base + sub + ("" if box.sup is None else f"^{{{tex(box.sup)}}}")


def _limits(base: Box, below: Box) -> str:
    if isinstance(base, Operator) or (isinstance(base, Word) and base.text in FUNCTIONS):
        return f"{tex(base)}_{{{tex(below)}}}"
    return rf"\underset{{\,{tex(below)}\,}}{{{tex(base)}}}"


def _fenced(body: str, left: str, right: str, *, tall: bool) -> str:
    if tall:
        return rf"\left{left} {body} \right{right}"
    before, after = (" " if re.search("[A-Za-z|]$", bracket) else "" for bracket in (left, right))
    return f"{left}{before}{body}{after}{right}"


def _chain(chain: Chain) -> str:
    room = max(LINE - block(chain.left).width, LINE // 2)
    lines = [line for right in chain.rights for line in _side(right, room)]
    return _lines("aligned", [f"{tex(chain.left)} {lines[0]}", *lines[1:]])


def _side(right: Box, room: int) -> Iterator[str]:
    """The lines of one side of an equation: where it is wide, broken before the signs of its outermost sum."""
    if block(right).width > LONGEST:
        yield f"&= {tex(right)}"
        return
    head, *more = _in_lines(right, room)
    yield f"&= {_fitted(head, room)}"
    for line in more:
        yield rf"&\qquad {{}} {_fitted(line, room)}"


def _fitted(box: Box, room: int) -> str:
    """The box, with wide ones between its brackets and in its fractions broken too."""
    width = block(box).width
    if width <= room:
        return tex(box)
    match box:
        case Row(parts):
            return _row(parts, lambda part: _fitted(part, room - width + block(part).width))
        case Scripts(base, None, sup) if isinstance(base, Fenced) and sup is not None:
            return f"{_fitted(base, room)}^{{{tex(sup)}}}"
        case Fenced(body, left, right):
            inside, brackets = _stacked(body, room - 2), (BRACKETS.get(left, left), BRACKETS.get(right, right))
            return _fenced(inside, *brackets, tall=is_tall(body) or r"\begin" in inside)
        case Fraction(top, bottom):
            return rf"\frac{{{_stacked(top, room)}}}{{{_stacked(bottom, room)}}}"
    return tex(box)


def _stacked(box: Box, room: int) -> str:
    """Lines below each other inside of something."""
    head, *more = _in_lines(box, max(room, LINE // 3))
    if not more:
        return _fitted(head, room)
    return _lines("aligned", [f"& {_fitted(head, room)}", *[f"& {{}} {_fitted(line, room)}" for line in more]])


def _in_lines(box: Box, room: int) -> list[Box]:
    if not isinstance(box, Row) or block(box).width <= room:
        return [box]
    pieces: list[list[Box]] = [[]]
    for part in box.parts:
        if isinstance(part, Operator) and part.form == "infix" and part != TIMES and pieces[-1]:
            pieces.append([])
        pieces[-1].append(part)
    lines: list[list[Box]] = [[]]
    for piece in pieces:
        if lines[-1] and block(row(*lines[-1], *piece)).width > room:
            lines.append([])
        lines[-1] += piece
    return [row(*line) for line in lines]


def _lines(environment: str, lines: list[str]) -> str:
    return rf"\begin{{{environment}}} " + r" \\ ".join(lines) + rf" \end{{{environment}}}"
