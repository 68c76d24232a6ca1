"""Other texts for the same value: factors and terms in another order, products distributed, diag, outer, two `.T`.

Every rule keeps the value for shapes that fit, so it is applied to right claims only, before a mistake is planted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from localisation.networks import Network, Rng
from localisation.pieces import Piece, call, matmul, negative, plus, times, turned

ORDER = 0.5  # the share of sums and products that are written in another order
CHANGE = 0.12  # the share of pieces that another rule rewrites


def respell(rng: Rng, net: Network, piece: Piece) -> Piece:
    """The piece in other words, its parts first."""
    if piece.role == "slope":
        return piece  # drawn in many spellings already; its parts keep their places for the mistakes
    piece = replace(piece, parts=tuple(respell(rng, net, part) for part in piece.parts))
    if piece.form in ("times", "plus") and rng.random() < ORDER:
        piece = _in_another_order(rng, piece)
    if rng.random() < CHANGE:
        rules = [rule for rule in RULES if rule(net, piece) is not None]
        if rules:
            rewritten = rules[int(rng.integers(len(rules)))](net, piece)
            assert rewritten is not None
            return rewritten
    return piece


def _in_another_order(rng: Rng, piece: Piece) -> Piece:
    """Any order, but a leading coefficient stays in front, and so does a term without a minus."""
    fixed = 1 if piece.parts[0].role == "coefficient" else 0
    order = [*range(fixed), *(fixed + int(i) for i in rng.permutation(len(piece.parts) - fixed))]
    parts = tuple(piece.parts[i] for i in order)
    return piece if parts[0].form == "negative" and rng.random() < 0.7 else replace(piece, parts=parts)


def _distributed(net: Network, piece: Piece) -> Piece | None:
    """(u - v) * s -> u * s - v * s."""
    if piece.form != "times" or piece.role == "softmax":
        return None
    sums = [i for i, factor in enumerate(piece.parts) if factor.form == "plus" and factor.role != "slope"]
    if not sums:
        return None
    others = (*piece.parts[: sums[0]], *piece.parts[sums[0] + 1 :])
    return plus(*(_with_factor(term, others) for term in piece.parts[sums[0]].parts))


def _with_factor(term: Piece, others: tuple[Piece, ...]) -> Piece:
    if term.form == "negative":
        return negative(times(term.parts[0], *others))
    return times(term, *others)


def _as_diagonal(net: Network, piece: Piece) -> Piece | None:
    """g * s -> diag(s) @ g, for columns."""
    if piece.form != "times" or net.batch > 1 or not _is_column_slope(net, piece):
        return None
    slope = next(factor for factor in piece.parts if factor.role == "slope")
    rest = tuple(factor for factor in piece.parts if factor is not slope)
    return matmul(call("diag", slope), times(*rest))


def _is_column_slope(net: Network, piece: Piece) -> bool:
    """Whether one factor is a slope of a layer: as wide as the product, unlike a number in front."""
    slopes = [factor for factor in piece.parts if factor.role == "slope"]
    return len(slopes) == 1 and len(piece.parts) > 1 and net.shapes[slopes[0].about[2]][0] > 1


def _as_outer(net: Network, piece: Piece) -> Piece | None:
    """u @ v.T -> outer(u, v)."""
    if piece.form != "matmul" or piece.parts[1].form != "turned":
        return None
    return call("outer", piece.parts[0], piece.parts[1].parts[0])


def _turned_twice(net: Network, piece: Piece) -> Piece | None:
    """W.T @ g -> (g.T @ W).T."""
    if piece.form != "matmul" or "turned" not in (piece.parts[0].form, piece.parts[1].form):
        return None
    return turned(matmul(turned(piece.parts[1]), turned(piece.parts[0]))).playing(piece.role)


def _sign_in_front(net: Network, piece: Piece) -> Piece | None:
    """u - v -> -(v - u)."""
    if piece.form != "plus" or len(piece.parts) != 2 or piece.parts[1].form != "negative":
        return None
    first, second = piece.parts
    return negative(plus(second.parts[0], negative(first)))


def _sum_along_the_other_axis(net: Network, piece: Piece) -> Piece | None:
    """sum(g, axis=1) -> sum(g.T, axis=0).T."""
    if piece.form != "call" or piece.text != "sum" or piece.options != "axis=1":
        return None
    return turned(call("sum", turned(piece.parts[0]), options="axis=0", role=piece.role))


RULES: tuple[Callable[[Network, Piece], Piece | None], ...] = (
    _distributed,
    _as_diagonal,
    _as_outer,
    _turned_twice,
    _sign_in_front,
    _sum_along_the_other_axis,
)
