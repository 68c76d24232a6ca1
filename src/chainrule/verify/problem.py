"""What is to be judged: a program, the data that it starts from, and claims about its derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.errors import NotationError
from chainrule.notation.language.builder import element
from chainrule.notation.language.syntax import Binary, Listed, Literal, Negative, Syntax
from chainrule.shapes import Shape
from chainrule.symbolic.expression import Call, Expression, Symbol, symbols, walk
from chainrule.symbolic.program import Program
from chainrule.verify.draws import Array, Given

Places = tuple[int | tuple[int | None, int | None], ...]


@dataclass(frozen=True)
class Target:
    """The derivative that is claimed: of which quantity, by which, and at which places if not as a whole."""

    of: str
    by: str
    places: Places | None = None

    @property
    def symbol(self) -> str:
        """`dL/dz2`."""
        return f"d{self.of}/d{self.by}"

    @property
    def name(self) -> str:
        """`dL/dW2[0, 1]`."""
        if self.places is None:
            return self.symbol
        return f"{self.symbol}[{', '.join([_place(p) for p in self.places])}]"

    def part(self, x: Array) -> Array:
        """The claimed places of the whole derivative."""
        if self.places is None:
            return x
        key = [
            slice(*p) if isinstance(p, tuple) else slice(p % n, p % n + 1)
            for p, n in zip(self.places, x.shape, strict=False)
        ]
        return x[tuple(key)]

    def formula(self, whole: Expression) -> Expression:
        """The same of a formula."""
        return whole if self.places is None else element(whole, self.places)


def _place(place: int | tuple[int | None, int | None]) -> str:
    return ":".join(["" if p is None else str(p) for p in place]) if isinstance(place, tuple) else str(place)


@dataclass(frozen=True)
class Printed:
    """A claim that states numbers only: all values that are printed so, rounded or truncated, lie in [low, high].

    Whole numbers are exact. A product of rounded factors has the interval that its factors span. `stated` is what the
    numbers say as they stand.
    """

    low: Array
    high: Array
    stated: Array

    def admits(self, truth: Array) -> bool:
        """True if the numbers are what the right ones look like when printed."""
        largest = np.maximum(np.abs(self.low), np.abs(self.high))
        slack = 1e-12 * largest
        is_cut = (np.abs(truth) >= largest - slack) & (self.low < self.high)  # 0.5 is never cut down to 0.4
        return bool(np.all((self.low - slack <= truth) & (truth <= self.high + slack) & ~is_cut))

    def as_slope(self, table: Array) -> Printed:
        """One number for each element, where one is stated for all: dz/db = 1 is a slope, not one derivative.

        Args:
            table: the derivative of every element by every other one.
        """
        each = np.diag(table)
        if self.low.size > 1 or each.size == 1 or not np.array_equal(table, np.diag(each)):
            return self
        return Printed(*[np.full(each.shape, end) for end in (self.low, self.high, self.stated)])

    @staticmethod
    def read(syntax: Syntax) -> Printed | None:
        """The interval of a formula of numbers; None for one that reads names."""
        match syntax:
            case Literal(at):
                return _literal(at.text)
            case Negative(_, operand):
                inside = Printed.read(operand)
                return None if inside is None else Printed(-inside.high, -inside.low, -inside.stated)
            case Binary(at, left, right) if at.text in CORNERS:
                a, b = Printed.read(left), Printed.read(right)
                if a is None or b is None:
                    return None
                corners = [CORNERS[at.text](x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
                stated = CORNERS[at.text](a.stated, b.stated)
                return Printed(np.min(corners, axis=0), np.max(corners, axis=0), stated)
            case Listed(_, items):
                rows = [item.items if isinstance(item, Listed) else (item,) for item in items]
                cells = [[Printed.read(cell) for cell in row] for row in rows]
                if any(cell is None or cell.low.ndim for row in cells for cell in row):
                    return None
                return Printed(
                    *[np.array([[getattr(c, end) for c in row] for row in cells]) for end in ("low", "high", "stated")]
                )
        return None


CORNERS: dict[str, Callable[[Array, Array], Array]] = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}


def _literal(text: str) -> Printed:
    value = float(text)
    if text.isdecimal():
        return Printed(np.array(value), np.array(value), np.array(value))
    mantissa, _, exponent = text.lower().partition("e")
    last_digit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return Printed(np.array(value - last_digit / 2), np.array(value + last_digit), np.array(value))


@dataclass(frozen=True)
class Claim:
    """One claimed derivative. How its value is found: by a formula, by a function of all values, or as an array.

    Args:
        target: what is claimed.
        text: as it was written.
        line, column: where, from 1; 0 for one that has no place in a text.
        formula: of forward quantities and other derivatives.
        printed: for a claim that states numbers only; it is judged at the given point alone.
        error: why the formula cannot be computed (shapes that do not fit).
        misfit: such a formula nevertheless: it cannot be evaluated, but it can be mended.
        function: takes a mapping of all values by name, `v["dL/dz3"]` the derivatives among them.
        array: the claimed value at the given point.
    """

    target: Target
    text: str
    line: int = 0
    column: int = 0
    formula: Expression | None = None
    printed: Printed | None = None
    error: NotationError | None = None
    misfit: Expression | None = None
    function: Callable[[Mapping[str, Any]], Any] | None = None
    array: Array | None = None

    @property
    def at_one_point(self) -> bool:
        """True for a claim about the given data alone."""
        return self.printed is not None or self.array is not None


@dataclass(frozen=True)
class Problem:
    """A program, its givens in order, the claims in order, and the givens that nothing uses, with their lines."""

    program: Program
    givens: tuple[Given, ...]
    claims: tuple[Claim, ...]
    unused: tuple[tuple[str, int], ...] = ()


@dataclass
class Rates:
    """The derivatives that claims may speak of: dL/dz2 by every quantity, and factors such as da2/dz2."""

    program: Program
    _factor_shapes: dict[tuple[str, str], Shape] = field(default_factory=dict)

    def symbol(self, of: str, by: str) -> Symbol | None:
        """The symbol for d(of)/d(by); an empty `of` is the loss. None if there is no such derivative."""
        of = of or self.program.loss
        if of not in self.program.symbols or by not in self.program.symbols:
            return None
        if of != self.program.loss and not self.depends(of, by):
            return None
        shape = self.program.symbols[by].shape if of == self.program.loss else self._factor_shape(of, by)
        return Symbol(f"d{of}/d{by}", shape)

    def names(self, symbol: str) -> tuple[str, str]:
        """The two names of a derivative's symbol."""
        for of in self.program.symbols:
            if symbol.startswith(f"d{of}/d") and symbol[len(of) + 3 :] in self.program.symbols:
                return of, symbol[len(of) + 3 :]
        raise KeyError(symbol)

    def shape_of_factor(self, target: Target, shape: Shape) -> None:
        """A factor that is claimed has the shape in which it is claimed."""
        self._factor_shapes[target.of, target.by] = shape

    def depends(self, of: str, by: str) -> bool:
        """True if the quantity is computed from the other one."""
        return by in Program(self.program.givens, self.program.statements, of).reaching and of != by

    def _factor_shape(self, of: str, by: str) -> Shape:
        claimed = self._factor_shapes.get((of, by))
        if claimed is not None:
            return claimed
        a, b = self.program.symbols[of].shape, self.program.symbols[by].shape
        if _is_one(a):
            return b
        if _is_one(b) or (a == b and self.is_elementwise(of, by)):
            return a
        return (_count(a), _count(b))

    def is_elementwise(self, of: str, by: str) -> bool:
        """True if each element of one depends on the same element of the other alone."""
        between = Program(self.program.givens, self.program.statements, of).reaching
        return all(
            one.op.kind.name == "elementwise" or by not in symbols(one)
            for statement in self.program.statements
            if statement.name in between and self.program.symbols[by].name in self._below(statement.name)
            for one in walk(statement.formula)
            if isinstance(one, Call)
        )

    def _below(self, name: str) -> frozenset[str]:
        return Program(self.program.givens, self.program.statements, name).reaching


def _count(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _is_one(shape: Shape) -> bool:
    return _count(shape) == 1
