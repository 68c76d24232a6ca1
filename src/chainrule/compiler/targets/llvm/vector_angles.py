"""sin, cos, tan and their inverses as polynomials, written into the block that is being written.

As in `vector_maths.py`, at most 2 units in the last place from the true value for every argument. Large angles are
reduced with as many bits of 2/pi as it takes, behind a branch that is seldom taken.

Source: Muller, Elementary Functions, 3rd ed. 2016, ch. 11 (range reduction).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, nan

from chainrule.compiler.targets.llvm.floats import (
    DOUBLE,
    SINGLE,
    Numbers,
    Pair,
    Polynomial,
    format_of,
    instructions,
    odd,
    product_of,
    real,
    rounded,
    sum_of,
    with_sign_of,
)
from chainrule.compiler.targets.llvm.registers import Register, fma, lane_by_lane, rarely, where
from chainrule.compiler.targets.llvm.text import F32, F64, I64, Type, literal

# Constants in parts: each is what the parts before it leave of the number, rounded.
HALF_PI = Numbers(
    (1.5707964, -4.371139e-08, -1.7151245e-15), (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
)
TWO_OVER_PI = Numbers((0.63661975,), (0.6366197723675814,))

# ---- angles to numbers -----------------------------------------------------------------------------------------------

# sin(r) = r + r^3 P(r^2), |r| <= pi/4
SIN = Polynomial(
    single=(  # 2^-27.1
        -0.16666654,
        0.008332137,
        -0.00019512029,
    ),
    double=(  # 2^-56.3
        -0.1666666666666663,
        0.008333333333321544,
        -0.00019841269829113298,
        2.7557313451133523e-06,
        -2.5050720374482796e-08,
        1.5894603053845526e-10,
    ),
)
# cos(r) = 1 - r^2/2 + r^4 P(r^2)
COS = Polynomial(
    single=(  # 2^-31.1
        0.041666646,
        -0.0013887284,
        2.4429439e-05,
    ),
    double=(  # 2^-62.2
        0.04166666666666659,
        -0.0013888888888872236,
        2.480158728832783e-05,
        -2.7557314024704106e-07,
        2.087567941202439e-09,
        -1.1357406573607136e-11,
    ),
)

LARGE_ANGLE = Numbers((2.0**17,), (2.0**30,))
"""From here on an angle's quadrant is found with as many bits of 2/pi as it takes."""

TWO_OVER_PI_BITS = int(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424d"
    "d2e006492eea09d1921cfe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639"
    "835339f49c845f8bbdf9283b1ff897ffde05980fef2f118b5a0a6d1f6d367ecf27cb09b74f46"
    "3f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d0856033046fc7b6bab",
    16,
)
"""2/pi times 2^1216."""

Angle = tuple[Register, Register, Register]
"""q pi/2 + r + rest: r in [-pi/4, pi/4], what r is too short for, and an integer q of which the last two bits count."""


def reduced(x: Register) -> Angle:
    """x >= 0 as an angle in its quadrant."""
    first, second, third = HALF_PI.of(x)
    n, q = rounded(x, TWO_OVER_PI.of(x)[0])
    near = fma(-first, n, x)  # without an error, as in split_exponent
    step, step_low = product_of(x.constant(second), n)
    r = near - step
    rest = fma(-third, n, ((near - r) - step) - step_low)
    large = x >= LARGE_ANGLE.of(x)[0]

    def slowly() -> Sequence[Register]:
        types = (x.type.element, x.type.element, q.type.element)
        angles = lane_by_lane(x, types, reduced_from_large)
        return [where(large, of_large, usual) for of_large, usual in zip(angles, (r, rest, q), strict=True)]

    r, rest, q = rarely(large, (r, rest, q), slowly)
    return r, rest, q


def reduced_from_large(x: Register) -> Angle:
    """The same for one large number: x = m 2^e times those bits of 2/pi that give the quadrant and the fraction.

    Bits of 2/pi whose product with m is a multiple of four quadrants are shifted out, and bits too small to count.

    Source: Payne and Hanek, Radian reduction for trigonometric functions, SIGNUM Newsletter 18 (1983).
    """
    fmt = format_of(x)
    whole, window = (256, 128) if fmt is SINGLE else (1216, 192)
    wide = Type(f"i{window}")
    bits = x.bits
    m = (bits & ((1 << fmt.digits) - 1)) | (1 << fmt.digits)
    down = whole - window + 2 + fmt.bias + fmt.digits - (bits >> fmt.digits)
    down = down.intrinsic("umin", whole - 1).to("zext", Type(f"i{whole}"))
    two_over_pi = Register(x.f, literal(TWO_OVER_PI_BITS >> (1216 - whole), Type(f"i{whole}")))
    turned = (two_over_pi >> down).to("trunc", wide) * m.to("zext", wide)

    q = ((turned >> (window - 3)).to("trunc", bits.type) + 1) >> 1
    fraction = turned << 2  # of a quadrant, times 2^window; from -1/2 to 1/2 as a signed number
    size = where(fraction < 0, -fraction, fraction)
    zeros = Register(x.f, x.f.value(f"call {wide} @llvm.ctlz.{wide}({size.value.typed}, i1 false)", wide))
    x.f.declare(f"llvm.ctlz.{wide}", wide, [wide, Type("i1")])
    leading = ((size << zeros) >> (window - 64)).to("trunc", I64)
    angle = (leading.to("zext", Type("i128")) * HALF_PI_BITS >> 64).to("trunc", I64)  # half of r's first 64 bits
    unit = ((1023 - 63 - zeros.to("trunc", I64)) << 52).to("bitcast", F64)
    unit = where(fraction < 0, -unit, unit)
    r = (angle & -(1 << 11)).to("uitofp", F64) * unit
    rest = (angle & ((1 << 11) - 1)).to("uitofp", F64) * unit
    if fmt is DOUBLE:
        return r, rest, q
    short = r.to("fptrunc", F32)
    return short, (r - short.to("fpext", F64)).to("fptrunc", F32), q


HALF_PI_BITS = 0xC90FDAA22168C234
"""pi/2 times 2^63."""


def sine_and_cosine(r: Register, rest: Register) -> tuple[Pair, Pair]:
    """sin(r + rest) and cos(r + rest) for |r| <= pi/4."""
    square = r * r
    half = 0.5 * square
    half_low = fma(0.5 * r, r, -half) + r * rest
    most = 1 - half
    sine = fma(r * square, SIN(square), rest * most)
    cosine = ((1 - most) - half) + fma(square * square, COS(square), -half_low)
    return sum_of(r, sine), sum_of(most, cosine)


def turned_by_sign_bit(x: Register, bits: Register) -> Register:
    """x with its sign turned where the highest bit of an integer is set."""
    highest = -(1 << (8 * x.type.bytes - 1))
    return real(x.bits ^ (bits & highest), x)


def wave(r: Register, rest: Register, q: Register) -> Register:
    """sin(q pi/2 + r + rest)."""
    (sine, _), (cosine, _) = sine_and_cosine(r, rest)
    return turned_by_sign_bit(where((q & 1).equals(0), sine, cosine), q << (8 * r.type.bytes - 2))


def nan_at_infinity(x: Register, y: Register) -> Register:
    return where(abs(x).equals(inf), nan, y)


@instructions
def sin(x: Register) -> Register:
    """The sine, of |x| reduced to [-pi/4, pi/4]."""
    return nan_at_infinity(x, turned_by_sign_bit(wave(*reduced(abs(x))), x.bits))


@instructions
def cos(x: Register) -> Register:
    """The cosine: the sine a quadrant further."""
    r, rest, q = reduced(abs(x))
    return nan_at_infinity(x, wave(r, rest, q + 1))


@instructions
def tan(x: Register) -> Register:
    """sin / cos, or -cos / sin in every other quadrant; what the quotient lacks is added."""
    r, rest, q = reduced(abs(x))
    sine, cosine = sine_and_cosine(r, rest)
    even = (q & 1).equals(0)
    above = [where(even, s, -c) for s, c in zip(sine, cosine, strict=True)]
    below = [where(even, c, s) for s, c in zip(sine, cosine, strict=True)]
    inverse = 1 / below[0]
    y = above[0] * inverse
    missing = fma(-y, below[0], above[0]) + fma(-y, below[1], above[1])
    return nan_at_infinity(x, turned_by_sign_bit(fma(missing, inverse, y), x.bits))


# ---- numbers to angles -----------------------------------------------------------------------------------------------

# asin(x) = x + x^3 P(x^2), |x| <= 1/2
ASIN = Polynomial(
    single=(  # 2^-27.3
        0.16666752,
        0.074952886,
        0.045471653,
        0.024172748,
        0.04217854,
    ),
    double=(  # 2^-58.1
        0.1666666666666676,
        0.07499999999970633,
        0.04464285717477988,
        0.030381942699337746,
        0.022372215235664846,
        0.01735160738868187,
        0.013980877926535672,
        0.011398427535778109,
        0.010783051980811604,
        0.0036955321484797576,
        0.02173463150198199,
        -0.02103853110499456,
        0.03265391879100182,
    ),
)


def half_angle(x: Register) -> tuple[Register, Register, Register]:
    """|x| > 1/2, and s and d with asin(s) = s + d: s is |x| there, else sqrt((1 - |x|) / 2), half the angle's sine."""
    a = abs(x)
    large = a > 0.5
    t = where(large, 0.5 * (1 - a), a * a)
    s = where(large, t.intrinsic("sqrt"), a)
    return large, s, s * t * ASIN(t)


@instructions
def asin(x: Register) -> Register:
    """asin(|x|) up to 1/2; else pi/2 - 2 asin(sqrt((1 - |x|) / 2))."""
    large, s, d = half_angle(x)
    right, low, _ = HALF_PI.of(x)
    y, lost = sum_of(x.constant(right), -2 * s)
    return with_sign_of(where(large, y + (lost - (2 * d - low)), s + d), x)


@instructions
def acos(x: Register) -> Register:
    """pi/2 - asin(x) up to 1/2; else 2 asin(sqrt((1 - x) / 2)), or pi minus that for -x."""
    large, s, d = half_angle(x)
    right, low, _ = HALF_PI.of(x)
    s_signed, d_signed = with_sign_of(s, x), with_sign_of(d, x)
    near_one = 2 * (s + d)
    near_minus_one = (2 * right - 2 * s) - (2 * d - 2 * low)
    return where(large, where(x < 0, near_minus_one, near_one), (right - s_signed) - (d_signed - low))


# atan(x) = x + x^3 P(x^2), |x| <= 1/2
ATAN = Polynomial(
    single=(  # 2^-26.9
        -0.33333233,
        0.19994219,
        -0.14174902,
        0.101594314,
        -0.05131531,
    ),
    double=(  # 2^-56.9
        -0.33333333333333315,
        0.1999999999999324,
        -0.1428571428495803,
        0.11111111068414864,
        -0.09090907665341395,
        0.07692276997283924,
        -0.06666217974722805,
        0.05877762659624893,
        -0.05229769586173885,
        0.045885531655384504,
        -0.03709754771199311,
        0.023625834773521398,
        -0.008347911376711814,
    ),
)


def angle_of(y: Register, x: Register) -> Register:
    """The angle in [0, pi] of the point (x, |y|).

    With the smaller of |x| and |y| over the larger, t, the first octant's angle is atan(t), or beyond t = 1/2
    pi/4 - atan((1 - t) / (1 + t)): no angle but 0 is the difference of two that are nearly equal.
    """
    ax, ay = abs(x), abs(y)
    steep = ay > ax
    small, large = where(steep, ax, ay), where(steep, ay, ax)
    far = small > 0.5 * large
    t = where(far, small - large, small) / where(far, small + large, large)
    p = odd(ATAN, t)
    # The angle is k pi/4 + p: k = 0 or 1 in the first octant, 2 - k when steep, 4 - k on the left side.
    k = where(far, x.constant(1), 0)
    k, p = where(steep, 2 - k, k), where(steep, -p, p)
    left = x.is_negative
    k, p = where(left, 4 - k, k), where(left, -p, p)
    high, low, _ = HALF_PI.of(x)
    return fma(0.5 * high, k, fma(0.5 * low, k, p))


@instructions
def atan(x: Register) -> Register:
    """The angle of the point (1, x)."""
    return with_sign_of(angle_of(x, x.constant(1)), x)


@instructions
def atan2(y: Register, x: Register) -> Register:
    """The angle in [-pi, pi] of the point (x, y); of (0, 0) and of infinities by their signs, as in C."""
    fmt = format_of(x)
    ax, ay = abs(x), abs(y)
    largest = where(ax < ay, ay, ax)
    # Sums of huge numbers overflow, so both are made smaller; of infinities only the directions count.
    factor = where(largest > 2.0 ** (fmt.bias - 2), x.constant(2.0 ** -(fmt.digits + 2)), 1)
    infinite = largest.equals(inf)
    height = where(infinite, where(ay.equals(inf), 1, 0 * y), factor * y)
    width = where(infinite, where(ax.equals(inf), x.constant(1), 0), where(largest.equals(0), 1, factor * x))
    return with_sign_of(angle_of(height, with_sign_of(width, x)), y)
