"""A derivation as a text file, drawn at random: right in every claim, or with known mistakes planted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from localisation.claims import claimable, right_formula
from localisation.evaluation import Array, CannotDifferentiate, Truth, keeps_its_digits
from localisation.mistakes import NAMED, Place, edited
from localisation.networks import Network, Rng, draw_network, forward_text
from localisation.pieces import Piece, word, write
from localisation.spellings import respell
from localisation.strangers import STRANGERS

T = TypeVar("T")

DRAWS = 4  # of the givens, to tell right from wrong
RIGHT, WRONG = 1e-5, 1e-4  # a right claim is nearer to finite differences than this share, a planted one farther
SAME = 1e-8  # two texts whose values differ by less are the same mistake
LONGEST = 240  # characters of a claim: beyond it a person would have named an intermediate step
STRANGER_SHARE = 0.25  # of the planted mistakes, of kinds that the table lacks
TWO_SHARE = 0.35  # of the files with mistakes, with two of them
SAME_CLAIM_SHARE = 0.3  # of those, with both in one claim
MISFIT_SHARE = 0.6  # of the edits whose shapes no longer fit, kept: they are the easy ones


@dataclass(frozen=True)
class Planted:
    """One wrong claim.

    Args:
        claim: its name (`dL/dz2`).
        kinds: the kind of mistake, or the two kinds.
        accepted: the names that are right for it; with none, the right answer is no name.
        both: for two kinds in one claim, the names of each: a verdict that has one of either is right as well.
        stranger: whether the table of names lacks it.
    """

    claim: str
    kinds: tuple[str, ...]
    accepted: frozenset[str]
    both: tuple[frozenset[str], ...] = ()
    stranger: bool = False


@dataclass(frozen=True)
class Derivation:
    """A text, what it consists of, and what is wrong with it.

    Args:
        claims: the claims in the order of the file: the name differentiated by, and the right side.
        first: the planted claims that depend on no other planted claim, as they stand or as they should: any of them
            may be called the first wrong.
    """

    text: str
    loss: str
    given: tuple[tuple[str, str], ...]
    forward: tuple[tuple[str, str], ...]
    claims: tuple[tuple[str, str], ...]
    planted: tuple[Planted, ...] = ()
    first: frozenset[str] = frozenset()


@dataclass
class Draft:
    """A derivation whose claims are still pieces, so that they can be edited.

    Args:
        forward: the names and right sides of the forward lines.
        symbols: how the derivative by each claimed name is written.
        claims: the right sides, with the mistakes planted so far.
        right: their texts before any mistake.
    """

    net: Network
    forward: tuple[tuple[str, str], ...]
    symbols: dict[str, str]
    claims: dict[str, Piece] = field(default_factory=dict)
    right: dict[str, str] = field(default_factory=dict)

    def full_name(self, name: str) -> str:
        return f"d{self.net.loss.out}/d{name}"


def draw_correct(rng: Rng) -> Derivation:
    """A derivation whose every claim is right."""
    return _finished(rng, draw_draft(rng), ())


def draw_planted(rng: Rng) -> Derivation:
    """A derivation with one or two mistakes, each of which shows in the numbers."""
    while True:
        draft = draw_draft(rng)
        try:
            truth = truth_of(rng, tuple(draft.net.given), draft.forward, tuple(draft.claims))
        except CannotDifferentiate:
            continue
        planted = _plant(rng, draft, truth)
        if planted:
            return _finished(rng, draft, planted)


def truth_of(
    rng: Rng, given: tuple[tuple[str, str], ...], forward: tuple[tuple[str, str], ...], names: tuple[str, ...]
) -> Truth:
    """The true derivatives by `names`, at DRAWS random redraws of the givens."""
    return Truth(rng, given, forward, names, DRAWS)


# A right derivation -------------------------------------------------------------------------------------------------


def draw_draft(rng: Rng) -> Draft:
    """A right derivation: a network, the names that are claimed, and a spelling of each claim."""
    while True:
        net = draw_network(rng)
        steps = tuple((step.out, forward_text(step)) for step in net.steps)
        if not keeps_its_digits(rng, net.given, steps):
            continue  # its loss is not finite, or nearly so
        names = _claimed_names(rng, net)
        draft = Draft(net, steps, _symbols(rng, net, names))
        for name in names:
            draft.claims[name] = respell(rng, net, _formula(rng, draft, name))
        draft.right = {name: write(piece) for name, piece in draft.claims.items()}
        if all(len(text) <= LONGEST for text in draft.right.values()):
            return draft


def _claimed_names(rng: Rng, net: Network) -> list[str]:
    names = [name for name in claimable(net) if name not in ("x", "u") or rng.random() < 0.3]
    style = rng.random()
    if style < 0.15:
        names = [name for name in names if name[0] not in "ard"]  # the deltas and the parameters
    elif style < 0.45:
        kept = [name for name in names if rng.random() < 0.6]
        names = kept if len(kept) >= 2 else names
    if rng.random() < 0.3:
        names = [names[int(i)] for i in rng.permutation(len(names))]
    return names


def _symbols(rng: Rng, net: Network, names: list[str]) -> dict[str, str]:
    deltas = rng.random() < 0.25 and not any("_" in name for name in names)
    return {name: f"delta{name[1:]}" if deltas and name[0] == "z" else f"d{net.loss.out}/d{name}" for name in names}


def _formula(rng: Rng, draft: Draft, name: str) -> Piece:
    def upstream(above: str) -> Piece:
        if above in draft.symbols and rng.random() < 0.94:
            return word(draft.symbols[above], "upstream", above)
        return right_formula(rng, draft.net, above, upstream)

    return right_formula(rng, draft.net, name, upstream)


# Mistakes -----------------------------------------------------------------------------------------------------------


def _plant(rng: Rng, draft: Draft, truth: Truth) -> tuple[Planted, ...]:
    """Plants one or two mistakes in the draft; nothing if none can be made that shows."""
    first = _plant_one(rng, draft, truth, list(draft.claims), rng.random() < STRANGER_SHARE)
    if first is None:
        return ()
    if rng.random() >= TWO_SHARE:
        return (first,)
    name = first.claim.partition("/d")[2]
    if rng.random() < SAME_CLAIM_SHARE and not first.stranger:
        again = _plant_again(rng, draft, truth, name, first)
        return (first,) if again is None else (again,)
    others = [other for other in draft.claims if other != name]
    before = dict(draft.claims)
    second = _plant_one(rng, draft, truth, others, rng.random() < STRANGER_SHARE)
    if second is None:
        return (first,)
    if second.kinds == first.kinds or second.accepted & first.accepted:
        draft.claims = before  # one slip made twice may as well be a slip and its consequence: no verdict is right
        return (first,)
    return first, second


def _plant_one(rng: Rng, draft: Draft, truth: Truth, names: list[str], stranger: bool) -> Planted | None:
    """One mistake: a kind with many places in the claims is no likelier than a kind with one."""
    table = STRANGERS if stranger else NAMED
    for kind in sorted(table, key=lambda kind: rng.exponential() / kind.chance):
        for name in _shuffled(rng, names):
            place = Place(draft.net, name, draft.symbols)
            right = draft.claims[name]
            for wrong in _shuffled(rng, tuple(edited(kind, right, place))):
                text = write(wrong)
                if not _shows(rng, draft, truth, name, text):
                    continue
                explained = explanations(rng, draft, truth, name, text)
                if stranger and explained - kind.accepted:
                    continue  # by chance a mistake that has a name
                draft.claims[name] = wrong
                accepted = kind.accepted if stranger else kind.accepted | explained
                return Planted(draft.full_name(name), (kind.name,), accepted, stranger=stranger)
    return None


def _plant_again(rng: Rng, draft: Draft, truth: Truth, name: str, first: Planted) -> Planted | None:
    """A second mistake in a claim that has one already."""
    place = Place(draft.net, name, draft.symbols)
    once = draft.claims[name]
    value = truth.value(write(once))
    if value is None:
        return None
    for kind in _shuffled(rng, NAMED):
        for wrong in _shuffled(rng, tuple(edited(kind, once, place))):
            text = write(wrong)
            new = truth.value(text)
            if new is None or kind.name in first.kinds or not _shows(rng, draft, truth, name, text):
                continue
            if truth.distance(new, value).max() < WRONG:
                continue  # the second changes nothing
            draft.claims[name] = wrong
            single = explanations(rng, draft, truth, name, text)
            second = kind.accepted | _same_edits(truth, once, place, text, new)
            return Planted(first.claim, (*first.kinds, kind.name), single, (first.accepted, second))
    return None


def _shows(rng: Rng, draft: Draft, truth: Truth, name: str, text: str) -> bool:
    """Whether the text is wrong at most draws, can be reached without a circle, and is not too easy."""
    if _in_a_circle({**{n: write(p) for n, p in draft.claims.items()}, name: text}):
        return False
    distance = truth.difference(name, text)
    if np.isinf(distance).all() and rng.random() >= MISFIT_SHARE:
        return False
    return bool(np.sum(distance > WRONG) * 2 > len(distance))


def explanations(rng: Rng, draft: Draft, truth: Truth, name: str, text: str) -> frozenset[str]:
    """The names of all mistakes that have this very value: in this claim, or in other spellings of it."""
    value = truth.value(text)
    found: set[str] = set()
    place = Place(draft.net, name, draft.symbols)
    for right in (draft.claims[name], *(_formula(rng, draft, name) for _ in range(3))):
        for kind in NAMED:
            if kind.accepted <= found:
                continue
            if any(_same(truth, text, value, write(wrong)) for wrong in edited(kind, right, place)):
                found |= kind.accepted
    return frozenset(found)


def _same_edits(truth: Truth, claim: Piece, place: Place, text: str, value: Array) -> frozenset[str]:
    """The names of all mistakes that, made in this claim, come to this very value: of 2 and n, where n is 2."""
    same = [
        kind.accepted
        for kind in NAMED
        if any(_same(truth, text, value, write(wrong)) for wrong in edited(kind, claim, place))
    ]
    return frozenset().union(*same)


def _same(truth: Truth, text: str, value: Array | None, other: str) -> bool:
    if value is None or value.ndim < 3:  # shapes that do not fit, or a bare number
        return text == other
    return bool(truth.distance(truth.value(other), value).max() < SAME)


def _shuffled(rng: Rng, items: Sequence[T]) -> Iterator[T]:
    return (items[int(i)] for i in rng.permutation(len(items)))


# How claims hang together -------------------------------------------------------------------------------------------


def read_names(text: str) -> set[str]:
    """The names whose derivatives a right side reads."""
    return set(re.findall(r"\bd[A-Z]/d(\w+)", text)) | {f"z{k}" for k in re.findall(r"\bdelta(\w+)", text)}


def first_of(names: set[str], claims: dict[str, str], right: dict[str, str]) -> set[str]:
    """Those of the names that follow from no other one, by the claims as they stand or by the right ones.

    A mistake may add a dependence (the weights after the update read dL/dW): then either may be called the first.
    """
    return {name for name in names if any(not _reached(texts, name) & names for texts in (claims, right))}


def _reached(claims: dict[str, str], start: str) -> set[str]:
    """Everything that the claim depends on, through any number of claims."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = read_names(claims.get(waiting.pop(), "")) - reached
        reached |= new
        waiting.extend(new)
    return reached


def _in_a_circle(claims: dict[str, str]) -> bool:
    return any(name in _reached(claims, name) for name in claims)


# The text -----------------------------------------------------------------------------------------------------------


def _finished(rng: Rng, draft: Draft, planted: tuple[Planted, ...]) -> Derivation:
    claims = {name: write(piece) for name, piece in draft.claims.items()}
    names = {p.claim.partition("/d")[2] for p in planted}
    first = frozenset(draft.full_name(name) for name in first_of(names, claims, draft.right))
    given, forward = tuple(draft.net.given), draft.forward
    heads = tuple((draft.symbols[name], text) for name, text in claims.items())
    text = _text(rng, {"given": given, "forward": forward, "claims": heads})
    return Derivation(text, draft.net.loss.out, given, forward, tuple(claims.items()), planted, first)


def _text(rng: Rng, sections: dict[str, tuple[tuple[str, str], ...]]) -> str:
    """The file: three sections, indented, aligned or not, now and then with a comment."""
    indent = " " * int(rng.choice([2, 4]))
    width = max(len(name) for lines in sections.values() for name, _ in lines) if rng.random() < 0.5 else 0
    lines = []
    for section, content in sections.items():
        lines.append(section)
        for name, right in content:
            comment = "   # a note, which means nothing" if rng.random() < 0.05 else ""
            lines.append(f"{indent}{name:{width}} = {right}{comment}")
        if rng.random() < 0.2:
            lines.append("")
    return "\n".join(lines) + "\n"
