"""PyTorch's switches of NVIDIA's convolution library. Programs may set them; without a GPU nothing reads them."""

from __future__ import annotations

__all__ = ["allow_tf32", "benchmark", "deterministic", "enabled", "is_available", "version"]

enabled = True
deterministic = False
benchmark = False
allow_tf32 = True


def is_available() -> bool:
    """False: the library is not used."""
    return False


def version() -> None:
    """None: the library is not used."""
