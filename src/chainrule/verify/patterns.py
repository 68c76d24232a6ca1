"""What the errors of a wrong gradient have in common: a factor, a transpose, one slice, the region where x < 0.

A pattern is named only if it explains every wrong element and no right one; else the errors are "scattered".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from chainrule.verify.differences import Array
from chainrule.verify.findings import Pattern

CLOSE = 1e-3
"""Two gradients are the same pattern if they agree to this part of each number, and 1/100 of it of the largest."""


@dataclass(frozen=True)
class Error:
    """A claimed gradient beside the measured one, at the elements that were measured.

    Args:
        claimed, expected: (k,), the derivatives.
        wrong: (k,), which of them are wrong.
        slack: (k,), how far off `expected` may be.
        places: (k,), where the elements stand in the flattened input; in order if they are all of them.
        x: the input.
        y, upstream: the output and its upstream gradient where there is one output of the input's shape, else None.
        sizes: sizes that a factor may come from, by what they are: {"the size of axis 0 of x": 5}.
    """

    claimed: Array
    expected: Array
    wrong: Array
    slack: Array
    places: Array
    x: Array
    y: Array | None
    upstream: Array | None
    sizes: dict[str, int]

    @property
    def whole(self) -> bool:
        """True if every element of the input was measured."""
        return len(self.places) == self.x.size

    @property
    def scale(self) -> float:
        """The largest measured derivative."""
        return float(np.max(np.abs(self.expected), initial=0.0))


def pattern_of(error: Error) -> Pattern:
    """The first pattern that explains the error, the simplest first."""
    for find in _FINDERS:
        found = find(error)
        if found is not None:
            return found
    wrong, all_of_them = int(error.wrong.sum()), len(error.wrong)
    return Pattern("scattered", f"{wrong} of {all_of_them} elements, without a pattern")


def pattern_of_shape(claimed: Array, expected: Array) -> Pattern:
    """Of a gradient that has not the input's shape, what would make it right."""
    shapes = f"the gradient has shape {claimed.shape}, the input {expected.shape}"
    extra = claimed.ndim - expected.ndim
    for count in range(1, claimed.ndim + 1):
        for axes in combinations(range(claimed.ndim), count):
            total = claimed.sum(axis=axes, keepdims=True)
            summed = math.prod([claimed.shape[axis] for axis in axes]) > 1
            if (
                summed
                and total.size == expected.size
                and extra in (0, count)
                and _same(total.reshape(expected.shape), expected)
            ):
                return Pattern("missing sum", f"{shapes}: missing sum over axis {', '.join(map(str, axes))}")
    for order in permutations(range(claimed.ndim)) if 1 < claimed.ndim <= 5 else ():
        turned = claimed.transpose(order)
        if turned.shape == expected.shape and _same(turned, expected):
            return Pattern("transposed", f"{shapes}: transposed")
    if claimed.size == expected.size and _same(claimed.reshape(expected.shape), expected):
        return Pattern("shape", f"{shapes}: the right numbers")
    if claimed.size == 1:
        return Pattern("shape", f"{shapes}: one number for {expected.size}")
    return Pattern("shape", shapes)


def _same(a: Array, b: Array, slack: Array | float = 0.0) -> bool:
    """True if two gradients agree, to CLOSE."""
    largest = float(np.max(np.abs(b), initial=0.0))
    with np.errstate(invalid="ignore"):
        return bool(np.all(np.abs(a - b) <= CLOSE * np.abs(b) + CLOSE / 100 * largest + slack))


# ---- one number for all elements -----------------------------------------------------------------------


def _nan(error: Error) -> Pattern | None:
    bad = ~np.isfinite(error.claimed)
    if not bad.any():
        return None
    where = "everywhere" if bad.all() else f"at {int(bad.sum())} of {len(bad)} elements{_region_words(error, bad)}"
    what = "nan" if np.isnan(error.claimed).any() else "infinite"
    return Pattern("nan", f"{what} {where}")


def _zero(error: Error) -> Pattern | None:
    return Pattern("zero", "zero everywhere", 0.0) if not error.claimed.any() else None


def _scaled(error: Error) -> Pattern | None:
    ratio = _ratio(error.claimed, error.expected, error.slack)
    if ratio is None:
        return None
    kind = "sign" if abs(ratio + 1) < CLOSE else "scaled"
    return Pattern(kind, f"{_times(ratio, error.sizes)}, everywhere", ratio)


def _ratio(claimed: Array, expected: Array, slack: Array) -> float | None:
    """The one number that claimed is of expected, if there is one."""
    length = float(expected @ expected)
    if length == 0:
        return None
    ratio = float(claimed @ expected) / length
    return ratio if _same(claimed, ratio * expected, (1 + abs(ratio)) * slack) else None


def _times(ratio: float, sizes: dict[str, int]) -> str:
    """A factor in words, with where it may come from."""
    plain = {2.0: "twice the right gradient", 0.5: "half the right gradient", -1.0: "the right gradient negated"}
    for value, words in plain.items():
        if abs(ratio / value - 1) < CLOSE:
            return words
    for what, n in sizes.items():
        for value, words in ((n, f"{n}"), (1 / n, f"1/{n} of"), (-n, f"-{n}"), (-1 / n, f"-1/{n} of")):
            if n > 1 and abs(ratio / value - 1) < CLOSE:
                times = "" if words.endswith("of") else " times"
                return f"{words}{times} the right gradient ({n} is {what}: a sum taken for a mean, or the reverse)"
    return f"{ratio:.6g} times the right gradient"


def _offset(error: Error) -> Pattern | None:
    """The right gradient and something the same everywhere, in the gradient itself or in the slope dy/dx."""
    difference = error.claimed - error.expected
    if len(difference) < 3 or not error.wrong.all():
        return None
    what = [("", np.ones_like(difference))]
    if error.upstream is not None:
        what.append((" times the upstream gradient", error.upstream.ravel()[error.places]))
    for words, values in what:
        amount = _ratio(difference, values, error.slack)
        if amount is not None:
            sign = "-" if amount < 0 else "+"
            return Pattern("offset", f"the right gradient {sign} {abs(amount):.6g}{words}, everywhere")
    return None


# ---- the right numbers at other places ------------------------------------------------------------------


def _moved(error: Error) -> Pattern | None:
    """Transposed, reversed or permuted."""
    x = error.x
    if not error.whole or x.size < 2:
        return None
    claimed, expected = error.claimed.reshape(x.shape), error.expected.reshape(x.shape)
    for a, b in combinations(range(x.ndim), 2):
        if x.shape[a] == x.shape[b] > 1 and _same(claimed, expected.swapaxes(a, b)):
            axes = "" if x.ndim == 2 else f" in axes {a} and {b}"
            return Pattern("transposed", f"the right gradient transposed{axes}")
    for axis in range(x.ndim):
        if x.shape[axis] > 1 and _same(claimed, np.flip(expected, axis)):
            return Pattern("reversed", f"the right gradient reversed along axis {axis}")
    if x.size > 2 and _same(np.sort(error.claimed), np.sort(error.expected)):
        return Pattern("permuted", "the right numbers at other places")
    return None


# ---- a part of the elements ------------------------------------------------------------------------------


def _region(error: Error) -> Pattern | None:
    """Wrong exactly where the input, the output or the upstream gradient lies on one side of 0, or is 0."""
    for words in _signs(error, error.wrong):
        return _in_part(error, "region", f"where {words}")
    return None


def _slice(error: Error) -> Pattern | None:
    """Wrong in one slice or one half of an axis only."""
    index = np.unravel_index(error.places, error.x.shape)
    for axis, size in enumerate(error.x.shape):
        if size < 2:
            continue
        at = index[axis]
        where = np.unique(at[error.wrong])
        if len(where) == 1 and size > 1 and _fills(error, at == where[0]) and error.wrong.sum() > 1:
            return _in_part(error, "slice", f"in slice {where[0]} of axis {axis} only")
        for half, words in ((at < size // 2, "first"), (at >= (size + 1) // 2, "second")):
            if size > 2 and _fills(error, half):
                return _in_part(error, "half", f"in the {words} half of axis {axis} only")
    return None


def _threshold(error: Error) -> Pattern | None:
    """Wrong exactly where the input, the output or their size lies beyond some number."""
    for name, values in _aligned(error):
        for words, v in ((name, values), (f"|{name}|", np.abs(values))):
            inside, outside = v[error.wrong], v[~error.wrong]
            if len(inside) < 3 or len(outside) < 3:
                continue
            if inside.min() > outside.max():
                return _in_part(error, "region", f"where {words} > {outside.max():.3g}")
            if inside.max() < outside.min():
                return _in_part(error, "region", f"where {words} < {outside.min():.3g}")
    return None


def _one_element(error: Error) -> Pattern | None:
    if error.wrong.sum() != 1 or len(error.wrong) < 2:
        return None
    place = int(error.places[error.wrong][0])
    index = tuple(int(i) for i in np.unravel_index(place, error.x.shape))
    return _in_part(error, "slice", f"at element {list(index)} only")


def _signs(error: Error, part: Array) -> Iterator[str]:
    """In words, each region bounded by 0 that is this part of the elements."""
    tests: tuple[tuple[str, Callable[[Array], Array]], ...] = (
        ("< 0", lambda v: v < 0),
        ("> 0", lambda v: v > 0),
        ("= 0", lambda v: v == 0),
        ("<= 0", lambda v: v <= 0),
        (">= 0", lambda v: v >= 0),
    )
    for name, values in _aligned(error):
        for words, test in tests:
            if _fills(error, test(values), part):
                yield f"{name} {words}"


def _region_words(error: Error, part: Array) -> str:
    return next((f", where {words}" for words in _signs(error, part)), "")


def _aligned(error: Error) -> Iterator[tuple[str, Array]]:
    """What has a value at every element of the input: itself, and an output of the same shape."""
    for name, whole in (("x", error.x), ("y", error.y), ("the upstream gradient", error.upstream)):
        if whole is not None:
            yield name, whole.ravel()[error.places]


def _fills(error: Error, region: Array, part: Array | None = None) -> bool:
    """True if the part lies in the region and fills it but for zeros, and both it and the rest are not empty."""
    part = error.wrong if part is None else part
    if not part.any() or part.all() or (part & ~region).any():
        return False
    largest = float(np.max(np.abs(error.claimed[np.isfinite(error.claimed)]), initial=error.scale))
    visible = (np.abs(error.expected) > CLOSE * largest) | (np.abs(error.claimed) > CLOSE * largest)
    return not (region & ~part & visible).any() and bool((~region).any())


def _in_part(error: Error, kind: str, where: str) -> Pattern:
    """A pattern of the wrong part, with the factor that holds there."""
    claimed, expected = error.claimed[error.wrong], error.expected[error.wrong]
    count = f"{int(error.wrong.sum())} of {len(error.wrong)} elements"
    if not claimed.any():
        return Pattern(kind, f"zero {where} ({count})", 0.0)
    ratio = _ratio(claimed, expected, error.slack[error.wrong])
    if ratio is None or not math.isfinite(ratio):
        return Pattern(kind, f"wrong {where} ({count})")
    return Pattern(kind, f"{_times(ratio, error.sizes)}, {where} ({count})", ratio)


_FINDERS: tuple[Callable[[Error], Pattern | None], ...] = (
    _nan, _zero, _scaled, _moved, _one_element, _region, _slice, _threshold, _offset,
)  # fmt: skip
