"""The training steps as a PyTorch program has them; chainrule runs the same text under its own names."""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.bench.networks import GPT, LSTM, MLP, initial
from chainrule.bench.programs.program import Makers, Program
from chainrule.bench.workloads import LR, MOMENTUM, Algorithm, Workload


@dataclass(frozen=True)
class Library:
    """PyTorch or chainrule: the package, its `nn`, `nn.functional` and `optim`."""

    package: Any
    nn: Any
    functional: Any
    optim: Any


def load(name: str) -> Library:
    """`torch` or `chainrule`, loaded when it is asked for."""
    parts = (name, f"{name}.nn", f"{name}.nn.functional", f"{name}.optim")
    return Library(*map(importlib.import_module, parts))


def chainrule_eager(workload: Workload) -> Makers:
    """Our step, call by call."""
    return [("eager", lambda: _program(load("chainrule"), workload, "eager"))]


def chainrule_compiled(workload: Workload) -> Makers:
    """Our step through `cr.compile`."""

    def make() -> Program:
        ours = load("chainrule")
        return _program(ours, workload, "compile", transform=ours.package.compile)

    return [("compile", make)]


def torch_eager(workload: Workload) -> Makers:
    """PyTorch's step with its optimiser fused, and as it comes."""
    return [
        ("fused", lambda: _program(load("torch"), workload, "fused", fused=True)),
        ("default", lambda: _program(load("torch"), workload, "default")),
    ]


def torch_compiled(workload: Workload) -> Makers:
    """torch.compile of the loss, whose backward it compiles too, beside the fused optimiser.

    Compiling the whole step is no faster (backward() breaks its graph), nor is mode="max-autotune-no-cudagraphs".
    """

    def make() -> Program:
        torch = load("torch")
        return _program(torch, workload, "loss, fused", fused=True, transform_loss=torch.package.compile)

    return [("loss, fused", make)]


def _program(
    library: Library,
    workload: Workload,
    variant: str,
    *,
    fused: bool = False,
    transform: Callable[[Any], Any] = lambda step: step,
    transform_loss: Callable[[Any], Any] = lambda loss: loss,
) -> Program:
    model, loss_of = MODELS[workload.network.kind](library, workload.network)
    weights = initial(workload.network)
    # copies: both libraries would otherwise train in NumPy's memory, whose alignment is not their own choice
    model.load_state_dict({name: library.package.tensor(array) for name, array in weights.items()})
    optimiser = _optimiser(library, workload.algorithm, model.parameters(), {"fused": True} if fused else {})
    loss_of = transform_loss(loss_of)

    def step(x: Any, y: Any) -> Any:
        optimiser.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        optimiser.step()
        return loss

    def parameters() -> dict[str, NDArray[np.float32]]:
        return {name: np.array(value.detach().numpy()) for name, value in model.state_dict().items()}

    make = functools.partial(Program, variant, tensor=library.package.tensor, parameters=parameters)
    compiled = transform(step)
    if workload.scanned is not None:
        return make(step=_in_one_call(compiled), wait=_finished, steps_a_call=workload.scanned)
    return make(step=compiled, wait=_finished)


def _in_one_call(step: Any) -> Callable[[Any, Any], Any]:
    def steps(x: Any, y: Any) -> Any:
        """All steps over x of shape (steps, batch, ...), in order."""
        return step.epochs((x.flatten(0, 1), y.flatten(0, 1)), batch_size=x.shape[1], shuffle=False)

    return steps


def _finished(loss: Any) -> None:
    """Both libraries return when the work is done."""


def _optimiser(library: Library, algorithm: Algorithm, parameters: Any, options: dict[str, bool]) -> Any:
    lr = LR[algorithm]
    if algorithm == "adam":
        return library.optim.Adam(parameters, lr=lr, **options)
    if algorithm == "adamw":
        return library.optim.AdamW(parameters, lr=lr, **options)
    return library.optim.SGD(parameters, lr=lr, momentum=MOMENTUM if algorithm == "momentum" else 0.0, **options)


ModelAndLoss = tuple[Any, Callable[[Any, Any], Any]]


def _neuron(library: Library, _: Any) -> ModelAndLoss:
    class Neuron(library.nn.Module):  # type: ignore[misc, name-defined]  # the base is known at run time
        def __init__(self) -> None:
            super().__init__()
            self.w = library.nn.Parameter(library.package.zeros(()))
            self.b = library.nn.Parameter(library.package.zeros(()))

        def forward(self, x: Any) -> Any:
            return library.package.sigmoid(self.w * x + self.b)

    model = Neuron()
    return model, lambda x, y: ((model(x) - y) ** 2 / 2).mean()


def _mlp(library: Library, network: MLP) -> ModelAndLoss:
    nn, functional = library.nn, library.functional
    activation = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}[network.activation]
    layers: list[Any] = []
    for fan_in, fan_out in itertools.pairwise(network.sizes):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    model = nn.Sequential(*(layers if network.ends_active else layers[:-1]))
    if network.loss == "mse":
        return model, lambda x, y: functional.mse_loss(model(x), y)
    return model, lambda x, y: functional.cross_entropy(model(x), y)


def _lenet(library: Library, _: Any) -> ModelAndLoss:
    nn = library.nn
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    return model, lambda x, y: library.functional.cross_entropy(model(x), y)


def _lstm(library: Library, network: LSTM) -> ModelAndLoss:
    nn = library.nn

    class Reader(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(network.features, network.hidden, batch_first=True)
            self.head = nn.Linear(network.hidden, network.classes)

        def forward(self, x: Any) -> Any:
            hidden, _ = self.lstm(x)
            return self.head(hidden[:, -1])

    model = Reader()
    return model, lambda x, y: library.functional.cross_entropy(model(x), y)


def _gpt(library: Library, network: GPT) -> ModelAndLoss:
    nn, functional = library.nn, library.functional
    d, heads = network.width, network.heads

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1 = nn.LayerNorm(d)
            self.qkv = nn.Linear(d, 3 * d, bias=False)
            self.project = nn.Linear(d, d)
            self.norm2 = nn.LayerNorm(d)
            self.widen = nn.Linear(d, 4 * d)
            self.narrow = nn.Linear(4 * d, d)

        def forward(self, x: Any) -> Any:
            x = x + self.project(self.attend(self.norm1(x)))
            return x + self.narrow(functional.gelu(self.widen(self.norm2(x))))

        def attend(self, x: Any) -> Any:
            batch, length, _ = x.shape
            q, k, v = (
                part.view(batch, length, heads, d // heads).transpose(1, 2) for part in self.qkv(x).split(d, dim=2)
            )
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return mixed.transpose(1, 2).reshape(batch, length, d)

    class GPTModel(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Embedding(network.vocabulary, d)
            self.position = nn.Embedding(network.context, d)
            self.blocks = nn.Sequential(*(Block() for _ in range(network.blocks)))
            self.norm = nn.LayerNorm(d)
            self.head = nn.Linear(d, network.vocabulary)

        def forward(self, tokens: Any) -> Any:
            x = self.token(tokens) + self.position(library.package.arange(tokens.shape[1]))
            return self.head(self.norm(self.blocks(x)))

    model = GPTModel()
    return model, lambda x, y: functional.cross_entropy(model(x).flatten(0, 1), y.flatten())


MODELS: dict[str, Callable[[Library, Any], ModelAndLoss]] = {
    "neuron": _neuron,
    "mlp": _mlp,
    "lenet": _lenet,
    "lstm": _lstm,
    "gpt": _gpt,
}
"""How each kind of network is written: the model, and the loss as a function of a batch."""
