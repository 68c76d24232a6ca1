"""Losses under PyTorch's names. The formulas and derivatives stand in `ops/loss.py`.

What is done here: the arguments are checked, shapes brought to what the operator takes (one shape for the
elementwise losses, rows of classes for the others), and labels out of range are named.
"""

from __future__ import annotations

import warnings
from math import prod
from typing import Any

import numpy as np

from chainrule.errors import (
    ArgumentError,
    ArgumentTypeError,
    ChainruleError,
    DTypeError,
    IndexOutOfRangeError,
    LabelShapeError,
    OutsideRangeError,
    ShapeError,
)
from chainrule.shapes import broadcast
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.failures import users_line
from chainrule.tensor.printing import describe
from chainrule.tensor.recording import recorder
from chainrule.tensor.tensor import Tensor, wrap

REDUCTIONS = frozenset(("none", "mean", "sum"))
INT64 = np.dtype(np.int64)
IGNORED = -100
"""The default label of rows that do not count."""


# ---- labels: classification ----------------------------------------------------------------------------------


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = IGNORED,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-w[t] log softmax(x)[t] of each row, for class labels t; -sum_c w_c t_c log softmax(x)_c for probabilities t.

    Args:
        input: logits, (N, C), (C,) or (N, C, d1, ...).
        target: labels in [0, C), int64, of the shape without C; or probabilities of the input's shape.
        weight: (C,), of the input's element type.
        ignore_index: rows with this label do not count (labels only).
        reduction: "mean" (over the weights of the rows that count; for probabilities over the rows), "sum" or "none".
        label_smoothing: e in [0, 1]: the target becomes (1 - e) t + e / C.

    Returns:
        One number; for "none" the shape without C.

    Raises:
        IndexOutOfRangeError: for a label outside [0, C).
        ShapeError: for shapes that do not fit.
        DTypeError: for labels that are no integers.
        ArgumentError: for another reduction, a smoothing outside [0, 1], or size_average or reduce.

    Source: Bishop 2006, eq. 4.108; label smoothing: Szegedy et al. 2016, section 7.
    """
    if _is_usual(input, target) and reduction in REDUCTIONS and not label_smoothing and size_average is reduce is None:
        try:
            return GATES["cross_entropy"](input, target, weight, ignore_index=ignore_index, reduction=reduction)
        except IndexError:
            pass  # once more below, where the label is named
    checked_reduction("cross_entropy", reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise OutsideRangeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    shape, labels = shape_and_labels("cross_entropy", input, target)
    if labels.dtype.kind == "f" and labels.shape == shape:
        return _of_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    return _of_labels("cross_entropy", input, target, weight, ignore_index, reduction, label_smoothing=label_smoothing)


def _is_usual(input: Any, target: Any) -> bool:
    """True for rows of classes with a label each: what nearly every call is, and needs no preparation."""
    try:
        labels = target.value
        return labels.dtype is INT64 and labels.ndim == 1 and input.value.ndim == 2 and len(labels) == len(input.value)
    except AttributeError:  # no tensor
        return False


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = IGNORED,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """-w[t] x[t] of each row, for log-probabilities x; the arguments are those of cross_entropy.

    Raises:
        IndexOutOfRangeError, ShapeError, DTypeError, ArgumentError: as cross_entropy.
    """
    checked_reduction("nll_loss", reduction, size_average, reduce)
    return _of_labels("nll_loss", input, target, weight, ignore_index, reduction)


def _of_labels(
    name: str, input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str, **options: Any
) -> Tensor:
    shape, labels = shape_and_labels(name, input, target)
    rows, row_labels = input, target
    if len(shape) != 2 or labels.shape != shape[:1] or labels.dtype is not INT64:
        _check_labels(name, input, target)
        rows, row_labels = in_rows(input), wrap(labels.astype(np.int64).reshape(-1), None)
    try:
        loss = GATES[name](rows, row_labels, weight, ignore_index=ignore_index, reduction=reduction, **options)
    except IndexError as error:
        raise _label_error(name, labels, classes_of(shape), ignore_index, error) from None
    if reduction != "none" or labels.ndim == 1:
        return loss
    return GATES["reshape"](loss, shape=labels.shape)


def _of_probabilities(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str, label_smoothing: float
) -> Tensor:
    if ignore_index >= 0:
        raise OutsideRangeError("cross_entropy: ignore_index is not supported for floating point target")
    shape = input.value.shape
    if not shape:
        raise ShapeError("cross_entropy: the input has no axis of classes", got=[describe("input", input)])
    if weight is not None and weight.value.shape != (classes_of(shape),):
        raise ShapeError(
            f"cross_entropy: weight is one number for each of the {classes_of(shape)} classes",
            got=[describe("weight", weight), describe("input", input)],
        )
    loss = GATES["cross_entropy_of_probabilities"](
        in_rows(input), in_rows(target), weight, label_smoothing=label_smoothing, reduction=reduction
    )
    return GATES["reshape"](loss, shape=without_classes(shape)) if reduction == "none" and len(shape) != 2 else loss


def shape_and_labels(name: str, input: Tensor, target: Tensor) -> tuple[tuple[int, ...], np.ndarray[Any, Any]]:
    """The input's shape and the target's array.

    Raises:
        ArgumentTypeError: for what is no tensor.
    """
    if isinstance(input, Tensor) and isinstance(target, Tensor):
        return input.value.shape, target.value
    wrong, x = ("target", target) if isinstance(input, Tensor) else ("input", input)
    raise ArgumentTypeError(
        f"{name}(): argument '{wrong}' must be Tensor, not {type(x).__name__}", mend="Make one: chainrule.tensor(...)"
    )


def classes_of(shape: tuple[int, ...]) -> int:
    """The number of classes of an input of (C,) or (N, C, d1, ...)."""
    return shape[0] if len(shape) == 1 else shape[1]


def without_classes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one label for each row of classes."""
    return () if len(shape) == 1 else (shape[0], *shape[2:])


def in_rows(x: Tensor) -> Tensor:
    """(C,) or (N, C, d1, ...) as (rows, C)."""
    shape = x.value.shape
    if len(shape) == 2:
        return x
    if len(shape) > 2:
        x = GATES["permute"](x, order=(0, *range(2, len(shape)), 1))
    return GATES["reshape"](x, shape=(prod(without_classes(shape)), classes_of(shape)))


def _check_labels(name: str, input: Tensor, target: Tensor) -> None:
    """Refuse labels of the wrong shape or type."""
    shape, labels = input.value.shape, target.value
    if not shape or labels.shape != without_classes(shape):
        wanted = "an axis of classes" if not shape else f"labels of shape {without_classes(shape)}"
        raise LabelShapeError(
            f"{name}: the input asks for {wanted}" if shape else f"{name}: the input lacks {wanted}",
            got=[describe("input", input), describe("target", target)],
            where=users_line(),
        )
    if labels.dtype.kind not in "iu":
        raise DTypeError(
            f"{name}: expected scalar type Long for class labels, but found {target.dtype}",
            got=[describe("input", input), describe("target", target)],
            mend="Class labels are integers: target.long(). Probabilities have the input's shape.",
        )


def _label_error(
    name: str, labels: np.ndarray[Any, Any], classes: int, ignore_index: int, error: IndexError
) -> IndexError:
    """The error that names the first label out of range, its row and the number of classes."""
    wrong = ((labels < 0) | (labels >= classes)) & (labels != ignore_index)
    if not wrong.any():
        return error
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    row = place[0] if len(place) == 1 else place
    return IndexOutOfRangeError(
        f"{name}: Target {labels[place]} is out of bounds.",
        got=[f"target[{row}] is {labels[place]}", f"the input has {classes} classes: labels are 0 ... {classes - 1}"],
        where=users_line(),
    )


# ---- elementwise: regression ---------------------------------------------------------------------------------


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(x - target)^2.

    Args:
        input, target: one shape; different shapes broadcast, with a warning.
        reduction: "mean", "sum" or "none".
        weight: a factor for each element, of the input's shape; the mean is then over the weights.

    Raises:
        ArgumentError: for another reduction, a weight of another shape, or size_average or reduce.
        ShapeError: for shapes that do not broadcast.
    """
    checked_reduction("mse_loss", reduction, size_average, reduce)
    return _elementwise("mse_loss", input, target, weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|x - target|; the arguments are those of mse_loss."""
    checked_reduction("l1_loss", reduction, size_average, reduce)
    return _elementwise("l1_loss", input, target, weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d^2 / (2 beta) for d < beta, else d - beta / 2, with d = |x - target|; l1_loss for beta = 0.

    Raises:
        ArgumentError: if beta is negative, and as mse_loss.

    Source: Girshick 2015, "Fast R-CNN", eq. 3.
    """
    checked_reduction("smooth_l1_loss", reduction, size_average, reduce)
    if beta < 0:
        raise OutsideRangeError(f"smooth_l1_loss does not support negative values for beta, got {beta}")
    if beta == 0:
        return _elementwise("l1_loss", input, target, None, reduction)
    return _elementwise("smooth_l1_loss", input, target, None, reduction, beta=beta)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """d^2 / 2 for d <= delta, else delta (d - delta / 2), with d = |x - target|.

    The arguments are those of mse_loss, but the mean with a weight is over the elements, as in PyTorch.

    Raises:
        ArgumentError: if delta is not positive, and as mse_loss.

    Source: Huber 1964, "Robust estimation of a location parameter".
    """
    checked_reduction("huber_loss", reduction)
    if delta <= 0:
        raise OutsideRangeError(f"huber_loss does not support non-positive values for delta, got {delta}")
    return _elementwise("huber_loss", input, target, weight, reduction, delta=delta)


def _elementwise(
    name: str, input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, **options: Any
) -> Tensor:
    shape, targets = shape_and_labels(name, input, target)
    if shape != targets.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). This will "
            "likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )
        input, target = together(name, input, target)
    if weight is None:
        return GATES[name](input, target, reduction=reduction, **options)
    if weight.value.shape != shape:
        raise ArgumentError(
            f"{name}: Weights and input must have the same size.",
            got=[describe("weight", weight), describe("input", input)],
        )
    each = GATES["mul"](GATES[name](input, target, reduction="none", **options), weight)
    if reduction == "none":
        return each
    if reduction == "mean" and name == "huber_loss":
        return GATES["mean"](each)
    total = GATES["sum"](each)
    return GATES["div"](total, GATES["sum"](weight)) if reduction == "mean" else total


def together(name: str, *tensors: Tensor) -> list[Tensor]:
    """The tensors stretched to their common shape.

    Raises:
        ShapeError: if they have none.
    """
    try:
        shape = broadcast(*[x.value.shape for x in tensors])
    except ChainruleError as error:
        raise ShapeError(f"{name}: {error}", where=users_line()) from None
    return [x if x.value.shape == shape else GATES["broadcast_to"](x, shape=shape) for x in tensors]


# ---- elementwise: probabilities ------------------------------------------------------------------------------


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log x + (1 - t) log(1 - x)) for probabilities x; each logarithm is at least -100.

    Args:
        input: probabilities in [0, 1].
        target: of the same shape, in [0, 1].
        weight: a factor for each element; it broadcasts.

    Raises:
        ArgumentError: for shapes that differ, numbers outside [0, 1], another reduction, size_average or reduce.

    Source: Bishop 2006, eq. 4.90.
    """
    checked_reduction("binary_cross_entropy", reduction, size_average, reduce)
    _same_shape("binary_cross_entropy", input, target)
    _check_probabilities("input", input)
    _check_probabilities("target", target)
    weight = stretched("weight", weight, input)
    return GATES["binary_cross_entropy"](input, target, weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-(p t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), without overflow.

    Args:
        input: logits.
        target: of the same shape, probabilities.
        weight: a factor for each element; it broadcasts.
        pos_weight: p, a factor for the positive part; it broadcasts.

    Raises:
        ArgumentError: for shapes that differ, another reduction, size_average or reduce.

    Source: Bishop 2006, eq. 4.90, of sigmoid(x).
    """
    name = "binary_cross_entropy_with_logits"
    checked_reduction(name, reduction, size_average, reduce)
    _same_shape(name, input, target)
    weight, pos_weight = stretched("weight", weight, input), stretched("pos_weight", pos_weight, input)
    return GATES[name](input, target, weight, pos_weight, reduction=reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target (log target - x) for log-probabilities x, and 0 where the target is 0.

    Args:
        input: log-probabilities, (N, ...).
        target: probabilities, or their logarithms with `log_target`; the shapes broadcast.
        reduction: "batchmean" (the divergence: the sum divided by N), "mean" (over all elements, with a warning),
            "sum" or "none".

    Raises:
        ArgumentError: for another reduction, size_average or reduce.

    Source: Kullback and Leibler 1951, "On information and sufficiency".
    """
    kind = "sum" if reduction == "batchmean" else reduction
    checked_reduction("kl_div", kind, size_average, reduce)
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size. 'batchmean' divides "
            "only by the batch size, and aligns with the KL div math definition.",
            stacklevel=2,
        )
    shape_and_labels("kl_div", input, target)
    batch = input.value.shape[0] if input.value.ndim else 1
    input, target = together("kl_div", input, target)
    loss = GATES["kl_div"](input, target, log_target=log_target, reduction=kind)
    return GATES["div"](loss, batch) if reduction == "batchmean" and input.value.ndim else loss


def _same_shape(name: str, input: Tensor, target: Tensor) -> None:
    shape, targets = shape_and_labels(name, input, target)
    if shape != targets.shape:
        raise ArgumentError(
            f"{name}: the target size ({target.shape}) must be the same as the input size ({input.shape})",
            got=[describe("input", input), describe("target", target)],
            where=users_line(),
        )


def _check_probabilities(what: str, x: Tensor) -> None:
    if recorder() is not None:  # a compiled program does not look at its elements
        return
    value = x.value
    if value.size and not (value.min() >= 0 and value.max() <= 1):  # nan is refused, too
        raise OutsideRangeError(
            f"binary_cross_entropy: all elements of {what} should be between 0 and 1",
            got=[f"{what}  {x.value.shape}, from {value.min()} to {value.max()}"],
            where=users_line(),
            mend="For logits use binary_cross_entropy_with_logits." if what == "input" else None,
        )


def stretched(name: str, weight: Tensor | None, input: Tensor) -> Tensor | None:
    """The weight stretched to the input's shape.

    Raises:
        ShapeError: if it does not stretch.
    """
    if weight is None or weight.value.shape == input.value.shape:
        return weight
    shape = input.value.shape
    try:
        fits = broadcast(weight.value.shape, shape) == shape
    except ShapeError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{name} does not stretch to the input's shape",
            got=[describe(name, weight), describe("input", input)],
            where=users_line(),
        )
    return GATES["broadcast_to"](weight, shape=shape)


# ---- arguments -----------------------------------------------------------------------------------------------


def checked_reduction(name: str, reduction: str, size_average: Any = None, reduce: Any = None) -> str:
    """A reduction that every loss has.

    Raises:
        ArgumentError: for another one, or the arguments that PyTorch replaced by it.
    """
    if reduction not in REDUCTIONS:
        raise ArgumentError(f"{name}: {reduction} is not a valid value for reduction: 'none', 'mean' or 'sum'")
    if size_average is not None or reduce is not None:
        legacy = "none" if reduce is False else "sum" if size_average is False else "mean"
        raise ArgumentError(
            f"{name}: size_average and reduce are not supported, PyTorch deprecated them in 2018",
            got=[f"size_average  {size_average}", f"reduce  {reduce}"],
            mend=f"Use reduction={legacy!r}.",
        )
    return reduction
