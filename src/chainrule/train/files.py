"""Files that appear whole or not at all: written under another name, flushed to the disk, renamed.

A full disk, a crash or Ctrl-C leaves the file that was there before.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chainrule.errors import DataError, FileFormatError, FileWriteError
from chainrule.interop.safetensors import replacing

_CHUNK = 1 << 20
_NO_ROOM = tuple(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an error of the operating system within the block into one that names the file.

    Raises:
        FileWriteError: the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces the file by one with this content; a device or a pipe (/dev/stdout) is written to as it is.

    Raises:
        FileWriteError: it cannot be written. What was there before is still there.
    """
    with writing(path):
        special = path.exists() and not path.is_file()
        with path.open("wb") if special else replacing(path) as stream:
            stream.write(content)


def write_text(path: Path, text: str) -> None:
    """Replaces the file by one with this text, as UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces the file by one with this content as JSON; numbers that are not finite become null."""
    write_text(path, json.dumps(jsonable(content), indent=2, ensure_ascii=False) + "\n")


def append_line(path: Path, line: str) -> None:
    """Adds a line to the end of the file.

    Raises:
        FileWriteError: it cannot be written. The lines before stand; this one may stand in part.
    """
    with writing(path), path.open("ab") as stream:
        stream.write((line + "\n").encode("utf-8"))


def cannot_write(path: Path, error: OSError) -> FileWriteError:
    """The error that says which file cannot be written and why."""
    full = "Free some space on that disk; " if error.errno in _NO_ROOM else ""
    return FileWriteError(
        f"cannot write {path}: {error.strerror or error}",
        mend=f"{full}files already written there are undamaged.",
    )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        DataError: the file cannot be read.
        FileFormatError: it is truncated, damaged or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise FileFormatError(
            f"{path} is not whole JSON", got=[str(error)], mend="It is truncated or damaged."
        ) from error
    if not isinstance(content, dict):
        raise FileFormatError(f"{path} must hold a JSON object", got=[type(content).__name__])
    return content


def jsonable(content: Any) -> Any:
    """The content with lists for tuples and None for numbers that JSON cannot write."""
    if isinstance(content, Mapping):
        return {str(key): jsonable(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [jsonable(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()
