"""What the quantities of a program are, as a reader sees them: weights, biases, activations, targets, the batch.

A mutation that takes "the activation of another layer" must know which quantities are activations. Names say nothing
here: a weight is what is multiplied, an activation what an activation function gives, a target what only the loss
reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from chainrule import shapes
from chainrule.ops.op import Op
from chainrule.symbolic.differentiate import cotangents, has_slope
from chainrule.symbolic.expression import Call, Expression, Number, Symbol, call, symbols, walk
from chainrule.symbolic.program import Derivation, Program, Statement
from chainrule.symbolic.simplify import is_call

ACTIVATIONS = ("sigmoid", "tanh", "relu", "softplus", "silu", "gelu", "elu", "leaky_relu")
"""The activation functions whose derivatives are confused with each other."""


@dataclass(frozen=True)
class Activation:
    """A statement a = f(z) that works element by element: `slope` is f'(z), `op` the function if it is one operator."""

    symbol: Symbol
    at: Symbol
    slope: Expression
    op: Op | None
    params: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Network:
    """A derivation, and what its quantities are."""

    derivation: Derivation

    @property
    def program(self) -> Program:
        return self.derivation.program

    @cached_property
    def activations(self) -> tuple[Activation, ...]:
        """The statements that apply a function element by element to one quantity, in order."""
        found = []
        for statement in self.program.statements:
            f = statement.formula
            read = list(symbols(f).values())
            if len(read) != 1 or read[0].shape != f.shape or not _is_elementwise(f):
                continue
            (z,) = read
            slope = cotangents(f, Number(1, f.shape), [z.name], statement.symbol).get(z.name)
            if slope is not None and not isinstance(slope, Number):
                own = f if isinstance(f, Call) and has_slope(f.op) else None
                op, params = (None, ()) if own is None else (own.op, own.params)
                found.append(Activation(statement.symbol, z, slope, op, params))
        return tuple(found)

    @cached_property
    def softmaxes(self) -> dict[str, Statement]:
        """The statements p = softmax(z) or p = log_softmax(z) by the name of z."""
        return {z: s for s in self.program.statements for z in _normalised(s.formula)}

    @cached_property
    def outputs(self) -> dict[str, Symbol]:
        """What an activation function or a softmax gives, by name."""
        found = {a.symbol.name: a.symbol for a in self.activations}
        return found | {s.name: s.symbol for s in self.softmaxes.values()}

    @cached_property
    def before(self) -> dict[str, Symbol]:
        """The pre-activation z of each activation a, by the name of a, where z is a quantity of the program."""
        found = {a.symbol.name: a.at for a in self.activations}
        return found | {s.name: self.program.symbols[z] for z, s in self.softmaxes.items()}

    @cached_property
    def pre_activations(self) -> tuple[Symbol, ...]:
        """What activation functions are applied to, and every other sum of products."""
        found = {z.name: z for z in self.before.values()}
        for statement in self.program.statements:
            if any(True for _ in _products(statement.formula, self.givens)):
                found[statement.name] = statement.symbol
        return tuple(found.values())

    @cached_property
    def logarithms(self) -> tuple[Expression, ...]:
        """What the program takes logarithms of."""
        found = [f.parts[0] for s in self.program.statements for f in walk(s.formula) if is_call(f, "log")]
        return tuple(dict.fromkeys(found))

    @cached_property
    def products(self) -> tuple[tuple[Expression, Expression], ...]:
        """The operands of each product of the program: the weight, and what it multiplies.

        Of a given and something computed, the given is the weight. Of two givens it is the one on the side where
        the weights of the other products stand; without others, the left one in W x and the right one in X W^T.
        """
        pairs = [pair for s in self.program.statements for pair in _products(s.formula, self.givens)]
        lefts = [self._is_computed(b) for a, b in pairs if self._is_computed(a) != self._is_computed(b)]
        usually_left = sum(lefts) * 2 >= len(lefts) if lefts else None
        found = []
        for a, b in pairs:
            if self._is_computed(a) == self._is_computed(b):
                left = usually_left if usually_left is not None else not is_call(b, "mT")
            else:
                left = self._is_computed(b)
            found.append((a, b) if left else (b, a))
        return tuple([(_under_transpose(weight), _under_transpose(x)) for weight, x in found])

    @cached_property
    def passed_on(self) -> dict[str, Symbol]:
        """What flows through the network: inputs, activations, and all that is computed from them, by name."""
        found = {name: s for name, s in self.program.symbols.items() if name not in self.givens}
        fed = [x.name for _, x in self.products if isinstance(x, Symbol)]
        found |= {name: self.program.symbols[name] for name in fed}
        found |= {name: g for g in self.program.givens for name in [g.name] if self._is_input(g)}
        return {name: s for name, s in found.items() if name != self.program.loss and name not in self.weights}

    @cached_property
    def weights(self) -> dict[str, Symbol]:
        """The givens that multiply, by name."""
        return {w.name: w for w, _ in self.products if isinstance(w, Symbol) and w.name in self.givens}

    @cached_property
    def data(self) -> dict[str, Symbol]:
        """The givens that weights multiply, by name."""
        return {x.name: x for _, x in self.products if isinstance(x, Symbol) and x.name in self.givens}

    @cached_property
    def givens(self) -> frozenset[str]:
        return frozenset(g.name for g in self.program.givens)

    @cached_property
    def targets(self) -> dict[str, Symbol]:
        """The givens that stand beside a computed quantity of their own shape where only the loss follows, by name."""
        found = {}
        for given in self.program.givens:
            for statement in self.program.users[given.name]:
                beside = [s for s in symbols(statement.formula).values() if self._is_computed(s)]
                if any(s.shape == given.shape for s in beside) and not self._is_passed_on(statement):
                    found[given.name] = given
        return found

    def _is_passed_on(self, statement: Statement) -> bool:
        """True for a layer: an activation function or a product reads it, or it is a product itself."""
        fed = {s for _, x in self.products for s in symbols(x)}
        activated = {a.at.name for a in self.activations if a.symbol.name != self.program.loss}
        multiplied = any(is_call(f, "matmul") or is_call(f, "linear") for f in walk(statement.formula))
        return multiplied or statement.name in fed | activated | self.softmaxes.keys()

    @cached_property
    def predictions(self) -> dict[str, Symbol]:
        """The computed quantities that stand beside a target, by name."""
        found = {}
        for target in self.targets:
            for statement in self.program.users[target]:
                for s in symbols(statement.formula).values():
                    if self._is_computed(s) and s.shape == self.targets[target].shape:
                        found[s.name] = s
        return found

    @cached_property
    def without_bias(self) -> dict[str, Expression]:
        """The quantities that a bias is added to, and their activations, computed without it."""
        found: dict[str, Expression] = {}
        for statement in self.program.statements:
            bare = _without_bias(statement.formula, self)
            if bare is not None:
                found[statement.name] = bare
            elif isinstance(statement.formula, Call) and len(statement.formula.parts) == 1:
                (z,) = statement.formula.parts
                if isinstance(z, Symbol) and z.name in found and found[z.name].shape == z.shape:
                    found[statement.name] = statement.formula.with_parts((found[z.name],))
        return found

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Every n that a factor n may be: the sizes of axes, and the numbers of elements of what the loss reads."""
        found = {n for s in self.program.symbols.values() for n in s.shape}
        found |= {prod(s.shape) for s in self.predictions.values()}
        found.add(len(self.predictions))  # the outputs of a network written neuron by neuron
        return tuple(sorted(n for n in found if n > 1))

    @cached_property
    def mean_counts(self) -> tuple[int, ...]:
        """The number of elements that each mean of the program is over."""
        return tuple(dict.fromkeys(n for s in self.program.statements for n in _mean_counts(s.formula) if n > 1))

    @cached_property
    def quantities(self) -> tuple[Symbol, ...]:
        """Every quantity of a float type, and its derivative."""
        forward = [s for n, s in self.program.symbols.items() if s.dtype.is_floating_point and n != self.program.loss]
        return (*forward, *[self.derivation.named(s.name) for s in forward if s.name in self.program.reaching])

    def above(self, name: str) -> tuple[Symbol, ...]:
        """Every quantity of a float type that the right derivation of dL/dNAME reads, down to the loss.

        With z comes f(z), by which f'(z) may be written.
        """
        found: set[str] = set()
        waiting = [name]
        prefix = f"d{self.program.loss}/d"
        while waiting:
            for read in symbols(self.derivation.step(waiting.pop())):
                if read not in found:
                    found.add(read)
                    waiting += [read.removeprefix(prefix)] if read.startswith(prefix) else []
        found |= {a.symbol.name for a in self.activations if a.at.name in found}
        return tuple([s for s in self.quantities if s.name in found])

    def is_derivative(self, symbol: Symbol) -> bool:
        """True for dL/dNAME."""
        return symbol.name.startswith(f"d{self.program.loss}/d")

    def quantity(self, derivative: Symbol) -> str:
        """NAME of dL/dNAME."""
        return derivative.name.removeprefix(f"d{self.program.loss}/d")

    def mentions_derivatives(self, formula: Expression) -> bool:
        """True if the formula reads a dL/dNAME."""
        return any(self.is_derivative(s) for s in symbols(formula).values())

    def result(self, op: Op, at: Expression, params: tuple[tuple[str, Any], ...]) -> Expression:
        """f(z): the quantity of the program that is it, or the formula."""
        for a in self.activations:
            if a.op is op and a.at == at and repr(a.params) == repr(params):
                return a.symbol
        return call(op.name, at, **dict(params))

    def layers_apart(self, a: Symbol, b: Symbol) -> int:
        """How many places apart two quantities of a kind stand in the order of the program."""
        fed = [x.name for _, x in self.products if isinstance(x, Symbol)]
        for kind in (self.weights, {z.name for z in self.before.values()}, fed, self.outputs):
            order = [name for name in self.program.symbols if name in kind]
            if a.name in order and b.name in order:
                return abs(order.index(a.name) - order.index(b.name))
        return 0

    def _is_input(self, given: Symbol) -> bool:
        """True for a given from which what a weight multiplies is computed by itself, such as x in u = 3 x."""
        fed = {x.name for _, x in self.products if isinstance(x, Symbol)}
        users = self.program.users[given.name]
        return any(user.name in fed and user.formula.shape == given.shape for user in users)

    def _is_computed(self, formula: Expression) -> bool:
        return any(name not in self.givens for name in symbols(formula))


def _normalised(formula: Expression) -> Iterator[str]:
    """The name of z in softmax(z) or log_softmax(z)."""
    if is_call(formula, "softmax") or is_call(formula, "log_softmax"):
        (z,) = formula.parts
        if isinstance(z, Symbol):
            yield z.name


def _is_given(formula: Expression, givens: frozenset[str]) -> bool:
    return isinstance(formula, Symbol) and formula.name in givens


def _under_transpose(x: Expression) -> Expression:
    return x.parts[0] if is_call(x, "mT") else x


def _products(formula: Expression, givens: frozenset[str]) -> Iterator[tuple[Expression, Expression]]:
    """The operands of the matrix products of a formula, and of each w * x in w * x + v * y + b."""
    for f in walk(formula):
        if is_call(f, "linear"):
            yield f.parts[0], call("mT", f.parts[1])
        elif is_call(f, "matmul"):
            yield f.parts[0], f.parts[1]
        elif is_call(f, "add"):
            terms = list(_terms(f))
            if any(_is_given(term, givens) for term in terms):
                yield from ((term.parts[0], term.parts[1]) for term in terms if is_call(term, "mul"))


def _terms(f: Expression) -> Iterator[Expression]:
    if is_call(f, "add"):
        for part in f.parts:
            yield from _terms(part)
    else:
        yield f


def _without_bias(formula: Expression, network: Network) -> Expression | None:
    """W x for W x + b, also within an activation function; None where nothing given is added to a product."""
    if is_call(formula, "linear") and len(formula.parts) == 3:
        return call("linear", *formula.parts[:2])
    if is_call(formula, "add"):
        for product, bias in (formula.parts, formula.parts[::-1]):
            if _is_given(bias, network.givens) and any(
                is_call(f, "matmul") or is_call(f, "mul") for f in walk(product)
            ):
                return product
    if isinstance(formula, Call) and len(formula.parts) == 1 and has_slope(formula.op):
        bare = _without_bias(formula.parts[0], network)
        return None if bare is None else formula.with_parts((bare,))
    return None


def _is_elementwise(formula: Expression) -> bool:
    return isinstance(formula, Call) and all(
        isinstance(f, Symbol | Number) or (isinstance(f, Call) and f.op.kind.name == "elementwise")
        for f in walk(formula)
    )


def _mean_counts(formula: Expression) -> Iterator[int]:
    for f in walk(formula):
        if not isinstance(f, Call):
            continue
        if f.op.name == "mean":
            yield shapes.count(f.parts[0].shape, dict(f.params).get("axis"))
        elif {**f.op.params, **dict(f.params)}.get("reduction") == "mean" and f.shape == ():
            yield f.parts[0].shape[0] if f.op.name in ("cross_entropy", "nll_loss") else prod(f.parts[0].shape)
