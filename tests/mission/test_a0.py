"""docs/articles.md, A0.1 to A0.8: forward, backward, gradients, as the engine does them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.tensor.backward import grad
from chainrule.tensor.dispatch import GATES

F64 = cr.float64


def column(*values: float) -> cr.Tensor:
    return cr.tensor([[v] for v in values], dtype=F64)


def net(n: int, m: int, p: int) -> dict[str, cr.Tensor]:
    """An n-m-p network of the page: W_1 is m x n, b_1 is m x 1, W_2 is p x m, b_2 is p x 1."""
    rng = np.random.default_rng(7)
    shapes = {"W1": (m, n), "b1": (m, 1), "W2": (p, m), "b2": (p, 1)}
    return {name: cr.tensor(rng.normal(size=s), requires_grad=True) for name, s in shapes.items()}


def forward(w: dict[str, cr.Tensor], x: cr.Tensor) -> dict[str, cr.Tensor]:
    z1 = w["W1"] @ x + w["b1"]
    a1 = z1.sigmoid()
    z2 = w["W2"] @ a1 + w["b2"]
    return {"z1": z1, "a1": a1, "z2": z2, "y": z2.sigmoid()}


def test_a0_1_the_forward_pass_is_a_pipeline_of_linear_and_nonlinear_maps() -> None:
    w, x = net(3, 4, 2), column(0.5, -1.0, 2.0)
    with cr.no_grad():
        steps = forward(w, x)
    by_hand = 1 / (1 + np.exp(-(w["W1"].detach().numpy() @ x.numpy() + w["b1"].detach().numpy())))
    np.testing.assert_allclose(steps["a1"].numpy(), by_hand, 1e-14)
    assert steps["y"].argmax().item() in (0, 1)  # a class
    assert not steps["y"].requires_grad  # prediction keeps no graph


@pytest.mark.parametrize(("last", "serves"), [(nn.Softmax(dim=1), "classes"), (nn.Identity(), "values")])
def test_a0_1_a_module_is_the_same_pipeline_and_trace_shows_each_stage(last: nn.Module, serves: str) -> None:
    cr.manual_seed(2)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), last).double()
    x = cr.randn(5, 3, dtype=F64)
    found = cr.explain.trace(model, x)
    by_hand = x.numpy()
    for number, layer in ((1, model[0]), (2, model[2])):
        by_hand = by_hand @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        np.testing.assert_allclose(found.z[number].detach().numpy(), by_hand, 1e-12)
        by_hand = np.maximum(by_hand, 0) if number == 1 else by_hand
    if serves == "classes":
        shares = found.output.detach().numpy()
        np.testing.assert_allclose(shares.sum(1), 1, 1e-12)
        assert (shares.argmax(1) == by_hand.argmax(1)).all()
    else:
        np.testing.assert_allclose(found.output.detach().numpy(), by_hand, 1e-12)


def test_a0_2_shapes_of_an_n_m_p_network_on_column_vectors() -> None:
    n, m, p = 3, 4, 2
    w, x = net(n, m, p), column(0.5, -1.0, 2.0)
    steps = forward(w, x)
    assert {k: tuple(v.shape) for k, v in steps.items()} == {"z1": (m, 1), "a1": (m, 1), "z2": (p, 1), "y": (p, 1)}
    steps["y"].sum().backward()
    assert {k: tuple(v.grad.shape) for k, v in w.items()} == {"W1": (m, n), "b1": (m, 1), "W2": (p, m), "b2": (p, 1)}


def test_a0_3_the_four_activations() -> None:
    z = cr.tensor([-2.0, 0.0, 3.0], dtype=F64)
    assert z.relu().tolist() == [0.0, 0.0, 3.0]
    np.testing.assert_allclose(z.sigmoid().numpy(), 1 / (1 + np.exp([2.0, 0.0, -3.0])), 1e-15)
    probabilities = z.softmax(0)
    assert probabilities.sum().item() == pytest.approx(1.0, abs=1e-15)
    np.testing.assert_allclose(probabilities.numpy(), np.exp(z.numpy()) / np.exp(z.numpy()).sum(), 1e-15)
    assert (z * 1).tolist() == z.tolist()


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (nn.ReLU(), lambda z: np.maximum(z, 0)),
        (nn.Sigmoid(), lambda z: 1 / (1 + np.exp(-z))),
        (nn.Softmax(dim=1), lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True)),
        (nn.Identity(), lambda z: z),
    ],
)
def test_a0_3_the_four_activations_as_modules(module: nn.Module, function: Any) -> None:
    z = cr.tensor([[-2.0, 0.0, 3.0], [1.0, -0.5, 0.25]], dtype=F64)
    np.testing.assert_allclose(module(z).numpy(), function(z.numpy()), 1e-14)


def test_a0_4_the_three_losses() -> None:
    predicted = cr.tensor([0.2, 0.9, 0.4], dtype=F64)
    target = cr.tensor([0.0, 1.0, 1.0], dtype=F64)
    mse = (predicted - target).square().mean()
    assert mse.item() == pytest.approx((0.04 + 0.01 + 0.36) / 3, abs=1e-15)
    logits = cr.tensor([[2.0, 1.0, 0.1]], dtype=F64)
    label = cr.tensor([0])
    cross_entropy = GATES["cross_entropy"](logits, label)
    one_hot = cr.tensor([[1.0, 0.0, 0.0]], dtype=F64)
    assert cross_entropy.item() == pytest.approx(-(one_hot * logits.softmax(1).log()).sum().item(), abs=1e-15)
    binary = -(target * predicted.log() + (1 - target) * (1 - predicted).log()).mean()
    assert binary.item() == pytest.approx(-np.mean(np.log([0.8, 0.9, 0.4])), abs=1e-15)


def test_a0_4_the_three_losses_as_modules_with_their_activations() -> None:
    y, t = np.array([[0.2, 0.9, 0.4]]), np.array([[0.0, 1.0, 1.0]])
    assert nn.MSELoss()(cr.tensor(y), cr.tensor(t)).item() == pytest.approx(0.41 / 3, abs=1e-15)
    logits = np.log(y / y.sum())  # their softmax is y, scaled to sum to 1
    cross = nn.CrossEntropyLoss()
    assert cross(cr.tensor(logits), cr.tensor([1])).item() == pytest.approx(-np.log(0.9 / 1.5), abs=1e-15)
    assert cross(cr.tensor(logits), cr.tensor([[0.0, 1.0, 0.0]], dtype=F64)).item() == pytest.approx(-np.log(0.6))
    by_hand = -np.mean(np.log([0.8, 0.9, 0.4]))
    assert nn.BCELoss()(cr.tensor(y), cr.tensor(t)).item() == pytest.approx(by_hand, abs=1e-15)
    scores = np.log(y / (1 - y))  # their sigmoid is y
    assert nn.BCEWithLogitsLoss()(cr.tensor(scores), cr.tensor(t)).item() == pytest.approx(by_hand, abs=1e-14)


def test_a0_4_explain_says_what_each_loss_is_and_starts_with() -> None:
    z = cr.tensor([[0.3, -0.4]], dtype=F64, requires_grad=True)
    t = cr.tensor([[1.0, 0.0]], dtype=F64)

    def explained(loss: cr.Tensor) -> Any:
        return cr.explain.gradient(loss, z, level="matrix", convention="article0")

    mse = explained(F.mse_loss(z * 1.0, t))
    assert "1/2 ∑ (" in str(mse)  # 1/n of the two elements
    cross = explained(F.cross_entropy(z * 1.0, cr.tensor([0])))
    assert "softmax" in cross.steps[-1].formula
    softmax = np.exp(z.detach().numpy()) / np.exp(z.detach().numpy()).sum()
    np.testing.assert_allclose(np.ravel(cross.steps[-1].value), np.ravel(softmax - t.numpy()), 1e-12)
    binary = explained(F.binary_cross_entropy(z.sigmoid(), t))
    sigmoid = 1 / (1 + np.exp(-z.detach().numpy()))
    np.testing.assert_allclose(np.ravel(binary.steps[-1].value), np.ravel(sigmoid - t.numpy()) / 2, 1e-12)


def test_a0_5_the_chain_rule_of_both_layers_equals_the_engine() -> None:
    w, x, target = net(3, 4, 2), column(0.5, -1.0, 2.0), column(1.0, 0.0)
    steps = forward(w, x)
    for t in steps.values():
        t.retain_grad()
    ((steps["y"] - target).square().sum() * 0.5).backward()
    with cr.no_grad():
        y, a1 = steps["y"], steps["a1"]
        dy = y - target
        dz2 = dy * y * (1 - y)  # dL/dz2 = dL/dy dy/dz2
        da1 = w["W2"].T @ dz2
        dz1 = da1 * a1 * (1 - a1)
    for name, by_hand in {"y": dy, "z2": dz2, "a1": da1, "z1": dz1}.items():
        np.testing.assert_allclose(steps[name].grad.numpy(), by_hand.numpy(), 1e-13)
    np.testing.assert_allclose(w["W2"].grad.numpy(), (dz2 @ a1.T).detach().numpy(), 1e-13)
    np.testing.assert_allclose(w["b2"].grad.numpy(), dz2.detach().numpy(), 1e-13)  # dz2/db2 = 1
    np.testing.assert_allclose(w["W1"].grad.numpy(), (dz1 @ x.T).detach().numpy(), 1e-13)
    np.testing.assert_allclose(w["b1"].grad.numpy(), dz1.detach().numpy(), 1e-13)


def test_a0_6_the_slopes_of_the_activations_and_relu_at_zero() -> None:
    z = cr.tensor([-1.5, 0.0, 2.0], dtype=F64, requires_grad=True)
    (z * 1).sum().backward()
    assert z.grad.tolist() == [1.0, 1.0, 1.0]
    z.grad = None
    y = z.sigmoid()
    y.sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), (y * (1 - y)).detach().numpy(), 1e-15)
    z.grad = None
    z.relu().sum().backward()
    assert z.grad.tolist() == [0.0, 0.0, 1.0]  # fixed to 0 at zero


@pytest.mark.parametrize(
    ("module", "slopes"),
    [(nn.Identity(), [1, 1, 1]), (nn.ReLU(), [0, 0, 1]), (nn.Sigmoid(), [0.149146, 0.25, 0.104994])],
)
def test_a0_6_the_slopes_of_the_modules(module: nn.Module, slopes: list[float]) -> None:
    z = cr.tensor([-1.5, 0.0, 2.0], dtype=F64, requires_grad=True)
    module(z).sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), slopes, atol=5e-7)
    e = cr.explain.gradient(module(z * 1.0).sum(), z, level="matrix")
    np.testing.assert_allclose(np.ravel(e.steps[-1].value), slopes, atol=5e-7)


def descend(alpha: float, steps: int = 60, start: float = 4.0) -> list[float]:
    """The losses of gradient descent on (theta - 1)^2, whose slope is 2 (theta - 1)."""
    theta = cr.tensor(start, dtype=F64, requires_grad=True)
    optimizer = optim.SGD([theta], lr=alpha)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (theta - 1).square()
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    return losses


def test_a0_7_the_learning_rate_converges_diverges_or_crawls() -> None:
    assert descend(0.2)[-1] < 1e-20
    too_large = descend(1.1)
    assert too_large[-1] > 1e8 > too_large[0]
    crawling = descend(1e-4)
    assert 0.97 * crawling[0] < crawling[-1] < crawling[0]


def test_a0_7_the_rule_is_what_sgd_does_and_what_explain_writes() -> None:
    theta = cr.tensor([4.0, -1.0], dtype=F64, requires_grad=True)
    optimizer = optim.SGD([theta], lr=0.2)
    (theta - 1).square().sum().backward()
    e = cr.explain.update(optimizer, theta, convention="article0", names={"w": theta})
    assert e["w_new"].formula == "w_new = w − η (∂L/∂w)"
    np.testing.assert_allclose(np.ravel(e["w_new"].value), [4 - 0.2 * 6, -1 + 0.2 * 4], 1e-14)
    optimizer.step()
    np.testing.assert_allclose(theta.detach().numpy(), np.ravel(e["w_new"].value), 1e-14)


def test_a0_7_a_local_minimum_is_not_the_global_one() -> None:
    ends = []
    for start in (2.0, -2.0):
        theta = cr.tensor(start, dtype=F64, requires_grad=True)
        for _ in range(500):
            loss = theta**4 - 3 * theta**2 + theta
            (g,) = grad(loss, theta)
            with cr.no_grad():
                theta -= 0.01 * g
        ends.append((theta.item(), loss.item()))
    (local, high), (best, low) = ends
    assert local > 0 > best
    assert high > low + 1
    for theta in (local, best):
        assert 4 * theta**3 - 6 * theta + 1 == pytest.approx(0, abs=1e-8)


def test_a0_8_one_random_sample_per_step_reaches_the_minimum_and_oscillates() -> None:
    cr.manual_seed(3)
    rng = np.random.default_rng(0)
    xs = rng.uniform(-1, 1, 200)
    ys = 2 * xs - 0.5 + rng.normal(0, 0.3, 200)
    best = np.polyfit(xs, ys, 1)  # the minimum of the full loss
    x, y = cr.tensor(xs), cr.tensor(ys)
    theta = cr.tensor([0.0, 0.0], dtype=F64, requires_grad=True)
    path = []
    for _ in range(3000):
        i = cr.randint(200, (1,)).item()
        loss = (theta[0] * x[i] + theta[1] - y[i]).square()
        loss.backward()
        with cr.no_grad():
            theta -= 0.05 * theta.grad
            theta.grad.zero_()
        path.append(theta.detach().numpy().copy())
    late = np.array(path[1000:])
    np.testing.assert_allclose(late.mean(0), best, atol=0.05)  # it reaches the minimum
    assert 0.01 < late.std(0).min() < 0.3  # and goes on oscillating
    full = cr.tensor([0.0, 0.0], dtype=F64, requires_grad=True)
    for _ in range(3000):
        (full[0] * x + full[1] - y).square().mean().backward()
        with cr.no_grad():
            full -= 0.1 * full.grad
            full.grad.zero_()
    np.testing.assert_allclose(full.detach().numpy(), best, 1e-8)  # all samples: no oscillation left


# ---- errors to know ------------------------------------------------------------------------------------------------


def test_a0_e1_the_derivative_of_the_mean_squared_error_is_one_number_per_element() -> None:
    predicted = cr.tensor([0.2, 0.9, 0.4], dtype=F64, requires_grad=True)
    target = cr.tensor([0.0, 1.0, 1.0], dtype=F64)
    (predicted - target).square().mean().backward()
    np.testing.assert_allclose(predicted.grad.numpy(), [0.13333, -0.06667, -0.4], atol=5e-6)
    printed = (2 / 3 * (predicted - target).sum()).item()
    assert printed == pytest.approx(-0.33333, abs=5e-6)
    assert predicted.grad.sum().item() == pytest.approx(printed, abs=1e-15)  # the sum of what it should list


def test_a0_4_and_a0_e1_the_losses_as_modules_have_a_derivative_for_each_element() -> None:
    t = cr.tensor([0.0, 1.0, 1.0], dtype=F64)
    start = {nn.MSELoss(): [0.2, 0.9, 0.4], nn.BCELoss(): [0.2, 0.9, 0.4], nn.BCEWithLogitsLoss(): [-1.0, 2.0, 0.5]}
    found = []
    for loss, numbers in start.items():
        y = cr.tensor(numbers, dtype=F64, requires_grad=True)
        loss(y, t).backward()
        found.append(y.grad.numpy())
    np.testing.assert_allclose(found[0], [0.13333, -0.06667, -0.4], atol=5e-6)
    np.testing.assert_allclose(found[1], [1 / 0.8 / 3, -1 / 0.9 / 3, -1 / 0.4 / 3], 1e-9)
    np.testing.assert_allclose(found[2], (1 / (1 + np.exp([1.0, -2.0, -0.5])) - t.numpy()) / 3, 1e-12)
    scores = cr.tensor([[2.0, 1.0, 0.1]], dtype=F64, requires_grad=True)
    nn.CrossEntropyLoss()(scores, cr.tensor([0])).backward()
    softmax = np.exp(scores.detach().numpy()) / np.exp(scores.detach().numpy()).sum()
    np.testing.assert_allclose(scores.grad.numpy(), softmax - [[1.0, 0.0, 0.0]], 1e-12)


def test_a0_e2_the_slope_of_the_sigmoid_is_never_above_a_quarter() -> None:
    z = cr.linspace(-50, 50, 10001, dtype=F64).requires_grad_()
    z.sigmoid().sum().backward()
    assert z.grad.max().item() == 0.25
    assert z[z.grad.argmax()].item() == pytest.approx(0.0, abs=1e-12)


def test_a0_e4_the_gradient_of_a_weight_is_an_outer_product() -> None:
    w, x = net(3, 4, 2), column(0.5, -1.0, 2.0)
    steps = forward(w, x)
    steps["z2"].retain_grad()
    steps["y"].sum().backward()
    delta, a1 = steps["z2"].grad, steps["a1"].detach()
    np.testing.assert_allclose(w["W2"].grad.numpy(), (delta @ a1.T).numpy(), 1e-13)
    assert tuple(a1.shape) != tuple(w["W2"].grad.shape)  # a_1 alone has another shape


def test_a0_e5_softmax_does_not_act_elementwise() -> None:
    z = cr.tensor([1.0, 2.0], dtype=F64)
    changed = cr.tensor([1.0, 5.0], dtype=F64)
    assert z.softmax(0)[0].item() != pytest.approx(changed.softmax(0)[0].item(), abs=0.1)
    assert z.sigmoid()[0].item() == changed.sigmoid()[0].item()
