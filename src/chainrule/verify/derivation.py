"""`derivation`: is this derivation right, and if not, which step, which factor, and what should it be?"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, FileFormatError
from chainrule.notation.source import source
from chainrule.symbolic.program import Derivation, Program
from chainrule.verify.data import Data
from chainrule.verify.judge import Judge, Judgement
from chainrule.verify.mistakes.match import Diagnosis, explain_error
from chainrule.verify.problem import Problem
from chainrule.verify.reading import problem
from chainrule.verify.result import ClaimResult, DerivationResult, FoundMistake

MORE = 4
"""So many redraws are added where two mistakes cannot be told apart."""


def derivation(path: str | PathLike[str] | None = None, *, text: str | None = None) -> DerivationResult:
    """The verdict on each claim of a derivation.

    Each claim is judged with the true upstream derivatives, on the data as given and on redraws of it, so that the
    first wrong step is separated from what follows from it, and nothing is right by chance. A wrong claim is matched
    against the catalogue of mistakes (docs/mistakes.md).

    Args:
        path: a derivation file, UTF-8.
        text: the text of one, instead of a file.

    Raises:
        NotationError: for what cannot be read, with its line and column.
        DataError: if the forward part is not finite on the data as given.
        FileFormatError: for a file that is not text.
        OSError: for a file that cannot be opened.
        ArgumentError: unless exactly one of `path` and `text` is given.

    Example:
        >>> result = derivation(text='''
        ... given
        ...   x = 0.5
        ...   t = 0.8
        ... forward
        ...   y = sigmoid(x)
        ...   L = 1/2 * (y - t)**2
        ... claims
        ...   dL/dy = y - t
        ...   dL/dx = dL/dy * y
        ... ''')
        >>> result.first_wrong.name, result.first_wrong.ratio
        ('dL/dx', '1/(1 - y)')
    """
    if (path is None) == (text is None):
        raise ArgumentError("derivation: give either the path of a file or text=...")
    if text is not None:
        return judged(problem(text))
    assert path is not None
    return judged(problem(read(Path(path))), title=str(path))


def read(path: Path) -> str:
    """The text of a file.

    Raises:
        FileFormatError: for one that is not UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not a text file in UTF-8", got=[str(error)]) from error


def judged(given: Problem, title: str = "") -> DerivationResult:
    """The verdicts on a problem."""
    data = Data(given)
    judge = Judge(given, data)
    judgements = judge.judgements()
    results = tuple([_result(judge, data, judgement) for judgement in judgements])
    return DerivationResult(results, given.unused, len(data.redraws), title, _backward_order(given))


def _backward_order(given: Problem) -> tuple[str, ...]:
    """The claims in the order in which a backward pass can compute them: each after all that it needs."""
    program = given.program
    places = {name: i for i, name in enumerate(program.symbols)}

    def available(name: str) -> int:
        return min([places[user.name] for user in program.users[name]], default=len(places))

    def key(claim: Any) -> tuple[int, int]:
        target = claim.target
        return (-available(target.by), -places[target.of])

    return tuple([claim.target.name for claim in sorted(given.claims, key=key)])


def _result(judge: Judge, data: Data, found: Judgement) -> ClaimResult:
    claim, target = found.claim, found.claim.target
    reverse, known = _right_derivation(judge, found)
    right = target.formula(reverse.inlined(target.by, known))
    mistake, ratio, pattern = _diagnosed(judge, data, found, reverse, known)
    return ClaimResult(
        target.name,
        found.verdict,
        claim.text,
        claim.line,
        claim.column,
        source(right),
        found.values[0] if found.values else None,
        found.truths[0] if found.truths else np.asarray(data.points[0].get(target.symbol, np.nan)),
        mistake,
        ratio,
        pattern,
        None if found.upstream is None else found.upstream.target.name,
        tuple(found.notes),
        found.reason,
    )


def _right_derivation(judge: Judge, found: Judgement) -> tuple[Derivation, frozenset[str]]:
    """The derivation of what is claimed, and the quantities whose derivatives the claim takes as known."""
    program, target = judge.problem.program, found.claim.target
    if target.of != program.loss:
        return Derivation(Program(program.givens, program.statements, target.of)), frozenset()
    prefix = f"d{program.loss}/d"
    mentioned = [name.removeprefix(prefix) for name in judge.mentions(found.claim) if name.startswith(prefix)]
    return judge.data.derivation, frozenset(mentioned)


def _diagnosed(
    judge: Judge, data: Data, found: Judgement, reverse: Derivation, known: frozenset[str]
) -> tuple[FoundMistake | None, str | None, str]:
    claim = found.claim
    if found.verdict != "wrong" or not found.values or claim.printed is not None or claim.target.places is not None:
        return None, None, ""
    diagnosis = _diagnosis(found, data, reverse, known)
    if diagnosis.ambiguous and not claim.at_one_point and data.has_redraws:
        before = len(data.points)
        data.draw(MORE)
        more = [judge.value(claim, point) for point in data.points[before:]]
        found.values += more
        diagnosis = _diagnosis(found, data, reverse, known)
    return _mistake(diagnosis), diagnosis.ratio, diagnosis.pattern


def _diagnosis(found: Judgement, data: Data, reverse: Derivation, known: frozenset[str]) -> Diagnosis:
    points = data.points[: len(found.values)]
    values = [np.asarray(np.nan) if v is None else v for v in found.values]
    return explain_error(reverse, found.claim.target.by, known, values, points, found.claim.formula)


def _mistake(diagnosis: Diagnosis) -> FoundMistake | None:
    if not diagnosis.matches:
        return None
    best, *others = diagnosis.matches
    also = tuple(dict.fromkeys([other.name for other in others if other.name != best.name]))
    return FoundMistake(best.name, source(best.place), source(best.mutated), also)
