"""What changes the steps of training: clipping (Pascanu et al. 2013), the learning rate, and warm-up."""

from __future__ import annotations

from functools import partial
from math import isfinite, log10
from typing import Any

from chainrule.diagnose.candidates.candidate import Candidate, Case
from chainrule.nn.module import Module
from chainrule.nn.utils.clip_grad import clip_grad_norm_
from chainrule.optim.optimizer import Optimizer

WARM_UP = 20
STEP = 1e-3
"""What a step usually adds to a weight, relative to it."""
SHORTENED = "one large gradient no longer throws the weights away"
SMALL_AT_FIRST = "the first steps, of the least known size, are the smallest"
SMALLER = "a step should be about a thousandth of the weights that it changes"
LARGER = "steps below the weights' rounding, or thousands of them for one weight, teach nothing"


def candidates(family: str, case: Case) -> list[Candidate]:
    """The candidates of "clipping", "rate", "faster" and "warm-up"; without an optimiser none of steps."""
    if case.optimizer is None:
        return []
    if family == "clipping":
        code = "loss.backward()\nnn.utils.clip_grad_norm_(model.parameters(), 1.0)\noptimizer.step()"
        return [Candidate("gradient clipping", SHORTENED, code, _clip)]
    if family == "warm-up":
        code = (
            "scheduler = optim.lr_scheduler.LinearLR(\n"
            f"    optimizer, start_factor={1 / WARM_UP}, total_iters={WARM_UP - 1}\n)\n\n"
            "loss.backward()\noptimizer.step()\nscheduler.step()"
        )
        return [Candidate("warm-up", SMALL_AT_FIRST, code, _warm_up)]
    slower = sorted({0.1, 0.01, 0.001, fitting(case)}, reverse=True)
    factors = {"rate": slower, "faster": [100.0, 1000.0]}.get(family, [])
    reason = LARGER if family == "faster" else SMALLER
    return [Candidate(f"learning rate x {f:g}", reason, _rate_code(f), partial(_scale_rate, f)) for f in factors]


def fitting(case: Case) -> float:
    """The power of ten by which the rate would change weights by about a thousandth a step; a thousandth at most.

    Between 1e-12 and 1e-3: a step that is no number says nothing of the rate that would fit.
    """
    ratios = [one.update_ratio for one in case.diagnosis.parameters if one.update_ratio]
    largest = max([ratio for ratio in ratios if isfinite(ratio)], default=1.0)
    return float(10.0 ** max(-12, min(-3, round(log10(STEP / largest)))))


def _rate_code(factor: float) -> str:
    return f'for group in optimizer.param_groups:\n    group["lr"] *= {factor:g}'


def _scale_rate(factor: float, model: Module, optimizer: Optimizer | None) -> None:
    assert optimizer is not None
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor


def _clip(model: Module, optimizer: Optimizer | None) -> None:
    assert optimizer is not None

    def clip(stepping: Optimizer, args: Any, kwargs: Any) -> None:
        clip_grad_norm_([p for group in stepping.param_groups for p in group["params"]], 1.0)

    optimizer.register_step_pre_hook(clip)


def _warm_up(model: Module, optimizer: Optimizer | None) -> None:
    assert optimizer is not None
    rates = [group["lr"] for group in optimizer.param_groups]
    count = [0]

    def warm(stepping: Optimizer, args: Any, kwargs: Any) -> None:
        count[0] += 1
        for group, rate in zip(stepping.param_groups, rates, strict=False):
            if count[0] <= WARM_UP:
                group["lr"] = rate * count[0] / WARM_UP

    optimizer.register_step_pre_hook(warm)
