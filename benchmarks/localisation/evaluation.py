"""The numbers of a derivation's text, by NumPy alone, and the truth: finite differences of its forward part.

Lines become Python by a few substitutions. All draws of the givens are evaluated at once: a value has the shape
(draws, 1, rows, columns) in the forward part, where the second axis runs over the elements that are moved, and
(draws, rows, columns) in the claims.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from types import CodeType
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Lines = Sequence[tuple[str, str]]

STEP = 1e-3  # of the differences; once extrapolated, their error falls with its 4th power
MODERATE = 1e4  # losses beyond it come from powers of powers
SATURATED = 1e-5  # an output nearer to 0 or 1 has lost the digits that its logarithm needs
AGREEMENT = 1e-7  # of two extrapolations; a kink between them, or a loss near its rounding, leaves a larger share


class CannotDifferentiate(Exception):
    """Finite differences decide nothing here: too few draws are away from kinks, or a number is not finite."""


# Functions of the notation ------------------------------------------------------------------------------------------


AXES: dict[object, Any] = {0: -2, 1: -1, "all": (-2, -1)}


def _sum(x: Array, axis: object = 0) -> Array:
    return np.asarray(np.sum(x, axis=AXES[axis], keepdims=True))


def _mean(x: Array, axis: object = 0) -> Array:
    return np.asarray(np.mean(x, axis=AXES[axis], keepdims=True))


def _max(x: Array, axis: object = 0) -> Array:
    return np.asarray(np.max(x, axis=AXES[axis], keepdims=True))


def _softmax(x: Array, axis: object = 0) -> Array:
    powers = np.exp(x - _max(x, axis))
    return np.asarray(powers / _sum(powers, axis))


def _diag(x: Array) -> Array:
    if x.shape[-1] != 1:
        raise ValueError("diag of something that is no column")
    return np.asarray(x * np.eye(x.shape[-2]))


def _outer(x: Array, y: Array) -> Array:
    return np.asarray(x @ y.mT)


_erf = np.vectorize(math.erf, otypes=[float])


def _normal_below(x: Array) -> Array:
    return np.asarray((1 + _erf(x / math.sqrt(2))) / 2)


def _normal_density(x: Array) -> Array:
    return np.asarray(np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi))


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _positive(x: Array) -> Array:
    return np.asarray(np.where(x > 0, 1.0, 0.0))


FUNCTIONS: dict[str, Any] = {
    "all": "all",
    "sum": _sum,
    "mean": _mean,
    "max": _max,
    "softmax": _softmax,
    "diag": _diag,
    "outer": _outer,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "dtanh": lambda x: 1 - np.tanh(x) ** 2,
    "sigmoid": _sigmoid,
    "dsigmoid": lambda x: _sigmoid(x) * (1 - _sigmoid(x)),
    "relu": lambda x: x * _positive(x),
    "drelu": _positive,
    "positive": _positive,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "dsoftplus": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "dsilu": lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
    "gelu": lambda x: x * _normal_below(x),
    "dgelu": lambda x: _normal_below(x) + x * _normal_density(x),
}


# Text to Python -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=20_000)
def _program(text: str) -> CodeType:
    text = re.sub(r"\bd([A-Z])/d(\w+)", r"d\1_d\2", text)
    text = re.sub(r"\bdelta(\d\w*)", r"delta_z\1", text)
    text = re.sub(r"\b(\w+)'\(", r"d\1(", text)
    text = re.sub(r"\b(\w+) > 0", r"positive(\1)", text)
    return compile(text.replace(".T", ".mT"), "<claim>", "eval")


def evaluate(text: str, values: dict[str, Any]) -> Array:
    """The value of one right side; what cannot be computed for its shapes raises ValueError."""
    with np.errstate(all="ignore"):
        return np.asarray(eval(_program(text), {"__builtins__": {}}, {**FUNCTIONS, **values}))


def run_forward(lines: Lines, values: dict[str, Any]) -> dict[str, Any]:
    """The given values and all that the forward lines make of them."""
    values = dict(values)
    for name, text in lines:
        values[name] = evaluate(text, values)
    return values


# The givens, drawn anew ---------------------------------------------------------------------------------------------


def draw_given(rng: np.random.Generator, given: Lines, draws: int) -> dict[str, Any]:
    """All givens, drawn anew: arrays of shape (draws, 1, rows, columns), whole numbers as they are.

    What a literal plainly is, it stays: zeros and ones change places within their column, zeros(n) remain zero.
    """
    return {name: _draw(rng, text, draws) for name, text in given}


def _draw(rng: np.random.Generator, text: str, draws: int) -> Any:
    if re.fullmatch(r"\d+", text):
        return int(text)
    if match := re.fullmatch(r"(random|zeros|ones)\((\d+)(?:, (\d+))?(?:, seed=\d+)?\)", text):
        shape = (draws, 1, int(match[2]), int(match[3] or 1))
        return {"random": rng.standard_normal(shape), "zeros": np.zeros(shape), "ones": np.ones(shape)}[match[1]]
    literal = np.asarray(ast.literal_eval(text), dtype=float)
    literal = literal.reshape(*literal.shape, *(1,) * (2 - literal.ndim))
    if np.isin(literal, (0.0, 1.0)).all():
        return np.stack([rng.permuted(literal, axis=0) for _ in range(draws)])[:, None]
    return literal * rng.uniform(0.5, 1.5, (draws, 1, *literal.shape))


# The truth ----------------------------------------------------------------------------------------------------------


def _loss_at(lines: Lines, values: dict[str, Any], name: str, moved: Array) -> Array:
    position = next((i for i, (line, _) in enumerate(lines) if line == name), -1)
    return np.asarray(run_forward(lines[position + 1 :], {**values, name: moved})[lines[-1][0]])


def finite_differences(lines: Lines, values: dict[str, Any], name: str) -> tuple[Array, Flags]:
    """dL/dname by central differences, extrapolated from pairs of step sizes: (draws, rows, columns).

    Returns:
        The derivative, and for each draw whether two pairs of step sizes agree (no kink is near).
    """
    value = values[name]
    draws, _, rows, columns = value.shape
    moves = np.eye(rows * columns).reshape(rows * columns, rows, columns)

    def slope(step: float) -> Array:
        both = [_loss_at(lines, values, name, value + sign * step * moves) for sign in (1, -1)]
        flat = np.broadcast_to((both[0] - both[1]) / (2 * step), (draws, rows * columns, 1, 1))
        return flat.reshape(draws, rows, columns)

    with np.errstate(all="ignore"):  # a loss that overflows agrees with nothing
        slopes = [slope(STEP / 2**k) for k in range(3)]
        coarse, fine = ((4 * half - whole) / 3 for whole, half in pairwise(slopes))
        scale = np.abs(fine).max(axis=(1, 2)) + 1e-4
        return fine, np.abs(coarse - fine).max(axis=(1, 2)) <= AGREEMENT * scale


def keeps_its_digits(rng: np.random.Generator, given: Lines, forward: Lines) -> bool:
    """Whether the loss is finite and moderate, and its logarithms exact, in 16 draws of the givens out of 16."""
    values = run_forward(forward, draw_given(rng, given, 16))
    with np.errstate(all="ignore"):
        moderate = bool((np.abs(values[forward[-1][0]]) < MODERATE).all())
    return moderate and bool(_log_is_exact(forward[-1][1], values, 16).all())


def _log_is_exact(loss: str, values: dict[str, Any], draws: int) -> Flags:
    """For each draw, whether every logarithm of the loss has an argument whose digits are not lost (1 - a of a = 1)."""
    good: Flags = np.full(draws, True)
    for argument in re.findall(r"log\(([^()]+)\)", loss):
        good &= (evaluate(argument, values) > SATURATED).all(axis=(1, 2, 3))
    return good


class Truth:
    """Values and true derivatives of a derivation at several draws of its givens: (draws, rows, columns) each."""

    def __init__(
        self, rng: np.random.Generator, given: Lines, forward: Lines, names: Sequence[str], draws: int
    ) -> None:
        drawn = draw_given(rng, given, 2 * draws)
        values = run_forward(forward, drawn)
        self.loss = forward[-1][0]
        derivatives = {}
        good = _log_is_exact(forward[-1][1], values, 2 * draws)
        for name in names:
            derivatives[name], smooth = finite_differences(forward, values, name)
            good &= smooth & np.isfinite(derivatives[name]).all(axis=(1, 2))
        kept = np.flatnonzero(good)[:draws]
        if len(kept) < draws:
            raise CannotDifferentiate
        flat = {name: v[kept, 0] if isinstance(v, np.ndarray) else v for name, v in values.items()}
        self.derivatives = {name: d[kept] for name, d in derivatives.items()}
        symbols = {f"d{self.loss}_d{name}": d for name, d in self.derivatives.items()}
        deltas = {f"delta_{name}": d for name, d in self.derivatives.items() if name.startswith("z")}
        self.values = {**flat, **symbols, **deltas}

    def value(self, text: str) -> Array | None:
        """The value of a claim, its upstream derivatives true; None if its shapes do not fit."""
        try:
            return evaluate(text, self.values)
        except ValueError:
            return None

    def difference(self, name: str, text: str) -> Array:
        """How far the claim `text` is from dL/dname in each draw, as a share of it; inf where shapes do not fit."""
        return self.distance(self.value(text), self.derivatives[name])

    @staticmethod
    def distance(value: Array | None, other: Array) -> Array:
        draws = len(other)
        if value is None or value.shape != other.shape or not np.isfinite(value).all():
            return np.full(draws, np.inf)
        scale = np.maximum(np.abs(other).max(axis=(1, 2)), 1e-4)
        return np.asarray(np.abs(value - other).max(axis=(1, 2)) / scale)
