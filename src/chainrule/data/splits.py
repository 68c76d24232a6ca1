"""Which rows train and which are held out: two lists of row numbers, the same again for the same seed."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import ArgumentError, ArgumentTypeError, DataError

Rows: TypeAlias = NDArray[np.int64]


def stratified_split(labels: ArrayLike, fraction: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """The rows to train on and the rows held out, each class keeping its share of both.

    A class of n rows has n * fraction of them held out, rounded up or down so that the total is as near as
    possible to the fraction of all rows. Every class keeps at least one row to train on, so a class with a
    single row is never held out.

    Args:
        labels: (n,) the class of each row: whole numbers or words.
        fraction: the share that is held out, above 0 and below 1.
        rng: decides which rows go where.

    Returns:
        Two rising arrays of row numbers that together are 0..n-1.

    Raises:
        ArgumentError: the fraction is not between 0 and 1, or `labels` is not one-dimensional.
        DataError: no row would be held out.

    Example:
        >>> train, held = stratified_split([0, 0, 0, 0, 1, 1], 0.5, np.random.default_rng(0))
        >>> len(train), len(held)
        (3, 3)
    """
    _check("stratified_split", fraction, rng)
    classes, which = _classes(labels)
    counts = np.bincount(which, minlength=len(classes))
    held_counts = _share_out(counts, fraction, rng)
    n, n_held = len(which), int(held_counts.sum())
    if n_held == 0:
        raise DataError(
            f"stratified_split: {fraction:g} of {n} rows in {len(classes)} classes leaves no row to hold out",
            got=[f"rows of each class: {_shown(classes, counts)}"],
            mend="Every class keeps one row to train on: take a larger fraction, or more rows of each class.",
        )
    held = np.concatenate([rng.permutation(np.flatnonzero(which == c))[:k] for c, k in enumerate(held_counts)])
    return _the_others(held, n), np.sort(held)


def random_split_indices(n: int, fraction: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """The rows to train on and the rows held out: round(n * fraction) of n rows, drawn at random.

    Args:
        n: how many rows there are.
        fraction: the share that is held out, above 0 and below 1.
        rng: decides which rows go where.

    Returns:
        Two rising arrays of row numbers that together are 0..n-1.

    Raises:
        ArgumentError: the fraction is not between 0 and 1.
        DataError: one of the two parts would be empty.

    Example:
        >>> train, held = random_split_indices(10, 0.2, np.random.default_rng(0))
        >>> len(train), len(held)
        (8, 2)
    """
    _check("random_split_indices", fraction, rng)
    n_held = round(n * fraction)
    if not 0 < n_held < n:
        part = "hold out" if n_held <= 0 else "train on"
        raise DataError(
            f"random_split_indices: {fraction:g} of {n} rows leaves no row to {part}",
            mend="Take more rows, or another fraction.",
        )
    held = rng.permutation(n)[:n_held]
    return _the_others(held, n), np.sort(held)


def _share_out(counts: Rows, fraction: float, rng: np.random.Generator) -> Rows:
    """How many rows of each class to hold out, by largest remainders; the rng decides between equal ones."""
    exact = counts * fraction
    shares: Rows = np.floor(exact).astype(np.int64)  # below counts, as the fraction is below 1
    wanted = round(int(counts.sum()) * fraction) - int(shares.sum())
    by_remainder = np.lexsort((rng.random(len(counts)), shares - exact))
    can_spare_another = by_remainder[shares[by_remainder] + 1 < counts[by_remainder]]
    shares[can_spare_another[: max(wanted, 0)]] += 1
    return shares


def _classes(labels: ArrayLike) -> tuple[NDArray[Any], Rows]:
    """The different labels in order, and for each row the position of its label among them."""
    array = np.asarray(labels)
    if array.ndim != 1:
        raise ArgumentError(
            "stratified_split: labels must have one dimension, a class for each row",
            got=[f"labels  {array.shape}  {array.dtype}"],
        )
    classes, which = np.unique(array, return_inverse=True)
    return classes, which


def _check(operation: str, fraction: float, rng: np.random.Generator) -> None:
    if not isinstance(rng, np.random.Generator):
        raise ArgumentTypeError(
            f"{operation}: rng must be a numpy.random.Generator",
            got=[f"rng  {type(rng).__name__}"],
            mend="numpy.random.default_rng(seed) makes one.",
        )
    if not 0 < fraction < 1:
        raise ArgumentError(f"{operation}: fraction must lie above 0 and below 1", got=[f"fraction  {fraction!r}"])


def _the_others(rows: Rows, n: int) -> Rows:
    """The numbers 0..n-1 that are not among `rows`, rising."""
    others = np.ones(n, dtype=np.bool_)
    others[rows] = False
    return np.flatnonzero(others)


def _shown(classes: NDArray[Any], counts: Rows) -> str:
    pairs = [f"{c}: {k}" for c, k in zip(classes[:5], counts[:5], strict=True)]
    return ", ".join(pairs + ["..."] * (len(classes) > 5))
