"""The networks that are timed, as data: what they hold, what they read, and what a training step of them costs.

A contender builds its program from these fields; the floor reads the same fields, so the two cannot drift apart.

One multiplication with its addition counts as two floating-point operations, and only contractions count: a step
multiplies by each weight on the way forward, for the weight's gradient, and, except in the first layer, for the
gradient of what came in. Attention counts all pairs of positions, the masked ones too.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Shape: TypeAlias = tuple[int, ...]
Arrays: TypeAlias = dict[str, NDArray[np.float32]]
Activation: TypeAlias = Literal["relu", "tanh", "sigmoid"]
Loss: TypeAlias = Literal["cross_entropy", "mse"]


class Network(Protocol):
    """What a workload asks of its network."""

    @property
    def kind(self) -> str:
        """The name under which every contender keeps its program for this kind of network."""

    def parameter_shapes(self) -> Mapping[str, Shape]:
        """The shape of each parameter, under its name in PyTorch's state_dict, in the order of the layers."""

    def step_flops(self, batch: int) -> int:
        """Floating-point operations of a forward and backward pass over a batch."""

    def batch(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
        """Random (inputs, targets)."""


@dataclass(frozen=True)
class Neuron:
    """sigmoid(w x + b) with scalars w and b, under the mean over the batch of (y - t)^2 / 2."""

    kind = "neuron"

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"w": (), "b": ()}

    def step_flops(self, batch: int) -> int:
        return 0  # a dozen: nothing beside a call

    def batch(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        x, y = rng.random((2, size), dtype=np.float32)
        return x, y


@dataclass(frozen=True)
class MLP:
    """Linear layers of these sizes with an activation between them, over rows of `sizes[0]` numbers.

    Under cross entropy the last layer gives logits of `sizes[-1]` classes; under mse it gives the values.
    `ends_active` puts the activation behind the last layer too.
    """

    sizes: tuple[int, ...]
    activation: Activation = "relu"
    loss: Loss = "cross_entropy"
    ends_active: bool = False
    kind = "mlp"

    def parameter_shapes(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {}
        for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(self.sizes)):
            shapes |= _linear(str(2 * layer), fan_in, fan_out)  # an activation stands behind each
        return shapes

    def step_flops(self, batch: int) -> int:
        weights = [fan_in * fan_out for fan_in, fan_out in itertools.pairwise(self.sizes)]
        return 2 * batch * (3 * sum(weights) - weights[0])

    def batch(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
        x = rng.standard_normal((size, self.sizes[0]), dtype=np.float32)
        if self.loss == "cross_entropy":
            return x, rng.integers(0, self.sizes[-1], size)
        return x, rng.random((size, self.sizes[-1]), dtype=np.float32)


@dataclass(frozen=True)
class LeNet:
    """LeNet-5 on 28 x 28 without padding: two 5 x 5 convolutions, each with ReLU and max pooling, three layers.

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition", figure 2.
    """

    kind = "lenet"

    def parameter_shapes(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {
            "0.weight": (6, 1, 5, 5), "0.bias": (6,), "3.weight": (16, 6, 5, 5), "3.bias": (16,),
        }  # fmt: skip
        return shapes | _linear("7", 256, 120) | _linear("9", 120, 84) | _linear("11", 84, 10)

    def step_flops(self, batch: int) -> int:
        first = 24 * 24 * 6 * 25
        rest = 8 * 8 * 16 * 150 + 256 * 120 + 120 * 84 + 84 * 10
        return 2 * batch * (2 * first + 3 * rest)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
        return rng.standard_normal((size, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, size)


@dataclass(frozen=True)
class LSTM:
    """One LSTM layer over sequences, and a linear layer that reads its last step; rows are (length, features)."""

    features: int
    hidden: int
    length: int
    classes: int
    kind = "lstm"

    def parameter_shapes(self) -> dict[str, Shape]:
        gates = 4 * self.hidden
        shapes: dict[str, Shape] = {
            "lstm.weight_ih_l0": (gates, self.features), "lstm.weight_hh_l0": (gates, self.hidden),
            "lstm.bias_ih_l0": (gates,), "lstm.bias_hh_l0": (gates,),
        }  # fmt: skip
        return shapes | _linear("head", self.hidden, self.classes)

    def step_flops(self, batch: int) -> int:
        gates = 4 * self.hidden
        of_a_step = gates * (2 * self.features + 3 * self.hidden)  # nobody asks for the gradient of the inputs
        return 2 * batch * (self.length * of_a_step + 3 * self.hidden * self.classes)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
        x = rng.standard_normal((size, self.length, self.features), dtype=np.float32)
        return x, rng.integers(0, self.classes, size)


@dataclass(frozen=True)
class GPT:
    """A causal transformer: token and position embeddings, pre-layer-norm blocks, a linear head over the vocabulary.

    The projections to queries, keys and values have no bias: the gradient of a key's bias is zero up to rounding,
    and Adam would turn the rounding into steps of full size, different in each library.
    """

    blocks: int
    width: int
    heads: int
    context: int
    vocabulary: int
    kind = "gpt"

    def parameter_shapes(self) -> dict[str, Shape]:
        d = self.width
        shapes: dict[str, Shape] = {"token.weight": (self.vocabulary, d), "position.weight": (self.context, d)}
        for block in range(self.blocks):
            name = f"blocks.{block}"
            shapes |= _norm(f"{name}.norm1", d) | {f"{name}.qkv.weight": (3 * d, d)} | _linear(f"{name}.project", d, d)
            shapes |= _norm(f"{name}.norm2", d) | _linear(f"{name}.widen", d, 4 * d)
            shapes |= _linear(f"{name}.narrow", 4 * d, d)
        return shapes | _norm("norm", d) | _linear("head", d, self.vocabulary)

    def step_flops(self, batch: int) -> int:
        d = self.width
        weights = self.blocks * (3 * d * d + d * d + 8 * d * d) + d * self.vocabulary
        attention = self.blocks * 2 * self.context * d  # of one token: scores, then the mean of the values
        return 2 * batch * self.context * 3 * (weights + attention)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
        tokens = rng.integers(0, self.vocabulary, (size, self.context + 1))
        return np.ascontiguousarray(tokens[:, :-1]), np.ascontiguousarray(tokens[:, 1:])


def initial(network: Network, seed: int = 0) -> Arrays:
    """The weights that every contender starts from: uniform within 1 / sqrt(fan in), layer norms near one.

    Biases are drawn as well, so that a bias added to the wrong place shows.
    """
    rng = np.random.default_rng(seed)
    return {name: _draw(rng, name, shape) for name, shape in network.parameter_shapes().items()}


def _draw(rng: np.random.Generator, name: str, shape: Shape) -> NDArray[np.float32]:
    fan_in = int(np.prod(shape[1:])) or 1
    bound = 0.1 if len(shape) < 2 else fan_in**-0.5
    values = rng.uniform(-bound, bound, shape)
    is_scale = ".norm" in f".{name}" and name.endswith("weight")
    return np.asarray(values + is_scale, dtype=np.float32)


def _linear(name: str, fan_in: int, fan_out: int) -> dict[str, Shape]:
    return {f"{name}.weight": (fan_out, fan_in), f"{name}.bias": (fan_out,)}


def _norm(name: str, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
