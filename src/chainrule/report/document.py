"""A report as data: blocks of text, formulas, tables and charts, which the renderers only read.

Any number may be missing (`None`), NaN or infinite. A table prints it as such; a chart leaves a gap and
says so in its caption.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from math import isfinite
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from chainrule.errors import ArgumentError

Value: TypeAlias = str | float | None
"""What a cell holds. Whole numbers are grouped by thousands; give a seed or a year as a string."""


@runtime_checkable
class Math(Protocol):
    """A formula, which knows how each target writes it. `notation` makes them; this package only asks."""

    def plain(self, width: int) -> str:
        """Unicode text, its lines at most so wide where they can be broken."""
        ...

    def tex(self) -> str:
        """LaTeX for math mode."""
        ...

    def mathml(self, *, display: bool) -> str:
        """One `<math>` element."""
        ...


Cell: TypeAlias = Value | Math
"""What a table holds."""

Alignment: TypeAlias = Literal["left", "right", "center"]


@dataclass(frozen=True)
class Series:
    """One line of a chart: `ys` over `xs`, which do not decrease.

    `is_reference` marks a line that others are compared with: it is drawn thin and quiet.

    Raises:
        ArgumentError: where `xs` and `ys` differ in length.
    """

    name: str
    xs: Sequence[float | None]
    ys: Sequence[float | None]
    is_reference: bool = False

    def __post_init__(self) -> None:
        _require_same_length(f"Series({self.name!r})", "xs", self.xs, "ys", self.ys)


@dataclass(frozen=True)
class LineChart:
    """Series over a common x axis.

    `log_y` asks for a logarithmic y axis, which shows positive values and says so with `log_label`.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log_y: bool = False
    log_label: str = "log scale"


@dataclass(frozen=True)
class Bars:
    """One horizontal bar for each label, from zero to its value.

    Raises:
        ArgumentError: where `labels` and `values` differ in length.
    """

    title: str
    labels: Sequence[str]
    values: Sequence[float | None]
    value_label: str = ""

    def __post_init__(self) -> None:
        _require_same_length(f"Bars({self.title!r})", "labels", self.labels, "values", self.values)


@dataclass(frozen=True)
class Stack:
    """What one cause adds to each bar of a `StackedBars`: positive to the right of zero, negative to the left."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class StackedBars:
    """One horizontal bar for each label, put together from what every cause adds; a mark stands at the sum.

    Raises:
        ArgumentError: where a stack has not one finite value for each label.
    """

    title: str
    labels: Sequence[str]
    stacks: Sequence[Stack]
    value_label: str = ""
    total_label: str = "sum"

    def __post_init__(self) -> None:
        for stack in self.stacks:
            owner = f"StackedBars({self.title!r})"
            _require_same_length(owner, "labels", self.labels, f"stack {stack.name!r}", stack.values)
            _require_finite(owner, f"stack {stack.name!r}", stack.values)

    @property
    def totals(self) -> list[float]:
        """The sum of each bar's parts."""
        return [sum([stack.values[row] for stack in self.stacks], 0.0) for row in range(len(self.labels))]


@dataclass(frozen=True)
class HeatMap:
    """A value for each row and column as a shade, the deeper the larger; missing values stay empty.

    Values are shown on a logarithmic scale if `log` is true; there a zero has a mark of its own, as has, on any
    scale, what is not finite.

    Args:
        title: the name of the chart.
        rows: the labels from top to bottom.
        columns: the labels from left to right, of which some are written.
        values: for each row a value for each column.
        x_label, value_label: what the columns and the shades are.
        log: whether the shades follow the logarithm.

    Raises:
        ArgumentError: where the values do not fit the rows and columns.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    x_label: str = ""
    value_label: str = ""
    log: bool = False

    def __post_init__(self) -> None:
        owner = f"HeatMap({self.title!r})"
        _require_same_length(owner, "rows", self.rows, "values", self.values)
        for index, row in enumerate(self.values):
            _require_same_length(owner, "columns", self.columns, f"values[{index}]", row)


@dataclass(frozen=True)
class Histograms:
    """How values are distributed, one row of columns for each label, all over the same bins.

    Args:
        title: the name of the chart.
        labels: what the rows are.
        edges: where the bins begin and end, increasing.
        shares: for each row the share of the values in each bin, at least 0.
        x_label: what the values are.
        remarks: for each row a few words beside it; none by default.

    Raises:
        ArgumentError: where labels, shares, edges and remarks do not fit together.
    """

    title: str
    labels: Sequence[str]
    edges: Sequence[float]
    shares: Sequence[Sequence[float]]
    x_label: str = ""
    remarks: Sequence[str] | None = None

    def __post_init__(self) -> None:
        owner = f"Histograms({self.title!r})"
        _require_same_length(owner, "labels", self.labels, "shares", self.shares)
        if self.remarks is not None:
            _require_same_length(owner, "labels", self.labels, "remarks", self.remarks)
        for index, row in enumerate(self.shares):
            _require_same_length(owner, "edges[1:]", self.edges[1:], f"shares[{index}]", row)
            _require_finite(owner, f"shares[{index}]", row)


Chart: TypeAlias = LineChart | Bars | StackedBars | HeatMap | Histograms


@dataclass(frozen=True)
class Heading:
    """The title of the blocks that follow."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text: a string, or strings and formulas in order."""

    text: str | Sequence[str | Math]

    @property
    def runs(self) -> Sequence[str | Math]:
        """The strings and formulas."""
        return [self.text] if isinstance(self.text, str) else self.text


@dataclass(frozen=True)
class Formula:
    """A formula on lines of its own.

    Args:
        math: the formula.
        title: what it says, before it.
        label: its number, by which the text speaks of it.
    """

    math: Math
    title: str = ""
    label: str = ""


@dataclass(frozen=True)
class Code:
    """Lines of a program, to be copied as they are; `title` says what they do."""

    text: str
    title: str = ""


@dataclass(frozen=True)
class Facts:
    """Names and values side by side: the data, the model, the seed."""

    items: Sequence[tuple[str, Value]]


@dataclass(frozen=True)
class Table:
    """Rows under column names; the first cell of a row names it.

    Args:
        columns: the names.
        rows: one value or formula for each column.
        alignment: one for each column; without it, columns of numbers stand right and others left.
        caption: what the table shows.
        emphasis: for each cell how strongly to shade it, from 0 to 1, or None for no shade. A confusion
            matrix gives the share of its row.

    Raises:
        ArgumentError: where there is no column; where a row, the alignment or the emphasis does not fit
            the columns; where an emphasis lies outside 0 to 1.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    alignment: Sequence[Alignment] | None = None
    caption: str = ""
    emphasis: Sequence[Sequence[float | None]] | None = None

    def __post_init__(self) -> None:
        if not self.columns:
            raise ArgumentError("Table: a table needs at least one column")
        for index, row in enumerate(self.rows):
            _require_same_length("Table", "columns", self.columns, f"rows[{index}]", row)
        if self.alignment is not None:
            _require_same_length("Table", "columns", self.columns, "alignment", self.alignment)
        if self.emphasis is not None:
            self._check_emphasis(self.emphasis)

    def _check_emphasis(self, emphasis: Sequence[Sequence[float | None]]) -> None:
        _require_same_length("Table", "rows", self.rows, "emphasis", emphasis)
        for index, shades in enumerate(emphasis):
            _require_same_length("Table", "columns", self.columns, f"emphasis[{index}]", shades)
            for shade in shades:
                if shade is not None and not 0 <= shade <= 1:
                    raise ArgumentError(
                        "Table: an emphasis lies from 0 to 1, or is None", got=[f"emphasis[{index}]  {shade}"]
                    )


@dataclass(frozen=True)
class Figure:
    """A chart and what to see in it. Figures in a row stand side by side where there is room."""

    chart: Chart
    caption: str = ""


Block: TypeAlias = Heading | Paragraph | Formula | Code | Facts | Table | Figure


@dataclass(frozen=True)
class Document:
    """A whole report; `language` is that of its text, such as "en" or "zh"."""

    title: str
    subtitle: str
    blocks: Sequence[Block]
    language: str = "en"


def alignments(table: Table) -> tuple[Alignment, ...]:
    """The alignment of every column, as given or as its values suggest."""
    if table.alignment is not None:
        return tuple(table.alignment)
    return tuple(
        "left" if any(isinstance(row[column], str | Math) for row in table.rows) else "right"
        for column in range(len(table.columns))
    )


def _require_same_length(owner: str, name: str, values: Sized, other_name: str, others: Sized) -> None:
    if len(values) != len(others):
        raise ArgumentError(
            f"{owner}: {name} and {other_name} differ in length",
            got=[f"{name}  {len(values)}", f"{other_name}  {len(others)}"],
        )


def _require_finite(owner: str, name: str, values: Sequence[float]) -> None:
    strange = [value for value in values if not isfinite(value)]
    if strange:
        raise ArgumentError(f"{owner}: {name} must be finite", got=[f"{name}  has {strange[0]}"])
