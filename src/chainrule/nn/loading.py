"""Loading a state dictionary: everything is checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.errors import ArgumentTypeError, StateError
from chainrule.nn.members import SAVED
from chainrule.nn.parameter import Parameter
from chainrule.tensor.tensor import Tensor, wrote

if TYPE_CHECKING:
    from chainrule.nn.module import Module

EXTRA = "_extra_state"


class _Fit(NamedTuple):
    """How a state dictionary fits a module."""

    missing: list[str]
    unexpected: list[str]
    mismatches: list[str]


def load_into(module: Module, state: Mapping[str, Any], strict: bool, assign: bool) -> tuple[list[str], list[str]]:
    """Load, and return the missing and the unexpected keys."""
    if not isinstance(state, Mapping):
        raise ArgumentTypeError(f"Expected state_dict to be dict-like, got {type(state)}.")
    places = _places(module)
    fit = _compare(places, state, assign)
    if fit.mismatches or (strict and (fit.missing or fit.unexpected)):
        raise _refusal(module, fit, strict)
    for key, (owner, name) in places.items():
        if key in state:
            _load_one(owner, name, state[key], assign)
    return fit.missing, fit.unexpected


def _places(module: Module) -> dict[str, tuple[Module, str]]:
    """Where the value of each key goes: a module and the name of one of its members."""
    places: dict[str, tuple[Module, str]] = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        names = [name for name, x in owner._own(*SAVED) if x is not None]
        if owner._has_extra_state():
            names.append(EXTRA)
        places |= {f"{path}.{name}" if path else name: (owner, name) for name in names}
    return places


def _compare(places: dict[str, tuple[Module, str]], state: Mapping[str, Any], assign: bool) -> _Fit:
    fit = _Fit([], [key for key in state if key not in places], [])
    for key, (owner, name) in places.items():
        if key not in state:
            fit.missing.append(key)
        elif name != EXTRA:
            problem = _problem(key, getattr(owner, name), state[key], assign)
            fit.mismatches.extend([problem] if problem else [])
    return fit


def _problem(key: str, own: Tensor, given: Any, assign: bool) -> str | None:
    """Why a value cannot be loaded, or None."""
    if not isinstance(given, Tensor):
        return f'the value of "{key}" is a {type(given).__name__}, not a Tensor'
    if given.value.shape != own.value.shape:
        return (
            f"size mismatch for {key}: copying a param with shape {given.shape} from checkpoint, "
            f"the shape in current model is {own.shape}."
        )
    if not assign and not own.value.flags.writeable:
        return f'the memory of "{key}" is read-only; load with assign=True'
    return None


def _refusal(module: Module, fit: _Fit, strict: bool) -> StateError:
    lines = []
    if strict and fit.missing:
        lines.append(f"Missing key(s) in state_dict: {', '.join(map(_quoted, fit.missing))}.")
    if strict and fit.unexpected:
        lines.append(f"Unexpected key(s) in state_dict: {', '.join(map(_quoted, fit.unexpected))}.")
    prefix = _common_prefix(fit)
    return StateError(
        f"Error(s) in loading state_dict for {type(module).__name__}:",
        got=[*lines, *fit.mismatches],
        mend=prefix
        and f"The given keys start with {prefix!r}: load {{k.removeprefix({prefix!r}): v for k, v in state.items()}}.",
    )


def _quoted(key: str) -> str:
    return f'"{key}"'


def _common_prefix(fit: _Fit) -> str | None:
    """What stands before every key, if that is the whole difference ("module." of wrapped models)."""
    if not fit.missing or not fit.unexpected:
        return None
    prefix = fit.unexpected[0].removesuffix(fit.missing[0])
    same = prefix.endswith(".") and [prefix + key for key in fit.missing] == fit.unexpected
    return prefix if same else None


def _load_one(owner: Module, name: str, given: Any, assign: bool) -> None:
    if name == EXTRA:
        owner.set_extra_state(given)
        return
    own = getattr(owner, name)
    if not assign:
        np.copyto(own.value, given.value, casting="unsafe")
        wrote(own)
    elif isinstance(own, Parameter) and not isinstance(given, Parameter):
        setattr(owner, name, Parameter(given, own.requires_grad))
    else:
        setattr(owner, name, given)
