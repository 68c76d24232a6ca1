"""embedding beside PyTorch's: values, gradients of all orders of size, texts, state dictionaries, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import AssertedError, UnsupportedError
from chainrule.nn import functional as F
from chainrule.tensor.backward import grad
from chainrule.tensor.numpy_maths import NumPyMaths

torch = pytest.importorskip("torch")

BOTH = [(cr, nn), (torch, torch.nn)]


def looked_up(library: Any, table: Any, index: Any, cotangent: Any, **options: Any) -> list[Any]:
    """The rows, and the gradient of the table."""
    weight = library.tensor(table, requires_grad=True)
    y = library.nn.functional.embedding(library.tensor(index), weight, **options)
    y.backward(library.tensor(cotangent))
    return [y.detach().numpy(), weight.grad.numpy()]


SIZES = [
    ((65, 64), (16, 64)),  # few places, many rows each
    ((2, 64), (500,)),
    ((2000, 64), (40, 50)),  # many places, few rows each
    ((700, 9), (7, 3)),
    ((5, 1), (3000,)),
    ((5, 4), ()),
    ((5, 4), (0, 3)),
    ((5, 0), (3,)),
]


@pytest.mark.parametrize("padding_idx", [None, 1, -2])
@pytest.mark.parametrize("index_type", [np.int64, np.int32])
@pytest.mark.parametrize(("table", "index"), SIZES)
def test_rows_and_gradients_are_pytorchs(table, index, index_type, padding_idx):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(table)
    numbers = rng.integers(0, table[0], index).astype(index_type)
    cotangent = rng.standard_normal((*index, table[1]))
    results = [looked_up(library, weight, numbers, cotangent, padding_idx=padding_idx) for library, _ in BOTH]
    # a sum of at most 3000 numbers of order 1, in another order
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_a_second_derivative_is_pytorchs():
    rng = np.random.default_rng(0)
    table, index, v = rng.standard_normal((4, 3)), np.array([[0, 3], [3, 2]]), rng.standard_normal((4, 3))
    found = []
    for library, module in BOTH:
        weight = library.tensor(table, requires_grad=True)
        y = module.functional.embedding(library.tensor(index), weight, padding_idx=2)
        (first,) = library.autograd.grad((y**3).sum(), weight, create_graph=True)
        (second,) = library.autograd.grad((first * library.tensor(v)).sum(), weight)
        found.append([first.detach().numpy(), second.numpy()])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_gradient_keeps_the_type_of_the_table(dtype):
    weight = cr.tensor(np.ones((3, 2), dtype), requires_grad=True)
    (g,) = grad(F.embedding(cr.tensor([0, 0, 2]), weight).sum(), weight)
    assert g.value.dtype == dtype
    assert g.tolist() == [[2.0, 2.0], [0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize("rows", [0, 40, 4000])
def test_the_sum_of_rows_is_the_same_at_every_call(rows):
    rng = np.random.default_rng(0)
    x, index = rng.standard_normal((rows, 33)).astype(np.float32), rng.integers(0, 300, rows)
    sums = [NumPyMaths.put_add(x, index, key=(None,), shape=(300, 33)) for _ in range(3)]
    assert np.array_equal(sums[0], sums[1])
    assert np.array_equal(sums[0], sums[2])


# ---- the module ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"padding_idx": -1}, {"norm_type": 3.0}])
def test_the_text_of_the_module_is_pytorchs(options):
    assert repr(nn.Embedding(5, 3, **options)) == repr(torch.nn.Embedding(5, 3, **options))


def test_a_table_goes_from_pytorch_to_here_and_back():
    ours, theirs = nn.Embedding(6, 4, padding_idx=-2), torch.nn.Embedding(6, 4, padding_idx=-2)
    ours.load_state_dict({k: cr.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    index = [[0, 4], [5, 4]]
    y, t = ours(cr.tensor(index)), theirs(torch.tensor(index))
    assert y.tolist() == t.tolist()
    y.sum().backward()
    t.sum().backward()
    assert ours.weight.grad.tolist() == theirs.weight.grad.tolist()
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})


def test_the_table_is_standard_normal_at_first_with_a_padding_row_of_zeros():
    cr.manual_seed(0)
    table = nn.Embedding(300, 100, padding_idx=7).weight.detach().numpy()
    assert not table[7].any()
    others = np.delete(table, 7, 0)
    assert abs(others.mean()) < 6 / len(others.ravel()) ** 0.5  # six standard errors
    assert abs(others.std() - 1) < 6 / (2 * len(others.ravel())) ** 0.5


@pytest.mark.parametrize("freeze", [True, False])
def test_a_pretrained_table_shares_its_memory_and_is_trained_if_asked(freeze):
    for library, module in BOTH:
        table = library.tensor([[1.0, 2.0], [3.0, 4.0]])
        layer = module.Embedding.from_pretrained(table, freeze=freeze, padding_idx=0)
        assert layer.weight.requires_grad is not freeze
        assert layer.padding_idx == 0
        table[1, 1] = 9.0
        assert layer(library.tensor([1, 0])).tolist() == [[3.0, 9.0], [1.0, 2.0]]


# ---- refusals ------------------------------------------------------------------------------------------------


def mistake(library: Any, nn: Any, case: str) -> Any:
    layer, index = nn.Embedding(3, 4), library.tensor([0, 2])
    f = nn.functional.embedding
    if case == "a row too many":
        layer(library.tensor([0, 3]))
    elif case == "a negative row":
        layer(library.tensor([-1]))
    elif case == "floats":
        layer(library.tensor([1.0]))
    elif case == "bools":
        layer(library.tensor([True]))
    elif case == "a list":
        layer([1])
    elif case == "a vector as table":
        f(index, library.zeros(3))
    elif case == "three axes":
        f(index, library.zeros(3, 2, 2))
    elif case == "padding beyond the table":
        f(index, library.zeros(3, 2), padding_idx=3)
    elif case == "padding before the table":
        nn.Embedding(3, 4, padding_idx=-4)
    elif case == "weight of another shape":
        nn.Embedding(3, 4, _weight=library.zeros(2, 4))
    elif case == "pretrained vector":
        nn.Embedding.from_pretrained(library.zeros(3))
    elif case == "negative size":
        nn.Embedding(-3, 4)


MISTAKES = {
    "a row too many": "out of (range|bounds)", "a negative row": "out of range", "floats": "scalar types",
    "bools": "scalar types", "a list": "must be Tensor, not list", "a vector as table": "'weight' must be 2-D",
    "three axes": "'weight' must be 2-D", "padding beyond the table": "Padding_idx must be within num_embeddings",
    "padding before the table": "Padding_idx must be within num_embeddings",
    "weight of another shape": "Shape of weight does not match num_embeddings and embedding_dim",
    "pretrained vector": "expected to be 2-dimensional", "negative size": "-3",
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_raises_pytorchs_class(case):
    with pytest.raises(Exception, match=MISTAKES[case]) as theirs:
        mistake(*BOTH[1], case)
    with pytest.raises(type(theirs.value), match=MISTAKES[case]):
        mistake(*BOTH[0], case)


@pytest.mark.parametrize("option", [{"max_norm": 1.0}, {"scale_grad_by_freq": True}, {"sparse": True}])
def test_an_option_that_is_not_built_is_refused_by_name(option):
    (name,) = option
    with pytest.raises(UnsupportedError, match=name):
        nn.Embedding(3, 4, **option)
    with pytest.raises(UnsupportedError, match=name):
        F.embedding(cr.tensor([0]), cr.zeros(3, 2), **option)


def test_an_asserted_error_is_also_a_value_error():
    assert issubclass(AssertedError, ValueError)
