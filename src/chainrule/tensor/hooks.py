"""Hooks on gradients: functions that see, and may replace, a cotangent on its way."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from chainrule.errors import GraphError
from chainrule.tensor.graph import Leaf
from chainrule.tensor.recording import changed
from chainrule.tensor.tensor import Tensor, watch

_numbers = itertools.count(1)


class RemovableHandle:
    """What registering a hook returns: `handle.remove()`, or `with handle:`."""

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self.hooks, self.id = hooks, next(_numbers)
        hooks[self.id] = hook
        changed()

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        self.hooks.pop(self.id, None)
        changed()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `hook(gradient)` whenever this tensor's gradient is computed; what it returns replaces the gradient.

    Raises:
        GraphError: if the tensor does not require a gradient.
    """
    if self.edge is None:
        raise GraphError("cannot register a hook on a tensor that doesn't require gradient")
    return RemovableHandle(watch(self.edge).hooks, hook)


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Call `hook(leaf)` whenever this leaf's .grad was updated.

    Raises:
        GraphError: if the tensor is not a leaf that requires a gradient.
    """
    if not isinstance(self.edge, Leaf):
        raise GraphError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return RemovableHandle(watch(self.edge).post_hooks, hook)
