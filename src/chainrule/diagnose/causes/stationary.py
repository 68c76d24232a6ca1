"""Stationary points: the gradient is small because there is nothing left to learn, not because it is lost on its way.

Two signs, both free of the gradient's own scale. Either the loss asks nothing of the output any more because it is met
(not because it is multiplied by a small number: that is `scale.loss`), or the samples of the batch cancel: with n rows
of independent sign rms(dW) is sqrt(n) rms(delta) rms(a), and it is far below in most layers.
"""

from __future__ import annotations

from math import inf, log, sqrt
from statistics import median
from typing import TYPE_CHECKING

from chainrule.diagnose.causes.finding import Finding
from chainrule.diagnose.causes.gain import symptom
from chainrule.diagnose.causes.scale import is_met

if TYPE_CHECKING:
    from chainrule.diagnose.diagnosis import Diagnosis

NOTHING_ASKED = 1e-3
CANCELLED = 0.02


def find(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """One finding where the parameters stand at a stationary point of the batches' loss."""
    ledger = diagnosis.ledger
    put_out = max([one.rms for one in diagnosis.outputs], default=0.0)
    wanted = max([1.0, *[one.rms for one in diagnosis.targets]])
    asked = ledger.output.rms * ledger.output.size / (min(put_out, wanted) or 1.0)
    if asked < NOTHING_ASKED and is_met(diagnosis) and symptom(diagnosis) != "exploding":
        evidence = {"rms(dL/d output) n / size of outputs": asked, "loss": ledger.loss}
        return (Finding("stationary point", "the loss is met", "", None, evidence, beyond(NOTHING_ASKED, asked)),)
    left = cancellation(diagnosis)
    if left is None or left > CANCELLED or symptom(diagnosis) is not None:
        return ()
    evidence = {"rms(dW) / (sqrt(n) rms(delta) rms(a))": left, "loss": ledger.loss}
    return (Finding("stationary point", "the samples cancel", "", None, evidence, beyond(CANCELLED, left)),)


def beyond(threshold: float, found: float) -> float:
    """By how many natural logarithms a number is below its threshold."""
    return log(threshold / found) if found > 0 else inf


def cancellation(diagnosis: Diagnosis) -> float | None:
    """rms(dW) over what it would be if samples had independent signs; the median over the layers, None without any."""
    rows = diagnosis.ledger.rows
    found = []
    for below, row in zip((None, *rows), rows, strict=False):
        a = below.a.rms if below is not None else max([one.rms for one in diagnosis.inputs], default=0.0)
        n = row.z.size / max(row.units, 1)
        expected = sqrt(n) * row.delta.rms * a
        # products of tiny numbers are 0 in float32: they say nothing about cancellation
        if row.counted and row.op in ("linear", "conv2d") and row.step is None and expected > 1e-25 and n > 1:
            found.append(row.dW.rms / expected)
    return median(found) if found else None
