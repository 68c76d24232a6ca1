"""Optimiser updates: one step of a parameter along its gradient, as the papers state it.

Inputs are the parameter `p`, its gradient `g`, the state and the hyperparameters: those are inputs because
schedulers change them between steps. The result is a tuple: the new parameter, then the new state. Nothing
here is differentiated. An optional input says what the algorithm has: None for `weight_decay` means no decay,
None for a part of the state means that this variant does not keep it. `maximize` climbs instead of descending.

The optimisers run these formulas in place (`optim/in_place.py`); a test binds the two.
"""

from __future__ import annotations

from chainrule.ops.kinds import update
from chainrule.ops.maths import Maths, Value
from chainrule.ops.op import Op
from chainrule.shapes import Shape


def downhill(p: Value, g: Value, weight_decay: Value, maximize: bool) -> Value:
    """The gradient of what is minimised: of the negative objective if it is maximised, plus the L2 penalty's."""
    g = -g if maximize else g
    return g if weight_decay is None else g + weight_decay * p


def average(old: Value, new: Value, beta: Value) -> Value:
    """beta old + (1 - beta) new, the exponential moving average."""
    return beta * old + (1 - beta) * new


def bias_correction(m: Maths, beta: Value, step: Value, p: Value) -> Value:
    """1 - beta^t, the weight that an average started at zero has collected after t steps.

    Cast to the element type of `p` at the end only: in float32, 1 - 0.999 has lost four digits.
    """
    return m.cast(1 - m.pow(beta, step), dtype=p.dtype)


@update(takes="float", promotes=("p", "g", "momentum_buffer"), source="Polyak 1964; Sutskever et al. 2013")
def sgd(
    m: Maths, p: Value, g: Value, lr: Value, momentum: Value = None, dampening: Value = None,
    weight_decay: Value = None, momentum_buffer: Value = None, *, nesterov: bool = False, maximize: bool = False,
) -> tuple[Value, ...]:  # fmt: skip
    """b' = mu b + (1 - d) g, p' = p - lr b'; at the first step b' = g. Nesterov: p' = p - lr (g + mu b')."""
    g = downhill(p, g, weight_decay, maximize)
    if momentum is None:
        return (p - lr * g,)
    b = g
    if momentum_buffer is not None:
        b = momentum * momentum_buffer + (g if dampening is None else (1 - dampening) * g)
    return p - lr * (g + momentum * b if nesterov else b), b


def adam_step(
    m: Maths, p: Value, g: Value, exp_avg: Value, exp_avg_sq: Value, step: Value, lr: Value, beta1: Value,
    beta2: Value, eps: Value, max_exp_avg_sq: Value,
) -> tuple[Value, ...]:  # fmt: skip
    """How far Adam goes down, and its new moments."""
    moment = average(exp_avg, g, beta1)
    second = average(exp_avg_sq, g * g, beta2)
    largest = second if max_exp_avg_sq is None else m.maximum(max_exp_avg_sq, second)
    mean = moment / bias_correction(m, beta1, step, p)
    mean_square = largest / bias_correction(m, beta2, step, p)
    down = lr * mean / (m.sqrt(mean_square) + eps)
    return (down, moment, second) if max_exp_avg_sq is None else (down, moment, second, largest)


MOMENTS = ("p", "g", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")


@update(takes="float", promotes=MOMENTS, source="Kingma and Ba 2015, algorithm 1; Reddi et al. 2018, algorithm 2")
def adam(
    m: Maths, p: Value, g: Value, exp_avg: Value, exp_avg_sq: Value, step: Value, lr: Value, beta1: Value,
    beta2: Value, eps: Value, weight_decay: Value = None, max_exp_avg_sq: Value = None, *, maximize: bool = False,
) -> tuple[Value, ...]:  # fmt: skip
    """m' = b1 m + (1 - b1) g, v' = b2 v + (1 - b2) g^2, p' = p - lr mh / (sqrt(vh) + eps) at step t = 1, 2, ...

    mh = m' / (1 - b1^t) and vh = v' / (1 - b2^t); AMSGrad (with `max_exp_avg_sq`) takes the largest v' so far.
    """
    g = downhill(p, g, weight_decay, maximize)
    down, *moments = adam_step(m, p, g, exp_avg, exp_avg_sq, step, lr, beta1, beta2, eps, max_exp_avg_sq)
    return p - down, *moments


@update(takes="float", promotes=MOMENTS, source="Loshchilov and Hutter 2019, algorithm 2")
def adamw(
    m: Maths, p: Value, g: Value, exp_avg: Value, exp_avg_sq: Value, step: Value, lr: Value, beta1: Value,
    beta2: Value, eps: Value, weight_decay: Value = None, max_exp_avg_sq: Value = None, *, maximize: bool = False,
) -> tuple[Value, ...]:  # fmt: skip
    """Adam with the decay beside the gradient instead of in it: p' = (1 - lr wd) p - lr mh / (sqrt(vh) + eps)."""
    g = downhill(p, g, None, maximize)
    down, *moments = adam_step(m, p, g, exp_avg, exp_avg_sq, step, lr, beta1, beta2, eps, max_exp_avg_sq)
    shrunk = p if weight_decay is None else p * (1 - lr * weight_decay)
    return shrunk - down, *moments


@update(
    takes="float", promotes=("p", "g", "square_avg", "momentum_buffer", "grad_avg"),
    source="Tieleman and Hinton 2012, lecture 6.5; Graves 2013, eq. 38-45",
)  # fmt: skip
def rmsprop(
    m: Maths, p: Value, g: Value, square_avg: Value, lr: Value, alpha: Value, eps: Value, momentum: Value = None,
    weight_decay: Value = None, momentum_buffer: Value = None, grad_avg: Value = None, *, maximize: bool = False,
) -> tuple[Value, ...]:  # fmt: skip
    """v' = a v + (1 - a) g^2, p' = p - lr g / (sqrt(v') + eps); momentum: b' = mu b + g / (...), p' = p - lr b'.

    Centred (with `grad_avg`): the root is of the variance v' - a'^2, with a' the moving average of g.
    """
    g = downhill(p, g, weight_decay, maximize)
    second = average(square_avg, g * g, alpha)
    mean = None if grad_avg is None else average(grad_avg, g, alpha)
    down = g / (m.sqrt(second if mean is None else second - mean * mean) + eps)
    buffer = None if momentum is None else momentum * momentum_buffer + down
    state = [s for s in (buffer, mean) if s is not None]
    return p - lr * (down if buffer is None else buffer), second, *state


@update(takes="float", promotes=("p", "g", "sum"), source="Duchi et al. 2011, figure 1")
def adagrad(
    m: Maths, p: Value, g: Value, sum: Value, step: Value, lr: Value, lr_decay: Value, eps: Value,
    weight_decay: Value = None, *, maximize: bool = False,
) -> tuple[Value, ...]:  # fmt: skip
    """s' = s + g^2, p' = p - lr / (1 + (t - 1) decay) g / (sqrt(s') + eps) at step t = 1, 2, ..."""
    g = downhill(p, g, weight_decay, maximize)
    squares = sum + g * g
    return p - lr / (1 + (step - 1) * lr_decay) * g / (m.sqrt(squares) + eps), squares


@update(takes="float", promotes=("p", "g", "square_avg", "acc_delta"), source="Zeiler 2012, algorithm 1")
def adadelta(
    m: Maths, p: Value, g: Value, square_avg: Value, acc_delta: Value, lr: Value, rho: Value, eps: Value,
    weight_decay: Value = None, *, maximize: bool = False,
) -> tuple[Value, ...]:  # fmt: skip
    """v' = r v + (1 - r) g^2, d = sqrt(u + eps) / sqrt(v' + eps) g, u' = r u + (1 - r) d^2, p' = p - lr d."""
    g = downhill(p, g, weight_decay, maximize)
    second = average(square_avg, g * g, rho)
    delta = m.sqrt(acc_delta + eps) / m.sqrt(second + eps) * g
    return p - lr * delta, second, average(acc_delta, delta * delta, rho)


def shape_of_the_parameter(p: Shape, *_: Shape | None, **__: object) -> Shape:
    """The new parameter has the shape of the old one, and so has every part of the state."""
    return p


UPDATES: tuple[Op, ...] = (sgd, adam, adamw, rmsprop, adagrad, adadelta)
for op in UPDATES:
    op.shape(shape_of_the_parameter)

P, G, M, V = [[0.5, -1.0, 2.0]], [[0.25, -3.0, 0.0]], [[0.1, -0.2, 0.3]], [[0.01, 0.5, 0.25]]
ADAM = (P, G, M, V, 3, 1e-3, 0.9, 0.999, 1e-8)
sgd.cases(
    (P, G, 0.1), (P, G, 0.1, 0.9), (P, G, 0.1, 0.9, 0.5, 0.01, M), (P, G, 0.1, 0.9, None, 0.01, M, {"nesterov": True})
)
for op in (adam, adamw):
    op.cases(ADAM, (*ADAM, 0.01), (*ADAM, 0.01, V), (*ADAM, {"maximize": True}))
rmsprop.cases((P, G, V, 1e-2, 0.99, 1e-8), (P, G, V, 1e-2, 0.99, 1e-8, 0.9, 0.01, M, M))
adagrad.cases((P, G, V, 3, 1e-2, 0.1, 1e-10), (P, G, V, 3, 1e-2, 0.1, 1e-10, 0.01))
adadelta.cases((P, G, V, V, 1.0, 0.9, 1e-6), (P, G, V, V, 1.0, 0.9, 1e-6, 0.01))
