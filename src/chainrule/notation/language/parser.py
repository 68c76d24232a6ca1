"""Tokens to syntax, by recursive descent with Python's precedence. `@` and `*` bind alike, from left to right.

    assignment  = (name | rate) [index] "=" comparison
    comparison  = sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
    sum         = product {("+" | "-") product}
    product     = signed {("*" | "/" | "@") signed}
    signed      = ["-" | "+"] signed | power
    power       = postfix ["**" signed]
    postfix     = atom {".T" | index}
    atom        = number | rate | name ["'"] ["(" arguments ")"] | "(" comparison ")" | "[" items "]"
    rate        = "d" name "/" "d" name | "d(" name ")/d(" name ")"

A rate such as dL/dz2 is one symbol where both of its names are quantities of the text, or the second could be one.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from chainrule.notation.language.syntax import (
    Applied,
    Assignment,
    Binary,
    Indexed,
    Listed,
    Literal,
    Name,
    Negative,
    Rate,
    Syntax,
    Transposed,
)  # fmt: skip
from chainrule.notation.language.tokens import Source, Token

DEEPEST = 60
"""So deep formulas may be nested."""


class Parser:
    """Reads formulas from a list of tokens, from `place` on. `names` are the quantities defined so far."""

    def __init__(self, source: Source, tokens: list[Token], names: Container[str] = ()) -> None:
        self.source, self.tokens, self.names = source, tokens, names
        self.place = 0
        self._depth = 0

    # ---- statements ---------------------------------------------------------------------------------------

    def assignment(self) -> Assignment:
        """One line `name = formula`.

        Raises:
            NotationError: for what is not one.
        """
        start = self.here
        target = self._postfix()
        if not isinstance(target, Name | Rate | Indexed):
            raise self.source.error("a line says what it defines: name = formula", start)
        self.expect("=", f"'=' is missing after {start}")
        formula = self.comparison()
        self.end_of_line()
        return Assignment(target, formula)

    def end_of_line(self) -> None:
        if self.here.kind not in ("newline", "end"):
            raise self._unexpected()
        self.skip_lines()

    def skip_lines(self) -> None:
        """Go on to the next line that says something."""
        while self.here.kind == "newline":
            self.place += 1

    # ---- formulas ------------------------------------------------------------------------------------------

    def comparison(self) -> Syntax:
        """A formula."""
        left = self._sum()
        if self.here.text in ("<", "<=", ">", ">=", "==", "!="):
            at = self.take()
            left = Binary(at, left, self._sum())
        return left

    def _sum(self) -> Syntax:
        return self._left_to_right(("+", "-"), self._product)

    def _product(self) -> Syntax:
        return self._left_to_right(("*", "/", "@"), self._signed)

    def _left_to_right(self, operators: tuple[str, ...], operand: Callable[[], Syntax]) -> Syntax:
        left = operand()
        while self.here.kind == "operator" and self.here.text in operators:
            at = self.take()
            left = Binary(at, left, operand())
        return left

    def _signed(self) -> Syntax:
        if self.here.text == "-":
            at = self.take()
            return Negative(at, self._nested(self._signed))
        if self.here.text == "+":
            self.take()
            return self._nested(self._signed)
        return self._power()

    def _power(self) -> Syntax:
        base = self._postfix()
        if self.here.text == "^":
            raise self.source.error("a power is written x**2", self.here)
        if self.here.text == "**":
            at = self.take()
            return Binary(at, base, self._nested(self._signed))
        return base

    def _postfix(self) -> Syntax:
        value = self._nested(self._atom)
        while self.here.text in (".T", "["):
            if self.here.text == ".T":
                value = Transposed(self.take(), value)
            else:
                at = self.take()
                value = Indexed(at, value, self._places())
        return value

    def _atom(self) -> Syntax:
        at = self.here
        if at.kind == "number":
            return Literal(self.take())
        if at.kind == "name":
            return self._rate() or self._named()
        if at.text == "(":
            self.take()
            inside = self.comparison()
            self.expect(")", "a parenthesis is not closed", opened=at)
            return inside
        if at.text == "[":
            self.take()
            return Listed(at, self._items("]", at))
        raise self._unexpected()

    def _named(self) -> Syntax:
        at = self.take()
        prime = self.here.text == "'"
        if prime:
            self.take()
        if self.here.text != "(":
            if prime:
                raise self.source.error(f"{at.text}' is a function: say at which point, as in {at.text}'(z2)", at)
            return Name(at)
        opened = self.take()
        arguments: list[Syntax] = []
        keywords: list[tuple[Token, Syntax]] = []
        while self.here.text != ")":
            following = self.tokens[self.place + 1] if self.here.kind == "name" else self.here
            if following.text == "=":
                word = self.take()
                self.take()
                keywords.append((word, self.comparison()))
            else:
                if keywords:
                    raise self.source.error("arguments with a name come last", self.here)
                arguments.append(self.comparison())
            if self.here.text != ")":
                self.expect(",", f"the parenthesis after {at.text} is not closed", opened=opened)
        self.take()
        return Applied(at, tuple(arguments), tuple(keywords), prime)

    def _rate(self) -> Rate | None:
        """dL/dz2 or d(z2)/d(a1), if it stands here."""
        words = [t.text for t in self.tokens[self.place : self.place + 9]]
        at = self.here
        if len(words) > 8 and words[0] == "d" and [words[i] for i in (1, 3, 4, 5, 6, 8)] == [*"()/d()"]:
            self.place += 9
            return Rate(at, words[2], words[7])
        starts = len(words) > 2 and words[0][0] == "d" and words[1] == "/" and words[2][:1] == "d"
        if not starts or words[0] in self.names or len(words[0]) < 2 or len(words[2]) < 2:
            return None
        if words[2] in self.names and words[0][1:] not in self.names:
            return None
        self.place += 3
        return Rate(at, words[0][1:], words[2][1:])

    def _items(self, closing: str, opened: Token) -> tuple[Syntax, ...]:
        items: list[Syntax] = []
        while self.here.text != closing:
            items.append(self.comparison())
            if self.here.text != closing:
                self.expect(",", "a bracket is not closed", opened=opened)
        self.take()
        if not items:
            raise self.source.error("an empty list has no value", opened)
        return tuple(items)

    def _places(self) -> tuple[int | tuple[int | None, int | None], ...]:
        places: list[int | tuple[int | None, int | None]] = []
        while True:
            start = self._integer()
            if self.here.text == ":":
                self.take()
                places.append((start, self._integer()))
            elif start is None:
                raise self.source.error("an index is an integer, counted from 0, or a range such as 0:2", self.here)
            else:
                places.append(start)
            if self.here.text == "]":
                self.take()
                return tuple(places)
            self.expect(",", "the index is not closed")

    def _integer(self) -> int | None:
        sign = 1
        if self.here.text == "-":
            self.take()
            sign = -1
        if self.here.kind == "number" and self.here.text.isdecimal() and len(self.here.text) < 10:
            return sign * int(self.take().text)
        if sign < 0:
            raise self._unexpected()
        return None

    # ---- tokens --------------------------------------------------------------------------------------------

    @property
    def here(self) -> Token:
        """The token to be read next."""
        return self.tokens[self.place]

    def take(self) -> Token:
        token = self.here
        self.place += token.kind != "end"
        return token

    def expect(self, text: str, otherwise: str, opened: Token | None = None) -> Token:
        if self.here.text != text:
            what = otherwise if opened is not None else f"{otherwise}: {self.here} stands there"
            raise self.source.error(what, opened or self.here)
        return self.take()

    def _nested(self, part: Callable[[], Syntax]) -> Syntax:
        if self._depth == DEEPEST:
            raise self.source.error(f"the formula is nested more than {DEEPEST} deep", self.here)
        self._depth += 1
        try:
            return part()
        finally:
            self._depth -= 1

    def _unexpected(self) -> Exception:
        if self.here.text == "=":
            return self.source.error("'=' compares nothing: write == for a mask", self.here)
        return self.source.error(f"{self.here} cannot stand here", self.here, self._product_meant())

    def _product_meant(self) -> str | None:
        """What to do where two factors stand side by side, as on paper: 2x, W x, 2(a - b)."""
        before = self.tokens[self.place - 1] if self.place else self.here
        ends = before.kind in ("number", "name") or before.text in (")", "]", ".T")
        starts = self.here.kind in ("number", "name") or self.here.text == "("
        if not (ends and starts and before.line == self.here.line):
            return None
        return "Write a product as a * b, of matrices as A @ B."
