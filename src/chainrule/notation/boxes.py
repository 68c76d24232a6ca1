"""A laid-out formula: a small tree of boxes, which `plain`, `tex` and `mathml` print.

Boxes hold Unicode characters; what a target calls them is the printer's business. Immutable, compared by content.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class Identifier:
    """A letter or a word that stands for a quantity: one letter is set in italics, a word upright."""

    text: str


@dataclass(frozen=True)
class Word:
    """The name of a function, upright: exp, softmax."""

    text: str


@dataclass(frozen=True)
class Numeral:
    """Digits, with a decimal point: 0.574. Its sign and its power of ten are boxes of their own."""

    text: str


@dataclass(frozen=True)
class Text:
    """Plain words inside a formula, upright, with their spaces."""

    text: str


@dataclass(frozen=True)
class Operator:
    """A sign. infix: space around it; prefix: none after it; mark: as tight as a letter (a prime, dots)."""

    text: str
    form: Literal["infix", "prefix", "mark", "comma"] = "infix"


@dataclass(frozen=True)
class Row:
    """Boxes side by side."""

    parts: tuple[Box, ...]


@dataclass(frozen=True)
class Scripts:
    """A base with a subscript, a superscript, or both."""

    base: Box
    sub: Box | None = None
    sup: Box | None = None


@dataclass(frozen=True)
class Limits:
    """A base with something below it: the index of a sum, the shape of a matrix."""

    base: Box
    below: Box


@dataclass(frozen=True)
class Fraction:
    """One box over another."""

    top: Box
    bottom: Box


@dataclass(frozen=True)
class Root:
    """A square root."""

    body: Box


@dataclass(frozen=True)
class Fenced:
    """A box between brackets, which grow with it."""

    body: Box
    left: str = "("
    right: str = ")"


@dataclass(frozen=True)
class Hat:
    """A base with a hat: an estimate."""

    base: Box


@dataclass(frozen=True)
class Matrix:
    """Rows of entries between square brackets."""

    rows: tuple[tuple[Box, ...], ...]


@dataclass(frozen=True)
class Cases:
    """Values with their conditions behind one brace; the last condition may be a Text such as "otherwise"."""

    rows: tuple[tuple[Box, Box], ...]


@dataclass(frozen=True)
class Chain:
    """One quantity and what it is equal to, step by step, the equality signs below each other."""

    left: Box
    rights: tuple[Box, ...]


Box: TypeAlias = (
    Identifier | Word | Numeral | Text | Operator | Row | Scripts | Limits | Fraction | Root | Fenced | Hat
    | Matrix | Cases | Chain
)  # fmt: skip

TIMES = Operator("\N{INVISIBLE TIMES}")
"""Between factors that stand side by side."""
APPLY = Operator("\N{FUNCTION APPLICATION}", "mark")
"""Between a function and its argument."""
COMMA = Operator(",", "comma")
MINUS = Operator("−", "prefix")
SLASH = Operator("/", "mark")


def row(*parts: Box) -> Box:
    """Boxes side by side; rows among them are laid open."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Row) else (part,))]
    return flat[0] if len(flat) == 1 else Row(tuple(flat))


def separated(parts: list[Box], separator: Box = COMMA) -> Box:
    """Boxes with a sign between each two."""
    spread: list[Box] = []
    for part in parts:
        spread += [separator, part] if spread else [part]
    return row(*spread)


def in_line(box: Box) -> Box:
    """A formula for running text: its outermost fractions with a slash, as far as that needs no parentheses."""
    match box:
        case Fraction(top, bottom) if _is_one_factor(top) and _is_one_factor(bottom):
            return row(top, SLASH, bottom)
        case Row(parts):
            return row(*[in_line(part) for part in parts])
        case Fenced(body, left, right):
            return Fenced(in_line(body), left, right)
    return box


def _is_one_factor(box: Box) -> bool:
    """True for what may stand beside a slash: dL, W2, 3; no sums and products."""
    signs = [part for part in box.parts if isinstance(part, Operator)] if isinstance(box, Row) else []
    return not isinstance(box, Fraction) and all(sign == APPLY for sign in signs)
