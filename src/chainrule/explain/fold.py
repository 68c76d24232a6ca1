"""Long derivations made short: steps that repeat from layer to layer are shown once, with the range of their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from chainrule.explain.step import CallSteps, EqualCalls, Fold, Item, Step

LONGEST_BLOCK = 80
"""So many steps one repeating block may have: a transformer's layer has about fifty."""

ENOUGH = 3
"""So often a block has to come before it is folded."""


def folded(items: Sequence[Item]) -> tuple[Item, ...]:
    """The items with repeated blocks of steps in one, inside of modules too."""
    found: list[Item] = []
    for _, run in groupby(items, key=lambda item: isinstance(item, Step)):
        several = list(run)
        steps = [one for one in several if isinstance(one, Step)]
        found += _folded(steps) if steps else map(_inside, several)
    return tuple(found)


def _inside(item: Item) -> Item:
    if isinstance(item, EqualCalls):
        return EqualCalls(tuple([replace(call, items=folded(call.items)) for call in item.calls]))
    return replace(item, items=folded(item.items)) if isinstance(item, CallSteps) else item


def _folded(steps: Sequence[Step]) -> list[Item]:
    items: list[Item] = []
    keys = [s.key for s in steps]
    i = 0
    while i < len(steps):
        block, count = _repetition(keys, i)
        if count < ENOUGH:
            items.append(steps[i])
            i += 1
            continue
        end = i + block * count
        repeats = tuple([tuple(steps[k : k + block]) for k in range(i, end, block)])
        norms = [[float(np.linalg.norm(one[j].value)) for one in repeats] for j in range(block)]
        items.append(Fold(repeats, tuple([(min(n), max(n)) for n in norms])))
        i = end
    return items


def _repetition(keys: Sequence[tuple[object, ...]], start: int) -> tuple[int, int]:
    """The shortest block that repeats from a place on, and how often."""
    for block in range(1, min(LONGEST_BLOCK, (len(keys) - start) // ENOUGH) + 1):
        if keys[start] != keys[start + block]:
            continue
        count = 1
        while keys[start + count * block : start + (count + 1) * block] == keys[start : start + block]:
            count += 1
        if count >= ENOUGH:
            return block, count
    return 1, 1
