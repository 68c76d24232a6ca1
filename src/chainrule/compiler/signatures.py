"""Signatures: what of a call's arguments a program depends on; nested structures of Tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.compiler.surroundings import PLAIN, plain
from chainrule.errors import ArgumentTypeError
from chainrule.tensor.tensor import Tensor


def signature(structure: Any, tensors: list[Tensor], others: list[Any] | None = None) -> Any:
    """A hashable description of nested arguments.

    The Tensors in them are appended to `tensors`, objects that are known by their identity alone to `others`.
    """
    kind = type(structure)
    if kind is tuple or kind is list:
        return (kind, *[signature(x, tensors, others) for x in structure])
    if kind is dict:
        return (dict, *[(name, signature(x, tensors, others)) for name, x in structure.items()])
    if isinstance(structure, Tensor):
        for i, other in enumerate(tensors):
            if other is structure:
                return ("same", i)
        tensors.append(structure)
        value = structure.value
        return (value.shape, value.dtype, structure.edge is None)
    if isinstance(structure, np.ndarray):
        raise ArgumentTypeError(
            "a compiled function takes Tensors, not NumPy arrays: an array would become part of the program",
            mend="Pass chainrule.from_numpy(array).",
        )
    if isinstance(structure, tuple):  # a named one
        return (kind, *[signature(x, tensors, others) for x in structure])
    if kind in PLAIN:
        return plain(structure)
    if isinstance(structure, np.generic):
        return (kind, structure.tobytes())
    if others is not None:
        others.append(structure)
    return (kind, id(structure))


def mapped(structure: Any, change: Callable[[Tensor], Any]) -> Any:
    """Nested arguments with each Tensor replaced."""
    if isinstance(structure, Tensor):
        return change(structure)
    if type(structure) in (list, tuple):
        return type(structure)([mapped(x, change) for x in structure])
    if type(structure) is dict:
        return {name: mapped(x, change) for name, x in structure.items()}
    if isinstance(structure, tuple):
        return type(structure)(*[mapped(x, change) for x in structure])
    return structure


@dataclass(frozen=True)
class _Place:
    """Where a Tensor stood in the function's result."""


def skeleton(structure: Any, leaves: list[Tensor]) -> Any:
    """Nested results without their Tensors, which are appended to `leaves`."""

    def note(x: Tensor) -> _Place:
        leaves.append(x)
        return _Place()

    return mapped(structure, note)


def filled(structure: Any, items: Iterator[Any]) -> Any:
    """A skeleton with items in the places of its Tensors, in order."""
    if isinstance(structure, _Place):
        return next(items)
    if type(structure) in (list, tuple):
        return type(structure)([filled(x, items) for x in structure])
    if type(structure) is dict:
        return {name: filled(x, items) for name, x in structure.items()}
    if isinstance(structure, tuple):
        return type(structure)(*[filled(x, items) for x in structure])
    return structure
