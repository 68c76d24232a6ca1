"""`remedies`: what the findings suggest, tried on copies, measured; only what improved is recommended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from math import inf, isfinite, nan
from typing import Any

import numpy as np

from chainrule.diagnose.candidates import Candidate, Case, suggested
from chainrule.diagnose.causes.gain import TOO_MUCH, excess
from chainrule.diagnose.diagnosis import Diagnosis, check_trains, gradients
from chainrule.diagnose.run import (
    LossFunction,
    batches_of,
    call,
    check_model,
    cut_off,
    eager,
    loss_of,
    untouched_generators,
)
from chainrule.errors import ArgumentError
from chainrule.nn.module import Module
from chainrule.optim.optimizer import Optimizer
from chainrule.tensor.graph import Mode, state

BETTER = 0.9
"""A remedy improves training where its loss ends at least 10% below that of the untouched copy."""


@dataclass(frozen=True)
class Measured:
    """A network before or after a change.

    Args:
        log_gain: the gradient's log gain from the output to the first layer, the ledger's total; nan where the
            ledger ends, because a delta is zero or not finite.
        unevenness: the size of that, less what the widths alone make of it: by this two networks are compared.
        causes: what is found.
        start, end: the loss on the judging batch before training and after the steps; `end` is None without steps.
    """

    log_gain: float
    unevenness: float
    causes: tuple[str, ...]
    start: float
    end: float | None = None


@dataclass(frozen=True)
class Trial:
    """One remedy and what it did.

    Args:
        candidate: the change.
        before, after: the untouched copy and the changed one, measured alike.
        improves: whether it did.
        failure: why it could not be tried; "" if it could. `after` is then as `before`.
    """

    candidate: Candidate
    before: Measured
    after: Measured
    improves: bool
    failure: str = ""

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.candidate.name

    @property
    def reason(self) -> str:
        """Why it may mend, in a line."""
        return self.candidate.reason

    @property
    def code(self) -> str:
        """The change, to paste."""
        return self.candidate.code

    def apply(self, model: Module, optimizer: Optimizer | None = None) -> tuple[Module, Optimizer | None]:
        """A changed copy of the model, and an optimiser for it; what was given stays as it is."""
        return self.candidate.apply(model, optimizer)


@dataclass(frozen=True)
class Trials:
    """All that was tried.

    Args:
        tried: the trials, the best first.
        steps: how many steps of training each took.
        held_out: whether the judging batch was kept out of training: the last of several.
    """

    tried: tuple[Trial, ...]
    steps: int
    held_out: bool

    @property
    def recommended(self) -> Trial | None:
        """The best that improved; None where nothing did."""
        return self.tried[0] if self.tried and self.tried[0].improves else None

    @property
    def improving(self) -> tuple[Trial, ...]:
        """All that improved, the best first."""
        return tuple([one for one in self.tried if one.improves])


def remedies(
    model: Module,
    loss_fn: LossFunction,
    batches: Any,
    optimizer: Optimizer | None = None,
    steps: int = 0,
    diagnosis: Diagnosis | None = None,
) -> Trials:
    """What mends the findings, tried: each candidate on a copy, measured at once and after `steps` steps of training.

    The untouched copy and every changed one see the same batches in the same order, and the same random numbers. Of
    several batches the last is held out: on it the losses are compared. The model, the optimiser, the batches and the
    generators of random numbers stay as they are.

    Without steps a remedy improves if the gradient's log gain comes into the healthy range, or halves, and fewer
    causes are found. With steps the loss must also end 10% below the untouched copy's, and below where it began; of
    two faults one may be mended then: a cause is gone, and the gradient no less even.

    Args:
        model, loss_fn, batches, optimizer: as for `gradients`.
        steps: how many steps of training to compare; 0 for none. Training needs the optimiser.
        diagnosis: what `gradients` found, if that is known already.

    Raises:
        ArgumentError: fewer than 0 steps; steps without an optimiser.
        As `gradients`.

    Example:
        >>> import chainrule as cr
        >>> from chainrule import nn
        >>> deep = [layer for _ in range(20) for layer in (nn.Linear(16, 16), nn.Sigmoid())]
        >>> model = nn.Sequential(*deep, nn.Linear(16, 1))
        >>> tried = cr.diagnose.remedies(model, nn.MSELoss(), (cr.randn(32, 16), cr.randn(32, 1)))
        >>> tried.recommended is not None
        True
    """
    check_model(model)
    if steps < 0:
        raise ArgumentError("steps is 0 or more", got=[f"steps  {steps}"])
    if steps and optimizer is None:
        raise ArgumentError(
            "a remedy can be trained only with an optimizer",
            got=[f"steps  {steps}", "optimizer  None"],
            mend="Give the optimizer that trains the model, or steps=0.",
        )
    if optimizer is not None:
        check_trains(optimizer, model)
    model = eager(model)
    with untouched_generators(batches, *[getattr(batches, name, None) for name in ("sampler", "batch_sampler")]):
        seen = [(cut_off(inputs), cut_off(targets)) for inputs, targets in batches_of(batches)]
        found = gradients(model, loss_fn, seen, optimizer) if diagnosis is None else diagnosis
        candidates = suggested(Case(model, optimizer, seen, found))
        if not candidates:
            return Trials((), steps, len(seen) > 1)
        untouched = deepcopy((model, optimizer))
        before = _measure(*untouched, loss_fn, seen, steps, found)
        trials = [_trial(one, model, optimizer, loss_fn, seen, steps, before) for one in candidates]
    return Trials(tuple(sorted(trials, key=_order)), steps, len(seen) > 1)


def _order(trial: Trial) -> tuple[bool, float]:
    """Those that improve first; then by the loss after training, or by how far the gradient is from even."""
    after = trial.after
    size = after.end if after.end is not None else after.unevenness
    return (not trial.improves, size if isfinite(size) else inf)


def _trial(
    candidate: Candidate,
    model: Module,
    optimizer: Optimizer | None,
    loss_fn: LossFunction,
    batches: Sequence[Any],
    steps: int,
    before: Measured,
) -> Trial:
    try:
        with untouched_generators():
            changed, stepping = candidate.apply(model, optimizer)
            after = _measure(changed, stepping, loss_fn, batches, steps, None)
    except Exception as error:  # a change that does not fit this model is no fault of the user's: it is reported
        return Trial(candidate, before, before, False, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
    return Trial(candidate, before, after, improves(before, after))


def improves(before: Measured, after: Measured) -> bool:
    """Whether a change mends: by the loss after training where that was measured, else by the gradient."""
    if not isfinite(after.start) or not isfinite(after.log_gain):
        return False
    unevenness = before.unevenness if isfinite(before.unevenness) else 0.0
    is_even = after.unevenness <= max(TOO_MUCH, unevenness / 2)
    has_fewer_causes = len(after.causes) < len(before.causes)
    if after.end is None or before.end is None:
        return is_even and has_fewer_causes
    # of two faults one may be mended: the gradient is no less even then, and one cause is gone
    mends_another = has_fewer_causes and after.unevenness <= max(TOO_MUCH, unevenness)
    # clipping turns an infinite loss into a huge one: a mend also ends below where training began
    is_learned = after.end < min(BETTER * before.end, before.start if isfinite(before.start) else inf)
    return is_learned and (is_even or mends_another)


def _measure(
    model: Module,
    optimizer: Optimizer | None,
    loss_fn: LossFunction,
    batches: Sequence[Any],
    steps: int,
    diagnosis: Diagnosis | None,
) -> Measured:
    """A copy, measured at once and, with steps, trained; it is used up."""
    found = gradients(model, loss_fn, list(batches), optimizer) if diagnosis is None else diagnosis
    ledger = found.ledger
    gains = (ledger.total, abs(excess(ledger))) if ledger.ends_at is None else (nan, nan)
    measured = Measured(*gains, tuple([one.cause for one in found.findings]), _loss(model, loss_fn, batches[-1]))
    if not steps:
        return measured
    assert optimizer is not None
    return replace(measured, end=_trained(model, optimizer, loss_fn, batches, steps))


def _trained(model: Module, optimizer: Optimizer, loss_fn: LossFunction, batches: Sequence[Any], steps: int) -> float:
    """The loss on the judging batch after some steps on the others; on the only one if there is one. inf if lost."""
    training = batches[:-1] or batches
    with untouched_generators(), _recording():
        for step in range(steps):
            inputs, targets = training[step % len(training)]
            optimizer.zero_grad()
            loss = loss_of(loss_fn, call(model, inputs), targets)
            if not np.isfinite(loss.value).all():
                return inf
            loss.backward()
            optimizer.step()
    end = _loss(model, loss_fn, batches[-1])
    return end if isfinite(end) else inf


def _loss(model: Module, loss_fn: LossFunction, batch: Any) -> float:
    """The loss in evaluation mode; the model keeps its mode and its buffers."""
    judged = deepcopy(model).eval()
    with untouched_generators(), _recording(grad=False):
        return float(np.asarray(loss_of(loss_fn, call(judged, batch[0]), batch[1]).value, np.float64).reshape(()))


@contextmanager
def _recording(grad: bool = True) -> Iterator[None]:
    """Gradients on or off, whatever the caller set."""
    before = state.mode
    state.mode = Mode(grad=grad)
    try:
        yield
    finally:
        state.mode = before
