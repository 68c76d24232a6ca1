"""Images in IDX files: the format of MNIST and Fashion-MNIST, gzip'd or not.

An IDX file is two zero bytes, a type code, the number of dimensions, each dimension as a big-endian 32-bit
number, and then the elements. Only the type of images and labels is read here: unsigned bytes.

Source: http://yann.lecun.com/exdb/mnist/ ("The IDX file format").
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, FileFormatError

FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts its files."""

Part: TypeAlias = Literal["train", "t10k"]

_UNSIGNED_BYTE = 0x08
_GZIP_SIGNATURE = b"\x1f\x8b"


def read_labelled_images(folder: str | os.PathLike[str], part: Part) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images and labels of one part of an MNIST-like data set.

    Args:
        folder: holds `train-images-idx3-ubyte` and its three sisters, each of them plain or with `.gz`.
        part: "train", or "t10k" for the test part, as the files are named.

    Returns:
        Images (n, height, width) with pixels 0..255, and labels (n,).

    Raises:
        DataError: a file is not there or cannot be read.
        FileFormatError: a file is damaged or truncated, or the numbers of images and labels differ.
    """
    images_path = _find(Path(folder), f"{part}-images-idx3-ubyte")
    labels_path = _find(Path(folder), f"{part}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, ndim=3), read_idx(labels_path, ndim=1)
    if len(images) != len(labels):
        raise FileFormatError(
            "the numbers of images and labels differ",
            got=[f"{images_path}: {len(images)} images", f"{labels_path}: {len(labels)} labels"],
        )
    return images, labels.astype(np.int64)


def read_idx(path: str | os.PathLike[str], *, ndim: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes.

    Args:
        path: the file; one that starts with gzip's signature is decompressed.
        ndim: how many dimensions it must have: 3 for images, 1 for labels.

    Raises:
        DataError: the file cannot be read.
        FileFormatError: the magic number is another, or there are more or fewer bytes than the sizes say.
    """
    content = _content(path)
    header_size = 4 + 4 * ndim
    if len(content) < header_size:
        raise _wrong_length(path, header_size, len(content), "for the header alone")
    _check_magic(path, content[:4], ndim)
    sizes = struct.unpack(f">{ndim}I", content[4:header_size])
    expected = header_size + math.prod(sizes)
    if len(content) != expected:
        raise _wrong_length(path, expected, len(content), f"for sizes {' x '.join(map(str, sizes))}")
    return np.frombuffer(content, dtype=np.uint8, offset=header_size).reshape(sizes).copy()


def _check_magic(path: str | os.PathLike[str], magic: bytes, ndim: int) -> None:
    expected = bytes([0, 0, _UNSIGNED_BYTE, ndim])
    if magic != expected:
        raise FileFormatError(
            f"{os.fspath(path)}: not an IDX file of unsigned bytes with {ndim} dimension{'s' * (ndim != 1)}",
            got=[f"expected the first bytes {expected.hex(' ')}", f"found {magic.hex(' ')}"],
        )


def _wrong_length(path: str | os.PathLike[str], expected: int, found: int, why: str) -> FileFormatError:
    claim = "is truncated" if found < expected else "has bytes after its end"
    return FileFormatError(
        f"{os.fspath(path)}: the file {claim}",
        got=[f"expected {expected} bytes {why}", f"found {found} bytes"],
        mend="Fetch the file again.",
    )


def _find(folder: Path, name: str) -> Path:
    """The file of that name in the folder, plain or with `.gz`."""
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise DataError(
        f"no file {name} or {name}.gz in the folder {folder}",
        mend="Name the folder that holds the four IDX files; for Fashion-MNIST, Debian and Ubuntu install "
        f"them in {FASHION_MNIST_FOLDER} with: apt-get install dataset-fashion-mnist",
    )


def _content(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file, decompressed where it is gzip'd. A stream that ends early gives what there is."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {os.fspath(path)}: {error.strerror}") from error
    if not raw.startswith(_GZIP_SIGNATURE):
        return raw
    try:
        return _decompressed(raw)
    except zlib.error as error:
        raise FileFormatError(
            f"{os.fspath(path)}: the gzip'd data is damaged", got=[str(error)], mend="Fetch the file again."
        ) from error


def _decompressed(raw: bytes) -> bytes:
    """What one or more gzip members hold, one after the other."""
    members = []
    while raw:
        stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # 16: with gzip's header and checksum
        members.append(stream.decompress(raw))
        raw = stream.unused_data
    return b"".join(members)
