"""A place in a right step, what a student might have written there instead, and the step with that in its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chainrule.symbolic.expression import Expression, Number, Slope, Symbol
from chainrule.verify.mistakes.network import Network

Path = tuple[int, ...]
"""Where a formula stands within another: the place among the parts at each level, from the outside in."""


@dataclass(frozen=True)
class Site:
    """A part of the right step dL/dQUANTITY = STEP: the `formula` at `path`.

    `around` are the formulas that contain it, outermost first.
    """

    formula: Expression
    quantity: str
    network: Network
    path: Path = ()
    around: tuple[Expression, ...] = ()

    @property
    def is_step(self) -> bool:
        """True for the whole right side."""
        return not self.around

    @property
    def is_in_slope(self) -> bool:
        """True within the formula of an activation's derivative."""
        return any(isinstance(f, Slope) for f in self.around)

    @property
    def step(self) -> Expression:
        """The whole right side."""
        return self.around[0] if self.around else self.formula

    def with_instead(self, instead: Expression) -> Expression:
        """The whole right side with another formula here.

        Raises:
            ShapeError, DTypeError, ArgumentError: where the operators around refuse it.
        """
        for around, place in zip(reversed(self.around), reversed(self.path), strict=True):
            parts = list(around.parts)
            parts[place] = instead
            instead = around.with_parts(tuple(parts))
        return instead


@dataclass(frozen=True)
class Mutation:
    """What stands at a site instead; `unknown` is a positive number in it that the data must tell (a learning rate)."""

    instead: Expression
    unknown: Symbol | None = None


def sites(step: Expression, quantity: str, network: Network) -> Iterator[Site]:
    """Every place of a step, from the outside in. A slope is entered by its formula, not by its argument."""
    stack = [Site(step, quantity, network)]
    while stack:
        site = stack.pop()
        yield site
        inside = [
            Site(part, quantity, network, (*site.path, i), (*site.around, site.formula))
            for i, part in enumerate(site.formula.parts)
            if not (isinstance(site.formula, Slope) and i == 0) and not isinstance(part, Number)
        ]
        stack.extend(reversed(inside))
