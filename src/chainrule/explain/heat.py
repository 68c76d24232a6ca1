"""An array as a small picture: a square for each element, or for each block of elements of a large one."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from chainrule.report.markup import Markup, element
from chainrule.tensor.graph import Array

MOST = 24
"""So many squares a side has at most; beyond it, a square is the mean of a block."""

_HEAT = re.compile(r'(<svg [^>]*class="heat"[^>]*>)(.*?)(</svg>)', re.DOTALL)

DEPTHS, SIDE = 10, 9.0
"""How many depths of a colour there are, and how long the side of a square is, in pixels."""


@dataclass(frozen=True)
class Squares:
    """An array as at most 24 x 24 numbers.

    Attributes:
        shares: from -1 to 1, relative to the largest; what is not finite is nan.
        top: what 1 stands for.
        block: of how many rows and columns a square is the mean, at most.
    """

    shares: list[list[float]]
    top: float
    block: tuple[int, int]


def squares(value: Array) -> Squares:
    """The array in blocks, so that no side has more than 24."""
    flat = np.asarray(value, np.float64)
    grid = flat.reshape(flat.shape[0], -1) if flat.ndim > 1 else flat.reshape(1, -1)
    blocks = grid
    for axis, n in enumerate(grid.shape):
        starts = np.linspace(0, n, min(n, MOST), endpoint=False).astype(int)
        sizes = np.diff([*starts, n])
        blocks = np.add.reduceat(blocks, starts, axis) / (sizes if axis else sizes[:, None])
    finite = np.abs(blocks[np.isfinite(blocks)])
    top = float(finite.max(initial=0.0))
    rows, columns = (-(-n // MOST) for n in grid.shape)
    return Squares((blocks / top if top else blocks).tolist(), top, (rows, columns))


def heat_map(made: Squares, label: str) -> Markup:
    """The picture: one colour for positive numbers, another for negative ones, deeper for larger ones."""
    return _picture(made.shares, label)


def scale() -> Markup:
    """The colours in order, from the lowest number to the highest."""
    shares = [sign * depth**2 / DEPTHS**2 for sign, depths in ((-1, range(DEPTHS, 0, -1)), (1, range(1, DEPTHS + 1)))
              for depth in depths]  # fmt: skip
    return _picture([shares], "")


def drawn_once(page: str) -> str:
    """A page on which a picture that comes again refers to where it came first: a value stands in several places.

    What is referred to is styled where it is referred from, so that the group has its class with it.
    """
    drawn: dict[str, int] = {}
    again = Counter([found[2] for found in _HEAT.finditer(page)])

    def once(found: re.Match[str]) -> str:
        frame, squares_, end = found.groups()
        if again[squares_] == 1:
            return found[0]
        if squares_ in drawn:
            return f'{frame}<use href="#heat-{drawn[squares_]}"></use>{end}'
        drawn[squares_] = len(drawn) + 1
        return f'{frame}<g id="heat-{drawn[squares_]}" class="heat">{squares_}</g>{end}'

    return _HEAT.sub(once, page)


def _picture(grid: list[list[float]], label: str) -> Markup:
    shades: dict[tuple[str, float], list[str]] = {}
    for i, row in enumerate(grid):
        for j, share in enumerate(row):
            shades.setdefault(_shade(share), []).append(f"M{j} {i}h1")  # half as long as a square's outline
    parts = [
        element("path", d="".join(d), class_=kind, stroke_opacity=f"{deep:.1f}") for (kind, deep), d in shades.items()
    ]
    width, height = len(grid[0]), len(grid)
    return element(
        "svg", *parts, viewBox=f"0 -.5 {width} {height}", class_="heat", role="img", aria_label=label,
        style=f"width:{SIDE * width:.0f}px", shape_rendering="crispEdges",
    )  # fmt: skip


def _shade(share: float) -> tuple[str, float]:
    """The class of a square and how deep its colour is, which grows with the root: small numbers are to be seen too."""
    if not math.isfinite(share):
        return "lost", 1.0
    return "plus" if share >= 0 else "minus", math.ceil(DEPTHS * math.sqrt(abs(share))) / DEPTHS
