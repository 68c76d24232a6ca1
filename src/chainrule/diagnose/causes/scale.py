"""Scales: of the data, of the loss, and of the optimiser's next step beside the weights that it changes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import inf, isfinite, log, prod, sqrt
from statistics import median
from typing import TYPE_CHECKING

from chainrule.diagnose.causes.finding import Finding

if TYPE_CHECKING:
    from chainrule.diagnose.diagnosis import Diagnosis, ParameterStatistics
    from chainrule.diagnose.ledger import Ledger

LARGE, SMALL = 10.0, 0.05
LARGE_LOSS, SMALL_LOSS = 1e3, 1e-3
TOO_LARGE = "steps as large as the weights"
SCALE_FREE = frozenset(("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "Lion"))
"""Optimisers whose steps do not grow with the gradient: large ones are the rate's doing, whatever the gradient does."""

LARGE_STEP, SMALL_STEP = 0.25, 2e-4
"""Steps beside the weights. 1e-3 is usual (Karpathy 2015); the sound networks of the benchmark's draw `tuning` have
medians from 1e-3 to 0.07, and Adam's first steps reach 0.1 in wide layers."""
LARGE_IN_ALL, LARGE_WITHOUT_GROWTH = 1.5, 0.6
"""Their sum over the layers: to first order a step changes the output by that share."""
NORMALISED_SUM = frozenset((("add", "layer_norm"), ("add", "rms_norm")))
GROWN = -0.2
"""The log gain of a normalisation, on average, below which what it reads has grown."""
SMALL_DECREASE = 2e-3
"""The share of the loss that a step takes off at most: below it hundreds of steps are too few."""


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
            margin = log(x.rms / LARGE) if x.rms > LARGE else log(SMALL / largest)
            return (Finding("scale", mechanism, f"inputs[{k}]", None, evidence, margin),)
    return ()


def targets(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """Targets that the output would have to grow for."""
    if not diagnosis.outputs:
        return ()
    put_out = diagnosis.outputs[0].rms
    for k, y in enumerate(diagnosis.targets):
        far = y.rms / (LARGE * max(put_out, 1.0))
        if isfinite(put_out) and far > 1:
            evidence = {"rms of targets": y.rms, "rms of outputs": put_out}
            return (Finding("scale", "large targets", f"targets[{k}]", None, evidence, log(far)),)
    return ()


def loss(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """A loss whose derivative is far above what outputs and targets are, or far below though it is not met."""
    asked = diagnosis.ledger.output.rms
    usual = max([1.0, *[one.rms for one in (*diagnosis.outputs, *diagnosis.targets)]])
    evidence = {"rms(dL/d output)": asked, "loss": diagnosis.ledger.loss}
    if isfinite(asked) and asked >= LARGE_LOSS * usual:
        return (Finding("scale", "large loss", "", None, evidence, log(asked / (LARGE_LOSS * usual))),)
    of_all = asked * diagnosis.ledger.output.size
    if 0 < of_all < SMALL_LOSS * usual and not is_met(diagnosis):
        return (Finding("scale", "small loss", "", None, evidence, log(SMALL_LOSS * usual / of_all)),)
    return ()


MET = 0.03
"""How far the outputs still have to go, beside their size, where the loss is met; and how far probabilities."""


def is_met(diagnosis: Diagnosis) -> bool:
    """Whether a small loss is small because the outputs are right, not because it was multiplied by a small number.

    Outputs are as good as right if a change far below their own size would take the loss to 0, to first order: for a
    mean squared error that is half of their distance. A cross entropy (no targets, or such in [0, 1]) never gets there,
    but it is as small as exp(-r) only where the outputs differ by r.
    """
    ledger = diagnosis.ledger
    asked = ledger.output.rms * ledger.output.size
    if not diagnosis.outputs or not asked > 0:
        return True
    put_out = diagnosis.outputs[0]
    to_go = abs(ledger.loss) / asked
    classifies = all(one.low >= 0 and one.high <= 1 for one in diagnosis.targets)
    apart = put_out.high - put_out.low
    return to_go < MET * put_out.rms or (classifies and asked < MET and -log(asked) < 2 * apart)


def learning_rate(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """A next step that is as large as the weights, or too small to change them; not judged without an optimiser."""
    moved = [one for one in diagnosis.parameters if one.update_ratio is not None and one.gradient is not None]
    weights = [one for one in moved if len(one.shape) > 1 and one.weight.rms > 0]
    if not weights or not all(isfinite(step(one)) for one in moved):
        return ()
    ratios = {one.name: one.update_ratio or 0.0 for one in weights}
    largest = max(ratios, key=lambda name: ratios[name])
    depth = sum(row.step is None for row in diagnosis.ledger.rows)
    evidence = {
        "update / weight, median": median(ratios.values()),
        "update / weight, largest": ratios[largest],
        "layers": float(depth),
    }
    usual = median(full_steps(diagnosis, moved, weights))
    beyond = max(usual / LARGE_STEP, usual * depth / too_much_in_all(diagnosis.ledger))
    if beyond > 1:
        return (Finding("learning rate", TOO_LARGE, largest, None, evidence, log(beyond)),)
    decrease = largest_decrease(diagnosis, moved)
    below = max(ratios[largest] / SMALL_STEP, decrease / SMALL_DECREASE)
    if 0 < below < 1 and not is_met(diagnosis):
        evidence["decrease / loss, at most"] = decrease
        return (Finding("learning rate", "steps too small to matter", largest, None, evidence, -log(below)),)
    return ()


def step(one: ParameterStatistics) -> float:
    """The rms of the optimiser's next step in a parameter."""
    return (one.update_ratio or 0.0) * (one.weight.rms or 1.0)


def full_steps(
    diagnosis: Diagnosis, moved: Sequence[ParameterStatistics], weights: Sequence[ParameterStatistics]
) -> list[float]:
    """The steps of the weights beside their size.

    Those of optimisers without scale are the same for all parameters as soon as the gradient is above epsilon: the
    largest counts for all. Beside weights that are too small every step is large: what counts is the size that they
    should have, 1 / sqrt(fan_in) or more.
    """
    if diagnosis.optimizer not in SCALE_FREE:
        return [one.update_ratio or 0.0 for one in weights]
    largest = max(map(step, moved))
    return [largest / max(one.weight.rms, 1 / sqrt(prod(one.shape[1:]))) for one in weights]


def too_much_in_all(ledger: Ledger) -> float:
    """The steps beside the weights, summed over the layers, that are too much.

    Where each addition is normalised (post-LN) less is: the upper layers have large gradients from the first step on.
    Where the sum is left to grow and only branches are normalised (pre-LN), each normalisation divides the gradient by
    that growth, the upper layers' part of the sum is small, and large rates do no such harm (Xiong et al. 2020).
    """
    rows = [row for row in ledger.rows if any(pair in NORMALISED_SUM for pair in pairwise(row.between))]
    if not rows:
        return LARGE_IN_ALL
    gain = sum(row.log_gains.get("normalisation", 0.0) for row in rows) / len(rows)
    return LARGE_WITHOUT_GROWTH if gain > GROWN else inf


def largest_decrease(diagnosis: Diagnosis, moved: Sequence[ParameterStatistics]) -> float:
    """The share of the loss that a step can take off, to first order: sum n rms(dL/dp) rms(step) / |loss|.

    Cauchy and Schwarz: the product of the lengths is the most that -dL/dp . step can be.
    """
    whole = abs(diagnosis.ledger.loss)
    found = sum(prod(one.shape) * one.gradient.rms * step(one) for one in moved if one.gradient is not None)
    return found / whole if whole > 0 else inf


def is_the_rates_doing(diagnosis: Diagnosis, found: Sequence[Finding]) -> bool:
    """Whether steps are too large beside another finding, and the optimiser's do not grow with the gradient."""
    return diagnosis.optimizer in SCALE_FREE and any(one.mechanism == TOO_LARGE for one in found)
