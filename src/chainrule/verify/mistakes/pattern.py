"""What can be seen of an error without knowing the mistake: its ratio to the right value, and where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.notation.prose import Prose
from chainrule.notation.source import source
from chainrule.notation.words import Words, words
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Expression, Number, Real, Symbol
from chainrule.symbolic.simplify import simplified
from chainrule.verify.mistakes.network import Network

Array: TypeAlias = NDArray[Any]
Values: TypeAlias = Mapping[str, Array]
Kind: TypeAlias = Literal[
    "not finite", "transposed", "shape", "zero", "constant ratio", "ratio", "zero where", "some elements",
    "constant difference", "none",
]  # fmt: skip

FORMS: tuple[Callable[[Any], Any], ...] = (
    lambda s: s,
    lambda s: 1 / s,
    lambda s: 1 - s,
    lambda s: 1 / (1 - s),
    lambda s: s * (1 - s),
    lambda s: 1 / (s * (1 - s)),
    lambda s: 1 - s * s,
    lambda s: 1 / (1 - s * s),
    lambda s: s / (1 - s),
    lambda s: (1 - s) / s,
)
"""What the ratio of a wrong derivative to the right one is made of: 1/(1 - a) where a stands for a (1 - a)."""


@dataclass(frozen=True)
class Pattern:
    """What an error looks like.

    Attributes:
        kind: what it is, for programs.
        wrong, of: how many elements are wrong on all draws together, and how many there are.
        ratio: claimed / right, where it is the same simple formula on every draw.
        where: a condition that holds at the wrong elements and nowhere else.
        difference: claimed - right, where it is one number.
    """

    kind: Kind
    wrong: int = 0
    of: int = 0
    ratio: Expression | None = None
    where: Expression | None = None
    difference: float | None = None

    def text(self, lang: str) -> str:
        """The pattern in a sentence, in English ("en") or Chinese ("zh"); empty where the shape says it all."""
        said = self._said(words(lang))
        return "".join([str(part) for part in said])

    def _said(self, say: Words) -> Prose:
        if self.kind == "transposed":
            return say.transposed()
        if self.kind == "constant ratio" and self.ratio == Number(-1):
            return say.opposite_sign()
        if self.kind in ("constant ratio", "ratio") and self.ratio is not None:
            return say.constant_ratio(source(self.ratio))
        if self.kind == "zero":
            return say.constant_ratio("0")
        if self.where is not None:
            return (say.zero_where if self.kind == "zero where" else say.wrong_where)(source(self.where))
        if self.difference is not None:
            return say.constant_difference(f"{self.difference:.6g}")
        if self.kind == "some elements":
            return say.share_wrong(self.wrong, self.of)
        return say.no_pattern() if self.kind == "none" else ()


def agree(a: Array, b: Array, tolerance: float, rounding: float = 0.0) -> bool:
    """True for finite values, equal to `tolerance` of the largest element, or to `rounding`; leading axes of size 1 do
    not count."""
    if without_lead(a.shape) != without_lead(b.shape):
        return False
    if a.size == 0:
        return True
    scale = max(float(np.abs(a).max()), float(np.abs(b).max()))
    return bool(np.isfinite(scale) and np.abs(a.ravel() - b.ravel()).max() <= tolerance * scale + rounding)


def without_lead(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without leading axes of size 1: (1, 4) and (4,) are a row, (4, 1) is not."""
    lead = next((i for i, n in enumerate(shape) if n != 1), len(shape))
    return shape[lead:]


def pattern_of(
    network: Network, claimed: Sequence[Array], right: Sequence[Array], draws: Sequence[Values], tolerance: float
) -> Pattern:
    """What can be seen of the error on every draw, the most telling first."""
    if not all(np.isfinite(c).all() for c in claimed):
        return Pattern("not finite")
    pairs = list(zip(claimed, right, strict=True))
    if all(r.ndim > 1 and agree(c, r.swapaxes(-1, -2), tolerance) for c, r in pairs):
        return Pattern("transposed")
    if any(without_lead(c.shape) != without_lead(r.shape) for c, r in pairs):
        return Pattern("shape")
    pairs = [(c.reshape(r.shape), r) for c, r in pairs]
    wrong = [_wrong(c, r, tolerance) for c, r in pairs]
    counts = (sum(int(w.sum()) for w in wrong), sum(w.size for w in wrong))
    if all(not c.any() for c, _ in pairs):
        return Pattern("zero", *counts)
    number = constant_ratio(pairs, tolerance)
    if number is not None:
        return Pattern("constant ratio", *counts, ratio=Number(number))
    for ratio in _ratios(network, pairs[0][1].shape):
        if all(_is_ratio(ratio, c, r, values, tolerance) for (c, r), values in zip(pairs, draws, strict=True)):
            return Pattern("ratio", *counts, ratio=ratio)
    where = _where(network, wrong, draws)
    if where is not None:
        zero = all(not c[w].any() for (c, _), w in zip(pairs, wrong, strict=True))
        return Pattern("zero where" if zero else "some elements", *counts, where=where)
    differences = [c - r for c, r in pairs]
    off = float(differences[0].flat[0])
    if all(agree(d, np.full(d.shape, off), tolerance) for d in differences):
        return Pattern("constant difference", *counts, difference=off)
    return Pattern("some elements" if counts[0] < counts[1] else "none", *counts)


def constant_ratio(pairs: Sequence[tuple[Array, Array]], tolerance: float) -> Real | None:
    """The number that claimed / right is on every draw, as a ratio of small integers where it is one."""
    c, r = max(pairs, key=lambda pair: float(np.abs(pair[1]).max(initial=0.0)))
    if r.size == 0 or not r.any():
        return None
    place = int(np.abs(r).argmax())
    number = float(c.flat[place] / r.flat[place])
    if not all(agree(c, number * r, tolerance) for c, r in pairs):
        return None
    simple = Fraction(number).limit_denominator(1000)
    if simple and abs(simple - number) <= tolerance * abs(number):
        return simple.numerator if simple.denominator == 1 else simple
    return number


def _ratios(network: Network, shape: tuple[int, ...]) -> Iterator[Expression]:
    for s in network.quantities:
        if not network.is_derivative(s) and _spreads(s, shape):
            for form in FORMS:
                yield form(s)
                yield simplified(-form(s))


def _spreads(s: Symbol, shape: tuple[int, ...]) -> bool:
    return len(s.shape) <= len(shape) and all(
        n in (1, m) for n, m in zip(reversed(s.shape), reversed(shape), strict=False)
    )


def _is_ratio(ratio: Expression, claimed: Array, right: Array, values: Values, tolerance: float) -> bool:
    with np.errstate(all="ignore"):
        found = evaluate(ratio, values) * right
    return bool(np.isfinite(found).all()) and agree(claimed, found, tolerance)


def _wrong(claimed: Array, right: Array, tolerance: float) -> NDArray[np.bool_]:
    scale = max(float(np.abs(claimed).max(initial=0.0)), float(np.abs(right).max(initial=0.0)))
    wrong: NDArray[np.bool_] = np.abs(claimed - right) > tolerance * scale
    return wrong


def _where(network: Network, wrong: Sequence[NDArray[np.bool_]], draws: Sequence[Values]) -> Expression | None:
    """A quantity whose sign says which elements are wrong."""
    if all(w.all() for w in wrong):
        return None
    for s in network.quantities:
        if network.is_derivative(s) or not _spreads(s, wrong[0].shape):
            continue
        for condition in (s <= Number(0), s > Number(0)):
            masks = [
                np.broadcast_to(evaluate(condition, values), w.shape) for values, w in zip(draws, wrong, strict=True)
            ]
            if all((mask == w).all() for mask, w in zip(masks, wrong, strict=True)):
                return condition
    return None
