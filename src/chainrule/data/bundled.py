"""The data sets that can be had by name: two in the package, two through scikit-learn, one from a folder.

`digits` and `iris` are files of this package (`files/ATTRIBUTION.md` says where they come from). Values are
as the source has them; `pixel_max` says what to divide an image by.
"""

from __future__ import annotations

import difflib
import gzip
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.data.images import FASHION_MNIST_FOLDER, Part, read_labelled_images
from chainrule.errors import ArgumentError, DataError, FileFormatError


@dataclass(frozen=True, eq=False)
class DataSet:
    """Features and targets, and what they mean.

    features is (n, d) float32. targets is (n,) int64 for classification: the position in class_names.
    image_shape is (height, width) where a row is an image, and pixel_max its largest possible pixel.
    test is the official test part, where there is one. source cites the origin.
    """

    name: str
    features: NDArray[np.float32]
    targets: NDArray[np.int64]
    task: Literal["classification"]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    source: str
    image_shape: tuple[int, int] | None = None
    pixel_max: float | None = None
    test: DataSet | None = None


def names() -> tuple[str, ...]:
    """The names that `load` takes."""
    return (*_LOADERS, _FASHION_MNIST)


def load(name: str, folder: str | os.PathLike[str] | None = None) -> DataSet:
    """The data set of that name.

    Args:
        name: one of `names()`.
        folder: where the IDX files of fashion-mnist are; the default is where Debian installs them. The
            other data sets come from no folder.

    Raises:
        DataError: no data set has that name; scikit-learn or the files of fashion-mnist are not installed.
        ArgumentError: a folder for a data set that comes from none.
        FileFormatError: a file of fashion-mnist is damaged.

    Example:
        >>> load("iris").features.shape
        (150, 4)
    """
    if name == _FASHION_MNIST:
        return _fashion_mnist(FASHION_MNIST_FOLDER if folder is None else Path(folder))
    if name not in _LOADERS:
        raise _unknown(name)
    if folder is not None:
        raise ArgumentError(
            f"the data set {name} is not read from a folder",
            got=[f"folder  {os.fspath(folder)}"],
            mend=f"Leave the folder out; only {_FASHION_MNIST} takes one.",
        )
    return _LOADERS[name]()


def _unknown(name: str) -> DataError:
    close = difflib.get_close_matches(name.lower(), names(), n=1)
    return DataError(
        f"no data set '{name}'; there are {', '.join(names())}",
        mend=f"Did you mean {close[0]}?" if close else None,
    )


def _digits() -> DataSet:
    header, *rows = _packaged("digits.csv.gz")
    table = np.array(rows, dtype=np.int64)
    return DataSet(
        name="digits",
        features=table[:, :-1].astype(np.float32),
        targets=table[:, -1].copy(),
        task="classification",
        feature_names=tuple(header[:-1]),
        class_names=tuple(str(digit) for digit in range(10)),
        source="E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine "
        "Learning Repository, https://doi.org/10.24432/C50P49 (CC BY 4.0)",
        image_shape=(8, 8),
        pixel_max=16.0,
    )


def _iris() -> DataSet:
    header, *rows = _packaged("iris.csv")
    species = sorted({row[-1] for row in rows})
    return DataSet(
        name="iris",
        features=np.array([row[:-1] for row in rows], dtype=np.float32),
        targets=np.array([species.index(row[-1]) for row in rows], dtype=np.int64),
        task="classification",
        feature_names=tuple(header[:-1]),
        class_names=tuple(species),
        source="R. A. Fisher (1936), The use of multiple measurements in taxonomic problems, Annals of "
        "Eugenics 7(2), 179-188; UCI Machine Learning Repository, https://doi.org/10.24432/C56C76 "
        "(CC BY 4.0)",
    )


def _wine() -> DataSet:
    return _from_scikit_learn(
        "wine",
        "load_wine",
        "S. Aeberhard and M. Forina (1992), Wine, UCI Machine Learning Repository, "
        "https://doi.org/10.24432/C5PC7J (CC BY 4.0)",
    )


def _breast_cancer() -> DataSet:
    return _from_scikit_learn(
        "breast_cancer",
        "load_breast_cancer",
        "W. Wolberg, O. Mangasarian, N. Street and W. Street (1993), Breast Cancer Wisconsin (Diagnostic), "
        "UCI Machine Learning Repository, https://doi.org/10.24432/C5DW2B (CC BY 4.0)",
    )


_FASHION_MNIST = "fashion-mnist"
_LOADERS: dict[str, Callable[[], DataSet]] = {
    "digits": _digits,
    "iris": _iris,
    "wine": _wine,
    "breast_cancer": _breast_cancer,
}

_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def _fashion_mnist(folder: Path) -> DataSet:
    return _fashion_mnist_part(folder, "train", test=_fashion_mnist_part(folder, "t10k", test=None))


def _fashion_mnist_part(folder: Path, part: Part, test: DataSet | None) -> DataSet:
    images, labels = read_labelled_images(folder, part)
    n, height, width = images.shape
    if labels.size and labels.max() >= len(_CLOTHES):
        raise FileFormatError(
            f"{_FASHION_MNIST}: labels must lie in 0..{len(_CLOTHES) - 1}",
            got=[f"the largest label  {labels.max()}"],
            where=f"the {part} labels in {folder}",
        )
    return DataSet(
        name=_FASHION_MNIST if part == "train" else f"{_FASHION_MNIST} (test)",
        features=images.reshape(n, height * width).astype(np.float32),
        targets=labels,
        task="classification",
        feature_names=tuple(f"pixel_{row}_{column}" for row in range(height) for column in range(width)),
        class_names=_CLOTHES,
        source="H. Xiao, K. Rasul and R. Vollgraf (2017), Fashion-MNIST: a Novel Image Dataset for "
        "Benchmarking Machine Learning Algorithms, arXiv:1708.07747 (MIT)",
        image_shape=(height, width),
        pixel_max=255.0,
        test=test,
    )


def _packaged(file_name: str) -> list[list[str]]:
    """The header and the rows of a CSV file of this package, none of which needs quotes."""
    content = (resources.files("chainrule.data") / "files" / file_name).read_bytes()
    text = (gzip.decompress(content) if file_name.endswith(".gz") else content).decode("utf-8")
    return [line.split(",") for line in text.splitlines()]


def _from_scikit_learn(name: str, loader: str, source: str) -> DataSet:
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise DataError(
            f"the data set {name} comes with scikit-learn, which cannot be imported",
            got=[str(error)],
            mend="Install it: pip install scikit-learn. Without it there are digits and iris.",
        ) from error
    bunch: Any = getattr(datasets, loader)()
    return DataSet(
        name=name,
        features=np.asarray(bunch.data, dtype=np.float32),
        targets=np.asarray(bunch.target, dtype=np.int64),
        task="classification",
        feature_names=tuple(str(feature) for feature in bunch.feature_names),
        class_names=tuple(str(label) for label in bunch.target_names),
        source=source,
    )
