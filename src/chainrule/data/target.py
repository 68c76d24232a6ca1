"""The target: the column of a table to predict, whether it is classes or numbers, and the rows to learn it from.

    target = read_target(table, "species")                     # what is to be learned, and why so
    train, held = split_rows(table, target, 0.2, rng)          # rows to train on, rows to hold out

Classes and rows are read from the whole table; what is learned from the training rows alone is in `preparation`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from chainrule.data.splits import random_split_indices, stratified_split
from chainrule.data.tables import (
    Numbers,
    Rows,
    Table,
    categories,
    is_numeric,
    no_such_column,
    numbers,
    shortened,
    written,
)
from chainrule.errors import ArgumentError, DataError

Task: TypeAlias = Literal["classification", "regression"]

MAX_NUMBERED_CLASSES = 20
"""A target of whole numbers with more different values than this is a quantity, not a class."""


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
        classes = f"{len(self.classes)} classes ({shortened(self.classes)})"
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
        raise no_such_column(table, name)
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
    check_target_varies(values, name, table.source)
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
            got=[f"{len(classes)} different values in {len(labels)} rows: {shortened(classes)}"],
            mend="Choose a column whose values repeat" + (", or ask for regression." if numeric else "."),
        )
    values = f"{len(classes)} different whole numbers" if numeric else "words"
    reason = "it was asked for" if forced else f"its values are {values}"
    return Target(name, "classification", tuple(classes), numeric, reason)


def check_target_varies(values: Numbers, name: str, where: str) -> None:
    """Refuse a regression target in which there is nothing to learn.

    Raises:
        DataError: all values that are not missing are the same number.
    """
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
                got=[f"{label!r}", f"learned: {shortened(target.classes)}"],
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
    return [None if math.isnan(value) else written(value) for value in numbers(table, name)]
