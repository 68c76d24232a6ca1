"""PyTorch's switches of matrix products on NVIDIA GPUs. Programs may set them; without a GPU nothing reads them."""

from __future__ import annotations

__all__ = ["is_built", "matmul"]


class _MatMul:
    """What may be set for matrix products."""

    allow_tf32 = False
    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True


matmul = _MatMul()


def is_built() -> bool:
    """False: chainrule has no code for GPUs."""
    return False
