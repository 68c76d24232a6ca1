"""docs/articles.md, A4.1 to A4.5: the chain rule with numbers."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim

F64 = cr.float64
ETA, TARGET = 0.01, 0.8


class Example:
    """The worked example: one neuron with a sigmoid, half the squared error, one step of gradient descent."""

    def __init__(self) -> None:
        self.x = cr.tensor(0.5, dtype=F64, requires_grad=True)
        self.w = cr.tensor(0.4, dtype=F64, requires_grad=True)
        self.b = cr.tensor(0.1, dtype=F64, requires_grad=True)
        self.z = self.w * self.x + self.b
        self.y = self.z.sigmoid()
        self.loss = 0.5 * (self.y - TARGET) ** 2
        self.y.retain_grad()
        self.z.retain_grad()
        self.loss.backward()
        with cr.no_grad():
            self.new_w = self.w - ETA * self.w.grad
            self.new_b = self.b - ETA * self.b.grad


def test_a4_1_guess_measure_adjust_repeat() -> None:
    w, b = cr.tensor(0.4, dtype=F64, requires_grad=True), cr.tensor(0.1, dtype=F64, requires_grad=True)
    losses = []
    for _ in range(3000):
        loss = 0.5 * ((w * 0.5 + b).sigmoid() - TARGET) ** 2
        losses.append(loss.item())
        loss.backward()
        with cr.no_grad():
            for p in (w, b):
                p -= 1.0 * p.grad
                p.grad.zero_()
    assert all(later <= earlier for earlier, later in pairwise(losses))
    assert losses[-1] < 1e-12
    assert (w * 0.5 + b).sigmoid().item() == pytest.approx(TARGET, abs=1e-5)


def test_a4_2_the_product_of_the_three_factors_is_the_gradient() -> None:
    e = Example()
    y = e.y.item()
    factors = (y - TARGET, y * (1 - y), 0.5)
    assert e.y.grad.item() == pytest.approx(factors[0], rel=1e-15)
    assert e.z.grad.item() == pytest.approx(factors[0] * factors[1], rel=1e-15)
    assert e.w.grad.item() == pytest.approx(math.prod(factors), rel=1e-15)


EXACT = {
    "z": 0.3,
    "y": 0.574442516811659,
    "L": 0.025438089111129,
    "dL/dy": -0.225557483188341,
    "dy/dz": 0.244458311690746,
    "dz/dw": 0.5,
    "dL/dw": -0.027569700764718,
    "dL/db": -0.055139401529436,
    "dL/dx": -0.022055760611774,
    "new w": 0.400275697007647,
    "new b": 0.100551394015294,
}


@pytest.mark.parametrize("quantity", EXACT)
def test_a4_3_every_number_of_the_worked_example_to_15_decimals(quantity: str) -> None:
    e = Example()
    found = {
        "z": e.z.item(),
        "y": e.y.item(),
        "L": e.loss.item(),
        "dL/dy": e.y.grad.item(),
        "dy/dz": e.z.grad.item() / e.y.grad.item(),
        "dz/dw": e.w.grad.item() / e.z.grad.item(),
        "dL/dw": e.w.grad.item(),
        "dL/db": e.b.grad.item(),
        "dL/dx": e.x.grad.item(),
        "new w": e.new_w.item(),
        "new b": e.new_b.item(),
    }
    assert found[quantity] == pytest.approx(EXACT[quantity], abs=5.5e-16)  # half of the 15th decimal, and one rounding


def test_a4_3_the_printed_numbers_are_these_at_their_precision() -> None:
    e = Example()
    printed = {0.574: e.y, 0.025: e.loss, -0.226: e.y.grad}
    for number, exact in printed.items():
        assert round(exact.item(), 3) == number
    assert round(e.z.grad.item() / e.y.grad.item(), 3) == 0.244
    assert math.trunc(e.w.grad.item() * 1000) / 1000 == -0.027  # truncated
    assert math.trunc(e.new_w.item() * 100000) / 100000 == 0.40027  # truncated


def test_a4_4_a_negative_gradient_says_increase_w() -> None:
    e = Example()
    assert e.w.grad.item() < 0
    assert e.y.item() < TARGET
    assert e.new_w.item() > e.w.item()
    moved = 0.5 * ((e.new_w * 0.5 + e.new_b).sigmoid() - TARGET) ** 2
    assert moved.item() < e.loss.item()


@pytest.mark.parametrize(
    ("factor", "after_100"), [(1.01, 2.70), (1.1, 1.38e4), (1.5, 4.07e17), (0.9, 2.66e-5), (0.25, 6.2e-61)]
)
def test_a4_5_in_100_layers_the_factors_multiply(factor: float, after_100: float) -> None:
    x = cr.tensor(1.0, dtype=F64, requires_grad=True)
    y = x
    for _ in range(100):
        y = y * factor
    y.backward()
    digits = 1 if factor == 0.25 else 2
    assert f"{x.grad.item():.{digits}e}" == f"{after_100:.{digits}e}"


# ---- errors to know ------------------------------------------------------------------------------------------------


def test_a4_e1_truncating_and_products_of_rounded_factors_are_not_exact() -> None:
    e = Example()
    assert round(e.w.grad.item(), 3) == -0.028  # -0.027 is truncated
    of_rounded = -0.226 * 0.244 * 0.5
    assert of_rounded == pytest.approx(-0.027572)
    assert of_rounded != pytest.approx(e.w.grad.item(), abs=1e-6)


def test_a4_e2_the_bias_has_a_gradient_and_is_updated() -> None:
    e = Example()
    assert e.b.grad.item() == pytest.approx(2 * e.w.grad.item(), rel=1e-15)  # dz/db = 1, dz/dw = 0.5
    assert e.new_b.item() > e.b.item()
    without = 0.5 * ((e.new_w * 0.5 + e.b).sigmoid() - TARGET) ** 2
    with_bias = 0.5 * ((e.new_w * 0.5 + e.new_b).sigmoid() - TARGET) ** 2
    assert with_bias.item() < without.item() < e.loss.item()


def test_a4_e2_an_optimiser_steps_the_bias_and_explain_shows_both_steps() -> None:
    e = Example()
    optimizer = optim.SGD([e.w, e.b], lr=ETA)
    shown = {name: cr.explain.update(optimizer, p, names={name: p}) for name, p in (("w", e.w), ("b", e.b))}
    optimizer.step()
    assert e.b.item() == pytest.approx(EXACT["new b"], abs=1e-15)
    assert shown["w"]["w_new"].value == pytest.approx(EXACT["new w"], abs=1e-15)
    assert shown["b"]["b_new"].value == pytest.approx(EXACT["new b"], abs=1e-15)


def test_a4_e2_a_bias_that_the_loss_does_not_reach_is_diagnosed() -> None:
    class Detached(nn.Linear):
        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return F.linear(x, self.weight, self.bias.detach())

    cr.manual_seed(0)
    model = nn.Sequential(Detached(3, 4), nn.Tanh(), nn.Linear(4, 1))
    found = cr.diagnose.gradients(model, F.mse_loss, (cr.randn(16, 3), cr.randn(16, 1)))
    assert [(f.cause, f.where) for f in found.findings] == [("detached parameters", "0.bias")]


def test_a4_e3_an_exploding_gradient_is_correct_and_badly_scaled() -> None:
    x = cr.tensor(1e-12, dtype=F64, requires_grad=True)
    y = x
    for _ in range(100):
        y = y * 1.5
    y.backward()
    slope = (y.item() - 0.0) / x.item()  # the map is linear: its slope is y / x
    assert x.grad.item() == pytest.approx(slope, rel=1e-12)
