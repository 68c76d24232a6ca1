"""Parameters that do not learn: unused (their module never ran), detached (it ran, no gradient came), or frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.diagnose.causes.finding import Finding

if TYPE_CHECKING:
    from chainrule.diagnose.diagnosis import Diagnosis, ParameterStatistics


def find(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """One finding for each of the three kinds that occurs."""
    lost = [one for one in diagnosis.parameters if one.gradient is None]
    kinds = {
        ("detached parameters", "no route to the loss"): [one for one in lost if one.has_run],
        ("unused parameters", "its module never ran"): [one for one in lost if not one.has_run],
        ("frozen parameters", "requires_grad is False"): [one for one in diagnosis.parameters if one.is_frozen],
    }
    of = len(diagnosis.parameters)
    return tuple([_finding(cause, how, ones, of) for (cause, how), ones in kinds.items() if ones])


def _finding(cause: str, mechanism: str, ones: list[ParameterStatistics], of: int) -> Finding:
    return Finding(cause, mechanism, ones[0].name, None, {"parameters": float(len(ones)), "of": float(of)})
