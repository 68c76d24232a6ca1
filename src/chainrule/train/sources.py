"""DATA of the command line as a Problem: a bundled set, a table in a file, or what a builder makes.

Three parts: test rows (stratified, or the official ones), of the rest validation rows, and the training rows.
The test rows choose nothing and scale nothing: every statistic is that of the training rows alone. The seed
decides the splits, each from a stream of its own, so that the test rows do not depend on --validation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data import bundled
from chainrule.data.preparation import Preparation, fit_preparation
from chainrule.data.splits import stratified_split
from chainrule.data.tables import Table, read_table
from chainrule.data.target import read_target, split_rows
from chainrule.errors import DataError, UsageError
from chainrule.train.builder import build
from chainrule.train.config import DEFAULT_TEST_FRACTION, DEFAULT_VALIDATION, Request, suggestion
from chainrule.train.files import sha256_of
from chainrule.train.problem import Array, Examples, Origin, Problem
from chainrule.train.treatment import PixelTreatment, TableTreatment

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
TEST_STREAM, VALIDATION_STREAM = 0, 1
BUNDLED_TARGET = "class"

Splitter = Callable[[float, np.random.Generator], tuple[Array, Array]]


def load(request: Request) -> Problem:
    """The problem that the request names.

    Raises:
        DataError: there is no such data, or it cannot be learned from.
        UsageError: an option does not apply to this kind of data.
        FileFormatError: a file is damaged.
    """
    kind = kind_of(request.data)
    _check_options(request, kind)
    if kind == "builder":
        return build(request)
    if kind == "table":
        return _from_file(request)
    return _from_bundle(bundled.load(request.data, request.data_folder), request)


def kind_of(data: str) -> str:
    """What DATA is: "builder", "table" or "bundled".

    Raises:
        DataError: it is none of them.
    """
    file, _, function = data.rpartition(":")
    if file.endswith(".py") and function:
        return "builder"
    if data in bundled.names():
        return "bundled"
    path = Path(data)
    if path.suffix.lower() in TABLE_SUFFIXES or (path.is_file() and path.suffix.lower() != ".py"):
        return "table"
    if path.suffix.lower() == ".py":
        raise UsageError(
            f"{data} is a Python file: which of its functions makes the model and the data?",
            mend=f"Name it after a colon: {data}:build",
        )
    raise DataError(
        f"there is no data set and no file '{data}'",
        got=[f"data sets: {', '.join(bundled.names())}"],
        mend=suggestion(data, bundled.names()) or "Or give a CSV or Parquet file, or FILE.py:function.",
    )


_APPLIES = {
    "target": ("table", "a CSV or Parquet file"),
    "task": ("table", "a CSV or Parquet file"),
    "arguments": ("builder", "FILE.py:function"),
    "data_folder": ("bundled", "a bundled data set that is read from a folder"),
}


def _check_options(request: Request, kind: str) -> None:
    for name, (needed, what) in _APPLIES.items():
        if getattr(request, name) and kind != needed:
            option = "--set" if name == "arguments" else "--" + name.replace("_", "-")
            raise UsageError(f"{option} applies to {what} only, not to {request.data}")


def _from_file(request: Request) -> Problem:
    path = Path(request.data)
    table = read_table(path)
    if request.target is None:
        raise UsageError(
            f"which column of {request.data} is to be learned?",
            got=[f"columns: {', '.join(table.names[:50])}"],
            mend=f"Name it: --target {table.names[-1]}",
        )
    origin = Origin("table", str(path.resolve()), sha256_of(path))
    return _from_table(table, request.target, request, path.stem, origin, None)


def _from_bundle(data: bundled.DataSet, request: Request) -> Problem:
    origin = Origin("bundled", data.name, _digest(data))
    if data.pixel_max is not None:
        return _from_images(data, request, origin)
    return _from_table(as_table(data), BUNDLED_TARGET, request, data.name, origin, data.source)


def as_table(data: bundled.DataSet) -> Table:
    """A bundled set as a table, its classes by name in the column "class"."""
    columns: dict[str, Any] = {
        name: data.features[:, i].astype(np.float64) for i, name in enumerate(data.feature_names)
    }
    columns[BUNDLED_TARGET] = [data.class_names[label] for label in data.targets]
    return Table(
        (*data.feature_names, BUNDLED_TARGET), columns, data.name, tuple(range(1, len(data.targets) + 1)), "row"
    )


def _from_table(
    table: Table, target_name: str, request: Request, name: str, origin: Origin, citation: str | None
) -> Problem:
    target = read_target(table, target_name, task=request.task)  # type: ignore[arg-type]  # checked by Request
    labelled, test = _held_out(
        lambda fraction, rng: split_rows(table, target, fraction, rng),
        np.arange(len(table)),
        _or(request.test_fraction, DEFAULT_TEST_FRACTION),
        ("--test-fraction", request.seed, TEST_STREAM),
    )
    rest = table.take(labelled)
    train, validation = _held_out(
        lambda fraction, rng: split_rows(rest, target, fraction, rng),
        np.arange(len(rest)),
        _or(request.validation, DEFAULT_VALIDATION),
        ("--validation", request.seed, VALIDATION_STREAM),
    )
    treatment = TableTreatment(fit_preparation(table, target, labelled[train]))

    def examples(rows: Array) -> Examples | None:
        if not len(rows):
            return None
        incoming = treatment.incoming(table.take(rows))
        return Examples(incoming.inputs[incoming.labelled_rows], incoming.targets)

    training, held, tested = examples(labelled[train]), examples(labelled[validation]), examples(test)
    if training is None:
        raise DataError(f"{table.source}: no rows are left to train on")
    preparation = treatment.preparation
    how = "stratified by class" if target.task == "classification" else "drawn at random"
    return Problem(
        name=name,
        task=target.task,
        train=training,
        validation=held,
        test=tested,
        origin=origin,
        treatment=treatment,
        lines=(
            _split_line(training, held, tested, f"{how}, seed {request.seed}"),
            "Statistics (medians, means, deviations, categories) are those of the training rows alone.",
            *preparation.notes[:1] * (len(training) + _n(held) + _n(tested) < len(table)),
        ),
        columns=_columns(preparation),
        outputs=len(target.classes) if target.task == "classification" else 1,
        citation=citation,
        sizes=sizes_of(training, held, tested),
    )


def _columns(preparation: Preparation) -> dict[str, str]:
    """What happens to each column, in words, the target last."""
    names = [*(treatment.name for treatment in preparation.treatments), preparation.target.name]
    lines = zip(names, preparation.describe(), strict=True)
    return {name: line.removeprefix(f"{name}: ") for name, line in lines}


def _from_images(data: bundled.DataSet, request: Request, origin: Origin) -> Problem:
    assert data.pixel_max is not None
    if data.test is not None and request.test_fraction is not None:
        raise UsageError(
            f"--test-fraction does not apply to {data.name}: it has a test part of its own, "
            f"{len(data.test.targets):,} images",
            mend="Leave the option out.",
        )
    treatment = PixelTreatment(data.pixel_max, data.feature_names, data.class_names)
    rows = np.arange(len(data.targets))
    official = data.test is not None
    rest, test = _held_out(
        lambda fraction, rng: stratified_split(data.targets, fraction, rng),
        rows,
        0.0 if official else _or(request.test_fraction, DEFAULT_TEST_FRACTION),
        ("--test-fraction", request.seed, TEST_STREAM),
    )
    train, validation = _held_out(
        lambda fraction, rng: stratified_split(data.targets[rest], fraction, rng),
        np.arange(len(rest)),
        _or(request.validation, DEFAULT_VALIDATION),
        ("--validation", request.seed, VALIDATION_STREAM),
    )

    def examples(part: bundled.DataSet, rows: Array) -> Examples | None:
        return Examples(treatment.apply(part.features[rows]), part.targets[rows]) if len(rows) else None

    training, held, tested = examples(data, rest[train]), examples(data, rest[validation]), examples(data, test)
    if data.test is not None:
        tested = Examples(treatment.apply(data.test.features), data.test.targets)
    assert training is not None
    how = f"stratified by class, seed {request.seed}"
    if official:
        how += "; the test images are the official ones"
    return Problem(
        name=data.name,
        task="classification",
        train=training,
        validation=held,
        test=tested,
        origin=origin,
        treatment=treatment,
        lines=(
            _split_line(training, held, tested, how),
            f"Every pixel is divided by {data.pixel_max:g}, the largest possible one; no statistic of the data "
            "is used.",
        ),
        outputs=len(data.class_names),
        citation=data.source,
        sizes=sizes_of(training, held, tested),
    )


def _held_out(split: Splitter, rows: Array, fraction: float, stream: tuple[str, int, int]) -> tuple[Array, Array]:
    """The rows to keep and those to hold out; none where the fraction is 0."""
    option, seed, number = stream
    if fraction == 0:
        return rows, rows[:0]
    try:
        return split(fraction, np.random.default_rng([seed, number]))
    except DataError as error:
        raise DataError(
            error.what,
            got=error.got,
            mend=f"Set {option} to a larger fraction, or to 0 to hold nothing out.",
        ) from error


def _split_line(train: Examples, validation: Examples | None, test: Examples | None, how: str) -> str:
    parts = [f"{len(train):,} rows to train on"]
    if validation is not None:
        parts.append(f"{len(validation):,} to validate (they choose the epoch)")
    if test is not None:
        parts.append(f"{len(test):,} to test (they choose nothing)")
    return f"{', '.join(parts)}: {how}."


def sizes_of(train: Any, validation: Any, test: Any) -> dict[str, int]:
    """How many examples each part has."""
    parts = {"train": train, "validation": validation, "test": test}
    return {name: len(part) for name, part in parts.items() if part is not None}


def _n(examples: Examples | None) -> int:
    return 0 if examples is None else len(examples)


def _digest(data: bundled.DataSet) -> str:
    digest = hashlib.sha256()
    for part in (data, *([data.test] if data.test is not None else [])):
        digest.update(np.ascontiguousarray(part.features).data)
        digest.update(np.ascontiguousarray(part.targets).data)
    return digest.hexdigest()


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
