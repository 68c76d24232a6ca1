"""Every layer, loss and optimiser: three compiled training steps leave what three eager ones leave."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.errors import TraceError

Make = Callable[[], nn.Module]


def normal(*shape: int) -> Callable[[np.random.Generator], Any]:
    return lambda random: random.standard_normal(shape)


def integers(high: int, *shape: int) -> Callable[[np.random.Generator], Any]:
    return lambda random: random.integers(0, high, shape)


def fractions(*shape: int) -> Callable[[np.random.Generator], Any]:
    return lambda random: random.uniform(0.05, 0.95, shape)


def after(layer: nn.Module, *parts: nn.Module) -> Make:
    return lambda: deepcopy(nn.Sequential(layer, *parts))


class First(nn.Module):
    """The first result of a layer that gives several, of the same input as often as it wants it."""

    def __init__(self, layer: nn.Module, times: int = 1) -> None:
        super().__init__()
        self.layer, self.times = layer, times

    def forward(self, x: cr.Tensor) -> Any:
        y = self.layer(*[x] * self.times)
        return y[0] if isinstance(y, tuple) else y


class Parts(nn.Module):
    """Parameters in every kind of container."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Tanh()])
        self.named = nn.ModuleDict({"out": nn.Linear(4, 4)})
        self.scales = nn.ParameterList([nn.Parameter(cr.ones(4))])
        self.shifts = nn.ParameterDict({"b": nn.Parameter(cr.zeros(4))})
        self.calls = nn.Buffer(cr.zeros(4))

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        for layer in self.layers:
            x = layer(x)
        self.calls.add_(x.detach().mean(0))
        return self.named["out"](x) * self.scales[0] + self.shifts["b"] + self.calls


ACTIVATIONS = [
    ["ELU", "GELU", "SELU", "Hardsigmoid", "Hardswish", "Identity"],
    ["Hardtanh", "LeakyReLU", "LogSigmoid", "Mish", "PReLU", "ReLU6"],
    ["ReLU", "Sigmoid", "SiLU", "Softplus", "Softsign", "Tanh", "Softmax", "LogSoftmax"],
]
"""Several in one network: each starts a program of its own, which takes time."""


class Beside(nn.Module):
    """The sum of several activations of one input, each a little scaled."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 5)
        self.kinds = nn.ModuleList([getattr(nn, n)(*([-1] if "Soft" in n and "max" in n else [])) for n in names])

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        x = self.layer(x)
        return sum([(0.3 + 0.1 * k) * kind(x) for k, kind in enumerate(self.kinds)])


LAYERS: dict[str, tuple[Make, Callable[[np.random.Generator], Any]]] = {
    **{" ".join(names): (partial(Beside, *names), normal(6, 4)) for names in ACTIVATIONS},
    "Linear": (after(nn.Linear(4, 5, bias=False), nn.Linear(5, 3)), normal(2, 6, 4)),
    "Flatten": (after(nn.Linear(4, 3), nn.Flatten(), nn.Linear(15, 3)), normal(2, 5, 4)),
    "Unflatten": (after(nn.Linear(4, 6), nn.Unflatten(1, (2, 3))), normal(5, 4)),
    "Sequential": (after(nn.Sequential(nn.Linear(4, 5), nn.Tanh()), nn.Linear(5, 3)), normal(6, 4)),
    "ModuleList ModuleDict ParameterList ParameterDict": (Parts, normal(6, 4)),
    "Conv1d": (after(nn.Conv1d(2, 3, 3, padding=1), nn.Tanh()), normal(3, 2, 7)),
    "Conv2d": (after(nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.Tanh()), normal(3, 2, 7, 5)),
    "ConvTranspose2d": (after(nn.ConvTranspose2d(2, 3, 3, stride=2), nn.Tanh()), normal(2, 2, 4, 3)),
    "MaxPool2d": (after(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2)), normal(2, 2, 8, 7)),
    "AvgPool2d": (after(nn.Conv2d(2, 3, 3), nn.AvgPool2d(2)), normal(2, 2, 8, 7)),
    "AdaptiveAvgPool2d": (after(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d((2, 1))), normal(2, 2, 8, 6)),
    "BatchNorm1d": (after(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)), normal(6, 4)),
    "BatchNorm2d": (after(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh()), normal(3, 2, 5, 5)),
    "GroupNorm": (after(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.Tanh()), normal(3, 2, 5, 5)),
    "LayerNorm": (after(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 3)), normal(6, 4)),
    "RMSNorm": (after(nn.Linear(4, 5), nn.RMSNorm(5), nn.Linear(5, 3)), normal(6, 4)),
    "Dropout": (after(nn.Linear(4, 9), nn.Dropout(0.3), nn.Linear(9, 3)), normal(6, 4)),
    "Dropout1d": (after(nn.Conv1d(2, 6, 3), nn.Dropout1d(0.3)), normal(3, 2, 7)),
    "Dropout2d": (after(nn.Conv2d(2, 6, 3), nn.Dropout2d(0.3)), normal(3, 2, 5, 5)),
    "Dropout3d": (after(nn.Linear(4, 4), nn.Dropout3d(0.3)), normal(2, 6, 2, 3, 4)),
    "Embedding": (after(nn.Embedding(7, 4, padding_idx=0), nn.Linear(4, 3)), integers(7, 5, 3)),
    "RNN": (lambda: First(nn.RNN(4, 5, batch_first=True)), normal(2, 3, 4)),
    "GRU": (lambda: First(nn.GRU(4, 5, num_layers=2)), normal(3, 2, 4)),
    "LSTM": (lambda: First(nn.LSTM(4, 5, bidirectional=True)), normal(3, 2, 4)),
    "RNNCell": (lambda: nn.RNNCell(4, 5), normal(3, 4)),
    "GRUCell": (lambda: nn.GRUCell(4, 5), normal(3, 4)),
    "LSTMCell": (lambda: First(nn.LSTMCell(4, 5)), normal(3, 4)),
    "MultiheadAttention": (lambda: First(nn.MultiheadAttention(6, 2, batch_first=True), times=3), normal(2, 5, 6)),
    "TransformerEncoderLayer": (
        lambda: nn.TransformerEncoderLayer(6, 2, dim_feedforward=9, dropout=0.2, batch_first=True), normal(2, 5, 6),
    ),
}  # fmt: skip
LOSSES: dict[str, tuple[Make, Callable[[np.random.Generator], Any]]] = {
    "MSELoss": (nn.MSELoss, normal(6, 3)),
    "L1Loss": (nn.L1Loss, normal(6, 3)),
    "SmoothL1Loss": (lambda: nn.SmoothL1Loss(beta=0.7), normal(6, 3)),
    "HuberLoss": (lambda: nn.HuberLoss(delta=0.5), normal(6, 3)),
    "BCELoss": (nn.BCELoss, fractions(6, 3)),
    "BCEWithLogitsLoss": (nn.BCEWithLogitsLoss, fractions(6, 3)),
    "CrossEntropyLoss": (lambda: nn.CrossEntropyLoss(label_smoothing=0.1), integers(3, 6)),
    "NLLLoss": (nn.NLLLoss, integers(3, 6)),
    "KLDivLoss": (lambda: nn.KLDivLoss(reduction="batchmean"), fractions(6, 3)),
}
OPTIMIZERS: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        {"lr": 0.1}, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "maximize": True},
    ],
    "Adam": [{"lr": 0.01}, {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1, "betas": (0.8, 0.95)}],
    "AdamW": [{"lr": 0.01}, {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1, "eps": 1e-6}],
    "RMSprop": [{"lr": 0.01}, {"lr": 0.01, "momentum": 0.9, "centered": True, "weight_decay": 0.1, "alpha": 0.9}],
    "Adagrad": [{"lr": 0.1}, {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.1}],
    "Adadelta": [{}, {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1}],
}  # fmt: skip


def test_every_layer_and_optimiser_is_here() -> None:
    layers = {n for n in nn.__all__ if inspect.isclass(kind := getattr(nn, n)) and issubclass(kind, nn.Module)}
    assert layers - {"Module"} == {*" ".join(LAYERS).split(), *LOSSES}
    assert {n for n in optim.__all__ if inspect.isclass(getattr(optim, n))} - {"Optimizer"} == {*OPTIMIZERS}


class Built:
    """A model with its optimiser, made anew from the same seed."""

    def __init__(self, make: Make, loss: Callable[..., Any], optimizer: Callable[..., Any], dtype: Any) -> None:
        cr.manual_seed(1)
        self.model = make()
        for k, p in enumerate(self.model.parameters()):  # what a factory made once would be shared, and trained
            random = np.random.default_rng(k)
            p.data = cr.tensor(random.uniform(-0.8, 0.8, p.shape).astype(dtype))
        self.model = self.model.to(cr.float32 if dtype is np.float32 else cr.float64)
        for name, b in self.model.named_buffers():
            b.data = cr.ones_like(b) if name.endswith("running_var") else cr.zeros_like(b)
        self.loss, self.optimizer = loss, optimizer(self.model.parameters())
        cr.manual_seed(2)

    def step(self, *data: cr.Tensor) -> cr.Tensor:
        self.optimizer.zero_grad()
        loss: cr.Tensor = self.loss(self.model(data[0]), *data[1:])
        loss.backward()
        self.optimizer.step()
        return loss

    def everything(self) -> dict[str, Any]:
        found = {name: x.detach().numpy().copy() for name, x in self.model.state_dict().items()}
        found |= {f"{name}.grad": p.grad.numpy().copy() for name, p in self.model.named_parameters()}
        for i, state in self.optimizer.state_dict()["state"].items():
            found |= {f"{i}.{name}": np.array(x.numpy()) for name, x in state.items() if x is not None}
        return found | {"random": cr.get_rng_state().numpy().copy()}


def agree(
    make: Make, loss: Callable[..., Any], optimizer: Callable[..., Any], data: list[Any], dtype: Any, eps_: float
) -> None:
    """Three steps, each array to so many eps of its largest element (of 1 where all are smaller)."""
    tensors = [cr.tensor(x.astype(dtype) if x.dtype.kind == "f" else x) for x in data]
    eager, ours = (Built(make, loss, optimizer, dtype) for _ in range(2))
    expected = [eager.step(*tensors).detach().numpy() for _ in range(3)]
    left = eager.everything()
    cr.manual_seed(2)
    compiled = cr.compile(ours.step, denormals="keep")
    got = [compiled(*tensors).detach().numpy() for _ in range(3)]
    eps = eps_ * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(got, expected, rtol=eps, atol=eps)
    found = ours.everything()
    assert found.keys() == left.keys()
    for name, wanted in left.items():
        assert found[name].dtype == wanted.dtype, name
        np.testing.assert_allclose(
            found[name], wanted, rtol=0, atol=eps * max(1.0, np.abs(wanted).max(initial=0)), err_msg=name
        )


def squares(y: cr.Tensor) -> cr.Tensor:
    """A loss of any result in which no two elements count the same."""
    weights = cr.linspace(0.5, 1.5, y.numel()).to(y.dtype).view(y.shape)
    return (weights * (y - 0.3) ** 2).mean()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LAYERS)
def test_a_compiled_layer_trains_as_the_eager_one(name: str, dtype: Any) -> None:
    """To 1024 eps: sums of up to a hundred products in another order, functions within 2 ulp, over three steps."""
    make, inputs = LAYERS[name]
    x = np.asarray(inputs(np.random.default_rng(0)))
    agree(make, squares, lambda p: optim.SGD(p, lr=0.05, momentum=0.9), [x], dtype, 1024)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_a_compiled_loss_trains_as_the_eager_one(name: str, dtype: Any) -> None:
    make_loss, targets = LOSSES[name]
    random = np.random.default_rng(0)
    x, y = random.standard_normal((6, 4)), np.asarray(targets(random))
    last = {"BCELoss": nn.Sigmoid, "NLLLoss": lambda: nn.LogSoftmax(-1), "KLDivLoss": lambda: nn.LogSoftmax(-1)}
    parts = [last[name]()] if name in last else []
    agree(after(nn.Linear(4, 3), *parts), make_loss(), lambda p: optim.SGD(p, lr=0.05), [x, y], dtype, 1024)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), [(n, o) for n, all_ in OPTIMIZERS.items() for o in all_])
def test_a_compiled_optimiser_leaves_what_the_eager_one_leaves(name: str, options: dict[str, Any], dtype: Any) -> None:
    """To 2^14 eps: the first steps of Adam and its like divide a gradient by its own size, whatever its error is."""
    random = np.random.default_rng(0)
    x, y = random.standard_normal((6, 4)), random.integers(0, 3, 6)
    make = after(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 3))
    agree(make, F.cross_entropy, lambda p: getattr(optim, name)(p, **options), [x, y], dtype, 2**14)


def test_sgd_with_dampening_is_compiled_after_its_first_step() -> None:
    """Which puts the gradient itself into the buffer, where the later ones put a part of it."""
    random = np.random.default_rng(0)
    x, y = cr.tensor(random.standard_normal((6, 4))), cr.tensor(random.integers(0, 3, 6))

    def sgd(parameters: Any) -> optim.Optimizer:
        return optim.SGD(parameters, lr=0.1, momentum=0.9, dampening=0.3)

    eager, ours = (Built(after(nn.Linear(4, 3)), F.cross_entropy, sgd, np.float64) for _ in range(2))
    compiled = cr.compile(ours.step)
    with pytest.raises(TraceError, match=r"(?s)first step of SGD with dampening.*one step uncompiled"):
        compiled(x, y)
    assert not ours.optimizer.state_dict()["state"]
    ours.step(x, y)
    for _ in range(2):
        compiled(x, y)
    for _ in range(3):
        eager.step(x, y)
    for name, wanted in eager.everything().items():
        np.testing.assert_allclose(ours.everything()[name], wanted, rtol=1e-12, err_msg=name)


def test_groups_of_parameters_with_options_of_their_own_are_compiled() -> None:
    random = np.random.default_rng(0)
    x, y = random.standard_normal((6, 4)), random.integers(0, 3, 6)

    def groups(parameters: Any) -> optim.Optimizer:
        first, *rest = parameters
        return optim.AdamW([{"params": [first], "lr": 0.1, "weight_decay": 0.0}, {"params": rest}], lr=0.01)

    make = after(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 3))
    for dtype in (np.float32, np.float64):
        agree(make, F.cross_entropy, groups, [x, y], dtype, 2**14)


def test_w3_follows_the_eager_trajectory_for_a_thousand_steps() -> None:
    """MLP 64-64-64-10 with Adam in float64 to 1e-6, in float32 the loss to 1%.

    Rounding grows from step to step: by the curvature of the loss, and because Adam divides by roots of small squares.
    """
    random = np.random.default_rng(0)
    x, y = random.standard_normal((32, 64)), random.integers(0, 10, 32)
    for dtype, rtol in ((np.float64, 1e-6), (np.float32, 1e-2)):
        losses: list[list[float]] = []
        parameters = []
        for compiling in (False, True):
            cr.manual_seed(0)
            model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
            model = model.to(cr.float32 if dtype is np.float32 else cr.float64)
            built = Built.__new__(Built)
            built.model, built.loss = model, F.cross_entropy
            built.optimizer = optim.Adam(model.parameters(), lr=1e-3)
            step = cr.compile(built.step) if compiling else built.step
            data = cr.tensor(x.astype(dtype)), cr.tensor(y)
            losses.append([step(*data).item() for _ in range(1000)])
            parameters.append([p.detach().numpy() for p in model.parameters()])
        np.testing.assert_allclose(losses[1], losses[0], rtol=rtol, atol=rtol * 1e-2)
        assert losses[1][-1] < 0.01 * losses[1][0]
        if dtype is np.float64:
            for got, expected in zip(*parameters[::-1], strict=True):
                np.testing.assert_allclose(got, expected, rtol=0, atol=rtol)
