"""The processor that programs are compiled for: widths by feature, narrowing, caches, and what LLVM makes of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainrule.compiler.targets.llvm import machine as machines
from chainrule.compiler.targets.llvm import native
from chainrule.compiler.targets.llvm.machine import Machine, described, host
from chainrule.compiler.targets.llvm.text import F32, I1, I64, PTR, VOID, Function, literal, module_text
from chainrule.errors import ArgumentError, UnsupportedError

LINUX_X86, LINUX_ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
AVX512 = "+sse2,+avx,+avx2,+fma,+avx512f,+avx512bw,+avx512dq,+avx512vl"


@pytest.fixture(autouse=True)
def forget_the_host() -> Iterator[None]:
    host.cache_clear()
    yield
    host.cache_clear()


def assembly(machine: Machine) -> str:
    """The instructions that double 16 floats on that machine, and copy as many."""
    from llvmlite import binding  # type: ignore[import-untyped]  # it has no annotations

    f = Function("double", [("p", PTR)], linkage="")
    x = f.load(f["p"], F32.of(16))
    f.store(f.add(x, x), f["p"])
    f.call("llvm.memcpy.p0.p0.i64", VOID, f.at(f["p"], 64, F32), f["p"], literal(64, I64), literal(False, I1))
    f.ret()
    target = native._target_machine(machine)
    with binding.create_context() as context, binding.parse_assembly(module_text([f]), context) as module:
        return str(target.emit_assembly(module))


@pytest.mark.parametrize(
    ("features", "bits", "registers"),
    [
        (AVX512, 512, 32),
        (AVX512.replace("+avx512dq", "-avx512dq"), 256, 16),
        ("+sse2,+avx,+avx2,+fma", 256, 16),
        ("+sse2,+avx,-avx2", 128, 16),
        ("+sse2", 128, 16),
        ("", 128, 16),
    ],
)
def test_vectors_of_x86_are_as_wide_as_its_features_allow(features: str, bits: int, registers: int) -> None:
    machine = described(LINUX_X86, "generic", features)
    assert (machine.vector_bits, machine.registers) == (bits, registers)


@pytest.mark.parametrize("triple", [LINUX_ARM, "arm64-apple-macosx14.0.0"])
def test_aarch64_has_32_registers_of_128_bits(triple: str) -> None:
    machine = described(triple, "generic", "+neon")
    assert (machine.vector_bits, machine.registers, machine.is_x86) == (128, 32, False)


def test_another_architecture_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="riscv64"):
        described("riscv64-unknown-linux-gnu", "generic", "")


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="the system's own list of features is Linux's")
def test_host_agrees_with_the_system_about_avx() -> None:
    flags = set(re.findall(r"\w+", Path("/proc/cpuinfo").read_text()))
    expected = 128
    if "avx2" in flags:
        expected = 512 if flags >= {"avx512f", "avx512bw", "avx512dq", "avx512vl"} else 256
    assert host().vector_bits == expected


def test_lanes_count_elements_of_a_size() -> None:
    machine = described(LINUX_X86, "generic", "+avx2")
    assert (machine.lanes(4), machine.lanes(8)) == (8, 4)


@pytest.mark.parametrize("cpu", ["skylake-avx512", "sapphirerapids", "znver4"])
def test_vectors_of_512_bits_are_not_split_where_llvm_prefers_256(cpu: str) -> None:
    code = assembly(described(LINUX_X86, cpu, AVX512))
    assert "zmm" in code
    assert "ymm" not in code


def test_narrowed_machines_use_narrower_registers_only() -> None:
    wide = described(LINUX_X86, "znver5", AVX512 + ",+vaes,+avx512vnni,+avxvnni")
    half, quarter = wide.narrowed(256), wide.narrowed(128)
    assert (half.vector_bits, half.registers) == (256, 16)
    assert "ymm" in assembly(half)
    assert "zmm" not in assembly(half)
    assert (quarter.vector_bits, quarter.registers) == (128, 16)
    assert "addps\t%xmm" in assembly(quarter)
    assert not re.search("ymm|zmm|vaddps", assembly(quarter))


def test_narrowing_to_the_width_that_is_there_changes_nothing() -> None:
    assert host().narrowed(host().vector_bits) == host()


@pytest.mark.parametrize("bits", [512, 64, 0])
def test_narrowing_to_a_width_that_is_not_there_raises(bits: int) -> None:
    with pytest.raises(ArgumentError, match=f"vectors of {bits} bits: this processor has 256"):
        described(LINUX_X86, "haswell", "+avx2").narrowed(bits)


def test_environment_chooses_narrower_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_VECTOR_BITS", "128")
    assert host().vector_bits == 128


@pytest.mark.parametrize("value", ["wide", "100", "1024", "-256"])
def test_a_width_in_the_environment_that_is_none_raises(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CHAINRULE_VECTOR_BITS", value)
    with pytest.raises(ArgumentError, match=value):
        host()


def test_attributes_state_the_width() -> None:
    assert described(LINUX_X86, "generic", AVX512).attributes == '"prefer-vector-width"="512"'


def test_cache_sizes_are_read_from_linux_files(tmp_path: Path) -> None:
    for n, (level, kind, size) in enumerate(
        [(1, "Instruction", "64K"), (1, "Data", "48K"), (2, "Unified", "2M"), (3, "Unified", "unknown")]
    ):
        (tmp_path / f"index{n}").mkdir()
        for name, value in (("level", level), ("type", kind), ("size", size)):
            (tmp_path / f"index{n}" / name).write_text(f"{value}\n")
    assert machines._cache_sizes_of_linux(tmp_path) == {1: 48 << 10, 2: 2 << 20}


def test_cache_sizes_are_modest_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "_cache_sizes_of_linux", lambda folder: {})
    monkeypatch.setattr(sys, "platform", "linux")
    machine = described(LINUX_X86, "generic", "")
    assert (machine.l1_bytes, machine.l2_bytes) == (32 << 10, 512 << 10)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_cores_are_those_that_the_process_may_use() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from chainrule.compiler.targets.llvm.machine import host; print(host().cores)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_the_module_loads_without_llvmlite() -> None:
    code = "import sys, chainrule.compiler.targets.llvm.machine; sys.exit('llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
