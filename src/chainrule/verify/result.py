"""What a verification found: a verdict for each claim, with the mistake, the number that betrays it and the mend."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from chainrule.notation.source import source
from chainrule.verify.draws import Array
from chainrule.verify.judge import Note, Verdict
from chainrule.verify.mistakes.catalogue import Mistake
from chainrule.verify.mistakes.pattern import Pattern


@dataclass(frozen=True)
class FoundMistake:
    """A mistake of the catalogue that gives exactly what was claimed.

    Args:
        name: as in the catalogue (`docs/mistakes.md`): "activation for its derivative". Two together have both names,
            joined by " + ".
        mistakes: the entry of the catalogue, or both of them.
        place: the factor of the right formula at which it was made.
        formula: what the mistake makes of the right formula.
        also: other mistakes that give the same formula, or that cannot be told from it here (`told_apart` is False).
    """

    name: str
    mistakes: tuple[Mistake, ...]
    place: str
    formula: str
    also: tuple[FoundMistake, ...] = ()
    told_apart: bool = True

    def title(self, lang: str) -> str:
        """Its name in a language."""
        return " + ".join([mistake.title(lang) for mistake in self.mistakes])


@dataclass(frozen=True)
class ClaimResult:
    """One claim and what was found about it.

    Args:
        name: `dL/dz2`.
        verdict: right, wrong, consequence or undecided.
        text: the claim as written.
        line, column: where it stands, from 1; 0 where there is no text.
        correction: the right formula, in the notation of the claims.
        value, right_value: at the given point, the claimed and the right number; None where there is none.
        mistake: for a wrong claim that a known mistake explains.
        error: of a wrong claim, what its error looks like, whether or not a mistake fits.
        upstream: for a consequence, the name of the claim that it follows from.
        notes: what else there is to say.
        reason: for a claim that could not be computed, why.
    """

    name: str
    verdict: Verdict
    text: str
    line: int
    column: int
    correction: str
    value: Array | None = None
    right_value: Array | None = None
    mistake: FoundMistake | None = None
    error: Pattern | None = None
    upstream: str | None = None
    notes: tuple[Note, ...] = ()
    reason: str = ""

    @property
    def ratio(self) -> str | None:
        """claimed / right, where one quantity or number says it: `1/(1 - a3)`."""
        return None if self.error is None or self.error.ratio is None else source(self.error.ratio)

    @property
    def pattern(self) -> str:
        """What the error looks like, in a few words; empty where there is none."""
        return "" if self.error is None else self.error.text("en")

    def as_data(self) -> dict[str, Any]:
        """As JSON can hold it; the schema stands in docs/verify.md."""
        return {
            "claim": self.name,
            "verdict": self.verdict,
            "text": self.text,
            "line": self.line,
            "column": self.column,
            "correction": self.correction,
            "value": _listed(self.value),
            "right_value": _listed(self.right_value),
            "mistake": None
            if self.mistake is None
            else {
                "name": self.mistake.name,
                "place": self.mistake.place,
                "formula": self.mistake.formula,
                "also": [other.name for other in self.mistake.also],
                "told_apart": self.mistake.told_apart,
            },
            "ratio": self.ratio,
            "pattern": self.pattern,
            "upstream": self.upstream,
            "notes": list(self.notes),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class DerivationResult:
    """The verdicts on a derivation.

    Args:
        claims: one for each claim, in order.
        unused: givens that nothing uses, each with its line.
        redrawn: at how many redraws of the givens the claims were judged, beside the given data.
        varied: the givens written as numbers that were varied for it.
        title: the file, or what else was verified.
        order: the names of the claims in the order of the backward pass.
        loss: what the loss is called.
    """

    claims: tuple[ClaimResult, ...]
    unused: tuple[tuple[str, int], ...] = ()
    redrawn: int = 0
    varied: tuple[str, ...] = ()
    title: str = ""
    order: tuple[str, ...] = ()
    loss: str = "L"

    @property
    def ok(self) -> bool:
        """True if every claim is right."""
        return all(claim.verdict == "right" for claim in self.claims)

    @property
    def decided(self) -> bool:
        """False if a claim could not be decided."""
        return all(claim.verdict != "undecided" for claim in self.claims)

    @property
    def first_wrong(self) -> ClaimResult | None:
        """The first wrong claim in the order of the backward pass, whatever their order in the text."""
        wrong = {claim.name: claim for claim in reversed(self.claims) if claim.verdict == "wrong"}
        return next((wrong[name] for name in self.order if name in wrong), None)

    def __bool__(self) -> bool:
        return self.ok

    def to_json(self) -> str:
        """The result as JSON; the schema stands in docs/verify.md."""
        return json.dumps(self.as_data(), indent=2, ensure_ascii=False)

    def as_data(self) -> dict[str, Any]:
        first = self.first_wrong
        return {
            "title": self.title,
            "ok": self.ok,
            "first_wrong": None if first is None else first.name,
            "redrawn": self.redrawn,
            "varied": list(self.varied),
            "unused": [{"name": name, "line": line} for name, line in self.unused],
            "claims": [claim.as_data() for claim in self.claims],
        }

    def __str__(self) -> str:
        from chainrule.verify.report import printed  # the report reads results

        return printed(self)


def _listed(x: Array | None) -> Any:
    """Numbers as JSON knows them: what is not finite by its name."""
    if x is None:
        return None
    listed: Any = x.tolist()
    return _named(listed)


def _named(x: Any) -> Any:
    if isinstance(x, list):
        return [_named(one) for one in x]
    return x if x == x and abs(x) != float("inf") else str(x)
