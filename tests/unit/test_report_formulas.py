"""Formulas in a report: every target asks for its own form, and only MathML gets into a page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO, TextIOWrapper

import pytest
from rich.console import Console

from chainrule.errors import ArgumentError
from chainrule.report import (
    Document,
    Formula,
    Heading,
    Paragraph,
    Table,
    print_document,
    to_html,
    to_latex,
    to_markdown,
    to_text,
)

NAMESPACE = 'xmlns="http://www.w3.org/1998/Math/MathML"'


@dataclass(frozen=True)
class Square:
    """x squared, as another package might write it."""

    inside: str = "<msup><mi>x</mi><mn>2</mn></msup>"

    def plain(self, width: int) -> str:
        return "x²" if width > 30 else "x\n²"

    def tex(self) -> str:
        return "|x|^{2}"

    def mathml(self, *, display: bool) -> str:
        return f"<math {NAMESPACE}{' display=' + chr(34) + 'block' + chr(34) if display else ''}>{self.inside}</math>"


def document(*blocks, language="en"):
    return Document("Title & more", "Sub", blocks, language)


BLOCKS = (
    Heading("Forward"),
    Paragraph(["The square ", Square(), " grows: 5 < 7_8."]),
    Formula(Square(), title="The square", label="(3)"),
    Table(["what", "formula", "value"], [["a|b", Square(), 0.5], ["c", None, 1.0]], caption="Cells"),
)


def test_a_page_sets_formulas_in_running_text_on_their_own_lines_and_in_cells():
    page = to_html(document(*BLOCKS))
    assert page.count("<math ") == 3
    assert page.count('display="block"') == 1
    assert '<span class="label">(3)</span>' in page


def test_a_page_with_formulas_carries_their_font_and_asks_for_nothing():
    page = to_html(document(*BLOCKS))
    assert 'url("data:font/woff2;base64,' in page
    assert "font-src data:" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert not re.search(r"url\((?!\"data:)", page)
    assert len(page) < 150_000


def test_a_page_without_formulas_carries_no_font():
    page = to_html(document(Paragraph("Text.")))
    assert "woff2" not in page
    assert "font-src" not in page


def test_a_page_says_its_language():
    assert '<html lang="zh">' in to_html(document(language="zh"))


def test_the_font_is_small_and_has_its_licence_beside_it():
    fonts = files("chainrule.report").joinpath("fonts")
    assert len(fonts.joinpath("stix-two-math.woff2").read_bytes()) < 150_000
    assert "SIL OPEN FONT LICENSE" in fonts.joinpath("OFL.txt").read_text().upper()


@pytest.mark.parametrize(
    "inside",
    ["<script>alert(1)</script>", "<mi>x</mrow>", '<mi onclick="f()">x</mi>', "<!-- x -->", "&unknown;",
     '<mtext><a href="x">y</a></mtext>', '<mi style="background:url(x)">x</mi>', "</math><math>"],
)  # fmt: skip
def test_a_formula_with_anything_but_mathml_in_it_is_refused(inside):
    with pytest.raises(ArgumentError, match="MathML"):
        to_html(document(Formula(Square(inside))))


def test_a_terminal_shows_formulas_indented_with_their_title():
    lines = to_text(document(*BLOCKS)).splitlines()
    assert "The square x² grows: 5 < 7_8." in lines
    assert lines[lines.index("The square  (3)") + 1] == "    x²"
    assert any(line.split() == ["a|b", "x²", "0.500"] for line in lines)


def test_a_formula_is_asked_for_the_width_that_a_terminal_has():
    assert "    x\n    ²" in to_text(document(Formula(Square())), width=30)


def test_a_terminal_without_unicode_gets_letters():
    file = TextIOWrapper(BytesIO(), encoding="ascii")
    print_document(document(Formula(Square())), Console(file=file, width=60, _environ={}))
    file.flush()
    assert b"    x2" in file.buffer.getvalue()


def test_markdown_has_formulas_between_dollar_signs():
    text = to_markdown(document(*BLOCKS))
    assert text.startswith("# Title & more\n\nSub\n\n## Forward\n\nThe square $|x|^{2}$ grows: 5 \\< 7\\_8.\n")
    assert "$$\n|x|^{2} \\tag{3}\n$$" in text
    assert "| a\\|b | $\\vert x\\vert ^{2}$ | 0.500 |" in text


def test_latex_is_one_article_and_chinese_loads_its_class():
    text = to_latex(document(*BLOCKS))
    assert r"\title{Title \& more}" in text
    assert r"The square $|x|^{2}$ grows: 5 \textless{} 7\_8." in text
    assert "\\begin{equation*}\n|x|^{2} \\tag{3}\n\\end{equation*}" in text
    assert text.count(r"\begin") == text.count(r"\end")
    assert r"\documentclass{ctexart}" in to_latex(document(language="zh"))
