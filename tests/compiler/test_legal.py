"""Each rule that a graph can break is noticed, with the instruction that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from catalogue_points import Point, at
from recorded_points import POINTS, recorded

from chainrule import dtypes
from chainrule.compiler.ir import Graph, Instruction, Value
from chainrule.compiler.legal import check
from chainrule.errors import IllegalGraphError
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.op import REQUIRED


def lawful() -> Graph:
    """x (2, 3) and c (3,); %3 = x c, %4 = sum of %3 over axis 1."""
    graph = Graph()
    x, c = graph.input((2, 3), dtypes.float32, "argument"), graph.constant(np.ones(3, np.float32), dtypes.float32)
    graph.outputs = [graph.maths.sum(x * c, axis=1)]
    return graph


@at(POINTS)
def test_a_recorded_call_is_legal(point: Point) -> None:
    check(recorded(point)[0])


def test_a_lawful_graph_is_legal() -> None:
    check(lawful())


def rebuilt(graph: Graph, place: int, **changes: Any) -> None:
    """Put a changed copy in the place of an instruction; it has the old one's results."""
    old = graph.instructions[place]
    new = Instruction(changes.get("op", old.op), changes.get("inputs", old.inputs), changes.get("params", old.params))
    new.results = changes.get("results", old.results)
    for y in new.results:
        y.maker = new
    graph.instructions[place] = new


def a_value_of_another_graph(g: Graph) -> None:
    g.instructions[0].results[0].graph = Graph()


def an_input_of_another_graph(g: Graph) -> None:
    rebuilt(g, 0, inputs=(lawful().inputs[0], g.inputs[1]))


def two_definitions(g: Graph) -> None:
    g.inputs.append(g.inputs[0])


def an_instruction_twice(g: Graph) -> None:
    g.instructions.append(g.instructions[0])


def one_name_for_two_values(g: Graph) -> None:
    g.instructions[1].result.name = g.inputs[0].name


def use_before_definition(g: Graph) -> None:
    g.instructions.reverse()


def an_unknown_role(g: Graph) -> None:
    g.inputs[0].role = "guest"


def a_result_among_the_inputs(g: Graph) -> None:
    g.inputs.append(g.instructions.pop().result)
    g.inputs[-1].role = "argument"


def a_number_with_axes(g: Graph) -> None:
    g.inputs[0].role = "number"


def a_constant_without_an_array(g: Graph) -> None:
    g.constants.clear()


def a_constant_with_an_array_of_another_type(g: Graph) -> None:
    g.constants[g.inputs[1]] = np.ones(3)


def a_constant_with_an_array_of_another_shape(g: Graph) -> None:
    g.constants[g.inputs[1]] = np.ones(4, np.float32)


def an_array_for_no_input(g: Graph) -> None:
    g.constants[g.instructions[0].result] = np.ones((2, 3), np.float32)


def an_array_for_an_argument(g: Graph) -> None:
    g.constants[g.inputs[0]] = np.ones((2, 3), np.float32)


def too_few_inputs(g: Graph) -> None:
    rebuilt(g, 0, inputs=g.inputs[:1])


def too_many_inputs(g: Graph) -> None:
    rebuilt(g, 0, inputs=(*g.inputs, 1.0))


def an_array_as_operand(g: Graph) -> None:
    rebuilt(g, 0, inputs=(g.inputs[0], np.ones(3, np.float32)))


def none_as_operand(g: Graph) -> None:
    rebuilt(g, 0, inputs=(g.inputs[0], None))


def a_parameter_too_few(g: Graph) -> None:
    rebuilt(g, 1, params={"axis": 1})


def a_parameter_too_many(g: Graph) -> None:
    rebuilt(g, 1, params={"axis": 1, "keepdims": False, "where": None})


def a_parameter_without_value(g: Graph) -> None:
    rebuilt(g, 1, params={"axis": 1, "keepdims": REQUIRED})


def what_the_shape_rule_refuses(g: Graph) -> None:
    rebuilt(g, 1, params={"axis": 2, "keepdims": False})


def a_type_that_the_operator_does_not_take(g: Graph) -> None:
    rebuilt(g, 0, op=CATALOGUE["bitwise_and"])


def operands_of_two_types(g: Graph) -> None:
    rebuilt(g, 0, inputs=(g.inputs[0], g.constant(np.ones(3), dtypes.float64)))


def an_integer_operand_where_floats_are_made(g: Graph) -> None:
    i = g.input((2, 3), dtypes.int64, "argument")
    rebuilt(g, 0, op=CATALOGUE["div"], inputs=(i, i))


def a_result_of_another_shape(g: Graph) -> None:
    g.instructions[1].result.shape = (3,)


def a_result_of_another_type(g: Graph) -> None:
    g.instructions[1].result.dtype = dtypes.float64


def a_result_too_few(g: Graph) -> None:
    rebuilt(g, 1, results=())
    g.outputs = []


def a_result_with_the_role_of_an_input(g: Graph) -> None:
    g.instructions[1].result.role = "state"


def a_result_that_another_instruction_made(g: Graph) -> None:
    g.instructions[1].result.maker = g.instructions[0]


def an_undefined_output(g: Graph) -> None:
    g.outputs.append(Value(g, "9", (), dtypes.float32, "result"))


def a_number_as_output(g: Graph) -> None:
    g.outputs.append(1.0)  # type: ignore[arg-type]  # the mistake


BREAKING: dict[Callable[[Graph], None], str] = {
    a_value_of_another_graph: "belongs to another graph",
    an_input_of_another_graph: "is used before it is defined",
    two_definitions: "is defined twice",
    an_instruction_twice: "is defined twice",
    one_name_for_two_values: "has the name of another value",
    use_before_definition: "is used before it is defined",
    an_unknown_role: "has the role 'guest'",
    a_result_among_the_inputs: "that an instruction made",
    a_number_with_axes: "is a number with axes",
    a_constant_without_an_array: "is a constant without an array",
    a_constant_with_an_array_of_another_type: "whose array is float64",
    a_constant_with_an_array_of_another_shape: r"whose array is float32 \(4,\)",
    an_array_for_no_input: "has an array and is no constant",
    an_array_for_an_argument: "has an array and is no constant",
    too_few_inputs: "takes 2 to 2 inputs, not 1",
    too_many_inputs: "takes 2 to 2 inputs, not 3",
    an_array_as_operand: "has a ndarray as 'b'",
    none_as_operand: "has None as 'b'",
    a_parameter_too_few: "has the parameters axis, keepdims",
    a_parameter_too_many: "has the parameters axis, keepdims",
    a_parameter_without_value: "lacks keepdims",
    what_the_shape_rule_refuses: "out of range",
    a_type_that_the_operator_does_not_take: "works on bits",
    operands_of_two_types: "computes in chainrule.float64 and has a chainrule.float32",
    an_integer_operand_where_floats_are_made: "computes in chainrule.float32 and has a chainrule.int64",
    a_result_of_another_shape: r"promises \[\(\(2,\), chainrule.float32\)\]",
    a_result_of_another_type: r"promises \[\(\(2,\), chainrule.float32\)\]",
    a_result_too_few: "promises",
    a_result_with_the_role_of_an_input: "does not know who made it",
    a_result_that_another_instruction_made: "does not know who made it",
    an_undefined_output: "is not defined",
    a_number_as_output: "is no value",
}


@pytest.mark.parametrize(("violation", "message"), BREAKING.items(), ids=[v.__name__ for v in BREAKING])
def test_check_raises_for(violation: Callable[[Graph], None], message: str) -> None:
    graph = lawful()
    violation(graph)
    with pytest.raises(IllegalGraphError, match=message):
        check(graph)


def test_the_error_names_the_instruction() -> None:
    graph = lawful()
    graph.instructions[1].result.shape = (3,)
    with pytest.raises(IllegalGraphError, match=r"in %4: float32\[3\] = sum\(%3, axis=1, keepdims=False\)"):
        check(graph)


def test_an_illegal_graph_is_a_failed_assertion() -> None:
    graph = lawful()
    graph.inputs.append(graph.inputs[0])
    with pytest.raises(AssertionError):
        check(graph)
