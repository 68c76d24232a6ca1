"""The switches of PyTorch that programs set at their start, and what they mean on one CPU."""

from __future__ import annotations

from typing import Any

from chainrule.errors import ArgumentError, ArgumentTypeError
from chainrule.tensor.device import Device
from chainrule.tensor.functions.conversion import dtype_of_legacy_name
from chainrule.tensor.tensor import set_default_dtype


class _Settings:
    """What was set; nothing reads it but the functions below."""

    deterministic = False
    warn_only = False
    matmul_precision = "highest"


def set_default_device(device: Any) -> None:
    """Where new tensors are made: the CPU.

    Raises:
        UnsupportedError: for another device.
    """
    Device.of(device)


def get_default_device() -> Device:
    """The CPU."""
    return Device("cpu")


def set_default_tensor_type(t: Any) -> None:
    """Set the default float type by a legacy type: `DoubleTensor`, or its name.

    Raises:
        ArgumentTypeError: it is no legacy type of floats.
    """
    dtype = dtype_of_legacy_name(t) if isinstance(t, str) else getattr(t, "dtype", None)
    if dtype is None:
        raise ArgumentTypeError(f"set_default_tensor_type takes a legacy tensor type such as DoubleTensor, not {t!r}")
    set_default_dtype(dtype)


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted either way: every operation here gives the same bits in every run."""
    _Settings.deterministic, _Settings.warn_only = bool(mode), bool(warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """What use_deterministic_algorithms was told."""
    return _Settings.deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """What use_deterministic_algorithms was told."""
    return _Settings.deterministic and _Settings.warn_only


def set_float32_matmul_precision(precision: str) -> None:
    """Allow matmul fewer digits than float32 has; it does not make use of it: the result has all of them.

    Raises:
        ArgumentError: it is none of "highest", "high", "medium".
    """
    if precision not in ("highest", "high", "medium"):
        raise ArgumentError(f"set_float32_matmul_precision takes 'highest', 'high' or 'medium', not {precision!r}")
    _Settings.matmul_precision = precision


def get_float32_matmul_precision() -> str:
    """What set_float32_matmul_precision was told."""
    return _Settings.matmul_precision
