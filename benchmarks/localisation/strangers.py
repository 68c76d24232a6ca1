"""Mistakes that the table of names lacks: the right answer is the right step, and no name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from localisation.mistakes import ANYWHERE, Edit, Kind, Place
from localisation.pieces import Piece, call, negative, over, plus, times, word

POSITIVE = ("sigmoid", "softplus", "softmax")  # activations whose root exists


def _wrong_constant(piece: Piece, place: Place) -> Iterator[Piece]:
    for constant in ("0.3", "0.7", "1.3", "-0.9"):
        yield times(word(constant), piece)


def _added_constant(piece: Piece, place: Place) -> Iterator[Piece]:
    yield plus(piece, word("0.1"))


def _absolute(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role in ("upstream", "difference", "previous"):
        yield call("abs", piece)


def _root_of_slope(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role == "slope" and piece.about[0] in POSITIVE:
        yield call("sqrt", piece)


def _bent(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role in ("upstream", "difference", "previous", "slope"):
        yield call("tanh", piece)
        yield call("exp", piece)


def _lost_or_wrong_power(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.form == "word" and piece.role == "slope" and "**2" in piece.text:
        yield replace(piece, text=piece.text.replace("**2", "**3"))
        yield replace(piece, text=piece.text.replace("**2", ""))


def _sign_of_the_exponent(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.form == "word" and piece.role == "slope" and "exp(-" in piece.text:
        yield replace(piece, text=piece.text.replace("exp(-", "exp(", 1))


def _shifted_slope(piece: Piece, place: Place) -> Iterator[Piece]:
    if piece.role == "slope":
        yield plus(piece, word("0.1"))


def _decayed(piece: Piece, place: Place) -> Iterator[Piece]:
    """A term for the decay of the weights, which the loss does not have."""
    if place.name[0] in "Ww":
        yield plus(piece, times(word("0.05"), word(place.name)))


def _centred(piece: Piece, place: Place) -> Iterator[Piece]:
    if place.net.shapes[place.name][0] > 1:
        yield plus(piece, negative(call("mean", piece)))


def _normalised(piece: Piece, place: Place) -> Iterator[Piece]:
    if place.net.shapes[place.name][0] > 1:
        yield over(piece, call("sum", call("abs", piece)))


def _kind(name: str, edit: Edit, *harmless: str, whole: bool = False) -> Kind:
    """A kind without a name of its own; `harmless` names would be no lie, where a verdict gives one all the same."""
    return Kind(name, frozenset(harmless), edit, whole, ANYWHERE if whole else 1.0)


STRANGERS: tuple[Kind, ...] = (
    _kind("a constant of 0.3 and the like", _wrong_constant, whole=True),
    _kind("a constant added", _added_constant, whole=True),
    _kind("an absolute value", _absolute),
    _kind("the root of a slope", _root_of_slope),
    _kind("tanh or exp around a factor", _bent),
    _kind("a power lost or wrong", _lost_or_wrong_power, "dropped factor", "factor counted twice"),
    _kind("the sign of an exponent", _sign_of_the_exponent, "wrong sign"),
    _kind("a constant added to a slope", _shifted_slope),
    _kind("a decay that the loss lacks", _decayed, whole=True),
    _kind("its mean subtracted", _centred, whole=True),
    _kind("divided by its own size", _normalised, whole=True),
)
