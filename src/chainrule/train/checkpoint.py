"""A training's state as arrays and JSON in one safetensors file, so that it can go on as if it never stopped.

Everything is in one file (the JSON stands in its header), because one file can be replaced in one step: arrays and
JSON never come from different epochs.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ChainruleError, DataError, FileFormatError, StateError
from chainrule.interop.safetensors import load_file, load_metadata, save_file
from chainrule.tensor.functions.random import Generator, default_generator, manual_seed
from chainrule.tensor.tensor import Tensor, wrap
from chainrule.train.files import writing

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = dict[str, Array]

FORMAT = "1"
_ARRAY, _PAIRS = "$array", "$pairs"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Arrays by name and the rest as what JSON holds. Both are copies: training goes on without changing them."""

    arrays: Arrays
    state: Any


# ---- nested states, as optimizers and schedulers have them --------------------------------------------------


def pack(state: Any) -> Checkpoint:
    """A nested state of dictionaries, lists, numbers, texts, tensors and arrays, with its arrays taken out.

    Raises:
        StateError: it holds something else, which neither a tensor file nor JSON can hold.
    """
    arrays: Arrays = {}
    return Checkpoint(arrays, _packed(state, "", arrays))


def unpack(checkpoint: Checkpoint) -> Any:
    """The state that was packed; tensors and arrays come back as tensors."""
    return _unpacked(checkpoint.state, checkpoint.arrays)


def _packed(value: Any, path: str, arrays: Arrays) -> Any:
    if isinstance(value, Tensor | np.ndarray):
        while path in arrays:  # {"a.b": ...} beside {"a": {"b": ...}}
            path += "'"
        arrays[path] = np.array(value.value if isinstance(value, Tensor) else value)
        return {_ARRAY: path}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_packed(item, f"{path}.{i}" if path else str(i), arrays) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        items = [(key, _packed(item, f"{path}.{key}" if path else str(key), arrays)) for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in items):
            return dict(items)
        return {_PAIRS: [[key, item] for key, item in items]}
    raise StateError(
        f"a checkpoint cannot hold {path}",
        got=[f"{type(value).__module__}.{type(value).__name__}"],
        mend="It holds tensors, arrays, numbers, texts, lists and dictionaries.",
    )


def _unpacked(value: Any, arrays: Mapping[str, Array]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        return wrap(arrays[value[_ARRAY]].copy(), None)
    if _PAIRS in value:
        return {key: _unpacked(item, arrays) for key, item in value[_PAIRS]}
    return {key: _unpacked(item, arrays) for key, item in value.items()}


# ---- the file -----------------------------------------------------------------------------------------------


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Replaces the file by this checkpoint, whole or not at all.

    Raises:
        FileWriteError: it cannot be written. What was there before is still there.
    """
    header = {"format": FORMAT, "state": json.dumps(checkpoint.state)}
    with writing(path):
        save_file(checkpoint.arrays, path, metadata=header)


def load(path: Path) -> Checkpoint:
    """The checkpoint in a file.

    Raises:
        DataError: the file cannot be read.
        FileFormatError: it is truncated, damaged or not a checkpoint.
    """
    arrays, header = load_arrays(path)
    if header.get("format") != FORMAT or "state" not in header:
        raise FileFormatError(f"{path} is not a checkpoint of format {FORMAT}")
    try:
        state = json.loads(header["state"])
    except ValueError as error:
        raise FileFormatError(f"the checkpoint {path} is damaged", got=[str(error)]) from error
    if not isinstance(state, dict) or not isinstance(state.get("epoch"), int):
        raise FileFormatError(f"the checkpoint {path} is damaged", got=["it names no epoch"])
    return Checkpoint(arrays, state)


def load_arrays(path: Path) -> tuple[Arrays, Mapping[str, str]]:
    """The arrays and the header's texts in a safetensors file.

    Raises:
        DataError: the file cannot be read.
        FileFormatError: it is truncated or damaged.
    """
    try:
        tensors, header = load_file(path), load_metadata(path)
    except ChainruleError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return {name: tensor.value for name, tensor in tensors.items()}, header or {}


# ---- random streams -----------------------------------------------------------------------------------------


def seed_all(seed: int) -> None:
    """Starts every stream that a program may draw from: chainrule's, NumPy's old global one, and Python's."""
    manual_seed(seed)
    np.random.seed(seed % 2**32)  # what a builder may draw from
    random.seed(seed)


def random_states(generators: Mapping[str, Generator]) -> Any:
    """The states of those streams and of these generators, to be packed."""
    name, keys, position, has_gauss, cached = np.random.get_state()  # see seed_all
    version, words, gauss = random.getstate()
    return {
        "default": default_generator.get_state(),
        "generators": {key: generator.get_state() for key, generator in generators.items()},
        "numpy": [str(name), np.asarray(keys, np.int64), int(position), int(has_gauss), float(cached)],
        "python": [version, np.array(words, np.int64), gauss],
    }


def restore_random_states(states: Any, generators: Mapping[str, Generator]) -> None:
    """Continues the streams where `random_states` found them."""
    default_generator.set_state(states["default"])
    for key, generator in generators.items():
        generator.set_state(states["generators"][key])
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.value.astype(np.uint32), position, has_gauss, cached))  # see seed_all
    version, words, gauss = states["python"]
    random.setstate((version, tuple(int(word) for word in words.value), gauss))
