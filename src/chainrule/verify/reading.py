"""Derivation files: `given`, `forward` and `claims`, read into a Problem.

given
  x  = [0.5, 0.1]                    # a list is a column vector
  W2 = random(3, 2, seed=1)
forward
  z2 = W2 @ x
  L  = 1/2 * sum(z2**2)
claims
  dL/dz2 = z2
"""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np

from chainrule.errors import ChainruleError, NotationError
from chainrule.notation.language.builder import Builder, element, sizes
from chainrule.notation.language.latex import Layers, claims_of
from chainrule.notation.language.parser import Parser
from chainrule.notation.language.syntax import (
    Applied,
    Assignment,
    Binary,
    Indexed,
    Listed,
    Name,
    Negative,
    Rate,
    Syntax,
    Transposed,
)  # fmt: skip
from chainrule.notation.language.tokens import Source, Token, tokens
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Call, Expression, Number, Symbol, symbols, walk
from chainrule.symbolic.program import Program, Statement
from chainrule.verify.draws import Array, Given, literal_given, random_given
from chainrule.verify.mistakes.misfit import Lenient
from chainrule.verify.problem import Claim, Printed, Problem, Rates, Target

SECTIONS = ("given", "forward", "claims")

LARGEST = 1_000_000
"""So many characters a file may have."""


def problem(text: str) -> Problem:
    """What a derivation file says.

    Raises:
        NotationError: for a section that is missing, a line that cannot be read, an unknown name, a forward part that
            cannot be computed. A claim that cannot be computed for its shapes is a wrong claim, not an error.
    """
    return Reader(text).problem()


class Reader:
    """Reads one file, section by section."""

    def __init__(self, text: str) -> None:
        self.source = Source(text)
        plain, self.latex = without_latex(text)
        if len(text) > LARGEST:
            raise NotationError(f"the file has {len(text)} characters, more than {LARGEST}", line=1, column=1)
        self.names: dict[str, Expression] = {}
        self.pending: list[Pending] = []
        self.sizes: set[str] = set()
        self.statements: list[Statement] = []
        self.parser = Parser(self.source, tokens(Source(plain)), self.names)

    def problem(self) -> Problem:
        self._section("given")
        assignments = self._assignments(Name)
        self._section("forward")
        for assignment in assignments:
            self._define_given(assignment)
        while not self._at_section() and self.parser.here.kind != "end":
            self._define(self.parser.assignment())
        givens = tuple([Symbol(p.name, p.value.shape) for p in self.pending])
        program = Program(givens, tuple(self.statements), self._loss())
        self._section("claims")
        claimed = self._assignments(Rate, Name, Indexed)
        layers = Layers(program.symbols, program.loss)
        claimed += [one for line, text in self.latex.items() for one in claims_of(text, line, layers)]
        claimed.sort(key=lambda assignment: assignment.line)
        if not claimed:
            raise self.source.error("nothing is claimed", self.parser.here, "Write what you derived: dL/dz2 = ...")
        return self._claims(program, claimed)

    # ---- sections -----------------------------------------------------------------------------------------

    def _at_section(self) -> bool:
        return self._section_here() is not None

    def _section_here(self) -> str | None:
        """The section that starts here: its name alone on a line."""
        here, following = self.parser.here, self.parser.tokens[min(self.parser.place + 1, len(self.parser.tokens) - 1)]
        alone = following.kind in ("newline", "end") or following.text == ":"
        word = here.text.lower()
        return word if word in SECTIONS and alone else None

    def _section(self, name: str) -> None:
        self.parser.skip_lines()
        found = self._section_here()
        if found != name:
            what = f"the section '{found}' stands" if found else f"{self.parser.here} stands"
            raise self.source.error(
                f"the section '{name}' is missing: {what} here",
                self.parser.here,
                "A derivation has the sections given, forward and claims, each word on a line of its own.",
            )
        self.parser.take()
        if self.parser.here.text == ":":
            self.parser.take()
        self.parser.end_of_line()

    def _assignments(self, *targets: type) -> list[Assignment]:
        found: list[Assignment] = []
        while not self._at_section() and self.parser.here.kind != "end":
            start = self.parser.here
            assignment = self.parser.assignment()
            if not isinstance(assignment.target, targets):
                raise self.source.error("a given is a name with a value: x = [0.5, 0.1]", start)
            found.append(assignment)
            if targets == (Name,):  # what is defined decides what dL/dx may mean below
                self.names.setdefault(start.text, Symbol(start.text))
        return found

    # ---- given --------------------------------------------------------------------------------------------

    def _define_given(self, assignment: Assignment) -> None:
        name = self._fresh(assignment.target.at)
        syntax = assignment.formula
        if is_random(syntax):
            self._random(syntax, name.text)
            return
        named = self._random_parts_named(syntax, name.text)
        formula = Builder(self.source, self._known).expression(named)
        if symbols(formula):
            self._state(name, formula)
        else:
            self._add(Pending(name.text, evaluate(formula, {}).astype(np.float64), name.line))

    def _random(self, syntax: Applied, name: str) -> None:
        """A given of random numbers; sizes may be numbers given above."""
        counts: dict[str, Expression] = {
            p.name: Number(int(p.value.item())) for p in self.pending if p.seed is None and is_whole(p.value)
        }
        builder = Builder(self.source, counts)
        seed = None
        for word, value in syntax.keywords:
            if word.text != "seed":
                raise self.source.error(f"random has no parameter '{word.text}'; it takes seed", word)
            seed = builder.constant(value, "seed")
            if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
                raise self.source.error("a seed is a whole number, 0 or more", value.at)
        self.sizes |= {part.at.text for part in syntax.arguments if isinstance(part, Name)}
        given = random_given(name, sizes(builder, syntax), seed)
        self._add(Pending(name, given.value, syntax.at.line, given.seed))

    def _random_parts_named(self, syntax: Syntax, name: str) -> Syntax:
        """The formula with a name for each of its random parts, which become givens of their own."""

        def named(part: Syntax) -> Syntax:
            match part:
                case Applied() if is_random(part):
                    own = f"{name}_{len(self.pending) + 1}"
                    self._random(part, own)
                    return Name(replace(part.at, kind="name", text=own))
                case Applied(arguments=arguments):
                    return replace(part, arguments=tuple([named(a) for a in arguments]))
                case Negative(operand=operand) | Transposed(operand=operand) | Indexed(operand=operand):
                    return replace(part, operand=named(operand))
                case Binary(left=left, right=right):
                    return replace(part, left=named(left), right=named(right))
                case Listed(items=items):
                    return replace(part, items=tuple([named(item) for item in items]))
            return part

        return named(syntax)

    def _add(self, pending: Pending) -> None:
        self.pending.append(pending)
        self.names[pending.name] = Symbol(pending.name, pending.value.shape)

    def _givens(self, program: Program) -> tuple[Given, ...]:
        """The givens with their natures, which follow from their numbers and from how they are used."""
        counts = {name for name in program.symbols if name in self.sizes or counts_something(program, name)}
        return tuple(
            [
                Given(p.name, p.value, "random", p.seed)
                if p.seed is not None
                else literal_given(
                    p.name, p.value, is_label=enters_late(program, p.name, counts), is_count=p.name in counts
                )
                for p in self.pending
            ]
        )

    # ---- forward ------------------------------------------------------------------------------------------

    def _define(self, assignment: Assignment) -> None:
        name = self._fresh(assignment.target.at)
        if not isinstance(assignment.target, Name):
            raise self.source.error("the forward part defines names; derivatives stand in claims", assignment.target.at)
        self._state(name, Builder(self.source, self._known).expression(assignment.formula))

    def _state(self, name: Token, formula: Expression) -> None:
        statement = Statement(name.text, formula, f"line {name.line}")
        self.statements.append(statement)
        self.names[name.text] = statement.symbol

    @property
    def _known(self) -> dict[str, Expression]:
        """What a formula may read here: all that is defined above it."""
        defined = {p.name for p in self.pending} | {s.name for s in self.statements}
        return {name: symbol for name, symbol in self.names.items() if name in defined}

    def _fresh(self, name: Token) -> Token:
        if name.text in self._known:
            raise self.source.error(f"'{name.text}' is defined already", name, "Give it another name.")
        return name

    def _loss(self) -> str:
        scalars = [s.name for s in self.statements if all(n == 1 for n in s.formula.shape)]
        if not scalars:
            last = self.statements[-1] if self.statements else None
            shown = f"'{last.name}' has {' x '.join(map(str, last.formula.shape))} elements" if last else "it is empty"
            raise self.source.error(
                f"the forward part ends without a loss, a quantity of one element: {shown}", self.parser.here,
                "sum(x) adds down the columns; sum(x, axis=all) adds all elements.",
            )  # fmt: skip
        return scalars[-1]

    # ---- claims -------------------------------------------------------------------------------------------

    def _claims(self, program: Program, assignments: list[Assignment]) -> Problem:
        rates = Rates(program)
        builder = Builder(self.source, program.symbols, rates.symbol)
        targets = [target_of(self.source, rates, assignment.target) for assignment in assignments]
        claims: dict[int, Claim] = {}
        factors_first = sorted(range(len(targets)), key=lambda i: targets[i].of == program.loss)
        for i in factors_first:
            claims[i] = self._claim(builder, rates, targets[i], assignments[i])
        unused = tuple(
            [(p.name, p.line) for p in self.pending if not program.users[p.name] and p.name not in self.sizes]
        )
        ordered = tuple([claims[i] for i in range(len(targets))])
        return Problem(program, self._givens(program), ordered, unused)

    def _claim(self, builder: Builder, rates: Rates, target: Target, assignment: Assignment) -> Claim:
        at, formula = assignment.target.at, assignment.formula
        text = self._text(assignment)
        error: NotationError | None = None
        expression: Expression | None = None
        misfit: Expression | None = None
        try:
            expression = builder.expression(formula)
        except NotationError as refused:
            if refused.__cause__ is None:  # not a matter of shapes: the file cannot be read
                raise
            error = refused
            with suppress(NotationError):  # what has no formula even so gets no name
                misfit = Lenient(self.source, rates.program.symbols, rates.symbol).expression(formula)
        if expression is not None and target.of != rates.program.loss and target.places is None:
            rates.shape_of_factor(target, expression.shape)
        return Claim(target, text, at.line, at.column, expression, Printed.read(formula), error, misfit)

    def _text(self, assignment: Assignment) -> str:
        line = self.source.lines[assignment.line - 1].split("#")[0]
        return " ".join(line.split())


def target_of(source: Source, rates: Rates, syntax: Syntax) -> Target:
    """What a claim is about: dL/dz2, delta2, d(a2)/d(z2), dL/dW2[0, 1].

    Raises:
        NotationError: for what is not a derivative, or an element that it does not have.
    """
    places = syntax.places if isinstance(syntax, Indexed) else None
    whole = syntax.operand if isinstance(syntax, Indexed) else syntax
    if isinstance(whole, Name) and not whole.at.text.startswith("delta"):
        mend = "A claim is dL/dNAME = formula."
        if whole.at.text in rates.program.symbols:
            mend = f"The formula of its derivative is claimed as d{rates.program.loss}/d{whole.at.text} = formula."
        raise source.error(f"{whole.at} is not a derivative", whole.at, mend)
    if not isinstance(whole, Rate | Name):
        raise source.error("a claim is about one derivative: dL/dNAME = formula", syntax.at)
    symbol = Builder(source, rates.program.symbols, rates.symbol).expression(whole)
    if not isinstance(symbol, Symbol):
        raise source.error("the derivative of a quantity by itself is 1: there is nothing to claim", syntax.at)
    if places is not None:
        try:
            element(symbol, places)
        except ChainruleError as refused:
            raise source.error(refused.what, syntax.at) from refused
    return Target(*rates.names(symbol.name), places)


def parsed(text: str, names: Container[str]) -> tuple[Source, Syntax]:
    """One formula.

    Raises:
        NotationError: for what is not one.
    """
    source = Source(text)
    parser = Parser(source, tokens(source), names)
    syntax = parser.comparison()
    parser.end_of_line()
    if parser.here.kind != "end":
        raise source.error("one formula was expected", parser.here)
    return source, syntax


@dataclass(frozen=True)
class Pending:
    """A given whose nature is not known yet; `seed` is that of a random one."""

    name: str
    value: Array
    line: int
    seed: int | None = None


def without_latex(text: str) -> tuple[str, dict[int, str]]:
    """The text with empty lines for those in LaTeX, which are those with a backslash; and these, by their numbers."""
    lines = text.split("\n")
    latex = {i: line for i, line in enumerate(lines, start=1) if "\\" in line.split("#")[0]}
    return "\n".join(["" if i in latex else line for i, line in enumerate(lines, start=1)]), latex


def is_random(syntax: Syntax) -> TypeGuard[Applied]:
    """True for random(...)."""
    return isinstance(syntax, Applied) and syntax.at.text == "random"


def is_whole(x: Array) -> bool:
    """True for one whole number."""
    return x.size == 1 and float(x.item()).is_integer()


def counts_something(program: Program, name: str) -> bool:
    """True for a quantity that something is divided by, or that is an exponent."""
    return any(
        isinstance(one, Call) and one.op.name in ("div", "pow") and name in symbols(one.parts[1])
        for statement in program.users[name]
        for one in walk(statement.formula)
    )


def enters_late(program: Program, name: str, counts: Container[str]) -> bool:
    """True for what a label is: it enters the loss itself, or a step in which no other given stands beside it."""
    givens = {g.name for g in program.givens}
    users = program.users[name]
    return bool(users) and all(
        user.name == program.loss
        or all(other == name or other in counts or other not in givens for other in symbols(user.formula))
        for user in users
    )
