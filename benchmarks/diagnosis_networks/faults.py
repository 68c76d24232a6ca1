"""The table of faults: how each is planted in a sound network, and which answers are right for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from diagnosis_networks.specification import Specification
from diagnosis_networks.tasks import Rng

Plant = Callable[[Rng, Specification, float], Specification]


@dataclass(frozen=True)
class Fault:
    """One way to spoil a network.

    Args:
        plant: of a generator, a sound network and a strength: the exponent of every factor, 1 for the full ones.
        sound: the kinds of healthy network (see `draw.SOUND`) that it can be planted in.
        causes: the right names of the cause.
        equivalents: causes that follow from it by necessity: named as well, they are no mistakes.
        mechanisms: right words for how it comes about; empty if the cause says it all.
        by_definition: it need not slow training down to be a fault.
        weight: how often it is drawn.
    """

    name: str
    plant: Plant
    sound: tuple[str, ...]
    causes: frozenset[str]
    equivalents: frozenset[str] = frozenset()
    mechanisms: frozenset[str] = frozenset()
    by_definition: bool = False
    weight: int = 4

    @property
    def right(self) -> frozenset[str]:
        return self.causes | self.equivalents


def _words(*words: str) -> frozenset[str]:
    return frozenset(words)


def _power(rng: Rng, low: float, high: float, strength: float) -> float:
    return float(10 ** (strength * rng.uniform(low, high)))


def _surgery(name: str) -> Plant:
    return lambda rng, spec, strength: replace(spec, surgery=(*spec.surgery, name))


def _rate(factor: float) -> Plant:
    return lambda rng, spec, strength: replace(spec, rate_factor=spec.rate_factor * factor**strength)


def _unscaled(rng: Rng, spec: Specification, strength: float) -> Specification:
    scale = _power(rng, 2, 4, strength)
    return replace(spec, scale=scale, shift=scale * float(rng.uniform(0, 1)))


def _dead(rng: Rng, spec: Specification, strength: float) -> Specification:
    return replace(spec, bias=-_power(rng, 1, 2, strength), bias_at=int(rng.integers(0, spec.depth)))


def _small(rng: Rng, spec: Specification, strength: float) -> Specification:
    return replace(spec, gain=_power(rng, -2, -0.4, strength))


def _large(rng: Rng, spec: Specification, strength: float) -> Specification:
    in_all = _power(rng, 3, 14, strength)  # short of overflow
    return replace(spec, gain=in_all ** (1 / spec.depth))


def _saturating(rng: Rng, spec: Specification, strength: float) -> Specification:
    return replace(spec, gain=_power(rng, 0.9, 2, strength))


def _constant(rng: Rng, spec: Specification, strength: float) -> Specification:
    return replace(spec, constant=float(rng.choice([0.0, 0.01, 1 / spec.width, 0.1])))


def _sigmoid(rng: Rng, spec: Specification, strength: float) -> Specification:
    return replace(spec, activation="sigmoid", initialisation="xavier")


def _long_loop(rng: Rng, spec: Specification, strength: float) -> Specification:
    return replace(spec, initialisation="lecun", gain=float(rng.uniform(0.4, 0.8)) ** strength)


DEEP = ("deep relu", "deep tanh", "deep gelu")
PLAIN = ("deep relu", "deep tanh", "deep gelu", "shallow", "selu", "resnet")
ANY = (*PLAIN, "conv", "shallow sigmoid", "small transformer", "lstm")

FAULTS = (
    Fault("sigmoid depth", _sigmoid, ("deep relu",), _words("vanishing"), mechanisms=_words("cap"), weight=6),
    Fault(
        "saturated tanh",
        _saturating,
        ("deep tanh",),
        _words("saturated"),
        _words("vanishing", "exploding"),
        _words("saturation", "weights"),
    ),
    Fault("small initialisation", _small, DEEP, _words("vanishing"), mechanisms=_words("weights"), weight=6),
    Fault(
        "large initialisation",
        _large,
        ("deep relu", "deep gelu"),
        _words("exploding"),
        _words("learning rate", "scale"),
        _words("weights"),
        weight=6,
    ),
    Fault("constant initialisation", _constant, ("deep relu", "deep tanh", "shallow"), _words("constant"),
          _words("vanishing", "exploding", "saturated", "dead")),
    Fault("dead relu", _dead, ("deep relu",), _words("dead"), _words("vanishing"), _words("dead")),
    Fault("large learning rate", _rate(1e3), ANY, _words("learning rate"), weight=5),
    Fault("small learning rate", _rate(1e-3), ANY, _words("learning rate"), weight=4),
    Fault(
        "unscaled inputs",
        _unscaled,
        ("deep relu", "deep tanh", "deep gelu", "shallow"),
        _words("scale"),
        _words("saturated", "exploding", "learning rate"),
    ),
    Fault("detached branch", _surgery("detach"), ANY, _words("detached"), _words("unused"), by_definition=True),
    Fault("frozen parameters", _surgery("freeze"), PLAIN, _words("frozen"), by_definition=True),
    Fault("unused parameters", _surgery("unused"), PLAIN, _words("unused"), _words("detached"), by_definition=True),
    Fault("masked where", _surgery("masked root"), PLAIN, _words("non-finite"), by_definition=True),
    Fault("log of zero", _surgery("log of zero"), PLAIN, _words("non-finite"), by_definition=True),
    Fault(
        "post-LN without warm-up",
        lambda rng, spec, strength: replace(spec, norm="post"),
        ("deep transformer",),
        _words("learning rate"),
        _words("exploding", "vanishing"),
        weight=2,
    ),
    Fault(
        "long recurrence",
        _long_loop,
        ("loop",),
        _words("vanishing"),
        mechanisms=_words("weights", "saturation", "time"),
        weight=2,
    ),
    Fault(
        "converged",
        lambda rng, spec, strength: replace(spec, paired=True),
        ("regression",),
        _words("stationary"),
        by_definition=True,
    ),
)  # fmt: skip

BY_NAME = {fault.name: fault for fault in FAULTS}

PAIRS = (
    ("sigmoid depth", "unscaled inputs"),
    ("small initialisation", "large learning rate"),
    ("dead relu", "frozen parameters"),
    ("small initialisation", "unused parameters"),
    ("large initialisation", "detached branch"),
    ("sigmoid depth", "unused parameters"),
    ("detached branch", "large learning rate"),
    ("frozen parameters", "small learning rate"),
)
"""Two faults that can be told apart in one network, the first planted first."""
