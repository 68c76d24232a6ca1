"""Claimed gradients beside measured slopes: element by element, in random directions, with a verdict for each input.

Every number is judged by two things: the tolerance that the user asks for, and how far off the measured slope may
be. A claim is wrong where it differs by more than both together; right where it does not, and the slope is known as
well as was asked; undecided where it is known less well. Where the slopes on the two sides differ, a claim between
them is valid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any

import numpy as np

from chainrule.verify.blackbox import BlackBox, Cotangents, Probe, joined
from chainrule.verify.differences import CERTAIN, Array, Ladder, Slopes, joined_slopes
from chainrule.verify.findings import Checked, GradientFindings, InputFinding, Kink, Pattern, Verdict, Worst
from chainrule.verify.patterns import Error, pattern_of, pattern_of_shape

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
KINKS_SHOWN = 5


@dataclass(frozen=True)
class Tolerance:
    """A claim c of a slope s may differ by atol * min(1, the largest |s|) + rtol * |s|.

    PyTorch's is atol + rtol * |s|: it takes any gradient for right whose numbers are all below atol.
    """

    atol: float
    rtol: float

    def tight(self, expected: Array, scale: float) -> Array:
        """How far a claim may be off where the slope is known exactly."""
        return np.asarray(self.atol * min(1.0, max(scale, 1e-6)) + self.rtol * np.abs(expected))

    def asked(self, expected: Array) -> Array:
        """How well a slope must be known for a verdict: as PyTorch's tolerance."""
        return np.asarray(self.atol + self.rtol * np.abs(expected))


@dataclass(frozen=True)
class Judged:
    """Claims and slopes with what follows from them; arrays of one shape, (numbers, elements)."""

    claimed: Array
    slopes: Slopes
    nearest: Array
    uncertain: Array
    wrong: Array
    kink: Array
    undecided: Array

    @property
    def difference(self) -> Array:
        """claimed - expected, to the nearer end of the interval at a kink."""
        return self.claimed - self.nearest


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
    first, second = [[_uneven(y, rng) for y in outputs] for _ in range(2)]
    even = [np.ones(y.shape, y.dtype) for y in outputs]
    rows: list[Cotangents] = [*(_units(outputs) if every else ()), first, second, even]
    probe = Probe(box, [first, second, even], every, ladder)
    checked = Checked(size, every, 2, 0, box.dtype.name, (ladder.steps[0], ladder.steps[-1]), atol, rtol)
    unsteady = _unsteady(box, outputs, nondet_tol)
    if unsteady:
        pattern = Pattern("nondeterministic", unsteady)
        undecided = [
            InputFinding(name, x.shape, "undecided", pattern=pattern, size=x.size)
            for name, x in zip(box.names, box.point, strict=True)
        ]
        return GradientFindings(box.title, tuple(undecided), checked, tuple(complaints))
    claims = box.pull(rows)
    strided = box.pull([[_strided(c) for c in first]])[0]
    again = box.pull([first])[0]
    inspector = Inspector(probe, Tolerance(atol, rtol), outputs, first, fast)
    findings = []
    for number, name in enumerate(box.names):
        claim = [row[number] for row in claims]
        finding = _changing(box, number, [claim[-3], strided[number], again[number]], nondet_tol)
        if finding is None and any(one is None for one in claim):
            continue
        findings.append(inspector.finding(number, name, claim) if finding is None else finding)
    checked = replace(checked, evaluations=probe.evaluations)
    return GradientFindings(box.title, tuple(findings), checked, tuple(complaints))


def _uneven(y: Array, rng: np.random.Generator) -> Array:
    """An upstream gradient of numbers of either sign, none of them near 0 or 1."""
    sizes = rng.uniform(0.3, 0.9, y.shape) * rng.choice([1.0, 2.0], y.shape)
    return np.asarray(sizes * rng.choice([-1.0, 1.0], y.shape)).astype(y.dtype)


def _strided(c: Array | None) -> Array | None:
    """The same numbers, not next to each other in memory."""
    if c is None or c.ndim == 0:
        return c
    wide = np.zeros((*c.shape[:-1], 2 * c.shape[-1]), c.dtype)
    wide[..., ::2] = c
    return wide[..., ::2]


def _units(outputs: Sequence[Array]) -> Iterator[list[Array]]:
    """For each number of the outputs, the upstream gradient that is 1 there and 0 elsewhere."""
    for k, y in enumerate(outputs):
        for place in range(y.size):
            row = [np.zeros(one.shape, one.dtype) for one in outputs]
            row[k].flat[place] = 1
            yield row


def _unsteady(box: BlackBox, outputs: Sequence[Array], nondet_tol: float) -> str:
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


def _changing(box: BlackBox, number: int, runs: Sequence[Array | None], nondet_tol: float) -> InputFinding | None:
    """A finding if the gradient of one upstream gradient depends on the run or on how its numbers lie in memory."""
    once, strided, again = runs
    if once is None or strided is None or again is None or once.shape != again.shape or once.shape != strided.shape:
        return None
    x = box.point[number]
    found = None
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
    verdict: Any = found[0]
    return InputFinding(box.names[number], x.shape, verdict, pattern=found[1], size=x.size)


class Inspector:
    """Judges the claimed gradients of one input after the other.

    Args:
        probe: the function's slopes, by every number it looks at.
        tolerance: how close a claim must be.
        outputs, upstream: the outputs at the point, and the first random upstream gradient.
        fast: measure a small sample only.
    """

    def __init__(
        self, probe: Probe, tolerance: Tolerance, outputs: Sequence[Array], upstream: Cotangents, fast: bool
    ) -> None:
        self.probe, self.tolerance, self.outputs, self.upstream = probe, tolerance, outputs, upstream
        self.rng = np.random.default_rng(2)
        point = probe.point
        numbers = sum(x.size for x in point) + sum(y.size for y in outputs)
        room = FEW_ELEMENTS if fast else max(FEW_ELEMENTS, min(MANY_ELEMENTS, WORK // max(1, 10 * numbers)))
        self.samples = _shared(room, [x.size for x in point])

    def finding(self, number: int, name: str, claims: Sequence[Any]) -> InputFinding:
        """The finding about one input; `claims` holds its gradient for each number that the probe looks at."""
        x = self.probe.point[number]
        odd = next((np.asarray(one) for one in claims if np.shape(one) != x.shape), None)
        places = self._sample(x.size, self.samples[number])
        slopes = self.probe.elements(number, places)
        if odd is not None:
            return self._misshapen(name, x, np.asarray(claims[-3]), slopes, places)
        claimed = np.stack([np.asarray(one, np.float64).ravel() for one in claims])
        judged = self._judged(claimed[:, places], slopes)
        lost = False
        if len(places) < x.size and not judged.wrong.any():
            extra, lost = self._searched(number, claimed, places)
            if len(extra):
                slopes = joined_slopes(slopes, self.probe.elements(number, extra))
                places = np.concatenate([places, extra])
                judged = self._judged(claimed[:, places], slopes)
        found = self._concluded(number, name, judged, places)
        if lost and found.ok:
            words = "the slope along a random direction is off, but no single element that explains it was found"
            return replace(found, verdict="undecided", reason=words)
        return found

    def _sample(self, size: int, count: int) -> Array:
        """The places to measure one by one, in rising order: all of them, or some drawn at random."""
        return np.sort(self.rng.choice(size, count, replace=False)) if count < size else np.arange(size)

    def _judged(self, claimed: Array, slopes: Slopes) -> Judged:
        with np.errstate(all="ignore"):
            value, uncertain = slopes.value, CERTAIN * slopes.error
            low, high = np.minimum(slopes.left, slopes.right), np.maximum(slopes.left, slopes.right)
            nearest = np.where(slopes.kink, np.clip(claimed, low, high), value)
            known = np.where(np.isfinite(uncertain), np.abs(value), 0.0)
            allowed = self.tolerance.tight(nearest, float(np.max(known, initial=0.0))) + uncertain
            finite = np.isfinite(claimed)
            wrong = ~(np.abs(claimed - nearest) <= allowed) & np.isfinite(uncertain) | ~finite & np.isfinite(uncertain)
            unknown = ~(uncertain <= self.tolerance.asked(value)) & ~slopes.kink
        return Judged(claimed, slopes, nearest, uncertain, wrong, slopes.kink & ~wrong, unknown & ~wrong)

    def _misshapen(self, name: str, x: Array, claimed: Array, slopes: Slopes, places: Array) -> InputFinding:
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
            allowed = self.tolerance.tight(claims, float(np.max(np.abs(claims), initial=0.0))) @ lengths
            off = np.abs(claim - nearest)
            visible, grave = np.nan_to_num(np.stack([off / unknown, off / (unknown + allowed)]), nan=math.inf)
        return Off(float(np.max(visible)), float(np.max(grave)))

    def _culprit(self, number: int, claimed: Array, some: Array) -> int:
        """One element that is off, by halving."""
        while len(some) > 1:
            halves = np.array_split(some, 2)
            some = max(halves, key=lambda half: self._off(number, claimed, half).visible)
        return int(some[0])

    # ---- the verdict ----------------------------------------------------------------------------------------

    def _concluded(self, number: int, name: str, judged: Judged, places: Array) -> InputFinding:
        x = self.probe.point[number]
        verdict: Verdict = "right"
        for state, word in ((judged.kink, "kink"), (judged.undecided, "undecided"), (judged.wrong, "wrong")):
            if state.any():
                verdict = word  # type: ignore[assignment]  # mypy does not infer the literals of the tuple
        with np.errstate(invalid="ignore"):
            difference = np.abs(judged.difference)
        known = np.isfinite(judged.uncertain) & ~judged.slopes.kink
        return InputFinding(
            name,
            x.shape,
            verdict,
            reason=self._reason(judged, verdict),
            worst=self._worst(judged, places, x.shape, verdict),
            pattern=self._pattern(number, judged, places) if verdict == "wrong" else None,
            wrong=int(judged.wrong.any(axis=0).sum()),
            measured=len(places),
            size=x.size,
            along=DIRECTIONS if len(places) < x.size else 0,
            difference=float(np.max(difference, initial=0.0, where=known)),
            error=float(np.max(judged.slopes.error, initial=0.0, where=known)),
            kinks=tuple(_kinks(judged, places, x.shape)),
        )

    def _reason(self, judged: Judged, verdict: Verdict) -> str:
        if verdict == "kink":
            count = int(judged.kink.any(axis=0).sum())
            return f"{count} of {judged.kink.shape[1]} elements have no derivative; the claims are valid there"
        if verdict != "undecided":
            return ""
        if not np.isfinite(self.probe.base).all():
            return "the function's value is not finite here"
        if (judged.undecided & judged.slopes.jump).any():
            return "the function jumps here, or changes too fast for the steps"
        spread = judged.uncertain[judged.undecided]
        if not np.isfinite(spread).all():
            return "the slope grows without bound here, or the function is defined on too little beside it"
        asked = self.tolerance.asked(judged.slopes.value)[judged.undecided]
        place = int(np.argmax(spread / asked))
        return (
            f"limited by precision: {self.probe.box.dtype.name} decides to {spread[place]:.2g}, "
            f"{asked[place]:.2g} was asked for; a larger atol asks for less"
        )

    def _worst(self, judged: Judged, places: Array, shape: tuple[int, ...], verdict: Verdict) -> Worst | None:
        if not judged.claimed.size:
            return None
        state = {"wrong": judged.wrong, "undecided": judged.undecided}.get(verdict, np.ones(judged.wrong.shape, bool))
        with np.errstate(invalid="ignore"):
            size = np.abs(judged.difference)
            if verdict == "undecided":
                size = judged.uncertain
        size = np.where(state, np.nan_to_num(size, nan=math.inf, posinf=math.inf), -1.0)
        row = int(np.argmax(size.max(axis=1)))
        units = len(judged.claimed) - 3
        if (size[:units] >= 0).any():  # a derivative of one output says more than one of a random combination
            row = int(np.argmax(size[:units].max(axis=1)))
        at = int(np.argmax(size[row]))
        gaps = np.abs(judged.difference[:units] if row < units else judged.difference[row])
        total = float(np.sum(gaps, where=np.isfinite(gaps)))
        difference = float(judged.difference[row, at])
        share = abs(difference) / total if math.isfinite(difference) and total > 0 else 1.0
        left, right = float(judged.slopes.left[row, at]), float(judged.slopes.right[row, at])
        return Worst(
            _index(places[at], shape),
            float(judged.claimed[row, at]),
            float(judged.nearest[row, at]),
            float(judged.slopes.error[row, at]),
            difference,
            share,
            self._output(row, units),
            (min(left, right), max(left, right)) if judged.slopes.kink[row, at] else None,
        )

    def _output(self, row: int, units: int) -> str:
        """The name of one of the numbers that the probe looks at."""
        if row >= units:
            return ("<c, y>", "<c', y>", "sum(y)")[row - units]
        for k, y in enumerate(self.outputs):
            if row < y.size:
                name = "y" if len(self.outputs) == 1 else f"y{k}"
                index = _index(row, y.shape)
                return f"{name}[{', '.join(map(str, index))}]" if index else name
            row -= y.size
        raise AssertionError("the row is of no output")

    def _pattern(self, number: int, judged: Judged, places: Array) -> Pattern:
        """The pattern of the gradient of <c, y>, or of the outputs through which it is wrong."""
        first, second, even = range(len(judged.claimed) - 3, len(judged.claimed))
        claimed, wrong = judged.claimed, judged.wrong
        if claimed[first].any() and wrong[[first, second]].all() and np.array_equal(claimed[first], claimed[second]):
            return Pattern("upstream ignored", "the same for every upstream gradient: it is not multiplied in")
        through = self._one_output(judged)
        if wrong[first].any() and not wrong[even].any() and through is None:
            return Pattern("uniform upstream", "right only where all upstream gradients are equal")
        row = next((r for r in (first, second, even) if wrong[r].any()), int(np.argmax(wrong.sum(axis=1))))
        error = self._error(number, claimed[row], judged.nearest[row], wrong[row], judged.uncertain[row], places)
        pattern = pattern_of(error)
        return through if through is not None and pattern.ratio is None else pattern

    def _one_output(self, judged: Judged) -> Pattern | None:
        """With several outputs, those through which alone the gradient is wrong."""
        if len(self.outputs) < 2 or len(judged.claimed) == 3:
            return None
        ends = np.cumsum([0, *[y.size for y in self.outputs]])
        bad = [bool(judged.wrong[a:b].any()) for a, b in pairwise(ends)]
        if all(bad) or not any(bad):
            return None
        names = ", ".join([f"y{k}" for k, one in enumerate(bad) if one])
        return Pattern("one output", f"wrong through {names} only")

    def _error(self, number: int, claimed: Array, expected: Array, wrong: Array, slack: Array, places: Array) -> Error:
        x = self.probe.point[number].astype(np.float64)
        alike = len(self.outputs) == 1 and self.outputs[0].shape == x.shape
        upstream = self.upstream[0]
        known = np.isfinite(expected)
        return Error(
            claimed[known],
            expected[known],
            wrong[known],
            np.where(np.isfinite(slack), slack, 0.0)[known],
            places[known],
            x,
            self.outputs[0].astype(np.float64) if alike else None,
            upstream.astype(np.float64) if alike and upstream is not None else None,
            self._sizes(),
        )

    def _sizes(self) -> dict[str, int]:
        """Where a factor n may come from: the sizes of the axes, and of whole arrays."""
        sizes: dict[str, int] = {}
        arrays = [*zip(self.probe.box.names, self.probe.point, strict=True)]
        arrays += [("y" if len(self.outputs) == 1 else f"y{k}", y) for k, y in enumerate(self.outputs)]
        for name, array in arrays:
            for axis, n in enumerate(array.shape):
                sizes.setdefault(f"the size of axis {axis} of {name}", n)
        for name, array in arrays:
            sizes.setdefault(f"the number of elements of {name}", array.size)
        return sizes


def _shared(room: int, sizes: Sequence[int]) -> list[int]:
    """How many elements of each input to measure: all of the small ones, equally many of the others; 8 at least."""
    counts = [0] * len(sizes)
    for rank, number in enumerate(sorted(range(len(sizes)), key=lambda k: sizes[k])):
        counts[number] = min(sizes[number], max(8, (room - sum(counts)) // (len(sizes) - rank)))
    return counts


def _index(place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([int(i) for i in np.unravel_index(int(place), shape)])


def _kinks(judged: Judged, places: Array, shape: tuple[int, ...]) -> Iterator[Kink]:
    """The first kinks, each element once."""
    seen: set[int] = set()
    for row, at in product(range(len(judged.claimed)), range(len(places))):
        if judged.kink[row, at] and at not in seen and len(seen) < KINKS_SHOWN:
            seen.add(at)
            left, right = float(judged.slopes.left[row, at]), float(judged.slopes.right[row, at])
            claimed = float(judged.claimed[row, at])
            yield Kink(_index(places[at], shape), claimed, min(left, right), max(left, right))
