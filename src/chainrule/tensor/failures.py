"""Errors of a refused call: the shape rule says what was wanted, the frames say what the arguments are called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ChainruleError, IndexOutOfRangeError, ShapeError
from chainrule.ops.op import Op
from chainrule.tensor.graph import PACKAGE, line_of


def failure(op: Op, inputs: Sequence[Any], params: dict[str, Any], error: Exception) -> Exception:
    """The error to raise instead of `error`, which a body or the shape rule raised for these inputs."""
    if op.shape_rule is not None:
        shapes = [x.value.shape if hasattr(x, "edge") else None if x is None else np.shape(x) for x in inputs]
        try:
            op.shape_rule(*shapes, **params)
        except ChainruleError as refused:
            return type(refused)(
                refused.what if refused.what.startswith(op.name) else f"{op.name}: {refused.what}",
                got=named_inputs(op, inputs),
                where=users_line(),
                mend=refused.mend,
            )
    if isinstance(error, ChainruleError | MemoryError | RecursionError | KeyboardInterrupt):
        return error
    if isinstance(error, IndexError):
        kind: type[ChainruleError] = IndexOutOfRangeError
    elif isinstance(error, ValueError) and ("shape" in str(error) or "broadcast" in str(error)):
        kind = ShapeError
    else:
        kind = ArgumentError
    shown = [f"{name} = {value!r}" for name, value in params.items() if value is not None]
    return kind(f"{op.name}: {error}", got=[*named_inputs(op, inputs), *shown], where=users_line())


def named_inputs(op: Op, inputs: Sequence[Any]) -> list[str]:
    """A line for each input: its name in the formula, shape, element type, and what the program calls it."""
    lines = []
    for i, x in enumerate(inputs):
        name = op.inputs[min(i, len(op.inputs) - 1)]
        if not hasattr(x, "edge"):
            if x is not None:
                lines.append(f"{name}  {x!r}")
            continue
        called = name_of(x)
        lines.append(f"{name}  {tuple(x.value.shape)}  {x.value.dtype}" + (f"  {called}" if called else ""))
    return lines


def name_of(tensor: Any) -> str | None:
    """What the running program calls a tensor: a parameter's path in its outermost module, or a variable."""
    frame = sys._getframe(1)
    parameter = variable = None
    while frame is not None:
        module = frame.f_locals.get("self")
        parameter = _parameter_name(module, tensor) or parameter
        if variable is None and not frame.f_code.co_filename.startswith(PACKAGE):
            for name, value in frame.f_locals.items():
                if value is tensor:
                    variable = f"'{name}'"
        frame = frame.f_back  # type: ignore[assignment]
    return parameter or variable


def _parameter_name(module: Any, tensor: Any) -> str | None:
    """The path of a parameter in a module; None for anything else, and in a module that is not made yet."""
    if not isinstance(getattr(module, "__dict__", None), dict) or "_kinds" not in vars(module):
        return None
    return next((f"parameter '{name}'" for name, p in module.named_parameters() if p is tensor), None)


def users_line() -> str | None:
    """The innermost line of the running program outside this package."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back  # type: ignore[assignment]
    return None if frame is None else line_of((frame.f_code, frame.f_lasti))
