"""save and load: nested values come back as they were; what cannot be saved or read says where and why."""

from __future__ import annotations

import io
import json
import math
import os
import pickle
from collections import Counter, OrderedDict, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule import nn
from chainrule.errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    FileFormatError,
    UnsupportedError,
)
from chainrule.interop.safetensors import load_file, save_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.pt"


def there_and_back(obj: Any) -> Any:
    stream = io.BytesIO()
    cr.save(obj, stream)
    stream.seek(0)
    return cr.load(stream)


TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary()
NESTED = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.just("$"), inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=12,
)


def identical(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(identical, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(identical(a[key], b[key]) for key in a)
    return bool(a == b)


@given(NESTED)
def test_nested_plain_values_come_back(value: Any) -> None:
    assert identical(there_and_back(value), value)


def test_tensors_keep_type_shape_and_requires_grad() -> None:
    back = there_and_back({"x": cr.ones(2, 3, requires_grad=True), "y": [cr.tensor(7), cr.zeros(0)]})
    assert back["x"].requires_grad
    assert back["x"].is_leaf
    assert back["x"].shape == (2, 3)
    assert not back["y"][0].requires_grad
    assert back["y"][0].dtype is cr.int64
    assert back["y"][1].shape == (0,)


def test_a_parameter_comes_back_as_a_tensor_that_requires_a_gradient() -> None:
    back = there_and_back(nn.Parameter(cr.ones(2)))
    assert type(back) is cr.Tensor
    assert back.requires_grad


def test_one_array_in_several_places_is_written_once_and_stays_one() -> None:
    w = cr.ones(1000)
    stream = io.BytesIO()
    cr.save({"encoder": w, "decoder": w, "detached": w.detach()}, stream)
    assert len(stream.getvalue()) < 6000
    stream.seek(0)
    back = cr.load(stream)
    back["encoder"].zero_()
    assert back["decoder"].sum().item() == back["detached"].sum().item() == 0


def test_arrays_and_numbers_of_numpy_keep_their_kind_and_type() -> None:
    for dtype in ("?", "u1", "u2", "u4", "i8", "f2", "f8"):
        array = np.arange(3).astype(dtype)
        back = there_and_back([array, array[1]])
        assert type(back[0]) is np.ndarray
        assert back[0].dtype == array.dtype
        assert type(back[1]) is type(array[1])
        assert back[1] == array[1]


def test_types_sizes_and_devices_come_back() -> None:
    back = there_and_back([cr.float32, cr.Size([2, 3]), cr.device("cpu")])
    assert back[0] is cr.float32
    assert type(back[1]) is cr.Size
    assert back == [cr.float32, (2, 3), cr.device("cpu")]


def test_a_checkpoint_of_model_and_optimizer_goes_on(path: Path) -> None:
    model = nn.Linear(2, 1)
    optimizer = cr.optim.Adam(model.parameters())
    model(cr.ones(1, 2)).sum().backward()
    optimizer.step()
    cr.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, path)
    back = cr.load(path, map_location="cpu", weights_only=True)
    assert type(back["model"]) is type(model.state_dict())
    assert back["epoch"] == 3
    other = nn.Linear(2, 1)
    other.load_state_dict(back["model"])
    again = cr.optim.Adam(other.parameters())
    again.load_state_dict(back["optimizer"])
    assert cr.equal(other.weight, model.weight)
    assert again.state_dict()["state"].keys() == optimizer.state_dict()["state"].keys()


def test_a_state_dict_is_a_plain_safetensors_file(path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 1))
    cr.save(model.state_dict(), path)
    assert load_file(path).keys() == {"0.weight", "0.bias"}
    cr.save({"a": {"b": cr.ones(1)}, "a.b": cr.zeros(1), "__metadata__": cr.ones(3)}, path)
    assert load_file(path).keys() == {"a.b", "a.b'", "__metadata__'"}
    assert cr.load(path)["a.b"].tolist() == [0]


def test_a_safetensors_file_of_another_program_loads_as_tensors_by_name(path: Path) -> None:
    save_file({"w": cr.ones(2)}, path, {"format": "pt"})
    assert cr.load(path)["w"].tolist() == [1, 1]


def test_files_are_replaced_whole(path: Path) -> None:
    cr.save({"w": 1}, path)
    with pytest.raises(ArgumentTypeError):
        cr.save({"w": {1}}, path)
    assert cr.load(str(path)) == {"w": 1}
    assert os.listdir(path.parent) == [path.name]


def test_open_files_are_written_and_read(path: Path) -> None:
    with open(path, "wb") as file:
        cr.save([1, cr.ones(2)], file)
    with open(path, "rb") as file:
        assert cr.load(file)[1].tolist() == [1, 1]
    for wrong in (3, None):
        with pytest.raises(ArgumentTypeError, match="f is a path or a binary file"):
            cr.save(1, wrong)  # type: ignore[arg-type]
        with pytest.raises(ArgumentTypeError, match="f is a path or a binary file"):
            cr.load(wrong)  # type: ignore[arg-type]


# ---- map_location ------------------------------------------------------------------------------------------------


def test_map_location_leads_to_the_cpu(path: Path) -> None:
    cr.save({"w": cr.ones(2)}, path)
    for place in (None, "cpu", cr.device("cpu"), {"cuda:0": "cpu"}, lambda storage, location: storage):
        assert cr.load(path, map_location=place, weights_only=False, mmap=True)["w"].tolist() == [1, 1]
    for place in ("cuda", "cuda:0", {"cpu": "cuda:0"}, lambda storage, location: storage.cuda()):
        with pytest.raises(UnsupportedError, match="cuda"):
            cr.load(path, map_location=place)
    with pytest.raises(ArgumentTypeError, match="map_location returned str"):
        cr.load(path, map_location=lambda storage, location: location)


# ---- refused values ----------------------------------------------------------------------------------------------


class Config:
    """An object of a user's class."""


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"fn": len}, r"save: obj\['fn'\]: a function cannot be saved"),
        ({"a": [0, {"b": lambda: 0}]}, r"obj\['a'\]\[1\]\['b'\]: a function cannot be saved"),
        (Config(), "obj: an object of the class Config cannot be saved"),
        (nn.Linear(1, 1), r"(?s)obj: an object of the class Linear cannot.*Save its state_dict\(\)"),
        ([Counter("a")], r"obj\[0\]: an object of the class Counter"),
        ([{1, 2}], r"obj\[0\]: an object of the class set"),
        (namedtuple("P", "x")(1), "obj: an object of the class P"),
        ({Config: 1}, "obj: an object of the class type"),
        (1j, "class complex"),
    ],
)
def test_what_cannot_be_saved_is_named_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(ArgumentTypeError, match=message):
        cr.save(value, io.BytesIO())


def test_arrays_of_other_types_are_refused() -> None:
    with pytest.raises(DTypeError, match=r"'a\.b'"):
        cr.save({"a": {"b": np.ones(1, complex)}}, io.BytesIO())


def test_what_contains_itself_is_refused() -> None:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    with pytest.raises(ArgumentError, match=r"obj\[1\]\['again'\] contains itself"):
        cr.save(loop, io.BytesIO())
    deep: Any = 0
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ArgumentError, match="is more than 200 levels deep"):
        cr.save(deep, io.BytesIO())


def test_a_value_in_two_places_is_no_loop() -> None:
    part = [1]
    assert there_and_back([part, part]) == [[1], [1]]


# ---- refused files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_refused_and_not_run(path: Path, protocol: int) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(path) + ".ran",))

    path.write_bytes(pickle.dumps([Bomb(), "filler so that it is longer"], protocol))
    with pytest.raises(FileFormatError, match=r"(?s)x.pt was written by torch.save or pickle.*save_file\(torch.load"):
        cr.load(path)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("as_zip", [True, False])
def test_files_of_torch_save_are_refused_with_the_way_out(path: Path, as_zip: bool) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.ones(3)}, path, _use_new_zipfile_serialization=as_zip)
    with pytest.raises(FileFormatError, match=r"safetensors\.torch\.save_file"):
        cr.load(path)


def archive(value: Any, version: Any = 1) -> io.BytesIO:
    stream = io.BytesIO()
    text = value if isinstance(value, str) else json.dumps({"version": version, "value": value})
    cr.interop.safetensors.write(stream, {"w": cr.ones(1)}, {"chainrule.archive": text})
    stream.seek(0)
    return stream


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive("{"), "JSONDecodeError"),
        (archive("[]"), "TypeError"),
        (archive(1, version=2), "version 2; this chainrule reads version 1"),
        (archive({"$": "module"}), "unknown kind of value 'module'"),
        (archive({"$": "tensor", "name": "v"}), "KeyError: 'v'"),
        (archive({"$": "tensor"}), "KeyError: 'name'"),
        (archive({"$": "dtype", "value": "float8"}), "float8"),
        (archive({"$": "dtype", "value": "complex64"}), "complex64"),
        (archive({"$": "bytes", "value": "*"}), "Error"),
        (archive({"$": "dict", "value": [[[1], 2]]}), "unhashable"),
        (archive({"$": []}), "unhashable"),
        (io.BytesIO(b"some garbage"), "no intact safetensors file"),
        (io.BytesIO(), "a file of 0 bytes"),
    ],
)
def test_a_damaged_archive_is_a_file_format_error(content: io.BytesIO, message: str) -> None:
    content.seek(0)
    with pytest.raises(FileFormatError, match=message):
        cr.load(content)
