"""Syntax to expressions: names get their meaning, operators their operands' shapes.

A list is a column, nested lists are rows. Reductions run down the columns (axis 0) unless an axis is given, and keep
it at size 1. A value of one element is a scalar, whatever its axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from fractions import Fraction
from typing import Any

from chainrule.dtypes import float64
from chainrule.errors import ChainruleError, IndexOutOfRangeError, NotationError, ShapeError
from chainrule.notation.language.syntax import (
    Applied,
    Binary,
    Indexed,
    Listed,
    Literal,
    Name,
    Negative,
    Rate,
    Syntax,
    Transposed,
)  # fmt: skip
from chainrule.notation.language.tokens import Source, Token
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.op import Op
from chainrule.symbolic.differentiate import has_slope, slope_of
from chainrule.symbolic.expression import Expression, Number, call
from chainrule.symbolic.simplify import simplified

DEEPEST = 100
"""So deep a formula may be, each term of a sum counted."""

OPERATORS = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "@": "matmul", "**": "pow",
    "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne",
}  # fmt: skip
BESIDE = "beside"
"""The product of two factors that stand side by side in LaTeX: of matrices, or with a scalar. In a chain of derivatives
such as dL/da da/dz those of one shape are multiplied element by element."""
WITH_AT = "A @ B wants as many columns of A as B has rows; .T is the transpose."

MISFIT = "the shapes do not fit: "
"""How the message begins where the shapes of two operands do not fit."""

ALIASES = {"sigma": "sigmoid", "max": "amax", "min": "amin", "ReLU": "relu", "ln": "log"}
"""Other spellings of operators."""

AXES = {"all": None, "neurons": 0, "features": 0, "rows": 0, "batch": 1, "samples": 1, "columns": 1}
"""Axes by name: a sample is a column, and the samples of a batch stand side by side."""

DOWN_COLUMNS = frozenset(
    (
        "sum",
        "mean",
        "prod",
        "amax",
        "amin",
        "var",
        "std",
        "logsumexp",
        "norm",
        "softmax",
        "log_softmax",
        "argmax",
        "argmin",
        "any",
        "all",
    )
)
"""The functions whose axis is 0 unless said otherwise."""

WITHOUT = frozenset(("random", "update"))
"""The kinds of operators that a formula has no use for."""


class Builder:
    """Gives formulas their meaning.

    Args:
        source: the text, for messages.
        names: the quantities that a formula may read.
        rates: the symbol of a derivative such as dL/dz2, from its two names; None where there is none.
    """

    def __init__(
        self,
        source: Source,
        names: Mapping[str, Expression],
        rates: Callable[[str, str], Expression | None] | None = None,
    ) -> None:
        self.source, self.names, self.rates = source, names, rates
        self._depth = 0

    def expression(self, syntax: Syntax) -> Expression:
        """The formula.

        Raises:
            NotationError: for an unknown name or function, shapes that do not fit, a formula too deep to be one,
                each at its place in the text.
        """
        if self._depth == DEEPEST:
            raise self.source.error(f"the formula is more than {DEEPEST} terms deep: name a part of it", syntax.at)
        self._depth += 1
        try:
            return self._built(syntax)
        except NotationError:
            raise
        except ShapeError as refused:
            mend = WITH_AT if syntax.at.text == "@" else None
            raise self.source.error(self._misfit(syntax, refused), syntax.at, mend) from refused
        except ChainruleError as refused:
            raise self.source.error(_in_one_line(refused), syntax.at) from refused
        finally:
            self._depth -= 1

    def _misfit(self, syntax: Syntax, refused: ShapeError) -> str:
        """Which shapes do not fit; for an operator between two operands: (2 × 3) @ (2 × 1)."""
        if not isinstance(syntax, Binary) or syntax.at.text == BESIDE:
            return _in_one_line(refused)
        left, right = (" × ".join(map(str, self.expression(x).shape)) or "1" for x in (syntax.left, syntax.right))
        return f"{MISFIT}({left}) {syntax.at.text} ({right})"

    def _built(self, syntax: Syntax) -> Expression:
        match syntax:
            case Literal(at):
                return Number(number(at))
            case Name(at):
                return self._quantity(at)
            case Rate(at, of, by):
                return self._rate(at, of, by)
            case Negative(_, operand):
                inside = self.expression(operand)
                return Number(-inside.value, inside.shape) if isinstance(inside, Number) else -inside
            case Binary():
                return self._binary(syntax)
            case Transposed(_, operand):
                inside = self.expression(operand)
                return call("mT", inside) if inside.ndim > 1 else inside
            case Indexed():
                return self._indexed(syntax)
            case Applied():
                return self._applied(syntax)
            case Listed():
                return self._listed(syntax)

    # ---- names --------------------------------------------------------------------------------------------

    def _quantity(self, at: Token) -> Expression:
        found = self.names.get(at.text)
        if found is not None:
            return found
        if self.rates is not None and at.text.startswith("delta") and len(at.text) > 5:
            rate = self.rates("", "z" + at.text[5:].lstrip("_"))
            if rate is not None:
                return rate
        if at.text.startswith("d") and at.text[1:] in self.names:
            raise self.source.error(
                f"{at.text} on its own is not a quantity", at, f"Write d{at.text[1:]}/dNAME, one symbol."
            )
        close = get_close_matches(at.text, list(self.names), 1)
        raise self.source.error(
            f"no quantity is called '{at.text}'", at, f"Did you mean '{close[0]}'?" if close else _known(self.names)
        )

    def _rate(self, at: Token, of: str, by: str) -> Expression:
        rate = self.rates(of, by) if self.rates is not None else None
        if rate is not None:
            return rate
        missing = next((name for name in (of, by) if name not in self.names), None)
        if self.rates is None:
            raise self.source.error("derivatives stand in claims only", at)
        if missing is None and of == by:
            return Number(1, self.names[by].shape)
        if missing is None:
            raise self.source.error(f"{by} does not enter {of}, so d{of}/d{by} is not a factor of anything", at)
        raise self.source.error(f"no quantity is called '{missing}'", at, _known(self.names))

    # ---- operators ----------------------------------------------------------------------------------------

    def _binary(self, syntax: Binary) -> Expression:
        a, b = self.expression(syntax.left), self.expression(syntax.right)
        symbol = syntax.at.text
        if isinstance(a, Number) and isinstance(b, Number) and a.shape == b.shape == () and symbol in ARITHMETIC:
            return self._folded(syntax.at, a, b)
        if symbol == BESIDE:
            is_elementwise = a.shape == b.shape and _is_chain(syntax)
            return call("mul" if is_elementwise or _is_scalar(a) or _is_scalar(b) else "matmul", a, b)
        if symbol == "@" and min(a.ndim, b.ndim) < 2:
            raise self.source.error("@ multiplies matrices; a scalar is multiplied by *", syntax.at)
        return call(OPERATORS[symbol], a, b)

    def _folded(self, at: Token, a: Number, b: Number) -> Number:
        """The number that two numbers make: 1/2 is one half exactly."""
        try:
            return Number(ARITHMETIC[at.text](a.value, b.value))
        except (ArithmeticError, ValueError) as error:
            raise self.source.error(f"{a.value} {at.text} {b.value} is not a number: {error.args[-1]}", at) from error

    def _indexed(self, syntax: Indexed) -> Expression:
        x = self.expression(syntax.operand)
        return element(x, syntax.places)

    def _listed(self, syntax: Listed) -> Expression:
        """A column of scalars, or rows of them side by side."""
        rows = [item if isinstance(item, Listed) else Listed(item.at, (item,)) for item in syntax.items]
        if len({len(row.items) for row in rows}) != 1:
            raise self.source.error("the rows of a matrix have the same length", syntax.at)
        made = [[self._scalar(item) for item in row.items] for row in rows]
        lines = [call("cat", *row, axis=1) if len(row) > 1 else row[0] for row in made]
        return call("cat", *lines, axis=0) if len(lines) > 1 else lines[0]

    def _scalar(self, syntax: Syntax) -> Expression:
        x = self.expression(syntax)
        if isinstance(x, Number):
            return Number(x.value, (1, 1))
        if any(n != 1 for n in x.shape):
            raise self.source.error(f"the elements of a list are scalars, and this is {_size(x)}", syntax.at)
        return call("reshape", x, shape=(1, 1))

    # ---- functions ----------------------------------------------------------------------------------------

    def _applied(self, syntax: Applied) -> Expression:
        name = syntax.at.text
        op = self.operator(name)
        if op is None and name.startswith("d") and (of := self.operator(name[1:])) is not None and has_slope(of):
            op, primed = of, True
        else:
            primed = syntax.prime
        if name in WRITTEN and not primed:
            return WRITTEN[name](self, syntax)
        if op is None:
            close = get_close_matches(name, [*CATALOGUE, *ALIASES, *WRITTEN], 1)
            raise self.source.error(
                f"no function is called '{name}'", syntax.at, f"Did you mean '{close[0]}'?" if close else None
            )
        inputs = [self.expression(argument) for argument in syntax.arguments]
        params = {word.text: self._parameter(op, word, value) for word, value in syntax.keywords}
        if primed:
            return self._slope(op, syntax, inputs, params)
        return self._called(op, syntax, inputs, params)

    def operator(self, name: str) -> Op | None:
        """The operator that a function name means."""
        op = CATALOGUE.get(ALIASES.get(name, name))
        return None if op is None or op.kind.name in WITHOUT else op

    def _slope(self, op: Op, syntax: Applied, inputs: list[Expression], params: dict[str, Any]) -> Expression:
        if not has_slope(op) or len(inputs) != 1:
            raise self.source.error(f"{op.name}' needs a function of one variable, elementwise", syntax.at)
        return slope_of(op, inputs[0], params)

    def _called(self, op: Op, syntax: Applied, inputs: list[Expression], params: dict[str, Any]) -> Expression:
        if op.name in DOWN_COLUMNS:
            params = {"axis": 0 if inputs and inputs[0].ndim else None, **params}
            if "keepdims" in op.params and params["axis"] is not None:
                params["keepdims"] = True
            if "axis" in params and params["axis"] is None and op.name in ("softmax", "log_softmax"):
                params["axis"] = -1
        fewest = len([x for x in op.inputs if x not in op.optional]) - op.variadic
        if not fewest <= len(inputs) <= (len(op.inputs) if not op.variadic else len(inputs)):
            raise self.source.error(f"{op.name} takes {', '.join(op.inputs)}; {len(inputs)} came", syntax.at)
        if op.kind.name == "elementwise" and all(isinstance(x, Number) for x in inputs):
            inputs = [Number(float(x.plain), x.shape) for x in inputs if isinstance(x, Number)]
        return call(op.name, *inputs, **params)

    def _parameter(self, op: Op, word: Token, value: Syntax) -> Any:
        if word.text not in op.params:
            takes = ", ".join(op.params) or "no parameters"
            raise self.source.error(f"{op.name} has no parameter '{word.text}'; it takes {takes}", word)
        return self.constant(value, word.text)

    def constant(self, value: Syntax, name: str = "") -> Any:
        """A parameter: a number, a tuple of them written as a list, an axis by its name."""
        match value:
            case Name(at) if name == "axis" and at.text in AXES:
                return AXES[at.text]
            case Name(at) if at.text in ("True", "False", "None"):
                return {"True": True, "False": False, "None": None}[at.text]
            case Name(at) if name == "reduction":
                return at.text
            case Listed(_, items):
                return tuple([self.constant(item) for item in items])
        folded = self.expression(value)
        if not isinstance(folded, Number) or folded.shape:
            raise self.source.error(f"{name or 'this'} is a number", value.at)
        return folded.plain


# ---- functions that are not operators -----------------------------------------------------------------------


def _one(builder: Builder, syntax: Applied, how_many: int = 1) -> list[Expression]:
    if len(syntax.arguments) != how_many or syntax.keywords:
        wanted = "one matrix" if how_many == 1 else f"{how_many} matrices"
        raise builder.source.error(f"{syntax.at.text} takes {wanted}", syntax.at)
    made = [builder.expression(argument) for argument in syntax.arguments]
    for x, argument in zip(made, syntax.arguments, strict=True):
        if x.ndim != 2:
            raise builder.source.error(f"{syntax.at.text} takes matrices, and this is {_size(x)}", argument.at)
    return made


def _diag(builder: Builder, syntax: Applied) -> Expression:
    """The diagonal matrix of a column or row; of a square matrix, the column on its diagonal."""
    (x,) = _one(builder, syntax)
    if 1 in x.shape:
        column = x if x.shape[1] == 1 else call("mT", x)
        return call("mul", call("eye", size=column.shape[0], dtype=float64), column)
    if x.shape[0] != x.shape[1]:
        raise builder.source.error(f"diag takes a column or a square matrix, and this is {_size(x)}", syntax.at)
    return call("sum", call("eye", size=x.shape[0], dtype=float64) * x, axis=1, keepdims=True)


def _outer(builder: Builder, syntax: Applied) -> Expression:
    """a b^T of two columns."""
    a, b = _one(builder, syntax, 2)
    return call("matmul", a, call("mT", b))


def _transposed(builder: Builder, syntax: Applied) -> Expression:
    (x,) = _one(builder, syntax)
    return call("mT", x)


def _filled(value: int) -> Callable[[Builder, Applied], Expression]:
    def make(builder: Builder, syntax: Applied) -> Expression:
        return Number(float(value), sizes(builder, syntax))

    return make


def _eye(builder: Builder, syntax: Applied) -> Expression:
    n, *more = sizes(builder, syntax)
    if more != [1]:
        raise builder.source.error("eye(n) takes one size", syntax.at)
    return call("eye", size=n, dtype=float64)


def sizes(builder: Builder, syntax: Applied) -> tuple[int, ...]:
    """The shape that zeros(3) or random(2, 3) says: one size makes a column."""
    if not syntax.arguments:
        raise builder.source.error(f"{syntax.at.text} needs its size, such as {syntax.at.text}(3, 2)", syntax.at)
    found = [builder.constant(argument, "a size") for argument in syntax.arguments]
    total = 1
    for n, argument in zip(found, syntax.arguments, strict=True):
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise builder.source.error("a size is a whole number, 1 or more", argument.at)
        total *= n
    if total > LARGEST:
        raise builder.source.error(f"{total} elements are more than the {LARGEST} that a quantity may have", syntax.at)
    return (found[0], 1) if len(found) == 1 else tuple(found)


LARGEST = 1_000_000
"""So many elements a given may have."""

WRITTEN: dict[str, Callable[[Builder, Applied], Expression]] = {
    "diag": _diag, "outer": _outer, "transpose": _transposed, "zeros": _filled(0), "ones": _filled(1), "eye": _eye,
}  # fmt: skip


# ---- numbers and elements -----------------------------------------------------------------------------------


def number(at: Token) -> int | float:
    """A number as written: an integer where it has neither point nor exponent."""
    return int(at.text) if at.text.isdecimal() and len(at.text) < 16 else float(at.text)


def _power(a: Any, b: Any) -> Any:
    if isinstance(b, int) and abs(b) < 64 and not isinstance(a, float):
        return _simple(Fraction(a) ** b)
    power = float(a) ** float(b)
    if isinstance(power, complex):
        raise ArithmeticError("the root of a negative number")
    return power


def _simple(x: Fraction) -> int | Fraction | float:
    if max(abs(x.numerator), x.denominator) > 2**53:
        return float(x)
    return x.numerator if x.denominator == 1 else x


def _exactly(how: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Arithmetic on ratios of integers exactly, on others as floats."""

    def fold(a: Any, b: Any) -> Any:
        if isinstance(a, float) or isinstance(b, float):
            return how(float(a), float(b))
        return _simple(how(Fraction(a), Fraction(b)))

    return fold


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": _exactly(lambda a, b: a + b), "-": _exactly(lambda a, b: a - b), "*": _exactly(lambda a, b: a * b),
    "/": _exactly(lambda a, b: a / b), "**": _power,
}  # fmt: skip


def element(x: Expression, places: tuple[int | tuple[int | None, int | None], ...]) -> Expression:
    """x[i, j]: what stands there, with all axes kept; an axis that is not mentioned stays whole.

    Raises:
        IndexOutOfRangeError: for an index that the axis does not have.
    """
    if len(places) > x.ndim:
        raise IndexOutOfRangeError(f"{len(places)} indices are too many for {_size(x)}")
    key = []
    for place, n in zip(places, x.shape, strict=False):
        if isinstance(place, tuple):
            key.append(slice(*place))
            continue
        if not -n <= place < n:
            raise IndexOutOfRangeError(f"index {place} is outside an axis of size {n}; indices count from 0")
        key.append(slice(place % n, place % n + 1))
    return simplified(call("slice", x, key=tuple(key)))


def _is_chain(syntax: Syntax) -> bool:
    """True for derivatives side by side."""
    if isinstance(syntax, Binary) and syntax.at.text == BESIDE:
        return _is_chain(syntax.left) and _is_chain(syntax.right)
    return isinstance(syntax, Rate)


def _is_scalar(x: Expression) -> bool:
    return all(n == 1 for n in x.shape)


def _size(x: Expression) -> str:
    return "a scalar" if not x.shape else " x ".join(map(str, x.shape))


def _known(names: Mapping[str, Expression]) -> str | None:
    return "The quantities are " + ", ".join(list(names)[:20]) + "." if names else None


def _in_one_line(refused: ChainruleError) -> str:
    return refused.what + ("" if not refused.got else ": " + ", ".join([" ".join(g.split()) for g in refused.got]))
