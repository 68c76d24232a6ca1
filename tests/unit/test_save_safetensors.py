"""safetensors files: written whole or not at all, read by their package and theirs by ours, damage found."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, ArgumentTypeError, DTypeError, FileFormatError
from chainrule.interop import safetensors as ours
from chainrule.interop.safetensors import load_file, load_metadata, save_file

DTYPES = (cr.bool, cr.uint8, cr.int8, cr.int16, cr.int32, cr.int64, cr.float16, cr.float32, cr.float64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.safetensors"


def some() -> dict[str, Any]:
    tensors = {str(d): cr.arange(6).reshape(2, 3).to(d) for d in DTYPES}
    return tensors | {"scalar": cr.tensor(2.5), "empty": cr.zeros(0, 3), "é ü": cr.ones(1)}


def same(a: Any, b: Any) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(np.asarray(a), np.asarray(b)))


# ---- what is written comes back ----------------------------------------------------------------------------------


def test_every_type_and_shape_comes_back(path: Path) -> None:
    save_file(some(), path, {"epoch": "3", "é": "ü"})
    loaded = load_file(path)
    assert loaded.keys() == some().keys()
    assert all(same(loaded[name].value, x.value) for name, x in some().items())
    assert load_metadata(path) == {"epoch": "3", "é": "ü"}


def test_a_loaded_tensor_can_be_written_to_and_trained(path: Path) -> None:
    save_file({"w": cr.ones(2)}, path)
    w = load_file(path)["w"]
    w.add_(1).requires_grad_()
    w.sum().backward()
    assert w.grad.tolist() == [1, 1]


def test_views_and_other_byte_orders_are_written_in_order(path: Path) -> None:
    table = np.arange(6, dtype=">f4").reshape(2, 3)
    save_file({"t": table.T, "step": cr.arange(8)[::2]}, path)
    loaded = load_file(path)
    assert loaded["t"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert loaded["t"].value.dtype is np.dtype(np.float32)
    assert loaded["step"].tolist() == [0, 2, 4, 6]


def test_unsigned_arrays_come_back_in_wider_tensors(path: Path) -> None:
    save_file({"a": np.array([2**16 - 1], np.uint16), "b": np.array([2**32 - 1], np.uint32)}, path)
    loaded = load_file(path)
    assert (loaded["a"].dtype, loaded["a"].tolist()) == (cr.int32, [2**16 - 1])
    assert (loaded["b"].dtype, loaded["b"].tolist()) == (cr.int64, [2**32 - 1])


def test_no_metadata_is_an_empty_dictionary(path: Path) -> None:
    save_file({}, path)
    assert load_file(path) == {}
    assert load_metadata(path) == {}


def test_elements_lie_aligned(path: Path) -> None:
    save_file({"a": np.zeros(3, np.int8), "b": cr.zeros(1, dtype=cr.float64), "c": np.zeros(1, np.int16)}, path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    for name, entry in json.loads(content[8 : 8 + length]).items():
        size = {"F64": 8, "I16": 2, "I8": 1}[entry["dtype"]]
        assert entry["data_offsets"][0] % size == 0, name


# ---- the safetensors package -------------------------------------------------------------------------------------


def test_their_package_reads_ours(path: Path) -> None:
    theirs = pytest.importorskip("safetensors")
    numpy = pytest.importorskip("safetensors.numpy")
    save_file(some(), path, {"k": "v"})
    loaded = numpy.load_file(path)
    assert loaded.keys() == some().keys()
    assert all(same(loaded[name], x.value) for name, x in some().items())
    with theirs.safe_open(path, "np") as file:
        assert file.metadata() == {"k": "v"}


def test_ours_reads_their_packages(path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    arrays = {name: x.value for name, x in some().items()}
    numpy.save_file(arrays, path, metadata={"k": "v"})
    loaded = load_file(path)
    assert loaded.keys() == arrays.keys()
    assert all(same(loaded[name].value, a) for name, a in arrays.items())
    assert load_metadata(path) == {"k": "v"}


def test_bfloat16_is_widened_exactly(path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("safetensors.torch")
    x = torch.tensor([1.0, -2.5, 3e38, 1e-40, float("inf"), float("nan"), 0.0], dtype=torch.bfloat16)
    theirs.save_file({"x": x}, path)
    loaded = load_file(path)["x"]
    assert loaded.dtype is cr.float32
    assert np.array_equal(loaded.value, x.float().numpy(), equal_nan=True)


# ---- whole or not at all -----------------------------------------------------------------------------------------


class _Stopped(BaseException):
    """What Ctrl-C raises."""


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_other(path: Path, monkeypatch: Any, where: str) -> None:
    save_file({"w": cr.ones(2)}, path)

    def fails(*_: Any) -> None:
        raise _Stopped

    monkeypatch.setattr(os, where, fails)
    with pytest.raises(_Stopped):
        save_file({"w": cr.zeros(2)}, path)
    assert load_file(path)["w"].tolist() == [1, 1]
    assert os.listdir(path.parent) == [path.name]


def test_a_tensor_that_cannot_be_written_leaves_the_old_file(path: Path) -> None:
    save_file({"w": cr.ones(2)}, path)
    with pytest.raises(DTypeError):
        save_file({"w": np.ones(2, complex)}, path)
    assert load_file(path)["w"].tolist() == [1, 1]
    assert os.listdir(path.parent) == [path.name]


def test_a_link_keeps_pointing_to_the_replaced_file(path: Path) -> None:
    save_file({"w": cr.ones(1)}, path)
    link = path.with_name("latest")
    link.symlink_to(path)
    save_file({"w": cr.zeros(1)}, link)
    assert link.is_symlink()
    assert load_file(path)["w"].tolist() == [0]


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_file({}, tmp_path / "none" / "x")
    with pytest.raises(FileNotFoundError):
        load_file(tmp_path / "none")


# ---- refused arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "message"),
    [
        ({1: cr.ones(1)}, None, ArgumentTypeError, "the name of a tensor is a str, not 1"),
        ({"__metadata__": cr.ones(1)}, None, ArgumentError, "cannot be called '__metadata__'"),
        ({"w": [1.0]}, None, ArgumentTypeError, r"(?s)'w' is no tensor or array.*list"),
        ({"w": np.ones(1, np.uint64)}, None, DTypeError, r"(?s)element type of 'w' cannot be stored.*uint64"),
        ({"w": np.array(["a"])}, None, DTypeError, "<U1"),
        ({}, {"epoch": 3}, ArgumentTypeError, r"(?s)metadata has texts.*'epoch': 3"),
        ({"\ud800": cr.ones(1)}, None, ArgumentError, "no UTF-8"),
    ],
)
def test_what_cannot_be_stored_is_named(path: Path, tensors: Any, metadata: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        save_file(tensors, path, metadata)
    assert not path.exists()


def test_a_header_too_long_for_readers_is_refused(path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(ours, "LONGEST_HEADER", 100)
    with pytest.raises(ArgumentError, match="readers take 100"):
        save_file({}, path, {"k": "v" * 200})


# ---- damaged files -----------------------------------------------------------------------------------------------


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def file_of(header: Any, elements: bytes = b"\0" * 8) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + elements


DAMAGED = {
    "empty": (b"", "expected: 8 bytes with the header's length\n    found:    a file of 0 bytes"),
    "length": ((10**6).to_bytes(8, "little") + b"{}", "a header of at most 2 bytes"),
    "huge length": (b"\xff" * 8 + b"{}", "its length given as 18446744073709551615"),
    "no json": (file_of(b"{]"), "a header in JSON"),
    "no utf-8": (file_of(b"\xff\xfe"), "a header in JSON"),
    "too deep": (file_of(b"[" * 100_000), "a header in JSON"),
    "list": (file_of([1]), "a JSON object as header"),
    "twice": (file_of(b'{"a": 1, "a": 2}'), "a name twice"),
    "no object": (file_of({"a": 3}), "'a' with dtype, shape and data_offsets"),
    "missing field": (file_of({"a": {"dtype": "F32"}}), "'a' with dtype, shape and data_offsets"),
    "extra field": (file_of({"a": entry(more=1)}), "'a' with dtype, shape and data_offsets"),
    "unknown type": (file_of({"a": entry("C64", (1,))}), "the type 'C64'"),
    "type no text": (file_of({"a": entry(["F32"])}), r"the type \['F32'\]"),
    "negative": (file_of({"a": entry(shape=(-2,))}), "'a' with dtype, shape"),
    "float shape": (file_of({"a": entry(shape=(2.0,))}), "'a' with dtype, shape"),
    "bool shape": (file_of({"a": entry(shape=(True, 2))}), "'a' with dtype, shape"),
    "three offsets": (file_of({"a": entry(offsets=(0, 4, 8))}), "'a' with dtype, shape"),
    "size": (file_of({"a": entry(shape=(3,))}), "12 bytes for 'a'"),
    "huge shape": (file_of({"a": entry(shape=(2**62, 2**62))}), "bytes for 'a'"),
    "overlap": (file_of({"a": entry(), "b": entry(offsets=(4, 12))}, b"\0" * 12), "an overlap: 4"),
    "hole": (file_of({"a": entry(), "b": entry(offsets=(12, 20))}, b"\0" * 20), "a hole: 12"),
    "truncated": (file_of({"a": entry()}, b"\0" * 7), "7: the file is truncated"),
    "too long": (file_of({"a": entry()}, b"\0" * 9), "8 bytes of elements"),
    "metadata": (file_of({"__metadata__": {"k": 1}}, b""), "texts under '__metadata__'"),
    "metadata list": (file_of({"__metadata__": []}, b""), "texts under '__metadata__'"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_found(path: Path, name: str) -> None:
    content, message = DAMAGED[name]
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message) as caught:
        load_file(path)
    assert str(path) in str(caught.value)
    if "size" not in name:
        with pytest.raises(FileFormatError):
            load_metadata(path)


def test_every_truncation_is_found(path: Path) -> None:
    save_file({"a": cr.ones(2), "b": cr.zeros(1)}, path, {"k": "v"})
    content = path.read_bytes()
    for n in range(len(content)):
        path.write_bytes(content[:n])
        with pytest.raises(FileFormatError):
            load_file(path)


def flipped(content: bytes) -> Iterator[bytes]:
    for place in range(int.from_bytes(content[:8], "little") + 8):
        for bit in (0, 3, 7):
            yield content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]


def test_a_flipped_bit_of_the_header_never_gives_another_error(path: Path) -> None:
    save_file({"a": cr.ones(2), "b": cr.zeros(1)}, path, {"k": "v"})
    for content in flipped(path.read_bytes()):
        path.write_bytes(content)
        try:
            load_file(path)
        except FileFormatError:
            continue
