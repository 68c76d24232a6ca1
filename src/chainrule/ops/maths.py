"""`m`, the arithmetic that every body is written against, as types.

A reader supplies the primitives as attributes of one object; the other operators follow from their bodies.
A value has the operators + - * / (both sides), unary -, < <= > >=, and the attributes shape and dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

Value: TypeAlias = Any
"""One reader's value: a NumPy array, an mpmath number, a formula, a Tensor, an IR value."""


class Maths(Protocol):
    """Every operator of the catalogue, by name: `m.exp(x)`, `m.sum(x, axis=-1, keepdims=True)`."""

    def __getattr__(self, name: str) -> Callable[..., Any]: ...


Result = TypeVar("Result")
"""What the operators of a reader's value give: another value of the reader."""


class Operators(Generic[Result]):
    """The operators of a reader's values, each a call of the operator of that name.

    A reader that has no operators of its own (NumPy has) derives its values from this.
    """

    __slots__ = ()

    def _call(self, name: str, *inputs: Any) -> Result:
        """The operator `name` of the catalogue on these inputs."""
        raise NotImplementedError

    def __add__(self, other: Any) -> Result:
        return self._call("add", self, other)

    def __radd__(self, other: Any) -> Result:
        return self._call("add", other, self)

    def __sub__(self, other: Any) -> Result:
        return self._call("sub", self, other)

    def __rsub__(self, other: Any) -> Result:
        return self._call("sub", other, self)

    def __mul__(self, other: Any) -> Result:
        return self._call("mul", self, other)

    def __rmul__(self, other: Any) -> Result:
        return self._call("mul", other, self)

    def __truediv__(self, other: Any) -> Result:
        return self._call("div", self, other)

    def __rtruediv__(self, other: Any) -> Result:
        return self._call("div", other, self)

    def __neg__(self) -> Result:
        return self._call("neg", self)

    def __lt__(self, other: Any) -> Result:
        return self._call("lt", self, other)

    def __le__(self, other: Any) -> Result:
        return self._call("le", self, other)

    def __gt__(self, other: Any) -> Result:
        return self._call("gt", self, other)

    def __ge__(self, other: Any) -> Result:
        return self._call("ge", self, other)
