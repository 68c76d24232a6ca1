"""Random programs of the catalogue's operators, and their exact meaning.

A step of a program is an operator at one of its cases. Each array of the case is given by an earlier result of its
shape and type, by an input, or by a constant; so the results of one operator are the inputs of others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from catalogue_points import Array, Point, all_points
from hypothesis import strategies as st

from chainrule import dtypes
from chainrule.compiler.interpret import evaluate
from chainrule.compiler.ir import Graph, Instruction, Operand, Value, abstract
from chainrule.compiler.trace import Tracer
from chainrule.ops.shape_maths import input_name, operand_type
from chainrule.tensor.arrays import dtype_of, numpy_dtype
from chainrule.tensor.backward import grad
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.tensor import Tensor, wrap

TYPICAL = all_points("typical", "kink")
SMOOTH = [p for p in TYPICAL if p.op.differentiable_inputs and p.op.kind.name != "random"]
UNIFORM = (0.0, -0.0, 1.0, 2.5)
NEUTRAL = (0, 1, 0.0, -0.0, 1.0)
Choices = list[tuple[int, int]]

steps = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=8)
"""For each step which operator, and how its inputs are chosen."""


def random_graph(choices: Choices) -> tuple[Graph, dict[Value, Array]]:
    """A program of calls, with movements and neutral elements in between; every third value is an output."""
    graph, arrays = Graph("random"), {}
    values: list[Value] = []

    def given(x: Array, how: int) -> Value:
        known = [v for v in values if (v.shape, v.dtype) == (x.shape, dtype_of(x.dtype))]
        if x.dtype.kind == "f" and known and how % 4:
            return known[how // 4 % len(known)]
        if how % 3 == 0:
            value = graph.input(x.shape, dtype_of(x.dtype), "argument")
            arrays[value] = x
            return value
        if x.dtype.kind == "f" and how % 3 == 1:
            x = np.full_like(x, UNIFORM[how // 3 % len(UNIFORM)])
        return graph.constant(x, dtype_of(x.dtype))

    for which, how in choices:
        point = TYPICAL[which % len(TYPICAL)]
        operands = [given(x, how // 7**i) if isinstance(x, np.ndarray) else x for i, x in enumerate(point.inputs())]
        made = graph.call(point.op, *operands, **point.params)
        values += made if isinstance(made, tuple) else (made,)
        values.append(_changed(graph, values[-1], how))
    graph.outputs = values[::3] + values[-1:]
    return graph, arrays


def _changed(graph: Graph, x: Value, how: int) -> Value:
    """The value by way of an instruction that may change nothing."""
    m, number = graph.maths, NEUTRAL[how // 11 % len(NEUTRAL)]
    ways = [
        lambda: -x, lambda: x + number, lambda: x * number, lambda: x - number, lambda: number * x, lambda: x / 1,
        lambda: m.reshape(x, shape=(-1, *[n for n in x.shape if n != 1])), lambda: m.reshape(x, shape=x.shape),
        lambda: m.permute(x, order=tuple(range(x.ndim))[::-1]), lambda: m.mT(x), lambda: m.clone(x),
        lambda: m.broadcast_to(x, shape=(2, *x.shape)), lambda: m.cast(x, dtype=dtypes.float64),
        lambda: m.cast(m.cast(x, dtype=dtypes.float32), dtype=dtypes.float64),
        lambda: x if 0 in x.shape else m.amax(x, axis=-1), lambda: m.sum(x, axis=-1),
        lambda: m.slice(x, key=(slice(None),)), lambda: m.where(x > 0, x, x),
        lambda: m.zeros(shape=x.shape, dtype=x.dtype) + x, lambda: m.cat(x, axis=0), lambda: m.pow(x, 1),
    ]  # fmt: skip
    before = len(graph.instructions)
    try:
        y: Value = ways[how % len(ways)]()
    except (RuntimeError, IndexError, ValueError):  # not for this shape or type
        del graph.instructions[before:]
        return x
    return y


def random_gradients(choices: Choices) -> tuple[Graph, dict[Value, Array]]:
    """A program of calls and of the rules of their derivatives: what a sweep from the sum of all results records."""
    tracer, arrays = Tracer("gradients"), {}
    leaves: list[Tensor] = []
    made: list[Tensor] = []

    def given(x: Array, how: int, has_rule: bool) -> Tensor:
        known = [t for t in made if has_rule and (t.shape, t.value.dtype) == (x.shape, x.dtype)]
        if known and how % 4:
            return known[how // 4 % len(known)]
        leaf = wrap(x, None).requires_grad_(has_rule)
        placeholder = tracer.argument(leaf, x)
        arrays[tracer.value_of(placeholder)] = x
        leaves.append(placeholder)
        return placeholder

    with tracer.active():
        for which, how in choices:
            point: Point = SMOOTH[which % len(SMOOTH)]
            rules = point.differentiable()
            operands = [
                given(x, how // 7**i, i in rules) if isinstance(x, np.ndarray) else x
                for i, x in enumerate(point.inputs())
            ]
            made.append(GATES[point.op.name](*operands, **point.params))
        found = grad(sum([t.sum() for t in made]), [t for t in leaves if t.requires_grad], allow_unused=True)
        gradients = [tracer.value_of(g) for g in found if g is not None]
    tracer.graph.outputs = gradients + [tracer.value_of(t) for t in made[:1]]
    return tracer.graph, arrays


# ---- meaning ---------------------------------------------------------------------------------------------------


def meaning(graph: Graph, arrays: dict[Value, Array]) -> list[Array]:
    """The outputs, each instruction run on arrays that lie in memory alike, whatever made them.

    NumPy rounds differently for other strides, and for a number beside an array.
    """
    known: dict[Value, Any] = {**graph.constants, **arrays}
    for instruction in graph:
        inputs = [known[x] if isinstance(x, Value) else x for x in instruction.inputs]
        if instruction.op.kind.broadcasts and instruction.values:
            inputs = stretched(instruction, inputs)
        made = evaluate(instruction, [np.asarray(x, order="C") if isinstance(x, np.ndarray) else x for x in inputs])
        known.update(zip(instruction.results, made, strict=True))
    return [known[y] for y in graph.outputs]


def stretched(instruction: Instruction, inputs: list[Any]) -> list[Any]:
    """The inputs of an elementwise operator as arrays of the result's shape."""
    common = operand_type(instruction.op, list(map(abstract, instruction.inputs)))

    def array(i: int, x: Operand) -> Any:
        if not isinstance(x, np.ndarray) and x is not None and input_name(instruction.op, i) in instruction.op.promotes:
            assert common is not None
            x = np.array(x, numpy_dtype(common))
        return np.broadcast_to(x, instruction.result.shape) if isinstance(x, np.ndarray) else x

    return [array(i, x) for i, x in enumerate(inputs)]


def assert_same_meaning(before: Graph, after: Graph, arrays: dict[Value, Array]) -> None:
    """The second graph takes what the first one takes, new constants aside, and makes the same; 0.0 is not -0.0."""
    takes = [x for x in before.inputs if x.role != "constant"]
    taken = [x for x in after.inputs if x.role != "constant"]
    assert [(x.shape, x.dtype, x.role) for x in takes] == [(x.shape, x.dtype, x.role) for x in taken]
    same = {new: arrays[old] for old, new in zip(takes, taken, strict=True)}
    for y, z in zip(meaning(before, arrays), meaning(after, same), strict=True):
        assert (y.shape, y.dtype) == (z.shape, z.dtype)
        # a folded number may come from another loop of NumPy's than the elements of an array
        np.testing.assert_allclose(z, y, rtol=1e-12, atol=0)
        if y.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(z[y == 0]), np.signbit(y[y == 0]))
