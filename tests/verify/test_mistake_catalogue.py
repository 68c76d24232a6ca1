"""The catalogue of mistakes: each example is recognised, what is right stays unnamed, and the page is fresh."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.notation.language.syntax import Syntax
from chainrule.notation.language.tokens import Source, tokens
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Expression, Number, Symbol, call
from chainrule.symbolic.program import Derivation, Program, Statement
from chainrule.verify import derivation as verified
from chainrule.verify.mistakes.catalogue import MISTAKES, Mistake
from chainrule.verify.mistakes.match import Diagnosis, explain_error
from chainrule.verify.mistakes.misfit import Lenient
from chainrule.verify.mistakes.page import page
from chainrule.verify.mistakes.pattern import agree

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"

Formula = Callable[[Mapping[str, Symbol]], Expression]


# ---- the catalogue ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_the_example_of_a_mistake_is_named_as_it(mistake: Mistake) -> None:
    (claim,) = verified(text=mistake.example).claims
    assert claim.verdict == "wrong"
    assert claim.mistake is not None
    assert mistake.name in {claim.mistake.name, *[other.name for other in claim.mistake.also]}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_a_mistake_is_described_in_both_languages(mistake: Mistake) -> None:
    for said in (mistake.title, mistake.summary, mistake.mend):
        assert said("en")
        assert any("\u4e00" <= letter <= "\u9fff" for letter in said("zh"))


def test_names_of_mistakes_are_distinct() -> None:
    assert len({m.name for m in MISTAKES}) == len(MISTAKES)


def test_the_page_of_mistakes_is_what_the_catalogue_says() -> None:
    assert PAGE.read_text("utf-8") == page(), "run python -m chainrule.verify.mistakes.page > docs/mistakes.md"


# ---- the matcher on programs built by hand ------------------------------------------------------------------------


def layers(width: int = 3, hidden: int = 3) -> Program:
    """x -> tanh -> sigmoid -> 1/2 sum (a2 - t)^2."""
    givens = [("x", (width, 1)), ("t", (width, 1)), ("W1", (hidden, width)), ("b1", (hidden, 1)),
              ("W2", (width, hidden)), ("b2", (width, 1))]  # fmt: skip
    return program(
        [Symbol(name, shape) for name, shape in givens],
        {
            "z1": lambda q: call("matmul", q["W1"], q["x"]) + q["b1"],
            "a1": lambda q: call("tanh", q["z1"]),
            "z2": lambda q: call("matmul", q["W2"], q["a1"]) + q["b2"],
            "a2": lambda q: call("sigmoid", q["z2"]),
            "L": lambda q: Number(Fraction(1, 2)) * call("sum", call("pow", q["a2"] - q["t"], 2)),
        },
    )


def program(givens: list[Symbol], formulas: Mapping[str, Formula]) -> Program:
    known = {g.name: g for g in givens}
    statements = []
    for name, formula in formulas.items():
        statement = Statement(name, formula(known))
        known[name] = statement.symbol
        statements.append(statement)
    return Program(tuple(givens), tuple(statements), "L")


def drawn(right: Derivation, how_many: int = 3) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(how_many):
        givens = {g.name: rng.normal(size=g.shape) for g in right.program.givens}
        draws.append(right.values(right.program.values(givens)))
    return draws


def diagnosed(
    made: Program, name: str, claim: Callable[[dict[str, Any]], Any], known: tuple[str, ...] = (), **options: Any
) -> Diagnosis:
    right = Derivation(made)
    draws = drawn(right)
    return explain_error(right, name, frozenset(known), [np.asarray(claim(d)) for d in draws], draws, **options)


def test_the_ratio_betrays_the_printed_recursion() -> None:
    """The slip of article A3: a for sigma'(z); wrong / right is 1 / (1 - a)."""
    found = diagnosed(layers(), "z2", lambda d: d["dL/da2"] * d["a2"], ("a2",))
    assert found.matches[0].name == "activation for its derivative"
    assert found.ratio is not None
    assert found.ratio.replace(" ", "") == "1/(1-a2)"


def test_a_claim_that_inlines_steps_is_mutated_at_every_step() -> None:
    found = diagnosed(layers(), "W1", lambda d: (d["W2"].T @ (d["a2"] - d["t"]) * (1 - d["a1"] ** 2)) @ d["x"].T)
    assert found.matches[0].name == "dropped factor"
    assert found.matches[0].slips[0].quantity == "z2"


def test_an_error_outside_the_catalogue_has_no_name() -> None:
    found = diagnosed(layers(), "z2", lambda d: d["dL/da2"] * np.cosh(d["a2"] - 0.3), ("a2",))
    assert found.matches == ()
    assert found.seen.kind == "none"


def test_two_common_mistakes_at_once_are_both_named() -> None:
    found = diagnosed(layers(), "z1", lambda d: -(d["W2"] @ d["dL/dz2"]) * (1 - d["a1"] ** 2), ("z2",))
    assert set(found.matches[0].names) == {"missing transpose", "wrong sign"}


def test_the_learning_rate_of_updated_weights_is_found() -> None:
    found = diagnosed(layers(), "a1", lambda d: (d["W2"] - 0.05 * d["dL/dW2"]).T @ d["dL/dz2"], ("z2",))
    assert found.matches[0].name == "weights after the update"
    rates = [part.value for part in parts(found.matches[0].mutated) if isinstance(part, Number)]
    assert rates == [pytest.approx(0.05)]


def parts(formula: Expression) -> list[Expression]:
    return [formula, *[one for part in formula.parts for one in parts(part)]]


def test_a_match_gives_the_claimed_values_on_every_draw() -> None:
    right = Derivation(layers())
    draws = drawn(right)
    claimed = [d["dL/dz2"] @ d["z1"].T for d in draws]
    found = explain_error(right, "W2", frozenset({"z2"}), claimed, draws, None)
    for value, draw in zip(claimed, draws, strict=True):
        assert agree(evaluate(found.matches[0].mutated, draw), value, 1e-12)


def test_a_fit_on_some_draws_only_is_no_match() -> None:
    right = Derivation(layers())
    draws = drawn(right)
    claimed = [2 * d["dL/da2"] for d in draws]
    claimed[-1] = 3.7 * draws[-1]["dL/da2"]
    assert explain_error(right, "a2", frozenset(), claimed, draws, None).matches == ()


def test_values_that_are_not_finite_have_a_pattern_and_no_name() -> None:
    found = diagnosed(layers(), "z2", lambda d: np.full((3, 1), np.nan))
    assert (found.matches, found.seen.kind) == ((), "not finite")


def test_different_mistakes_that_fit_are_called_ambiguous() -> None:
    """Where t is a1 on all draws, the two cannot be told apart: the caller draws more."""
    right = Derivation(layers())
    draws = [{**d, "t": d["x"]} for d in drawn(right)]
    claimed = [d["dL/dz2"] @ d["x"].T for d in draws]
    found = explain_error(right, "W2", frozenset({"z2"}), claimed, draws, None)
    assert {"target for prediction", "previous activation of the wrong layer"} <= {m.name for m in found.matches}
    assert found.ambiguous


def test_a_slip_in_one_term_of_a_product_multiplied_out_is_found_from_its_spelling() -> None:
    made = layers()
    q = made.symbols
    slope = q["a2"] * (1 - q["a2"])
    spelling = q["a2"] * slope - q["t"] * q["a2"]
    right = Derivation(made)
    draws = drawn(right)
    claimed = [evaluate(spelling, d) for d in draws]
    assert explain_error(right, "z2", frozenset(), claimed, draws, None).matches == ()
    found = explain_error(right, "z2", frozenset(), claimed, draws, spelling)
    assert found.matches[0].name == "activation for its derivative"


def test_infinite_values_agree_with_nothing() -> None:
    assert not agree(np.array([np.inf, 1.0]), np.array([2.0, 1.0]), 1e-9)


# ---- claims whose shapes do not fit -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "text", "name"),
    [
        ("a1", "W2 @ dLz2", "missing transpose"),
        ("W1", "x.T @ dLz1", "swapped factors"),
        ("a1", "W1.T @ dLz2", "W of the wrong layer"),
    ],
)
def test_a_claim_whose_shapes_do_not_fit_is_mended_to_name_its_mistake(quantity: str, text: str, name: str) -> None:
    made = layers(width=2, hidden=4)
    right = Derivation(made)
    draws = drawn(right)
    names: dict[str, Expression] = {**made.symbols, **{f"dL{n}": right.named(n) for n in ("z1", "z2")}}
    spelling = Lenient(Source(text), names).expression(syntax(text, names))
    nothing = [np.asarray(np.nan) for _ in draws]
    found = explain_error(right, quantity, frozenset({"z1", "z2"} - {quantity}), nothing, draws, spelling)
    assert name in {m.name for m in found.matches}


def syntax(text: str, names: Mapping[str, Expression]) -> Syntax:
    from chainrule.notation.language.parser import Parser

    source = Source(text)
    return Parser(source, tokens(source), names).comparison()


# ---- patterns -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "kind", "said"),
    [
        (lambda d: -3 * d["dL/dW2"], "constant ratio", "-3"),
        (lambda d: -d["dL/dW2"], "constant ratio", "opposite sign"),
        (lambda d: d["dL/dW2"].T, "transposed", "transposed"),
        (lambda d: 0 * d["dL/dW2"], "zero", "0 times"),
        (lambda d: d["dL/dW2"] * (1 - d["a2"]), "ratio", "1 - a2"),
        (lambda d: d["dL/dW2"] + 0.25, "constant difference", "0.25"),
        (lambda d: np.where(d["z2"] > 0, d["dL/dW2"], 0), "zero where", "z2 <= 0"),
        (lambda d: np.where(d["z2"] > 0, d["dL/dW2"], 7), "some elements", "z2 <= 0"),
        (lambda d: d["dL/dW2"][:1], "shape", ""),
    ],
)
def test_the_pattern_of_an_error_is_seen(claim: Callable[[dict[str, Any]], Any], kind: str, said: str) -> None:
    found = diagnosed(layers(), "W2", claim, ("z2",))
    assert found.seen.kind == kind
    assert said in found.seen.text("en")
    assert bool(found.seen.text("zh")) is bool(said)
