"""Problems that are not text files: a function that computes the forward part, or the graph that a program left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.dtypes import float64
from chainrule.errors import ArgumentError, ArgumentTypeError
from chainrule.notation.language.builder import Builder
from chainrule.symbolic.expression import Symbol, replaced
from chainrule.symbolic.program import Program, Statement
from chainrule.symbolic.recorded import Recorded, program_of
from chainrule.tensor.functions.creation import tensor
from chainrule.tensor.tensor import Tensor
from chainrule.verify.draws import Array, Given, literal_given
from chainrule.verify.problem import Claim, Printed, Problem, Rates
from chainrule.verify.reading import enters_late, parsed, target_of


def problem_of_function(forward: Callable[..., Any], given: Mapping[str, Any], claims: Mapping[str, Any]) -> Problem:
    """The problem of a forward part that is a function of named arrays.

    It runs once, on Tensors of float64; redraws follow the operations of that run.

    Args:
        forward: takes the givens by name, as Tensors; returns a dict of named quantities, the last of which is the
            loss, or the loss alone.
        given: arrays, nested lists or numbers by name.
        claims: as for `problem_of_graph`.
    """
    started = {
        name: tensor(np.asarray(value, np.float64), dtype=float64, requires_grad=True) for name, value in given.items()
    }
    returned = forward(**started)
    quantities = dict(returned) if isinstance(returned, Mapping) else {"L": returned}
    for name, value in quantities.items():
        if not isinstance(value, Tensor):
            raise ArgumentTypeError(
                "forward returns Tensors: the loss, or a dict of quantities that ends with it",
                got=[f"'{name}' is a {type(value).__name__}"],
                mend="Write it with chainrule's functions, not with NumPy's.",
            )
    *others, loss_name = quantities
    names = {**started, **{name: quantities[name] for name in others}}
    recorded = program_of(quantities[loss_name], names=names, loss_name=loss_name)
    program, values = with_users_names(recorded, names)
    return Problem(program, tuple([_given(program, q, values) for q in program.givens]), _claims(program, claims))


def problem_of_graph(
    loss: Tensor, at: Mapping[str, Tensor], claims: Mapping[str, Any], loss_name: str = "L"
) -> Problem:
    """The problem of a program that ran: the data are those of the run, and are not drawn again.

    Args:
        loss: what it computed.
        at: the tensors that claims are about, by name.
        claims: by the name of the derivative, `dL/dz2`: an array, a formula as text, or a function of all values
            (`lambda v: v["W3"].T @ v["dL/dz3"]`).
        loss_name: what the loss is called in the claims.
    """
    recorded = program_of(loss, names=at, loss_name=loss_name)
    program, values = with_users_names(recorded, at)
    givens = tuple([Given(q.name, np.asarray(values[q.name]), "fixed") for q in program.givens])
    return Problem(program, givens, _claims(program, claims))


def with_users_names(recorded: Recorded, called: Mapping[str, Tensor]) -> tuple[Program, dict[str, Any]]:
    """The program in the user's names for what the user named, others keeping theirs where these are free."""
    theirs = {recorded.names[t.edge]: name for name, t in called.items() if t.edge in recorded.names}
    renamed: dict[str, str] = {}
    for name in recorded.program.symbols:
        wanted = theirs.get(name, name)
        while wanted in renamed.values() or (name not in theirs and wanted in theirs.values()):
            wanted += "_"
        renamed[name] = wanted
    old = recorded.program.symbols
    by = {name: Symbol(new, old[name].shape, old[name].dtype) for name, new in renamed.items()}
    statements = [
        Statement(renamed[s.name], replaced(s.formula, dict(by)), s.where) for s in recorded.program.statements
    ]
    givens = tuple([by[q.name] for q in recorded.program.givens])
    program = Program(givens, tuple(statements), renamed[recorded.program.loss])
    values = {renamed[name]: _in_float64(value) for name, value in recorded.values.items()}
    return program, values


def _in_float64(value: Any) -> Array:
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _given(program: Program, quantity: Symbol, values: Mapping[str, Any]) -> Given:
    value = values[quantity.name]
    if value.dtype.kind != "f":
        return Given(quantity.name, value, "fixed")
    return literal_given(quantity.name, value, is_label=enters_late(program, quantity.name, ()), is_count=False)


def _claims(program: Program, claims: Mapping[str, Any]) -> tuple[Claim, ...]:
    if not claims:
        raise ArgumentError("nothing is claimed", mend='Give claims such as {"dL/dz2": array}.')
    rates = Rates(program)
    return tuple([_claim(program, rates, name, claimed) for name, claimed in claims.items()])


def _claim(program: Program, rates: Rates, name: str, claimed: Any) -> Claim:
    source, syntax = parsed(name, program.symbols)
    target = target_of(source, rates, syntax)
    if isinstance(claimed, str):
        source, formula = parsed(claimed, program.symbols)
        expression = Builder(source, program.symbols, rates.symbol).expression(formula)
        return Claim(target, f"{name} = {claimed}", formula=expression, printed=Printed.read(formula))
    if callable(claimed):
        return Claim(target, f"{name} = {getattr(claimed, '__name__', 'a function')}(...)", function=claimed)
    array = claimed.detach().numpy() if isinstance(claimed, Tensor) else np.asarray(claimed)
    if array.dtype.kind not in "fiu":
        raise ArgumentTypeError(f"the claim {name} is an array of real numbers", got=[f"{name}  {array.dtype}"])
    return Claim(target, f"{name} = ...", array=array if array.dtype.kind == "f" else array.astype(np.float64))
