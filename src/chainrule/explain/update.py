"""`explain.update`: what a step of an optimiser does to a parameter, term by term.

The formulas are those of the catalogue's updates (`ops/update.py`), written down; the numbers before the step are the
parameter, its gradient and the optimiser's state as they are now.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ArgumentTypeError, GraphError, UnsupportedError
from chainrule.explain.callers import callers_modules, callers_names
from chainrule.explain.explanation import Explanation, Name
from chainrule.explain.run import Run
from chainrule.explain.step import Section, Step, step
from chainrule.notation.boxes import Identifier
from chainrule.notation.conventions import Convention
from chainrule.notation.conventions import convention as convention_of
from chainrule.notation.names import name_box
from chainrule.notation.numbers import stated
from chainrule.notation.prose import Prose
from chainrule.notation.typeset import typeset
from chainrule.notation.words import Words, words
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.op import Op
from chainrule.optim.elementwise import Before, Elementwise
from chainrule.optim.optimizer import Group, Optimizer
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Expression, Formulas, Symbol, instead, symbols, walk, with_each_part
from chainrule.symbolic.program import Program, Statement
from chainrule.symbolic.simplify import is_call, simplified
from chainrule.tensor.graph import Array
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor

LETTERS = {
    "lr": "eta", "momentum": "mu", "dampening": "tau", "weight_decay": "lambda", "beta1": "beta1", "beta2": "beta2",
    "eps": "epsilon", "alpha": "alpha", "rho": "rho", "lr_decay": "kappa", "step": "k",
}  # fmt: skip
"""The letter of each hyperparameter."""

STATE = {
    "momentum_buffer": "v", "exp_avg": "m", "exp_avg_sq": "s", "max_exp_avg_sq": "s_max", "square_avg": "s",
    "grad_avg": "m", "sum": "s", "acc_delta": "u",
}  # fmt: skip
"""The letter of each part of the state."""


def update(
    optimizer: Optimizer,
    param: Tensor | None = None,
    convention: str | Convention = "article1",
    lang: str = "en",
    full: bool = False,
    *,
    names: Mapping[str, Tensor] | None = None,
) -> Explanation:
    """What a step of the optimiser does to a parameter, term by term, before -> after.

    After backward() it is the step that comes next. Under `record()` the numbers before a step are kept, and until
    there is another gradient it is the step that was taken. Nothing is changed.

    Args:
        optimizer: any of `chainrule.optim`.
        param: the parameter; by default the first that has a gradient.
        convention, lang, full: as for `gradient`.
        names: what tensors are called; by default as the caller's variables are.

    Raises:
        ArgumentError: the optimiser does not have that parameter.
        GraphError: it has no gradient.
        UnsupportedError: an optimiser that is not of the catalogue.

    Example:
        >>> loss.backward()
        >>> print(cr.explain.update(opt, model[0].weight))
    """
    if not isinstance(optimizer, Optimizer):
        raise ArgumentTypeError(f"explain.update takes an optimizer, not {type(optimizer).__name__}")
    if not isinstance(optimizer, Elementwise):
        raise UnsupportedError(
            f"{type(optimizer).__name__} is not an optimizer of the catalogue: its step has no formula"
        )
    group, p = _chosen(optimizer, param)
    before = optimizer.last_step[p] if _was_taken(optimizer, p) else optimizer.before(p, group)
    frame = sys._getframe(1)
    called = dict(names) if names is not None else callers_names(frame, callers_modules(frame).values())
    return update_of(optimizer, p, before, called, convention_of(convention), words(lang), full=full)


def update_of(
    optimizer: Elementwise, p: Tensor, before: Before, called: Mapping[str, Tensor], chosen: Convention, said: Words,
    *, full: bool,
) -> Explanation:  # fmt: skip
    """The explanation of one parameter's step from what was before it."""
    group = before.group
    op = optimizer.formula(group)
    own = next((name for name, x in called.items() if x is p), None)
    name = own if own is not None and own.isidentifier() and len(own) < 4 else "W" if p.value.ndim > 1 else "w"
    rate = f"d{chosen.loss}/d{name}"
    count = _steps_so_far(before) + 1
    state = _state_before(optimizer, before)
    hyper = {
        n: v for n, v in {**optimizer._inputs_of(group), "step": count}.items() if n in op.inputs and v is not None
    }
    values: dict[str, Any] = {name: _wide(before.value), rate: _wide(before.grad)}
    values |= {STATE[n]: value for n, value in state.items()}
    values |= {LETTERS[n]: np.asarray(float(v)) for n, v in hyper.items()}
    params = {n: v for n, v in optimizer._inputs_of(group).items() if n in op.params}
    inputs = {"p": Symbol(name, p.value.shape), "g": Symbol(rate, p.value.shape)}
    inputs |= {n: Symbol(STATE[n], p.value.shape) for n in state} | {n: Symbol(LETTERS[n]) for n in hyper}
    program = _program(op, inputs, params, name, tuple(state))
    run = Run(program, values, chosen, ())
    steps = list(_steps(run, said, name, count, values))
    title = said.step_of(Identifier(type(optimizer).__name__), name_box(name, chosen), count)
    shown = (Name(name, name_box(name, chosen), own, p.value.shape),) if own and own != name else ()
    return Explanation(
        title,
        _settings(run, inputs, hyper),
        shown,
        (Section(said.labels.update, tuple(steps)),),
        chosen,
        said.language,
        full,
    )


def _chosen(optimizer: Elementwise, param: Tensor | None) -> tuple[Group, Tensor]:
    for group in optimizer.param_groups:
        for p in group["params"]:
            has = p.grad is not None or _was_taken(optimizer, p)
            if p is param or (param is None and has):
                if not has:
                    raise GraphError(
                        "this parameter has no gradient", got=[describe("param", p)], mend="Call backward() first."
                    )
                return group, p
    if param is None:
        raise GraphError("no parameter has a gradient", mend="Call backward() first, and explain before zero_grad().")
    raise ArgumentError("the optimizer does not have this parameter", got=[describe("param", param)])


def _was_taken(optimizer: Elementwise, p: Tensor) -> bool:
    """True if the step with the gradient that the parameter has, or had last, is one of which all numbers are kept."""
    taken = optimizer.last_step.get(p)
    return taken is not None and (p.grad is None or np.array_equal(p.grad.value, taken.grad, equal_nan=True))


def _steps_so_far(before: Before) -> int:
    if "step" in before.state:
        return int(before.state["step"].item())
    return 1 if "momentum_buffer" in before.state else 0


def _state_before(optimizer: Elementwise, before: Before) -> dict[str, Array]:
    """The state as the formula takes it: what it starts with where there is none; no momentum before the first step."""
    found: dict[str, Array] = {}
    for name in optimizer.state_names(before.group):
        if name in before.state:
            found[name] = _wide(before.state[name])
        elif optimizer.counts_steps:
            found[name] = np.full(before.value.shape, optimizer.initial(name, before.group))
    return found


def _wide(value: Array) -> Array:
    return value.astype(np.float64)


def _program(
    op: Op, inputs: Mapping[str, Symbol], params: Mapping[str, Any], name: str, state: tuple[str, ...]
) -> Program:
    """The update as statements: the new state, what is free of the bias of averages, the new parameter."""
    body: Callable[..., Any] = op.definition
    after, *rest = [_without_casts(f) for f in body(Formulas, *[inputs.get(n) for n in op.inputs], **params)]
    kept = _state_order(op, state if state else ("momentum_buffer",) * len(rest))
    statements: list[Statement] = []
    known: dict[Expression, Expression] = {}
    # what is part of another formula first: the mean before the variance
    for part, formula in sorted(zip(kept, rest, strict=True), key=lambda one: sum(1 for _ in walk(one[1]))):
        statement = Statement(f"{STATE[part]}_new", instead(formula, known))
        statements.append(statement)
        if not isinstance(formula, Symbol):
            known[formula] = statement.symbol
    after = instead(after, known)
    for term in [one for one in walk(after) if _corrects_bias(one)]:
        (state_symbol, *_) = symbols(term).values()
        statement = Statement(f"{state_symbol.name.removesuffix('_new').removesuffix('_max')}hat", term)
        if term not in known:
            statements.append(statement)
            known[term] = statement.symbol
    statements.append(Statement(f"{name}_new", instead(after, known)))
    return Program(tuple(inputs.values()), tuple(statements), f"{name}_new")


def _corrects_bias(formula: Expression) -> bool:
    """True for an average divided by 1 - beta^k."""
    if not is_call(formula, "div"):
        return False
    divisor = formula.parts[1]
    return is_call(divisor, "sub") and is_call(divisor.parts[1], "pow")


def _state_order(op: Op, kept: tuple[str, ...]) -> tuple[str, ...]:
    """The names of an update's results after the parameter: rmsprop gives its mean square first."""
    if op.name == "rmsprop":
        return tuple(sorted(kept, key=lambda n: ("square_avg", "momentum_buffer", "grad_avg").index(n)))
    return kept


def _without_casts(formula: Expression) -> Expression:
    return _without_casts(formula.parts[0]) if is_call(formula, "cast") else with_each_part(formula, _without_casts)


def _steps(run: Run, said: Words, name: str, count: int, values: dict[str, Any]) -> list[Step]:
    found = []
    numbers = dict(values)
    for statement in run.program.statements:
        value = evaluate(statement.formula, numbers)
        numbers[statement.name] = value
        places = run.convention.update_decimals
        found.append(
            step(
                run,
                statement.symbol,
                [statement.formula],
                _why(run, said, statement, name, count),
                value=value,
                values=numbers,
                decimals=places,
            )
        )
    return found


def _why(run: Run, said: Words, statement: Statement, name: str, count: int) -> Prose:
    c = run.convention
    box = typeset(statement.symbol, c)
    letter = statement.name.removesuffix("_new")
    if letter == name:
        rate = typeset(Symbol("eta"), c)
        decay = (said.gap, *said.weight_decay(name_box(name, c))) if "lambda" in symbols(statement.formula) else ()
        return (
            *said.step_against_gradient(name_box(name, c), rate),
            *decay,
            said.gap,
            *said.before_and_after(name_box(name, c)),
        )
    if letter.endswith("hat"):
        return said.bias_correction(str(count))
    if letter == "v":
        return said.momentum(box)
    if letter == "m":
        return said.first_moment(box)
    return said.second_moment(box) if letter.startswith("s") else said.new_state(box)


def _settings(run: Run, inputs: Mapping[str, Symbol], hyper: Mapping[str, Any]) -> Prose:
    """η = 0.01, β₁ = 0.9."""
    parts: list[Any] = []
    for name in hyper:
        parts += [", "] if parts else []
        number = stated(int(hyper[name]) if name == "step" else float(hyper[name]), run.convention)
        parts += [typeset(inputs[name], run.convention), " = ", number, f" ({name})"]
    return tuple(parts)


def descent(run: Run, rate: float, said: Words) -> Section:
    """A step of gradient descent for the targets of a run, with the numbers that its convention carries on."""
    statements = []
    eta = Symbol("eta")
    values = {**run.shown, "eta": rate}
    exact = {**run.exact, "eta": rate}
    body: Callable[..., Any] = CATALOGUE["sgd"].definition
    for name in run.targets:
        p = run.program.symbols[name]
        (formula,) = body(Formulas, p, run.rate(name), eta)
        new = Symbol(f"{name}_new", p.shape)
        shown = {**values, new.name: evaluate(formula, values)}
        why = (*said.step_against_gradient(name_box(name, run.convention), typeset(eta, run.convention)),)
        statements.append(
            step(
                run,
                new,
                [simplified(formula)],
                why,
                value=evaluate(formula, exact),
                values=shown,
                decimals=run.convention.update_decimals,
            )
        )
    return Section(said.labels.update, tuple(statements))
