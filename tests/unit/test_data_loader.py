"""DataLoader: batches in the order of a sampler, options that exclude each other, and the direct path."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    get_worker_info,
)
from chainrule.data.loader import rows_of
from chainrule.errors import (
    ArgumentError,
    ArgumentTypeError,
    IndexOutOfRangeError,
    ShapeError,
    UnsupportedError,
)


class Numbers(Dataset[int]):
    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: Any) -> int:
        return int(index)


class Stream(IterableDataset[int]):
    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n))


def values(loader: Any) -> list[Any]:
    return [batch.tolist() for batch in loader]


def table(n: int = 10) -> TensorDataset:
    return TensorDataset(cr.arange(2 * n).reshape(n, 2).float(), cr.arange(n))


# ---- order -----------------------------------------------------------------------------------------------------


def test_batches_come_in_order_and_the_last_one_may_be_shorter() -> None:
    loader = DataLoader(Numbers(7), batch_size=3)
    assert values(loader) == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(loader) == 3


def test_the_last_batch_is_dropped_on_request() -> None:
    loader = DataLoader(Numbers(7), batch_size=3, drop_last=True)
    assert values(loader) == [[0, 1, 2], [3, 4, 5]]
    assert len(loader) == 2


def test_every_epoch_is_shuffled_anew_and_a_seed_repeats_them() -> None:
    loader = DataLoader(Numbers(50), batch_size=50, shuffle=True, generator=cr.Generator().manual_seed(1))
    first, second = values(loader), values(loader)
    assert sorted(first[0]) == list(range(50))
    assert first != second
    again = DataLoader(Numbers(50), batch_size=50, shuffle=True, generator=cr.Generator().manual_seed(1))
    assert [values(again), values(again)] == [first, second]


def test_without_a_batch_size_samples_come_one_by_one() -> None:
    loader = DataLoader([np.ones(2, np.float32), {"a": (np.zeros(1), "text")}], batch_size=None)
    first, second = list(loader)
    assert first.dtype is cr.float32
    assert second["a"][0].dtype is cr.float64
    assert second["a"][1] == "text"
    assert len(loader) == 2


def test_a_batch_sampler_gives_the_batches() -> None:
    loader = DataLoader(Numbers(9), batch_sampler=[[8, 1], [3]])
    assert values(loader) == [[8, 1], [3]]
    assert len(loader) == 2
    assert loader.batch_size is None


def test_getitems_fetches_a_batch_at_once() -> None:
    class Many(Numbers):
        def __getitems__(self, indices: list[int]) -> list[int]:
            return [10 * i for i in indices]

    assert values(DataLoader(Many(4), batch_size=2)) == [[0, 10], [20, 30]]


def test_an_iterable_data_set_is_batched_as_it_comes() -> None:
    assert values(DataLoader(Stream(5), batch_size=2)) == [[0, 1], [2, 3], [4]]
    assert values(DataLoader(Stream(5), batch_size=2, drop_last=True)) == [[0, 1], [2, 3]]
    assert list(DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]
    with pytest.raises(ArgumentTypeError, match="Stream has no length"):
        len(DataLoader(Stream(5)))


def test_workers_change_nothing() -> None:
    loader = DataLoader(Numbers(4), batch_size=2, num_workers=4, prefetch_factor=2, persistent_workers=True)
    assert values(loader) == [[0, 1], [2, 3]]
    assert get_worker_info() is None


# ---- the direct path -------------------------------------------------------------------------------------------


def slow(dataset: Any, **options: Any) -> list[Any]:
    """The same batches, sample by sample."""
    return list(DataLoader(dataset, collate_fn=lambda samples: default_collate(samples), **options))


@pytest.mark.parametrize("options", [{"batch_size": 3}, {"batch_size": 4, "drop_last": True}, {"sampler": [3, -1, 0]}])
@pytest.mark.parametrize("subset", [None, [5, 2, 7, 7], cr.arange(6)], ids=["all", "list", "tensor"])
def test_rows_of_tensors_are_batched_as_samples_are(options: dict[str, Any], subset: Any) -> None:
    dataset: Any = table() if subset is None else Subset(table(), subset)
    direct = list(DataLoader(dataset, **options))
    by_sample = slow(dataset, **options)
    assert len(direct) == len(by_sample) == len(DataLoader(dataset, **options))
    for batch, expected in zip(direct, by_sample, strict=True):
        assert isinstance(batch, list)
        for x, y in zip(batch, expected, strict=True):
            assert x.dtype is y.dtype
            assert np.array_equal(x.value, y.value)


def test_a_subset_of_a_subset_is_batched_directly() -> None:
    dataset = Subset(Subset(table(), [9, 8, 7, 6]), [0, 2])
    assert rows_of(dataset) is not None
    ((_, y),) = DataLoader(dataset, batch_size=2)
    assert y.tolist() == [9, 7]


def test_a_batch_is_a_copy() -> None:
    dataset = table()
    for x, _ in DataLoader(dataset, batch_size=5):
        x.zero_()
    assert dataset.tensors[0].sum().item() == 190


def test_what_changes_between_batches_is_seen() -> None:
    dataset = table(4)
    loader = iter(DataLoader(dataset, batch_size=2))
    next(loader)
    dataset.tensors[1].fill_(7)
    assert next(loader)[1].tolist() == [7, 7]


def test_a_subclass_defines_its_own_samples() -> None:
    class Doubled(TensorDataset):
        def __getitem__(self, index: Any) -> Any:
            return [2 * x for x in super().__getitem__(index)]

    assert rows_of(Doubled(cr.ones(3))) is None
    assert next(iter(DataLoader(Doubled(cr.ones(3)), batch_size=3)))[0].tolist() == [2, 2, 2]


def test_a_subclass_of_a_sampler_defines_its_own_order() -> None:
    class Backwards(SequentialSampler):
        def __iter__(self) -> Iterator[int]:
            return iter(range(len(self) - 1, -1, -1))

    dataset = table(3)
    assert next(iter(DataLoader(dataset, batch_size=3, sampler=Backwards(dataset))))[1].tolist() == [2, 1, 0]


def test_gradients_pass_through_batches_of_tensors_that_require_them() -> None:
    x = cr.ones(4, 2, requires_grad=True)
    for (batch,) in DataLoader(TensorDataset(x), batch_size=2):
        batch.sum().backward()
    assert x.grad.tolist() == [[1, 1]] * 4


def test_a_sampler_outside_the_rows_is_an_index_error() -> None:
    with pytest.raises(IndexOutOfRangeError, match="index 5 is out of bounds"):
        list(DataLoader(table(3), sampler=[5]))


def test_a_batch_of_rows_takes_less_than_20_microseconds() -> None:
    dataset = TensorDataset(cr.randn(4096, 64), cr.arange(4096))
    loader = DataLoader(dataset, batch_size=32, shuffle=True)

    def seconds() -> float:
        start = time.perf_counter()
        for _ in loader:
            pass
        return time.perf_counter() - start

    assert min(seconds() for _ in range(10)) / len(loader) < 20e-6


# ---- refused options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": [0], "shuffle": True}, "sampler option is mutually exclusive with shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "batch_sampler option is mutually exclusive with batch_size"),
        ({"batch_sampler": [[0]], "drop_last": True}, "batch_sampler option is mutually exclusive with batch_size"),
        ({"batch_size": None, "drop_last": True}, "batch_size=None option disables auto-batching"),
        ({"batch_size": 0}, "batch_size should be a positive integer value, but got batch_size=0"),
        ({"batch_size": 2.5}, "batch_size should be a positive integer value"),
        ({"num_workers": -1}, "num_workers option should be non-negative, not -1"),
        ({"timeout": -1}, "timeout option should be non-negative"),
        ({"prefetch_factor": 2}, "prefetch_factor option needs num_workers > 0"),
        ({"persistent_workers": True}, "persistent_workers option needs num_workers > 0"),
        ({"multiprocessing_context": "fork"}, "multiprocessing_context option needs num_workers > 0"),
        ({"prefetch_factor": -2, "num_workers": 1}, "prefetch_factor option should be non-negative"),
    ],
)
def test_contradictions_are_value_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        DataLoader(Numbers(3), **options)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_an_iterable_data_set_has_its_own_order(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="IterableDataset: expected unspecified"):
        DataLoader(Stream(3), **options)


@pytest.mark.parametrize("options", [{"timeout": 5}, {"worker_init_fn": print, "num_workers": 2}])
def test_what_only_worker_processes_could_do_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="worker"):
        DataLoader(Numbers(3), **options)


def test_a_worker_init_fn_without_workers_is_never_called() -> None:
    assert values(DataLoader(Numbers(1), worker_init_fn=lambda _: 1 / 0)) == [[0]]


def test_a_gpu_to_pin_for_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="cuda"):
        DataLoader(Numbers(1), pin_memory=True, pin_memory_device="cuda")


def test_a_data_set_without_length_cannot_be_shuffled() -> None:
    class Endless(Dataset[int]):
        def __getitem__(self, index: Any) -> int:
            return int(index)

    with pytest.raises(ArgumentTypeError, match="Endless has no length"):
        DataLoader(Endless(), shuffle=True)


def test_samples_of_different_shapes_are_named() -> None:
    with pytest.raises(ShapeError, match=r"(?s)stack expects each tensor.*entry 2  \(3,\)"):
        list(DataLoader([cr.ones(2), cr.ones(2), cr.ones(3)], batch_size=3))
