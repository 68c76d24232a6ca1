"""Explanations as their readers see them: every sign explained, nothing repeated, both languages complete."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.cli.main import main
from chainrule.explain import Explanation
from chainrule.explain.heat import squares
from chainrule.notation.blocks import text_of
from chainrule.notation.plain import cells
from chainrule.notation.words import words

F64 = cr.float64


def two_layers(samples: int = 3, **options: object) -> Explanation:
    cr.manual_seed(4)
    model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 2), nn.Sigmoid()).double()
    x = cr.tensor([[0.5, 0.1], [-0.3, 0.8], [1.0, -1.0]], dtype=F64)[:samples]
    y = cr.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=F64)[:samples]
    return cr.explain.gradient(F.mse_loss(model(x), y), **options)  # type: ignore[arg-type]


def classified(convention: str, samples: int = 1) -> Explanation:
    cr.manual_seed(0)
    layer = nn.Linear(2, 3).double()
    x, y = cr.randn(samples, 2, dtype=F64), cr.tensor([2, 0, 1, 1][:samples])
    return cr.explain.gradient(F.cross_entropy(layer(x), y), layer.weight, level="matrix", convention=convention)


# ---- signs -------------------------------------------------------------------------------------------------------


def test_delta_and_the_elementwise_sign_are_explained_where_they_occur() -> None:
    assert "δ³ is short for ∂C/∂z³." in text_of(two_layers(convention="article3").note)
    assert "⊙ multiplies element by element." in text_of(two_layers(convention="article3").note)
    numbers = two_layers(1, level="scalar", convention="article0")
    assert "short for" not in text_of(numbers.note)
    assert "⊙" not in text_of(numbers.note)


def test_sigma_is_called_the_sigmoid_and_a_number_has_no_elements() -> None:
    e = two_layers(convention="article1")
    assert e["a2"].reason == "a² is the sigmoid σ of z², element by element."
    w = cr.tensor(0.4, dtype=F64, requires_grad=True)
    reasons = [step.reason for step in cr.explain.gradient(w.sigmoid() * 2, w).steps]
    assert not any("element by element" in reason for reason in reasons)


def test_shapes_are_listed_for_what_the_formula_shows() -> None:
    assert set(two_layers(level="matrix", convention="article3")["dC/dz2"].parts) == {"W3", "dC/dz3", "z2"}
    assert set(two_layers(level="matrix", convention="article0")["dL/dz1"].parts) == {"dL/da1", "a1"}


def test_a_batch_adds_up_in_weights_and_in_biases() -> None:
    shared = "All samples of the batch share"
    assert shared in two_layers(level="matrix")["dell/dW2"].reason
    assert shared in two_layers(level="matrix", convention="pytorch")["dL/dW1"].reason
    assert shared not in two_layers(1, level="matrix")["dell/dW2"].reason


# ---- formulas ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("samples", "factor"), [(1, ""), (4, "1/4 ")])
def test_the_cross_entropy_is_one_sum_over_columns(samples: int, factor: str) -> None:
    loss = classified("article1", samples)["ell"]
    assert loss.formula.split(" = ")[1:] == ["cross_entropy(z², t)", f"−{factor}∑ t ⊙ log_softmax(z²)"]
    assert "how far z² is from t. t has a 1 at the class y" in loss.reason


def test_the_cross_entropy_of_rows_is_one_sum_too() -> None:
    assert classified("pytorch")["L"].formula.endswith("= −∑ t ⊙ log_softmax(z₁)")


def test_the_definition_of_a_squared_error_has_no_transposes() -> None:
    assert two_layers(level="matrix")["ell"].formula == "ℓ = mse_loss(a³, t) = 1/6 ‖a³ − t‖²"


def test_a_bias_of_a_batch_moves_every_sample_and_each_line_names_its_law() -> None:
    lines = {step.formula: step.reason for step in two_layers(level="differential", convention="article1").steps}
    assert "dz³ = db³ 𝟏ᵀ" in lines
    assert "in a circle" in lines["dℓ = tr((δ³ (a²)ᵀ)ᵀ dW³)"]
    assert "transposes, in reverse order" in lines["dℓ = tr(((W³)ᵀ δ³)ᵀ da²)"]
    assert "elementwise factor" in lines["dℓ = tr((∂ℓ/∂a² ⊙ σ′(z²))ᵀ dz²)"]


def test_the_number_of_a_route_is_its_contribution_not_the_loss() -> None:
    cr.manual_seed(4)
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    loss = model(cr.ones(1, 2, dtype=F64)).sum()
    routes = [s.formula for s in cr.explain.gradient(loss, model[0].weight[0, 0]).steps if "→" in s.formula]
    assert routes
    assert all(route.startswith("contribution(w") for route in routes)


def test_the_slope_of_a_logarithm_is_written_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "L = log(x)", "--at", "x=4"]) == 0
    assert "∂L/∂x = 1/x = 1/4 = 0.25" in capsys.readouterr().out


def test_small_states_of_an_optimiser_keep_their_digits() -> None:
    w = cr.tensor([0.5, 0.25], dtype=F64, requires_grad=True)
    (w * cr.tensor([0.04, 0.07], dtype=F64)).sum().backward()
    e = cr.explain.update(optim.Adam([w], lr=0.01), w)
    assert "⎡1.6 × 10⁻⁶⎤" in str(e)  # (1 - 0.999) 0.04^2
    assert "ε = 10⁻⁸ (eps)" in str(e)


# ---- terminal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("preset", ["article0", "article1", "article2", "article3", "article4", "pytorch"])
def test_no_line_is_wider_than_the_terminal(preset: str, lang: str) -> None:
    for level in ("matrix", "differential"):
        text = two_layers(level=level, convention=preset, lang=lang).to_text(80)
        assert max(map(cells, text.splitlines())) <= 80


def test_the_command_takes_the_width_of_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    program = ["explain", "z = w*x + b; y = sigmoid(z); L = 1/2*(y - t)**2", "--at", "x=0.5,w=0.4,b=0.1,t=0.8"]
    assert main(program) == 0
    assert max(map(cells, capsys.readouterr().out.splitlines())) <= 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "neither a run folder nor a program"),
        (["L = 2x", "--at", "x=1"], "Write a product as a * b"),
        (["L = x**2", "--at", "x=1e400"], "the value of 'x' is not finite"),
        (["z = W@x; L = sum(z)", "--at", "x=[1,2],W=[[1,2,3]]"], "(1 × 3) @ (2 × 1)"),
        (["z = W@x; L = sum(z)", "--at", "x=[1,2],W=[[1,2,3]]"], "as many columns of A as B has rows"),
        (["z = [x, x]", "--at", "x=1"], "sum(x, axis=all) adds all elements"),
    ],
)
def test_a_mistake_is_answered_with_what_to_do(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["explain", *arguments]) == 2
    assert message in capsys.readouterr().err


# ---- pages -------------------------------------------------------------------------------------------------------


def test_a_chinese_page_has_no_english_sentence_or_label(tmp_path: Path) -> None:
    page = two_layers(level="matrix", lang="zh").to_html(tmp_path / "e.html")
    body = page[page.index("<body>") :]
    visible = re.sub(r"<math.*?</math>|<[^>]+>", " ", body, flags=re.DOTALL)
    names = {"backward", "sigmoid", "weight", "bias", "k", "j"}
    assert {word for word in re.findall(r"[A-Za-z]+", visible) if word not in names} == set()
    assert 'aria-label="close"' not in page


def test_boxes_of_the_network_have_the_letters_of_the_formulas() -> None:
    page = two_layers(level="matrix").to_html()
    graph = page[page.index("<svg") : page.index("</svg>")]
    assert graph.count("<foreignObject") == graph.count("<math") == 11
    assert words("en").reads_network()[0] in page


def test_the_panel_of_the_loss_does_not_say_that_its_derivative_by_itself_is_1() -> None:
    page = two_layers(level="matrix").to_html()
    panel = page[page.index('id="q-ell"') :]
    assert panel[: panel.index("</dl>")].count("<dt>") == 2  # its formula and its value


def test_a_heat_map_has_a_scale_and_says_what_a_square_is() -> None:
    cr.manual_seed(0)
    layer = nn.Linear(60, 30).double()
    loss = layer(cr.randn(4, 60, dtype=F64)).square().mean()
    page = cr.explain.gradient(loss, layer.weight).to_html()
    assert page.count('class="scale"') >= page.count('class="large"') > 0
    assert "One square is the mean of up to 2×3 elements." in page


def test_squares_of_a_heat_map_are_means_relative_to_the_largest() -> None:
    made = squares(np.array([[1.0, -2.0], [0.5, np.nan]]))
    assert (made.top, made.block) == (2.0, (1, 1))
    assert made.shares[0] == [0.5, -1.0]
    assert made.shares[1][0] == 0.25
    assert np.isnan(made.shares[1][1])
    large = squares(np.arange(96.0).reshape(48, 2))
    assert large.block == (2, 1)
    assert len(large.shares) == 24
    assert large.shares[-1][-1] * large.top == pytest.approx((93 + 95) / 2)


def test_no_line_of_a_page_begins_with_a_comma() -> None:
    page = two_layers(level="matrix", lang="zh").to_html()
    loose = re.findall(r"</math>[，。；：、)]", page)
    kept = re.findall(r'<span class="together"><math(?:(?!</math>).)*</math>[，。；：、)]</span>', page, re.DOTALL)
    assert len(loose) == len(kept) > 0


def test_auto_takes_matrices_where_an_operator_has_no_formula_for_one_element(
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = ["explain", "z = [w, 2]; y = sigmoid(z); L = sum((y - 1)**2)", "--at", "w=2"]
    assert main(program) == 0
    assert "cat(" in capsys.readouterr().out
    assert main([*program, "--level", "scalar"]) == 2
    assert 'Ask for level="matrix"' in capsys.readouterr().err


def test_names_of_weights_are_listed_where_single_elements_are_shown() -> None:
    text = str(two_layers(1, level="scalar"))
    assert "W²  0.weight  3×2" in text
    assert "b³  2.bias  2×1" in text


def test_a_derivative_without_bound_says_nothing_of_its_sign(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "L = log(x)", "--at", "x=0"]) == 0
    printed = capsys.readouterr().out
    assert "= ∞" in printed
    assert "makes the loss smaller" not in printed


def test_a_terminal_that_knows_ascii_alone_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", screen)
    assert main(["explain", "z = w*x; L = sigmoid(z)", "--at", "w=2,x=1"]) == 0
    screen.seek(0)
    assert "delta is short for dL/dz." in screen.read()


def test_panels_show_the_numbers_of_the_steps_where_those_are_carried() -> None:
    e = two_layers(level="matrix", convention="article4")
    page = e.to_html()
    panel = page[page.index('id="q-z1"') :]
    shown = re.findall(r"<mn>([\d.]+)</mn>", panel[: panel.index("</dl>")])
    steps = re.findall(r"\d+\.\d+", str(e.to_dict()["sections"][0]["steps"][0]["shown"]))
    assert [n for n in shown if "." in n][: len(steps)] == steps
