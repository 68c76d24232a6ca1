"""Charts as SVG: gaps, thinning, log axes, and lines told apart without colour."""

import math
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chainrule.report import Bars, LineChart, Series, to_svg
from chainrule.report.points import lines_and_dots, notes, runs, thinned
from chainrule.report.svg import LINE_HEIGHT, _apart

NAMESPACE = "{http://www.w3.org/2000/svg}"
any_value = st.none() | st.floats() | st.integers(-(10**9), 10**9)


def chart_of(*columns, log_y=False):
    series = [Series(f"series {i}", list(range(len(ys))), ys) for i, ys in enumerate(columns)]
    return LineChart("Title", "epoch", "loss", series, log_y=log_y)


def parsed(chart):
    return ElementTree.fromstring(to_svg(chart))


def texts(chart):
    return [node.text for node in parsed(chart).iter(f"{NAMESPACE}text")]


def line_paths(chart):
    """The paths of the series' lines, which alone are 1.8 wide."""
    return [node.get("d") for node in parsed(chart).iter(f"{NAMESPACE}path") if node.get("stroke-width") == "1.8"]


def numbers_in(svg):
    return [float(number) for number in re.findall(r"[MLHV]([-\d.]+)", svg)]


@given(st.lists(st.lists(any_value, max_size=12), max_size=6), st.booleans())
def test_any_values_make_a_well_formed_picture_without_nan_or_infinity(columns, log_y):
    svg = to_svg(chart_of(*columns, log_y=log_y))
    root = ElementTree.fromstring(svg)
    drawn = " ".join(node.get("d") for node in root.iter(f"{NAMESPACE}path"))
    assert "nan" not in drawn
    assert "inf" not in drawn
    _, _, width, height = map(float, root.get("viewBox").split())
    assert all(-20 <= number <= max(width, height) + 20 for number in numbers_in(drawn))


@given(st.lists(any_value, max_size=12))
def test_any_bars_make_a_well_formed_picture(values):
    root = parsed(Bars("Bars", [f"bar {i}" for i in range(len(values))], values))
    widths = [float(node.get("width")) for node in root.iter(f"{NAMESPACE}rect")]
    assert all(0 <= width <= 480 for width in widths)


def test_nan_infinity_and_none_leave_gaps_and_a_note():
    chart = chart_of([1.0, 2.0, math.nan, 3.0, 4.0, None, 5.0, math.inf])
    assert [len(run) for run in runs(chart.series[0], log_y=False)] == [2, 2, 1]
    assert line_paths(chart)[0].count("M") == 2
    assert notes(chart) == [
        "series 0: 3 of 8 values (first at epoch 2) are missing or not finite, and left out of the line."
    ]


def test_a_point_between_gaps_is_drawn_as_a_dot():
    dots = [node for node in parsed(chart_of([1.0, None, 2.0])).iter() if node.get("stroke-linecap") == "round"]
    assert dots[0].get("d").count("h0") == 2


def test_a_log_axis_leaves_out_values_that_are_not_positive_and_says_so():
    chart = chart_of([1.0, 0.0, -1.0, 2.0], log_y=True)
    assert [len(run) for run in runs(chart.series[0], log_y=True)] == [1, 1]
    assert notes(chart) == [
        "series 0: 2 of 4 values (first at epoch 1) are zero or negative, which a log axis cannot show."
    ]
    assert "loss (log scale)" in texts(chart)


def test_series_with_the_same_note_share_it():
    assert notes(chart_of([math.nan], [math.nan])) == [
        "series 0, series 1: 1 of 1 values (first at epoch 0) is missing or not finite, and left out of the line."
    ]


def test_bars_without_a_value_are_named():
    assert notes(Bars("Recall", ["a", "b"], [math.nan, 1.0])) == ["No bar for a: the value is missing or not finite."]


def test_an_empty_chart_says_that_there_is_nothing_to_draw():
    assert texts(chart_of()) == texts(chart_of([], [None])) == ["No values to draw"]
    assert texts(Bars("Bars", [], [])) == ["No values to draw"]


def test_thinning_keeps_minima_maxima_and_both_ends():
    heights = [math.sin(i / 7000) for i in range(100_000)]
    heights[54_321], heights[77_777] = 9.0, -9.0
    points = [(i / 250, y) for i, y in enumerate(heights)]
    kept = thinned(points)
    assert len(kept) <= 4 * 400
    assert {points[0], points[54_321], points[77_777], points[-1]} <= set(kept)


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(-5, 5)), min_size=1))
def test_thinning_keeps_every_column_of_pixels_its_extremes_and_its_order(points):
    points.sort(key=lambda point: point[0])
    kept = thinned(points)
    remaining = iter(points)
    assert all(point in remaining for point in kept)
    for column in {math.floor(x) for x, _ in points}:
        before = [y for x, y in points if math.floor(x) == column]
        after = [y for x, y in kept if math.floor(x) == column]
        assert (min(after), max(after), after[0], after[-1]) == (
            min(before),
            max(before),
            before[0],
            before[-1],
        )
        assert len(after) <= 4


def test_a_hundred_thousand_points_make_a_small_picture_even_when_every_other_is_missing():
    ys = [math.sin(i) if i % 2 else None for i in range(100_000)]
    assert len(to_svg(chart_of(ys))) < 60_000
    assert len(to_svg(chart_of([math.sin(i) for i in range(100_000)]))) < 60_000


def test_stretches_within_one_column_of_pixels_become_dots():
    lines, dots = lines_and_dots([[(0.1, 1.0), (0.2, 2.0)], [(0.5, 3.0), (4.0, 4.0)]])
    assert (lines, dots) == ([[(0.5, 3.0), (4.0, 4.0)]], [(0.1, 1.0), (0.2, 2.0)])


def test_twenty_eight_series_differ_in_dashes_or_markers_without_colour():
    root = parsed(chart_of(*[[1.0 + i, 2.0 + i] for i in range(28)]))
    looks = set()
    for group in root.iter(f"{NAMESPACE}g"):
        line, marker = group.findall(f"{NAMESPACE}path")
        shape = re.sub(r"M[-\d.]+ [-\d.]+", "|", marker.get("d")).split("|")[1]
        looks.add((line.get("stroke-dasharray"), shape))
    assert len(looks) == 28


def test_few_series_are_named_beside_their_lines_and_many_in_a_legend():
    few, many = chart_of(*[[1.0, 2.0]] * 2), chart_of(*[[1.0, 2.0]] * 9)
    assert texts(few)[-2:] == ["series 0", "series 1"]
    height_of = {len(chart.series): float(parsed(chart).get("viewBox").split()[3]) for chart in (few, many)}
    assert height_of[9] > height_of[2] + 2 * LINE_HEIGHT
    assert {f"series {i}" for i in range(9)} <= set(texts(many))


@given(st.lists(st.floats(0, 200), min_size=1, max_size=4))
def test_names_beside_lines_do_not_overlap(heights):
    moved = _apart(sorted(heights), 0, 200)
    assert all(0 <= height <= 200 for height in moved)
    assert all(later - earlier >= LINE_HEIGHT - 2.001 for earlier, later in pairwise(moved))


def test_a_picture_has_an_accessible_name_a_description_and_a_view_box():
    root = parsed(chart_of([2.0, 1.0]))
    assert root.get("role") == "img"
    assert root.get("aria-label") == root.find(f"{NAMESPACE}title").text == "Title"
    assert root.find(f"{NAMESPACE}desc").text == "loss / epoch: series 0 → 1.000"
    assert root.get("viewBox").startswith("0 0 480 ")
    assert root.get("width") is None


def test_a_negative_bar_ends_left_of_zero_with_its_value_beside_it():
    positive, negative = parsed(Bars("Bars", ["up", "down"], [2.0, -1.0])).iter(f"{NAMESPACE}rect")
    zero = float(positive.get("x"))
    assert float(negative.get("x")) + float(negative.get("width")) - zero < 0.11
    assert abs(float(positive.get("width")) - 2 * float(negative.get("width"))) < 0.3


def test_names_are_escaped():
    svg = to_svg(LineChart('<b>"&', "<x>", "<y>", [Series("<s>", [1, 2], [1.0, 2.0])]))
    assert "<b>" not in svg
    assert "<s>" not in svg
    ElementTree.fromstring(svg)
