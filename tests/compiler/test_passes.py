"""Passes keep the meaning of programs, and remove what they are there to remove."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from catalogue_points import Point, at
from hypothesis import HealthCheck, given, settings
from random_graphs import Choices, assert_same_meaning, random_gradients, random_graph, steps
from recorded_points import POINTS, recorded

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import dtypes, nn, optim
from chainrule.compiler import interpret
from chainrule.compiler.ir import Graph, Value
from chainrule.compiler.legal import check
from chainrule.compiler.passes.common_subexpressions import share_common_subexpressions
from chainrule.compiler.passes.dead_code import remove_dead_code
from chainrule.compiler.passes.expand import expand
from chainrule.compiler.passes.fold_constants import MOST_BYTES, fold_constants
from chainrule.compiler.passes.identities import RULES
from chainrule.compiler.passes.rephrase import rephrase
from chainrule.compiler.passes.simplify import PASSES, simplify
from chainrule.compiler.rewrite import extracted
from chainrule.dtypes import DType
from chainrule.ops.catalogue import CATALOGUE
from chainrule.shapes import Shape
from chainrule.tensor.arrays import numpy_dtype

Pass = Callable[[Graph], Graph]
ALL: tuple[Pass, ...] = (*PASSES, simplify)
SIMPLIFYING = pytest.mark.parametrize("simpler", ALL, ids=[p.__name__ for p in ALL])


def graph_of(body: Callable[..., Any], *shapes: Shape, dtype: DType = dtypes.float32, role: str = "argument") -> Graph:
    """The graph that a function of (m, inputs) records."""
    graph = Graph()
    y = body(graph.maths, *[graph.input(shape, dtype, role) for shape in shapes])
    graph.outputs = list(y) if isinstance(y, tuple) else [y]
    return graph


def names(graph: Graph) -> list[str]:
    """The operators that a graph calls, in order."""
    return [instruction.op.name for instruction in graph]


# ---- all passes ------------------------------------------------------------------------------------------------


@SIMPLIFYING
@pytest.mark.parametrize("program", [random_graph, random_gradients])
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(choices=steps)
def test_a_pass_keeps_the_meaning_of_a_program_and_has_nothing_to_do_twice(
    program: Any, simpler: Pass, choices: Choices
) -> None:
    graph, arrays = program(choices)
    text = str(graph)
    for before in (graph, expand(graph)):
        after = simpler(before)
        check(after)
        given = dict(zip(before.inputs, map(arrays.get, graph.inputs), strict=True))
        assert_same_meaning(before, after, {x: a for x, a in given.items() if a is not None})
        assert str(simpler(after)) == str(after)
    assert str(graph) == text


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(choices=steps)
def test_gradients_are_expanded_to_legal_graphs_of_primitives(choices: Choices) -> None:
    graph, _ = random_gradients(choices)
    after = expand(graph)
    check(after)
    assert all(instruction.op.primitive for instruction in after)
    assert [(y.shape, y.dtype) for y in after.outputs] == [(y.shape, y.dtype) for y in graph.outputs]


@SIMPLIFYING
def test_a_pass_keeps_the_users_lines(simpler: Pass) -> None:
    graph = Graph()
    graph.site = lambda: "step, train.py:7"
    x = graph.input((2, 3), dtypes.float32, "argument")
    graph.outputs = [
        graph.maths.softmax(x, axis=1),
        graph.maths.reshape(graph.maths.reshape(x, shape=(6,)), shape=(3, 2)),
    ]
    for after in (expand(graph), simpler(expand(graph))):
        assert {instruction.site for instruction in after} == {"step, train.py:7"}


@SIMPLIFYING
def test_a_pass_keeps_the_inputs_in_their_places(simpler: Pass) -> None:
    graph = Graph()
    graph.input((2,), dtypes.float32, "argument", "x")
    graph.constant(np.ones(2, np.float32), dtypes.float32)
    state = graph.input((), dtypes.float32, "state")
    graph.outputs = [state * 1]
    assert [(x.role, x.shape) for x in simpler(graph).inputs] == [(x.role, x.shape) for x in graph.inputs]
    assert simpler(graph).inputs[0].name == "x"


# ---- expansion -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@at(POINTS)
def test_an_operator_taken_apart_is_the_operator(point: Point, dtype: Any) -> None:
    graph, arrays = recorded(point, dtype)
    after = expand(graph)
    check(after)
    assert all(instruction.op.primitive for instruction in after)
    tolerance = 16 * np.finfo(dtype).eps  # two ways to one number: sums in another order, sinh by exponentials
    for y, z in zip(interpret.program(graph)(arrays), interpret.program(after)(arrays), strict=True):
        assert (y.shape, y.dtype) == (z.shape, z.dtype)
        largest = np.max(np.abs(y[np.isfinite(y)]), initial=1)
        np.testing.assert_allclose(z, y, rtol=tolerance, atol=tolerance * largest)


def test_what_the_target_runs_directly_is_kept_also_within_bodies() -> None:
    graph = graph_of(lambda m, x: m.gelu(m.softmax(m.mT(x), axis=-1)), (2, 3))
    assert {"mT", "softmax"} <= set(names(expand(graph, frozenset(("mT", "softmax")))))
    assert not {"mT", "softmax", "gelu"} & set(names(expand(graph)))
    within = graph_of(lambda m, x, w: m.linear(x, w), (2, 3), (4, 3))
    assert "mT" in names(expand(within, frozenset(("mT",))))


def test_arithmetic_of_hyperparameters_stays_in_float64() -> None:
    graph = Graph()
    p, g, moment, square = (graph.input((3,), dtypes.float32, "state") for _ in range(4))
    step = graph.input((), dtypes.float32, "state")
    numbers = [graph.input((), dtypes.float64, "number") for _ in range(4)]
    graph.outputs = list(
        graph.call(CATALOGUE["adam"], p, g, moment, square, step, *numbers, None, None, maximize=False)
    )
    powers = [i for i in simplify(expand(graph)) if i.op.name == "pow"]
    assert [(i.result.shape, i.result.dtype) for i in powers] == [((), dtypes.float64)] * 2


# ---- constants -------------------------------------------------------------------------------------------------


def test_what_is_known_is_computed_once() -> None:
    graph = Graph()
    c = graph.constant(np.array([1.0, 2.0], np.float32), dtypes.float32)
    x = graph.input((2,), dtypes.float32, "argument")
    graph.outputs = [x + graph.maths.square(c) * c]
    after = simplify(graph)
    assert names(after) == ["add"]
    (_, value) = after.instructions[0].values
    np.testing.assert_array_equal(after.constants[value], np.float32([1, 8]))


def test_a_large_result_is_left_to_the_program() -> None:
    graph = Graph()
    c = graph.constant(np.arange(MOST_BYTES // 4, dtype=np.float32), dtypes.float32)
    graph.outputs = [graph.maths.sin(c), graph.maths.sin(graph.maths.slice(c, key=(slice(1, None),)))]
    assert names(fold_constants(graph)) == ["sin"]


def test_no_array_is_made_that_is_larger_than_what_it_comes_from() -> None:
    graph = Graph()
    c = graph.constant(np.array([1, 0]), dtypes.int64)
    m = graph.maths
    graph.outputs = [
        m.eye(size=3, dtype=dtypes.float32), m.one_hot(c, classes=5, dtype=dtypes.float32),
        m.broadcast_to(c, shape=(4, 2)), m.pad(c, widths=((1, 1),)),
    ]  # fmt: skip
    assert names(simplify(graph)) == ["eye", "one_hot", "broadcast_to", "pad"]


def test_zeros_and_stretched_numbers_stay_numbers() -> None:
    def body(m: Any, x: Value) -> Value:
        zeros = m.zeros(shape=(300, 400), dtype=dtypes.float32)
        spread = m.reshape(m.exp(zeros) * 2.0, shape=(400, 300))
        return x * m.mT(spread)

    after = simplify(graph_of(body, (300, 400)))
    assert [repr(i).split(" = ")[1] for i in after] == ["mul(%1, 2.0)"]
    spread = simplify(graph_of(lambda m: m.exp(m.zeros(shape=(300, 400), dtype=dtypes.float32))))
    assert names(spread) == ["broadcast_to"]
    assert [array.size for array in spread.constants.values()] == [1]


def test_a_constant_of_equal_elements_is_a_number_where_elements_are_computed() -> None:
    graph = Graph()
    ones = graph.constant(np.ones((2, 3), np.float32), dtypes.float32)
    x = graph.input((2, 3), dtypes.float32, "argument")
    graph.outputs = [ones * x, graph.maths.matmul(graph.maths.mT(ones), x)]
    after = simplify(graph)
    assert after.outputs[0] is after.inputs[1]
    assert names(after)[-1] == "matmul"


def test_a_constant_that_stretches_the_result_is_no_number() -> None:
    graph = Graph()
    ones = graph.constant(np.ones((2, 3), np.float32), dtypes.float32)
    graph.outputs = [ones * graph.input((3,), dtypes.float32, "argument")]
    assert names(simplify(graph)) == ["mul"]


@pytest.mark.parametrize("pair", [(0.0, -0.0), (np.nan, 1.0)])
def test_elements_with_other_bits_are_not_one_number(pair: tuple[float, float]) -> None:
    graph = Graph()
    c = graph.constant(np.array(pair), dtypes.float64)
    graph.outputs = [graph.input((2,), dtypes.float64, "argument") + c]
    assert str(fold_constants(graph)) == str(graph)


def test_constants_that_nothing_reads_go_unless_inputs_come_after_them() -> None:
    graph = Graph()
    early = graph.constant(np.ones(2), dtypes.float64)
    x = graph.input((2,), dtypes.float64, "argument")
    late = graph.constant(np.ones(2), dtypes.float64)
    graph.outputs = [early * x * late]
    assert [x.role for x in simplify(graph).inputs] == ["constant", "argument"]


# ---- identities ------------------------------------------------------------------------------------------------

NOTHING: dict[str, Callable[[Any, Any], Any]] = {
    "x * 1": lambda m, x: x * 1.0,
    "1 * x": lambda m, x: 1 * x,
    "x / 1": lambda m, x: x / 1,
    "x - 0": lambda m, x: x - 0.0,
    "x + -0": lambda m, x: x + -0.0,
    "x ^ 1": lambda m, x: m.pow(x, 1),
    "--x": lambda m, x: m.neg(m.neg(x)),
    "where(c, x, x)": lambda m, x: m.where(x > 0, x, x),
    "same cast": lambda m, x: m.cast(x, dtype=x.dtype),
    "cast there and back": lambda m, x: m.cast(m.cast(x, dtype=dtypes.float64), dtype=x.dtype),
    "same reshape": lambda m, x: m.reshape(x, shape=(-1, 3)),
    "reshape back": lambda m, x: m.reshape(m.reshape(x, shape=(6,)), shape=(2, 3)),
    "same order": lambda m, x: m.permute(x, order=(0, 1)),
    "orders undone": lambda m, x: m.permute(m.permute(x, order=(1, 0)), order=(1, 0)),
    "mT mT": lambda m, x: m.mT(m.mT(x)),
    "same stretch": lambda m, x: m.broadcast_to(x, shape=(2, 3)),
    "x[:, :]": lambda m, x: m.slice(x, key=(slice(None), slice(0, 3))),
    "clone": lambda m, x: m.clone(x),
    "cat of one": lambda m, x: m.cat(x, axis=0),
    "no margin": lambda m, x: m.pad(x, widths=((0, 0), (0, 0))),
    "max over nothing": lambda m, x: m.reshape(m.amax(m.reshape(x, shape=(2, 1, 3)), axis=1), shape=(2, 3)),
}


@pytest.mark.parametrize("body", NOTHING.values(), ids=NOTHING.keys())
def test_what_changes_nothing_is_removed(body: Any) -> None:
    after = simplify(graph_of(body, (2, 3)))
    assert names(after) == []
    assert after.outputs == after.inputs


SOMETHING: dict[str, tuple[Callable[[Any, Any], Any], DType]] = {
    "x + 0 of floats": (lambda m, x: x + 0.0, dtypes.float32),
    "0 + x of floats": (lambda m, x: 0 + x, dtypes.float32),
    "x - (-0)": (lambda m, x: x - -0.0, dtypes.float32),
    "0 x": (lambda m, x: 0 * x, dtypes.float32),
    "1 - x": (lambda m, x: 1 - x, dtypes.float32),
    "1 / x": (lambda m, x: 1 / x, dtypes.float32),
    "1 ^ x": (lambda m, x: m.pow(1, x), dtypes.float32),
    "sum of one int32, which is int64": (lambda m, x: m.sum(m.slice(x, key=(slice(0, 1),)), axis=0), dtypes.int32),
    "int32 by way of float32": (lambda m, x: m.cast(m.cast(x, dtype=dtypes.float32), dtype=x.dtype), dtypes.int32),
    "int64 by way of float64": (lambda m, x: m.cast(m.cast(x, dtype=dtypes.float64), dtype=x.dtype), dtypes.int64),
    "not not of an integer": (lambda m, x: m.logical_not(m.logical_not(x)), dtypes.int64),
    "x backwards": (lambda m, x: m.slice(x, key=(slice(None, None, -1), slice(None))), dtypes.float32),
    "another order of equal sizes": (lambda m, x: m.mT(m.slice(x, key=(slice(0, 2), slice(0, 2)))), dtypes.float32),
    "where stretches": (lambda m, x: m.where(m.reshape(x, shape=(2, 1, 3)) > 0, x, x), dtypes.float32),
}


@pytest.mark.parametrize(("body", "dtype"), SOMETHING.values(), ids=SOMETHING.keys())
def test_what_looks_like_nothing_is_kept(body: Any, dtype: DType) -> None:
    graph = graph_of(body, (2, 3), dtype=dtype)
    assert names(simplify(graph)) == names(graph)


def test_the_sum_of_one_float_is_that_float_plus_zero() -> None:
    graph = graph_of(lambda m, x: m.sum(m.slice(x, key=(slice(0, 1),)), axis=0), (2, 3), dtype=dtypes.float32)
    simple = simplify(graph)
    assert names(simple) == ["slice", "reshape", "add"]
    x = np.array([[-0.0, np.nan, 2.0], [1.0, 1.0, 1.0]], np.float32)
    (found,), (expected,) = (interpret.program(g)([x]) for g in (simple, graph))
    assert found.tobytes() == (x[0] + np.float32(0)).tobytes()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["sum", "prod", "amax", "any"])
def test_a_reduction_over_nothing_is_a_reshape_if_it_keeps_the_type(name: str) -> None:
    dtype = dtypes.bool_ if name == "any" else dtypes.int64
    graph = graph_of(lambda m, x: getattr(m, name)(x, axis=(0, 2)), (1, 3, 1), dtype=dtype)
    assert names(simplify(graph)) == ["reshape"]


def test_chains_of_movements_are_one() -> None:
    def body(m: Any, x: Value) -> tuple[Value, ...]:
        shaped = m.reshape(m.reshape(m.reshape(x, shape=(6,)), shape=(3, 2)), shape=(1, -1))
        spread = m.broadcast_to(m.broadcast_to(x, shape=(4, 2, 3)), shape=(5, 4, 2, 3))
        turned = m.permute(m.permute(spread, order=(1, 2, 3, 0)), order=(3, 0, 2, 1))
        return shaped, spread, turned

    after = simplify(graph_of(body, (2, 3)))
    assert [repr(i).split(" = ")[1] for i in after] == [
        "reshape(%1, shape=(1, 6))", "broadcast_to(%1, shape=(5, 4, 2, 3))", "permute(%3, order=(0, 1, 3, 2))"
    ]  # fmt: skip


def test_rules_are_for_operators_of_the_catalogue() -> None:
    assert RULES.keys() <= CATALOGUE.keys()


# ---- common subexpressions and dead code -----------------------------------------------------------------------


def test_equal_calls_are_one() -> None:
    after = share_common_subexpressions(graph_of(lambda m, x: m.exp(x * 2.0) + m.exp(x * 2.0), (3,)))
    assert names(after) == ["mul", "exp", "add"]


DIFFERENT: list[Callable[[Any, Any], Any]] = [
    lambda m, x: (x + 0.0, x + -0.0),
    lambda m, x: (x + 1, x + 1.0),
    lambda m, x: (m.sum(x, axis=0), m.sum(x, axis=1)),
    lambda m, x: (m.amax(x), m.amin(x)),
]


@pytest.mark.parametrize("body", DIFFERENT)
def test_calls_that_differ_in_anything_are_not_one(body: Any) -> None:
    assert len(share_common_subexpressions(graph_of(body, (3, 3))).instructions) == 2


def test_equal_constants_are_one_and_others_are_not() -> None:
    graph = Graph()
    x = graph.input((2,), dtypes.float32, "argument")
    a, b, c = (graph.constant(np.array(v, np.float32), dtypes.float32) for v in ([1, 2], [1, 2], [2, 1]))
    graph.outputs = [x + a, x + b, x + c]
    first, second, third = share_common_subexpressions(graph).outputs
    assert first is second
    assert first is not third


def test_only_what_outputs_need_is_left() -> None:
    graph = graph_of(lambda m, x: (m.exp(x), m.sin(x)), (3,))
    graph.outputs = graph.outputs[1:]
    assert names(remove_dead_code(graph)) == ["sin"]


def test_an_instruction_with_one_needed_result_keeps_all() -> None:
    graph = Graph()
    x = graph.input((2, 3), dtypes.float32, "argument")
    _, keep = graph.append(CATALOGUE["dropout"], (x, 7, 3), {"p": 0.5})
    graph.outputs = [keep]
    (instruction,) = remove_dead_code(graph)
    assert len(instruction.results) == 2


# ---- parts -----------------------------------------------------------------------------------------------------


def test_a_part_leads_from_its_inputs_to_its_outputs() -> None:
    graph = Graph()
    x, unused = (graph.input((2,), dtypes.float32, "state") for _ in range(2))
    c = graph.constant(np.array([1, 2], np.float32), dtypes.float32)
    middle = graph.maths.exp(x * c)
    graph.outputs = [graph.maths.sin(middle) + c, unused]
    part = extracted(graph, [unused, middle], graph.outputs)
    check(part)
    assert [x.role for x in part.inputs] == ["state", "argument", "constant"]
    assert names(part) == ["sin", "add"]
    assert part.outputs[1] is part.inputs[0]


def test_a_part_raises_when_an_output_does_not_follow_from_its_inputs() -> None:
    graph = graph_of(lambda m, x, y: m.exp(x) + y, (2,), (2,))
    with pytest.raises(KeyError):
        extracted(graph, graph.inputs[:1], graph.outputs)


# ---- a training step -------------------------------------------------------------------------------------------


def test_a_training_step_is_smaller_and_means_the_same() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Dropout(0.25), nn.Linear(5, 3))
    opt = optim.Adam(model.parameters(), lr=1e-2)

    def step(x: cr.Tensor, y: cr.Tensor) -> cr.Tensor:
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss

    graph = cr.compile(step).lower(cr.randn(4, 6), cr.tensor([0, 2, 1, 1])).traced
    rng = np.random.default_rng(0)
    arrays = {x: _sample(rng, x) for x in graph.inputs if x.role != "constant"}
    expanded = expand(graph)
    smaller = simplify(expanded)
    for other in (expanded, smaller):
        check(other)
        given = [a for x, a in zip(graph.inputs, map(arrays.get, graph.inputs), strict=True) if a is not None]
        for y, z in zip(interpret.run(graph, arrays), interpret.program(other)(given), strict=True):
            np.testing.assert_allclose(z, y, rtol=1e-5, atol=1e-6)  # float32, through a dozen operators
    assert len(smaller.instructions) < 0.85 * len(expanded.instructions)


def _sample(rng: np.random.Generator, x: Value) -> Any:
    """Elements that labels, moments, step counts and rates may have."""
    return (
        rng.uniform(0.1, 0.9, x.shape).astype(numpy_dtype(x.dtype))
        if x.dtype.kind == "f"
        else np.ones(x.shape, np.int64)
    )


# ---- rephrasing ------------------------------------------------------------------------------------------------


def pieces(m: Any, *xs: Any, cuts: list[tuple[int, int]], axis: int = 1, shape: tuple[int, ...] = (2, 6)) -> Any:
    """The sum of zeros with each x between its cuts."""
    whole = [slice(None)] * axis
    terms = [m.embed(x, key=(*whole, slice(a, b)), shape=shape) for x, (a, b) in zip(xs, cuts, strict=True)]
    return sum(terms[1:], terms[0])


def test_a_sum_of_pieces_that_tile_a_shape_is_the_pieces_side_by_side() -> None:
    cuts = [(3, 6), (0, 1), (1, 3)]
    graph = graph_of(lambda m, x, y, z: pieces(m, x, y, z, cuts=cuts), (2, 3), (2, 1), (2, 2))
    after = remove_dead_code(rephrase(graph))
    assert names(after) == ["cat"]
    arrays = [np.random.default_rng(i).standard_normal(v.shape).astype(np.float32) for i, v in enumerate(graph.inputs)]
    np.testing.assert_array_equal(interpret.program(after)(arrays)[0], interpret.program(graph)(arrays)[0])


@pytest.mark.parametrize(
    ("cuts", "shapes"),
    [
        ([(0, 3), (2, 6)], [(2, 3), (2, 4)]),  # they overlap
        ([(0, 2), (3, 6)], [(2, 2), (2, 3)]),  # a gap
        ([(0, 3), (0, 3)], [(2, 3), (2, 3)]),  # twice the same
        ([(0, 6)], [(2, 6)]),
    ],
)
def test_a_sum_of_pieces_that_do_not_tile_stays_a_sum(
    cuts: list[tuple[int, int]], shapes: list[tuple[int, ...]]
) -> None:
    graph = graph_of(lambda m, *xs: pieces(m, *xs, cuts=cuts), *shapes)
    assert "cat" not in names(rephrase(graph))


def test_pieces_of_shapes_that_are_stretched_stay_a_sum() -> None:
    graph = graph_of(
        lambda m, x, y: pieces(m, x, cuts=[(0, 2)], shape=(1, 4)) + pieces(m, y, cuts=[(2, 4)], shape=(3, 4)),
        (1, 2), (3, 2),
    )  # fmt: skip
    assert "cat" not in names(rephrase(graph))


def test_a_long_sum_of_pieces_is_joined() -> None:
    count = 1500
    graph = graph_of(
        lambda m, *xs: pieces(m, *xs, cuts=[(i, i + 1) for i in range(count)], shape=(2, count)), *[(2, 1)] * count
    )
    assert names(remove_dead_code(rephrase(graph))) == ["cat"]


def test_pieces_along_different_axes_or_beside_something_else_stay_a_sum() -> None:
    graph = graph_of(lambda m, x, y: pieces(m, x, cuts=[(0, 3)]) + pieces(m, y, cuts=[(1, 2)], axis=0), (2, 3), (1, 6))
    assert "cat" not in names(rephrase(graph))
    graph = graph_of(lambda m, x, y: pieces(m, x, cuts=[(0, 3)]) + y, (2, 3), (2, 6))
    assert "cat" not in names(rephrase(graph))
