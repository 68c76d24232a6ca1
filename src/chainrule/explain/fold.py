"""Long derivations made short: steps that repeat from layer to layer are shown once, with the range of their values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chainrule.explain.step import Fold, Item, Section, Step

LONGEST_BLOCK = 80
"""So many steps one repeating block may have: a transformer's layer has about fifty."""

ENOUGH = 3
"""So often a block has to come before it is folded."""


def folded(section: Section) -> Section:
    """The section with repeated blocks of steps in one."""
    return Section(section.title, tuple(_folded(section.steps)), section.note)


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
        repeated = [steps[k : k + block] for k in range(i, end, block)]
        norms = [[float(np.linalg.norm(one[j].value)) for one in repeated] for j in range(block)]
        ranges = tuple([(min(n), max(n)) for n in norms])
        items.append(Fold(tuple(repeated[0]), count, steps[i].left, steps[end - block].left, ranges))
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
