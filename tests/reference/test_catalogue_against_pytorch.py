"""Every operator of the catalogue is what PyTorch computes under that name: values and gradients, kinks included."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.dtypes import DType
from chainrule.ops.catalogue import CATALOGUE
from chainrule.tensor.backward import grad
from chainrule.tensor.tensor import wrap

torch = pytest.importorskip("torch")
F = torch.nn.functional


sys.path.insert(0, str(Path(__file__).parent.parent / "catalogue"))
points = importlib.import_module("catalogue_points")

# ---- the table: each operator's inputs by position, its parameters by name ---------------------------------------


def same_name(name: str) -> Callable[..., Any]:
    return getattr(torch, name)  # type: ignore[no-any-return]


def over(reduce: Callable[..., Any]) -> Callable[..., Any]:
    """A reduction over `dim`: all axes for None."""

    def call(x: Any, axis: Any = None, keepdims: bool = False, **options: Any) -> Any:
        dim = tuple(range(x.ndim)) if axis is None else axis
        return reduce(x, dim=dim, keepdim=keepdims, **options)

    return call


def over_one(reduce: Callable[..., Any]) -> Callable[..., Any]:
    """A reduction over one `dim`, or over all elements without it."""

    def call(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return reduce(x) if axis is None else reduce(x, dim=axis, keepdim=keepdims)

    return call


def filled(key: tuple[Any, ...], indices: tuple[Any, ...]) -> tuple[Any, ...]:
    arrays = iter(indices)
    return tuple(next(arrays) if part is None else part for part in key)


def flat_places(key: tuple[Any, ...], indices: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """The places in a flat array that a key with slices (of either sign) and index arrays reads."""
    places = np.arange(math.prod(shape)).reshape(shape)
    return torch.from_numpy(np.ascontiguousarray(places[filled(key, tuple(i.numpy() for i in indices))]))


def take(x: Any, *indices: Any, key: tuple[Any, ...]) -> Any:
    return x.reshape(-1)[flat_places(key, indices, tuple(x.shape))]


def put_add(x: Any, *indices: Any, key: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    flat = torch.zeros(math.prod(shape), dtype=x.dtype)
    return flat.index_put((flat_places(key, indices, shape),), x, accumulate=True).reshape(shape)


def assign(x: Any, v: Any, *indices: Any, key: tuple[Any, ...]) -> Any:
    places = flat_places(key, indices, tuple(x.shape))
    return x.reshape(-1).index_put((places,), v.expand(places.shape)).reshape(x.shape)


def pad(x: Any, widths: Any, value: float = 0.0) -> Any:
    return F.pad(x, [n for before_after in reversed(widths) for n in before_after], value=value)


def cross_entropy_backward(g: Any, x: Any, target: Any, weight: Any, lse: Any, **options: Any) -> Any:
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(leaf, target, weight, **options), leaf, g)[0]


def norm(x: Any, p: float = 2.0, axis: Any = None, keepdims: bool = False) -> Any:
    return torch.linalg.vector_norm(x, p, dim=axis, keepdim=keepdims)


def in_steps(cell: Callable[[Any, Any], Any], x: Any, first: Any) -> list[Any]:
    """The state before the first and after each step."""
    states = [first]
    for step in x:
        states.append(cell(step, states[-1]))
    return states


def lstm(x: Any, h0: Any, c0: Any, w_hh: Any) -> Any:
    unit = torch.eye(x.shape[2], dtype=x.dtype)
    states = in_steps(lambda step, hc: torch.lstm_cell(step, hc, unit, w_hh), x, (h0, c0))
    return torch.stack([torch.stack([hc[k] for hc in states]) for k in (0, 1)])


def gru(x: Any, h0: Any, w_hh: Any, b_hh: Any = None) -> Any:
    unit, none = torch.eye(x.shape[2], dtype=x.dtype), torch.zeros(x.shape[2], dtype=x.dtype)
    b_hh = none if b_hh is None else b_hh
    return torch.stack(in_steps(lambda step, h: torch.gru_cell(step, h, unit, w_hh, none, b_hh), x, h0))


def rnn(x: Any, h0: Any, w_hh: Any, nonlinearity: str = "tanh") -> Any:
    unit = torch.eye(x.shape[2], dtype=x.dtype)
    cell = torch.rnn_relu_cell if nonlinearity == "relu" else torch.rnn_tanh_cell
    return torch.stack(in_steps(lambda step, h: cell(step, h, unit, w_hh), x, h0))


def attention_weights(query: Any, key: Any, attn_mask: Any = None, **options: Any) -> Any:
    every = torch.eye(key.shape[-2], dtype=key.dtype).expand(*key.shape[:-1], key.shape[-2])
    return F.scaled_dot_product_attention(query, key, every, attn_mask, **options)


def max_pool2d(x: Any, kernel: Any, **options: Any) -> Any:
    return F.max_pool2d(x, kernel, **options)


def max_pool2d_input(c: Any, x: Any, top: Any, kernel: Any, **options: Any) -> Any:
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad(F.max_pool2d(leaf, kernel, **options), leaf, c, create_graph=True)[0]


def avg_pool2d_input(c: Any, size: Any, kernel: Any, **options: Any) -> Any:
    leaf = torch.zeros(*c.shape[:2], *size, dtype=c.dtype, requires_grad=True)
    return torch.autograd.grad(F.avg_pool2d(leaf, kernel, **options), leaf, c, create_graph=True)[0]


def losses(name: str) -> Callable[..., Any]:
    loss = getattr(F, name)
    return lambda x, target, **options: loss(x, target, **options)


SAME_NAME = """
    sigmoid relu add sub mul div remainder pow neg square reciprocal sqrt rsqrt exp expm1 log log1p
    log2 log10 abs sign floor ceil round trunc sin cos tan asin acos atan atan2 sinh cosh tanh erf maximum minimum
    clamp where lerp eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or
    bitwise_xor bitwise_not isnan isinf isfinite matmul clone tril triu
"""

PYTORCH: dict[str, Callable[..., Any]] = {
    **{name: same_name(name) for name in SAME_NAME.split()},
    "floor_divide": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "logsigmoid": F.logsigmoid,
    "hardtanh": F.hardtanh,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "prelu": lambda x, weight: torch.where(x > 0, x, weight * x) if weight.numel() > 1 else F.prelu(x, weight),
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "softplus": F.softplus,
    "mish": F.mish,
    "softsign": F.softsign,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "softmax": lambda x, axis=-1: torch.softmax(x, axis),
    "log_softmax": lambda x, axis=-1: torch.log_softmax(x, axis),
    "cast": lambda x, dtype: x.to(dtype),
    "linear": F.linear,
    "einsum": lambda *operands, spec: torch.einsum(spec, *operands),
    "conv2d": F.conv2d,
    "conv2d_input": lambda c, weight, size, groups=1, **options: torch.nn.grad.conv2d_input(
        (c.shape[0], weight.shape[1] * groups, *size), weight, c, groups=groups, **options
    ),
    "conv2d_weight": lambda c, x, size, groups=1, **options: torch.nn.grad.conv2d_weight(
        x, (c.shape[1], x.shape[1] // groups, *size), c, groups=groups, **options
    ),
    "max_pool2d": max_pool2d,
    "max_pool2d_input": max_pool2d_input,
    "avg_pool2d": lambda x, kernel, **options: F.avg_pool2d(x, kernel, **options),
    "avg_pool2d_input": avg_pool2d_input,
    "layer_norm": lambda x, weight=None, bias=None, axes=1, eps=1e-5: F.layer_norm(
        x, x.shape[-axes:], weight, bias, eps
    ),
    "rms_norm": lambda x, weight=None, axes=1, eps=1e-5: F.rms_norm(x, x.shape[-axes:], weight, eps),
    "batch_norm": lambda x, weight=None, bias=None, eps=1e-5: F.batch_norm(x, None, None, weight, bias, True, 0.1, eps),
    "batch_norm_inference": F.batch_norm,
    "mse_loss": losses("mse_loss"),
    "l1_loss": losses("l1_loss"),
    "huber_loss": losses("huber_loss"),
    "smooth_l1_loss": losses("smooth_l1_loss"),
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": lambda x, target, weight=None, pos_weight=None, reduction="mean": (
        F.binary_cross_entropy_with_logits(x, target, weight, pos_weight=pos_weight, reduction=reduction)
    ),
    "kl_div": losses("kl_div"),
    "nll_loss": F.nll_loss,
    "cross_entropy": F.cross_entropy,
    "cross_entropy_backward": cross_entropy_backward,
    "cross_entropy_of_probabilities": F.cross_entropy,
    "reshape": lambda x, shape: x.reshape(shape),
    "permute": lambda x, order: x.permute(order),
    "mT": lambda x: x.mT,
    "broadcast_to": lambda x, shape: x.broadcast_to(shape),
    "slice": take,
    "embed": put_add,
    "flip": lambda x, axes: x.flip(axes),
    "roll": lambda x, shift, axis: x.roll(shift, axis),
    "pad": pad,
    "cat": lambda *xs, axis=0: torch.cat(xs, axis),
    "zeros": lambda shape, dtype: torch.zeros(shape, dtype=dtype),
    "eye": lambda size, dtype: torch.eye(size, dtype=dtype),
    "sum": over(torch.sum),
    "mean": over(torch.mean),
    "prod": over_one(torch.prod),
    "amax": over(torch.amax),
    "amin": over(torch.amin),
    "var": over(torch.var),
    "std": over(torch.std),
    "logsumexp": over(torch.logsumexp),
    "norm": norm,
    "any": over_one(torch.any),
    "all": over_one(torch.all),
    "argmax": over_one(torch.argmax),
    "argmin": over_one(torch.argmin),
    "cumsum": lambda x, axis: torch.cumsum(x, axis),
    "cumprod": lambda x, axis: torch.cumprod(x, axis),
    "take": take,
    "put_add": put_add,
    "assign": assign,
    "gather": lambda x, index, axis: torch.gather(x, axis, index),
    "put_along": lambda x, index, axis, shape: torch.zeros(shape, dtype=x.dtype).scatter_add(axis, index, x),
    "scatter": lambda x, index, src, axis: torch.scatter(x, axis, index, src),
    "scatter_add": lambda x, index, src, axis: torch.scatter_add(x, axis, index, src),
    "argsort": lambda x, axis=-1, descending=False: torch.argsort(x, dim=axis, descending=descending, stable=True),
    "embedding": lambda weight, index, padding_idx=None: F.embedding(index, weight, padding_idx),
    "lstm": lstm,
    "gru": gru,
    "rnn": rnn,
    "attention_weights": attention_weights,
    "scaled_dot_product_attention": F.scaled_dot_product_attention,
    "one_hot": lambda index, classes, dtype: F.one_hot(index, classes).to(dtype),
}
"""The PyTorch expression for each operator."""

ELSEWHERE = {
    "uniform": "PyTorch has another generator",
    "standard_normal": "PyTorch has another generator",
    "random_integers": "PyTorch has another generator",
    "dropout": "PyTorch has another generator",
    "sgd": "tests/reference/test_optim_against_torch.py",
    "adam": "tests/reference/test_optim_against_torch.py",
    "adamw": "tests/reference/test_optim_against_torch.py",
    "rmsprop": "tests/reference/test_optim_against_torch.py",
    "adagrad": "tests/reference/test_optim_against_torch.py",
    "adadelta": "tests/reference/test_optim_against_torch.py",
}
"""Operators without a PyTorch expression here, and why."""


def test_every_operator_is_in_the_table_or_has_a_reason() -> None:
    assert PYTORCH.keys() | ELSEWHERE.keys() == CATALOGUE.keys()
    assert not PYTORCH.keys() & ELSEWHERE.keys()


# ---- values and gradients ----------------------------------------------------------------------------------------

POINTS = [p for p in points.all_points("typical", "kink", "extreme") if p.op.name in PYTORCH]

OTHERWISE = {
    "softsign-extreme-1-float32": "PyTorch's slope of x = inf is nan, ours is 0",
    "hardsigmoid-typical-1-float64": "PyTorch multiplies by 1/6 in float32, also for float64",
    "binary_cross_entropy-kink-1-float64": "PyTorch's target gradient is infinite where its loss is clamped",
    "binary_cross_entropy-kink-1-float32": "PyTorch's target gradient is infinite where its loss is clamped",
    "kl_div-kink-1-float64": "PyTorch's target gradient is nan at a target of 0, ours 0",
    "kl_div-kink-1-float32": "PyTorch's target gradient is nan at a target of 0, ours 0",
}
"""Points where our gradient differs from PyTorch's, and why. The values agree."""

EXPONENTS = {"cross_entropy-extreme-1": 800, "logsumexp-extreme-1": 800}
"""Points where exp(x - log sum exp) inherits the rounding of an exponent of this size."""


def pytorch_params(point: Any) -> dict[str, Any]:
    return {k: getattr(torch, v.name) if isinstance(v, DType) else v for k, v in point.case.params.items()}


def in_pytorch(point: Any, inputs: list[Any], places: list[int]) -> tuple[Any, list[Any]]:
    given = [torch.tensor(x) if isinstance(x, np.ndarray) else x for x in inputs]
    for i in places:
        given[i].requires_grad_()
    return PYTORCH[point.op.name](*given, **pytorch_params(point)), [given[i] for i in places]


def assert_equal(got: np.ndarray[Any, Any], wanted: Any, roundings: int) -> None:
    """Within so many roundings of the largest number, which counts as 1 at least."""
    wanted = wanted.detach().numpy()
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    if got.dtype.kind != "f":
        assert np.array_equal(got, wanted)
        return
    largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=1)
    eps = np.finfo(got.dtype).eps
    np.testing.assert_allclose(got, wanted, rtol=roundings * eps, atol=roundings * eps * float(largest))


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("point", POINTS, ids=[p.id for p in POINTS])
def test_values_and_gradients_are_pytorchs(point: Any, dtype: Any) -> None:
    inputs, places = point.inputs(dtype), point.differentiable(dtype)
    theirs, their_inputs = in_pytorch(point, inputs, places)
    ours = points.tensors(inputs, places)
    y = points.call(point.op, ours, point.params)
    assert_equal(y.value, theirs, 16)
    if not places or y.value.dtype.kind != "f":
        return
    c = point.random().uniform(0.5, 1.5, y.value.shape).astype(y.value.dtype)
    expected = torch.autograd.grad(theirs, their_inputs, torch.tensor(c))
    gradients = [g.value for g in grad(y, [ours[i] for i in places], wrap(c, None))]
    if f"{point.id}-{np.dtype(dtype).name}" in OTHERWISE:
        assert not all(np.allclose(g, e.numpy(), rtol=1e-9, atol=0) for g, e in zip(gradients, expected, strict=True))
        return
    for g, e in zip(gradients, expected, strict=True):
        assert_equal(g, e, 16 * EXPONENTS.get(point.id, 1))
