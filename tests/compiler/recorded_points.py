"""The catalogue's points as graphs of one call each."""

from __future__ import annotations

from typing import Any

import numpy as np
from catalogue_points import Array, Point, all_points

from chainrule.compiler.ir import Graph, Value
from chainrule.tensor.arrays import dtype_of

POINTS = all_points("typical", "kink", "extreme")


def recorded(point: Point, dtype: Any = np.float64) -> tuple[Graph, list[Array]]:
    """A graph that calls the operator at the point, its outputs all results, and the arrays for its inputs."""
    graph, arrays = Graph(point.op.name), []
    operands: list[Value | None] = []
    for x in point.inputs(dtype):
        if x is None:
            operands.append(None)
            continue
        role = "argument" if isinstance(x, np.ndarray) else "number"
        arrays.append(np.array(x))
        operands.append(graph.input(arrays[-1].shape, dtype_of(arrays[-1].dtype), role))
    graph.outputs = list(graph.append(point.op, operands, {**point.op.params, **point.params}))
    return graph, arrays
