"""The data sets that can be had by name: they equal their origin, and what is not there is said."""

from __future__ import annotations

import importlib
import sys
from importlib import resources

import numpy as np
import pytest

from chainrule.data import bundled
from chainrule.data.images import FASHION_MNIST_FOLDER
from chainrule.errors import ArgumentError, DataError, FileFormatError

try:
    sklearn_datasets = importlib.import_module("sklearn.datasets")
except ImportError:
    sklearn_datasets = None

needs_scikit_learn = pytest.mark.skipif(sklearn_datasets is None, reason="scikit-learn is not installed")


def test_names_lists_what_there_is():
    assert bundled.names() == ("digits", "iris", "wine", "breast_cancer", "fashion-mnist")


def test_digits_are_1797_images_of_64_whole_numbers_from_0_to_16():
    digits = bundled.load("digits")
    assert digits.features.shape == (1797, 64)
    assert digits.features.dtype == np.float32
    assert set(np.unique(digits.features)) == set(range(17))
    assert digits.image_shape == (8, 8)
    assert digits.pixel_max == 16
    assert digits.feature_names[:9] == (*(f"pixel_0_{c}" for c in range(8)), "pixel_1_0")
    assert digits.class_names == tuple("0123456789")
    assert digits.targets.dtype == np.int64
    assert digits.test is None


def test_iris_is_150_flowers_of_three_species_in_equal_numbers():
    iris = bundled.load("iris")
    assert iris.features.shape == (150, 4)
    assert iris.class_names == ("setosa", "versicolor", "virginica")
    assert np.bincount(iris.targets).tolist() == [50, 50, 50]
    assert iris.feature_names[0] == "sepal_length_cm"
    assert iris.image_shape is None
    assert iris.pixel_max is None


@needs_scikit_learn
@pytest.mark.parametrize("name", ["digits", "iris", "wine", "breast_cancer"])
def test_the_values_are_those_of_scikit_learn(name):
    origin = getattr(sklearn_datasets, f"load_{name}")()
    ours = bundled.load(name)
    np.testing.assert_array_equal(ours.features, origin.data.astype(np.float32))
    np.testing.assert_array_equal(ours.targets, origin.target)
    assert ours.class_names == tuple(str(label) for label in origin.target_names)
    assert len(ours.feature_names) == ours.features.shape[1]
    assert ours.task == "classification"


def test_the_package_files_are_small_and_their_attribution_names_both():
    folder = resources.files("chainrule.data") / "files"
    assert len(folder.joinpath("digits.csv.gz").read_bytes()) < 100_000
    attribution = folder.joinpath("ATTRIBUTION.md").read_text(encoding="utf-8")
    for words in ("Alpaydin", "Fisher", "CC BY 4.0", "digits.csv.gz", "iris.csv"):
        assert words in attribution


@pytest.mark.parametrize("name", ["digits", "iris"])
def test_each_data_set_cites_its_origin_and_licence(name):
    assert "https://doi.org/10.24432/" in bundled.load(name).source
    assert "CC BY 4.0" in bundled.load(name).source


def test_an_unknown_name_lists_the_names_and_suggests_the_nearest():
    with pytest.raises(DataError, match=r"no data set 'Irsi'; there are digits, iris, wine") as error:
        bundled.load("Irsi")
    assert "Did you mean iris?" in str(error.value)


def test_a_name_like_no_other_gets_no_suggestion():
    with pytest.raises(DataError) as error:
        bundled.load("zzz")
    assert "Did you mean" not in str(error.value)


def test_a_folder_for_a_data_set_that_takes_none_is_refused():
    with pytest.raises(ArgumentError, match=r"iris is not read from a folder\n    folder  /data"):
        bundled.load("iris", folder="/data")


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
def test_a_missing_scikit_learn_is_named_with_the_way_to_install_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=f"the data set {name} comes with scikit-learn") as error:
        bundled.load(name)
    assert "pip install scikit-learn" in str(error.value)


def test_fashion_mnist_names_the_folder_it_was_not_found_in(tmp_path):
    with pytest.raises(DataError, match="-images-idx3-ubyte") as error:
        bundled.load("fashion-mnist", folder=tmp_path)
    assert str(tmp_path) in str(error.value)


def write_fashion(folder, labels):
    for part in ("train", "t10k"):
        n = len(labels).to_bytes(4, "big")
        header = b"\0\0\x08\x03" + n + (28).to_bytes(4, "big") * 2
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + bytes([7]) * (len(labels) * 784))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + n + bytes(labels))


def test_fashion_mnist_reads_another_folder_and_keeps_the_test_part_apart(tmp_path):
    write_fashion(tmp_path, [0, 9])
    fashion = bundled.load("fashion-mnist", folder=tmp_path)
    assert fashion.features.shape == (2, 784)
    assert (fashion.features == 7).all()
    assert fashion.image_shape == (28, 28)
    assert fashion.pixel_max == 255
    assert fashion.test is not None
    assert fashion.test.name == "fashion-mnist (test)"
    assert fashion.test.targets.tolist() == [0, 9]
    assert fashion.test.test is None


def test_a_label_above_nine_is_an_error_of_the_file(tmp_path):
    write_fashion(tmp_path, [0, 10])
    with pytest.raises(FileFormatError, match=r"labels must lie in 0..9\n    the largest label  10"):
        bundled.load("fashion-mnist", folder=tmp_path)


@pytest.mark.skipif(not FASHION_MNIST_FOLDER.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_fashion_mnist_has_60000_training_images_and_10000_test_images():
    fashion = bundled.load("fashion-mnist")
    assert fashion.test is not None
    assert fashion.features.shape == (60_000, 784)
    assert fashion.test.features.shape == (10_000, 784)
    assert fashion.class_names[fashion.targets[0]] == "Ankle boot"
    assert fashion.features.max() == fashion.pixel_max
