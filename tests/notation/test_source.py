"""A formula written for a derivation file means the same when it is read back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from random_formulas import FORMULAS

from chainrule.errors import UnsupportedError
from chainrule.notation.language.builder import Builder
from chainrule.notation.language.parser import Parser
from chainrule.notation.language.tokens import Source, tokens
from chainrule.notation.source import source
from chainrule.ops.catalogue import CATALOGUE
from chainrule.symbolic.differentiate import slope_of
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Expression, Number, Symbol, call, kept, symbols

W3, D3, A2, Z2 = Symbol("W3", (2, 3)), Symbol("dL/dz3", (2, 1)), Symbol("a2", (3, 1)), Symbol("z2", (3, 1))


def read(text: str, names: dict[str, Symbol]) -> Expression:
    def rate(of: str, by: str) -> Expression | None:
        return names.get(f"d{of}/d{by}")

    made = Source(text)
    known = {name: s for name, s in names.items() if "/" not in name} | {"L": Symbol("L")}
    return Builder(made, known, rate).expression(Parser(made, tokens(made), known).comparison())


@settings(max_examples=150, deadline=None)
@given(FORMULAS)
def test_what_is_written_reads_back_to_the_same_value(formula: Expression) -> None:
    names = symbols(formula)
    assume(names)
    rng = np.random.default_rng(0)
    values = {name: rng.uniform(0.5, 1.5, s.shape) for name, s in names.items()}
    back = read(source(formula), names)
    with np.errstate(all="ignore"):
        expected, got = evaluate(formula, values), evaluate(back, values)
    np.testing.assert_allclose(np.broadcast_to(got, expected.shape), expected, rtol=1e-9, atol=1e-12)


def test_matrix_and_elementwise_products_are_kept_apart() -> None:
    step = call("matmul", call("mT", W3), D3) * A2 * (1 - A2)
    assert source(step) == "(W3.T @ dL/dz3) * A2 * (1 - A2)".replace("A2", "a2")
    assert source(call("matmul", W3, A2 * Z2)) == "W3 @ (a2 * z2)"
    assert source(slope_of(CATALOGUE["sigmoid"], Z2, {})) == "sigmoid'(z2)"


def test_axes_are_always_written() -> None:
    x = Symbol("x", (3, 4))
    assert source(call("sum", x)) == "sum(x, axis=all)"
    assert source(call("sum", x, axis=(1,), keepdims=True)) == "sum(x, axis=1)"
    assert source(call("softmax", x, axis=0)) == "softmax(x, axis=0)"
    assert source(call("sum", x, axis=(0, 1))) == "sum(x, axis=[0, 1])"


def test_a_matrix_full_of_one_number_is_written_with_its_size() -> None:
    assert source(Number(0, (3, 1))) == "zeros(3, 1)"
    assert source(Number(-0.5, (2, 3))) == "-0.5 * ones(2, 3)"


def test_what_the_notation_cannot_say_raises() -> None:
    with pytest.raises(UnsupportedError, match="no name for"):
        source(kept(call("layer_norm", Symbol("x", (2, 3))))[0])
    with pytest.raises(UnsupportedError, match="no index"):
        source(call("slice", Symbol("x", (4, 1)), key=(slice(None, None, 2),)))
    with pytest.raises(UnsupportedError, match="no number 'inf'"):
        source(Number(float("inf")) * Symbol("a"))
