"""An array as a small picture: a square for each element, or for each block of elements of a large one."""

from __future__ import annotations

import math

import numpy as np

from chainrule.report.markup import Markup, element
from chainrule.tensor.graph import Array

MOST = 24
"""So many squares a side has at most; beyond it, a square is the mean of a block."""

DEPTHS, SIDE = 10, 9.0
"""How many depths of a colour there are, and how long the side of a square is, in pixels."""


def squares(value: Array) -> list[list[float]]:
    """The array, of at most 24 x 24 numbers, from -1 to 1: relative to the largest; what is not finite is nan."""
    flat = np.asarray(value, np.float64)
    grid = flat.reshape(flat.shape[0], -1) if flat.ndim > 1 else flat.reshape(1, -1)
    blocks = grid
    for axis, n in enumerate(grid.shape):
        starts = np.linspace(0, n, min(n, MOST), endpoint=False).astype(int)
        sizes = np.diff([*starts, n])
        blocks = np.add.reduceat(blocks, starts, axis) / (sizes if axis else sizes[:, None])
    finite = np.abs(blocks[np.isfinite(blocks)])
    top = float(finite.max(initial=0.0))
    found: list[list[float]] = (blocks / top if top else blocks).tolist()
    return found


def heat_map(value: Array, label: str) -> Markup:
    """The picture: one colour for positive numbers, another for negative ones, deeper for larger ones."""
    grid = squares(value)
    shades: dict[tuple[str, float], list[str]] = {}
    for i, row in enumerate(grid):
        for j, share in enumerate(row):
            shades.setdefault(_shade(share), []).append(f"M{j} {i}h1v1h-1z")
    parts = [
        element("path", d="".join(d), class_=kind, fill_opacity=f"{deep:.2f}") for (kind, deep), d in shades.items()
    ]
    width, height = len(grid[0]), len(grid)
    return element(
        "svg", *parts, viewBox=f"0 0 {width} {height}", class_="heat", role="img", aria_label=label,
        style=f"width:{SIDE * width:.0f}px", shape_rendering="crispEdges",
    )  # fmt: skip


def _shade(share: float) -> tuple[str, float]:
    """The class of a square and how deep its colour is, which grows with the root: small numbers are to be seen too."""
    if not math.isfinite(share):
        return "lost", 1.0
    return "plus" if share >= 0 else "minus", math.ceil(DEPTHS * math.sqrt(abs(share))) / DEPTHS
