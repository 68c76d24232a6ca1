"""Scales: of the data, of the loss, and of the optimiser's next step beside the weights that it changes."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from statistics import median
from typing import TYPE_CHECKING

from chainrule.diagnose.causes.finding import Finding

if TYPE_CHECKING:
    from chainrule.diagnose.diagnosis import Diagnosis

LARGE, SMALL = 10.0, 0.05
LARGE_LOSS = 1e3
TOO_LARGE = "steps as large as the weights"
SCALE_FREE = frozenset(("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "Lion"))
"""Optimisers whose steps do not grow with the gradient: large ones are the rate's doing, whatever the gradient does."""

LARGE_STEP, SMALL_STEP = 0.25, 2e-5
LARGE_IN_ALL = 1.5
"""Steps beside the weights, and the sum over the layers: to first order a step changes the output by that share.
1e-3 is usual (Karpathy 2015); Adam's first ones reach 0.1 in wide layers."""


def find(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """What is out of scale in the data and in the loss."""
    return (*inputs(diagnosis), *targets(diagnosis), *loss(diagnosis))


def inputs(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """Inputs far from size 1. One-hot rows are not small: their largest element is 1."""
    for k, x in enumerate(diagnosis.inputs):
        largest = max(abs(x.low), abs(x.high))
        if isfinite(x.rms) and (x.rms > LARGE or 0 < largest < SMALL):
            evidence = {"rms": x.rms, "smallest": x.low, "largest": x.high}
            mechanism = "large inputs" if x.rms > LARGE else "small inputs"
            return (Finding("scale", mechanism, f"inputs[{k}]", None, evidence, 0.9),)
    return ()


def targets(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """Targets that the output would have to grow for."""
    if not diagnosis.outputs:
        return ()
    put_out = diagnosis.outputs[0].rms
    for k, y in enumerate(diagnosis.targets):
        if isfinite(put_out) and y.rms > LARGE * max(put_out, 1.0):
            return (
                Finding(
                    "scale",
                    "large targets",
                    f"targets[{k}]",
                    None,
                    {"rms of targets": y.rms, "rms of outputs": put_out},
                    0.85,
                ),
            )
    return ()


def loss(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """A loss whose derivative is far above what outputs and targets are."""
    asked = diagnosis.ledger.output.rms
    usual = max([1.0, *[one.rms for one in (*diagnosis.outputs, *diagnosis.targets)]])
    if not isfinite(asked) or asked < LARGE_LOSS * usual:
        return ()
    evidence = {"rms(dL/d output)": asked, "loss": diagnosis.ledger.loss}
    return (Finding("scale", "large loss", "", None, evidence, 0.8),)


def learning_rate(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """A next step that is as large as the weights, or too small to change them; not judged without an optimiser."""
    ratios = {
        one.name: one.update_ratio
        for one in diagnosis.parameters
        if one.update_ratio is not None and len(one.shape) > 1 and one.weight.rms > 0
    }
    if not ratios or not all(isfinite(ratio) for ratio in ratios.values()):
        return ()
    middle = median(ratios.values())
    largest = max(ratios, key=lambda name: ratios[name])
    depth = sum(row.step is None for row in diagnosis.ledger.rows)
    evidence = {"update / weight, median": middle, "update / weight, largest": ratios[largest], "layers": float(depth)}
    if middle > LARGE_STEP or middle * depth > LARGE_IN_ALL:
        return (Finding("learning rate", TOO_LARGE, largest, None, evidence, 0.9),)
    if 0 < ratios[largest] < SMALL_STEP:
        return (Finding("learning rate", "steps too small to matter", largest, None, evidence, 0.7),)
    return ()


def is_the_rates_doing(diagnosis: Diagnosis, found: Sequence[Finding]) -> bool:
    """Whether steps are too large beside another finding, and the optimiser's do not grow with the gradient."""
    return diagnosis.optimizer in SCALE_FREE and any(one.mechanism == TOO_LARGE for one in found)
