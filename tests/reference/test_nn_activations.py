"""Every activation, as a function, as a module and in place: values and gradients are PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn

torch = pytest.importorskip("torch")

POINTS = np.array([[-7.0, -3.0, -1.0, -0.3], [0.0, 0.2, 0.7, 1.0], [1.5, 3.0, 6.0, 25.0]])
TOLERANCE = 64 * np.finfo(np.float64).eps
HARDSIGMOID = np.finfo(np.float32).eps
"""PyTorch's slope is 1/6 rounded to float32, in float64, too."""

MODULES = [
    ("ReLU", {}), ("ReLU6", {}), ("LeakyReLU", {}), ("LeakyReLU", {"negative_slope": 0.2}), ("ELU", {}),
    ("ELU", {"alpha": 0.5}), ("SELU", {}), ("GELU", {}), ("GELU", {"approximate": "tanh"}), ("SiLU", {}), ("Mish", {}),
    ("Softplus", {}), ("Softplus", {"beta": 2.0, "threshold": 5.0}), ("Softsign", {}), ("Hardtanh", {}),
    ("Hardtanh", {"min_val": -2.0, "max_val": 0.5}), ("Hardsigmoid", {}), ("Hardswish", {}), ("PReLU", {}),
    ("PReLU", {"num_parameters": 4, "init": 0.1}), ("Sigmoid", {}), ("LogSigmoid", {}), ("Tanh", {}),
    ("Softmax", {"dim": 1}), ("Softmax", {"dim": 0}), ("LogSoftmax", {"dim": -1}),
]  # fmt: skip
IDS = [f"{name}{options or ''}" for name, options in MODULES]


@pytest.mark.parametrize(("name", "options"), MODULES, ids=IDS)
def test_activation_modules_are_pytorchs(name, options):
    ours, theirs = getattr(nn, name)(**options).double(), getattr(torch.nn, name)(**options).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x, u = cr.tensor(POINTS, requires_grad=True), torch.tensor(POINTS, requires_grad=True)
    y, v = ours(x), theirs(u)
    close = HARDSIGMOID if name == "Hardsigmoid" else TOLERANCE
    np.testing.assert_allclose(y.detach().numpy(), v.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE)
    cotangent = np.linspace(-1, 2, 12).reshape(3, 4)
    y.backward(cr.tensor(cotangent))
    v.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(x.grad.numpy(), u.grad.numpy(), rtol=close, atol=TOLERANCE)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=TOLERANCE, atol=TOLERANCE)


INPLACE = [
    "relu", "relu6", "leaky_relu", "elu", "selu", "silu", "mish", "hardtanh", "hardsigmoid", "hardswish",
]  # fmt: skip


@pytest.mark.parametrize("name", INPLACE)
def test_an_activation_in_place_writes_and_differentiates_as_pytorchs(name):
    grads = []
    for library, f in ((cr, F), (torch, torch.nn.functional)):
        leaf = library.tensor(POINTS, requires_grad=True)
        x = leaf * 1.0
        y = getattr(f, name)(x, inplace=True)
        assert y is x
        (y * y).sum().backward()
        grads.append((x.detach().numpy(), leaf.grad.numpy()))
    for ours, theirs in zip(*grads, strict=True):
        close = HARDSIGMOID if name == "hardsigmoid" else TOLERANCE
        np.testing.assert_allclose(ours, theirs, rtol=close, atol=TOLERANCE)


@pytest.mark.parametrize("name", INPLACE)
def test_an_activation_in_place_refuses_a_leaf_as_pytorch_does(name):
    for library, f in ((cr, F), (torch, torch.nn.functional)):
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            getattr(f, name)(library.ones(3, requires_grad=True), inplace=True)


@pytest.mark.parametrize(
    ("name", "options"),
    [("LeakyReLU", {}), ("ELU", {}), ("Hardtanh", {}), ("ReLU", {}), ("ReLU6", {}), ("SELU", {}), ("Mish", {})],
)
def test_the_text_of_an_activation_in_place_is_pytorchs(name, options):
    assert repr(getattr(nn, name)(inplace=True)) == repr(getattr(torch.nn, name)(inplace=True))


@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (4, 3, 2)])
@pytest.mark.parametrize("weights", [1, 3])
def test_prelu_takes_a_weight_for_each_channel_as_pytorch(shape, weights):
    if weights > 1 and len(shape) < 2:
        for library, f in ((cr, F), (torch, torch.nn.functional)):
            with pytest.raises(RuntimeError):
                f.prelu(library.ones(shape), library.ones(weights))
        return
    x, w = np.random.default_rng(0).standard_normal(shape), np.linspace(0.1, 0.9, weights)
    ours = F.prelu(cr.tensor(x), cr.tensor(w))
    theirs = torch.nn.functional.prelu(torch.tensor(x), torch.tensor(w))
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert tuple(ours.shape) == tuple(theirs.shape)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (2, 3, 4, 2)])
def test_softmax_without_an_axis_warns_and_chooses_as_pytorch(name, shape):
    x = np.random.default_rng(0).standard_normal(shape)
    with pytest.warns(UserWarning, match="Implicit dimension choice"):
        ours = getattr(F, name)(cr.tensor(x))
    with pytest.warns(UserWarning, match="Implicit dimension choice"):
        theirs = getattr(torch.nn.functional, name)(torch.tensor(x))
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax_converts_to_the_dtype_first(name):
    x = np.array([[1, 2, 3], [0, 5, 1]])
    ours = getattr(F, name)(cr.tensor(x), dim=1, dtype=cr.float64)
    theirs = getattr(torch.nn.functional, name)(torch.tensor(x), dim=1, dtype=torch.float64)
    assert ours.dtype is cr.float64
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=TOLERANCE)


def test_the_axis_of_a_softmax_warning_is_the_users_line():
    with pytest.warns(UserWarning, match="Implicit") as seen:
        nn.Softmax()(cr.zeros(2, 3))
    assert seen[0].filename == __file__


PADS = [
    ((2, 3), (1, 2), "constant"), ((2, 3, 4), (1, 0, 2, 3), "constant"), ((3, 4), (-1, 2, -1, -1), "constant"),
    ((2, 3, 5), (2, 3), "reflect"), ((2, 3, 5), (4, 0), "reflect"), ((2, 3, 5), (2, 7), "replicate"),
    ((2, 3, 5), (2, 5), "circular"), ((1, 2, 4, 5), (2, 1, 3, 2), "reflect"), ((1, 2, 4, 5), (2, 1, 3, 2), "replicate"),
    ((1, 2, 4, 5), (2, 1, 3, 2), "circular"), ((2, 3, 5), (-1, 2), "reflect"), ((2, 3, 5), (-1, 2), "replicate"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "widths", "mode"), PADS)
def test_pad_is_pytorchs(shape, widths, mode):
    x = np.random.default_rng(0).standard_normal(shape)
    a, b = cr.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, t = F.pad(a, widths, mode), torch.nn.functional.pad(b, widths, mode)
    np.testing.assert_array_equal(y.detach().numpy(), t.detach().numpy())
    cotangent = np.random.default_rng(1).standard_normal(tuple(y.shape))
    y.backward(cr.tensor(cotangent))
    t.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=TOLERANCE, atol=TOLERANCE)


def test_pad_with_a_value_is_pytorchs():
    ours, theirs = F.pad(cr.ones(2, 2), (1, 1), value=7.5), torch.nn.functional.pad(torch.ones(2, 2), (1, 1), value=7.5)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize(
    ("p", "dim", "eps"), [(2.0, 1, 1e-12), (1.0, 0, 1e-12), (2.0, -1, 3.0), (float("inf"), 1, 1e-12)]
)
def test_normalize_is_pytorchs(p, dim, eps):
    x = np.random.default_rng(0).standard_normal((3, 4))
    a, b = cr.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, t = F.normalize(a, p, dim, eps), torch.nn.functional.normalize(b, p, dim, eps)
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=TOLERANCE)
    (y**3).sum().backward()
    (t**3).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 4), (1, 4)), ((2, 3, 4), (2, 3, 1))])
def test_cosine_similarity_is_pytorchs(shapes):
    x, y = (np.random.default_rng(i).standard_normal(s) for i, s in enumerate(shapes))
    ours = [cr.tensor(v, requires_grad=True) for v in (x, y)]
    theirs = [torch.tensor(v, requires_grad=True) for v in (x, y)]
    a, b = F.cosine_similarity(*ours), torch.nn.functional.cosine_similarity(*theirs)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE)
    a.sum().backward()
    b.sum().backward()
    for u, v in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(u.grad.numpy(), v.grad.numpy(), rtol=TOLERANCE, atol=TOLERANCE)


def test_one_hot_is_pytorchs():
    labels = np.array([[0, 2], [1, 1]])
    for classes in (-1, 3, 5):
        ours, theirs = F.one_hot(cr.tensor(labels), classes), torch.nn.functional.one_hot(torch.tensor(labels), classes)
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
        assert ours.dtype is cr.int64
