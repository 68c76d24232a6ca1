"""Functions of LLVM IR, written line by line: a value knows its type, so that an instruction is one call.

Text instead of llvmlite's builder: ten times faster to make, and the printed program is the program. No
fast-math flag but `contract` is ever set: NaN and infinities have to travel. Loops run at least once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Type:
    """A scalar ("float", "i64", "ptr" ...) or a vector of `lanes` of them."""

    scalar: str
    lanes: int = 0

    def __str__(self) -> str:
        return f"<{self.lanes} x {self.scalar}>" if self.lanes else self.scalar

    @property
    def is_float(self) -> bool:
        """True for half, float and double."""
        return self.scalar in ("half", "float", "double")

    @property
    def bytes(self) -> int:
        """The size of one element in memory; of a bool one byte."""
        return {"half": 2, "float": 4, "double": 8, "ptr": 8, "i1": 1}.get(self.scalar) or int(self.scalar[1:]) // 8

    def of(self, lanes: int) -> Type:
        """The same element type with so many lanes (0: a scalar)."""
        return Type(self.scalar, lanes)

    @property
    def element(self) -> Type:
        """The type of one lane."""
        return Type(self.scalar)

    @property
    def mangled(self) -> str:
        """How the name of an intrinsic spells it: v16f32, f64, i32."""
        name = {"half": "f16", "float": "f32", "double": "f64", "ptr": "p0"}.get(self.scalar, self.scalar)
        return f"v{self.lanes}{name}" if self.lanes else name


HALF, F32, F64, PTR = Type("half"), Type("float"), Type("double"), Type("ptr")
I1, I8, I16, I32, I64 = Type("i1"), Type("i8"), Type("i16"), Type("i32"), Type("i64")
VOID = Type("void")


@dataclass(frozen=True)
class Value:
    """A register, a parameter or a literal, with its type."""

    name: str
    type: Type

    def __str__(self) -> str:
        return self.name

    @property
    def typed(self) -> str:
        """Type and name, as operands of most instructions are written."""
        return f"{self.type} {self.name}"


def literal(number: float, type: Type) -> Value:
    """A constant; in every lane of a vector type."""
    text = _float_literal(float(number), type) if type.is_float else _integer_literal(number, type)
    return Value(f"splat ({type.element} {text})" if type.lanes else text, type)


def _float_literal(number: float, type: Type) -> str:
    """In hexadecimal: exact, and inf and nan have no other spelling. A float is written as the double it equals."""
    if type.scalar == "half":
        return f"0xH{struct.unpack('<H', struct.pack('<e', number))[0]:04X}"
    if type.scalar == "float" and abs(number) < float("inf"):
        try:
            number = struct.unpack("<f", struct.pack("<f", number))[0]
        except OverflowError:  # it rounds to infinity
            number = float("inf") if number > 0 else float("-inf")
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


def _integer_literal(number: float, type: Type) -> str:
    return ("true" if number else "false") if type.scalar == "i1" else str(int(number))


class Loop:
    """A counted loop that is being written: its index, and the values it carries round."""

    def __init__(self, function: Function, label: str, index: Value, carried: list[Value]) -> None:
        self.function, self.label, self.index, self.carried = function, label, index, carried
        self.place = 0
        self.step = self.stop = literal(0, I64)
        self.before = ""
        self.initial: list[Value] = []


class Function:
    """A function of LLVM IR that is being written.

    Instructions return their result as a Value; operands of one instruction have one type, given by the first.
    `declared` collects the intrinsics and outside functions that it calls.
    """

    def __init__(
        self, name: str, params: Sequence[tuple[str, Type]], result: Type = VOID, *,
        attributes: str = "nounwind", linkage: str = "internal", noalias: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self.name, self.result = name, result
        self.params = {p: Value(f"%{p}", type) for p, type in params}
        written = [f"{t}{' noalias' if p in set(noalias) else ''} %{p}" for p, t in params]
        self.lines: list[Any] = [f"define {linkage} {result} @{name}({', '.join(written)}) {attributes} {{", "entry:"]
        self.declared: dict[str, str] = {}
        self.label = "entry"
        self._ends: dict[int, str] = {}
        self._count = 0

    def __getitem__(self, param: str) -> Value:
        return self.params[param]

    def text(self) -> str:
        """The function, closed."""
        return "\n".join([*_flat(self.lines), "}"]) + "\n"

    # ---- the bare tools -------------------------------------------------------------------------------------

    def fresh(self, prefix: str = "t") -> str:
        """A name that no other register or label has."""
        self._count += 1
        return f"{prefix}{self._count}"

    def line(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append("  " + text)

    def value(self, text: str, type: Type) -> Value:
        """An instruction with a result."""
        result = Value(f"%{self.fresh()}", type)
        self.lines.append(f"  {result} = {text}")
        return result

    def begin(self, label: str) -> None:
        """Start the block of that label; the block before has ended with a branch."""
        self.lines.append(f"{label}:")
        self.label = label

    def hole(self) -> list[Any]:
        """A place here that can be written into later: for what turns out not to change in a loop that follows."""
        hole: list[Any] = []
        self.lines.append(hole)
        self._ends[id(hole)] = self.label
        after = self.fresh("after")
        self.line(f"br label %{after}")  # a block of its own ends here, so that the hole may have several
        self.begin(after)
        return hole

    @contextmanager
    def within(self, hole: list[Any]) -> Iterator[None]:
        """Write into a hole."""
        before, self.lines = self.lines, hole
        label, self.label = self.label, self._ends[id(hole)]
        try:
            yield
        finally:
            self._ends[id(hole)] = self.label
            self.lines, self.label = before, label

    # ---- arithmetic -----------------------------------------------------------------------------------------

    def _binary(self, integer: str, floating: str, a: Value, b: Value) -> Value:
        assert a.type == b.type, f"{integer}: {a.type} and {b.type}"
        return self.value(f"{floating if a.type.is_float else integer} {a.typed}, {b}", a.type)

    def add(self, a: Value, b: Value) -> Value:
        return self._binary("add", "fadd contract", a, b)

    def sub(self, a: Value, b: Value) -> Value:
        return self._binary("sub", "fsub contract", a, b)

    def mul(self, a: Value, b: Value) -> Value:
        return self._binary("mul", "fmul contract", a, b)

    def div(self, a: Value, b: Value) -> Value:
        """Division; of integers truncating."""
        return self._binary("sdiv", "fdiv", a, b)

    def rem(self, a: Value, b: Value) -> Value:
        """The remainder of truncating division."""
        return self._binary("srem", "frem", a, b)

    def neg(self, a: Value) -> Value:
        return self.value(f"fneg {a.typed}", a.type) if a.type.is_float else self.sub(literal(0, a.type), a)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a b + c, rounded once."""
        return self.intrinsic("fma", a.type, a, b, c)

    def bits(self, operation: str, a: Value, b: Value) -> Value:
        """and, or, xor, shl, lshr, ashr of integers."""
        return self.value(f"{operation} {a.typed}, {b}", a.type)

    def compare(self, predicate: str, a: Value, b: Value) -> Value:
        """A bool per lane: oeq, une, olt, ogt ... of floats; eq, ne, slt, ult ... of integers."""
        kind = "fcmp" if a.type.is_float else "icmp"
        return self.value(f"{kind} {predicate} {a.typed}, {b}", I1.of(a.type.lanes))

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        return self.value(f"select {condition.typed}, {a.typed}, {b.typed}", a.type)

    def convert(self, operation: str, a: Value, type: Type) -> Value:
        """fptrunc, fpext, sitofp, fptosi, zext, sext, trunc, bitcast ... to a type."""
        return self.value(f"{operation} {a.typed} to {type}", type)

    def intrinsic(self, name: str, result: Type, *args: Value, overload: Type | None = None) -> Value:
        """A call of `llvm.<name>.<overload>`; the overload is the result's type where nothing else is said."""
        return self.call(f"llvm.{name}.{(overload or result).mangled}", result, *args)

    def call(self, name: str, result: Type, *args: Value) -> Value:
        """A call of a function, which is declared if it stands outside this program."""
        self.declare(name, result, [a.type for a in args])
        text = f"call {result} @{name}({', '.join([a.typed for a in args])})"
        if result == VOID:
            self.line(text)
            return Value("void", VOID)
        return self.value(text, result)

    def prefetch(self, address: Value) -> None:
        """Let the cache line at an address come into the first cache; any address may be asked for."""
        self.call("llvm.prefetch.p0", VOID, address, literal(0, I32), literal(3, I32), literal(1, I32))

    def declare(self, name: str, result: Type, params: Sequence[Type]) -> None:
        """Note a function that is called; the module declares those it does not define."""
        self.declared[name] = f"declare {result} @{name}({', '.join(map(str, params))})"

    # ---- vectors --------------------------------------------------------------------------------------------

    def splat(self, scalar: Value, lanes: int) -> Value:
        """A scalar in every lane; the scalar itself for 0 lanes."""
        if not lanes:
            return scalar
        type = scalar.type.of(lanes)
        if not scalar.name.startswith("%"):
            return Value(f"splat ({scalar.typed})", type)
        one = self.value(f"insertelement {type} poison, {scalar.typed}, i64 0", type)
        return self.value(f"shufflevector {one.typed}, {type} poison, <{lanes} x i32> zeroinitializer", type)

    def shuffle(self, a: Value, b: Value, places: Sequence[int]) -> Value:
        """The lanes of a, then of b, at these places."""
        mask = ", ".join([f"i32 {p}" for p in places])
        type = a.type.of(len(places))
        return self.value(f"shufflevector {a.typed}, {b.typed}, <{len(places)} x i32> <{mask}>", type)

    def extract(self, a: Value, lane: int) -> Value:
        return self.value(f"extractelement {a.typed}, i64 {lane}", a.type.element)

    def insert(self, a: Value, scalar: Value, lane: int) -> Value:
        return self.value(f"insertelement {a.typed}, {scalar.typed}, i64 {lane}", a.type)

    def first_lanes(self, count: int | Value, lanes: int) -> Value:
        """A mask that is true in the first `count` lanes."""
        if isinstance(count, int):
            bools = ", ".join([f"i1 {'true' if i < count else 'false'}" for i in range(lanes)])
            return Value(f"<{bools}>", I1.of(lanes))
        places = ", ".join([f"i64 {i}" for i in range(lanes)])
        return self.compare("ult", Value(f"<{places}>", I64.of(lanes)), self.splat(count, lanes))

    # ---- memory ---------------------------------------------------------------------------------------------

    def at(self, pointer: Value, index: Value | int, type: Type) -> Value:
        """The address of the element at that index, counted in elements of a type; of bytes with I8."""
        scalar = "i8" if type.scalar == "i1" else type.scalar
        i = f"i64 {index}" if isinstance(index, int) else index.typed
        return self.value(f"getelementptr inbounds {scalar}, ptr {pointer}, {i}", PTR)

    def load(self, pointer: Value, type: Type, *, mask: Value | None = None, other: Value | None = None) -> Value:
        """An element, or consecutive ones; with a mask those of the true lanes, and `other` (or 0) elsewhere."""
        if type.scalar == "i1":
            other = None if other is None else self.convert("zext", other, I8.of(type.lanes))
            raw = self.load(pointer, I8.of(type.lanes), mask=mask, other=other)
            return self.compare("ne", raw, literal(0, raw.type))
        if mask is None:
            return self.value(f"load {type}, ptr {pointer}, align {type.bytes}", type)
        other = other or Value("zeroinitializer", type)
        name = f"llvm.masked.load.{type.mangled}.p0"
        self.declared[name] = f"declare {type} @{name}(ptr, {mask.type}, {type})"
        return self.value(f"call {type} @{name}(ptr align {type.bytes} {pointer}, {mask.typed}, {other.typed})", type)

    def store(self, value: Value, pointer: Value, *, mask: Value | None = None) -> None:
        if value.type.scalar == "i1":
            value = self.convert("zext", value, I8.of(value.type.lanes))
        size = value.type.bytes
        if mask is None:
            self.line(f"store {value.typed}, ptr {pointer}, align {size}")
            return
        name = f"llvm.masked.store.{value.type.mangled}.p0"
        self.declared[name] = f"declare void @{name}({value.type}, ptr, {mask.type})"
        self.line(f"call void @{name}({value.typed}, ptr align {size} {pointer}, {mask.typed})")

    def addresses(self, pointer: Value, places: Value, type: Type) -> Value:
        """The address of the element at each lane's place."""
        scalar = "i8" if type.scalar == "i1" else type.scalar
        return self.value(f"getelementptr inbounds {scalar}, ptr {pointer}, {places.typed}", PTR.of(places.type.lanes))

    def gather(self, addresses: Value, type: Type, mask: Value | None = None) -> Value:
        """The element at each lane's address; 0 in lanes that the mask leaves out."""
        if type.scalar == "i1":
            raw = self.gather(addresses, I8.of(type.lanes), mask)
            return self.compare("ne", raw, literal(0, raw.type))
        mask = mask or literal(1, I1.of(type.lanes))
        name = f"llvm.masked.gather.{type.mangled}.{addresses.type.mangled}"
        self.declared[name] = f"declare {type} @{name}({addresses.type}, {mask.type}, {type})"
        where = f"{addresses.type} align {type.bytes} {addresses}"
        return self.value(f"call {type} @{name}({where}, {mask.typed}, {type} zeroinitializer)", type)

    def scatter(self, value: Value, addresses: Value, mask: Value | None = None) -> None:
        """Store each lane at its address."""
        if value.type.scalar == "i1":
            value = self.convert("zext", value, I8.of(value.type.lanes))
        mask = mask or literal(1, I1.of(value.type.lanes))
        name = f"llvm.masked.scatter.{value.type.mangled}.{addresses.type.mangled}"
        self.declared[name] = f"declare void @{name}({value.type}, {addresses.type}, {mask.type})"
        self.line(
            f"call void @{name}({value.typed}, {addresses.type} align {value.type.bytes} {addresses}, {mask.typed})"
        )

    # ---- memory that threads share ----------------------------------------------------------------------------

    def atomic_load(self, pointer: Value, type: Type, order: str = "acquire") -> Value:
        """A scalar that other threads may be writing; order: monotonic, acquire or seq_cst."""
        return self.value(f"load atomic {type}, ptr {pointer} {order}, align {type.bytes}", type)

    def atomic_store(self, value: Value, pointer: Value, order: str = "release") -> None:
        """Write a scalar that other threads may be reading; order: monotonic, release or seq_cst."""
        self.line(f"store atomic {value.typed}, ptr {pointer} {order}, align {value.type.bytes}")

    def atomic_update(self, operation: str, pointer: Value, value: Value, order: str = "seq_cst") -> Value:
        """xchg, add, sub ... a value to memory in one step; returns what was there before."""
        return self.value(f"atomicrmw {operation} ptr {pointer}, {value.typed} {order}", value.type)

    # ---- control --------------------------------------------------------------------------------------------

    def jump(self, label: str) -> None:
        """End this block; go on at that label."""
        self.line(f"br label %{label}")

    def branch(self, condition: Value, yes: str, no: str) -> None:
        """End this block; go on at one of two labels."""
        self.line(f"br {condition.typed}, label %{yes}, label %{no}")

    def call_at(self, address: Value, result: Type, *args: Value) -> Value:
        """A call of the function at an address."""
        text = f"call {result} {address}({', '.join([a.typed for a in args])})"
        if result == VOID:
            self.line(text)
            return Value("void", VOID)
        return self.value(text, result)

    def loop(
        self, start: int | Value, stop: int | Value, step: int = 1, carry: Sequence[Value] = (), name: str = "loop"
    ) -> Loop:
        """Begin a loop over start, start + step, ... below stop; it runs at least once. `close` ends it."""
        first, last = (v if isinstance(v, Value) else literal(v, I64) for v in (start, stop))
        label = self.fresh(name)
        before = self.label
        self.line(f"br label %{label}")
        self.begin(label)
        index = Value(f"%{self.fresh('i')}", I64)
        carried = [Value(f"%{self.fresh('c')}", v.type) for v in carry]
        loop = Loop(self, label, index, carried)
        loop.place = len(self.lines)  # the phis go here, when it is known what they take from the latch
        loop.before, loop.initial, loop.stop, loop.step = before, [first, *carry], last, literal(step, I64)
        return loop

    def close(self, loop: Loop, carry: Sequence[Value] = ()) -> list[Value]:
        """End a loop, with the carried values of the next round; returns their last ones."""
        following = self.value(f"add nuw nsw {loop.index.typed}, {loop.step}", I64)
        phis = [
            f"  {phi} = phi {phi.type} [ {first}, %{loop.before} ], [ {after}, %{self.label} ]"
            for phi, first, after in zip([loop.index, *loop.carried], loop.initial, [following, *carry], strict=True)
        ]
        self.lines[loop.place : loop.place] = phis
        again = self.value(f"icmp ult {following.typed}, {loop.stop}", I1)
        after = self.fresh("after")
        self.line(f"br i1 {again}, label %{loop.label}, label %{after}")
        self.begin(after)
        return list(carry)

    def ret(self, value: Value | None = None) -> None:
        self.line("ret void" if value is None else f"ret {value.typed}")


def _flat(lines: list[Any]) -> Iterator[str]:
    """The lines, with those in holes."""
    for line in lines:
        if isinstance(line, str):
            yield line
        else:
            yield from _flat(line)


def module_text(functions: Sequence[Function], extra: str = "") -> str:
    """The functions as a module, with the declarations that they need; `extra` stands first."""
    defined = {f.name for f in functions}
    declared: dict[str, str] = {}
    for f in functions:
        declared |= {name: text for name, text in f.declared.items() if name not in defined}
    outside = [text for name, text in declared.items() if f"@{name}(" not in extra]
    return "\n".join([extra, *outside, *[f.text() for f in functions]])
