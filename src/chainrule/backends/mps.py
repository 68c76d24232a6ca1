"""PyTorch's namespace of Apple's GPUs, as it answers on a machine that has none."""

from __future__ import annotations

__all__ = ["is_available", "is_built"]


def is_available() -> bool:
    """False: chainrule runs on the CPU."""
    return False


def is_built() -> bool:
    """False: chainrule has no code for GPUs."""
    return False
