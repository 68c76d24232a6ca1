"""Formulas as pieces of text: a piece knows how it is written and what part it plays, and nothing of its derivative.

A mistake is planted by replacing one piece of a claim by another one; `write` then gives the text, with parentheses
wherever `*`, `@`, `+` and `.T` meet, so that no reader needs to know which of them binds first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

# a name, a number, one derivative (dL/dz2 is a symbol, no division); calls and parentheses are found by `_closed`
_SYMBOL = re.compile(r"d[A-Z]/d\w+|[A-Za-z_]\w*|\d+(\.\d+)?")
_HEAD = re.compile(r"([A-Za-z_]\w*'?)?\(")


@dataclass(frozen=True)
class Piece:
    """A part of a formula.

    Args:
        form: "word", "times", "matmul", "plus", "negative", "turned" (.T), "over" (a quotient) or "call".
        parts: the pieces it is made of; none for a word.
        text: what a word says, or the function that a call names.
        role: the part it plays ("slope", "weight", "upstream", "previous", "mask", "batch sum" ...), by which
            mistakes find their places.
        about: what else the role needs: the activation, the names and the spelling of a slope.
        options: what follows the arguments of a call (`axis=1`).
    """

    form: str
    parts: tuple[Piece, ...] = ()
    text: str = ""
    role: str = ""
    about: tuple[str, ...] = ()
    options: str = ""

    def playing(self, role: str, *about: str) -> Piece:
        return replace(self, role=role, about=about)


def word(text: str, role: str = "", *about: str) -> Piece:
    return Piece("word", text=text, role=role, about=about)


def times(*factors: Piece, role: str = "") -> Piece:
    return factors[0] if len(factors) == 1 else Piece("times", factors, role=role)


def plus(*terms: Piece, role: str = "") -> Piece:
    return terms[0] if len(terms) == 1 else Piece("plus", terms, role=role)


def matmul(left: Piece, right: Piece, role: str = "") -> Piece:
    return Piece("matmul", (left, right), role=role)


def negative(piece: Piece) -> Piece:
    return piece.parts[0] if piece.form == "negative" else Piece("negative", (piece,))


def turned(piece: Piece) -> Piece:
    return piece.parts[0] if piece.form == "turned" else Piece("turned", (piece,))


def over(numerator: Piece, denominator: Piece, role: str = "") -> Piece:
    return Piece("over", (numerator, denominator), role=role)


def call(name: str, *arguments: Piece, options: str = "", role: str = "") -> Piece:
    return Piece("call", arguments, text=name, role=role, options=options)


def write(piece: Piece) -> str:
    """The text of a piece, in plain notation."""
    match piece.form:
        case "word":
            return piece.text
        case "times":
            first, *rest = _flat(piece.parts)
            # a leading "1/4 *" or "-" reads the same with and without parentheses
            head = write(first) if first.role == "coefficient" else _operand(first)
            return " * ".join([head, *map(_operand, rest)])
        case "matmul":
            return f"{_operand(piece.parts[0])} @ {_operand(piece.parts[1])}"
        case "over":
            return f"{_operand(piece.parts[0])} / {_operand(piece.parts[1])}"
        case "negative":
            return f"-{_operand(piece.parts[0])}"
        case "turned":
            return f"{_operand(piece.parts[0])}.T"
        case "call":
            arguments = [*map(write, piece.parts), *([piece.options] if piece.options else [])]
            return f"{piece.text}({', '.join(arguments)})"
        case "plus":
            text = write(piece.parts[0])
            for term in piece.parts[1:]:
                if term.form == "negative":
                    text += f" - {_operand(term.parts[0])}"
                else:
                    text += f" + {_operand(term) if term.form in ('plus', 'word') else write(term)}"
            return text
    raise AssertionError(piece.form)


def _flat(factors: tuple[Piece, ...]) -> list[Piece]:
    """g * (a * (1 - a)) is written g * a * (1 - a)."""
    nested = [part.parts if part.form == "times" and part.role == "slope" else (part,) for part in factors]
    return [factor for parts in nested for factor in parts]


def _operand(piece: Piece) -> str:
    text = write(piece)
    return text if piece.form == "turned" or is_atom(text) else f"({text})"


def is_atom(text: str) -> bool:
    """Whether a text is one symbol, one number, one call or one pair of parentheses."""
    if _SYMBOL.fullmatch(text):
        return True
    head = _HEAD.match(text)
    return head is not None and _closes_at_end(text, head.end())


def _closes_at_end(text: str, start: int) -> bool:
    depth = 1
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i == len(text) - 1
    return False


def places(piece: Piece) -> Iterator[tuple[Piece, Callable[[Piece], Piece]]]:
    """Every piece inside `piece`, itself first, each with the function that puts another one in its place."""
    yield piece, lambda new: new
    for i, part in enumerate(piece.parts):
        for inner, put in places(part):
            yield inner, _putter(piece, i, put)


def _putter(piece: Piece, i: int, put: Callable[[Piece], Piece]) -> Callable[[Piece], Piece]:
    return lambda new: replace(piece, parts=(*piece.parts[:i], put(new), *piece.parts[i + 1 :]))
