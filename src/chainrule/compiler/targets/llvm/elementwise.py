"""Elementwise operators as instructions: for every primitive of the catalogue what it is on floats, integers, bools.

Written into the block that is being written, for scalars and vectors alike. The meaning is the NumPy reader's and
PyTorch's: nan passes through maximum, a remainder has the divisor's sign, halves round to even. Where those raise for
an element (an integer divided by zero, or to a negative power) a compiled program cannot; the formula says what it
gives. float16 is computed in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from typing import TypeAlias

from chainrule.compiler.targets.llvm import vector_angles, vector_maths
from chainrule.compiler.targets.llvm.registers import Register, at_least, at_most, fma, repeat_while, where
from chainrule.compiler.targets.llvm.text import F32, F64, HALF, I1, I8, I16, I32, I64, Function, Type, Value, literal
from chainrule.dtypes import DType, bool_, float16, float32, float64
from chainrule.errors import UnsupportedError
from chainrule.ops.catalogue import CATALOGUE

TYPES = {
    "bool": I1, "uint8": I8, "int8": I8, "int16": I16, "int32": I32, "int64": I64, "float16": HALF, "float32": F32,
    "float64": F64,
}  # fmt: skip
"""LLVM's type of an element in a register."""


@dataclass(frozen=True)
class Typed:
    """A value and its element type: of an LLVM integer it says whether there is a sign."""

    value: Value
    dtype: DType


def emit(f: Function, name: str, operands: Sequence[Typed], result: DType) -> Value:
    """Write an elementwise operator; returns its value.

    Args:
        f: the function that is being written.
        name: of an operator of the catalogue: a primitive, or one of `DIRECT`.
        operands: scalars, or vectors of equally many lanes. Those that the operator promotes have one element type.
        result: the element type of what it returns.

    Raises:
        UnsupportedError: the operator has no instructions for these element types.
    """
    registers = [Register(f, x.value) for x in operands]
    if name == "cast":
        return cast(registers[0], operands[0].dtype, result).value
    if name == "where":
        condition = cast(registers[0], operands[0].dtype, bool_)
        return where(condition, registers[1], registers[2]).value
    dtype = operands[0].dtype
    formula = FORMULAS[dtype.kind].get(name)
    if formula is None or any(x.dtype is not dtype for x in operands):
        raise UnsupportedError(f"{name} has no instructions for these operands", got=[x.dtype.name for x in operands])
    if dtype is float16:
        y = formula(*map(from_half, registers))
        return (y if y.type.scalar == "i1" else to_half(y)).value
    return formula(*registers).value


# ---- floats ----------------------------------------------------------------------------------------------------------

Formula: TypeAlias = Callable[..., Register]


def written(instruction: Callable[..., Value]) -> Formula:
    """What is written with a function and values, such as `Function.add` and `vector_maths.exp`, on registers."""
    return lambda *xs: Register(xs[0].f, instruction(xs[0].f, *[x.value for x in xs]))


def intrinsic(name: str) -> Formula:
    return lambda x: x.intrinsic(name)


def sign(x: Register) -> Register:
    """-1, 0 or 1; of -0 it is 0, of nan nan."""
    return where(x > 0, 1, where(x < 0, -1, x + 0))


def maximum(a: Register, b: Register) -> Register:
    """The larger; nan if one is."""
    return nan_of_both(at_least, a, b)


def minimum(a: Register, b: Register) -> Register:
    """The smaller; nan if one is."""
    return nan_of_both(at_most, a, b)


def nan_of_both(choose: Formula, a: Register, b: Register) -> Register:
    """What `choose` gives, which returns a nan in a, and a nan in b as well: a number known now is none."""
    if a.is_literal:
        a, b = b, a
    chosen = choose(a, b)
    return chosen if b.is_literal and b.value != b.constant(nan).value else where(b.is_nan, b, chosen)


def truncated_remainder(a: Register, b: Register) -> Register:
    """a - b trunc(a / b), exactly: C's fmod, with the sign of a.

    r - q d has no rounding error for q = r / d rounded, so that r shrinks by all bits of a quotient in each step; one
    step is usual. d is b times a power of two where r / b would overflow.
    """
    size = abs(b)
    third = {"float": 2.0**93, "double": 2.0**700}[a.type.scalar]
    farther = size * third
    farthest = farther * third

    def step(values: Sequence[Register]) -> list[Register]:
        (r,) = values
        left = abs(r)
        d = where(farthest <= left, farthest, where(farther <= left, farther, size))
        q = (r / d).intrinsic("trunc")
        return [where(left < size, r, fma(-q, d, r))]

    (r,) = repeat_while([a], step, lambda values: abs(values[0]) >= size)
    # The quotient may have been rounded up, past its integer part.
    past_zero = r.is_negative.differs(a.is_negative)
    return where(r.equals(0), r, where(past_zero, r + size.intrinsic("copysign", a), r))


def remainder(a: Register, b: Register) -> Register:
    """a - b floor(a / b): the truncated remainder, and b more if their signs differ; a zero has the sign of b."""
    r = truncated_remainder(a, b)
    moved = where((r < 0).differs(b < 0), r + b, r)
    return where(r.equals(0), r.intrinsic("copysign", b), moved)


def floor_divide(a: Register, b: Register) -> Register:
    """The largest integer not above a / b, in NumPy's steps; a / b itself where b is 0."""
    quotient = a / b
    r = truncated_remainder(a, b)
    near = (a - r) / b
    near = where(r.differs(0) & (r < 0).differs(b < 0), near - 1, near)
    whole = near.intrinsic("floor")
    whole = where(near - whole > 0.5, whole + 1, whole)
    zero = near.constant(0).intrinsic("copysign", quotient)
    return where(b.equals(0), quotient, where(near.equals(0), zero, whole))


FEW_FACTORS: dict[float, Formula] = {
    1: lambda x: x, 2: lambda x: x * x, 3: lambda x: x * x * x,
}  # fmt: skip
"""Powers that a few products give."""
FLOAT_POWERS: dict[float, Formula] = {**FEW_FACTORS, -1: lambda x: 1 / x, 0.5: intrinsic("sqrt")}
"""The square root also of -0 and -inf, as NumPy and PyTorch have it; `vector_maths.pow` gives C's 0 and inf."""


def power(x: Register, y: Register) -> Register:
    """x^y; by products, a quotient or a square root where y is a number that is known now."""
    for exponent, formula in FLOAT_POWERS.items():
        if y.value == y.constant(exponent).value:
            return formula(x)
    return written(vector_maths.pow)(x, y)


FLOATS: dict[str, Formula] = {
    # `contract` is allowed here: a product and a sum of the user's may become one fma.
    "add": written(Function.add), "sub": written(Function.sub), "mul": written(Function.mul),
    "div": lambda a, b: a / b, "neg": lambda x: -x, "abs": intrinsic("fabs"), "sign": sign,
    "floor_divide": floor_divide, "remainder": remainder, "pow": power,
    "floor": intrinsic("floor"), "ceil": intrinsic("ceil"), "trunc": intrinsic("trunc"), "round": intrinsic("rint"),
    "sqrt": intrinsic("sqrt"), "maximum": maximum, "minimum": minimum,
    "relu": lambda x: maximum(x, x.constant(0)),
    "eq": Register.equals, "ne": Register.differs,
    "lt": Register.__lt__, "le": Register.__le__, "gt": Register.__gt__, "ge": Register.__ge__,
    "logical_and": lambda a, b: a.differs(0) & b.differs(0), "logical_or": lambda a, b: a.differs(0) | b.differs(0),
    "logical_xor": lambda a, b: a.differs(0) ^ b.differs(0), "logical_not": lambda x: x.equals(0),
    **{name: written(getattr(vector_maths, name)) for name in (
        "exp", "expm1", "log", "log1p", "log2", "log10", "tanh", "sinh", "cosh", "erf",
    )},
    **{name: written(getattr(vector_angles, name)) for name in ("sin", "cos", "tan", "asin", "acos", "atan", "atan2")},
}  # fmt: skip

# ---- integers and bools ----------------------------------------------------------------------------------------------


def binary(instruction: str) -> Formula:
    return lambda a, b: Register(a.f, a.f.bits(instruction, a.value, b.value))


def unsigned(predicate: str) -> Formula:
    return lambda a, b: a.compare("", predicate, b)


def unchanged(x: Register) -> Register:
    return x


def safe_quotient(a: Register, b: Register) -> tuple[Register, Register]:
    """The truncated quotient and the divisor it is of: 1 in place of 0, and of -1 where the quotient overflows.

    Processors trap at both. Overflowing gives a back, as wrapping does.
    """
    lowest = -(1 << (8 * a.type.bytes - 1))
    divisor = where(b.equals(0) | (a.equals(lowest) & b.equals(-1)), 1, b)
    return binary("sdiv")(a, divisor), divisor


def integer_floor_divide(a: Register, b: Register) -> Register:
    """The largest integer not above a / b; 0 for b = 0, where the NumPy reader raises."""
    q, divisor = safe_quotient(a, b)
    r = a - q * divisor
    below = r.differs(0) & ((r ^ divisor) < 0)
    return where(b.equals(0), 0, where(below, q - 1, q))


def integer_remainder(a: Register, b: Register) -> Register:
    """a - b floor(a / b); 0 for b = 0, where the NumPy reader raises."""
    q, divisor = safe_quotient(a, b)
    r = a - q * divisor
    return where(r.differs(0) & ((r ^ divisor) < 0), r + divisor, r)


def unsigned_floor_divide(a: Register, b: Register) -> Register:
    """The integer part of a / b; 0 for b = 0, where the NumPy reader raises."""
    return where(b.equals(0), 0, binary("udiv")(a, where(b.equals(0), 1, b)))


def unsigned_remainder(a: Register, b: Register) -> Register:
    """What the division leaves; 0 for b = 0, where the NumPy reader raises."""
    return binary("urem")(a, where(b.equals(0), 1, b))


def unsigned_power(x: Register, n: Register) -> Register:
    """x^n, wrapping, by repeated squaring."""
    for exponent, formula in FEW_FACTORS.items():
        if n.value == n.constant(exponent).value:
            return formula(x)

    def step(values: Sequence[Register]) -> list[Register]:
        y, x, n = values
        return [where((n & 1).differs(0), y * x, y), x * x, n >> 1]

    return repeat_while([x.constant(1), x, n], step, lambda values: values[2].differs(0))[0]


def integer_power(x: Register, n: Register) -> Register:
    """x^n, wrapping; for n < 0 the integer part of 1 / x^-n, where NumPy raises: PyTorch's value."""
    y = unsigned_power(x, n if n.is_literal else where(n < 0, 0, n))
    odd = (n & 1).differs(0)
    of_negative = where(x.equals(1), 1, where(x.equals(-1), where(odd, x, 1), 0))
    return where(n < 0, of_negative, y)


INTEGERS: dict[str, Formula] = {
    "add": binary("add"), "sub": binary("sub"), "mul": binary("mul"), "neg": lambda x: -x,
    "abs": lambda x: where(x < 0, -x, x), "sign": lambda x: where(x > 0, 1, where(x < 0, x.constant(-1), 0)),
    "floor_divide": integer_floor_divide, "remainder": integer_remainder, "pow": integer_power,
    "floor": unchanged, "ceil": unchanged, "trunc": unchanged, "round": unchanged,
    "maximum": lambda a, b: a.intrinsic("smax", b), "minimum": lambda a, b: a.intrinsic("smin", b),
    "relu": lambda x: x.intrinsic("smax", 0),
    "eq": Register.equals, "ne": Register.differs,
    "lt": Register.__lt__, "le": Register.__le__, "gt": Register.__gt__, "ge": Register.__ge__,
    **{name: FLOATS[name] for name in ("logical_and", "logical_or", "logical_xor", "logical_not")},
    "bitwise_and": binary("and"), "bitwise_or": binary("or"), "bitwise_xor": binary("xor"),
    "bitwise_not": Register.__invert__,
}  # fmt: skip

UNSIGNED: dict[str, Formula] = {
    **INTEGERS,
    "abs": unchanged, "sign": lambda x: where(x.equals(0), x, 1),
    "floor_divide": unsigned_floor_divide, "remainder": unsigned_remainder, "pow": unsigned_power,
    "maximum": lambda a, b: a.intrinsic("umax", b), "minimum": lambda a, b: a.intrinsic("umin", b), "relu": unchanged,
    "lt": unsigned("ult"), "le": unsigned("ule"), "gt": unsigned("ugt"), "ge": unsigned("uge"),
}  # fmt: skip

_OR, _AND, _XOR = binary("or"), binary("and"), binary("xor")
BOOLS: dict[str, Formula] = {
    "add": _OR, "mul": _AND, "maximum": _OR, "minimum": _AND, "abs": unchanged,
    "eq": Register.equals, "ne": Register.differs,
    "lt": unsigned("ult"), "le": unsigned("ule"), "gt": unsigned("ugt"), "ge": unsigned("uge"),
    "logical_and": _AND, "logical_or": _OR, "logical_xor": _XOR, "logical_not": Register.__invert__,
    "bitwise_and": _AND, "bitwise_or": _OR, "bitwise_xor": _XOR, "bitwise_not": Register.__invert__,
}  # fmt: skip

FORMULAS = {"f": FLOATS, "i": INTEGERS, "u": UNSIGNED, "b": BOOLS}
"""By the kind of element type."""

DIRECT = frozenset(name for name in FLOATS if not CATALOGUE[name].primitive)
"""Operators that are no primitives and have instructions of their own all the same: one instruction in place of three
(relu), or half the time and a smaller error than their bodies have (the others)."""

# ---- conversion ------------------------------------------------------------------------------------------------------


def cast(x: Register, given: DType, wanted: DType) -> Register:
    """x in another element type: to bool by x != 0; floats to integers towards 0, integers to shorter ones by bits.

    A float that the integer cannot hold gives what the processor makes of it, as in NumPy.
    """
    if given is wanted:
        return x
    if given is float16:
        return cast(from_half(x), float32, wanted)
    type = TYPES[wanted.name]
    if wanted.kind == "b":
        return x.differs(0)
    if wanted is float16:
        return to_half(to_odd(x) if given is float64 else cast(x, given, float32))
    if given.kind == "f":
        return x.to("fpext" if given is float32 else "fptrunc", type) if wanted.kind == "f" else to_integer(x, type)
    if wanted.kind == "f":
        return x.to("sitofp" if given.kind == "i" else "uitofp", type)
    if type.bytes > TYPES[given.name].bytes or given.kind == "b":
        return x.to("sext" if given.kind == "i" else "zext", type)
    return x if type.bytes == TYPES[given.name].bytes else x.to("trunc", type)


def to_integer(x: Register, type: Type) -> Register:
    """Towards 0; to a short integer by 32 bits, of which the lower ones are kept: -1.0 gives uint8 255, as in C."""
    if type == I64:
        return x.to("fptosi", I64)
    y = x.to("fptosi", I32)
    return y if type == I32 else y.to("trunc", type)


def to_odd(x: Register) -> Register:
    """A double as a float, whose last bit is set where something was cut off: rounding it again is as rounding x."""
    near = x.to("fptrunc", F32)
    back = near.to("fpext", F64)
    bits = near.bits
    towards_zero = where(abs(back) > abs(x), bits - 1, bits)
    return where(back.equals(x) | x.is_nan, bits, towards_zero | 1).to("bitcast", F32)


# float16 by the bits of float32: not every processor converts them, and some lose subnormal numbers.

HALF_INFINITY = 0x7C00
REBIASED = (127 - 15) << 23
"""The difference between the exponents of the formats, at the place of a float's exponent."""


def from_half(x: Register) -> Register:
    """A half as a float; of a subnormal one, the leading 1 that it lacks is added and taken away again."""
    bits = x.bits.to("zext", I32)
    size = (bits & 0x7FFF) << 13
    normal = size + REBIASED
    infinite = normal + REBIASED
    least = literal(2.0**-14, F32.of(x.type.lanes))
    subnormal = (normal + (1 << 23)).to("bitcast", F32) - Register(x.f, least)
    exponent = bits & HALF_INFINITY
    y = where(exponent.equals(0), subnormal.bits, where(exponent.equals(HALF_INFINITY), infinite, normal))
    return (y | ((bits & 0x8000) << 16)).to("bitcast", F32)


def to_half(x: Register) -> Register:
    """A float as the nearest half, in a tie the even one."""
    bits = x.bits
    size = bits & 0x7FFFFFFF
    odd = (size >> 13) & 1
    normal = (size - REBIASED + 0xFFF + odd) >> 13
    # Added to 1/2, a small number's bits below 2^-24 are rounded away and the others are the last of the sum.
    subnormal = (size.to("bitcast", F32) + 0.5).bits - (126 << 23)
    too_large = where(size > 0x7F800000, bits.constant(0x7E00), HALF_INFINITY)
    y = where(size < (113 << 23), subnormal, where(size < (143 << 23), normal, too_large))
    return (y | (bits >> 16 & 0x8000)).to("trunc", I16).to("bitcast", HALF)
