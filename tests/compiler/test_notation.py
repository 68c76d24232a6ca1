"""What `print(graph)` writes, `parse` reads."""

from __future__ import annotations

import numpy as np
import pytest
from catalogue_points import Point, at
from hypothesis import HealthCheck, given, settings
from random_graphs import Choices, assert_same_meaning, random_gradients, random_graph, steps
from recorded_points import POINTS, recorded

from chainrule import dtypes
from chainrule.compiler.ir import PRINTED, Graph
from chainrule.compiler.legal import check
from chainrule.compiler.notation import parse
from chainrule.compiler.passes.expand import expand
from chainrule.errors import ArgumentError, ArgumentTypeError

STEP = """\
graph step(
    %x: float32[2, 3] argument
    %layer.0.weight: float32[3, 4] state
    %1: float32[] constant = 0.5
) {
    %2: float32[2, 4] = matmul(%x, %layer.0.weight)  # step, train.py:12
    %3: float32[2, 4] = mul(%2, %1)  # step, train.py:13
    %4: float32[1, 4] = slice(%3, key=(slice(0, 1, None), slice(None, None, None)))
    return %4, %3
}"""


def test_the_notation() -> None:
    graph = parse(STEP)
    check(graph)
    assert str(graph) == STEP
    assert graph.name == "step"
    assert graph.instructions[0].site == "step, train.py:12"
    assert graph.instructions[2].params == {"key": (slice(0, 1), slice(None))}
    assert graph.constants[graph.inputs[2]] == np.float32(0.5)


@at(POINTS)
def test_a_call_is_read_as_it_was_written(point: Point) -> None:
    for graph in (recorded(point)[0], expand(recorded(point)[0])):
        again = parse(str(graph))
        check(again)
        assert str(again) == str(graph)


@pytest.mark.parametrize("program", [random_graph, random_gradients])
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(choices=steps)
def test_a_program_that_was_written_and_read_means_the_same(program: type, choices: Choices) -> None:
    graph, arrays = program(choices)
    again = parse(str(graph))
    assert str(again) == str(graph)
    if all(array.size <= PRINTED for array in graph.constants.values()):
        check(again)
        assert_same_meaning(graph, again, arrays)


def test_small_constants_are_written_with_their_elements() -> None:
    graph = Graph()
    elements = np.array([[0.1, -0.0, np.inf], [-np.inf, np.nan, 3.0]], np.float32)
    for array in (elements, np.zeros((0, 3), np.float32), np.float32(0.1).reshape(())):
        graph.constant(array, dtypes.float32)
    again = parse(str(graph))
    check(again)
    for a, b in zip(graph.constants.values(), again.constants.values(), strict=True):
        assert (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())


def test_a_large_constant_is_read_without_its_array() -> None:
    graph = Graph()
    graph.constant(np.zeros(PRINTED + 1), dtypes.float64)
    again = parse(str(graph))
    assert again.inputs[0].role == "constant"
    assert not again.constants


def test_operands_and_parameters_of_all_kinds_are_read() -> None:
    graph = Graph()
    x = graph.input((2, 3), dtypes.float32, "argument", "x")
    m = graph.maths
    graph.outputs = [
        m.where(x > 1e-30, x, float("-inf")), m.pow(x, float("nan")), m.add(x, True), m.linear(x, x, None),
        m.cast(x, dtype=dtypes.bool_), m.einsum(x, spec="ij->ji"), m.pad(x, widths=((0, 1), (2, 0)), value=-1.5),
    ]  # fmt: skip
    assert str(parse(str(graph))) == str(graph)


def test_what_is_read_can_be_continued() -> None:
    graph = parse(STEP)
    y = graph.outputs[0] * 2.0
    assert y.name not in {x.name for x in (*graph.inputs, *[y for i in graph.instructions[:-1] for y in i.results])}
    check(graph)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("matmul(%x, %layer.0.weight)", "matmul(%x, %9)", r"line 6 of a graph: %9 is not defined"),
        ("return %4", "return %7", r"%7 is not defined"),
        ("matmul(", "outer_product(", "no call of an operator"),
        ("= mul(%2, %1)", "= %2", "no call of an operator"),
        ("mul(%2, %1)", "mul(%2, f())", r"what is f\(\)\?"),
        ("mul(%2, %1)", "mul(%2,, %1)", "invalid syntax"),
        ("return", "give", "neither an input nor an instruction"),
        ("= 0.5", "= __import__('os')", "what is"),
    ],
)
def test_parse_raises_when_a_line_is_not_of_the_notation(old: str, new: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        parse(STEP.replace(old, new))


def test_parse_raises_when_an_element_type_is_unknown() -> None:
    with pytest.raises(ArgumentTypeError, match="float31"):
        parse(STEP.replace("%x: float32", "%x: float31"))
