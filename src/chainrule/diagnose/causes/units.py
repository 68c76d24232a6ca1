"""Saturated and dead units: activations that pass no gradient on.

A unit that is silent on one batch is not dead. In deep healthy networks with rectifiers all inputs of a batch look
alike to the upper layers, and nearly half of the units are silent together. So a layer is reported where at least 4/5
of its units are silent: in all of several batches, or, of one batch only, with a margin: no z is positive at all, or
the layer is silent as a whole. The evidence says how many batches there were.
"""

from __future__ import annotations

from math import exp, inf, log
from typing import TYPE_CHECKING

from chainrule.diagnose.causes.finding import Finding
from chainrule.diagnose.causes.gain import RECTIFIERS
from chainrule.diagnose.ledger import Row

if TYPE_CHECKING:
    from chainrule.diagnose.diagnosis import Diagnosis

LARGE_INPUTS = "large inputs"
DEAD = 0.8
FLAT = -1.5
"""log of the root mean square slope over the cap, below which an activation is saturated: less than 22%."""


def dead(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """Layers of rectifiers whose units are silent."""
    batches = diagnosis.ledger.batches
    rows = [row for row in diagnosis.ledger.rows if row.slope is not None and len(row.silent) >= DEAD * row.units]
    # where z is nearly 0 everywhere no signal arrives: that is the weights' doing, not the units'
    rows = [row for row in rows if row.units > 1 and RECTIFIERS.intersection(row.between) and row.z.rms > 1e-20]
    if batches == 1:
        rows = [row for row in rows if len(row.silent) == row.units or row.z.high <= 0]
    if not rows:
        return ()
    worst = max(rows, key=lambda row: len(row.silent) / row.units)
    evidence = {
        "silent units": float(len(worst.silent)),
        "units": float(worst.units),
        "layers": float(len(rows)),
        "batches": float(batches),
        "largest z": worst.z.high,
    }
    by_bias = any(
        one.name == f"{worst.name}.bias" and one.weight.high < 0 and one.weight.rms > worst.weight.rms
        for one in diagnosis.parameters
    )
    mechanism = "negative bias" if by_bias else "no positive input"
    active = 1 - len(worst.silent) / worst.units
    margin = log((1 - DEAD) / active) if active > 0 else inf
    return (Finding("dead units", mechanism, worst.name, None, evidence, max(margin, 0.0)),)


def saturated(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """Layers whose bounded activation is flat where it was applied."""
    rows = [row for row in diagnosis.ledger.rows if _flatness(row) < FLAT]
    if not rows:
        return ()
    worst = min(rows, key=_flatness)
    given = max([one.rms for one in diagnosis.inputs], default=1.0)
    spread = worst.weight.rms * (worst.fan_in or 1) ** 0.5
    if worst.number == 1 and given > 3 * spread:
        mechanism = LARGE_INPUTS
    else:
        mechanism = "large weights" if spread > 1.5 else "large sums"
    evidence = {
        "slope over its cap": exp(_flatness(worst)),
        "rms of z": worst.z.rms,
        "layers": float(len(rows)),
        "rms of the weight times sqrt(fan in)": spread,
    }
    return (Finding("saturated", mechanism, worst.name, None, evidence, FLAT - _flatness(worst)),)


def _flatness(row: Row) -> float:
    """The log of an activation's root mean square slope over its cap, along delta; 0 for what cannot saturate.

    Where the slope is 0 everywhere the ledger ends, and books nothing: -inf.
    """
    if row.slope is None or RECTIFIERS.intersection(row.between) or "gate" in row.log_gains:
        return 0.0
    return -inf if row.slope.is_zero else row.log_gains.get("saturation", 0.0)
