"""docs/articles.md, A2: the basics of neural networks, and autograd."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import chainrule as cr

F64 = cr.float64


def test_a2_1_three_phases_repeat_until_convergence() -> None:
    cr.manual_seed(0)
    x = cr.randn(64, 2, dtype=F64)
    target = x @ cr.tensor([[1.0], [-2.0]], dtype=F64) + 0.5
    w, b = cr.zeros(2, 1, dtype=F64, requires_grad=True), cr.zeros(1, dtype=F64, requires_grad=True)
    losses = []
    for _ in range(500):
        loss = (x @ w + b - target).square().mean()  # forward
        loss.backward()  # backward
        with cr.no_grad():  # update
            for p in (w, b):
                p -= 0.1 * p.grad
                p.grad = None
        losses.append(loss.item())
        if losses[-1] < 1e-20:
            break
    assert losses[-1] < 1e-20 < losses[0]
    np.testing.assert_allclose(w.detach().numpy(), [[1.0], [-2.0]], atol=1e-9)


def layers(*sizes: int) -> tuple[list[cr.Tensor], list[cr.Tensor]]:
    rng = np.random.default_rng(2)
    weights = [cr.tensor(rng.normal(size=(d, c)), requires_grad=True) for c, d in pairwise(sizes)]
    biases = [cr.tensor(rng.normal(size=(d, 1)), requires_grad=True) for d in sizes[1:]]
    return weights, biases


def test_a2_2_the_delta_recursion_and_the_shapes_of_the_gradients() -> None:
    sizes = (3, 5, 4, 2)
    weights, biases = layers(*sizes)
    a = cr.tensor([[0.2], [-0.7], [1.1]], dtype=F64)
    zs, activations = [], [a]
    for w, b in zip(weights, biases, strict=True):
        z = w @ a + b
        a = z.tanh()
        z.retain_grad()
        zs.append(z)
        activations.append(a)
    (a * a).sum().backward()
    with cr.no_grad():
        delta = 2 * a * (1 - a * a)
        for level in range(len(weights) - 1, -1, -1):
            np.testing.assert_allclose(zs[level].grad.numpy(), delta.numpy(), 1e-12)
            outer = delta @ activations[level].T
            assert tuple(weights[level].grad.shape) == (sizes[level + 1], sizes[level])  # D_l x D_{l-1}
            np.testing.assert_allclose(weights[level].grad.numpy(), outer.detach().numpy(), 1e-12)
            np.testing.assert_allclose(biases[level].grad.numpy(), delta.detach().numpy(), 1e-12)
            if level:
                slope = 1 - activations[level] * activations[level]
                delta = slope * (weights[level].T @ delta)  # sigma'(z^(l)) o (W^(l+1))^T delta^(l+1)


def first_gradient(activation: str, depth: int) -> float:
    x = cr.tensor(0.5, dtype=F64, requires_grad=True)
    a = x
    for _ in range(depth):
        a = getattr(a, activation)()
    a.backward()
    return abs(x.grad.item())


def test_a2_3_the_sigmoid_makes_errors_decay_and_relu_does_not() -> None:
    assert first_gradient("sigmoid", 10) <= 0.25**10
    assert first_gradient("sigmoid", 20) < first_gradient("sigmoid", 10)
    assert first_gradient("relu", 10) == first_gradient("relu", 50) == 1.0


def test_a2_4_the_graph_is_what_the_code_did() -> None:
    graphs = []
    for depth in (1, 3):
        x = cr.tensor(2.0, requires_grad=True)
        y = x
        for _ in range(depth):
            y = y * x if depth == 1 else y.sin()
        names, node = [], y.grad_fn
        while node is not None:
            names.append(node.name())
            below = node.next_functions[0][0]
            assert getattr(below, "order", 0) < node.order  # edges lead back in time: no cycle
            node = below if hasattr(below, "name") else None
        graphs.append(names)
    assert graphs == [["MulBackward"], ["SinBackward"] * 3]


def test_a2_5_the_vocabulary() -> None:
    x = cr.ones(2)
    assert not x.requires_grad
    assert x.requires_grad_() is x  # in place
    assert x.requires_grad
    assert x.grad_fn is None  # made by the user
    y = (x * 3).sum()
    assert y.grad_fn is not None
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [6.0, 6.0]  # accumulated
    assert not (x * 3).detach().requires_grad
    with cr.no_grad():
        assert not (x * 3).requires_grad


def test_a2_6_a_scalar_needs_no_argument_and_a_vector_its_gradient() -> None:
    results = []
    for argument in ((), (cr.tensor(1.0),)):
        x = cr.tensor([1.0, 2.0], requires_grad=True)
        (x * x).sum().backward(*argument)
        results.append(x.grad.tolist())
    assert results[0] == results[1] == [2.0, 4.0]
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="scalar"):
        (x * x).backward()
    with pytest.raises(RuntimeError, match="shape"):
        (x * x).backward(gradient=cr.ones(3))
    (x * x).backward(gradient=cr.tensor([1.0, 0.5]))
    assert x.grad.tolist() == [2.0, 2.0]


def test_a2_7_the_gradient_of_the_worked_example_is_4_5() -> None:
    x = cr.ones(2, 2, requires_grad=True)
    y = x + 2
    assert y.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    z = y * y * 3
    assert z.tolist() == [[27.0, 27.0], [27.0, 27.0]]
    out = z.mean()
    assert out.item() == 27.0
    out.backward()
    assert x.grad.tolist() == [[4.5, 4.5], [4.5, 4.5]]
    assert (1.5 * (x + 2)).tolist() == x.grad.tolist()


def test_a2_8_requires_grad_in_place_changes_what_is_recorded() -> None:
    a = cr.randn(2, 2)
    a = a * 3 / (a - 1)
    assert a.requires_grad is False
    a.requires_grad_(True)
    assert a.requires_grad is True
    b = (a * a).sum()
    assert repr(b.grad_fn) == "<SumBackward>"


def test_a2_9_no_grad_stops_recording() -> None:
    x = cr.ones(2, requires_grad=True)
    assert x.requires_grad
    assert (x**2).requires_grad
    with cr.no_grad():
        assert (x**2).requires_grad is False


# ---- errors to know ------------------------------------------------------------------------------------------------


def test_a2_e1_the_bias_of_the_next_layer_has_the_next_layers_width() -> None:
    _, biases = layers(3, 5, 2)
    assert [tuple(b.shape) for b in biases] == [(5, 1), (2, 1)]  # z^(l+1) = W^(l+1) a^(l) + b^(l+1)
    weights, _ = layers(3, 5, 2)
    a = cr.ones(5, 1, dtype=F64)
    assert (weights[1] @ a + biases[1]).shape == (2, 1)
    with pytest.raises(RuntimeError):
        weights[1] @ a + biases[0]


def test_a2_e2_the_arguments_default_is_true_and_the_attributes_false() -> None:
    import inspect

    assert inspect.signature(cr.Tensor.requires_grad_).parameters["requires_grad"].default is True
    assert cr.zeros(1).requires_grad is False


def test_a2_e3_saturation_is_not_the_only_cause_of_vanishing() -> None:
    quarter = cr.tensor(0.25)
    assert (quarter**75).item() == 0.0  # float32
    assert (quarter.double() ** 75).item() > 0
    assert (quarter.double() ** 10).item() == pytest.approx(9.5e-7, rel=5e-3)
    x = cr.tensor(0.0, dtype=F64, requires_grad=True)  # the middle of the sigmoid: not saturated
    a = x
    for _ in range(10):
        a = a.sigmoid() - 0.5  # stays at 0, where the slope is the largest possible
    a.backward()
    assert x.grad.item() == pytest.approx(0.25**10, rel=1e-12)
