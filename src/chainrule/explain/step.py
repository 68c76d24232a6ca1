"""A derivation as data: steps in sections. Every rendering reads these and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from chainrule.explain.run import Run
from chainrule.notation.boxes import Box, Chain
from chainrule.notation.matrices import LARGEST
from chainrule.notation.plain import plain
from chainrule.notation.prose import Prose
from chainrule.notation.typeset import typeset, value_box
from chainrule.symbolic.expression import Expression, Number, Symbol, symbols
from chainrule.tensor.graph import Array


@dataclass(frozen=True)
class Step:
    """One quantity: what it is, by which formula, with which numbers, and why.

    Attributes:
        symbol: its name in plain notation: `dL/dz2`.
        left: the name as a formula.
        rights: equal formulas, the one to be read first first.
        substituted: the formula with its numbers, where they are few enough to be read.
        number: the value as it is shown; None for a statement about differentials.
        value: the value, an array or a float.
        reason: why the formula is what it is.
        recomputed: the run had not kept the value.
        key: what equal steps of other layers share.
        parts: the shapes of what the formula reads, by name.
    """

    symbol: str
    left: Box
    rights: tuple[Box, ...]
    substituted: Box | None
    number: Box | None
    value: Any
    why: Prose
    recomputed: bool = False
    key: tuple[Any, ...] = ()
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return tuple(np.shape(self.value))

    @cached_property
    def formula(self) -> str:
        """The formula as text."""
        return plain(Chain(self.left, self.rights))

    @cached_property
    def numbers(self) -> str | None:
        """The formula with numbers put in, as text; None where there are too many of them."""
        return None if self.substituted is None else plain(Chain(self.left, (self.substituted,)))

    @cached_property
    def reason(self) -> str:
        """Why, as text."""
        return text_of(self.why)


@dataclass(frozen=True)
class Fold:
    """Steps that are equal to earlier ones but for their layer: shown once, with the range of their values.

    `block` are the steps that stand for them, `count` how often they come, `first` and `last` the names of the first
    step in the first and the last repetition, `norms` the smallest and the largest norm of each step of the block.
    """

    block: tuple[Step, ...]
    count: int
    first: Box
    last: Box
    norms: tuple[tuple[float, float], ...]


Item: TypeAlias = Step | Fold


@dataclass(frozen=True)
class Section:
    """Steps under a title."""

    title: str
    items: tuple[Item, ...]
    note: Prose = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, those of folds once."""
        return tuple([s for item in self.items for s in (item.block if isinstance(item, Fold) else (item,))])


def text_of(prose: Prose) -> str:
    """A sentence as text."""
    return "".join([part if isinstance(part, str) else plain(part) for part in prose])


def chain_of(one: Step, *, numbers: bool = True) -> Box:
    """A step as one formula: the symbol, its formulas, the formula with numbers, the value."""
    rights = list(one.rights)
    if numbers and one.substituted is not None:
        rights.append(one.substituted)
    if numbers and one.number is not None:
        rights.append(one.number)
    return Chain(one.left, tuple(rights))


def shape_text(shape: tuple[int, ...]) -> str:
    """3×2; nothing for a number."""
    return "×".join(map(str, shape))


def step(
    run: Run,
    left: Symbol,
    formulas: Sequence[Expression],
    why: Prose,
    *,
    value: Array | None = None,
    values: Mapping[str, Any] | None = None,
    decimals: int | None = None,
    recomputed: bool = False,
    key: tuple[Any, ...] | None = None,
) -> Step:
    """A step whose last formula is shown with numbers too.

    Args:
        left: the quantity.
        formulas: equal formulas for it.
        value: its value; by default that of the run.
        values: the numbers of the formula's symbols; by default those of the run.
        decimals: of the value, where the convention's own number does not fit.
    """
    convention = run.convention
    numbers = run.shown if values is None else values
    exact = run.value(left.name) if value is None else value
    printed = numbers.get(left.name, exact)
    formula = formulas[-1]
    read = symbols(formula)
    small = all(max(numbers_shape(numbers.get(name)), default=0) <= LARGEST for name in read)
    substituted = typeset(formula, convention, numbers) if read and small and not isinstance(formula, Symbol) else None
    return Step(
        symbol=left.name,
        left=typeset(left, convention),
        rights=tuple([typeset(f, convention) for f in formulas]),
        substituted=substituted,
        number=None if isinstance(formula, Number) and not np.ndim(exact) else value_box(printed, convention, decimals),
        value=exact if np.ndim(exact) else float(exact),
        why=why,
        recomputed=recomputed,
        key=(_signature(left), *[_signature(f) for f in formulas]) if key is None else key,
        parts={name: s.shape for name, s in read.items()},
    )


def numbers_shape(value: Any) -> tuple[int, ...]:
    return tuple(np.shape(value)) if value is not None else ()


def _signature(formula: Expression) -> tuple[Any, ...]:
    """What a formula has in common with the same one of another layer: all but the numbers in names."""
    if isinstance(formula, Symbol):
        return ("".join([c for c in formula.name if not c.isdigit()]), formula.shape)
    head = getattr(formula, "op", None)
    value = getattr(formula, "value", None)
    name = type(formula).__name__ if head is None else head.name
    return (name, value, formula.shape, *[_signature(part) for part in formula.parts])
