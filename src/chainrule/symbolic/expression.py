"""A formula as a tree: symbols, numbers, calls of catalogue operators, slopes and kept statistics.

Immutable, compared by content. An expression has the operators that operator bodies use, so that a body run on
expressions, with `Formulas` as its `m`, writes its own formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache, partial
from typing import Any, TypeAlias

from chainrule.dtypes import DType, float64, int64
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.maths import Operators
from chainrule.ops.op import Op, Rule
from chainrule.ops.shape_maths import Abstract, results_of
from chainrule.shapes import Shape

Real: TypeAlias = int | float | Fraction


class Expression(Operators["Expression"]):
    """A formula of known shape and element type."""

    __slots__ = ()
    shape: Shape
    dtype: DType

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The formulas that this one is made of."""
        return ()

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        """The same formula of other parts; its shape follows from theirs."""
        assert not parts
        return self

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def _call(self, name: str, *inputs: Any) -> Expression:
        return call(name, *inputs)


@dataclass(frozen=True)
class Symbol(Expression):
    """A named quantity: `W2`, `z2`, `dL/dz2`."""

    name: str
    shape: Shape = ()
    dtype: DType = float64


@dataclass(frozen=True, eq=False)
class Number(Expression):
    """A number that the formula states: an integer or a ratio of integers as such, else a float."""

    value: Real
    shape: Shape = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    @property
    def _content(self) -> tuple[Any, ...]:
        """1 and 1.0 are two formulas: their element types differ."""
        return (isinstance(self.value, float), self.value, self.shape)

    @property
    def dtype(self) -> DType:  # type: ignore[override]  # it follows from the value
        return int64 if isinstance(self.value, int) and not self.shape else float64

    @property
    def plain(self) -> int | float:
        """As operator bodies take it."""
        return float(self.value) if isinstance(self.value, Fraction) else self.value


@dataclass(frozen=True)
class LeftOut(Expression):
    """So many terms of a long sum, which are not written down: it is for showing, and has no value."""

    count: int
    shape: Shape = ()
    dtype: DType = float64


@dataclass(frozen=True, eq=False)
class Call(Expression):
    """An operator of the catalogue on formulas; None stands for an optional input that is absent."""

    op: Op
    inputs: tuple[Expression | None, ...]
    params: tuple[tuple[str, Any], ...]
    shape: Shape
    dtype: DType

    @property
    def parts(self) -> tuple[Expression, ...]:
        return tuple([x for x in self.inputs if x is not None])

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        return call(self.op.name, *filled(self.inputs, parts), **dict(self.params))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Call):
            return False
        return self is other or (self._hash == other._hash and self._content == other._content)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Found once: a formula is looked up many times, and is as deep as the network."""
        return hash(self._content)

    @property
    def _content(self) -> tuple[Any, ...]:
        return (self.op.name, self.inputs, repr(self.params), self.shape)


@dataclass(frozen=True)
class Slope(Expression):
    """The derivative of an elementwise operator of one variable, at `at`: sigma'(z), whose `formula` is a (1 - a)."""

    op: Op
    at: Expression
    params: tuple[tuple[str, Any], ...]
    formula: Expression

    @property
    def shape(self) -> Shape:  # type: ignore[override]  # they follow from the point
        return self.at.shape

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        return self.at.dtype

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.at, self.formula)

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        at, formula = parts
        return Slope(self.op, at, self.params, formula)


@dataclass(frozen=True)
class Kept(Expression):
    """A statistic that an operator keeps beside its value, such as the log-sum-exp of cross entropy."""

    of: Call
    name: str
    shape: Shape
    dtype: DType

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.of,)

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        (of,) = parts
        assert isinstance(of, Call)
        return kept(of)[self.of.op.keeps.index(self.name)]


@dataclass(frozen=True, eq=False)
class Pulled(Expression):
    """What an input of an operator receives by a rule that is too long to be written down: a recurrence, by steps.

    The rule is run as it is. `g` is the cotangent of `of`, whose value `result` stands for.
    """

    of: Call
    rule: Rule
    place: int
    g: Expression
    result: Expression

    @property
    def input(self) -> Expression:
        """The input that receives it."""
        x = self.of.inputs[self.place]
        assert x is not None
        return x

    @property
    def shape(self) -> Shape:  # type: ignore[override]  # a cotangent is like what it belongs to
        return self.input.shape

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        return self.input.dtype

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.g, self.result, *self.of.parts)

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        g, result, *inputs = parts
        of = self.of.with_parts(tuple(inputs))
        assert isinstance(of, Call)
        return Pulled(of, self.rule, self.place, g, result)


def call(name: str, *inputs: Any, **params: Any) -> Call:
    """The formula that applies an operator; Python numbers among the inputs become Numbers.

    Raises:
        ShapeError, DTypeError, ArgumentError: what the operator's shape rule refuses.
    """
    op = CATALOGUE[name]
    given = tuple([x if x is None or isinstance(x, Expression) else Number(x) for x in inputs])
    shape, dtype = _results(op, given, params)[0]
    return Call(op, given, tuple(params.items()), shape, dtype)


def kept(of: Call) -> tuple[Kept, ...]:
    """The statistics that a call keeps."""
    results = _results(of.op, of.inputs, dict(of.params))[1:]
    return tuple([Kept(of, name, *result) for name, result in zip(of.op.keeps, results, strict=True)])


class _Params(dict[str, Any]):
    """Parameters as a key: they may hold slices and lists, which are told apart by what they say."""

    def __hash__(self) -> int:  # type: ignore[override]  # nobody changes them
        return hash(repr(self))


def _results(op: Op, inputs: tuple[Expression | None, ...], params: dict[str, Any]) -> list[tuple[Shape, DType]]:
    """The shapes and element types of an operator's results."""
    known = tuple([_abstract(op, x) for x in inputs])
    return _found_once(op, known, tuple(map(type, known)), _Params(params))


@lru_cache(maxsize=4096)
def _found_once(op: Op, inputs: tuple[Any, ...], types: tuple[type, ...], params: _Params) -> list[tuple[Shape, DType]]:
    """A search asks for the same results thousands of times. `types` tells 1 from 1.0 and True, which are equal."""
    return results_of(op, inputs, dict(params))


def _abstract(op: Op, x: Expression | None) -> Any:
    if isinstance(x, Number) and not x.shape and op.converts:
        return x.plain
    return None if x is None else Abstract(x.shape, x.dtype)


def filled(inputs: tuple[Expression | None, ...], parts: tuple[Expression, ...]) -> list[Expression | None]:
    """The inputs of a call with other formulas in the places that are not None."""
    left = iter(parts)
    return [None if x is None else next(left) for x in inputs]


class _OperatorsAsAttributes(type):
    def __getattr__(cls, name: str) -> Callable[..., Call]:
        if name not in CATALOGUE:
            raise AttributeError(f"no operator '{name}'")
        return partial(call, name)


class Formulas(metaclass=_OperatorsAsAttributes):
    """`m` on expressions: every operator of the catalogue writes itself down."""


# ---- walking --------------------------------------------------------------------------------------------------


def walk(formula: Expression) -> Iterator[Expression]:
    """The formula and all it is made of, from the outside in, left to right."""
    stack = [formula]
    while stack:
        one = stack.pop()
        yield one
        stack.extend(reversed(one.parts))


def symbols(formula: Expression) -> dict[str, Symbol]:
    """The symbols of a formula by name, in the order of reading."""
    return {one.name: one for one in walk(formula) if isinstance(one, Symbol)}


def replaced(formula: Expression, by: dict[str, Expression]) -> Expression:
    """The formula with other formulas for the symbols of these names."""
    if isinstance(formula, Symbol):
        return by.get(formula.name, formula)
    return with_each_part(formula, lambda part: replaced(part, by))


def instead(formula: Expression, by: Mapping[Expression, Expression]) -> Expression:
    """The formula with others in place of some of its parts."""
    return by[formula] if formula in by else with_each_part(formula, lambda part: instead(part, by))


def with_each_part(formula: Expression, made: Callable[[Expression], Expression]) -> Expression:
    """The formula with what is made of each of its parts; itself where that changes none."""
    parts = tuple([made(part) for part in formula.parts])
    return formula if all(a is b for a, b in zip(parts, formula.parts, strict=True)) else formula.with_parts(parts)
