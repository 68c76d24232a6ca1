"""The data that claims are judged on: the givens as they stand, and drawn again.

A claim that is right by chance at one point is not right. Random givens are drawn anew, literal ones are perturbed;
what a literal plainly is stays: one-hot and probability columns, labels, counts, the sign of a number, a probability.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

Nature = Literal["random", "one-hot", "probabilities", "labels", "count", "between 0 and 1", "numbers", "fixed"]


@dataclass(frozen=True)
class Given:
    """A quantity that a derivation starts from.

    Args:
        name: its name.
        value: as it stands, float64.
        nature: what it plainly is, and so what a redraw keeps.
        seed: of a random one.
    """

    name: str
    value: Array
    nature: Nature
    seed: int = 0

    def drawn(self, number: int, size: float = 1.0) -> Array:
        """The value of draw `number`; 0 is the value as it stands. `size` scales how far literals move."""
        if number == 0 or self.nature in ("count", "fixed"):
            return self.value
        rng = np.random.default_rng([self.seed, number, zlib.crc32(self.name.encode())])
        return np.asarray(REDRAW[self.nature](self.value, rng, size), dtype=np.float64)


def random_given(name: str, shape: tuple[int, ...], seed: int | None = None) -> Given:
    """Standard normal numbers; without a seed they follow from the name."""
    seed = zlib.crc32(name.encode()) if seed is None else seed
    return Given(name, np.random.default_rng(seed).normal(size=shape), "random", seed)


def literal_given(name: str, value: Any, *, is_label: bool, is_count: bool) -> Given:
    """A given that was written out. Its nature follows from its numbers, and from how it is used."""
    array = np.asarray(value, dtype=np.float64)
    return Given(name, array, nature_of(array, is_label=is_label, is_count=is_count))


def nature_of(x: Array, *, is_label: bool, is_count: bool) -> Nature:
    """What the numbers plainly are."""
    if is_count and x.size == 1 and float(x.item()).is_integer():
        return "count"
    binary = bool(np.isin(x, (0.0, 1.0)).all())
    columns = x.ndim == 2 and x.shape[0] > 1
    if columns and binary and (x.sum(axis=0) == 1).all():
        return "one-hot"
    if columns and (x >= 0).all() and np.allclose(x.sum(axis=0), 1, rtol=1e-6):
        return "probabilities"
    if binary and is_label:
        return "labels"
    return "between 0 and 1" if ((x > 0) & (x < 1)).all() else "numbers"


def _random(x: Array, rng: np.random.Generator, size: float) -> Array:
    return np.asarray(rng.normal(size=x.shape))


def _one_hot(x: Array, rng: np.random.Generator, size: float) -> Array:
    rows, samples = x.shape
    y = np.zeros_like(x)
    y[rng.integers(rows, size=samples), np.arange(samples)] = 1
    return y


def _probabilities(x: Array, rng: np.random.Generator, size: float) -> Array:
    y: Array = rng.dirichlet(np.ones(x.shape[0]), size=x.shape[1]).T
    return y


def _labels(x: Array, rng: np.random.Generator, size: float) -> Array:
    return np.asarray(rng.integers(2, size=x.shape), np.float64)


def _between(x: Array, rng: np.random.Generator, size: float) -> Array:
    odds = x / (1 - x) * np.exp(0.7 * size * rng.normal(size=x.shape))
    return np.asarray(odds / (1 + odds))


def _numbers(x: Array, rng: np.random.Generator, size: float) -> Array:
    """Signs stay, sizes change; what is 0 becomes something else."""
    moved = x * np.exp(0.5 * size * rng.normal(size=x.shape))
    return np.asarray(np.where(x == 0, 0.4 * size * rng.normal(size=x.shape), moved))


REDRAW: dict[str, Callable[[Array, np.random.Generator, float], Array]] = {
    "random": _random, "one-hot": _one_hot, "probabilities": _probabilities, "labels": _labels,
    "between 0 and 1": _between, "numbers": _numbers,
}  # fmt: skip
