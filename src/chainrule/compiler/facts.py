"""Facts: what a call takes for granted, in a form that machine code can look at without running any Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass
class Facts:
    """What has to be as it was, by identity; whoever holds the facts keeps all of it alive.

    Args:
        slots: (owner, name, value): the owner's attribute, which lies in the object itself: of `__slots__`, or a
            cell's contents.
        items: (dictionary, name, value).
        sizes: (dictionary, number of its items).
        holders: (object, how many references it has, those of the facts among them).
        others: what only Python can tell.
    """

    slots: list[tuple[Any, str, Any]] = field(default_factory=list)
    items: list[tuple[dict[str, Any], str, Any]] = field(default_factory=list)
    sizes: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    holders: list[tuple[Any, int]] = field(default_factory=list)
    others: list[Callable[[], bool]] = field(default_factory=list)


class Watch(Protocol):
    """Facts that are being watched."""

    @property
    def holds(self) -> Callable[[], Any]:
        """Returns None if all of them but `others` still hold, else NotImplemented."""

    @property
    def passed(self) -> int:
        """How often they did."""
