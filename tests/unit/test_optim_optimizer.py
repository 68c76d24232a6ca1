"""Optimizer: groups, state, hooks, classes of the user's own, and everything that may change between steps."""

from __future__ import annotations

import copy
import pickle
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from chainrule import enable_grad, no_grad, optim
from chainrule.errors import ArgumentError, ArgumentTypeError, DTypeError, InPlaceError, ShapeError, UnsupportedError
from chainrule.optim import Optimizer
from chainrule.tensor.graph import state as thread
from chainrule.tensor.tensor import Tensor, wrap


def parameters(*shapes: tuple[int, ...]) -> list[Tensor]:
    """Parameters of ones, with gradients of ones."""
    made = [wrap(np.ones(shape), None).requires_grad_() for shape in shapes or ((2, 2), (3,))]
    for p in made:
        p.grad = wrap(np.ones(p.value.shape), None)
    return made


class Descent(Optimizer):
    """A user's own class, as one writes it for PyTorch."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad, alpha=-group["lr"])


def test_a_users_own_optimiser_works() -> None:
    p, q = parameters()
    own = Descent([{"params": [p]}, {"params": [q], "lr": 0.5}], lr=0.1)
    own.step()
    np.testing.assert_allclose(p.value, 0.9)
    np.testing.assert_allclose(q.value, 0.5)
    schedule = optim.lr_scheduler.ExponentialLR(own, 0.5)
    own.step()
    schedule.step()
    assert [group["lr"] for group in own.param_groups] == [0.05, 0.25]


def test_an_optimiser_without_a_step_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"Optimizer does not define step\(\)"):
        Optimizer(parameters(), {}).step()


def test_a_closure_is_run_with_gradients_and_its_loss_returned() -> None:
    params = parameters()
    seen = []

    def closure() -> float:
        seen.append(thread.mode.grad)
        return 3.0

    with no_grad():
        assert optim.SGD(params).step(closure) == 3.0
    assert optim.SGD(params).step() is None
    assert seen == [True]


@pytest.mark.parametrize("size", [3, 90_000])
def test_a_step_is_an_in_place_write_that_backward_notices(size: int) -> None:
    (p,) = parameters((size,))
    with enable_grad():
        loss = (p * p).sum()
    version = p._version
    optim.SGD([p], lr=0.1).step()
    assert p._version == version + 1
    with pytest.raises(InPlaceError):
        loss.backward()


def test_zero_grad_takes_gradients_away_or_sets_them_to_zero() -> None:
    p, q = parameters()
    q.grad = wrap(np.broadcast_to(np.float64(1), (3,)), None)  # read-only memory
    frozen = wrap(np.ones(2), None)
    optimiser = optim.SGD([p, q, frozen])
    kept = p.grad
    optimiser.zero_grad(set_to_none=False)
    assert p.grad is kept
    assert not p.grad.value.any()
    assert not q.grad.value.any()
    optimiser.zero_grad()
    assert p.grad is None
    assert q.grad is None


def test_a_learning_rate_changed_by_the_user_counts_from_the_next_step() -> None:
    (p,) = parameters((1,))
    optimiser = optim.SGD([p], lr=0.1)
    optimiser.step()
    optimiser.param_groups[0]["lr"] = 0.5
    optimiser.step()
    assert p.value.item() == pytest.approx(0.4)


def test_parameters_without_a_gradient_are_left_alone_and_have_no_state() -> None:
    p, q = parameters()
    q.grad = None
    optimiser = optim.Adam([p, q])
    optimiser.step()
    assert (q.value == 1).all()
    assert q not in optimiser.state
    assert optimiser.state_dict()["state"].keys() == {0}
    optimiser.zero_grad()
    optimiser.step()
    assert float(optimiser.state[p]["step"].value) == 1


def test_a_group_added_later_is_stepped_with_the_defaults() -> None:
    p, q = parameters()
    optimiser = optim.Adagrad([p], lr=0.1)
    optimiser.add_param_group({"params": q, "lr": 0.3})
    optimiser.step()
    np.testing.assert_allclose(q.value, 0.7)
    assert optimiser.param_groups[1]["eps"] == 1e-10


def twin(optimiser: Any, *params: Tensor) -> tuple[Any, list[Tensor]]:
    """The same optimiser over copies of the parameters."""
    copies = [copy.deepcopy(p) for p in params]
    made = type(optimiser)(copies)
    made.load_state_dict(optimiser.state_dict())
    return made, copies


def assert_same_steps(a: Any, b: Any, params: list[Tensor], others: list[Tensor]) -> None:
    for _ in range(3):
        a.step()
        b.step()
    for p, q in zip(params, others, strict=True):
        np.testing.assert_array_equal(p.value, q.value)


def test_a_loaded_state_is_a_copy() -> None:
    params = parameters()
    optimiser = optim.Adam(params)
    optimiser.step()
    loaded, copies = twin(optimiser, *params)
    assert_same_steps(optimiser, loaded, params, copies)
    loaded.state[copies[0]]["exp_avg"].value[...] = 7
    assert not (optimiser.state[params[0]]["exp_avg"].value == 7).any()


def test_loading_leaves_the_given_dictionary_as_it_was() -> None:
    optimiser = optim.Adam(parameters())
    saved = optim.Adam(parameters(), lr=0.3).state_dict()
    optimiser.load_state_dict(saved)
    assert saved["param_groups"][0]["params"] == [0, 1]
    saved["param_groups"][0]["lr"] = 0.9
    assert optimiser.param_groups[0]["lr"] == 0.3


@pytest.mark.parametrize("again", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_a_copied_optimiser_goes_on_alone(again: Any) -> None:
    params = parameters()
    optimiser = optim.Adam(params, lr=0.1)
    optimiser.step()
    copied = again(optimiser)
    others = copied.param_groups[0]["params"]
    for p, q in zip(params, others, strict=True):
        assert p is not q
        q.grad = wrap(p.grad.value.copy(), None)
    assert_same_steps(optimiser, copied, params, others)


def test_state_that_the_user_replaces_is_what_the_next_step_reads() -> None:
    params = parameters()
    optimiser = optim.SGD(params, lr=1.0, momentum=0.5)
    optimiser.step()
    mine = wrap(np.full((2, 2), 10.0), None)
    optimiser.state[params[0]]["momentum_buffer"] = mine
    optimiser.state[params[1]]["momentum_buffer"].value[...] = 20.0
    optimiser.step()
    np.testing.assert_allclose(params[0].value, 0.0 - 6.0)
    np.testing.assert_allclose(params[1].value, 0.0 - 11.0)
    assert optimiser.state[params[0]]["momentum_buffer"] is mine
    np.testing.assert_allclose(mine.value, 6.0)


def test_an_emptied_state_starts_anew() -> None:
    params = parameters()
    for empty in (lambda o: o.state.clear(), lambda o: setattr(o, "state", defaultdict(dict))):
        optimiser = optim.Adam(params)
        optimiser.step()
        optimiser.step()
        empty(optimiser)
        optimiser.step()
        assert [float(optimiser.state[p]["step"].value) for p in params] == [1, 1]


def test_parameters_exchanged_in_a_group_are_the_ones_stepped() -> None:
    p, q = parameters((2,), (2,))
    optimiser = optim.Adam([p])
    optimiser.step()
    optimiser.param_groups[0]["params"] = [q]
    before = p.value.copy()
    optimiser.step()
    np.testing.assert_array_equal(p.value, before)
    assert float(optimiser.state[q]["step"].value) == 1


def test_an_option_switched_on_later_gets_its_state() -> None:
    params = parameters()
    optimiser = optim.Adam(params)
    optimiser.step()
    optimiser.param_groups[0]["amsgrad"] = True
    optimiser.step()
    assert (optimiser.state[params[0]]["max_exp_avg_sq"].value > 0).all()
    assert float(optimiser.state[params[0]]["step"].value) == 2


def test_steps_of_old_checkpoints_may_be_numbers() -> None:
    params = parameters()
    optimiser = optim.Adam(params)
    optimiser.step()
    saved = optimiser.state_dict()
    for entry in saved["state"].values():
        entry["step"] = 4
        entry["exp_avg"] = entry["exp_avg"].value
    optimiser.load_state_dict(saved)
    optimiser.step()
    assert float(optimiser.state[params[0]]["step"].value) == 5


def test_a_parameter_converted_after_a_step_is_refused() -> None:
    for value, error in ((np.ones((2, 2), np.float32), DTypeError), (np.ones(5), ShapeError)):
        p, q = parameters()
        optimiser = optim.Adam([p, q])
        optimiser.step()
        p.data = wrap(value, None)
        p.grad = wrap(np.ones_like(value), None)
        with pytest.raises(error, match=r"the parameter has another (element type|shape) than its optimiser state"):
            optimiser.step()


def test_a_state_of_other_shapes_is_refused_by_every_step() -> None:
    (p,), (other,) = parameters((2, 3)), parameters((3,))
    saved = optim.Adam([other])
    saved.step()
    optimiser = optim.Adam([p])
    optimiser.load_state_dict(saved.state_dict())
    for _ in range(2):
        with pytest.raises(ShapeError, match="the parameter has another shape than its optimiser state") as error:
            optimiser.step()
    assert error.value.got == ("parameter  (2, 3)  float64", "exp_avg  (3,)  float64")
    assert (p.value == 1).all()


def test_options_that_an_old_checkpoint_does_not_know_keep_their_defaults() -> None:
    optimiser = optim.Adam(parameters(), eps=0.5)
    saved = optimiser.state_dict()
    for name in ("eps", "maximize", "decoupled_weight_decay"):
        del saved["param_groups"][0][name]
    optimiser.load_state_dict(saved)
    optimiser.step()
    assert optimiser.param_groups[0]["eps"] == 0.5


def test_hooks_run_around_each_step_once() -> None:
    class Deeper(optim.SGD):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    seen: list[Any] = []
    optimiser = Deeper(parameters())
    before = optimiser.register_step_pre_hook(lambda o, args, kwargs: seen.append(("before", args, kwargs)))
    optimiser.register_step_post_hook(lambda o, args, kwargs: seen.append(("after", args, kwargs)))
    optimiser.step()
    before.remove()
    optimiser.step(closure=None)
    assert seen == [("before", (), {}), ("after", (), {}), ("after", (), {"closure": None})]


def test_a_pre_hook_may_replace_the_arguments() -> None:
    optimiser = optim.SGD(parameters())
    handle = optimiser.register_step_pre_hook(lambda o, args, kwargs: ((lambda: 5.0,), {}))
    assert optimiser.step() == 5.0
    handle.remove()
    optimiser.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(ArgumentTypeError, match=r"must return None or a tuple of \(new_args, new_kwargs\), but got 3"):
        optimiser.step()


def test_hooks_see_and_replace_states() -> None:
    seen: list[Any] = []
    optimiser = optim.SGD(parameters(), lr=0.1)
    optimiser.register_state_dict_pre_hook(lambda o: seen.append("saving"))
    optimiser.register_state_dict_post_hook(lambda o, state: {**state, "mine": 1})
    optimiser.register_load_state_dict_pre_hook(lambda o, state: seen.append(state["mine"]))
    optimiser.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    optimiser.load_state_dict(optimiser.state_dict())
    assert seen == ["saving", 1, "loaded"]


def test_a_replaced_state_is_the_one_loaded() -> None:
    optimiser = optim.SGD(parameters(), lr=0.1)
    other = optim.SGD(parameters(), lr=0.7).state_dict()
    optimiser.register_load_state_dict_pre_hook(lambda o, state: other)
    optimiser.load_state_dict(optimiser.state_dict())
    assert optimiser.param_groups[0]["lr"] == 0.7


def test_what_is_not_supported_raises() -> None:
    for options in ({"differentiable": True}, {"capturable": True}):
        with pytest.raises(UnsupportedError, match="=True is not supported"):
            optim.Adam(parameters(), **options)  # type: ignore[arg-type]
        with pytest.raises(UnsupportedError, match="=True is not supported"):
            optim.Adam([{"params": parameters(), **options}])


def test_a_parameter_given_twice_is_refused() -> None:
    (p,) = parameters((2,))
    with pytest.raises(ArgumentError, match="duplicate parameters"):
        optim.SGD([p, p])


def test_a_rate_of_several_elements_is_refused() -> None:
    with pytest.raises(ArgumentError, match="Tensor lr must be 1-element"):
        optim.SGD(parameters(), lr=wrap(np.ones(2), None))


def test_schedulers_write_into_a_rate_that_is_a_tensor() -> None:
    rate = wrap(np.array(0.4), None)
    optimiser = optim.SGD(parameters(), lr=rate)
    scheduler = optim.lr_scheduler.ExponentialLR(optimiser, 0.5)
    optimiser.step()
    scheduler.step()
    assert optimiser.param_groups[0]["lr"] is rate
    assert scheduler.get_last_lr() == [0.2]
    assert rate.item() == 0.2


def test_a_users_own_schedule_works() -> None:
    class Halving(optim.lr_scheduler.LRScheduler):
        def get_lr(self) -> list[float]:
            return [base * 0.5**self.last_epoch for base in self.base_lrs]

    optimiser = optim.SGD(parameters(), lr=0.8)
    scheduler = Halving(optimiser)
    optimiser.step()
    scheduler.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [0.2]
    with pytest.raises(NotImplementedError, match="does not define get_lr"):
        optim.lr_scheduler.LRScheduler(optimiser)
    with pytest.raises(ArgumentTypeError, match="a scheduler's state must be a dict, not list"):
        scheduler.load_state_dict([])  # type: ignore[arg-type]


def test_callable_objects_keep_their_attributes_in_a_schedulers_state() -> None:
    class Warmup:
        def __init__(self, epochs: int) -> None:
            self.epochs = epochs

        def __call__(self, epoch: float) -> float:
            return min(1.0, (epoch + 1) / self.epochs)

    optimiser = optim.SGD(parameters(), momentum=0.9)
    schedulers = optim.lr_scheduler
    saved = schedulers.LambdaLR(optimiser, Warmup(5)).state_dict()
    function = Warmup(3)
    schedulers.LambdaLR(optimiser, function).load_state_dict(saved)
    assert function.epochs == 5
    cyclic = schedulers.CyclicLR(optimiser, 0.1, 0.2, scale_fn=Warmup(7)).state_dict()
    schedulers.CyclicLR(optimiser, 0.1, 0.2, scale_fn=function).load_state_dict(cyclic)
    assert function.epochs == 7


def test_a_constant_factor_of_zero_gives_way_to_the_initial_rate() -> None:
    optimiser = optim.SGD(parameters(), lr=0.4)
    scheduler = optim.lr_scheduler.ConstantLR(optimiser, factor=0.0, total_iters=2)
    optimiser.step()
    rates = [scheduler.get_last_lr()]
    for _ in range(3):
        scheduler.step()
        rates.append(scheduler.get_last_lr())
    assert rates == [[0.0], [0.0], [0.4], [0.4]]


def test_a_cycle_whose_rise_is_one_step_starts_at_its_peak() -> None:
    optimiser = optim.SGD(parameters(), momentum=0.9)
    scheduler = optim.lr_scheduler.OneCycleLR(optimiser, 0.5, total_steps=10, pct_start=0.1)
    assert scheduler.get_last_lr() == [0.5]
