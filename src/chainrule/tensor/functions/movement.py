"""reshape, permute, cat, split ...: movement under PyTorch's names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ArgumentTypeError, IndexOutOfRangeError, ShapeError, UnsupportedError
from chainrule.shapes import filled_in, normal_axes, normal_axis
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.functions.reduction import with_numpys_names
from chainrule.tensor.printing import describe
from chainrule.tensor.recording import recorder
from chainrule.tensor.tensor import Tensor, wrap


def sizes_of(given: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes passed one by one or as one sequence."""
    if len(given) == 1 and isinstance(given[0], tuple | list):
        given = tuple(given[0])
    try:
        return tuple([int(n.__index__()) for n in given])
    except AttributeError:
        raise ArgumentTypeError(f"sizes are integers, not {given}") from None


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The elements in the same order in another shape; one size may be -1. A view where memory allows."""
    return GATES["reshape"](input, shape=sizes_of(shape))


def share_memory(a: Tensor, b: Tensor) -> bool:
    """True if two tensors' elements may lie in one memory; while a program is recorded nothing has a place yet."""
    return recorder() is not None or np.may_share_memory(a.value, b.value)


def view(input: Tensor, *shape: Any) -> Tensor:
    """reshape that never copies.

    Raises:
        ShapeError: if the elements lie too far apart in memory: use reshape().
        UnsupportedError: for a dtype, to read the memory as another type.
    """
    if len(shape) == 1 and not isinstance(shape[0], tuple | list) and not hasattr(shape[0], "__index__"):
        raise UnsupportedError("view(dtype) is not supported; use x.to(dtype), which converts the numbers")
    y = GATES["reshape"](input, shape=sizes_of(shape))
    if y.value.size and not share_memory(y, input):
        raise ShapeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans "
            "across two contiguous subspaces).",
            got=[describe("input", input)],
            mend="Use .reshape(...) instead.",
        )
    return y


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """A view in the shape of another tensor."""
    return view(input, other.value.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """The elements in the shape of another tensor."""
    return GATES["reshape"](input, shape=other.value.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from start_dim to end_dim as one."""
    shape = input.value.shape
    if not shape:
        return GATES["reshape"](input, shape=(1,))
    start, end = normal_axis(start_dim, len(shape)), normal_axis(end_dim, len(shape))
    if start > end:
        raise ArgumentError("flatten() has invalid args: start_dim cannot come after end_dim")
    return GATES["reshape"](input, shape=(*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """All elements on one axis."""
    return GATES["reshape"](input, shape=(-1,))


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One axis as several; one size may be -1."""
    shape = input.value.shape
    axis = normal_axis(dim, len(shape))
    return GATES["reshape"](input, shape=(*shape[:axis], *filled_in(sizes, shape[axis]), *shape[axis + 1 :]))


def permute(input: Tensor, *dims: Any) -> Tensor:
    """The axes in another order."""
    order = sizes_of(dims)
    if len(order) != input.value.ndim:
        raise ShapeError(
            f"permute: {len(order)} axes given for a tensor of {input.value.ndim}", got=[describe("input", input)]
        )
    return GATES["permute"](input, order=tuple([normal_axis(d, len(order)) for d in order]))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    ndim = input.value.ndim
    if not ndim:
        return input
    order = list(range(ndim))
    a, b = normal_axis(dim0, ndim), normal_axis(dim1, ndim)
    order[a], order[b] = b, a
    return GATES["permute"](input, order=tuple(order))


swapaxes = swapdims = transpose


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector or number as it is."""
    if input.value.ndim > 2:
        raise ShapeError("t() expects a tensor with <= 2 dimensions", got=[describe("input", input)])
    return GATES["mT"](input) if input.value.ndim == 2 else input


def reversed_axes(input: Tensor) -> Tensor:
    """x.T: the axes in the opposite order."""
    return (
        GATES["mT"](input)
        if input.value.ndim == 2
        else GATES["permute"](input, order=tuple(range(input.value.ndim))[::-1])
    )


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """The axes `source` moved to `destination`; the others keep their order."""
    ndim = input.value.ndim
    sources = [normal_axis(s, ndim) for s in ([source] if isinstance(source, int) else source)]
    targets = [normal_axis(d, ndim) for d in ([destination] if isinstance(destination, int) else destination)]
    if len(sources) != len(targets) or len(set(sources)) < len(sources) or len(set(targets)) < len(targets):
        raise ArgumentError(f"movedim: {source} and {destination} are not two lists of distinct axes of one length")
    rest = iter([a for a in range(ndim) if a not in sources])
    order = [sources[targets.index(a)] if a in targets else next(rest) for a in range(ndim)]
    return GATES["permute"](input, order=tuple(order))


moveaxis = movedim


@with_numpys_names
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the axes of size 1, or without `dim` if its size is 1."""
    shape = input.value.shape
    axes = normal_axes(tuple(dim) if isinstance(dim, list) else dim, len(shape)) if shape else ()
    return GATES["reshape"](input, shape=tuple([n for a, n in enumerate(shape) if not (a in axes and n == 1)]))


@with_numpys_names
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A new axis of size 1 at place `dim` of the result."""
    shape = input.value.shape
    axis = normal_axis(dim, len(shape) + 1)
    return GATES["reshape"](input, shape=(*shape[:axis], 1, *shape[axis:]))


def expand(input: Tensor, *sizes: Any) -> Tensor:
    """x stretched along axes of size 1 (and new leading axes) without a copy; -1 keeps a size."""
    wanted = sizes_of(sizes)
    shape = input.value.shape
    lead = len(wanted) - len(shape)
    if lead < 0:
        raise ShapeError(f"expand: {wanted} has fewer axes than the tensor", got=[describe("input", input)])
    target = tuple([shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(wanted)])
    return GATES["reshape" if target == shape else "broadcast_to"](input, shape=target)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """x stretched to the shape of another tensor."""
    return GATES["broadcast_to"](input, shape=other.value.shape)


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """x stretched to a shape."""
    return expand(input, tuple(size))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors stretched to their common shape."""
    from chainrule.shapes import broadcast

    shape = broadcast(*[x.value.shape for x in tensors])
    return tuple([GATES["broadcast_to"](x, shape=shape) for x in tensors])


def repeat(input: Tensor, *sizes: Any) -> Tensor:
    """x laid out `sizes[axis]` times along each axis; there may be more sizes than axes."""
    counts = sizes_of(sizes)
    shape = input.value.shape
    if len(counts) < len(shape):
        raise ShapeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor",
            got=[describe("input", input), f"repeats  {counts}"],
        )
    full = (1,) * (len(counts) - len(shape)) + tuple(shape)
    once = GATES["reshape"](input, shape=tuple([k for n in full for k in (1, n)]))
    many = GATES["broadcast_to"](once, shape=tuple([k for c, n in zip(counts, full, strict=True) for k in (c, n)]))
    y = GATES["reshape"](many, shape=tuple([c * n for c, n in zip(counts, full, strict=True)]))
    return GATES["clone"](y) if share_memory(y, input) else y


def tile(input: Tensor, *dims: Any) -> Tensor:
    """repeat, where missing leading counts are 1."""
    counts = sizes_of(dims)
    return repeat(input, (1,) * (input.value.ndim - len(counts)) + counts)


@with_numpys_names
def repeat_interleave(input: Tensor, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    """Every element (or slice along an axis) repeated in its place, `repeats` times or each its own number."""
    x = GATES["reshape"](input, shape=(-1,)) if dim is None else input
    axis = normal_axis(0 if dim is None else dim, x.value.ndim)
    counts = repeats.value if isinstance(repeats, Tensor) else np.asarray(repeats)
    index = wrap(np.repeat(np.arange(x.value.shape[axis]), counts), None)
    if output_size is not None and output_size != index.value.size:
        raise ArgumentError(
            f"repeat_interleave: output_size is {output_size}, the repeats add up to {index.value.size}"
        )
    return GATES["take"](x, index, key=(slice(None),) * axis + (None,))


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """The elements moved along axes; what leaves at the end enters at the start. Without dims of the flat tensor."""
    if dims is None:
        if not isinstance(shifts, int):
            raise ArgumentError("roll: several shifts need their dims")
        return GATES["reshape"](GATES["roll"](ravel(input), shift=shifts, axis=0), shape=input.value.shape)
    pairs = zip([shifts] if isinstance(shifts, int) else shifts, [dims] if isinstance(dims, int) else dims, strict=True)
    for shift, axis in pairs:
        input = GATES["roll"](input, shift=shift, axis=axis)
    return input


def flip(input: Tensor, *dims: Any) -> Tensor:
    """The elements in the opposite order along the axes."""
    axes = normal_axes(sizes_of(dims), input.value.ndim) if dims and dims != ((),) else ()
    return GATES["flip"](input, axes=axes) if axes else GATES["clone"](input)


def fliplr(input: Tensor) -> Tensor:
    """Columns in the opposite order."""
    return GATES["flip"](input, axes=(1,))


def flipud(input: Tensor) -> Tensor:
    """Rows in the opposite order."""
    return GATES["flip"](input, axes=(0,))


@with_numpys_names
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after the other along an axis.

    Raises:
        ArgumentError: for no tensors.
        ShapeError: where other sizes differ.
    """
    parts = list(tensors)
    if not parts:
        raise ArgumentError("expected a non-empty list of Tensors")
    kept = [x for x in parts if x.value.shape != (0,)] or parts[:1]  # PyTorch passes over empty 1-d tensors
    return GATES["cat"](*kept, axis=dim)


concat = concatenate = cat


@with_numpys_names
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors side by side along a new axis; all have one shape."""
    parts = list(tensors)
    if not parts:
        raise ArgumentError("stack expects a non-empty TensorList")
    for i, x in enumerate(parts):
        if x.value.shape != parts[0].value.shape:
            raise ShapeError(
                "stack expects each tensor to be equal size",
                got=[describe("entry 0", parts[0]), describe(f"entry {i}", x)],
            )
    return GATES["cat"](*[unsqueeze(x, dim) for x in parts], axis=normal_axis(dim, parts[0].value.ndim + 1))


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Rows above each other."""
    return cat([x if x.value.ndim > 1 else reshape(x, 1, -1) for x in tensors], 0)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Columns beside each other; vectors end to end."""
    parts = [x if x.value.ndim else reshape(x, 1) for x in tensors]
    return cat(parts, 0 if parts and parts[0].value.ndim == 1 else 1)


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """The elements start ... start + length - 1 along an axis."""
    axis = normal_axis(dim, input.value.ndim)
    size = input.value.shape[axis]
    first = int(start) + size if int(start) < 0 else int(start)
    if not (first >= 0 and length >= 0 and first + length <= size):
        raise IndexOutOfRangeError(f"narrow: start ({first}) + length ({length}) exceeds dimension size ({size})")
    return GATES["slice"](input, key=(slice(None),) * axis + (slice(first, first + length),))


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The slice at one index of an axis."""
    return GATES["slice"](input, key=(slice(None),) * normal_axis(dim, input.value.ndim) + (index,))


def _pieces(input: Tensor, sizes: Sequence[int], axis: int) -> tuple[Tensor, ...]:
    lead = (slice(None),) * axis
    pieces, start = [], 0
    for n in sizes:
        pieces.append(GATES["slice"](input, key=(*lead, slice(start, start + n))))
        start += n
    return tuple(pieces)


@with_numpys_names
def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of one size (the last may be smaller), or of the given sizes, along an axis."""
    axis = normal_axis(dim, input.value.ndim)
    size = input.value.shape[axis]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step <= 0:
            raise ArgumentError(f"split: the piece size is positive, not {step}")
        sections = [min(step, size - i) for i in range(0, max(size, 1), step)]
    else:
        sections = list(split_size_or_sections)
        if sum(sections) != size or any(n < 0 for n in sections):
            raise ShapeError(
                f"split_with_sizes expects sizes that sum to {size}, the size of axis {dim}, not {sections}"
            )
    return _pieces(input, sections, axis)


@with_numpys_names
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size along an axis; the last may be smaller."""
    if chunks <= 0:
        raise ArgumentError(f"chunk: expects chunks to be greater than 0, got {chunks}")
    size = input.value.shape[normal_axis(dim, input.value.ndim)]
    return split(input, max(-(-size // chunks), 1), dim)


@with_numpys_names
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces that differ in size by one at most, or cut at the given indices."""
    axis = normal_axis(dim, input.value.ndim)
    size = input.value.shape[axis]
    if isinstance(indices_or_sections, int):
        n, extra = divmod(size, indices_or_sections)
        return _pieces(input, [n + (i < extra) for i in range(indices_or_sections)], axis)
    cuts = [0, *[min(int(c), size) for c in indices_or_sections], size]
    return _pieces(input, [max(b - a, 0) for a, b in pairwise(cuts)], axis)


@with_numpys_names
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, without it."""
    axis = normal_axis(dim, input.value.ndim)
    lead = (slice(None),) * axis
    return tuple([GATES["slice"](input, key=(*lead, i)) for i in range(input.value.shape[axis])])


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of each matrix, 0 above."""
    return GATES["tril"](input, diagonal=diagonal)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of each matrix, 0 below."""
    return GATES["triu"](input, diagonal=diagonal)


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of the matrices in two axes, as the last axis: a view if the rows lie evenly in memory."""
    x = movedim(input, (dim1, dim2), (-2, -1))
    if x.value.strides[-1] > x.value.strides[-2]:  # of a transpose: the same elements, rows and columns exchanged
        x, offset = GATES["mT"](x), -offset
    n, m = x.value.shape[-2:]
    size = max(min(n, m - offset) if offset >= 0 else min(n + offset, m), 0)
    first = offset if offset >= 0 else -offset * m
    flat = GATES["reshape"](x, shape=(*x.value.shape[:-2], n * m))
    along_rows = slice(first, first + size * (m + 1) - m if size else first, m + 1)
    return GATES["slice"](flat, key=(slice(None),) * (x.value.ndim - 2) + (along_rows,))


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    if input.value.ndim == 2:
        return globals()["diagonal"](input, diagonal)  # type: ignore[no-any-return]
    if input.value.ndim != 1:
        raise ShapeError("diag(): Supports 1D or 2D tensors", got=[describe("input", input)])
    n = input.value.shape[0]
    size = n + abs(diagonal)
    rows, columns = np.arange(n) - min(diagonal, 0), np.arange(n) + max(diagonal, 0)
    return GATES["put_add"](input, wrap(rows, None), wrap(columns, None), key=(None, None), shape=(size, size))


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal."""
    return GATES["sum"](diag(input))


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Each vector stretched over the grid of all; `indexing="xy"` exchanges the first two axes."""
    parts = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], list | tuple) else list(tensors)
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"meshgrid: indexing is 'ij' or 'xy', not {indexing!r}")
    if indexing == "xy" and len(parts) > 1:
        parts[0], parts[1] = parts[1], parts[0]
    shape = tuple([x.value.size for x in parts])
    grids = []
    for i, x in enumerate(parts):
        alone = reshape(x, tuple([n if j == i else 1 for j, n in enumerate(shape)]))
        grids.append(GATES["broadcast_to"](alone, shape=shape))
    if indexing == "xy" and len(parts) > 1:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def atleast_1d(input: Tensor) -> Tensor:
    """A number as a vector of one element."""
    return input if input.value.ndim else reshape(input, 1)


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy with memory of its own, still connected to the graph."""
    return GATES["clone"](input)


def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """x itself if its elements lie in order in memory, else a copy that does."""
    return input if input.value.flags.c_contiguous else GATES["clone"](input)
