"""The generator of the localisation benchmark: right claims agree with finite differences, planted ones do not.

The benchmark's figures are worth what its generator is worth, so it is tested without chainrule.verify.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from localisation import derivations, mistakes, scoring, strangers  # noqa: E402  (a folder beside src, not installed)
from localisation.evaluation import CannotDifferentiate, Truth, evaluate, finite_differences  # noqa: E402
from localisation.pieces import is_atom, matmul, negative, plus, times, turned, word, write  # noqa: E402

SAMPLE = 50


def truth_of(derivation: derivations.Derivation) -> Truth | None:
    """The true derivatives at fresh draws; nothing where kinks or rounding leave finite differences undecided."""
    names = tuple(name for name, _ in derivation.claims)
    try:
        return derivations.truth_of(np.random.default_rng(99), derivation.given, derivation.forward, names)
    except CannotDifferentiate:
        return None


@pytest.fixture(scope="module")
def correct() -> list[derivations.Derivation]:
    return [scoring.drawn(0, scoring.CORRECT, i) for i in range(SAMPLE)]


@pytest.fixture(scope="module")
def planted() -> list[derivations.Derivation]:
    return [scoring.drawn(0, scoring.PLANTED, i) for i in range(SAMPLE)]


def test_every_right_claim_agrees_with_finite_differences(correct: list[derivations.Derivation]) -> None:
    decided = 0
    for derivation in correct:
        truth = truth_of(derivation)
        if truth is None:
            continue
        decided += 1
        for name, text in derivation.claims:
            assert truth.difference(name, text).max() < derivations.RIGHT, f"d{derivation.loss}/d{name} = {text}"
    assert decided > 0.8 * SAMPLE


def test_every_planted_claim_differs_and_every_other_claim_agrees(planted: list[derivations.Derivation]) -> None:
    decided = 0
    for derivation in planted:
        truth = truth_of(derivation)
        if truth is None:
            continue
        decided += 1
        wrong = {mistake.claim for mistake in derivation.planted}
        for name, text in derivation.claims:
            difference = truth.difference(name, text)
            if f"d{derivation.loss}/d{name}" in wrong:
                # by other draws than the generator's: a dead relu may hide a mistake in some of them
                assert difference.max() > derivations.WRONG, text
            else:
                assert difference.max() < derivations.RIGHT, text
    assert decided > 0.8 * SAMPLE


def test_the_same_seed_and_index_give_the_same_text_and_others_do_not() -> None:
    for planted in (scoring.CORRECT, scoring.PLANTED):
        first, again = (scoring.drawn(3, planted, 5) for _ in range(2))
        assert first == again
        assert scoring.drawn(3, planted, 6).text != first.text
        assert scoring.drawn(4, planted, 5).text != first.text


def test_a_quarter_of_the_planted_mistakes_have_no_name(planted: list[derivations.Derivation]) -> None:
    drawn = [mistake for derivation in planted for mistake in derivation.planted]
    assert 0.15 < np.mean([mistake.stranger for mistake in drawn]) < 0.35
    assert all(mistake.accepted or mistake.both for mistake in drawn if not mistake.stranger)


def test_every_kind_of_mistake_finds_its_place_in_some_claim() -> None:
    drafts = [derivations.draw_draft(np.random.default_rng(i)) for i in range(SAMPLE)]
    for kind in (*mistakes.NAMED, *strangers.STRANGERS):
        assert any(
            next(mistakes.edited(kind, claim, mistakes.Place(draft.net, name, draft.symbols)), None)
            for draft in drafts
            for name, claim in draft.claims.items()
        ), kind.name


def test_no_stranger_has_the_name_of_a_known_mistake() -> None:
    assert not {kind.name for kind in mistakes.NAMED} & {kind.name for kind in strangers.STRANGERS}


def test_the_first_wrong_claim_depends_on_no_other_wrong_one() -> None:
    right = {"z3": "a3 - t", "W3": "dL/dz3 @ a2.T", "a2": "W3.T @ delta3", "b2": "dL/da2", "b3": "a3 - t"}
    assert derivations.first_of({"z3", "b2"}, right, right) == {"z3"}  # through dL/da2
    assert derivations.first_of({"z3", "b3"}, right, right) == {"z3", "b3"}
    updated = {**right, "a2": "(W3 - 0.1 * dL/dW3).T @ delta3"}  # a dependence that only the mistake has
    assert derivations.first_of({"W3", "a2"}, updated, right) == {"W3", "a2"}


def test_two_mistakes_have_a_first_one(planted: list[derivations.Derivation]) -> None:
    for derivation in planted:
        wrong = {mistake.claim for mistake in derivation.planted}
        assert derivation.first
        assert derivation.first <= wrong
    assert any(len(derivation.planted) == 2 for derivation in planted)
    assert any(mistake.both for derivation in planted for mistake in derivation.planted)


@pytest.mark.parametrize(("batch", "both"), [(2, True), (5, False)])
def test_a_name_for_the_same_number_is_accepted_too(batch: int, both: bool) -> None:
    """For a batch of 2, "factor 2" and "factor n" cannot be told apart: both names are right."""
    rng = np.random.default_rng(0)
    while True:
        draft = derivations.draw_draft(rng)
        if draft.net.batch == batch and "n" not in draft.net.shapes and "b2" in draft.claims:
            break
    truth = derivations.truth_of(rng, tuple(draft.net.given), draft.forward, tuple(draft.claims))
    names = derivations.explanations(rng, draft, truth, "b2", f"{batch} * ({draft.right['b2']})")
    assert "factor n" in names
    assert ("factor 2" in names) == both


# The tools of the generator -----------------------------------------------------------------------------------------


def test_finite_differences_of_a_quadratic_are_its_gradient() -> None:
    x = np.random.default_rng(0).standard_normal((3, 1, 2, 4))
    gradient, smooth = finite_differences((("y", "3 * x"), ("L", "sum(y**2, axis=all)")), {"x": x}, "x")
    np.testing.assert_allclose(gradient, 18 * x[:, 0], rtol=1e-9)  # 5 digits above the rounding of L / STEP
    assert smooth.all()


def test_finite_differences_report_a_kink() -> None:
    x = np.array([1e-5, 1.0]).reshape(2, 1, 1, 1)
    _, smooth = finite_differences((("L", "relu(x)"),), {"x": x}, "x")
    assert smooth.tolist() == [False, True]


def test_the_notation_reads_primes_deltas_masks_and_derivatives_as_one_symbol() -> None:
    values: dict[str, Any] = {name: np.full((1, 2, 1), k) for name, k in (("dL_dz2", 2.0), ("z2", 0.5))}
    values["delta_z2"] = values["dL_dz2"]
    assert evaluate("(dL/dz2 * (z2 > 0)).T", values).tolist() == [[[2.0, 2.0]]]
    assert evaluate("delta2 * tanh'(z2)", values)[0, 0, 0] == pytest.approx(2 * (1 - np.tanh(0.5) ** 2))
    with pytest.raises(ValueError, match="matmul"):
        evaluate("z2 @ delta2", values)


def test_writing_puts_parentheses_where_two_operators_meet() -> None:
    a, b, c = word("a"), word("b"), word("c")
    assert write(times(matmul(turned(a), b), plus(c, negative(a)))) == "(a.T @ b) * (c - a)"
    assert write(turned(plus(a, b))) == "(a + b).T"
    assert write(plus(a, negative(plus(b, c)))) == "a - (b + c)"
    assert write(negative(times(a, b))) == "-(a * b)"
    assert is_atom("dL/dz2")
    assert not is_atom("(a) * (b)")


# Scoring ------------------------------------------------------------------------------------------------------------


def result_that_knows(derivation: derivations.Derivation) -> SimpleNamespace:
    """The result of a verifier that makes no mistake."""
    planted = {mistake.claim: mistake for mistake in derivation.planted}
    claims = []
    for name, _ in derivation.claims:
        mistake = planted.get(f"d{derivation.loss}/d{name}")
        named = mistake is not None and not mistake.stranger
        answer = min(mistake.accepted, default=" and ".join(mistake.kinds)) if mistake is not None else ""
        claims.append(
            SimpleNamespace(
                name=f"d{derivation.loss}/d{name}",
                verdict="right" if mistake is None else "wrong",
                mistake=SimpleNamespace(name=answer) if named else None,
            )
        )
    first = next((claim for claim in claims if claim.name in derivation.first), None)
    return SimpleNamespace(claims=claims, first_wrong=first)


def test_a_verifier_that_knows_everything_reaches_the_goals(
    correct: list[derivations.Derivation], planted: list[derivations.Derivation]
) -> None:
    summary = scoring.Summary()
    for i, derivation in enumerate([*correct, *planted]):
        summary.add(scoring.score(derivation, result_that_knows(derivation), i, 0.01))
    assert summary.reached
    assert (summary.found, summary.false_alarms, summary.strangers_misnamed) == (len(planted), 0, 0)
    assert summary.named == summary.mistakes
    assert summary.pairs_named == summary.pairs > 0


def test_a_verifier_that_says_right_to_everything_finds_nothing(planted: list[derivations.Derivation]) -> None:
    summary = scoring.Summary()
    for i, derivation in enumerate(planted):
        result = result_that_knows(derivation)
        for claim in result.claims:
            claim.verdict, claim.mistake = "right", None
        result.first_wrong = None
        summary.add(scoring.score(derivation, result, i, 0.01))
    assert (summary.found, summary.named, summary.reached) == (0, 0, False)


def test_a_consequence_in_a_right_derivation_is_a_false_alarm(correct: list[derivations.Derivation]) -> None:
    result = result_that_knows(correct[0])
    result.claims[0].verdict = "consequence"
    outcome = scoring.score(correct[0], result, 0, 0.01)
    assert not outcome.found
    assert outcome.alarms == (result.claims[0].name,)


def test_a_name_for_a_stranger_is_counted_as_wrong(planted: list[derivations.Derivation]) -> None:
    derivation = next(d for d in planted if d.planted[0].stranger and not d.planted[0].accepted)
    result = result_that_knows(derivation)
    claim = next(claim for claim in result.claims if claim.name == derivation.planted[0].claim)
    claim.mistake = SimpleNamespace(name="factor 2")
    assert not scoring.score(derivation, result, 0, 0.01).names[0].right


def test_the_generator_imports_nothing_of_chainrule() -> None:
    program = "import sys; import localisation.scoring; sys.exit(any(m.startswith('chainrule') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, check=False).returncode == 0
