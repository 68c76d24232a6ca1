"""The rows of the table: which network, which batch, which optimiser, and what we want to reach."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, cast

import numpy as np

from chainrule.bench.networks import GPT, LSTM, MLP, Activation, LeNet, Loss, Network, Neuron
from chainrule.errors import UsageError

Algorithm: TypeAlias = Literal["sgd", "momentum", "adam", "adamw"]

SEED = 20260

LR: Mapping[Algorithm, float] = MappingProxyType({"sgd": 0.01, "momentum": 0.01, "adam": 1e-5, "adamw": 1e-5})
"""Small for Adam: at 1e-3, ten steps of W5 turn a rounding error of 1e-7 into a distance of 1%, in any library."""

MOMENTUM = 0.9

PASSES: Mapping[Algorithm, int] = MappingProxyType({"sgd": 3, "momentum": 5, "adam": 7, "adamw": 7})
"""How often a step's update moves the parameters' bytes: each parameter and each moment is read and written, and the
gradient, which the step leaves in `.grad`, is written."""


@dataclass(frozen=True)
class Goal:
    """What we want to reach, in microseconds, as it was set on a machine where the row's floor was `floor`.

    Elsewhere the share of the floor counts. Without a floor the times hold as they stand.
    """

    one_thread: float
    two_threads: float | None = None
    floor: float | None = None

    def time(self, threads: int, floor_one_thread: float) -> float | None:
        """The goal here, in microseconds, given this machine's floor with one thread; None where none was set."""
        if threads not in (1, 2):
            return None
        time = self.one_thread if threads == 1 else self.two_threads
        if time is None or self.floor is None:
            return time
        return time * floor_one_thread / self.floor


@dataclass(frozen=True)
class Workload:
    """One row: a training step. `scanned` many steps in one call where that is what the row times."""

    name: str
    title: str
    network: Network
    batch: int
    algorithm: Algorithm
    goal: Goal | None = None
    scanned: int | None = None

    @property
    def parameters(self) -> int:
        """How many numbers the network learns."""
        return sum(math.prod(shape) for shape in self.network.parameter_shapes().values())

    @property
    def flops(self) -> int:
        """Floating-point operations of one step."""
        return self.network.step_flops(self.batch)

    @property
    def update_bytes(self) -> int:
        """Bytes that the update of one step reads and writes."""
        return 4 * PASSES[self.algorithm] * self.parameters

    @property
    def update_footprint(self) -> int:
        """Bytes of the arrays that the update goes through: parameters, gradients and moments."""
        return 4 * (PASSES[self.algorithm] + 1) // 2 * self.parameters


DIGITS = MLP((784, 128, 64, 10))
SMALL = MLP((64, 64, 64, 10))

ROWS: tuple[Workload, ...] = (
    Workload("W1", "one neuron", Neuron(), 1, "sgd", Goal(1.0)),
    Workload("W1-epochs", "one neuron, 1,000 steps a call", Neuron(), 1, "sgd", Goal(0.1), scanned=1000),
    Workload("W2", "MLP 4-16-16-3 tanh", MLP((4, 16, 16, 3), "tanh"), 32, "sgd", Goal(4, 4)),
    Workload("W3", "MLP 64-64-64-10", SMALL, 32, "adam", Goal(19, 17, 12.5)),
    Workload("W3-epochs", "MLP 64-64-64-10, 100 steps a call", SMALL, 32, "adam", scanned=100),
    Workload("W4/1", "MLP 784-128-64-10", DIGITS, 1, "momentum", Goal(20, 20, 14)),
    Workload("W4/32", "MLP 784-128-64-10", DIGITS, 32, "momentum", Goal(145, 95, 126)),
    Workload("W4/128", "MLP 784-128-64-10", DIGITS, 128, "momentum", Goal(540, 300, 506)),
    Workload("W5", "MLP 1024-1024-1024-1024-10", MLP((1024, 1024, 1024, 1024, 10)), 512, "adam",
             Goal(84_000, 43_000, 75_000)),
    Workload("W6", "100 layers of width 32, sigmoid", MLP((32,) * 101, "sigmoid", "mse", ends_active=True), 32, "sgd",
             Goal(250, 250, 170)),
    Workload("W7", "LeNet-5", LeNet(), 64, "sgd", Goal(1400, 900, 844)),
    Workload("W8", "LSTM 32-64, length 32", LSTM(32, 64, 32, 10), 32, "adam", Goal(1500, 1100, 1168)),
    Workload("W9", "GPT, 4 blocks of width 64, context 64", GPT(4, 64, 4, 64, 65), 16, "adamw",
             Goal(18_000, 11_000, 12_500)),
)  # fmt: skip


def sweep(count: int = 40, seed: int = SEED) -> tuple[Workload, ...]:
    """Random multilayer perceptrons, the same for the same seed: neighbours of the rows' sizes."""
    rng = np.random.default_rng(seed)
    return tuple(_random_mlp(rng, f"S{number}") for number in range(1, count + 1))


def _random_mlp(rng: np.random.Generator, name: str) -> Workload:
    widths = (16, 30, 32, 64, 100, 128, 200, 257)
    hidden_layers = int(rng.integers(1, 6))
    loss = cast(Loss, rng.choice(("cross_entropy", "mse")))
    inner = [int(rng.choice(widths)) for _ in range(1 + hidden_layers)]
    sizes = (*inner, int(rng.choice((1, 3, 10) if loss == "mse" else (2, 10))))
    activation = cast(Activation, rng.choice(("relu", "tanh", "sigmoid")))
    batch = int(rng.choice((1, 7, 33, 200)))
    algorithm = cast(Algorithm, rng.choice(("sgd", "momentum", "adam")))
    title = f"MLP {'-'.join(map(str, sizes))} {activation}, {'MSE' if loss == 'mse' else 'CE'}"
    return Workload(name, title, MLP(sizes, activation, loss), batch, algorithm)


def find(name: str) -> Workload:
    """The row or member of the sweep with this name."""
    return next(workload for workload in (*ROWS, *sweep()) if workload.name == name)


def select(names: str | None) -> tuple[Workload, ...]:
    """The rows of these names, with commas between: `W4` stands for all its batches; None for all, `none` for none.

    Raises:
        UsageError: where there is no such row.
    """
    if names is None:
        return ROWS
    wanted = [] if names == "none" else names.split(",")
    for name in wanted:
        if not any(_answers_to(row, name) for row in ROWS):
            raise UsageError(f"there is no row '{name}'", mend=f"The rows: {', '.join(row.name for row in ROWS)}")
    return tuple(row for row in ROWS if any(_answers_to(row, name) for name in wanted))


def _answers_to(row: Workload, name: str) -> bool:
    return name in (row.name, row.name.partition("/")[0])
