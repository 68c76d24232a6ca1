"""finfo and iinfo: the limits of an element type, as Python numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import ArgumentTypeError
from chainrule.tensor.arrays import dtype_of, numpy_dtype
from chainrule.tensor.tensor import get_default_dtype


class finfo:
    """The limits of a float type: `finfo(chainrule.float32).eps`. Of the default type if none is given.

    eps is the distance from 1 to the next number, tiny (= smallest_normal) the smallest number with all its digits,
    resolution the power of ten that the digits reach.

    Raises:
        ArgumentTypeError: the type is no float.
    """

    bits: int
    eps: float
    max: float
    min: float
    tiny: float
    smallest_normal: float
    resolution: float
    dtype: str

    def __init__(self, type: Any = None) -> None:
        kind = numpy_dtype(get_default_dtype() if type is None else type)
        if kind.kind != "f":
            raise ArgumentTypeError(f"finfo takes a floating point type, not {dtype_of(kind)}; use iinfo")
        limits = np.finfo(kind)
        self.bits, self.dtype = kind.itemsize * 8, kind.name
        self.eps, self.resolution = float(limits.eps), float(limits.resolution)
        self.min, self.max = float(limits.min), float(limits.max)
        self.tiny = self.smallest_normal = float(limits.tiny)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution}, min={self.min}, max={self.max}, eps={self.eps}, dtype={self.dtype})"
        )


class iinfo:
    """The limits of an integer type: `iinfo(chainrule.int8).max`.

    Raises:
        ArgumentTypeError: the type is no integer.
    """

    bits: int
    max: int
    min: int
    dtype: str

    def __init__(self, type: Any) -> None:
        kind = numpy_dtype(type)
        if kind.kind not in "iu":
            raise ArgumentTypeError(f"iinfo takes an integer type, not {dtype_of(kind)}; use finfo")
        limits = np.iinfo(kind)
        self.bits, self.min, self.max, self.dtype = limits.bits, int(limits.min), int(limits.max), kind.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
