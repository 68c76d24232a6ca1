"""How tensors print: as values, like PyTorch, and as one line of an error message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.tensor.graph import Node

if TYPE_CHECKING:
    from chainrule.tensor.tensor import Tensor


class _Options:
    """What set_printoptions sets."""

    precision = 4
    threshold = 1000
    edgeitems = 3
    linewidth = 80


def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
) -> None:
    """Decimals, the number of elements above which tensors are elided, how many stay at each end, and columns."""
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    for name, value in given.items():
        if value is not None:
            setattr(_Options, name, value)


def representation(x: Tensor) -> str:
    """`tensor([1., 2.], grad_fn=<AddBackward>)`."""
    parameter = type(x).__name__ == "Parameter"
    head = "Parameter containing:\n" if parameter else ""
    text = _elements(x.value)
    notes = []
    if _dtype_is_news(x):
        notes.append(f"dtype={x.dtype!r}")
    if x.value.size == 0 and x.value.ndim > 1:
        notes.append(f"size={tuple(x.value.shape)}")
    if isinstance(x.edge, Node):
        notes.append(f"grad_fn={x.edge!r}")
    elif x.edge is not None:
        notes.append("requires_grad=True")
    return f"{head}tensor({', '.join([text, *notes])})"


def _dtype_is_news(x: Tensor) -> bool:
    return x.dtype.name not in ("float32", "int64", "bool") or (x.value.size == 0 and x.dtype.name != "float32")


def _elements(value: np.ndarray[Any, Any]) -> str:
    with np.printoptions(
        precision=_Options.precision,
        threshold=_Options.threshold,
        edgeitems=_Options.edgeitems,
        linewidth=_Options.linewidth,
        floatmode="maxprec" if value.dtype.kind == "f" and _whole(value) else "fixed",
        suppress=not _needs_exponent(value),
    ):
        return np.array2string(value, separator=", ", prefix="tensor(")


def _whole(value: np.ndarray[Any, Any]) -> bool:
    finite = value[np.isfinite(value)]
    return bool(np.all(finite == np.rint(finite)))


def _needs_exponent(value: np.ndarray[Any, Any]) -> bool:
    if value.dtype.kind != "f":
        return False
    sizes = np.abs(value[np.isfinite(value) & (value != 0)])
    if not sizes.size:
        return False
    large, small = float(sizes.max()), float(sizes.min())
    return large > 1e8 or small < 1e-4 or large / small > 1e3 and not _whole(value)


def describe(name: str, x: Any) -> str:
    """One line of an error message: `a  (64, 784)  float32`."""
    value = getattr(x, "value", x)
    if isinstance(value, np.ndarray):
        return f"{name}  {tuple(value.shape)}  {value.dtype}"
    return f"{name}  {value!r}"
