"""Parameter and Buffer: the tensors that a module owns."""

from __future__ import annotations

from typing import Any

from chainrule.errors import ArgumentTypeError
from chainrule.tensor.graph import Array
from chainrule.tensor.tensor import Tensor, default_float, legacy_array


class Parameter(Tensor):
    """A tensor that is trained: assigned to an attribute of a module, it is one of `module.parameters()`.

    Args:
        data: the tensor whose memory it shares; empty if missing.
        requires_grad: False for a parameter that is saved with the others and not trained.

    Raises:
        ArgumentTypeError: if data is no tensor.
        DTypeError: for integers and bools that require a gradient.
    """

    __slots__ = ()

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        self.value = shared_elements(data, "Parameter")
        self.edge = None
        self.requires_grad_(requires_grad)


class Buffer(Tensor):
    """A tensor that belongs to a module's state and is not trained: a running mean, a mask.

    Args:
        data: the tensor whose memory it shares; empty if missing.
        persistent: False keeps it out of `module.state_dict()`.
    """

    __slots__ = ("persistent",)

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        self.value = shared_elements(data, "Buffer")
        self.edge = None
        self.persistent = persistent

    def __reduce__(self) -> Any:
        return (rebuilt_buffer, (self.value, self.persistent, dict(self.__dict__)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        copied = rebuilt_buffer(self.value.copy(), self.persistent, dict(self.__dict__))
        memo[id(self)] = copied
        return copied


def shared_elements(data: Tensor | None, kind: str) -> Array:
    """The array of a tensor, or an empty one for None."""
    if data is None:
        return legacy_array((), default_float())
    if not isinstance(data, Tensor):
        raise ArgumentTypeError(
            f"{kind}(data): data is a Tensor, not {type(data).__name__}", mend="Make one: chainrule.tensor(...)"
        )
    return data.value


def rebuilt_buffer(value: Array, persistent: bool, attributes: dict[str, Any]) -> Buffer:
    """A buffer from its parts: unpickling and deepcopy."""
    buffer = Buffer(persistent=persistent)
    buffer.value = value
    buffer.__dict__.update(attributes)
    return buffer
