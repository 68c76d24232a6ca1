"""Finds the mistake that a wrong derivation contains: the mutation of the right one that gives what was claimed.

Every step between the claimed derivative and those that the claim mentions is mutated at every place by every mistake
of the catalogue. A mutation whose value is the claim's on every draw is a match. The claim's own formula is mended
too, see `repairs`. Only then two mistakes at once are looked for: a wrong number beside another mistake, or one made in
the right derivation and one taken back from the claim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import islice, pairwise
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError
from chainrule.notation.source import source
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Call, Expression, Number, Slope, Symbol, replaced, symbols
from chainrule.symbolic.program import Derivation
from chainrule.symbolic.simplify import simplified
from chainrule.verify.mistakes.catalogue import MISTAKES, Mistake
from chainrule.verify.mistakes.closed import closed_form
from chainrule.verify.mistakes.network import Network
from chainrule.verify.mistakes.pattern import Array, Pattern, Values, agree, pattern_of, without_lead
from chainrule.verify.mistakes.repairs import Bench
from chainrule.verify.mistakes.site import Mutation, Site, sites
from chainrule.verify.mistakes.symbols import ROLES as EXCHANGES
from chainrule.verify.mistakes.vocabulary import Vocabulary

TOLERANCE = 1e-9
"""Relative to the largest element. Float64 rounds a derivation of some layers to about 1e-14 of it; a mutation that
is not the mistake differs by far more on random data."""

ORDER = {mistake.name: i for i, mistake in enumerate(MISTAKES)}
BY_NAME = {mistake.name: mistake for mistake in MISTAKES}

FEW = 8
"""A fit of fewer numbers than this may be chance: more data is asked for."""

FARTHEST = 10
"""Mistakes are looked for in so many steps nearest to the claim: of a slip farther away it shows little."""

ROUNDING = 1e-13
"""What is 0 because larger numbers cancel keeps their rounding: so much of the largest derivative, in float64."""

HALVES = 200
"""At most so many meetings of a mistake made and a mistake taken back are looked at on every draw."""

PROBES = 64
"""So many elements of a value tell which others it may be equal to."""

PAIRS = 1000
"""At most so many pairs of mistakes are tried: about 0.1 s."""


@dataclass(frozen=True)
class Slip:
    """One mistake at one place: in the step dL/d`quantity` = `right`, `instead` stands for `place`."""

    mistake: Mistake
    quantity: str
    place: Expression
    instead: Expression
    right: Expression
    mutated: Expression


@dataclass(frozen=True)
class Match:
    """One or two slips that together give what was claimed, on every draw."""

    slips: tuple[Slip, ...]

    @property
    def name(self) -> str:
        """`wrong sign`, or `wrong sign + dropped factor` for two."""
        return " + ".join(self.names)

    @property
    def place(self) -> Expression:
        """The part of the right step at which the (first) mistake was made."""
        return self.slips[0].place

    @property
    def mutated(self) -> Expression:
        """The step that the mistake makes of the right one."""
        return self.slips[-1].mutated

    @property
    def right(self) -> Expression:
        """The right step."""
        return self.slips[0].right

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        return tuple([slip.mistake for slip in self.slips])

    @property
    def is_number(self) -> bool:
        """True if numbers alone, a sign included, are wrong."""
        return all(_is_multiple(slip.instead, slip.place) for slip in self.slips)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple([slip.mistake.name for slip in self.slips])


@dataclass(frozen=True)
class Diagnosis:
    """What is known of a wrong claim.

    Attributes:
        matches: what gives the claimed values on every draw, the likeliest first; empty if no known mistake does.
        ambiguous: other data may say more. Several mistakes give the same values on these draws and not on others;
            or the draws have too few numbers to tell a mistake from chance.
        seen: what can be seen of the error without a mistake's name.
        exhausted: False if pairs of mistakes were left untried.
    """

    matches: tuple[Match, ...]
    ambiguous: bool
    seen: Pattern
    exhausted: bool = True

    @property
    def ratio(self) -> str | None:
        """claimed / right in plain notation, where it is the same simple formula on every draw."""
        return None if self.seen.ratio is None else source(self.seen.ratio)

    @property
    def pattern(self) -> str:
        """The pattern in English."""
        return self.seen.text("en")


def explain_error(
    derivation: Derivation,
    name: str,
    known: frozenset[str],
    claimed: Sequence[Array],
    draws: Sequence[Values],
    spelling: Expression | None = None,
    tolerance: float = TOLERANCE,
) -> Diagnosis:
    """Which known mistake turns the right derivation of dL/dNAME into what was claimed.

    Args:
        derivation: the right derivation.
        name: the quantity whose derivative is claimed.
        known: the quantities whose derivatives the claim mentions.
        claimed: the claim's value on each draw; of a wrong shape or not finite, if that is what it gives.
        draws: for each draw, the values of all quantities, and of their true derivatives under `dL/dNAME`.
        spelling: the claim's own formula, if it has one: of two mistakes that give the same formula, the one that
            resembles it is named first.
        tolerance: the relative error at which values count as equal, of the largest element.
    """
    search = _Search(Network(derivation), name, known - {name}, claimed, draws, spelling, tolerance)
    with np.errstate(all="ignore"):
        pattern = pattern_of(search.network, claimed, search.right, draws, tolerance)
        if pattern.kind == "not finite":
            matches = search.repairs() or search.singles() or search.halves()[0]
            return Diagnosis(tuple(search.ranked(matches)), False, pattern)
        matches, exhausted = [*search.repairs(), *search.singles()], True
        if pattern.kind == "constant ratio" and not any(m.is_number or search.is_spelled(m) for m in matches):
            matches = search.two_numbers() or matches  # more telling than a mutation that is a multiple by chance
        if not matches:
            matches, exhausted = search.pairs()
        ranked = search.ranked(matches)
        unsure = search.differ(ranked) or (bool(ranked) and search.has_few_numbers)
        return Diagnosis(tuple(ranked), unsure, pattern, exhausted)


# ---- the search -----------------------------------------------------------------------------------------------


@dataclass
class _Search:
    """A claim, the steps that lead to it, and the values of right formulas on each draw."""

    network: Network
    name: str
    known: frozenset[str]
    claimed: Sequence[Array]
    draws: Sequence[Values]
    spelling: Expression | None
    tolerance: float
    path: list[str] = field(init=False)
    right: list[Array] = field(init=False)
    memos: list[dict[Expression, Any]] = field(init=False)

    def __post_init__(self) -> None:
        derivation = self.network.derivation
        self.path = _between(derivation, self.name, self.known)
        self.right = [draw[derivation.named(self.name).name] for draw in self.draws]
        self.memos = [{} for _ in self.draws]
        self._steps = {q: derivation.step(q) for q in self.path}
        self._reads = {q: symbols(step).keys() for q, step in self._steps.items()}
        self._order = self._most_telling_first()
        self._tried: list[tuple[Slip, Array]] = []
        self._mended: list[tuple[Slip, Site, Array]] = []
        self._rounding = [ROUNDING * _largest(draw, self.network) for draw in self.draws]

    def singles(self) -> list[Match]:
        """The mistakes that give the claim alone."""
        found: list[Match] = []
        seen: dict[tuple[str, Expression], bool] = {}
        for slip, unknown in self._slips():
            if unknown is not None:
                fitted = self._with_unknown(slip, unknown)
                found += [Match((fitted,))] if fitted else []
                continue
            if isinstance(slip.instead, Symbol) and self.vanishes(slip.instead):
                continue  # what is 0 makes anything 0, by chance
            key = (slip.quantity, slip.mutated)
            if key not in seen:
                seen[key] = self._fits({slip.quantity: slip.mutated}, keep=slip)
            if seen[key]:
                found.append(Match((slip,)))
        return found

    def repairs(self) -> list[Match]:
        """The mistakes that explain the claim because taking one of them back makes its own formula right."""
        if self.spelling is None or not any(right.any() for right in self.right):  # anything dead is 0
            return []
        found, seen = [], set[Expression]()
        for site in sites(self.spelling, self.name, self.network):
            for name, instead in self._bench.repairs(site):
                mended = _with(site, instead)
                if mended is None or mended in seen:
                    continue
                slip = Slip(BY_NAME[name], self.name, instead, site.formula, mended, self.spelling)
                if self._is_right(slip, site) and not self._extinguishes(self.spelling, mended):
                    found.append(Match((self._called(slip, site),)))
                else:
                    seen.add(mended)
        return found

    @cached_property
    def _bench(self) -> Bench:
        wanted = tuple([s for s in self.network.above(self.name) if not self.vanishes(s)])
        right = self.network.derivation.inlined(self.name, self.known)
        misfit = all(np.isnan(c).all() for c in self.claimed)
        return Bench(self.network, wanted, right, [self.draws[d] for d in self._order], self.tolerance, misfit)

    def _called(self, slip: Slip, site: Site) -> Slip:
        """A mended slip by its name."""
        return replace(slip, mistake=BY_NAME[self._bench.called(site, slip.mistake.name, slip.place)])

    def halves(self) -> tuple[list[Match], bool]:
        """One mistake made in the right derivation and one taken back from the claim, where both give the same; and
        whether every such meeting was looked at.

        Together they lead from the right derivation to the claim. The values of all mistakes made and those of all
        mended claims are known: two lists meet, there is no search through pairs.
        """
        made: dict[tuple[int, ...], list[tuple[Slip, Array]]] = {}
        for slip, value in self._tried:
            if self._is_something(value):
                made.setdefault(without_lead(value.shape), []).append((slip, _probed(value)))
        probes = {shape: np.array([probe for _, probe in slips]) for shape, slips in made.items()}
        vocabulary = Vocabulary(self.network)
        found: list[Match] = []
        looked = 0
        for slip, site, value in self._mended:
            shape = without_lead(value.shape)
            if shape not in made:
                continue
            slack = self.tolerance * np.abs(value).max() + self._rounding[self._order[0]]
            for i in np.flatnonzero(np.abs(probes[shape] - _probed(value)).max(axis=1) <= slack):
                looked += 1
                if looked > HALVES:
                    return found, False
                first, _ = made[shape][i]
                if self._undo(first, slip) or vocabulary.lacks(slip.right) or not self._meet(first, slip):
                    continue
                if not self._extinguishes(slip.mutated, slip.right):
                    found.append(Match((first, self._called(slip, site))))
        return found, True

    def two_numbers(self) -> list[Match]:
        """Two wrong numbers, one of which may be a sign."""
        return [match for match in self._with_numbers() if match.is_number]

    def is_spelled(self, match: Match) -> bool:
        """True if a mistake makes of the right derivation something nearer to the claim as it is written."""
        right = self._steps[self.name]
        unchanged = Slip(match.slips[0].mistake, self.name, right, right, right, right)
        return self.spelling is not None and self._distance(match) < self._distance(Match((unchanged,)))

    @property
    def has_few_numbers(self) -> bool:
        """True if a fit may be chance: |x| is -x wherever the sign happens to be negative."""
        return len(self.draws) > 1 and sum(np.size(c) for c in self.claimed) < FEW

    def pairs(self) -> tuple[list[Match], bool]:
        """The pairs of mistakes that give the claim, and whether all of them were tried.

        A claim without a formula of its own has no halves: of the common mistakes, every two are tried.
        """
        found = list(self._with_numbers())
        if self.spelling is not None:
            halves, exhausted = self.halves()
            return [*found, *halves], exhausted
        if found:
            return found, True
        tried = 0
        seen: set[tuple[tuple[str, Expression], ...]] = set()
        for first, second in self._two_slips():
            if first.quantity == second.quantity:
                formulas = {first.quantity: second.mutated}
            else:
                formulas = {first.quantity: first.mutated, second.quantity: second.mutated}
            key = tuple(sorted(formulas.items(), key=lambda item: item[0]))
            if key in seen:
                continue
            seen.add(key)
            tried += 1
            if tried > PAIRS:
                return found, False
            if self._fits(formulas):
                found.append(Match((first, second)))
        return found, True

    def differ(self, matches: Sequence[Match]) -> bool:
        """True if the matches are of several names, and other givens tell them apart."""
        if len({m.names for m in matches}) < 2:
            return False
        for seed in range(2):
            values = _redrawn(self.network.derivation, self.draws[0], seed)
            found = [self._value({s.quantity: s.mutated for s in m.slips}, values, {}) for m in matches]
            if any(a is None or b is None or not agree(a, b, self.tolerance) for a, b in pairwise(found)):
                return True
        return False

    def vanishes(self, symbol: Symbol) -> bool:
        """True for a quantity that is 0 on every draw, such as what a dead unit passes on."""
        return all(symbol.name in draw and not np.any(draw[symbol.name]) for draw in self.draws)

    def ranked(self, matches: Sequence[Match]) -> list[Match]:
        """One match for each name: the simplest, then the one nearest to the claim's spelling and step."""

        def rank(match: Match) -> tuple[int, bool, int, bool, list[int]]:
            elsewhere = any(slip.quantity != self.name for slip in match.slips)
            order = [ORDER[name] for name in match.names]
            return len(match.slips), self._is_foreign(match), self._distance(match), elsewhere, order

        best: dict[tuple[str, ...], Match] = {}
        for match in sorted(matches, key=rank):
            best.setdefault(match.names, match)
        return list(best.values())

    def _is_foreign(self, match: Match) -> bool:
        """True for a mutation that reads a derivative which neither the claim nor the right step reads."""
        if self.spelling is None:
            return False
        written = symbols(self.spelling).keys()
        return any(
            self.network.is_derivative(s) and s.name not in written and s.name not in symbols(slip.right)
            for slip in match.slips
            for s in symbols(slip.instead).values()
        )

    def _distance(self, match: Match) -> int:
        """How many symbols of the claim's spelling the mutated derivation lacks or has in excess.

        A number before the whole says nothing of the spelling. A mended claim costs as much as one symbol: a
        mutation of the right step that is spelled like the claim is the better explanation.
        """
        slip = match.slips[-1]
        if self.spelling is None or (slip.quantity == self.name and _is_multiple(slip.instead, slip.place)):
            return 0
        if slip.mutated is self.spelling:
            return 1
        derivation, network = self.network.derivation, self.network
        reads = [network.quantity(d) for d in symbols(slip.mutated).values() if network.is_derivative(d)]
        by = {derivation.named(q).name: derivation.inlined(q, self.known) for q in reads if q not in self.known}
        mutated = replaced(slip.mutated, by)
        if slip.quantity != self.name:
            whole = derivation.inlined(self.name, {*self.known, slip.quantity})
            mutated = replaced(whole, {derivation.named(slip.quantity).name: mutated})
        written, made = self._leaves(self.spelling), self._leaves(simplified(mutated))
        return sum(((written - made) + (made - written)).values())

    def _leaves(self, f: Expression) -> Counter[str]:
        """The quantities that a formula reads, and how often; f(z) counts as a where the program has a = f(z)."""
        if isinstance(f, Slope):
            return self._leaves(f.formula)
        if isinstance(f, Call) and len(f.parts) == 1:
            f = self.network.result(f.op, f.parts[0], f.params)
        if isinstance(f, Symbol):
            return Counter([f.name])
        return sum((self._leaves(part) for part in f.parts), Counter[str]())

    # ---- what is tried ----------------------------------------------------------------------------------

    def _slips(self) -> Iterator[tuple[Slip, Symbol | None]]:
        """Every mistake at every place of every spelling of every step; those nearest to the claim first."""
        for quantity in islice(reversed(self.path), FARTHEST):
            for right in self._spellings(quantity):
                yield from self._slips_in(right, right, quantity, MISTAKES)

    def _slips_in(
        self, formula: Expression, right: Expression, quantity: str, mistakes: Iterable[Mistake]
    ) -> Iterator[tuple[Slip, Symbol | None]]:
        every = list(sites(formula, quantity, self.network))
        for mistake in mistakes:
            for site in every:
                for mutation, mutated in _mutated(mistake, site):
                    yield (
                        Slip(mistake, quantity, site.formula, mutation.instead, right, mutated),
                        mutation.unknown,
                    )

    def _spellings(self, quantity: str) -> list[Expression]:
        """The right step, and its short form where the claim derives it from the loss alone."""
        step = self._steps[quantity]
        if self.network.mentions_derivatives(self.network.derivation.inlined(quantity, self.known)):
            return [step]
        short = closed_form(self.network, quantity, self.draws, self.tolerance)
        return [step] if short is None or short == step else [step, short]

    def _two_slips(self) -> Iterator[tuple[Slip, Slip]]:
        common = [m for m in MISTAKES if m.common]
        firsts = [slip for slip, _ in self._common_slips(common)]
        for i, first in enumerate(firsts):
            for second, _ in self._slips_in(first.mutated, first.mutated, first.quantity, common):
                if second.mistake is not first.mistake or second.place != first.instead:
                    yield first, second
            for second in firsts[i + 1 :]:
                if second.quantity != first.quantity:
                    yield first, second

    def _common_slips(self, common: list[Mistake]) -> Iterator[tuple[Slip, Symbol | None]]:
        for quantity in islice(reversed(self.path), FARTHEST):
            seen: set[Expression] = set()
            for right in self._spellings(quantity):
                for slip, unknown in self._slips_in(right, right, quantity, common):
                    if slip.mutated not in seen and unknown is None:
                        seen.add(slip.mutated)
                        yield slip, unknown

    def _with_numbers(self) -> Iterator[Match]:
        """A mistake and, beside it, a wrong sign or number: seen from the ratio of the claim to the mistake."""
        numbers = [m for m in MISTAKES if m.is_number]
        step = self._steps[self.name]
        factors = [
            (slip, float(_leading_number(slip.instead)))
            for slip, unknown in self._slips_in(step, step, self.name, numbers)
            if unknown is None and slip.place == step and _is_multiple(slip.instead, step)
        ]
        draw = self._order[0]
        claimed = np.squeeze(self.claimed[draw])
        if not claimed.size or not claimed.any():
            return
        peak = int(np.abs(claimed).argmax())
        for slip, value in self._tried:
            value = np.squeeze(value)
            if value.shape != claimed.shape or value.flat[peak] == 0:
                continue
            ratio = claimed.flat[peak] / value.flat[peak]
            for factor, number in factors:
                if slip.mistake.is_number and _is_size(slip) and _is_size(factor):
                    continue  # the quotient of two sizes may be any number
                if abs(ratio - number) <= self.tolerance * abs(number):
                    match = self._multiplied(slip, factor, number)
                    if match is not None:
                        yield match

    def _multiplied(self, slip: Slip, factor: Slip, number: float) -> Match | None:
        for d in self._order:
            value = self._value({slip.quantity: slip.mutated}, self.draws[d], self.memos[d])
            if value is None or not self._agree(d, self.claimed[d], number * value):
                return None
        return Match((slip, factor))

    # ---- whether it fits ----------------------------------------------------------------------------------

    def _fits(self, formulas: Mapping[str, Expression], keep: Slip | None = None) -> bool:
        for d in self._order:
            value = self._value(formulas, self.draws[d], self.memos[d])
            if keep is not None and value is not None and d == self._order[0]:
                self._tried.append((keep, value))
            if value is None or not self._agree(d, self.claimed[d], value):
                return False
        return True

    def _is_right(self, slip: Slip, site: Site) -> bool:
        """True if a mended claim has the right value on every draw."""
        for d in self._order:
            value = self._evaluated(slip.right, d)
            if d == self._order[0] and value is not None and self._is_something(value):
                self._mended.append((slip, site, value))
            if value is None or not self._agree(d, value, self.right[d]):
                return False
        return True

    def _is_something(self, value: Array) -> bool:
        """True for finite numbers above rounding."""
        size = float(np.abs(value).max(initial=0.0))
        return bool(np.isfinite(size) and size > 1e3 * self._rounding[self._order[0]])

    def _undo(self, made: Slip, mended: Slip) -> bool:
        """True for two exchanges of quantities of which one puts back what the other took away."""
        if not {made.mistake.name, mended.mistake.name} <= EXCHANGES.keys():
            return False
        one, other = [
            (self._leaves(s.mutated) - self._leaves(s.right), self._leaves(s.right) - self._leaves(s.mutated))
            for s in (made, mended)
        ]
        return bool(one[0] & other[1] or one[1] & other[0])

    def _meet(self, made: Slip, mended: Slip) -> bool:
        """True if a mistake in the right derivation gives what the mended claim gives, on every draw."""
        for d in self._order:
            a = self._value({made.quantity: made.mutated}, self.draws[d], self.memos[d])
            b = self._evaluated(mended.right, d)
            if a is None or b is None or not self._agree(d, a, b):
                return False
        return True

    def _agree(self, d: int, a: Array, b: Array) -> bool:
        """Equal up to rounding on a draw."""
        return agree(a, b, self.tolerance, self._rounding[d])

    def _extinguishes(self, before: Expression, after: Expression) -> bool:
        """True if a part of the mended claim is 0 on every draw that was not: taken out, no slip taken back."""
        if before == after:
            return False
        if self._goes_out(before, after):
            return True
        alike = len(before.parts) == len(after.parts)
        return alike and any(map(self._extinguishes, before.parts, after.parts))

    def _goes_out(self, before: Expression, after: Expression) -> bool:
        """True if one formula is 0 wherever the other is not."""
        alive = False
        for d in range(len(self.draws)):
            x, y = self._evaluated(before, d), self._evaluated(after, d)
            was, is_ = [0.0 if v is None else float(np.abs(v).max(initial=0.0)) for v in (x, y)]
            if y is None or is_ > self.tolerance * was:
                return False
            alive = alive or was > 0 or x is None
        return alive

    def _evaluated(self, formula: Expression, d: int) -> Array | None:
        try:
            return np.asarray(evaluate(formula, self.draws[d], self.memos[d]))
        except (ChainruleError, ValueError, IndexError, ArithmeticError, KeyError):
            return None

    def _with_unknown(self, slip: Slip, unknown: Symbol) -> Slip | None:
        """The slip with the positive number for its unknown that fits every draw, where the step is affine in it."""
        formulas = {slip.quantity: slip.mutated}
        errors, slopes = [], []
        for d, draw in enumerate(self.draws):
            none = self._value(formulas, {**draw, unknown.name: np.zeros(())}, {})
            one = self._value(formulas, {**draw, unknown.name: np.ones(())}, {})
            if none is None or one is None or none.size != np.size(self.claimed[d]):
                return None
            errors.append(np.ravel(self.claimed[d]) - np.ravel(none))
            slopes.append(np.ravel(one - none))
        error, slope = np.concatenate(errors), np.concatenate(slopes)
        if not slope.any() or not np.isfinite(error).all():
            return None
        number = Fraction(float(error @ slope / (slope @ slope))).limit_denominator(10**6)
        if number <= 0:
            return None
        by: dict[str, Expression] = {unknown.name: Number(float(number))}
        fitted = Slip(slip.mistake, slip.quantity, slip.place, replaced(slip.instead, by), slip.right,
                      replaced(slip.mutated, by))  # fmt: skip
        return fitted if self._fits({fitted.quantity: fitted.mutated}) else None

    def _value(self, formulas: Mapping[str, Expression], values: Values, memo: dict[Expression, Any]) -> Array | None:
        """dL/dNAME where the steps of some quantities are other formulas; None where shapes do not fit.

        memo: of formulas of these `values` alone.
        """
        changed: dict[str, Array] = {}
        for quantity in self.path:
            formula = formulas.get(quantity, self._steps[quantity])
            reads = changed and changed.keys() & (symbols(formula) if quantity in formulas else self._reads[quantity])
            if quantity not in formulas and not reads:
                continue
            try:
                found = evaluate(formula, {**values, **changed} if reads else values, {} if reads else memo)
            except (ChainruleError, ValueError, IndexError, ArithmeticError):
                return None
            changed[self.network.derivation.named(quantity).name] = found
        return changed.get(self.network.derivation.named(self.name).name)

    def _most_telling_first(self) -> list[int]:
        """The draws, those where claim and truth differ most first: most mutations fail at once there."""

        def error(d: int) -> float:
            claimed, right = np.squeeze(self.claimed[d]), np.squeeze(self.right[d])
            if not right.any():
                return 0.0
            if claimed.shape != right.shape:
                return np.inf
            return float(np.abs(claimed - right).max() / (np.abs(right).max() or 1.0))

        return sorted(range(len(self.draws)), key=error, reverse=True)


def _between(derivation: Derivation, name: str, known: frozenset[str]) -> list[str]:
    """The quantities whose steps lead from the known derivatives to the claimed one, in the order of the steps."""
    prefix = derivation.named(name).name.removesuffix(name)
    order: list[str] = []
    stack: list[tuple[str, bool]] = [(name, False)]
    while stack:
        quantity, done = stack.pop()
        if done:
            order.append(quantity)
        elif quantity not in order and quantity not in known:
            stack.append((quantity, True))
            above = [s.removeprefix(prefix) for s in symbols(derivation.step(quantity)) if s.startswith(prefix)]
            stack += [(q, False) for q in above if q not in order]
    return list(dict.fromkeys(order))


def _mutated(mistake: Mistake, site: Site) -> Iterator[tuple[Mutation, Expression]]:
    """The mutations of a mistake at a place, and the steps that they give, where shapes allow."""
    mutations = mistake.mutations(site)
    while True:
        try:
            mutation = next(mutations)
        except StopIteration:
            return
        except ChainruleError:  # what the student would have written has no shape
            return
        if mutation.instead == site.formula:
            continue
        try:
            yield mutation, site.with_instead(mutation.instead)
        except ChainruleError:
            continue


def _is_size(slip: Slip) -> bool:
    """True for a whole step multiplied or divided by a size."""
    return _is_multiple(slip.instead, slip.place) and slip.mistake.name not in ("wrong sign", "factor 2", "factor 1/2")


def _probed(value: Array) -> Array:
    """Some elements of a value, by which it is looked up."""
    places = np.linspace(0, value.size - 1, min(value.size, PROBES)).astype(int)
    return np.asarray(value.ravel()[places])


def _largest(values: Values, network: Network) -> float:
    """The size of the largest derivative."""
    found = [np.abs(values[s.name]).max(initial=0.0) for s in network.quantities if network.is_derivative(s)]
    return float(max([x for x in found if np.isfinite(x)], default=0.0))


def _leading_number(f: Expression) -> Any:
    if isinstance(f, Call) and f.op.name == "neg":
        return -1
    number = f.parts[0]
    assert isinstance(number, Number)
    return number.value


def _is_multiple(f: Expression, step: Expression) -> bool:
    if not isinstance(f, Call) or not f.parts or f.parts[-1] != step:
        return False
    return f.op.name == "neg" or (f.op.name == "mul" and isinstance(f.parts[0], Number))


def _redrawn(derivation: Derivation, values: Values, seed: int) -> dict[str, Array]:
    """The values of all quantities and derivatives where the givens of a float type are others."""
    rng = np.random.default_rng(seed)
    givens: dict[str, Array] = {}
    for given in derivation.program.givens:
        x = np.asarray(values[given.name])
        if x.dtype.kind == "f":
            x = np.where(x == 0, 0.4 * rng.normal(size=x.shape), x * np.exp(0.5 * rng.normal(size=x.shape)))
        givens[given.name] = x
    return derivation.values(derivation.program.values(givens))


def _with(site: Site, instead: Expression) -> Expression | None:
    """The formula with another one at a place; None where the shapes forbid it."""
    try:
        return site.with_instead(instead)
    except ChainruleError:
        return None
