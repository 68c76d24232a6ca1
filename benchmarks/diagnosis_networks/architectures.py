"""The modules that the networks are made of. Every network is a Sequential, so that a fault can be put between two."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import chainrule as cr
from chainrule import nn
from diagnosis_networks.specification import Specification

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU, "selu": nn.SELU}


class Residual(nn.Module):
    """x + linear(activation(norm(x)))."""

    def __init__(self, width: int, activation: str, norm: str) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm == "layer" else nn.Identity()
        self.activation = ACTIVATIONS[activation]()
        self.linear = nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        return x + self.linear(self.activation(self.norm(x)))


class Loop(nn.Module):
    """h = tanh(W x_t + U h + b) over (batch, steps, features), written as a loop; the last h."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.inward = nn.Linear(features, width)
        self.recurrent = nn.Linear(width, width, bias=False)

    def forward(self, x: Any) -> Any:
        h = cr.zeros(x.shape[0], self.width)
        for t in range(x.shape[1]):
            h = cr.tanh(self.inward(x[:, t]) + self.recurrent(h))
        return h


class LastState(nn.Module):
    """The output of an LSTM's last step."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, width, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.lstm(x)[0][:, -1]


class MeanOverTokens(nn.Module):
    """(batch, tokens, features) to (batch, features)."""

    def forward(self, x: Any) -> Any:
        return x.mean(1)


class Detach(nn.Module):
    """x, cut from what came before it."""

    def forward(self, x: Any) -> Any:
        return x.detach()


class MaskedRoot(nn.Module):
    """sqrt(x) where x > 0, else 0: right forwards, 0 times infinity or nan backwards."""

    def forward(self, x: Any) -> Any:
        return cr.where(x > 0, cr.sqrt(x), cr.zeros_like(x))


class LogOfRelu(nn.Module):
    """log(relu(x)): minus infinity wherever a unit is inactive."""

    def forward(self, x: Any) -> Any:
        return cr.log(cr.relu(x))


class WithUnused(nn.Module):
    """Hands its input on, and owns a layer that nothing reads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.forgotten = nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        return x


def blocks(spec: Specification, features: int, outputs: int) -> list[nn.Module]:
    """The network's parts from the input to the head; the head is the last."""
    width = spec.width
    match spec.family:
        case "mlp":
            sizes = [features] + [width] * spec.depth
            parts = [part for a, b in pairwise(sizes) for part in _layer(spec, nn.Linear(a, b))]
        case "resnet":
            parts = [nn.Linear(features, width)]
            parts += [Residual(width, spec.activation, spec.norm) for _ in range(spec.depth)]
            parts += [nn.LayerNorm(width)]
        case "conv":
            sizes = [1] + [width] * spec.depth
            convolutions = [nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes)]
            parts = [part for convolution in convolutions for part in _layer(spec, convolution)]
            parts += [nn.AdaptiveAvgPool2d(2), nn.Flatten()]
            return [*parts, nn.Linear(4 * width, outputs)]
        case "loop":
            parts = [Loop(features, width)]
        case "lstm":
            parts = [LastState(features, width)]
        case "transformer":
            parts = [nn.Linear(features, width)]
            for _ in range(spec.depth):
                first = spec.norm == "pre"
                parts.append(nn.TransformerEncoderLayer(width, 2, 2 * width, 0.0, batch_first=True, norm_first=first))
            parts += [nn.LayerNorm(width)] if spec.norm == "pre" else []
            parts += [MeanOverTokens()]
        case _:
            raise ValueError(f"no family is called {spec.family!r}")
    return [*parts, nn.Linear(width, outputs)]


def _layer(spec: Specification, weights: nn.Module) -> list[nn.Module]:
    parts = [weights]
    if spec.norm == "batch":
        parts.append(nn.BatchNorm2d(spec.width) if spec.family == "conv" else nn.BatchNorm1d(spec.width))
    if spec.norm == "layer":
        parts.append(nn.LayerNorm(spec.width))
    return [*parts, ACTIVATIONS[spec.activation]()]
