"""What there is to learn: examples in memory, how they were treated, and where they come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, FileFormatError
from chainrule.train.config import Task
from chainrule.train.treatment import Treatment

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs (n, ...) and their targets (n, ...), in memory."""

    inputs: Array
    targets: Array

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Array) -> Examples:
        """The examples of these rows."""
        return Examples(self.inputs[rows], self.targets[rows])


Feed: TypeAlias = "Examples | Iterable[Any]"
"""Examples in memory, or a DataLoader."""


@dataclass(frozen=True)
class Origin:
    """Where data comes from: enough to find it again, and to notice that it changed.

    kind is "bundled", "table" or "builder"; location a name or an absolute path; sha256 of the file's content
    (of the builder's file alone, not of what it imports) or of a bundled set's numbers.
    """

    kind: str
    location: str
    sha256: str
    function: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The origin as what JSON holds."""
        return dict(vars(self))

    @staticmethod
    def from_dict(content: Any) -> Origin:
        """The origin that `to_dict` wrote.

        Raises:
            FileFormatError: it is not one.
        """
        try:
            return Origin(**content)
        except TypeError as error:
            raise FileFormatError("the origin of the run's data is damaged", got=[str(error)]) from error


@dataclass(frozen=True, eq=False)
class Built:
    """What a builder function returned beside its data; own_batches where that was a DataLoader."""

    model: Any
    loss: Any
    optimizer: Any | None = None
    own_batches: bool = False


@dataclass(frozen=True, eq=False)
class Problem:
    """Data that is ready to train on.

    name is short, for folders and headings. validation and test are None where nothing is held out.
    outputs is how many numbers the model must give for an example, where there is no builder. treatment
    prepares new data in the same way; lines say what was done and how the rows were split, columns what happens to
    each column of a table.
    """

    name: str
    task: Task
    train: Feed
    validation: Feed | None
    test: Feed | None
    origin: Origin
    treatment: Treatment
    lines: tuple[str, ...]
    columns: dict[str, str] = field(default_factory=dict)
    outputs: int | None = None
    built: Built | None = None
    citation: str | None = None
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        """How many numbers an example has."""
        assert isinstance(self.train, Examples)
        return int(np.prod(self.train.inputs.shape[1:], dtype=np.int64))


def check_inputs(inputs: Array, what: str) -> None:
    """Raises where inputs are none, not finite, or all the same.

    Raises:
        DataError: there is no row; a value is NaN or infinite; all rows are the same.
    """
    if not len(inputs):
        raise DataError(f"{what}: there are no rows")
    if inputs.dtype.kind == "f":
        check_finite(inputs, what)
    if len(inputs) > 1 and bool((inputs == inputs[:1]).all()):
        raise DataError(
            f"{what}: all {len(inputs)} rows are the same, so there is nothing to learn from",
            mend="Check how the inputs are made.",
        )


def check_finite(inputs: Array, what: str) -> None:
    """Raises where a value is NaN or infinite.

    Raises:
        DataError: it names the first such value and how many there are.
    """
    finite = np.isfinite(inputs)
    if finite.all():
        return
    where = np.argwhere(~finite)
    first = tuple(int(i) for i in where[0])
    raise DataError(
        f"{what}: {len(where)} of {inputs.size} values are NaN or infinite",
        got=[f"the first is {inputs[first]} at index {list(first)}"],
        mend="Correct or remove them; in a CSV file an empty cell marks a missing value, which is filled.",
    )


def check_classes(labels: Array, what: str) -> None:
    """Raises where class numbers are negative or all the same.

    Raises:
        DataError: a label is negative, or there is one class only.
    """
    if labels.size and labels.min() < 0:
        row = int(np.argmin(labels.reshape(len(labels), -1).min(axis=1)))
        raise DataError(f"{what}: labels must be 0 or above", got=[f"{labels.min()} in row {row}"])
    if labels.size and labels.min() == labels.max():
        raise DataError(
            f"{what}: one class only, so there is nothing to learn",
            got=[f"the label {labels.flat[0]} in all {len(labels)} rows"],
            mend="Add rows of another class.",
        )
