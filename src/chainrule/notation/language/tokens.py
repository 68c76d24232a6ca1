"""Text to tokens, each with its line and column. The letters of textbooks (δ, σ, ∂, ⊙, ᵀ) are read as their names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from chainrule.errors import NotationError

TEXTBOOK = {
    "δ": "delta", "Δ": "Delta", "σ": "sigma", "η": "eta", "α": "alpha", "λ": "lambda", "μ": "mu", "θ": "theta",
    "∂": "d", "⊙": "*", "∘": "*", "·": "*", "×": "*", "−": "-", "ᵀ": ".T", "′": "'", "’": "'",
    "≤": "<=", "≥": ">=", "≠": "!=", "½": "1/2",
}  # fmt: skip

ACCENTS = {"\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0307": "dot"}
"""What stands over a letter: ŷ is yhat, whether written as one character or as two."""

LONGEST = 100_000
"""So many tokens a file may have."""

PATTERN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)|(?P<newline>\n)
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<name>[^\W\d]\w*)|(?P<operator>\*\*|<=|>=|==|!=|\.T\b|[-+*/@()\[\],=<>'^:])""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """A piece of text: its kind (number, name, operator, newline, end), itself, and where it stands, from 1."""

    kind: str
    text: str
    line: int
    column: int

    def __str__(self) -> str:
        return {"newline": "the end of the line", "end": "the end of the text"}.get(self.kind, f"'{self.text}'")


@dataclass(frozen=True)
class Source:
    """A text with its lines, for messages that show where something is wrong."""

    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    def error(self, what: str, at: Token, mend: str | None = None) -> NotationError:
        """The error that points at a token."""
        lines = self.lines
        text = lines[at.line - 1].rstrip() if at.line <= len(lines) else ""
        return NotationError(what, line=at.line, column=at.column, text=text, mend=mend)


def tokens(source: Source) -> list[Token]:
    """The tokens of a text; line ends within brackets are left out.

    Raises:
        NotationError: for a character that the notation does not have, or a text of more than 100,000 tokens.
    """
    found: list[Token] = []
    depth = 0
    for token in _all(source):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
        if token.kind == "newline" and depth > 0:
            continue
        if len(found) == LONGEST:
            raise source.error(f"the text is longer than {LONGEST} symbols", token)
        found.append(token)
    return found


def _all(source: Source) -> Iterator[Token]:
    line = 1
    for line, written in enumerate(source.lines, start=1):
        at = 0
        spelled, columns = _spelled(written)
        while at < len(spelled):
            match = PATTERN.match(spelled, at)
            if match is None:
                here = Token("unknown", spelled[at], line, columns[at])
                raise source.error(f"'{spelled[at]}' has no meaning here", here)
            kind = str(match.lastgroup)
            if kind != "space":
                yield Token(kind, match.group(), line, columns[at])
            at = match.end()
        yield Token("newline", "", line, len(written) + 1)
    yield Token("end", "", line, len(source.lines[-1]) + 1)


def _spelled(written: str) -> tuple[str, list[int]]:
    """A line in plain letters, and the column in the text of each of them."""
    letters: list[str] = []
    columns: list[int] = []
    for column, letter in enumerate(written, start=1):
        plain = _plain(letter)
        letters.append(plain)
        columns += [column] * len(plain)
    return "".join(letters), columns


def _plain(letter: str) -> str:
    """A letter of a textbook, an accent, a subscript (z₂) or a character of full width （＝） as it is read."""
    if letter.isascii():
        return letter
    if letter in TEXTBOOK:
        return TEXTBOOK[letter]
    if letter in ACCENTS:
        return ACCENTS[letter]
    kind = unicodedata.decomposition(letter)
    if kind.startswith(("<wide>", "<sub>", "<noBreak>")):
        return unicodedata.normalize("NFKC", letter)
    base, *accents = list(unicodedata.normalize("NFD", letter))
    return base + "".join([ACCENTS[a] for a in accents]) if accents and all(a in ACCENTS for a in accents) else letter
