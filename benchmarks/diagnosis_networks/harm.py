"""Training: whether a planted fault does harm, judged by the network and its unharmed twin on data held out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import chainrule as cr
from diagnosis_networks.build import Built, build
from diagnosis_networks.draw import Network, attempt, planted
from diagnosis_networks.faults import Fault
from diagnosis_networks.specification import Specification

STEPS = 200
LEARNS = 0.8  # a sound network's loss, as a share of the best constant answer's: at most this
WORSE = 1.25  # a fault does harm if the loss is at least this many times its twin's
ATTEMPTS = 20
STILL = 1e-6  # every gradient at a stationary point is below: rounding of targets of size 1


def train(built: Built, model: Any, optimizer: Any, batches: int = 0, steps: int = STEPS) -> float:
    """The held-out loss after `steps` steps; infinite if it is no finite number. `batches` seeds their order."""
    loss_of, rng = built.task.loss, np.random.default_rng([5, batches])
    model.train()
    with np.errstate(all="ignore"):
        for x, y in built.drawn(rng, steps):
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            if not loss.requires_grad:
                break
            loss.backward()
            optimizer.step()
            if not math.isfinite(loss.item()):
                return math.inf
        return held_out_loss(built, model)


def held_out_loss(built: Built, model: Any) -> float:
    model.eval()
    with cr.no_grad():
        x, y = built.task.held_out
        loss = float(built.task.loss(model(x), y).item())
    model.train()
    return loss if math.isfinite(loss) else math.inf


def trained_loss(spec: Specification, seed: int) -> tuple[float, float]:
    """The loss reached, and that of the best constant answer."""
    built = build(spec, seed)
    return train(built, built.model, built.optimizer), built.task.constant_loss


def passes(network: Network) -> dict[str, float] | None:
    """The losses of a network that is what it is called; None for one that must be drawn again."""
    if not all(evident(network, fault) for fault in network.faults if fault.by_definition):
        return None
    if network.faults and all(fault.by_definition for fault in network.faults):
        return {"loss": math.nan, "twin": math.nan}
    twin, constant = trained_loss(network.twin, network.seed)
    if twin > LEARNS * constant:
        return None
    if not network.faults:
        return {"loss": twin, "twin": twin, "constant": constant}
    loss = math.inf
    for fault in network.faults:  # each by itself: a fault beside a harmful one need not do harm
        if fault.by_definition:
            continue
        loss, _ = trained_loss(planted(network.name, network.twin, (fault,), network.seed), network.seed)
        if loss < WORSE * twin:
            return None
    return {"loss": loss, "twin": twin, "constant": constant}


def evident(network: Network, fault: Fault) -> bool:
    """Whether one backward pass shows a fault that needs to slow nothing down to be one."""
    spec = planted(network.name, network.twin, (fault,), network.seed)
    built = build(spec, network.seed)
    parameters = list(built.model.parameters())
    x, y = built.shown()[0]
    with np.errstate(all="ignore"):
        built.task.loss(built.model(x), y).backward()
    gradients = [p.grad.numpy() for p in parameters if p.grad is not None]
    (cause,) = fault.causes
    match cause:
        case "non-finite":
            return any(not np.isfinite(g).all() for g in gradients)
        case "stationary":
            return all(np.abs(g).max() < STILL for g in gradients)
        case "frozen":
            return any(not p.requires_grad for p in parameters)
        case "detached" | "unused":
            return any(p.requires_grad and p.grad is None for p in parameters)
    raise ValueError(f"nothing is known to show {fault.name!r} by itself")


def first_accepted(name: str) -> dict[str, float]:
    """The first attempt at a network that passes.

    Raises:
        RuntimeError: if none of the attempts does.
    """
    for number in range(ATTEMPTS):
        losses = passes(attempt(name, number))
        if losses is not None:
            return {"attempt": number, **{k: v for k, v in losses.items() if math.isfinite(v)}}
    raise RuntimeError(f"{name}: {ATTEMPTS} attempts, and none does what it is drawn for")
