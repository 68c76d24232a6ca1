"""The known cases: networks with one well-known illness each, or none, and which causes are right answers.

Each function returns a Case, always the same one. `CASES` lists them all by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim

HEALTHY: frozenset[str] = frozenset()


class Case(NamedTuple):
    """What is diagnosed.

    Args:
        loss_fn: of the model's output and the targets, a scalar.
        batches: (inputs, targets) pairs.
        expected: a right diagnosis names one of these causes as the primary one; empty: it says healthy.
    """

    model: Any
    loss_fn: Callable[[Any, Any], Any]
    batches: list[tuple[Any, Any]]
    optimizer: Any
    expected: frozenset[str]


def _case(model: Any, *causes: str, rate: float = 1e-3, scale: float = 1.0, shape: Sequence[int] = (8,)) -> Case:
    """With regression data of that shape, and Adam."""
    batches = _batches(scale, tuple(shape))
    trained = [p for p in model.parameters() if p.requires_grad]
    return Case(model, F.mse_loss, batches, optim.Adam(trained, rate), frozenset(causes))


def _batches(scale: float, shape: tuple[int, ...]) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(20)
    xs = [rng.standard_normal((32, *shape)).astype(np.float32) for _ in range(2)]
    ys = [np.sin(x.reshape(32, -1).sum(1, keepdims=True) / 2).astype(np.float32) for x in xs]
    return [(cr.tensor(np.float32(scale) * x), cr.tensor(y)) for x, y in zip(xs, ys, strict=True)]


@contextmanager
def _drawn() -> Any:
    """A block whose weights are the same each time, and after which the generator goes on as before."""
    with cr.random.fork_rng():
        cr.manual_seed(4)
        yield


def stack(depth: int, width: int, activation: Callable[[], Any] | None, initialise: Callable[[Any], Any]) -> Any:
    """Linear layers with an activation between two, 8 features in and 1 out; biases are 0."""
    sizes = [8, *[width] * (depth - 1), 1]
    layers: list[Any] = []
    with _drawn():
        for number in range(depth):
            linear: Any = nn.Linear(sizes[number], sizes[number + 1])
            initialise(linear.weight)
            nn.init.zeros_(linear.bias)
            layers += [linear] if activation is None or number == depth - 1 else [linear, activation()]
        return nn.Sequential(*layers)


def he(weight: Any) -> Any:
    return nn.init.kaiming_normal_(weight, nonlinearity="relu")


def xavier(weight: Any) -> Any:
    return nn.init.xavier_normal_(weight)


def normal(std: float) -> Callable[[Any], Any]:
    return lambda weight: nn.init.normal_(weight, 0.0, std)


# vanishing and exploding --------------------------------------------------------------------------------------------


def unsaturated_sigmoid_depth_30() -> Case:
    """Every activation multiplies by at most 1/4, though none is saturated."""
    return _case(stack(30, 32, nn.Sigmoid, xavier), "vanishing")


def saturated_tanh() -> Case:
    """Weights so large that nearly every unit is at -1 or 1; the last layer's are as they should be."""
    model = stack(10, 32, nn.Tanh, normal(20.0))
    with _drawn():
        xavier(model[-1].weight)
    return _case(model, "saturated")


def half_identity() -> Case:
    """50 linear layers W = 0.5 I: the gradient falls by 2^-50."""
    return _case(_identities(0.5), "vanishing")


def one_and_a_half_identity() -> Case:
    """50 linear layers W = 1.5 I: the gradient grows by 1.5^50."""
    return _case(_identities(1.5), "exploding")


def _identities(factor: float) -> Any:
    layers = [nn.Linear(8, 8, bias=False) for _ in range(50)]
    for layer in layers:
        with cr.no_grad():
            layer.weight.copy_(cr.eye(8) * factor)
    with _drawn():
        return nn.Sequential(*layers, _head(8))


def tiny_normal_depth_50() -> Case:
    """N(0, 0.01^2) in 50 layers of 32: a factor of 0.06 a layer, which underflows in float32."""
    return _case(stack(50, 32, nn.Tanh, normal(0.01)), "vanishing")


def unit_normal_depth_50() -> Case:
    """N(0, 1) in 50 layers of 32 ReLUs: a factor of 4 a layer. The absolute error: a square would overflow."""
    return _case(stack(50, 32, nn.ReLU, normal(1.0)), "exploding")._replace(loss_fn=F.l1_loss)


def long_recurrence() -> Case:
    """Linear and tanh in a loop over 200 steps: only the last steps are heard."""
    with _drawn():
        return _case(Unrolled(4, 16), "vanishing", shape=(200, 4))


# units, symmetry, a stationary point --------------------------------------------------------------------------------


def constant_initialisation() -> Case:
    """All weights are equal, and so are all units of a layer, for ever."""
    return _case(stack(5, 32, nn.Tanh, lambda w: nn.init.constant_(w, 1 / 32)), "constant initialisation")


def dead_relu() -> Case:
    """A bias of -30 in a layer: its units are 0 for every input."""
    model = stack(6, 32, nn.ReLU, he)
    nn.init.constant_(model[4].bias, -30.0)
    return _case(model, "dead units")


def converged() -> Case:
    """At a minimum: each input stands there twice, its targets on either side of the model's answer."""
    case = _case(stack(4, 32, nn.ReLU, he), "stationary point")
    x = cr.cat([case.batches[0][0]] * 2)
    with cr.no_grad():
        answers = case.model(x)
    sides = cr.cat([cr.full((32, 1), 0.3), cr.full((32, 1), -0.3)])
    return case._replace(batches=[(x, answers + sides)])


# what no gradient reaches, and what is no number --------------------------------------------------------------------


def detached_branch() -> Case:
    """`detach()` in the middle: what comes before it gets no gradient."""
    layers = list(stack(6, 32, nn.ReLU, he))
    return _case(nn.Sequential(*layers[:6], Detached(), *layers[6:]), "detached parameters")


def nan_from_masked_where() -> Case:
    """where(x > 0, sqrt(x), 0): finite forwards, 0 times nan backwards."""
    layers = list(stack(4, 32, nn.ReLU, he))
    return _case(nn.Sequential(*layers[:-2], MaskedRoot(), layers[-1]), "non-finite")


# scales -------------------------------------------------------------------------------------------------------------


def learning_rate_times_1000() -> Case:
    """Adam with a rate of 1: every weight moves by more than its own size."""
    return _case(stack(6, 32, nn.ReLU, he), "learning rate", rate=1.0)


def unscaled_inputs() -> Case:
    """Inputs of size 1000."""
    return _case(stack(4, 32, nn.ReLU, he), "scale", scale=1000.0)


def post_ln_transformer() -> Case:
    """12 post-LN blocks at the full learning rate from the first step on."""
    return _case(_transformer(12, False), "learning rate", "exploding", "vanishing", rate=1e-2, shape=(6, 16))


def mixed_causes() -> Case:
    """Sigmoids in depth, and inputs of size 1000: both are right answers."""
    return _case(stack(20, 32, nn.Sigmoid, xavier), "vanishing", "scale", "saturated", scale=1000.0)


# healthy ------------------------------------------------------------------------------------------------------------


def he_relu() -> Case:
    """10 layers of ReLUs after He."""
    return _case(stack(10, 64, nn.ReLU, he))


def xavier_tanh() -> Case:
    """8 layers of tanh after Glorot."""
    return _case(stack(8, 64, nn.Tanh, xavier))


def resnet() -> Case:
    """16 residual blocks with layer norm."""
    with _drawn():
        return _case(nn.Sequential(nn.Linear(8, 32), *[Block(32) for _ in range(16)], nn.LayerNorm(32), _head(32)))


def pre_ln_transformer() -> Case:
    """4 pre-LN blocks."""
    return _case(_transformer(4, True), shape=(6, 16))


def lstm() -> Case:
    """An LSTM over 200 steps whose forget gates are open: bias 5, so that the cell remembers."""
    with _drawn():
        model = LastOfLSTM(4, 16)
    with cr.no_grad():
        model.lstm.bias_ih_l0.copy_(cr.tensor(np.repeat(np.array([0, 5, 0, 0], np.float32), 16)))
    return _case(model, shape=(200, 4))


CASES: dict[str, Callable[[], Case]] = {
    f.__name__: f
    for f in (
        unsaturated_sigmoid_depth_30,
        saturated_tanh,
        half_identity,
        one_and_a_half_identity,
        tiny_normal_depth_50,
        unit_normal_depth_50,
        long_recurrence,
        constant_initialisation,
        dead_relu,
        converged,
        detached_branch,
        nan_from_masked_where,
        learning_rate_times_1000,
        unscaled_inputs,
        post_ln_transformer,
        mixed_causes,
        he_relu,
        xavier_tanh,
        resnet,
        pre_ln_transformer,
        lstm,
    )
}


# modules ------------------------------------------------------------------------------------------------------------


class Unrolled(nn.Module):
    """The last state of h = tanh(W x_t + U h), and a linear layer on it."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.inward, self.recurrent, self.head = nn.Linear(features, width), nn.Linear(width, width), _head(width)

    def forward(self, x: Any) -> Any:
        h = cr.zeros(x.shape[0], self.width)
        for t in range(x.shape[1]):
            h = cr.tanh(self.inward(x[:, t]) + self.recurrent(h))
        return self.head(h)


class LastOfLSTM(nn.Module):
    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(features, width, batch_first=True), _head(width)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0][:, -1])


class Block(nn.Module):
    """x + linear(relu(norm(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        return x + self.linear(F.relu(self.norm(x)))


class Detached(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.detach()


class MaskedRoot(nn.Module):
    def forward(self, x: Any) -> Any:
        return cr.where(x > 0, cr.sqrt(x), cr.zeros_like(x))


class MeanOverTokens(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.mean(1)


def _transformer(depth: int, norm_first: bool) -> Any:
    with _drawn():
        blocks = [
            nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=norm_first) for _ in range(depth)
        ]
        return nn.Sequential(*blocks, nn.LayerNorm(16), MeanOverTokens(), _head(16))


def _head(width: int) -> Any:
    head = nn.Linear(width, 1)
    nn.init.normal_(head.weight, 0.0, 1 / sqrt(width))
    return head
