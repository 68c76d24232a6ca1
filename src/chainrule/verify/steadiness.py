"""Whether a function and its gradient give the same numbers at each call, and for an upstream gradient with strides."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from chainrule.verify.blackbox import BlackBox, joined
from chainrule.verify.differences import Array
from chainrule.verify.findings import InputFinding, Pattern, Verdict


def unsteady(box: BlackBox, outputs: Sequence[Array], nondet_tol: float) -> str:
    """How two calls at the same inputs differ; empty if they do not."""
    again = box.value(box.point)
    if [y.shape for y in outputs] != [y.shape for y in again]:
        return "nondeterministic: the output's shape changes from call to call"
    change = _change(joined(outputs), joined(again))
    return f"nondeterministic: two calls at the same inputs differ by {change:.3g}" if change > nondet_tol else ""


def _change(a: Array, b: Array) -> float:
    """The largest difference of two arrays, nan being equal to nan."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        return float(np.max(np.where(same, 0.0, np.nan_to_num(np.abs(a - b), nan=math.inf)), initial=0.0))


def changing(box: BlackBox, number: int, runs: Sequence[Array | None], nondet_tol: float) -> InputFinding | None:
    """A finding if the gradient of one upstream gradient depends on the run or on how its numbers lie in memory."""
    once, strided, again = runs
    if once is None or strided is None or again is None or once.shape != again.shape or once.shape != strided.shape:
        return None
    x = box.point[number]
    found: tuple[Verdict, Pattern] | None = None
    if (change := _change(once, again)) > nondet_tol:
        words = f"nondeterministic: two calls of backward with the same upstream gradient differ by {change:.3g}"
        found = "undecided", Pattern("nondeterministic", words)
    else:
        slack = 1e-3 if box.dtype.itemsize < 8 else 1e-8  # a strided sum may add in another order
        change = _change(once, strided)
        if change > nondet_tol + slack * float(np.max(np.abs(once), initial=0.0)):
            words = f"changes by {change:.3g} when the same upstream gradient is not contiguous in memory"
            found = "wrong", Pattern("strided upstream", words)
    if found is None:
        return None
    return InputFinding(box.names[number], x.shape, found[0], pattern=found[1], size=x.size)
