"""Batches are PyTorch's: the same containers, types, shapes, values, lengths and refused options."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.utils import data as ours

torch = pytest.importorskip("torch")
theirs = torch.utils.data

Point = namedtuple("Point", ["x", "y"])


def samples(lib: Any) -> dict[str, list[Any]]:
    return {
        "tensors": [lib.ones(2, 3), lib.zeros(2, 3)],
        "0-d tensors": [lib.tensor(1), lib.tensor(2)],
        "arrays": [np.ones(3, np.int16)] * 3,
        "0-d arrays": [np.array(1.0), np.array(2.0)],
        "numpy numbers": [np.float32(1), np.float32(2)],
        "floats": [1.5, 2.5],
        "ints": [1, 2],
        "bools": [True, False],
        "texts": ["a", "b"],
        "bytes": [b"a", b"b"],
        "tuples": [(lib.ones(2), 1, "a"), (lib.zeros(2), 2, "b")],
        "lists": [[1, 2.0], [3, 4.0]],
        "dicts": [{"x": np.ones(2), "n": "a"}, {"x": np.zeros(2), "n": "b"}],
        "ordered": [OrderedDict(b=1, a=2), OrderedDict(b=3, a=4)],
        "points": [Point(1, lib.ones(1)), Point(2, lib.ones(1))],
        "nested": [{"p": (Point(1, [2.0]), "s")}, {"p": (Point(3, [4.0]), "t")}],
        "mixed dtypes": [lib.ones(2), lib.ones(2).double()],
    }


def shape_of(x: Any) -> Any:
    """A value as plain data: containers by class, tensors by type, shape and elements."""
    if isinstance(x, cr.Tensor | torch.Tensor):
        return ("tensor", str(x.dtype).rpartition(".")[2], tuple(x.shape), x.tolist())
    if isinstance(x, dict):
        return (type(x).__name__, [(key, shape_of(value)) for key, value in x.items()])
    if isinstance(x, list | tuple):
        return (type(x).__name__, [shape_of(value) for value in x])
    return x


@pytest.mark.parametrize("kind", list(samples(cr)))
def test_default_collate_gives_what_pytorchs_gives(kind: str) -> None:
    assert shape_of(ours.default_collate(samples(cr)[kind])) == shape_of(theirs.default_collate(samples(torch)[kind]))


@pytest.mark.parametrize("kind", list(samples(cr)))
def test_default_convert_gives_what_pytorchs_gives(kind: str) -> None:
    for x, y in zip(samples(cr)[kind], samples(torch)[kind], strict=True):
        assert shape_of(ours.default_convert(x)) == shape_of(theirs.default_convert(y))


@pytest.mark.parametrize("bad", [[{1}], [object()], [np.array(["a"])], [(1, None)]])
def test_what_pytorch_cannot_collate_is_the_same_error(bad: list[Any]) -> None:
    with pytest.raises(TypeError) as theirs_error:
        theirs.default_collate(bad)
    with pytest.raises(TypeError) as ours_error:
        ours.default_collate(bad)
    assert str(ours_error.value).splitlines()[0].split(":")[1].strip() in str(theirs_error.value)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"batch_size": 3},
    {"batch_size": 3, "drop_last": True},
    {"batch_size": 20},
    {"batch_size": 20, "drop_last": True},
    {"batch_size": None},
    {"batch_size": 2, "sampler": [4, 1, 1]},
    {"batch_sampler": [[0, 9], [3]]},
    {"sampler": range(4), "batch_size": None},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dataset", ["rows", "subset", "list", "concatenated"])
def test_a_loader_gives_pytorchs_batches(options: dict[str, Any], dataset: str) -> None:
    def batches(lib: Any, data: Any) -> Any:
        rows = data.TensorDataset(lib.arange(20).reshape(10, 2), lib.arange(10) * 1.5)
        given = {
            "rows": rows,
            "subset": data.Subset(rows, list(range(9, -1, -1))),
            "list": [(i, f"{i}") for i in range(10)],
            "concatenated": data.ConcatDataset([rows, data.Subset(rows, [0])]),
        }[dataset]
        loader = data.DataLoader(given, **options)
        return len(loader), [shape_of(batch) for batch in loader]

    assert batches(cr, ours) == batches(torch, theirs)


REFUSED: list[dict[str, Any]] = [
    {"batch_size": 0},
    {"batch_size": -1},
    {"num_workers": -1},
    {"timeout": -1},
    {"prefetch_factor": 2},
    {"persistent_workers": True},
    {"shuffle": True, "sampler": [0]},
    {"batch_sampler": [[0]], "shuffle": True},
    {"batch_sampler": [[0]], "batch_size": 4},
    {"batch_size": None, "drop_last": True},
]


@pytest.mark.parametrize("options", REFUSED, ids=str)
def test_a_loader_refuses_what_pytorchs_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"option|batch_size"):
        theirs.DataLoader([1, 2], **options)
    with pytest.raises(ValueError, match=r"option|batch_size"):
        ours.DataLoader([1, 2], **options)


@pytest.mark.parametrize("lengths", [[0.8, 0.2], [0.5, 0.3, 0.2], [7, 4], [1 / 3] * 3, [11]])
def test_splits_have_pytorchs_sizes(lengths: list[Any]) -> None:
    sizes = [len(part) for part in theirs.random_split(range(11), lengths)]
    assert [len(part) for part in ours.random_split(range(11), lengths)] == sizes  # type: ignore[arg-type]
