"""The interpreter runs each operator as the NumPy reader does, in the element types that the graph promises."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
from catalogue_points import Point, at
from recorded_points import POINTS, recorded

from chainrule import dtypes
from chainrule.compiler import interpret
from chainrule.compiler.ir import Graph
from chainrule.ops.catalogue import CATALOGUE
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.numpy_maths import runner

X = np.array([1.0, -2.0, 0.5], np.float32)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@at(POINTS)
def test_a_call_is_interpreted_as_the_numpy_reader_runs_it(point: Point, dtype: Any) -> None:
    graph, arrays = recorded(point, dtype)
    made = interpret.program(graph)(arrays)
    with np.errstate(all="ignore"):
        parts = runner(point.op)(*point.inputs(dtype), **{**point.op.params, **point.numpy_params})
    parts = parts if isinstance(parts, tuple) else (parts,)
    for y, value, part in zip(made, graph.outputs, parts, strict=True):
        assert (y.shape, y.dtype) == (value.shape, numpy_dtype(value.dtype))
        np.testing.assert_array_equal(y, part)


def test_run_takes_arrays_by_value() -> None:
    graph = Graph()
    a, b = (graph.input((3,), dtypes.float32, "argument") for _ in range(2))
    graph.outputs = [a - b, a]
    difference, same = interpret.run(graph, {b: X, a: 3 * X})
    np.testing.assert_array_equal(difference, 2 * X)
    np.testing.assert_array_equal(same, 3 * X)


def test_run_raises_when_an_input_has_no_array() -> None:
    graph = Graph()
    graph.outputs = [-graph.input((3,), dtypes.float32, "argument")]
    with pytest.raises(KeyError):
        interpret.run(graph, {})


def test_a_program_takes_no_arrays_for_constants() -> None:
    graph = Graph()
    c = graph.constant(2 * X, dtypes.float32)
    graph.outputs = [graph.input((3,), dtypes.float32, "argument") * c]
    np.testing.assert_array_equal(interpret.program(graph)([X])[0], 2 * X * X)


def test_a_hyperparameter_does_not_widen_an_array() -> None:
    graph = Graph()
    p, g = (graph.input((3,), dtypes.float32, "state") for _ in range(2))
    lr = graph.input((), dtypes.float64, "number")
    graph.outputs = list(graph.call(CATALOGUE["sgd"], p, g, lr, nesterov=False, maximize=False))
    (y,) = interpret.program(graph)([X, X, np.array(0.1)])
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, X - np.float32(0.1) * X)


def test_results_of_numbers_alone_have_the_promised_type() -> None:
    graph = Graph()
    graph.outputs = [graph.maths.where(graph.input((3,), dtypes.bool_, "argument"), 1.0, 0.0)]
    (y,) = interpret.program(graph)([X > 0])
    assert y.dtype == np.float32


def test_a_key_with_the_highest_bit_is_the_unsigned_number() -> None:
    graph = Graph()
    key, counter = (graph.input((), dtypes.int64, "number") for _ in range(2))
    graph.outputs = [graph.maths.uniform(key, counter, shape=(4,), dtype=dtypes.float32)]
    word = np.uint64((1 << 63) + 5)
    (y,) = interpret.program(graph)([word.astype(np.int64), np.array(2)])
    np.testing.assert_array_equal(y, runner(CATALOGUE["uniform"])(int(word), 2, shape=(4,), dtype=np.float32))


def test_overflow_is_silent_as_in_eager_calls() -> None:
    graph = Graph()
    graph.outputs = [graph.maths.exp(graph.input((1,), dtypes.float32, "argument"))]
    with np.errstate(all="raise"):
        assert interpret.program(graph)([np.array([1000.0], np.float32)])[0] == np.inf


def test_memory_is_given_back_after_the_last_use(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph()
    y = graph.input((3,), dtypes.float32, "argument")
    for _ in range(6):
        y = graph.maths.sin(y)
    graph.outputs = [y]
    made: list[Any] = []
    alive: list[int] = []
    evaluate = interpret.evaluate

    def watched(*args: Any) -> Any:
        alive.append(sum([r() is not None for r in made]))
        results = evaluate(*args)
        made.extend(map(weakref.ref, results))
        return results

    monkeypatch.setattr(interpret, "evaluate", watched)
    interpret.program(graph)([X])
    assert max(alive) == 1


def test_an_executable_may_write_over_its_inputs() -> None:
    graph = Graph()
    a, b = (graph.input((3,), dtypes.float32, "state") for _ in range(2))
    graph.outputs = [b, graph.maths.flip(a, axes=(0,)), graph.maths.reshape(a, shape=(3, 1)), a + b]
    a0, b0, c0, d0 = X.copy(), 2 * X, np.empty((3, 1), np.float32), np.empty(3, np.float32)
    run = interpret.executable(graph)
    assert run.entry is None
    run([a0, b0], [a0, b0, c0, d0])
    np.testing.assert_array_equal(a0, 2 * X)
    np.testing.assert_array_equal(b0, X[::-1])
    np.testing.assert_array_equal(c0[:, 0], X)
    np.testing.assert_array_equal(d0, 3 * X)
