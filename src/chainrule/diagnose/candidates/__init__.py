"""The remedies that can be tried, one file for each family; `candidate.py` says what a remedy is.

`suggested` picks those that the findings call for: the mechanism decides, because opposite mends follow from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.diagnose.candidates import activation, data, initialisation, normalisation, residual, stepping
from chainrule.diagnose.candidates.candidate import Candidate
from chainrule.diagnose.causes.finding import Finding
from chainrule.nn.module import Module
from chainrule.optim.optimizer import Optimizer

__all__ = ["Candidate", "suggested"]

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


def suggested(
    findings: Sequence[Finding], model: Module, optimizer: Optimizer | None, batches: Sequence[Any]
) -> tuple[Candidate, ...]:
    """The candidates that the findings call for and that fit the model, each once."""
    families: dict[str, None] = {}
    for finding in findings:
        named = FAMILIES.get(finding.mechanism, ())
        if finding.cause == "non-finite" and finding.mechanism.startswith("made"):
            named = ("clipping", "rate")
        families.update(dict.fromkeys(named))
    found: list[Candidate] = []
    for family in families:
        for module in (initialisation, activation, normalisation, residual, stepping, data):
            found += module.candidates(family, model, optimizer, batches)
    return tuple({one.name: one for one in found}.values())
