"""The functions that derivatives of a program are written with: what has another one in it was no slip."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from chainrule.symbolic.expression import Call, Expression, Slope, Symbol, walk
from chainrule.symbolic.simplify import is_call
from chainrule.verify.mistakes.network import Network


@dataclass(frozen=True)
class Vocabulary:
    """What the formulas of a program are written with.

    sqrt(s (1 - s)) is s for somebody who takes one s for 1 - s, and nobody writes it for that reason: of two mistakes
    at once, none may leave a function in the formula that belongs to no derivative of this program.
    """

    network: Network

    def lacks(self, formula: Expression) -> bool:
        """True if a function stands in the formula that the program and its slopes lack, or of something that is
        neither a quantity nor what the program itself applies functions to."""
        waiting = [formula]
        while waiting:
            f = waiting.pop()
            if isinstance(f, Slope):
                continue
            if isinstance(f, Call) and len(f.parts) == 1 and f.op.kind.name == "elementwise" and f.op.name != "neg":
                (x,) = f.parts
                x = x.parts[0] if is_call(x, "neg") else x
                is_quantity = isinstance(x, Symbol) and not self.network.is_derivative(x)
                if f.op.name not in self._functions or not (is_quantity or x in self._arguments):
                    return True
            waiting += f.parts
        return False

    @cached_property
    def _functions(self) -> frozenset[str]:
        formulas = [s.formula for s in self.network.program.statements] + [a.slope for a in self.network.activations]
        return frozenset({"exp", "cast", *[f.op.name for g in formulas for f in walk(g) if isinstance(f, Call)]})

    @cached_property
    def _arguments(self) -> frozenset[Expression]:
        """The formulas of the program, among them z written out, and the arguments of its functions."""
        formulas = [s.formula for s in self.network.program.statements]
        return frozenset({*formulas, *[x for g in formulas for f in walk(g) if len(f.parts) == 1 for x in f.parts]})
