"""The network of a name: drawn from the name alone, and drawn again until its fault does harm.

There are several draws, each from a seed of its own: on one thresholds are chosen, on others confidences are counted,
and of the last, which nothing was chosen on, the figures are reported. In a faint draw faults have half the strength:
a rate is not 1000 but 32 times too large.

Which attempt was the first that passed stands in `accepted/`, a file for each draw: training every network and its
twin takes longer than the benchmark. `python benchmarks/diagnosis.py --draw report --redraw` writes a file anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

from diagnosis_networks.faults import BY_NAME, FAULTS, PAIRS, Fault
from diagnosis_networks.specification import Specification
from diagnosis_networks.tasks import Rng

ACCEPTED = Path(__file__).with_name("accepted")
PAIR_SHARE = 0.2  # of the faulty networks, with two faults
HEALTHY = (
    "deep relu", "deep tanh", "resnet", "small transformer", "conv", "lstm", "shallow sigmoid", "shallow", "selu",
    "deep gelu",
)  # fmt: skip


@dataclass(frozen=True)
class Draw:
    """Where a draw's random numbers begin, how many networks have faults and how many none, how strong those are."""

    root: int
    faulty: int
    healthy: int
    strength: float = 1.0


DRAWS = {
    "tuning": Draw(512077, 600, 300),
    "calibration": Draw(386520471, 400, 200),
    "calibration_faint": Draw(905113627, 200, 0, 0.5),
    "report": Draw(740936158, 200, 100),
    "report_faint": Draw(268840339, 200, 100, 0.5),
}


@dataclass(frozen=True)
class Network:
    """One network of the benchmark.

    Args:
        name: "report-faulty-17", "report-healthy-3", or "report-twin-17": the first of these without its faults.
        seed: of its data and its weights.
        spec, twin: the network, and the same one without its faults.
        faults: what was planted, the one planted first in front; empty for a healthy network.
    """

    name: str
    seed: int
    spec: Specification
    twin: Specification
    faults: tuple[Fault, ...]


def network(name: str) -> Network:
    """The network of that name, as the record of accepted attempts has it (the first attempt if it has none)."""
    draw, kind, index = name.split("-")
    if kind == "twin":
        faulty = network(f"{draw}-faulty-{index}")
        return Network(name, faulty.seed, faulty.twin, faulty.twin, ())
    return attempt(name, int(accepted(draw).get(name, {}).get("attempt", 0)))


def names(draw: str) -> list[str]:
    """The networks of a draw that are counted, those with faults first."""
    of = DRAWS[draw]
    return [f"{draw}-faulty-{i}" for i in range(of.faulty)] + [f"{draw}-healthy-{i}" for i in range(of.healthy)]


def twins(draw: str) -> list[str]:
    """The unharmed twins of the faulty networks, where they were trained to see the harm: more healthy networks."""
    return [
        name.replace("faulty", "twin") for name, row in accepted(draw).items() if "faulty" in name and "twin" in row
    ]


@cache
def accepted(draw: str) -> dict[str, dict[str, float]]:
    """For each network of a draw: the attempt that passed, and the losses that it and its twin reached."""
    path = _record_of(draw)
    if not path.exists():
        return {}
    record: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return record


def record(draw: str, rows: dict[str, dict[str, float]]) -> None:
    """Writes the record of a draw, a line for each network, losses to six digits."""
    short = {name: {k: json.loads(f"{v:.6g}") for k, v in row.items()} for name, row in rows.items()}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in short.items())
    _record_of(draw).write_text("{\n" + lines + "\n}\n", encoding="utf-8")


def _record_of(draw: str) -> Path:
    return ACCEPTED / f"{draw}.json"


def attempt(name: str, number: int) -> Network:
    """One draw of the network, whether or not its fault does harm."""
    draw, kind, index = name.split("-")
    which = int(index)
    rng = np.random.default_rng([DRAWS[draw].root, kind == "faulty", which, number])
    seed = int(rng.integers(2**31))
    if kind == "healthy":
        twin = sound(rng, HEALTHY[which % len(HEALTHY)])
        return Network(name, seed, twin, twin, ())
    faults = _planted(which)
    twin = sound(rng, str(rng.choice(sorted(_hosts(faults)))))
    return Network(name, seed, planted(name, twin, faults, seed), twin, faults)


def planted(name: str, spec: Specification, faults: tuple[Fault, ...], seed: int) -> Specification:
    """The specification with these faults; each is drawn from the seed and its name, alone or beside another."""
    strength = DRAWS[name.partition("-")[0]].strength
    for fault in faults:
        spec = fault.plant(np.random.default_rng([seed, FAULTS.index(fault)]), spec, strength)
    return spec


def _planted(index: int) -> tuple[Fault, ...]:
    """Round and round the table, so that any number of networks has every fault in its share."""
    every = round(1 / PAIR_SHARE)
    turn = index // 2  # neighbours have the same faults
    if turn % every == every - 1:
        return tuple(BY_NAME[name] for name in PAIRS[turn // every % len(PAIRS)])
    return (_round()[(turn - turn // every) % len(_round())],)


@cache
def _round() -> tuple[Fault, ...]:
    """Every fault as often as its weight says, spread evenly."""
    places = [((k + 0.5) / f.weight, n) for n, f in enumerate(FAULTS) for k in range(f.weight)]
    return tuple(FAULTS[n] for _, n in islice(sorted(places), None))


def _hosts(faults: tuple[Fault, ...]) -> set[str]:
    return set.intersection(*(set(fault.sound) for fault in faults))


# sound networks -----------------------------------------------------------------------------------------------------


def sound(rng: Rng, kind: str) -> Specification:
    """A healthy network of that kind: sizes, data and optimizer drawn."""
    flat = str(rng.choice(["regression", "blobs", "digits", "iris"]))
    adam = float(10 ** rng.uniform(-3, -2.5))
    features = int(rng.integers(4, 17))
    depth, width = int(rng.integers(8, 16)), int(rng.choice([16, 32, 48]))
    match kind:
        case "deep relu":
            depth = int(rng.choice([depth, depth, 20, 30]))
            return Specification("mlp", flat, depth, width, "relu", "he", "none", "adam", adam / 2, features)
        case "deep tanh":
            return Specification("mlp", flat, depth, width, "tanh", "xavier", "none", "adam", adam / 2, features)
        case "deep gelu":
            return Specification("mlp", flat, depth, width, "gelu", "he", "none", "adam", adam / 2, features)
        case "selu":
            return Specification("mlp", flat, depth // 2, width, "selu", "lecun", "none", "adam", adam, features)
        case "shallow":
            activation, norm = str(rng.choice(["relu", "tanh", "gelu"])), str(rng.choice(["none", "layer"]))
            init = "xavier" if activation == "tanh" else "he"
            width = int(rng.choice([8, 32, 128]))
            depth = int(rng.integers(2, 5))
            return Specification("mlp", flat, depth, width, activation, init, norm, "sgd", 0.02, features)
        case "shallow sigmoid":
            return Specification("mlp", flat, 1, width, "sigmoid", "xavier", "none", "adam", 3 * adam, features)
        case "resnet":
            depth = int(rng.choice([4, 8, 16, 25]))
            return Specification("resnet", flat, depth, width, "relu", "he", "layer", "adam", adam, features)
        case "conv":
            depth = int(rng.integers(2, 4))
            return Specification("conv", "images", depth, 8, "relu", "he", "batch", "adam", 3 * adam, batch=16)
        case "lstm":
            steps, width = int(rng.integers(8, 25)), 16
            return Specification("lstm", "memory", 1, width, "tanh", "", "none", "adam", 3 * adam, 2, steps)
        case "small transformer" | "deep transformer":
            depth = int(rng.integers(1, 4)) if kind == "small transformer" else int(rng.integers(8, 13))
            rate = adam if kind == "small transformer" else 4 * adam
            return Specification("transformer", "tokens", depth, 16, "relu", "xavier", "pre", "adam", rate, 4, 5, 16)
        case "loop":
            steps = int(rng.integers(60, 201))
            return Specification("loop", "memory", 1, 12, "tanh", "orthogonal", "none", "adam", 3 * adam, 2, steps, 16)
        case "regression":
            shape = str(rng.choice(["mlp", "resnet"]))
            norm = "layer" if shape == "resnet" else "none"
            return Specification(shape, "regression", 4, width, "relu", "he", norm, "adam", adam, features)
    raise ValueError(f"no sound network is called {kind!r}")
