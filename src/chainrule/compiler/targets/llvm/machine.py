"""The processor that programs are compiled for: what LLVM calls it, its vectors and its caches.

Kernels ask it how wide and how many their vectors are and what fits in which cache; nothing else in the
compiler knows a processor's name.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from chainrule.compiler.threads import usable_processors
from chainrule.errors import ArgumentError, UnsupportedError

VECTOR_BITS = "CHAINRULE_VECTOR_BITS"
"""The environment variable that chooses narrower vectors than the processor has: 512, 256 or 128."""

WIDTHS = (512, 256, 128)

L1_BYTES, L2_BYTES = 32 << 10, 512 << 10
"""Where the system does not tell: no processor of the last ten years has less than these by far."""

# Both lists are of LLVM's names. A feature is lost with the vectors that it computes on.
_NEEDS_512_BITS = ("avx512", "avx10", "amx-avx512", "evex512")
_NEEDS_256_BITS = (*_NEEDS_512_BITS, "avx", "fma", "f16c", "xop", "vaes", "vpclmulqdq", "sha512", "sm3", "sm4")


@dataclass(frozen=True)
class Machine:
    """A processor to compile for.

    Args:
        triple: LLVM's name of architecture, system and object format.
        cpu: LLVM's name of the processor ("znver5"), which decides how instructions are scheduled.
        features: what it can, as LLVM writes it ("+avx2,-sse4a").
        vector_bits: the width of its vectors: 512, 256 or 128.
        registers: how many vector registers it has: 32 or 16.
        l1_bytes: the size of a core's first data cache.
        l2_bytes: the size of its second cache.
        cores: how many cores this process may use.
    """

    triple: str
    cpu: str
    features: str
    vector_bits: int
    registers: int
    l1_bytes: int
    l2_bytes: int
    cores: int

    @property
    def is_x86(self) -> bool:
        """True for x86-64, false for AArch64."""
        return not self.triple.startswith(("aarch64", "arm64"))

    @property
    def attributes(self) -> str:
        """What every function of a program says, so that its text means the same to any LLVM that reads it."""
        return f'"prefer-vector-width"="{self.vector_bits}"'

    def lanes(self, bytes: int) -> int:
        """How many elements of that size a vector holds."""
        return self.vector_bits // (8 * bytes)

    def narrowed(self, bits: int) -> Machine:
        """This processor as if its vectors had only so many bits.

        Args:
            bits: 512, 256 or 128, at most `vector_bits`.

        Raises:
            ArgumentError: the processor has no vectors of that width.
        """
        if bits not in WIDTHS or bits > self.vector_bits:
            raise ArgumentError(
                f"vectors of {bits} bits: this processor has {self.vector_bits}, or fewer of {WIDTHS}",
                got=[f"processor  {self.cpu}, {self.triple}"],
            )
        if bits == self.vector_bits:
            return self
        lost = _NEEDS_256_BITS if bits == 128 else _NEEDS_512_BITS
        features = _features(self.features)
        features |= {name: False for name in features if name.startswith(lost)}
        return replace(self, features=_flat(features), vector_bits=bits, registers=16)


@cache
def host() -> Machine:
    """The processor we run on; with narrower vectors if the environment's CHAINRULE_VECTOR_BITS asks for them.

    Raises:
        ArgumentError: CHAINRULE_VECTOR_BITS is not a width that this processor has.
    """
    from llvmlite import binding  # type: ignore[import-untyped]  # it has no annotations

    machine = described(
        binding.get_process_triple(),
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
    )
    asked = os.environ.get(VECTOR_BITS)
    if not asked:
        return machine
    if not asked.isdecimal():
        raise ArgumentError(f"{VECTOR_BITS}: one of {', '.join(map(str, WIDTHS))}", got=[f"value  {asked!r}"])
    return machine.narrowed(int(asked))


def described(triple: str, cpu: str, features: str) -> Machine:
    """The machine of which LLVM says that; its caches and cores are those of the processor we run on.

    Args:
        triple: architecture, vendor and system.
        cpu: the name of the processor.
        features: what it has, comma-separated, each with + or -.

    Raises:
        UnsupportedError: the architecture is neither x86-64 nor AArch64.
    """
    has = {name for name, on in _features(features).items() if on}
    l1, l2 = _cache_sizes()
    architecture = triple.partition("-")[0]
    if architecture in ("aarch64", "arm64"):
        bits, registers = 128, 32
    elif architecture not in ("x86_64", "amd64"):
        raise UnsupportedError(
            "compiled programs: x86-64 or AArch64",
            got=[f"processor  {cpu}, {triple}"],
            mend="CHAINRULE_JIT=0 runs programs by NumPy.",
        )
    elif has >= {"avx512f", "avx512bw", "avx512dq", "avx512vl"}:
        bits, registers = 512, 32
        # For processors that clock down in 512 bits LLVM halves copies and conversions unless told not to.
        features += ",-prefer-256-bit"
    else:
        bits, registers = 256 if "avx2" in has else 128, 16
    return Machine(triple, cpu, features, bits, registers, l1, l2, len(usable_processors()))


def _features(text: str) -> dict[str, bool]:
    return {item[1:]: item[0] == "+" for item in text.split(",") if item}


def _flat(features: dict[str, bool]) -> str:
    return ",".join([f"{'+' if on else '-'}{name}" for name, on in features.items()])


def _cache_sizes() -> tuple[int, int]:
    """Bytes of the first data cache and of the second cache of a core."""
    if sys.platform == "darwin":
        sizes = _cache_sizes_of_macos()
    else:
        sizes = _cache_sizes_of_linux(Path("/sys/devices/system/cpu/cpu0/cache"))
    return sizes.get(1) or L1_BYTES, sizes.get(2) or L2_BYTES


def _cache_sizes_of_linux(folder: Path) -> dict[int, int]:
    """Bytes by level; empty where the system (a container, Windows) does not tell."""
    sizes = {}
    for entry in sorted(folder.glob("index*")):
        try:
            level, kind, size = ((entry / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind in ("Data", "Unified") and size[:-1].isdecimal():
            sizes[int(level)] = int(size[:-1]) * {"K": 1 << 10, "M": 1 << 20}[size[-1]]
    return sizes


def _cache_sizes_of_macos() -> dict[int, int]:
    """Bytes by level, of the faster kind of core where there are two."""
    sizes = {}
    for level, name in ((1, "l1dcachesize"), (2, "l2cachesize")):
        for prefix in ("hw.perflevel0.", "hw."):
            value, length = ctypes.c_int64(0), ctypes.c_size_t(8)
            code = ctypes.CDLL(None).sysctlbyname(
                (prefix + name).encode(), ctypes.byref(value), ctypes.byref(length), None, 0
            )
            if code == 0 and value.value > 0:
                sizes[level] = value.value
                break
    return sizes
