"""docs/articles.md, the errors that are formulas: each worked error file, checked by `chainrule verify`."""

from __future__ import annotations

from importlib.resources import files

import pytest

from chainrule.cli.main import main
from chainrule.verify import derivation

EXAMPLES = files("chainrule.verify") / "examples"
FIRST_WRONG = {
    "article0-mse": "dL/dyhat",  # A0: a sum where each element has a derivative of its own
    "article0-outer": "dL/dW2",  # A0: dz2/dW2 = a1 hides the outer product
    "article0-softmax": "dL/dz",  # A0: softmax as if it acted elementwise
    "article1-slope": "dl/dz3",  # A1: da/da where da/dz is meant
    "article1-trace": "dl/dz3",  # A1: two factors swapped in the trace
    "article1-recursion": "dl/dz2",  # A1: the transpose and the order lost; square, so silently
    "article1-recursion-shapes": "dl/dz2",  # A1: the same for layers that are not square
    "article2-bias": "dL/db1",  # A2: the bias of the other layer
    "article3": "dL/dz2",  # A3: the activation in place of its slope
    "article4": None,  # A4: truncated numbers and products of rounded ones are accepted
}


def test_every_worked_error_is_a_case_here() -> None:
    assert {f.name.removesuffix(".txt") for f in EXAMPLES.iterdir() if f.name.endswith(".txt")} == set(FIRST_WRONG)


@pytest.mark.parametrize("name", FIRST_WRONG)
def test_the_slip_of_each_article_is_found_where_it_is(name: str) -> None:
    result = derivation(text=(EXAMPLES / f"{name}.txt").read_text("utf-8"))
    first = result.first_wrong
    assert (first.name if first else None) == FIRST_WRONG[name]
    if first is not None:
        assert first.correction
        assert first.mistake is not None or first.reason, "a slip of a textbook has a name, or cannot be computed"
        others = {claim.verdict for claim in result.claims if claim is not first}
        assert others <= {"right", "consequence"}


def test_a0_error_the_sum_for_each_element_has_the_printed_and_the_right_numbers() -> None:
    first = derivation(text=(EXAMPLES / "article0-mse.txt").read_text("utf-8")).first_wrong
    assert first is not None
    assert first.value is not None
    assert first.right_value is not None
    assert first.value.item() == pytest.approx(-0.33333, abs=5e-6)
    assert first.right_value[:, 0] == pytest.approx([0.13333, -0.06667, -0.4], abs=5e-6)


def test_a3_error_the_model_case_is_betrayed_by_1_over_1_minus_a() -> None:
    first = derivation(text=(EXAMPLES / "article3.txt").read_text("utf-8")).first_wrong
    assert first is not None
    assert first.mistake is not None
    assert first.mistake.name == "activation for its derivative"
    assert (first.ratio or "").replace(" ", "") == "1/(1-a2)"
    assert first.correction == "(W3.T @ dL/dz3) * sigmoid'(z2)"


def test_a4_error_a_number_is_right_as_printed_and_the_exact_one_is_reported(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(str(tmp_path))
    assert main(["verify", "--example", "article4"]) == 0
    assert "Exactly, dL/dw is -0.02756970076." in capsys.readouterr().out


def test_a4_error_a_number_that_is_neither_rounded_nor_truncated_is_wrong() -> None:
    text = (EXAMPLES / "article4.txt").read_text("utf-8").replace("dL/dw = -0.027\n", "dL/dw = -0.026\n")
    first = derivation(text=text).first_wrong
    assert first is not None
    assert first.text == "dL/dw = -0.026"
