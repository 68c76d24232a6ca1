"""A data table: from a CSV or Parquet file to arrays that a network can learn from.

Three steps, each of which leaves a value that can be looked at:

    table = read_table("penguins.csv")                         # the cells, as they stand in the file
    target = read_target(table, "species")                     # what is to be learned, and why so
    train, held = split_rows(table, target, 0.2, rng)
    preparation = fit_preparation(table, target, train)        # what happens to each column
    prepared = preparation.apply(table.take(held))             # features and targets

What a column holds, numbers or categories, is read from the whole table, as one reads a type. Every statistic
(median, mean, standard deviation, the list of categories) comes from the training rows alone.
"""

from __future__ import annotations

import csv
import difflib
import importlib
import io
import itertools
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.data.splits import random_split_indices, stratified_split
from chainrule.errors import (
    ArgumentError,
    ChainruleError,
    DataError,
    FileFormatError,
    IndexOutOfRangeError,
)

Numbers: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]
Column: TypeAlias = "Sequence[str | None] | Numbers"
"""The cells of a column: text with None for missing, or numbers with NaN for missing."""
Task: TypeAlias = Literal["classification", "regression"]
PathLike: TypeAlias = str | os.PathLike[str]

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
"""The cells that mean "no value here", in small letters."""

MAX_CATEGORIES = 100
"""A column of words with more different values than this looks like a name or an id, and is left out."""

MAX_NUMBERED_CLASSES = 20
"""A target of whole numbers with more different values than this is a quantity, not a class."""


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
        chosen = _row_numbers(rows, len(self))
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
            f"{table.source} has more than one column named {_shown(dict.fromkeys(repeated))}",
            mend="Rename them: columns are found by their names.",
        )
    if not len(table):
        raise DataError(f"{table.source} has no rows of data", got=[f"only a header: {_shown(table.names)}"])
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
                    f"line {header_line}: {_shown(names)}",
                    f"line {line}: {_shown(record)}",
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
    return [None if math.isnan(value) else _written(value) for value in numbers(table, name)]


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


def _written(value: float) -> str:
    """A number as text, the same for 1 and 1.0."""
    return str(int(value)) if value.is_integer() else repr(float(value))


# --- The target --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """What is to be learned.

    classes are texts in order, by value where they are numbers (numeric says so); there are none for
    regression. reason says why it is this task.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    numeric: bool
    reason: str

    def describe(self) -> str:
        """One line in words."""
        if self.task == "regression":
            return f"{self.name}: target; regression, because {self.reason}"
        classes = f"{len(self.classes)} classes ({_shown(self.classes)})"
        return f"{self.name}: target; classification into {classes}, because {self.reason}"


def read_target(table: Table, name: str, *, task: Task | None = None) -> Target:
    """What is to be learned from the column `name`, and why.

    It is classification where the values are words or truth values, and where they are whole numbers of at
    most 20 different values that each occur twice or more on average. It is regression for all other numbers.

    Args:
        table: all rows, training and held-out ones.
        name: the column.
        task: forces one or the other.

    Raises:
        DataError: there is no such column; it has no values, one value only, or no class with two rows; it
            holds words where regression is asked for.
        ArgumentError: the task is neither of the two.
    """
    if task not in (None, "classification", "regression"):
        raise ArgumentError("read_target: the task must be 'classification' or 'regression'", got=[f"task  {task!r}"])
    if name not in table.columns:
        raise _no_such_column(table, name)
    if not len(_rows_with_a_value(table, name)):
        raise DataError(
            f"the target column '{name}' of {table.source} has no values: all {len(table)} are missing",
            mend="Choose another target column.",
        )
    numeric = is_numeric(table, name)
    if task == "regression" or (task is None and numeric and not _look_like_classes(numbers(table, name))):
        return _regression_target(table, name, forced=task is not None)
    return _classification_target(table, name, numeric, forced=task is not None)


def _look_like_classes(values: Numbers) -> bool:
    known = values[~np.isnan(values)]
    different = len(np.unique(known))
    whole = bool(np.all(known == np.floor(known)))
    return whole and different <= MAX_NUMBERED_CLASSES and 2 * different <= len(known)


def _regression_target(table: Table, name: str, forced: bool) -> Target:
    values = numbers(table, name)
    _check_target_varies(values, name, table.source)
    different = len(np.unique(values[~np.isnan(values)]))
    reason = "it was asked for" if forced else f"its values are {different} different numbers"
    return Target(name, "regression", (), numeric=True, reason=reason)


def _classification_target(table: Table, name: str, numeric: bool, forced: bool) -> Target:
    labels = [label for label in _class_texts(table, name, numeric) if label is not None]
    classes = sorted(set(labels), key=float if numeric else str)
    if len(classes) == 1:
        raise DataError(
            f"the target column '{name}' of {table.source} holds one class only: nothing to learn",
            got=[f"{classes[0]!r} in all {len(labels)} rows that have a value"],
            mend="Add rows of another class, or choose another target column.",
        )
    if len(classes) == len(labels):
        raise DataError(
            f"no class of the target column '{name}' of {table.source} has two rows",
            got=[f"{len(classes)} different values in {len(labels)} rows: {_shown(classes)}"],
            mend="Choose a column whose values repeat" + (", or ask for regression." if numeric else "."),
        )
    values = f"{len(classes)} different whole numbers" if numeric else "words"
    reason = "it was asked for" if forced else f"its values are {values}"
    return Target(name, "classification", tuple(classes), numeric, reason)


def _check_target_varies(values: Numbers, name: str, where: str) -> None:
    known = values[~np.isnan(values)]
    if known.min() == known.max():
        raise DataError(
            f"the target column '{name}' holds the same number in every row, so there is nothing to learn",
            got=[f"{known[0]:g} in {len(known)} rows"],
            where=where,
            mend="Add rows with other values, or choose another target column.",
        )


def labelled_rows(table: Table, target: Target) -> Rows:
    """The numbers of the rows that have a value in the target column."""
    return _rows_with_a_value(table, target.name)


def target_values(table: Table, target: Target) -> Rows | Numbers:
    """The class of each row as int64, or the number of each row as float64; all rows must have one.

    Raises:
        DataError: a value is missing, is a class that the target does not know, or is not a number.
    """
    if len(labelled_rows(table, target)) != len(table):
        raise DataError(
            f"rows without a value of the target '{target.name}' have no target value",
            got=[f"{len(table) - len(labelled_rows(table, target))} of {len(table)} rows"],
            where=table.source,
            mend="Take labelled_rows(table, target) first.",
        )
    if target.task == "regression":
        return numbers(table, target.name)
    number_of = {label: number for number, label in enumerate(target.classes)}
    labels = _class_texts(table, target.name, target.numeric)
    for row, label in enumerate(labels):
        if label not in number_of:
            raise DataError(
                f"the target column '{target.name}' holds a class that is not one of those learned",
                got=[f"{label!r}", f"learned: {_shown(target.classes)}"],
                where=table.place(row),
                mend="Correct it, or leave the target out to predict without scoring.",
            )
    return np.array([number_of[label] for label in labels if label is not None], dtype=np.int64)


def split_rows(table: Table, target: Target, fraction: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """The numbers of the rows to train on and to hold out; rows without a target value are in neither.

    Classes keep their shares (`stratified_split`); for regression the rows are drawn at random.
    """
    rows = labelled_rows(table, target)
    if target.task == "regression":
        train, held = random_split_indices(len(rows), fraction, rng)
    else:
        train, held = stratified_split(target_values(table.take(rows), target), fraction, rng)
    return rows[train], rows[held]


def _rows_with_a_value(table: Table, name: str) -> Rows:
    cells = table.columns[name]
    if isinstance(cells, np.ndarray):
        return np.flatnonzero(~np.isnan(cells))
    return np.flatnonzero([cell is not None for cell in cells])


def _class_texts(table: Table, name: str, numeric: bool) -> Sequence[str | None]:
    """The class of each row as text: numbers all in the same spelling, so that 1 and 1.0 are one class."""
    if not numeric:
        return categories(table, name)
    return [None if math.isnan(value) else _written(value) for value in numbers(table, name)]


# --- What happens to a column ------------------------------------------------------------------------------

Block: TypeAlias = "tuple[Numbers, list[str]]"
"""The features (n, k) that a column becomes, and what there is to say about these rows."""


@dataclass(frozen=True)
class Numeric:
    """A column of numbers: gaps get the training median, then (x - mean) / std.

    Where the training rows have gaps, a second feature is 1 in the rows that have one and 0 elsewhere.
    mean and std are those of the training rows after filling.
    """

    kind: ClassVar = "numeric"
    name: str
    median: float
    mean: float
    std: float
    gaps: int

    @property
    def feature_names(self) -> tuple[str, ...]:
        return (self.name, f"{self.name} is missing") if self.gaps else (self.name,)

    def apply(self, table: Table) -> Block:
        values = numbers(table, self.name)
        missing = np.isnan(values)
        filled = np.where(missing, self.median, values)
        standardised = _standardised(filled, self.mean, self.std, table, self.name)
        block = np.stack([standardised, missing], axis=1) if self.gaps else standardised[:, None]
        return block, self._notes(int(missing.sum()))

    def _notes(self, missing: int) -> list[str]:
        if not missing or self.gaps:
            return []
        filled = f"filled with the training median {self.median:g}"
        return [f"{self.name}: {_count(missing, 'missing value')} {filled}; none was missing in training"]

    def describe(self) -> str:
        gaps = "a missing value gets"
        if self.gaps:
            gaps = f"{_count(self.gaps, 'value')} missing in training, marked in a feature and replaced by"
        scale = f"standardised (mean {self.mean:g}, standard deviation {self.std:g})"
        return f"{self.name}: number; {gaps} the training median {self.median:g}; {scale}"


@dataclass(frozen=True)
class Presence:
    """A column of numbers with gaps and one single value in training: what counts is whether it is there."""

    kind: ClassVar = "presence"
    name: str
    value: float
    gaps: int

    @property
    def feature_names(self) -> tuple[str, ...]:
        return (f"{self.name} is missing",)

    def apply(self, table: Table) -> Block:
        values = numbers(table, self.name)
        missing = np.isnan(values)
        others = int(np.sum(~missing & (values != self.value)))
        note = f"{self.name}: {_count(others, 'value')} other than {self.value:g}, the only one in training"
        return missing[:, None].astype(np.float64), [note] if others else []

    def describe(self) -> str:
        return (
            f"{self.name}: number; always {self.value:g} in training where it is not missing, so that only "
            f"a feature for missing is kept ({_count(self.gaps, 'value')} missing)"
        )


@dataclass(frozen=True)
class Categorical:
    """A column of categories: for each category of the training rows, a feature that is 1 in its rows.

    Missing is a category of its own where the training rows have gaps. A category that training did not
    have leaves all features 0, and a note says so.
    """

    kind: ClassVar = "categorical"
    name: str
    levels: tuple[str, ...]
    gaps: int

    @property
    def feature_names(self) -> tuple[str, ...]:
        present = tuple(f"{self.name} = {level}" for level in self.levels)
        return (*present, f"{self.name} is missing") if self.gaps else present

    def apply(self, table: Table) -> Block:
        cells = categories(table, self.name)
        known: list[str | None] = [*self.levels, None] if self.gaps else [*self.levels]
        slot = {level: number for number, level in enumerate(known)}
        slots = np.array([slot.get(cell, -1) for cell in cells], dtype=np.int64)
        block = np.zeros((len(cells), len(known)))
        rows = np.flatnonzero(slots >= 0)
        block[rows, slots[rows]] = 1.0
        return block, self._notes([cell for cell in cells if cell not in slot])

    def _notes(self, unknown: list[str | None]) -> list[str]:
        if not unknown:
            return []
        shown = _shown(dict.fromkeys("missing" if cell is None else repr(cell) for cell in unknown))
        count = _count(len(unknown), "value")
        return [f"{self.name}: {count} not seen in training ({shown}), so all its features are 0 there"]

    def describe(self) -> str:
        levels = f"one 0/1 feature for each of {_count(len(self.levels), 'value')} ({_shown(self.levels)})"
        gaps = f" and one for missing ({_count(self.gaps, 'value')} in training)" if self.gaps else ""
        return f"{self.name}: category; {levels}{gaps}; any other value has 0 in all of them"


@dataclass(frozen=True)
class Dropped:
    """A column that is left out, and why. It need not be there to predict."""

    kind: ClassVar = "dropped"
    name: str
    reason: str

    @property
    def feature_names(self) -> tuple[str, ...]:
        return ()

    def apply(self, table: Table) -> Block:
        return np.zeros((len(table), 0)), []

    def describe(self) -> str:
        return f"{self.name}: left out; {self.reason}"


Treatment: TypeAlias = Numeric | Presence | Categorical | Dropped


def _numeric_treatment(name: str, values: Numbers) -> Treatment:
    missing = np.isnan(values)
    gaps, known = int(missing.sum()), values[~missing]
    if not len(known):
        return Dropped(name, "it has no values in the training rows")
    if known.min() == known.max():
        if gaps:
            return Presence(name, float(known[0]), gaps)
        return Dropped(name, f"it is {known[0]:g} in every training row")
    median = _median(known)
    mean, std = _mean_and_std(np.where(missing, median, values), name)
    return Numeric(name, median, mean, std, gaps)


def _categorical_treatment(name: str, cells: Sequence[str | None]) -> Treatment:
    levels = tuple(sorted({cell for cell in cells if cell is not None}))
    gaps = sum(cell is None for cell in cells)
    if not levels:
        return Dropped(name, "it has no values in the training rows")
    if len(levels) == 1 and not gaps:
        return Dropped(name, f"it is {levels[0]!r} in every training row")
    if len(levels) > MAX_CATEGORIES:
        count = f"{len(levels)} different values in {len(cells)} training rows"
        return Dropped(name, f"{count} (more than {MAX_CATEGORIES}) look like a name, not a category")
    return Categorical(name, levels, gaps)


def _standardised(values: Numbers, mean: float, std: float, table: Table, name: str) -> Numbers:
    """(values - mean) / std, where float32 can hold it."""
    with np.errstate(over="ignore"):  # looked for in the next line
        standardised = (values - mean) / std
    too_far = np.flatnonzero(np.abs(standardised) > np.finfo(np.float32).max)
    if too_far.size:
        raise DataError(
            f"column '{name}': too far from the training values for float32",
            got=[f"{values[too_far[0]]:g}", f"in training: mean {mean:g}, standard deviation {std:g}"],
            where=table.place(too_far[0]),
            mend="Correct it.",
        )
    return standardised


def _median(values: Numbers) -> float:
    """The median. The halves of the two middle values are added, which cannot overflow."""
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] / 2 + ordered[len(ordered) // 2] / 2)


def _mean_and_std(values: Numbers, name: str) -> tuple[float, float]:
    """Mean and standard deviation, computed on values scaled to at most 1 so that no square overflows.

    Raises:
        DataError: the values are too large, or differ by too little, for float64.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # looked for below
        mean = float(np.mean(values))
        deviations = values - mean
        largest = float(np.max(np.abs(deviations)))
        std = float(largest * np.sqrt(np.mean((deviations / largest) ** 2))) if largest else 0.0
    if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
        raise DataError(
            f"column '{name}' cannot be standardised in float64",
            got=[f"values from {values.min():g} to {values.max():g}", f"mean {mean:g}, std {std:g}"],
            mend="Write it in another unit.",
        )
    return mean, std


# --- The preparation ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Prepared:
    """A table as a network takes it.

    features is (n, d) float32, a row for each row of the table, named by feature_names. labelled_rows are
    the rows that have a target value, and targets their values: (m,) int64 classes, or (m, 1) float32
    standardised numbers. notes say what happened to these rows.
    """

    features: NDArray[np.float32]
    feature_names: tuple[str, ...]
    targets: NDArray[np.int64] | NDArray[np.float32]
    labelled_rows: Rows
    notes: tuple[str, ...]

    @property
    def labelled_features(self) -> NDArray[np.float32]:
        """The features of the rows that have a target value, in the order of `targets`."""
        return self.features[self.labelled_rows]


@dataclass(frozen=True)
class Preparation:
    """What happens to each column of a table, learned from the training rows: apply it to any table.

    target_mean and target_std are those of the training targets, 0 and 1 for classification. notes say what
    was left out of training.
    """

    target: Target
    treatments: tuple[Treatment, ...]
    target_mean: float
    target_std: float
    training_rows: int
    notes: tuple[str, ...]

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(name for treatment in self.treatments for name in treatment.feature_names)

    def apply(self, table: Table) -> Prepared:
        """The features of every row, and the targets of the rows that have one.

        The table must have the columns that training used. It may have those that were left out, and the
        target, whose values are then there for scoring.

        Raises:
            DataError: columns are missing or unknown, or a value cannot be used.
        """
        self._check_columns(table)
        blocks, notes = zip(*(treatment.apply(table) for treatment in self.treatments), strict=True)
        rows, targets = self._targets(table)
        return Prepared(
            features=np.concatenate(blocks, axis=1).astype(np.float32),
            feature_names=self.feature_names,
            targets=targets,
            labelled_rows=rows,
            notes=tuple(itertools.chain.from_iterable(notes)),
        )

    def restore_target(self, standardised: ArrayLike) -> Numbers:
        """Numbers in the unit of the file, from standardised ones: the inverse of what `apply` does."""
        return np.asarray(standardised, dtype=np.float64) * self.target_std + self.target_mean

    def describe(self) -> list[str]:
        """What happens to each column in words, a line for each, the target last."""
        last = self.target.describe()
        if self.target.task == "regression":
            last += f"; standardised (mean {self.target_mean:g}, standard deviation {self.target_std:g})"
        return [*(treatment.describe() for treatment in self.treatments), last]

    def to_dict(self) -> dict[str, Any]:
        """The preparation as dictionaries, lists, texts and numbers: what JSON holds."""
        return {
            "format": _FORMAT,
            "target": _plain(self.target),
            "columns": [{"kind": treatment.kind, **_plain(treatment)} for treatment in self.treatments],
            "target_mean": self.target_mean,
            "target_std": self.target_std,
            "training_rows": self.training_rows,
            "notes": list(self.notes),
        }

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> Preparation:
        """The preparation that `to_dict` wrote.

        Raises:
            FileFormatError: it is not one, or one of another format.
        """
        if content.get("format") != _FORMAT:
            raise FileFormatError(
                f"not a table preparation of format {_FORMAT}", got=[f"format  {content.get('format')!r}"]
            )
        try:
            rest = {key: value for key, value in content.items() if key not in ("format", "columns")}
            rest["target"] = _rebuilt(Target, content["target"])
            rest["treatments"] = tuple(_rebuilt_treatment(column) for column in content["columns"])
            preparation: Preparation = _rebuilt(Preparation, rest)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FileFormatError(
                "the table preparation is damaged", got=[f"{type(error).__name__}: {error}"]
            ) from error
        return preparation

    def _check_columns(self, table: Table) -> None:
        used = [t.name for t in self.treatments if t.feature_names]
        allowed = {self.target.name, *(t.name for t in self.treatments)}
        missing = [name for name in used if name not in table.columns]
        unknown = [name for name in table.names if name not in allowed]
        if missing or unknown:
            raise DataError(
                f"the columns of {table.source} are not those of the training table",
                got=[f"missing: {_shown(missing, limit=20)}"] * bool(missing)
                + [f"unknown: {_shown(unknown, limit=20)}"] * bool(unknown),
                mend=_suggestion(missing[0], unknown) if missing else "Leave out the unknown ones.",
            )

    def _targets(self, table: Table) -> tuple[Rows, NDArray[np.int64] | NDArray[np.float32]]:
        present = self.target.name in table.columns
        rows = labelled_rows(table, self.target) if present else np.zeros(0, dtype=np.int64)
        labelled = table.take(rows)
        values = target_values(labelled, self.target) if present else np.zeros(0)
        if self.target.task == "classification":
            return rows, values.astype(np.int64)
        values = values.astype(np.float64)
        values = _standardised(values, self.target_mean, self.target_std, labelled, self.target.name)
        return rows, values.astype(np.float32)[:, None]


def fit_preparation(
    table: Table,
    target: Target,
    rows: ArrayLike | None = None,
    *,
    numeric: Collection[str] = (),
    categorical: Collection[str] = (),
    ignore: Collection[str] = (),
) -> Preparation:
    """What to do with each column, from the statistics of the training rows alone.

    A column of numbers becomes `Numeric`, another `Categorical`; one that tells nothing is `Dropped`.

    Args:
        table: all rows, so that what a column holds does not depend on the split.
        target: from `read_target`.
        rows: the training rows, numbered from 0; by default all of them. Those without a target value do not
            take part.
        numeric, categorical: columns to take as such, whatever they look like.
        ignore: columns to leave out.

    Raises:
        DataError: no row has a target value; the training rows have one class or target value only; no column
            is left; there is no such column, or it holds values that are not numbers.
        ArgumentError: a column is named twice, or is the target.
        IndexOutOfRangeError: there is no such row.
    """
    _check_column_choices(table, target, numeric, categorical, ignore)
    labelled = labelled_rows(table, target)
    chosen = labelled if rows is None else _row_numbers(rows, len(table))
    training = table.take(chosen[np.isin(chosen, labelled)])
    mean, std = _target_statistics(training, target)

    def treatment(name: str) -> Treatment:
        if name in ignore:
            return Dropped(name, "as asked")
        if name in numeric or (name not in categorical and is_numeric(table, name)):
            return _numeric_treatment(name, numbers(training, name))
        return _categorical_treatment(name, categories(training, name))

    treatments = tuple(treatment(name) for name in table.names if name != target.name)
    if not any(t.feature_names for t in treatments):
        raise DataError(
            f"no column of {table.source} is left to learn from",
            got=[t.describe() for t in treatments],
        )
    notes = _training_notes(len(table) - len(labelled), target, treatments)
    return Preparation(target, treatments, mean, std, len(training), notes)


def _training_notes(unlabelled: int, target: Target, treatments: Iterable[Treatment]) -> tuple[str, ...]:
    dropped = [t.describe() for t in treatments if isinstance(t, Dropped)]
    if not unlabelled:
        return tuple(dropped)
    return (f"{_count(unlabelled, 'row')} without a value of the target '{target.name}' left out", *dropped)


def _target_statistics(training: Table, target: Target) -> tuple[float, float]:
    """Mean and standard deviation of the training targets; 0 and 1 where they are classes."""
    if not len(training):
        raise DataError(f"no training row of {training.source} has a value of the target '{target.name}'")
    values = target_values(training, target)
    if target.task == "regression":
        values = values.astype(np.float64)
        _check_target_varies(values, target.name, f"the training rows of {training.source}")
        return _mean_and_std(values, target.name)
    if len(np.unique(values)) == 1:
        raise DataError(
            f"the training rows of {training.source} hold one class of '{target.name}' only",
            got=[f"{target.classes[int(values[0])]!r} in all {len(values)} rows"],
            mend="Take training rows of every class: split_rows keeps the share of each.",
        )
    return 0.0, 1.0


def _check_column_choices(table: Table, target: Target, *choices: Collection[str]) -> None:
    named = list(itertools.chain.from_iterable(choices))
    for name in named:
        if name not in table.columns:
            raise _no_such_column(table, name)
        if name == target.name or named.count(name) > 1:
            why = "is the target" if name == target.name else "is named twice"
            raise ArgumentError(f"fit_preparation: numeric, categorical and ignore name column '{name}', which {why}")


# --- The preparation as JSON -------------------------------------------------------------------------------

_FORMAT = 1
_TREATMENTS: dict[str, type[Treatment]] = {t.kind: t for t in (Numeric, Presence, Categorical, Dropped)}


def _plain(data: Any) -> dict[str, Any]:
    """The fields of a dataclass, with lists for tuples."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(data).items()}


def _rebuilt_treatment(column: Mapping[str, Any]) -> Treatment:
    rest = dict(column)
    rebuilt: Treatment = _rebuilt(_TREATMENTS[rest.pop("kind")], rest)
    return rebuilt


def _rebuilt(cls: Any, content: Mapping[str, Any]) -> Any:
    """The dataclass with these fields, each of the type that it is declared with."""
    return cls(**{**content, **{f.name: _typed(f.name, f.type, content[f.name]) for f in fields(cls)}})


_JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": (int, float),
    "Task": str,
    "tuple[str, ...]": list,
}


def _typed(name: str, declared: Any, value: Any) -> Any:
    if declared in _JSON_TYPES and not isinstance(value, _JSON_TYPES[declared]):
        raise TypeError(f"{name} must be of type {declared}, not {type(value).__name__}")
    return tuple(value) if isinstance(value, list) else value


# --- Words -------------------------------------------------------------------------------------------------


def _row_numbers(rows: ArrayLike, n: int) -> Rows:
    chosen = np.asarray(rows)
    if chosen.size == 0:
        return np.zeros(0, dtype=np.int64)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise ArgumentError("rows must be a list of row numbers", got=[f"rows  {chosen.shape}  {chosen.dtype}"])
    outside = chosen[(chosen < 0) | (chosen >= n)]
    if outside.size:
        raise IndexOutOfRangeError(f"there is no row {outside[0]}", got=[f"rows  0..{n - 1}"])
    return chosen.astype(np.int64)


def _no_such_column(table: Table, name: str) -> ChainruleError:
    return DataError(
        f"{table.source} has no column '{name}'",
        got=[f"columns: {_shown(table.names, limit=50)}"],
        mend=_suggestion(name, table.names),
    )


def _suggestion(name: str, names: Iterable[str]) -> str | None:
    by_small_letters = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), by_small_letters, n=1)
    return f"Is '{by_small_letters[close[0]]}' meant for '{name}'?" if close else None


def _shown(texts: Iterable[str], limit: int = 5) -> str:
    listed = list(texts)
    rest = [f"and {len(listed) - limit} more"] if len(listed) > limit else []
    return ", ".join([*listed[:limit], *rest])


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"
