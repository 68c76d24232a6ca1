"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from chainrule.errors import DataError, FileFormatError, FileWriteError
from chainrule.train.files import append_line, read_json, sha256_of, write_json, write_text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_what_was_there_stays_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int
) -> None:
    path = tmp_path / "a.json"
    write_text(path, "old")

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, function, fails)
    with pytest.raises(FileWriteError) as caught:
        write_text(path, "new")
    assert str(caught.value).startswith(f"cannot write {path}: {os.strerror(number)}")
    assert ("Free some space" in str(caught.value)) == (number == errno.ENOSPC)
    assert isinstance(caught.value, OSError)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="/dev/full")
def test_a_line_that_finds_no_room_is_an_error() -> None:
    with pytest.raises(FileWriteError, match="cannot write /dev/full: No space left on device"):
        append_line(Path("/dev/full"), "x" * 10)


def test_a_device_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    try:
        os.mkfifo(tmp_path / "pipe")
    except (AttributeError, OSError):
        pytest.skip("no pipes here")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "words")
    assert os.read(reader, 100) == b"words"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_ctrl_c_while_writing_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_text(path, "old")

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_json_cannot_write_become_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": float("nan"), "b": (1, float("inf")), "c": {"é": 0.1}})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"a": None, "b": [1, None], "c": {"é": 0.1}}


def test_files_that_are_missing_or_no_objects_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(DataError, match=r"cannot read .*a\.json: No such file"):
        read_json(path)
    with pytest.raises(DataError, match="cannot read"):
        sha256_of(path)
    path.write_text('{"a": ')
    with pytest.raises(FileFormatError, match=r"a.json is not whole JSON"):
        read_json(path)
    path.write_bytes(b'\xff\xfe"')
    with pytest.raises(FileFormatError, match=r"a.json is not whole JSON"):
        read_json(path)


def test_the_hash_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
