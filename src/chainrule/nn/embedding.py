"""Embedding: a table of vectors that are looked up by number and trained."""

from __future__ import annotations

from typing import Any

from chainrule.errors import AssertedError
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.functional.embeddings import checked_padding, refuse_unsupported
from chainrule.nn.linear import checked_size, empty_parameter
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter
from chainrule.tensor.tensor import Tensor, wrote


class Embedding(Module):
    """y = weight[x]: a row of the table for each number.

    Args:
        num_embeddings: how many rows; the inputs are in [0, num_embeddings).
        embedding_dim: the size of a row.
        padding_idx: a row that is 0 at first and gets no gradient; negative ones count from the end.
        max_norm, scale_grad_by_freq, sparse: not supported; norm_type belongs to max_norm.

    Attributes:
        weight: (num_embeddings, embedding_dim), normal numbers of mean 0 and variance 1 at first.

    Raises:
        ArgumentTypeError, ArgumentError: for sizes that are no integers, or negative; a padding_idx outside.
        UnsupportedError: for max_norm, scale_grad_by_freq and sparse.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        refuse_unsupported(max_norm, scale_grad_by_freq, sparse)
        self.num_embeddings = checked_size(num_embeddings, "num_embeddings")
        self.embedding_dim = checked_size(embedding_dim, "embedding_dim")
        self.padding_idx = None if padding_idx is None else checked_padding(padding_idx, self.num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        if _weight is not None:
            if _weight.value.shape != (self.num_embeddings, self.embedding_dim):
                raise AssertedError(
                    "Shape of weight does not match num_embeddings and embedding_dim: "
                    f"{_weight.value.shape}, not {(self.num_embeddings, self.embedding_dim)}"
                )
            self.weight = Parameter(_weight, requires_grad=not _freeze)
            return
        self.weight = empty_parameter((self.num_embeddings, self.embedding_dim), device, dtype)
        if _freeze:
            self.weight.requires_grad_(False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table anew; the padding row is 0."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.value[self.padding_idx] = 0
            wrote(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """Numbers of rows, int64 or int32, of any shape, to (..., embedding_dim)."""
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        norm = "" if self.norm_type == 2 else f", norm_type={self.norm_type}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}{norm}"

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A module around a table of (rows, width), whose memory it shares.

        Args:
            embeddings: the table.
            freeze: False lets it be trained.

        Raises:
            ArgumentError: if the table has not two axes.
        """
        if embeddings.value.ndim != 2:
            raise AssertedError(f"Embeddings parameter is expected to be 2-dimensional, not {embeddings.value.shape}")
        rows, width = embeddings.value.shape
        return cls(
            rows, width, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse,
            _weight=embeddings, _freeze=freeze,
        )  # fmt: skip
