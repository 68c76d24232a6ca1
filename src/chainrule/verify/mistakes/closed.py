"""The short forms that several steps have together: (p - t) / n for softmax with cross entropy.

Nobody writes the product of the softmax's Jacobian with the derivative of the logarithm. Where the derivative of the
loss is a multiple of a difference of two quantities, on every draw, that difference is a right spelling as well, and
mistakes are made in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chainrule.ops.loss import cross_entropy
from chainrule.symbolic.evaluate import evaluate
from chainrule.symbolic.expression import Call, Expression, Number, Symbol, call, walk
from chainrule.symbolic.simplify import simplified
from chainrule.verify.mistakes.network import Network
from chainrule.verify.mistakes.pattern import Values, constant_ratio


def closed_form(network: Network, quantity: str, draws: Sequence[Values], tolerance: float) -> Expression | None:
    """c (p - t) where dL/dQUANTITY is that on every draw; None where no prediction and target give it."""
    symbol = network.program.symbols[quantity]
    derivative = network.derivation.named(quantity).name
    for p in _predictions(network, symbol):
        for t in _truths(network, symbol):
            pairs = [(values[derivative], evaluate(p - t, values)) for values in draws]
            number = constant_ratio(pairs, tolerance) if pairs[0][0].shape == pairs[0][1].shape else None
            if number is not None:
                return simplified(Number(number) * (p - t))
    return None


def _predictions(network: Network, z: Symbol) -> Iterator[Expression]:
    yield from (s for s in network.predictions.values() if s.shape == z.shape)
    yield from (s for s in network.outputs.values() if s.shape == z.shape and s.name not in network.predictions)
    yield call("sigmoid", z)
    if z.ndim:
        yield call("softmax", z, axis=-1)


def _truths(network: Network, z: Symbol) -> Iterator[Expression]:
    yield from (t for t in network.targets.values() if t.shape == z.shape)
    for statement in network.program.statements:
        for f in walk(statement.formula):
            if isinstance(f, Call) and f.op is cross_entropy and f.parts[0] == z:
                yield call("one_hot", f.parts[1], classes=z.shape[-1], dtype=z.dtype)
