"""The report on a derivation, in words: what is right, what is wrong and why, what only follows from it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.cells import cell_len

from chainrule.notation.prose import Prose
from chainrule.notation.words import Words, words
from chainrule.verify.draws import Array
from chainrule.verify.result import ClaimResult, DerivationResult, FoundMistake

MARKS = {"right": "+", "wrong": "x", "consequence": "~", "undecided": "?"}
SHOWN = 12
"""So many elements of a value, or fewer, are printed."""


def printed(result: DerivationResult, lang: str = "en") -> str:
    """The report as text.

    Args:
        result: what was found.
        lang: en or zh.

    Raises:
        ArgumentError: for another language.
    """
    return "\n".join(_lines(result, words(lang)))


def _lines(result: DerivationResult, say: Words) -> Iterator[str]:
    if result.title:
        yield result.title
    for claim in result.claims:
        yield from _claim_lines(claim, say)
    yield ""
    yield from _summary(result, say)


def _claim_lines(claim: ClaimResult, say: Words) -> Iterator[str]:
    verdict = getattr(say.labels, claim.verdict)
    place = f"{say.labels.line} {claim.line}" if claim.line else ""
    named = "" if claim.text.startswith(claim.name) or not claim.text.startswith("\\") else f"   [{claim.name}]"
    yield f"{MARKS[claim.verdict]} {padded(verdict, _widest(say))}  {padded(place, 9)}{claim.text}{named}"
    for sentence in _explained(claim, say):
        yield f"      {sentence}"


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
        if claim.right_value is not None and "one point" in claim.notes:
            yield plain(say.exactly(claim.name, number(claim.right_value)))
        return
    if claim.verdict == "consequence":
        said = say.spelled_out_again if "repeated" in claim.notes else say.consequence_of
        yield plain(said(claim.name, claim.upstream or ""))
        return
    if claim.verdict == "undecided":
        yield plain(say.undecided(claim.name, (claim.reason,)))
        return
    yield from _why_wrong(claim, say)


def _why_wrong(claim: ClaimResult, say: Words) -> Iterator[str]:
    if claim.reason:
        yield plain(say.cannot_be_computed(claim.name, claim.reason))
    elif "shape" in claim.notes and claim.value is not None and claim.right_value is not None:
        yield plain(say.wrong_shape(claim.name, size(claim.value), size(claim.right_value)))
    if "by chance" in claim.notes:
        yield plain(say.right_by_chance())
    if claim.mistake is not None:
        yield from _mistake(claim.mistake, say)
    pattern = "" if claim.error is None else claim.error.text(say.language)
    if claim.mistake is None and pattern:
        yield plain(say.no_known_mistake())
    if claim.value is not None and not np.isfinite(claim.value).all():
        yield plain(say.not_finite(claim.name))
    if pattern:
        yield pattern
    if claim.correction:
        yield plain(say.correct_is(claim.name, claim.correction))
    if claim.value is not None and claim.right_value is not None and claim.right_value.size <= SHOWN:
        yield f"{say.labels.claim}: {number(claim.value)}   {say.labels.right}: {number(claim.right_value)}"


def _mistake(found: FoundMistake, say: Words) -> Iterator[str]:
    for mistake in found.mistakes:
        yield f"{mistake.title(say.language)}: {mistake.summary(say.language)}"
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
        yield f"{say.labels.warning}: {plain(say.unused_given(name, line))}"


def plain(sentence: Prose) -> str:
    """A sentence of strings alone."""
    return "".join([part if isinstance(part, str) else str(part) for part in sentence])


def size(x: Array) -> str:
    """`3 x 2`."""
    return " x ".join(map(str, x.shape)) or "1"


def number(x: Array) -> str:
    """A value on one line; a column is printed as a list, as it is written."""
    if x.size == 1:
        return f"{x.item():.10g}"
    if x.size > SHOWN:
        return f"{size(x)}"
    y = x[:, 0] if x.ndim == 2 and x.shape[1] == 1 else x
    return np.array2string(y, precision=6, separator=", ", suppress_small=True).replace("\n", "")
