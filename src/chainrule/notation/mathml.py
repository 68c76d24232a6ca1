"""Boxes as MathML Core, which browsers set without a script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import zip_longest

from chainrule.notation.boxes import (
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
)
from chainrule.report.values import printable

GAP = '<mspace width="0.2em"></mspace>'
"""Beside a size below a letter, so that those of neighbours do not touch."""
NAMESPACE = "http://www.w3.org/1998/Math/MathML"


def mathml(box: Box, *, display: bool = False) -> str:
    """The box as one well-formed `<math>` element.

    Args:
        box: what to set.
        display: on a line of its own, with large sums, rather than in running text.
    """
    block = ' display="block"' if display else ""
    return f'<math xmlns="{NAMESPACE}"{block}>{_element(box)}</math>'


def _element(box: Box) -> str:
    match box:
        case Identifier(text):
            return _tag("mi", _escaped(text))
        case Word(text):
            return _upright("mi", text)
        case Numeral(text):
            return _tag("mn", _escaped(text))
        case Text(text):
            return _tag("mtext", _escaped(text))
        case Operator():
            return _operator(box)
        case Row(parts):
            return _tag("mrow", *[_placed(part, following) for part, following in zip_longest(parts, parts[1:])])
        case Scripts(base, sub, sup):
            return _scripts(base, sub, sup)
        case Limits(base, below):
            gap = "" if isinstance(base, Operator | Word) else GAP
            return _tag("munder", _element(base), _tag("mrow", gap, _element(below), gap))
        case Fraction(top, bottom):
            return _tag("mfrac", _element(top), _element(bottom))
        case Root(body):
            return _tag("msqrt", _element(body))
        case Fenced(body, left, right):
            return _tag("mrow", _bracket(left, "prefix"), _element(body), _bracket(right, "postfix"))
        case Hat(base):
            return _tag("mover", _element(base), _tag("mo", "^", stretchy="false"), accent="true")
        case Matrix(rows):
            return _tag("mrow", _bracket("[", "prefix"), _table(rows), _bracket("]", "postfix"))
        case Cases(rows):
            return _tag("mrow", _bracket("{", "prefix"), _table(rows, "left", "left"))
        case Chain(left, rights):
            lefts = [left, *[Row(())] * (len(rights) - 1)]
            lines = [(a, Row((Operator("="), b))) for a, b in zip(lefts, rights, strict=True)]
            return _table(lines, "right", "left", displaystyle="true")
    raise TypeError(f"not a box: {box!r}")


def _placed(part: Box, following: Box | None) -> str:
    """A part of a row; between a factor and the name of a function there is more space than between letters."""
    if part == TIMES and isinstance(following, Word):
        return _tag("mo", _escaped(TIMES.text), lspace="0", rspace="0.22em")
    return _element(part)


def _scripts(base: Box, sub: Box | None, sup: Box | None) -> str:
    if isinstance(sup, Operator) and sup.text == "′" and sub is None:
        return _tag("mrow", _element(base), _operator(sup))  # the character is raised already
    parts = [_element(part) for part in (base, sub, sup) if part is not None]
    if sub is None or sup is None:
        return parts[0] if sub is sup else _tag("msub" if sup is None else "msup", *parts)
    return _tag("msubsup", *parts)


def _operator(operator: Operator) -> str:
    text = _escaped(operator.text)
    if operator == TIMES:
        return _tag("mo", text, lspace="0", rspace="0.12em")
    match operator.form:
        case "prefix":
            return _tag("mo", text, form="prefix")
        case "mark":
            return _tag("mo", text, lspace="0", rspace="0")
        case "comma":
            return _tag("mo", text, separator="true")
    return _tag("mo", text)


def _bracket(text: str, form: str) -> str:
    return _tag("mo", _escaped(text), form=form, fence="true", stretchy="true")


def _upright(tag: str, text: str) -> str:
    """One letter of `<mi>` would be set in italics."""
    return _tag(tag, _escaped(text), mathvariant="normal") if len(text) == 1 else _tag(tag, _escaped(text))


def _table(rows: Sequence[Sequence[Box]], *sides: str, **attributes: str) -> str:
    lines = []
    for row in rows:
        aligned = sides or ("right",) * len(row)
        cells = [_tag("mtd", _element(cell), style=_aligned(side)) for cell, side in zip(row, aligned, strict=True)]
        lines.append(_tag("mtr", *cells))
    return _tag("mtable", *lines, **attributes)


def _escaped(text: str) -> str:
    return escape(printable(text))


def _aligned(side: str) -> str:
    """Chromium centres the boxes in a cell unless told otherwise in its own words; others ignore those."""
    return f"text-align:{side};text-align:-webkit-{side}"


def _tag(name: str, *children: str, **attributes: str) -> str:
    written = "".join([f' {key}="{value}"' for key, value in attributes.items()])
    return f"<{name}{written}>{''.join(children)}</{name}>"
