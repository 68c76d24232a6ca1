"""Random words as instructions: Philox 4x64-10, the bits that NumPy's generator of that name draws.

A block of four words is a function of a key and the block's number alone, so that any element can be drawn by itself,
in any order and on any thread. The conversions to numbers are those of `ops/random.py`.

Source: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011.
"""

from __future__ import annotations

from chainrule.compiler.targets.llvm.elementwise import TYPES, binary, cast
from chainrule.compiler.targets.llvm.registers import Register, where
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


def word(f: Function, key: Value, counter: Value, place: Value) -> Value:
    """The word at a place (an i64) of the stream that begins with the block `counter`."""
    at = Register(f, place)
    words = [Register(f, w) for w in block(f, key, (Register(f, counter) + (at >> 2)).value)]
    low, high = ((at & bit).differs(0) for bit in (1, 2))
    return where(high, where(low, words[3], words[2]), where(low, words[1], words[0])).value


def words(f: Function, key: Value, counter: Value, first: Value, lanes: int) -> Value:
    """The words at the places first, first + 1, ... of the stream, as many as lanes.

    All blocks are computed side by side, in vectors of two halves: the words a and c of each block, and b and d.

    Args:
        first: an i64, a multiple of four.
        lanes: a multiple of four.
    """
    assert lanes % WORDS == 0
    blocks = lanes // WORDS
    numbers = Value(f"<{', '.join([f'i64 {i}' for i in range(1, blocks + 1)])}>", I64.of(blocks))
    start = Register(f, counter) + (Register(f, first) >> 2)
    a = Register(f, f.splat(start.value, blocks)) + Register(f, numbers)
    zero = a.constant(0)
    factors = halves(literal_of(a, MULTIPLIERS[0]), literal_of(a, MULTIPLIERS[1]))
    k = Register(f, key), Register(f, literal(0, I64))
    ac, bd = halves(a, zero), halves(zero, zero)
    for turn in range(ROUNDS):
        if turn:
            k = k[0] + KEY_STEPS[0], k[1] + KEY_STEPS[1]
        high, low = wide_products(ac, factors)
        keys = halves(*[Register(f, f.splat(word.value, blocks)) for word in k])
        ac, bd = exchanged(high) ^ bd ^ keys, exchanged(low)
    # a0 a1 .. c0 c1 .. | b0 b1 .. d0 d1 ..  to  a0 b0 c0 d0 a1 ..
    order = [i + shift for i in range(blocks) for shift in (0, 2 * blocks, blocks, 3 * blocks)]
    return f.shuffle(ac.value, bd.value, order)


def literal_of(x: Register, number: int) -> Register:
    return x.constant(number)


def halves(a: Register, b: Register) -> Register:
    """A vector of both."""
    both = range(2 * a.type.lanes)
    return Register(a.f, a.f.shuffle(a.value, b.value, both))


def exchanged(x: Register) -> Register:
    """The second half before the first."""
    half = x.type.lanes // 2
    return Register(x.f, x.f.shuffle(x.value, x.value, [*range(half, 2 * half), *range(half)]))


def wide_products(x: Register, y: Register) -> tuple[Register, Register]:
    """The high and the low 64 bits of products, by those of halves: vectors have no wider ones."""
    mask = (1 << 32) - 1
    x_low, x_high, y_low, y_high = x & mask, x >> 32, y & mask, y >> 32
    low = x_low * y_low
    middle = x_high * y_low + (low >> 32)
    other = x_low * y_high + (middle & mask)
    high = x_high * y_high + (middle >> 32) + (other >> 32)
    return high, (other << 32) | (low & mask)


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
