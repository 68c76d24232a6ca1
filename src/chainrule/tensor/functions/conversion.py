"""to, float, cpu, size ...: other types, and what PyTorch's programs ask a tensor about itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.dtypes import DType
from chainrule.errors import ArgumentTypeError, UnsupportedError
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.device import Device
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.tensor import Tensor


def to(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """x in another element type, or of another tensor's; a device must be the CPU. x itself if nothing changes.

    Raises:
        UnsupportedError: for a device other than the CPU.
    """
    dtype: Any = kwargs.pop("dtype", None)
    device = kwargs.pop("device", None)
    copy = kwargs.pop("copy", False)
    for name in kwargs:
        if name not in ("non_blocking", "memory_format", "other"):
            raise ArgumentTypeError(f"to() got an unexpected keyword argument '{name}'")
    for arg in (*args, *([kwargs["other"]] if "other" in kwargs else [])):
        if isinstance(arg, Tensor):
            dtype = arg.dtype
        elif isinstance(arg, str | Device):
            device = arg
        elif not isinstance(arg, bool) and arg is not None:
            dtype = arg
    Device.of(device)
    wanted = input.value.dtype if dtype is None else numpy_dtype(dtype)
    if input.value.dtype == wanted:
        return GATES["clone"](input) if copy else input
    return GATES["cast"](input, dtype=wanted)


def _to(dtype: DType, name: str) -> Callable[[Tensor], Tensor]:
    def convert(input: Tensor, memory_format: Any = None) -> Tensor:
        return to(input, dtype)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"x as {dtype}."
    return convert


CONVERSIONS = {
    name: _to(dtype, name)
    for name, dtype in {
        "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16, "bfloat16": dtypes.bfloat16,
        "long": dtypes.int64, "int": dtypes.int32, "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8,
        "bool": dtypes.bool_,
    }.items()
}  # fmt: skip

_TYPE_NAMES = {
    "float32": "Float", "float64": "Double", "float16": "Half", "int64": "Long", "int32": "Int", "int16": "Short",
    "int8": "Char", "uint8": "Byte", "bool": "Bool",
}  # fmt: skip


def type(input: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The legacy name of the element type ("torch.FloatTensor" in PyTorch), or x in another type."""
    if dtype is None:
        return f"chainrule.{_TYPE_NAMES[input.dtype.name]}Tensor"
    if isinstance(dtype, str):
        dtype = dtype_of_legacy_name(dtype)
    return to(input, getattr(dtype, "dtype", dtype))


def dtype_of_legacy_name(name: str) -> DType:
    """float64 for "DoubleTensor" or "torch.DoubleTensor".

    Raises:
        ArgumentTypeError: for any other name.
    """
    wanted = name.rpartition(".")[2].removesuffix("Tensor")
    names = [ours for ours, legacy in _TYPE_NAMES.items() if legacy == wanted]
    if not names:
        raise ArgumentTypeError(f"invalid type: {name!r}")
    return dtypes.dtype_named(names[0])


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """x in the element type of another tensor."""
    return to(input, other.dtype)


def cpu(input: Tensor) -> Tensor:
    """x: it is on the CPU already."""
    return input


def cuda(input: Tensor, device: Any = None, **_: Any) -> Tensor:
    """Raises: there is no GPU here."""
    raise UnsupportedError(
        "there is no device 'cuda': chainrule runs on the CPU.",
        mend='Choose with: device = "cuda" if chainrule.cuda.is_available() else "cpu"',
    )


def pin_memory(input: Tensor) -> Tensor:
    """x: page-locked memory only helps copies to a GPU."""
    return input


def size(input: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size of one axis."""
    return input.shape if dim is None else input.shape[dim]


def dim(input: Tensor) -> int:
    """The number of axes."""
    return input.value.ndim


def nelement(input: Tensor) -> int:
    """How many elements there are."""
    return int(input.value.size)


def element_size(input: Tensor) -> int:
    """Bytes of one element."""
    return int(input.value.itemsize)


def stride(input: Tensor, dim: int | None = None) -> Any:
    """How many elements apart neighbours along each axis lie in memory."""
    steps = tuple([s // input.value.itemsize for s in input.value.strides])
    return steps if dim is None else steps[dim]


def storage_offset(input: Tensor) -> int:
    """How many elements of the underlying memory come before the first."""
    base = input.value.base
    if not isinstance(base, np.ndarray):
        return 0
    first: int = input.value.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return first // input.value.itemsize


def data_ptr(input: Tensor) -> int:
    """The address of the first element."""
    return int(input.value.__array_interface__["data"][0])


def is_contiguous(input: Tensor, memory_format: Any = None) -> bool:
    """True if the elements lie in row-major order without gaps."""
    return bool(input.value.flags.c_contiguous)


def get_device(input: Tensor) -> int:
    """-1: the CPU."""
    return -1
