"""One network in words. `draw` writes a specification, `faults` change it, `build` makes a model of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Specification:
    """What a network is made of.

    Args:
        family: "mlp", "resnet", "conv", "loop" (a recurrence written as a Python loop), "lstm" or "transformer".
        task: a name that `tasks.make` knows.
        depth: blocks or weight layers before the head.
        width: units, channels or the model size.
        activation: "sigmoid", "tanh", "relu", "gelu" or "selu".
        initialisation: "he", "xavier", "lecun" or "orthogonal".
        norm: "none", "batch" or "layer"; of a transformer "pre" or "post".
        optimizer, rate: "sgd" (with momentum 0.9) or "adam", and its learning rate.
        features, steps, batch: sizes of the data.
        gain: a factor of every weight's deviation.
        constant: every weight has this value.
        bias, bias_at: the biases of the weight layer with this number.
        rate_factor: a factor of the learning rate.
        scale, shift: of the inputs.
        surgery: "detach", "freeze", "unused", "masked root", "log of zero".
        paired: the targets are the model's own answers, once plus and once minus the same noise.
    """

    family: str
    task: str
    depth: int
    width: int
    activation: str
    initialisation: str
    norm: str
    optimizer: str
    rate: float
    features: int = 8
    steps: int = 1
    batch: int = 32
    gain: float = 1.0
    constant: float | None = None
    bias: float | None = None
    bias_at: int = 0
    rate_factor: float = 1.0
    scale: float = 1.0
    shift: float = 0.0
    surgery: tuple[str, ...] = ()
    paired: bool = False
