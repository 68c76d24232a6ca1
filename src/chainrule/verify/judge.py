"""The verdict on each claim. Each is computed with the true upstream derivatives, so that what follows from an
earlier slip is not taken for one.

right: the right derivative, with the upstream derivatives as claimed too. consequence: right for the true upstream
ones, wrong for those claimed; or the slip of a claim that it spells out, repeated. wrong: everything else that can be
computed, or cannot for its shapes. undecided: where the right derivative itself is not finite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from chainrule.errors import ArgumentError, NotationError
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Expression, symbols
from chainrule.verify.data import Data
from chainrule.verify.draws import Array
from chainrule.verify.problem import Claim, Printed, Problem, Rates

Verdict: TypeAlias = Literal["right", "wrong", "consequence", "undecided"]

RTOL = 1e-8
"""Of the largest element: values in float64, through a few dozen operations, and cancellation in them."""

Note: TypeAlias = Literal["kink", "by chance", "one point", "outer product", "shape", "repeated", "true upstream"]
"""What else there is to say: at a kink of the given point any value between the slopes is one; right at the given
point by chance; judged at the given point alone; right as a factor of an outer product; of the wrong shape; an earlier
slip written out again; uses a derivative that is not claimed."""


@dataclass
class Judgement:
    """What was found about one claim.

    `values` are the claim's values with true upstream derivatives and `truths` the right ones, at the `points` at
    which it was judged. `upstream` is the claim that it is a consequence of.
    """

    claim: Claim
    verdict: Verdict
    values: list[Array | None] = field(default_factory=list)
    truths: list[Array] = field(default_factory=list)
    points: list[dict[str, Any]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    upstream: Claim | None = None
    reason: str = ""


class Watched(Mapping[str, Any]):
    """All values by name for a claim that is a function, and which derivatives it read."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values_, self.read = values, set[str]()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return self.values_[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


class Judge:
    """Judges the claims of a problem."""

    def __init__(self, problem: Problem, data: Data) -> None:
        self.problem, self.data = problem, data
        self.rates = Rates(problem.program)
        self.first: dict[str, Claim] = {}
        for claim in problem.claims:
            self.first.setdefault(claim.target.name, claim)
        self.judged: dict[int, Judgement] = {}
        self.needs: dict[int, frozenset[int]] = {}

    def judgements(self) -> list[Judgement]:
        """One for each claim, in the order of the claims.

        Raises:
            NotationError: for a claim that is stated in terms of itself, directly or through others.
        """
        for i in list(self._each_after_what_it_reads()):
            self._judgement(i)
        return [self.judged[i] for i in range(len(self.problem.claims))]

    def mentions(self, claim: Claim) -> list[str]:
        """The derivatives that a claim reads, in the order of reading."""
        formula = claim.formula if claim.formula is not None else claim.misfit
        if formula is not None:
            return [name for name in symbols(formula) if name not in self.problem.program.symbols]
        if claim.function is not None:
            watched = Watched(self.data.points[0])
            claim.function(watched)
            return sorted(name for name in watched.read if name not in self.problem.program.symbols)
        return []

    # ---- the order of judging ------------------------------------------------------------------------------

    def _each_after_what_it_reads(self) -> Iterator[int]:
        """The claims, each after those that state the derivatives which it reads; notes what each of them needs."""
        claims = self.problem.claims
        place_of = {id(claim): i for i, claim in enumerate(claims)}
        reads = [
            [place_of[id(self.first[name])] for name in self.mentions(claim) if name in self.first] for claim in claims
        ]
        for start in range(len(claims)):
            trail = [start]
            while trail:  # no recursion: a derivation may be longer than Python's stack
                here = trail[-1]
                ahead = next((i for i in reads[here] if i not in self.needs), None)
                if ahead is not None:
                    if ahead in trail:
                        raise circular([claims[i] for i in trail[trail.index(ahead) :]])
                    trail.append(ahead)
                    continue
                trail.pop()
                if here not in self.needs:
                    self.needs[here] = frozenset(reads[here]).union(*[self.needs[i] for i in reads[here]])
                    yield here

    # ---- one claim ----------------------------------------------------------------------------------------

    def _judgement(self, place: int) -> Judgement:
        if place not in self.judged:
            claim = self.problem.claims[place]
            self.judged[place] = self._judge(claim)
        return self.judged[place]

    def _of(self, claim: Claim) -> Judgement:
        return self._judgement(self._place(claim))

    def _place(self, claim: Claim) -> int:
        return next(i for i, c in enumerate(self.problem.claims) if c is claim)

    def _judge(self, claim: Claim) -> Judgement:
        if claim.error is not None:
            points = list(self.data.points) if claim.misfit is not None else []
            unknown: list[Array | None] = [None for _ in points]
            return Judgement(claim, "wrong", unknown, [], points, ["shape"], reason=claim.error.reason)
        points = self.data.points[:1] if claim.at_one_point else list(self.data.points)
        if claim.target.of != self.problem.program.loss:
            return self._judge_factor(claim, points)
        truths = [np.asarray(claim.target.part(p[claim.target.symbol])) for p in points]
        if claim.printed is not None:
            return self._judge_printed(claim, claim.printed, truths[0])
        values = [self.value(claim, point) for point in points]
        points, truths, values = where_finite(points, truths, values)
        if not claim.at_one_point and not any(v is not None and np.isfinite(v).all() for v in values):
            more = self.data.calm
            calm = [np.asarray(claim.target.part(p[claim.target.symbol])) for p in more]
            points, truths, values = where_finite(
                [*points, *more], [*truths, *calm], [*values, *[self.value(claim, p) for p in more]]
            )
        found = Judgement(claim, "wrong", values, truths, points)
        if not all(np.isfinite(t).all() for t in truths):
            found.verdict, found.reason = "undecided", "the right derivative is not finite here"
            return found
        equal = [self._same(v, t, p, precision(claim)) for v, t, p in zip(values, truths, points, strict=True)]
        if len(points) == 1:
            found.notes.append("one point")
        if all(equal):
            return self._right_here(found)
        if all(same or self._right_near(claim, p) for same, p in zip(equal, points, strict=True)):
            found.notes.append("kink")
            return self._right_here(found)
        if len(points) > 1 and equal[0] and points[0] is self.data.points[0]:
            found.notes.append("by chance")
        if any(v is not None and fitted(v, t) is None for v, t in zip(values, truths, strict=True)):
            found.notes.append("shape")
        return self._repeated(found, points) or found

    def _right_here(self, found: Judgement) -> Judgement:
        """Right with the true upstream derivatives; with the claimed ones too?"""
        found.verdict = "right"
        upstream = [(name, self.first.get(name)) for name in self.mentions(found.claim)]
        if any(claim is None for _, claim in upstream):
            found.notes.append("true upstream")
        for _, claim in upstream:
            if claim is not None and self._of(claim).verdict in ("wrong", "consequence"):
                found.verdict, found.upstream = "consequence", claim
                return found
        return found

    def _repeated(self, found: Judgement, points: list[dict[str, Any]]) -> Judgement | None:
        """A consequence, if the right derivation gives this value from a wrong claim that it passes through."""
        claim = found.claim
        program = self.problem.program
        for name in program.symbols:
            other = self.first.get(f"d{program.loss}/d{name}")
            if other is None or other is claim or name == claim.target.by or not self._passes(claim.target.by, name):
                continue
            if self._needs(other, claim):  # it cannot have made a slip that it was given
                continue
            if (other.at_one_point and not claim.at_one_point) or self._of(other).verdict in ("right", "undecided"):
                continue
            formula = self.data.derivation.inlined(claim.target.by, [name, *self.known(claim)])
            if other.target.symbol in symbols(formula) and self._gives(found, formula, other, points):
                return Judgement(
                    claim, "consequence", found.values, found.truths, points, [*found.notes, "repeated"], other
                )
        return None

    def _needs(self, claim: Claim, other: Claim) -> bool:
        """True if a claim is stated in terms of another one, directly or through others."""
        return self._place(other) in self.needs[self._place(claim)]

    def known(self, claim: Claim) -> list[str]:
        """The quantities whose derivatives a claim takes as known."""
        prefix = f"d{self.problem.program.loss}/d"
        return [name.removeprefix(prefix) for name in self.mentions(claim) if name.startswith(prefix)]

    def _gives(self, found: Judgement, formula: Expression, other: Claim, points: list[dict[str, Any]]) -> bool:
        """True if the formula, computed from a wrong claim, has the value that was claimed."""
        for value, point in zip(found.values, points, strict=True):
            right = np.asarray(point[other.target.symbol])
            wrong = [fitted(v, right) for v in self._possible(other, point)]
            if value is None or not wrong or any(v is None for v in wrong):
                return False
            follows = [
                found.claim.target.part(np.asarray(evaluate(formula, {**point, other.target.symbol: v}))) for v in wrong
            ]
            if not self._agrees(found.claim, value, follows, point):
                return False
        return True

    def _possible(self, claim: Claim, point: Mapping[str, Any]) -> list[Array]:
        """The values that a claim may stand for: both ends of what is printed so."""
        if claim.printed is not None:
            return [claim.printed.low, claim.printed.high]
        value = self.value(claim, point)
        return [] if value is None else [value]

    def _agrees(self, claim: Claim, value: Array, follows: list[Array], point: Mapping[str, Any]) -> bool:
        if claim.printed is None:
            return all(self._same(value, one, point, precision(claim)) for one in follows)
        low, high = fitted(claim.printed.low, follows[0]), fitted(claim.printed.high, follows[0])
        if low is None or high is None:
            return False
        return bool(np.all((low <= np.max(follows, axis=0)) & (np.min(follows, axis=0) <= high)))

    def _passes(self, by: str, through: str) -> bool:
        """True if a quantity reaches the loss through another one."""
        program = self.problem.program
        return through in program.reaching and self.rates.depends(through, by)

    def _right_near(self, claim: Claim, point: Mapping[str, Any]) -> bool:
        """Right close to a point, though not at it: the point is at a kink."""
        near = self.data.near(point)
        value = self.value(claim, near)
        return self._same(value, np.asarray(claim.target.part(near[claim.target.symbol])), near)

    def _judge_printed(self, claim: Claim, printed: Printed, truth: Array) -> Judgement:
        """The verdict on printed numbers, at the given point alone."""
        point = self.data.points[:1]
        found = Judgement(claim, "wrong", [(printed.low + printed.high) / 2], [truth], point, ["one point"])
        if not np.isfinite(truth).all():
            found.verdict, found.reason = "undecided", "the right derivative is not finite here"
            return found
        low, high = fitted(printed.low, truth), fitted(printed.high, truth)
        if low is None or high is None:
            found.notes.append("shape")
            return found
        if Printed(low, high, printed.stated).admits(truth):
            found.verdict = "right"
            return found
        loss = self.problem.program.loss
        return (self._repeated(found, point) if claim.target.of == loss else None) or found

    # ---- factors -------------------------------------------------------------------------------------------

    def _judge_factor(self, claim: Claim, points: list[dict[str, Any]]) -> Judgement:
        """d(of)/d(by) is right if the chain rule with it gives what `by` receives, multiplied in one of its ways."""
        of, by = claim.target.of, claim.target.by
        if claim.printed is not None:
            table = self.data.table(of, by, points[0])
            truth = np.asarray(table if claim.printed.low.size == table.size else np.diag(table))
            return self._judge_printed(claim, claim.printed.as_slope(table), truth)
        values = [self.value(claim, point) for point in points]
        truths = [self._canonical(of, by, point) for point in points]
        found = Judgement(claim, "wrong", values, truths, points)
        rng = np.random.default_rng(1)
        shape = self.problem.program.symbols[of].shape
        possible = set(WAYS)
        for value, point in zip(values, points, strict=True):
            g = rng.normal(size=shape)
            wanted = self.data.factor(of, by, point, g)
            if value is None:
                return found
            possible = {way for way in possible if self._same(combined(way, g, value), wanted, point)}
        if not possible:
            return found
        if not possible & {"g * f", "f.T @ g", "g @ f"}:
            found.notes.append("outer product")
        return self._right_here(found)

    def _canonical(self, of: str, by: str, point: Mapping[str, Any]) -> Array:
        """The factor in the shape in which formulas use it."""
        symbol = self.rates.symbol(of, by)
        assert symbol is not None
        table = self.data.table(of, by, point)
        size = int(np.prod(symbol.shape, dtype=np.int64))
        if size == table.size:
            return table.reshape(symbol.shape)
        return np.asarray(np.diag(table).reshape(symbol.shape)) if size == min(table.shape) else table

    # ---- values --------------------------------------------------------------------------------------------

    def value(self, claim: Claim, point: Mapping[str, Any]) -> Array | None:
        """The claim's value with the true upstream derivatives; None where it cannot be computed."""
        if claim.array is not None:
            return claim.array
        if claim.printed is not None:
            return np.asarray((claim.printed.low + claim.printed.high) / 2)
        if claim.function is not None:
            return np.asarray(claim.function(Watched(point)), dtype=np.float64)
        if claim.formula is None:
            return None
        factors = {name: self._factor_value(name, point) for name in self.mentions(claim) if name not in point}
        return np.asarray(evaluate(claim.formula, {**point, **factors}), dtype=np.float64)

    def _factor_value(self, name: str, point: Mapping[str, Any]) -> Array:
        """A factor such as da2/dz2: as it is claimed if that is right, so that it has the shape it is used with."""
        claim = self.first.get(name)
        if claim is not None and claim.printed is None and self._of(claim).verdict == "right":
            value = self.value(claim, point)
            assert value is not None
            return value
        return self._canonical(*self.rates.names(name), point)

    def _same(self, value: Array | None, truth: Array, point: Mapping[str, Any], rtol: float = RTOL) -> bool:
        """Equal up to rounding; values of one element are scalars, whatever their axes."""
        if value is None:
            return False
        value = fitted(value, truth)
        if value is None:
            return False
        # what is 0 because larger numbers cancel keeps their rounding: 1e-13 of the largest derivative in float64
        slack = rtol * (np.max(np.abs(truth), initial=0.0) + 1e-5 * self.data.scale(point))
        return bool(np.all(np.abs(value - truth) <= slack))


def circular(claims: list[Claim]) -> NotationError | ArgumentError:
    """The error for claims that are stated in terms of each other; it points at the first of them in the text."""
    first = min(range(len(claims)), key=lambda i: (claims[i].line, claims[i].column))
    claims = claims[first:] + claims[:first]
    names = [claim.target.name for claim in claims]
    round_ = " -> ".join([*names, names[0]])
    what = f"{names[0]} is stated in terms of itself: {round_}"
    mend = "State one of them by quantities of the forward part or by a derivative nearer to the loss."
    at = claims[0]
    if not at.line:
        return ArgumentError(what, mend=mend)
    return NotationError(what, line=at.line, column=at.column, text=" " * (at.column - 1) + at.text, mend=mend)


def where_finite(
    points: list[dict[str, Any]], truths: list[Array], values: list[Array | None]
) -> tuple[list[dict[str, Any]], list[Array], list[Array | None]]:
    """The points at which a claim is finite, if there are any: exp(-z) / (1 + exp(-z))**2 is right, and overflows."""
    kept = [i for i, v in enumerate(values) if v is not None and np.isfinite(v).all()]
    if not kept:
        return points, truths, values
    return [points[i] for i in kept], [truths[i] for i in kept], [values[i] for i in kept]


def precision(claim: Claim) -> float:
    """The relative error that a right claim may have: an array has the rounding of the program that computed it."""
    if claim.array is None:
        return RTOL
    return max(RTOL, 256 * float(np.finfo(claim.array.dtype).eps))


def fitted(value: Array, truth: Array) -> Array | None:
    """The value in the shape of the truth, if only axes of size 1 tell them apart and one has one element."""
    if value.shape == truth.shape:
        return value
    return value.reshape(truth.shape) if value.size == truth.size == 1 else None


WAYS: dict[str, Callable[[Array, Array], Array]] = {
    "g * f": lambda g, f: g * f, "g @ f": lambda g, f: g @ f, "g @ f.T": lambda g, f: g @ f.T,
    "f.T @ g": lambda g, f: f.T @ g, "f @ g": lambda g, f: f @ g,
}  # fmt: skip
"""How a factor meets the cotangent from above: elementwise, or as a matrix in one of the layouts of textbooks."""


def combined(way: str, g: Array, f: Array) -> Array | None:
    """The product; None where the shapes forbid it."""
    try:
        return np.asarray(WAYS[way](g, f))
    except ValueError:
        return None
