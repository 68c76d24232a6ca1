"""Elements chosen, written and added by index arrays, in machine code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiled_calls import DTYPES, MACHINES, compiled, interpreted, native, numbers, program

import chainrule as cr
from chainrule.compiler.selection import selection
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.errors import UnsupportedError
from chainrule.shapes import taken

SHAPE = (6, 5, 7)
ROWS = np.array([4, -2, 0, 4], np.int64)
COLUMN = np.array([[1], [-5], [3]], np.int64)
S = slice(None)
KEYS: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = [
    ((None,), (ROWS,)), ((S, None), (ROWS,)), ((None, None), (ROWS, COLUMN)), ((None, S, None), (ROWS, COLUMN)),
    ((slice(1, 5, 2), None, None), (ROWS, COLUMN)), ((S, S, None), (COLUMN,)),
    ((2, S, None), (ROWS,)), ((None, 3), (ROWS,)),
    ((slice(None, None, -2), None, slice(None, None, -1)), (ROWS,)), ((slice(0, 6), 1, None), (COLUMN,)),
    ((None, slice(2, 4), None), (np.array(3), ROWS)), ((-1, None), (ROWS,)),
]  # fmt: skip


@pytest.mark.parametrize("key", range(len(KEYS)))
def test_a_selection_says_where_numpy_finds_each_element(key: int) -> None:
    parts, indices = KEYS[key]
    x = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    np.testing.assert_array_equal(native("take", x, *indices, key=parts), x[filled(parts, indices)])


def filled(key: tuple[Any, ...], indices: tuple[Any, ...]) -> tuple[Any, ...]:
    arrays = iter(indices)
    return tuple([next(arrays) if part is None else part for part in key])


@pytest.mark.parametrize("dtype", DTYPES)
def test_chosen_written_and_added_elements_are_numpy_s_for_every_key(dtype: str) -> None:
    x = numbers(0, SHAPE, dtype)
    for key, indices in KEYS:
        v = numbers(1, taken(SHAPE, key, [i.shape for i in indices]), dtype)
        calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
            ("take", (x, *indices), {}), ("assign", (x, v, *indices), {}), ("assign", (x, v[..., :1], *indices), {}),
            ("put_add", (v, *indices), {"shape": SHAPE}),
        ]  # fmt: skip
        for name, inputs, params in calls:
            expected = interpreted(name, *inputs, key=key, **params)
            np.testing.assert_array_equal(native(name, *inputs, key=key, **params), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_elements_along_an_axis_are_numpy_s(axis: int, dtype: str) -> None:
    x, v = numbers(0, SHAPE, dtype), numbers(1, (5, 4, 5), dtype)
    index = np.random.default_rng(2).integers(0, 5, v.shape)
    for name, inputs, params in (
        ("gather", (x, index), {}),
        ("scatter", (x, index, v), {}),
        ("put_along", (v, index), {"shape": SHAPE}),
    ):
        expected = interpreted(name, *inputs, axis=axis, **params)
        np.testing.assert_array_equal(native(name, *inputs, axis=axis, **params), expected)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "i4", "i8"])
def test_an_index_may_have_any_integer_type(dtype: str) -> None:
    x, index = np.arange(250.0), np.array([0, 3, 200 if dtype == "u1" else -3], dtype)
    np.testing.assert_array_equal(native("take", x, index, key=(None,)), x[index])


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: f"{machine.vector_bits} bits")
def test_selections_are_the_same_at_every_vector_width(machine: Machine) -> None:
    x, v = numbers(0, (9, 37), "f4"), numbers(1, (4, 37), "f4")
    for name, inputs, params in (
        ("take", (x, ROWS), {}),
        ("assign", (x, v, ROWS), {}),
        ("put_add", (v, ROWS), {"shape": x.shape}),
    ):
        got = native(name, *inputs, machine=machine, key=(None,), **params)
        np.testing.assert_array_equal(got, interpreted(name, *inputs, key=(None,), **params))


def test_of_several_writes_to_one_place_the_last_stays() -> None:
    x, index = np.zeros((1, 4)), np.array([[2, 2, 0, 2]])
    assert native("scatter", x, index, np.array([[1.0, 2.0, 3.0, 4.0]]), axis=1).tolist() == [[3, 0, 4, 0]]
    assert native("assign", x[0], np.arange(4.0), index[0], key=(None,)).tolist() == [2, 0, 3, 0]


def test_additions_to_one_place_run_in_the_order_of_the_index() -> None:
    """(1e8 - 1e8) + 1 is 1, and 1e8 + 1 - 1e8 is 0 in float32."""
    index = np.zeros(3, np.int64)
    first = native("put_add", np.array([1e8, -1e8, 1], np.float32), index, key=(None,), shape=(1,))
    last = native("put_add", np.array([1, 1e8, -1e8], np.float32), index, key=(None,), shape=(1,))
    assert (first.item(), last.item()) == (1, 0)


@pytest.mark.parametrize(("axis", "units"), [(0, 1), (1, 30), (2, 30 * 20)])
def test_threads_share_only_places_that_all_differ(axis: int, units: int) -> None:
    """Along the axis of the index several elements may go to one place."""
    x = np.zeros((30, 20, 40))
    graph = program("put_along", x, np.zeros(x.shape, np.int64), axis=axis, shape=(30, 20, 40))
    (step,) = compiled(graph).plan.steps
    assert step.kernels[-1][0].units == units


def test_an_index_out_of_range_is_the_nearest_one() -> None:
    x = np.arange(5.0)
    assert native("take", x, np.array([9, -9, 5, -6, -1]), key=(None,)).tolist() == [4, 0, 4, 0, 4]
    assert native("put_add", np.ones(3), np.array([7, -7, 1]), key=(None,), shape=(3,)).tolist() == [1, 1, 1]
    assert native("scatter", x, np.array([99]), np.array([8.0]), axis=0).tolist() == [0, 1, 2, 3, 8]


@pytest.mark.parametrize(
    "key",
    [(1,), (slice(0, 2), 1), (slice(None, None, -2), slice(1, 4), slice(None, None, 3)), (0, 1, 2), (slice(2, 2),)],
)
def test_a_write_to_a_slice_leaves_the_rest(key: tuple[Any, ...]) -> None:
    x = numbers(0, SHAPE, "f4")
    v = np.asarray(numbers(1, x[key].shape, "f4"))
    np.testing.assert_array_equal(native("assign", x, v, key=key), interpreted("assign", x, v, key=key))
    np.testing.assert_array_equal(native("assign", x, v[None], key=key), interpreted("assign", x, v, key=key))


def test_nothing_is_taken_from_nothing_and_added_to_nothing() -> None:
    none = np.zeros(0, np.int64)
    assert native("take", np.zeros((3, 4)), none, key=(None,)).shape == (0, 4)
    assert not native("put_add", np.zeros((0, 4)), none, key=(None,), shape=(3, 4)).any()


def test_the_joint_axes_come_first_when_a_slice_stands_between_index_arrays() -> None:
    apart = selection(SHAPE, (None, S, None), [(4,), (4,)])
    beside = selection(SHAPE, (S, None, None), [(4,), (4,)])
    assert (apart.first, beside.first) == (0, 1)


def test_a_write_into_state_moves_nothing_else() -> None:
    """As a cache that gets a row at each step: the program does not copy it."""
    state, row = cr.zeros(50, 4), cr.arange(4.0)
    place = cr.tensor([0])

    def write(row: cr.Tensor, place: cr.Tensor) -> cr.Tensor:
        state[place] = row
        return row + 1

    step = cr.compile(write)
    for i in range(3):
        step(row * (i + 1), place + 2 * i)
    expected = np.zeros((50, 4))
    expected[[0, 2, 4]] = np.arange(4.0) * [[1], [2], [3]]
    np.testing.assert_array_equal(state.numpy(), expected)
    assert [group.in_place for group in step.lower(row, place).plan.groups if group.kind == "puts"] == [True]


def test_a_write_that_reads_its_own_state_sees_what_was_there_before() -> None:
    state = cr.arange(200.0)

    def shift() -> None:
        state[1:] = state[:-1]

    step = cr.compile(shift)
    step()
    assert state.tolist() == [0, *range(199)]


INDEXED: dict[str, Any] = {
    "x[i]": lambda x, i: x[i], "x[:, i]": lambda x, i: x[:, i], "x[i, i]": lambda x, i: x[i, i],
    "x[i[0]]": lambda x, i: x[i[0]], "x[1, i]": lambda x, i: x[1, i], "x[i, None]": lambda x, i: x[i, None],
    "x[..., i]": lambda x, i: x[..., i], "x[i[:, None], i]": lambda x, i: x[i[:, None], i],
}  # fmt: skip


@pytest.mark.parametrize("name", INDEXED)
def test_an_index_tensor_is_read_at_each_call(name: str) -> None:
    choose = INDEXED[name]
    compiled = cr.compile(choose)
    x = cr.arange(60.0).reshape(5, 4, 3)
    for places in ([0, 2, 1], [2, 2, 0]):
        i = cr.tensor(places)
        np.testing.assert_array_equal(compiled(x, i).numpy(), choose(x, i).numpy())
    assert len(compiled.programs) == 1


def test_a_tensor_without_axes_beside_another_index_raises_with_what_to_write() -> None:
    x, i = cr.arange(60.0).reshape(5, 4, 3), cr.tensor([0, 1])
    with pytest.raises(UnsupportedError, match="without axes"):
        cr.compile(lambda x, i: x[i[0], :, i])(x, i)
