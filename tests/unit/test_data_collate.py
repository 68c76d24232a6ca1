"""default_collate and default_convert: what becomes of samples."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import default_collate, default_convert
from chainrule.errors import ArgumentTypeError, ShapeError, UnsupportedError

Point = namedtuple("Point", ["x", "y"])


@pytest.mark.parametrize(
    ("samples", "dtype", "shape"),
    [
        ([cr.ones(2, 3), cr.zeros(2, 3)], cr.float32, (2, 2, 3)),
        ([np.ones(3, np.int16)] * 4, cr.int16, (4, 3)),
        ([np.float32(1), np.float32(2)], cr.float32, (2,)),
        ([np.float64(1)], cr.float64, (1,)),
        ([1.5, 2.5], cr.float64, (2,)),
        ([1, 2, 3], cr.int64, (3,)),
        ([True, False], cr.bool, (2,)),
        ([cr.tensor(1), cr.tensor(2)], cr.int64, (2,)),
        ([cr.ones(2), cr.ones(2, dtype=cr.float64)], cr.float64, (2, 2)),
    ],
)
def test_numbers_and_arrays_are_stacked(samples: list[Any], dtype: Any, shape: tuple[int, ...]) -> None:
    batch = default_collate(samples)
    assert batch.dtype is dtype
    assert batch.shape == shape


def test_texts_stay_a_list() -> None:
    assert default_collate(["a", "b"]) == ["a", "b"]
    assert default_collate([b"a", b"b"]) == [b"a", b"b"]


def test_containers_keep_their_form_and_tuples_become_lists() -> None:
    batch = default_collate([(Point(1, 2.0), {"k": [1, "s"]}), (Point(3, 4.0), {"k": [5, "t"]})])
    assert isinstance(batch, list)
    assert isinstance(batch[0], Point)
    assert batch[0].x.tolist() == [1, 3]
    assert batch[0].y.tolist() == [2, 4]
    assert batch[1]["k"][0].tolist() == [1, 5]
    assert list(batch[1]["k"][1]) == ["s", "t"]


def test_a_mapping_keeps_its_class() -> None:
    assert type(default_collate([OrderedDict(a=1), OrderedDict(a=2)])) is OrderedDict
    assert type(default_convert(OrderedDict(a=np.ones(1)))) is OrderedDict


def test_gradients_pass_through_a_stack() -> None:
    x = cr.ones(2, requires_grad=True)
    default_collate([x, x]).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_what_differs_is_named_by_its_place() -> None:
    with pytest.raises(ShapeError, match=r"(?s)sample\[1\]\['image'\] differs.*entry 1  \(4,\)"):
        default_collate([(0, {"image": cr.ones(3)}), (1, {"image": cr.ones(4)})])
    with pytest.raises(ShapeError, match=r"(?s)should be of equal size; sample\[0\] differs.*lengths \[2, 1\]"):
        default_collate([([1, 2],), ([1],)])


def test_another_type_is_named_by_its_place() -> None:
    with pytest.raises(ArgumentTypeError, match=r"(?s)batch must contain tensors.*sample\[1\] is of type set"):
        default_collate([(0, {1})])
    with pytest.raises(ArgumentTypeError, match="sample is of type ndarray"):
        default_collate([np.array(["a"])])


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="complex"):
        default_collate([np.ones(2, np.complex64)])


def test_convert_leaves_what_is_no_array() -> None:
    x = cr.ones(1)
    assert default_convert(x) is x
    assert default_convert("text") == "text"
    assert default_convert([1, 2.5]) == [1, 2.5]
    assert default_convert(Point(np.ones(2), 1)).x.shape == (2,)
