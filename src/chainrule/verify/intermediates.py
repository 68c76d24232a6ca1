"""The gradients of intermediate values of a function that can only be called, from how the inputs move them.

If the inputs x act on the output through the intermediate z alone, then dL/dx = (dz/dx)^T dL/dz. Both dL/dx and
dz/dx can be measured; where the inputs move z in all directions, the equation has one solution, dL/dz. That they act
through z alone shows in the equation having a solution although it has more rows than unknowns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from chainrule.verify.blackbox import BlackBox, Probe, joined
from chainrule.verify.differences import CERTAIN, Array, Ladder
from chainrule.verify.findings import GradientFindings, InputFinding, Worst
from chainrule.verify.patterns import Error, pattern_of, pattern_of_shape

LARGE = 512
"""With more elements than this in the inputs, or in the intermediates, gradients of intermediates are undecided."""


@dataclass(frozen=True)
class Claimed:
    """Claimed gradients of intermediates.

    Args:
        box: a function that returns the output and then each intermediate.
        names: of the intermediates, in the order of computing.
        gradients: what is claimed, for the intermediates and the inputs, with the upstream gradient `c`.
        c: of the output.
    """

    box: BlackBox
    names: tuple[str, ...]
    gradients: dict[str, Array]
    c: Array


@dataclass(frozen=True)
class Measured:
    """Slopes by all elements of all inputs, one after the other.

    Args:
        loss: (inputs,), those of <c, y>.
        loss_error: how far off they may be.
        moves: for each intermediate (size, inputs), how it moves with the inputs.
        moves_error: how far off these may be.
        owner: (inputs,), which input each element belongs to.
    """

    loss: Array
    loss_error: Array
    moves: list[Array]
    moves_error: list[Array]
    owner: Array

    def feeds(self, number: int, k: int) -> bool:
        """True if input `number` moves intermediate `k`."""
        mine = self.owner == number
        return bool((np.abs(self.moves[k][:, mine]) > CERTAIN * self.moves_error[k][:, mine] + 1e-9).any())

    def entry(self, number: int) -> int:
        """The first intermediate that an input moves; their number, for one that acts on the output directly."""
        return next((k for k in range(len(self.moves)) if self.feeds(number, k)), len(self.moves))


def with_intermediates(
    found: GradientFindings, claimed: Claimed, *, eps: float, atol: float, rtol: float
) -> GradientFindings:
    """The findings with those about the intermediates, in the order of going backward."""
    if not claimed.names:
        return found
    values = claimed.box.value(claimed.box.point)[1:]
    sizes = [x.size for x in claimed.box.point]
    if sum(sizes) > LARGE or sum(z.size for z in values) > LARGE:
        reason = f"more than {LARGE} elements; check it at a smaller size"
        extra = [InputFinding(n, z.shape, "undecided", reason) for n, z in zip(claimed.names, values, strict=True)]
        return replace(found, inputs=(*extra, *found.inputs))
    measured = _measured(claimed, eps)
    entries = {name: measured.entry(number) for number, name in enumerate(claimed.box.names)}
    about = {}
    for k, (name, z) in enumerate(zip(claimed.names, values, strict=True)):
        first = [number for number, own in enumerate(claimed.box.names) if entries[own] == k]
        feeding = [number for number in range(len(sizes)) if measured.feeds(number, k)]
        about[name] = _finding(claimed, measured, k, name, z, (first, feeding), atol, rtol)
    explained = [_explained(one, claimed, measured, about, entries) for one in found.inputs]
    order: list[tuple[float, InputFinding]] = [(-k, about[name]) for k, name in enumerate(claimed.names)]
    order += [(0.5 - entries[one.name], one) for one in explained]  # dW after the delta that it is made of
    return replace(found, inputs=tuple([one for _, one in sorted(order, key=lambda pair: pair[0])]))


def _measured(claimed: Claimed, eps: float) -> Measured:
    box = claimed.box
    values = box.value(box.point)
    row = [claimed.c, *[np.zeros_like(z) for z in values[1:]]]
    probe = Probe(box, [row], True, Ladder.of(eps, box.dtype))
    slopes = [probe.elements(number, np.arange(x.size)) for number, x in enumerate(box.point)]
    value = np.concatenate([s.value for s in slopes], axis=1)
    error = np.concatenate([s.error for s in slopes], axis=1)
    ends = np.cumsum([z.size for z in values])
    parts = [slice(a, b) for a, b in pairwise(ends)]
    owner = np.repeat(np.arange(len(box.point)), [x.size for x in box.point])
    return Measured(value[-1], error[-1], [value[p] for p in parts], [error[p] for p in parts], owner)


def _finding(
    claimed: Claimed,
    measured: Measured,
    k: int,
    name: str,
    z: Array,
    choices: tuple[Sequence[int], Sequence[int]],
    atol: float,
    rtol: float,
) -> InputFinding:
    """The verdict on one intermediate's gradient, from the inputs that enter there, else from all that move it."""
    claim = claimed.gradients[name]
    reason = "the inputs given do not tell it: none of them moves it"
    for numbers in choices:
        mine = np.isin(measured.owner, numbers)
        if not mine.any():
            continue
        moves, loss = measured.moves[k][:, mine], measured.loss[mine]
        unknown = CERTAIN * (measured.loss_error[mine] + np.finfo(np.float64).eps)
        if not (np.isfinite(moves).all() and np.isfinite(unknown).all()):
            reason = "the function has no slope here"
            continue
        inverse = np.linalg.pinv(moves.T, rcond=1e-9)
        rank = int(np.linalg.matrix_rank(moves, tol=1e-9 * float(np.max(np.abs(moves), initial=0.0))))
        solution = inverse @ loss
        slack = unknown + CERTAIN * measured.moves_error[k][:, mine].T @ np.abs(solution)
        if rank < z.size:
            reason = f"the inputs given move it in only {rank} of {z.size} directions"
        elif mine.sum() <= rank:
            reason = "the inputs given are too few to show that they act through it alone"
        elif (np.abs(moves.T @ solution - loss) > 1e-7 * np.max(np.abs(loss)) + slack).any():
            reason = "the inputs given do not act through it alone"
        else:
            uncertain = np.abs(inverse) @ slack
            return _judged(name, z, claim, solution.reshape(z.shape), uncertain.reshape(z.shape), atol, rtol)
    return InputFinding(name, z.shape, "undecided", reason, size=z.size)


def _judged(
    name: str, z: Array, claim: Array, expected: Array, uncertain: Array, atol: float, rtol: float
) -> InputFinding:
    """The verdict where the right gradient is known, within `uncertain`."""
    if claim.shape != z.shape:
        return InputFinding(name, z.shape, "wrong", pattern=pattern_of_shape(claim, expected), size=z.size)
    scale = float(np.max(np.abs(expected), initial=0.0))
    with np.errstate(invalid="ignore"):
        difference = claim - expected
        bad = ~(np.abs(difference) <= atol * min(1.0, scale) + rtol * np.abs(expected) + uncertain)
    unknown = uncertain > atol + rtol * np.abs(expected)
    far = np.nan_to_num(np.abs(difference), nan=np.inf)
    at = np.unravel_index(int(np.argmax(far)), z.shape)
    total = float(np.sum(far, where=np.isfinite(far)))
    worst = Worst(
        tuple([int(i) for i in at]), float(claim[at]), float(expected[at]), float(uncertain[at]),
        float(difference[at]), float(far[at]) / total if np.isfinite(far[at]) and total > 0 else 1.0, "<c, y>",
    )  # fmt: skip
    sizes = {f"the size of axis {axis} of {name}": n for axis, n in enumerate(z.shape)}
    flat = joined([claim]), joined([expected]), bad.ravel(), uncertain.ravel()
    error = Error(*flat, np.arange(z.size), z.astype(np.float64), None, None, sizes)
    return InputFinding(
        name,
        z.shape,
        "wrong" if bad.any() else "undecided" if unknown.any() else "right",
        worst=worst,
        pattern=pattern_of(error) if bad.any() else None,
        wrong=int(bad.sum()),
        measured=z.size,
        size=z.size,
        difference=float(np.max(far, initial=0.0)),
        error=float(np.max(uncertain, initial=0.0)),
    )


def _explained(
    one: InputFinding,
    claimed: Claimed,
    measured: Measured,
    about: dict[str, InputFinding],
    entries: dict[str, int],
) -> InputFinding:
    """A wrong gradient with its reason, if it is what the claimed gradient of its intermediate makes of it."""
    k = entries[one.name]
    if one.verdict != "wrong" or k == len(claimed.names) or about[claimed.names[k]].verdict != "wrong":
        return one
    name, number = claimed.names[k], claimed.box.names.index(one.name)
    delta, mine = claimed.gradients[name], claimed.gradients[one.name]
    moves = measured.moves[k][:, measured.owner == number]
    if delta.size != len(moves) or mine.size != moves.shape[1]:
        return one
    follows = joined([delta]) @ moves
    if np.allclose(joined([mine]), follows, rtol=1e-3, atol=1e-5 * float(np.max(np.abs(follows), initial=0.0))):
        return replace(one, reason=f"it follows from that of {name}: right if that were right")
    return one
