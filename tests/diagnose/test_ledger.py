"""The ledger's parts sum to the whole, and each goes to the cause that has it."""

from __future__ import annotations

import time
from math import isclose, log

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.diagnose import Diagnosis, Ledger, gradients


def mlp(depth: int, width: int, activation: type[nn.Module], outputs: int = 10) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return x + self.down(F.gelu(self.up(self.norm(x))))


class Loop(nn.Module):
    """An RNN as a user writes it."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.input, self.hidden, self.width = nn.Linear(size, width), nn.Linear(width, width), width

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        h = cr.zeros(x.shape[1], self.width, dtype=x.dtype)
        for t in range(x.shape[0]):
            h = cr.tanh(self.input(x[t]) + self.hidden(h))
        return h


class LastOutput(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return self.layer(x)[0][-1]


def images() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip


MODELS = {
    "sigmoid": (lambda: mlp(8, 24, nn.Sigmoid), (16, 24)),
    "tanh": (lambda: mlp(8, 24, nn.Tanh), (16, 24)),
    "relu": (lambda: mlp(8, 24, nn.ReLU), (16, 24)),
    "gelu": (lambda: mlp(8, 24, nn.GELU), (16, 24)),
    "selu": (lambda: mlp(8, 24, nn.SELU), (16, 24)),
    "residual": (lambda: nn.Sequential(nn.Linear(24, 24), *[Residual(24) for _ in range(5)]), (16, 24)),
    "transformer": (
        lambda: nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=True), (4, 7, 16),
    ),
    "images": (images, (6, 3, 8, 8)),
    "loop": (lambda: Loop(5, 8), (200, 4, 5)),
    "lstm": (lambda: LastOutput(nn.LSTM(5, 8)), (60, 4, 5)),
    "gru": (lambda: LastOutput(nn.GRU(5, 8, num_layers=2)), (20, 4, 5)),
    "rnn": (lambda: LastOutput(nn.RNN(5, 8, bidirectional=True)), (20, 4, 5)),
}  # fmt: skip


def squares(y: cr.Tensor, target: None) -> cr.Tensor:
    return (y * y).mean()


def diagnosed(name: str) -> Diagnosis:
    cr.manual_seed(0)
    make, shape = MODELS[name]
    model = make().double()  # 200 steps of a plain recurrence would underflow in float32
    return gradients(model, squares, (cr.randn(*shape, dtype=cr.float64), None))


@pytest.mark.parametrize("name", MODELS)
def test_the_parts_sum_to_the_whole_to_rounding(name: str) -> None:
    ledger = diagnosed(name).ledger
    whole = ledger.rows[0].delta.log_rms - ledger.output.log_rms
    assert ledger.ends_at is None
    assert isclose(ledger.total, whole, abs_tol=1e-9)  # some 1e3 logarithms of size 10, each to 2^-52
    assert isclose(sum(ledger.by_cause.values()), whole, abs_tol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_each_row_is_the_gain_from_the_layer_above(name: str) -> None:
    ledger = diagnosed(name).ledger
    for row, above in zip(ledger.rows, ledger.rows[1:], strict=False):
        assert isclose(row.log_gain, row.delta.log_rms - above.delta.log_rms, abs_tol=1e-9)
        assert row.log_gains.get("saturation", 0.0) <= 1e-6  # no slope is above its cap


def test_delta_and_gradients_are_those_of_a_derivation_by_hand() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 3))
    x, t = cr.randn(7, 6), cr.randn(7, 3)
    w1, b1, w2, b2, w3, b3 = (p.detach().numpy().astype(np.float64) for p in model.parameters())
    a1 = 1 / (1 + np.exp(-(x.numpy() @ w1.T + b1)))
    a2 = 1 / (1 + np.exp(-(a1 @ w2.T + b2)))
    d3 = 2 * (a2 @ w3.T + b3 - t.numpy()) / 21
    d2 = d3 @ w3 * a2 * (1 - a2)
    d1 = d2 @ w2 * a1 * (1 - a1)
    rows = gradients(model, nn.MSELoss(), (x, t)).ledger.rows

    def size(v: np.ndarray) -> float:
        return float(np.sqrt(np.mean(v * v)))

    for row, delta, a in zip(rows, (d1, d2, d3), (x.numpy(), a1, a2), strict=True):
        assert isclose(row.delta.rms, size(delta), rel_tol=1e-5)
        assert isclose(row.dW.rms, size(delta.T @ a), rel_tol=1e-5)
    assert isclose(rows[0].log_gains["weights"], log(size(d2 @ w2) / size(d2)), abs_tol=1e-5)
    assert isclose(rows[0].log_gains["cap"], log(0.25))
    assert isclose(rows[0].log_gains["saturation"], log(4 * size(d1) / size(d2 @ w2)), abs_tol=1e-5)
    assert [row.name for row in rows] == ["0", "2", "4"]


def test_the_cap_dominates_an_unsaturated_sigmoid_network_of_depth_30() -> None:
    cr.manual_seed(0)
    model = mlp(30, 64, nn.Sigmoid)
    for p in model.parameters():
        if p.ndim == 2:
            nn.init.xavier_normal_(p)
    ledger = gradients(model, F.cross_entropy, (cr.randn(32, 64), cr.randint(0, 10, (32,)))).ledger
    assert ledger.by_cause["cap"] == pytest.approx(30 * log(0.25))
    assert ledger.by_cause["cap"] / ledger.total > 0.8


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_scaled_identities_give_exactly_the_logarithm_of_the_scale_per_layer(scale: float) -> None:
    model = nn.Sequential(*[nn.Linear(4, 4, bias=False) for _ in range(50)]).double()
    for p in model.parameters():
        p.data = scale * cr.eye(4, dtype=cr.float64)
    ledger = gradients(model, squares, (cr.ones(3, 4, dtype=cr.float64), None)).ledger
    assert [row.number for row in ledger.rows] == list(range(1, 51))
    for row in ledger.rows[:-1]:
        assert set(row.log_gains) == {"weights"}
        assert isclose(row.log_gain, log(scale), rel_tol=1e-12)
    assert isclose(ledger.total, 49 * log(scale), rel_tol=1e-12)


def quarters(layers: int) -> Ledger:
    model = nn.Sequential(*[nn.Linear(1, 1, bias=False) for _ in range(layers + 1)])
    for p in model.parameters():
        p.data = cr.tensor([[0.25]])
    return gradients(model, lambda y, t: y.sum(), (cr.ones(1, 1), None)).ledger


def test_a_quarter_to_the_74th_is_a_float32_and_to_the_75th_ends_the_ledger() -> None:
    whole, ended = quarters(74), quarters(75)
    assert whole.ends_at is None
    assert isclose(whole.total, 74 * log(0.25), rel_tol=1e-12)
    assert ended.ends_at is not None
    assert (ended.ends_at.number, ended.ends_at.name, ended.ends_at.why) == (1, "0", "zero")
    assert ended.rows[0].delta.is_zero
    assert not ended.rows[0].counted
    assert isclose(ended.total, 74 * log(0.25), rel_tol=1e-12)


def test_an_exploding_gradient_ends_the_ledger_where_it_overflows() -> None:
    model = nn.Sequential(*[nn.Linear(4, 4, bias=False) for _ in range(60)])
    for p in model.parameters():
        p.data = 10 * cr.eye(4)
    diagnosis = gradients(model, lambda y, t: y.sum(), (1e-30 * cr.ones(2, 4), None))
    end = diagnosis.ledger.ends_at
    assert end is not None
    assert (end.why, end.op, end.number) == ("non-finite", "linear", 60 - 39)  # 10^39 is above 3.4e38
    assert diagnosis.findings[0].cause == "non-finite"
    assert diagnosis.origins[0] is not None
    assert (diagnosis.origins[0].phase, diagnosis.origins[0].path) == ("backward", "21")


def test_a_branch_that_carries_nothing_is_booked_as_join() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(24, 24), Residual(24), Residual(24))
    model[1].down.weight.data = cr.zeros(24, 48)
    ledger = gradients(model, squares, (cr.randn(8, 24), None)).ledger
    up = next(row for row in ledger.rows if row.name == "1.up")
    assert up.delta.is_zero
    assert ledger.ends_at is None
    assert isclose(ledger.total, ledger.rows[0].delta.log_rms - ledger.output.log_rms, abs_tol=1e-9)
    assert ledger.by_cause["cap"] == pytest.approx(log(1.1289041451851548))  # of the other branch alone


def test_the_steps_of_a_loop_and_of_the_operator_are_the_same_rows() -> None:
    cr.manual_seed(0)
    model = LastOutput(nn.RNN(5, 8))
    loop = Loop(5, 8)
    with cr.no_grad():
        for target, source in zip(
            (loop.input.weight, loop.hidden.weight, loop.input.bias, loop.hidden.bias), model.parameters(), strict=True
        ):
            target.copy_(source)
    batch = (cr.randn(30, 4, 5), None)
    ours, theirs = gradients(model, squares, batch).ledger, gradients(loop, squares, batch).ledger
    by_step = {row.step: row for row in theirs.rows if row.name == "hidden"}
    steps = [row for row in ours.rows if row.name == "layer" and row.step is not None]
    assert len(steps) >= 29
    for row in steps:
        assert isclose(row.delta.rms, by_step[row.step].delta.rms, rel_tol=1e-4)


def test_silent_units_are_those_whose_slope_is_zero_in_the_whole_batch() -> None:
    cr.manual_seed(0)
    model = mlp(1, 6, nn.ReLU)
    with cr.no_grad():
        model[0].bias[2] = -100.0
        model[0].bias[4] = 100.0
    row = gradients(model, F.cross_entropy, (cr.randn(32, 6), cr.randint(0, 10, (32,)))).ledger.rows[0]
    assert (row.silent, row.units) == (frozenset({2}), 6)


def test_the_mean_over_batches_sums_to_its_own_whole_and_has_a_spread() -> None:
    cr.manual_seed(0)
    model = mlp(4, 12, nn.ReLU)
    batches = [(cr.randn(8, 12), cr.randint(0, 10, (8,))) for _ in range(3)]
    diagnosis = gradients(model, F.cross_entropy, batches)
    ledger = diagnosis.ledger
    assert (len(diagnosis.ledgers), ledger.batches) == (3, 3)
    assert isclose(ledger.total, ledger.rows[0].delta.log_rms - ledger.output.log_rms, abs_tol=1e-9)
    one = [single.rows[0].log_gains["saturation"] for single in diagnosis.ledgers]
    assert isclose(ledger.rows[0].log_gains["saturation"], np.mean(one))
    assert isclose(ledger.rows[0].spread["saturation"], np.std(one))


def test_a_hundred_layers_of_width_512_take_less_than_five_seconds() -> None:
    cr.manual_seed(0)
    model = mlp(100, 512, nn.ReLU)
    batch = (cr.randn(64, 512), cr.randint(0, 10, (64,)))
    start = time.process_time()
    assert gradients(model, F.cross_entropy, batch).ledger.depth == 101
    assert time.process_time() - start < 5
