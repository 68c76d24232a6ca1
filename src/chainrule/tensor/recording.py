"""Recording: how a compiler sees a program that runs once. `tensor` owns the protocol; `compiler.trace` plugs in.

While a recorder is active in a thread, the gates hand it every call, the sweep runs the rules on its values, and
in-place writes, random draws, gradients and optimiser steps go to it. A Tensor it made holds one of its symbols in
place of an array. Where no recorder is active anywhere, a gate pays for one test of an empty dict.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any, Protocol

from chainrule.ops.op import Op


class Recorder(Protocol):
    """What the library tells a recorder, and asks it for."""

    maths: Any
    """`m` on the recorder's values: what the rules run on in a sweep."""

    def call(self, op: Op, inputs: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """An operator on Tensors and numbers; a Tensor."""

    def value_of(self, x: Any) -> Any:
        """The recorder's value for a Tensor's elements as they are now, or for an array; other things as they are."""

    def tensor_of(self, value: Any, edge: Any = None) -> Any:
        """A Tensor around a recorder's value."""

    def write(self, target: Any, result: Any) -> None:
        """Put a Tensor's elements into another's memory; shapes and types agree."""

    def read_grad(self, leaf: Any) -> None:
        """A leaf's .grad is about to be read or changed."""

    def write_grad(self, leaf: Any) -> None:
        """A leaf's .grad is about to be replaced, whatever it was."""

    def accumulate(self, leaf: Any, g: Any) -> None:
        """Add a value to a leaf's .grad."""

    def created(self, tensor: Any) -> None:
        """The program made this Tensor itself: it is no state."""

    def numbers(self, watched: dict[str, Any], read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `read` gives, with a float64 Tensor without axes for each float: the program takes it anew each call.

        Before a call `read` runs again if the values of `watched` have changed; what is no float is fixed.
        """

    def draw(self, generator: Any, words: int) -> tuple[Any, Any]:
        """Key and first counter of so many random words, reserved anew at each call."""

    def ran(self, module: Any) -> None:
        """A module was called: the program depends on its training flag and its members."""

    def depends_on(self, look: Callable[[], Any]) -> None:
        """The program holds as long as `look()` gives what it gives now; it looks again after each `changed()`."""

    def after_each_call(self, effect: Callable[[], None]) -> None:
        """Something to run in Python after each call of the program: a scheduler's step."""

    def refuse(self, what: str, mend: str) -> Exception:
        """The error for what cannot be recorded, with the user's line."""


RECORDERS: dict[int, Recorder] = {}
"""The active recorder of each thread that has one."""


def recorder() -> Recorder | None:
    """The recorder that is active in this thread."""
    return RECORDERS.get(get_ident()) if RECORDERS else None


class Changes:
    """How often something was changed that a compiled program took for granted: it looks again when this moves.

    A module's member or flag, the array behind a Tensor, requires_grad, an optimiser's groups.
    """

    count = 0


def changed() -> None:
    """Note such a change."""
    Changes.count += 1
