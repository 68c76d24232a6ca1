"""Vanishing and exploding: whether the gradient changes too much over the layers, and by which mechanism.

The ledger's sum is compared with what a well initialised network of the same widths would have. Weights of variance
1 / fan_in multiply delta by sqrt(fan_out / fan_in): that is geometry, no fault. A rectifier lets half of the units
through, log(1/2) / 2 in each layer, which He's initialisation gives back through the weights: that half is booked with
the weights. So He-ReLU and Xavier-tanh have nothing to explain, sigmoid's cap stands alone, and a too small
initialisation stands under the weights.

Sources: Glorot & Bengio 2010 (fans), He et al. 2015 (rectifiers), Pascanu et al. 2013 (recurrence).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf, isfinite, log
from typing import TYPE_CHECKING, Literal

from chainrule.diagnose.causes.finding import Finding
from chainrule.diagnose.ledger import Ledger, Row

if TYPE_CHECKING:
    from chainrule.diagnose.diagnosis import Diagnosis

TOO_MUCH = log(1000)
"""A factor of 1000 between first and last layer: no single step size serves both."""

HALF = 0.5 * log(2)
SMALLEST_SHARE = 0.1
RECTIFIERS = frozenset(
    ("relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "softplus", "hardswish")
)


TOO_MUCH_IN_TIME = 15.0
"""Over time steps more is usual: the gates of a healthy LSTM forget, and what is near stays in reach."""

TOO_MUCH_FORWARD = log(30)
"""How much larger than the inputs (or than 1) a well initialised network's outputs cannot be."""


def symptom(diagnosis: Diagnosis) -> Literal["vanishing", "exploding"] | None:
    """Whether the gradient vanishes or explodes, beyond what the widths alone do; None if neither."""
    end = diagnosis.ledger.ends_at
    change = excess(diagnosis.ledger)
    if end is not None and end.why == "non-finite":
        change = sum(contributions(diagnosis.ledger).values())
    allowed = too_much(diagnosis.ledger)
    if change < -allowed or (end is not None and end.why == "zero"):
        return "vanishing"
    return "exploding" if change > allowed else None


def too_much(ledger: Ledger) -> float:
    """The log gain that is too much: over layers, or, where most rows are time steps, over those."""
    return TOO_MUCH_IN_TIME if is_over_time(ledger) else TOO_MUCH


def is_over_time(ledger: Ledger) -> bool:
    """Whether most of the layers that count are one layer at many time steps."""
    rows = [row for row in ledger.rows if row.counted]
    return 2 * sum(row.step is not None for row in rows) > len(rows)


def excess(ledger: Ledger) -> float:
    """The total log gain, less what the widths alone make of it."""
    return ledger.total - sum(geometry(rows) for rows in pairwise(ledger.rows))


def geometry(rows: tuple[Row, Row]) -> float:
    """log sqrt(fan_out / fan_in) of the upper of two layers: what weights of variance 1 / fan_in do to delta."""
    row, upper = rows
    if not row.counted or not upper.fan_in or not upper.fan_out or "weights" not in row.log_gains:
        return 0.0
    if upper.step is not None:  # of the gates in one matrix the route passes one
        return 0.0
    return 0.5 * log(upper.fan_out / upper.fan_in)


def contributions(ledger: Ledger) -> dict[str, float]:
    """The excess, by mechanism: "weights", "cap", "saturation", "silence" and "rest"; they sum to it.

    Where the gradient ended, what the weights' size lets expect of the layers below is added to the weights.
    """
    found = dict.fromkeys(("weights", "cap", "saturation", "silence", "rest"), 0.0)
    for k, row in enumerate(ledger.rows):
        if not row.counted:
            found["weights"] += expected(row)
            continue
        parts = dict(row.log_gains)
        upper = ledger.rows[k + 1] if k + 1 < len(ledger.rows) else None
        cap, rest_of_slope = parts.pop("cap", 0.0), parts.pop("saturation", 0.0)
        rectified = bool(RECTIFIERS.intersection(row.between))
        given = min(max(-(cap + rest_of_slope), 0.0), HALF) if rectified else 0.0
        # a normalisation divides by what the weights multiplied with: only their sum says anything
        weights = parts.pop("weights", 0.0) + parts.pop("normalisation", 0.0)
        found["weights"] += weights - given - (geometry((row, upper)) if upper is not None else 0.0)
        if rectified:
            found["silence"] += cap + rest_of_slope + given
        else:
            found["cap"] += cap
            found["saturation"] += rest_of_slope
        found["rest"] += sum(parts.values())
    return found


def expected(row: Row) -> float:
    """log(rms(W) sqrt(fan_in)), the part of a layer's gain that its weights' size makes; less He's half of a rectifier.

    0 for what has no weight's size to judge: zeros, operators without a fan, numbers that are not finite.
    """
    if not row.fan_in or not 0 < row.weight.rms < inf:
        return 0.0
    return log(row.weight.rms) + 0.5 * log(row.fan_in) - (HALF if RECTIFIERS.intersection(row.between) else 0.0)


def shared(
    diagnosis: Diagnosis, alike: Sequence[Finding], silent: Sequence[Finding], flat: Sequence[Finding]
) -> list[Finding]:
    """The findings about gains and about units, with the shares of the total log gain that they explain.

    The share of a mechanism is its part of all that push in the symptom's direction. What is below a tenth, and what
    other routes add, is unexplained. Findings that explain nothing of it have no share.
    """
    found = [*alike, *silent, *flat]
    which = symptom(diagnosis)
    if which is None:
        return [*_over_time(diagnosis.ledger), *([] if found else _forward(diagnosis)), *found]
    ledger = diagnosis.ledger
    sign = -1 if which == "vanishing" else 1
    pushing = {name: sign * gain for name, gain in contributions(ledger).items() if sign * gain > 0}
    whole = sum(pushing.values())
    shares = {name: gain / whole for name, gain in pushing.items()} if whole > 1 else {}
    blocking = [*silent, *[one for one in flat if one.margin == inf]]
    explained: list[Finding] = []
    if alike:
        # equal rows add up coherently: gains of weights and flat activations are the symmetry's doing
        made = [shares.pop(name) for name in ("weights", "saturation") if name in shares]
        explained.append(replace(alike[0], share=sum(made) if made else None if shares else 1.0))
    elif blocking and not shares.keys() - {"rest"}:
        explained.append(replace(blocking[0], share=1.0))
    for name, share in shares.items():
        if share < SMALLEST_SHARE or name == "rest":
            continue
        owners = {"silence": silent, "saturation": flat}.get(name, ())
        if owners:
            explained.append(replace(owners[0], share=share))
        else:
            explained.append(_finding(diagnosis, which, name, share, pushing[name]))
    explained = merged(explained)
    if not explained:
        explained.append(_finding(diagnosis, which, "rest", None, abs(excess(ledger))))
    kept = [one for one in found if not any(one.cause == other.cause for other in explained)]
    return [*explained, *kept]


def merged(findings: Sequence[Finding]) -> list[Finding]:
    """The findings with those of one cause and mechanism made one: shares add up, the larger one's evidence stays."""
    found: dict[tuple[str, str], Finding] = {}
    for one in sorted(findings, key=lambda one: -(one.share or 0.0)):
        first = found.get((one.cause, one.mechanism))
        both = one if first is None else replace(first, share=(first.share or 0.0) + (one.share or 0.0) or None)
        found[one.cause, one.mechanism] = both
    return list(found.values())


def time_profile(ledger: Ledger) -> tuple[float, list[Row]]:
    """log rms(delta) at the first time step less that at the last, and the layer's rows; (0, []) without recurrence."""
    names = [row.name for row in ledger.rows if row.step is not None]
    if not names:
        return 0.0, []
    name = max(dict.fromkeys(names), key=names.count)
    rows = [row for row in ledger.rows if row.name == name and row.step is not None and row.counted]
    rows = [row for row in rows if isfinite(row.delta.log_rms)]
    # a layer that reads the whole sequence at once has a delta of all steps: it is no step
    rows = [row for row in rows if row.z.size == rows[-1].z.size]
    return (rows[0].delta.log_rms - rows[-1].delta.log_rms, rows) if len(rows) > 1 else (0.0, [])


def _over_time(ledger: Ledger) -> list[Finding]:
    """Whether the gradient is lost, or grows, from time step to time step, though parameters are reached by others."""
    change, rows = time_profile(ledger)
    if abs(change) < TOO_MUCH_IN_TIME:
        return []
    cause = "vanishing" if change < 0 else "exploding"
    steps = float(len(rows))
    evidence = {"log gain over the steps": change, "steps": steps, "log gain per step": change / steps}
    return [Finding(cause, "recurrence", rows[0].name, None, evidence, abs(change) - TOO_MUCH_IN_TIME)]


def _forward(diagnosis: Diagnosis) -> list[Finding]:
    """Whether the signal explodes on its way to the output: where only a part of the gradient's way is left, this is.

    The same weights multiply the signal forward and the gradient backward.
    """
    given = max([1.0, *[one.rms for one in diagnosis.inputs]])
    put_out = max([one.rms for one in diagnosis.outputs], default=0.0)
    if not (isfinite(put_out) and isfinite(given)) or put_out <= given:
        return []
    grown = log(put_out / given)
    if grown < TOO_MUCH_FORWARD:
        return []
    rows = diagnosis.ledger.rows
    evidence = {"log gain of the signal": grown, "layers": float(len(rows)), "rms of outputs": put_out}
    return [Finding("exploding", "large weights", rows[0].name, None, evidence, grown - TOO_MUCH_FORWARD)]


MECHANISMS = {
    "cap": "activation cap",
    "saturation": "flat activations",
    "silence": "inactive units",
    "rest": "other routes and operators",
}


def _finding(diagnosis: Diagnosis, which: str, name: str, share: float | None, size: float) -> Finding:
    rows = [row for row in diagnosis.ledger.rows if row.counted]
    if which == "exploding" and name == "silence":  # slopes above 1, as SELU has them, not silent units
        name = "cap"
    mechanism = MECHANISMS.get(name) or ("small weights" if which == "vanishing" else "large weights")
    if is_over_time(diagnosis.ledger) and name in ("weights", "saturation", "rest"):
        mechanism = "recurrence"
    evidence = {
        "log gain": diagnosis.ledger.total,
        "log gain of the mechanism": size if which == "exploding" else -size,
        "layers": float(len(rows)),
        "log gain per layer": (size if which == "exploding" else -size) / max(len(rows), 1),
    }
    end = diagnosis.ledger.ends_at
    where = end.name if end is not None else rows[0].name if rows else ""
    return Finding(which, mechanism, where, share, evidence, _margin(diagnosis.ledger) if share is not None else 0.0)


def _margin(ledger: Ledger) -> float:
    """How far the change is beyond what is too much; a gradient that ends at an exact 0 is as far as can be."""
    if ledger.ends_at is not None:
        return inf
    return max(abs(excess(ledger)) - too_much(ledger), 0.0)
