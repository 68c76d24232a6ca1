"""How Python calls a compiled program: a builtin function that checks its arrays and runs, in about 50 ns.

A program is `void program(ptr table)`. The table is a C array of pointers that its owner keeps as a NumPy
array of uint64: a slot for each argument, for state, results and arena. A slot always holds an address; a
scalar (a learning rate) is a double in the owner's memory, and its slot points there.

The function made here compares each argument with what the program was compiled for by reading the fields of
NumPy's array struct, puts the addresses of the data into their slots, and runs the program. If anything
differs it runs nothing and returns NotImplemented: whoever called it knows how to convert, or what to say.
"""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.native import Native
from chainrule.compiler.targets.llvm.text import I1, I8, I32, I64, PTR, VOID, Function, Type, Value, literal
from chainrule.errors import UnsupportedError
from chainrule.tensor.tensor import Tensor

C_CONTIGUOUS, ALIGNED, WRITEABLE = 0x0001, 0x0100, 0x0400
"""Bits of an array's flags (NumPy's C API, ndarraytypes.h)."""

METH_FASTCALL = 0x0080
"""The arguments of a function come as a C array and their number (Python's C API, methodobject.h)."""

MXCSR_FLUSH = 0x8040
"""FTZ and DAZ: results and operands that are denormal are zero (Intel SDM, vol. 1, 10.2.3)."""

FPCR_FLUSH = 1 << 24
"""FZ of AArch64's FPCR (Arm ARM, C5.2.8)."""


@dataclass(frozen=True)
class ArgumentSpec:
    """An array that a program takes, or a Tensor around one.

    Args:
        slot: where in the table the address of its data goes.
        dtype: its element type.
        shape: its shape.
        written: True if the program writes to it.
        is_tensor: True for a Tensor.
        requires_grad: whether that Tensor does; None: it may or may not.
    """

    slot: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    written: bool = False
    is_tensor: bool = False
    requires_grad: bool | None = None


@dataclass(frozen=True)
class Layout:
    """Where the fields of NumPy's array struct are, in bytes from its start."""

    type: int
    data: int
    nd: int
    dimensions: int
    descr: int
    flags: int


# ---- the text of the entry ----------------------------------------------------------------------------------------


def make_entry(
    name: str,
    program: str,
    arguments: Sequence[ArgumentSpec],
    machine: Machine,
    *,
    release_gil: bool,
    flush_denormals: bool,
) -> Function:
    """The function `PyObject *name(PyObject *self, PyObject *const *args, Py_ssize_t n)` that runs a program.

    It belongs into the program's module, together with `globals_of_entry(arguments)`. The text holds no
    address, so its object code can be cached: `self`, made by `make_callable`, knows the table.

    Args:
        name: what it is called.
        program: the name of the program, `void (ptr table)`.
        arguments: what is checked, in the order of the call.
        machine: what it is compiled for.
        release_gil: let other Python threads run meanwhile; a second call waits until the first has finished.
        flush_denormals: let denormals be zero in the program; the caller's setting is restored.
    """
    f = Function(name, [("self", PTR), ("args", PTR), ("n", I64)], PTR, linkage="dso_local")
    require(f, f.compare("eq", f["n"], literal(len(arguments), I64)))
    given = [f.load(f.at(f["args"], i, PTR), PTR) for i in range(len(arguments))]
    arrays = [_unwrapped(f, x, spec) if spec.is_tensor else x for x, spec in zip(given, arguments, strict=True)]
    data = [_checked(f, array, spec) for array, spec in zip(arrays, arguments, strict=True)]
    context = _field(f, f["self"], array_layout().data, PTR)
    table, lock = f.load(context, PTR), f.load(f.at(context, 1, PTR), PTR)
    thread = _without_gil(f, lock) if release_gil else None
    for spec, address in zip(arguments, data, strict=True):
        f.store(address, f.at(table, spec.slot, PTR))
    if flush_denormals:
        mode = start_flushing(f, machine)
        f.call(program, VOID, table)
        restore_denormals(f, mode, machine)
    else:
        f.call(program, VOID, table)
    if thread is not None:
        f.call("PyThread_release_lock", VOID, lock)
        f.call("PyEval_RestoreThread", VOID, thread)
    return_singleton(f, "python.None")
    f.begin("refuse")
    return_singleton(f, "python.NotImplemented")
    return f


def make_flushing(name: str, program: str, machine: Machine) -> Function:
    """The function `void name(ptr table)`: a program with denormals as zero; the caller's setting is restored."""
    f = Function(name, [("table", PTR)], linkage="", attributes=f"nounwind {machine.attributes}")
    mode = start_flushing(f, machine)
    f.call(program, VOID, f["table"])
    restore_denormals(f, mode, machine)
    f.ret()
    return f


def globals_of_entry(arguments: Sequence[ArgumentSpec]) -> str:
    """The objects of Python and NumPy that an entry names, as declarations of its module."""
    types = [_name_of(spec.dtype) for spec in arguments]
    names = dict.fromkeys(["python.None", "python.NotImplemented", "numpy.ndarray", "chainrule.Tensor", *types])
    return "\n".join([f"@{name} = external global i8" for name in names])


def start_flushing(f: Function, machine: Machine) -> Value:
    """From here on this thread takes denormals for zero; returns the mode before, for `restore_denormals`."""
    if not machine.is_x86:
        before = f.call("llvm.aarch64.get.fpcr", I64)
        f.call("llvm.aarch64.set.fpcr", VOID, f.bits("or", before, literal(FPCR_FLUSH, I64)))
        return before
    cells = f.value("alloca [2 x i32], align 4", PTR)  # LDMXCSR and STMXCSR read and write memory only
    f.call("llvm.x86.sse.stmxcsr", VOID, cells)
    flushing = f.at(cells, 1, I32)
    f.store(f.bits("or", f.load(cells, I32), literal(MXCSR_FLUSH, I32)), flushing)
    f.call("llvm.x86.sse.ldmxcsr", VOID, flushing)
    return cells


def restore_denormals(f: Function, before: Value, machine: Machine) -> None:
    """Back to the mode that `start_flushing` found."""
    f.call("llvm.x86.sse.ldmxcsr" if machine.is_x86 else "llvm.aarch64.set.fpcr", VOID, before)


def _unwrapped(f: Function, x: Value, spec: ArgumentSpec) -> Value:
    """The array of a Tensor, after the tests that it is one, and an end of the graph or not."""
    kind, tensor = _field(f, x, array_layout().type, PTR), Value("@chainrule.Tensor", PTR)
    other, same = f.fresh("other"), f.fresh("tensor")
    f.branch(f.compare("eq", kind, tensor), same, other)
    f.begin(other)
    derived = f.call("PyType_IsSubtype", I32, kind, tensor)
    f.branch(f.compare("ne", derived, literal(0, I32)), same, "refuse")
    f.begin(same)
    if spec.requires_grad is not None:
        edge = _field(f, x, place_of(Tensor, "edge"), PTR)
        require(f, f.compare("ne" if spec.requires_grad else "eq", edge, Value("@python.None", PTR)))
    return _field(f, x, place_of(Tensor, "value"), PTR)


def _checked(f: Function, array: Value, spec: ArgumentSpec) -> Value:
    """The address of an argument's data, after the tests that it is the array of the spec."""
    layout = array_layout()
    require(f, f.compare("eq", _field(f, array, layout.type, PTR), Value("@numpy.ndarray", PTR)))
    wanted = C_CONTIGUOUS | ALIGNED | (WRITEABLE if spec.written else 0)
    flags = f.bits("and", _field(f, array, layout.flags, I32), literal(wanted, I32))
    agrees = f.compare("eq", flags, literal(wanted, I32))
    dtype, ndim = Value(f"@{_name_of(spec.dtype)}", PTR), literal(len(spec.shape), I32)
    for offset, value in ((layout.descr, dtype), (layout.nd, ndim)):
        agrees = f.bits("and", agrees, f.compare("eq", _field(f, array, offset, value.type), value))
    require(f, agrees)
    if spec.shape:
        dimensions = _field(f, array, layout.dimensions, PTR)
        agrees = literal(True, I1)
        for axis, size in enumerate(spec.shape):
            same = f.compare("eq", f.load(f.at(dimensions, axis, I64), I64), literal(size, I64))
            agrees = f.bits("and", agrees, same)
        require(f, agrees)
    return _field(f, array, layout.data, PTR)


def _name_of(dtype: np.dtype[Any]) -> str:
    return f"numpy.{dtype.name}"


def _without_gil(f: Function, lock: Value) -> Value:
    """Let the other threads of Python run, and wait until none of them is in this program; returns our thread.

    A fork while another thread is in the program leaves the lock taken in the child, as it does every lock of Python.
    """
    thread = f.call("PyEval_SaveThread", PTR)
    f.call("PyThread_acquire_lock", I32, lock, literal(1, I32))
    return thread


def _field(f: Function, thing: Value, offset: int, type: Type) -> Value:
    return f.load(f.at(thing, offset, I8), type)


def require(f: Function, condition: Value) -> None:
    """Go on if the condition holds, else refuse."""
    following = f.fresh("agrees")
    f.line(f"br {condition.typed}, label %{following}, label %refuse")
    f.begin(following)


def return_singleton(f: Function, name: str) -> None:
    """Return a singleton of Python, as a new reference."""
    singleton = Value(f"@{name}", PTR)
    if sys.version_info < (3, 12):  # since then they are immortal
        f.store(f.add(f.load(singleton, I64), literal(1, I64)), singleton)  # ob_refcnt stands first
    f.ret(singleton)


# ---- the layout of objects ----------------------------------------------------------------------------------------


@cache
def array_layout() -> Layout:
    """The layout of NumPy's arrays in this process (64-bit CPython), checked against arrays.

    Raises:
        UnsupportedError: this Python or this NumPy lays its objects out in another way.
    """
    header = object.__basicsize__  # the reference count and the type
    layout = Layout(
        type=8, data=header, nd=header + 8, dimensions=header + 16, descr=header + 40, flags=header + 48
    )  # strides and base stand between dimensions and descr
    samples: list[np.ndarray[Any, Any]] = [
        np.zeros((3, 5), np.float32),
        np.zeros((4, 7), np.int64)[:, 1:],
        np.broadcast_to(np.float64(1), (2,)),
    ]
    if header != 16 or np.ndarray.__basicsize__ < layout.flags + 4 or not all(_is_at(x, layout) for x in samples):
        raise unknown_python("arrays")
    return layout


def unknown_python(things: str) -> UnsupportedError:
    """The error where machine code cannot read the objects of this Python."""
    return UnsupportedError(
        f"compiled programs: this Python keeps its {things} in another way than 64-bit CPython with the GIL",
        got=[f"Python  {sys.version.split()[0]}", f"NumPy   {np.__version__}"],
        mend="CHAINRULE_JIT=0 runs programs by NumPy.",
    )


def _is_at(x: np.ndarray[Any, Any], layout: Layout) -> bool:
    """True if reading x's memory at these places gives what Python says of it."""

    def read(offset: int, kind: Any) -> Any:
        return kind.from_address(id(x) + offset).value

    pointer = ctypes.c_uint64
    return (
        read(layout.type, pointer) == id(np.ndarray)
        and read(layout.data, pointer) == x.ctypes.data
        and read(layout.nd, ctypes.c_int) == x.ndim
        and list((ctypes.c_int64 * x.ndim).from_address(read(layout.dimensions, pointer))) == list(x.shape)
        and read(layout.descr, pointer) == id(x.dtype)
        and read(layout.flags, ctypes.c_int) == x.flags.num
    )


@cache
def place_of(kind: Any, name: str) -> int:
    """Where objects of a class keep a reference, in bytes from their start: found in an object that has it.

    Args:
        kind: a class that can be made without arguments.
        name: an attribute in `__slots__`, or of a class written in C, that can be set.

    Raises:
        UnsupportedError: it lies somewhere else.
    """
    sample, mark = kind.__new__(kind), object()
    setattr(sample, name, mark)
    found = [place for place in range(0, kind.__basicsize__, 8) if word_of(sample, place) == id(mark)]
    if len(found) != 1:
        raise unknown_python(f"{kind.__name__}.{name}")
    return found[0]


def word_of(x: Any, place: int) -> int:
    """The word that stands in an object, so many bytes from its start."""
    word: int = ctypes.c_uint64.from_address(id(x) + place).value
    return word


# ---- the function that Python calls -------------------------------------------------------------------------------


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Context(np.ndarray[Any, Any]):
    """The `self` of an entry: the addresses of table and lock as data; machine code and table stay alive with it."""

    native: Native
    table: np.ndarray[Any, Any]
    method: _Method


def make_callable(native: Native, name: str, table: np.ndarray[Any, Any]) -> Callable[..., Any]:
    """The entry as a builtin function; it keeps the machine code and the table alive.

    Args:
        native: the module that defines the entry.
        name: the entry's name.
        table: the program's table, uint64. Whoever fills it keeps alive what it points to.

    Returns:
        A function of the arrays that returns None when it ran, and NotImplemented when it did nothing because
        an argument is not exactly what the program was compiled for.
    """
    assert table.dtype == np.uint64
    assert table.flags.c_contiguous
    api = _python_api()
    lock = api.PyThread_allocate_lock()
    context = np.array([table.ctypes.data, lock], np.uint64).view(_Context)
    weakref.finalize(context, api.PyThread_free_lock, lock).atexit = False
    context.native, context.table = native, table
    context.method = _Method(name.encode(), native.address(name), METH_FASTCALL, None)
    made: Callable[..., Any] = api.PyCFunction_NewEx(ctypes.addressof(context.method), context, None)
    return made


@cache
def _python_api() -> Any:
    """The functions of Python that make an entry; a library object of our own, so that no one else's types change."""
    api = ctypes.PyDLL(None, handle=ctypes.pythonapi._handle)
    api.PyCFunction_NewEx.restype = ctypes.py_object
    api.PyCFunction_NewEx.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    api.PyThread_allocate_lock.restype = ctypes.c_void_p
    api.PyThread_free_lock.restype = None
    api.PyThread_free_lock.argtypes = (ctypes.c_void_p,)
    return api
