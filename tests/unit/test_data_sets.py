"""Data sets and samplers: lengths, indices, splits, draws and their errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import chainrule as cr
from chainrule.data import (
    BatchSampler,
    ConcatDataset,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)
from chainrule.errors import (
    ArgumentError,
    ArgumentTypeError,
    IndexOutOfRangeError,
    ShapeError,
)


def seeded(seed: int = 0) -> cr.Generator:
    return cr.Generator().manual_seed(seed)


# ---- data sets -------------------------------------------------------------------------------------------------


def test_a_sample_of_tensors_is_a_tuple_of_rows() -> None:
    dataset = TensorDataset(cr.arange(6).reshape(3, 2), cr.arange(3))
    x, y = dataset[1]
    assert (x.tolist(), y.item(), len(dataset)) == ([2, 3], 1, 3)


def test_tensors_of_different_lengths_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"(?s)Size mismatch between tensors.*tensors\[1\]  \(3,\)"):
        TensorDataset(cr.ones(2), cr.ones(3))
    with pytest.raises(ShapeError, match="the first axis counts the samples"):
        TensorDataset(cr.tensor(1.0))
    with pytest.raises(ShapeError, match="Size mismatch"):
        TensorDataset()
    with pytest.raises(ArgumentTypeError, match="argument 1 is of type list, not Tensor"):
        TensorDataset(cr.ones(2), [1, 2])  # type: ignore[arg-type]


def test_data_sets_are_concatenated_and_indexed_from_both_ends() -> None:
    both: Any = TensorDataset(cr.arange(3)) + TensorDataset(cr.arange(10, 12))
    assert isinstance(both, ConcatDataset)
    assert [both[i][0].item() for i in range(5)] == [0, 1, 2, 10, 11]
    assert both[-1][0].item() == 11
    assert both.cumulative_sizes == [3, 5]
    with pytest.raises(IndexOutOfRangeError, match="index 5 is out of range for 5 samples"):
        both[5]


def test_what_cannot_be_concatenated_is_refused() -> None:
    class Stream(IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            return iter([1, 2])

    with pytest.raises(ArgumentError, match="should not be an empty iterable"):
        ConcatDataset([])
    with pytest.raises(ArgumentTypeError, match="does not support IterableDataset"):
        ConcatDataset([Stream()])
    chained: Any = Stream() + Stream()
    assert list(chained) == [1, 2, 1, 2]


def test_the_methods_of_a_subclass_are_asked_for() -> None:
    with pytest.raises(NotImplementedError, match="should implement __getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match="should implement __iter__"):
        iter(IterableDataset())
    with pytest.raises(NotImplementedError, match="should implement __iter__"):
        iter(Sampler())


def test_a_split_is_disjoint_and_complete_and_repeats_with_its_seed() -> None:
    dataset = TensorDataset(cr.arange(10))
    parts = random_split(dataset, [7, 3], generator=seeded(1))
    indices = [list(p.indices) for p in parts]
    assert [len(p) for p in parts] == [7, 3]
    assert sorted(indices[0] + indices[1]) == list(range(10))
    assert [list(p.indices) for p in random_split(dataset, [7, 3], generator=seeded(1))] == indices
    assert isinstance(parts[0], Subset)


@pytest.mark.parametrize(
    ("fractions", "size", "counts"), [([0.8, 0.2], 10, [8, 2]), ([0.5, 0.5], 5, [3, 2]), ([1 / 3] * 3, 10, [4, 3, 3])]
)
def test_fractions_are_rounded_down_and_the_rest_dealt_out(
    fractions: list[float], size: int, counts: list[int]
) -> None:
    assert [len(p) for p in random_split(TensorDataset(cr.arange(size)), fractions)] == counts


@pytest.mark.parametrize("lengths", [[7, 2], [11, -1], [0.5, 0.4], [2.5, 7.5]])
def test_lengths_that_do_not_add_up_are_refused(lengths: list[Any]) -> None:
    with pytest.raises(ArgumentError, match=r"Sum of input lengths does not equal.*10"):
        random_split(TensorDataset(cr.arange(10)), lengths)


def test_a_fraction_outside_0_and_1_is_refused() -> None:
    with pytest.raises(ArgumentError, match="index 0 is not between 0 and 1"):
        random_split(TensorDataset(cr.arange(10)), [1.5, -0.5])


def test_an_empty_split_warns() -> None:
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        random_split(TensorDataset(cr.arange(2)), [0.9, 0.1])


# ---- samplers --------------------------------------------------------------------------------------------------


def test_a_random_sampler_permutes() -> None:
    sampler = RandomSampler(range(20), generator=seeded())
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert len(sampler) == 20


def test_more_draws_than_samples_are_whole_permutations() -> None:
    drawn = list(RandomSampler(range(4), num_samples=10, generator=seeded()))
    assert len(drawn) == 10
    assert sorted(drawn[:4]) == sorted(drawn[4:8]) == [0, 1, 2, 3]


def test_draws_with_replacement_repeat() -> None:
    drawn = list(RandomSampler(range(3), replacement=True, num_samples=50, generator=seeded()))
    assert len(drawn) == 50
    assert set(drawn) == {0, 1, 2}


def test_an_empty_data_set_has_no_order() -> None:
    assert list(RandomSampler([])) == []
    assert list(RandomSampler([], replacement=True)) == []
    assert list(SequentialSampler([])) == []
    assert list(SubsetRandomSampler([])) == []


def test_a_subset_sampler_permutes_its_indices() -> None:
    sampler = SubsetRandomSampler([5, 9, 2], generator=seeded())
    assert sorted(sampler) == [2, 5, 9]
    assert len(sampler) == 3


def test_weights_decide_how_often() -> None:
    drawn = list(WeightedRandomSampler([0.0, 1.0, 3.0], 4000, generator=seeded()))
    assert 0 not in drawn
    # 4000 draws with p = 3/4: the standard deviation is 27; five of them
    assert abs(drawn.count(2) - 3000) < 137
    assert sorted(WeightedRandomSampler([1, 2, 3], 3, replacement=False, generator=seeded())) == [0, 1, 2]


def test_batches_of_indices() -> None:
    assert list(BatchSampler(SequentialSampler(range(5)), 2, drop_last=False)) == [[0, 1], [2, 3], [4]]
    sampler = BatchSampler(SequentialSampler(range(5)), 2, drop_last=True)
    assert list(sampler) == [[0, 1], [2, 3]]
    assert len(sampler) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomSampler(range(3), num_samples=0), "num_samples should be a positive integer value"),
        (lambda: RandomSampler(range(3), replacement=1), "replacement should be a boolean value"),  # type: ignore[arg-type]
        (lambda: WeightedRandomSampler([1.0], 2.5), "num_samples should be a positive"),  # type: ignore[arg-type]
        (lambda: WeightedRandomSampler([[1.0]], 1), "weights should be a 1d sequence"),  # type: ignore[list-item]
        (lambda: BatchSampler([0], True, False), "batch_size should be a positive integer value"),
        (lambda: BatchSampler([0], 1, 0), "drop_last should be a boolean value"),  # type: ignore[arg-type]
    ],
)
def test_options_out_of_range_are_value_errors(make: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()
