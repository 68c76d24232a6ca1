"""Points for a derivation: full marks for what is right, and for what only follows from an earlier slip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chainrule.errors import FileFormatError
from chainrule.notation.words import words
from chainrule.verify.report import plain
from chainrule.verify.result import ClaimResult, DerivationResult


@dataclass(frozen=True)
class Rubric:
    """What claims are worth.

    Args:
        points: by the name of the claim, `{"dL/dW2": 3}`, whatever a submission calls its loss. A claim that is listed
            and missing in a submission gets 0.
        default: what a claim is worth that is not listed. A rubric that lists claims has 0 here.
        partial: the share of its points that a wrong claim keeps if one known mistake explains it.
    """

    points: Mapping[str, float] = field(default_factory=dict)
    default: float = 1.0
    partial: float = 0.5

    def worth(self, claim: str) -> float:
        return self.points.get(claim, self.default)

    def for_loss(self, loss: str) -> Rubric:
        """The rubric for a submission that calls its loss that: dL/dW2 is dC/dW2 in it."""
        own = {f"d{loss}{name[2:]}" if name.startswith("dL/") else name: points for name, points in self.points.items()}
        return replace(self, points=own)

    @staticmethod
    def read(path: Path) -> Rubric:
        """A rubric file: `{"points": {"dL/dW2": 3}, "default": 0, "partial": 0.5}`, all of them optional.

        Raises:
            FileFormatError: for a file that is not that.
            OSError: for a file that cannot be opened.
        """
        try:
            data = json.loads(path.read_text("utf-8-sig"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise FileFormatError(f"{path} is not JSON", got=[str(error)]) from error
        known = {"points", "default", "partial"}
        if not isinstance(data, dict) or not set(data) <= known or not isinstance(data.get("points", {}), dict):
            raise FileFormatError(
                f'{path} is not a rubric: {{"points": {{"dL/dW2": 3}}, "default": 0, "partial": 0.5}}'
            )
        points = data.get("points", {})
        numbers = {**points, **{name: data[name] for name in ("default", "partial") if name in data}}
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise FileFormatError(f"{path}: '{name}' is worth a number, 0 or more", got=[repr(value)])
        return Rubric(points, data.get("default", 0.0 if points else 1.0), data.get("partial", 0.5))


@dataclass(frozen=True)
class Mark:
    """The points of one claim, and why they are not all of them."""

    claim: str
    got: float
    of: float
    reason: str


@dataclass(frozen=True)
class Grade:
    """The marks of one submission. `error` says why it could not be read; then it has none."""

    title: str
    marks: tuple[Mark, ...]
    error: str = ""

    @property
    def got(self) -> float:
        return sum(mark.got for mark in self.marks)

    @property
    def of(self) -> float:
        return sum(mark.of for mark in self.marks)

    def as_data(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "title": self.title,
            "got": self.got,
            "of": self.of,
            "error": self.error,
            "marks": [{"claim": m.claim, "got": m.got, "of": m.of, "reason": m.reason} for m in self.marks],
        }

    def printed(self, lang: str = "en") -> str:
        """The marks as text."""
        say = words(lang)
        if self.error:
            return f"{self.title}\n      {self.error}"
        lines = [f"{self.title}   {plain(say.points(_short(self.got), _short(self.of)))}"]
        lines += [f"  {_short(m.got)}/{_short(m.of)}  {m.claim}  {m.reason}".rstrip() for m in self.marks]
        return "\n".join(lines)


def graded(result: DerivationResult, rubric: Rubric, lang: str = "en") -> Grade:
    """The marks of a submission.

    A right claim gets its points, and so does a consequence: a slip costs points once. Where the rubric does not list
    the claim with the slip, it costs those of the first listed claim that follows from it. A wrong claim keeps the
    rubric's partial share if one known mistake explains it. What cannot be decided is not counted at all.
    """
    rubric = rubric.for_loss(result.loss)
    claims = {claim.name: claim for claim in reversed(result.claims)}
    names = dict.fromkeys([*[claim.name for claim in result.claims], *rubric.points])
    free = {name for name, claim in claims.items() if claim.verdict == "wrong" and not rubric.worth(name)}
    marks = []
    for name in names:
        claim = claims.get(name)
        slip = None if claim is None else _slip(claim, claims)
        if slip is not None and slip.name in free and rubric.worth(name):
            free.remove(slip.name)
            claim = slip
        marks.append(_mark(name, claim, rubric, lang))
    return Grade(result.title, tuple([mark for mark in marks if mark.of > 0]))


def _slip(claim: ClaimResult, claims: Mapping[str, ClaimResult]) -> ClaimResult | None:
    """The wrong claim that a consequence comes from; None if it is none."""
    found: ClaimResult | None = claim
    while found is not None and found.verdict == "consequence":
        found = claims.get(found.upstream or "")
    return found if found is not claim else None


def _mark(name: str, claim: ClaimResult | None, rubric: Rubric, lang: str) -> Mark:
    say, of = words(lang), rubric.worth(name)
    if claim is None:
        return Mark(name, 0.0, of, plain(say.not_claimed(name)))
    if claim.verdict == "right":
        return Mark(name, of, of, "")
    if claim.verdict == "consequence":
        return Mark(name, of, of, plain(say.counted_once(claim.upstream or "")))
    if claim.verdict == "undecided":
        return Mark(name, 0.0, 0.0, claim.reason)
    if claim.mistake is not None and " + " not in claim.mistake.name:
        return Mark(name, of * rubric.partial, of, plain(say.partial_credit(claim.mistake.title(lang))))
    return Mark(name, 0.0, of, plain(say.wrong(claim.name)))


def _short(x: float) -> str:
    return f"{x:g}"
