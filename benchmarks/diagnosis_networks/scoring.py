"""What was said of the networks, in figures: precision, recall, false alarms, calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from diagnosis_networks.answers import Said
from diagnosis_networks.draw import Network
from diagnosis_networks.faults import BY_NAME, Fault

GOAL = 0.9
EDGES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 1.0)  # of the calibration table's bins


@dataclass(frozen=True)
class Outcome:
    """What one diagnosis said.

    Args:
        faults: the names of what was planted.
        said: the primary finding first.
        error: why there is no diagnosis at all.
    """

    name: str
    faults: tuple[str, ...]
    said: tuple[Said, ...]
    seconds: float = 0.0
    error: str = ""

    @property
    def planted(self) -> tuple[Fault, ...]:
        return tuple(BY_NAME[name] for name in self.faults)

    def is_right(self, finding: Said) -> bool:
        """Whether a finding names a planted fault, or what follows from one by necessity."""
        return any(finding.cause in fault.right for fault in self.planted)

    def primary_is_right(self) -> bool:
        """Whether the first finding names a planted fault itself, not only what follows from it."""
        return bool(self.said) and any(self.said[0].cause in fault.causes for fault in self.planted)

    def mechanism_is_right(self) -> bool | None:
        """Whether the first finding says how its cause comes about; None if there is nothing to ask."""
        asked = [f for f in self.planted if f.mechanisms and self.said and self.said[0].cause in f.causes]
        return any(self.said[0].mechanisms & f.mechanisms for f in asked) if asked else None

    def found(self) -> int:
        """How many of the planted faults are named, in any place."""
        causes = {finding.cause for finding in self.said}
        return sum(bool(causes & fault.causes) for fault in self.planted)

    def failed(self) -> bool:
        """Whether it belongs in the list of failures."""
        wrong = any(not self.is_right(finding) for finding in self.said)
        missed = self.found() < len(self.faults)
        return bool(self.error) or wrong or missed or (bool(self.faults) and not self.primary_is_right())


def outcome(network: Network, said: tuple[Said, ...], seconds: float = 0.0, error: str = "") -> Outcome:
    """What was said of a network."""
    return Outcome(network.name, tuple(f.name for f in network.faults), said, seconds, error)


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


def figures(outcomes: Sequence[Outcome]) -> Figures:
    """Counts the findings."""
    faulty = [o for o in outcomes if o.faults]
    healthy = [o for o in outcomes if not o.faults]
    findings = [(o, finding) for o in outcomes for finding in o.said]
    mechanisms = [m for o in faulty if (m := o.mechanism_is_right()) is not None]
    primary = sum(o.primary_is_right() for o in faulty)
    return Figures(
        len(faulty),
        len(healthy),
        _share(primary, len(faulty)),
        _share(sum(mechanisms), len(mechanisms)),
        _share(sum(o.found() for o in faulty), sum(len(o.faults) for o in faulty)),
        _share(sum(o.is_right(finding) for o, finding in findings), len(findings)),
        _share(primary, sum(bool(o.said) for o in outcomes)),
        sum(bool(o.said) for o in healthy),
        sum(bool(o.error) for o in outcomes),
    )


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
    findings = [(finding.confidence, o.is_right(finding)) for o in outcomes for finding in o.said]
    table = []
    for low, high in pairwise(EDGES):
        row = [(c, right) for c, right in findings if low <= c < high or c == high == EDGES[-1]]
        if row:
            sure, right = (sum(column) / len(row) for column in zip(*row, strict=True))
            table.append(Bin(low, high, len(row), sure, right))
    return table


def calibration_error(bins: Sequence[Bin]) -> float:
    """The mean distance of confidence and share right, weighted by the findings (Guo et al. 2017, eq. 3)."""
    total = sum(b.findings for b in bins)
    return sum(b.findings * abs(b.confidence - b.right) for b in bins) / total if total else 0.0


def by_fault(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """For every fault: how often it was planted and named, and what came first where it was not."""
    table: dict[str, dict[str, Any]] = {}
    for o in outcomes:
        causes = {finding.cause for finding in o.said}
        for fault in o.planted:
            row = table.setdefault(fault.name, {"planted": 0, "named": 0, "instead": Counter()})
            row["planted"] += 1
            if causes & fault.causes:
                row["named"] += 1
            else:
                row["instead"][o.said[0].cause if causes else o.error[:40] or "nothing"] += 1
    return {name: {**row, "instead": dict(row["instead"])} for name, row in sorted(table.items())}


def report(outcomes: Sequence[Outcome], twins: Sequence[Outcome] = ()) -> dict[str, Any]:
    """Everything, as one object: figures, calibration, faults, failures.

    Args:
        outcomes: the networks that are counted.
        twins: the unharmed twins of the faulty ones. Their alarms are counted apart, their confidences with the others.
    """
    final = figures(outcomes)
    bins = calibration([*outcomes, *twins])
    return {
        "figures": asdict(final),
        "reached": final.reached,
        "twins": len(twins),
        "alarms on twins": sum(bool(o.said) for o in twins),
        "calibration": [asdict(one) for one in bins],
        "calibration error": calibration_error(bins),
        "faults": by_fault(outcomes),
        "failures": {o.name: summary(o) for o in (*outcomes, *twins) if o.failed()},
    }


def summary(outcome: Outcome) -> str:
    """In a line: what was planted and what was said."""
    planted = " and ".join(outcome.faults) or "nothing"
    return f"{planted}: said {', '.join(one.cause for one in outcome.said) or outcome.error or 'nothing'}"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
