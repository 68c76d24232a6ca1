"""A formula in the plain notation of derivation files: `(W3.T @ dL/dz3) * a2 * (1 - a2)`.

`language` reads it back. Precedence is Python's, and `*` and `@` are kept apart by parentheses.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

from chainrule.errors import UnsupportedError
from chainrule.notation.names import ACTIVATIONS
from chainrule.ops.op import Op
from chainrule.symbolic.expression import Call, Expression, Kept, Number, Pulled, Slope, Symbol

# How tightly the outermost operator binds. A product of one kind is an operand of the other in parentheses only.
COMPARISON, SUM, PRODUCT, MATMUL, SIGNED, POWER, ATOM = range(7)

Text = tuple[str, int]


def source(expression: Expression) -> str:
    """A formula as text that a derivation file may hold.

    Axes are always written, `axis=all` for all of them. Element types are not: a mask times a number is a number.

    Raises:
        UnsupportedError: for what the notation cannot say: a kept statistic, an optional input left out before one
            that is given, an index other than integers and ranges.
    """
    return _written(expression)[0]


def _written(x: Expression) -> Text:
    match x:
        case Symbol(name):
            return name, ATOM
        case Number():
            return _number(x)
        case Slope() if x.op.name not in ACTIVATIONS:
            return _written(x.formula)
        case Slope():
            return f"{x.op.name}'({', '.join([source(x.at), *_parameters(x.op, dict(x.params))])})", ATOM
        case Kept(of, name):
            raise UnsupportedError(
                f"the plain notation has no name for '{name}', which {of.op.name} keeps beside its value",
                mend="Give the formula through the derivative of its result instead.",
            )
        case Pulled():
            raise UnsupportedError(f"the derivative of {x.of.op.name} is too long to be written out")
        case Call():
            return FORMS.get(x.op.name, _applied)(x)
    raise TypeError(f"not a formula: {x!r}")


def _at(x: Expression, level: int) -> str:
    """The text where an operator of this level stands beside it."""
    text, own = _written(x)
    return text if own >= level else f"({text})"


def _number(x: Number) -> Text:
    text, level = _scalar(x.value)
    if all(n == 1 for n in x.shape) or not x.shape:
        return text, level
    size = ", ".join(map(str, x.shape))
    if x.value in (0, 1):
        return f"{'ones' if x.value else 'zeros'}({size})", ATOM
    return f"{text} * ones({size})", PRODUCT


def _scalar(value: int | float | Fraction) -> Text:
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}", PRODUCT
    text = repr(float(value)) if isinstance(value, float) else str(value)
    if text in ("inf", "-inf", "nan"):
        raise UnsupportedError(f"the plain notation has no number '{text}'")
    return text, SIGNED if value < 0 else ATOM


def _infix(sign: str, own: int, left: int, right: int, x: Call) -> Text:
    a, b = x.parts
    return f"{_at(a, left)} {sign} {_at(b, right)}", own


def _times(sign: str, x: Call) -> Text:
    """`*` and `/`: a matrix product is an operand in parentheses."""
    a, b = x.parts
    left, level = _written(a)
    if level in (COMPARISON, SUM, MATMUL):
        left = f"({left})"
    return f"{left} {sign} {_at(b, SIGNED)}", PRODUCT


def _matmul(x: Call) -> Text:
    a, b = x.parts
    left, level = _written(a)
    return f"{left if level >= MATMUL else f'({left})'} @ {_at(b, SIGNED)}", MATMUL


def _negative(x: Call) -> Text:
    return f"-{_at(x.parts[0], POWER)}", SIGNED


def _power(x: Call) -> Text:
    base, exponent = x.parts
    return f"{_at(base, ATOM)}**{_at(exponent, ATOM)}", POWER


def _transposed(x: Call) -> Text:
    return f"{_at(x.parts[0], ATOM)}.T", ATOM


def _linear(x: Call) -> Text:
    given, weight, bias = (*x.inputs, None)[:3]
    assert given is not None
    assert weight is not None
    product = f"{_at(given, MATMUL)} @ {_at(weight, ATOM)}.T"
    return (product, MATMUL) if bias is None else (f"{product} + {_at(bias, PRODUCT)}", SUM)


def _identity(x: Call) -> Text:
    size = dict(x.params)["size"]
    return f"eye({size if isinstance(size, int) else size[0]})", ATOM


def _zeros(x: Call) -> Text:
    return _written(Number(0, x.shape))


def _same(x: Call) -> Text:
    return _written(x.parts[0])


def _sliced(x: Call) -> Text:
    key = dict(x.params)["key"]
    return (
        f"{_at(x.parts[0], ATOM)}[{', '.join([_index(k) for k in (key if isinstance(key, tuple) else (key,))])}]",
        ATOM,
    )


def _index(key: Any) -> str:
    if isinstance(key, int):
        return str(key)
    if isinstance(key, slice) and key.step in (None, 1):
        if isinstance(key.start, int) and key.stop == key.start + 1:
            return str(key.start)
        return ":".join(["" if end is None else str(end) for end in (key.start, key.stop)])
    raise UnsupportedError(f"the plain notation has no index {key!r}", mend="It has integers, and ranges such as 0:2.")


def _applied(x: Call) -> Text:
    inputs = list(x.inputs)
    while inputs and inputs[-1] is None:
        inputs.pop()
    if None in inputs:
        missing = x.op.inputs[inputs.index(None)]
        raise UnsupportedError(f"the plain notation cannot leave out '{missing}' of {x.op.name} and give what follows")
    arguments = [source(i) for i in inputs if i is not None]
    return f"{x.op.name}({', '.join([*arguments, *_parameters(x.op, dict(x.params))])})", ATOM


def _parameters(op: Op, params: dict[str, Any]) -> list[str]:
    """The parameters that are not the default; the axis always, as its default differs in the files."""
    every = {**op.params, **params}
    shown = [name for name in every if name in params and params[name] != op.params.get(name)]
    shown += [name for name in every if name == "axis" and name not in shown]
    return [f"{name}={_parameter(name, every[name])}" for name in shown if name not in ("keepdims", "dtype")]


def _parameter(name: str, value: Any) -> str:
    if name == "axis" and value is None:
        return "all"
    if name == "axis" and isinstance(value, tuple) and len(value) == 1:
        return str(value[0])
    if isinstance(value, tuple | list):
        return f"[{', '.join([_parameter('', v) for v in value])}]"
    if isinstance(value, int | float | None) or name == "reduction":
        return str(value)
    raise UnsupportedError(f"the plain notation has no value {value!r} for the parameter '{name}'")


FORMS: dict[str, Callable[[Call], Text]] = {
    "add": partial(_infix, "+", SUM, SUM, PRODUCT), "sub": partial(_infix, "-", SUM, SUM, PRODUCT),
    "mul": partial(_times, "*"), "div": partial(_times, "/"), "matmul": _matmul, "neg": _negative, "pow": _power,
    "mT": _transposed, "linear": _linear, "cast": _same, "clone": _same, "slice": _sliced,
    "eye": _identity, "zeros": _zeros,
    **{
        name: partial(_infix, sign, COMPARISON, SUM, SUM)
        for name, sign in (("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="))
    },
}  # fmt: skip
"""The operators that are not written as name(inputs)."""
