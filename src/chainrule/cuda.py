"""PyTorch's namespace of NVIDIA GPUs, as it answers on a machine that has none."""

from __future__ import annotations

__all__ = [
    "device_count",
    "empty_cache",
    "is_available",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "memory_allocated",
]


def is_available() -> bool:
    """False: chainrule runs on the CPU."""
    return False


def is_initialized() -> bool:
    """False: there is nothing to initialise."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Seed the current GPU's generator: there is none. `chainrule.manual_seed` seeds the CPU's."""


def manual_seed_all(seed: int) -> None:
    """Seed all GPUs' generators: there are none. `chainrule.manual_seed` seeds the CPU's."""


def empty_cache() -> None:
    """Release the unused memory of a GPU: there is none."""


def memory_allocated(device: object = None) -> int:
    """The bytes that tensors take on a GPU: 0."""
    return 0


def max_memory_allocated(device: object = None) -> int:
    """The most bytes that tensors took on a GPU: 0."""
    return 0
