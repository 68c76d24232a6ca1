"""One run of a program under a convention: its derivation, the numbers of all quantities, and what each of them is.

The gradients are computed twice: from the formulas that are shown, and by the engine's backward(). They must agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, GraphError
from chainrule.notation.conventions import Convention
from chainrule.notation.numbers import carried
from chainrule.symbolic.columns import as_columns, columns, in_columns
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Call, Expression, Number, Symbol, call, instead, symbols, walk
from chainrule.symbolic.modules import ModuleCall
from chainrule.symbolic.program import Derivation, Program
from chainrule.symbolic.recorded import Recorded
from chainrule.symbolic.simplify import is_call, simplified
from chainrule.tensor.backward import grad
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.graph import Array, Node
from chainrule.tensor.switches import enable_grad
from chainrule.tensor.tensor import Tensor, wrap

ROUNDING = 2.0**-52 * 2**20
"""How far the formulas and the engine may differ, relative to the largest derivative: both compute in float64, in
another order, and sums over batches and layers cancel digits; a wrong factor is 1e9 times as far off."""

TAKEN_AS_RECORDED = 2.0**-23 * 2**12
"""The same for a recorded loss in float32 and the loss that the formulas give in float64."""


@dataclass
class Run:
    """A program with numbers.

    Args:
        program: on columns or rows, as the convention wants.
        givens: the values of what it reads, in float64.
        convention: how it is named and shown.
        targets: the quantities whose derivatives are wanted.
        recorded: the values of the run, where they were recorded.
        recomputed, called: as of a `Recorded`.
        layers: the letter and number of each of the layers' quantities: `W2` is ("W", 2).
        columns: the quantities that stand as columns here and as rows in the run.
        calls: the calls of modules that computed a quantity, the outermost first, where modules are known.
        parameters: the quantities that are parameters of those modules.
    """

    program: Program
    givens: dict[str, Array]
    convention: Convention
    targets: tuple[str, ...]
    recorded: dict[str, Array] = field(default_factory=dict)
    recomputed: frozenset[str] = frozenset()
    called: dict[str, str] = field(default_factory=dict)
    layers: dict[str, tuple[str, int]] = field(default_factory=dict)
    columns: frozenset[str] = frozenset()
    calls: dict[str, tuple[ModuleCall, ...]] = field(default_factory=dict)
    parameters: frozenset[str] = frozenset()

    # ---- modules ---------------------------------------------------------------------------------------------

    def around(self, name: str) -> tuple[ModuleCall, ...]:
        """The calls of modules that compute a quantity, the outermost first."""
        return self.calls.get(name, ())

    def around_rate(self, name: str) -> tuple[ModuleCall, ...]:
        """The calls that the derivative by a quantity comes back through: those around all that reads it.

        So the derivative by what a module reads is found in that module, and the one by what it gives before it.
        """
        found: tuple[ModuleCall, ...] | None = None
        for statement in self.program.users.get(name, []):
            if statement.name in self.program.reaching:
                calls = self.calls.get(statement.name, ())
                found = calls if found is None else tuple([c for c in found if c in calls])
        return found or ()

    # ---- formulas --------------------------------------------------------------------------------------------

    @cached_property
    def derivation(self) -> Derivation:
        return Derivation(self.program)

    @cached_property
    def path(self) -> tuple[str, ...]:
        """The quantities between the targets and the loss, both included, in the program's order."""
        reached = set(self.targets)
        for statement in self.program.statements:
            if reached & symbols(statement.formula).keys():
                reached.add(statement.name)
        return tuple([name for name in self.program.symbols if name in reached and name in self.program.reaching])

    @cached_property
    def on_path(self) -> frozenset[str]:
        """The same as a set."""
        return frozenset(self.path)

    @cached_property
    def passed_over(self) -> frozenset[str]:
        """The activations whose own derivatives a textbook does not name: delta^l follows from delta^(l+1) at once."""
        found = set()
        for statement in self.program.statements if self.convention.delta else ():
            letter, _ = self.layers.get(statement.name, ("", 0))
            if letter == "a" and statement.name in self.on_path and statement.name not in self.targets:
                read = [name for name in symbols(statement.formula) if name in self.on_path]
                if len(read) == 1 and self.layers.get(read[0], ("", 0))[0] == "z":
                    found.add(statement.name)
        return frozenset(found)

    @cached_property
    def forward(self) -> tuple[str, ...]:
        """The quantities that the loss is computed from, in order."""
        return tuple([s.name for s in self.program.statements if s.name in self.program.reaching])

    def rate(self, name: str) -> Symbol:
        """dL/dname."""
        return self.derivation.named(name)

    def is_rate(self, name: str) -> bool:
        """True for the name of a derivative of the loss, or of an element of one."""
        return name.startswith(f"d{self.program.loss}/d")

    def of(self, name: str) -> str:
        """The quantity that a name is about: z2 for z2 and for dL/dz2."""
        return name.removeprefix(f"d{self.program.loss}/d")

    def step(self, name: str) -> Expression:
        """dL/dname, as it is written under the convention."""
        return self.written(self.derivation.step(name))

    def inlined(self, name: str, known: Iterable[str]) -> Expression:
        """dL/dname by the derivatives of the known quantities alone."""
        return self.written(self.derivation.inlined(name, known))

    def written(self, formula: Expression) -> Expression:
        """A formula as it is shown: transposes as far inside as they go, labels by their name."""
        if is_call(formula, "mT") and not isinstance(formula.parts[0], Symbol) and formula.ndim == 2:
            formula = simplified(columns(formula.parts[0]))
        return self.label(formula)

    def label(self, formula: Expression) -> Expression:
        """A formula in which the labels' columns of 0 and 1 have the name t."""
        return instead(formula, self.labels) if self.labels else formula

    @cached_property
    def labels(self) -> dict[Expression, Expression]:
        """`one_hot(labels)` and the symbol that stands for it."""
        found: dict[Expression, Expression] = {}
        for statement in self.program.statements:
            for one in walk(statement.formula):
                if is_call(one, "one_hot") and one not in found:
                    name = next(n for n in ("t", "y", "t_onehot") if n not in self.program.symbols)
                    symbol = Symbol(name, one.shape)
                    if self.convention.batch == "columns" and one.ndim == 2:
                        symbol = Symbol(name, one.shape[::-1])
                        found[call("mT", one)] = symbol
                        found[one] = call("mT", symbol)
                    else:
                        found[one] = symbol
        return found

    def users(self, name: str) -> list[str]:
        """The quantities that are computed from this one on the way to the loss."""
        return [s.name for s in self.program.users[name] if s.name in self.program.reaching]

    # ---- numbers ---------------------------------------------------------------------------------------------

    @cached_property
    def exact(self) -> dict[str, Array]:
        """All quantities and the derivatives of the loss, from the formulas, in float64."""
        values = self.program.values(self.givens)
        for formula, symbol in self.labels.items():
            if isinstance(symbol, Symbol):
                values[symbol.name] = evaluate(formula, values)
        for name in reversed(self.program.symbols):
            if name in self.on_path:
                values[self.rate(name).name] = evaluate(self.derivation.step(name), values)
        return values

    @cached_property
    def shown(self) -> dict[str, Any]:
        """The numbers that are put into formulas: the exact ones, or those that the convention carries on."""
        if self.convention.intermediates == "exact":
            return {**self.exact, **self.recorded}
        values = {name: carried(value, self.convention) for name, value in self.givens.items()}
        values |= {s.name: self.exact[s.name] for s in self.labels.values() if isinstance(s, Symbol)}
        for statement in self.program.statements:
            values[statement.name] = carried(evaluate(statement.formula, values), self.convention)
        for name in reversed(self.program.symbols):
            if name in self.on_path:
                values[self.rate(name).name] = carried(evaluate(self.derivation.step(name), values), self.convention)
        return values

    def value(self, name: str) -> Array:
        """A quantity as it was in the run, or a derivative."""
        return self.recorded.get(name, self.exact[name])

    def check(self) -> None:
        """Compare with the engine.

        Raises:
            GraphError: the formulas and backward() disagree, which is a mistake of this library.
        """
        found = engine_gradients(self.program, self.givens, self.targets)
        for name in self.targets:
            compare(f"d{self.program.loss}/d{name}", self.exact[self.rate(name).name], found[name], ROUNDING)
        if self.program.loss in self.recorded:
            loss = self.program.loss
            compare(loss, self.exact[loss], self.recorded[loss], TAKEN_AS_RECORDED)


def compare(name: str, formula: Array, engine: Array, tolerance: float) -> None:
    """Refuse two values that differ by more than rounding."""
    scale = float(np.max(np.abs(engine), initial=0.0))
    difference = float(np.max(np.abs(formula - engine), initial=0.0))
    both_lost = np.array_equal(np.isfinite(formula), np.isfinite(engine)) and not np.all(np.isfinite(engine))
    if formula.shape != engine.shape or not (difference <= tolerance * max(scale, 1.0) or both_lost):
        raise GraphError(
            f"the derivation of {name} does not give what the engine computes",
            got=[
                f"derivation  {formula.shape}",
                f"engine  {engine.shape}",
                f"difference  {difference:.3g} of {scale:.3g}",
            ],
            mend="This is a mistake in chainrule. Please report it with the program.",
        )


# ---- making one -----------------------------------------------------------------------------------------------


def run_of_recorded(
    recorded: Recorded, targets: Iterable[str], convention: Convention, *,
    calls: Mapping[Node, tuple[ModuleCall, ...]] | None = None, parameters: Iterable[Any] = (),
) -> Run:  # fmt: skip
    """The run that a graph recorded, on columns if the convention has samples as columns.

    Args:
        calls: the calls of modules around each node, where modules are known, and `parameters` the leaves they own.
    """
    program, turned = recorded.program, frozenset[str]()
    if convention.batch == "columns":
        found = in_columns(program, recorded.activations)
        program, turned = found.program, found.turned
    values = {name: as_columns(v) if name in turned else v for name, v in recorded.values.items()}
    wide = {name: v.astype(np.float64) if v.dtype.kind == "f" else v for name, v in values.items()}
    givens = {s.name: wide[s.name] for s in program.givens}
    letters: dict[str, tuple[str, int]] = {}
    for layer in recorded.layers:
        for letter, part in (("W", layer.weight), ("b", layer.bias), ("z", layer.z), ("a", layer.a)):
            if part is not None and part in recorded.names:
                letters.setdefault(recorded.names[part], (letter, layer.number))
    return Run(
        program, givens, convention, tuple(targets), wide, recorded.recomputed, recorded.called, letters, turned,
        {recorded.names[node]: around for node, around in (calls or {}).items() if node in recorded.names},
        frozenset([recorded.names[leaf] for leaf in parameters if leaf in recorded.names]),
    )  # fmt: skip


def run_of_program(program: Program, givens: Mapping[str, Any], targets: Iterable[str], convention: Convention) -> Run:
    """The run of a program that was written down.

    Raises:
        ArgumentError: a target that the program does not have.
    """
    for name in targets:
        if name not in program.symbols:
            raise ArgumentError(f"no quantity is called '{name}'", got=[f"there are  {', '.join(program.symbols)}"])
    arrays = {name: np.asarray(value, np.float64) for name, value in givens.items()}
    letters: dict[str, tuple[str, int]] = {}
    for name in program.symbols:
        parts = re.fullmatch(r"([Wbza])(\d+)", name)
        if parts is not None:
            letters[name] = (parts[1], int(parts[2]))
    return Run(program, arrays, convention, tuple(targets), layers=letters)


# ---- the engine -----------------------------------------------------------------------------------------------


def engine_gradients(program: Program, givens: Mapping[str, Array], targets: Iterable[str]) -> dict[str, Array]:
    """What backward() gives: the program run on Tensors, and swept."""
    tensors: dict[str, Tensor] = {}
    names = list(targets)
    with enable_grad():
        for name, value in givens.items():
            tensors[name] = wrap(np.array(value), None)
            if name in names:
                tensors[name].requires_grad_()
        for statement in program.statements:
            y = _on_tensors(statement.formula, tensors)
            if not isinstance(y, Tensor):
                y = wrap(np.full(statement.formula.shape, float(y)), None)
            tensors[statement.name] = y
            if statement.name in names and y.edge is None:
                y.requires_grad_()
        loss = tensors[program.loss]
        found = grad(loss, [tensors[name] for name in names], allow_unused=True, materialize_grads=True)
    return {name: g.numpy() for name, g in zip(names, found, strict=True)}


def _on_tensors(formula: Expression, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(formula, Symbol):
        return tensors[formula.name]
    if isinstance(formula, Number):
        return formula.plain if not formula.shape else wrap(np.full(formula.shape, float(formula.plain)), None)
    assert isinstance(formula, Call)
    inputs = [None if x is None else _on_tensors(x, tensors) for x in formula.inputs]
    if not any(isinstance(x, Tensor) for x in inputs):  # numbers among themselves
        inputs = [x if x is None else wrap(np.asarray(x, np.float64), None) for x in inputs]
    return GATES[formula.op.name](*inputs, **dict(formula.params))
