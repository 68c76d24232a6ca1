"""Data sets: samples by number, or one after another, under PyTorch's names."""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from chainrule.errors import ArgumentError, ArgumentTypeError, IndexOutOfRangeError, ShapeError
from chainrule.tensor.functions.random import Generator, randperm
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Samples that have numbers: subclass it with `__getitem__(index)`, and `__len__()` for most samplers.

    `__getitems__(indices)` may return the list of a batch's samples at once.
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset[Any]:
        """The samples of both, one after the other."""
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Samples that come one after another: subclass it with `__iter__()`."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError("Subclasses of IterableDataset should implement __iter__.")

    def __add__(self, other: Dataset[Any]) -> Any:
        """The samples of both, one after the other."""
        return ChainDataset([self, other])


class ChainDataset(IterableDataset[Any]):
    """The samples of several iterable data sets, one data set after another."""

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        super().__init__()
        self.datasets = datasets

    def _checked(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise ArgumentTypeError(f"ChainDataset takes IterableDatasets, not {type(dataset).__name__}")
            yield dataset

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self._checked())

    def __len__(self) -> int:
        return sum([len(dataset) for dataset in self._checked()])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Sample i is the i-th row of each tensor.

    Raises:
        ArgumentTypeError: an argument is no tensor.
        ShapeError: the tensors do not have the same number of rows, or there is none.
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        for i, x in enumerate(tensors):
            if not isinstance(x, Tensor):
                raise ArgumentTypeError(
                    f"TensorDataset: argument {i} is of type {type(x).__name__}, not Tensor",
                    mend="Convert it first: chainrule.as_tensor(...)",
                )
        if not tensors or any(not x.value.ndim or len(x.value) != len(tensors[0].value) for x in tensors):
            raise ShapeError(
                "TensorDataset: Size mismatch between tensors: the first axis counts the samples",
                got=[describe(f"tensors[{i}]", x) for i, x in enumerate(tensors)],
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple([x[index] for x in self.tensors])

    def __len__(self) -> int:
        return len(self.tensors[0].value)


class Subset(Dataset[T_co]):
    """The samples of a data set at given indices."""

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """The samples of a batch."""
        inner = [self.indices[i] for i in indices]
        many = getattr(self.dataset, "__getitems__", None)
        return list(many(inner)) if callable(many) else [self.dataset[i] for i in inner]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset[T_co]):
    """The samples of several data sets, one data set after another.

    Raises:
        ArgumentError: there is no data set.
        ArgumentTypeError: one of them is an IterableDataset, whose samples have no numbers.
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset: datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise ArgumentTypeError("ConcatDataset does not support IterableDataset", mend="Use ChainDataset.")
        self.cumulative_sizes = list(itertools.accumulate([length(dataset) for dataset in self.datasets]))

    def __getitem__(self, index: int) -> Any:
        size = len(self)
        if not -size <= index < size:
            raise IndexOutOfRangeError(f"ConcatDataset: index {index} is out of range for {size} samples")
        place = index % size
        which = bisect.bisect_right(self.cumulative_sizes, place)
        return self.datasets[which][place - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


def length(dataset: Any) -> int:
    """How many samples there are.

    Raises:
        ArgumentTypeError: the data set has no `__len__`.
    """
    try:
        return len(dataset)
    except TypeError:
        raise ArgumentTypeError(
            f"{type(dataset).__name__} has no length", mend="Define __len__(self) in it, or pass a sampler."
        ) from None


def random_split(
    dataset: Dataset[T_co], lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset[T_co]]:
    """Subsets without a sample in common, drawn at random.

    Args:
        lengths: the numbers of samples, which add up to all; or fractions that add up to 1, rounded down, and
            what remains is dealt out one by one from the first subset on.
        generator: draws the order; the default one if missing.

    Raises:
        ArgumentError: the lengths do not add up, or one is negative or a fraction above 1.
    """
    size = length(dataset)
    counts = _counts(lengths, size)
    order = randperm(size, generator=generator).tolist()
    ends = itertools.accumulate(counts)
    return [Subset(dataset, order[end - count : end]) for count, end in zip(counts, ends, strict=True)]


def _counts(lengths: Sequence[int | float], size: int) -> list[int]:
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1 + 1e-9 and any(isinstance(n, float) for n in lengths):
        counts = _counts_of_fractions(lengths, size)
    else:
        counts = [int(n) for n in lengths]
        if counts != list(lengths) or sum(counts) != size or any(n < 0 for n in counts):
            raise ArgumentError(
                f"random_split: Sum of input lengths does not equal the length of the input dataset, {size}",
                got=[f"lengths {list(lengths)}"],
                mend="Give whole numbers that add up to it, or fractions that add up to 1.",
            )
    return counts


def _counts_of_fractions(fractions: Sequence[float], size: int) -> list[int]:
    for i, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ArgumentError(f"random_split: Fraction at index {i} is not between 0 and 1: {fraction}")
    counts = [math.floor(size * fraction) for fraction in fractions]
    for i in range(size - sum(counts)):
        counts[i % len(counts)] += 1
    for i, count in enumerate(counts):
        if count == 0:
            warnings.warn(
                f"Length of split at index {i} is 0. This might result in an empty dataset.", UserWarning, stacklevel=4
            )
    return counts
