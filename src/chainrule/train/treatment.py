"""How data becomes a model's inputs, learned from the training rows and kept with the run.

Every treatment turns a file of new data into `Incoming`, and is saved as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.data.preparation import Preparation
from chainrule.data.tables import Table, numbers, read_table
from chainrule.errors import ChainruleError, DataError, FileFormatError, UsageError

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Incoming:
    """New data as a model takes it.

    targets are those of labelled_rows, as the loss takes them; positions say where each row stands in its
    file, and unit is the word for it.
    """

    inputs: Array
    targets: Array
    labelled_rows: Array
    positions: Sequence[int]
    unit: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableTreatment:
    """A table's columns, each treated by what it holds."""

    kind: ClassVar = "table"
    preparation: Preparation

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.preparation.target.classes

    @property
    def scale(self) -> tuple[float, float]:
        """Standard deviation and mean of the training targets: what takes an output back to its unit."""
        return self.preparation.target_std, self.preparation.target_mean

    def read(self, path: Path) -> Incoming:
        if path.suffix.lower() == ".npy":
            raise UsageError(
                f"{path}: this run learned from a table with named columns",
                mend="Give a CSV or Parquet file with the same columns.",
            )
        return self.incoming(read_table(path))

    def incoming(self, table: Table) -> Incoming:
        prepared = self.preparation.apply(table)
        return Incoming(
            inputs=prepared.features,
            targets=prepared.targets,
            labelled_rows=prepared.labelled_rows,
            positions=table.positions,
            unit=table.unit,
            notes=prepared.notes,
        )

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "preparation": self.preparation.to_dict()}

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> TableTreatment:
        return TableTreatment(Preparation.from_dict(content["preparation"]))


@dataclass(frozen=True)
class PixelTreatment:
    """Images whose pixels are divided by the largest possible one: no statistic of the data."""

    kind: ClassVar = "pixels"
    pixel_max: float
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    target_name: ClassVar = "label"
    scale: ClassVar = (1.0, 0.0)

    def apply(self, pixels: Array) -> Array:
        """Pixels (n, ...) as inputs (n, d) from 0 to 1."""
        flat = pixels.reshape(len(pixels), -1).astype(np.float32)
        flat /= np.float32(self.pixel_max)
        return flat

    def read(self, path: Path) -> Incoming:
        table = None if path.suffix.lower() == ".npy" else read_table(path)
        pixels = read_array(path) if table is None else self._columns(table)
        n = len(pixels)
        per_image = int(np.prod(pixels.shape[1:]))
        if per_image != len(self.feature_names):
            raise DataError(
                f"{path}: the images do not have the size that this run learned from",
                got=[
                    f"pixels of an image  {per_image}  {pixels.shape}",
                    f"learned  {len(self.feature_names)}",
                ],
            )
        outside = np.argwhere((pixels < 0) | (pixels > self.pixel_max))
        if len(outside):
            value = pixels[tuple(outside[0])]
            raise DataError(
                f"{path}: pixels must lie from 0 to {self.pixel_max:g}, as in training",
                got=[f"{value:g} in row {outside[0][0] + 1}"],
            )
        labels, rows = self._labels(table) if table is not None else (np.zeros(0, np.int64),) * 2
        positions = range(1, n + 1) if table is None else table.positions
        return Incoming(self.apply(pixels), labels, rows, positions, "row" if table is None else table.unit)

    def _columns(self, table: Table) -> Array:
        missing = [name for name in self.feature_names if name not in table.columns]
        unknown = [name for name in table.names if name not in (*self.feature_names, self.target_name)]
        if missing or unknown:
            raise DataError(
                f"the columns of {table.source} are not the pixels that this run learned from",
                got=[f"missing: {_few(missing)}"] * bool(missing) + [f"unknown: {_few(unknown)}"] * bool(unknown),
                mend=f"Name them {self.feature_names[0]} ... {self.feature_names[-1]}, and the labels "
                f"'{self.target_name}', or give an .npy file of shape (n, {len(self.feature_names)}).",
            )
        pixels = np.stack([numbers(table, name) for name in self.feature_names], axis=1)
        gaps = np.argwhere(np.isnan(pixels))
        if len(gaps):
            row, column = gaps[0]
            raise DataError(f"a pixel is missing in {table.place(row)}", got=[f"column '{self.feature_names[column]}'"])
        return pixels

    def _labels(self, table: Table) -> tuple[Array, Array]:
        if self.target_name not in table.columns:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        cells = table.columns[self.target_name]
        texts = [f"{c:g}" for c in cells] if isinstance(cells, np.ndarray) else list(cells)
        number = {name: i for i, name in enumerate(self.class_names)}
        rows = [row for row, text in enumerate(texts) if text not in (None, "nan")]
        for row in rows:
            if texts[row] not in number:
                raise DataError(
                    f"the column '{self.target_name}' holds a class that is not one of those learned",
                    got=[f"{texts[row]!r}", f"learned: {_few(self.class_names)}"],
                    where=table.place(row),
                )
        return np.array([number[str(texts[row])] for row in rows], np.int64), np.array(rows, np.int64)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "pixel_max": self.pixel_max,
            "feature_names": list(self.feature_names),
            "class_names": list(self.class_names),
        }

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> PixelTreatment:
        return PixelTreatment(
            float(content["pixel_max"]), tuple(content["feature_names"]), tuple(content["class_names"])
        )


@dataclass(frozen=True)
class AsGiven:
    """A builder's inputs, which are taken as they are: each of this shape and type."""

    kind: ClassVar = "as given"
    shape: tuple[int, ...]
    dtype: str
    class_names: tuple[str, ...] = ()
    scale: ClassVar = (1.0, 0.0)

    def read(self, path: Path) -> Incoming:
        if path.suffix.lower() == ".npy":
            array = read_array(path)
            positions: Sequence[int] = range(1, len(array) + 1)
            unit = "row"
        else:
            table = read_table(path)
            array = np.stack([numbers(table, name) for name in table.names], axis=1)
            positions, unit = table.positions, table.unit
        if array.shape[1:] != self.shape and array[0].size == int(np.prod(self.shape)):
            array = array.reshape(len(array), *self.shape)
        if array.shape[1:] != self.shape:
            raise DataError(
                f"{path}: the inputs do not have the shape that this run learned from",
                got=[f"an input  {array.shape[1:]}", f"learned   {self.shape}"],
            )
        none = np.zeros(0, np.int64)
        return Incoming(array.astype(self.dtype), none, none, positions, unit)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "class_names": list(self.class_names),
        }

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> AsGiven:
        return AsGiven(tuple(content["shape"]), str(content["dtype"]), tuple(content["class_names"]))


Treatment: TypeAlias = TableTreatment | PixelTreatment | AsGiven
_KINDS: Mapping[str, type[Treatment]] = {t.kind: t for t in (TableTreatment, PixelTreatment, AsGiven)}


def treatment_from_dict(content: Mapping[str, Any]) -> Treatment:
    """The treatment that `to_dict` wrote.

    Raises:
        FileFormatError: it is none.
    """
    try:
        return _KINDS[content["kind"]].from_dict(content)
    except ChainruleError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(
            "the data treatment of the run is damaged", got=[f"{type(error).__name__}: {error}"]
        ) from error


def read_array(path: Path) -> Array:
    """The numbers (n, ...) in an .npy file, without NaN or infinity.

    Raises:
        DataError: it cannot be read, has no rows, or holds NaN, infinity or something other than numbers.
        FileFormatError: it is not a whole .npy file.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise FileFormatError(f"{path} is not a whole .npy file of numbers", got=[str(error)]) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub" or array.ndim < 1:
        raise DataError(f"{path} must hold an array of numbers, a row for each example")
    if not len(array):
        raise DataError(f"{path} has no rows")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))
        first = tuple(int(i) for i in where[0])
        raise DataError(
            f"{path}: {len(where)} of {array.size} values are NaN or infinite",
            got=[f"the first is {array[first]} at index {list(first)}"],
        )
    return array


def _few(names: Sequence[str], limit: int = 8) -> str:
    rest = [f"and {len(names) - limit} more"] if len(names) > limit else []
    return ", ".join([*names[:limit], *rest])
