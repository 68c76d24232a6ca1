"""The report on a derivation, in words: what is right, what is wrong and why, what only follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from rich.cells import cell_len

from chainrule.notation.language.builder import MISFIT
from chainrule.notation.prose import Prose
from chainrule.notation.words import Words, words
from chainrule.notation.wrapping import wrapped
from chainrule.verify.draws import Array
from chainrule.verify.result import ClaimResult, DerivationResult, FoundMistake

MARKS = {"right": "+", "wrong": "x", "consequence": "~", "undecided": "?"}
COLOURS = {"right": "\x1b[32m", "wrong": "\x1b[1;31m", "consequence": "\x1b[33m", "undecided": "\x1b[35m"}
RESET = "\x1b[0m"
WIDTH = 110
INDENT = "      "
"""Before what is said about a claim."""
SHOWN = 12
"""So many elements of a value, or fewer, are printed."""


def printed(result: DerivationResult, lang: str = "en", width: int = WIDTH, *, colour: bool = False) -> str:
    """The report as text.

    Args:
        result: what was found.
        lang: en or zh.
        width: in cells of a terminal; claims are printed as they were written, however long they are.
        colour: with the escape sequences that colour verdicts in a terminal.

    Raises:
        ArgumentError: for another language.
    """
    return "\n".join(_lines(result, words(lang), width, COLOURS if colour else {}))


def _lines(result: DerivationResult, say: Words, width: int, colours: Mapping[str, str]) -> Iterator[str]:
    if result.title:
        yield result.title
    places = [plain(say.in_line(claim.line)) if claim.line else "" for claim in result.claims]
    widest = max(map(cell_len, places), default=0) + 2
    for claim, place in zip(result.claims, places, strict=True):
        yield _claim_line(claim, padded(place, widest) if claim.line else "", say, colours.get(claim.verdict, ""))
        for sentence in _explained(claim, say):
            yield from wrapped(sentence, width, INDENT)
    yield ""
    for sentence in _summary(result, say):
        yield from wrapped(sentence, width)


def _claim_line(claim: ClaimResult, place: str, say: Words, colour: str) -> str:
    verdict = f"{MARKS[claim.verdict]} {padded(getattr(say.labels, claim.verdict), _widest(say))}"
    named = "" if claim.text.startswith(claim.name) or not claim.text.startswith("\\") else f"   [{claim.name}]"
    return f"{colour}{verdict}{RESET if colour else ''}  {place}{claim.text}{named}"


def _widest(say: Words) -> int:
    return max(cell_len(getattr(say.labels, verdict)) for verdict in MARKS)


def padded(text: str, width: int) -> str:
    """The text with spaces up to a width of the terminal, in which a Chinese character takes two columns."""
    return text + " " * (width - cell_len(text))


def _explained(claim: ClaimResult, say: Words) -> Iterator[str]:
    if claim.verdict == "right":
        if "kink" in claim.notes:
            yield plain(say.at_a_kink())
        if "outer product" in claim.notes:
            yield plain(say.factor_of_outer_product(claim.name))
        if claim.right_value is not None and "one point" in claim.notes and not _says_all(claim):
            yield plain(say.exactly(claim.name, number(claim.right_value)))
        return
    if claim.verdict == "consequence":
        said = say.spelled_out_again if "repeated" in claim.notes else say.consequence_of
        yield plain(said(claim.name, claim.upstream or ""))
        return
    if claim.verdict == "undecided":
        yield plain(say.undecided(claim.name))
        return
    yield from _why_wrong(claim, say)


def _says_all(claim: ClaimResult) -> bool:
    """True for a number that was printed with all its digits."""
    printed_number = claim.text.partition("=")[2].strip()
    return claim.right_value is not None and printed_number == number(claim.right_value)


def _why_wrong(claim: ClaimResult, say: Words) -> Iterator[str]:
    if claim.reason.startswith(MISFIT):
        yield plain(say.shapes_do_not_fit(claim.name, claim.reason.removeprefix(MISFIT)))
    elif claim.reason:
        yield plain(say.cannot_be_computed(claim.name, claim.reason))
    elif "shape" in claim.notes and claim.value is not None and claim.right_value is not None:
        yield plain(say.wrong_shape(claim.name, size(claim.value), size(claim.right_value)))
    if "by chance" in claim.notes:
        yield plain(say.right_by_chance())
    if claim.mistake is not None:
        yield from _mistake(claim.mistake, say)
    pattern = "" if claim.error is None else claim.error.text(say.language)
    if "one point" in claim.notes:  # the ratio of a rounded number to the right one says little
        pattern = ""
        if claim.mistake is None:
            yield plain(say.no_known_name())
    elif claim.mistake is not None and pattern == plain(say.no_pattern()):
        pattern = ""  # the name says more
    if claim.mistake is None and pattern:
        yield plain(say.no_known_mistake())
    if claim.value is not None and not np.isfinite(claim.value).all():
        yield plain(say.not_finite(claim.name))
    if pattern:
        yield pattern
    if claim.correction:
        yield plain(say.correct_is(claim.name, claim.correction))
    if claim.value is not None and claim.right_value is not None and claim.right_value.size <= SHOWN:
        labels = (say.labels.claim, say.labels.right)
        for label, value in zip(labels, (claim.value, claim.right_value), strict=True):
            yield f"{label}{say.colon}{' ' * (max(map(cell_len, labels)) - cell_len(label))}{number(value)}"


def _mistake(found: FoundMistake, say: Words) -> Iterator[str]:
    for mistake in found.mistakes:
        yield f"{mistake.title(say.language)}{say.colon}{mistake.summary(say.language)}"
    others = [other.title(say.language) for other in found.also]
    if not others:
        return
    if found.told_apart:
        yield plain(say.can_be_read_as(others))
    else:
        yield plain(say.cannot_tell_apart(found.title(say.language), ", ".join(others)))


def _summary(result: DerivationResult, say: Words) -> Iterator[str]:
    first = result.first_wrong
    if result.ok:
        yield plain(say.all_right(len(result.claims)))
    elif first is not None:
        yield plain(say.first_wrong(first.name, first.line))
    if result.redrawn:
        yield plain(say.held_on_redraws(result.redrawn))
        if result.varied:
            yield plain(say.perturbed(list(result.varied)))
    for name, line in result.unused:
        yield f"{say.labels.warning}{say.colon}{plain(say.unused_given(name, line))}"


def plain(sentence: Prose) -> str:
    """A sentence of strings alone."""
    return "".join([part if isinstance(part, str) else str(part) for part in sentence])


def size(x: Array) -> str:
    """`3 × 2`."""
    return " × ".join(map(str, x.shape)) or "1"


def number(x: Array) -> str:
    """A value on one line; a column is printed as a list, as it is written."""
    if x.size == 1:
        return f"{x.item() + 0.0:.10g}"
    if x.size > SHOWN:
        return size(x)
    y = x[:, 0] if x.ndim == 2 and x.shape[1] == 1 else x
    return _listed(y.tolist())


def _listed(values: Any) -> str:
    if isinstance(values, list):
        return f"[{', '.join([_listed(one) for one in values])}]"
    return f"{values + 0.0:.6g}"  # + 0.0: there is no -0
