"""docs/articles.md, A1.1 to A1.10: the derivation in matrices, against the engine; A1.9 belongs to diagnosis."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.autograd import gradcheck

F64 = cr.float64
SIZES = (3, 4, 5, 2)


class Net:
    """Layers 1 (the input) to 4 on a column; a[l], z[l], W[l], b[l] and delta[l] by the number of the layer."""

    def __init__(self, sizes: tuple[int, ...] = SIZES) -> None:
        rng = np.random.default_rng(5)
        self.last = len(sizes)
        self.a = {1: cr.tensor(rng.normal(size=(sizes[0], 1)))}
        self.y = cr.tensor(rng.uniform(size=(sizes[-1], 1)))
        self.W, self.b, self.z = {}, {}, {}
        for level in range(2, self.last + 1):
            self.W[level] = cr.tensor(rng.normal(size=(sizes[level - 1], sizes[level - 2])), requires_grad=True)
            self.b[level] = cr.tensor(rng.normal(size=(sizes[level - 1], 1)), requires_grad=True)
            self.z[level] = self.W[level] @ self.a[level - 1] + self.b[level]
            self.a[level] = self.z[level].sigmoid()
            self.z[level].retain_grad()
        self.a[self.last].retain_grad()
        self.loss = 0.5 * (self.a[self.last] - self.y).square().sum()
        self.loss.backward()
        self.delta = {level: z.grad.numpy() for level, z in self.z.items()}

    def slope(self, level: int) -> np.ndarray:  # type: ignore[type-arg]
        a = self.a[level].detach().numpy()
        return a * (1 - a)


def test_a1_1_delta_is_the_derivative_by_z_for_every_kind_of_layer() -> None:
    """z of a convolution, a pooling, a recurrence and a dense layer: the derivative is that of the secant."""
    cr.manual_seed(0)
    image, steps = cr.randn(1, 1, 4, 4, dtype=F64), cr.randn(3, 1, 2, dtype=F64)
    kernel = cr.randn(2, 1, 3, 3, dtype=F64)
    layers = {
        "convolution": (lambda z: F.relu(z).sum(), F.conv2d(image, kernel)),
        "pooling": (lambda z: F.relu(z).square().sum(), F.max_pool2d(image, 2)),
        "recurrence": (lambda z: z.tanh().sum(), nn.RNN(2, 3).double()(steps)[0].detach()),
        "dense": (lambda z: z.sigmoid().sum(), cr.randn(4, 3, dtype=F64)),
    }
    for name, (rest, value) in layers.items():
        z = value.detach().clone().requires_grad_()
        rest(z).backward()
        direction = np.random.default_rng(1).normal(size=tuple(z.shape))
        step = 1e-6
        with cr.no_grad():
            secant = (rest(z + step * cr.tensor(direction)) - rest(z - step * cr.tensor(direction))).item() / (2 * step)
        assert (z.grad.numpy() * direction).sum() == pytest.approx(secant, rel=1e-7), name


def test_a1_2_the_scalar_equations_are_the_matrix_form() -> None:
    net = Net((2, 4, 3))
    w = net.W[3].detach().numpy()
    j, k = 2, 4  # w^3_24 leads from neuron 4 of layer 2 to neuron 2 of layer 3
    moved = net.a[2].detach().numpy().copy()
    moved[k - 1] += 1
    change = w @ moved - w @ net.a[2].detach().numpy()
    assert change[j - 1, 0] == pytest.approx(w[j - 1, k - 1], rel=1e-12)
    z = sum(w[0, i] * net.a[2][i, 0].item() for i in range(4)) + net.b[3][0, 0].item()
    assert net.z[3][0, 0].item() == pytest.approx(z, rel=1e-13)
    assert net.a[3][0, 0].item() == pytest.approx(1 / (1 + np.exp(-z)), rel=1e-13)  # a^3_1


def test_a1_3_the_first_weight_is_w2() -> None:
    net = Net()
    assert min(net.W) == 2
    a = net.a[1].numpy()
    for level in range(2, net.last + 1):
        a = 1 / (1 + np.exp(-(net.W[level].detach().numpy() @ a + net.b[level].detach().numpy())))
    np.testing.assert_allclose(net.a[net.last].detach().numpy(), a, rtol=1e-13)


def test_a1_4_the_loss_of_one_sample() -> None:
    net = Net()
    error = net.a[net.last].detach().numpy() - net.y.numpy()
    assert net.loss.item() == pytest.approx(0.5 * np.linalg.norm(error) ** 2, rel=1e-14)


def test_a1_5_the_first_derivative_and_the_trace_trick() -> None:
    net = Net()
    error = net.a[net.last].detach().numpy() - net.y.numpy()
    np.testing.assert_allclose(net.a[net.last].grad.numpy(), error, rtol=1e-14)
    da = np.random.default_rng(2).normal(size=error.shape)
    half = 0.5 * np.trace(da.T @ error + error.T @ da)  # tr(A^T) = tr(A) makes both terms equal
    assert np.trace(error.T @ da) == pytest.approx(half, rel=1e-13)
    assert np.trace(da @ error.T) == pytest.approx(half, rel=1e-13)  # tr(AB) = tr(BA)


def test_a1_6_delta_of_the_last_layer() -> None:
    net = Net()
    error = net.a[net.last].detach().numpy() - net.y.numpy()
    slope = net.slope(net.last)
    np.testing.assert_allclose(net.delta[net.last], error * slope, rtol=1e-12)
    np.testing.assert_allclose(np.diag(slope[:, 0]) @ error, error * slope, rtol=1e-14)


def test_a1_7_the_parameters_of_the_last_layer() -> None:
    net = Net()
    outer = net.delta[net.last] @ net.a[net.last - 1].detach().numpy().T
    np.testing.assert_allclose(net.W[net.last].grad.numpy(), outer, rtol=1e-12)
    np.testing.assert_allclose(net.b[net.last].grad.numpy(), net.delta[net.last], rtol=1e-12)


def test_a1_8_the_recursion_downwards_from_the_last_layer() -> None:
    net = Net()
    for level in range(net.last - 1, 1, -1):
        w = net.W[level + 1].detach().numpy()
        jacobian = w @ np.diag(net.slope(level)[:, 0])
        np.testing.assert_allclose(net.delta[level], jacobian.T @ net.delta[level + 1], rtol=1e-11)
        np.testing.assert_allclose(net.delta[level], (w.T @ net.delta[level + 1]) * net.slope(level), rtol=1e-11)


@pytest.mark.parametrize("kind", ["dense", "convolution", "pooling", "rnn", "gru", "lstm"])
def test_a1_10_every_derivation_is_checked_against_code(kind: str) -> None:
    cr.manual_seed(1)
    sequence = cr.randn(3, 2, 2, dtype=F64, requires_grad=True)
    image = cr.randn(1, 2, 4, 4, dtype=F64, requires_grad=True)
    layers = {
        "dense": (nn.Sequential(nn.Linear(2, 3), nn.Sigmoid()), sequence),
        "convolution": (nn.Conv2d(2, 3, 3), image),
        "pooling": (nn.MaxPool2d(2), image),
        "rnn": (nn.RNN(2, 3), sequence),
        "gru": (nn.GRU(2, 3), sequence),
        "lstm": (nn.LSTM(2, 3), sequence),
    }
    layer, x = layers[kind]
    layer = layer.double()
    run = (lambda v: layer(v)[0]) if kind in ("rnn", "gru", "lstm") else layer
    assert gradcheck(run, (x,))


def test_a1_10_the_gradient_of_a_convolution_is_one_with_the_rotated_kernel() -> None:
    cr.manual_seed(2)
    x = cr.randn(1, 1, 5, 5, dtype=F64, requires_grad=True)
    kernel = cr.randn(1, 1, 3, 3, dtype=F64)
    y = F.conv2d(x, kernel)
    delta = cr.randn(1, 1, 3, 3, dtype=F64)
    y.backward(delta)
    rotated = F.conv2d(F.pad(delta, (2, 2, 2, 2)), kernel.flip((2, 3)))
    np.testing.assert_allclose(x.grad.numpy(), rotated.numpy(), rtol=1e-12, atol=1e-14)


# ---- errors to know ------------------------------------------------------------------------------------------------


def test_a1_e1_da_by_da_is_one_and_da_by_dz_is_the_slope() -> None:
    net = Net()
    by_itself = net.a[net.last].grad.numpy() * 1
    assert np.abs(by_itself - net.delta[net.last]).max() > 0.1
    np.testing.assert_allclose(by_itself * net.slope(net.last), net.delta[net.last], rtol=1e-12)


def test_a1_e2_swapping_the_factors_in_the_trace_makes_an_outer_product() -> None:
    net = Net()
    error, da = net.a[net.last].detach().numpy() - net.y.numpy(), np.ones((SIZES[-1], 1))
    assert (error.T @ da).shape == (1, 1)
    assert (error @ da.T).shape == (SIZES[-1], SIZES[-1])


def test_a1_e3_the_derivatives_are_not_the_parameters() -> None:
    net = Net()
    outer = net.delta[3] @ net.a[2].detach().numpy().T
    assert outer.shape == tuple(net.W[3].shape)
    assert np.abs(outer - net.W[3].detach().numpy()).max() > 0.1


def test_a1_e4_without_the_transpose_layers_that_are_not_square_fail_and_square_ones_are_wrong() -> None:
    net = Net()
    with pytest.raises(RuntimeError, match="inner sizes differ"):
        net.W[3] @ cr.tensor(np.diag(net.slope(2)[:, 0])) @ cr.tensor(net.delta[3])
    square = Net((2, 3, 3, 2))
    w, slope = square.W[3].detach().numpy(), np.diag(square.slope(2)[:, 0])
    assert (w @ slope @ square.delta[3]).shape == square.delta[2].shape
    assert np.abs(w @ slope @ square.delta[3] - square.delta[2]).max() > 0.1 * np.abs(square.delta[2]).max()
