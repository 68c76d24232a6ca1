"""The page: complete in one file, escaped, small, and the same without colour."""

import math
import re
from html.parser import HTMLParser

import pytest

from chainrule.report import (
    Bars,
    Document,
    Facts,
    Figure,
    Heading,
    LineChart,
    Paragraph,
    Series,
    Table,
    to_html,
)

VOID = {"meta", "link"}


class Outline(HTMLParser):
    """Checks that every element is closed in order, and keeps their tags and text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def classes(self, tag):
        return [attributes.get("class", "") for name, attributes in self.tags if name == tag]


def page_of(*blocks):
    return to_html(Document("Title", "Subtitle", blocks))


def loss_chart(title="Loss", count=2):
    epochs = list(range(1, 201))
    series = [Series(f"layers.{i}.weight", epochs, [1 / (e + i) for e in epochs]) for i in range(count)]
    return LineChart(title, "epoch", "loss", series, log_y=count > 4)


def training_report():
    classes = [chr(97 + i) for i in range(26)]
    counts = [[30 if i == j else (i * j) % 3 for j in range(26)] for i in range(26)]
    shares = [[None, *(count / sum(row) for count in row)] for row in counts]
    return Document(
        "Letters",
        "97 % correct",
        [
            Facts([("Model", "Linear(64, 26)"), ("Parameters", 101770), ("Seed", "42")]),
            Heading("Learning"),
            Paragraph("It learns."),
            Figure(loss_chart(), "Lower is better."),
            Figure(loss_chart("Gradients", 12)),
            Figure(LineChart("Steps", "step", "loss", [Series("loss", range(10**5), [1.0, 2.0] * 50_000)])),
            Figure(Bars("Recall", classes, [0.5] * 26)),
            Table(
                ["", *classes],
                [[name, *row] for name, row in zip(classes, counts, strict=True)],
                caption="Confusion",
                emphasis=shares,
            ),
            Table(["target", "error"], [["price", 0.25], ["area", None]]),
        ],
    )


def test_every_element_of_a_report_is_closed_and_every_block_is_there():
    outline = Outline(to_html(training_report()))
    text = "".join(outline.text)
    for expected in ("Letters", "97 % correct", "101,770", "Learning", "It learns.", "Confusion", "price"):
        assert expected in text
    assert outline.classes("div").count("figures") == 1
    assert [tag for tag, _ in outline.tags].count("svg") == 4


def test_a_normal_training_report_stays_far_below_a_megabyte():
    assert len(to_html(training_report()).encode()) < 300_000


def test_a_report_asks_nothing_of_the_network_and_runs_no_script():
    page = to_html(training_report())
    assert set(re.findall(r"[a-z]+://[^\"'\s<]+", page)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert "url(" not in page
    assert "<script" not in page
    links = [attributes for tag, attributes in Outline(page).tags if tag == "link"]
    assert links == [{"rel": "icon", "href": "data:,"}]


def test_the_page_has_a_dark_mode_that_spares_paper_and_a_print_layout():
    page = page_of()
    assert "@media screen and (prefers-color-scheme: dark)" in page
    assert "@media print" in page
    assert '<meta name="color-scheme" content="light dark">' in page


def test_every_colour_of_light_mode_has_one_in_dark_mode():
    light, dark = re.findall(r":root \{(.*?)\}", page_of(), flags=re.DOTALL)
    names = {name for name in re.findall(r"--[\w-]+(?=:)", light) if name not in ("--serif", "--sans")}
    assert names == set(re.findall(r"--[\w-]+(?=:)", dark))


def contrast(one, other):
    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_the_paper(mode):
    root = re.findall(r":root \{(.*?)\}", page_of(), flags=re.DOTALL)[mode]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", root))
    for name, colour in colours.items():
        if name not in ("paper", "rule"):
            # WCAG 2.2, 1.4.3: text needs 4.5 to 1; names beside lines are text in the colour of the line.
            assert contrast(colour, colours["paper"]) >= 4.5, name


HOSTILE = "</style><script>alert(1)</script> & \" ' \x00 \x1b[31m \ud800"


@pytest.mark.parametrize(
    "block",
    [
        Heading(HOSTILE),
        Paragraph(HOSTILE),
        Facts([(HOSTILE, HOSTILE)]),
        Table([HOSTILE], [[HOSTILE]], caption=HOSTILE),
        Figure(LineChart(HOSTILE, HOSTILE, HOSTILE, [Series(HOSTILE, [1, 2], [1, None])]), HOSTILE),
        Figure(Bars(HOSTILE, [HOSTILE], [1.0], HOSTILE), HOSTILE),
    ],
    ids=lambda block: type(block).__name__,
)
def test_text_from_outside_is_escaped_everywhere(block):
    page = to_html(Document(HOSTILE, HOSTILE, [block]))
    assert "<script" not in page
    assert page.count("</style>") == 1
    assert "\x00" not in page
    assert "\x1b" not in page
    page.encode()
    Outline(page)


def test_what_a_chart_cannot_show_is_said_in_its_caption():
    chart = LineChart("Loss", "epoch", "loss", [Series("train", [1, 2], [1.0, math.nan])])
    assert "1 of 2 values (first at epoch 2) is missing or not finite" in page_of(Figure(chart))


def test_missing_and_infinite_cells_are_written_out():
    page = page_of(Table(["name", "x"], [["a", math.nan], ["b", math.inf], ["c", None]]))
    assert re.findall(r'<td class="right">(.*?)</td>', page) == ["NaN", "∞", "–"]


def test_emphasis_shades_a_cell_and_makes_the_strong_ones_bold():
    page = page_of(Table(["", "a", "b", "c"], [["a", 9, 1, 0]], emphasis=[[None, 0.9, 0.1, 0.0]]))
    assert Outline(page).classes("td") == ["right shaded strong", "right shaded", "right"]


def test_the_first_cell_of_a_row_is_its_name():
    outline = Outline(page_of(Table(["name", "x"], [["a", 1]])))
    assert [attributes["scope"] for tag, attributes in outline.tags if tag == "th"] == ["col", "col", "row"]


def test_only_figures_in_a_row_stand_side_by_side():
    figure = Figure(loss_chart())
    outline = Outline(page_of(figure, figure, Heading("Between"), figure))
    assert outline.classes("div") == ["figures", "figures"]


def test_an_empty_report_and_an_empty_table_are_pages_too():
    Outline(page_of())
    Outline(page_of(Table(["a", "b"], []), Facts([])))
