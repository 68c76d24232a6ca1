"""Samplers: the order in which a loader asks for samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from chainrule.data.dataset import length
from chainrule.errors import ArgumentError
from chainrule.tensor.arrays import array_of
from chainrule.tensor.functions.random import Generator, multinomial, randint, randperm
from chainrule.tensor.graph import Array
from chainrule.tensor.tensor import wrap

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Indices, or lists of them: subclass it with `__iter__()`, and `__len__()` for len(loader)."""

    def __init__(self, data_source: Any = None) -> None:
        pass  # PyTorch's signature: subclasses call super().__init__(data_source)

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError("Subclasses of Sampler should implement __iter__.")


class OrderedSampler(Sampler[int]):
    """A sampler that knows the indices of an epoch beforehand, as an array: loaders slice it."""

    def order(self) -> Array:
        """The indices of one epoch, int64; drawn anew at each call."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())


class SequentialSampler(OrderedSampler):
    """0, 1, 2, ... in this order."""

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def order(self) -> Array:
        return np.arange(len(self), dtype=np.int64)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return length(self.data_source)


class RandomSampler(OrderedSampler):
    """All indices in random order; or `num_samples` draws, each from all of them, with `replacement`.

    Without replacement and for more draws than samples, one permutation follows another.

    Raises:
        ArgumentError: `num_samples` is no positive whole number, or `replacement` no bool.
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        _check_bool("RandomSampler", "replacement", replacement)
        if num_samples is not None:
            _check_positive("RandomSampler", "num_samples", num_samples)
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        """How many indices an epoch has."""
        return length(self.data_source) if self._num_samples is None else self._num_samples

    def order(self) -> Array:
        size, count = length(self.data_source), self.num_samples
        if not size:
            return np.empty(0, np.int64)
        if self.replacement:
            return randint(0, size, (count,), generator=self.generator).value
        if count == size:
            return randperm(size, generator=self.generator).value
        rounds = [randperm(size, generator=self.generator).value for _ in range(-(-count // size))]
        return np.concatenate(rounds)[:count]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(OrderedSampler):
    """Given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices, self.generator = indices, generator

    def order(self) -> Array:
        chosen = randperm(len(self.indices), generator=self.generator).value
        return index_array(self.indices)[chosen]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(OrderedSampler):
    """Indices 0 ... len(weights) - 1, drawn with probabilities in proportion to their weights.

    Raises:
        ArgumentError: `num_samples` is no positive whole number, `replacement` no bool, or the weights are no vector.
    """

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Generator | None = None
    ) -> None:
        _check_positive("WeightedRandomSampler", "num_samples", num_samples)
        _check_bool("WeightedRandomSampler", "replacement", replacement)
        values = array_of(weights).astype(np.float64)
        if values.ndim != 1:
            raise ArgumentError(f"WeightedRandomSampler: weights should be a 1d sequence, not of shape {values.shape}")
        self.weights, self.num_samples, self.replacement = wrap(values, None), num_samples, replacement
        self.generator = generator

    def order(self) -> Array:
        return multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator).value

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """The indices of another sampler in lists of `batch_size`; the last list may be shorter, or is dropped.

    Raises:
        ArgumentError: `batch_size` is no positive whole number, or `drop_last` no bool.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        _check_positive("BatchSampler", "batch_size", batch_size)
        _check_bool("BatchSampler", "drop_last", drop_last)
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return in_batches(self.sampler, self.batch_size, self.drop_last)

    def __len__(self) -> int:
        return number_of_batches(length(self.sampler), self.batch_size, self.drop_last)


def in_batches(samples: Iterable[Any], batch_size: int, drop_last: bool) -> Iterator[list[Any]]:
    """The samples in lists."""
    batch: list[Any] = []
    for sample in samples:
        batch.append(sample)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch and not drop_last:
        yield batch


def number_of_batches(samples: int, batch_size: int, drop_last: bool) -> int:
    """How many lists `in_batches` gives."""
    return samples // batch_size if drop_last else -(-samples // batch_size)


def index_array(indices: Any) -> Array:
    """A sequence of indices as an int64 array."""
    return array_of(indices).astype(np.int64, copy=False) if len(indices) else np.empty(0, np.int64)


def _check_positive(owner: str, name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ArgumentError(f"{owner}: {name} should be a positive integer value, but got {name}={value!r}")


def _check_bool(owner: str, name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ArgumentError(f"{owner}: {name} should be a boolean value, but got {name}={value!r}")
