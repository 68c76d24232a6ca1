"""What the caller of a function calls its tensors: names for the quantities of a derivation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

from chainrule.nn.module import Module
from chainrule.tensor.tensor import Tensor
from chainrule.tensor.views import View


def callers_modules(frame: FrameType) -> dict[str, Module]:
    """The modules that the caller has variables for."""
    found: dict[str, Module] = {}
    for name, value in _variables(frame):
        if isinstance(value, Module):
            found.setdefault(name, value)
    return found


def callers_names(frame: FrameType, modules: Iterable[Module]) -> dict[str, Tensor]:
    """What the caller calls tensors: variables, and the paths of the modules' parameters."""
    found: dict[str, Tensor] = {}
    for name, value in _variables(frame):
        if isinstance(value, Tensor) and not isinstance(value, View) and not name.startswith("_"):
            found.setdefault(name, value)
    for module in modules:
        for path, p in module.named_parameters():
            if all(p is not x for x in found.values()):
                found.setdefault(path, p)
    return found


def _variables(frame: FrameType) -> Iterator[tuple[str, Any]]:
    yield from list(frame.f_locals.items())
    if frame.f_globals is not frame.f_locals:
        yield from list(frame.f_globals.items())
