"""Symmetric and constant initialisation: units that compute the same, get the same gradient, and stay the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.diagnose.causes.finding import Finding

if TYPE_CHECKING:
    from chainrule.diagnose.diagnosis import Diagnosis


def find(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """Weights with equal rows whose gradient has equal rows, too.

    A last layer of zeros, usual in residual branches, gets a gradient that tells its rows apart: no finding. Nor are
    equal rows alone below a layer that passes nothing on, unless the weights are all zero, too.
    """
    alike = [one for one in diagnosis.parameters if one.is_symmetric and one.has_symmetric_gradient]
    alike = [one for one in alike if one.gradient is not None and (one.weight.rms == 0 or not one.gradient.is_zero)]
    weights = [one for one in diagnosis.parameters if len(one.shape) > 1 and one.shape[0] > 1]
    equal = [one for one in weights if one.is_symmetric and not one.weight.is_zero]
    if 2 * len(equal) > len(weights):
        # gradients of equal units may differ by rounding, so that of most layers equal rows are enough
        alike = equal
    if not alike:
        return ()
    mechanism = "zero weights" if all(one.weight.is_zero for one in alike) else "equal rows"
    evidence = {"weights": float(len(alike)), "units": float(alike[0].shape[0]), "rms": alike[0].weight.rms}
    return (Finding("constant initialisation", mechanism, alike[0].name, None, evidence),)
