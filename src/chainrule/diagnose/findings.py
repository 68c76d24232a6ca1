"""Findings: what a diagnosis concludes, each with its mechanism, its place, its evidence and its share.

The detectors stand in `causes/`, one file for each kind. Here they are asked in turn, and their answers put in order:
what makes the others meaningless first (numbers that are not finite), causes before what follows from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from chainrule.diagnose.causes import gain, nonfinite, parameters, scale, stationary, symmetry, units
from chainrule.diagnose.causes.confidence import confidence
from chainrule.diagnose.causes.finding import Finding

if TYPE_CHECKING:
    from chainrule.diagnose.diagnosis import Diagnosis

__all__ = ["Finding", "Verdict", "find", "verdict"]


@dataclass(frozen=True)
class Verdict:
    """What the findings come to.

    Args:
        findings: the most important first; () for a healthy network.
        symptom: whether the gradient vanishes or explodes from the output to the first layer; None if neither.
        unexplained: the share of the total log gain that no finding explains, in [0, 1]. With the findings' shares it
            sums to 1; None where there is no symptom to share.
    """

    findings: tuple[Finding, ...]
    symptom: Literal["vanishing", "exploding"] | None
    unexplained: float | None

    @property
    def is_healthy(self) -> bool:
        """True if nothing was found."""
        return not self.findings


def verdict(diagnosis: Diagnosis) -> Verdict:
    """What a diagnosis comes to.

    Example:
        >>> import chainrule as cr
        >>> from chainrule import nn
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
        >>> verdict(cr.diagnose.gradients(model, nn.MSELoss(), (cr.randn(8, 4), cr.randn(8, 1)))).is_healthy
        True
    """
    findings = find(diagnosis)
    shares = [one.share for one in findings if one.share is not None]
    return Verdict(findings, gain.symptom(diagnosis), max(1 - sum(shares), 0.0) if shares else None)


def find(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """All findings of a diagnosis, the most important first; () for a healthy network."""
    return tuple([replace(one, confidence=confidence(one)) for one in _found(diagnosis)])


def _found(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    lost = nonfinite.find(diagnosis)
    if lost:  # other statistics are means over numbers that are none
        grown = gain.shared(diagnosis, (), (), ()) if gain.symptom(diagnosis) == "exploding" else []
        return (*lost, *grown, *parameters.find(diagnosis), *scale.inputs(diagnosis))
    still = stationary.find(diagnosis)
    if still:
        return (*still, *parameters.find(diagnosis), *scale.inputs(diagnosis))
    alike = symmetry.find(diagnosis)
    silent = units.dead(diagnosis)
    flat = units.saturated(diagnosis)
    shared = gain.shared(diagnosis, alike, silent, flat)
    data = scale.find(diagnosis)
    rate = scale.learning_rate(diagnosis)
    if (shared or data) and not scale.is_the_rates_doing(diagnosis, rate):
        rate = ()  # steps follow the gradient: they are a consequence
    return (*_in_order(shared, data), *rate, *parameters.find(diagnosis))


def _in_order(shared: Sequence[Finding], data: Sequence[Finding]) -> list[Finding]:
    """Causes before what follows from them: the data that saturate, saturation, then by share; other scales last.

    Weights that saturate bounded units may well make the gradient grow: the units are what is wrong in the signal.
    """
    ranked = sorted(shared, key=lambda one: -(one.share or 0.0))
    mechanisms = {one.mechanism for one in shared if one.cause == "saturated"}
    if units.LARGE_INPUTS in mechanisms:
        return sorted([*data, *ranked], key=lambda one: one.mechanism != units.LARGE_INPUTS)
    if "large weights" in mechanisms:
        ranked.sort(key=lambda one: one.cause != "saturated")
    return [*ranked, *data]
