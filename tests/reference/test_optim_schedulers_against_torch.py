"""Every schedule gives PyTorch's rates and momenta, by steps and by jumps, and its errors and warnings."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import optim
from chainrule.optim import lr_scheduler
from chainrule.tensor.tensor import wrap

torch = pytest.importorskip("torch")

EPOCHS = 45
Make = Callable[[Any, Any], Any]
"""A scheduler, from the module lr_scheduler (ours or PyTorch's) and an optimiser of two groups."""

SIMPLE: dict[str, Make] = {
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda epoch: 0.95**epoch),
    "LambdaLR of two": lambda s, o: s.LambdaLR(o, [lambda epoch: 1 / (1 + epoch), lambda epoch: epoch // 30]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda epoch: 0.9 + 0.01 * (epoch % 3)),
    "StepLR": lambda s, o: s.StepLR(o, 7, gamma=0.5),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [3, 10, 10, 31], gamma=0.3),
    "ConstantLR": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=6),
    "LinearLR": lambda s, o: s.LinearLR(o, start_factor=0.2, end_factor=0.9, total_iters=9),
    "LinearLR defaults": lambda s, o: s.LinearLR(o),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.93),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, total_iters=20, power=1.7),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 10, eta_min=0.001),
    "CosineAnnealingLR from 1": lambda s, o: s.CosineAnnealingLR(o, 7),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, 2, eta_min=0.01),
    "CosineAnnealingWarmRestarts even": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4),
}
CYCLES: dict[str, Make] = {
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, 0.5, total_steps=EPOCHS + 1),
    "OneCycleLR of epochs": lambda s, o: s.OneCycleLR(o, [0.5, 0.7], epochs=10, steps_per_epoch=6, div_factor=10.0),
    "OneCycleLR in three phases": lambda s, o: s.OneCycleLR(o, 0.5, total_steps=60, three_phase=True, pct_start=0.4),
    "OneCycleLR along lines": lambda s, o: s.OneCycleLR(
        o, 0.5, 60, anneal_strategy="linear", base_momentum=[0.7, 0.6], final_div_factor=100.0
    ),
    "OneCycleLR without momentum": lambda s, o: s.OneCycleLR(o, 0.5, 60, cycle_momentum=False),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.01, 0.5, step_size_up=4, step_size_down=7),
    "CyclicLR triangular2": lambda s, o: s.CyclicLR(o, [0.01, 0.02], [0.5, 0.4], step_size_up=5, mode="triangular2"),
    "CyclicLR exp_range": lambda s, o: s.CyclicLR(o, 0.01, 0.5, step_size_up=5, mode="exp_range", gamma=0.97),
    "CyclicLR of a function": lambda s, o: s.CyclicLR(
        o, 0.01, 0.5, 5, scale_fn=lambda x: 1 / (1 + x), scale_mode="iterations", cycle_momentum=False
    ),
}
COMBINED: dict[str, Make] = {
    "SequentialLR": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 5), s.ExponentialLR(o, 0.9), s.CosineAnnealingLR(o, 8)], [5, 17]
    ),
    "SequentialLR at once": lambda s, o: s.SequentialLR(o, [s.LinearLR(o), s.StepLR(o, 3)], [0]),
    "SequentialLR nested": lambda s, o: s.SequentialLR(
        o, [s.SequentialLR(o, [s.LinearLR(o), s.StepLR(o, 3)], [4]), s.ExponentialLR(o, 0.9)], [20]
    ),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 20), s.ExponentialLR(o, 0.9)]),
    "two beside each other": lambda s, o: (s.StepLR(o, 4), s.ExponentialLR(o, 0.95))[1],
}
ALL = {**SIMPLE, **CYCLES, **COMBINED}


def optimisers(name: str = "SGD", **options: Any) -> tuple[Any, Any]:
    """An optimiser of two groups, here and in PyTorch."""
    options = {"lr": 0.2, **({"momentum": 0.9} if name == "SGD" else {}), **options}
    ours, theirs = [wrap(np.ones(2), None).requires_grad_() for _ in "ab"], [torch.ones(2) for _ in "ab"]
    return tuple(
        getattr(module, name)([{"params": [p[0]]}, {"params": [p[1]], "lr": 0.7}], **options)
        for module, p in ((optim, ours), (torch.optim, theirs))
    )


def schedulers(make: Make, name: str = "SGD") -> tuple[Any, Any]:
    ours, theirs = optimisers(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a sequence in a sequence warns at once, there and here
        return make(lr_scheduler, ours), make(torch.optim.lr_scheduler, theirs)


def assert_equal(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-12, atol=1e-15)
    for mine, its in zip(ours.optimizer.param_groups, theirs.optimizer.param_groups, strict=True):
        assert mine["lr"] == pytest.approx(its["lr"], rel=1e-12, abs=1e-15)
        for momentum in {"momentum", "betas"} & mine.keys():
            assert mine[momentum] == pytest.approx(its[momentum], rel=1e-12)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_a_schedule_gives_pytorchs_rates(make: Make, name: str) -> None:
    ours, theirs = schedulers(make, name)
    assert_equal(ours, theirs)
    for _ in range(EPOCHS):
        for scheduler in (ours, theirs):
            scheduler.optimizer.step()
            scheduler.step()
        assert_equal(ours, theirs)


@pytest.mark.parametrize("make", SIMPLE.values(), ids=SIMPLE)
def test_a_jump_to_an_epoch_gives_pytorchs_rates(make: Make) -> None:
    ours, theirs = schedulers(make)
    for scheduler in (ours, theirs):
        scheduler.optimizer.step()
    for epoch in (0, 3, 12, 5, 40):
        for scheduler in (ours, theirs):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scheduler.step(epoch)
        assert_equal(ours, theirs)


def test_warm_restarts_take_fractions_of_epochs() -> None:
    ours, theirs = schedulers(SIMPLE["CosineAnnealingWarmRestarts"])
    for epoch in np.arange(0.0, 40.0, 0.7).tolist():
        for scheduler in (ours, theirs):
            scheduler.step(epoch)
        assert_equal(ours, theirs)


@pytest.mark.parametrize("make", [m for n, m in ALL.items() if n != "two beside each other"])
def test_a_state_goes_to_pytorch_and_back(make: Make) -> None:
    ours, theirs = schedulers(make)
    for scheduler in (ours, theirs):
        scheduler.optimizer.step()
        for _ in range(8):
            scheduler.step()
    again, them = schedulers(make)
    again.load_state_dict(theirs.state_dict())
    them.load_state_dict(ours.state_dict())
    for new, old in ((again, theirs), (them, ours)):
        for mine, its in zip(new.optimizer.param_groups, old.optimizer.param_groups, strict=True):
            mine.update({k: its[k] for k in ("lr", "momentum")})
        new.optimizer.step()
    for _ in range(12):
        again.step()
        them.step()
        assert_equal(again, them)


@pytest.mark.parametrize("make", [SIMPLE["CosineAnnealingLR"], SIMPLE["StepLR"], SIMPLE["LinearLR"]])
def test_a_schedule_resumes_at_an_epoch(make: Make) -> None:
    ours, theirs = optimisers()
    for optimiser in (ours, theirs):
        for group in optimiser.param_groups:
            group["initial_lr"] = 0.4
    a = lr_scheduler.CosineAnnealingLR(ours, 10, last_epoch=4)
    b = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, 10, last_epoch=4)
    for _ in range(8):
        assert_equal(a, b)
        for scheduler in (a, b):
            scheduler.optimizer.step()
            scheduler.step()


METRICS = [5.0, 4.0, 4.0, 3.9999, 4.1, 4.0, 4.2, 3.0, 3.1, 3.2, 2.9, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, math.nan, 1.0, 9.0]
PLATEAUS: list[dict[str, Any]] = [
    {"patience": 2},
    {"patience": 1, "factor": 0.5, "cooldown": 2},
    {"patience": 1, "mode": "max"},
    {"patience": 2, "threshold": 0.5, "threshold_mode": "abs"},
    {"patience": 1, "mode": "max", "threshold": 0.3, "threshold_mode": "abs"},
    {"patience": 0, "min_lr": [0.05, 0.1]},
    {"patience": 0, "min_lr": 0.01},
    {"patience": 0, "eps": 0.1},
]


@pytest.mark.parametrize("options", PLATEAUS)
def test_reduction_on_a_plateau_gives_pytorchs_rates(options: dict[str, Any]) -> None:
    ours, theirs = schedulers(lambda s, o: s.ReduceLROnPlateau(o, **options))
    for i, metric in enumerate(METRICS * 2):
        ours.step(wrap(np.array(metric), None))
        theirs.step(metric)
        assert_equal(ours, theirs)
        assert ours.in_cooldown == theirs.in_cooldown
        if i == 11:
            state = ours.state_dict()
            ours = lr_scheduler.ReduceLROnPlateau(ours.optimizer)
            ours.load_state_dict(state)


INVALID: dict[str, Make] = {
    "no optimiser": lambda s, o: s.StepLR(3, 2),
    "no optimiser, one cycle": lambda s, o: s.OneCycleLR(3, 0.1, 10),
    "no optimiser, cycles": lambda s, o: s.CyclicLR(3, 0.1, 0.2),
    "no optimiser, plateau": lambda s, o: s.ReduceLROnPlateau(3),
    "nothing to resume": lambda s, o: s.StepLR(o, 2, last_epoch=3),
    "one function too many": lambda s, o: s.LambdaLR(o, [lambda e: 1.0] * 3),
    "no function": lambda s, o: s.MultiplicativeLR(o, [0.5, 0.5]),
    "constant factor": lambda s, o: s.ConstantLR(o, 1.5),
    "start factor": lambda s, o: s.LinearLR(o, 0.0),
    "end factor": lambda s, o: s.LinearLR(o, end_factor=1.1),
    "T_0": lambda s, o: s.CosineAnnealingWarmRestarts(o, 0),
    "T_mult": lambda s, o: s.CosineAnnealingWarmRestarts(o, 1, 0),
    "eta_min": lambda s, o: s.CosineAnnealingWarmRestarts(o, 1, 1, "0"),
    "negative epoch": lambda s, o: s.CosineAnnealingWarmRestarts(o, 1).step(-1),
    "no steps": lambda s, o: s.OneCycleLR(o, 0.1),
    "zero steps": lambda s, o: s.OneCycleLR(o, 0.1, 0),
    "zero epochs": lambda s, o: s.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=1),
    "zero steps per epoch": lambda s, o: s.OneCycleLR(o, 0.1, epochs=1, steps_per_epoch=0),
    "pct_start": lambda s, o: s.OneCycleLR(o, 0.1, 10, pct_start=2.0),
    "anneal_strategy": lambda s, o: s.OneCycleLR(o, 0.1, 10, anneal_strategy="sin"),
    "max_lr": lambda s, o: s.OneCycleLR(o, [0.1, 0.2, 0.3], 10),
    "mode": lambda s, o: s.CyclicLR(o, 0.1, 0.2, mode="square"),
    "factor": lambda s, o: s.ReduceLROnPlateau(o, factor=1.0),
    "plateau mode": lambda s, o: s.ReduceLROnPlateau(o, "mean"),
    "plateau threshold": lambda s, o: s.ReduceLROnPlateau(o, threshold_mode="both"),
    "min_lr": lambda s, o: s.ReduceLROnPlateau(o, min_lr=[0.1]),
    "no schedulers": lambda s, o: s.SequentialLR(o, [], []),
    "no schedulers to chain": lambda s, o: s.ChainedScheduler([]),
    "milestones": lambda s, o: s.SequentialLR(o, [s.StepLR(o, 2)], [3]),
    "plateau in a sequence": lambda s, o: s.SequentialLR(o, [s.ReduceLROnPlateau(o)], []),
    "no scheduler in a chain": lambda s, o: s.ChainedScheduler([object()], o),
    "plateau in a chain": lambda s, o: s.ChainedScheduler([s.ReduceLROnPlateau(o)]),
}


@pytest.mark.parametrize("make", INVALID.values(), ids=INVALID)
def test_an_invalid_argument_raises_what_pytorch_raises(make: Make) -> None:
    ours, theirs = optimisers()
    with pytest.raises((ValueError, TypeError, KeyError)) as its:
        make(torch.optim.lr_scheduler, theirs)
    with pytest.raises(its.type) as mine:
        make(lr_scheduler, ours)
    wanted = str(its.value.args[0]).split("\n")[0]
    assert str(mine.value).startswith(wanted)


def test_momentum_cannot_be_cycled_where_there_is_none() -> None:
    for make in (CYCLES["OneCycleLR"], CYCLES["CyclicLR"]):
        ours, theirs = optimisers("Adagrad")
        for module, optimiser in ((lr_scheduler, ours), (torch.optim.lr_scheduler, theirs)):
            with pytest.raises(ValueError, match="optimizer must support momentum or beta1"):
                make(module, optimiser)


def test_a_cycle_ends_after_its_steps() -> None:
    for scheduler in schedulers(lambda s, o: s.OneCycleLR(o, 0.1, total_steps=3)):
        scheduler.optimizer.step()
        for _ in range(3):
            scheduler.step()
        with pytest.raises(ValueError, match=r"Tried to step 4 times\. The specified number of total steps is 3"):
            scheduler.step()


def test_schedulers_of_another_optimiser_are_refused() -> None:
    for module, first, other in zip((lr_scheduler, torch.optim.lr_scheduler), optimisers(), optimisers(), strict=True):
        two = [module.StepLR(first, 2), module.StepLR(other, 2)]
        with pytest.raises(ValueError, match="expects all schedulers to belong to the same optimizer"):
            module.SequentialLR(first, two, [2])
        with pytest.raises(ValueError, match="expects all schedulers to belong to the same optimizer"):
            module.ChainedScheduler(two)


def test_a_group_added_later_needs_its_own_lowest_rate() -> None:
    for module, tensor in ((optim, wrap(np.ones(2), None)), (torch.optim, torch.ones(2))):
        for min_lr, refused in (([0.1, 0.1], True), (0.1, False)):
            optimiser = optimisers()[module is torch.optim]
            scheduler = module.lr_scheduler.ReduceLROnPlateau(optimiser, patience=0, min_lr=min_lr)
            optimiser.add_param_group({"params": [tensor], "lr": 1.0})
            scheduler.step(1.0)
            if refused:
                with pytest.raises(RuntimeError, match="The number of param groups in the `optimizer`"):
                    scheduler.step(1.0)
            else:
                scheduler.step(1.0)
                assert [g["lr"] for g in optimiser.param_groups] == pytest.approx([0.1, 0.1, 0.1])


def warnings_of(call: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(w.category is UserWarning for w in caught)
    assert all(w.filename == __file__ or "torch" in w.filename for w in caught)  # the user's line
    return [str(w.message).split(". ")[0].split(". In")[0] for w in caught]


def test_the_same_misuses_warn_in_pytorchs_words() -> None:
    def early(s: Any, o: Any) -> list[str]:
        scheduler = s.StepLR(o, 2)
        return warnings_of(lambda: scheduler.step())

    def stepped_before_only(s: Any, o: Any) -> list[str]:
        o.step()
        scheduler = s.StepLR(o, 2)
        return warnings_of(lambda: scheduler.step())

    def second_scheduler(s: Any, o: Any) -> list[str]:
        s.StepLR(o, 2)
        o.step()
        scheduler = s.StepLR(o, 2)
        return warnings_of(lambda: scheduler.step())

    def replaced(s: Any, o: Any) -> list[str]:
        scheduler = s.StepLR(o, 2)
        o.step = lambda: None
        o.step()
        return warnings_of(lambda: scheduler.step())

    def with_epoch(s: Any, o: Any) -> list[str]:
        scheduler = s.StepLR(o, 2)
        o.step()
        return warnings_of(lambda: scheduler.step(3))

    def asked(s: Any, o: Any) -> list[str]:
        scheduler = s.ExponentialLR(o, 0.5)
        return warnings_of(lambda: scheduler.get_lr())

    def good(s: Any, o: Any) -> list[str]:
        scheduler = s.StepLR(o, 2)
        o.step()
        return warnings_of(lambda: (scheduler.step(), scheduler.step()))

    for case in (early, stepped_before_only, second_scheduler, replaced, with_epoch, asked, good):
        ours, theirs = optimisers()
        its = case(torch.optim.lr_scheduler, theirs)
        assert case(lr_scheduler, ours) == its, case.__name__
        assert bool(its) == (case not in (good, second_scheduler))
