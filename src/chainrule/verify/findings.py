"""What a gradient check found: a verdict for each input, the worst element, what the errors have in common.

The result of `gradcheck` and of `verify.backward`. It is true where PyTorch's bool is, and can be read and printed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["right", "wrong", "kink", "undecided"]

_LINES = 25
_GRAVITY: tuple[Verdict, ...] = ("right", "kink", "undecided", "wrong")


@dataclass(frozen=True)
class Worst:
    """The element with the largest error.

    Args:
        index: its place in the input.
        claimed, expected: the derivative that was given, and the measured one.
        error: how far off `expected` may be.
        difference: claimed - expected; at a kink, to the nearer end of the interval.
        share: its part of the sum of all |differences|, from 0 to 1.
        output: of which number this is the derivative, `y[0, 2]`; "<c, y>" for a random upstream gradient c.
        interval: at a kink, the slopes on the two sides: any number between them is valid.
    """

    index: tuple[int, ...]
    claimed: float
    expected: float
    error: float
    difference: float
    share: float
    output: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Kink:
    """An element at which the function has no derivative.

    Args:
        index: its place in the input.
        claimed: the derivative that was given.
        low, high: the slopes on the two sides; what lies between them is a valid subgradient.
    """

    index: tuple[int, ...]
    claimed: float
    low: float
    high: float


@dataclass(frozen=True)
class Pattern:
    """What the errors of one input have in common.

    Args:
        kind: one word: scaled, sign, zero, nan, offset, transposed, reversed, permuted, missing sum, shape, region,
            slice, half, one output, upstream ignored, uniform upstream, strided upstream, nondeterministic, scattered.
        words: the same as a sentence's end, with its numbers: "twice the right gradient, everywhere".
        ratio: claimed / right, where it is one number (in the wrong part).
    """

    kind: str
    words: str
    ratio: float | None = None

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class InputFinding:
    """The verdict on the gradient of one input, or of one named intermediate.

    Args:
        name, shape: of the input.
        verdict: "right"; "wrong"; "kink": right, or within the valid interval where there is no derivative;
            "undecided": no difference that the arithmetic could resolve, but less resolved than was asked for.
        reason: why, where the numbers do not say it.
        worst: the element with the largest error; None if the gradient has no element or another shape.
        pattern: of a wrong gradient, what its errors have in common.
        wrong, measured, size: how many elements are wrong, were measured one by one, and are there.
        along: random directions in all elements at once, on top of these.
        difference, error: the largest |claimed - expected| and the largest uncertainty of what was expected.
        kinks: elements without a derivative, the first few.
    """

    name: str
    shape: tuple[int, ...]
    verdict: Verdict
    reason: str = ""
    worst: Worst | None = None
    pattern: Pattern | None = None
    wrong: int = 0
    measured: int = 0
    size: int = 0
    along: int = 0
    difference: float = 0.0
    error: float = 0.0
    kinks: tuple[Kink, ...] = ()

    @property
    def ok(self) -> bool:
        """True for a gradient that is right, or valid at a kink."""
        return self.verdict in ("right", "kink")

    @property
    def ratio(self) -> float | None:
        """claimed / right, where that is one number."""
        return None if self.pattern is None else self.pattern.ratio


@dataclass(frozen=True)
class Checked:
    """What was looked at, and how closely.

    Args:
        outputs: how many numbers the function returns.
        jacobian: True if every derivative of each of them was compared; else those of random combinations of them.
        upstreams: how many random upstream gradients.
        evaluations: how often the function was called.
        dtype: the arithmetic in which it computes.
        steps: the shortest and the longest step of the differences.
        atol, rtol: the tolerance.
    """

    outputs: int
    jacobian: bool
    upstreams: int
    evaluations: int
    dtype: str
    steps: tuple[float, float]
    atol: float
    rtol: float


@dataclass(frozen=True, eq=False)
class GradientFindings:
    """The result of a gradient check. As a bool, and compared with one, it is `ok`.

    Args:
        title: what was checked.
        inputs: a finding for each input.
        checked: how it was checked.
        complaints: what else is wrong: a gradient of another element type, an output that needs an upstream gradient.
    """

    title: str
    inputs: tuple[InputFinding, ...]
    checked: Checked
    complaints: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True if every gradient is right or valid at a kink, and there is no complaint."""
        return not self.complaints and all(one.ok for one in self.inputs)

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict of all."""
        verdicts: list[Verdict] = [one.verdict for one in self.inputs]
        return "wrong" if self.complaints else max(verdicts, key=_GRAVITY.index, default="right")

    @property
    def first_wrong(self) -> InputFinding | None:
        """The first wrong gradient in the order of `inputs`; with intermediates, the one nearest to the output."""
        return next((one for one in self.inputs if one.verdict == "wrong"), None)

    @property
    def worst(self) -> Worst | None:
        """The worst element of the first wrong gradient, else the one farthest off."""
        if self.first_wrong is not None:
            return self.first_wrong.worst
        found = [one.worst for one in self.inputs if one.worst is not None]
        return max(found, key=lambda w: abs(w.difference), default=None)

    @property
    def pattern(self) -> Pattern | None:
        """What the errors of the first wrong gradient have in common; of a complaint, its kind."""
        wrong = self.first_wrong
        if wrong is not None:
            return wrong.pattern
        return next((one.pattern for one in self.inputs if one.pattern is not None), None)

    @property
    def ratio(self) -> float | None:
        """claimed / right of the first wrong gradient, where that is one number."""
        return None if self.pattern is None else self.pattern.ratio

    def __getitem__(self, key: int | str) -> InputFinding:
        """The finding of one input, by number or name."""
        return self.inputs[key] if isinstance(key, int) else next(one for one in self.inputs if one.name == key)

    def __bool__(self) -> bool:
        return self.ok

    def __eq__(self, other: object) -> bool:
        return self.ok is other if isinstance(other, bool) else self is other

    def __hash__(self) -> int:
        return hash(self.ok)  # equal to True or False, so it hashes as they do

    def __repr__(self) -> str:
        return f"<{self.title}: {self.verdict}>"

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.verdict}", *[f"  {complaint}" for complaint in self.complaints]]
        foot = _foot(self.checked)
        graves = sorted(self.inputs, key=lambda one: one.ok)  # what is wrong first, each group in its order
        for number, one in enumerate(graves):
            more = list(_finding(one, self.inputs))
            if len(lines) + len(more) + len(foot) >= _LINES:
                left = graves[number:]
                wrong = sum(not other.ok for other in left)
                lines.append(f"  and {len(left)} more inputs, {wrong} of them wrong or undecided")
                break
            lines += more
        return "\n".join([*lines, *foot])

    def to_json(self) -> str:
        """The result as JSON: `ok`, `verdict` and all fields; nan and infinities as strings."""
        data = {"ok": self.ok, "verdict": self.verdict, **asdict(self)}
        return json.dumps(_jsonable(data), allow_nan=False)


def _finding(one: InputFinding, all_of_them: tuple[InputFinding, ...]) -> Iterator[str]:
    width = max(len(other.name) for other in all_of_them)
    what = str(one.pattern) if one.pattern is not None else one.reason
    if not what:
        what = f"largest difference {one.difference:.2g}, known to {one.error:.1g}"
    yield f"  {one.name:<{width}}  {one.shape}  {one.verdict}: {what}"
    pad = " " * (width + 4)
    if one.pattern is not None and one.reason:
        yield pad + one.reason
    worst = one.worst
    if worst is not None and (one.verdict == "wrong" or (one.verdict == "undecided" and math.isfinite(worst.error))):
        expected = (
            f"expected {worst.expected:.6g} ± {worst.error:.1g}"
            if worst.interval is None
            else f"valid is {worst.interval[0]:.6g} to {worst.interval[1]:.6g}"
        )
        yield (
            f"{pad}d {worst.output} / d {one.name}{_subscript(worst.index)}: claimed {worst.claimed:.6g}, {expected}, "
            f"difference {worst.difference:.3g} ({worst.share:.0%} of the error)"
        )
    if one.verdict == "wrong" and one.measured:
        yield f"{pad}{one.wrong} of {one.measured} measured elements are wrong"
    for kink in one.kinks[:2] if one.verdict == "kink" else ():
        yield (
            f"{pad}no derivative at {one.name}{_subscript(kink.index)}: claimed {kink.claimed:.6g}, "
            f"any value from {kink.low:.6g} to {kink.high:.6g} is valid"
        )
    if 0 < one.measured < one.size:
        yield f"{pad}{one.measured} of {one.size} elements one by one, all of them along {one.along} random directions"


def _foot(checked: Checked) -> list[str]:
    what = (
        f"the derivatives of each of {checked.outputs} output numbers"
        if checked.jacobian
        else f"the derivatives of random combinations of {checked.outputs} output numbers"
    )
    return [
        f"checked: {what}, {checked.upstreams} random upstream gradients (one of them strided); "
        f"{checked.evaluations} evaluations in {checked.dtype}",
        f"steps {checked.steps[0]:.1e} to {checked.steps[1]:.1e}, extrapolated; tolerance {checked.atol:.0e}"
        f" (of the largest, where that is below 1) + {checked.rtol:.0e} of each",
    ]


def _subscript(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]" if index else ""


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _jsonable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
