"""What an operator is: inputs, parameters, formula, derivative rules, cases.

A declaration is written once, against a reader's arithmetic `m`; running it, differentiating it, compiling
it, printing it and checking it are readers of that one declaration. How to write one: CONTRIBUTING.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, Literal, overload

from chainrule.shapes import Shape

Body = Callable[..., Any]

ResultDType = Literal["promoted", "float", "bool", "int64", "accumulated", "parameter"]
"""How the result's dtype follows from the inputs'.

promoted: PyTorch's promotion of the inputs. float: the same, and integers become the default float.
accumulated: integers and bools become int64. parameter: the `dtype` parameter says it.
"""

Takes = Literal["any", "number", "float", "integer"]
"""What the inputs that share a type may be. number: not bool. float: floats only. integer: no floats (bits)."""


@dataclass(frozen=True)
class Kind:
    """What the operators of a family share: how shapes combine, and which facts hold for all of them."""

    name: str
    shape: Callable[..., Shape] | None
    broadcasts: bool = False
    converts: bool = False


@dataclass(frozen=True)
class Rule:
    """One derivative body, the inputs it serves, and what it reads: what it reads is what is saved."""

    body: Body
    serves: tuple[str, ...]
    reads: tuple[str, ...]
    is_slope: bool


@dataclass(frozen=True)
class Case:
    """One point at which an operator is tested: plain nested lists and numbers as inputs, and parameters.

    tag says what it is for: "typical"; "extreme" (overflow, underflow, infinities: value and first derivative are
    compared with exact arithmetic); "kink" (no derivative there: the declared value is compared with
    PyTorch's); "rejected" (the shape rule and every reader refuse it).
    """

    inputs: tuple[Any, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    tag: str = "typical"


class Op:
    """An operator of the catalogue. The decorators of `kinds` make one from its definition.

    `promotes` names the inputs that share one element type; `converts` says that different types (and
    Python numbers) among them are promoted, rather than refused; `views` that the result is, or may be,
    a view of the first input's memory. `lipschitz` is the steepest slope of an elementwise map, sup |dy/dx|: a
    number, or a function of the parameters that it depends on; None where there is no bound.
    """

    def __init__(
        self,
        kind: Kind,
        definition: Body,
        *,
        primitive: bool = False,
        result: ResultDType = "promoted",
        takes: Takes = "any",
        promotes: tuple[str, ...] | None = None,
        converts: bool | None = None,
        views: bool = False,
        symbol: str | None = None,
        source: str | None = None,
        lipschitz: float | Callable[..., float] | None = None,
    ) -> None:
        inputs, optional, variadic, params = _signature(definition)
        self.name = definition.__name__.rstrip("_")
        self.kind, self.primitive, self.result, self.takes = kind, primitive, result, takes
        self.symbol, self.source, self.views = symbol, source, views
        self.converts = kind.converts if converts is None else converts
        self.inputs, self.optional, self.variadic, self.params = inputs, optional, variadic, params
        self.promotes = self.inputs if promotes is None else promotes
        self.definition = self.body = definition
        self.keeps: tuple[str, ...] = ()
        self.rules: list[Rule] = []
        self.tests: list[Case] = []
        self.shape_rule = kind.shape
        self._steepest = lipschitz
        self.__doc__ = definition.__doc__

    # ---- decorators of a declaration ---------------------------------------------------------------

    @overload
    def compute(self, body: Body) -> Body: ...

    @overload
    def compute(self, *, keeps: tuple[str, ...]) -> Callable[[Body], Body]: ...

    def compute(self, body: Body | None = None, *, keeps: tuple[str, ...] = ()) -> Body | Callable[[Body], Body]:
        """Declare how to get the value safely in floats; `keeps` names statistics returned beside it."""

        def declare(body: Body) -> Body:
            self.body, self.keeps = body, keeps
            return body

        return declare if body is None else declare(body)

    def derivative(self, *serves: str) -> Callable[[Body], Body]:
        """Declare the slope dy/dx of an elementwise operator; the sweep multiplies the cotangent by it."""
        return self._rule(serves, is_slope=True)

    def pullback(self, *serves: str) -> Callable[[Body], Body]:
        """Declare the map from the result's cotangent `g` to the inputs' cotangents."""
        return self._rule(serves, is_slope=False)

    def shape(self, rule: Callable[..., Shape]) -> Callable[..., Shape]:
        """Declare the shape rule: input shapes by position, parameters by name, to the result's shape."""
        self.shape_rule = rule
        return rule

    def cases(self, *inputs_and_params: Any, tag: str = "typical") -> None:
        """Add test points: each is a tuple of inputs, the last of which may be a dict of parameters."""
        for case in inputs_and_params:
            given = case if isinstance(case, tuple) else (case,)
            has_params = isinstance(given[-1], dict)
            self.tests.append(Case(given[:-1] if has_params else given, given[-1] if has_params else {}, tag))

    def _rule(self, serves: tuple[str, ...], *, is_slope: bool) -> Callable[[Body], Body]:
        def declare(body: Body) -> Body:
            assert isinstance(body, FunctionType)
            names = body.__code__.co_varnames[1 : body.__code__.co_argcount]
            assert is_slope or names[0] == "g", f"{self.name}: a pullback takes (m, g, ...)"
            self.rules.append(Rule(body, serves, names if is_slope else names[1:], is_slope))
            return body

        return declare

    # ---- what readers ask ----------------------------------------------------------------------------

    @property
    def differentiable_inputs(self) -> frozenset[str]:
        """The inputs that a rule serves."""
        return frozenset(name for rule in self.rules for name in rule.serves)

    def is_linear_in(self, name: str) -> bool:
        """True if the rule for this input looks neither at the input nor at the result."""
        rule = next(rule for rule in self.rules if name in rule.serves)
        return not rule.is_slope and name not in rule.reads and "y" not in rule.reads

    @property
    def lipschitz(self) -> float | None:
        """The steepest slope of an elementwise map, sup |dy/dx|, at the default parameters; None without a bound."""
        return self.steepest({})

    def steepest(self, params: Mapping[str, Any]) -> float | None:
        """The steepest slope with these parameters; the others have their defaults."""
        if callable(self._steepest):
            names = self._steepest.__code__.co_varnames
            return self._steepest(**{name: params.get(name, self.params[name]) for name in names})
        return self._steepest

    def __repr__(self) -> str:
        return f"<op {self.name}>"


REQUIRED = inspect.Parameter.empty
"""The default of a parameter that has none."""


def _signature(definition: Body) -> tuple[tuple[str, ...], frozenset[str], bool, dict[str, Any]]:
    """The inputs, those that may be None, whether the last is variadic, and the parameters with their defaults.

    Read from the code object: `inspect.signature` would take 20 ms of every import.
    """
    assert isinstance(definition, FunctionType)
    code = definition.__code__
    names = code.co_varnames
    after = code.co_argcount + code.co_kwonlyargcount
    variadic = bool(code.co_flags & inspect.CO_VARARGS)
    inputs = names[1 : code.co_argcount] + (names[after : after + 1] if variadic else ())
    optional = names[code.co_argcount - len(definition.__defaults__ or ()) : code.co_argcount]
    defaults = definition.__kwdefaults__ or {}
    params = {name: defaults.get(name, REQUIRED) for name in names[code.co_argcount : after]}
    return inputs, frozenset(optional), variadic, params
