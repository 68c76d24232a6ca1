"""Pooling is PyTorch's: values, derivatives of first and second order, ties, nan, modules, messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import ArgumentError, DTypeError, ShapeError, UnsupportedError

torch = pytest.importorskip("torch")
TF = torch.nn.functional

EPS = float(np.finfo(np.float64).eps)


def close(ours, theirs, roundings=64):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs, rtol=0, atol=roundings * EPS * float(np.abs(theirs).max(initial=1))
    )


@st.composite
def poolings(draw):
    """The shape of x and options under which at least one window fits."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 3)))
    size = tuple(k + draw(st.integers(0, 5)) for k in kernel)
    options = {
        "kernel_size": kernel,
        "stride": draw(st.none() | st.integers(1, 4) | st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "padding": tuple(draw(st.integers(0, k // 2)) for k in kernel),
        "ceil_mode": draw(st.booleans()),
    }
    return (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *size), options


def assert_alike(name, x, options, seed):
    """Values, gradients, and the gradient of the gradient by its cotangent."""
    pooled = []
    rng = np.random.default_rng(seed)
    c = None
    for library, function in ((cr, getattr(F, name)), (torch, getattr(TF, name))):
        u = library.tensor(x, requires_grad=True)
        y = function(u, **options)
        c = rng.standard_normal(tuple(y.shape)) if c is None else c
        cotangent = library.tensor(c, requires_grad=True)
        (g,) = library.autograd.grad(y, u, cotangent, create_graph=True)
        (h,) = library.autograd.grad((g * library.tensor(x)).sum(), cotangent)
        pooled.append((y, g, h))
    for a, b in zip(*pooled, strict=True):
        close(a, b)


@settings(max_examples=80)
@given(poolings(), st.tuples(st.integers(1, 2), st.integers(1, 2)), st.booleans(), st.integers(0, 99))
def test_max_pool2d_is_pytorchs_for_all_parameters_and_for_ties(pooling, dilation, with_ties, seed):
    shape, options = pooling
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, options["kernel_size"], strict=True)]
    shape = (*shape[:2], *[max(n, r) for n, r in zip(shape[2:], reach, strict=True)])
    x = np.random.default_rng(seed).standard_normal(shape)
    assert_alike("max_pool2d", np.round(x) if with_ties else x, {**options, "dilation": dilation}, seed)


@settings(max_examples=80)
@given(poolings(), st.booleans(), st.sampled_from([None, None, 1, 7, -2]), st.integers(0, 99))
def test_avg_pool2d_is_pytorchs_for_all_parameters(pooling, count_include_pad, divisor, seed):
    shape, options = pooling
    x = np.random.default_rng(seed).standard_normal(shape)
    more = {"count_include_pad": count_include_pad, "divisor_override": divisor}
    assert_alike("avg_pool2d", x, {**options, **more}, seed)


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.none() | st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_adaptive_avg_pool2d_is_pytorchs_for_all_sizes(height, width, down, across, seed):
    x = np.random.default_rng(seed).standard_normal((2, 3, height, width))
    assert_alike("adaptive_avg_pool2d", x, {"output_size": (down, across)}, seed)


def test_a_sample_without_a_batch_is_pooled_as_a_batch_of_one():
    x = np.random.default_rng(0).standard_normal((3, 6, 4))
    for name, options in (("max_pool2d", (2,)), ("avg_pool2d", (2, 1)), ("adaptive_avg_pool2d", (1,))):
        close(getattr(F, name)(cr.tensor(x), *options), getattr(TF, name)(torch.tensor(x), *options))


def test_nan_is_the_largest_number_and_minus_infinity_the_smallest():
    x = np.array([[[[np.nan, 1.0, -np.inf, -np.inf], [2.0, 3.0, -np.inf, -np.inf]]]])
    y = F.max_pool2d(cr.tensor(x), 2)
    assert np.array_equal(y.numpy(), TF.max_pool2d(torch.tensor(x), 2).numpy(), equal_nan=True)
    u = cr.tensor(x, requires_grad=True)
    F.max_pool2d(u, 2).backward(cr.ones(1, 1, 1, 2).double())
    assert u.grad.tolist() == [[[[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]]


@pytest.mark.parametrize("options", [{"stride": 2}, {"stride": 1, "padding": 1}])
def test_an_infinite_cotangent_reaches_the_maximum_alone(options):
    x = cr.tensor([[[[1.0, 4.0, 2.0], [3.0, 0.0, 1.0]]]], requires_grad=True)
    y = F.max_pool2d(x, 2, **options)
    y.backward(cr.full(tuple(y.shape), float("inf")))
    assert not np.isnan(x.grad.numpy()).any()
    assert x.grad[0, 0, 0, 1].item() == float("inf")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_means_of_many_small_numbers_are_exact_to_rounding(dtype):
    x = np.full((1, 1, 60, 60), 1.5, dtype)
    assert F.avg_pool2d(cr.tensor(x), 60).item() == 1.5


MODULES = [
    ("MaxPool2d", (2,), {}), ("MaxPool2d", ((3, 2),), {"stride": (1, 2), "padding": (1, 0), "ceil_mode": True}),
    ("MaxPool2d", (2, 1), {"dilation": 2}), ("AvgPool2d", (2,), {}),
    ("AvgPool2d", (3, 2), {"padding": 1, "count_include_pad": False, "ceil_mode": True}),
    ("AvgPool2d", ((2, 3), None), {"divisor_override": 5}), ("AdaptiveAvgPool2d", (1,), {}),
    ("AdaptiveAvgPool2d", ((None, 2),), {}), ("AdaptiveAvgPool2d", ((4, 3),), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "sizes", "options"), MODULES, ids=[f"{n}{s}{o or ''}" for n, s, o in MODULES])
def test_pooling_modules_are_pytorchs(name, sizes, options):
    ours, theirs = getattr(nn, name)(*sizes, **options), getattr(torch.nn, name)(*sizes, **options)
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 6))
    close(ours(cr.tensor(x)), theirs(torch.tensor(x)))


# ---- what is refused ---------------------------------------------------------------------------------------------


def ones(*shape):
    return cr.ones(shape)


REFUSED = [
    (lambda: F.max_pool2d(ones(1, 2, 1, 4), 2), ShapeError, r"reaches over \(2, 2\) elements does not fit"),
    (lambda: F.max_pool2d(ones(1, 2, 4, 4), 2, padding=2), ArgumentError, r"padding \(2, 2\) is more than half"),
    (lambda: F.avg_pool2d(ones(1, 2, 4, 4), 2, padding=2), ArgumentError, r"padding \(2, 2\) is more than half"),
    (lambda: F.max_pool2d(ones(1, 2, 4, 4), 0), ArgumentError, r"kernel size \(0, 0\)"),
    (lambda: F.max_pool2d(ones(1, 2, 4, 4), 2, 0), ArgumentError, r"stride \(0, 0\)"),
    (lambda: F.max_pool2d(ones(1, 2, 4, 4), 2, dilation=0), ArgumentError, r"dilation \(0, 0\)"),
    (lambda: F.max_pool2d(ones(4, 4), 2), ShapeError, "max_pool2d: Expected 3D .* or 4D"),
    (lambda: F.max_pool2d(ones(1, 0, 4, 4), 2), ShapeError, "one element at least"),
    (lambda: F.max_pool2d(ones(2, 4, 4), (2, 1, 3)), ArgumentError, "kernel_size to be a single integer or 2"),
    (lambda: F.max_pool2d(ones(2, 4, 4).long(), 2), DTypeError, "max_pool2d takes floating-point"),
    (lambda: F.avg_pool2d(ones(1, 2, 4, 4), 2, divisor_override=0), ArgumentError, "divisor_override is not 0"),
    (lambda: F.adaptive_avg_pool2d(ones(3, 4), 2), ShapeError, "adaptive_avg_pool2d: Expected 3D"),
    (lambda: F.adaptive_avg_pool2d(ones(1, 1, 3, 4), (-1, 2)), ArgumentError, "output_size must be 0 or more"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[m for _, _, m in REFUSED])
def test_a_wrong_pooling_is_refused_with_a_reason(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert isinstance(caught.value, RuntimeError)  # what PyTorch raises, except for integers, which it pools


def test_the_places_of_the_maxima_are_refused():
    with pytest.raises(UnsupportedError, match="return_indices=True is not supported"):
        F.max_pool2d(ones(1, 1, 4, 4), 2, return_indices=True)
    with pytest.raises(UnsupportedError, match="return_indices=True is not supported"):
        nn.MaxPool2d(2, return_indices=True)
