"""A PyTorch module is diagnosed like the same module of ours, and stays as it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.diagnose import gradients, torch_gradients
from chainrule.errors import ArgumentError, ArgumentTypeError, GraphError

torch = pytest.importorskip("torch")


def pair(activation: str, depth: int = 5):
    """The same network in both libraries, with the same weights."""
    torch.manual_seed(0)
    theirs = [m for _ in range(depth) for m in (torch.nn.Linear(12, 12), getattr(torch.nn, activation)())]
    ours = [m for _ in range(depth) for m in (nn.Linear(12, 12), getattr(nn, activation)())]
    their, our = torch.nn.Sequential(*theirs, torch.nn.Linear(12, 3)), nn.Sequential(*ours, nn.Linear(12, 3))
    our.load_state_dict({name: cr.tensor(p.detach().numpy()) for name, p in their.state_dict().items()})
    x, y = torch.randn(8, 12), torch.randint(3, (8,))
    return their, our, (x, y), (cr.tensor(x.numpy()), cr.tensor(y.numpy()))


@pytest.mark.parametrize("activation", ["Sigmoid", "Tanh", "ReLU", "GELU", "SiLU", "LeakyReLU"])
def test_the_ledger_of_a_torch_module_is_that_of_ours(activation):
    their, our, their_batch, our_batch = pair(activation)
    a = torch_gradients(their, torch.nn.CrossEntropyLoss(), their_batch).ledger
    b = gradients(our, nn.CrossEntropyLoss(), our_batch).ledger
    assert a.loss == pytest.approx(b.loss, rel=1e-5)
    assert len(a.rows) == len(b.rows)
    for p, q in zip(a.rows, b.rows, strict=True):
        assert (p.number, p.name, p.op, p.fan_in, p.fan_out, p.silent, p.units) == (
            q.number, q.name, q.op, q.fan_in, q.fan_out, q.silent, q.units,
        )  # fmt: skip
        assert p.between == q.between or activation == "LeakyReLU"  # theirs is named by the class
        assert p.log_gains == pytest.approx(dict(q.log_gains), abs=1e-4)
        for name in ("z", "a", "delta", "weight", "dW"):
            assert getattr(p, name).rms == pytest.approx(getattr(q, name).rms, rel=1e-4)


class Residual(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.LayerNorm(8), torch.nn.Linear(8, 8), torch.nn.ReLU(inplace=True))

    def forward(self, x):
        return x + self.inner(x)


def test_parts_sum_to_the_whole_where_routes_join():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), Residual(), Residual(), torch.nn.Linear(8, 1))
    ledger = torch_gradients(model, torch.nn.MSELoss(), (torch.randn(16, 4), torch.randn(16, 1))).ledger
    whole = math.log(ledger.rows[0].delta.rms) - math.log(ledger.output.rms)
    assert ledger.total == pytest.approx(whole, abs=1e-5)
    assert [row.name for row in ledger.rows] == ["0", "1.inner.1", "2.inner.1", "3"]
    assert {"join", "normalisation", "weights"} <= {cause for row in ledger.rows for cause in row.log_gains}


def test_a_convolution_a_recurrence_and_attention_have_rows_that_sum():
    torch.manual_seed(0)

    class Several(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv1d(3, 8, 3, padding=1)
            self.rnn = torch.nn.GRU(8, 8, batch_first=True)
            self.mix = torch.nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = torch.nn.Linear(8, 1)

        def forward(self, x):
            h, _ = self.rnn(self.conv(x).transpose(1, 2))
            return self.head(self.mix(h, h, h)[0].mean(1))

    ledger = torch_gradients(Several(), torch.nn.MSELoss(), (torch.randn(4, 3, 10), torch.randn(4, 1))).ledger
    assert [row.op for row in ledger.rows] == ["conv2d", "gru", "linear"]
    assert ledger.total == pytest.approx(math.log(ledger.rows[0].delta.rms) - math.log(ledger.output.rms), abs=1e-5)


def test_model_gradients_buffers_modes_and_generator_stay_as_they_are():
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5),
                                torch.nn.ReLU(inplace=True), torch.nn.Linear(8, 1))  # fmt: skip
    model[0].bias.requires_grad_(False)
    model(torch.randn(5, 4)).sum().backward()
    state = {name: t.clone() for name, t in model.state_dict().items()}
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    random = torch.get_rng_state()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad])
    found = torch_gradients(model, torch.nn.MSELoss(), (torch.randn(6, 4), torch.randn(6, 1)), optimizer)
    torch.set_rng_state(random)
    found = torch_gradients(model, torch.nn.MSELoss(), (torch.ones(6, 4), torch.ones(6, 1)), optimizer)
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(state[name], t) for name, t in model.state_dict().items())
    for p, g in zip(model.parameters(), grads, strict=True):
        assert (p.grad is None) == (g is None)
        assert g is None or torch.equal(p.grad, g)
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True, True, True]
    assert model[3].inplace
    assert not optimizer.state
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert next(p for p in found.parameters if p.name == "0.bias").is_frozen


def test_the_update_ratio_is_that_of_the_next_step():
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    x, y = torch.randn(6, 4), torch.randn(6, 1)
    found = torch_gradients(model, torch.nn.MSELoss(), (x, y), torch.optim.SGD(model.parameters(), lr=0.5))
    torch.nn.MSELoss()(model(x), y).backward()
    weight = model[0].weight
    wanted = 0.5 * weight.grad.pow(2).mean().sqrt() / weight.detach().pow(2).mean().sqrt()
    assert found.parameters[0].update_ratio == pytest.approx(float(wanted), rel=1e-4)


def test_a_gradient_that_is_exactly_zero_ends_the_ledger():
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    with torch.no_grad():
        model[0].bias.fill_(-1e6)
    ledger = torch_gradients(model, torch.nn.MSELoss(), (torch.randn(6, 4), torch.randn(6, 1))).ledger
    assert ledger.ends_at is not None
    assert (ledger.ends_at.name, ledger.ends_at.why) == ("0", "zero")
    assert np.isfinite(ledger.total)
    assert len(ledger.rows[0].silent) == 8


def test_what_is_no_torch_module_is_refused_with_where_to_go():
    with pytest.raises(ArgumentTypeError, match=r"torch\.nn\.Module(.|\n)*cr\.diagnose\.gradients"):
        torch_gradients(nn.Linear(2, 1), nn.MSELoss(), (1, 2))


def test_losses_and_models_that_cannot_be_diagnosed_are_refused():
    model, batch = torch.nn.Linear(2, 1), (torch.ones(3, 2), torch.ones(3, 1))
    with pytest.raises(GraphError, match="one number"):
        torch_gradients(model, lambda y, t: y - t, batch)
    with pytest.raises(ArgumentTypeError, match="as a tensor"):
        torch_gradients(model, lambda y, t: 1.0, batch)
    with pytest.raises(GraphError, match="none of the model's parameters"):
        torch_gradients(model, lambda y, t: y.detach().sum(), batch)
    with pytest.raises(GraphError, match="no module with a weight"):
        torch_gradients(torch.nn.LayerNorm(2), lambda y, t: y.sum(), (torch.ones(3, 2), None))
    with pytest.raises(ArgumentError, match="trains none"):
        torch_gradients(model, torch.nn.MSELoss(), batch, torch.optim.SGD(torch.nn.Linear(2, 1).parameters(), lr=1))
