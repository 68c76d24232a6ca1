"""exp, log, tanh, erf, pow ... as polynomials, written into the block that is being written.

For scalars and vectors of floats and doubles; at most 2 units in the last place from the true value, for every
argument: subnormal numbers, signed zeros, infinities and nan included. LLVM's own intrinsics would call libm for each
lane. The polynomials come from `tools/minimax.py`, with their errors; the reductions are in the comments.

Source: Muller, Elementary Functions, 3rd ed. 2016, ch. 3 (minimax), 4 and 5 (exp and log).
"""

from __future__ import annotations

from math import inf, nan

from chainrule.compiler.targets.llvm.floats import (
    DOUBLE,
    SINGLE,
    Numbers,
    Pair,
    Polynomial,
    format_of,
    instructions,
    number,
    odd,
    pair_product,
    power_of_two,
    product_of,
    real,
    rounded,
    sum_of,
    with_sign_of,
)
from chainrule.compiler.targets.llvm.registers import Register, at_least, at_most, fma, where

# Constants in parts: each is what the parts before it leave of the number, rounded.
LN2 = Numbers((0.6931472, -1.9046542e-09), (0.6931471805599453, 2.3190468138462996e-17))
LOG2_E = Numbers((1.442695, 1.925963e-08), (1.4426950408889634, 2.0355273740931033e-17))
LOG10_E = Numbers((0.4342945, -1.010305e-08), (0.4342944819032518, 1.098319650216765e-17))
LOG10_2 = Numbers((0.30103, -1.4320989e-08), (0.3010299956639812, -2.8037281277851704e-18))
TWO_THIRDS = Numbers((0.6666667, -1.9868216e-08), (0.6666666666666666, 3.700743415417188e-17))

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
