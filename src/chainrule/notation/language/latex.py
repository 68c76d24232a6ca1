r"""Claims in LaTeX, as textbooks write them for layered networks, to the syntax of the plain notation.

    \delta^{l} = (W^{l+1})^T \delta^{l+1} \odot \sigma'(z^{l})
    \frac{\partial L}{\partial W^{(l)}} = \delta^{(l)} (a^{(l-1)})^T

z, a, W, b and \delta carry a layer, as superscript, in parentheses or as subscript; `l` stands for every layer for
which all quantities of the claim exist, `L` for the last one. Factors side by side are a matrix product, or a product
with a scalar, and bind more tightly than \odot.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NoReturn

from chainrule.errors import NotationError
from chainrule.notation.language.builder import BESIDE
from chainrule.notation.language.parser import DEEPEST
from chainrule.notation.language.syntax import (
    Applied,
    Assignment,
    Binary,
    Literal,
    Name,
    Negative,
    Rate,
    Syntax,
    Transposed,
)  # fmt: skip
from chainrule.notation.language.tokens import Token

LAYERED = ("z", "a", "W", "b", "w", "delta")
PATTERN = re.compile(
    r"(?P<space>\s+|\\[,;:!]|~|&|\\\\$|\$)|(?P<command>\\[A-Za-z]+)|(?P<number>\d+(?:\.\d+)?)|(?P<letter>[^\W\d_])|(?P<operator>[-+*/=^_{}()'])"
)
TIMES = {"\\odot": "*", "\\circ": "*", "\\cdot": "*", "\\times": "*", "*": "*", "/": "/"}
TRANSPOSES = ("T", "\\top", "\\intercal", "\\mathsf", "\\mathrm", "\\prime")
FUNCTIONS = {
    "\\sigma": "sigmoid", "\\exp": "exp", "\\log": "log", "\\ln": "log", "\\tanh": "tanh", "\\sin": "sin",
    "\\cos": "cos", "\\max": "max", "\\sum": "sum",
}  # fmt: skip
SILENT = ("\\left", "\\right", "\\bigl", "\\bigr", "\\big", "\\Big", "\\displaystyle", "\\quad", "\\,")
LETTERS = {"\\delta": "delta", "\\ell": "l", "\\hat": "hat", "\\eta": "eta", "\\theta": "theta", "\\lambda": "lambda"}


@dataclass(frozen=True)
class Layers:
    """What the layer letters may mean: the quantities of a file, its loss and its last layer."""

    names: Collection[str]
    loss: str

    @property
    def last(self) -> int:
        numbers = [int(n[1:]) for n in self.names if n[0] == "z" and n[1:].isdecimal()]
        return max(numbers, default=0)

    def quantity(self, letter: str, layer: int) -> str | None:
        """The name of a quantity of a layer; the input is the activation below the first layer."""
        if letter == "delta":
            return f"delta{layer}" if f"z{layer}" in self.names else None
        if f"{letter}{layer}" in self.names:
            return f"{letter}{layer}"
        below_first = letter == "a" and f"z{layer}" not in self.names and f"z{layer + 1}" in self.names
        return "x" if below_first and "x" in self.names else None


class NoSuchLayer(Exception):
    """The claim says nothing for this value of l."""


def claims_of(text: str, line: int, layers: Layers) -> list[Assignment]:
    """The claims that one line of LaTeX makes: one, or one for each layer l.

    Raises:
        NotationError: for LaTeX that is not such a claim, or one for which no layer has all quantities.
    """
    general = re.search(r"(?<![A-Za-z\\])l(?![A-Za-z])", text) is not None
    found: list[Assignment] = []
    for layer in range(layers.last + 1) if general else [0]:
        try:
            one = _Reader(text, line, layers, layer).assignment()
            found += [one] if one not in found else []  # the l of \partial l is the loss, and the same in every layer
        except NoSuchLayer as missing:
            if not general:
                raise NotationError(str(missing), line=line, column=1, text=text) from None
    if not found:
        raise NotationError("no layer has all quantities of this claim", line=line, column=1, text=text)
    return found


class _Reader:
    """Reads one claim for one value of l."""

    def __init__(self, text: str, line: int, layers: Layers, layer: int) -> None:
        self.text, self.line, self.layers, self.layer = text, line, layers, layer
        self.tokens = list(self._tokens())
        self.place = 0
        self._depth = 0

    def assignment(self) -> Assignment:
        target = self._factor()
        if not isinstance(target, Name | Rate):
            self._fail("a claim starts with a derivative: \\delta^{l} or \\frac{\\partial L}{\\partial W^{l}}")
        self._take("=")
        formula = self._sum()
        if self.here.kind != "end":
            self._fail(f"{self.here} cannot stand here")
        return Assignment(target, formula)

    # ---- formulas ------------------------------------------------------------------------------------------

    def _sum(self) -> Syntax:
        left = self._signed()
        while self.here.text in ("+", "-"):
            at = self._next()
            left = Binary(at, left, self._product())
        return left

    def _signed(self) -> Syntax:
        if self.here.text == "-":
            return Negative(self._next(), self._product())
        return self._product()

    def _product(self) -> Syntax:
        left = self._beside()
        while self.here.text in TIMES:
            at = self._next()
            left = Binary(Token("operator", TIMES[at.text], at.line, at.column), left, self._beside())
        return left

    def _beside(self) -> Syntax:
        left = self._factor()
        while self.here.text == "(" or (
            self.here.kind in ("command", "number", "letter") and self.here.text not in TIMES
        ):
            at = Token("operator", BESIDE, self.here.line, self.here.column)
            left = Binary(at, left, self._factor())
        return left

    def _factor(self) -> Syntax:
        self._depth += 1
        if self._depth > DEEPEST:
            self._fail(f"the formula is nested more than {DEEPEST} deep")
        value = self._atom()
        while self.here.text == "^":
            value = self._raised(value)
        self._depth -= 1
        return value

    def _raised(self, value: Syntax) -> Syntax:
        at = self._next()
        grouped = self._skip("{")
        if self.here.text in TRANSPOSES:
            if self._next().text in ("\\mathsf", "\\mathrm"):
                inner = self._skip("{")
                self._take("T")
                if inner:
                    self._take("}")
            raised: Syntax = Transposed(at, value)
        elif self.here.kind == "number":
            raised = Binary(Token("operator", "**", at.line, at.column), value, Literal(self._next()))
        else:
            self._fail(f"{self.here} is neither a transpose nor a power")
        if grouped:
            self._take("}")
        return raised

    def _atom(self) -> Syntax:
        at = self.here
        if at.kind == "number":
            return Literal(self._next())
        if at.text in ("(", "{"):
            self._next()
            inside = self._sum()
            self._take(")" if at.text == "(" else "}")
            return inside
        if at.text in ("\\frac", "\\dfrac", "\\tfrac"):
            return self._fraction()
        if at.text == "\\partial":
            return self._rate(slash=True)
        if at.text == "\\operatorname" or at.text in ("\\mathrm", "\\text"):
            return self._function(self._word())
        if at.text in FUNCTIONS:
            self._next()
            return self._function(Token("name", FUNCTIONS[at.text], at.line, at.column))
        return self._quantity()

    def _fraction(self) -> Syntax:
        at = self._next()
        if self.tokens[self.place + 1].text in ("\\partial", "d", "\\mathrm"):
            return self._rate(slash=False)
        self._take("{")
        top = self._sum()
        self._take("}")
        self._take("{")
        bottom = self._sum()
        self._take("}")
        return Binary(Token("operator", "/", at.line, at.column), top, bottom)

    def _rate(self, slash: bool) -> Syntax:
        r"""\frac{\partial L}{\partial W^{l}} or \partial L / \partial W^{l}."""
        at = self.here
        names = []
        for part in (0, 1):
            if not slash:
                self._take("{")
            elif part:
                self._take("/")
            self._next()  # \partial or d
            names.append(self._name(upper=part == 0))
            if not slash:
                self._take("}")
        return Rate(at, names[0], names[1])

    def _function(self, name: Token) -> Syntax:
        prime = self._skip("'")
        if self.here.text != "(":
            self._fail(f"{name.text} needs its argument in parentheses")
        self._next()
        inside = self._sum()
        self._take(")")
        return Applied(name, (inside,), (), prime)

    def _word(self) -> Token:
        at = self._next()
        self._take("{")
        letters = []
        while self.here.text != "}":
            if self.here.kind == "end":
                self._fail("a brace is not closed")
            letters.append(self._next().text)
        self._take("}")
        return Token("name", "".join(letters), at.line, at.column)

    # ---- quantities ----------------------------------------------------------------------------------------

    def _quantity(self) -> Syntax:
        at = self.here
        name = self._name()
        value: Syntax = Name(Token("name", name, at.line, at.column))
        return Transposed(at, value) if self._transposed else value

    def _name(self, upper: bool = False) -> str:
        """A letter with its layer; a loss when `upper`. Notes a transpose that stands in the same superscript."""
        self._transposed = False
        at = self.here
        if at.kind not in ("letter", "command") or (at.kind == "command" and at.text not in LETTERS):
            self._fail(f"{at} is not a quantity")
        letter = LETTERS.get(self._next().text, at.text)
        if letter == "hat":
            self._take("{")
            letter = self._next().text + "hat"
            self._take("}")
        if upper and letter in (self.layers.loss, "L", "C", "J", "l", "E"):
            return self.layers.loss
        layer = self._layer() if letter in LAYERED else None
        if layer is None:
            if letter in self.layers.names or letter == "delta":
                return letter
            raise NoSuchLayer(f"no quantity is called '{letter}'")
        name = self.layers.quantity(letter, layer)
        if name is None:
            raise NoSuchLayer(f"no quantity is called '{letter}{layer}'")
        return name

    def _layer(self) -> int | None:
        """The layer in a super- or subscript: 2, l, l+1, (l-1), L; None where there is none."""
        following = self.tokens[min(self.place + 1, len(self.tokens) - 1)]
        if self.here.text not in ("^", "_") or following.text in TRANSPOSES:
            return None
        self._next()
        grouped = self._skip("{")
        inner = self._skip("(")
        if self.here.kind == "number":
            layer = int(self._next().text)
        elif self.here.text in ("l", "\\ell"):
            self._next()
            layer = self.layer
        elif self.here.text == "L":
            self._next()
            layer = self.layers.last
        else:
            self._fail(f"{self.here} is not a layer: 2, l, l+1, L")
        while grouped and self.here.text in ("+", "-"):
            sign = 1 if self._next().text == "+" else -1
            layer += sign * int(self._next().text)
        if inner:
            self._take(")")
        if grouped and self.here.text in TRANSPOSES:
            self._next()
            self._transposed = True
        if grouped:
            self._take("}")
        return layer

    # ---- tokens --------------------------------------------------------------------------------------------

    def _tokens(self) -> Iterator[Token]:
        at = 0
        while at < len(self.text):
            match = PATTERN.match(self.text, at)
            if match is None:
                raise NotationError(
                    f"'{self.text[at]}' has no meaning here", line=self.line, column=at + 1, text=self.text
                )
            if match.lastgroup != "space" and match.group() not in SILENT:
                yield Token(str(match.lastgroup), match.group(), self.line, at + 1)
            at = match.end()
        yield Token("end", "", self.line, len(self.text) + 1)

    @property
    def here(self) -> Token:
        return self.tokens[self.place]

    def _next(self) -> Token:
        token = self.here
        self.place += token.kind != "end"
        return token

    def _skip(self, text: str) -> bool:
        found = self.here.text == text
        self.place += found
        return found

    def _take(self, text: str) -> None:
        if not self._skip(text):
            self._fail(f"'{text}' is missing: {self.here} stands there")

    def _fail(self, what: str) -> NoReturn:
        raise NotationError(what, line=self.line, column=self.here.column, text=self.text)
