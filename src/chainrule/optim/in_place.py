"""The catalogue's updates in place: what the optimisers run. A test binds each to its formula in `ops/update.py`.

Each function reads a gradient `g`, moves the state on (the arrays given by name, as in the formula) and writes
into `down` how far the parameter is to go down: the caller subtracts it. So parameters that lie apart in memory
share one call: their gradients are gathered, their state lies together, and the caller takes `down` apart again.
`g` and `down` are different arrays of one shape. Hyperparameters are Python floats.

A pass over 9,000 float32 takes 0.6-1.1 us, the root 2.7 us (one core of an AMD EPYC, family 26, NumPy 2.4), so
the algebra is arranged for few passes: constants meet in one factor, and Adam's two corrections cost none.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from chainrule.tensor.graph import Array

add, subtract, multiply, divide = np.add, np.subtract, np.multiply, np.divide
maximum, root = np.maximum, np.sqrt


def move_average(average: Array, new: Array, beta: float, scratch: Array) -> None:
    """average = beta average + (1 - beta) new; `scratch` may be `new`."""
    multiply(average, beta, average)
    multiply(new, 1 - beta, scratch)
    add(average, scratch, average)


def sgd(
    g: Array, down: Array, *, momentum_buffer: Array | None = None, starts: bool = False, lr: float,
    momentum: float | None = None, dampening: float | None = None, nesterov: bool = False,
) -> None:  # fmt: skip
    """down = lr b' with b' = mu b + (1 - d) g, b' = g where the buffer `starts`; Nesterov: lr (g + mu b')."""
    if momentum is None:
        multiply(g, lr, down)
        return
    b = momentum_buffer
    assert b is not None
    if starts:
        b[...] = g
    else:
        multiply(b, momentum, b)
        add(b, g if dampening is None else multiply(g, 1 - dampening, down), b)
    if nesterov:
        multiply(b, momentum, down)
        add(down, g, down)
        multiply(down, lr, down)
    else:
        multiply(b, lr, down)


def adam(
    g: Array, down: Array, *, exp_avg: Array, exp_avg_sq: Array, max_exp_avg_sq: Array | None = None, step: float,
    lr: float, beta1: float, beta2: float, eps: float,
) -> None:  # fmt: skip
    """down = lr mh / (sqrt(vh) + eps), as lr r2/c1 m' / (sqrt(v') + r2 eps) with c1 = 1 - b1^t, r2^2 = 1 - b2^t."""
    root_correction = sqrt(1 - beta2**step)
    move_average(exp_avg, g, beta1, down)
    multiply(g, g, down)
    move_average(exp_avg_sq, down, beta2, down)
    if max_exp_avg_sq is None:
        root(exp_avg_sq, down)
    else:
        root(maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq), down)
    add(down, root_correction * eps, down)
    divide(exp_avg, down, down)
    multiply(down, lr * root_correction / (1 - beta1**step), down)


def rmsprop(
    g: Array, down: Array, *, square_avg: Array, momentum_buffer: Array | None = None, grad_avg: Array | None = None,
    lr: float, alpha: float, eps: float, momentum: float | None = None,
) -> None:  # fmt: skip
    """down = lr g / (sqrt(v') + eps), centred by the square of `grad_avg`; momentum: down = lr b'."""
    multiply(g, g, down)
    move_average(square_avg, down, alpha, down)
    if grad_avg is None:
        root(square_avg, down)
    else:
        move_average(grad_avg, g, alpha, down)
        multiply(grad_avg, grad_avg, down)
        root(subtract(square_avg, down, down), down)
    add(down, eps, down)
    divide(g, down, down)
    if momentum is not None:
        assert momentum_buffer is not None
        multiply(momentum_buffer, momentum, momentum_buffer)
        multiply(add(momentum_buffer, down, momentum_buffer), lr, down)
    else:
        multiply(down, lr, down)


def adagrad(g: Array, down: Array, *, sum: Array, step: float, lr: float, lr_decay: float, eps: float) -> None:
    """down = lr / (1 + (t - 1) decay) g / (sqrt(s') + eps) with s' = s + g^2."""
    add(sum, multiply(g, g, down), sum)
    root(sum, down)
    add(down, eps, down)
    divide(g, down, down)
    multiply(down, lr / (1 + (step - 1) * lr_decay), down)


def adadelta(g: Array, down: Array, *, square_avg: Array, acc_delta: Array, lr: float, rho: float, eps: float) -> None:
    """down = lr d with d = sqrt((u + eps) / (v' + eps)) g, then u' = r u + (1 - r) d^2."""
    multiply(g, g, down)
    move_average(square_avg, down, rho, down)
    scratch = add(acc_delta, eps)  # the one update that needs a second temporary
    add(square_avg, eps, down)
    multiply(root(divide(scratch, down, down), down), g, down)
    multiply(down, down, scratch)
    move_average(acc_delta, scratch, rho, scratch)
    multiply(down, lr, down)
