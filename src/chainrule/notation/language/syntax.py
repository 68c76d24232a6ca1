"""What a formula says, before its names have a meaning: a tree of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from chainrule.notation.language.tokens import Token


@dataclass(frozen=True)
class Literal:
    """A number as written."""

    at: Token


@dataclass(frozen=True)
class Name:
    """A name as written: of a quantity."""

    at: Token


@dataclass(frozen=True)
class Rate:
    """dL/dz2: one symbol. `of` and `by` are the names after the d's."""

    at: Token
    of: str
    by: str


@dataclass(frozen=True)
class Negative:
    """-x."""

    at: Token
    operand: Syntax


@dataclass(frozen=True)
class Binary:
    """a + b; `at` is the operator."""

    at: Token
    left: Syntax
    right: Syntax


@dataclass(frozen=True)
class Transposed:
    """x.T."""

    at: Token
    operand: Syntax


@dataclass(frozen=True)
class Indexed:
    """x[0, 1:3]: integers, and (start, stop) pairs with None for what is open."""

    at: Token
    operand: Syntax
    places: tuple[int | tuple[int | None, int | None], ...]


@dataclass(frozen=True)
class Applied:
    """f(x, axis=1); `prime` for f'(x). The values of keywords are formulas or words."""

    at: Token
    arguments: tuple[Syntax, ...]
    keywords: tuple[tuple[Token, Syntax], ...]
    prime: bool = False


@dataclass(frozen=True)
class Listed:
    """[a, b] or [[a, b], [c, d]]."""

    at: Token
    items: tuple[Syntax, ...]


Syntax: TypeAlias = Literal | Name | Rate | Negative | Binary | Transposed | Indexed | Applied | Listed


@dataclass(frozen=True)
class Assignment:
    """`target = formula` on a line of its own."""

    target: Name | Rate | Indexed
    formula: Syntax

    @property
    def line(self) -> int:
        return self.target.at.line
