"""How many threads a compiled program may use: PyTorch's `get_num_threads` and `set_num_threads`.

The number is one word of memory, so that machine code reads what was set here; nothing is started here.
"""

from __future__ import annotations

import ctypes
import operator
import os
import struct
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from chainrule.errors import ArgumentError

VARIABLE = "OMP_NUM_THREADS"
"""The environment variable that says how many; of a list ("4,2") the first number counts."""

MAX_THREADS = 1024
"""The pool has room for so many."""

_number = ctypes.c_int64(0)  # 0: nobody has asked yet


def get_num_threads() -> int:
    """The number of threads among which a compiled program divides a large kernel, the calling one included.

    Where it was not set: OMP_NUM_THREADS, else the number of physical cores; at most as many as there are
    processors that this process may run on.

    Raises:
        ArgumentError: OMP_NUM_THREADS is not a positive integer.
    """
    if not _number.value:
        _number.value = default_number()
    return _number.value


def set_num_threads(number: int, /) -> None:
    """Set the number of threads, for the whole process and from the next kernel on.

    Args:
        number: from 1 to 1024. With more than there are cores programs only become slower.

    Raises:
        ArgumentError: it is no integer (a RuntimeError in PyTorch too), or outside that range.
    """
    try:
        count = operator.index(number)
    except TypeError:
        count = None
    if count is None or isinstance(number, bool):
        raise ArgumentError(f"set_num_threads expects an int, but got {type(number).__name__}")
    if not 1 <= count <= MAX_THREADS:
        raise ArgumentError(f"set_num_threads expects a positive integer up to {MAX_THREADS}", got=[f"number  {count}"])
    _number.value = count


def address_of_number() -> int:
    """Where machine code reads the number, an int64, once it is known."""
    get_num_threads()
    return ctypes.addressof(_number)


def default_number(environ: Mapping[str, str] = os.environ) -> int:
    """The number of threads where none was set, see `get_num_threads`.

    Raises:
        ArgumentError: OMP_NUM_THREADS is not a positive integer.
    """
    usable = usable_processors()
    said = environ.get(VARIABLE, "").strip()
    first = said.partition(",")[0].strip()
    if said and (not first.isdecimal() or int(first) < 1):
        raise ArgumentError(f"{VARIABLE}: a positive integer", got=[f"value  {said!r}"])
    wanted = int(first) if said else physical_cores(usable)
    return min(wanted, len(usable), MAX_THREADS)


def usable_processors() -> list[int]:
    """The numbers of the logical processors that this process may run on."""
    if sys.platform == "win32":
        mask = _affinity_of_windows()
        if mask:  # 0: the process spans groups of 64, and may run anywhere
            return [i for i in range(64) if mask >> i & 1]
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def physical_cores(processors: Iterable[int]) -> int:
    """How many cores these logical processors are, as far as the system tells; on a Mac only the fast ones count."""
    chosen = list(processors)
    if sys.platform == "darwin":
        return min(_fast_cores_of_macos() or len(chosen), len(chosen))
    if sys.platform == "win32":
        return cores_in_records(_records_of_windows(), chosen) or len(chosen)
    return cores_in_folder(Path("/sys/devices/system/cpu"), chosen)


def cores_in_folder(folder: Path, processors: Iterable[int]) -> int:
    """The same from Linux's description: processors of one core name the same siblings."""
    cores = set()
    for number in processors:
        try:
            cores.add((folder / f"cpu{number}/topology/thread_siblings_list").read_text().strip())
        except OSError:  # some containers hide it
            cores.add(str(number))
    return len(cores)


_RECORD = struct.Struct("=QI4x16x")  # SYSTEM_LOGICAL_PROCESSOR_INFORMATION: mask, relationship, a union
_PROCESSOR_CORE = 0  # RelationProcessorCore


def cores_in_records(records: bytes, processors: Iterable[int]) -> int:
    """The same from Windows' description: a record for each core has the mask of its processors."""
    usable = sum(1 << number for number in processors)
    found = _RECORD.iter_unpack(records)
    return sum(kind == _PROCESSOR_CORE and bool(mask & usable) for mask, kind in found)


def _records_of_windows() -> bytes:
    kernel32: Any = ctypes.CDLL("kernel32")
    size = ctypes.c_uint32(0)
    kernel32.GetLogicalProcessorInformation(None, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    return buffer.raw if kernel32.GetLogicalProcessorInformation(buffer, ctypes.byref(size)) else b""


def _affinity_of_windows() -> int:
    kernel32: Any = ctypes.CDLL("kernel32")
    process, system = ctypes.c_size_t(0), ctypes.c_size_t(0)
    this_process = ctypes.c_void_p(-1)  # GetCurrentProcess()
    kernel32.GetProcessAffinityMask(this_process, ctypes.byref(process), ctypes.byref(system))
    return process.value


def _fast_cores_of_macos() -> int:
    """0 where the system does not tell."""
    count, size = ctypes.c_int32(0), ctypes.c_size_t(4)
    library: Any = ctypes.CDLL(None)
    for name in (b"hw.perflevel0.physicalcpu", b"hw.physicalcpu"):
        if library.sysctlbyname(name, ctypes.byref(count), ctypes.byref(size), None, ctypes.c_size_t(0)) == 0:
            return count.value
    return 0
