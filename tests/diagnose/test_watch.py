"""A watch sees what happens while a model trains, at a cost under its budget, and changes nothing."""

from __future__ import annotations

import json
import math
from time import perf_counter

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.diagnose.watch import LOOKS_UNTIL_DEAD, POINTS, SAMPLE, Watch, watch
from chainrule.errors import ArgumentError, ArgumentTypeError, StateError


def network(*, width: int = 16, dropout: bool = True) -> nn.Sequential:
    cr.manual_seed(0)
    middle = [nn.Dropout(0.3)] if dropout else []
    return nn.Sequential(
        nn.Linear(8, width), nn.Tanh(), *middle, nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3)
    )


def batch() -> tuple[cr.Tensor, cr.Tensor]:
    rng = np.random.default_rng(0)
    return cr.tensor(rng.normal(size=(32, 8)).astype(np.float32)), cr.tensor(rng.integers(0, 3, 32))


def trained(
    model: nn.Module, steps: int, see: Watch | None, *, compiled: bool = False, lr: float = 1e-2
) -> list[float]:
    """The losses of a few steps of Adam, with a watch that looks on."""
    cr.manual_seed(1)
    opt = optim.Adam(model.parameters(), lr=lr)
    loss_fn = nn.CrossEntropyLoss()
    x, y = batch()

    def step() -> cr.Tensor:
        opt.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        opt.step()
        return loss

    run = cr.compile(step) if compiled else step
    losses = []
    for _ in range(steps):
        losses.append(run().item())
        if see is not None:
            see.step()
    return losses


def programs_of(step: object) -> int:
    """How many programs a compiled function has made."""
    return sum(map(len, step.programs.values()))  # type: ignore[attr-defined]  # a Compiled


@pytest.mark.parametrize("begins", ["before it is compiled", "afterwards"])
def test_a_watch_makes_no_program_be_compiled_again(begins: str) -> None:
    model = network()
    opt = optim.SGD(model.parameters(), lr=0.1)
    x, y = batch()

    @cr.compile
    def step() -> cr.Tensor:
        opt.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss

    evaluate = cr.compile(lambda x: model(x))
    if begins == "afterwards":
        step()
    see = watch(model, every=2)
    for _ in range(9):
        step()
        see.step()
        model.eval()
        with cr.no_grad():
            evaluate(x)
        model.train()
    assert len(see.looks) == 5
    see.close()
    step()
    assert programs_of(step) == programs_of(evaluate) == 1


def test_a_compiled_evaluation_fits_while_an_eager_training_is_looked_at() -> None:
    model = network()
    see = watch(model, every=2)
    evaluate = cr.compile(lambda x: model(x))
    for _ in range(6):
        trained(model, 1, see)
        with cr.no_grad():
            evaluate(batch()[0])
    assert all(v is not None for v in see.series("activation")["1"])
    assert programs_of(evaluate) == 1


def test_between_looks_modules_have_no_place_for_hooks_which_would_slow_their_calls() -> None:
    model = network()
    mine = model[1].register_forward_hook(lambda *_: None)
    see = watch(model, every=10)
    trained(model, 2, see)
    assert [name for name, m in model.named_modules() if m._hooks is not None] == ["1"]
    assert mine.id in model[1]._hooks.after


def test_a_step_without_a_look_is_counted_and_nothing_else() -> None:
    asked = []

    def clock() -> float:
        asked.append(perf_counter())
        return asked[-1]

    model = network()
    see = Watch(model, 1000, 0.01, clock=clock)
    trained(model, 1, see)
    before = len(asked)
    assert before > 0
    for _ in range(900):
        see.step()
    assert see.steps == 901
    assert len(asked) == before


@pytest.mark.parametrize("compiled", [False, True])
def test_training_is_the_same_bit_by_bit_with_and_without_a_watch(compiled: bool) -> None:
    alone, seen = network(), network()
    see = watch(seen, every=2)
    assert trained(alone, 20, None, compiled=compiled) == trained(seen, 20, see, compiled=compiled)
    assert len(see.looks) > 5
    for p, q in zip(alone.parameters(), seen.parameters(), strict=True):
        assert p.value.tobytes() == q.value.tobytes()
        assert p.grad.value.tobytes() == q.grad.value.tobytes()


def test_sizes_and_updates_are_those_that_numpy_computes() -> None:
    model = network(dropout=False)
    see = watch(model, every=1)
    trained(model, 3, see)
    before = {name: p.value.copy() for name, p in model.named_parameters()}
    trained(model, 1, see)

    def rms(*arrays: np.ndarray) -> float:
        flat = np.concatenate([np.asarray(a, np.float64).ravel() for a in arrays])
        return float(np.sqrt(np.mean(flat**2)))

    last, layer = see.looks[-1].layers["2"], model[2]
    assert last["weight"] == pytest.approx(rms(layer.weight.value, layer.bias.value), rel=1e-5)
    assert last["gradient"] == pytest.approx(rms(layer.weight.grad.value, layer.bias.grad.value), rel=1e-5)
    change = rms(layer.weight.value - before["2.weight"], layer.bias.value - before["2.bias"])
    assert last["update"] == pytest.approx(change / rms(before["2.weight"], before["2.bias"]), rel=1e-4)


def test_an_eager_watch_sees_how_flat_activations_are() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    with cr.no_grad():
        model[0].weight.mul_(100)
    see = watch(model, every=1)
    trained(model, 1, see)
    x, _ = batch()
    slope = 1 - np.tanh(model[0](x).value.astype(np.float64)) ** 2
    assert see.looks[0].layers["1"]["flat"] == pytest.approx(np.mean(slope < 0.05), abs=0.05)
    shares = see.slopes["1"].shares
    assert shares is not None
    assert sum(shares) == pytest.approx(1.0)
    assert shares[0] > 0.8


def test_a_compiled_watch_sees_parameters_and_gradients_and_no_activations() -> None:
    model = network()
    see = watch(model, every=2)
    trained(model, 12, see, compiled=True)
    assert all(value is not None and value > 0 for value in see.series("gradient")["0"])
    assert "1" not in see.series("activation")


def test_nan_in_a_parameter_is_named_with_the_steps_between_which_it_came() -> None:
    model = network(dropout=False)
    see = watch(model, every=1)
    trained(model, 3, see)
    with cr.no_grad():
        model[2].weight[0, 0] = math.nan
    trained(model, 1, see)
    found = {(e.kind, e.where, e.what) for e in see.events}
    assert ("non-finite", "2.weight", "weights") in found
    first = next(e for e in see.events if e.where == "2.weight" and e.what == "weights")
    assert (first.after, first.step) == (3, 4)
    assert math.isnan(first.value)


def test_nan_in_a_result_is_named_with_its_operator() -> None:
    class Log(nn.Module):
        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return (x - 100.0).log()

    model = nn.Sequential(nn.Linear(8, 3), Log())
    see = watch(model, every=1)
    trained(model, 1, see)
    assert any(e.where == "1" and e.what == "Log" and e.kind == "non-finite" for e in see.events)


def test_a_layer_is_dead_after_three_looks_without_a_gradient_and_not_before() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    with cr.no_grad():
        model[0].bias.fill_(-1e6)
    see = watch(model, every=1)
    trained(model, LOOKS_UNTIL_DEAD - 1, see)
    assert not see.events
    trained(model, 1, see)
    assert [(e.kind, e.where) for e in see.events] == [("dead layer", "0")]


def test_a_unit_is_dead_after_as_many_looks_as_small_batches_need() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    with cr.no_grad():
        model[0].bias.fill_(-1e6)
    see = Watch(model, 1, 0.01, looks_until_dead=7)
    trained(model, 6, see)
    assert not see.events
    trained(model, 1, see)
    assert [(e.kind, e.where, e.step) for e in see.events] == [("dead layer", "0", 7)]


def test_no_layer_is_dead_where_the_loss_sends_no_gradient_to_any() -> None:
    model = network(dropout=False)
    see = watch(model, every=1)
    for _ in range(5):
        model.zero_grad()
        (model(batch()[0]).sum() * 0.0).backward()
        see.step()
    assert not see.events


def test_words_of_an_embedding_that_do_not_come_are_not_dead() -> None:
    model = nn.Sequential(nn.Embedding(50, 4), nn.Linear(4, 3))
    see = watch(model, every=1)
    opt = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        opt.zero_grad()
        model(cr.tensor([1, 2])).sum().backward()
        opt.step()
        see.step()
    assert not see.events
    assert "dead" not in see.looks[-1].layers["0"]


def test_a_step_as_large_as_the_weights_is_an_event() -> None:
    model = network(dropout=False)
    see = watch(model, every=1)
    trained(model, 2, see, lr=10.0)
    assert any(e.kind == "jump" and e.step == 1 for e in see.events)


def test_the_first_step_from_weights_of_zero_is_no_jump() -> None:
    model = nn.Linear(8, 3)
    with cr.no_grad():
        for p in model.parameters():
            p.zero_()
    see = watch(model, every=1)
    trained(model, 1, see, lr=1e-3)
    assert not see.events
    assert "update" not in see.looks[0].layers["Linear"]


def test_before_the_optimizers_first_step_there_is_no_update() -> None:
    model = network(dropout=False)
    see = watch(model, every=1)
    opt = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        opt.zero_grad()
        model(batch()[0]).square().sum().backward()
        see.step()  # between backward and step
        opt.step()
    assert [("update" in look.layers["0"]) for look in see.looks] == [False, True]


def test_a_watch_goes_on_where_another_was_interrupted() -> None:
    model = network(dropout=False)
    first = watch(model, every=1)
    trained(model, 3, first, lr=10.0)
    assert first.events
    second = watch(model, every=1)
    second.go_on(first.steps, first.looks, first.events)
    trained(model, 2, second, lr=10.0)
    assert [look.step for look in second.looks] == [1, 2, 3, 4, 5]
    seen = [(e.kind, e.where, e.what) for e in second.events]
    assert len(seen) == len(set(seen))


def test_looks_stay_bounded_and_even_however_long_the_training() -> None:
    model = nn.Linear(2, 1)
    see = watch(model, every=1)
    model(cr.ones(4, 2)).sum().backward()
    for _ in range(3 * POINTS):
        see.step()
    steps = [look.step for look in see.looks]
    assert POINTS / 2 <= len(steps) <= POINTS
    assert len(set(np.diff(steps).tolist())) == 1
    assert see.taken == 3 * POINTS


def test_the_copy_for_the_update_is_a_sample_of_a_large_parameter() -> None:
    model = nn.Linear(1000, 100)
    see = watch(model, every=1)
    assert all(len(a) <= SAMPLE for layer in see._layers for a in layer.before.values())


def test_auto_keeps_what_looking_costs_under_the_budget() -> None:
    model = network(width=128)
    see = watch(model, budget=0.05)
    trained(model, 300, see)
    assert 2 <= len(see.looks) < 300
    assert see.overhead < 0.05 * 1.5  # a look may take longer than the one before it, by which it was foreseen


def test_close_takes_every_hook_off_the_model() -> None:
    model = network()
    see = watch(model, every=1)
    see.close()
    trained(model, 2, see)
    assert not see.looks
    assert all(m._hooks is None or not m._hooks.after for m in model.modules())


def test_a_watch_is_json_without_nan() -> None:
    model = network(dropout=False)
    see = watch(model, every=1)
    with cr.no_grad():
        model[0].weight[0, 0] = math.nan
    trained(model, 2, see)
    content = json.loads(json.dumps(see.to_dict(), allow_nan=False))
    assert content["looks"] == [1, 2]
    assert content["series"]["weight"]["0"] == [None, None]


def test_step_says_where_it_belongs_when_there_are_no_gradients() -> None:
    with pytest.raises(StateError, match=r"no parameter has a gradient(.|\n)*after backward\(\)"):
        watch(nn.Linear(2, 1)).step()


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "often"])
def test_watch_refuses_an_every_that_is_no_number_of_steps(every: object) -> None:
    with pytest.raises(ArgumentError, match="every is a whole number of steps"):
        watch(nn.Linear(2, 1), every=every)  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize("budget", [0.0, 1.0, -0.1, math.nan])
def test_watch_refuses_a_budget_that_is_no_share(budget: float) -> None:
    with pytest.raises(ArgumentError, match="the budget is a share"):
        watch(nn.Linear(2, 1), budget=budget)


def test_watch_refuses_what_is_no_module_and_a_module_without_parameters() -> None:
    with pytest.raises(ArgumentTypeError, match=r"only an nn\.Module"):
        watch(lambda x: x)  # type: ignore[arg-type]  # what is tested
    with pytest.raises(ArgumentError, match="no parameters"):
        watch(nn.ReLU())


def test_an_unknown_quantity_is_answered_with_those_there_are() -> None:
    with pytest.raises(ArgumentError, match="weight, gradient, update"):
        watch(nn.Linear(2, 1)).series("colour")  # type: ignore[arg-type]  # what is tested
