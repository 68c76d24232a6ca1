"""The report of a diagnosis: short in the terminal, one offline file as HTML, JSON without NaN, in both languages."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

import chainrule as cr
from chainrule import nn
from chainrule.cli.diagnose import prepared_for
from chainrule.cli.main import main
from chainrule.diagnose import Diagnosis, gradients, pictures, remedies, report, torch_gradients, watch
from chainrule.diagnose.candidates import families_for
from chainrule.errors import ArgumentError
from chainrule.notation.words import words
from chainrule.ops.catalogue import CATALOGUE
from chainrule.report import (
    Document,
    Figure,
    HeatMap,
    Histograms,
    Stack,
    StackedBars,
    to_latex,
    to_markdown,
    to_svg,
    to_text,
)

sys.path.insert(0, str(Path(__file__).parent))
import known_cases


def deep(activation: type[nn.Module], depth: int, scale: float = 1.0) -> nn.Sequential:
    cr.manual_seed(0)
    model = nn.Sequential(*[m for _ in range(depth) for m in (nn.Linear(8, 8), activation())], nn.Linear(8, 2))
    with cr.no_grad():
        for p in model.parameters():
            p.mul_(scale)
    return model


def diagnosed(model: nn.Module) -> Diagnosis:
    cr.manual_seed(1)
    return gradients(model, nn.CrossEntropyLoss(), (cr.randn(16, 8), cr.zeros(16, dtype=cr.int64)))


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(("depth", "scale"), [(2, 1.0), (30, 1.0), (100, 0.01), (100, 50.0)])
def test_the_text_has_fewer_than_sixty_lines(depth: int, scale: float, lang: str) -> None:
    found = diagnosed(deep(nn.Sigmoid if scale < 10 else nn.ReLU, depth, scale))
    printed = report.text(found, lang)
    for width in (50, 80, 120):
        lines = report.text(found, lang, width=width).splitlines()
        assert len(lines) <= 60
        assert all(cell_len(line) <= width for line in lines)
    assert bool(re.search("[\u4e00-\u9fff]", printed)) == (lang == "zh")
    assert "nan" not in printed


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_is_one_offline_file_under_a_megabyte_with_well_formed_pictures(lang: str, tmp_path) -> None:
    path = tmp_path / "out.html"
    page = diagnosed(deep(nn.Sigmoid, 100)).to_html(path, lang)
    assert path.read_text("utf-8") == page
    assert len(page.encode()) < 1_000_000
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 4
    for picture in pictures:
        ElementTree.fromstring(picture)
        assert "nan" not in re.sub(r">[^<]*<", "", picture)


FILE = """
import chainrule as cr
from chainrule import nn


def build():
    cr.manual_seed(0)
    model = nn.Sequential(*[m for _ in range(12) for m in (nn.Linear(8, 8), nn.Tanh())], nn.Linear(8, 2))
    return {"model": model, "loss": nn.CrossEntropyLoss(), "train": (cr.randn(32, 8), cr.arange(32) % 2)}
"""


def test_the_command_and_the_method_write_the_same_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.py").write_text(FILE)
    what, page = f"{tmp_path / 'model.py'}:build", tmp_path / "page.html"
    main(["diagnose", what, "--batches", "2", "--html", str(page)])
    prepared = prepared_for(what, [])
    batches = list(islice(prepared.batches, 2))
    found = gradients(prepared.model, prepared.loss, batches, prepared.optimizer)
    assert page.read_text("utf-8") == found.to_html()
    assert capsys.readouterr().out == found.to_text()
    assert "How steep each activation is" in found.to_html()


def test_json_holds_the_ledger_and_no_nan() -> None:
    found = diagnosed(deep(nn.ReLU, 3, 1e-30))
    content = json.loads(report.as_json(found))
    json.dumps(content, allow_nan=False)
    assert len(content["ledger"]["rows"]) == 4
    assert content["ledger"]["rows"][0]["name"] == "0"


def test_another_language_is_refused() -> None:
    found = diagnosed(deep(nn.ReLU, 1))
    with pytest.raises(ArgumentError, match="'fr'"):
        report.text(found, "fr")


def test_a_watch_has_a_page_in_both_languages_and_a_text() -> None:
    model = deep(nn.Tanh, 2)
    see = watch(model, every=1)
    for _ in range(4):
        model.zero_grad()
        model(cr.randn(4, 8)).sum().backward()
        see.step()
    assert "4 looks in 4 steps" in str(see)
    assert "观测" in see.to_html(lang="zh")
    assert words_in(see.to_html(lang="zh")) <= NAMES
    assert len(re.findall("<svg", see.to_html())) == 7


def test_events_of_one_kind_in_one_look_share_a_line() -> None:
    model = deep(nn.Tanh, 3)
    see = watch(model, every=1)
    for _ in range(3):
        model.zero_grad()
        model(cr.randn(4, 8)).sum().backward()
        with cr.no_grad():
            for p in model.parameters():
                p.add_(100.0)
        see.step()
    lines = [line for line in str(see).splitlines() if "a step as large" in line]
    assert len(see.events) > len(lines)
    assert "0, 2, 4, 6" in lines[0]


def test_factors_that_no_float_holds_are_written() -> None:
    assert report.factor(-2302.585092994046) == "1.0×10⁻¹⁰⁰⁰"


# ---- what it says --------------------------------------------------------------------------------------------

NAMES = {
    "NaN", "rms", "log", "dL", "dz", "dw", "dW", "sup", "sigmoid", "tanh", "ReLU", "leaky", "LSTM", "GRU", "RNN", "RMS",
    "softmax", "dropout", "try", "Python", "cr", "diagnose", "remedies", "requires", "grad", "False", "detach", "no",
    "Adam", "SGD", "where",
}  # fmt: skip
"""Operators, names of the library, of classes, and mathematical symbols: the same in every language."""


def words_in(page: str) -> set[str]:
    """The words of Latin letters that a reader, or a screen reader, meets."""
    page = re.sub(r"<style>.*?</style>|<head>.*?</head>", "", page, flags=re.DOTALL)
    spoken = re.findall(r'aria-label="([^"]*)"', page)
    return set(re.findall(r"[A-Za-z]{2,}", " ".join([*spoken, re.sub(r"<[^>]*>|\S*…", " ", page)])))


def own_names(found: Diagnosis) -> set[str]:
    """The user's names: of modules, parameters, lines; and the operators that ran."""
    end = found.ledger.ends_at
    named = [*[row.name for row in found.ledger.rows], *[one.name for one in found.parameters]]
    named += [one for row in found.ledger.rows for one in (row.op, *row.between)]
    named += [one.where for one in found.findings if "puts[" not in one.where and "targets[" not in one.where]
    named += ["inputs[0]", "targets[0]", *([] if end is None else [end.op, end.path, end.where])]
    named += [text for one in found.origins if one is not None for text in (one.op, one.path, one.where)]
    return {word for name in [*named, *CATALOGUE] for word in re.findall(r"[A-Za-z]{2,}", name)}


@pytest.mark.parametrize("name", known_cases.CASES)
def test_the_chinese_report_has_no_english_words(name: str) -> None:
    case = known_cases.CASES[name]()
    found = gradients(case.model, case.loss_fn, case.batches, case.optimizer)
    allowed = NAMES | own_names(found)
    assert words_in(found.to_html(lang="zh")) <= allowed
    assert set(re.findall(r"[A-Za-z]{2,}", found.to_text("zh"))) <= allowed
    labels = words("zh").diagnosis
    for one in found.findings:
        assert {one.cause, *one.evidence} <= labels.names.keys()
        assert labels.explains(one.cause, one.mechanism)


def test_the_languages_explain_the_same_mechanisms_terms_and_remedies() -> None:
    english, chinese = words("en").diagnosis, words("zh").diagnosis
    assert english.mechanisms.keys() == chinese.mechanisms.keys()
    assert english.families.keys() == chinese.families.keys()
    assert english.terms.keys() == chinese.terms.keys()


@pytest.mark.parametrize("name", known_cases.CASES)
def test_every_finding_of_the_known_cases_is_explained_and_its_remedies_have_names(name: str) -> None:
    case = known_cases.CASES[name]()
    labels = words("en").diagnosis
    for one in gradients(case.model, case.loss_fn, case.batches, case.optimizer).findings:
        assert labels.explains(one.cause, one.mechanism)
        assert set(families_for(one)) <= labels.families.keys()


def test_a_line_of_the_library_is_not_shown_as_the_users() -> None:
    model = deep(nn.ReLU, 3)
    nn.init.constant_(model[2].bias, -100.0)
    found = diagnosed(model)
    end = found.ledger.ends_at
    assert end is not None
    assert (end.op, end.path, end.where) == ("relu", "3", "")
    assert "lost at relu in 3." in found.to_text()


class Rectified(nn.Module):
    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return x.relu()


def test_the_users_own_line_is_shown() -> None:
    model = nn.Sequential(nn.Linear(8, 8), Rectified(), nn.Linear(8, 2))
    nn.init.constant_(model[0].bias, -100.0)
    end = diagnosed(model).ledger.ends_at
    assert end is not None
    assert re.fullmatch(rf"Rectified\.forward, {re.escape(__file__)}:\d+", end.where)


def test_what_was_recommended_stands_before_the_findings_with_its_measured_effect() -> None:
    model = deep(nn.Sigmoid, 20)
    cr.manual_seed(1)
    batch = (cr.randn(32, 8), cr.randint(0, 2, (32,)))
    loss = nn.CrossEntropyLoss()
    found = gradients(model, loss, batch)
    trials = remedies(model, loss, batch, diagnosis=found)
    best = trials.recommended
    assert best is not None
    printed = found.to_text(trials=trials)
    assert printed.index(f"Recommended: {best.name}.") < printed.index("Findings")
    assert "May help" in found.to_text()
    assert "May help" not in printed
    assert f"推荐：{words('zh').diagnosis.name(best.name)}。" in found.to_html(lang="zh", trials=trials)


def test_a_model_of_pytorch_has_the_same_report() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers = [part for _ in range(20) for part in (torch.nn.Linear(8, 8), torch.nn.Sigmoid())]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(8, 2))
    found = torch_gradients(model, torch.nn.functional.mse_loss, (torch.randn(16, 8), torch.randn(16, 2)))
    page = found.to_html(lang="zh")
    assert words_in(page) <= NAMES | own_names(found)
    assert page.count("<svg") == 4
    with torch.no_grad():
        model[3] = torch.nn.ReLU()
        model[2].bias.fill_(-100.0)
    found = torch_gradients(model, torch.nn.functional.mse_loss, (torch.randn(16, 8), torch.randn(16, 2)))
    assert "From layer 2 down the gradient is exactly 0, lost at ReLU in 3." in " ".join(found.to_text().split())
    assert "May help" in found.to_text()
    assert "--try" not in found.to_text()  # what is tried are changes of modules of ours


def test_a_gradient_that_underflows_is_said_to_be_too_small_for_its_type() -> None:
    found = diagnosed(deep(nn.Tanh, 60, 0.1))
    assert "too small for its float type" in " ".join(found.to_text().split())
    assert "小到其浮点类型无法表示" in found.to_html(lang="zh")


def test_counts_have_no_decimals_and_log_gains_have_their_factors() -> None:
    printed = diagnosed(deep(nn.Sigmoid, 30)).to_text(width=200)
    assert "layers 31," in printed
    gain, factor = re.search(r"log gain per layer −([\d.]+) \(×([\d.]+)\)", printed).groups()  # type: ignore[union-attr]
    assert float(factor) == pytest.approx(np.exp(-float(gain)), rel=0.01)


def test_a_row_knows_how_steep_its_activation_is() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))
    batches = [(cr.randn(32, 8), cr.randn(32, 1)) for _ in range(2)]
    (row, last) = gradients(model, nn.MSELoss(), batches).ledger.rows
    slopes = [1 - np.tanh(np.asarray(model[0](x).detach())) ** 2 for x, _ in batches]
    shares = np.mean([np.histogram(one, 20, (0, 1))[0] / one.size for one in slopes], 0)
    assert row.steepness == pytest.approx(shares, abs=1e-3)
    assert last.steepness is None


def test_the_network_stands_in_one_panel_and_constant_factors_in_both() -> None:
    found = diagnosed(deep(nn.Sigmoid, 10))
    panels = [figure.chart for figure in pictures.two_panels(found.ledger, found.predictions, words("en"))]
    names = [[one.name for one in panel.series if not one.is_reference] for panel in panels]
    assert names == [["measured", "predicted"], []]
    assert [len([one for one in panel.series if one.is_reference]) for panel in panels] == [2, 2]
    assert len(found.predictions) == len(found.ledger.rows)


# ---- the kinds of charts -------------------------------------------------------------------------------------

NUMBER = st.floats(-1e6, 1e6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 8), st.data())
def test_any_stacked_bars_make_a_well_formed_picture_inside_its_frame(rows: int, parts: int, data) -> None:
    stacks = [Stack(f"cause {k}", data.draw(st.lists(NUMBER, min_size=rows, max_size=rows))) for k in range(parts)]
    chart = StackedBars("Title", [f"row {k}" for k in range(rows)], stacks)
    picture = to_svg(chart)
    ElementTree.fromstring(picture)
    assert all(-1 <= float(x) <= 481 for x in re.findall(r"M([-\d.]+) ", picture))
    assert all(len(line) <= 80 for line in to_text(Document("", "", [Figure(chart)]), 80).splitlines())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 90), st.booleans(), st.data())
def test_any_heat_map_makes_a_well_formed_picture(rows: int, columns: int, log: bool, data) -> None:
    value = st.none() | st.floats()
    values = [data.draw(st.lists(value, min_size=columns, max_size=columns)) for _ in range(rows)]
    chart = HeatMap("Title", [f"r{k}" for k in range(rows)], [str(k) for k in range(columns)], values, "step", "v", log)
    ElementTree.fromstring(to_svg(chart))
    document = Document("", "", [Figure(chart)])
    assert all(len(line) <= 80 for line in to_text(document, 80).splitlines() if "  · 0" not in line)
    to_markdown(document)
    to_latex(document).encode("ascii")


def test_causes_differ_in_texture_without_colour() -> None:
    stacks = [Stack(f"cause {k}", [1.0]) for k in range(6)]
    picture = ElementTree.fromstring(to_svg(StackedBars("Title", ["one"], stacks)))
    space = "{http://www.w3.org/2000/svg}"
    groups = [g for g in picture.iter(f"{space}g") if "series" in g.get("class", "")][:6]
    lines = [next((p.get("d") for p in g.iter(f"{space}path") if p.get("stroke")), "") for g in groups]
    slopes = [(line.count("L"),) for line in lines]
    assert len(set(lines)) == 6
    assert slopes[0] == (0,)  # the first is full


def test_a_heat_map_marks_what_is_zero_on_a_log_scale_and_what_is_not_finite() -> None:
    chart = HeatMap("Title", ["a"], ["1", "2", "3", "4"], [[1.0, 0.0, float("nan"), None]], log=True)
    line = to_text(Document("", "", [Figure(chart)])).splitlines()[3]
    assert line == "a  ▒▒▒▒····××××"


def test_charts_of_areas_refuse_what_does_not_fit() -> None:
    with pytest.raises(ArgumentError, match="stack 'a'"):
        StackedBars("T", ["one"], [Stack("a", [1.0, 2.0])])
    with pytest.raises(ArgumentError, match="must be finite"):
        StackedBars("T", ["one"], [Stack("a", [float("inf")])])
    with pytest.raises(ArgumentError, match=r"values\[0\]"):
        HeatMap("T", ["a"], ["1"], [[1.0, 2.0]])
    with pytest.raises(ArgumentError, match=r"shares\[0\]"):
        Histograms("T", ["a"], [0.0, 1.0], [[0.5, 0.5]])
