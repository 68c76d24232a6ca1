"""A picture made of characters: lines in Braille dots, eight to a character, and letters that name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

DOTS_ACROSS, DOTS_DOWN = 2, 4
# Unicode numbers the dots of a Braille pattern down the left column, then the right one; dots 7 and 8, the
# lowest row, came later. `_DOT[row][column]` is the bit of each.
_DOT = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK_PATTERN = 0x2800

Cell = tuple[int, int]
"""Column and row of a character, from the top left."""


class Canvas:
    """Lines of dots on a grid of `columns` by `rows` characters."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._dots: list[dict[Cell, int]] = []
        self._letters: dict[Cell, int] = {}

    @property
    def last_dot(self) -> Cell:
        """The coordinates of the dot at the bottom right."""
        return self.columns * DOTS_ACROSS - 1, self.rows * DOTS_DOWN - 1

    def add_line(self) -> int:
        """The number of a new line, which has no dots yet."""
        self._dots.append({})
        return len(self._dots) - 1

    def connect(self, line: int, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Sets the dots from `start` to `end`, both in dots from the top left."""
        steps = max(1, round(max(abs(end[0] - start[0]), abs(end[1] - start[1]))))
        for step in range(steps + 1):
            share = step / steps
            self._set(
                line,
                round(start[0] + share * (end[0] - start[0])),
                round(start[1] + share * (end[1] - start[1])),
            )

    def spot(self, line: int, place: tuple[float, float]) -> None:
        """Sets four dots around a place, so that a point on its own can be seen."""
        right, bottom = self.last_dot
        x, y = min(round(place[0]), right - 1), min(round(place[1]), bottom - 1)
        self.connect(line, (x, y), (x + 1, y))
        self.connect(line, (x, y + 1), (x + 1, y + 1))

    def put_letter(self, line: int, column: int) -> None:
        """Puts the line's letter on it in that column, if the line passes there and finds the place free."""
        cells = sorted(cell for cell in self._dots[line] if cell[0] == column and cell not in self._letters)
        if cells:
            self._letters[cells[len(cells) // 2]] = line

    def columns_of(self, line: int) -> list[int]:
        """The columns that the line passes through, in order."""
        return sorted({column for column, _ in self._dots[line]})

    def rows_of_cells(self, letters: str, *, braille: bool) -> Iterator[list[tuple[str, int | None]]]:
        """From the top each row's characters, with the number of the line they belong to.

        Args:
            letters: the letter of each line.
            braille: whether dots appear as Braille patterns; otherwise the line's letter stands for them.
        """
        for row in range(self.rows):
            yield [self._character((column, row), letters, braille=braille) for column in range(self.columns)]

    def _character(self, cell: Cell, letters: str, *, braille: bool) -> tuple[str, int | None]:
        if cell in self._letters:
            line = self._letters[cell]
            return letters[line], line
        owners = {line: dots[cell] for line, dots in enumerate(self._dots) if cell in dots}
        if not owners:
            return " ", None
        first = min(owners)
        return (_pattern(owners) if braille else letters[first]), first

    def _set(self, line: int, x: int, y: int) -> None:
        cell = x // DOTS_ACROSS, y // DOTS_DOWN
        self._dots[line][cell] = self._dots[line].get(cell, 0) | _DOT[y % DOTS_DOWN][x % DOTS_ACROSS]


def _pattern(dots_by_line: Mapping[int, int]) -> str:
    pattern = _BLANK_PATTERN
    for dots in dots_by_line.values():
        pattern |= dots
    return chr(pattern)
