"""What was said of the networks, in figures: precision, recall, false alarms, calibration.

A threshold of confidence is chosen on half A and everything is reported on half B.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from diagnosis_networks.answers import Said
from diagnosis_networks.draw import Network
from diagnosis_networks.faults import BY_NAME, Fault

GOAL = 0.9
BINS = 5  # of the calibration table


@dataclass(frozen=True)
class Outcome:
    """What one diagnosis said.

    Args:
        faults: the names of what was planted.
        said: the primary finding first.
        error: why there is no diagnosis at all.
    """

    name: str
    half: str
    faults: tuple[str, ...]
    said: tuple[Said, ...]
    seconds: float = 0.0
    error: str = ""

    @property
    def planted(self) -> tuple[Fault, ...]:
        return tuple(BY_NAME[name] for name in self.faults)

    def above(self, threshold: float) -> tuple[Said, ...]:
        """The findings that are sure enough."""
        return tuple(finding for finding in self.said if finding.confidence >= threshold)

    def is_right(self, finding: Said) -> bool:
        """Whether a finding names a planted fault, or what follows from one by necessity."""
        return any(finding.cause in fault.right for fault in self.planted)

    def primary_is_right(self, threshold: float = 0.0) -> bool:
        """Whether the first finding names a planted fault itself, not only what follows from it."""
        findings = self.above(threshold)
        return bool(findings) and any(findings[0].cause in fault.causes for fault in self.planted)

    def mechanism_is_right(self, threshold: float = 0.0) -> bool | None:
        """Whether the first finding says how its cause comes about; None if there is nothing to ask."""
        asked = [f for f in self.planted if f.mechanisms and self.primary_is_right(threshold)]
        first = self.above(threshold)[0] if asked else None
        asked = [f for f in asked if first is not None and first.cause in f.causes]
        return None if first is None or not asked else any(first.mechanisms & f.mechanisms for f in asked)

    def found(self, threshold: float = 0.0) -> int:
        """How many of the planted faults are named, in any place."""
        causes = {finding.cause for finding in self.above(threshold)}
        return sum(bool(causes & fault.causes) for fault in self.planted)

    def failed(self, threshold: float = 0.0) -> bool:
        """Whether it belongs in the list of failures."""
        wrong = any(not self.is_right(finding) for finding in self.above(threshold))
        missed = self.found(threshold) < len(self.faults)
        return bool(self.error) or wrong or missed or (bool(self.faults) and not self.primary_is_right(threshold))


def outcome(network: Network, said: tuple[Said, ...], seconds: float = 0.0, error: str = "") -> Outcome:
    """What was said of a network."""
    return Outcome(network.name, network.half, tuple(f.name for f in network.faults), said, seconds, error)


@dataclass(frozen=True)
class Figures:
    """The figures of one set of outcomes; shares in [0, 1], 0 where there is nothing to count.

    Args:
        primary: the share of faulty networks whose first finding is a planted cause.
        mechanism: of these, where it is asked, the share with the right mechanism.
        recall: the share of planted faults that are named in any place.
        precision: the share of findings, on healthy networks as well, that are right.
        primary_precision: the share of first findings that are a planted cause.
        false_alarms: healthy networks with a finding.
    """

    threshold: float
    faulty: int
    healthy: int
    primary: float
    mechanism: float
    recall: float
    precision: float
    primary_precision: float
    false_alarms: int
    errors: int

    @property
    def reached(self) -> bool:
        return min(self.primary, self.primary_precision, self.recall, self.precision) >= GOAL and not self.false_alarms


def figures(outcomes: Sequence[Outcome], threshold: float = 0.0) -> Figures:
    """Counts the findings of at least this confidence."""
    faulty = [o for o in outcomes if o.faults]
    healthy = [o for o in outcomes if not o.faults]
    findings = [(o, finding) for o in outcomes for finding in o.above(threshold)]
    mechanisms = [m for o in faulty if (m := o.mechanism_is_right(threshold)) is not None]
    primary = sum(o.primary_is_right(threshold) for o in faulty)
    return Figures(
        threshold,
        len(faulty),
        len(healthy),
        _share(primary, len(faulty)),
        _share(sum(mechanisms), len(mechanisms)),
        _share(sum(o.found(threshold) for o in faulty), sum(len(o.faults) for o in faulty)),
        _share(sum(o.is_right(finding) for o, finding in findings), len(findings)),
        _share(primary, sum(bool(o.above(threshold)) for o in outcomes)),
        sum(bool(o.above(threshold)) for o in healthy),
        sum(bool(o.error) for o in outcomes),
    )


def chosen_threshold(outcomes: Sequence[Outcome]) -> float:
    """The confidence that a finding must have, for the best F1 and the fewest false alarms; the lowest such one."""

    def value(threshold: float) -> float:
        f = figures(outcomes, threshold)
        f1 = 2 * f.precision * f.recall / (f.precision + f.recall) if f.precision and f.recall else 0.0
        return f1 - _share(f.false_alarms, f.healthy)

    candidates = sorted({0.0, *(round(finding.confidence, 2) for o in outcomes for finding in o.said)})
    return max(candidates, key=lambda threshold: (value(threshold), -threshold))


def halves(outcomes: Sequence[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    return [o for o in outcomes if o.half == "A"], [o for o in outcomes if o.half == "B"]


@dataclass(frozen=True)
class Bin:
    """Findings whose confidence lies between two bounds: how sure they are, and how often right."""

    low: float
    high: float
    findings: int
    confidence: float
    right: float


def calibration(outcomes: Sequence[Outcome]) -> list[Bin]:
    """The reliability table: confidence beside the share that is right (DeGroot and Fienberg 1983)."""
    table: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for o in outcomes:
        for finding in o.said:
            table[min(int(finding.confidence * BINS), BINS - 1)].append((finding.confidence, o.is_right(finding)))
    return [
        Bin(i / BINS, (i + 1) / BINS, len(row), sum(c for c, _ in row) / len(row), sum(r for _, r in row) / len(row))
        for i, row in enumerate(table)
        if row
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """The mean distance of confidence and share right, weighted by the findings (Guo et al. 2017, eq. 3)."""
    total = sum(b.findings for b in bins)
    return sum(b.findings * abs(b.confidence - b.right) for b in bins) / total if total else 0.0


def by_fault(outcomes: Sequence[Outcome], threshold: float) -> dict[str, dict[str, Any]]:
    """For every fault: how often it was planted and named, and what came first where it was not."""
    table: dict[str, dict[str, Any]] = {}
    for o in outcomes:
        causes = {finding.cause for finding in o.above(threshold)}
        for fault in o.planted:
            row = table.setdefault(fault.name, {"planted": 0, "named": 0, "instead": Counter()})
            row["planted"] += 1
            if causes & fault.causes:
                row["named"] += 1
            else:
                row["instead"][o.above(threshold)[0].cause if causes else o.error[:40] or "nothing"] += 1
    return dict(sorted(table.items()))


def report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything, as one object: the threshold of half A, the figures of half B, calibration, faults, failures."""
    a, b = halves(outcomes)
    threshold = chosen_threshold(a)
    final = figures(b, threshold)
    bins = calibration(b)
    return {
        "half A": asdict(figures(a, threshold)),
        "half B": asdict(final),
        "reached": final.reached,
        "calibration": [asdict(one) for one in bins],
        "calibration error": calibration_error(bins),
        "faults": {k: {**row, "instead": dict(row["instead"])} for k, row in by_fault(b, threshold).items()},
        "failures": [o.name for o in outcomes if o.failed(threshold)],
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
