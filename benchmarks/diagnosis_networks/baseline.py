"""Rules with thresholds, as tools of the literature have them: what the diagnosis is compared with.

Their thresholds are theirs, but for one that would alarm at any standardised data (see INPUT_BOUND).

Sources:
    Zhang et al. 2021, AUTOTRAINER, ICSE: vanishing, exploding and dead units by ratios of gradient norms.
    Wardat, Le and Rajan 2021, DeepLocalize, ICSE: the first number that is not finite.
    Schoop, Huang and Hartmann 2021, UMLAUT, CHI: the range of the inputs.
    Wardat et al. 2022, DeepDiagnosis, ICSE: saturated activations, weights that do not change.
    Ben Braiek and Khomh 2023, TheDeepChecker, TOSEM: constant initial weights.
    Karpathy 2016, CS231n notes, "Learning": the ratio of update to weight is about 1e-3.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule import nn
from diagnosis_networks.answers import Said, said, without_repeats
from diagnosis_networks.build import Built

FIRST_TO_LAST, FIRST = 1e-3, 1e-4  # AUTOTRAINER's beta_1 and beta_2: vanishing if both are undercut
EXPLODING_RATIO = 70  # AUTOTRAINER's beta_3
DEAD_SHARE = 0.7  # AUTOTRAINER's gamma: the share of gradient entries that are 0
INPUT_BOUND = 10  # UMLAUT alarms beyond 1, which a standard normal number is one time in three
SATURATED, SATURATED_SHARE = 0.95, 0.5  # outputs within 5% of a bound, and how many of them
UPDATE_HIGH, UPDATE_LOW = 1e-1, 1e-5  # two powers of ten from Karpathy's 1e-3


def diagnose(built: Built) -> tuple[Said, ...]:
    """What the rules say of a network at its first step, in AUTOTRAINER's order of precedence."""
    model = copy.deepcopy(built.model)
    before = [p.detach().numpy().copy() for p in model.parameters()]
    outputs: list[Any] = []
    handles = [
        module.register_forward_hook(lambda _, inputs, output: outputs.append(output.detach().numpy()))
        for module in model.modules()
        if isinstance(module, nn.Sigmoid | nn.Tanh)
    ]
    x, y = built.shown()[0]
    with np.errstate(all="ignore"):
        loss = built.task.loss(model(x), y)
        if loss.requires_grad:
            loss.backward()
        findings = without_repeats(_rules(built, model, before, outputs, x.numpy(), loss.item()))
    for handle in handles:
        handle.remove()
    return findings


def _rules(
    built: Built, model: Any, before: list[Any], outputs: list[Any], x: Any, loss: float
) -> Iterator[Said]:  # fmt: skip
    parameters = list(model.parameters())
    gradients = [p.grad.numpy() for p in parameters if p.grad is not None]
    kernels = [p.grad.numpy() for p in parameters if p.grad is not None and p.ndim > 1]
    if not np.isfinite(loss) or not all(np.isfinite(g).all() for g in gradients):
        yield said("non-finite")
        return
    if any(not p.requires_grad for p in parameters):
        yield said("frozen")
    if any(p.requires_grad and p.grad is None for p in parameters):
        yield said("unused")
    if gradients and sum((g == 0).sum() for g in gradients) >= DEAD_SHARE * sum(g.size for g in gradients):
        yield said("dead")
    if kernels:
        first, last = float(np.linalg.norm(kernels[0])), float(np.linalg.norm(kernels[-1]))
        if first > EXPLODING_RATIO * last:
            yield said("exploding")
        if first < FIRST_TO_LAST * last and first < FIRST:
            yield said("vanishing")
    if any(w.ndim > 1 and w.size > 1 and w.std() == 0 for w in before):
        yield said("constant")
    if np.abs(x).max() > INPUT_BOUND:
        yield said("scale")
    if any(np.mean(np.abs(o) > SATURATED) > SATURATED_SHARE for o in outputs):
        yield said("saturated")
    ratio = _update_ratio(built, parameters)
    if ratio is not None and not UPDATE_LOW <= ratio <= UPDATE_HIGH:
        yield said("learning rate")


def _update_ratio(built: Built, parameters: list[Any]) -> float | None:
    """The median over the matrices of |update| / |weights| at the first step."""
    rate, adam = built.optimizer.param_groups[0]["lr"], type(built.optimizer).__name__ == "Adam"
    ratios = []
    for p in parameters:
        if p.grad is None or p.ndim < 2:
            continue
        g, w = p.grad.numpy(), p.detach().numpy()
        step = g / (np.abs(g) + 1e-8) if adam else g  # Adam's first step has the size of the rate
        ratios.append(rate * float(np.linalg.norm(step)) / (float(np.linalg.norm(w)) + 1e-12))
    return float(np.median(ratios)) if ratios else None
