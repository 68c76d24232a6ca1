"""Running sums and products, and orders, in machine code: bit for bit what NumPy gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiled_calls import DTYPES, MACHINES, compiled, interpreted, native, numbers, program, ran

import chainrule as cr
from chainrule import dtypes
from chainrule.compiler.targets.llvm.machine import Machine

SHAPES = [(1,), (5,), (67,), (3, 4), (4, 1), (33, 17), (2, 40, 3), (7, 129)]
PLACES = [(shape, axis) for shape in SHAPES for axis in range(len(shape))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_a_scan_has_the_bits_of_numpy_s(name: str, dtype: str) -> None:
    for i, (shape, axis) in enumerate(PLACES):
        x = numbers(i, shape, dtype)
        np.testing.assert_array_equal(native(name, x, axis=axis), interpreted(name, x, axis=axis))


def test_a_scan_that_begins_with_a_negative_zero_keeps_its_sign() -> None:
    assert np.signbit(native("cumsum", np.array([-0.0, -0.0]), axis=0)).all()


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_order_is_numpy_s_stable_one_with_nan_last(dtype: str, descending: bool) -> None:
    for i, (shape, axis) in enumerate(PLACES):
        x = numbers(i, shape, dtype)
        got = native("argsort", x, axis=axis, descending=descending)
        np.testing.assert_array_equal(got, interpreted("argsort", x, axis=axis, descending=descending))


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
def test_equal_elements_keep_their_order_in_long_rows(dtype: str) -> None:
    """Rows of 3,000 do not fit on the stack; they have few different elements."""
    x = np.random.default_rng(0).integers(0, 20, (3, 3000)).astype(dtype)
    np.testing.assert_array_equal(native("argsort", x, axis=1), np.argsort(x, axis=1, kind="stable"))


def test_nan_of_either_sign_is_last_and_zeros_of_either_sign_are_equal() -> None:
    x = np.array([np.nan, 0.0, np.inf, -0.0, -np.nan, -np.inf, 0.0])
    assert native("argsort", x, axis=0).tolist() == [5, 1, 3, 6, 2, 0, 4]
    assert native("argsort", x, axis=0, descending=True).tolist() == [0, 4, 2, 1, 3, 6, 5]


@pytest.mark.parametrize("bound", [np.iinfo(np.int64).min, np.iinfo(np.int64).max])
def test_the_ends_of_int64_are_sorted_as_numbers(bound: int) -> None:
    x = np.array([3, bound, -7, bound, 0], np.int64)
    for descending in (False, True):
        got = native("argsort", x, axis=0, descending=descending)
        np.testing.assert_array_equal(got, interpreted("argsort", x, axis=0, descending=descending))


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: f"{machine.vector_bits} bits")
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
def test_scans_and_orders_are_the_same_at_every_vector_width(dtype: str, machine: Machine) -> None:
    x = numbers(0, (9, 21, 5), dtype)
    for axis in range(3):
        for name in ("cumsum", "argsort"):
            got = native(name, x, machine=machine, axis=axis)
            np.testing.assert_array_equal(got, interpreted(name, x, axis=axis))


def test_several_threads_give_the_bits_of_one() -> None:
    """The sizes are such that each kernel is divided."""
    x = numbers(0, (301, 700), "f4")
    index = np.random.default_rng(1).integers(0, 301, x.shape)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("cumsum", (x,), {"axis": 1}), ("cumsum", (x,), {"axis": 0}), ("argsort", (x,), {"axis": 1}),
        ("argsort", (x,), {"axis": 0}), ("scatter", (x, index, x), {"axis": 1}),
        ("scatter", (x, index, x), {"axis": 0}),
        ("uniform", (np.array(1), np.array(2)), {"shape": x.shape, "dtype": dtypes.float32}),
    ]  # fmt: skip
    before = cr.get_num_threads()
    cr.set_num_threads(3)
    try:
        for name, inputs, params in calls:
            graph = program(name, *inputs, **params)
            execute = compiled(graph)
            assert all(step.divided for step in execute.plan.steps), name
            np.testing.assert_array_equal(ran(execute, graph, inputs), interpreted(name, *inputs, **params))
    finally:
        cr.set_num_threads(before)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,)])
@pytest.mark.parametrize("name", ["cumsum", "argsort"])
def test_nothing_has_an_empty_scan_and_an_empty_order(name: str, shape: tuple[int, ...]) -> None:
    for axis in range(len(shape)):
        assert native(name, np.zeros(shape), axis=axis).shape == shape


def test_a_number_is_its_own_sum_and_the_first_of_itself() -> None:
    assert native("cumsum", np.array(3.0), axis=0) == 3
    assert native("argsort", np.array(3.0), axis=0) == 0


def test_what_is_scanned_may_be_a_view_and_computed_on_the_way() -> None:
    def both(m: Any, x: Any) -> Any:
        turned = m.permute(x, order=(1, 0))
        return m.add(m.cumsum(m.mul(turned, 2.0), axis=1), m.cumsum(turned, axis=0))

    x = np.random.default_rng(0).integers(-9, 9, (37, 19)).astype(np.float32)
    graph = program("neg", x)
    graph.outputs = [both(graph.maths, graph.inputs[0])]
    expected = (2 * x.T).cumsum(1) + x.T.cumsum(0)
    np.testing.assert_array_equal(ran(compiled(graph), graph, [x]), expected)


def test_sorted_values_and_their_gradients_are_the_eager_ones() -> None:
    def spread(x: cr.Tensor) -> tuple[cr.Tensor, cr.Tensor]:
        values, _ = cr.sort(x, dim=1, descending=True)
        top, _ = cr.topk(x, 2, dim=0)
        loss = (values * cr.arange(5.0)).sum() + (top * top).sum()
        (gradient,) = cr.autograd.grad(loss, [x])
        return loss, gradient

    x = cr.tensor(np.random.default_rng(0).standard_normal((4, 5)), requires_grad=True)
    for got, wanted in zip(cr.compile(spread)(x), spread(x), strict=True):
        np.testing.assert_allclose(got.detach().numpy(), wanted.detach().numpy(), rtol=1e-14)
