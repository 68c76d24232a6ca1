"""A formula laid out as boxes under a convention, with as few parentheses as a textbook uses.

What binds tighter needs none: juxtaposed matrices bind tighter than `⋅`, that tighter than `⊙`, that tighter than a
sum. With values, symbols become numbers and matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from chainrule import shapes
from chainrule.dtypes import DType
from chainrule.notation.boxes import (
    APPLY,
    MINUS,
    TIMES,
    Box,
    Cases,
    Fenced,
    Fraction,
    Identifier,
    Limits,
    Numeral,
    Operator,
    Root,
    Row,
    Scripts,
    Text,
    Word,
    row,
    separated,
)
from chainrule.notation.conventions import Convention
from chainrule.notation.matrices import matrix_box, size_box
from chainrule.notation.names import ACTIVATIONS, name_box
from chainrule.notation.numbers import number_box, shown, stated
from chainrule.ops.op import Op
from chainrule.symbolic.elements import FIRST
from chainrule.symbolic.expression import Call, Expression, Kept, LeftOut, Number, Pulled, Slope, Symbol, call
from chainrule.symbolic.simplify import times
from chainrule.symbolic.statistics import inputs_of

# How tightly the outermost sign of a box binds.
RELATION, SUM, BIG, HADAMARD, PRODUCT, JUXTAPOSED, POWER, ATOM = range(8)

DOT, ODOT, DOTS = Operator("⋅"), Operator("⊙"), Operator("⋯", "mark")
ONES = Identifier("𝟏")
"""A vector of ones, and before braces the indicator: 1 where the condition holds, else 0."""

FLAT = 12
"""A sum of more terms is laid out as one row, term by term."""

AXES = "ijklmnpq"
"""The letter of each axis below a sum: i runs down the rows, j across the columns."""


def typeset(
    expression: Expression, convention: Convention, values: Mapping[str, Any] | None = None, *, sizes: bool = False
) -> Box:
    """The box of a formula.

    Args:
        expression: the formula.
        convention: how it is shown.
        values: numbers and arrays for some or all of its symbols, by name. Arrays of up to 6 x 6 are written out,
            larger ones have dots and their size.
        sizes: whether the size of every matrix stands below it.
    """
    return _Typesetter(convention, values or {}, sizes).box(expression)


def value_box(value: Any, convention: Convention, decimals: int | None = None) -> Box:
    """A number or an array as a box, as `typeset` puts it into a formula."""
    array = np.asarray(value)
    if array.size == 1:
        return number_box(shown(array.reshape(())[()], convention, decimals))
    return matrix_box(array, convention, decimals)


@dataclass(frozen=True)
class Laid:
    """A box, and how tightly its outermost sign binds."""

    box: Box
    level: int = ATOM


@dataclass(frozen=True)
class _Typesetter:
    convention: Convention
    values: Mapping[str, Any]
    sizes: bool

    def box(self, formula: Expression) -> Box:
        return self.laid(formula).box

    def at(self, formula: Expression, level: int) -> Box:
        """The box where something of this level stands around it: with parentheses if it binds less."""
        laid = self.laid(formula)
        return laid.box if laid.level >= level else Fenced(laid.box)

    def laid(self, formula: Expression) -> Laid:
        match formula:
            case Symbol():
                return self._symbol(formula)
            case Number(value):
                return _signed(stated(value, self.convention))
            case LeftOut(count):
                return Laid(dots(count))
            case Slope():
                return self._slope(formula)
            case Kept(_, name):
                read = separated([self.box(x) for x in inputs_of(formula)])
                return Laid(row(Word(name), APPLY, Fenced(read)), POWER)
            case Pulled():
                return self._pulled(formula)
            case Call():
                return LAYOUTS.get(formula.op.name, _applied)(self, formula)
        raise TypeError(f"not a formula: {formula!r}")

    def _symbol(self, symbol: Symbol) -> Laid:
        if symbol.name in self.values:
            return _signed(value_box(self.values[symbol.name], self.convention))
        box = name_box(symbol.name, self.convention)
        if isinstance(box, Fraction):
            return Laid(box, JUXTAPOSED)
        if self.sizes and symbol.ndim and not is_scalar(symbol):
            return Laid(Limits(box, size_box(symbol.shape)), JUXTAPOSED)
        tight = not isinstance(box, Row) and (not isinstance(box, Scripts) or box.sup is None)
        return Laid(box, ATOM if tight else POWER)

    def _slope(self, slope: Slope) -> Laid:
        if is_written_out(slope, self.convention):
            return self.laid(slope.formula)
        name = Scripts(function_name(slope.op), sup=Operator("′", "mark"))
        return Laid(row(name, APPLY, self._arguments([slope.at], slope.op, dict(slope.params))), POWER)

    def _pulled(self, pulled: Pulled) -> Laid:
        """(dy/dx)^T g: the transpose of the Jacobian matrix, which is never formed, times the cotangent."""
        y, x = pulled.result, pulled.input
        if isinstance(y, Symbol) and isinstance(x, Symbol):
            jacobian: Box = Fenced(name_box(f"d({y.name})/d({x.name})", self.convention))
        else:
            jacobian = Scripts(function_name(pulled.of.op), sup=Operator("′", "mark"))
        turned = _raised(Laid(jacobian), transposed_sign(self.convention)).box
        return Laid(row(turned, TIMES, self.at(pulled.g, JUXTAPOSED)), PRODUCT)

    def _arguments(self, inputs: list[Expression], op: Op, params: dict[str, Any]) -> Box:
        parts = [self.box(x) for x in inputs]
        for name, value in params.items():
            if name not in UNWRITTEN and not _is_default(op, name, value):
                parts.append(row(Text(name), Operator("="), parameter_box(value, self.convention)))
        return Fenced(separated(parts) if parts else Text(""))

    def apply(self, formula: Call, params: dict[str, Any] | None = None) -> Laid:
        """The operator as a function: name(inputs, parameters that are not the default)."""
        given = dict(formula.params) if params is None else params
        arguments = self._arguments(list(formula.parts), formula.op, given)
        return Laid(row(function_name(formula.op), APPLY, arguments), POWER)

    def condition(self, formula: Expression) -> Box:
        """A mask as a statement: z > 0, not the indicator of it."""
        if isinstance(formula, Call) and formula.op.name in RELATIONS:
            a, b = formula.parts
            return row(self.at(a, SUM), Operator(RELATIONS[formula.op.name]), self.at(b, SUM))
        if isinstance(formula, Call) and formula.op.name in CONNECTIVES:
            left, right = (self._clause(x) for x in formula.parts)
            return row(left, Operator(CONNECTIVES[formula.op.name]), right)
        if _is(formula, "logical_not"):
            opposite = negated(formula.parts[0])
            if not _is(opposite, "logical_not"):
                return self.condition(opposite)
            return row(Operator("¬", "prefix"), self._clause(formula.parts[0]))
        return self.box(formula)

    def _clause(self, formula: Expression) -> Box:
        box = self.condition(formula)
        return Fenced(box) if isinstance(formula, Call) and formula.op.name in CONNECTIVES else box

    # ---- products --------------------------------------------------------------------------------------------
    def factors(self, formula: Expression) -> list[Expression]:
        """A product taken apart, down to what is none."""
        if _is(formula, "mul"):
            return [factor for part in formula.parts for factor in self.factors(part)]
        if isinstance(formula, Slope) and is_written_out(formula, self.convention) and _is(formula.formula, "mul"):
            return self.factors(formula.formula)
        if isinstance(formula, Call) and formula.op.name in TRANSPARENT and _same_elements(formula):
            return self.factors(formula.parts[0])
        return [formula]

    def product(self, factors: list[Expression]) -> Laid:
        """Factors with `⊙` between arrays, `⋅` between numbers, nothing after a coefficient."""
        if len(factors) == 1:
            return self.laid(factors[0])
        arrays = [not is_scalar(factor) for factor in factors]
        signs = [ODOT if a and b else None for a, b in pairwise(arrays)]
        level = HADAMARD if ODOT in signs else PRODUCT
        last = len(factors) - 1
        parts: list[Box] = []
        for i, factor in enumerate(factors):
            laid = self.laid(factor)
            leads = i == 0 and _is_negative(laid.box) and not _is_sum(laid.box)
            closes = i == last and laid.level == BIG
            fits = laid.level >= level or leads or closes
            box = laid.box if fits and not (i > 0 and _is_negative(laid.box)) else Fenced(laid.box)
            if parts:
                parts.append(signs[i - 1] or self._sign(factors[i - 1], factor, parts[-1], box))
            parts.append(box)
        return Laid(row(*parts), SUM if _is_negative(parts[0]) else level)

    def _sign(self, before: Expression, after: Expression, left: Box, right: Box) -> Operator:
        both_numbers = is_scalar(before) and is_scalar(after) and not isinstance(before, Number)
        return DOT if both_numbers or not is_scalar(before) or clash(left, right) else TIMES


def is_written_out(slope: Slope, convention: Convention) -> bool:
    """The slope of a square or a logarithm has no name of its own; that of an activation has, if one likes."""
    return convention.slope == "formula" or slope.op.name not in ACTIVATIONS


def seen(formula: Expression, convention: Convention) -> dict[str, Symbol]:
    """The symbols that the reader sees: of sigma'(z) the z, where it is written out the a."""
    if isinstance(formula, Symbol):
        return {formula.name: formula}
    if isinstance(formula, Slope):
        return seen(formula.formula if is_written_out(formula, convention) else formula.at, convention)
    return {name: symbol for part in formula.parts for name, symbol in seen(part, convention).items()}


# ---- operators ------------------------------------------------------------------------------------------------


def _applied(t: _Typesetter, f: Call) -> Laid:
    return t.apply(f)


def _terms(f: Expression) -> list[tuple[str, Expression]]:
    """The terms of a sum with their signs, in order."""
    found: list[tuple[str, Expression]] = []
    stack: list[tuple[str, Expression]] = [("+", f)]
    while stack:
        sign, one = stack.pop()
        if _is(one, "add") and sign == "+":
            stack += [("+", one.parts[1]), ("+", one.parts[0])]
        elif _is(one, "sub") and sign == "+":
            stack += [("−", one.parts[1]), ("+", one.parts[0])]
        else:
            found.append((sign, one))
    return found


def sum_box(count: int, term: Callable[[int], tuple[str, Box]], most: int) -> Box:
    """The sum of `count` terms, each given by its number as sign and box: a + b + c + dots + z if there are too many.

    Args:
        most: so many are shown as they are, 0 for all. Below the dots stands how many are left out.
    """
    left_out = count - FIRST - 1 if most and count > most else 0
    terms = [term(i) for i in ((*range(FIRST), count - 1) if left_out else range(count))]
    if left_out:
        terms.insert(FIRST, ("+", dots(left_out)))
    parts: list[Box] = []
    for sign, box in terms:
        if parts or sign == "−":
            parts += [Operator(sign), _after_a_sign(box)]
        else:
            parts.append(box)
    return row(*parts)


def dots(count: int) -> Box:
    """The dots for so many terms of a sum."""
    return Limits(DOTS, Numeral(str(count)))


def is_left_out(box: Box) -> bool:
    """True for the dots that stand for terms of a sum."""
    return isinstance(box, Limits) and box.base == DOTS


def _long_sum(t: _Typesetter, terms: list[tuple[str, Expression]]) -> Laid:
    """A sum laid out as one row: it may be deeper than one could walk, sum by sum."""

    def term(i: int) -> tuple[str, Box]:
        sign, one = terms[i]
        return sign, t.at(one, SUM) if sign == "+" else _subtracted(t, one)

    return Laid(sum_box(len(terms), term, t.convention.terms), SUM)


def _add(t: _Typesetter, f: Call) -> Laid:
    if len(terms := _terms(f)) > (t.convention.terms or FLAT):
        return _long_sum(t, terms)
    a, b = f.parts
    return Laid(row(t.at(a, SUM), Operator("+"), _after_a_sign(t.at(b, SUM))), SUM)


def _sub(t: _Typesetter, f: Call) -> Laid:
    if len(terms := _terms(f)) > (t.convention.terms or FLAT):
        return _long_sum(t, terms)
    a, b = f.parts
    return Laid(row(t.at(a, SUM), Operator("−"), _subtracted(t, b)), SUM)


def _subtracted(t: _Typesetter, f: Expression) -> Box:
    laid = t.laid(f)
    fits = laid.level >= BIG or (_is_negative(laid.box) and not _is_sum(laid.box))
    return _after_a_sign(laid.box) if fits else Fenced(laid.box)


def _after_a_sign(term: Box) -> Box:
    """A term as it stands after a plus or a minus: of -2 x the number alone has parentheses, of -a + b all."""
    if not _is_negative(term):
        return term
    assert isinstance(term, Row)
    sign, number, *rest = term.parts
    if isinstance(number, Numeral) and rest and rest[0] in (DOT, TIMES) and not _is_sum(term):
        return row(Fenced(row(sign, number)), *rest)
    return Fenced(term)


def _neg(t: _Typesetter, f: Call) -> Laid:
    return Laid(row(MINUS, t.at(f.parts[0], BIG)), SUM)


def _mul(t: _Typesetter, f: Call) -> Laid:
    factors = _with_one_number(t.factors(f))
    slopes = [x for x in factors if isinstance(x, Slope) and not is_scalar(x)]
    others = [x for x in factors if x not in slopes]
    if t.convention.product == "diag" and slopes and others and _is_column(f) and not all(map(is_scalar, others)):
        diagonals: list[Box] = []
        for slope in slopes:
            diagonals += [row(Word("diag"), APPLY, Fenced(t.box(slope))), TIMES]
        scalars = [x for x in others if is_scalar(x)]
        arrays = t.product([x for x in others if not is_scalar(x)])
        rest = arrays.box if arrays.level >= JUXTAPOSED else Fenced(arrays.box)
        front = [t.product(scalars).box, TIMES] if scalars else []
        return Laid(row(*front, *diagonals, rest), PRODUCT if scalars else JUXTAPOSED)
    return t.product(factors)


def _with_one_number(factors: list[Expression]) -> list[Expression]:
    """The numbers of a product in one: the slope of a square brings a 2, that of a mean divides by its count."""
    numbers = [x for x in factors if isinstance(x, Number)]
    if len(numbers) < 2 or any(x.shape for x in numbers):
        return factors
    number = numbers[0].value
    for other in numbers[1:]:
        number = times(number, other.value)
    rest = [x for x in factors if not isinstance(x, Number)]
    return rest if rest and number == 1 else [Number(number), *rest]


def _div(t: _Typesetter, f: Call) -> Laid:
    top, bottom = f.parts
    laid = t.laid(top)
    if is_scalar(bottom) and laid.level < JUXTAPOSED and not is_scalar(top):
        under = t.box(bottom)
        inside = laid.box if laid.level >= BIG and not _is_negative(laid.box) else Fenced(laid.box)
        return Laid(row(Fraction(Numeral("1"), under), TIMES, inside), PRODUCT if laid.level != BIG else BIG)
    if _is_negative(laid.box) and laid.level == SUM and (isinstance(top, Number) or _is(top, "neg")):
        assert isinstance(laid.box, Row)
        return Laid(row(MINUS, Fraction(row(*laid.box.parts[1:]), t.box(bottom))), SUM)
    return Laid(Fraction(laid.box, t.box(bottom)), JUXTAPOSED)


def _matmul(t: _Typesetter, f: Call) -> Laid:
    parts = [_matmul_part(t, x) for x in f.parts]
    between = DOT if clash(*parts) else TIMES
    return Laid(row(parts[0], between, parts[1]), JUXTAPOSED)


def _matmul_part(t: _Typesetter, x: Expression) -> Box:
    if isinstance(x, Number) and x.shape:  # a matrix full of one number
        is_row = x.ndim == 2 and x.shape[0] == 1 < x.shape[1]
        ones: Box = Scripts(ONES, sup=transposed_sign(t.convention)) if is_row else ONES
        ones = ones if not t.sizes else Limits(ones, size_box(x.shape))
        return ones if x.value == 1 else row(t.at(Number(x.value), JUXTAPOSED), TIMES, ones)
    return t.at(x, JUXTAPOSED)


def _linear(t: _Typesetter, f: Call) -> Laid:
    x, weight, bias = (*f.inputs, None)[:3]
    assert x is not None
    assert weight is not None
    product = call("matmul", weight, x) if x.ndim == 1 else call("matmul", x, call("mT", weight))
    return t.laid(product if bias is None else product + bias)


def _pow(t: _Typesetter, f: Call) -> Laid:
    return _raised(t.laid(f.parts[0]), t.box(f.parts[1]))


def _square(t: _Typesetter, f: Call) -> Laid:
    return _raised(t.laid(f.parts[0]), Numeral("2"))


def _transposed(t: _Typesetter, f: Call) -> Laid:
    (x,) = f.parts
    if isinstance(x, Symbol) and np.ndim(t.values.get(x.name, ())) == 2:
        return _signed(value_box(np.asarray(t.values[x.name]).T, t.convention))
    return _raised(t.laid(x), transposed_sign(t.convention))


def transposed_sign(convention: Convention) -> Box:
    """What stands at a transposed matrix."""
    return Identifier("T") if convention.transpose == "T" else Operator("⊤", "mark")


def _raised(base: Laid, sup: Box) -> Laid:
    """Something above a base; W_2 has room there, W^2 needs parentheses."""
    if isinstance(base.box, Scripts) and base.box.sup is None:
        return Laid(Scripts(base.box.base, sub=base.box.sub, sup=sup), POWER)
    return Laid(Scripts(base.box if base.level == ATOM else Fenced(base.box), sup=sup), POWER)


def _over_one(t: _Typesetter, f: Call) -> Laid:
    return Laid(Fraction(Numeral("1"), t.box(f.parts[0])), JUXTAPOSED)


def _over_root(t: _Typesetter, f: Call) -> Laid:
    return Laid(Fraction(Numeral("1"), Root(t.box(f.parts[0]))), JUXTAPOSED)


def _root(t: _Typesetter, f: Call) -> Laid:
    return Laid(Root(t.box(f.parts[0])))


def _between(left: str, right: str, t: _Typesetter, f: Call) -> Laid:
    return Laid(Fenced(t.box(f.parts[0]), left, right))


def _indicator(t: _Typesetter, f: Call) -> Laid:
    return Laid(indicator(t.condition(f)), POWER)


def _where(t: _Typesetter, f: Call) -> Laid:
    condition, a, b = f.parts
    for kept, other, holds in ((a, b, condition), (b, a, negated(condition))):
        if isinstance(other, Number) and other.value == 0:
            mask = indicator(t.condition(holds))
            if isinstance(kept, Number):
                return Laid(mask, POWER) if kept.value == 1 else Laid(row(t.at(kept, PRODUCT), TIMES, mask), PRODUCT)
            sign = DOT if is_scalar(kept) else ODOT
            return Laid(row(mask, sign, t.at(kept, HADAMARD)), PRODUCT if is_scalar(kept) else HADAMARD)
    rows = ((t.box(a), t.condition(condition)), (t.box(b), t.condition(negated(condition))))
    return Laid(Cases(rows), BIG)


def _cast(t: _Typesetter, f: Call) -> Laid:
    return t.laid(f.parts[0])  # element types are no mathematics; a mask lays itself out as an indicator


def _moved(t: _Typesetter, f: Call) -> Laid:
    """Stretching, and axes of size 1, are not written."""
    return t.laid(f.parts[0]) if _same_elements(f) else t.apply(f)


def _big(sign: Box, t: _Typesetter, f: Call) -> Laid:
    """A sum, a product or an extremum over axes; over all elements it has no index."""
    (x,) = f.parts
    if f.op.name == "sum" and t.convention.squares == "norm" and _over_all(f) and _is_square(x):
        return Laid(Scripts(Fenced(t.box(x.parts[0]), "‖", "‖"), sup=Numeral("2")), POWER)
    body = t.laid(x)
    inside = body.box if body.level >= BIG and not _is_negative(body.box) else Fenced(body.box)
    return Laid(row(_under(sign, f), TIMES, inside), BIG)


def _mean(t: _Typesetter, f: Call) -> Laid:
    (x,) = f.parts
    axes = shapes.normal_axes(dict(f.params).get("axis"), x.ndim)
    count = prod([x.shape[i] for i in axes])
    total = _big(Operator("∑", "prefix"), t, call("sum", x, axis=dict(f.params).get("axis")))
    return total if count == 1 else Laid(row(Fraction(Numeral("1"), Numeral(str(count))), TIMES, total.box), BIG)


def _norm(t: _Typesetter, f: Call) -> Laid:
    p = dict(f.params).get("p", 2.0)
    box: Box = Fenced(t.box(f.parts[0]), "‖", "‖")
    sub = [stated(p, t.convention)] if p != 2 else []
    sub += [] if _over_all(f) else [_axes_box(f)]
    return Laid(Scripts(box, sub=separated(sub)) if sub else box, POWER)


def _over_an_axis(t: _Typesetter, f: Call) -> Laid:
    """softmax(z): the axis is named only where it is not the one that holds a sample."""
    params = dict(f.params)
    axis = params.pop("axis", -1) % max(f.ndim, 1)
    natural = 0 if t.convention.batch == "columns" else f.ndim - 1
    others_are_one = all(n == 1 for i, n in enumerate(f.shape) if i != axis)
    return t.apply(f, params if axis == natural or others_are_one else {**params, "axis": axis})


def _of_rows(t: _Typesetter, f: Call) -> Laid:
    """A loss that takes rows. Where samples are columns it is handed their transposes, which says nothing new."""
    columns = t.convention.batch == "columns"
    parts = [x.parts[0] if columns and _is(x, "mT") else x for x in f.parts]
    name = Word(f.op.name.removesuffix("_of_probabilities"))
    return Laid(row(name, APPLY, t._arguments(parts, f.op, dict(f.params))), POWER)


def _identity(t: _Typesetter, f: Call) -> Laid:
    size = dict(f.params)["size"]
    n = size if isinstance(size, int) else size[0]
    return Laid(Scripts(Identifier("I"), sub=Numeral(str(n))))


def _zeros(t: _Typesetter, f: Call) -> Laid:
    return Laid(Numeral("0"))


def _slice(t: _Typesetter, f: Call) -> Laid:
    key = dict(f.params)["key"]
    places = [parameter_box(k, t.convention) for k in (key if isinstance(key, tuple) else (key,))]
    return Laid(row(t.at(f.parts[0], POWER), Fenced(separated(places), "[", "]")), POWER)


LAYOUTS: dict[str, Callable[[_Typesetter, Call], Laid]] = {
    "add": _add, "sub": _sub, "neg": _neg, "mul": _mul, "div": _div, "matmul": _matmul, "linear": _linear,
    "pow": _pow, "square": _square, "sqrt": _root, "reciprocal": _over_one, "rsqrt": _over_root, "mT": _transposed,
    "abs": partial(_between, "|", "|"), "floor": partial(_between, "⌊", "⌋"), "ceil": partial(_between, "⌈", "⌉"),
    "where": _where, "cast": _cast, "broadcast_to": _moved, "reshape": _moved, "clone": _moved,
    "sum": partial(_big, Operator("∑", "prefix")), "prod": partial(_big, Operator("∏", "prefix")),
    "amax": partial(_big, Word("max")), "amin": partial(_big, Word("min")), "mean": _mean, "norm": _norm,
    "argmax": partial(_big, Word("arg max")), "argmin": partial(_big, Word("arg min")),
    "softmax": _over_an_axis, "log_softmax": _over_an_axis, "eye": _identity,
    "zeros": _zeros, "slice": _slice, "cross_entropy_of_probabilities": _of_rows,
}  # fmt: skip
"""The operators that have a layout of their own; every other one is name(inputs)."""

RELATIONS = {"eq": "=", "ne": "≠", "lt": "<", "le": "≤", "gt": ">", "ge": "≥"}
CONNECTIVES = {"logical_and": "∧", "logical_or": "∨", "logical_xor": "⊻"}
OPPOSITES = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "le": "gt", "gt": "le"}
UNWRITTEN = frozenset(("keepdims", "dtype"))
"""Parameters that are no mathematics."""
TRANSPARENT = frozenset(("broadcast_to", "reshape", "clone", "cast"))
LAYOUTS |= dict.fromkeys((*RELATIONS, *CONNECTIVES, "logical_not"), _indicator)

SYMBOLS = {r"\sigma": "σ"}
"""The letters among the symbols that operators declare."""


def function_name(op: Op) -> Box:
    """The name of an operator as a function: its declared symbol where that is a letter or a word, else its name."""
    symbol = op.symbol or ""
    if symbol in SYMBOLS:
        return Identifier(SYMBOLS[symbol])
    if symbol.startswith(r"\operatorname{"):
        return Word(symbol.removeprefix(r"\operatorname{").removesuffix("}"))
    return Word(op.name)


def negated(condition: Expression) -> Expression:
    """The condition that holds where this one does not."""
    if isinstance(condition, Call) and condition.op.name in OPPOSITES:
        return call(OPPOSITES[condition.op.name], *condition.inputs)
    if _is(condition, "logical_not"):
        return condition.parts[0]
    return call("logical_not", condition)


def indicator(condition: Box) -> Box:
    """1 where the condition holds, 0 elsewhere."""
    return row(ONES, Fenced(condition, "{", "}"))


def parameter_box(value: Any, convention: Convention) -> Box:
    """A parameter of an operator."""
    match value:
        case bool() | None | str():
            return Text(str(value))
        case int() | float():
            return stated(value, convention)
        case slice(start=start, stop=stop, step=step):
            ends = ["" if end is None else str(end) for end in (start, stop)]
            return Text(":".join(ends if step is None else [*ends, str(step)]))
        case tuple() | list():
            return Fenced(separated([parameter_box(x, convention) for x in value]) if value else Text(""))
        case DType():
            return Text(value.name)
    return Text("…" if value is Ellipsis else str(value))


def is_scalar(formula: Expression) -> bool:
    """True for one number, whatever its axes, and for a stated number that is stretched."""
    return prod(formula.shape) == 1 or isinstance(formula, Number)


def clash(left: Box, right: Box) -> bool:
    """True where two boxes side by side would read as one number, or a sign as a difference."""
    return _is_negative(right) or (_is_number(_outer(left, -1)) and _is_number(_outer(right, 0)))


# ---- what stands where ----------------------------------------------------------------------------------------


def _outer(box: Box, place: int) -> Box:
    while isinstance(box, Row | Scripts):
        box = box.parts[place] if isinstance(box, Row) else box.base
    return box


def _is_number(box: Box) -> bool:
    if isinstance(box, Fraction):
        return isinstance(box.top, Numeral) and isinstance(box.bottom, Numeral)
    return isinstance(box, Numeral)


def _is_negative(box: Box) -> bool:
    return isinstance(box, Row) and box.parts[0] == MINUS


def _is_sum(box: Box) -> bool:
    """True where a plus or a minus stands between parts: -a + b."""
    return isinstance(box, Row) and any(isinstance(p, Operator) and p.text in "+−" and p != MINUS for p in box.parts)


def _signed(box: Box) -> Laid:
    """A number: a minus sign binds as in a sum, a power of ten as in a product."""
    if _is_negative(box):
        return Laid(box, SUM)
    if isinstance(box, Row):
        return Laid(box, PRODUCT)
    return Laid(box, JUXTAPOSED if isinstance(box, Fraction) else POWER if isinstance(box, Scripts) else ATOM)


def _is(formula: Expression, name: str) -> bool:
    return isinstance(formula, Call) and formula.op.name == name


def _is_square(formula: Expression) -> bool:
    if _is(formula, "pow"):
        exponent = formula.parts[1]
        return isinstance(exponent, Number) and exponent.value == 2
    return _is(formula, "square")


def _is_column(formula: Expression) -> bool:
    return formula.ndim == 1 or (formula.ndim == 2 and formula.shape[1] == 1)


def _same_elements(formula: Call) -> bool:
    """True for what changes no element and no order: stretching, axes of size 1, element types, copies."""
    (x,) = formula.parts
    return formula.op.name != "reshape" or [n for n in x.shape if n != 1] == [n for n in formula.shape if n != 1]


def _over_all(formula: Call) -> bool:
    (x,) = formula.parts
    axes = shapes.normal_axes(dict(formula.params).get("axis"), x.ndim)
    return all(n == 1 for i, n in enumerate(x.shape) if i not in axes)


def _axes_box(formula: Call) -> Box:
    axes = shapes.normal_axes(dict(formula.params).get("axis"), formula.parts[0].ndim)
    return separated([Identifier(AXES[i] if i < len(AXES) else f"axis {i}") for i in axes])


def _under(sign: Box, formula: Call) -> Box:
    return sign if _over_all(formula) else Limits(sign, _axes_box(formula))


def _is_default(op: Op, name: str, value: Any) -> bool:
    default = op.params.get(name)
    return type(default) is type(value) and bool(default == value)
