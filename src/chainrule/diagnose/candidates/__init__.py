"""The remedies that can be tried, one file for each family; `candidate.py` says what a remedy is.

`suggested` picks those that the findings call for: the mechanism decides, because opposite mends follow from it.
"""

from __future__ import annotations

from chainrule.diagnose.candidates import (
    activation,
    data,
    initialisation,
    normalisation,
    precision,
    recurrence,
    residual,
    rewriting,
    stepping,
)
from chainrule.diagnose.candidates.candidate import Candidate, Case
from chainrule.diagnose.causes.finding import Finding

__all__ = ["Candidate", "Case", "candidates", "families_for", "suggested"]

FAMILIES = {
    "activation cap": ("activation", "normalisation", "residual"),
    "small weights": ("initialisation", "normalisation", "residual"),
    "large weights": ("initialisation", "normalisation", "clipping"),
    "large sums": ("initialisation", "normalisation"),
    "flat activations": ("initialisation", "activation", "normalisation"),
    "inactive units": ("initialisation", "leaky", "normalisation"),
    "negative bias": ("bias", "initialisation", "leaky"),
    "no positive input": ("bias", "initialisation", "leaky", "normalisation"),
    "zero weights": ("initialisation",),
    "equal rows": ("initialisation",),
    "recurrence": ("recurrent", "clipping"),
    "large inputs": ("inputs",),
    "small inputs": ("inputs",),
    "large targets": ("targets",),
    "large loss": ("rate", "clipping"),
    "steps as large as the weights": ("rate", "warm-up", "clipping"),
    "steps too small to matter": ("faster",),
    "other routes and operators": ("normalisation", "clipping"),
    "in a parameter": ("initialisation",),
}
"""By mechanism, the families of remedies. What is missing has none: a stationary point, frozen or unused parameters."""

AGAINST = {"vanishing": frozenset(("clipping",))}
"""By cause, the families that make it worse: clipping only shortens."""

MODULES = (
    initialisation, activation, normalisation, residual, recurrence, stepping, data, rewriting, precision,
)  # fmt: skip

LOST = ("operand", "precision")
"""For numbers that stop being finite in an operator; what changes the steps comes too late for the first of them."""

EVERY = tuple(dict.fromkeys([*[family for families in FAMILIES.values() for family in families], *LOST]))


def families_for(finding: Finding) -> tuple[str, ...]:
    """The families of remedies that a finding calls for; () where none is known."""
    named = LOST if finding.mechanism.startswith("made") else FAMILIES.get(finding.mechanism, ())
    against = AGAINST.get(finding.cause, frozenset())
    return tuple([family for family in named if family not in against])


def suggested(case: Case) -> tuple[Candidate, ...]:
    """The candidates that the findings call for and that fit the model, each once."""
    families: dict[str, None] = {}
    for finding in case.diagnosis.findings:
        families.update(dict.fromkeys(families_for(finding)))
    if case.diagnosis.ledger.ends_at is not None and families:
        families["precision"] = None
    found = [one for family in families for one in candidates(family, case)]
    return tuple({one.name: one for one in found}.values())


def candidates(family: str, case: Case) -> list[Candidate]:
    """The candidates of one family that fit the model."""
    return [one for module in MODULES for one in module.candidates(family, case)]
