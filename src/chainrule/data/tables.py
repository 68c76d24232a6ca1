"""A data table: the cells of a CSV or Parquet file by column, and what kind of values each column holds.

    table = read_table("penguins.csv")                         # the cells, as they stand in the file
    is_numeric(table, "body_mass_g")                           # numbers, or categories?
    numbers(table, "body_mass_g")                              # float64, NaN for missing

What a column holds is read from the whole table, as one reads a type. What is to be learned from a table is in
`target`, what a network takes of it in `preparation`.
"""

from __future__ import annotations

import csv
import difflib
import importlib
import io
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import ArgumentError, DataError, FileFormatError, IndexOutOfRangeError

Numbers: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]
Column: TypeAlias = "Sequence[str | None] | Numbers"
"""The cells of a column: text with None for missing, or numbers with NaN for missing."""
PathLike: TypeAlias = str | os.PathLike[str]

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
"""The cells that mean "no value here", in small letters."""


@dataclass(frozen=True, eq=False)
class Table:
    """Cells by column, as they stand in a file.

    positions says where in the source each row stands: the line of a CSV file, the row of another source;
    unit is the word for it. A part of a table keeps the positions, so that every message names the file's.
    """

    names: tuple[str, ...]
    columns: Mapping[str, Column]
    source: str
    positions: tuple[int, ...]
    unit: Literal["line", "row"] = "line"

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, rows: ArrayLike) -> Table:
        """The table of these rows, numbered from 0, in this order."""
        chosen = row_numbers(rows, len(self))
        columns: dict[str, Column] = {
            name: cells[chosen] if isinstance(cells, np.ndarray) else [cells[i] for i in chosen]
            for name, cells in self.columns.items()
        }
        positions = tuple(self.positions[i] for i in chosen)
        return Table(self.names, columns, self.source, positions, self.unit)

    def place(self, row: int) -> str:
        """Where a row stands, for a message: `line 7 of penguins.csv`."""
        return f"{self.unit} {self.positions[row]} of {self.source}"


def read_table(path: PathLike, *, delimiter: str | None = None) -> Table:
    """The table in a CSV or Parquet file.

    A file is Parquet where its name ends in .parquet or .pq or its content says so, else CSV: UTF-8, with or
    without a byte-order mark, a header of column names, quotes around fields that need them. Blanks around
    names and cells are dropped, and so are empty lines.

    Args:
        path: the file.
        delimiter: what stands between two fields; by default the one of comma, semicolon, tab and bar that
            divides the first lines most evenly.

    Raises:
        DataError: the file cannot be read, has no rows, or has columns without a name or with the same name;
            pyarrow, which reads Parquet, is not installed.
        FileFormatError: a line has more or fewer fields than the header; the text is not UTF-8; the file is
            empty, truncated or of another format.
        ArgumentError: the delimiter is not one character, or is a blank, a quote or a line end.
    """
    source = os.fspath(path)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in ' "\r\n'):
        raise ArgumentError(
            "read_table: the delimiter must be one character, not a blank, a quote or a line end",
            got=[f"delimiter  {delimiter!r}"],
        )
    content = _content(path)
    if not content:
        raise FileFormatError(f"{source} is empty", mend="A table needs a header and at least one row.")
    if Path(path).suffix.lower() in (".parquet", ".pq") or content.startswith(b"PAR1"):
        return _checked(_read_parquet(content, source))
    return _checked(_read_csv(_decoded(content, source), source, delimiter))


def _content(path: PathLike) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {os.fspath(path)}: {error.strerror}") from error


def _checked(table: Table) -> Table:
    """The table, where it has rows and every column has a name of its own."""
    for number, name in enumerate(table.names, start=1):
        if not name:
            raise DataError(
                f"column {number} of {table.source} has no name",
                mend="Give it one in the header (pandas leaves its index unnamed: write with index=False).",
            )
    repeated = [name for i, name in enumerate(table.names) if name in table.names[:i]]
    if repeated:
        raise DataError(
            f"{table.source} has more than one column named {shortened(dict.fromkeys(repeated))}",
            mend="Rename them: columns are found by their names.",
        )
    if not len(table):
        raise DataError(f"{table.source} has no rows of data", got=[f"only a header: {shortened(table.names)}"])
    return table


# --- CSV ---------------------------------------------------------------------------------------------------

_DELIMITERS = (",", ";", "\t", "|")

_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive (an Excel workbook is one)",
    b"\x1f\x8b": "compressed with gzip",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def _read_csv(text: str, source: str, delimiter: str | None) -> Table:
    records = _records(text, delimiter or _sniffed_delimiter(text), source)
    header_line, names = next(records, (0, []))
    if not names:
        raise FileFormatError(f"{source} holds only blank lines", mend="A table needs a header and at least one row.")
    positions, rows = [], []
    for line, record in records:
        if len(record) != len(names):
            raise FileFormatError(
                f"{source}: line {line} has {len(record)} fields where the header has {len(names)}",
                got=[
                    f"line {header_line}: {shortened(names)}",
                    f"line {line}: {shortened(record)}",
                ],
                mend="A field that contains the delimiter needs quotes around it.",
            )
        positions.append(line)
        rows.append(record)
    cells = [_with_gaps(column) for column in zip(*rows, strict=True)]
    columns = dict(zip(names, cells or itertools.repeat([]), strict=False))
    return Table(tuple(names), columns, source, tuple(positions))


def _records(text: str, delimiter: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """The records that are not blank, each with the line it starts on and its fields without outer blanks."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FileFormatError(
                f"{source}: the record that starts on line {line} is malformed",
                got=[str(error)],
                mend="A quote is not closed, or the file is truncated.",
            ) from error
        if record not in ([], [""]):
            yield line, [field.strip() for field in record]


def _sniffed_delimiter(text: str) -> str:
    """The delimiter that divides the header and leaves most of the first records as wide as it."""
    sample = text[:100_000]

    def evenness(delimiter: str) -> tuple[int, int]:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, skipinitialspace=True)
        widths = [len(record) for record in itertools.islice(reader, 50) if record]
        return (widths.count(widths[0]), widths[0]) if widths and widths[0] > 1 else (0, 0)

    return max(_DELIMITERS, key=evenness)


def _decoded(content: bytes, source: str) -> str:
    for signature, what in _OTHER_FORMATS.items():
        if content.startswith(signature):
            raise FileFormatError(f"{source} is {what}, not CSV", mend="Save it as CSV in UTF-8.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileFormatError(
            f"{source}: line {line} is not UTF-8 text",
            got=[f"the byte 0x{content[error.start]:02x}"],
            mend="Save the file as UTF-8 and read it again.",
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise FileFormatError(
            f"{source}: line {line} holds a zero byte: this is not a text file",
            mend="Save it as CSV in UTF-8.",
        )
    return text


def _with_gaps(cells: Iterable[str]) -> list[str | None]:
    """The cells, with None for those that say that a value is missing."""
    return [None if cell.lower() in MISSING else cell for cell in cells]


# --- Parquet -----------------------------------------------------------------------------------------------


def _read_parquet(content: bytes, source: str) -> Table:
    try:
        pyarrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(
            f"reading the Parquet file {source} needs pyarrow, which cannot be imported",
            got=[str(error)],
            mend="Install it: pip install chainrule[tables]",
        ) from error
    try:
        arrow = parquet.ParquetFile(pyarrow.BufferReader(content)).read()
    except (pyarrow.ArrowException, OSError) as error:
        raise FileFormatError(
            f"{source} is not a whole Parquet file",
            got=[str(error)],
            mend="It is truncated, damaged or of another format.",
        ) from error
    names = tuple(str(name).strip() for name in arrow.column_names)
    cells = [_arrow_cells(pyarrow, arrow.column(i), name, source) for i, name in enumerate(names)]
    columns = dict(zip(names, cells, strict=True))
    return Table(names, columns, source, tuple(range(1, arrow.num_rows + 1)), unit="row")


def _arrow_cells(pyarrow: Any, column: Any, name: str, source: str) -> Column:
    """Numbers as float64; text, truth values, dates and times as text."""
    types, kind = pyarrow.types, column.type
    if types.is_dictionary(kind):
        return _arrow_cells(pyarrow, column.cast(kind.value_type), name, source)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        numbers = column.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.array(numbers, dtype=np.float64)
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_boolean(kind)
    if is_text or types.is_temporal(kind) or types.is_null(kind):
        return _with_gaps("" if cell is None else str(cell).strip() for cell in column.to_pylist())
    raise DataError(
        f"column '{name}' of {source} holds neither numbers nor text",
        got=[f"the Parquet type {kind}"],
        mend="Write it as numbers or text, or leave it out of the file.",
    )


# --- What a column holds -----------------------------------------------------------------------------------


def is_numeric(table: Table, name: str) -> bool:
    """Whether every value of the column that is not missing writes a number.

    An infinite one counts as a number here, so that `numbers` can say that it stands in the way.
    """
    cells = table.columns[name]
    if isinstance(cells, np.ndarray):
        return True
    return all(cell is None or _parsed(cell) is not None for cell in cells)


def numbers(table: Table, name: str) -> Numbers:
    """The column as float64 with NaN for missing values.

    Raises:
        DataError: a value is not a number, or is infinite.
    """
    cells = table.columns[name]
    values = cells if isinstance(cells, np.ndarray) else _parsed_cells(table, name, cells)
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        raise DataError(
            f"column '{name}' holds an infinite value",
            got=[f"{cells[infinite[0]]}"],
            where=table.place(infinite[0]),
            mend="Correct it, or leave the cell empty to mark it as missing.",
        )
    return values


def categories(table: Table, name: str) -> Sequence[str | None]:
    """The column as text with None for missing values; whole numbers of a Parquet file without a point."""
    cells = table.columns[name]
    if not isinstance(cells, np.ndarray):
        return cells
    return [None if math.isnan(value) else written(value) for value in numbers(table, name)]


def _parsed_cells(table: Table, name: str, cells: Sequence[str | None]) -> Numbers:
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        value = _parsed(cell)
        if value is None:
            raise DataError(
                f"column '{name}' must hold numbers",
                got=[f"{cell!r}"],
                where=table.place(row),
                mend="Correct it, or leave the cell empty to mark it as missing.",
            )
        values[row] = value
    return values


def _parsed(cell: str) -> float | None:
    """The number that the cell writes; None where it writes none (Python's 1_000 and -nan are none here)."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return None if "_" in cell or math.isnan(value) else value


def written(value: float) -> str:
    """A number as text, the same for 1 and 1.0."""
    return str(int(value)) if value.is_integer() else repr(float(value))


# --- Rows, and words for messages --------------------------------------------------------------------------


def row_numbers(rows: ArrayLike, n: int) -> Rows:
    """The row numbers as int64, each checked to be one of 0 .. n - 1.

    Raises:
        ArgumentError: they are not whole numbers in one dimension.
        IndexOutOfRangeError: there is no such row.
    """
    chosen = np.asarray(rows)
    if chosen.size == 0:
        return np.zeros(0, dtype=np.int64)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise ArgumentError("rows must be a list of row numbers", got=[f"rows  {chosen.shape}  {chosen.dtype}"])
    outside = chosen[(chosen < 0) | (chosen >= n)]
    if outside.size:
        raise IndexOutOfRangeError(f"there is no row {outside[0]}", got=[f"rows  0..{n - 1}"])
    return chosen.astype(np.int64)


def no_such_column(table: Table, name: str) -> DataError:
    """The error that says which columns there are, for the caller to raise."""
    return DataError(
        f"{table.source} has no column '{name}'",
        got=[f"columns: {shortened(table.names, limit=50)}"],
        mend=suggestion(name, table.names),
    )


def suggestion(name: str, names: Iterable[str]) -> str | None:
    """The question whether the name that is closest was meant; None where none is close."""
    by_small_letters = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), by_small_letters, n=1)
    return f"Is '{by_small_letters[close[0]]}' meant for '{name}'?" if close else None


def shortened(texts: Iterable[str], limit: int = 5) -> str:
    """The first texts with commas between them, and how many more there are."""
    listed = list(texts)
    rest = [f"and {len(listed) - limit} more"] if len(listed) > limit else []
    return ", ".join([*listed[:limit], *rest])
