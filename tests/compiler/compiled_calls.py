"""One operator as a program: what the compiled one gives, and what NumPy does."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.compiler import interpret
from chainrule.compiler.ir import Graph
from chainrule.compiler.recorded import Part
from chainrule.compiler.targets.llvm.machine import Machine, host
from chainrule.compiler.targets.llvm.target import KEPT, Compiled, Plan
from chainrule.ops.catalogue import CATALOGUE
from chainrule.tensor.arrays import dtype_of, numpy_dtype

MACHINES = [host().narrowed(bits) for bits in (512, 256, 128) if bits <= host().vector_bits]
DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?"]


def program(name: str, *inputs: Any, **params: Any) -> Graph:
    """A graph with one call of an operator; arrays are its arguments."""
    graph = Graph()
    given = [graph.input(x.shape, dtype_of(x.dtype), "argument") if isinstance(x, np.ndarray) else x for x in inputs]
    graph.outputs = [graph.call(CATALOGUE[name], *given, **params)]
    return graph


def compiled(graph: Graph, machine: Machine | None = None) -> Compiled:
    """The program as machine code, all of it: no operator is left to NumPy."""
    plan = Plan(Part(graph).simplified(KEPT).graph, machine or host(), {})
    assert [step.alone for step in plan.steps if step.alone] == []
    return Compiled(plan, flushes=False, own=0)


def ran(execute: Any, graph: Graph, inputs: Any) -> Any:
    (y,) = graph.outputs
    made = np.empty(y.shape, numpy_dtype(y.dtype))
    execute([x for x in inputs if isinstance(x, np.ndarray)], [made])
    return made


def native(name: str, *inputs: Any, machine: Machine | None = None, **params: Any) -> Any:
    """What machine code makes of one call."""
    graph = program(name, *inputs, **params)
    return ran(compiled(graph, machine), graph, inputs)


def interpreted(name: str, *inputs: Any, **params: Any) -> Any:
    """What the NumPy reader makes of it."""
    graph = program(name, *inputs, **params)
    return ran(interpret.executable(graph), graph, inputs)


def numbers(seed: int, shape: tuple[int, ...], dtype: str) -> Any:
    """Numbers of a type; among floats are nan, both infinities, and zeros of both signs."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind in "iu":
        return rng.integers(-100 * (kind == "i"), 100, shape).astype(dtype)
    x = rng.standard_normal(shape).astype(dtype)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 0.0], dtype)
    places = rng.integers(0, max(x.size, 1), x.size // 3)
    x.reshape(-1)[places] = special[rng.integers(0, len(special), len(places))]
    return x


def finite(seed: int, shape: tuple[int, ...], dtype: str) -> Any:
    """Small whole numbers, so that sums of products are exact in every type."""
    rng = np.random.default_rng(seed)
    return rng.integers(0 if np.dtype(dtype).kind in "ub" else -2, 3 - (dtype == "?"), shape).astype(dtype)
