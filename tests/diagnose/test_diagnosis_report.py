"""The report of a diagnosis: short in the terminal, one offline file as HTML, JSON without NaN, in both languages."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import nn
from chainrule.diagnose import gradients, preflight, report, watch
from chainrule.diagnose.activations import activations
from chainrule.errors import ArgumentError
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


def deep(activation: type[nn.Module], depth: int, scale: float = 1.0) -> nn.Sequential:
    cr.manual_seed(0)
    model = nn.Sequential(*[m for _ in range(depth) for m in (nn.Linear(8, 8), activation())], nn.Linear(8, 2))
    with cr.no_grad():
        for p in model.parameters():
            p.mul_(scale)
    return model


def diagnosed(model: nn.Module) -> tuple[object, cr.Tensor]:
    cr.manual_seed(1)
    x = cr.randn(16, 8)
    return gradients(model, nn.CrossEntropyLoss(), (x, cr.zeros(16, dtype=cr.int64))), x


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(("depth", "scale"), [(2, 1.0), (30, 1.0), (100, 0.01), (100, 50.0)])
def test_the_text_has_fewer_than_sixty_lines(depth: int, scale: float, lang: str) -> None:
    found, _ = diagnosed(deep(nn.Sigmoid if scale < 10 else nn.ReLU, depth, scale))
    printed = report.text(found, lang)
    assert printed.count("\n") < 60
    assert bool(re.search("[\u4e00-\u9fff]", printed)) == (lang == "zh")
    assert "nan" not in printed


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_is_one_offline_file_under_a_megabyte_with_well_formed_pictures(lang: str, tmp_path) -> None:
    model = deep(nn.Sigmoid, 100)
    found, x = diagnosed(model)
    path = tmp_path / "out.html"
    page = report.html(found, path, lang, preflight=preflight(model, x), activations=activations(model, x))
    assert path.read_text("utf-8") == page
    assert len(page.encode()) < 1_000_000
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 4
    for picture in pictures:
        ElementTree.fromstring(picture)
        assert "nan" not in re.sub(r">[^<]*<", "", picture)


def test_json_holds_the_ledger_and_no_nan() -> None:
    found, _ = diagnosed(deep(nn.ReLU, 3, 1e-30))
    content = json.loads(report.as_json(found))
    json.dumps(content, allow_nan=False)
    assert len(content["ledger"]["rows"]) == 4
    assert content["ledger"]["rows"][0]["name"] == "0"


def test_another_language_is_refused() -> None:
    found, _ = diagnosed(deep(nn.ReLU, 1))
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
    assert len(re.findall("<svg", see.to_html())) == 7


def test_factors_that_no_float_holds_are_written() -> None:
    assert report.factor(-2302.585092994046) == "1.0×10⁻¹⁰⁰⁰"


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
