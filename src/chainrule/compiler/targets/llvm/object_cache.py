"""Object code on disk, so that a program that was compiled once loads in milliseconds in the next process.

What is found here is executed. So a folder or file that another user owns or may write is not read, and a
file whose checksum differs is removed. The cache only ever saves time: whatever goes wrong with it, the
program is compiled, and one line of the log (`chainrule.compiler`, level debug) says why.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chainrule.errors import ArgumentError

FOLDER, BYTES = "CHAINRULE_CACHE_DIR", "CHAINRULE_CACHE_BYTES"
"""The environment variables that choose the folder and how much it may hold (0: no cache)."""

DEFAULT_BYTES = 256 << 20

log = logging.getLogger("chainrule.compiler")


@dataclass(frozen=True)
class ObjectCache:
    """A folder of object code, a file for each program: a checksum, then the code.

    Args:
        folder: where; made, for this user alone, when the first program is stored.
        limit: how many bytes it may hold; the programs that were not used for longest go first.
    """

    folder: Path
    limit: int = DEFAULT_BYTES

    def get(self, key: str) -> bytes | None:
        """The code stored under that key; None if there is none, or none that can be trusted."""
        path = self._path(key)
        try:
            if not self._is_trusted():
                return None
            with open(path, "rb") as file:
                if not _is_ours_alone(os.fstat(file.fileno())):
                    _say_once(f"{path} is not used: another user may have written it")
                    return None
                content = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            _say_once(f"the object cache {self.folder} cannot be read: {error.strerror}")
            return None
        checksum, code = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
        if checksum != _checksum(key, code):
            _say_once(f"{path} is damaged; it is compiled anew")
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):  # a folder that may only be read still saves time
            os.utime(path)
        return code

    def put(self, key: str, code: bytes) -> None:
        """Store the code under that key. Whoever reads at the same time sees all of it or nothing."""
        if len(code) + _CHECKSUM_BYTES > self.limit:
            return
        try:
            self._make_folder()
            if not self._is_trusted():
                return
            handle, temporary = tempfile.mkstemp(dir=self.folder, prefix="unfinished-")
            try:
                with open(handle, "wb") as file:
                    file.write(_checksum(key, code) + code)
                os.replace(temporary, self._path(key))
            except OSError:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
            self._shrink()
        except OSError as error:
            _say_once(f"the object cache {self.folder} cannot be written: {error.strerror}")

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.code"

    def _make_folder(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self.folder.mkdir(mode=0o700)

    def _is_trusted(self) -> bool:
        trusted = _is_ours_alone(os.stat(self.folder))
        if not trusted:
            _say_once(f"the object cache {self.folder} is not used: another user owns it or may write to it")
        return trusted

    def _shrink(self) -> None:
        """Remove what was not used for longest until the rest fits; unfinished files of dead processes age too."""
        with os.scandir(self.folder) as entries:
            files = [(status.st_mtime_ns, status.st_size, path) for path, status in _files(entries)]
        excess = sum(size for _, size, _ in files) - self.limit
        for _, size, path in sorted(files):
            if excess <= 0:
                return
            with suppress(OSError):  # another process removed it, or (on Windows) is reading it
                os.unlink(path)
                excess -= size


def users_cache(environ: Mapping[str, str] = os.environ) -> ObjectCache | None:
    """The cache of the user who runs us; None where there is no folder for it.

    In CHAINRULE_CACHE_DIR, else in the platform's folder for caches.

    Raises:
        ArgumentError: CHAINRULE_CACHE_BYTES is not a number of bytes.
    """
    limit = environ.get(BYTES) or str(DEFAULT_BYTES)
    if not limit.isdecimal():
        raise ArgumentError(f"{BYTES}: a number of bytes", got=[f"value  {limit!r}"])
    folder = _folder(environ)
    if folder is None:
        _say_once("no object cache: this user has no home folder")
        return None
    return ObjectCache(folder, int(limit))


def key(*facts: str) -> str:
    """A name for what was compiled: the SHA-256 of all facts that the code depends on, in hexadecimal."""
    digest = hashlib.sha256()
    for fact in facts:
        content = fact.encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def _folder(environ: Mapping[str, str]) -> Path | None:
    if chosen := environ.get(FOLDER):
        return Path(chosen)
    if sys.platform == "win32":
        local = environ.get("LOCALAPPDATA")
        return Path(local, "chainrule", "cache") if local else None
    if sys.platform != "darwin" and os.path.isabs(environ.get("XDG_CACHE_HOME", "")):
        return Path(environ["XDG_CACHE_HOME"], "chainrule")
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        return None
    return Path(home, "Library/Caches" if sys.platform == "darwin" else ".cache", "chainrule")


def _is_ours_alone(status: os.stat_result) -> bool:
    """True if we own it and nobody else may write to it. On Windows the user's folders are theirs alone already."""
    if sys.platform == "win32":
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


_CHECKSUM_BYTES = hashlib.sha256().digest_size


def _checksum(key: str, code: bytes) -> bytes:
    """Of the key too: a file under another's name is as wrong as a damaged one."""
    return hashlib.sha256(key.encode() + code).digest()


def _files(entries: Iterable[os.DirEntry[str]]) -> Iterable[tuple[str, os.stat_result]]:
    for entry in entries:
        with suppress(OSError):  # removed in between
            if entry.name.startswith("unfinished-") or entry.name.endswith(".code"):
                yield entry.path, entry.stat(follow_symlinks=False)


@cache
def _say_once(message: str) -> None:
    log.debug("%s", message)
