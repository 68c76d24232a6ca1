"""Random words as instructions: Philox 4x64-10, the bits that NumPy's generator of that name draws.

A block of four words is a function of a key and the block's number alone, so that any element can be drawn by itself,
in any order and on any thread. The conversions to numbers are those of `ops/random.py`.

Source: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from chainrule.compiler.targets.llvm.elementwise import binary, cast
from chainrule.compiler.targets.llvm.registers import Register
from chainrule.compiler.targets.llvm.text import F32, F64, I32, I64, Function, Type, Value, literal
from chainrule.dtypes import DType, float32, float64

ROUNDS = 10
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
"""What is added to the two words of the key between rounds: the golden ratio's bits, and those of sqrt(3) - 1."""
WORDS = 4
"""In a block."""


def block(f: Function, key: Value, counter: Value) -> tuple[Value, Value, Value, Value]:
    """The four words of one block.

    Args:
        key: an i64, as the 64 bits of the generator's key.
        counter: an i64: the block's number after the first that NumPy would draw with this key and counter 0.
    """
    k = [Register(f, key), Register(f, literal(0, I64))]
    # NumPy counts before it draws.
    a, b, c, d = Register(f, counter) + 1, *[Register(f, literal(0, I64))] * 3
    for turn in range(ROUNDS):
        if turn:
            k = [word + step for word, step in zip(k, KEY_STEPS, strict=True)]
        (a_high, a_low), (c_high, c_low) = (wide_product(x, m) for x, m in zip((a, c), MULTIPLIERS, strict=True))
        a, b, c, d = c_high ^ b ^ k[0], c_low, a_high ^ d ^ k[1], a_low
    return a.value, b.value, c.value, d.value


def wide_product(x: Register, factor: int) -> tuple[Register, Register]:
    """The high and the low 64 bits of the 128 of a product."""
    wide = Type("i128")
    product = x.to("zext", wide) * factor
    return (product >> 64).to("trunc", I64), product.to("trunc", I64)


def words(f: Function, key: Value, counter: Value, first: Value, lanes: int, step: int) -> Value:
    """The words at the places first, first + 1, ... of the stream that begins with the block `counter`.

    Block by block: a processor multiplies 64 by 64 bits in one instruction, but vectors of them in a dozen.

    Args:
        key: an i64, as in `block`.
        counter: an i64, as in `block`.
        first: an i64, a multiple of `step`.
        lanes: how many words, as a vector; 0 for one word as a scalar.
        step: what is known of `first`. Where it is no multiple of 4, the words may begin within a block.
    """
    known = gcd(step, WORDS)
    blocks = -(-(max(lanes, 1) + WORDS - known) // WORDS)
    number = Register(f, counter) + (Register(f, first) >> 2)
    drawn = [w for i in range(blocks) for w in block(f, key, (number + i).value)]
    for bit in (2, 1):
        if bit >= known:
            is_later = (Register(f, first) & bit).differs(0).value
            drawn = [f.select(is_later, later, word) for word, later in zip(drawn, drawn[bit:], strict=False)]
    if not lanes:
        return drawn[0]
    return vector_of(f, drawn[:lanes])


def vector_of(f: Function, scalars: Sequence[Value]) -> Value:
    """Scalars as the lanes of a vector."""
    vector = Value("poison", scalars[0].type.of(len(scalars)))
    for lane, scalar in enumerate(scalars):
        vector = f.insert(vector, scalar, lane)
    return vector


# ---- numbers ------------------------------------------------------------------------------------------------------


def uniform(f: Function, word: Value, dtype: DType) -> Value:
    """Words as numbers in [0, 1): the top 53 bits for float64, else the top 24."""
    bits = Register(f, word)
    if dtype is float64:
        return ((bits >> 11).to("uitofp", F64) * 2.0**-53).value
    number = (bits >> 40).to("trunc", I32).to("sitofp", F32) * 2.0**-24
    return cast(number, float32, dtype).value


def random_integers(f: Function, word: Value, low: int, high: int) -> Value:
    """Words as int64 in [low, high): their remainders."""
    bits = Register(f, word)
    return (binary("urem")(bits, bits.constant(high - low)) + low).value
