"""exp, log, tanh, erf, sin ... as polynomials, written into the block that is being written.

For scalars and vectors of floats and doubles; at most 2 units in the last place from the true value, for every
argument: subnormal numbers, signed zeros, infinities and nan included. LLVM's own intrinsics would call libm for each
lane. The polynomials come from `tools/minimax.py`, with their errors; the reductions are in the comments.

Source: Muller, Elementary Functions, 3rd ed. 2016, ch. 3 (minimax), 4 (exp and log), 11 (range reduction).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from math import inf, nan

from chainrule.compiler.targets.llvm.registers import (
    Register,
    at_least,
    at_most,
    fma,
    lane_by_lane,
    rarely,
    where,
)
from chainrule.compiler.targets.llvm.text import F32, F64, I64, Function, Type, Value, literal

# ---- float and double ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """A floating-point format: bits of the fraction, and what is added to exponents."""

    digits: int
    bias: int

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)

    @property
    def shifter(self) -> float:
        """1.5 2^digits: added to a number it rounds to an integer, which then stands in the low bits."""
        return 1.5 * 2.0**self.digits

    @property
    def shifter_bits(self) -> int:
        return ((self.bias + self.digits) << self.digits) + (1 << (self.digits - 1))


SINGLE, DOUBLE = Format(23, 127), Format(52, 1023)


def format_of(x: Register) -> Format:
    return {"float": SINGLE, "double": DOUBLE}[x.type.scalar]


@dataclass(frozen=True)
class Numbers:
    """Constants that differ between the formats, each rounded to its format."""

    single: tuple[float, ...]
    double: tuple[float, ...]

    def of(self, x: Register) -> tuple[float, ...]:
        """Those for the format of x."""
        return self.single if x.type.scalar == "float" else self.double


@dataclass(frozen=True)
class Polynomial(Numbers):
    """Coefficients, lowest power first."""

    def __call__(self, x: Register) -> Register:
        coefficients = self.of(x)
        if len(coefficients) < 8:
            return horner(coefficients, x)
        square = x * x  # two chains side by side: the processor waits half as long for the one before
        return fma(horner(coefficients[1::2], square), x, horner(coefficients[::2], square))


def horner(coefficients: Sequence[float], x: Register) -> Register:
    y = x.constant(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        y = fma(y, x, c)
    return y


# Constants in parts: each is what the parts before it leave of the number, rounded.
LN2 = Numbers((0.6931472, -1.9046542e-09), (0.6931471805599453, 2.3190468138462996e-17))
LOG2_E = Numbers((1.442695, 1.925963e-08), (1.4426950408889634, 2.0355273740931033e-17))
LOG10_E = Numbers((0.4342945, -1.010305e-08), (0.4342944819032518, 1.098319650216765e-17))
LOG10_2 = Numbers((0.30103, -1.4320989e-08), (0.3010299956639812, -2.8037281277851704e-18))
TWO_THIRDS = Numbers((0.6666667, -1.9868216e-08), (0.6666666666666666, 3.700743415417188e-17))
HALF_PI = Numbers(
    (1.5707964, -4.371139e-08, -1.7151245e-15), (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
)
TWO_OVER_PI = Numbers((0.63661975,), (0.6366197723675814,))


def instructions(formula: Callable[..., Register]) -> Callable[..., Value]:
    """A formula on registers as a function of the function that is being written, and of values."""

    @wraps(formula)
    def write(f: Function, *operands: Value) -> Value:
        return formula(*[Register(f, x) for x in operands]).value

    return write


# ---- parts of floats -------------------------------------------------------------------------------------------------


def real(bits: Register, like: Register) -> Register:
    """The float with these bits."""
    return bits.to("bitcast", like.type)


def number(n: Register, like: Register) -> Register:
    """A small integer as a float: by its place in the shifter's low bits, for not every processor converts i64."""
    fmt = format_of(like)
    return real(n + fmt.shifter_bits, like) - fmt.shifter


def rounded(x: Register, factor: float) -> tuple[Register, Register]:
    """The integer nearest to x factor: as a float, and with the shifter's bits added."""
    shifted = fma(factor, x, format_of(x).shifter)
    return shifted - format_of(x).shifter, shifted.bits


def power_of_two(biased: Register, like: Register) -> Register:
    """2^(n - bias) of an integer n from 0 (which gives 0) to 2 bias + 1 (which gives infinity)."""
    return real(biased << format_of(like).digits, like)


def with_sign_of(x: Register, sign: Register) -> Register:
    return x.intrinsic("copysign", sign)


Pair = tuple[Register, Register]
"""A number as an unevaluated sum: its rounding, and the rest."""


def sum_of(large: Register, small: Register) -> Pair:
    """large + small, exactly; |large| >= |small|, or large = 0."""
    y = large + small
    return y, (large - y) + small


def product_of(a: Register, b: Register) -> Pair:
    """a b, exactly."""
    y = a * b
    return y, fma(a, b, -y)


def pair_product(a: Pair, b: Pair) -> Pair:
    y, rest = product_of(a[0], b[0])
    return y, fma(a[0], b[1], fma(a[1], b[0], rest))


# ---- exponentials ----------------------------------------------------------------------------------------------------

# e^r = 1 + r + r^2 P(r), |r| <= ln(2) / 2
EXP = Polynomial(
    single=(  # 2^-28.0
        0.49999994,
        0.16666521,
        0.041668385,
        0.00836871,
        0.0013814631,
    ),
    double=(  # 2^-56.3
        0.5000000000000011,
        0.16666666666666413,
        0.04166666666653025,
        0.008333333333494305,
        0.001388888894360117,
        0.00019841269506841198,
        2.480149313265091e-05,
        2.7557586210211793e-06,
        2.7630235155721905e-07,
        2.5000090634363347e-08,
    ),
)
LOWEST, HIGHEST = Numbers((-104.0,), (-746.0,)), Numbers((90.0,), (711.0,))
"""Where e^x has become 0, and half of it infinite."""


def split_exponent(x: Register) -> tuple[Register, Register, Register]:
    """n, r and what rounding took from r: x = n ln(2) + r. To n the shifter's bits are added.

    n LN2[0] is taken away without an error: the difference is small, and has no bits below the last of both.
    """
    high, low = LN2.of(x)
    n, bits = rounded(x, LOG2_E.of(x)[0])
    first = fma(-high, n, x)
    r = fma(-low, n, first)
    return bits, r, fma(-low, n, first - r)


def scaled(y: Register, bits: Register, less: int = 0) -> Register:
    """y 2^(n - less), in two steps: 2^n itself may be neither normal nor finite where y 2^n is."""
    fmt = format_of(y)
    biased_twice = bits - (fmt.shifter_bits + less - 2 * fmt.bias)
    half = biased_twice >> 1
    return y * power_of_two(half, y) * power_of_two(biased_twice - half, y)


def moderate_exp(x: Register) -> Register:
    """e^x where the caller knows that it is a normal number."""
    fmt = format_of(x)
    bits, r, _ = split_exponent(x)
    return exp_of_rest(r) * power_of_two(bits - (fmt.shifter_bits - fmt.bias), x)


def exp_of_rest(r: Register) -> Register:
    return fma(r * r, EXP(r), r) + 1


def full_exp(x: Register, low: Register | None = None, halvings: int = 0) -> Register:
    """e^(x + low) / 2^halvings for all x; `low` is the rest of a number that x is too short for."""
    bits, r, _ = split_exponent(at_least(at_most(x, HIGHEST.of(x)[0]), LOWEST.of(x)[0]))
    return scaled(exp_of_rest(r if low is None else r + low), bits, halvings)


@instructions
def exp(x: Register) -> Register:
    """e^x."""
    return full_exp(x)


EXPM1_RANGE = Numbers((-18.0, 89.0), (-40.0, 710.0))
"""Where e^x - 1 has become -1 and infinite; within, 2^(n-1) is a normal number."""


@instructions
def expm1(x: Register) -> Register:
    """e^x - 1 = 2 (2^(n-1) q + (2^(n-1) - 1/2)) with q = e^r - 1; the products with powers of two are exact."""
    fmt = format_of(x)
    lowest, highest = EXPM1_RANGE.of(x)
    bits, r, rest = split_exponent(at_least(at_most(x, highest), lowest))
    q = r + fma(r * r, EXP(r), rest)
    half_power = power_of_two(bits - (fmt.shifter_bits - fmt.bias + 1), x)
    y = fma(half_power, q, half_power - 0.5)
    return where(abs(x) < 2.0 ** -(fmt.digits + 2), x, y + y)


# sinh(x) = x + x^3 P(x^2), |x| < 1
SINH = Polynomial(
    single=(  # 2^-27.5
        0.16666667,
        0.00833335,
        0.0001983616,
        2.8169516e-06,
    ),
    double=(  # 2^-56.8
        0.16666666666666666,
        0.008333333333333333,
        0.000198412698412696,
        2.755731922411629e-06,
        2.5052108346508956e-08,
        1.6059050601272985e-10,
        7.646482894734266e-13,
        2.848233041278802e-15,
    ),
)


@instructions
def sinh(x: Register) -> Register:
    """x + x^3 P(x^2) below 1; else e^x/2 - 1/(4 e^x/2), where e^x itself may overflow."""
    a = abs(x)
    half = full_exp(a, halvings=1)
    return with_sign_of(where(a < 1, odd(SINH, a), half - 0.25 / half), x)


@instructions
def cosh(x: Register) -> Register:
    """e^x/2 + 1/(4 e^x/2), where e^x itself may overflow."""
    half = full_exp(abs(x), halvings=1)
    return half + 0.25 / half


def odd(polynomial: Polynomial, x: Register) -> Register:
    """x + x^3 P(x^2)."""
    square = x * x
    return fma(x * square, polynomial(square), x)


# tanh(x) = x + x^3 P(x^2), |x| < 0.55
TANH = Polynomial(
    single=(  # 2^-28.0
        -0.33333316,
        0.13332585,
        -0.053852208,
        0.021071227,
        -0.0062735598,
    ),
    double=(  # 2^-60.1
        -0.333333333333333,
        0.133333333333266,
        -0.053968253963747874,
        0.02186948838547933,
        -0.008863232595092514,
        0.00359209196454893,
        -0.0014555424103583124,
        0.0005884426494047152,
        -0.00023337677674669223,
        8.330942013215671e-05,
        -1.9490248683184906e-05,
    ),
)
TANH_IS_ONE = Numbers((10.0,), (20.0,))


@instructions
def tanh(x: Register) -> Register:
    """x + x^3 P(x^2) below 0.55; else 1 - 2 / (e^2x + 1)."""
    a = abs(x)
    e = moderate_exp(2 * at_most(a, TANH_IS_ONE.of(x)[0]))
    return with_sign_of(where(a < 0.55, odd(TANH, a), 1 - 2 / (e + 1)), x)


# erf(x) = x + x P(x^2), |x| < 1
ERF = Polynomial(
    single=(  # 2^-28.3
        0.12837917,
        -0.37612626,
        0.112835854,
        -0.026853813,
        0.0051883287,
        -0.00080102,
        7.8538826e-05,
    ),
    double=(  # 2^-56.3
        0.1283791670955126,
        -0.3761263890318375,
        0.11283791670954857,
        -0.02686617064507289,
        0.005223977624780831,
        -0.0008548326978740337,
        0.00012055331036837809,
        -1.4925593505542952e-05,
        1.6460972797427164e-06,
        -1.6350025034390346e-07,
        1.4657878695973062e-08,
        -1.1365661955947948e-09,
        5.945255630074743e-11,
    ),
)
# erf(x) = 1 - e^-P(x), x >= 1
ERF_TAIL = Polynomial(
    single=(  # 2^-27.4
        -0.00020206757,
        1.1296494,
        0.6330657,
        0.10860663,
        -0.025348952,
        0.004270649,
        -0.00046036168,
        2.4754878e-05,
        -2.1213161e-07,
    ),
    double=(  # 2^-55.3
        -3.4979056574289605e-08,
        1.1283796004501625,
        0.6366172287238008,
        0.10278201495029295,
        -0.01915308367902532,
        -0.00016066331035555418,
        0.0016215163801449562,
        -0.0004981392802261258,
        -6.616499111749425e-05,
        0.00013994184555968502,
        -8.046301841804224e-05,
        3.119116537068225e-05,
        -9.267574410058068e-06,
        2.1951251599817127e-06,
        -4.1897984582834076e-07,
        6.421700115547653e-08,
        -7.79394995816793e-09,
        7.305867836271055e-10,
        -5.0807384792699885e-11,
        2.452687942984475e-12,
        -7.266905944390229e-14,
        9.802511852008808e-16,
    ),
)
ERF_IS_ONE = Numbers((4.1,), (6.1,))


@instructions
def erf(x: Register) -> Register:
    """x + x P(x^2) below 1; else 1 - e^-Q(x): the tail is small, so that an error of Q counts little."""
    a = at_most(abs(x), ERF_IS_ONE.of(x)[0])
    tail = 1 - moderate_exp(-ERF_TAIL(a))
    return with_sign_of(where(a < 1, fma(a, ERF(a * a), a), tail), x)


# ---- logarithms ------------------------------------------------------------------------------------------------------

# log((1 + s) / (1 - s)) = 2 s + s t P(t), t = s^2, with (1 + s) / (1 - s) from 1/sqrt(2) to sqrt(2)
LOG = Polynomial(
    single=(  # 2^-31.1
        0.6666666,
        0.40000334,
        0.2853731,
        0.23582156,
    ),
    double=(  # 2^-61.6
        0.6666666666666666,
        0.4000000000000624,
        0.2857142856908746,
        0.22222222646556375,
        0.18181775684963672,
        0.15387089898417217,
        0.13250137677960946,
        0.13251149948261653,
    ),
)


def split_number(x: Register) -> tuple[Register, Register]:
    """m in [1/sqrt(2), sqrt(2)) and n + bias with x = m 2^n, for positive finite x."""
    fmt = format_of(x)
    subnormal = x < fmt.smallest_normal
    up = fmt.digits + 2
    bits = where(subnormal, x * 2.0**up, x).bits
    # The lower bits of sqrt(1/2) carry into the exponent where m is large enough.
    biased = (bits + ((fmt.bias << fmt.digits) - SQRT_HALF_BITS[fmt])) >> fmt.digits
    m = real(bits - (biased << fmt.digits) + (fmt.bias << fmt.digits), x)
    return m, where(subnormal, biased - up, biased)


SQRT_HALF_BITS = {SINGLE: 0x3F3504F3, DOUBLE: 0x3FE6A09E667F3BCD}


def log_defect(f: Register) -> Register:
    """f - log(1 + f), small: s (f - t P(t)) with s = f / (2 + f), for 2 s = f - s f."""
    s = f / (f + 2)
    t = s * s
    return s * (f - t * LOG(t))


def where_log_is_finite(x: Register, y: Register) -> Register:
    """y for positive finite x; the logarithm of 0 is -inf, of inf inf, of others nan."""
    special = where(x > 0, x, where(x.equals(0), x.constant(-inf), nan))
    return where((x > 0) & (x < inf), y, special)


def log_of_parts(f: Register, biased: Register) -> Register:
    """n ln(2) + log(1 + f)."""
    high, low = LN2.of(f)
    n = number(biased - format_of(f).bias, f)
    return fma(high, n, f - fma(-low, n, log_defect(f)))


@instructions
def log(x: Register) -> Register:
    """n ln(2) + log(m)."""
    m, biased = split_number(x)
    return where_log_is_finite(x, log_of_parts(m - 1, biased))


@instructions
def log1p(x: Register) -> Register:
    """The logarithm of u = 1 + x, to whose mantissa is added what the sum's rounding took."""
    fmt = format_of(x)
    u = x + 1
    of_x = u - 1
    lost = (1 - (u - of_x)) + (x - of_x)
    m, biased = split_number(u)
    # half of it times 2^(1-n): n may be bias + 1, for which 2^-n is no normal number
    f = fma(0.5 * lost, power_of_two(2 * fmt.bias + 1 - biased, x), m - 1)
    y = where_log_is_finite(u, log_of_parts(f, biased))
    return where(abs(x) < 2.0 ** -(fmt.digits + 2), x, y)


@instructions
def log2(x: Register) -> Register:
    """n + log(m) / ln(2): exact for powers of two."""
    m, biased = split_number(x)
    f = m - 1
    y = f - log_defect(f)
    high, low = LOG2_E.of(x)
    return where_log_is_finite(x, number(biased - format_of(x).bias, x) + fma(high, y, low * y))


@instructions
def log10(x: Register) -> Register:
    """n log10(2) + log(m) / ln(10)."""
    m, biased = split_number(x)
    n = number(biased - format_of(x).bias, x)
    f = m - 1
    y = f - log_defect(f)
    high, low = LOG10_E.of(x)
    of_two, rest = LOG10_2.of(x)
    return where_log_is_finite(x, fma(of_two, n, fma(rest, n, fma(high, y, low * y))))


# ---- powers ----------------------------------------------------------------------------------------------------------

# log((1 + s) / (1 - s)) = 2 s + 2/3 s t + s t^2 P(t)
LOG_AFTER_CUBE = Polynomial(
    single=(  # 2^-38.6
        0.39999998,
        0.28571874,
        0.22185016,
        0.19467826,
    ),
    double=(  # 2^-66.6
        0.4,
        0.28571428571428376,
        0.22222222222290577,
        0.18181818169253192,
        0.15384616753172012,
        0.13333240438995783,
        0.11768673670645767,
        0.10422906697356743,
        0.11013290153538763,
    ),
)


def log_pair(x: Register) -> Pair:
    """log(x) for positive finite x with a third more bits than the format has."""
    m, biased = split_number(x)
    n = number(biased - format_of(x).bias, x)
    f = m - 1
    denominator = sum_of(x.constant(2), f)
    inverse = 1 / denominator[0]
    s_high = f * inverse
    s = s_high, fma(-s_high, denominator[1], fma(-s_high, denominator[0], f)) * inverse
    t = pair_product(s, s)
    two_thirds, rest = TWO_THIRDS.of(x)
    y, low = sum_of(x.constant(two_thirds), t[0] * LOG_AFTER_CUBE(t[0]))
    y, low = pair_product(t, (y, low + rest))
    y, more = sum_of(x.constant(2), y)
    y, low = pair_product(s, (y, more + low))
    ln2, ln2_rest = LN2.of(x)
    whole = n * ln2
    whole_low = fma(n, x.constant(ln2), -whole) + n * ln2_rest
    y, more = sum_of(whole, y)
    return y, more + (low + whole_low)


@instructions
def pow(x: Register, y: Register) -> Register:
    """e^(y log |x|), the product in two parts; negative for a negative x and an odd y, C's values at the limits."""
    a = abs(x)
    log_a, rest = log_pair(a)
    log_a = where(a.equals(0), -inf, where(a.equals(inf), inf, log_a))
    exponent, low = product_of(log_a, y)
    low = where(abs(exponent) < 2 * HIGHEST.of(x)[0], fma(rest, y, low), 0)
    magnitude = where(a.equals(1) | y.equals(0), 1, full_exp(exponent, low))

    is_whole = y.intrinsic("trunc").equals(y)
    half = 0.5 * y
    is_odd = is_whole & half.intrinsic("trunc").differs(half)
    power = where(is_odd, with_sign_of(magnitude, x), magnitude)
    undefined = ((x < 0) & (x > -inf) & ~is_whole) | x.is_nan | y.is_nan
    always_one = x.equals(1) | y.equals(0)
    return where(undefined & ~always_one, nan, power)


# ---- trigonometry ----------------------------------------------------------------------------------------------------

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
