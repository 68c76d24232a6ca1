"""The preparation: what each column of a table becomes for a network, as learned from the training rows.

    table = read_table("penguins.csv")                         # the cells, as they stand in the file
    target = read_target(table, "species")                     # what is to be learned, and why so
    train, held = split_rows(table, target, 0.2, rng)
    preparation = fit_preparation(table, target, train)        # what happens to each column
    prepared = preparation.apply(table.take(held))             # features and targets

Every statistic (median, mean, standard deviation, the list of categories) comes from the training rows alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.data.tables import (
    Numbers,
    Rows,
    Table,
    categories,
    is_numeric,
    no_such_column,
    numbers,
    row_numbers,
    shortened,
    suggestion,
)
from chainrule.data.target import Target, check_target_varies, labelled_rows, target_values
from chainrule.errors import ArgumentError, DataError, FileFormatError

MAX_CATEGORIES = 100
"""A column of words with more different values than this looks like a name or an id, and is left out."""


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
        shown = shortened(dict.fromkeys("missing" if cell is None else repr(cell) for cell in unknown))
        count = _count(len(unknown), "value")
        return [f"{self.name}: {count} not seen in training ({shown}), so all its features are 0 there"]

    def describe(self) -> str:
        levels = f"one 0/1 feature for each of {_count(len(self.levels), 'value')} ({shortened(self.levels)})"
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


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


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
                got=[f"missing: {shortened(missing, limit=20)}"] * bool(missing)
                + [f"unknown: {shortened(unknown, limit=20)}"] * bool(unknown),
                mend=suggestion(missing[0], unknown) if missing else "Leave out the unknown ones.",
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
    chosen = labelled if rows is None else row_numbers(rows, len(table))
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
        check_target_varies(values, target.name, f"the training rows of {training.source}")
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
            raise no_such_column(table, name)
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
