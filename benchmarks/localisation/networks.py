"""A random network: the names it is given, the steps of its forward pass, and the shape of every name.

Whole layers in matrix notation, on one column or a batch of columns; or, neuron by neuron, with a name for every
number (the index form of a textbook: z2_1 = w2_11 * x_1 + w2_12 * x_2 + b2_1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

Rng = np.random.Generator
Shape = tuple[int, int]

HIDDEN = ("sigmoid", "tanh", "relu", "softplus", "gelu", "silu", "linear", "square")
COMMON = ("sigmoid", "tanh", "relu")  # drawn twice as often as the others


@dataclass(frozen=True)
class Affine:
    """out = weight @ source + bias."""

    out: str
    weight: str
    source: str
    bias: str | None


@dataclass(frozen=True)
class Neuron:
    """out = weights[0] * sources[0] + weights[1] * sources[1] + ... + bias, all of them single numbers."""

    out: str
    weights: tuple[str, ...]
    sources: tuple[str, ...]
    bias: str


@dataclass(frozen=True)
class Activation:
    """out = function(source), by elements; softmax along the columns."""

    out: str
    source: str
    function: str


@dataclass(frozen=True)
class Product:
    """out = factor * source; the factor is a mask, or a scaling that a batch shares."""

    out: str
    factor: str
    source: str
    role: str


@dataclass(frozen=True)
class Skip:
    """out = left + right, so that `right` reaches the loss by two ways."""

    out: str
    left: str
    right: str


@dataclass(frozen=True)
class Loss:
    """out = the loss of the outputs against the targets; `form` and `count` say which one.

    Args:
        form: "half" (1/2 sum of squares), "squares", "mse", "half mean", "cross entropy", "binary".
        count: what the sum is divided by, as it is written in the gradient; "" for nothing.
    """

    out: str
    outputs: tuple[str, ...]
    targets: tuple[str, ...]
    form: str
    count: str
    text: str


Step = Affine | Neuron | Activation | Product | Skip | Loss


@dataclass
class Network:
    """Everything that the text of a derivation says before its claims."""

    batch: int
    given: list[tuple[str, str]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    learning_rate: str = "0.1"

    @property
    def loss(self) -> Loss:
        last = self.steps[-1]
        assert isinstance(last, Loss)
        return last

    def give(self, name: str, text: str, shape: Shape) -> str:
        self.given.append((name, text))
        self.shapes[name] = shape
        return name

    def add(self, step: Step, shape: Shape) -> str:
        self.steps.append(step)
        self.shapes[step.out] = shape
        return step.out


def forward_text(step: Step) -> str:
    """The right side of a line under "forward"."""
    match step:
        case Affine():
            return f"{step.weight} @ {step.source}" + (f" + {step.bias}" if step.bias else "")
        case Neuron():
            products = [f"{w} * {x}" for w, x in zip(step.weights, step.sources, strict=True)]
            return " + ".join([*products, step.bias])
        case Activation():
            plain = {"linear": step.source, "square": f"{step.source}**2"}
            return plain.get(step.function, f"{step.function}({step.source})")
        case Product():
            return f"{step.factor} * {step.source}"
        case Skip():
            return f"{step.left} + {step.right}"
        case Loss():
            return step.text


def draw_network(rng: Rng) -> Network:
    """A random network: one in eight neuron by neuron, the others in matrix notation."""
    return _neuron_by_neuron(rng) if rng.random() < 1 / 8 else _layered(rng)


# Matrix notation ----------------------------------------------------------------------------------------------------


def _layered(rng: Rng) -> Network:
    net = Network(batch=int(rng.integers(2, 6)) if rng.random() < 0.45 else 1)
    depth = int(rng.integers(2, 6))
    widths = [int(w) for w in rng.integers(2, 7, size=depth + 1)]
    if rng.random() < 0.3:
        widths = [widths[0]] * (depth + 1)  # square weights: a lost transpose keeps the shape
    first = int(rng.integers(1, 3))
    source = net.give("x", _numbers(rng, (widths[0], net.batch)), (widths[0], net.batch))
    source = _scaled(rng, net, source) if rng.random() < 0.35 else source
    form = str(rng.choice(["half", "half mean", "mse", "squares", "cross entropy", "binary"]))
    squares = 0
    for number, (inputs, width) in enumerate(pairwise(widths), start=first):
        last = number == first + depth - 1
        function = _last_function(rng, form) if last else _hidden_function(rng, squares)
        squares += function == "square"
        source = _layer(rng, net, number, inputs, width, source, function, last)
    if rng.random() < 0.5:
        net.learning_rate = net.give("lr", str(rng.choice(["0.1", "0.05", "0.5"])), (1, 1))
    _loss(rng, net, source, form)
    return net


def _hidden_function(rng: Rng, squares: int) -> str:
    function = str(rng.choice(COMMON + HIDDEN))
    return "tanh" if function == "square" and squares else function  # squares of squares soon overflow


def _last_function(rng: Rng, form: str) -> str:
    if form in ("cross entropy", "binary"):
        return {"cross entropy": "softmax", "binary": "sigmoid"}[form]
    return str(rng.choice(["sigmoid", "sigmoid", "tanh", "linear", "softplus", "softmax", "relu"]))


def _layer(rng: Rng, net: Network, number: int, inputs: int, width: int, source: str, function: str, last: bool) -> str:
    """One layer, and what may follow it: a residual link or a mask. Returns the name of its output."""
    shape = (width, net.batch)
    weight = f"W{number}"
    before = net.shapes.get(f"W{number - 1}")
    if before == (width, inputs) and rng.random() < 0.2:
        weight = f"W{number - 1}"  # shared with the layer below
    else:
        net.give(weight, _random(rng, width, inputs), (width, inputs))
    bias = None
    if rng.random() < 0.88:
        text = f"zeros({width})" if rng.random() < 0.15 else _random(rng, width)
        bias = net.give(f"b{number}", text, (width, 1))
    z = net.add(Affine(f"z{number}", weight, source, bias), shape)
    a = net.add(Activation(f"a{number}", z, function), shape)
    if last:
        return a
    if inputs == width and rng.random() < 0.35:
        a = net.add(Skip(f"r{number}", a, source), shape)
    if rng.random() < 0.12:
        mask = net.give(f"m{number}", _zeros_and_ones(rng, width), (width, 1))
        a = net.add(Product(f"d{number}", mask, a, "mask"), shape)
    return a


def _scaled(rng: Rng, net: Network, source: str) -> str:
    rows = net.shapes[source][0]
    if rng.random() < 0.3:
        return net.add(Product("u", str(rng.choice(["0.5", "0.1", "3"])), source, "coefficient"), net.shapes[source])
    gain = net.give("g", _random(rng, rows), (rows, 1))
    return net.add(Product("u", gain, source, "gain"), net.shapes[source])


def _loss(rng: Rng, net: Network, a: str, form: str) -> None:
    rows, batch = net.shapes[a]
    t = net.give("t", _target(rng, rows, batch, form), (rows, batch))
    name = str(rng.choice(["C", "J"])) if rng.random() < 0.1 else "L"
    divisor = rows * batch if form == "mse" else batch
    averaged = form in ("mse", "half mean") or (form in ("cross entropy", "binary") and rng.random() < 0.5)
    count = str(divisor) if averaged and divisor > 1 else ""
    if count and rng.random() < 0.3:
        count = net.give("n", count, (1, 1))
    axis = "" if batch == 1 else ", axis=all"
    text = _loss_text(rng, form, a, t, count, axis)
    net.add(Loss(name, (a,), (t,), form, count, text), (1, 1))


def _loss_text(rng: Rng, form: str, a: str, t: str, count: str, axis: str) -> str:
    squares = f"({a} - {t})**2{axis}" if rng.random() < 0.8 else f"({t} - {a})**2{axis}"
    match form:
        case "half":
            return f"1/2 * sum({squares})" if rng.random() < 0.8 else f"sum({squares}) / 2"
        case "squares":
            return f"sum({squares})"
        case "mse":
            return f"mean({squares})" if count.isdigit() and rng.random() < 0.6 else f"1/{count} * sum({squares})"
        case "half mean":
            return f"1/(2*{count}) * sum({squares})" if count else f"1/2 * sum({squares})"
        case "cross entropy":
            return f"-1/{count} * sum({t} * log({a}){axis})" if count else f"-sum({t} * log({a}){axis})"
        case "binary":
            inner = f"{t} * log({a}) + (1 - {t}) * log(1 - {a}){axis}"
            return f"-1/{count} * sum({inner})" if count else f"-sum({inner})"
    raise AssertionError(form)


# Neuron by neuron ---------------------------------------------------------------------------------------------------


def _neuron_by_neuron(rng: Rng) -> Network:
    net = Network(batch=1)
    depth = int(rng.integers(2, 4))
    widths = [int(w) for w in rng.integers(2, 4, size=depth + 1)]
    sources = [net.give(f"x_{k}", _decimal(rng), (1, 1)) for k in range(1, widths[0] + 1)]
    for number, width in enumerate(widths[1:], start=2):
        function = str(rng.choice((*COMMON, "sigmoid", "softplus")))
        outputs = []
        for j in range(1, width + 1):
            weights = [net.give(f"w{number}_{j}{k}", _decimal(rng), (1, 1)) for k in range(1, len(sources) + 1)]
            bias = net.give(f"b{number}_{j}", _decimal(rng), (1, 1))
            z = net.add(Neuron(f"z{number}_{j}", tuple(weights), tuple(sources), bias), (1, 1))
            outputs.append(net.add(Activation(f"a{number}_{j}", z, function), (1, 1)))
        sources = outputs
    targets = [net.give(f"t_{j}", _decimal(rng), (1, 1)) for j in range(1, len(sources) + 1)]
    squares = " + ".join(f"({a} - {t})**2" for a, t in zip(sources, targets, strict=True))
    net.add(Loss("L", tuple(sources), tuple(targets), "half", "", f"1/2 * ({squares})"), (1, 1))
    return net


# Numbers as they are written ----------------------------------------------------------------------------------------


def _random(rng: Rng, *shape: int) -> str:
    sizes = ", ".join(map(str, shape))
    return f"random({sizes})" if rng.random() < 0.4 else f"random({sizes}, seed={rng.integers(1, 1000)})"


def _numbers(rng: Rng, shape: Shape) -> str:
    if rng.random() < 0.5:
        return _random(rng, *(shape if shape[1] > 1 else shape[:1]))
    return _rows([[_decimal(rng) for _ in range(shape[1])] for _ in range(shape[0])])


def _target(rng: Rng, rows: int, batch: int, form: str) -> str:
    if form == "cross entropy":
        classes = rng.integers(rows, size=batch)
        return _rows([[str(int(k == row)) for k in classes] for row in range(rows)])
    if form == "binary":
        return _rows([[str(rng.integers(0, 2)) for _ in range(batch)] for _ in range(rows)])
    return _numbers(rng, (rows, batch))


def _zeros_and_ones(rng: Rng, rows: int) -> str:
    kept = rng.integers(0, 2, size=rows)
    kept[:2] = (1, 0)
    return _rows([[str(k)] for k in rng.permutation(kept)])


def _decimal(rng: Rng) -> str:
    value = int(rng.integers(1, 20)) * int(rng.choice([-1, 1]))
    return f"{value / 10:.1f}"


def _rows(rows: Sequence[Sequence[str]]) -> str:
    if len(rows[0]) == 1:
        return "[" + ", ".join(row[0] for row in rows) + "]"
    return "[" + ", ".join("[" + ", ".join(row) + "]" for row in rows) + "]"
