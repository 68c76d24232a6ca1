"""IDX files: what is written comes back, and every way of being damaged is named."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data.images import FASHION_MNIST_FOLDER, read_idx, read_labelled_images
from chainrule.errors import DataError, FileFormatError


def idx(array: np.ndarray) -> bytes:
    """The IDX file of an array of unsigned bytes, written independently of the reader."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def pictures(n: int = 3) -> np.ndarray:
    return np.arange(n * 20, dtype=np.uint8).reshape(n, 4, 5)


def write_part(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    (folder / "train-images-idx3-ubyte").write_bytes(idx(images))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))


@given(shape=st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 4)), seed=st.integers(0, 99))
def test_an_array_written_as_idx_comes_back(tmp_path_factory, shape, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    path = tmp_path_factory.mktemp("idx") / "file"
    for content in (idx(array), gzip.compress(idx(array))):
        path.write_bytes(content)
        np.testing.assert_array_equal(read_idx(path, ndim=3), array)


def test_a_gzip_file_in_two_members_is_read_whole(tmp_path):
    content = idx(pictures())
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(content[:30]) + gzip.compress(content[30:]))
    np.testing.assert_array_equal(read_idx(path, ndim=3), pictures())


def test_images_and_labels_are_found_plain_or_compressed(tmp_path):
    write_part(tmp_path, pictures(), np.array([2, 0, 9], dtype=np.uint8))
    images, labels = read_labelled_images(tmp_path, "train")
    np.testing.assert_array_equal(images, pictures())
    assert labels.tolist() == [2, 0, 9]
    assert labels.dtype == np.int64


def test_a_missing_file_is_named_with_its_folder_and_the_package_that_has_it(tmp_path):
    with pytest.raises(DataError) as error:
        read_labelled_images(tmp_path, "t10k")
    assert f"no file t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz in the folder {tmp_path}" in str(error.value)
    assert "apt-get install dataset-fashion-mnist" in str(error.value)


def test_different_numbers_of_images_and_labels_are_both_named(tmp_path):
    write_part(tmp_path, pictures(3), np.zeros(2, dtype=np.uint8))
    with pytest.raises(FileFormatError, match=r"differ(.|\n)*: 3 images(.|\n)*: 2 labels"):
        read_labelled_images(tmp_path, "train")


def test_another_magic_number_is_shown_beside_the_expected_one(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(idx(np.zeros(20, dtype=np.uint8)))
    with pytest.raises(FileFormatError) as error:
        read_idx(path, ndim=3)
    assert f"{path}: not an IDX file of unsigned bytes with 3 dimensions" in str(error.value)
    assert "expected the first bytes 00 00 08 03" in str(error.value)
    assert "found 00 00 08 01" in str(error.value)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_truncated_file_names_expected_and_found_bytes(tmp_path, compress):
    path = tmp_path / "images"
    path.write_bytes(compress(idx(pictures())[:-7]))
    with pytest.raises(FileFormatError) as error:
        read_idx(path, ndim=3)
    assert f"{path}: the file is truncated" in str(error.value)
    assert "expected 76 bytes for sizes 3 x 4 x 5" in str(error.value)
    assert "found 69 bytes" in str(error.value)


def test_a_gzip_stream_that_ends_early_is_a_truncated_file(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (50, 28, 28)).astype(np.uint8)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx(noise))[:9000])
    with pytest.raises(FileFormatError, match=r"truncated\n    expected 39216 bytes(.|\n)*found \d+ bytes"):
        read_idx(path, ndim=3)


@pytest.mark.parametrize("content", [b"", b"\0\0\x08", b"\0\0\x08\x03\0\0\0\x01"])
def test_a_file_too_short_for_its_header_is_truncated(tmp_path, content):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=rf"expected 16 bytes.*header.*\n *found {len(content)} bytes"):
        read_idx(path, ndim=3)


def test_bytes_after_the_end_are_an_error(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(idx(pictures()) + b"more")
    with pytest.raises(FileFormatError, match=r"bytes after its end(.|\n)*expected 76(.|\n)*found 80"):
        read_idx(path, ndim=3)


def test_damaged_gzip_data_is_named(tmp_path):
    content = bytearray(gzip.compress(idx(pictures())))
    content[-6] ^= 0xFF  # a byte of the checksum
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"images.gz: the gzip'd data is damaged\n.*data check"):
        read_idx(path, ndim=3)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*nowhere"):
        read_idx(tmp_path / "nowhere", ndim=1)


@pytest.mark.skipif(not FASHION_MNIST_FOLDER.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_the_files_of_the_debian_package_are_read():
    images, labels = read_labelled_images(FASHION_MNIST_FOLDER, "t10k")
    assert images.shape == (10_000, 28, 28)
    assert np.bincount(labels).tolist() == [1000] * 10
