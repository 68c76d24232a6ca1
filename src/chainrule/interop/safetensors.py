"""Tensors in the safetensors format: a JSON header, and the elements of one tensor after another.

    8 bytes   the header's length n, little-endian
    n bytes   {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, "__metadata__": {...}}
    the rest  the elements: row-major, little-endian, without holes or overlaps; offsets count from here

Source: https://huggingface.co/docs/safetensors, "Format". Nothing in such a file can run.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeAlias

import numpy as np

from chainrule.errors import ArgumentError, ArgumentTypeError, DTypeError, FileFormatError
from chainrule.tensor.graph import Array
from chainrule.tensor.tensor import Tensor, wrap

StrPath: TypeAlias = str | os.PathLike[str]

LONGEST_HEADER = 100_000_000
"""What the safetensors package reads; a longer header is taken for a damaged length."""

METADATA = "__metadata__"
ALIGNMENT = 8

_STORED: dict[str, np.dtype[Any]] = {
    name: np.dtype(code)
    for name, code in {
        "BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4", "I64": "<i8",
        "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2",
    }.items()
}  # fmt: skip
"""How NumPy reads each element type. BF16 is the upper half of a float32."""

_NAMES = {dtype: name for name, dtype in _STORED.items() if name != "BF16"}
_WIDER: dict[str, np.dtype[Any]] = {"U16": np.dtype(np.int32), "U32": np.dtype(np.int64)}
"""Unsigned types that no tensor has, and the ones that hold all their values."""


def save_file(tensors: Mapping[str, Tensor | Array], path: StrPath, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors under their names. The file at `path` is replaced whole, or stays as it was.

    Tensors that share memory are written one by one. Gradients are not written.

    Raises:
        ArgumentTypeError: a name or an entry of `metadata` is no text, or a value is no tensor.
        DTypeError: an array of a type that the format or chainrule does not have (complex, uint64, text).
        OSError: the file cannot be written.
    """
    with replacing(path) as stream:
        write(stream, tensors, metadata)


def load_file(path: StrPath) -> dict[str, Tensor]:
    """The tensors of a file by name, without gradients. bfloat16 comes as float32, U16 and U32 as int32 and int64.

    Raises:
        FileFormatError: the file is truncated, damaged or no safetensors file.
        OSError: it cannot be read.
    """
    with open(path, "rb") as stream:
        arrays, _ = read(stream, os.fspath(path))
    return {name: wrap(array, None) for name, array in arrays.items()}


def load_metadata(path: StrPath) -> dict[str, str]:
    """The texts in the header of a file; an empty dictionary if there are none. The elements are not read.

    Raises:
        FileFormatError: the file is truncated, damaged or no safetensors file.
        OSError: it cannot be read.
    """
    with open(path, "rb") as stream:
        return read_header(stream, os.fspath(path)).metadata


# ---- writing ---------------------------------------------------------------------------------------------------


@contextmanager
def replacing(path: StrPath) -> Iterator[BinaryIO]:
    """A stream whose content replaces the file at `path` when the block ends without an error.

    The content goes to a temporary file in the same folder, to the disk, and then takes the name (of the file
    itself, if `path` is a link to it).
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write(stream: BinaryIO, tensors: Mapping[str, Tensor | Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write a whole file into a stream; raises what `save_file` raises."""
    arrays = [(name, *_storable(name, tensors[name])) for name in tensors]
    arrays.sort(key=lambda entry: (-entry[2].itemsize, entry[0]))  # wide elements first: all of them lie aligned
    header: dict[str, Any] = {}
    if metadata:
        header[METADATA] = _texts(metadata)
    end = 0
    for name, kind, array in arrays:
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [begin, end]}
    stream.write(_encoded(header))
    for _, _, array in arrays:
        stream.write(_bytes_of(np.ascontiguousarray(array)))


def _storable(name: Any, tensor: Any) -> tuple[str, Array]:
    """The format's name of the element type, and the elements in it."""
    if not isinstance(name, str):
        raise ArgumentTypeError(f"save_file: the name of a tensor is a str, not {name!r}")
    if name == METADATA:
        raise ArgumentError(f"save_file: a tensor cannot be called '{METADATA}'")
    array = tensor.value if isinstance(tensor, Tensor) else tensor
    if not isinstance(array, np.ndarray):
        raise ArgumentTypeError(f"save_file: '{name}' is no tensor or array", got=[type(tensor).__name__])
    little = array.dtype.newbyteorder("<")
    if little not in _NAMES:
        raise DTypeError(
            f"save_file: the element type of '{name}' cannot be stored",
            got=[f"{array.dtype}; there are {', '.join(str(d) for d in _NAMES)}"],
        )
    return _NAMES[little], array.astype(little, copy=False)


def _texts(metadata: Mapping[str, str]) -> dict[str, str]:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ArgumentTypeError(
                "save_file: metadata has texts under texts", got=[f"{key!r}: {value!r}"], mend="Write str(value)."
            )
    return dict(metadata)


def _encoded(header: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ArgumentError(f"save_file: a name or text has no UTF-8: {error}") from None
    text += b" " * (-len(text) % ALIGNMENT)
    if len(text) > LONGEST_HEADER:
        raise ArgumentError(
            f"save_file: names and metadata take {len(text)} bytes; readers take {LONGEST_HEADER}",
            mend="Store long lists of numbers as tensors.",
        )
    return len(text).to_bytes(8, "little") + text


def _bytes_of(array: Array) -> memoryview:
    """The memory of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data


# ---- reading ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one tensor's elements are."""

    name: str
    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """What the JSON says: tensors in the order of their elements, and texts."""

    entries: list[Entry]
    metadata: dict[str, str]


def read(stream: BinaryIO, file: str) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the texts of a whole file, from a stream that can seek and stands at its start.

    Args:
        file: what errors call it.

    Raises:
        FileFormatError: it is truncated, damaged or no safetensors file.
    """
    header = read_header(stream, file)
    return {entry.name: _elements(stream, entry, file) for entry in header.entries}, header.metadata


def _elements(stream: BinaryIO, entry: Entry, file: str) -> Array:
    array = np.empty(entry.shape, _STORED[entry.kind])
    memory = _bytes_of(array)
    if stream.readinto(memory) != len(memory):  # type: ignore[attr-defined]  # files and BytesIO have it
        _refuse(file, f"the elements of '{entry.name}'", "the end of the file")
    if entry.kind == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    if entry.kind in _WIDER:
        return array.astype(_WIDER[entry.kind])
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def read_header(stream: BinaryIO, file: str) -> Header:
    """The checked header; the stream then stands at the first element."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size < 8:
        _refuse(file, "8 bytes with the header's length", f"a file of {size} bytes")
    length = int.from_bytes(stream.read(8), "little")
    if length > min(size - 8, LONGEST_HEADER):
        _refuse(file, f"a header of at most {min(size - 8, LONGEST_HEADER)} bytes", f"its length given as {length}")
    content = _parsed(stream.read(length), file)
    metadata = content.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        _refuse(file, f"texts under '{METADATA}'", repr(metadata)[:60])
    entries = sorted((_entry(name, fields, file) for name, fields in content.items()), key=lambda e: (e.begin, e.end))
    _check_cover(entries, size - 8 - length, file)
    return Header(entries, metadata)


def _parsed(text: bytes, file: str) -> dict[str, Any]:
    def without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            _refuse(file, "a header with each name once", "a name twice")
        return found

    try:
        content = json.loads(text.decode("utf-8"), object_pairs_hook=without_repetition)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        _refuse(file, "a header in JSON", str(error))
    if not isinstance(content, dict):
        _refuse(file, "a JSON object as header", type(content).__name__)
    return content


def _entry(name: str, fields: Any, file: str) -> Entry:
    """One tensor's line of the header, checked by itself."""
    expected = f"'{name}' with dtype, shape and data_offsets"
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        _refuse(file, expected, repr(fields)[:80])
    kind, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(kind, str) or kind not in _STORED:
        _refuse(file, f"'{name}' of one of the types {', '.join(_STORED)}", f"the type {kind!r}")
    if not _natural_numbers(shape) or not _natural_numbers(offsets) or len(offsets) != 2:
        _refuse(file, expected, repr(fields)[:80])
    size = prod(shape) * _STORED[kind].itemsize
    if offsets[1] - offsets[0] != size:
        _refuse(file, f"{size} bytes for '{name}', {kind} {shape}", f"data_offsets {offsets}")
    return Entry(name, kind, tuple(shape), *offsets)


def _natural_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**63 for v in values)


def _check_cover(entries: list[Entry], size: int, file: str) -> None:
    """The tensors follow each other without hole or overlap, and end where the file ends."""
    end = 0
    for entry in entries:
        if entry.begin != end:
            problem = "an overlap" if entry.begin < end else "a hole"
            _refuse(file, f"'{entry.name}' to begin at byte {end} of the elements", f"{problem}: {entry.begin}")
        end = entry.end
    if end != size:
        _refuse(file, f"{end} bytes of elements", f"{size}: " + ("the file is truncated" if size < end else "more"))


def _refuse(file: str, expected: str, found: str) -> NoReturn:
    raise FileFormatError(f"{file} is no intact safetensors file", got=[f"expected: {expected}", f"found:    {found}"])
