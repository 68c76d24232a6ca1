"""The parts that every SVG picture is made of: the frame, words, paths, and how wide words are."""

from __future__ import annotations

from collections.abc import Iterable
from unicodedata import east_asian_width

from chainrule.report.axis import Axis
from chainrule.report.markup import Markup, coordinate, element, text

COLOURS = 6
WIDTH = 480.0
FONT_SIZE = 12.0
CHARACTER_WIDTH = 6.6
LINE_HEIGHT = 18.0
GAP = 8.0
LONGEST_LABEL = 22


def picture(title: str, description: str, height: float, parts: Iterable[Markup]) -> Markup:
    """The `<svg>` element around the parts, with its accessible name and description."""
    return element(
        "svg",
        element("title", text(title)),
        element("desc", text(description)),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {coordinate(WIDTH)} {coordinate(height)}",
        role="img",
        aria_label=title,
        font_size=FONT_SIZE,
    )


def nothing_to_draw() -> Markup:
    """What an empty chart shows."""
    return words_at("No values to draw", WIDTH / 2, 2 * LINE_HEIGHT, anchor="middle", quiet=True)


def line_path(path: str, *, fill: str = "none", **attributes: str | float) -> Markup:
    """A `<path>` drawn in the colour of the text around it."""
    return element("path", d=path, fill=fill, stroke="currentColor", **attributes)


def words_at(plain: str, x: float, y: float, *, anchor: str = "start", quiet: bool = False) -> Markup:
    """Words that begin, end or have their middle at a place."""
    opacity = {"fill_opacity": "0.72"} if quiet else {}
    return element("text", text(plain), x=x, y=y, text_anchor=anchor, fill="currentColor", **opacity)


def ticks(axis: Axis) -> Iterable[tuple[float, str]]:
    """An axis's ticks with their labels."""
    return zip(axis.ticks, axis.labels, strict=True)


def series_class(index: int) -> str:
    """The class by which a style sheet colours a series."""
    return f"series-{index % COLOURS}"


def widest(texts: Iterable[str]) -> float:
    """A bound on the width of the texts, which no renderer has measured."""
    return max(map(width_of, texts), default=0.0)


def width_of(plain: str) -> float:
    """A bound on the width of a text; a Chinese character is as wide as it is high."""
    return sum([FONT_SIZE if east_asian_width(c) in "WF" else CHARACTER_WIDTH for c in plain])


def shortened(label: str) -> str:
    """A label that leaves room for what it names."""
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def xy(x: float, y: float) -> str:
    """A point of a path."""
    return f"{coordinate(x)} {coordinate(y)}"
