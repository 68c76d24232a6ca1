"""tensor, zeros, arange ...: tensors from data and from nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ArgumentTypeError, DTypeError, GraphError, ShapeError, UnsupportedError
from chainrule.tensor import arrays
from chainrule.tensor.arrays import array_of, numpy_dtype
from chainrule.tensor.device import Device
from chainrule.tensor.functions.movement import sizes_of
from chainrule.tensor.graph import Array
from chainrule.tensor.printing import describe
from chainrule.tensor.recording import changed, recorder
from chainrule.tensor.tensor import Tensor, default_float, wrap, wrote


def made(array: Array, requires_grad: bool = False, device: Any = None, out: Any = None, **unused: Any) -> Tensor:
    """A new leaf around an array, after the keywords that every factory takes.

    `layout`, `pin_memory`, `memory_format` and `names=None` mean nothing here and are accepted; with `out` the
    elements go there.
    """
    Device.of(device)
    if out is not None:
        return into(out, array).requires_grad_(requires_grad)
    refuse_others(unused)
    result = wrap(np.asarray(array), None)
    if (recording := recorder()) is not None:
        recording.created(result)
    return result.requires_grad_() if requires_grad else result


def refuse_others(options: dict[str, Any]) -> None:
    """Raise UnsupportedError for keywords of factories that mean something, and have no meaning here."""
    for name, value in options.items():
        if name not in ("layout", "pin_memory", "memory_format") and value is not None:
            raise UnsupportedError(f"the argument {name}= is not supported")


def into(out: Any, array: Array) -> Tensor:
    """`out` with the elements of an array: what a function's argument `out=` means. An empty one gets its shape.

    Raises:
        ArgumentTypeError: `out` is no tensor.
        GraphError: it requires a gradient.
        ShapeError, DTypeError: the elements do not fit into it.
    """
    if not isinstance(out, Tensor):
        raise ArgumentTypeError(f"out= takes a Tensor, not {type(out).__name__}")
    if out.edge is not None:
        raise GraphError(
            "functions with out=... arguments don't support automatic differentiation, but out requires grad"
        )
    if not out.value.size:
        changed()
        out.value = np.empty(array.shape, out.value.dtype)
    if out.value.shape != array.shape:
        raise ShapeError(
            "out= has another shape than the result", got=[describe("out", out), describe("result", array)]
        )
    if not np.can_cast(array.dtype, out.value.dtype, "same_kind"):
        raise DTypeError(
            f"result type {array.dtype} can't be cast to the desired output type {out.value.dtype}",
            got=[describe("out", out), describe("result", array)],
        )
    np.copyto(out.value, array, casting="same_kind")
    wrote(out)
    return out


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **options: Any) -> Tensor:
    """A copy of numbers, nested sequences, an array or a tensor; Python floats get the default float type.

    Raises:
        ArgumentError: for ragged sequences.
        ArgumentTypeError: for data that are no numbers.
        UnsupportedError: for complex numbers.
    """
    return made(_converted(data, dtype, copy=True), requires_grad, device, **options)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The data as a tensor, sharing memory where it can; a tensor of that type comes back itself."""
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    return made(_converted(data, dtype, copy=False), device=device)


asarray = as_tensor


def _converted(data: Any, dtype: Any, copy: bool) -> Array:
    array = array_of(data)
    if dtype is not None:
        kind = numpy_dtype(dtype)
        return arrays.copy_of(array, kind) if copy else array.astype(kind, copy=False)
    if array.dtype == np.float64 and not isinstance(data, np.ndarray | np.generic | Tensor) and not _has_wide(data):
        return array.astype(default_float())
    return arrays.copy_of(array) if copy else array


def _has_wide(data: Any) -> bool:
    """True if nested sequences hold float64 arrays, numbers of NumPy or tensors: those keep their type."""
    while isinstance(data, list | tuple) and len(data):
        data = data[0]
    return isinstance(data, np.ndarray | np.generic | Tensor)


def from_numpy(ndarray: Array) -> Tensor:
    """A tensor that shares an array's memory."""
    if not isinstance(ndarray, np.ndarray):
        raise ArgumentTypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    return wrap(array_of(ndarray), None)


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor that shares the memory of another library's tensor on the CPU."""
    return wrap(array_of(np.from_dlpack(ext_tensor)), None)


def _shape(size: tuple[Any, ...], options: dict[str, Any]) -> tuple[int, ...]:
    return sizes_of((options.pop("size"),)) if "size" in options else sizes_of(size)


def _type(dtype: Any) -> Any:
    return default_float() if dtype is None else numpy_dtype(dtype)


def zeros(*size: Any, dtype: Any = None, **options: Any) -> Tensor:
    """Zeros of a shape."""
    return made(arrays.zeros(_shape(size, options), _type(dtype)), **options)


def ones(*size: Any, dtype: Any = None, **options: Any) -> Tensor:
    """Ones of a shape."""
    return made(arrays.full(_shape(size, options), 1, _type(dtype)), **options)


def empty(*size: Any, dtype: Any = None, **options: Any) -> Tensor:
    """Uninitialised elements of a shape."""
    return made(arrays.empty(_shape(size, options), _type(dtype)), **options)


def full(size: Any, fill_value: Any, *, dtype: Any = None, **options: Any) -> Tensor:
    """One number in a shape; the type follows from the number."""
    number = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    kind = numpy_dtype(dtype) if dtype is not None else _converted(number, None, copy=False).dtype
    return made(arrays.full(sizes_of((size,)), number, kind), **options)


def _like(input: Tensor, dtype: Any) -> Any:
    return input.value.dtype if dtype is None else numpy_dtype(dtype)


def zeros_like(input: Tensor, *, dtype: Any = None, **options: Any) -> Tensor:
    """Zeros of another tensor's shape and type."""
    return made(arrays.zeros(input.value.shape, _like(input, dtype)), **options)


def ones_like(input: Tensor, *, dtype: Any = None, **options: Any) -> Tensor:
    """Ones of another tensor's shape and type."""
    return made(arrays.full(input.value.shape, 1, _like(input, dtype)), **options)


def empty_like(input: Tensor, *, dtype: Any = None, **options: Any) -> Tensor:
    """Uninitialised elements of another tensor's shape and type."""
    return made(arrays.empty(input.value.shape, _like(input, dtype)), **options)


def full_like(input: Tensor, fill_value: Any, *, dtype: Any = None, **options: Any) -> Tensor:
    """One number in another tensor's shape and type."""
    return made(arrays.full(input.value.shape, fill_value, _like(input, dtype)), **options)


def new_zeros(input: Tensor, *size: Any, dtype: Any = None, **options: Any) -> Tensor:
    """Zeros of a shape, in this tensor's type."""
    return made(arrays.zeros(_shape(size, options), _like(input, dtype)), **options)


def new_ones(input: Tensor, *size: Any, dtype: Any = None, **options: Any) -> Tensor:
    """Ones of a shape, in this tensor's type."""
    return made(arrays.full(_shape(size, options), 1, _like(input, dtype)), **options)


def new_empty(input: Tensor, *size: Any, dtype: Any = None, **options: Any) -> Tensor:
    """Uninitialised elements of a shape, in this tensor's type."""
    return made(arrays.empty(_shape(size, options), _like(input, dtype)), **options)


def new_full(input: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, **options: Any) -> Tensor:
    """One number in a shape, in this tensor's type."""
    return made(arrays.full(sizes_of((size,)), fill_value, _like(input, dtype)), **options)


def new_tensor(input: Tensor, data: Any, *, dtype: Any = None, **options: Any) -> Tensor:
    """A copy of data, in this tensor's type."""
    return made(arrays.copy_of(array_of(data), _like(input, dtype)), **options)


def new(input: Tensor, *data: Any) -> Tensor:
    """The legacy constructor: data or sizes, in this tensor's type."""
    from chainrule.tensor.tensor import legacy_array

    return wrap(legacy_array(data, input.value.dtype), None)


def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, **options: Any) -> Tensor:
    """start, start + step, ... below end; integers give int64, floats the default float.

    Raises:
        ArgumentError: for a step of 0 or of the wrong sign.
    """
    if end is None:
        start, end = 0, start
    start, end, step = [v.item() if isinstance(v, Tensor) else v for v in (start, end, step)]
    if step == 0 or (end - start) / step < 0:
        raise ArgumentError(f"arange: upper bound and lower bound inconsistent with step sign: {start}, {end}, {step}")
    whole = all(isinstance(v, int | np.integer) for v in (start, end, step))
    kind = numpy_dtype(dtype) if dtype is not None else np.dtype(np.int64) if whole else default_float()
    count = max(int(np.ceil((end - start) / step)), 0)
    steps = np.arange(count, dtype=np.int64 if whole else np.float64)
    return made((start + step * steps).astype(kind), **options)


def linspace(start: Any, end: Any, steps: int, *, dtype: Any = None, **options: Any) -> Tensor:
    """`steps` numbers from start to end, both included, at equal distances."""
    first, last = [v.item() if isinstance(v, Tensor) else v for v in (start, end)]
    if steps < 0:
        raise ArgumentError(f"linspace: number of steps must be non-negative, not {steps}")
    return made(np.linspace(first, last, steps).astype(_type(dtype)), **options)


def logspace(start: float, end: float, steps: int, base: float = 10.0, *, dtype: Any = None, **options: Any) -> Tensor:
    """base^start ... base^end in `steps` equal factors."""
    return made(np.logspace(start, end, steps, base=base).astype(_type(dtype)), **options)


def eye(n: int, m: int | None = None, *, dtype: Any = None, **options: Any) -> Tensor:
    """Ones on the diagonal of an n x m matrix of zeros."""
    return made(np.eye(n, m, dtype=_type(dtype)), **options)


def scalar_tensor(s: Any, *, dtype: Any = None, **options: Any) -> Tensor:
    """A 0-d tensor."""
    return made(np.asarray(s, _type(dtype)), **options)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, **options: Any) -> Tensor:
    """The rows and columns of the lower triangle's elements, (2, n)."""
    return made(np.stack(np.tril_indices(row, offset, col)).astype(numpy_dtype(dtype or int)), **options)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, **options: Any) -> Tensor:
    """The rows and columns of the upper triangle's elements, (2, n)."""
    return made(np.stack(np.triu_indices(row, offset, col)).astype(numpy_dtype(dtype or int)), **options)


def is_tensor(obj: Any) -> bool:
    """True for tensors."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """True for tensors of floats."""
    return bool(input.value.dtype.kind == "f")


def numel(input: Tensor) -> int:
    """How many elements a tensor has."""
    return int(input.value.size)


class _LegacyType(type):
    """`FloatTensor([1, 2])` makes a Tensor; isinstance(x, FloatTensor) asks for its element type."""

    dtype: Any

    def __call__(cls, *data: Any) -> Tensor:
        from chainrule.tensor.tensor import legacy_array

        return wrap(legacy_array(data, numpy_dtype(cls.dtype)), None)

    def __instancecheck__(cls, x: object) -> bool:
        return isinstance(x, Tensor) and x.dtype is cls.dtype


def legacy_type(name: str, dtype: Any) -> Any:
    """One of PyTorch's legacy tensor types."""
    return _LegacyType(name, (), {"dtype": dtype, "__doc__": f"Legacy constructor of {dtype} tensors."})
