"""Registers that are calculated with as in a formula: Python's operators write the instructions.

Every operation rounds once, by itself: no `contract`, so that the error terms of a formula stay what they are. Where
a product and a sum shall be rounded together the formula says `fma`. Scalars and vectors of any lanes look the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from chainrule.compiler.targets.llvm.text import I16, I32, I64, Function, Type, Value, literal

Operand: TypeAlias = "Register | float | int"

INTEGER = {"half": I16, "float": I32, "double": I64}
"""The integers as wide as a float: its bits."""


class Register:
    """A value, and the function that is being written. Integers wrap; `>>` shifts zeros in, whatever the sign."""

    __slots__ = ("f", "value")

    def __init__(self, f: Function, value: Value) -> None:
        self.f, self.value = f, value

    @property
    def type(self) -> Type:
        return self.value.type

    @property
    def is_literal(self) -> bool:
        """True for a number that is written into the instruction."""
        return not self.value.name.startswith("%")

    def like(self, x: Operand) -> Value:
        """An operand beside this one: a register, or a number in every lane of this one's type."""
        return x.value if isinstance(x, Register) else literal(x, self.type)

    def constant(self, number: float) -> Register:
        """A number in every lane of a register of this one's type."""
        return Register(self.f, literal(number, self.type))

    def _made(self, text: str, type: Type) -> Register:
        return Register(self.f, self.f.value(text, type))

    def _binary(self, floating: str, integer: str, a: Value, b: Value) -> Register:
        assert a.type == b.type, f"{floating}: {a.type} and {b.type}"
        return self._made(f"{floating if a.type.is_float else integer} {a.typed}, {b}", a.type)

    # ---- arithmetic --------------------------------------------------------------------------------------------------

    def __add__(self, other: Operand) -> Register:
        return self._binary("fadd", "add", self.value, self.like(other))

    def __radd__(self, other: Operand) -> Register:
        return self._binary("fadd", "add", self.like(other), self.value)

    def __sub__(self, other: Operand) -> Register:
        return self._binary("fsub", "sub", self.value, self.like(other))

    def __rsub__(self, other: Operand) -> Register:
        return self._binary("fsub", "sub", self.like(other), self.value)

    def __mul__(self, other: Operand) -> Register:
        return self._binary("fmul", "mul", self.value, self.like(other))

    def __rmul__(self, other: Operand) -> Register:
        return self * other

    def __truediv__(self, other: Operand) -> Register:
        assert self.type.is_float
        return self._binary("fdiv", "", self.value, self.like(other))

    def __rtruediv__(self, other: Operand) -> Register:
        return Register(self.f, self.like(other)) / self

    def __neg__(self) -> Register:
        return self._made(f"fneg {self.value.typed}", self.type) if self.type.is_float else 0 - self

    def __abs__(self) -> Register:
        return self.intrinsic("fabs")

    def intrinsic(self, name: str, *others: Operand) -> Register:
        """LLVM's `sqrt`, `floor`, `trunc`, `copysign` ... of this and further operands of its type."""
        operands = [self.value, *[self.like(x) for x in others]]
        return Register(self.f, self.f.intrinsic(name, self.type, *operands))

    # ---- bits --------------------------------------------------------------------------------------------------------

    def __and__(self, other: Operand) -> Register:
        return self._binary("", "and", self.value, self.like(other))

    def __or__(self, other: Operand) -> Register:
        return self._binary("", "or", self.value, self.like(other))

    def __xor__(self, other: Operand) -> Register:
        return self._binary("", "xor", self.value, self.like(other))

    def __invert__(self) -> Register:
        return self ^ (1 if self.type.scalar == "i1" else -1)

    def __lshift__(self, places: Operand) -> Register:
        return self._binary("", "shl", self.value, self.like(places))

    def __rshift__(self, places: Operand) -> Register:
        return self._binary("", "lshr", self.value, self.like(places))

    @property
    def bits(self) -> Register:
        """A float's bits as an integer."""
        return self.to("bitcast", INTEGER[self.type.scalar])

    def to(self, conversion: str, type: Type) -> Register:
        """Each lane as that scalar type, by an instruction of LLVM: bitcast, zext, fpext, sitofp ..."""
        return Register(self.f, self.f.convert(conversion, self.value, type.of(self.type.lanes)))

    # ---- comparison: a bool per lane, of nan always False; integers are signed ---------------------------------------

    def compare(self, floating: str, integer: str, other: Operand) -> Register:
        """By LLVM's predicate for floats, or the one for integers."""
        return Register(
            self.f, self.f.compare(floating if self.type.is_float else integer, self.value, self.like(other))
        )

    def __lt__(self, other: Operand) -> Register:
        return self.compare("olt", "slt", other)

    def __le__(self, other: Operand) -> Register:
        return self.compare("ole", "sle", other)

    def __gt__(self, other: Operand) -> Register:
        return self.compare("ogt", "sgt", other)

    def __ge__(self, other: Operand) -> Register:
        return self.compare("oge", "sge", other)

    def equals(self, other: Operand) -> Register:
        return self.compare("oeq", "eq", other)

    def differs(self, other: Operand) -> Register:
        """True also of nan."""
        return self.compare("une", "ne", other)

    @property
    def is_nan(self) -> Register:
        return self.compare("uno", "", self)

    @property
    def is_negative(self) -> Register:
        """The sign bit of a float: also that of -0."""
        return self.bits < 0


def fma(a: Operand, b: Register, c: Operand) -> Register:
    """a b + c, rounded once."""
    return Register(b.f, b.f.fma(b.like(a), b.value, b.like(c)))


def where(condition: Register, a: Operand, b: Operand) -> Register:
    """a in the lanes where the condition holds, else b; one of them is a register."""
    like = a if isinstance(a, Register) else b
    assert isinstance(like, Register)
    return Register(like.f, like.f.select(condition.value, like.like(a), like.like(b)))


def at_least(x: Register, bound: Operand) -> Register:
    """The larger one; nan stays nan. One instruction where the processor has this very rule, as x86 does."""
    return where(x < bound, bound, x)


def at_most(x: Register, bound: Operand) -> Register:
    """The smaller one; nan stays nan."""
    return where(x > bound, bound, x)


# ---- control: the block that is being written ends, and another one continues ----------------------------------------


def any_lane(condition: Register) -> Register:
    """True if the condition holds in some lane."""
    lanes = condition.type.lanes
    if not lanes:
        return condition
    bits = Type(f"i{lanes}")
    f = condition.f
    together = Register(f, f.value(f"bitcast {condition.value.typed} to {bits}", bits))
    return together.differs(0)


def rarely(condition: Register, usual: Sequence[Register], slowly: Callable[[], Sequence[Register]]) -> list[Register]:
    """The usual values, or if the condition holds in some lane what `slowly` writes: behind a branch."""
    f = condition.f
    some = any_lane(condition)
    before, slow, after = f.label, f.fresh("rare"), f.fresh("after")
    f.line(f"br {some.value.typed}, label %{slow}, label %{after}")
    f.begin(slow)
    others = slowly()
    end = f.label
    f.line(f"br label %{after}")
    f.begin(after)
    return [
        Register(f, f.value(f"phi {u.type} [ {u.value}, %{before} ], [ {o.value}, %{end} ]", u.type))
        for u, o in zip(usual, others, strict=True)
    ]


def repeat_while(
    values: Sequence[Register],
    step: Callable[[Sequence[Register]], Sequence[Register]],
    condition: Callable[[Sequence[Register]], Register],
) -> list[Register]:
    """The values after one step, and after further ones while the condition holds in some lane."""
    f = values[0].f
    before, label = f.label, f.fresh("repeat")
    f.line(f"br label %{label}")
    f.begin(label)
    place = len(f.lines)
    current = [Register(f, Value(f"%{f.fresh('c')}", v.type)) for v in values]
    following = step(current)
    again = any_lane(condition(following))
    f.lines[place:place] = [
        f"  {c.value} = phi {c.type} [ {v.value}, %{before} ], [ {n.value}, %{f.label} ]"
        for c, v, n in zip(current, values, following, strict=True)
    ]
    after = f.fresh("after")
    f.line(f"br {again.value.typed}, label %{label}, label %{after}")
    f.begin(after)
    return list(following)


def lane_by_lane(
    x: Register, results: Sequence[Type], scalar: Callable[[Register], Sequence[Register]]
) -> list[Register]:
    """What `scalar` writes for one lane, in a loop over all of them; its results have those element types."""
    f, lanes = x.f, x.type.lanes
    if not lanes:
        return list(scalar(x))
    loop = f.loop(0, lanes, carry=[Value("poison", type.of(lanes)) for type in results])
    one = Register(f, f.value(f"extractelement {x.value.typed}, {loop.index.typed}", x.type.element))
    made = [
        f.value(f"insertelement {all.typed}, {y.value.typed}, {loop.index.typed}", all.type)
        for all, y in zip(loop.carried, scalar(one), strict=True)
    ]
    return [Register(f, v) for v in f.close(loop, made)]
