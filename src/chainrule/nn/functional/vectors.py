"""one_hot, normalize, cosine_similarity: labels as vectors, and lengths and angles of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, DTypeError, IndexOutOfRangeError
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A new last axis with 1 at the label's place and 0 elsewhere, in int64.

    Args:
        tensor: labels in [0, num_classes), any shape.
        num_classes: the size of the new axis; -1 means the largest label plus 1.

    Raises:
        DTypeError: if the labels are no integers.
        IndexOutOfRangeError: for a label outside its range.
        ArgumentError: for no labels and no num_classes.
    """
    labels = tensor.value
    if labels.dtype.kind not in "iu":
        raise DTypeError("one_hot is only applicable to index type tensors", got=[describe("tensor", tensor)])
    if num_classes == -1:
        if not labels.size:
            raise ArgumentError("Can not infer total number of classes from empty tensor.", mend="Give num_classes.")
        num_classes = int(labels.max()) + 1
    if num_classes < 1:
        raise ArgumentError(f"num_classes should be positive or -1, not {num_classes}")
    wrong = (labels < 0) | (labels >= num_classes)
    if wrong.any():
        raise IndexOutOfRangeError(
            f"one_hot: label {labels[wrong][0]} is not in [0, {num_classes})", got=[describe("tensor", tensor)]
        )
    return GATES["one_hot"](tensor, classes=num_classes, dtype=np.dtype(np.int64))


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(||x||_p, eps) along the axis."""
    length = GATES["norm"](input, p=float(p), axis=dim, keepdims=True)
    return GATES["div"](input, GATES["clamp"](length, min=eps, max=None))


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (max(||x1||, eps) max(||x2||, eps)) along the axis; the shapes broadcast."""
    return _sum(GATES["mul"](normalize(x1, 2.0, dim, eps), normalize(x2, 2.0, dim, eps)), dim)


def _sum(x: Tensor, dim: Any) -> Tensor:
    return GATES["sum"](x, axis=dim)
