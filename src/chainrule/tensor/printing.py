"""How tensors print: as values, in PyTorch's layout, and as one line of an error message."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.tensor.graph import Array, Node

if TYPE_CHECKING:
    from chainrule.tensor.tensor import Tensor


@dataclass
class Options:
    """What set_printoptions sets."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


OPTIONS = Options()
PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": float("inf"), "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print.

    Args:
        precision: decimals.
        threshold: the number of elements above which the middle is left out.
        edgeitems: how many stay at each end then.
        linewidth: columns.
        profile: "default", "short" or "full": a set of the four above.
        sci_mode: exponents always or never; None, also where it is not given, decides by the numbers.

    Raises:
        ArgumentError: for an unknown profile.
    """
    if profile is not None and profile not in PROFILES:
        raise ArgumentError(f"set_printoptions: profile is one of {', '.join(PROFILES)}, not {profile!r}")
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    chosen = {} if profile is None else PROFILES[profile]
    for name, value in (chosen | {name: v for name, v in given.items() if v is not None}).items():
        setattr(OPTIONS, name, value)
    OPTIONS.sci_mode = sci_mode


def representation(x: Tensor) -> str:
    """`tensor([1., 2.], grad_fn=<AddBackward>)`."""
    from chainrule.tensor.tensor import get_default_dtype

    value = x.value
    suffixes = []
    if not value.size:
        if value.ndim != 1:
            suffixes.append(f"size={tuple(value.shape)}")
        if x.dtype is not get_default_dtype():
            suffixes.append(f"dtype={x.dtype!r}")
    elif x.dtype is not get_default_dtype() and x.dtype.name not in ("int64", "bool"):
        suffixes.append(f"dtype={x.dtype!r}")
    if isinstance(x.edge, Node):
        suffixes.append(f"grad_fn={x.edge!r}")
    elif x.edge is not None:
        suffixes.append("requires_grad=True")
    head = "Parameter containing:\n" if type(x).__name__ == "Parameter" else ""
    return head + _with_suffixes("tensor(" + elements(value, len("tensor(")), suffixes, len("tensor("))


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    """The text with its remarks; one that does not fit goes to a line of its own."""
    last = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if last + len(suffix) + 2 > OPTIONS.linewidth:
            text += ",\n" + " " * indent + suffix
            last = indent + len(suffix)
        else:
            text += ", " + suffix
            last += len(suffix) + 2
    return text + ")"


def elements(value: Array, indent: int) -> str:
    """The elements in nested brackets, in columns of one width."""
    if not value.size:
        return "[]"
    elided = value.size > OPTIONS.threshold
    return _nested(value, indent, elided, Column.of(_edges(value) if elided else value))


@dataclass(frozen=True)
class Column:
    """How the numbers of one tensor are written: all in one notation and at one width."""

    width: int
    notation: str
    """ "plain" for integers and bools, "whole" for floats without decimals, "fixed" or "exponent"."""

    @classmethod
    def of(cls, value: Array) -> Column:
        """The column that fits these elements."""
        flat = value.reshape(-1)
        if value.dtype.kind != "f":
            return cls(max([len(str(v)) for v in flat.tolist()], default=1), "plain")
        flat = flat.astype(np.float64)
        flat = flat[np.isfinite(flat) & (flat != 0)]
        if not flat.size:
            return cls(1, "whole")
        sizes = np.abs(flat)
        low, high = float(sizes.min()), float(sizes.max())
        wide = high / low > 1000 or high > 1e8 or low < 1e-4 if OPTIONS.sci_mode is None else OPTIONS.sci_mode
        notation = "exponent" if wide else "whole" if bool(np.all(flat == np.ceil(flat))) else "fixed"
        alone = cls(0, notation)
        return cls(max(1, *[len(alone.text(v)) for v in flat.tolist()]), notation)

    def text(self, v: Any) -> str:
        """One element, flush right."""
        if self.notation == "plain":
            shown = str(v)
        elif self.notation == "exponent":
            shown = f"{v:.{OPTIONS.precision}e}"
        elif self.notation == "fixed":
            shown = f"{v:.{OPTIONS.precision}f}"
        else:
            shown = f"{v:.0f}." if isfinite(v) else f"{v:.0f}"
        return shown.rjust(self.width)


def _edges(value: Array) -> Array:
    """The elements that stay where the middle is left out."""
    n = OPTIONS.edgeitems
    for axis, size in enumerate(value.shape):
        if size > 2 * n:
            value = np.take(value, [*range(n), *range(size - n, size)], axis)
    return value


def _nested(value: Array, indent: int, elided: bool, column: Column) -> str:
    if not value.ndim:
        return column.text(value.item())
    n = OPTIONS.edgeitems
    middle = elided and len(value) > 2 * n
    shown: list[Any] = [*value[:n], None, *value[len(value) - n :]] if middle else list(value)
    if value.ndim == 1:
        a_line = max(1, (OPTIONS.linewidth - indent) // (column.width + 2))
        words = [" ..." if v is None else column.text(v.item()) for v in shown]
        lines = [", ".join(words[i : i + a_line]) for i in range(0, len(words), a_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts = ["..." if v is None else _nested(v, indent + 1, elided, column) for v in shown]
    return "[" + ("," + "\n" * (value.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def describe(name: str, x: Any) -> str:
    """One line of an error message: `a  (64, 784)  float32`."""
    value = getattr(x, "value", x)
    if isinstance(value, np.ndarray):
        return f"{name}  {tuple(value.shape)}  {value.dtype}"
    return f"{name}  {value!r}"
