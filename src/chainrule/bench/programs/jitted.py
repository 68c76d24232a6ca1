"""The training steps as a JAX program has them: one jitted function with its state donated.

Parameters keep PyTorch's layouts (a linear layer is x @ W.T, a kernel is out x in x height x width).
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.bench.networks import GPT, LSTM, MLP, LeNet, Neuron, initial
from chainrule.bench.programs.program import Maker, Makers, Program
from chainrule.bench.workloads import LR, MOMENTUM, Algorithm, Workload

Parameters: TypeAlias = Mapping[str, Any]
LossFunction: TypeAlias = Callable[[Parameters, Any, Any], Any]

BETAS, EPSILON, ADAMW_DECAY = (0.9, 0.999), 1e-8, 0.01  # PyTorch's defaults


def jax_jitted(workload: Workload) -> Makers:
    """jax.jit of the whole step; one program for each way of writing the network."""
    return [
        (variant, _maker(workload, variant, make_loss)) for variant, make_loss in LOSSES[workload.network.kind].items()
    ]


def _library() -> tuple[Any, Any]:
    """JAX, loaded when it is asked for, and its NumPy."""
    jax: Any = importlib.import_module("jax")
    return jax, jax.numpy


def _maker(workload: Workload, variant: str, make_loss: Callable[[Any], LossFunction]) -> Maker:
    return lambda: _program(workload, variant, make_loss(workload.network))


def _program(workload: Workload, variant: str, loss_of: LossFunction) -> Program:
    jax, jnp = _library()

    weights = initial(workload.network)
    names = tuple(weights)
    update = _update(workload.algorithm)

    def train(state: Any, batch: Any) -> Any:
        count, values, *moments = state
        loss, gradients = jax.value_and_grad(lambda values: loss_of(dict(zip(names, values, strict=True)), *batch))(
            values
        )
        count = count + 1
        rows = [update(count, *row) for row in zip(values, gradients, *moments, strict=True)]
        return (count, *(list(column) for column in zip(*rows, strict=True))), loss

    if workload.scanned is None:
        program = jax.jit(lambda state, x, y: train(state, (x, y)), donate_argnums=0)
    else:
        program = jax.jit(lambda state, x, y: jax.lax.scan(train, state, (x, y)), donate_argnums=0)
    values = [jnp.array(array) for array in weights.values()]
    moments = [[jnp.zeros_like(value) for value in values] for _ in range(MOMENTS[workload.algorithm])]
    state: Any = (jnp.zeros((), jnp.int32), values, *moments)

    def step(x: Any, y: Any) -> Any:
        nonlocal state
        state, loss = program(state, x, y)
        return loss

    def parameters() -> dict[str, NDArray[np.float32]]:
        return {name: np.array(value) for name, value in zip(names, state[1], strict=True)}

    def wait(loss: Any) -> None:
        jax.block_until_ready((loss, state))

    return Program(variant, step, jnp.asarray, wait, parameters, workload.scanned or 1)


MOMENTS: dict[Algorithm, int] = {"sgd": 0, "momentum": 1, "adam": 2, "adamw": 2}


def _update(algorithm: Algorithm) -> Callable[..., tuple[Any, ...]]:
    """(count, parameter, gradient, *moments) -> (parameter, *moments)."""
    _, jnp = _library()

    lr, (beta1, beta2) = LR[algorithm], BETAS

    def sgd(count: Any, p: Any, g: Any) -> tuple[Any, ...]:
        return (p - lr * g,)

    def momentum(count: Any, p: Any, g: Any, m: Any) -> tuple[Any, ...]:
        m = MOMENTUM * m + g
        return p - lr * m, m

    def adam(count: Any, p: Any, g: Any, m: Any, v: Any) -> tuple[Any, ...]:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        size, root = lr / (1 - beta1**count), jnp.sqrt(1 - beta2**count)
        return p - size * m / (jnp.sqrt(v) / root + EPSILON), m, v

    def adamw(count: Any, p: Any, g: Any, m: Any, v: Any) -> tuple[Any, ...]:
        return adam(count, p * (1 - lr * ADAMW_DECAY), g, m, v)

    updates: dict[Algorithm, Callable[..., tuple[Any, ...]]]
    updates = {"sgd": sgd, "momentum": momentum, "adam": adam, "adamw": adamw}
    return updates[algorithm]


def _linear(p: Parameters, name: str, x: Any) -> Any:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def _cross_entropy(logits: Any, y: Any) -> Any:
    jax, jnp = _library()

    rows = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(rows, y[..., None], axis=-1).mean()


def _neuron(_: Neuron) -> LossFunction:
    jax, _ = _library()

    return lambda p, x, y: ((jax.nn.sigmoid(p["w"] * x + p["b"]) - y) ** 2 / 2).mean()


def _mlp(network: MLP) -> LossFunction:
    jax, jnp = _library()

    activation = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}[network.activation]
    layers = len(network.sizes) - 1

    def loss(p: Parameters, x: Any, y: Any) -> Any:
        for layer in range(layers):
            x = _linear(p, str(2 * layer), x)
            if network.ends_active or layer < layers - 1:
                x = activation(x)
        return _cross_entropy(x, y) if network.loss == "cross_entropy" else ((x - y) ** 2).mean()

    return loss


def _lenet(_: LeNet, *, layout: str) -> LossFunction:
    jax, _ = _library()

    def convolution(p: Parameters, name: str, x: Any) -> Any:
        bias = p[f"{name}.bias"]
        y = jax.lax.conv_general_dilated(
            x, p[f"{name}.weight"], (1, 1), "VALID", dimension_numbers=(layout, "OIHW", layout)
        )
        return jax.nn.relu(y + (bias[:, None, None] if layout == "NCHW" else bias))

    def pooled(x: Any) -> Any:
        axis = layout.index("H")
        height, width = x.shape[axis : axis + 2]
        windows = x.reshape(*x.shape[:axis], height // 2, 2, width // 2, 2, *x.shape[axis + 2 :])
        return windows.max((axis + 1, axis + 3))

    def loss(p: Parameters, x: Any, y: Any) -> Any:
        x = x if layout == "NCHW" else x.transpose(0, 2, 3, 1)
        for name in ("0", "3"):
            x = pooled(convolution(p, name, x))
        x = (x if layout == "NCHW" else x.transpose(0, 3, 1, 2)).reshape(x.shape[0], -1)
        x = jax.nn.relu(_linear(p, "7", x))
        x = jax.nn.relu(_linear(p, "9", x))
        return _cross_entropy(_linear(p, "11", x), y)

    return loss


def _lstm(network: LSTM, *, unroll: int) -> LossFunction:
    jax, jnp = _library()

    def loss(p: Parameters, x: Any, y: Any) -> Any:
        inputs = x.swapaxes(0, 1) @ p["lstm.weight_ih_l0"].T + (p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"])

        def advance(state: Any, at: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(at + h @ p["lstm.weight_hh_l0"].T, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zeros = jnp.zeros((x.shape[0], network.hidden))
        (h, _), _ = jax.lax.scan(advance, (zeros, zeros), inputs, unroll=unroll)
        return _cross_entropy(_linear(p, "head", h), y)

    return loss


def _gpt(network: GPT) -> LossFunction:
    jax, jnp = _library()

    d, heads = network.width, network.heads

    def norm(p: Parameters, name: str, x: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scale = jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + 1e-5)
        return centred * scale * p[f"{name}.weight"] + p[f"{name}.bias"]

    def attend(p: Parameters, name: str, x: Any) -> Any:
        batch, length, _ = x.shape
        q, k, v = jnp.split((x @ p[f"{name}.weight"].T).reshape(batch, length, 3 * heads, d // heads), 3, axis=2)
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(d // heads)
        causal = jnp.tril(jnp.ones((length, length), bool))
        shares = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
        return jnp.einsum("bhqk,bkhd->bqhd", shares, v).reshape(batch, length, d)

    def loss(p: Parameters, x: Any, y: Any) -> Any:
        x = p["token.weight"][x] + p["position.weight"]
        for name in (f"blocks.{block}" for block in range(network.blocks)):
            x = x + _linear(p, f"{name}.project", attend(p, f"{name}.qkv", norm(p, f"{name}.norm1", x)))
            wide = jax.nn.gelu(_linear(p, f"{name}.widen", norm(p, f"{name}.norm2", x)), approximate=False)
            x = x + _linear(p, f"{name}.narrow", wide)
        return _cross_entropy(_linear(p, "head", norm(p, "norm", x)), y)

    return loss


LOSSES: dict[str, dict[str, Callable[[Any], LossFunction]]] = {
    "neuron": {"jit": _neuron},
    "mlp": {"jit": _mlp},
    "lenet": {layout: functools.partial(_lenet, layout=layout) for layout in ("NCHW", "NHWC")},
    "lstm": {f"unroll {unroll}": functools.partial(_lstm, unroll=unroll) for unroll in (1, 8)},
    "gpt": {"jit": _gpt},
}
"""For each kind of network the ways to write its loss, as a function of parameters and batch."""
