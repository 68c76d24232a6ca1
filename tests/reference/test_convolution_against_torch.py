"""conv1d, conv2d and their modules are PyTorch's: values, derivatives of first and second order, states, messages."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError
from chainrule.tensor import planes

torch = pytest.importorskip("torch")
TF = torch.nn.functional

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # costs PyTorch a copy

EPS = float(np.finfo(np.float64).eps)


def close(ours, theirs, terms=200):
    """Within so many roundings of the largest number: sums of at most that many terms of order 1."""
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs, rtol=0, atol=terms * EPS * float(np.abs(theirs).max(initial=1))
    )


def leaves(arrays):
    return [cr.tensor(a, requires_grad=True) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]


def first_and_second(library, y, inputs, cotangent, direction):
    """The gradients of <cotangent, y>, and those of <direction, the gradients>, for inputs and cotangent."""
    c = library.tensor(cotangent, requires_grad=True)
    first = library.autograd.grad(y, inputs, c, create_graph=True)
    along = sum((g * library.tensor(d)).sum() for g, d in zip(first, direction, strict=True))
    return first, library.autograd.grad(along, [*inputs, c], allow_unused=True)


@st.composite
def convolutions(draw):
    """Shapes of x and weight, and options under which at least one window fits."""
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    groups, per_group, out = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 3)))
    size = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    assume(all(n + 2 * p > d * (k - 1) for n, p, d, k in zip(size, padding, dilation, kernel, strict=True)))
    x, weight = (draw(st.integers(0, 3)), groups * per_group, *size), (groups * out, per_group, *kernel)
    return x, weight, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


@settings(max_examples=60)
@given(convolutions(), st.booleans(), st.integers(0, 99))
def test_conv2d_and_its_derivatives_are_pytorchs_for_all_parameters(convolution, with_bias, seed):
    x, weight, options = convolution
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(s) for s in (x, weight, *[weight[:1]] * with_bias)]
    ours, theirs = leaves(arrays)
    y, v = F.conv2d(*ours, **options), TF.conv2d(*theirs, **options)
    close(y, v)
    if not x[0]:
        return  # PyTorch has no second derivative of nothing
    c, d = rng.standard_normal(v.shape), [rng.standard_normal(a.shape) for a in arrays]
    for a, b in zip(first_and_second(cr, y, ours, c, d), first_and_second(torch, v, theirs, c, d), strict=True):
        for g, h in zip(a, b, strict=True):
            assert (g is None) == (h is None) or h is None
            if h is not None:
                close(g, h)


def test_a_batch_that_is_laid_out_in_parts_gives_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in ((11, 2, 6, 5), (4, 2, 3, 2), (4,))]
    found = []
    for memory in (planes.COLUMNS, 4 * 8 * 2 * 6 * 16, 1):  # all samples; four, four and three; one by one
        monkeypatch.setattr(planes, "COLUMNS", memory)
        given = leaves(arrays)[0]
        y = F.conv2d(*given)
        y.backward(cr.tensor(np.ones(y.shape)))
        found.append([y, *[p.grad for p in given]])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            close(a, torch.tensor(b.detach().numpy()))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 5)])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_kernels_of_one_element_multiply_the_channels_at_each_place(size, n):
    rng = np.random.default_rng(0)
    ours, theirs = leaves([rng.standard_normal(s) for s in ((n, 5, *size), (4, 5, 1, 1), (4,))])
    y, v = F.conv2d(*ours), TF.conv2d(*theirs)
    close(y, v)
    c = rng.standard_normal(v.shape)
    y.backward(cr.tensor(c))
    v.backward(torch.tensor(c))
    for a, b in zip(ours, theirs, strict=True):
        close(a.grad, b.grad)


@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (4, 2), (3, 3)])
@pytest.mark.parametrize("dilation", [1, (3, 2)])
@pytest.mark.parametrize("word", ["same", "valid"])
def test_padding_in_words_is_pytorchs(kernel, dilation, word):
    rng = np.random.default_rng(0)
    ours, theirs = leaves([rng.standard_normal((2, 3, 11, 9)), rng.standard_normal((4, 3, *kernel))])
    y = F.conv2d(*ours, padding=word, dilation=dilation)
    v = TF.conv2d(*theirs, padding=word, dilation=dilation)
    close(y, v)
    c = rng.standard_normal(v.shape)
    y.backward(cr.tensor(c))
    v.backward(torch.tensor(c))
    for a, b in zip(ours, theirs, strict=True):
        close(a.grad, b.grad)


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 3}, {"dilation": 2, "groups": 2}, {"padding": "same"}, {"stride": (3,)}]
)
def test_conv1d_and_its_gradients_are_pytorchs(options):
    rng = np.random.default_rng(0)
    part = 2 if "groups" in options else 4
    ours, theirs = leaves([rng.standard_normal(s) for s in ((3, 4, 10), (6, part, 3), (6,))])
    y, v = F.conv1d(*ours, **options), TF.conv1d(*theirs, **options)
    close(y, v)
    c = rng.standard_normal(v.shape)
    y.backward(cr.tensor(c))
    v.backward(torch.tensor(c))
    for a, b in zip(ours, theirs, strict=True):
        close(a.grad, b.grad)


@pytest.mark.parametrize(("name", "shape"), [("Conv1d", (4, 9)), ("Conv2d", (4, 9, 7))])
def test_a_sample_without_a_batch_is_taken_as_pytorch_takes_it(name, shape):
    x = np.random.default_rng(0).standard_normal(shape)
    ours, theirs = getattr(nn, name)(4, 3, 2).double(), getattr(torch.nn, name)(4, 3, 2).double()
    ours.load_state_dict({k: cr.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    close(ours(cr.tensor(x)), theirs(torch.tensor(x)))


MODULES = [
    ("Conv2d", (3, 4, 2), {}), ("Conv2d", (3, 4, (3, 1)), {"stride": 2, "padding": (1, 0), "bias": False}),
    ("Conv2d", (4, 8, 3), {"groups": 4, "dilation": 2, "padding": "same"}), ("Conv2d", (3, 6, 3), {"padding": "valid"}),
    ("Conv2d", (3, 6, 3), {"padding": 1, "padding_mode": "reflect"}),
    ("Conv2d", (3, 6, 3), {"padding": (2, 1), "padding_mode": "circular", "stride": (1, 2)}),
    ("Conv2d", (3, 6, (2, 4)), {"padding": "same", "padding_mode": "replicate"}), ("Conv1d", (3, 4, 5), {"padding": 2}),
    ("Conv1d", (3, 6, 3), {"groups": 3, "padding": "same", "padding_mode": "circular"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "sizes", "options"), MODULES, ids=[f"{n}{s}{o or ''}" for n, s, o in MODULES])
def test_convolution_modules_are_pytorchs_and_exchange_their_states(name, sizes, options):
    theirs = getattr(torch.nn, name)(*sizes, **options).double()
    ours = getattr(nn, name)(*sizes, **options).double()
    assert repr(ours) == repr(theirs)
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in theirs.state_dict().items()
    ]
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, sizes[0], 8, 6)[: 4 if name == "Conv2d" else 3])
    (u,), (v,) = leaves([x])
    y, z = ours(u), theirs(v)
    close(y, z)
    (y * y).sum().backward()
    (z * z).sum().backward()
    close(u.grad, v.grad)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad, terms=2000)


def test_the_first_weights_are_uniform_within_the_bound_of_pytorch():
    layer = nn.Conv2d(8, 64, 5, groups=2)
    bound = 1 / sqrt(4 * 25)
    for p in (layer.weight, layer.bias):
        assert float(p.abs().max()) <= bound
    assert float(layer.weight.abs().max()) > 0.99 * bound
    assert float(layer.weight.std()) == pytest.approx(bound / sqrt(3), rel=0.02)  # 6,400 numbers


def test_float16_is_summed_in_float32_and_rounded_once():
    """Adding 1 to 1 in float16 stops at 2,048: the element in the middle is seen 4,096 times."""
    x = cr.tensor(np.ones((1, 1, 127, 127), np.float16), requires_grad=True)
    w = cr.tensor(np.ones((1, 1, 64, 64), np.float16), requires_grad=True)
    y = F.conv2d(x, w)
    y.backward(cr.ones(1, 1, 64, 64).half())
    assert y.dtype is x.grad.dtype is w.grad.dtype is cr.float16
    assert y[0, 0, 0, 0].item() == x.grad[0, 0, 63, 63].item() == w.grad[0, 0, 0, 0].item() == 4096


# ---- the transposed convolution ----------------------------------------------------------------------------------


@settings(max_examples=40)
@given(convolutions(), st.tuples(st.integers(0, 2), st.integers(0, 2)), st.booleans(), st.integers(0, 99))
def test_conv_transpose2d_and_its_derivatives_are_pytorchs(convolution, more, with_bias, seed):
    (n, _, *size), weight, options = convolution
    steps = zip(options["stride"], options["dilation"], strict=True)
    more = tuple(min(m, max(s, d) - 1) for m, (s, d) in zip(more, steps, strict=True))
    axes = zip(size, weight[2:], options["stride"], options["padding"], options["dilation"], strict=True)
    assume(all((k - 1) * s - 2 * p + d * (q - 1) + 1 > 0 for k, q, s, p, d in axes))
    rng = np.random.default_rng(seed)
    out = weight[1] * options["groups"]
    arrays = [rng.standard_normal(s) for s in ((n + 1, weight[0], *size), weight, *[(out,)] * with_bias)]
    ours, theirs = leaves(arrays)
    y = F.conv_transpose2d(*ours, **options, output_padding=more)
    v = TF.conv_transpose2d(*theirs, **options, output_padding=more)
    close(y, v)
    c, d = rng.standard_normal(v.shape), [rng.standard_normal(a.shape) for a in arrays]
    for a, b in zip(first_and_second(cr, y, ours, c, d), first_and_second(torch, v, theirs, c, d), strict=True):
        for g, h in zip(a, b, strict=True):
            if h is not None:
                close(g, h)


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, {"dilation": 2}]
)
@pytest.mark.parametrize("output_size", [None, (8, 10)])
def test_transposed_convolution_modules_are_pytorchs_and_exchange_their_states(options, output_size):
    theirs = torch.nn.ConvTranspose2d(4, 6, 4, **options).double()
    ours = nn.ConvTranspose2d(4, 6, 4, **options).double()
    assert repr(ours) == repr(theirs)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 4, 4, 5))
    if output_size is not None and "stride" not in options:
        for module, library in ((ours, cr), (theirs, torch)):
            with pytest.raises(ValueError, match=r"requested an output size of \(8, 10\)"):
                module(library.tensor(x), output_size=output_size)
        return
    close(ours(cr.tensor(x), output_size), theirs(torch.tensor(x), output_size))


# ---- what is refused ---------------------------------------------------------------------------------------------


def ones(*shape):
    return cr.ones(shape)


REFUSED = [
    (lambda: F.conv2d(ones(1, 3, 4, 4), ones(6, 1, 2, 2)), ShapeError, r"takes x with 1 channels, not x \(1, 3, 4, 4\)"),
    (lambda: F.conv2d(ones(1, 2, 4, 4), ones(3, 1, 2, 2), groups=2), ShapeError, "3 output channels are no multiple"),
    (lambda: F.conv2d(ones(1, 2, 1, 4), ones(3, 2, 2, 2)), ShapeError, r"reaches over \(2, 2\) .* plane of \(1, 4\)"),
    (lambda: F.conv2d(ones(1, 2, 4, 4), ones(4, 2, 2, 2), ones(3)), ShapeError, r"bias \(3,\) is not the \(4,\)"),
    (lambda: F.conv2d(ones(2, 4), ones(4, 2, 2, 2)), ShapeError, "Expected 3D .* or 4D .* input to conv2d"),
    (lambda: F.conv2d(ones(1, 2, 4, 4), ones(4, 2, 2)), ShapeError, "conv2d: weight has 4 axes"),
    (lambda: F.conv1d(ones(4), ones(4, 2, 2)), ShapeError, "Expected 2D .* or 3D .* input to conv1d"),
    (lambda: F.conv2d(ones(1, 2, 4, 4), ones(4, 2, 2, 2), stride=0), ArgumentError, r"stride \(0, 0\): .* 1 or more"),
    (lambda: F.conv2d(ones(1, 2, 4, 4), ones(4, 2, 2, 2), padding=-1), ArgumentError, r"padding .* 0 or more"),
    (lambda: F.conv2d(ones(1, 2, 4, 4), ones(4, 2, 2, 2), dilation=(1, 0)), ArgumentError, r"dilation \(1, 0\)"),
    (lambda: F.conv2d(ones(1, 2, 4, 4), ones(4, 2, 0, 2)), ArgumentError, r"kernel size \(0, 2\)"),
    (lambda: F.conv2d(ones(1, 2, 4, 4), ones(4, 2, 2, 2), groups=0), ArgumentError, "groups is 1 or more, not 0"),
    (lambda: F.conv2d(ones(1, 2, 4, 4), ones(4, 2, 2, 2), padding="same", stride=2), ArgumentError, "padding='same' is"),
    (lambda: F.conv2d(ones(1, 2, 4, 4), ones(4, 2, 2, 2), padding="sam"), ArgumentError, "Invalid padding string 'sam'"),
    (lambda: F.conv2d(ones(1, 2, 4, 4), ones(4, 2, 2, 2), stride=(1, 2, 3)), ArgumentError, "single integer or 2 of"),
    (lambda: F.conv2d(ones(1, 2, 4, 4), ones(4, 2, 2, 2).double()), DTypeError, "conv2d: expected one element type"),
    (lambda: F.conv_transpose2d(ones(1, 4, 3, 3), ones(3, 2, 2, 2)), ShapeError, r"conv2d_input: c \(1, 4, 3, 3\)"),
    (lambda: F.conv_transpose2d(ones(1, 4, 3, 3), ones(4, 2, 2)), ShapeError, "weight has 4 axes"),
    (lambda: F.conv_transpose2d(ones(1, 4, 3, 3), ones(4, 2, 2, 2), output_padding=1), ArgumentError, "must be smaller"),
    (lambda: F.conv_transpose2d(ones(1, 4, 1, 1), ones(4, 2, 2, 2), padding=1), ShapeError, r"output size \(0, 0\)"),
    (lambda: nn.ConvTranspose2d(4, 2, 2, padding_mode="reflect"), ArgumentError, 'Only "zeros" padding mode'),
    (lambda: nn.Conv2d(3, 4, 2, groups=2), ArgumentError, "in_channels must be divisible by groups"),
    (lambda: nn.Conv2d(4, 3, 2, groups=2), ArgumentError, "out_channels must be divisible by groups"),
    (lambda: nn.Conv2d(4, 4, 2, groups=0), ArgumentError, "groups must be a positive integer"),
    (lambda: nn.Conv2d(4, 4, 2, padding="x"), ArgumentError, "Invalid padding string 'x'"),
    (lambda: nn.Conv2d(4, 4, 2, padding="same", stride=2), ArgumentError, "padding='same' is not supported"),
    (lambda: nn.Conv2d(4, 4, 2, padding_mode="x"), ArgumentError, "padding_mode must be one of .*'x'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[m for _, _, m in REFUSED])
def test_a_wrong_convolution_is_refused_with_a_reason(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert isinstance(caught.value, RuntimeError | ValueError)  # what PyTorch raises


def test_a_stride_that_is_no_number_is_refused():
    with pytest.raises(ArgumentTypeError, match=r"stride is an integer or 2 of them, not 1\.5"):
        F.conv2d(ones(1, 2, 4, 4), ones(4, 2, 2, 2), stride=1.5)


def test_integers_are_refused():
    with pytest.raises(DTypeError, match="conv2d takes floating-point tensors, not"):
        F.conv2d(ones(1, 2, 4, 4).long(), ones(4, 2, 2, 2).long())
