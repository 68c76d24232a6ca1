"""Findings: what a diagnosis concludes, each with its mechanism, its place, its evidence and its share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainrule.diagnose.diagnosis import Diagnosis


@dataclass(frozen=True)
class Finding:
    """One cause, and what speaks for it.

    Args:
        cause: what it is: "vanishing", "exploding", "non-finite", ...
        mechanism: how it comes about: "the gradient underflowed to zero", ...
        where: the layer or parameter: "net.3".
        share: how much of the total log gain it explains, in [0, 1]; None where no gain is explained by it.
        evidence: the numbers, by name.
        confidence: the probability that the cause is the right one, in [0, 1].
    """

    cause: str
    mechanism: str
    where: str
    share: float | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    confidence: float = 1.0


def find(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """What a diagnosis shows: one finding for the place where gradients end, if they do."""
    end = diagnosis.ledger.ends_at
    if end is None:
        return ()
    cause, mechanism = {
        "zero": ("vanishing", "the gradient is exactly zero from here to the first layer"),
        "non-finite": ("non-finite", "the gradient is infinite or not a number from here on"),
    }[end.why]
    evidence = {"layer": float(end.number), "log gain until here": diagnosis.ledger.total}
    return (Finding(cause, mechanism, end.name, None, evidence),)
