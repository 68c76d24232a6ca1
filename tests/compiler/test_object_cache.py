"""Object code on disk: found again, never trusted blindly, and never in the way of a program."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from chainrule.compiler.targets.llvm import native, object_cache
from chainrule.compiler.targets.llvm.machine import host
from chainrule.compiler.targets.llvm.object_cache import ObjectCache, key, users_cache
from chainrule.errors import ArgumentError

TEXT = "define i64 @f() {\n  ret i64 42\n}\n"

posix = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are POSIX's")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectCache:
    """The cache that programs of this test use."""
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "deep" / "cache"))
    object_cache._say_once.cache_clear()
    found = users_cache()
    assert found is not None
    return found


def compile_and_run(text: str = TEXT) -> int:
    code = native.compile_text(text, host())
    return int(ctypes.CFUNCTYPE(ctypes.c_int64)(code.address("f"))())


def count_compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are compiled from now on."""
    compiled: list[str] = []
    original = native.object_code

    def counted(text: str, machine: Any) -> bytes:
        compiled.append(text)
        return original(text, machine)

    monkeypatch.setattr(native, "object_code", counted)
    return compiled


def files(cache: ObjectCache) -> list[Path]:
    return sorted(cache.folder.iterdir())


def test_a_program_is_compiled_once(cache: ObjectCache, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = count_compilations(monkeypatch)
    assert [compile_and_run() for _ in range(3)] == [42, 42, 42]
    assert compiled == [TEXT]
    assert len(files(cache)) == 1


def test_another_text_or_machine_or_version_is_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    import chainrule

    keys = {native._key(TEXT, host()), native._key(TEXT + "\n", host())}
    keys |= {native._key(TEXT, host().narrowed(bits)) for bits in (512, 256, 128) if bits <= host().vector_bits}
    monkeypatch.setattr(chainrule, "__version__", "0.0.0")
    keys.add(native._key(TEXT, host()))
    widths = sum(bits <= host().vector_bits for bits in (512, 256, 128))
    assert len(keys) == 2 + widths


def test_facts_of_a_key_do_not_run_into_each_other() -> None:
    assert key("ab", "c") != key("a", "bc")


@posix
def test_the_folder_and_its_files_are_for_the_user_alone(cache: ObjectCache) -> None:
    compile_and_run()
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(files(cache)[0].stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other program"])
def test_a_damaged_file_is_discarded_and_compiled_anew(
    cache: ObjectCache, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    compile_and_run()
    (path,) = files(cache)
    sound = path.read_bytes()
    if damage == "other program":
        cache.put("other", b"code of another program")
        os.replace(cache.folder / "other.code", path)
    else:
        flipped = sound[:-1] + bytes([sound[-1] ^ 1])
        path.write_bytes({"cut": sound[:-7], "flipped": flipped, "empty": b""}[damage])
    compiled = count_compilations(monkeypatch)
    assert compile_and_run() == 42
    assert compiled == [TEXT]
    assert path.read_bytes() == sound


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_may_write_is_not_trusted(
    cache: ObjectCache, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    compile_and_run()
    cache.folder.chmod(mode)
    compiled = count_compilations(monkeypatch)
    assert compile_and_run() == 42
    assert compile_and_run(TEXT.replace("42", "43")) == 43
    assert len(compiled) == 2
    assert len(files(cache)) == 1  # nothing was stored either


@posix
def test_a_folder_of_another_user_is_not_trusted(cache: ObjectCache, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_and_run()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    compiled = count_compilations(monkeypatch)
    assert compile_and_run() == 42
    assert compiled == [TEXT]


@posix
def test_a_file_that_others_may_write_is_not_trusted(cache: ObjectCache, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_and_run()
    files(cache)[0].chmod(0o666)
    compiled = count_compilations(monkeypatch)
    assert compile_and_run() == 42
    assert compiled == [TEXT]


def raising(code: int) -> Any:
    def raises(*args: Any, **kwargs: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return raises


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_no_write_access_costs_only_a_line_of_the_log(
    cache: ObjectCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    monkeypatch.setattr(tempfile, "mkstemp", raising(code))
    caplog.set_level(logging.DEBUG, logger="chainrule.compiler")
    assert [compile_and_run(), compile_and_run(TEXT + "\n")] == [42, 42]
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert os.strerror(code) in record.getMessage()


def test_a_full_disk_leaves_no_unfinished_file(
    cache: ObjectCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "replace", raising(errno.ENOSPC))
    caplog.set_level(logging.DEBUG, logger="chainrule.compiler")
    assert compile_and_run() == 42
    assert files(cache) == []
    assert len(caplog.records) == 1


def test_a_folder_that_cannot_be_made_leaves_the_program_working(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert [compile_and_run(), compile_and_run()] == [42, 42]


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CHAINRULE_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert users_cache() is None
    assert compile_and_run() == 42


@pytest.mark.parametrize(
    ("platform", "environ", "folder"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/chainrule"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/chainrule"),
        ("linux", {}, "/home/me/.cache/chainrule"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "/home/me/Library/Caches/chainrule"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/chainrule/cache"),
        ("linux", {"CHAINRULE_CACHE_DIR": "/mine", "XDG_CACHE_HOME": "/x"}, "/mine"),
    ],
)
def test_the_folder_is_the_platforms(
    monkeypatch: pytest.MonkeyPatch, platform: str, environ: dict[str, str], folder: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path.replace("~", "/home/me"))
    assert users_cache(environ) == ObjectCache(Path(folder))


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache", limit=1000)
    for n, name in enumerate(("oldest", "older", "used")):
        cache.put(name, bytes(268))  # 300 with the checksum
        os.utime(cache.folder / f"{name}.code", (n, n))
    (cache.folder / "unfinished-by-a-dead-process").write_bytes(bytes(50))
    os.utime(cache.folder / "unfinished-by-a-dead-process", (0, 0))
    assert cache.get("oldest") is not None  # it is the youngest now
    cache.put("new", bytes(268))
    assert {p.name for p in cache.folder.iterdir()} == {"oldest.code", "used.code", "new.code"}


def test_a_program_that_is_larger_than_the_bound_is_not_stored(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache", limit=100)
    cache.put("large", bytes(100))
    assert cache.get("large") is None
    assert not cache.folder.exists()


def test_the_environment_sets_the_bound() -> None:
    found = users_cache({"CHAINRULE_CACHE_DIR": "/c", "CHAINRULE_CACHE_BYTES": "1000"})
    assert found == ObjectCache(Path("/c"), 1000)


@pytest.mark.parametrize("value", ["-1", "256M", "much"])
def test_a_bound_that_is_no_number_raises(value: str) -> None:
    with pytest.raises(ArgumentError, match=f"CHAINRULE_CACHE_BYTES: a number of bytes\n.*{value}"):
        users_cache({"CHAINRULE_CACHE_BYTES": value, "CHAINRULE_CACHE_DIR": "/c"})


def test_two_processes_at_once_both_end_with_a_valid_file(cache: ObjectCache) -> None:
    code = f"""
import ctypes
from chainrule.compiler.targets.llvm.machine import host
from chainrule.compiler.targets.llvm.native import compile_text
for n in range(30):
    code = compile_text({TEXT!r}.replace("42", str(n)), host())
    assert ctypes.CFUNCTYPE(ctypes.c_int64)(code.address("f"))() == n
"""
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    names = [native._key(TEXT.replace("42", str(n)), host()) for n in range(30)]
    assert {p.name for p in files(cache)} == {f"{name}.code" for name in names}
    assert all(cache.get(name) is not None for name in names)
