"""Splits: shares of classes, the same rows for the same seed, and an error where a part would be empty."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data.splits import random_split_indices, stratified_split
from chainrule.errors import ArgumentError, ArgumentTypeError, DataError

seeds = st.integers(0, 2**32 - 1)
fractions = st.floats(0.01, 0.99)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=200), fraction=fractions, seed=seeds)
def test_each_class_keeps_its_share_within_one_row_and_always_one_to_train_on(labels, fraction, seed):
    array = np.array(labels)
    try:
        train, held = stratified_split(array, fraction, rng(seed))
    except DataError:
        sizes = np.bincount(array)
        assert round(len(labels) * fraction) == 0 or sizes.max() == 1
        return
    assert sorted([*train, *held]) == list(range(len(labels)))
    assert len(held) <= round(len(labels) * fraction)
    for label in set(labels):
        size, held_size = np.sum(array == label), np.sum(array[held] == label)
        assert abs(held_size - size * fraction) <= 1
        assert held_size < size


@given(sizes=st.lists(st.integers(2, 30), min_size=1, max_size=8), seed=seeds)
def test_the_held_rows_are_exactly_the_fraction_where_no_class_is_too_small(sizes, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    _, held = stratified_split(labels, 0.5, rng(seed))
    assert len(held) == round(len(labels) * 0.5)


@given(seed=seeds)
def test_the_same_seed_gives_the_same_split(seed):
    labels = ["a", "b", "b", "a", "c", "b", "a", "c"]
    first, second = (stratified_split(labels, 0.4, rng(seed)) for _ in range(2))
    assert [p.tolist() for p in first] == [p.tolist() for p in second]
    first, second = (random_split_indices(8, 0.4, rng(seed)) for _ in range(2))
    assert [p.tolist() for p in first] == [p.tolist() for p in second]


def test_another_seed_gives_another_split():
    held = {tuple(stratified_split([0] * 50 + [1] * 50, 0.2, rng(seed))[1]) for seed in range(5)}
    assert len(held) == 5


def test_a_class_with_a_single_row_goes_to_training():
    train, held = stratified_split(["rare", *["common"] * 9], 0.5, rng())
    assert 0 in train
    assert 0 not in held


def test_a_fraction_one_step_below_one_leaves_each_class_a_row_to_train_on():
    train, _ = stratified_split([0] * 1797 + [1] * 1797, np.nextafter(1.0, 0.0), rng())
    assert len(train) == 2


def test_both_parts_are_rising_row_numbers():
    for train, held in (stratified_split([0, 1] * 20, 0.3, rng()), random_split_indices(40, 0.3, rng())):
        assert train.dtype == held.dtype == np.int64
        assert (np.diff(train) > 0).all()
        assert (np.diff(held) > 0).all()


def test_stratified_split_shows_the_classes_when_nothing_can_be_held_out():
    with pytest.raises(DataError, match=r"0.1 of 4 rows in 2 classes leaves no row to hold out") as error:
        stratified_split(["a", "a", "b", "b"], 0.1, rng())
    assert "rows of each class: a: 2, b: 2" in str(error.value)
    with pytest.raises(DataError, match="leaves no row to hold out"):
        stratified_split(list("abcdefg"), 0.5, rng())
    with pytest.raises(DataError, match="0 rows in 0 classes"):
        stratified_split([], 0.5, rng())


@given(n=st.integers(2, 300), fraction=fractions, seed=seeds)
def test_a_random_split_holds_out_the_rounded_fraction(n, fraction, seed):
    wanted = round(n * fraction)
    if 0 < wanted < n:
        train, held = random_split_indices(n, fraction, rng(seed))
        assert len(held) == wanted
        assert sorted([*train, *held]) == list(range(n))
    else:
        with pytest.raises(DataError):
            random_split_indices(n, fraction, rng(seed))


def test_random_split_says_which_part_would_be_empty():
    with pytest.raises(DataError, match=r"0\.1 of 3 rows leaves no row to hold out"):
        random_split_indices(3, 0.1, rng())
    with pytest.raises(DataError, match=r"0\.9 of 3 rows leaves no row to train on"):
        random_split_indices(3, 0.9, rng())


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 1.5, float("nan")])
def test_a_fraction_outside_zero_to_one_is_refused(fraction):
    with pytest.raises(ArgumentError, match="fraction must lie above 0 and below 1"):
        stratified_split([0, 1], fraction, rng())
    with pytest.raises(ArgumentError, match="fraction must lie above 0 and below 1"):
        random_split_indices(10, fraction, rng())


def test_a_seed_in_place_of_a_generator_is_refused_with_the_way_to_make_one():
    with pytest.raises(ArgumentTypeError, match=r"rng must be a numpy.random.Generator") as error:
        stratified_split([0, 1], 0.5, 7)  # type: ignore[arg-type]  # the mistake under test
    assert "default_rng(seed)" in str(error.value)


def test_labels_with_two_dimensions_are_refused_with_their_shape():
    with pytest.raises(ArgumentError, match=r"labels must have one dimension(.|\n)*\(2, 2\)"):
        stratified_split(np.eye(2), 0.5, rng())
