"""Every operator of the catalogue, at every case, compiled: it is what the interpreter of the graph gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from catalogue_points import Point, at
from recorded_points import POINTS, recorded

from chainrule.compiler import interpret
from chainrule.compiler.recorded import Part
from chainrule.compiler.targets.llvm.target import KEPT, build, plan_of
from chainrule.tensor.arrays import numpy_dtype

EPS = {np.float32: 2.0**-23, np.float64: 2.0**-52}


def ran(execute: Any, graph: Any, arrays: list[Any]) -> list[Any]:
    made = [np.empty(y.shape, numpy_dtype(y.dtype)) for y in graph.outputs]
    execute(arrays, made)
    return made


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@at(POINTS)
def test_a_compiled_call_is_the_interpreted_one(point: Point, dtype: Any) -> None:
    """To 64 eps of the largest element: sums run in another order, functions are within 2 ulp."""
    graph, arrays = recorded(point, dtype)
    expected = ran(interpret.executable(graph), graph, arrays)
    compiled = build(Part(graph), flushes=False)
    for got, wanted in zip(ran(compiled, graph, arrays), expected, strict=True):
        if wanted.dtype.kind != "f":
            np.testing.assert_array_equal(got, wanted)
            continue
        finite = np.abs(wanted[np.isfinite(wanted)])
        scale = finite.max(initial=0.0)
        np.testing.assert_allclose(got, wanted, rtol=64 * EPS[dtype], atol=64 * EPS[dtype] * scale)


@at(POINTS)
def test_every_operator_has_a_kernel(point: Point) -> None:
    """Nothing is left to NumPy, between two pieces of machine code: so a program is one native call."""
    graph, _ = recorded(point, np.float32)
    plan = plan_of(Part(graph).simplified(KEPT))
    assert [step.alone for step in plan.steps if step.alone is not None] == []
