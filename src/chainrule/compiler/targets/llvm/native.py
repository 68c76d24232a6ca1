"""Machine code made from the text of an LLVM module: compiled, linked into this process, freed when dropped.

No optimisation passes run: the text is emitted in good shape and only code generation is left. What
generated code calls outside itself (libm, threads, Python, NumPy's BLAS) it finds in one table, `symbols()`.
"""

from __future__ import annotations

import ctypes
import re
import sys
import weakref
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite  # type: ignore[import-untyped]  # it has no annotations
from llvmlite import binding

from chainrule.compiler.targets.llvm import object_cache
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.errors import CompileError

OPTIMISATION = 2
"""Of code generation. For 200 kB of kernels level 1 takes 6% less time and level 3 as much, with the same code; level
0 takes a quarter, and the code runs four times slower."""

SYMBOLS: dict[str, int] = {}
"""Addresses of functions that generated code may call, beyond the standard ones: a module that brings its own
enters them here before it compiles a program that calls them."""

_LIBM = """acos asin atan atan2 ceil cos cosh erf erfc exp exp2 expm1 floor fma fmax fmin fmod ldexp lgamma log log10
    log1p log2 pow rint round sin sincos sinh sqrt tan tanh tgamma trunc"""
_LIBC = "memcpy memmove memset memcmp malloc free abort"
_PTHREAD = """pthread_create pthread_join pthread_self pthread_mutex_lock pthread_mutex_unlock pthread_cond_wait
    pthread_cond_signal pthread_cond_broadcast sched_yield syscall"""
_PYTHON = (
    "PyEval_SaveThread PyEval_RestoreThread PyErr_CheckSignals PyThread_acquire_lock PyThread_release_lock "
    "PyDict_GetItemWithError PyType_IsSubtype"
)


class Native:
    """Machine code in this process: its functions by address, valid as long as this object is referenced.

    Args:
        object_code: a relocatable object file for this machine.
        exports: the names of the functions that can be asked for.
        machine: what it was compiled for.

    Raises:
        CompileError: the code calls a function that is not in `symbols()`.
    """

    def __init__(self, object_code: bytes, exports: Iterable[str], machine: Machine) -> None:
        # An engine for each program: a shared one keeps 5 kB of every program that it ever held.
        engine = binding.create_lljit_compiler(_target_machine(machine), use_jit_link=True, suppress_errors=True)
        library = binding.JITLibraryBuilder().add_object_img(object_code)
        for name, address in symbols().items():
            library.import_symbol(name, address)
        for name in exports:
            library.export_symbol(name)
        try:
            code = library.link(engine, "program")
        except RuntimeError as error:
            engine.close()
            raise CompileError("machine code cannot be linked", got=_first_lines(error)) from None
        self._addresses: dict[str, int] = {name: code[name] for name in exports}
        weakref.finalize(self, _release, code, engine).atexit = False

    def address(self, name: str) -> int:
        """Where an exported function starts.

        Raises:
            CompileError: the program defines no such function, or keeps it internal.
        """
        if name not in self._addresses:
            raise CompileError(f"no function @{name} in this program", got=sorted(self._addresses))
        return self._addresses[name]


def compile_text(text: str, machine: Machine) -> Native:
    """The machine code of a module; every function that it defines with external linkage can be asked for.

    Args:
        text: the module, as LLVM reads it.
        machine: what to compile for; the processor we run on, or that with narrower vectors.

    Raises:
        CompileError: the text is no valid LLVM, or calls a function that is not in `symbols()`.
    """
    unknown = [name for name in _declared(text) if name not in symbols()]
    if unknown:
        raise CompileError("a program calls functions that are nowhere", got=unknown)
    cache = object_cache.users_cache()
    if cache is None:
        return Native(object_code(text, machine), exported(text), machine)
    key = _key(text, machine)
    code = cache.get(key)
    if code is None:
        code = object_code(text, machine)
        cache.put(key, code)
    return Native(code, exported(text), machine)


def _key(text: str, machine: Machine) -> str:
    package = sys.modules["chainrule"]  # known by its name: the root imports this, not the other way round
    versions = [package.__version__, llvmlite.__version__, ".".join(map(str, binding.llvm_version_info))]
    return object_cache.key(text, machine.triple, machine.cpu, machine.features, str(OPTIMISATION), *versions)


def object_code(text: str, machine: Machine) -> bytes:
    """The module as a relocatable object file.

    Raises:
        CompileError: the text is no valid LLVM.
    """
    target = _target_machine(machine)
    try:
        # A context of its own: none is shared between threads, and the module's types and constants go with it.
        with binding.create_context() as context, binding.parse_assembly(text, context) as module:
            module.triple = target.triple
            module.verify()
            return bytes(target.emit_object(module))
    except RuntimeError as error:
        raise CompileError("LLVM refuses the text of a program", got=_first_lines(error)) from None


def exported(text: str) -> list[str]:
    """The names of the functions that a module defines with external linkage."""
    return re.findall(r"\ndefine (?!internal |private )[^@\n]*@([\w.$]+)\(", "\n" + text)


def _declared(text: str) -> list[str]:
    """The outside functions that a module names; LLVM's own are no calls, or are resolved by it."""
    return re.findall(r"\ndeclare (?![^@\n]*@llvm\.)[^@\n]*@([\w.$]+)\(", "\n" + text)


def symbols() -> dict[str, int]:
    """The addresses of all functions that generated code may call, by name.

    Those that a platform lacks are missing: ask before calling one that not every platform has.
    `cblas_sgemm64` and `cblas_dgemm64` are the BLAS that came with NumPy, with CBLAS's arguments and 64-bit
    integers. `python.None`, `numpy.ndarray`, `numpy.float32` ... are objects, for comparison by identity.
    """
    return _standard_symbols() | SYMBOLS


@cache
def _standard_symbols() -> dict[str, int]:
    # The process itself holds the C library, its threads and its mathematics; on Windows one library does.
    system = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
    found = _found_in(system, [*_LIBM.split(), *[f"{name}f" for name in _LIBM.split()]])
    found |= _found_in(system, [*_LIBC.split(), *_PTHREAD.split()])
    found |= _found_in(ctypes.pythonapi, _PYTHON.split())
    if sys.platform == "win32":  # a function with a large frame calls it to touch the pages of its stack
        found |= _found_in(ctypes.CDLL("ntdll"), ["__chkstk"])
    return found | _blas() | _objects()


def _objects() -> dict[str, int]:
    import numpy as np

    from chainrule.tensor.tensor import Tensor

    types = [bool, np.uint8, np.int8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64]
    objects: dict[str, object] = {f"numpy.{np.dtype(t).name}": np.dtype(t) for t in types}
    objects |= {"numpy.ndarray": np.ndarray, "chainrule.Tensor": Tensor}
    objects |= {"python.None": None, "python.NotImplemented": NotImplemented}
    return {name: id(thing) for name, thing in objects.items()}  # none of them is ever freed


def _blas() -> dict[str, int]:
    import numpy as np

    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            library = ctypes.CDLL(str(path))
            names = {f"cblas_{t}gemm64": f"scipy_cblas_{t}gemm64_" for t in "sd"}
            if all(hasattr(library, theirs) for theirs in names.values()):
                return {ours: _address(getattr(library, theirs)) for ours, theirs in names.items()}
    return {}


def _found_in(library: Any, names: Iterable[str]) -> dict[str, int]:
    return {name: _address(getattr(library, name)) for name in names if hasattr(library, name)}


def _address(function: Callable[..., Any]) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]  # any foreign function will do
    assert address
    return address


@cache
def _target_machine(machine: Machine) -> Any:
    """LLVM's code generator for it.

    The small code model reaches constants relative to the instruction and so folds them into arithmetic; the
    linker keeps a program in one piece, and reaches the world outside through a table.
    """
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    binding.initialize_native_asmparser()
    # On Windows too as ELF: the linker of COFF is younger. The calling convention stays the system's.
    triple = machine.triple + ("-elf" if "windows" in machine.triple else "")
    return binding.Target.from_triple(triple).create_target_machine(
        cpu=machine.cpu, features=machine.features, opt=OPTIMISATION, reloc="pic", codemodel="small", jit=True
    )


def _release(code: Any, engine: Any) -> None:
    code.close()
    engine.close()


def _first_lines(error: Exception) -> list[str]:
    return [line.rstrip() for line in str(error).splitlines() if line.strip()][:6]
