"""Normalisation is PyTorch's: values, derivatives of first and second order, running statistics, states, messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.compiler.trace import Tracer
from chainrule.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError

torch = pytest.importorskip("torch")
TF = torch.nn.functional

EPS = float(np.finfo(np.float64).eps)


def close(ours, theirs, roundings=4096):
    """Within so many roundings of the largest number; second derivatives divide three times by the deviation."""
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs, rtol=0, atol=roundings * EPS * float(np.abs(theirs).max(initial=1))
    )


def assert_alike(call, arrays, seed=0):
    """`call(library, functional, *leaves)`: values, gradients, and the gradients of <d, gradients>."""
    rng = np.random.default_rng(seed)
    found, c, directions = [], None, [rng.standard_normal(a.shape) for a in arrays]
    for library, functional in ((cr, F), (torch, TF)):
        given_ = [library.tensor(a, requires_grad=True) for a in arrays]
        y = call(functional, *given_)
        c = rng.standard_normal(tuple(y.shape)) if c is None else c
        cotangent = library.tensor(c, requires_grad=True)
        first = library.autograd.grad(y, given_, cotangent, create_graph=True)
        along = sum((g * library.tensor(d)).sum() for g, d in zip(first, directions, strict=True))
        second = library.autograd.grad(along, [*given_, cotangent], allow_unused=True)
        found.append([y, *first, *second])
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None) or not np.any(np.asarray((b if a is None else a).detach().numpy()))
        if a is not None and b is not None:
            close(a, b)


def arrays(seed, x, learnt, with_weight=True, with_bias=True):
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal(x),
        *[rng.standard_normal(learnt)] * with_weight,
        *[rng.standard_normal(learnt)] * with_bias,
    ]


def weight_and_bias(functional, learnt, with_weight, with_bias):
    """Those of the two that there are; PyTorch has no second derivative for a bias without a weight, so it gets ones."""
    given_ = list(learnt)
    weight = given_.pop(0) if with_weight else None
    bias = given_.pop(0) if with_bias else None
    if functional is TF and weight is None and bias is not None:
        weight = torch.ones(bias.shape, dtype=bias.dtype)
    return weight, bias


SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


@settings(max_examples=30)
@given(SIZES, SIZES, st.booleans(), st.booleans(), st.sampled_from([1e-5, 0.1]), st.integers(0, 99))
def test_layer_norm_and_its_derivatives_are_pytorchs(lead, sizes, with_weight, with_bias, eps, seed):
    def call(functional, x, *learnt):
        weight, bias = weight_and_bias(functional, learnt, with_weight, with_bias)
        return functional.layer_norm(x, sizes, weight, bias, eps)

    eps = 0.1 if np.prod(sizes) < 3 else eps  # of one or two numbers the variance may be 0, and 1e-5^-1.5 is 3e7
    assert_alike(call, arrays(seed, (*lead, *sizes), sizes, with_weight, with_bias), seed)


@settings(max_examples=20)
@given(SIZES, SIZES, st.booleans(), st.sampled_from([None, 0.1]), st.integers(0, 99))
def test_rms_norm_and_its_derivatives_are_pytorchs(lead, sizes, with_weight, eps, seed):
    eps = 0.1 if np.prod(sizes) < 3 else eps
    assert_alike(
        lambda f, x, *w: f.rms_norm(x, sizes, *w, eps=eps), arrays(seed, (*lead, *sizes), sizes, with_weight, False)
    )


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(1, 3), SIZES, st.booleans(), st.booleans(), st.integers(0, 99))
def test_group_norm_and_its_derivatives_are_pytorchs(groups, per_group, sizes, with_weight, with_bias, seed):
    def call(functional, x, *learnt):
        weight, bias = weight_and_bias(functional, learnt, with_weight, with_bias)
        return functional.group_norm(x, groups, weight, bias, 0.1)

    channels = groups * per_group
    assert_alike(call, arrays(seed, (2, channels, *sizes, 2), (channels,), with_weight, with_bias), seed)


@settings(max_examples=30)
@given(
    st.integers(2, 4), st.integers(1, 3), st.lists(st.integers(1, 3), max_size=2).map(tuple), st.booleans(), st.booleans(),
    st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_batch_norm_and_its_derivatives_are_pytorchs(n, channels, sizes, training, with_weight, with_bias, seed):
    rng = np.random.default_rng(seed)
    mean, var = rng.standard_normal(channels), rng.uniform(0.5, 2, channels)
    moved = []

    def call(functional, x, *learnt):
        library = cr if functional is F else torch
        running = library.tensor(mean), library.tensor(var)
        weight, bias = weight_and_bias(functional, learnt, with_weight, with_bias)
        y = functional.batch_norm(x, *running, weight, bias, training=training, momentum=0.3, eps=0.1)
        moved.append(running)
        return y

    assert_alike(call, arrays(seed, (n, channels, *sizes), (channels,), with_weight, with_bias), seed)
    for ours, theirs in zip(*moved, strict=True):
        close(ours, theirs)
        assert np.array_equal(ours.numpy(), mean) == (not training) or not np.array_equal(ours.numpy(), mean)


MODULES = [
    ("LayerNorm", (6,), {}, (2, 4, 6)), ("LayerNorm", ([4, 6],), {"eps": 0.01}, (2, 4, 6)),
    ("LayerNorm", (6,), {"bias": False}, (2, 6)), ("LayerNorm", (6,), {"elementwise_affine": False}, (6,)),
    ("RMSNorm", (6,), {}, (2, 4, 6)), ("RMSNorm", ((4, 6),), {"eps": 0.01, "elementwise_affine": False}, (2, 4, 6)),
    ("GroupNorm", (2, 4), {}, (3, 4)), ("GroupNorm", (4, 4), {"eps": 0.01, "affine": False}, (3, 4, 5, 2)),
    ("GroupNorm", (1, 4), {"bias": False}, (3, 4, 5)), ("BatchNorm1d", (4,), {}, (3, 4)),
    ("BatchNorm1d", (4,), {"momentum": None, "eps": 0.01}, (3, 4, 5)), ("BatchNorm2d", (4,), {}, (3, 4, 5, 2)),
    ("BatchNorm2d", (4,), {"affine": False}, (3, 4, 5, 2)), ("BatchNorm2d", (4,), {"bias": False}, (3, 4, 5, 2)),
    ("BatchNorm2d", (4,), {"track_running_stats": False, "momentum": 0.2}, (3, 4, 5, 2)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "sizes", "options", "shape"), MODULES, ids=[f"{n}{s}{o or ''}" for n, s, o, _ in MODULES]
)
def test_normalisation_modules_are_pytorchs_in_training_and_after(name, sizes, options, shape):
    ours, theirs = getattr(nn, name)(*sizes, **options).double(), getattr(torch.nn, name)(*sizes, **options).double()
    assert repr(ours) == repr(theirs)
    assert_same_state(ours, theirs)
    rng = np.random.default_rng(0)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        learnt = rng.standard_normal(p.shape)
        with cr.no_grad(), torch.no_grad():
            p.copy_(cr.tensor(learnt))
            q.copy_(torch.tensor(learnt))
    for training in (True, True, True, False, False):
        ours.train(training)
        theirs.train(training)
        x = rng.standard_normal(shape) * 2 + 1
        u, v = cr.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(u), theirs(v)
        close(y, z)
        (y * y * y).sum().backward()
        (z * z * z).sum().backward()
        close(u.grad, v.grad)
        assert_same_state(ours, theirs)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad)
    fresh = getattr(nn, name)(*sizes, **options).double()
    fresh.load_state_dict({k: cr.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    close(fresh.eval()(cr.tensor(x)), theirs(torch.tensor(x)))


def assert_same_state(ours, theirs):
    state, other = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(other)
    for a, b in zip(state.values(), other.values(), strict=True):
        assert str(a.dtype).split(".")[1] == str(b.dtype).split(".")[1]
        close(a, b)


def test_running_statistics_are_no_parameters_and_can_be_reset():
    layer = nn.BatchNorm2d(3)
    layer(cr.randn(4, 3, 2, 2))
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert [name for name, _ in layer.named_buffers()] == ["running_mean", "running_var", "num_batches_tracked"]
    assert layer.num_batches_tracked.item() == 1
    layer.reset_running_stats()
    assert layer.num_batches_tracked.item() == 0
    assert layer.running_mean.tolist() == [0, 0, 0]
    assert layer.running_var.tolist() == [1, 1, 1]


def test_statistics_that_move_after_a_call_in_eval_are_noticed_by_its_backward():
    layer = nn.BatchNorm1d(3).eval()
    y = layer(cr.randn(4, 3, requires_grad=True))
    layer.train()(cr.randn(4, 3))
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*written afterwards"):
        y.sum().backward()


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_recorder_sees_the_running_statistics_move(momentum):
    layer, x = nn.BatchNorm1d(3, momentum=momentum), cr.randn(4, 3)
    before = {name: b.numpy().copy() for name, b in layer.named_buffers()}
    tracer = Tracer("step")
    with tracer.active():
        layer(tracer.argument(x, x.value))
    written = [s.tensor for s in tracer.trace.states if s.written]
    assert {name for name, b in layer.named_buffers() if any(b is t for t in written)} == before.keys()
    for name, b in layer.named_buffers():
        assert np.array_equal(b.numpy(), before[name])  # recording itself moves nothing


@pytest.mark.parametrize("name", ["layer_norm", "batch_norm", "rms_norm"])
def test_rows_far_from_zero_lose_no_more_digits_than_their_size_says(name):
    """The variance is that of x - mean, not mean(x^2) - mean^2: at 1e4 +- 1 in float32 that would be noise."""
    x = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    x = x + np.float32(0 if name == "rms_norm" else 1e4)
    options = {"layer_norm": ((8,),), "rms_norm": ((8,),), "batch_norm": (None, None, None, None, True)}[name]
    y = getattr(F, name)(cr.tensor(x), *options).numpy()
    exact = getattr(TF, name)(torch.tensor(x.astype(np.float64)), *options).numpy()
    np.testing.assert_allclose(
        y, exact, rtol=0, atol=2e-2
    )  # 64 sums near 1e4 * 64 in float32 are exact to 64 * 0.03, their mean to 0.03


@pytest.mark.parametrize("shape", [(2, 0), (0, 3)])
def test_nothing_is_normalised_to_nothing(shape):
    x, w = cr.ones(shape, requires_grad=True), cr.ones(shape[1:], requires_grad=True)
    for y in (F.layer_norm(x, shape[1:], w), F.rms_norm(x, shape[1:], w)):
        assert y.shape == shape
        y.sum().backward()
        assert x.grad.shape == shape
        assert w.grad.tolist() == [0.0] * shape[1]


# ---- what is refused ---------------------------------------------------------------------------------------------


def ones(*shape):
    return cr.ones(shape)


REFUSED = [
    (lambda: F.layer_norm(ones(2, 3), (4,)), ShapeError, r"normalized_shape=\[4\], expected input with shape \[\*, 4\]"),
    (lambda: F.layer_norm(ones(2, 3), ()), ArgumentError, "at least 1-dimensional"),
    (lambda: F.layer_norm(ones(2, 3), (3,), ones(2)), ShapeError, "Expected weight to be of same shape"),
    (lambda: F.layer_norm(ones(2, 3), (3,), None, ones(2)), ShapeError, "Expected bias to be of same shape"),
    (lambda: F.layer_norm(ones(2, 3).long(), (3,)), DTypeError, "layer_norm takes floating-point"),
    (lambda: nn.LayerNorm(3)(ones(2, 3).double()), DTypeError, "layer_norm: expected one element type"),
    (lambda: F.rms_norm(ones(2, 3), (4,)), ShapeError, "rms_norm: Given normalized_shape"),
    (lambda: F.batch_norm(ones(1, 3), None, None, training=True), ArgumentError, r"more than 1 value per channel .*\(1, 3\)"),
    (lambda: F.batch_norm(ones(2, 3), None, None), ArgumentError, "running_mean must be defined in evaluation mode"),
    (lambda: F.batch_norm(ones(2, 3), ones(3), None), ArgumentError, "running_var must be defined"),
    (lambda: F.batch_norm(ones(2, 3), ones(2), ones(2)), ShapeError, "running_mean should contain 3 elements"),
    (lambda: F.batch_norm(ones(2, 3), None, None, ones(2), training=True), ShapeError, "weight should contain 3"),
    (lambda: F.batch_norm(ones(0, 3), ones(3), ones(3), training=True), ArgumentError, "a batch without elements"),
    (lambda: F.batch_norm(ones(3), ones(3), ones(3)), ShapeError, "at least 2 dimensions"),
    (lambda: nn.BatchNorm2d(3)(ones(2, 3)), ArgumentError, r"expected 4D input \(got 2D input\)"),
    (lambda: nn.BatchNorm1d(3)(ones(2, 3, 1, 1)), ArgumentError, r"expected 2D or 3D input \(got 4D input\)"),
    (lambda: nn.BatchNorm1d(3)(ones(2, 4)), ShapeError, "running_mean should contain 4 elements"),
    (lambda: F.group_norm(ones(2, 3), 2), ArgumentError, "divisible by num_groups"),
    (lambda: F.group_norm(ones(2, 4), 2, ones(3)), ShapeError, "weight should contain 4 elements"),
    (lambda: F.group_norm(ones(1, 4), 4), ArgumentError, "more than 1 value"),
    (lambda: F.group_norm(ones(4), 2), ShapeError, "at least 2 dimensions"),
    (lambda: nn.GroupNorm(2, 3), ArgumentError, r"num_channels \(3\) must be divisible by num_groups \(2\)"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[m for _, _, m in REFUSED])
def test_a_wrong_normalisation_is_refused_with_a_reason(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert isinstance(caught.value, RuntimeError | ValueError)  # what PyTorch raises


def test_a_normalized_shape_that_is_no_sequence_is_refused():
    with pytest.raises(ArgumentTypeError, match="argument 'normalized_shape' must be tuple of ints"):
        F.layer_norm(ones(2, 3), 3)
