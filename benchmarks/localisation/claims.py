"""The right claims of a network: for every name, what its derivative is in terms of those above it, by the textbook.

One formula for each kind of step and each of its inputs, written by hand; several uses of one name add up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from localisation.networks import Activation, Affine, Loss, Network, Neuron, Product, Rng, Skip, Step, forward_text
from localisation.pieces import Piece, call, matmul, negative, over, plus, times, turned, word
from localisation.slopes import draw_slope

Upstream = Callable[[str], Piece]  # the derivative by a name: its symbol, or its formula put in place


def claimable(net: Network) -> list[str]:
    """The names that a derivation may differentiate by, from the loss backwards."""
    names: list[str] = []
    for step in reversed(net.steps):
        for name in reversed(inputs(step)):
            if name not in names and name not in net.loss.targets:
                names.append(name)
    return names


def inputs(step: Step) -> list[str]:
    """The names that a step reads, the value that flows through it last."""
    match step:
        case Affine():
            return [*([step.bias] if step.bias else []), step.weight, step.source]
        case Neuron():
            return [step.bias, *step.weights, *step.sources]
        case Activation():
            return [step.source]
        case Product():
            return [*([step.factor] if step.role == "gain" else []), step.source]
        case Skip():
            return [step.left, step.right]
        case Loss():
            return list(step.outputs)


def right_formula(rng: Rng, net: Network, name: str, upstream: Upstream) -> Piece:
    """The derivative of the loss by `name`: one term for every step that reads it, as the textbook writes them."""
    fused = _loss_and_last_activation(rng, net, name)
    if fused is not None:
        return fused
    terms = [term for step in reversed(net.steps) for term in _terms(rng, net, step, name, upstream)]
    neurons = len(terms) > 1 and all(isinstance(s, Neuron) for s in net.steps if name in inputs(s))
    return plus(*terms, role="neurons" if neurons else "paths") if len(terms) > 1 else terms[0]


def _terms(rng: Rng, net: Network, step: Step, name: str, upstream: Upstream) -> list[Piece]:
    if name not in inputs(step):
        return []
    above = partial(upstream, step.out)
    batch_sum = partial(_summed_over_the_batch, net)
    match step:
        case Affine() if name == step.bias:
            return [batch_sum(above(), "batch sum")]
        case Affine() if name == step.weight:
            return [matmul(above(), turned(word(step.source, "previous")))]
        case Affine():
            return [matmul(turned(word(step.weight, "weight")), above(), role="through the weights")]
        case Neuron() if name == step.bias:
            return [above()]
        case Neuron() if name in step.weights:
            return [times(above(), word(step.sources[step.weights.index(name)], "previous"))]
        case Neuron():
            return [times(word(step.weights[step.sources.index(name)], "weight"), above())]
        case Activation(function="linear"):
            return [above()]
        case Activation(function="softmax"):
            return [_through_softmax(rng, net, step, above)]
        case Activation():
            before = next(forward_text(s) for s in net.steps if s.out == step.source)
            return [times(above(), draw_slope(rng, step.function, step.source, step.out, before))]
        case Product(role="gain") if name == step.factor:
            return [batch_sum(times(above(), word(step.source, "previous")), "broadcast sum")]
        case Product():
            role = {"mask": "mask", "gain": "gain", "coefficient": "factor"}[step.role]
            return [times(above(), word(step.factor, role))]
        case Skip():
            return [above()]
        case Loss():
            return [_loss_gradient(rng, step, name)]


def _summed_over_the_batch(net: Network, piece: Piece, role: str) -> Piece:
    return call("sum", piece, options="axis=1", role=role) if net.batch > 1 else piece


def _through_softmax(rng: Rng, net: Network, step: Activation, above: Callable[[], Piece]) -> Piece:
    """J^T g for a = softmax(z): a * (g - sum(g * a)), or with the Jacobian diag(a) - a a^T written out."""
    a, g = word(step.out), above()
    role = ("softmax", step.out)
    style = rng.integers(4 if net.batch == 1 else 2)
    if style == 0:
        inner = call("sum", times(g, a), role="softmax sum")
        return times(a, plus(g, negative(inner))).playing(*role)
    if style == 1:
        inner = call("sum", times(a, g), role="softmax sum")
        return plus(times(a, g), negative(times(a, inner))).playing(*role)
    square = call("outer", a, a) if style == 2 else matmul(a, turned(a))
    return matmul(plus(call("diag", a), negative(square)), g).playing(*role)


def _difference(rng: Rng, loss: Loss, name: str) -> Piece:
    a, t = word(name, "output"), word(loss.targets[loss.outputs.index(name)], "target")
    return plus(a, negative(t), role="difference") if rng.random() < 0.85 else negative(plus(t, negative(a)))


def _scaled(rng: Rng, coefficient: str, piece: Piece) -> Piece:
    if not coefficient:
        return piece
    top, _, bottom = coefficient.partition("/")
    if top == "1" and bottom and rng.random() < 0.4:
        return over(piece, word(bottom, "coefficient"))
    return times(word(coefficient, "coefficient"), piece)


def _coefficient(loss: Loss) -> str:
    top = "2" if loss.form in ("squares", "mse") else "1"
    return f"{top}/{loss.count}" if loss.count else ("2" if top == "2" else "")


def _loss_gradient(rng: Rng, loss: Loss, name: str) -> Piece:
    """dL/da: c (a - t) for squares, -c t/a for the cross entropy, c (a - t) / (a (1 - a)) for two classes."""
    a, t = word(name, "logged"), word(loss.targets[loss.outputs.index(name)], "target")
    rest = plus(word("1"), negative(a)).playing("logged")
    match loss.form:
        case "cross entropy":
            return _scaled(rng, _coefficient(loss), negative(over(t, a, role="log")))
        case "binary":
            if rng.random() < 0.5:
                bottom = times(a, plus(word("1"), negative(a)))
                return _scaled(rng, _coefficient(loss), over(_difference(rng, loss, name), bottom))
            others = over(plus(word("1"), negative(t)), rest, role="log")
            return _scaled(rng, _coefficient(loss), plus(negative(over(t, a, role="log")), others))
    return _scaled(rng, _coefficient(loss), _difference(rng, loss, name))


def _loss_and_last_activation(rng: Rng, net: Network, name: str) -> Piece | None:
    """dL/dz = c (a - t) of softmax with cross entropy, and of sigmoid with its own: the famous shortcut, half the time.

    For softmax it holds because every column of t sums to 1; with the sum written out it holds for every t.
    """
    last = net.steps[-2]
    if not isinstance(last, Activation) or last.source != name or rng.random() < 0.5:
        return None
    pair = (last.function, net.loss.form)
    if pair not in (("softmax", "cross entropy"), ("sigmoid", "binary")):
        return None
    difference = _difference(rng, net.loss, last.out)
    if pair[0] == "softmax" and rng.random() < 0.15:
        t = word(net.loss.targets[0], "target")
        difference = plus(times(word(last.out, "output"), call("sum", t)), negative(t))
    coefficient = _coefficient(net.loss)
    return _scaled(rng, coefficient, difference).playing("fused", pair[0], last.out, net.loss.targets[0], coefficient)
