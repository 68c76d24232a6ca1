"""Arrays of numbers as boxes: written out while small, else with dots and their size."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from chainrule.notation.boxes import Box, Fenced, Matrix, Numeral, Operator, Scripts, separated
from chainrule.notation.conventions import Convention
from chainrule.notation.numbers import number_box, shown_alike

LARGEST = 6
"""An array with more rows or columns than this is elided."""
SHOWN = (0, 1, -1)
"""What remains of a long axis: the first two and the last."""

CROSS = Operator("×")
ACROSS, DOWN, DIAGONAL = (Operator(dots, "mark") for dots in "⋯⋮⋱")


def matrix_box(array: NDArray[Any], convention: Convention, decimals: int | None = None) -> Box:
    """An array of two or more elements between brackets.

    Args:
        array: one axis is a column, or a row where samples are rows; of three and more axes only the size is shown.
        convention: its decimals, its rounding and its batches.
        decimals: how many, where the convention's own number does not fit.
    """
    if array.ndim > 2 or array.size == 0:
        return _with_size(Fenced(ACROSS, "[", "]"), array.shape)
    grid = array if array.ndim == 2 else array[:, None] if convention.batch == "columns" else array[None, :]
    rows, columns = (_places(n) for n in grid.shape)
    taken = [grid[i, j] for i in rows for j in columns if i is not None and j is not None]
    texts = iter(shown_alike(taken, convention, decimals))
    box = Matrix(tuple([tuple([_entry(i, j, texts) for j in columns]) for i in rows]))
    return box if None not in (*rows, *columns) else _with_size(box, array.shape)


def size_box(shape: tuple[int, ...]) -> Box:
    """3 x 2."""
    return separated([Numeral(str(n)) for n in shape], CROSS)


def _places(n: int) -> list[int | None]:
    """The indices shown along an axis; None stands for dots."""
    if n <= LARGEST:
        return list(range(n))
    return [*SHOWN[:2], None, SHOWN[2]]


def _entry(i: int | None, j: int | None, texts: Any) -> Box:
    if i is None:
        return DIAGONAL if j is None else DOWN
    return ACROSS if j is None else number_box(next(texts))


def _with_size(box: Box, shape: tuple[int, ...]) -> Box:
    return Scripts(box, sub=size_box(shape))
