"""Tensors among other Python objects: numbers, NumPy, DLPack, pickle, copies, iteration, hashing."""

from __future__ import annotations

import copy
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import chainrule as cr


def test_only_one_element_has_a_truth_value() -> None:
    assert cr.tensor([[2.0]])
    assert not cr.tensor(0)
    with pytest.raises(RuntimeError, match=r"2 values is ambiguous(?s:.*)any\(\)"):
        bool(cr.ones(2))
    with pytest.raises(RuntimeError, match="ambiguous"):
        bool(cr.ones(0))


def test_one_element_is_a_number() -> None:
    x = cr.tensor([2.5])
    assert (x.item(), float(x), int(x), f"{x.sum():.2f}") == (2.5, 2.5, 2, "2.50")
    assert type(cr.tensor(3).item()) is int
    assert type(cr.tensor(True).item()) is bool
    assert list(range(5))[cr.tensor(3)] == 3
    with pytest.raises(RuntimeError, match="3 elements cannot be converted to Scalar"):
        cr.ones(3).item()
    with pytest.raises(TypeError, match="only integer tensors"):
        [1, 2][cr.tensor(1.0)]  # type: ignore[call-overload]


def test_lengths_and_iteration_follow_the_first_axis() -> None:
    x = cr.arange(6).reshape(2, 3)
    assert len(x) == 2
    assert [row.tolist() for row in x] == [[0, 1, 2], [3, 4, 5]]
    assert [v.item() for v in x[0]] == [0, 1, 2]
    _a, b = x
    assert b[2] == 5
    for fails in (len, iter):
        with pytest.raises(TypeError, match="0-d tensor"):
            fails(cr.tensor(1.0))
    y = cr.ones(2, requires_grad=True)
    sum(v * i for i, v in enumerate(y)).backward()  # type: ignore[union-attr]
    assert y.grad.tolist() == [0.0, 1.0]


def test_membership_compares_elements() -> None:
    x = cr.tensor([1, 2, 3])
    assert 2 in x
    assert cr.tensor(4) not in x


def test_tensors_hash_by_identity_and_compare_by_element() -> None:
    a, b = cr.ones(2), cr.ones(2)
    assert len({a, b, a}) == 2
    assert {a: 1}[a] == 1
    assert (a == b).tolist() == [True, True]
    assert (a == "text") is False
    assert (a != None) is True  # noqa: E711


def test_numpy_reads_a_tensor_and_shares_its_memory() -> None:
    x = cr.arange(3.0)
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert np.array(x).dtype == np.float32
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    np.testing.assert_array_equal(np.stack([x, x]), [[0, 1, 2], [0, 1, 2]])
    x.numpy()[0] = 5
    assert x[0] == 5
    y = cr.ones(2, requires_grad=True)
    for fails in (y.numpy, lambda: np.asarray(y)):
        with pytest.raises(RuntimeError, match=r"(?s)requires grad.*detach\(\)"):
            fails()
    assert y.numpy(force=True).tolist() == [1.0, 1.0]


def test_from_numpy_shares_and_tensor_copies() -> None:
    a = np.zeros(2)
    shared, copied, same = cr.from_numpy(a), cr.tensor(a), cr.as_tensor(a)
    a[0] = 7
    assert (shared[0].item(), copied[0].item(), same[0].item()) == (7.0, 0.0, 7.0)
    with pytest.raises(TypeError, match="ndarray"):
        cr.from_numpy([1.0])  # type: ignore[arg-type]
    x = cr.ones(2)
    assert cr.as_tensor(x) is x


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow", "floordiv", "mod", "eq", "lt", "matmul"])
def test_arrays_and_tensors_mix_on_both_sides(name: str) -> None:
    apply = getattr(operator, name)
    a, t = np.array([1.0, 2.0]), cr.tensor([3.0, 5.0], dtype=cr.float64)
    for left, right in ((a, t), (t, a)):
        got = apply(left, right)
        assert isinstance(got, cr.Tensor)
        np.testing.assert_allclose(got.numpy(), apply(np.asarray(left), np.asarray(right)))


def test_gradients_flow_through_arrays_operators() -> None:
    x = cr.tensor([3.0, 5.0], dtype=cr.float64, requires_grad=True)
    (np.array([1.0, 2.0]) * x + np.exp(x)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.array([1.0, 2.0]) + np.exp([3.0, 5.0]))


def test_numpys_functions_take_tensors() -> None:
    x = cr.tensor([1.0, 4.0])
    np.testing.assert_allclose(np.asarray(np.sqrt(x)), [1.0, 2.0])
    np.testing.assert_allclose(np.asarray(np.add(np.ones(2, np.float32), x)), [2.0, 5.0])
    assert np.mean(np.asarray(x)) == 2.5


def test_dlpack_shares_memory_both_ways() -> None:
    x = cr.arange(3.0)
    assert np.shares_memory(np.from_dlpack(x), x.numpy())
    a = np.zeros(2, np.float32)
    y = cr.from_dlpack(a)
    a[1] = 3
    assert y.tolist() == [0.0, 3.0]
    torch = pytest.importorskip("torch")
    t = torch.from_dlpack(x)
    t[0] = 9
    assert x[0] == 9
    back = cr.from_dlpack(torch.ones(2))
    assert back.tolist() == [1.0, 1.0]
    (back * 2).sum()
    back.add_(1)
    view = back[0]
    view.fill_(7)
    assert back.tolist() == [7.0, 2.0]


@pytest.mark.parametrize("through", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_pickling_and_deepcopy_keep_values_types_and_requires_grad(through: Any) -> None:
    x = cr.tensor([1.0, 2.0], dtype=cr.float64, requires_grad=True)
    x.note = ["mine"]  # type: ignore[attr-defined]
    y = through(x)
    assert (y.tolist(), y.dtype, y.requires_grad, y.is_leaf, y.note) == ([1.0, 2.0], cr.float64, True, True, ["mine"])
    y.data.add_(1)
    assert x.tolist() == [1.0, 2.0]
    (y * 2).sum().backward()
    assert x.grad is None
    for t in (cr.ones(2, 2).T, cr.arange(6)[1:3], cr.tensor(True)):
        assert through(t).tolist() == t.tolist()
        assert through(t).dtype is t.dtype
    x.grad = cr.ones(2, dtype=cr.float64)
    x.requires_grad_(False)
    assert through(x).tolist() == x.tolist()


def test_an_unpickled_tensor_has_numpys_own_type_object() -> None:
    x = pickle.loads(pickle.dumps(cr.ones(2)))
    assert x.value.dtype is np.dtype(np.float32)
    x[0:1].mul_(3)
    assert x.tolist() == [3.0, 1.0]


def test_deepcopy_copies_the_gradient_and_keeps_sharing() -> None:
    x = cr.ones(2, requires_grad=True)
    x.sum().backward()
    a, b = copy.deepcopy([x, x])
    assert a is b
    assert a.grad.tolist() == [1.0, 1.0]
    assert a.grad is not x.grad


def test_deepcopy_of_a_result_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"graph leaves(?s:.*)clone\(\)"):
        copy.deepcopy(cr.ones(2, requires_grad=True) * 2)


def test_a_shape_counts_its_elements() -> None:
    assert repr(cr.ones(2, 3).shape) == "chainrule.Size([2, 3])"
    assert cr.ones(2, 3).shape.numel() == cr.ones(2, 3).numel() == 6
    assert cr.ones(2, 3).size() == (2, 3)
    assert cr.ones(2, 3).size(-1) == 3


def test_the_legacy_constructor_takes_data_or_sizes() -> None:
    assert cr.Tensor([1, 2]).tolist() == [1.0, 2.0]
    assert cr.Tensor(2, 3).shape == (2, 3)
    assert cr.Tensor().shape == (0,)
    with pytest.raises(TypeError, match="sizes"):
        cr.Tensor([1], [2])


def test_data_shares_memory_without_history() -> None:
    x = cr.ones(2, requires_grad=True)
    x.data.mul_(3)
    x.data[0] = 5
    assert x.tolist() == [5.0, 3.0]
    assert x.requires_grad
    x.data = cr.zeros(3)
    assert x.shape == (3,)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0] * 3
    with pytest.raises(TypeError, match="Tensor"):
        x.data = 3.0  # type: ignore[assignment]


def test_strides_offsets_and_contiguity_are_those_of_memory() -> None:
    x = cr.arange(12.0).reshape(3, 4)
    y = x.T[1:, ::2]
    assert (x.stride(), y.stride(), y.storage_offset(), y.is_contiguous()) == ((4, 1), (1, 8), 1, False)
    z = y.contiguous()
    assert z.is_contiguous()
    assert z.data_ptr() != y.data_ptr()
    assert x.contiguous() is x
    with pytest.raises(RuntimeError, match="reshape"):
        y.view(-1)


def test_conversions_return_the_tensor_itself_where_nothing_changes() -> None:
    x = cr.ones(2, requires_grad=True)
    assert x.float() is x
    assert x.to("cpu") is x
    assert x.to(cr.float32) is x
    assert x.to(x.double()).dtype is cr.float64
    assert x.to(cr.float32, copy=True) is not x
    x.double().sum().backward()
    assert x.grad.dtype is cr.float32
    with pytest.raises((NotImplementedError, RuntimeError), match="cuda"):
        x.to("cuda")
    with pytest.raises(TypeError, match="speed"):
        x.to(speed=1)
