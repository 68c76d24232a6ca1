"""Derivation files: what they say, and what is refused with a line and a column."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chainrule.errors import DataError, NotationError
from chainrule.symbolic.expression import Number, Slope, walk
from chainrule.symbolic.simplify import is_call
from chainrule.verify.data import Data
from chainrule.verify.judge import Judge
from chainrule.verify.reading import problem

GIVEN = """given
  x = [0.5, 0.1]
  t = [1, 0]
  W = random(2, 2, seed=1)
"""
FORWARD = """forward
  z = W @ x
  a = sigmoid(z)
  L = 1/2 * sum((a - t)**2)
"""


def claimed(claims: str, given: str = GIVEN, forward: str = FORWARD) -> str:
    return f"{given}{forward}claims\n  {claims}\n"


def refused(text: str) -> NotationError:
    with pytest.raises(NotationError) as caught:
        problem(text)
    return caught.value


def test_a_list_is_a_column_and_nested_lists_are_rows() -> None:
    found = problem(claimed("dL/dW = dL/dz @ x.T", given=GIVEN + "  M = [[1, 2], [3, 4]]\n"))
    shapes = {g.name: g.value.shape for g in found.givens}
    assert shapes == {"x": (2, 1), "t": (2, 1), "W": (2, 2), "M": (2, 2)}


def test_products_of_both_kinds_bind_alike_from_left_to_right() -> None:
    found = problem(claimed("dL/dx = W.T @ dL/dz * 2 @ ones(1, 1)"))
    outer = found.claims[0].formula
    assert is_call(outer, "matmul")
    assert is_call(outer.parts[0], "mul")


def test_ratios_of_integers_are_exact() -> None:
    found = problem(claimed("dL/da = (1/3) * 3 * (a - t)"))
    assert found.claims[0].formula is not None
    assert Number(1) in walk(found.claims[0].formula)


@pytest.mark.parametrize("spelling", ["sigmoid'(z)", "dsigmoid(z)", "sigma'(z)", "σ'(z)", "σ′(z)"])
def test_a_slope_has_several_spellings(spelling: str) -> None:
    formula = problem(claimed(f"da/dz = {spelling}")).claims[0].formula
    assert isinstance(formula, Slope)


@pytest.mark.parametrize("spelling", ["dL/dz", "δ", "∂L/∂z", "d(L)/d(z)"])
def test_a_rate_has_several_spellings(spelling: str) -> None:
    if spelling == "δ":
        text = claimed(
            "delta1 = (a1 - t) * σ'(z1)",
            forward=FORWARD.replace("z ", "z1 ").replace("(z)", "(z1)").replace("a ", "a1 ").replace("a -", "a1 -"),
        )
        assert problem(text).claims[0].target.name == "dL/dz1"
        return
    found = problem(claimed(f"dL/dW = {spelling} @ x.T"))
    assert found.claims[0].formula is not None
    assert found.claims[0].formula.parts[0].name == "dL/dz"  # type: ignore[attr-defined]


def test_the_loss_may_have_any_name_and_is_the_last_scalar() -> None:
    text = claimed("dcost/da = a - t", forward=FORWARD.replace("L =", "cost =") + "  extra = 2 * a\n")
    assert problem(text).program.loss == "cost"


def test_reductions_run_down_the_columns_unless_an_axis_is_given() -> None:
    batch = "given\n  X = random(3, 4)\nforward\n  s = sum(X)\n  L = sum(s, axis=all)\nclaims\n"
    shapes = {s.name: s.formula.shape for s in problem(batch + "  dL/ds = ones(1, 4)\n").program.statements}
    assert shapes == {"s": (1, 4), "L": ()}
    assert problem(batch.replace("sum(X)", "sum(X, axis=1)") + "  dL/ds = ones(3)\n").program.symbols["s"].shape == (
        3,
        1,
    )


def test_random_without_a_seed_follows_from_the_name() -> None:
    text = "given\n  {} = random(3)\nforward\n  L = sum({}**2)\nclaims\n  dL/d{} = 2*{}\n"
    a, again, b = (problem(text.format(*[n] * 4)).givens[0].value for n in ("a", "a", "b"))
    np.testing.assert_array_equal(a, again)
    assert not np.array_equal(a, b)


def test_a_redraw_keeps_what_a_literal_plainly_is() -> None:
    found = problem(
        """given
  onehot = [0, 1, 0]
  p      = [0.2, 0.5, 0.3]
  n      = 3
  label  = 1
  x      = [1.5, -2.0, 0.25]
  w      = 1
forward
  q = softmax(w * x)
  y = sigmoid(sum(q * p) / n)
  L = (y - label)**2 - sum(onehot * log(q))
claims
  dL/dy = 2 * (y - label)
"""
    )
    assert {g.name: g.nature for g in found.givens} == {
        "onehot": "one-hot", "p": "probabilities", "n": "count", "label": "labels", "x": "numbers", "w": "numbers",
    }  # fmt: skip
    for number in (1, 2, 3):
        drawn = {g.name: g.drawn(number) for g in found.givens}
        assert sorted(drawn["onehot"].ravel()) == [0, 0, 1]
        assert drawn["p"].sum() == pytest.approx(1)
        assert drawn["n"] == 3
        assert drawn["label"] in (0, 1)
        assert (np.sign(drawn["x"]) == [[1], [-1], [1]]).all()
        assert drawn["w"] != 1


def test_a_redraw_that_is_not_finite_is_drawn_again() -> None:
    found = problem("given\n  x = [-0.999]\nforward\n  L = sum(log(1 + x))\nclaims\n  dL/dx = 1/(1 + x)\n")
    data = Data(found)
    assert data.has_redraws
    assert all(np.isfinite(point["L"]).all() for point in data.points)


def test_a_given_made_of_givens_is_computed() -> None:
    found = problem(claimed("dL/da = a - t", given=GIVEN.replace("random(2, 2, seed=1)", "0.1 * random(2, 2)")))
    assert [s.name for s in found.program.statements][:1] == ["W"]


def test_an_element_and_a_range_can_be_claimed() -> None:
    found = problem(claimed("dL/dW[0, 1] = dL/dz[0] * x[1]\n  dL/dz[0:1] = (a[0:1] - t[0:1]) * sigmoid'(z[0:1])"))
    assert [c.target.name for c in found.claims] == ["dL/dW[0, 1]", "dL/dz[0:1]"]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        (claimed("dL/dq = 1"), 10, 3, "no quantity is called 'q'"),
        (claimed("dL/dz = dL * a"), 10, 11, "dL on its own is not a quantity"),
        (claimed("dL/dz = (a - t"), 10, 11, "a parenthesis is not closed"),
        (claimed("dL/dz = a $ t"), 10, 13, "'\\$' has no meaning here"),
        (claimed("dL/dz = a.__class__"), 10, 12, "has no meaning here"),
        (claimed("dL/dz = foo(a)"), 10, 11, "no function is called 'foo'"),
        (claimed("dL/dz = exec(a)"), 10, 11, "no function is called 'exec'"),
        (claimed("dL/dz = __import__(a)"), 10, 11, "no function is called"),
        (claimed("dL/dz = a^2"), 10, 12, "a power is written"),
        (claimed("dL/dz = softmax(a, axis=0, bias=1)"), 10, 30, "has no parameter 'bias'"),
        (claimed("dL/dz ="), 10, 10, "the end of the line cannot stand here"),
        (claimed("a = t"), 10, 3, "is not a derivative"),
        (claimed("dL/dW[5, 0] = 1"), 10, 8, "outside an axis of size 2"),
        (claimed("dL/dz = a", forward=FORWARD.replace("W @ x", "W @ q")), 6, 11, "no quantity is called 'q'"),
        (claimed("dL/dz = a", forward=FORWARD.replace("W @ x", "x @ W")), 6, 9, "the shapes do not fit"),
        (claimed("dL/dz = a", forward=FORWARD.replace("W @ x", "W @ a")), 6, 11, "no quantity is called 'a'"),
        (claimed("dL/dz = a", given=GIVEN + "  x = 3\n"), 5, 3, "'x' is defined already"),
        (claimed("dL/dz = a", given=GIVEN + "  q = random(1000000, 1000000)\n"), 5, 7, "more than the 1000000"),
        (claimed("dL/dz = a", given=GIVEN + "  q = random(2, seed=-1)\n"), 5, 22, "a seed is a whole number"),
        (claimed("dL/dz = a", given=GIVEN + "  q = 9**9**9**9\n"), 5, None, "is not a number"),
        (GIVEN + FORWARD + "claims\n", 10, 1, "nothing is claimed"),
        (GIVEN + "claims\n  dL/dx = 1\n", 5, 1, "the section 'forward' is missing"),
        (GIVEN + "forward\n  z = W @ x\nclaims\n  dL/dz = 1\n", 7, 1, "ends without a loss"),
        ("hello", 1, 1, "the section 'given' is missing"),
        ("", 1, 1, "the section 'given' is missing"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_place(text: str, line: int, column: int | None, message: str) -> None:
    error = refused(text)
    assert re.search(message, error.reason), error.reason
    assert error.line == line
    if column is not None:
        assert error.column == column


@pytest.mark.parametrize(
    "formula",
    [
        "(" * 5000 + "a" + ")" * 5000,
        "-" * 5000 + "a",
        "+".join(["a"] * 5000),
        "a" + ".T" * 5000,
        "2**" * 5000 + "2",
        "[" * 500,
    ],
    ids=["parentheses", "signs", "terms", "transposes", "powers", "brackets"],
)
def test_hostile_depth_is_refused(formula: str) -> None:
    assert refused(claimed(f"dL/dz = {formula}")).line == 10


def test_a_formula_as_deep_as_allowed_is_judged() -> None:
    found = problem(claimed("dL/dz = " + "+".join(["a"] * 98)))
    assert Judge(found, Data(found)).judgements()[0].verdict == "wrong"


def test_a_long_file_is_refused_before_it_is_read() -> None:
    assert "characters" in refused("x" * 1_000_001).reason
    assert "longer than 100000 symbols" in refused(claimed("dL/dz = a") + "a " * 100_001).reason


def test_a_forward_part_that_is_not_finite_is_refused_by_name() -> None:
    found = problem("given\n  x = [-1.0]\nforward\n  y = log(x)\n  L = sum(y)\nclaims\n  dL/dy = 1\n")
    with pytest.raises(DataError, match=r"'y' \(line 4\) is not finite"):
        Data(found)
