"""The training loop against the same steps written out, its callbacks, and its batches."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.errors import DataError, NonFiniteLossError
from chainrule.tensor.functions.random import Generator
from chainrule.train.loop import Callback, Record, Shuffled, Training, fit, gradient_norms
from chainrule.train.problem import Examples


def examples(n: int = 10) -> Examples:
    rng = np.random.default_rng(0)
    return Examples(rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 2, n))


def seeded_model() -> nn.Module:
    cr.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def test_fit_takes_the_steps_that_are_written_out_here() -> None:
    data = examples()
    model = seeded_model()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batches = Shuffled(data, 4, Generator().manual_seed(1))
    training = fit(model, F.cross_entropy, batches, optimizer, epochs=2)

    other = seeded_model()
    by_hand = optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    losses = []
    again = Shuffled(data, 4, Generator().manual_seed(1))
    for _ in range(2):
        total = 0.0
        for x, t in again:
            by_hand.zero_grad()
            loss = F.cross_entropy(other(x), t)
            loss.backward()
            by_hand.step()
            total += loss.item() * len(t)
        losses.append(total / 10)
    assert [record["train_loss"] for record in training.records] == losses
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert np.array_equal(a.detach().numpy(), b.detach().numpy())


def test_shuffled_gives_every_example_once_and_another_order_each_time() -> None:
    data = Examples(np.arange(10.0)[:, None], np.arange(10))
    batches = Shuffled(data, 4, Generator().manual_seed(0))
    first, second = ([t.tolist() for _, t in batches] for _ in range(2))
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert len(batches) == 3
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(10))
    assert first != second
    assert all(x.numpy()[:, 0].tolist() == t.tolist() for x, t in batches)


class Diary(Callback):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def before_training(self, training: Training) -> None:
        self.lines.append(f"training of {training.batches}")

    def before_epoch(self, training: Training) -> None:
        self.lines.append(f"epoch {training.epoch}")

    def after_backward(self, training: Training) -> None:
        assert all(p.grad is not None for p in training.model.parameters())
        self.lines.append(f"batch {training.step}")

    def after_epoch(self, training: Training, record: Record) -> None:
        record["mine"] = 1
        if training.epoch == 2:
            training.stop = "enough"


def test_callbacks_hear_of_everything_in_order_add_to_records_and_stop_the_training() -> None:
    model, diary = seeded_model(), Diary()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    training = fit(model, F.cross_entropy, Shuffled(examples(), 5), optimizer, epochs=9, callbacks=[diary])
    epochs = [f"{what}" for epoch in (1, 2) for what in (f"epoch {epoch}", "batch 0", "batch 1")]
    assert diary.lines == ["training of 2", *epochs]
    assert [record["mine"] for record in training.records] == [1, 1]
    assert training.stop == "enough"


def test_a_batch_with_a_loss_that_is_not_finite_takes_no_step() -> None:
    data = examples()
    data.inputs[7] = np.nan
    model = seeded_model()
    before = [p.detach().numpy().copy() for p in model.parameters()]
    optimizer = optim.SGD(model.parameters(), lr=0.25)
    with pytest.raises(NonFiniteLossError, match="the loss became nan at epoch 1, batch 1") as caught:
        fit(model, F.cross_entropy, Shuffled(data, 10), optimizer, epochs=1)
    assert "It is so before the first step" in str(caught.value)
    assert "learning rate  0.25" in str(caught.value)
    for a, b in zip(model.parameters(), before, strict=True):
        assert np.array_equal(a.detach().numpy(), b)


def test_no_batches_are_an_error() -> None:
    model = seeded_model()
    with pytest.raises(DataError, match="there are no batches to train on"):
        fit(model, F.cross_entropy, [], optim.SGD(model.parameters(), lr=0.1), epochs=1)


def test_gradient_norms_are_those_of_weights_and_biases_together() -> None:
    model = seeded_model()
    (model(cr.ones(1, 3)) * cr.tensor([[3.0, 4.0]])).sum().backward()
    norms = gradient_norms(model)
    assert set(norms) == {"0", "2"}
    w, b = model[2].weight.grad.numpy(), model[2].bias.grad.numpy()  # type: ignore[index]  # a Sequential
    assert norms["2"] == pytest.approx(np.sqrt((w**2).sum() + (b**2).sum()))
    np.testing.assert_allclose(b, [3, 4])


def test_a_schedule_per_batch_steps_after_every_batch() -> None:
    model = seeded_model()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    fit(
        model,
        F.cross_entropy,
        Shuffled(examples(), 5),
        optimizer,
        epochs=2,
        scheduler=scheduler,
        schedule_per_batch=True,
    )
    assert optimizer.param_groups[0]["lr"] == 0.5**4
