"""save and load: nested values in one safetensors file, never pickle.

Tensors and arrays are the file's tensors, named by their path (`model.0.weight`), so that a state dict can be read
by every program that reads safetensors; the rest stands as JSON in the header. Loading runs no code.

JSON's own types stand for themselves. What it does not have is an object with the key "$", which says what it is:

    {"$": "tensor", "name": "model.0.weight", "requires_grad": true}
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from chainrule.dtypes import DType, dtype_named
from chainrule.errors import ArgumentError, ArgumentTypeError, ChainruleError, FileFormatError
from chainrule.interop import safetensors
from chainrule.interop.safetensors import METADATA, StrPath
from chainrule.tensor.device import Device
from chainrule.tensor.graph import Array
from chainrule.tensor.tensor import Size, Tensor, wrap

File: TypeAlias = StrPath | BinaryIO

KEY = "chainrule.archive"
"""Where the header has the JSON."""

VERSION = 1
TAG = "$"
DEEPEST = 200


def save(obj: Any, f: File) -> None:
    """Write nested dictionaries, lists and tuples of tensors, arrays and plain values.

    They may hold None, bool, int, float, str, bytes, dtypes, sizes, devices, numbers of NumPy, and tensors. A
    Parameter comes back as a tensor that requires a gradient. Tensors that have one array stay connected; views
    of one array come back as copies. A file under that name is replaced whole, or stays as it was.

    Args:
        obj: what to save.
        f: a path, or a binary file open for writing.

    Raises:
        ArgumentTypeError: something else stands in it; the message has the path to it.
        ArgumentError: it contains itself, or is more than 200 levels deep.
        DTypeError: an array of a type that cannot be stored (complex, text).
    """
    writer = _Writer()
    content = {"version": VERSION, "value": writer.encoded(obj, ())}
    metadata = {KEY: json.dumps(content, separators=(",", ":"), allow_nan=False)}
    if isinstance(f, str | os.PathLike):
        with safetensors.replacing(f) as stream:
            safetensors.write(stream, writer.arrays, metadata)
    elif hasattr(f, "write"):
        safetensors.write(f, writer.arrays, metadata)
    else:
        raise ArgumentTypeError(f"save(obj, f): f is a path or a binary file, not {type(f).__name__}")


def load(f: File, map_location: Any = None, *, weights_only: bool = True, mmap: bool | None = None) -> Any:
    """What `save` wrote; from any other safetensors file, its tensors by name.

    Args:
        f: a path, or a binary file open for reading.
        map_location: None or the CPU, where all tensors are. A function is called with each tensor and "cpu", and
            returns the tensor, as PyTorch's are called with storages.
        weights_only: True or False alike: no program is ever loaded.
        mmap: True or False alike: the file is read.

    Raises:
        FileFormatError: the file is damaged, or of another format (torch.save's, for example).
        UnsupportedError: `map_location` names another device.
        OSError: it cannot be read.
    """
    place = _placement(map_location)
    if isinstance(f, str | os.PathLike):
        with open(f, "rb") as stream:
            return _loaded(stream, os.fspath(f), place)
    if not hasattr(f, "read"):
        raise ArgumentTypeError(f"load(f): f is a path or a binary file, not {type(f).__name__}")
    return _loaded(io.BytesIO(f.read()), getattr(f, "name", "the file"), place)


def _placement(map_location: Any) -> Callable[[Tensor], Tensor]:
    """What is done with each loaded tensor."""
    if callable(map_location):

        def placed(x: Tensor) -> Tensor:
            y = map_location(x, "cpu")
            if y is not None and not isinstance(y, Tensor):
                raise ArgumentTypeError(f"load: map_location returned {type(y).__name__}, not a Tensor or None")
            return x if y is None else y

        return placed
    Device.of(map_location.get("cpu") if isinstance(map_location, Mapping) else map_location)
    return lambda x: x


# ---- writing ---------------------------------------------------------------------------------------------------

Place: TypeAlias = tuple[Any, ...]


class _Writer:
    """Turns values into JSON and collects the arrays."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.names: dict[int, str] = {}
        self.open: set[int] = set()

    def encoded(self, value: Any, path: Place) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
            return value
        if kind in _ENCODERS:
            return {TAG: kind.__name__.lower(), "value": _ENCODERS[kind](value)}
        if isinstance(value, Tensor):
            flags = {"requires_grad": True} if value.requires_grad else {}
            return {TAG: "tensor", "name": self.name_of(value.value, path), **flags}
        if isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            name = self.name_of(array, path)
            return {TAG: "array" if kind is np.ndarray else "number", "name": name, "dtype": array.dtype.name}
        if kind in (list, tuple, dict, OrderedDict):
            return self.encoded_container(value, path)
        raise _cannot_save(value, path)

    def encoded_container(self, value: Any, path: Place) -> Any:
        if id(value) in self.open or len(path) > DEEPEST:
            problem = "contains itself" if id(value) in self.open else f"is more than {DEEPEST} levels deep"
            raise ArgumentError(f"save: {_shown(path[:5])}{'...' if len(path) > 5 else ''} {problem}")
        self.open.add(id(value))
        try:
            if isinstance(value, list | tuple):
                items = [self.encoded(item, (*path, i)) for i, item in enumerate(value)]
                return items if type(value) is list else {TAG: "tuple", "value": items}
            if type(value) is dict and TAG not in value and all(type(key) is str for key in value):
                return {key: self.encoded(item, (*path, key)) for key, item in value.items()}
            pairs = [[self.encoded(k, path), self.encoded(v, (*path, k))] for k, v in value.items()]
            return {TAG: type(value).__name__.lower(), "value": pairs}
        finally:
            self.open.discard(id(value))

    def name_of(self, array: Array, path: Place) -> str:
        """The name of an array in the file: its path; the same for every place where the same array stands."""
        known = self.names.get(id(array))
        if known is not None:
            return known
        name = ".".join([str(part) for part in path]) or "value"
        while name in self.arrays or name == METADATA:  # {"a.b": x} beside {"a": {"b": y}}
            name += "'"
        self.arrays[name] = array  # also keeps it alive, so that its id stays its own
        self.names[id(array)] = name
        return name


_ENCODERS: dict[type, Callable[[Any], Any]] = {
    float: str,  # nan and the infinities
    bytes: lambda value: base64.b64encode(value).decode("ascii"),
    DType: lambda value: value.name,
    Size: list,
    Device: str,
}


def _shown(path: Place) -> str:
    return "obj" + "".join([f"[{part!r}]" for part in path])


def _cannot_save(value: Any, path: Place) -> ArgumentTypeError:
    if isinstance(value, FunctionType | BuiltinFunctionType):
        what, mend = "a function", None
    elif hasattr(value, "state_dict"):
        what, mend = f"an object of the class {type(value).__name__}", "Save its state_dict()."
    else:
        what, mend = f"an object of the class {type(value).__name__}", None
    return ArgumentTypeError(
        f"save: {_shown(path)}: {what} cannot be saved",
        mend=mend or "Files hold tensors, arrays, numbers, texts, bytes, dtypes, lists, tuples and dictionaries.",
    )


# ---- reading ---------------------------------------------------------------------------------------------------


def _loaded(stream: BinaryIO, file: str, place: Callable[[Tensor], Tensor]) -> Any:
    _refuse_pickles(stream, file)
    arrays, metadata = safetensors.read(stream, file)
    arrays = {name: place(wrap(array, None)).value for name, array in arrays.items()}
    if KEY not in metadata:
        return {name: wrap(array, None) for name, array in arrays.items()}
    try:
        content = json.loads(metadata[KEY])
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']}; this chainrule reads version {VERSION}")
        return _Reader(arrays).decoded(content["value"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ChainruleError) as error:
        raise FileFormatError(
            f"{file} is no intact archive of chainrule.save", got=[f"{type(error).__name__}: {error}"]
        ) from None


def _refuse_pickles(stream: BinaryIO, file: str) -> None:
    start = stream.read(8)
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    is_zip = start[:4] == b"PK\x03\x04"
    is_pickle = len(start) == 8 and start[0] == 0x80 and 2 <= start[1] <= 5
    if (is_zip or is_pickle) and int.from_bytes(start, "little") > size:
        target = Path(file).with_suffix(".safetensors").name
        raise FileFormatError(
            f"{file} was written by torch.save or pickle; such a file can run any program, and is not loaded",
            mend=f"Convert it where PyTorch is: "
            f"safetensors.torch.save_file(torch.load({file!r}, weights_only=True), {target!r})",
        )


class _Reader:
    """Turns JSON back into values."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = arrays

    def decoded(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.decoded(item) for item in value]
        if not isinstance(value, dict):
            return value
        if TAG not in value:
            return {key: self.decoded(item) for key, item in value.items()}
        kind = value[TAG]
        if kind in _DECODERS:
            return _DECODERS[kind](value["value"])
        if kind == "tensor":
            tensor = wrap(self.arrays[value["name"]], None)
            return tensor.requires_grad_() if value.get("requires_grad") else tensor
        if kind in ("array", "number"):
            array = self.arrays[value["name"]].astype(value["dtype"], copy=False)
            return array if kind == "array" else array[()]
        if kind == "tuple":
            return tuple(self.decoded(value["value"]))
        if kind in ("dict", "ordereddict"):
            pairs = [(self.decoded(k), self.decoded(v)) for k, v in value["value"]]
            return dict(pairs) if kind == "dict" else OrderedDict(pairs)
        raise ValueError(f"unknown kind of value {kind!r}")


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "bytes": lambda text: base64.b64decode(text, validate=True),
    "dtype": dtype_named,
    "size": Size,
    "device": Device,
}
