"""docs/articles.md, A3.1 to A3.7: backpropagation neuron by neuron, against the engine."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.tensor.backward import grad

F64 = cr.float64
RNG = np.random.default_rng(11)
W2, B2 = RNG.normal(size=(4, 3)), RNG.normal(size=4)
W3, B3 = RNG.normal(size=(2, 4)), RNG.normal(size=2)
X, LABEL = RNG.normal(size=3), np.array([1.0, 0.0])


def sigma(z: float) -> float:
    return float(1 / (1 + np.exp(-z)))


class Net:
    """Two layers of neurons, numbered from layer 1, the input; C is the squared error."""

    def __init__(self) -> None:
        self.w2, self.b2 = cr.tensor(W2, requires_grad=True), cr.tensor(B2, requires_grad=True)
        self.w3, self.b3 = cr.tensor(W3, requires_grad=True), cr.tensor(B3, requires_grad=True)
        self.z2 = self.w2 @ cr.tensor(X) + self.b2
        self.a2 = self.z2.sigmoid()
        self.z3 = self.w3 @ self.a2 + self.b3
        self.a3 = self.z3.sigmoid()
        self.cost = ((self.a3 - cr.tensor(LABEL)) ** 2).sum()
        for t in (self.z2, self.z3, self.a3):
            t.retain_grad()
        self.cost.backward()


def test_a3_1_the_later_index_stands_first() -> None:
    net = Net()
    for j in range(4):
        z = sum([W2[j, k] * X[k] for k in range(3)]) + B2[j]
        assert net.z2[j].item() == pytest.approx(z, rel=1e-13)
        assert net.a2[j].item() == pytest.approx(sigma(z), rel=1e-13)


def test_a3_2_the_derivative_is_a_rate_with_sign_and_size() -> None:
    net = Net()
    step = 1e-6
    for j in range(2):
        for k in range(4):
            moved = W3.copy()
            moved[j, k] += step
            a3 = 1 / (1 + np.exp(-(moved @ net.a2.detach().numpy() + B3)))
            rate = (((a3 - LABEL) ** 2).sum() - net.cost.item()) / step
            assert rate == pytest.approx(net.w3.grad[j, k].item(), abs=1e-5)
            assert np.sign(rate) == np.sign(net.w3.grad[j, k].item())


def test_a3_3_the_loss_is_the_squared_error() -> None:
    net = Net()
    assert net.cost.item() == pytest.approx(((net.a3.detach().numpy() - LABEL) ** 2).sum(), rel=1e-14)
    np.testing.assert_allclose(net.a3.grad.numpy(), 2 * (net.a3.detach().numpy() - LABEL), 1e-13)


def test_a3_4_weights_and_biases_from_the_deltas() -> None:
    net = Net()
    for w, b, z, below in ((net.w3, net.b3, net.z3, net.a2), (net.w2, net.b2, net.z2, cr.tensor(X))):
        for j in range(w.shape[0]):
            assert b.grad[j].item() == pytest.approx(z.grad[j].item(), rel=1e-13)
            for k in range(w.shape[1]):
                assert w.grad[j, k].item() == pytest.approx(below[k].item() * z.grad[j].item(), rel=1e-12)


def test_a3_5_the_effects_through_all_neurons_of_the_next_layer_add_up() -> None:
    net = Net()
    for j in range(4):
        total = sum([W3[k, j] * net.z3.grad[k].item() for k in range(2)])
        slope = sigma(net.z2[j].item()) * (1 - sigma(net.z2[j].item()))
        assert net.z2.grad[j].item() == pytest.approx(total * slope, rel=1e-12)


def jacobian(activation: str, z: cr.Tensor) -> np.ndarray:  # type: ignore[type-arg]
    a = z.softmax(0) if activation == "softmax" else z.sigmoid()
    return np.stack([grad(a[k], z, retain_graph=True)[0].numpy() for k in range(len(z))])


def test_a3_6_the_cross_terms_of_the_sigmoid_are_zero() -> None:
    z = cr.tensor([0.3, -1.2, 2.0], dtype=F64, requires_grad=True)
    a = z.detach().sigmoid().numpy()
    np.testing.assert_allclose(jacobian("sigmoid", z), np.diag(a * (1 - a)), 1e-14)
    assert (jacobian("sigmoid", z)[~np.eye(3, dtype=bool)] == 0).all()  # exactly


def test_a3_6_every_output_of_softmax_depends_on_every_z() -> None:
    z = cr.tensor([0.3, -1.2, 2.0, 0.0], dtype=F64, requires_grad=True)
    a = z.detach().softmax(0).numpy()
    by_formula = np.array([[a[k] * ((k == j) - a[j]) for j in range(4)] for k in range(4)])
    found = jacobian("softmax", z)
    np.testing.assert_allclose(found, by_formula, 1e-13)
    assert (found != 0).all()
    np.testing.assert_allclose(found.sum(0), 0, atol=1e-16)


def test_a3_6_the_last_layer_sums_over_all_activations() -> None:
    z = cr.tensor([0.3, -1.2, 2.0], dtype=F64, requires_grad=True)
    target = cr.tensor([0.0, 0.0, 1.0], dtype=F64)
    a = z.softmax(0)
    (a - target).square().sum().backward()
    da = (2 * (a - target)).detach().numpy()
    np.testing.assert_allclose(z.grad.numpy(), da @ jacobian("softmax", z), 1e-13)
    diagonal_only = da * np.diag(jacobian("softmax", z))
    assert np.abs(z.grad.numpy() - diagonal_only).max() > 0.04  # leaving out the cross terms is wrong


def test_a3_7_at_a_minimum_the_gradients_go_to_zero_and_the_updates_stop() -> None:
    theta = cr.tensor([3.0, -2.0], dtype=F64, requires_grad=True)
    sizes = []
    for _ in range(400):
        ((theta - cr.tensor([1.0, 0.5], dtype=F64)) ** 2).sum().backward()
        sizes.append(theta.grad.norm().item())
        before = theta.detach().clone()
        with cr.no_grad():
            theta -= 0.1 * theta.grad
            theta.grad.zero_()
    assert sizes[-1] < 1e-14 < sizes[0]
    assert (theta - before).abs().max().item() < 1e-14


# ---- errors to know ------------------------------------------------------------------------------------------------


def test_a3_e1_the_activation_in_place_of_its_slope_has_the_signature_1_over_1_minus_a() -> None:
    net = Net()
    a = net.a2.detach().numpy()
    back = W3.T @ net.z3.grad.numpy()
    wrong, right = back * a, net.z2.grad.numpy()
    np.testing.assert_allclose(wrong / right, 1 / (1 - a), 1e-12)
    assert np.abs(wrong - right).max() > 0.01


def test_a3_e2_without_a_learning_rate_the_update_overshoots() -> None:
    def after(alpha: float) -> float:
        theta = cr.tensor(3.0, dtype=F64, requires_grad=True)
        for _ in range(20):
            (g,) = grad(2 * theta.square(), theta)
            with cr.no_grad():
                theta -= alpha * g
        return abs(theta.item())

    assert after(0.1) < 1e-3
    assert after(1.0) > 1e6


def test_a3_e2_explain_writes_the_learning_rate_and_the_step_depends_on_it() -> None:
    for rate in (0.1, 0.01):
        w = cr.tensor(3.0, dtype=F64, requires_grad=True)
        (2 * w.square()).backward()
        e = cr.explain.update(optim.SGD([w], lr=rate), w, convention="article3")
        assert e["w_new"].formula == "w_new = w − η ⋅ ∂C/∂w"
        assert e["w_new"].value == pytest.approx(3 - rate * 12)
        assert f"η = {rate} (lr)" in str(e)


def test_a3_e2_a_step_of_the_whole_gradient_is_what_diagnose_finds() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    batch = cr.randn(32, 4), 3 * cr.randn(32, 1)
    causes = {}
    for rate in (1.0, 0.01):  # without a learning rate the step is 1.0 times the gradient
        found = cr.diagnose.gradients(model, F.mse_loss, batch, optimizer=optim.SGD(model.parameters(), lr=rate))
        causes[rate] = [finding.cause for finding in found.findings]
    assert causes == {1.0: ["learning rate"], 0.01: []}


def test_a3_e4_a_stationary_point_is_not_a_vanishing_gradient() -> None:
    at_minimum = cr.tensor(1.0, dtype=F64, requires_grad=True)
    (at_minimum - 1).square().backward()
    far_away = cr.tensor(-30.0, dtype=F64, requires_grad=True)
    loss = (far_away.sigmoid() - 1).square()
    loss.backward()
    assert at_minimum.grad.item() == 0.0
    assert abs(far_away.grad.item()) < 1e-12  # as small, but the loss is as large as it can be
    assert loss.item() == pytest.approx(1.0)
