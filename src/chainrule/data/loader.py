"""DataLoader: batches of a data set, in the order of a sampler.

Batches are made one at a time, when the loop asks for one, by the process that runs the loop. `num_workers` is
accepted and changes nothing: samples that have numbers make the same batches in PyTorch for any number of workers,
and those of an IterableDataset come once, as they do there without workers.

A TensorDataset (or a Subset of one) with the default collate function is batched by one indexing of each tensor,
without a Python object for each sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from chainrule.data.collate import default_collate, default_convert
from chainrule.data.dataset import Dataset, IterableDataset, Subset, TensorDataset, length
from chainrule.data.sampler import (
    BatchSampler,
    OrderedSampler,
    RandomSampler,
    SequentialSampler,
    in_batches,
    index_array,
    number_of_batches,
)
from chainrule.errors import ArgumentError, IndexOutOfRangeError, UnsupportedError
from chainrule.tensor.device import Device
from chainrule.tensor.functions.random import Generator
from chainrule.tensor.graph import Array
from chainrule.tensor.tensor import Tensor, wrap

T_co = TypeVar("T_co", covariant=True)


class DataLoader(Generic[T_co]):
    """Iterates over the batches of a data set; every `for` loop is one epoch.

    Args:
        dataset: samples by number (Dataset, a list ...) or one after another (IterableDataset).
        batch_size: samples in a batch; None gives the samples themselves.
        shuffle: a new random order at each epoch.
        sampler: the order, as an iterable of indices.
        batch_sampler: the batches, as an iterable of lists of indices.
        collate_fn: makes a batch of a list of samples (of one sample, for batch_size=None).
        drop_last: without the last batch if it is shorter.
        generator: draws the order; the default one if missing.
        num_workers, prefetch_factor, persistent_workers, multiprocessing_context, in_order: for worker processes;
            checked as PyTorch does, without an effect: this process loads.
        pin_memory, pin_memory_device: for copies to a GPU; without an effect.
        worker_init_fn: must be None if num_workers > 0, for it would not be called.
        timeout: must be 0: there is nobody to wait for.

    Raises:
        ArgumentError: options that exclude each other, or are out of range.
        ArgumentTypeError: the order needs the data set's length, and it has none.
        UnsupportedError: `timeout`, or `worker_init_fn` with workers.
    """

    def __init__(
        self,
        dataset: Dataset[T_co] | Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(
            num_workers, timeout, worker_init_fn, multiprocessing_context, prefetch_factor, persistent_workers
        )
        if pin_memory_device:
            Device.of(pin_memory_device)
        _check_order(dataset, batch_size, bool(shuffle), sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        self.dataset: Any = dataset
        self.batch_size, self.drop_last, self.generator = batch_size, drop_last, generator
        self.num_workers, self.timeout, self.worker_init_fn = num_workers, timeout, worker_init_fn
        self.multiprocessing_context, self.prefetch_factor = multiprocessing_context, prefetch_factor
        self.persistent_workers, self.in_order = persistent_workers, in_order
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device

        order: Any = sampler if sampler is not None else _sampler(dataset, bool(shuffle), generator)
        self.sampler, self.batch_sampler = order, batch_sampler
        if batch_size is not None and not isinstance(dataset, IterableDataset):
            self.batch_sampler = BatchSampler(order, batch_size, drop_last)
        batched = batch_size is not None or batch_sampler is not None
        self.collate_fn: Any = collate_fn or (default_collate if batched else default_convert)

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self.dataset, IterableDataset):
            return self._in_the_order_they_come()
        if self.batch_sampler is None:
            return (self.collate_fn(self.dataset[i]) for i in self.sampler)
        rows = rows_of(self.dataset) if self.collate_fn is default_collate else None
        if rows is None:
            return (self.collate_fn(_fetched(self.dataset, indices)) for indices in self.batch_sampler)
        return (rows.batch(indices) for indices in _index_arrays(self.batch_sampler, rows))

    def _in_the_order_they_come(self) -> Iterator[Any]:
        if self.batch_size is None:
            return (self.collate_fn(sample) for sample in self.dataset)
        return (self.collate_fn(batch) for batch in in_batches(self.dataset, self.batch_size, self.drop_last))

    def __len__(self) -> int:
        """How many batches an epoch has.

        Raises:
            ArgumentTypeError: the data set or the sampler has no length.
        """
        if isinstance(self.dataset, IterableDataset):
            samples = length(self.dataset)
            return samples if self.batch_size is None else number_of_batches(samples, self.batch_size, self.drop_last)
        return length(self.sampler if self.batch_sampler is None else self.batch_sampler)


def get_worker_info() -> None:
    """None: samples are always loaded by the process that runs the loop."""


# ---- the options -----------------------------------------------------------------------------------------------


def _check_workers(
    num_workers: int,
    timeout: float,
    worker_init_fn: Any,
    multiprocessing_context: Any,
    prefetch_factor: int | None,
    persistent_workers: bool,
) -> None:
    if num_workers < 0:
        raise ArgumentError(f"DataLoader: num_workers option should be non-negative, not {num_workers}")
    if timeout < 0:
        raise ArgumentError(f"DataLoader: timeout option should be non-negative, not {timeout}")
    if timeout:
        raise UnsupportedError("DataLoader: timeout= waits for worker processes; here this process loads the samples")
    if num_workers and worker_init_fn is not None:
        raise UnsupportedError(
            "DataLoader: worker_init_fn= would not be called: there are no worker processes",
            mend="Call it yourself, or pass num_workers=0.",
        )
    given = {
        "multiprocessing_context": multiprocessing_context is not None,
        "prefetch_factor": prefetch_factor is not None,
        "persistent_workers": persistent_workers,
    }
    for option, is_given in given.items():
        if is_given and not num_workers:
            raise ArgumentError(f"DataLoader: {option} option needs num_workers > 0")
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ArgumentError(f"DataLoader: prefetch_factor option should be non-negative, not {prefetch_factor}")


def _check_order(
    dataset: Any, batch_size: int | None, shuffle: bool, sampler: Any, batch_sampler: Any, drop_last: bool
) -> None:
    if isinstance(dataset, IterableDataset):
        for option, given in {"shuffle": shuffle, "sampler": sampler, "batch_sampler": batch_sampler}.items():
            if given:
                raise ArgumentError(
                    f"DataLoader with IterableDataset: expected unspecified {option} option",
                    got=[f"{option}={given!r}"],
                    mend="Its samples come in the order of its __iter__; shuffle there.",
                )
    if sampler is not None and shuffle:
        raise ArgumentError("DataLoader: sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ArgumentError(
            "DataLoader: batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
        )
    if batch_size is None and drop_last:
        raise ArgumentError(
            "DataLoader: batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
        )
    if batch_size is not None and (not isinstance(batch_size, int) or batch_size <= 0):
        raise ArgumentError(
            f"DataLoader: batch_size should be a positive integer value, but got batch_size={batch_size!r}"
        )


def _sampler(dataset: Any, shuffle: bool, generator: Generator | None) -> OrderedSampler | None:
    if isinstance(dataset, IterableDataset):
        return None
    if not shuffle:
        return SequentialSampler(dataset)
    length(dataset)  # an error now, not at the first epoch
    return RandomSampler(dataset, generator=generator)


# ---- fetching --------------------------------------------------------------------------------------------------


def _fetched(dataset: Any, indices: list[Any]) -> Any:
    many = getattr(dataset, "__getitems__", None)
    return many(indices) if callable(many) else [dataset[i] for i in indices]


class Rows(NamedTuple):
    """A data set whose sample i is row i, or row places[i], of each tensor."""

    tensors: tuple[Tensor, ...]
    places: Array | None

    def batch(self, indices: Array | slice) -> list[Tensor]:
        """The rows of a batch, copied."""
        where = indices if self.places is None else self.places[indices]
        try:
            if isinstance(where, slice):
                return [wrap(x.value[where].copy(), None) for x in self.tensors]
            return [wrap(x.value[where], None) for x in self.tensors]
        except IndexError as error:
            raise IndexOutOfRangeError(f"DataLoader: {error}", got=[f"samples: {len(self.tensors[0])}"]) from None


def rows_of(dataset: Any) -> Rows | None:
    """The rows of a TensorDataset, or of a Subset of one, that can be gathered; None for other data sets.

    Subclasses may define their samples otherwise, and tensors that require a gradient need a graph: not these.
    """
    if type(dataset) is TensorDataset:
        if any(x.requires_grad or type(x) is not Tensor for x in dataset.tensors):
            return None
        return Rows(dataset.tensors, None)
    if type(dataset) is not Subset:
        return None
    inner = rows_of(dataset.dataset)
    if inner is None:
        return None
    places = index_array(dataset.indices)
    return Rows(inner.tensors, places if inner.places is None else inner.places[places])


def _index_arrays(batches: Any, rows: Rows) -> Iterator[Array | slice]:
    """The indices of each batch, as slices or arrays where the sampler knows its order beforehand."""
    if type(batches) is not BatchSampler or not _knows_its_order(batches.sampler):
        return (index_array(indices) for indices in batches)
    size, total = batches.batch_size, len(batches.sampler)  # type: ignore[arg-type]  # these samplers have a length
    starts = range(0, total - size + 1 if batches.drop_last else total, size)
    if type(batches.sampler) is SequentialSampler:
        return (slice(start, min(start + size, total)) for start in starts)
    order = batches.sampler.order()  # type: ignore[attr-defined]
    return (order[start : start + size] for start in starts)


def _knows_its_order(sampler: Any) -> bool:
    """True for our own samplers: a subclass that defines __iter__ decides itself."""
    return isinstance(sampler, OrderedSampler) and type(sampler).__module__ == OrderedSampler.__module__
