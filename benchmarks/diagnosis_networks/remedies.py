"""Whether remedies improve training: each on fresh copies of the network, over three draws of its weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from diagnosis_networks.build import Built, build
from diagnosis_networks.draw import Network
from diagnosis_networks.harm import train
from diagnosis_networks.tasks import Batch

SEEDS = (1, 2, 3)
TRIED_ON = 9  # batches that remedies are tried on; the last of them judges
FALLS = 0.9  # an improved loss is at most this share of the untouched copy's
BELOW_CONSTANT = 0.9  # and at most this share of the best constant answer's, where any remedy gets there


@dataclass(frozen=True)
class Trial:
    """The median held-out losses of one network: untouched, and after each remedy.

    Args:
        recommended: the name of the remedy that was recommended, if any.
        untouched: nan where there is no remedy to compare it with.
        losses: by the names of the remedies.
        constant: the loss of the best constant answer.
    """

    name: str
    untouched: float
    constant: float
    losses: dict[str, float]
    recommended: str | None

    @property
    def reachable(self) -> bool:
        """Whether any remedy ends well below the best constant answer."""
        return any(loss <= BELOW_CONSTANT * self.constant for loss in self.losses.values())

    def improves(self, remedy: str) -> bool:
        loss = self.losses[remedy]
        falls = math.isfinite(loss) and loss <= FALLS * self.untouched
        return falls and (not self.reachable or loss <= BELOW_CONSTANT * self.constant)

    @property
    def recommended_improves(self) -> bool:
        return self.recommended is not None and self.improves(self.recommended)

    @property
    def best(self) -> str | None:
        """The remedy with the lowest loss, if it improves."""
        name = min(self.losses, key=lambda remedy: self.losses[remedy], default=None)
        return name if name is not None and self.improves(name) else None


def given(built: Built) -> list[Batch]:
    """The batches that `cr.diagnose.remedies` gets, of the training data and the same ones each time."""
    return built.drawn(np.random.default_rng(82), TRIED_ON)


def trial(network: Network, recommended: Any | None, tried: Sequence[Any]) -> Trial:
    """Trains the network untouched and with every remedy, on the same batches.

    Args:
        recommended: has a name and apply(model, optimizer) -> (model, optimizer).
        tried: all candidates, likewise; the recommended one is added if it is not among them.
    """
    candidates = {remedy.name: remedy for remedy in tried}
    if recommended is not None:
        candidates[recommended.name] = recommended
    losses = {name: _median_loss(network, remedy) for name, remedy in candidates.items()}
    constant = build(network.spec, network.seed).task.constant_loss
    name = None if recommended is None else recommended.name
    untouched = _median_loss(network, None) if losses else math.nan
    return Trial(network.name, untouched, constant, losses, name)


def _median_loss(network: Network, remedy: Any | None) -> float:
    return median(_loss(network, remedy, seed) for seed in SEEDS)


def _loss(network: Network, remedy: Any | None, seed: int) -> float:
    """Infinite if the remedy does not fit this network."""
    built = build(network.spec, network.seed, seed)
    if remedy is None:
        return train(built, built.model, built.optimizer, batches=seed)
    try:
        return train(built, *remedy.apply(built.model, built.optimizer), batches=seed)
    except Exception:
        return math.inf
