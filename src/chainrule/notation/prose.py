"""Running text with formulas in it: a sentence is strings and boxes in order, and each target prints both."""

from __future__ import annotations

import string
from typing import TypeAlias

from chainrule.notation.boxes import Box

Part: TypeAlias = str | Box
"""What a sentence speaks of: a formula, or plain text such as the name of a file."""

Prose: TypeAlias = tuple[Part, ...]


def said(template: str, **parts: Part | Prose) -> Prose:
    """A sentence with what it speaks of in its places.

    Example:
        >>> said("{a} follows from {z}.", a="a2", z="z2")
        ('a2 follows from z2.',)

    Raises:
        KeyError: where the template has a place that is not given.
    """
    found: list[Part] = []
    for literal, place, _, _ in string.Formatter().parse(template):
        given = parts[place] if place is not None else ""
        for one in (literal, *(given if isinstance(given, tuple) else (given,))):
            if isinstance(one, str) and found and isinstance(found[-1], str):
                found[-1] += one
            elif one != "":
                found.append(one)
    return tuple(found)


def listed(parts: list[Part], comma: str, last: str) -> Prose:
    """Things in a row: `a, b and c` with the language's comma and its last link."""
    found: list[Part] = []
    for i, part in enumerate(parts):
        found += [last if i == len(parts) - 1 else comma] if i else []
        found.append(part)
    return tuple(found)
