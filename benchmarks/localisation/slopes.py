"""The spellings of an activation's derivative, each a text in z (before) and a (after the activation)."""

from __future__ import annotations

from localisation.networks import Rng
from localisation.pieces import Piece, call, plus, times, word

# {z}: the value before, {a}: the value after. The first two need no knowledge of the function.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "sigmoid": (
        "sigmoid'({z})",
        "dsigmoid({z})",
        "{a} * (1 - {a})",
        "{a} - {a}**2",
        "sigmoid({z}) * (1 - sigmoid({z}))",
        "exp(-{z}) / (1 + exp(-{z}))**2",
        "1 / (2 + exp({z}) + exp(-{z}))",
    ),
    "tanh": (
        "tanh'({z})",
        "dtanh({z})",
        "1 - {a}**2",
        "(1 - {a}) * (1 + {a})",
        "1 - tanh({z})**2",
        "4 / (exp({z}) + exp(-{z}))**2",
    ),
    "relu": ("relu'({z})", "drelu({z})", "({z} > 0)", "({a} > 0)"),
    "softplus": ("softplus'({z})", "dsoftplus({z})", "sigmoid({z})", "1 / (1 + exp(-{z}))", "1 - exp(-{a})"),
    "gelu": ("gelu'({z})", "dgelu({z})"),
    "silu": ("silu'({z})", "dsilu({z})", "sigmoid({z}) * (1 + {z} * (1 - sigmoid({z})))"),
    "square": ("2 * {z}",),
}
PRODUCTS = ("{a} * (1 - {a})", "(1 - {a}) * (1 + {a})")  # whose factors may stand apart in a longer product
IN_Z = ("sigmoid", "tanh", "softplus", "gelu", "silu")  # may be written out in the pre-activation


def draw_slope(rng: Rng, function: str, z: str, a: str, before: str) -> Piece:
    """A spelling of function'(z); `before` is z written out (W @ x + b), used now and then in its place."""
    spelling = str(rng.choice(SPELLINGS[function]))
    if function in IN_Z and rng.random() < 0.08:
        return call(f"{function}'", word(before), role="slope").playing("slope", function, spelling, z, a, before)
    return slope(function, spelling, z, a)


def slope(function: str, spelling: str, z: str, a: str) -> Piece:
    """function'(z) in the given spelling."""
    role = ("slope", function, spelling, z, a, "")
    if spelling in PRODUCTS:
        one = word("1")
        left = word(a) if spelling == PRODUCTS[0] else plus(one, _minus(a))
        right = plus(one, _minus(a)) if spelling == PRODUCTS[0] else plus(one, word(a))
        return times(left, right).playing(*role)
    return word(spelling.format(z=z, a=a)).playing(*role)


def _minus(name: str) -> Piece:
    return Piece("negative", (word(name),))
