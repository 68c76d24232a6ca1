"""What `cr.verify.derivation` says of the drawn derivations: found at the right step, named rightly, false alarms.

Every derivation has its own random numbers, made from the seed and its index: the same whatever the number of jobs,
and one failure can be drawn again alone.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from localisation.derivations import Derivation, Planted, draw_correct, draw_planted

CORRECT, PLANTED = 0, 1
NO_NAME = "(no name)"
NOT_FOUND = "(step not found)"
GOALS = {"found": 0.99, "named": 0.95}


@dataclass(frozen=True)
class Named:
    """What one planted mistake was called."""

    kinds: tuple[str, ...]
    stranger: bool
    answer: str
    right: bool


@dataclass(frozen=True)
class Outcome:
    """The verdict on one derivation, beside what is true of it.

    Args:
        index, planted: which derivation: `drawn(seed, planted, index)`.
        found: the wrong claims are the planted ones, all and no others, and the first of them is named as such.
        alarms: the claims called wrong that are right.
        undecided: the claims called neither right nor wrong.
        names: what each planted mistake was called.
        error: why there is no verdict at all.
    """

    index: int
    planted: bool
    seconds: float
    found: bool
    alarms: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    names: tuple[Named, ...] = ()
    error: str = ""

    @property
    def failed(self) -> bool:
        return not self.found or bool(self.undecided) or not all(name.right for name in self.names)


def drawn(seed: int, planted: int, index: int) -> Derivation:
    """The derivation with this number: always the same one."""
    rng = np.random.default_rng([seed, planted, index])
    return draw_planted(rng) if planted else draw_correct(rng)


def measure(derivation: Derivation, index: int) -> Outcome:
    """The outcome of one call of `cr.verify.derivation`. An exception is an outcome too: nothing was found."""
    import chainrule.verify  # here, because the generator works without it

    start = time.perf_counter()
    try:
        result = chainrule.verify.derivation(text=derivation.text)
    except Exception as error:
        seconds = time.perf_counter() - start
        reason = f"{type(error).__name__}: {error}"
        return Outcome(index, bool(derivation.planted), seconds, found=False, names=_unnamed(derivation), error=reason)
    return score(derivation, result, index, time.perf_counter() - start)


def score(derivation: Derivation, result: Any, index: int, seconds: float) -> Outcome:
    """Compares a result (.claims, .first_wrong) with what was planted."""
    planted = {mistake.claim: mistake for mistake in derivation.planted}
    claims = {full_name(claim.name, derivation.loss): claim for claim in result.claims}
    wrong = {name for name, claim in claims.items() if claim.verdict == "wrong"}
    first = result.first_wrong
    first_is_right = (first is None and not planted) or (
        first is not None and full_name(first.name, derivation.loss) in derivation.first
    )
    undecided = tuple(name for name, claim in claims.items() if claim.verdict == "undecided")
    alarms = sorted(wrong - set(planted))
    if not planted:  # nothing can follow from a mistake where there is none
        alarms += [name for name, claim in claims.items() if claim.verdict == "consequence"]
    names = tuple(_name(mistake, claims.get(mistake.claim)) for mistake in derivation.planted)
    found = wrong == set(planted) and first_is_right and not alarms and len(claims) == len(derivation.claims)
    return Outcome(index, bool(planted), seconds, found, tuple(alarms), undecided, names)


def full_name(name: str, loss: str) -> str:
    """delta2 is dL/dz2."""
    return re.sub(r"^delta(\w+)$", rf"d{loss}/dz\1", name)


def _unnamed(derivation: Derivation) -> tuple[Named, ...]:
    return tuple(Named(m.kinds, m.stranger, NOT_FOUND, right=False) for m in derivation.planted)


def _name(planted: Planted, claim: Any) -> Named:
    if claim is None or claim.verdict != "wrong":
        return Named(planted.kinds, planted.stranger, NOT_FOUND, right=False)
    answer = NO_NAME if claim.mistake is None else str(claim.mistake.name)
    if planted.stranger:
        right = answer == NO_NAME or answer in planted.accepted
    else:
        right = answer in planted.accepted or (
            bool(planted.both) and all(any(name in answer for name in names) for names in planted.both)
        )
    return Named(planted.kinds, planted.stranger, answer, right)


# Summary ------------------------------------------------------------------------------------------------------------


@dataclass
class Summary:
    """All outcomes in figures; times in seconds."""

    derivations: int = 0
    found: int = 0
    mistakes: int = 0
    named: int = 0
    pairs: int = 0
    pairs_named: int = 0
    strangers: int = 0
    strangers_misnamed: int = 0
    correct: int = 0
    false_alarms: int = 0
    undecided_files: int = 0
    unread: int = 0
    seconds: list[float] = field(default_factory=list)
    confusion: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        self.seconds.append(outcome.seconds)
        self.undecided_files += bool(outcome.undecided)
        self.unread += bool(outcome.error)
        if not outcome.planted:
            self.correct += 1
            self.false_alarms += not outcome.found
            return
        self.derivations += 1
        self.found += outcome.found
        for name in outcome.names:
            self._add_name(name)

    def _add_name(self, name: Named) -> None:
        if name.stranger:
            self.strangers += 1
            self.strangers_misnamed += not name.right and name.answer != NOT_FOUND
        elif len(name.kinds) == 1:
            self.mistakes += 1
            self.named += name.right
        else:
            self.pairs += 1
            self.pairs_named += name.right
            return  # two kinds in one claim have no row of the table
        answer = "right" if name.right else name.answer
        self.confusion.setdefault(name.kinds[0], Counter())[answer] += 1

    @property
    def reached(self) -> bool:
        """Whether the goals hold: 99% found, 95% named (with two in one claim), no false alarm."""
        found = self.found >= GOALS["found"] * self.derivations
        named = self.named + self.pairs_named >= GOALS["named"] * (self.mistakes + self.pairs)
        return found and named and self.false_alarms == 0

    def to_dict(self) -> dict[str, Any]:
        counts = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        median, slowest = self._times()
        confusion = {kind: dict(answers.most_common()) for kind, answers in sorted(self.confusion.items())}
        return {**counts, "median_s": median, "p99_s": slowest, "reached": self.reached, "confusion": confusion}

    def _times(self) -> tuple[float, float]:
        if not self.seconds:
            return 0.0, 0.0
        return float(np.median(self.seconds)), float(np.quantile(self.seconds, 0.99))

    def __str__(self) -> str:
        median, slowest = self._times()
        named = self.named + self.pairs_named
        return "\n".join(
            [
                f"found at the right step     {_share(self.found, self.derivations)}   goal 99%",
                f"named rightly               {_share(named, self.mistakes + self.pairs)}   goal 95%",
                f"  two mistakes in one claim {_share(self.pairs_named, self.pairs)}",
                f"a wrong name for a stranger {_share(self.strangers_misnamed, self.strangers)}",
                f"false alarms                {_share(self.false_alarms, self.correct)}   goal 0",
                f"files with undecided claims {self.undecided_files}, without any verdict {self.unread}",
                f"time of a file              median {median * 1e3:.1f} ms, 99 of 100 under {slowest * 1e3:.1f} ms",
                "",
                *self._table(),
            ]
        )

    def _table(self) -> Iterable[str]:
        if self.confusion:
            yield f"{'planted':42} {'times':>5} {'right':>6}   what else it was called"
        for kind, answers in sorted(self.confusion.items()):
            others = ", ".join(f"{name} {n}" for name, n in answers.most_common() if name != "right")
            yield f"{kind:42} {answers.total():5} {answers['right'] / answers.total():6.1%}   {others}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:7.2%}  ({part} of {whole})" if whole else "   none drawn"


def report(derivation: Derivation, outcome: Outcome) -> str:
    """A failure as a text file: what was planted and what was said, as comments, and the derivation as it was read."""
    lines = [
        f"# planted: {p.claim}: {' and '.join(p.kinds)}; right names: {sorted(p.accepted)}" for p in derivation.planted
    ]
    lines += [f"# answer: {name.answer}, {'right' if name.right else 'wrong'}" for name in outcome.names]
    lines += [f"# {label}: {value}" for label, value in _complaints(outcome) if value]
    return "\n".join([*lines, derivation.text])


def _complaints(outcome: Outcome) -> list[tuple[str, str]]:
    return [
        ("called wrong, but right", ", ".join(outcome.alarms)),
        ("undecided", ", ".join(outcome.undecided)),
        ("no verdict", " ".join(outcome.error.split())),
        ("the first wrong step", "" if outcome.found else "not found"),
    ]
