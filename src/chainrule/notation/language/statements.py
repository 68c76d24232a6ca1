"""Statements `name = formula`, read into a program whose free names are its givens."""

from __future__ import annotations

from collections.abc import Mapping

from chainrule.notation.language.builder import Builder
from chainrule.notation.language.parser import Parser
from chainrule.notation.language.syntax import Name
from chainrule.notation.language.tokens import Source, tokens
from chainrule.symbolic.expression import Expression, Symbol
from chainrule.symbolic.program import Program, Statement


def parse_statements(text: str, givens: Mapping[str, Symbol]) -> Program:
    """The program that statements describe, one on each line or separated by semicolons.

    Args:
        text: `z = w*x + b; y = sigmoid(z); L = 1/2*(y - t)**2`.
        givens: what the statements may read, by name, with their shapes.

    Returns:
        The program; its loss is the last quantity of one element.

    Raises:
        NotationError: for what cannot be read, a name without a value or with two, or if nothing has one element.
    """
    source = Source(text.replace(";", "\n"))
    names: dict[str, Expression] = dict(givens)
    parser = Parser(source, tokens(source), names)
    parser.skip_lines()
    statements: list[Statement] = []
    while parser.here.kind != "end":
        start = parser.here
        assignment = parser.assignment()
        if not isinstance(assignment.target, Name):
            raise source.error("a statement defines a name", start)
        if start.text in names:
            raise source.error(f"'{start.text}' is defined already", start)
        formula = Builder(source, names).expression(assignment.formula)
        statement = Statement(start.text, formula, f"line {start.line}")
        statements.append(statement)
        names[start.text] = statement.symbol
    losses = [s.name for s in statements if all(n == 1 for n in s.formula.shape)]
    if not losses:
        raise source.error(
            "nothing here has one element, so nothing can be the loss", parser.here,
            "sum(x) adds down the columns; sum(x, axis=all) adds all elements.",
        )  # fmt: skip
    return Program(tuple(givens.values()), tuple(statements), losses[-1])
