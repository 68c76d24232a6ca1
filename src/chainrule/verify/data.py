"""The points at which claims are judged: every quantity and every derivative, on the givens and on redraws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.errors import DataError
from chainrule.ops.activation import softplus
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Call, Symbol
from chainrule.symbolic.program import Derivation, Program
from chainrule.verify.draws import Array
from chainrule.verify.problem import Problem

REDRAWS = 3
PATIENCE = 6
"""So many redraws more, while a derivative is 0 at every point: a dead unit shows no mistake in what it passes on."""

ATTEMPTS = 12
"""So often a redraw at which the program is not finite is drawn again, each time closer to the data as given."""


@dataclass
class Data:
    """The values of a program at several points.

    `points[0]` are the data as given, the others redraws. A point maps every quantity to its value, and every
    derivative of the loss (`dL/dz2`) to its right one. `has_redraws` is False if the program is finite at none.
    """

    problem: Problem
    points: list[dict[str, Any]] = field(default_factory=list)
    derivation: Derivation = field(init=False)
    _next: int = 1

    def __post_init__(self) -> None:
        self.derivation = Derivation(self.problem.program)
        given = self._point(0, 1.0)
        check_finite(self.problem.program, given)
        self.points.append(given)
        self.draw(REDRAWS)
        for _ in range(PATIENCE):
            if self._is_dead:
                self.draw(1)

    @property
    def has_redraws(self) -> bool:
        return len(self.points) > 1

    @property
    def redraws(self) -> list[dict[str, Any]]:
        return self.points[1:]

    def draw(self, how_many: int) -> None:
        """Add redraws at which everything is finite."""
        for _ in range(how_many):
            for attempt in range(ATTEMPTS):
                point = self._point(self._next, 0.7**attempt)
                self._next += 1
                if all(np.isfinite(value).all() for value in point.values()) and not self._is_cut(point):
                    self.points.append(point)
                    break

    @cached_property
    def signed(self) -> list[dict[str, Any]]:
        """Points where numbers have other signs than as given: |x| is not -x there."""
        rng = np.random.default_rng(2)
        found = []
        for number in range(1, 1 + REDRAWS):
            givens = {
                g.name: np.abs(g.drawn(number)) * rng.choice([-1.0, 1.0], g.value.shape)
                if g.nature in ("random", "numbers")
                else g.drawn(number)
                for g in self.problem.givens
            }
            with np.errstate(all="ignore"):
                point = self.derivation.values(self.problem.program.values(givens))
            if all(np.isfinite(value).all() for value in point.values()):
                found.append(point)
        return found

    @cached_property
    def calm(self) -> list[dict[str, Any]]:
        """Points with small numbers, where exp does not overflow."""
        found = []
        for number in range(1, 1 + REDRAWS):
            givens = {
                g.name: (0.1 if g.nature in ("random", "numbers") else 1.0) * g.drawn(number)
                for g in self.problem.givens
            }
            point = self.derivation.values(self.problem.program.values(givens))
            if all(np.isfinite(value).all() for value in point.values()):
                found.append(point)
        return found

    def near(self, point: Mapping[str, Any], size: float = 1e-6) -> dict[str, Any]:
        """A point close to another one: what is a kink there is none here."""
        rng = np.random.default_rng(0)
        givens = {
            g.name: point[g.name] + size * rng.normal(size=g.value.shape)
            for g in self.problem.givens
            if g.value.dtype.kind == "f"
        }
        return self.derivation.values(self.problem.program.values({**point, **givens}))

    def scale(self, point: Mapping[str, Any]) -> float:
        """The size of the largest derivative: what is 0 beside it is 0."""
        prefix = f"d{self.problem.program.loss}/d"
        sizes = [float(np.max(np.abs(v), initial=0.0)) for n, v in point.items() if n.startswith(prefix)]
        return max(sizes, default=1.0)

    def factor(self, of: str, by: str, point: Mapping[str, Any], cotangent: Array) -> Array:
        """What `by` receives when `of` receives a cotangent."""
        program = self.problem.program
        seed = Symbol("<seed>", program.symbols[of].shape)
        reverse = Derivation(Program(program.givens, program.statements, of), seed)
        found = reverse.inlined(by, ())
        return np.asarray(evaluate(found, {**point, seed.name: cotangent}))

    def table(self, of: str, by: str, point: Mapping[str, Any]) -> Array:
        """d(of)/d(by): a number for each pair of their elements, rows for `of`."""
        rows = []
        shape = self.problem.program.symbols[of].shape
        for i in range(int(np.prod(shape, dtype=np.int64))):
            unit = np.zeros(shape)
            unit.flat[i] = 1
            rows.append(np.ravel(self.factor(of, by, point, unit)))
        return np.array(rows)

    @property
    def _is_dead(self) -> bool:
        """True if a derivative is 0 at every point, and others can be drawn."""
        if all(g.nature in ("count", "fixed") for g in self.problem.givens):
            return False
        prefix = f"d{self.problem.program.loss}/d"
        derivatives = [name for name in self.points[0] if name.startswith(prefix)]
        return any(not any(np.any(point[name]) for point in self.points) for name in derivatives)

    def _is_cut(self, point: Mapping[str, Any]) -> bool:
        """True where softplus computes z for log(1 + exp(z)), beyond its threshold of 20: sums that cancel show it."""
        for statement in self.problem.program.statements:
            f = statement.formula
            if isinstance(f, Call) and f.op is softplus:
                params = {**f.op.params, **dict(f.params)}
                if np.any(params["beta"] * evaluate(f.parts[0], point) > params["threshold"]):
                    return True
        return False

    def _point(self, number: int, size: float) -> dict[str, Any]:
        givens = {g.name: g.drawn(number, size) for g in self.problem.givens}
        return self.derivation.values(self.problem.program.values(givens))


def check_finite(program: Program, point: Mapping[str, Any]) -> None:
    """Raises DataError naming the first quantity that is not finite."""
    for name in program.symbols:
        if not np.isfinite(point[name]).all():
            where = next((f" ({s.where})" for s in program.statements if s.name == name and s.where), "")
            raise DataError(
                f"'{name}'{where} is not finite on the data as given",
                got=[f"{name} = {np.array2string(np.asarray(point[name]), precision=4, threshold=12)}"],
                mend="Derivatives exist where the forward part is finite: change the givens.",
            )
