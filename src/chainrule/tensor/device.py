"""Device: programs written for PyTorch name one; here it is always the CPU."""

from __future__ import annotations

from typing import Any

from chainrule.errors import ArgumentError, UnsupportedError

OTHERS = ("cuda", "mps", "xpu", "meta")


class Device:
    """`device("cpu")`. Other devices raise UnsupportedError."""

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: Any, index: int | None = None) -> None:
        name = type.type if isinstance(type, Device) else str(type)
        self.type, _, number = name.partition(":")
        self.index = int(number) if number.isdigit() else index
        if self.type in OTHERS:
            raise UnsupportedError(
                f"there is no device '{name}': chainrule runs on the CPU.",
                mend='Choose with: device = "cuda" if chainrule.cuda.is_available() else "cpu"',
            )
        if self.type != "cpu":
            raise ArgumentError(f"unknown device '{name}'; there is 'cpu'")

    @staticmethod
    def of(device: Any) -> Device:
        """The device that a name, a Device or None (the default) means."""
        return Device("cpu" if device is None else device)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.type == self.type

    def __hash__(self) -> int:
        return hash(self.type)

    def __str__(self) -> str:
        return self.type

    def __repr__(self) -> str:
        return f"device(type='{self.type}')"
