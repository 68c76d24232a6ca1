"""Law: any small program of operators has PyTorch's value, gradient and Hessian-vector product."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.tensor.backward import grad

torch = pytest.importorskip("torch")

UNARY = {
    "sin": lambda m, a: a.sin(),
    "tanh": lambda m, a: a.tanh(),
    "sigmoid": lambda m, a: a.sigmoid(),
    "exp": lambda m, a: (a * 0.3).exp(),
    "square": lambda m, a: a * a,
    "neg": lambda m, a: -a,
    "root": lambda m, a: (a * a + 1).sqrt(),
    "log": lambda m, a: (a * a + 0.5).log(),
    "quotient": lambda m, a: 1.0 / (a * a + 1),
    "power": lambda m, a: a**3,
    "softmax": lambda m, a: a.softmax(-1),
    "log_softmax": lambda m, a: m.log_softmax(a, 0),
    "mean": lambda m, a: a - a.mean(1, keepdim=True),
    "sum": lambda m, a: a * a.sum(0),
    "max": lambda m, a: a * a.amax(1, keepdim=True),
    "std": lambda m, a: a / ((a + m.tensor(START[0])).std(0, keepdim=True) + 0.5),  # never 0, where its slope jumps
    "cumsum": lambda m, a: a.cumsum(1),
    "T": lambda m, a: (a.T @ a).sin()[:3, :3],
    "flip": lambda m, a: a.flip(0),
    "roll": lambda m, a: m.roll(a, 1, 1),
    "pick": lambda m, a: a[:, [2, 0, 0]],
    "cut": lambda m, a: m.cat([a[1:], a[:1] * 2.0], 0),
    "where": lambda m, a: m.where(a > 0.1, a, a * 0.25),
    "clamp": lambda m, a: a.clamp(-1.0, 1.5),
    "relu": lambda m, a: m.relu(a - 0.05) + a,
    "sort": lambda m, a: a.sort(1)[0],
    "tril": lambda m, a: a.tril() + a * 0.5,
    "logsumexp": lambda m, a: a - m.logsumexp(a, 1, keepdim=True),
    "norm": lambda m, a: a / (a.norm() + 1),
    "prod": lambda m, a: a * a.prod(1, keepdim=True),
    "erf": lambda m, a: m.erf(a),
    "reshape": lambda m, a: a.reshape(1, 9).expand(2, 9).sum(0).reshape(3, 3),
}
BINARY = {
    "add": lambda m, a, b: a + b,
    "mul": lambda m, a, b: a * b,
    "sub": lambda m, a, b: a - 2.0 * b,
    "div": lambda m, a, b: a / (b * b + 1),
    "matmul": lambda m, a, b: a @ b,
    "row": lambda m, a, b: a * b[0],
    "column": lambda m, a, b: a + b[:, 1:2],
    "einsum": lambda m, a, b: m.einsum("ij,kj->ik", a, b),
    "maximum": lambda m, a, b: m.maximum(a, b),
    "atan2": lambda m, a, b: m.atan2(a, b * b + 1),
    "lerp": lambda m, a, b: m.lerp(a, b, 0.3),
    "pow": lambda m, a, b: (a * a + 0.5) ** (b.tanh() + 0.013),  # at an exponent of 0 PyTorch loses d2y/da db
}
step = st.tuples(st.sampled_from([*UNARY, *BINARY]), st.integers(0, 9), st.integers(0, 9))
START = [
    np.array([[0.31, -0.62, 1.13], [0.84, 0.27, -0.45], [-1.21, 0.58, 0.09]]),
    np.linspace(-0.8, 1.1, 9).reshape(3, 3),
]


def outcome(lib: Any, grad: Any, program: list[tuple[str, int, int]]) -> list[Any]:
    xs = [lib.tensor(a, requires_grad=True) for a in START]
    tensors = list(xs)
    for name, i, j in program:
        a, b = tensors[i % len(tensors)], tensors[j % len(tensors)]
        made = UNARY[name](lib, a) if name in UNARY else BINARY[name](lib, a, b)
        tensors.append(made / (1 + made.detach().abs().max()))  # programs stay in range
    loss = sum([(t * t).sum() * 0.3**k for k, t in enumerate(reversed(tensors))])
    firsts = grad(loss, xs, create_graph=True)
    products = grad(sum([(g * lib.tensor(np.cos(np.arange(9.0)).reshape(3, 3))).sum() for g in firsts]), xs)
    return [loss.item(), *[g.detach().numpy() for g in (*firsts, *products)]]


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(step, min_size=1, max_size=7))
def test_programs_agree_with_pytorch_to_second_order(program: list[tuple[str, int, int]]) -> None:
    ours = outcome(cr, grad, program)
    theirs = outcome(torch, torch.autograd.grad, program)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, 1e-8, 1e-9)
