"""A finding's words as the benchmark's words, in one table: the cause, and how it comes about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

CAUSES = (
    ("non-finite", ("non-finite", "nonfinite", "not finite", "nan")),
    ("learning rate", ("learning rate", "learning_rate")),
    ("saturated", ("saturat",)),
    ("dead", ("dead",)),
    ("constant", ("constant", "symmetr")),
    ("stationary", ("stationary", "converged")),
    ("detached", ("detached",)),
    ("unused", ("unused",)),
    ("frozen", ("frozen",)),
    ("vanishing", ("vanish",)),
    ("exploding", ("explod",)),
    ("scale", ("scale",)),
)
"""The first row with a part of the cause's name decides."""

MECHANISMS = (
    ("cap", ("cap",)),
    ("weights", ("weight", "initiali")),
    ("saturation", ("saturat",)),
    ("dead", ("dead", "inactive", "negative bias")),
    ("time", ("time", "recurren")),
)


@dataclass(frozen=True)
class Said:
    """One finding in the benchmark's words.

    Args:
        cause: a word of CAUSES, or what was said if it has none.
        mechanisms: the words of MECHANISMS that are in it.
        confidence: in [0, 1].
    """

    cause: str
    mechanisms: frozenset[str]
    confidence: float


def said(cause: str, mechanism: str = "", confidence: float = 1.0) -> Said:
    """What a finding says, translated."""
    text = cause.lower()
    words = [word for word, parts in CAUSES if any(part in text for part in parts)]
    how = frozenset(word for word, parts in MECHANISMS if any(part in mechanism.lower() for part in parts))
    return Said(words[0] if words else text, how, float(confidence))


def of_diagnosis(diagnosis: Any) -> tuple[Said, ...]:
    """What a Diagnosis says, its primary finding first."""
    findings = list(diagnosis.findings)
    if diagnosis.primary is not None:
        findings = [diagnosis.primary, *(f for f in findings if f is not diagnosis.primary)]
    return without_repeats(said(f.cause, f.mechanism, f.confidence) for f in findings)


def without_repeats(findings: Iterable[Said]) -> tuple[Said, ...]:
    """One finding per cause, the first: the same cause at three layers is one answer, right or wrong once."""
    first: dict[str, Said] = {}
    for finding in findings:
        first.setdefault(finding.cause, finding)
    return tuple(first.values())
