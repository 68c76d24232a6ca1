"""`m`, the arithmetic that every body is written against, as types.

A reader supplies the primitives as attributes of one object; the other operators follow from their bodies.
A value has the operators + - * / (both sides), unary -, < <= > >=, and the attributes shape and dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

Value: TypeAlias = Any
"""One reader's value: a NumPy array, an mpmath number, a formula, a Tensor, an IR value."""


class Maths(Protocol):
    """Every operator of the catalogue, by name: `m.exp(x)`, `m.sum(x, axis=-1, keepdims=True)`."""

    def __getattr__(self, name: str) -> Callable[..., Any]: ...
