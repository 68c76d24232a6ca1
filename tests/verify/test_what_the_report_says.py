"""The report of `chainrule verify` as its readers see it: widths, colours, numbers, and Chinese that is all Chinese."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from chainrule.cli.main import main
from chainrule.notation.plain import cells
from chainrule.verify import derivation
from chainrule.verify.report import printed

ARTICLES = [f"article{i}" for i in range(5)]
NEURON = """given
  x = 0.5
  w = 0.4
  t = 0.8
forward
  y = sigmoid(w * x)
  L = 1/2 * (y - t)**2
claims
"""
NETWORK = """given
  x = [0.5, 0.1]
  W = random(3, 2)
forward
  z = W @ x
  L = sum(z**2)
claims
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("article", ARTICLES)
def test_chinese_reports_are_chinese_but_for_formulas(
    folder: Path, article: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["verify", "--example", article, "--lang", "zh"])
    for line in capsys.readouterr().out.splitlines():
        said = re.sub(r"[A-Za-z_]\w*\.txt|d\w+/d\w+|softmax|diag|sigmoid|[\w']*\d\w*", "", line)
        if line.startswith("      ") and "=" not in line:
            words = set(re.findall(r"[A-Za-z]{3,}", said)) - {"sum", "axis", "yhat", "y_true"}
            assert not words, line
            assert ": " not in line
            assert not re.search(r"[\u4e00-\u9fff] [\u4e00-\u9fff]", line)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_is_said_is_no_wider_than_the_terminal(
    folder: Path, lang: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    for article in ARTICLES:
        main(["verify", "--example", article, "--lang", lang])
    assert max(map(cells, capsys.readouterr().out.splitlines())) <= 72


def test_verdicts_are_coloured_in_a_terminal_unless_one_wants_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for variables, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        with monkeypatch.context() as context:
            context.delenv("NO_COLOR", raising=False)
            context.setenv("TERM", "xterm")
            for name, value in variables.items():
                context.setenv(name, value)
            context.setattr("sys.stdout", screen := Terminal())
            main(["verify", "--example", "article3"])
        assert ("\x1b[1;31mx wrong" in screen.getvalue()) is coloured
        assert ("\x1b[" in screen.getvalue()) is coloured


def test_a_claimed_number_is_reported_as_it_was_stated() -> None:
    result = derivation(text=NEURON + "  dL/dw = 0.027\n  dL/dy = -0.250\n")
    claim = result.claims[0]
    assert claim.value is not None
    assert float(claim.value) == 0.027
    assert "claim: 0.027\n" in printed(result)
    assert "times the right one" not in printed(result)  # of a rounded number, that ratio says nothing


def test_the_exact_number_is_given_only_where_digits_are_missing() -> None:
    text = NEURON + "  dL/dy = -0.250\n  d(y)/d(w) = 0.1237\n"
    report = printed(derivation(text=text))
    assert "Exactly, dL/dy is -0.2501660027." in report
    whole = NETWORK.replace("random(3, 2)", "[[1, 0], [0, 1]]") + "  dL/dz = [1, 0.2]\n"
    assert "Exactly" not in printed(derivation(text=whole))


def test_numbers_have_no_padding_and_no_negative_zero(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["verify", "--example", "article0"])
    report = capsys.readouterr().out
    assert "right: [0.133333, -0.0666667, -0.4]" in report
    assert "claim: [0, 0, -0.425903]" in report
    assert "-0," not in report


def test_shapes_that_do_not_fit_are_named_in_both_languages() -> None:
    result = derivation(text=NETWORK + "  dL/dz = W @ (2 * z)\n")
    assert "its shapes do not fit: (3 × 2) @ (3 × 1)." in printed(result)
    assert "形状不匹配：(3 × 2) @ (3 × 1)。" in printed(result, "zh")


def test_a_wrong_shape_is_said_with_the_right_one() -> None:
    result = derivation(text=NETWORK + "  dL/dz = 2 * z.T\n")
    assert "Your dL/dz has the shape 1 × 3; it should have 3 × 1." in printed(result)


def test_what_cannot_be_decided_says_so_in_both_languages() -> None:
    text = "given\n  x = 0\nforward\n  y = x**2\n  L = y**0.5\nclaims\n  dL/dx = 1\n"
    result = derivation(text=text)
    assert result.claims[0].verdict == "undecided"
    assert "the right derivative is not finite here" in printed(result)
    assert "正确的导数在这里不是有限的数" in printed(result, "zh")


def test_several_reports_stand_apart(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["verify", "--example", "article0"])
    assert "\n\narticle0-outer.txt\n" in capsys.readouterr().out


def test_capital_letters_open_sections_too() -> None:
    assert derivation(text="Given:\n  x = [1, 2]\nForward:\n  L = sum(x**2)\nClaims:\n  dL/dx = 2 * x\n").ok


def test_a_product_without_a_sign_is_answered_with_the_sign() -> None:
    with pytest.raises(SyntaxError, match=r"'x' cannot stand here(.|\n)*Write a product as a \* b"):
        derivation(text="given\n  x = [1, 2]\nforward\n  L = sum(x**2)\nclaims\n  dL/dx = 2x\n")
