"""What a claim as written would be without a mistake: its own formula, changed at one place.

A mutation of the right step cannot show a slip in a spelling of one's own: in one term of a product multiplied out, in
exp(-z)/(1 + exp(-z))^2, in a product whose shapes do not fit. There the claim's formula is mended instead: if one
change makes it right on every draw, the change says what was wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial

import numpy as np

from chainrule.errors import ChainruleError
from chainrule.symbolic.differentiate import slope_of
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Call, Expression, Number, Slope, Symbol, call, replaced, symbols
from chainrule.symbolic.simplify import is_call
from chainrule.verify.mistakes import symbols as roles
from chainrule.verify.mistakes.network import Network
from chainrule.verify.mistakes.pattern import Array, Values, agree
from chainrule.verify.mistakes.products import turned
from chainrule.verify.mistakes.site import Site

Repair = tuple[str, Expression]
"""The name of the mistake, and what stands at the site without it."""


@dataclass(frozen=True)
class Bench:
    """Where claims are mended.

    Attributes:
        network: the right derivation.
        wanted: the quantities that the right derivation reads: others cannot make a claim right but by chance.
        right: the right derivative, in terms of the derivatives that the claim mentions.
        draws: the values of every quantity; by those of the first, slopes are recognised.
        tolerance: relative to the largest element.
        misfit: whether the shapes of the claim do not fit.
    """

    network: Network
    wanted: tuple[Symbol, ...]
    right: Expression
    draws: Sequence[Values]
    tolerance: float
    misfit: bool

    def repairs(self, site: Site) -> Iterator[Repair]:
        """Every change at a place, by the name of the mistake that it takes back."""
        for repair in (
            self._slope,
            self._diagonal,
            self._log,
            self._products,
            self._sums,
            self._symbol,
            self._sign,
            self._number,
            self._factor,
            self._update,
        ):
            try:
                yield from repair(site)
            except ChainruleError:  # a change that has no shape
                continue

    def called(self, site: Site, name: str, instead: Expression) -> str:
        """The name of a change that made a claim right: another layer's quantity in a slope has a name of its own."""
        if name not in ("previous activation of the wrong layer", "index off by one", "wrong quantity"):
            return name
        changed = symbols(instead).keys() - symbols(site.formula).keys()
        in_slope = self._is_part_of_slope(site) or isinstance(site.formula, Slope)
        if in_slope or (changed and changed <= self._only_in_slopes):
            return "derivative at the wrong layer"
        slopes = [value for _, mistake, _, value in self._slopes if not mistake]
        for around, place in zip(reversed(site.around), reversed(site.path), strict=True):
            parts = list(around.parts)
            parts[place] = instead
            instead = around.with_parts(tuple(parts))
            if self.network.mentions_derivatives(instead):
                break
            value = self._value(instead)
            if value is not None and any(s.shape == value.shape and agree(value, s, self.tolerance) for s in slopes):
                return "derivative at the wrong layer"
        return name

    # ---- slopes -------------------------------------------------------------------------------------------

    @cached_property
    def _slopes(self) -> list[tuple[str, str, Expression, Array]]:
        """What may stand where a slope belongs: the activation it is of, the mistake, the formula and its value."""
        found: list[tuple[str, str, Expression]] = []
        for a in self.network.activations:
            found.append((a.symbol.name, "", a.slope))
            found.append((a.symbol.name, "derivative at a instead of z", replaced(a.slope, {a.at.name: a.symbol})))
            if a.op is not None:
                at_a = slope_of(a.op, a.symbol, dict(a.params))
                found.append((a.symbol.name, "derivative at a instead of z", at_a))
                for z in self.network.pre_activations:
                    if z != a.at:
                        at_z = slope_of(a.op, z, dict(a.params))
                        found.append((a.symbol.name, "derivative at the wrong layer", at_z))
            if isinstance(a.slope, Slope) and a.symbol.name in symbols(a.slope.formula):
                for other in self.network.passed_on.values():
                    if other not in (a.symbol, a.at):
                        by: dict[str, Expression] = {a.symbol.name: other}
                        for _, formula in _built("", partial(replaced, a.slope.formula, by)):
                            found.append((a.symbol.name, "derivative at the wrong layer", formula))
        return [(a, name, f, np.asarray(evaluate(f, self.draws[0]))) for a, name, f in found]

    @cached_property
    def _telling(self) -> dict[str, Expression]:
        """The slopes by the name of the activation, but for those that are 1 on every draw: to put these in is to drop
        a factor."""
        found = {a.symbol.name: a.slope for a in self.network.activations}
        return {
            name: slope for name, slope in found.items() if not all(np.all(evaluate(slope, d) == 1) for d in self.draws)
        }

    @cached_property
    def _only_in_slopes(self) -> frozenset[str]:
        """What the right derivative reads in slopes alone."""
        outside: set[str] = set()
        waiting = [self.right]
        while waiting:
            f = waiting.pop()
            outside |= {f.name} if isinstance(f, Symbol) else set()
            waiting += [] if isinstance(f, Slope) else f.parts
        return frozenset(symbols(self.right).keys() - outside)

    def _slope(self, site: Site) -> Iterator[Repair]:
        f = site.formula
        if isinstance(f, Number) or self._is_part_of_slope(site):
            return
        if isinstance(f, Symbol):
            for a in self.network.activations:
                if a.symbol == f:
                    yield "activation for its derivative", a.slope
                elif a.at == f:
                    yield "pre-activation for the derivative", a.slope
            return
        if any(self.network.is_derivative(s) for s in symbols(f).values()):
            return
        value = self._value(f)
        if value is None:
            return
        for name, mistake, _, wrong in self._slopes:
            if wrong.shape == value.shape and agree(value, wrong, self.tolerance):
                if not mistake:
                    yield from (
                        ("derivative at the wrong layer", slope)
                        for other, slope in self._telling.items()
                        if other != name
                    )
                elif name in self._telling:
                    yield mistake, self._telling[name]

    def _diagonal(self, site: Site) -> Iterator[Repair]:
        """diag(v) of a column of another size."""
        f = site.formula
        if not is_call(f, "mul"):
            return
        eye, v = f.parts
        if isinstance(eye, Call) and eye.op.name == "eye":
            column = Site(v, site.quantity, site.network, (*site.path, 1), (*site.around, f))
            for name, right in (*self._slope(column), *self._symbol(column)):
                if right.shape != v.shape and right.ndim == 2:
                    params = {**dict(eye.params), "size": right.shape[0]}
                    yield name, call("mul", call("eye", **params), right)

    def _is_part_of_slope(self, site: Site) -> bool:
        return any(isinstance(f, Slope) for f in site.around)

    def _value(self, f: Expression) -> Array | None:
        try:
            return np.asarray(evaluate(f, self.draws[0]))
        except (ChainruleError, ValueError, IndexError):
            return None

    def _log(self, site: Site) -> Iterator[Repair]:
        """1/x for the 1/p of a logarithm."""
        f = site.formula
        if is_call(f, "div"):
            below = f.parts[1]
            plain = isinstance(below, Symbol) or (is_call(below, "sub") and not any(x.parts for x in below.parts))
            for p in self.network.logarithms:
                if plain and p.shape == below.shape and p != below:
                    yield "log of the wrong thing", f.parts[0] / p

    # ---- products -----------------------------------------------------------------------------------------

    def _products(self, site: Site) -> Iterator[Repair]:
        f = site.formula
        if f.ndim > 1:
            yield "missing transpose", turned(f)
        if is_call(f, "matmul"):
            a, b = f.parts
            yield from _built("swapped factors", partial(call, "matmul", b, a))
            yield from _built("matrix product for elementwise", partial(call, "mul", a, b))
        elif is_call(f, "mul") and min(part.ndim for part in f.parts) > 1:
            a, b = f.parts
            for left, right in ((a, b), (a, turned(b)), (turned(a), b)):
                yield from _built("missing sum over neurons", partial(call, "matmul", left, right))

    def _sums(self, site: Site) -> Iterator[Repair]:
        f = site.formula
        if is_call(f, "sum"):
            x = f.parts[0]
            yield "sum instead of each element", x
            for axis in [i for i, n in enumerate(x.shape) if n > 1]:
                yield "sum over the wrong axis", call("sum", x, axis=(axis,), keepdims=True)
        elif isinstance(f, Call) and f.op.name == "mean":
            yield "mean for sum", call("sum", f.parts[0], **dict(f.params))
        elif not isinstance(f, Number | Slope) and f not in self._probabilities:
            name = "missing sum over the batch" if self._is_whole_gradient(site) else "missing sum over neurons"
            for axis, n in enumerate(f.shape):
                if n > 1:
                    yield name, call("sum", f, axis=(axis,), keepdims=True)

    def _is_whole_gradient(self, site: Site) -> bool:
        """True for the gradient of a parameter, or a term of it: what is summed there are samples."""
        terms = ("add", "sub", "neg", "mT")
        scaled = all(
            any(is_call(f, name) for name in terms) or any(isinstance(part, Number) for part in f.parts)
            for f in site.around
        )
        return scaled and site.quantity in self.network.givens

    @cached_property
    def _probabilities(self) -> frozenset[Symbol]:
        """What a softmax gives: its sum is 1, and stands for nothing."""
        return frozenset(s.symbol for s in self.network.softmaxes.values())

    # ---- quantities ---------------------------------------------------------------------------------------

    def _symbol(self, site: Site) -> Iterator[Repair]:
        """Another quantity for a symbol, here or, in a part that reads it more than once, throughout."""
        f = site.formula
        network = self.network
        if isinstance(f, Symbol):
            for right in self.wanted:
                if right != f and in_mask(site):  # z3 > 0 for z2 > 0: the slope of another ReLU
                    yield "derivative at the wrong layer", right
                elif right != f:
                    yield from ((name, right) for name in roles.names(network, right, f))
        elif not isinstance(f, Number):
            for s in symbols(f).values():
                for right in self.wanted:
                    fits = right.shape == s.shape or (self.misfit and is_call(f, "mul"))  # a2 * (1 - a2)
                    if right != s and fits:
                        by: dict[str, Expression] = {s.name: right}
                        for name in roles.names(network, right, s):
                            yield from _built(name, partial(replaced, f, by))

    # ---- signs, numbers, factors ------------------------------------------------------------------------------

    def _sign(self, site: Site) -> Iterator[Repair]:
        f = site.formula
        if in_mask(site):
            return  # a mask the other way round is no sign
        if is_call(f, "neg"):
            yield "wrong sign", f.parts[0]
        elif not isinstance(f, Number):
            yield "wrong sign", -f
        if is_call(f, "sub"):
            yield "wrong sign", f.parts[0] + f.parts[1]
        elif is_call(f, "add"):
            yield "wrong sign", f.parts[0] - f.parts[1]
        if is_call(f, "sub") and isinstance(f.parts[0], Number):
            yield "wrong sign", -f.parts[0].value - f.parts[1]

    def _number(self, site: Site) -> Iterator[Repair]:
        """A number at one term of several; that of a whole claim is found from the right step."""
        if not site.around or not (is_call(site.around[-1], "add") or is_call(site.around[-1], "sub")):
            return
        f = site.formula
        yield "factor 2", Number(Fraction(1, 2)) * f
        yield "factor 1/2", Number(2) * f
        for n in self.network.sizes:
            yield "factor n", Number(Fraction(1, n)) * f
            yield "factor 1/n", Number(n) * f

    def _factor(self, site: Site) -> Iterator[Repair]:
        """A factor that stands there twice, or that one term of a sum lacks."""
        f = site.formula
        if is_call(f, "mul"):
            a, b = f.parts
            if _has_factor(a, b):
                yield "factor counted twice", a
            if _has_factor(b, a):
                yield "factor counted twice", b
        lacking = [q for q in self.wanted if q.shape == f.shape and not self.network.is_derivative(q)]
        if site.around and (is_call(site.around[-1], "add") or is_call(site.around[-1], "sub")):
            yield from (("dropped factor", f * q) for q in lacking)
        if is_call(f, "add") or is_call(f, "sub"):
            a, b = f.parts
            yield from (("dropped factor", f.with_parts((a * q, b))) for q in lacking if isinstance(a, Number))
            yield from (("dropped factor", f.with_parts((a, b * q))) for q in lacking if isinstance(b, Number))

    def _update(self, site: Site) -> Iterator[Repair]:
        """W for W - lr dL/dW."""
        f = site.formula
        if is_call(f, "sub"):
            w, step = f.parts
            if isinstance(w, Symbol) and w.name in self.network.givens and self._reads_derivative(step, w):
                yield "weights after the update", w

    def _reads_derivative(self, f: Expression, by: Symbol) -> bool:
        return self.network.derivation.named(by.name).name in symbols(f)


def in_mask(site: Site) -> bool:
    """True for what is compared."""
    return bool(site.around) and any(is_call(site.around[-1], comparison) for comparison in ("lt", "le", "gt", "ge"))


def _built(name: str, make: Callable[[], Expression]) -> Iterator[Repair]:
    try:
        yield name, make()
    except ChainruleError:
        return


def _has_factor(product: Expression, factor: Expression) -> bool:
    """True if the factor stands in the product."""
    if product == factor:
        return True
    return is_call(product, "mul") and any(_has_factor(part, factor) for part in product.parts)
