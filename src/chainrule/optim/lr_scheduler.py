"""Learning-rate schedules: how the learning rate of an optimiser's groups changes from epoch to epoch.

A scheduler writes `group["lr"]`. Most are chainable, as in PyTorch: the new rate follows from the one that stands
in the group, so that two schedulers of one optimiser multiply. `step(epoch)` jumps by the closed form instead.
"""

from __future__ import annotations

import math
import types
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from chainrule.errors import ArgumentError, ArgumentTypeError, ResumeError, StateError, UnsupportedError
from chainrule.optim.optimizer import Optimizer, number
from chainrule.tensor.recording import recorder
from chainrule.tensor.tensor import Tensor, wrote

Factor: TypeAlias = Callable[[int], float]
"""A function of the epoch."""

EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. Please "
    "use `scheduler.step()` to step the scheduler. With an epoch, the closed form is used instead of the "
    "chainable form, where there is one."
)


class LRScheduler:
    """The base of all schedules. A subclass gives `get_lr`: the rates of all groups at `self.last_epoch`.

        class Halving(LRScheduler):
            def get_lr(self):
                return [base * 0.5**self.last_epoch for base in self.base_lrs]

    The constructor makes the first step: it sets the rate of epoch 0. Call `step()` after the optimiser's.

    Args:
        optimizer: whose groups to schedule.
        last_epoch: the index of the last epoch when resuming; -1 starts anew from the rates in the groups.

    Attributes:
        base_lrs: each group's "initial_lr".
        last_epoch: the epoch that the current rates are for.

    Raises:
        ArgumentTypeError: `optimizer` is no Optimizer.
        ResumeError (a KeyError): last_epoch >= 0 and a group has no "initial_lr".
    """

    _get_lr_called_within_step: bool = False
    _is_initial: bool = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked_optimizer(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", number(group["lr"], "lr"))
            elif "initial_lr" not in group:
                raise ResumeError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with "
                    "last_epoch >= 0.",
                    got=[f"last_epoch  {last_epoch}"],
                    mend="Load the optimiser's checkpoint first, or start anew with last_epoch=-1.",
                )
        self.base_lrs: list[float] = option_of_groups(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        if not optimizer._scheduled:
            optimizer._scheduled, optimizer._opt_called = True, False
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch, or to `epoch` (deprecated in PyTorch: it warns).

        Warns:
            UserWarning: the first call came before the optimiser's first step, or that step was replaced.
        """
        if (recording := recorder()) is not None:
            recording.after_each_call(lambda: self.step(epoch))
            return
        if self._step_count == 1:
            warn_of_the_wrong_order(self.optimizer)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        with self._stepping():
            rates = self.get_lr() if epoch is None else self._closed_form_or_next()
        self._set(rates)

    def _closed_form_or_next(self) -> list[float]:
        rates: list[float] = getattr(self, "_get_closed_form_lr", self.get_lr)()
        return rates

    def _set(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            set_option(group, "lr", rate)
        self._last_lr = option_of_groups(self.optimizer, "lr")

    @contextmanager
    def _stepping(self) -> Iterator[None]:
        """Within it `get_lr` is called by `step`, and does not warn."""
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def get_lr(self) -> list[float]:
        """The rates at `self.last_epoch`, from those in the groups. Users call `get_last_lr`."""
        raise UnsupportedError(f"{type(self).__name__} does not define get_lr()")

    def get_last_lr(self) -> list[float]:
        """The rates that this scheduler set last, one for each group."""
        return self._last_lr

    def _rates(self) -> list[float]:
        """The rates that stand in the groups; warns if get_lr() was not called by step()."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )
        return option_of_groups(self.optimizer, "lr")

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` gave, here or in PyTorch.

        Raises:
            ArgumentTypeError: it is no dictionary.
        """
        if not isinstance(state_dict, dict):
            raise ArgumentTypeError(f"a scheduler's state must be a dict, not {type(state_dict).__name__}")
        self.__dict__.update(state_dict)


_LRScheduler = LRScheduler  # PyTorch's old name


# ---- factors ------------------------------------------------------------------------------------------------


class _OfFunctions(LRScheduler):
    """A schedule by functions of the epoch: one for all groups, or one for each."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1) -> None:
        groups = len(checked_optimizer(optimizer).param_groups)
        each: list[Any] = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        if len(each) != groups:
            raise ArgumentError(f"Expected {groups} lr_lambdas, but got {len(each)}")
        for function in each:
            if not callable(function):
                raise ArgumentTypeError(f"lr_lambda should be a function, but got {type(function).__name__}")
        self.lr_lambdas: list[Factor] = each
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser and plain functions: of callable objects, their attributes."""
        return {**super().state_dict(), "lr_lambdas": [attributes_of(function) for function in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` gave; plain functions stay as they are."""
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "lr_lambdas"})
        for function, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                function.__dict__.update(attributes)


class LambdaLR(_OfFunctions):
    """lr = initial lr * lr_lambda(epoch).

    Args:
        optimizer: whose groups to schedule.
        lr_lambda: a function of the epoch, or a list of functions, one for each group.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: as many functions as groups were expected. ArgumentTypeError: one is no function.
    """

    def get_lr(self) -> list[float]:
        self._rates()
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]


class MultiplicativeLR(_OfFunctions):
    """lr' = lr * lr_lambda(epoch) at each step.

    Args, Raises: as `LambdaLR`.
    """

    def get_lr(self) -> list[float]:
        rates = self._rates()
        if self._is_initial:
            return rates
        return [lr * f(self.last_epoch) for lr, f in zip(rates, self.lr_lambdas, strict=True)]


class StepLR(LRScheduler):
    """lr' = gamma lr at every step_size-th epoch.

    Args:
        optimizer: whose groups to schedule.
        step_size: epochs between two reductions.
        gamma: the factor.
        last_epoch: see `LRScheduler`.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates = self._rates()
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return rates
        return [lr * self.gamma for lr in rates]

    def _get_closed_form_lr(self) -> list[float]:
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """lr' = gamma lr at each of the milestones; a milestone named twice counts twice.

    Args:
        optimizer: whose groups to schedule.
        milestones: epochs.
        gamma: the factor.
        last_epoch: see `LRScheduler`.
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [lr * self.gamma ** self.milestones[self.last_epoch] for lr in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """lr = factor * initial lr, until epoch total_iters.

    Args:
        optimizer: whose groups to schedule.
        factor: in [0, 1].
        total_iters: the epoch from which the initial rate holds.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: a factor outside [0, 1].
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 <= factor <= 1.0:
            raise ArgumentError(
                "Constant multiplicative factor expected to be between 0 and 1.", got=[f"factor  {factor}"]
            )
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates = self._rates()
        if self.last_epoch == 0:
            return [lr * self.factor for lr in rates]
        if self.last_epoch != self.total_iters:
            return rates
        return [lr * (1.0 / self.factor) for lr in rates] if self.factor else list(self.base_lrs)

    def _get_closed_form_lr(self) -> list[float]:
        factor = 1.0 if self.last_epoch >= self.total_iters else self.factor
        return [base * factor for base in self.base_lrs]


class LinearLR(LRScheduler):
    """lr = initial lr * a factor that goes from start_factor to end_factor in total_iters epochs, evenly.

    Args:
        optimizer: whose groups to schedule.
        start_factor: in (0, 1].
        end_factor: in [0, 1].
        total_iters: the epoch at which end_factor is reached.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: a factor outside its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1.0:
            raise ArgumentError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal to 1.",
                got=[f"start_factor  {start_factor}"],
            )
        if not 0 <= end_factor <= 1.0:
            raise ArgumentError(
                "Ending multiplicative factor expected to be between 0 and 1.", got=[f"end_factor  {end_factor}"]
            )
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates = self._rates()
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in rates]
        if self._is_initial or self.last_epoch > self.total_iters:
            return rates
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return [lr * (1.0 + rise / before) for lr in rates]

    def _get_closed_form_lr(self) -> list[float]:
        part = min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * (self.start_factor + (self.end_factor - self.start_factor) * part) for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """lr' = gamma lr at each step.

    Args:
        optimizer: whose groups to schedule.
        gamma: the factor.
        last_epoch: see `LRScheduler`.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [lr if self._is_initial else lr * self.gamma for lr in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """lr = initial lr * (1 - epoch/total_iters)^power, and 0 from epoch total_iters.

    Args:
        optimizer: whose groups to schedule.
        total_iters: the epoch at which the rate is 0.
        power: of the polynomial.
        last_epoch: see `LRScheduler`.
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates = self._rates()
        if self._is_initial or self.last_epoch > self.total_iters:
            return rates
        left, left_before = (1.0 - epoch / self.total_iters for epoch in (self.last_epoch, self.last_epoch - 1))
        return [lr * (left / left_before) ** self.power for lr in rates]

    def _get_closed_form_lr(self) -> list[float]:
        part = min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * (1.0 - part) ** self.power for base in self.base_lrs]


# ---- cosines and cycles -------------------------------------------------------------------------------------


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial lr - eta_min) (1 + cos(pi epoch / T_max)) / 2.

    Args:
        optimizer: whose groups to schedule.
        T_max: half a period, in epochs.
        eta_min: the smallest rate.
        last_epoch: see `LRScheduler`.

    Source: Loshchilov and Hutter 2017, "SGDR", eq. 5, without restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates, epoch = self._rates(), self.last_epoch
        if self._is_initial:
            return rates
        if (epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # the rate before was eta_min: no ratio to it
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [lr + (base - self.eta_min) * rise for lr, base in zip(rates, self.base_lrs, strict=True)]
        ratio = (1 + math.cos(math.pi * epoch / self.T_max)) / (1 + math.cos(math.pi * (epoch - 1) / self.T_max))
        return [ratio * (lr - self.eta_min) + self.eta_min for lr in rates]

    def _get_closed_form_lr(self) -> list[float]:
        return [cosine(base, self.eta_min, self.last_epoch / self.T_max) for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing that starts anew after T_0 epochs, then after T_0 T_mult, T_0 T_mult^2 and so on.

    Args:
        optimizer: whose groups to schedule.
        T_0: the first period, in epochs; a positive integer.
        T_mult: how much longer each period is; an integer of 1 or more.
        eta_min: the smallest rate.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: an argument outside its range; step() with a negative epoch.

    Source: Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts".
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ArgumentError(f"Expected positive integer T_0, but got {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ArgumentError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, float | int):
            raise ArgumentError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}")
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._rates()
        return [cosine(base, self.eta_min, self.T_cur / self.T_i) for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go to the next epoch, or to `epoch`, which may be a fraction (epoch + batch / batches)."""
        if (recording := recorder()) is not None:
            recording.after_each_call(lambda: self.step(epoch))
            return
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            if epoch < 0:
                raise ArgumentError(f"Expected non-negative epoch, but got {epoch}")
            self._jump(epoch)
        self.last_epoch = math.floor(epoch)
        with self._stepping():
            rates = self.get_lr()
        self._set(rates)

    def _jump(self, epoch: float) -> None:
        """Find the period that an epoch lies in, and the place in it."""
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr, then far down; the momentum goes the other way. A step is a batch.

    Args:
        optimizer: whose groups to schedule.
        max_lr: the highest rate, for all groups or a list.
        total_steps: of the cycle; or give epochs and steps_per_epoch.
        pct_start: the part of the cycle that rises, a float in [0, 1].
        anneal_strategy: "cos" or "linear".
        cycle_momentum: cycle "momentum", or the first of "betas", between base_momentum and max_momentum.
        div_factor: initial lr = max_lr / div_factor.
        final_div_factor: the last rate is initial lr / final_div_factor.
        three_phase: come down to the initial rate first, then annihilate it.
        last_epoch: see `LRScheduler`; counts batches.

    Raises:
        ArgumentError: an argument outside its range; cycle_momentum with an optimiser without momentum; more
            steps than total_steps. ArgumentTypeError: `optimizer` is no Optimizer.

    Source: Smith and Topin 2018, "Super-convergence"; the two phases are fastai's.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked_optimizer(optimizer)
        self.total_steps = steps_of_the_cycle(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ArgumentError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = phases_of_one_cycle(self.total_steps, pct_start, three_phase)
        highest = one_for_each_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, peak in zip(optimizer.param_groups, highest, strict=True):
                initial = peak / div_factor
                group.update(initial_lr=initial, max_lr=peak, min_lr=initial / final_div_factor)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = has_beta1(optimizer)
            bounds_of_momentum(optimizer, base_momentum, max_momentum, start=last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._rates()
        step = self.last_epoch
        if step > self.total_steps:
            raise ArgumentError(
                f"Tried to step {step} times. The specified number of total steps is {self.total_steps}"
            )
        start, phase = 0.0, self._schedule_phases[0]
        for later in self._schedule_phases[1:]:
            if step <= phase["end_step"]:
                break
            start, phase = phase["end_step"], later
        length = phase["end_step"] - start
        part = (step - start) / length if length else 1.0
        between = cosine_between if self._anneal_func_type == "cos" else line_between
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(between(group[phase["start_lr"]], group[phase["end_lr"]], part))
            if self.cycle_momentum:
                momentum = between(group[phase["start_momentum"]], group[phase["end_momentum"]], part)
                set_momentum(group, momentum, self.use_beta1)
        return rates


class CyclicLR(LRScheduler):
    """Up and down between base_lr and max_lr, linearly; the momentum goes the other way. A step is a batch.

    Args:
        optimizer: whose groups to schedule.
        base_lr, max_lr: the bounds, for all groups or lists.
        step_size_up, step_size_down: steps of a half cycle; down as up if None.
        mode: "triangular"; "triangular2", each cycle half as high; "exp_range", gamma^steps as high.
        gamma: for "exp_range".
        scale_fn: a height of your own, instead of a mode: of the cycle (1, 2, ...) or of the step.
        scale_mode: what scale_fn is a function of: "cycle" or "iterations".
        cycle_momentum: cycle "momentum", or the first of "betas", between base_momentum and max_momentum.
        last_epoch: see `LRScheduler`; counts batches.

    Raises:
        ArgumentError: an unknown mode; cycle_momentum with an optimiser without momentum.
        ArgumentTypeError: `optimizer` is no Optimizer.

    Source: Smith 2017, "Cyclical learning rates for training neural networks".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked_optimizer(optimizer)
        lowest = one_for_each_group("base_lr", optimizer, base_lr)
        self.max_lrs = one_for_each_group("max_lr", optimizer, max_lr)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ArgumentError("mode is invalid and scale_fn is None", got=[f"mode  {mode!r}"])
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, lowest, strict=True):
                set_option(group, "lr", rate)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        by_mode = "iterations" if mode == "exp_range" else "cycle"
        self.scale_mode = scale_mode if scale_fn is not None else by_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = has_beta1(optimizer)
            self.base_momentums, self.max_momentums = bounds_of_momentum(
                optimizer, base_momentum, max_momentum, start=last_epoch == -1
            )
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lowest

    def scale_fn(self, x: float) -> float:
        """The height of the cycle, or after x steps: see `mode`."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return float(1 / 2.0 ** (x - 1) if self.mode == "triangular2" else self.gamma**x)

    def get_lr(self) -> list[float]:
        self._rates()
        finished, place = divmod(self.last_epoch / self.total_size, 1.0)  # whole cycles, and the place in this one
        up, down = self.step_ratio, 1.0 - self.step_ratio
        part = place / up if place <= up else (1.0 - place) / down
        height = self.scale_fn(int(finished) + 1 if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            bounds = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in bounds:
                set_momentum(group, high - (high - low) * part * height, self.use_beta1)
        return [low + (high - low) * part * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser and a plain scale_fn: of a callable object, its attributes."""
        custom = self._scale_fn_custom
        return {**super().state_dict(), "_scale_fn_custom": None if custom is None else attributes_of(custom)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` gave; a plain scale_fn stays as it is."""
        super().load_state_dict({n: value for n, value in state_dict.items() if n != "_scale_fn_custom"})
        if state_dict["_scale_fn_custom"] is not None and self._scale_fn_custom is not None:
            self._scale_fn_custom.__dict__.update(state_dict["_scale_fn_custom"])


# ---- by what is measured --------------------------------------------------------------------------------------


class ReduceLROnPlateau(LRScheduler):
    """lr' = factor lr when a metric has not improved for more than `patience` epochs: `scheduler.step(loss)`.

    Args:
        optimizer: whose groups to schedule.
        mode: "min" if a lower metric is better, "max" if a higher one is.
        factor: below 1.
        patience: epochs without improvement that are let pass.
        threshold: the least improvement that counts.
        threshold_mode: "rel": threshold is a part of the best metric; "abs": an amount.
        cooldown: epochs after a reduction in which nothing is counted.
        min_lr: the lowest rate, for all groups or a list.
        eps: reductions smaller than this are not made.

    Raises:
        ArgumentError: an argument outside its range. ArgumentTypeError: `optimizer` is no Optimizer.
        StateError: step() after a group was added, with min_lr given as a list.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ArgumentError("Factor should be < 1.0.", got=[f"factor  {factor}"])
        if mode not in ("min", "max"):
            raise ArgumentError(f"mode {mode} is unknown!", mend="Use 'min' or 'max'.")
        if threshold_mode not in ("rel", "abs"):
            raise ArgumentError(f"threshold mode {threshold_mode} is unknown!", mend="Use 'rel' or 'abs'.")
        self.optimizer = checked_optimizer(optimizer)
        groups = len(optimizer.param_groups)
        listed = isinstance(min_lr, list | tuple)
        self.min_lrs: list[float] = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * groups
        if len(self.min_lrs) != groups:
            raise ArgumentError(f"expected {groups} min_lrs, got {len(self.min_lrs)}")
        self.default_min_lr = None if listed else min_lr
        self.mode, self.factor, self.patience, self.cooldown, self.eps = mode, factor, patience, cooldown, eps
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.last_epoch = 0
        self._last_lr = option_of_groups(optimizer, "lr")
        self._reset()

    def _reset(self) -> None:
        """Forget the best metric and the counts."""
        self.mode_worse = math.inf if self.mode == "min" else -math.inf
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Count an epoch with this metric (a number, or a Tensor of one element), and reduce if it is time."""
        current = float(metrics)
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = option_of_groups(self.optimizer, "lr")

    def _reduce_lr(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise StateError(
                    f"The number of param groups in the `optimizer` ({len(groups)}) differs from when "
                    f"`ReduceLROnPlateau` was initialized ({len(self.min_lrs)}), usually due to a new param group "
                    "being added to the optimizer.",
                    mend="Extend the scheduler's `min_lrs` to the number of groups.",
                )
            self.min_lrs = [self.default_min_lr] * len(groups)  # type: ignore[list-item]  # a number: see default
        for group, lowest in zip(groups, self.min_lrs, strict=True):
            lr = number(group["lr"], "lr")
            reduced = max(lr * self.factor, lowest)
            if lr - reduced > self.eps:
                set_option(group, "lr", reduced)

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction was made less than `cooldown` epochs ago."""
        return self.cooldown_counter > 0

    def _is_better(self, a: float, best: float) -> bool:
        relative = self.threshold_mode == "rel"
        if self.mode == "min":
            return a < (best * (1.0 - self.threshold) if relative else best - self.threshold)
        return a > (best * (self.threshold + 1.0) if relative else best + self.threshold)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` gave, here or in PyTorch."""
        super().load_state_dict(state_dict)
        self.mode_worse = math.inf if self.mode == "min" else -math.inf


# ---- schedules of schedules -------------------------------------------------------------------------------------


class _OfSchedulers(LRScheduler):
    """Several schedulers of one optimiser."""

    _schedulers: Sequence[LRScheduler]

    def _check(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer, doing: str) -> None:
        name = type(self).__name__
        for i, scheduler in enumerate(schedulers):
            kind = type(scheduler).__name__
            if not hasattr(scheduler, "optimizer"):
                raise ArgumentTypeError(f"{name} at index {i} should have `optimizer` as its attribute.")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ArgumentError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler as it requires additional kwargs to be "
                    f"specified when calling `step`, but got one at index {i} in the given schedulers sequence."
                )
            if scheduler.optimizer is not optimizer:
                raise ArgumentError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got scheduler {kind} at "
                    f"index {i} of another {type(scheduler.optimizer).__name__} than the {type(optimizer).__name__} "
                    f"{doing}."
                )

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser, with the state of each scheduler in "_schedulers"."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` gave, here or in PyTorch."""
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class SequentialLR(_OfSchedulers):
    """One scheduler after the other: each from its milestone on, starting at its own epoch 0.

    Args:
        optimizer: whose groups to schedule.
        schedulers: of that optimiser.
        milestones: the epochs at which the second, third ... takes over: one fewer than schedulers.
        last_epoch: see `LRScheduler`.

    Raises:
        ArgumentError: no schedulers; the wrong number of milestones; another optimiser; a ReduceLROnPlateau.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        if not schedulers:
            raise ArgumentError("SequentialLR expects at least one scheduler, but got no scheduler.")
        self._check(schedulers, optimizer, "given")
        if len(milestones) != len(schedulers) - 1:
            raise ArgumentError(
                "Sequential Schedulers expects number of schedulers provided to be one more than the number of "
                f"milestone points, but got number of schedulers {len(schedulers)} and the number of milestones to "
                f"be equal to {len(milestones)}"
            )
        self._schedulers, self._milestones = schedulers, milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            set_option(group, "lr", group["initial_lr"])
        undo_first_step(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Go to the next epoch."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_OfSchedulers):
    """All schedulers at each step: chainable ones multiply.

    Args:
        schedulers: of one optimiser.
        optimizer: that optimiser; the first scheduler's if None.

    Raises:
        ArgumentError: no schedulers; different optimisers; a ReduceLROnPlateau.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ArgumentError("ChainedScheduler expects at least one scheduler to be chained, but got no scheduler.")
        optimizer = optimizer if optimizer is not None else schedulers[0].optimizer
        self._check(schedulers, optimizer, "given, or of the first")
        self._schedulers, self.optimizer = schedulers, optimizer
        self._last_lr = option_of_groups(optimizer, "lr")

    def step(self) -> None:  # type: ignore[override]
        """Go to the next epoch."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = option_of_groups(self.optimizer, "lr")


# ---- curves, options and checks -----------------------------------------------------------------------------


def cosine(high: float, low: float, part: float) -> float:
    """From high (part 0) to low (part 1) along half a cosine."""
    return low + (high - low) * (1 + math.cos(math.pi * part)) / 2


def cosine_between(start: float, end: float, part: float) -> float:
    """From start (part 0) to end (part 1) along half a cosine."""
    return cosine(start, end, part)


def line_between(start: float, end: float, part: float) -> float:
    """From start (part 0) to end (part 1) along a line."""
    return (end - start) * part + start


def option_of_groups(optimizer: Optimizer, name: str) -> list[float]:
    """An option of each group, as floats."""
    return [number(group[name], name) for group in optimizer.param_groups]


def set_option(group: dict[str, Any], name: str, value: float) -> None:
    """Write an option; into the Tensor, where it is one."""
    if isinstance(group[name], Tensor):
        group[name].value.fill(value)
        wrote(group[name])
    else:
        group[name] = value


def one_for_each_group(name: str, optimizer: Optimizer, given: Any) -> list[float]:
    """A list with one value for each group, from such a list or one value for all."""
    groups = len(optimizer.param_groups)
    if not isinstance(given, list | tuple):
        return [number(given, name)] * groups
    if len(given) != groups:
        raise ArgumentError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(given)} values, "
            f"param_groups has {groups}."
        )
    return [number(value, name) for value in given]


def set_momentum(group: dict[str, Any], momentum: float, use_beta1: bool) -> None:
    """Write a group's "momentum", or the first of its "betas"."""
    if use_beta1:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


def has_beta1(optimizer: Optimizer) -> bool:
    """True if the momentum is the first of "betas", False if it is "momentum"."""
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ArgumentError(
            "optimizer must support momentum or beta1 with `cycle_momentum` option enabled",
            got=[f"optimizer  {type(optimizer).__name__}"],
            mend="Pass cycle_momentum=False.",
        )
    return "betas" in optimizer.defaults


def bounds_of_momentum(
    optimizer: Optimizer, base_momentum: Any, max_momentum: Any, start: bool
) -> tuple[list[float], list[float]]:
    """The bounds for each group; at the start they and the momentum are written into the groups."""
    use_beta1 = has_beta1(optimizer)
    high = one_for_each_group("max_momentum", optimizer, max_momentum)
    low = one_for_each_group("base_momentum", optimizer, base_momentum)
    if start:
        for group, most, least in zip(optimizer.param_groups, high, low, strict=True):
            set_momentum(group, most, use_beta1)
            group.update(max_momentum=most, base_momentum=least)
    return low, high


def steps_of_the_cycle(total_steps: Any, epochs: Any, steps_per_epoch: Any) -> int:
    """total_steps, or epochs * steps_per_epoch."""
    given = {"total_steps": total_steps, "epochs": epochs, "steps_per_epoch": steps_per_epoch}
    if total_steps is not None:
        counts = ["total_steps"]
    elif epochs is not None and steps_per_epoch is not None:
        counts = ["epochs", "steps_per_epoch"]
    else:
        raise ArgumentError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    for name in counts:
        if not isinstance(given[name], int) or given[name] <= 0:
            raise ArgumentError(f"Expected positive integer {name}, but got {given[name]}")
    return math.prod(given[name] for name in counts)


def phases_of_one_cycle(steps: int, pct_start: float, three_phase: bool) -> list[dict[str, Any]]:
    """For each phase its last step, and the options of a group between which rate and momentum go."""
    top = ("max_lr", "base_momentum")
    start = ("initial_lr", "max_momentum")
    end = ("min_lr", "max_momentum")
    peak = float(pct_start * steps) - 1
    if three_phase:
        stops = [(peak, start, top), (float(2 * pct_start * steps) - 2, top, start), (steps - 1, start, end)]
    else:
        stops = [(peak, start, top), (steps - 1, top, end)]
    return [
        {"end_step": stop, "start_lr": a[0], "end_lr": b[0], "start_momentum": a[1], "end_momentum": b[1]}
        for stop, a, b in stops
    ]


def attributes_of(function: Callable[..., Any]) -> dict[str, Any] | None:
    """What to save of a function: nothing of a plain one, the attributes of a callable object."""
    return None if isinstance(function, types.FunctionType) else dict(getattr(function, "__dict__", {}))


def undo_first_step(scheduler: LRScheduler) -> None:
    """Take back the epoch that the constructors of the schedulers in a sequence counted."""
    for part in getattr(scheduler, "_schedulers", ()):
        if hasattr(part, "_schedulers"):
            undo_first_step(part)
        else:
            part.last_epoch -= 1


def checked_optimizer(optimizer: Any) -> Optimizer:
    """The optimiser; refuses anything else."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentTypeError(f"{type(optimizer).__name__} is not an Optimizer")
    return optimizer


def warn_of_the_wrong_order(optimizer: Optimizer) -> None:
    """Warn if the optimiser did not step yet, or if its step() was replaced, so that nobody can tell."""
    if not hasattr(optimizer.step, "notes_the_call"):
        warnings.warn(
            "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. "
            "Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`.",
            UserWarning,
            stacklevel=3,
        )
    elif not optimizer._opt_called:
        warnings.warn(
            "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call them in the opposite "
            "order: `optimizer.step()` before `lr_scheduler.step()`. Failure to do this will result in skipping the "
            "first value of the learning rate schedule.",
            UserWarning,
            stacklevel=3,
        )


__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR",
    "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR",
    "PolynomialLR", "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip
