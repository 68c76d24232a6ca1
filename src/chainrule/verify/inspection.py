"""Claimed gradients beside measured slopes: element by element, in random directions, for several upstream gradients.

Called by `gradients.py` and `pairs.py`; what is wrong is said in `tolerance.py`, what is said about it in
`conclusions.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from chainrule.verify.blackbox import BlackBox, Cotangents, Probe
from chainrule.verify.conclusions import Scene, concluded
from chainrule.verify.differences import CERTAIN, Array, Ladder, Slopes, joined_slopes
from chainrule.verify.findings import Checked, GradientFindings, InputFinding, Pattern
from chainrule.verify.patterns import pattern_of_shape
from chainrule.verify.steadiness import changing, unsteady
from chainrule.verify.tolerance import Judged, Tolerance, judged
from chainrule.verify.upstreams import strided, uneven, units

MANY_OUTPUTS = 64
"""Above, the slopes of random combinations of the outputs are measured instead of those of every output."""

MANY_ELEMENTS = 512
"""Above, a sample of the elements is measured one by one, and all of them along random directions."""

FEW_ELEMENTS = 48
"""The size of the sample in fast mode."""

WORK = 10**8
"""How many numbers are read and written for the elements that are measured one by one, at most, about."""

DIRECTIONS = 3
SEARCHES = 4


@dataclass(frozen=True)
class Off:
    """How far a claim is from the slope along a direction.

    Args:
        visible: in units of what measuring explains; above 1 some element is not exact.
        grave: in units of what measuring and the tolerance of all elements explain; above 1 some element is wrong.
    """

    visible: float
    grave: float


def examine(
    box: BlackBox,
    *,
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    fast: bool,
    complaints: Sequence[str] = (),
) -> GradientFindings:
    """Compare the claimed gradients of a function with its slopes.

    Args:
        box: the function, and what is claimed.
        eps: the shortest step.
        atol, rtol: the tolerance.
        nondet_tol: by how much two runs may differ.
        fast: measure a small sample of the elements, and all of them along random directions.
        complaints: what is known to be wrong already.
    """
    ladder = Ladder.of(eps, box.dtype)
    outputs = box.value(box.point)
    size = sum(y.size for y in outputs)
    every = size <= MANY_OUTPUTS
    rng = np.random.default_rng(1)
    first, second = [[uneven(y, rng) for y in outputs] for _ in range(2)]
    even = [np.ones(y.shape, y.dtype) for y in outputs]
    rows: list[Cotangents] = [*(units(outputs) if every else ()), first, second, even]
    probe = Probe(box, [first, second, even], every, ladder)
    checked = Checked(size, every, 2, 0, box.dtype.name, (ladder.steps[0], ladder.steps[-1]), atol, rtol)
    how = unsteady(box, outputs, nondet_tol)
    if how:
        pattern = Pattern("nondeterministic", how)
        undecided = [
            InputFinding(name, x.shape, "undecided", pattern=pattern, size=x.size)
            for name, x in zip(box.names, box.point, strict=True)
        ]
        return GradientFindings(box.title, tuple(undecided), checked, tuple(complaints))
    claims = box.pull(rows)
    by_strides = box.pull([[None if c is None else strided(c) for c in first]])[0]
    again = box.pull([first])[0]
    inspector = Inspector(probe, Scene(box, outputs, first, Tolerance(atol, rtol)), fast)
    findings = []
    for number in range(len(box.names)):
        claim = [row[number] for row in claims]
        finding = changing(box, number, [claim[-3], by_strides[number], again[number]], nondet_tol)
        if finding is None and any(one is None for one in claim):
            continue
        findings.append(inspector.finding(number, claim) if finding is None else finding)
    checked = replace(checked, evaluations=probe.evaluations)
    return GradientFindings(box.title, tuple(findings), checked, tuple(complaints))


class Inspector:
    """Judges the claimed gradients of one input after the other.

    Args:
        probe: the function's slopes, by every number it looks at.
        scene: what is the same for all inputs.
        fast: measure a small sample only.
    """

    def __init__(self, probe: Probe, scene: Scene, fast: bool) -> None:
        self.probe, self.scene = probe, scene
        self.rng = np.random.default_rng(2)
        point = probe.point
        numbers = sum(x.size for x in point) + sum(y.size for y in scene.outputs)
        room = FEW_ELEMENTS if fast else max(FEW_ELEMENTS, min(MANY_ELEMENTS, WORK // max(1, 10 * numbers)))
        self.samples = _shared(room, [x.size for x in point])

    def finding(self, number: int, claims: Sequence[Any]) -> InputFinding:
        """The finding about one input; `claims` holds its gradient for each number that the probe looks at."""
        x = self.probe.point[number]
        odd = next((np.asarray(one) for one in claims if np.shape(one) != x.shape), None)
        places = self._sample(x.size, self.samples[number])
        slopes = self.probe.elements(number, places)
        if odd is not None:
            return self._misshapen(number, np.asarray(claims[-3]), slopes, places)
        claimed = np.stack([np.asarray(one, np.float64).ravel() for one in claims])
        verdicts = self._judged(claimed[:, places], slopes)
        doubtful = np.flatnonzero((verdicts.wrong | verdicts.undecided).any(axis=0) & _small(x.ravel()[places]))
        if len(doubtful):
            slopes = self._closer(number, slopes, places, doubtful)
            verdicts = self._judged(claimed[:, places], slopes)
        along, lost = (DIRECTIONS if len(places) < x.size else 0), False
        if len(places) < x.size and not verdicts.wrong.any():
            extra, lost = self._searched(number, claimed, places)
            if len(extra):
                slopes = joined_slopes(slopes, self.probe.elements(number, extra))
                places = np.concatenate([places, extra])
                verdicts = self._judged(claimed[:, places], slopes)
        found = concluded(self.scene, number, verdicts, places, along)
        if lost and found.ok:
            words = "the slope along a random direction is off, but no single element that explains it was found"
            return replace(found, verdict="undecided", reason=words)
        return found

    def _sample(self, size: int, count: int) -> Array:
        """The places to measure one by one, in rising order: all of them, or some drawn at random."""
        return np.sort(self.rng.choice(size, count, replace=False)) if count < size else np.arange(size)

    def _judged(self, claimed: Array, slopes: Slopes) -> Judged:
        return judged(claimed, slopes, self.probe.combine, self.scene.tolerance)

    def _closer(self, number: int, slopes: Slopes, places: Array, doubtful: Array) -> Slopes:
        """The slopes, with better ones where steps in proportion to a small |x| give them: of log(x) at 1e-8."""
        closer = self.probe.elements(number, places[doubtful], relative=True)
        better = {}
        for field in fields(Slopes):
            whole = getattr(slopes, field.name).copy()
            whole[:, doubtful] = getattr(closer.better(slopes.at(doubtful)), field.name)
            better[field.name] = whole
        return Slopes(**better)

    def _misshapen(self, number: int, claimed: Array, slopes: Slopes, places: Array) -> InputFinding:
        name, x = self.scene.box.names[number], self.probe.point[number]
        expected = np.zeros(x.size)
        expected[places] = slopes.value[-3]
        if len(places) == x.size:
            pattern = pattern_of_shape(claimed, expected.reshape(x.shape))
        else:
            pattern = Pattern("shape", f"the gradient has shape {claimed.shape}, the input {x.shape}")
        return InputFinding(name, x.shape, "wrong", pattern=pattern, size=x.size)

    # ---- elements that were not measured one by one ----------------------------------------------------

    def _searched(self, number: int, claimed: Array, places: Array) -> tuple[Array, bool]:
        """Elements outside the sample that random directions betray, a few of them; and whether more must be off."""
        rest = np.setdiff1d(np.arange(claimed.shape[1]), places)
        found: list[int] = []
        for _ in range(DIRECTIONS):
            while (off := self._off(number, claimed, rest)).visible > 1:
                if len(found) == SEARCHES:
                    return np.array(found, np.int64), off.grave > 1
                found.append(self._culprit(number, claimed, rest))
                rest = np.setdiff1d(rest, found)
        return np.array(found, np.int64), False

    def _off(self, number: int, claimed: Array, some: Array) -> Off:
        """How far the slope along a random direction in some elements is off."""
        x = self.probe.point[number]
        direction = np.zeros(x.size)
        direction[some] = self.rng.uniform(0.5, 1.5, len(some)) * self.rng.choice([-1.0, 1.0], len(some))
        got = self.probe.along(number, [direction.reshape(x.shape)])
        claims, lengths = claimed[-3:, some], np.abs(direction[some])
        claim = claims @ direction[some]
        with np.errstate(all="ignore"):
            low, high = np.minimum(got.left, got.right)[-3:, 0], np.maximum(got.left, got.right)[-3:, 0]
            nearest = np.where(got.kink[-3:, 0], np.clip(claim, low, high), got.value[-3:, 0])
            rounding = 64 * self.probe.ladder.unit * (np.abs(claims) @ lengths) + np.finfo(np.float64).tiny
            unknown = CERTAIN * got.error[-3:, 0] + rounding
            allowed = self.scene.tolerance.tight(claims, float(np.max(np.abs(claims), initial=0.0))) @ lengths
            off = np.abs(claim - nearest)
            visible, grave = np.nan_to_num(np.stack([off / unknown, off / (unknown + allowed)]), nan=math.inf)
        return Off(float(np.max(visible)), float(np.max(grave)))

    def _culprit(self, number: int, claimed: Array, some: Array) -> int:
        """One element that is off, by halving."""
        while len(some) > 1:
            halves = np.array_split(some, 2)
            some = max(halves, key=lambda half: self._off(number, claimed, half).visible)
        return int(some[0])


def _shared(room: int, sizes: Sequence[int]) -> list[int]:
    """How many elements of each input to measure: all of the small ones, equally many of the others; 8 at least."""
    counts = [0] * len(sizes)
    for rank, number in enumerate(sorted(range(len(sizes)), key=lambda k: sizes[k])):
        counts[number] = min(sizes[number], max(8, (room - sum(counts)) // (len(sizes) - rank)))
    return counts


def _small(x: Array) -> Array:
    """True for numbers that steps of their own size would suit better."""
    return np.asarray((x != 0) & (np.abs(x) < 1))
