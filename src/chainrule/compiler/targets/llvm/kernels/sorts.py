"""sorts: the order of the elements along an axis: argsort.

An element and its place are one integer, the element in the upper bits: so all are different, equal elements keep
their order, and the order is that of integers. Runs of a power of two elements are merged, from both ends at once, so
that neither end can run out: there is no branch to be guessed. What is missing to a power of two is filled up.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from chainrule.compiler.fuse import Group
from chainrule.compiler.ir import Value
from chainrule.compiler.targets.llvm import text
from chainrule.compiler.targets.llvm.elements import Index
from chainrule.compiler.targets.llvm.elementwise import Typed
from chainrule.compiler.targets.llvm.kernels.writer import Kernel, Writer
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.compiler.targets.llvm.registers import Register, where
from chainrule.compiler.targets.llvm.text import I8, I64, PTR, Function, Type, literal
from chainrule.compiler.views import View
from chainrule.dtypes import DType, int64
from chainrule.shapes import normal_axis

I128 = Type("i128")
ON_STACK = 1 << 15
"""Bytes up to which a row is sorted on the stack: then each thread has memory of its own."""
UNROLLED = 4
"""Runs of up to so many elements are merged without a loop."""


def write_sorts(group: Group, views: dict[Value, View], machine: Machine) -> list[Kernel]:
    """A unit is one row along the axis."""
    (instruction,) = group.instructions
    x, y, shape = instruction.values[0], instruction.result, group.space
    axis = normal_axis(instruction.params["axis"], len(shape))
    size = shape[axis]
    items = Items(I64 if x.dtype.itemsize <= 4 else I128, x.dtype, instruction.params["descending"])
    room = 1 << (size - 1).bit_length()
    scratch = 2 * room * items.type.bytes
    w = Writer(group, views, machine, scratch=scratch > ON_STACK)
    f, e = w.f, w.e
    source = w.scratch or f.value(f"alloca [{scratch} x i8], align 64", PTR)
    target = f.at(source, scratch // 2, I8)
    others = tuple([n for i, n in enumerate(shape) if i != axis])
    row = f.loop(f["begin"], f["end"])
    place = [Index(i) for i in w.divided(row.index, others)]

    def at(i: text.Value) -> list[Index]:
        return [*place[:axis], Index(i), *place[axis:]]

    e.enter()
    e.before_loop()
    loop = f.loop(0, size)
    e.enter(loop.index)
    f.store(items.item(f, e.at(x, at(loop.index)).value, loop.index), f.at(source, loop.index, items.type))
    f.close(loop)
    if room > size:
        loop = f.loop(size, room)
        f.store(literal(items.last, items.type), f.at(source, loop.index, items.type))
        f.close(loop)
    for level in range(room.bit_length() - 1):
        merge(f, source, target, 1 << level, room >> level + 1, items.type)
        source, target = target, source
    e.enter()
    e.before_loop()
    loop = f.loop(0, size)
    e.enter(loop.index)
    e.store(y, at(loop.index), Typed(items.place(f, f.load(f.at(source, loop.index, items.type), items.type)), int64))
    f.close(loop)
    f.close(row)
    return [w.finished(prod(others), scratch if w.scratch else 0, is_divisible=not w.scratch)]


@dataclass(frozen=True)
class Items:
    """Elements with their places, as integers of a type: the lower half of the bits is the place."""

    type: Type
    dtype: DType
    descending: bool

    @property
    def last(self) -> int:
        """The item that no other one comes after."""
        return (1 << 8 * self.type.bytes - 1) - 1

    def item(self, f: Function, element: text.Value, place: text.Value) -> text.Value:
        """An element, a scalar, and its place, an i64."""
        key = ordered(Register(f, element), self.dtype)
        if self.descending:
            key = ~key
        wide = key if key.type == self.type else key.to("sext", self.type)
        number = Register(f, place)
        number = number if number.type == self.type else number.to("zext", self.type)
        return (wide << 4 * self.type.bytes | number).value

    def place(self, f: Function, item: text.Value) -> text.Value:
        """The place of an item, an i64."""
        half = Register(f, item).to("trunc", Type(f"i{4 * self.type.bytes}"))
        return half.value if half.type == I64 else half.to("zext", I64).value


def ordered(x: Register, dtype: DType) -> Register:
    """A signed integer in the order of the elements: -0 and 0 are equal, nan is the last."""
    if dtype.kind in "bu":
        return x.to("zext", Type("i32"))
    if dtype.kind == "i":
        return x
    bits = x.to("bitcast", Type(f"i{8 * dtype.itemsize}"))
    highest = (1 << 8 * dtype.itemsize - 1) - 1
    infinity = {2: 0x1F << 10, 4: 0xFF << 23, 8: 0x7FF << 52}[dtype.itemsize]
    size = bits & highest
    key = where(size.equals(0), 0, where(bits < 0, bits ^ highest, bits))
    return where(size > infinity, highest, key)


def merge(f: Function, source: text.Value, target: text.Value, size: int, pairs: int, type: Type) -> None:
    """Merge pairs of neighbouring runs of so many sorted items; two at a time, as a step waits for the one before."""
    ways = min(2, pairs)
    loop = f.loop(0, pairs // ways)
    bases = [f.mul(f.add(loop.index, literal(k * (pairs // ways), I64)), literal(2 * size, I64)) for k in range(ways)]
    ends = [Ends.of(f, base, size) for base in bases]

    def after(ends: list[Ends], step: text.Value) -> list[Ends]:
        return [e.after(f, source, target, base, step, size, type) for e, base in zip(ends, bases, strict=True)]

    if size <= UNROLLED:
        for step in range(size):
            ends = after(ends, literal(step, I64))
    else:
        steps = f.loop(0, size, 1, [place for e in ends for place in e.places])
        ends = after([Ends(*steps.carried[4 * k : 4 * k + 4]) for k in range(ways)], steps.index)
        f.close(steps, [place for e in ends for place in e.places])
    f.close(loop)


@dataclass(frozen=True)
class Ends:
    """The next items of two runs, from their starts and from their ends."""

    low_left: text.Value
    low_right: text.Value
    high_left: text.Value
    high_right: text.Value

    @property
    def places(self) -> list[text.Value]:
        return [self.low_left, self.low_right, self.high_left, self.high_right]

    @staticmethod
    def of(f: Function, base: text.Value, size: int) -> Ends:
        """Before the first step."""
        return Ends(base, *[f.add(base, literal(i, I64)) for i in (size, size - 1, 2 * size - 1)])

    def after(
        self, f: Function, source: text.Value, target: text.Value, base: text.Value, step: text.Value, size: int,
        type: Type,
    ) -> Ends:  # fmt: skip
        """Move the least item, and the largest, to their places."""
        a, b, c, d = (f.load(f.at(source, place, type), type) for place in self.places)
        left_first, right_last = f.compare("sle", a, b), f.compare("sge", d, c)
        low = f.add(base, step)
        high = f.sub(f.add(base, literal(2 * size - 1, I64)), step)
        f.store(f.select(left_first, a, b), f.at(target, low, type))
        f.store(f.select(right_last, d, c), f.at(target, high, type))
        one, other = (f.convert("zext", condition, I64) for condition in (left_first, right_last))
        return Ends(
            f.add(self.low_left, one),
            f.sub(f.add(self.low_right, literal(1, I64)), one),
            f.add(f.sub(self.high_left, literal(1, I64)), other),
            f.sub(self.high_right, other),
        )
