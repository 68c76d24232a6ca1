"""Every formula can be typeset, under every convention, for every target: balanced, well-formed, as wide as asked."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any
from xml.etree import ElementTree

import numpy as np
from catalogue_points import Point, all_points, at
from hypothesis import given, settings
from hypothesis import strategies as st
from random_formulas import FORMULAS, N

from chainrule.errors import UnsupportedError
from chainrule.notation.boxes import Chain, Identifier, Text
from chainrule.notation.conventions import PRESETS
from chainrule.notation.mathml import mathml
from chainrule.notation.plain import cells, plain
from chainrule.notation.tex import tex
from chainrule.notation.typeset import typeset
from chainrule.report.markup import checked_mathml
from chainrule.report.values import printable
from chainrule.symbolic.differentiate import cotangents
from chainrule.symbolic.expression import Expression, Symbol, call, symbols, walk
from chainrule.tensor.arrays import dtype_of

COMMANDS = frozenset(
    [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "zeta",
        "eta",
        "theta",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "pi",
        "rho",
        "sigma",
        "tau",
        "phi",
        "chi",
        "psi",
        "omega",
        "ell",
        "partial",
        "mathbf",
        "mathrm",
        "operatorname",
        "text",
        "frac",
        "sqrt",
        "hat",
        "left",
        "right",
        "underset",
        "begin",
        "end",
        "cdot",
        "odot",
        "times",
        "le",
        "ge",
        "ne",
        "land",
        "lor",
        "veebar",
        "lnot",
        "sum",
        "prod",
        "prime",
        "cdots",
        "vdots",
        "ddots",
        "qquad",
        "infty",
        "top",
        "lfloor",
        "rfloor",
        "lceil",
        "rceil",
        "textbackslash",
        "textless",
        "textgreater",
        "textbar",
        "dots",
        "textasciitilde",
        "textasciicircum",
        "exp",
        "log",
        "sin",
        "cos",
        "tan",
        "sinh",
        "cosh",
        "tanh",
        "max",
        "min",
    ]
)


def check_tex(text: str) -> None:
    """Braces, environments and \\left ... \\right close in order; every command is one that amsmath knows."""
    open_: list[str] = []
    for token in re.findall(r"\\begin\{\w+\}|\\end\{\w+\}|\\left|\\right|\\[A-Za-z]+|\\.|[{}]|.", text, re.DOTALL):
        if token.startswith(r"\begin"):
            open_.append(token[7:-1])
        elif token.startswith(r"\end"):
            assert open_.pop() == token[5:-1], text
        elif token in ("{", r"\left"):
            open_.append(token)
        elif token in ("}", r"\right"):
            assert open_.pop() == {"}": "{", r"\right": r"\left"}[token], text
        elif re.fullmatch(r"\\[A-Za-z]+", token):
            assert token[1:] in COMMANDS, token
    assert not open_, text
    assert not re.search(r"\^\{[^{}]*\}\^|_\{[^{}]*\}_", text), text  # a double superscript does not compile


def check(formula: Expression, values: dict[str, Any], *presets: str) -> None:
    for name in presets:
        for given_values in (None, values):
            box = typeset(formula, PRESETS[name], given_values)
            check_tex(tex(box))
            checked_mathml(mathml(box))
            lines = plain(box, 60).splitlines()
            assert lines
            assert all(line.isprintable() and line == line.rstrip() for line in lines)


@at([p for p in all_points("typical") if p.number == 1 and p.op.result != "parameter" and p.op.kind.name != "update"])
def test_an_operator_and_its_gradients_are_typeset_for_every_target(point: Point) -> None:
    inputs = point.inputs()
    values = {f"x{i}": x for i, x in enumerate(inputs) if isinstance(x, np.ndarray)}
    given_ = [Symbol(f"x{i}", x.shape, dtype_of(x.dtype)) if f"x{i}" in values else x for i, x in enumerate(inputs)]
    formula = call(point.op.name, *given_, **point.params)
    check(formula, values, "article1", "pytorch")
    try:
        gradients = cotangents(formula, Symbol("g", formula.shape), list(values), Symbol("y", formula.shape))
    except UnsupportedError:
        return
    for gradient in gradients.values():
        if len(list(islice(walk(gradient), 300))) < 300:  # the formula of a whole LSTM is no formula to read
            check(gradient, {}, "article1")


@settings(max_examples=60, deadline=None)
@given(FORMULAS)
def test_any_formula_is_typeset_for_every_target(formula: Expression) -> None:
    values = {name: np.full(s.shape, -0.25) for name, s in symbols(formula).items()}
    check(formula, values, *PRESETS)


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=12))
def test_any_name_is_escaped_for_every_target(name: str) -> None:
    box = Chain(Identifier(name), (Text(name),))
    check_tex(tex(box))
    text = mathml(box)
    shown = [e.text for e in ElementTree.fromstring(text).iter() if e.tag.endswith("mtext")]
    assert shown == [printable(name)]


def test_a_line_that_is_too_long_is_broken_at_its_signs() -> None:
    terms = [Symbol(f"W{i}", (N, N)) for i in range(2, 12)]
    total: Expression = terms[0]
    for term in terms[1:]:
        total = total + term * term
    for width in (20, 40, 80):
        lines = plain(typeset(total, PRESETS["article1"]), width).splitlines()
        assert max(map(cells, lines)) <= width
        assert "".join(lines).count("⊙") == 9


def test_a_chinese_character_takes_two_cells() -> None:
    assert cells("损失 L") == 6
    assert cells("ŷ") == cells("y\N{COMBINING CIRCUMFLEX ACCENT}") == 1
