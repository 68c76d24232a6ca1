"""Arrays of PyTorch and JAX, our own tensors and Python floats as NumPy's, and back; no library is imported for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import ArgumentTypeError, DTypeError
from chainrule.tensor.tensor import Tensor, wrap
from chainrule.verify.differences import Array


def as_array(value: Any, what: str) -> Array:
    """The numbers of an array, tensor or Python number; shares memory where it can.

    Raises:
        ArgumentTypeError: for anything else.
        DTypeError: for complex numbers.
    """
    library = _library(value)
    if isinstance(value, Tensor):
        array = value.value
    elif library == "torch":
        array = value.detach().cpu().numpy()
    elif library == "jax" or isinstance(value, np.ndarray | np.generic | float | int | complex):
        array = np.asarray(value)
    else:
        raise ArgumentTypeError(f"verify.backward: {what} is no array: {type(value).__name__}")
    if array.dtype.kind == "c":
        raise DTypeError(
            "verify.backward: complex numbers are not supported: slopes are those of real functions",
            got=[f"{what}  {array.shape}  {array.dtype.name}"],
            mend="Give the real and the imaginary part as two inputs.",
        )
    return array


def is_array(value: Any) -> bool:
    """True for what `as_array` takes."""
    known = isinstance(value, Tensor | np.ndarray | np.generic | float | int)
    return known or _library(value) in ("torch", "jax")


def maker(value: Any) -> Callable[[Array], Any]:
    """What makes, of a NumPy array, a value of the same library as this one; the array is copied."""
    if isinstance(value, Tensor):
        return lambda array: wrap(array.copy(), None)
    if _library(value) == "torch":
        torch, device = sys.modules["torch"], value.device
        return lambda array: torch.from_numpy(np.array(array)).to(device)
    if _library(value) == "jax":
        jnp = sys.modules["jax"].numpy
        return lambda array: jnp.asarray(array)
    if isinstance(value, np.ndarray):
        return lambda array: array.copy(order="K")
    if isinstance(value, np.generic):
        return lambda array: array[()]
    return lambda array: float(array)


def _library(value: Any) -> str:
    name = type(value).__module__.partition(".")[0]
    return "jax" if name == "jaxlib" else name
