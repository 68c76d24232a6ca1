"""Running text: lines of a terminal, formulas inside sentences, the space between a factor and a function."""

from __future__ import annotations

from chainrule.notation.boxes import (
    APPLY,
    TIMES,
    Fenced,
    Fraction,
    Identifier,
    Numeral,
    Operator,
    Row,
    Word,
    in_line,
    row,
)
from chainrule.notation.mathml import mathml
from chainrule.notation.plain import cells, plain
from chainrule.notation.wrapping import wrapped

CHINESE = (
    "从神经元 k 到神经元 j 的权重乘以 a 的第 k 个元素，加到第 j 个和里："
    "它的导数是 δ 的第 j 个元素乘以 a 的第 k 个元素。"
)


def test_no_line_is_wider_than_asked_in_cells_and_nothing_is_lost() -> None:
    for width in (20, 41, 80):
        lines = wrapped(CHINESE, width, "    ")
        assert max(map(cells, lines)) <= width
        assert "".join(lines).replace(" ", "") == CHINESE.replace(" ", "")
        assert all(line.startswith("    ") for line in lines)


def test_no_line_begins_with_a_chinese_comma() -> None:
    for width in range(10, 60):
        assert not any(line.lstrip()[0] in "，。：" for line in wrapped(CHINESE, width))


def test_english_is_broken_at_spaces_and_a_long_word_stands_alone() -> None:
    assert wrapped("one two three", 8) == ["one two", "three"]
    assert wrapped("a " + "b" * 20, 8) == ["a", "b" * 20]
    assert wrapped("", 8) == []


def test_a_fraction_in_a_sentence_has_a_slash() -> None:
    d, z, w = Identifier("∂"), Identifier("z"), Identifier("w")
    rate = Fraction(row(d, Identifier("L")), row(d, z))
    assert plain(in_line(row(rate, TIMES, w))) == "∂L/∂z w"
    assert "mfrac" not in mathml(in_line(Fenced(rate)))


def test_a_fraction_of_sums_stays_a_fraction_in_a_sentence() -> None:
    total = Fraction(row(Identifier("a"), Operator("+"), Identifier("b")), Numeral("2"))
    assert in_line(total) == total


def test_there_is_more_space_before_the_name_of_a_function() -> None:
    trace = mathml(Row((Numeral("2"), TIMES, Word("tr"), APPLY, Fenced(Identifier("A")))))
    letters = mathml(Row((Numeral("2"), TIMES, Identifier("A"))))
    assert 'rspace="0.22em"' in trace
    assert 'rspace="0.12em"' in letters
