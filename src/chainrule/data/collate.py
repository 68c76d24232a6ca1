"""Batches from samples: tensors are stacked, numbers become tensors, containers are collated place by place."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from chainrule.dtypes import float64
from chainrule.errors import ArgumentTypeError, ShapeError
from chainrule.tensor.arrays import array_of
from chainrule.tensor.functions import movement
from chainrule.tensor.functions.creation import tensor
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor, wrap


def default_collate(batch: Sequence[Any]) -> Any:
    """What a loader makes of a list of samples.

    Tensors and arrays of one shape (...) are stacked to (samples, ...); Python floats give float64 and ints
    int64, as in PyTorch; texts stay texts; dictionaries and named tuples keep their form, tuples become lists.

    Raises:
        ShapeError: tensors of different shapes, or sequences of different lengths.
        ArgumentTypeError: a sample of another type.
    """
    return _collated(batch, "sample")


def _collated(batch: Sequence[Any], place: str) -> Any:
    """`place` is what errors call one of these values: `sample[0]['image']`."""
    first = batch[0]
    if isinstance(first, Tensor):
        return _stacked(batch, place)
    if _is_numeric(first):
        return _stacked([wrap(array_of(x), None) for x in batch], place)
    if isinstance(first, float):
        return tensor(batch, dtype=float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        return _like_mapping(first, lambda key: _collated([x[key] for x in batch], f"{place}[{key!r}]"))
    if isinstance(first, Sequence):
        _check_lengths(batch, place)
        parts = [_collated(column, f"{place}[{i}]") for i, column in enumerate(zip(*batch, strict=True))]
        return _like_sequence(first, parts)
    raise ArgumentTypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists",
        got=[f"{place} is of type {type(first).__name__}"],
        mend="Convert it in the data set, or pass collate_fn= to the DataLoader.",
    )


def default_convert(data: Any) -> Any:
    """One sample as it is, with its arrays as tensors: what a loader gives for batch_size=None."""
    if _is_numeric(data):
        return wrap(array_of(data), None)
    if isinstance(data, Mapping):
        return _like_mapping(data, lambda key: default_convert(data[key]))
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _like_sequence(data, [default_convert(part) for part in data])
    return data


def _is_numeric(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic) and x.dtype.kind in "biufc"


def _stacked(batch: Sequence[Tensor], place: str) -> Tensor:
    arrays = [x.value for x in batch]
    shape, dtype = arrays[0].shape, arrays[0].dtype
    for i, a in enumerate(arrays):
        if a.shape != shape:
            raise ShapeError(
                f"default_collate: stack expects each tensor to be equal size; {place} differs",
                got=[describe("entry 0", batch[0]), describe(f"entry {i}", batch[i])],
                mend="Pad them in the data set, or pass collate_fn= to the DataLoader.",
            )
        if a.dtype is not dtype or batch[i].edge is not None:
            return movement.stack(batch)
    return wrap(np.array(arrays), None)


def _check_lengths(batch: Sequence[Sequence[Any]], place: str) -> None:
    lengths = [len(x) for x in batch]
    if len(set(lengths)) > 1:
        raise ShapeError(
            f"default_collate: each element in list of batch should be of equal size; {place} differs",
            got=[f"lengths {lengths[:20]}"],
            mend="Pass collate_fn= to the DataLoader.",
        )


def _like_mapping(data: Mapping[Any, Any], value: Callable[[Any], Any]) -> Any:
    """A mapping of the same class, where that can be made, with other values."""
    parts = {key: value(key) for key in data}
    if type(data) is dict or not isinstance(data, MutableMapping):
        return parts
    made = copy.copy(data)
    made.update(parts)
    return made


def _like_sequence(data: Sequence[Any], parts: list[Any]) -> Any:
    """A named tuple of the same class, or a list."""
    return type(data)(*parts) if hasattr(data, "_fields") else parts
