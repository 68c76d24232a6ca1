"""What is put side by side along the first axis is computed where the whole has it, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiled_calls import compiled
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule import dtypes
from chainrule.compiler import interpret
from chainrule.compiler.ir import Graph, Value
from chainrule.compiler.targets.llvm.target import Plan
from chainrule.tensor.arrays import numpy_dtype

Step = tuple[str, list[int]]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["exp", "product", "below", "below", "beside", "part", "sum", "double"]),
        st.lists(st.integers(0, 50), min_size=1, max_size=4),
    ),
    min_size=3,
    max_size=14,
)


def graph_of(steps: list[Step], outputs: list[int]) -> Graph:
    """A program on matrices of three columns, mostly of concatenations; what can't be joined is passed over."""
    graph = Graph()
    m = graph.maths
    values: list[Value] = [
        graph.input((2, 3), dtypes.float32, "argument"),
        graph.input((3, 3), dtypes.float32, "argument"),
    ]
    for name, picks in steps:
        chosen = [values[i % len(values)] for i in picks]
        x = chosen[0]
        if name == "exp":
            values.append(m.sin(x))
        elif name == "product":
            values.append(m.matmul(x, values[1]))
        elif name == "below":
            values.append(m.cat(*chosen, axis=0))
        elif name == "beside":
            wide = m.cat(x, x * 2, axis=1)
            values.append(m.slice(wide, key=(slice(None), slice(1, 4))))
        elif name == "part":
            values.append(m.slice(x, key=(slice(0, max(1, x.shape[0] // 2)),)))
        elif name == "sum":
            values.append(m.broadcast_to(m.sum(x, axis=(0,), keepdims=True), shape=x.shape) + 0.5)
        else:
            values.append(m.cast(m.cast(x, dtype=dtypes.float64) * 2, dtype=dtypes.float32))
        if values[-1].shape[0] > 200:
            values.pop()
    graph.outputs = [values[i % len(values)] for i in outputs] + [values[-1]]
    return graph


def both(graph: Graph) -> tuple[Any, Any]:
    """What machine code gives, and what NumPy does."""
    given = [np.random.default_rng(i).standard_normal(x.shape).astype(np.float32) for i, x in enumerate(graph.inputs)]
    got, expected = ([np.full(y.shape, np.nan, numpy_dtype(y.dtype)) for y in graph.outputs] for _ in range(2))
    compiled(graph)(given, got)
    interpret.executable(graph)(given, expected)
    return got, expected


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, outputs=st.lists(st.integers(0, 50), max_size=3))
def test_random_programs_of_concatenations_give_what_numpy_does(steps: list[Step], outputs: list[int]) -> None:
    for got, expected in zip(*both(graph_of(steps, outputs)), strict=True):
        scale = np.abs(expected).max(initial=1)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * scale)


def plan_of(graph: Graph) -> Plan:
    return compiled(graph).plan


def test_the_parts_lie_in_the_whole_one_after_the_other() -> None:
    graph = Graph()
    x = graph.input((2, 3), dtypes.float32, "argument")
    m = graph.maths
    parts = [m.matmul(x, m.mT(x)) for _ in range(1)] + [m.matmul(m.sin(x), m.mT(x))]
    whole = m.cat(*parts, axis=0)
    graph.outputs = [m.sum(m.exp(whole), axis=(0,), keepdims=False), m.matmul(whole, x)]
    plan = plan_of(graph)
    (cat,) = [g for g in plan.groups if g.kind == "pieces"]
    offsets = [plan.places[v].offset for v in cat.instructions[0].values]
    assert [o - plan.places[cat.instructions[0].result].offset for o in offsets] == [0, 16]
    assert cat.placed == {0, 1}
    assert [g for step in plan.steps for _, g in step.kernels if g is cat] == []


@pytest.mark.parametrize("case", ["twice", "an argument", "across", "a result"])
def test_what_cannot_lie_there_is_copied(case: str) -> None:
    graph = Graph()
    x = graph.input((2, 2), dtypes.float32, "argument")
    m = graph.maths
    y = m.matmul(x, x)
    inputs = {"twice": [y, y], "an argument": [x, y], "across": [y, m.matmul(y, x)], "a result": [y, m.matmul(y, x)]}
    whole = m.cat(*inputs[case], axis=1 if case == "across" else 0)
    graph.outputs = [m.matmul(m.mT(whole), whole), *[y] * (case == "a result")]
    (cat,) = [g for g in plan_of(graph).groups if g.kind == "pieces"]
    assert cat.placed == {"twice": {0}, "an argument": {1}, "across": set(), "a result": {1}}[case]
    for got, expected in zip(*both(graph), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
