"""From judged numbers to the finding about an input: its verdict, the reason, the worst element, the pattern."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from chainrule.verify.blackbox import BlackBox, Cotangents, joined
from chainrule.verify.differences import Array
from chainrule.verify.findings import InputFinding, Kink, Pattern, Verdict, Worst
from chainrule.verify.patterns import Error, pattern_of
from chainrule.verify.tolerance import Judged, Tolerance

KINKS_SHOWN = 5


@dataclass(frozen=True)
class Scene:
    """What is the same for all inputs of a check.

    Args:
        box: the function.
        outputs: at the point.
        upstream: the first random upstream gradient of each output.
        tolerance: how close a claim must be.
    """

    box: BlackBox
    outputs: Sequence[Array]
    upstream: Cotangents
    tolerance: Tolerance


def concluded(scene: Scene, number: int, judged: Judged, places: Array, along: int) -> InputFinding:
    """The finding about one input.

    Args:
        scene: what is the same for all inputs.
        number: of the input.
        judged: (numbers, elements), its claims.
        places: (elements,), where they stand in the flattened input.
        along: random directions in all elements that were looked at as well.
    """
    x = scene.box.point[number]
    states: dict[Verdict, Array] = {"wrong": judged.wrong, "undecided": judged.undecided, "kink": judged.kink}
    verdict: Verdict = next((word for word, where in states.items() if where.any()), "right")
    with np.errstate(invalid="ignore"):
        difference = np.abs(judged.difference)
    known = np.isfinite(judged.uncertain) & ~judged.slopes.kink
    return InputFinding(
        scene.box.names[number],
        x.shape,
        verdict,
        reason=_reason(scene, judged, verdict),
        worst=_worst(scene, judged, places, x.shape, verdict),
        pattern=_pattern(scene, number, judged, places) if verdict == "wrong" else None,
        wrong=int(judged.wrong.any(axis=0).sum()),
        measured=len(places),
        size=x.size,
        along=along,
        difference=float(np.max(difference, initial=0.0, where=known)),
        error=float(np.max(judged.slopes.error, initial=0.0, where=known)),
        kinks=tuple(_kinks(judged, places, x.shape)),
    )


def _reason(scene: Scene, judged: Judged, verdict: Verdict) -> str:
    if verdict == "kink":
        count = int(judged.kink.any(axis=0).sum())
        return f"{count} of {judged.kink.shape[1]} elements have no derivative; the claims are valid there"
    if verdict != "undecided":
        return ""
    if not np.isfinite(joined(scene.outputs)).all():
        return "the function's value is not finite here"
    if (judged.undecided & judged.slopes.rough).any():
        return "no slope: the function jumps here, its slope grows without bound, or it changes too fast"
    if (judged.undecided & judged.slopes.kink).any():
        return "a kink, where it takes single outputs to tell which claims are valid; check it at a smaller size"
    spread = judged.uncertain[judged.undecided]
    if not np.isfinite(spread).all():
        return "no slope: the function is not finite on either side"
    asked = scene.tolerance.asked(judged.slopes.value)[judged.undecided]
    place = int(np.argmax(spread / asked))
    return (
        f"limited by precision: {scene.box.dtype.name} decides to {spread[place]:.2g}, "
        f"{asked[place]:.2g} was asked for; a larger atol asks for less"
    )


def _worst(scene: Scene, judged: Judged, places: Array, shape: tuple[int, ...], verdict: Verdict) -> Worst | None:
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
        _output(scene, row, units),
        (min(left, right), max(left, right)) if judged.slopes.kink[row, at] else None,
    )


def _output(scene: Scene, row: int, units: int) -> str:
    """The name of one of the numbers that the probe looks at."""
    if row >= units:
        return ("<c, y>", "<c', y>", "sum(y)")[row - units]
    for k, y in enumerate(scene.outputs):
        if row < y.size:
            name = "y" if len(scene.outputs) == 1 else f"y{k}"
            index = _index(row, y.shape)
            return f"{name}[{', '.join(map(str, index))}]" if index else name
        row -= y.size
    raise AssertionError("the row is of no output")


def _pattern(scene: Scene, number: int, judged: Judged, places: Array) -> Pattern:
    """The pattern of the gradient of <c, y>, or of the outputs through which it is wrong."""
    first, second, even = range(len(judged.claimed) - 3, len(judged.claimed))
    claimed, wrong = judged.claimed, judged.wrong
    if claimed[first].any() and wrong[[first, second]].all() and np.array_equal(claimed[first], claimed[second]):
        return Pattern("upstream ignored", "the same for every upstream gradient: it is not multiplied in")
    through = _one_output(scene, judged)
    if wrong[first].any() and not wrong[even].any() and through is None:
        return Pattern("uniform upstream", "right only where all upstream gradients are equal")
    row = next((r for r in (first, second, even) if wrong[r].any()), int(np.argmax(wrong.sum(axis=1))))
    error = _error(scene, number, claimed[row], judged.nearest[row], wrong[row], judged.uncertain[row], places)
    pattern = pattern_of(error)
    return through if through is not None and pattern.ratio is None else pattern


def _one_output(scene: Scene, judged: Judged) -> Pattern | None:
    """With several outputs, those through which alone the gradient is wrong."""
    if len(scene.outputs) < 2 or len(judged.claimed) == 3:
        return None
    ends = np.cumsum([0, *[y.size for y in scene.outputs]])
    bad = [bool(judged.wrong[a:b].any()) for a, b in pairwise(ends)]
    if all(bad) or not any(bad):
        return None
    names = ", ".join([f"y{k}" for k, one in enumerate(bad) if one])
    return Pattern("one output", f"wrong through {names} only")


def _error(
    scene: Scene, number: int, claimed: Array, expected: Array, wrong: Array, slack: Array, places: Array
) -> Error:
    x = scene.box.point[number].astype(np.float64)
    alike = len(scene.outputs) == 1 and scene.outputs[0].shape == x.shape
    upstream = scene.upstream[0]
    known = np.isfinite(expected)
    return Error(
        claimed[known],
        expected[known],
        wrong[known],
        np.where(np.isfinite(slack), slack, 0.0)[known],
        places[known],
        x,
        scene.outputs[0].astype(np.float64) if alike else None,
        upstream.astype(np.float64) if alike and upstream is not None else None,
        _sizes(scene),
    )


def _sizes(scene: Scene) -> dict[str, int]:
    """Where a factor n may come from: the sizes of the axes, and of whole arrays."""
    sizes: dict[str, int] = {}
    arrays = [*zip(scene.box.names, scene.box.point, strict=True)]
    arrays += [("y" if len(scene.outputs) == 1 else f"y{k}", y) for k, y in enumerate(scene.outputs)]
    for name, array in arrays:
        for axis, n in enumerate(array.shape):
            sizes.setdefault(f"the size of axis {axis} of {name}", n)
    for name, array in arrays:
        sizes.setdefault(f"the number of elements of {name}", array.size)
    return sizes


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
