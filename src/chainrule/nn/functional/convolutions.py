"""conv1d, conv2d, conv_transpose2d under PyTorch's names. What they compute stands in `ops/convolution.py`."""

from __future__ import annotations

from typing import Any

from chainrule.errors import ArgumentError, ShapeError
from chainrule.nn.functional.planes import for_each_axis, on_batches
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Kernels moved over planes: y[o] = b[o] + sum_c weight[o, c] * x[c], with * the cross-correlation.

    Args:
        input: (N, C, height, width) or (C, height, width).
        weight: (out, C / groups, kernel height, kernel width).
        bias: (out,).
        stride, dilation: by how much a window moves, and how far apart the elements are that it sees; an integer, or
            one for each axis.
        padding: zeros on both sides of each axis; "valid" is 0, "same" keeps height and width at stride 1.
        groups: the channels are cut into so many parts, and each part of y sees its part of x.

    Returns:
        (N, out, height', width') with height' = floor((height + 2 padding - dilation (kernel - 1) - 1) / stride) + 1.

    Raises:
        ShapeError: for axes or channels that do not fit, or a kernel larger than the padded input.
        ArgumentError: for a stride, dilation or groups below 1, a negative padding, another word, or "same" with a
            stride.
        DTypeError: for integers, or different element types.
    """
    return on_batches("conv2d", input, 2, lambda x: _convolved(2, x, weight, bias, stride, padding, dilation, groups))


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """conv2d of planes of height 1.

    Args:
        input: (N, C, length) or (C, length).
        weight: (out, C / groups, kernel).
        bias, stride, padding, dilation, groups: as in conv2d, for one axis.

    Returns:
        (N, out, length').

    Raises:
        ShapeError, ArgumentError, DTypeError: as conv2d.
    """
    return on_batches("conv1d", input, 1, lambda x: _convolved(1, x, weight, bias, stride, padding, dilation, groups))


def _convolved(
    axes: int, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    if weight.value.ndim != axes + 2:
        raise ShapeError(
            f"conv{axes}d: weight has {axes + 2} axes (out, C / groups, ...), not {weight.value.ndim}",
            got=[describe("input", x), describe("weight", weight)],
        )
    strides, dilations = for_each_axis(stride, axes, "stride"), for_each_axis(dilation, axes, "dilation")
    if isinstance(padding, str):
        kernel = weight.value.shape[2:]
        margins = padded_to(padding, kernel, strides, dilations)
        x, paddings = _with_the_longer_side(x, margins), tuple([before for before, _ in margins])
    else:
        paddings = for_each_axis(padding, axes, "padding")
    if axes == 2:
        return GATES["conv2d"](x, weight, bias, stride=strides, padding=paddings, dilation=dilations, groups=groups)
    (n, channels, length), (out, part, size) = x.value.shape, weight.value.shape
    y = GATES["conv2d"](
        GATES["reshape"](x, shape=(n, channels, 1, length)),
        GATES["reshape"](weight, shape=(out, part, 1, size)),
        bias,
        stride=(1, *strides),
        padding=(0, *paddings),
        dilation=(1, *dilations),
        groups=groups,
    )
    return GATES["reshape"](y, shape=(n, out, y.value.shape[3]))


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of conv2d in its input, plus bias: each element of x adds its kernel to a window of y.

    Args:
        input: (N, C, height, width) or (C, height, width).
        weight: (C, out / groups, kernel height, kernel width).
        bias: (out,).
        stride, padding, dilation, groups: those of the convolution whose transpose this is.
        output_padding: rows and columns that y has more at its end: below the stride or the dilation.

    Returns:
        (N, out, height', width') with
        height' = (height - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1.

    Raises:
        ShapeError: for axes or channels that do not fit, or a result without elements.
        ArgumentError: for a stride, dilation or groups below 1, a negative padding, or an output_padding too large.
        DTypeError: for integers, or different element types.

    Source: Zeiler, Krishnan, Taylor and Fergus 2010, "Deconvolutional networks".
    """
    if weight.value.ndim != 4:
        raise ShapeError(
            f"conv_transpose2d: weight has 4 axes (C, out / groups, ...), not {weight.value.ndim}",
            got=[describe("input", input), describe("weight", weight)],
        )
    options = {
        "stride": for_each_axis(stride, 2, "stride"),
        "padding": for_each_axis(padding, 2, "padding"),
        "dilation": for_each_axis(dilation, 2, "dilation"),
        "groups": groups,
    }
    more = for_each_axis(output_padding, 2, "output_padding")
    return on_batches("conv_transpose2d", input, 2, lambda x: _transposed(x, weight, bias, more, options))


def _transposed(
    x: Tensor, weight: Tensor, bias: Tensor | None, more: tuple[int, ...], options: dict[str, Any]
) -> Tensor:
    strides, dilations = options["stride"], options["dilation"]
    if any(not 0 <= n < max(s, d) for n, s, d in zip(more, strides, dilations, strict=True)):
        raise ArgumentError(
            f"conv_transpose2d: output_padding {more} must be smaller than either stride {strides} or dilation "
            f"{dilations}"
        )
    kernel, paddings = weight.value.shape[2:], options["padding"]
    least = transposed_size(x.value.shape[2:], kernel, strides, paddings, dilations)
    size = tuple([n + k for n, k in zip(least, more, strict=True)])
    if all(n < s for n, s in zip(more, strides, strict=True)):
        y = GATES["conv2d_input"](x, weight, size=size, **options)
    else:  # of planes of this size the convolution has more windows: cut it out of the planes without padding
        whole = tuple([n + 2 * p for n, p in zip(least, paddings, strict=True)])
        y = GATES["conv2d_input"](x, weight, size=whole, **{**options, "padding": (0, 0)})
        y = GATES["pad"](y, widths=((0, 0), (0, 0), *[(0, n) for n in more]))
        places = [slice(p, p + n) for p, n in zip(paddings, size, strict=True)]
        y = GATES["slice"](y, key=(slice(None), slice(None), *places))
    return y if bias is None else GATES["add"](y, GATES["reshape"](bias, shape=(-1, 1, 1)))


def transposed_size(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[int, ...]:
    """The least size of planes of which a convolution makes planes of this size.

    Raises:
        ShapeError: if it is 0 or less.
    """
    axes = zip(size, kernel, stride, padding, dilation, strict=True)
    least = tuple([(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in axes])
    if min(least) < 1:
        raise ShapeError(f"conv_transpose2d: Given input size {size}, calculated output size {least}: too small")
    return least


def padded_to(
    word: str, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> list[tuple[int, int]]:
    """The elements before and after each axis that "valid" or "same" stands for; "same" puts an odd one after.

    Raises:
        ArgumentError: for another word, or "same" with a stride above 1.
    """
    if word not in ("same", "valid"):
        raise ArgumentError(f"Invalid padding string {word!r}, should be one of 'same', 'valid'")
    if word == "valid":
        return [(0, 0)] * len(kernel)
    if max(stride) > 1:
        raise ArgumentError("padding='same' is not supported for strided convolutions", got=[f"stride  {stride}"])
    both = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return [(n // 2, n - n // 2) for n in both]


def _with_the_longer_side(x: Tensor, margins: list[tuple[int, int]]) -> Tensor:
    """x with the element that a margin has more after the axis than before it."""
    more = [(0, after - before) for before, after in margins]
    return x if not any(after for _, after in more) else GATES["pad"](x, widths=((0, 0), (0, 0), *more))
