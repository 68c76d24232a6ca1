"""`derivation`: is this derivation right, and if not, which step, which factor, and what should it be?"""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, FileFormatError, ShapeError, UnsupportedError
from chainrule.notation.source import source
from chainrule.symbolic.expression import Expression
from chainrule.symbolic.program import Derivation, Program
from chainrule.tensor.tensor import Tensor
from chainrule.verify.data import Data
from chainrule.verify.judge import Judge, Judgement, precision, where_finite
from chainrule.verify.mistakes.match import TOLERANCE, Diagnosis, Match, explain_error
from chainrule.verify.problem import Claim, Problem
from chainrule.verify.programs import problem_of_function, problem_of_graph
from chainrule.verify.reading import problem
from chainrule.verify.result import ClaimResult, DerivationResult, FoundMistake

MORE = 4
"""So many redraws are added where two mistakes cannot be told apart."""


def derivation(
    path: str | PathLike[str] | None = None,
    *,
    text: str | None = None,
    forward: Callable[..., Any] | None = None,
    claims: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
) -> DerivationResult:
    """The verdict on each claim of a derivation.

    Each claim is judged with the true upstream derivatives, on the data as given and on redraws of it, so that the
    first wrong step is separated from what follows from it, and nothing is right by chance. A wrong claim is matched
    against the catalogue of mistakes (docs/mistakes.md).

    Args:
        path: a derivation file, UTF-8; docs/verify.md describes its notation.
        text: the text of one, instead of a file.
        forward: instead of a text, the forward part as a function of the givens by name. They come as Tensors; it
            returns a dict of named quantities that ends with the loss, or the loss alone. It runs once: redraws follow
            the operations of that run.
        given: for `forward`: arrays, nested lists or numbers by name.
        claims: for `forward`, by the name of the derivative (`"dL/dz2"`): an array, judged at the given data alone; a
            formula as text; or a function of all values, `lambda v: (v["W3"].T @ v["dL/dz3"]) * v["a2"]`.

    Raises:
        NotationError: for what cannot be read, with its line and column.
        DataError: if the forward part is not finite on the data as given.
        FileFormatError: for a file that is not text.
        OSError: for a file that cannot be opened.
        ArgumentError: unless exactly one of `path`, `text` and `forward` is given, `forward` with its claims.

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
    if [path, text, forward].count(None) != 2 or (forward is None) != (claims is None and given is None):
        raise ArgumentError(
            "derivation: give the path of a file, or text=..., or forward=... with claims=... and given=..."
        )
    if forward is not None:
        return judged(problem_of_function(forward, given or {}, claims or {}))
    if text is not None:
        return judged(problem(text))
    assert path is not None
    return judged(problem(read(Path(path))), title=str(path))


def compare(
    claims: Mapping[str, Any], *, loss: Tensor, at: Mapping[str, Tensor], loss_name: str = "L"
) -> DerivationResult:
    """The verdict on derivatives of a program that ran, quantity by quantity.

    The first wrong one is separated from its consequences: "dW2 is right given your delta2; delta2 is wrong". The
    right values are computed in float64 from the data of the run; an array of claims may be off by 256 of its own
    units of precision.

    Args:
        claims: by the name of the derivative, `dL/dz2`: an array (or Tensor), a formula as text, or a function of all
            values by name, `lambda v: v["W3"].T @ v["dL/dz3"]`.
        loss: what the program computed, of one element, with its graph.
        at: the tensors that the claims are about, by name: `{"z2": z2, "W2": model[0].weight}`.
        loss_name: what the loss is called in the claims.

    Raises:
        GraphError: the loss has no graph, or values of the run cannot be found again.
        NotationError: a claim about something that `at` does not name.
        ArgumentError: no claims.
        ShapeError: a loss of several elements.
    """
    if loss.numel() != 1:
        raise ShapeError("compare: a loss has one element", got=[f"loss  {tuple(loss.shape)}"])
    return judged(problem_of_graph(loss, at, claims, loss_name))


def read(path: Path) -> str:
    """The text of a file: UTF-8, or UTF-16 with its mark, as PowerShell writes it.

    Raises:
        FileFormatError: for one that is neither.
    """
    found = path.read_bytes()
    try:
        text = found.decode("utf-16" if found.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(
            f"{path} is not a text file in UTF-8", got=[str(error)], mend="Save it as UTF-8 in your editor."
        ) from error
    return "\n".join(text.splitlines())


def judged(given: Problem, title: str = "") -> DerivationResult:
    """The verdicts on a problem."""
    data = Data(given)
    judge = Judge(given, data)
    judgements = judge.judgements()
    results = tuple([_result(judge, data, judgement) for judgement in judgements])
    varied = tuple([g.name for g in given.givens if g.nature not in ("random", "count", "fixed")])
    order = _backward_order(given)
    return DerivationResult(results, given.unused, len(data.redraws), varied, title, order, given.program.loss)


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
    result = ClaimResult(
        target.name,
        found.verdict,
        claim.text,
        claim.line,
        claim.column,
        written(target.formula(reverse.inlined(target.by, known))),
        claim.printed.stated if claim.printed is not None else found.values[0] if found.values else None,
        found.truths[0] if found.truths else data.points[0].get(target.symbol),
        upstream=None if found.upstream is None else found.upstream.target.name,
        notes=tuple(found.notes),
        reason=found.reason,
    )
    if found.verdict != "wrong" or not found.values or target.places is not None:
        return result
    diagnosis = _diagnosed(judge, data, found, reverse, known)
    return replace(result, mistake=_mistake(diagnosis, reverse), error=diagnosis.seen)


def written(formula: Expression) -> str:
    """A formula in the notation of claims; empty where the notation has no words for it."""
    try:
        return source(formula)
    except UnsupportedError:
        return ""


def _right_derivation(judge: Judge, found: Judgement) -> tuple[Derivation, frozenset[str]]:
    """The derivation of what is claimed, and the quantities whose derivatives the claim takes as known."""
    program, target = judge.problem.program, found.claim.target
    if target.of != program.loss:
        return Derivation(Program(program.givens, program.statements, target.of)), frozenset()
    return judge.data.derivation, frozenset(judge.known(found.claim))


def _diagnosed(judge: Judge, data: Data, found: Judgement, reverse: Derivation, known: frozenset[str]) -> Diagnosis:
    """What the matcher says; where it cannot tell mistakes apart, what it says on more data."""
    diagnosis = _diagnosis(judge, found, data, reverse, known)
    if diagnosis.ambiguous and not found.claim.at_one_point and data.has_redraws:
        before = len(data.points)
        data.draw(MORE)
        found.points = [*found.points, *data.points[before:]]
        found.values += [judge.value(found.claim, point) for point in data.points[before:]]
        diagnosis = _diagnosis(judge, found, data, reverse, known)
    return diagnosis


def _diagnosis(judge: Judge, found: Judgement, data: Data, reverse: Derivation, known: frozenset[str]) -> Diagnosis:
    claim = found.claim
    points, values = found.points, found.values
    if not claim.at_one_point and data.has_redraws:
        points = [*points, *data.signed]
        values = [*values, *[judge.value(claim, point) for point in data.signed]]
        points, _, values = where_finite(points, [np.zeros(()) for _ in points], values)
    if claim.target.of != data.problem.program.loss:  # the step from a factor's own quantity starts at 1
        points = [
            {**p, **Derivation(reverse.program).values({n: p[n] for n in reverse.program.symbols})} for p in points
        ]
    claimed = [np.asarray(np.nan) if v is None else v for v in values]
    spelling = claim.formula if claim.formula is not None else claim.misfit
    return explain_error(reverse, claim.target.by, known, claimed, points, spelling, tolerance(claim))


def tolerance(claim: Claim) -> float:
    """The relative error up to which a mistake gives what was claimed: printed numbers are rounded."""
    if claim.printed is not None:
        middle = np.abs(claim.printed.low + claim.printed.high) / 2
        return float(np.max((claim.printed.high - claim.printed.low) / 2) / max(np.max(middle), 1e-300))
    return max(TOLERANCE, precision(claim) if claim.array is not None else 0.0)


def _mistake(diagnosis: Diagnosis, reverse: Derivation) -> FoundMistake | None:
    if not diagnosis.matches:
        return None
    best, *others = [_found(match, reverse) for match in diagnosis.matches]
    also = {other.name: other for other in others if other.name != best.name}
    return replace(best, also=tuple(also.values()), told_apart=not diagnosis.ambiguous)


def _found(match: Match, reverse: Derivation) -> FoundMistake:
    step = f"{reverse.named(match.slips[-1].quantity).name} = {written(match.mutated)}"
    return FoundMistake(match.name, match.mistakes, written(match.place), step)
