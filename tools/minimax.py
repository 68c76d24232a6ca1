"""Prints the polynomials of vector_maths.py and vector_angles.py: minimax approximations, by Remez's exchange.

python tools/minimax.py            every table
python tools/minimax.py LOG ERF    these

Each table approximates `function` by a polynomial in t on `interval`, so that the largest `weight` x error is as small
as it can be: the weight turns an error of the polynomial into a relative error of the function it serves. Behind the
coefficients, lowest power first and rounded to the format, stands that relative error, measured after the rounding.

Source: Cheney, Introduction to Approximation Theory, 1966, ch. 3.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np

Real = Any  # mpmath's numbers; its functions carry no annotations
Map = Callable[[Real], Real]

mp.mp.dps = 60
SAMPLES = 600
"""Points where the error is looked at, closer together towards the ends of the interval."""


@dataclass(frozen=True)
class Table:
    """What is approximated, where, and with how many coefficients: for float, for double."""

    function: Map
    weight: Map
    single: tuple[Real, Real, int]
    double: tuple[Real, Real, int]


def odd(f: Map) -> tuple[Map, Map]:
    """For f(x) = x + x t P(t) with t = x^2: the function that P approximates, and the weight."""
    return (
        lambda t: (f(mp.sqrt(t)) / mp.sqrt(t) - 1) / t,
        lambda t: t * mp.sqrt(t) / f(mp.sqrt(t)),
    )


HALF_LN2 = mp.log(2) / 2 * (1 + mp.mpf(2) ** -20)
LOG_END = (1 - 2 / (mp.sqrt(2) + 1)) ** 2 * (1 + mp.mpf(2) ** -20)
"""s^2 for the largest s = f / (2 + f), 1 + f in [1/sqrt 2, sqrt 2]."""
EIGHTH_TURN = (mp.pi / 4) ** 2 * mp.mpf("1.01")

TABLES = {
    # e^r = 1 + r + r^2 P(r)
    "EXP": Table(
        lambda r: (mp.expm1(r) - r) / r**2,
        lambda r: r**2 / mp.exp(r),
        (-HALF_LN2, HALF_LN2, 5),
        (-HALF_LN2, HALF_LN2, 10),
    ),
    # log((1 + s) / (1 - s)) = 2 s + s t P(t), t = s^2
    "LOG": Table(
        lambda t: (2 * mp.atanh(mp.sqrt(t)) / mp.sqrt(t) - 2) / t, lambda t: t / 2, (0, LOG_END, 4), (0, LOG_END, 8)
    ),
    # the same = 2 s + 2/3 s t + s t^2 P(t)
    "LOG_AFTER_CUBE": Table(
        lambda t: ((2 * mp.atanh(mp.sqrt(t)) / mp.sqrt(t) - 2) / t - mp.mpf(2) / 3) / t,
        lambda t: t * t / 2,
        (0, LOG_END, 4),
        (0, LOG_END, 9),
    ),
    "TANH": Table(*odd(mp.tanh), (0, mp.mpf("0.3026"), 5), (0, mp.mpf("0.3026"), 11)),
    "SINH": Table(*odd(mp.sinh), (0, 1, 4), (0, 1, 8)),
    # erf(x) = x + x P(x^2)
    "ERF": Table(
        lambda t: mp.erf(mp.sqrt(t)) / mp.sqrt(t) - 1,
        lambda t: mp.sqrt(t) / mp.erf(mp.sqrt(t)),
        (0, 1, 7),
        (0, 1, 13),
    ),
    # erf(x) = 1 - e^-P(x)
    "ERF_TAIL": Table(
        lambda x: -mp.log(mp.erfc(x)), lambda x: mp.erfc(x) / mp.erf(x), (1, mp.mpf("4.1"), 9), (1, mp.mpf("6.1"), 22)
    ),
    "SIN": Table(*odd(mp.sin), (0, EIGHTH_TURN, 3), (0, EIGHTH_TURN, 6)),
    # cos(r) = 1 - t/2 + t^2 P(t)
    "COS": Table(
        lambda t: (mp.cos(mp.sqrt(t)) - 1 + t / 2) / t**2,
        lambda t: t**2 / mp.cos(mp.sqrt(t)),
        (0, EIGHTH_TURN, 3),
        (0, EIGHTH_TURN, 6),
    ),
    "ASIN": Table(*odd(mp.asin), (0, mp.mpf("0.2501"), 5), (0, mp.mpf("0.2501"), 13)),
    "ATAN": Table(*odd(mp.atan), (0, mp.mpf("0.2501"), 5), (0, mp.mpf("0.2501"), 13)),
}


def near(x: Real, a: Real, b: Real) -> Real:
    """x, or a point close by where x is 0: the quotients above have limits there, and no values."""
    return x if x else (b - a) * mp.mpf(10) ** -18


def points(a: Real, b: Real, count: int) -> list[Real]:
    """The extremes of Chebyshev's polynomial on [a, b]."""
    return [near((a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * i / (count - 1)), a, b) for i in range(count)]


def remez(table: Table, a: Real, b: Real, count: int) -> list[Real]:
    """The coefficients, lowest power first, of the polynomial whose largest weighted error on [a, b] is smallest."""
    grid = points(a, b, SAMPLES)
    values, weights = [table.function(x) for x in grid], [table.weight(x) for x in grid]
    chosen = [(SAMPLES - 1) * (2 * i + 1) // (2 * count + 2) for i in range(count + 1)]
    for _ in range(40):
        system = mp.matrix(count + 1, count + 1)
        right = mp.matrix(count + 1, 1)
        for row, i in enumerate(chosen):
            for power in range(count):
                system[row, power] = grid[i] ** power
            system[row, count] = (-1) ** row / weights[i]
            right[row] = values[i]
        *solution, level = mp.lu_solve(system, right)
        errors = [w * (v - horner(solution, x)) for x, v, w in zip(grid, values, weights, strict=True)]
        chosen = exchanged(errors, count + 1)
        if max(map(abs, errors)) < abs(level) * mp.mpf("1.001"):
            break
    return solution


def exchanged(errors: Sequence[Real], count: int) -> list[int]:
    """Where the error is largest between its changes of sign; of more such places than needed the outer small go."""
    peaks: list[int] = []
    for i, error in enumerate(errors):
        if peaks and (error > 0) == (errors[peaks[-1]] > 0):
            peaks[-1] = max(peaks[-1], i, key=lambda j: abs(errors[j]))
        else:
            peaks.append(i)
    while len(peaks) > count:
        peaks.pop(0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1)
    assert len(peaks) == count, "the error changes sign too rarely: more samples or another interval"
    return peaks


def horner(coefficients: Sequence[Real], x: Real) -> Real:
    y = mp.mpf(0)
    for c in reversed(coefficients):
        y = y * x + c
    return y


def main(names: Sequence[str]) -> None:
    for name in names or TABLES:
        table = TABLES[name]
        print(f"{name} = Polynomial(")
        for kind, round_to, (a, b, count) in (
            ("single", np.float32, table.single),
            ("double", np.float64, table.double),
        ):
            rounded = [round_to(str(c)) for c in remez(table, mp.mpf(a), mp.mpf(b), count)]
            exact = [mp.mpf(float(c)) for c in rounded]
            errors = [
                table.weight(x) * (table.function(x) - horner(exact, x)) for x in points(mp.mpf(a), mp.mpf(b), 200)
            ]
            worst = max(map(abs, errors))
            print(f"    {kind}=(  # 2^{float(mp.log(worst, 2)):.1f}")
            print("".join([f"        {c!s},\n" for c in rounded]) + "    ),")
        print(")")


if __name__ == "__main__":
    main(sys.argv[1:])
