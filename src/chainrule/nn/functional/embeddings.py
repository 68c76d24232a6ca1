"""embedding: rows of a table by their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import ArgumentTypeError, AssertedError, DTypeError, UnsupportedError
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor

INDICES = (np.dtype(np.int64), np.dtype(np.int32))


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The row of `weight` for each number of `input`.

    Args:
        input: numbers of rows, int64 or int32, any shape.
        weight: (num_embeddings, embedding_dim).
        padding_idx: a row that gets no gradient; negative ones count from the end.

    Returns:
        (*input.shape, embedding_dim).

    Raises:
        DTypeError: if the input is of another type.
        IndexOutOfRangeError: for a row that weight does not have.
        ShapeError: if weight has not two axes.
        ArgumentError: for a padding_idx that weight does not have.
        UnsupportedError: for max_norm, scale_grad_by_freq and sparse.
    """
    refuse_unsupported(max_norm, scale_grad_by_freq, sparse)
    if not isinstance(input, Tensor):
        raise ArgumentTypeError(
            f"embedding(): argument 'indices' (position 2) must be Tensor, not {type(input).__name__}",
            mend="Make one: chainrule.tensor(...)",
        )
    if input.value.dtype not in INDICES:
        raise DTypeError(
            "embedding: expected the indices to have one of the scalar types int64, int32",
            got=[describe("input", input)],
            mend="Convert first: input.long()",
        )
    if padding_idx is not None:
        padding_idx = checked_padding(padding_idx, weight.value.shape[0])
    return GATES["embedding"](weight, input, padding_idx=padding_idx)


def checked_padding(padding_idx: int, rows: int) -> int:
    """The row, counted from 0.

    Raises:
        ArgumentError: if there is no such row.
    """
    if not -rows <= padding_idx < rows:
        raise AssertedError(f"Padding_idx must be within num_embeddings: {padding_idx} is not one of {rows} rows")
    return padding_idx % rows


def refuse_unsupported(max_norm: Any, scale_grad_by_freq: bool, sparse: bool) -> None:
    """Raises UnsupportedError for the options of PyTorch's embedding that are not built here."""
    if max_norm is not None:
        raise UnsupportedError(
            f"embedding: max_norm={max_norm} is not supported: a lookup changes no weight here",
            mend="Rescale the rows after each step, under no_grad().",
        )
    if scale_grad_by_freq:
        raise UnsupportedError("embedding: scale_grad_by_freq=True is not supported")
    if sparse:
        raise UnsupportedError("embedding: sparse=True is not supported: gradients are dense", mend="Leave it out.")
