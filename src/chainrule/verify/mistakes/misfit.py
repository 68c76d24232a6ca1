"""A claim whose shapes do not fit, as a formula nevertheless: mending it shows what is wrong with it."""

from __future__ import annotations

from chainrule.errors import ShapeError
from chainrule.notation.language.builder import BESIDE, OPERATORS, Builder
from chainrule.notation.language.syntax import Binary
from chainrule.ops.catalogue import CATALOGUE
from chainrule.symbolic.expression import Call, Expression


class Lenient(Builder):
    """A Builder that lets operands stand side by side that no operator takes.

    The formula cannot be evaluated. With one change it may be: see `repairs`.
    """

    def _binary(self, syntax: Binary) -> Expression:
        try:
            return super()._binary(syntax)
        except ShapeError:
            a, b = self.expression(syntax.left), self.expression(syntax.right)
            return unchecked("matmul" if syntax.at.text == BESIDE else OPERATORS[syntax.at.text], a, b)


def unchecked(name: str, a: Expression, b: Expression) -> Call:
    """The call of an operator on operands that do not fit, with the shape that they would give if they did."""
    shape = (*a.shape[:-1], *b.shape[-1:]) if name == "matmul" else max(a.shape, b.shape, key=len)
    return Call(CATALOGUE[name], (a, b), (), shape, a.dtype)
