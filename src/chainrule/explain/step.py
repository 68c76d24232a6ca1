"""A derivation as data: steps in sections. Every rendering reads these; the picture of the network the run too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from chainrule.explain.run import Run
from chainrule.notation.blocks import text_of
from chainrule.notation.boxes import Box, Chain
from chainrule.notation.matrices import LARGEST
from chainrule.notation.plain import plain
from chainrule.notation.prose import Prose
from chainrule.notation.typeset import seen, typeset, value_box
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
        of: the quantity that the step is about: z2 for z2, for dL/dz2 and for their elements.
        module: the path of the module that computes the quantity, or that the derivative comes back through; "" outside
            of modules.
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
    of: str = ""
    module: str = ""

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

    `repeats` are the equal blocks of steps, `norms` the smallest and the largest norm of each step of a block.
    """

    repeats: tuple[tuple[Step, ...], ...]
    norms: tuple[tuple[float, float], ...]

    @property
    def block(self) -> tuple[Step, ...]:
        """The steps that stand for all."""
        return self.repeats[0]

    @property
    def count(self) -> int:
        """How often they come."""
        return len(self.repeats)

    @property
    def first(self) -> Box:
        """The name of the first step where they come first."""
        return self.repeats[0][0].left

    @property
    def last(self) -> Box:
        """The name of the first step where they come last."""
        return self.repeats[-1][0].left


@dataclass(frozen=True)
class Flow:
    """What enters or leaves a call of a module: a value on the way forward, a derivative on the way back.

    `whole` is False for a derivative of which other calls send a part as well; `rms` is that of this call's part.
    """

    box: Box
    shape: tuple[int, ...]
    rms: float
    whole: bool = True


@dataclass(frozen=True)
class CallSteps:
    """The steps of one call of a module.

    Attributes:
        path, kind: the module's path and class.
        items: its steps, and calls of modules inside of it.
        enters, leaves: what it takes and gives, in the direction of the pass.
        parameters: the rms of the derivatives by its parameters that the steps find; None where there are none.
        opened: it was asked for, and is shown open.
    """

    path: str
    kind: str
    items: tuple[Item, ...]
    enters: tuple[Flow, ...] = ()
    leaves: tuple[Flow, ...] = ()
    parameters: float | None = None
    opened: bool = False

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """All steps, those of folds and of equal calls once."""
        return shown_steps(self.items)


@dataclass(frozen=True)
class EqualCalls:
    """Calls that follow each other and make the same steps, but for the numbers: the first stands for all."""

    calls: tuple[CallSteps, ...]

    @property
    def first(self) -> CallSteps:
        """The one that stands for all."""
        return self.calls[0]

    @property
    def ends(self) -> tuple[str, str]:
        """The paths of the first and the last: the same one for a module that is called again and again."""
        return self.calls[0].path, self.calls[-1].path


Item: TypeAlias = Step | Fold | CallSteps | EqualCalls


@dataclass(frozen=True)
class Section:
    """Steps under a title."""

    title: str
    items: tuple[Item, ...]
    note: Prose = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, those of folds and of equal calls once."""
        return shown_steps(self.items)


def shown_steps(items: Sequence[Item]) -> tuple[Step, ...]:
    """The steps among items, those of folds and of equal calls once."""
    found: list[Step] = []
    for item in items:
        match item:
            case Step():
                found.append(item)
            case Fold():
                found += item.block
            case CallSteps():
                found += item.steps
            case EqualCalls():
                found += item.first.steps
    return tuple(found)


def all_steps(items: Sequence[Item]) -> Iterator[Step]:
    """The steps among items, those of every repetition too."""
    for item in items:
        match item:
            case Step():
                yield item
            case Fold():
                for block in item.repeats:
                    yield from block
            case CallSteps():
                yield from all_steps(item.items)
            case EqualCalls():
                yield from all_steps(item.calls)


def row_names(equal: EqualCalls) -> list[str]:
    """What tells equal calls apart: their paths, and for one module the number of the call."""
    paths = [call.path for call in equal.calls]
    numbers = range(1, len(paths) + 1)
    return [p if paths.count(p) == 1 else f"{p} ({n})" for p, n in zip(paths, numbers, strict=True)]


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


def size_text(rms: float) -> str:
    """A root mean square to three digits, which tells vanishing gradients from zero."""
    return f"{rms:.3g}".replace("-", "−")


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
    of: str | None = None,
) -> Step:
    """A step whose last formula is shown with numbers too.

    Args:
        left: the quantity.
        formulas: equal formulas for it.
        value: its value; by default that of the run.
        values: the numbers of the formula's symbols; by default those of the run.
        decimals: of the value, where the convention's own number does not fit.
        of: the quantity that it is about; by default the one whose value or derivative `left` is.
    """
    convention = run.convention
    of = run.of(left.name) if of is None else of
    calls = run.around_rate(of) if run.is_rate(left.name) else run.around(of)
    numbers = run.shown if values is None else values
    exact = run.value(left.name) if value is None else value
    printed = numbers.get(left.name, exact)
    formula = formulas[-1]
    read = symbols(formula)
    small = all(max(np.shape(numbers.get(name, ())), default=0) <= LARGEST for name in read)
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
        parts={name: s.shape for name, s in seen(formula, convention).items()},
        of=of,
        module=calls[-1].path if calls else "",
    )


def _signature(formula: Expression) -> tuple[Any, ...]:
    """What a formula has in common with the same one of another layer: all but the numbers in names."""
    if isinstance(formula, Symbol):
        return ("".join([c for c in formula.name if not c.isdigit()]), formula.shape)
    head = getattr(formula, "op", None)
    value = getattr(formula, "value", None)
    name = type(formula).__name__ if head is None else head.name
    return (name, value, formula.shape, *[_signature(part) for part in formula.parts])
