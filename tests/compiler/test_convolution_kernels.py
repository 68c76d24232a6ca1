"""Convolutions and poolings written as vector code, against sums over taps in float64: every vector width, all caches.

What is compared is a program with the operator, something elementwise after it and, where there is one, its sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("llvmlite.binding")

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn, optim
from chainrule.compiler.targets.llvm import target
from chainrule.compiler.targets.llvm.machine import WIDTHS, Machine, host

Array = np.ndarray[Any, Any]
SLOW = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))  # each one compiles


@dataclass(frozen=True)
class Case:
    """A convolution: x (images, channels * groups, *size), weight (outputs * groups, channels, *kernel)."""

    images: int
    channels: int
    outputs: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def count(self) -> tuple[int, int]:
        down, across = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(self.size, self.padding, self.dilation, self.kernel, self.stride, strict=True)
        )
        return down, across

    def data(self, dtype: str) -> tuple[Array, Array, Array, Array]:
        """x, weight, bias and a cotangent."""
        draw, g = np.random.default_rng(0).standard_normal, self.groups
        shapes = [
            (self.images, self.channels * g, *self.size), (self.outputs * g, self.channels, *self.kernel),
            (self.outputs * g,), (self.images, self.outputs * g, *self.count),
        ]  # fmt: skip
        x, weight, bias, c = (draw(shape).astype(dtype) for shape in shapes)
        return x, weight, bias, c

    def expected(self, x: Array, weight: Array, bias: Array, c: Array) -> tuple[Array, Array, Array, Array]:
        """relu(conv2d) and the gradients of its sum with c, one tap after the other, in float64."""
        x, weight, bias, c = (a.astype(np.float64) for a in (x, weight, bias, c))
        g, (top, left), (down, across) = self.groups, self.padding, self.count
        x = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
        x = x.reshape(self.images, g, self.channels, *x.shape[2:])
        w = weight.reshape(g, self.outputs, self.channels, *self.kernel)
        places = [(p, q) for p in range(self.kernel[0]) for q in range(self.kernel[1])]

        def seen(p: int, q: int) -> tuple[slice, ...]:
            rows = slice(p * self.dilation[0], p * self.dilation[0] + (down - 1) * self.stride[0] + 1, self.stride[0])
            first = q * self.dilation[1]
            return (..., rows, slice(first, first + (across - 1) * self.stride[1] + 1, self.stride[1]))

        y = sum([np.einsum("ngcij,goc->ngoij", x[seen(p, q)], w[..., p, q]) for p, q in places])
        y = np.maximum(y.reshape(c.shape) + bias[:, None, None], 0)
        c = (c * (y > 0)).reshape(self.images, g, self.outputs, down, across)
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for p, q in places:
            dx[seen(p, q)] += np.einsum("ngoij,goc->ngcij", c, w[..., p, q])
            dw[..., p, q] = np.einsum("ngoij,ngcij->goc", c, x[seen(p, q)])
        dx = dx[..., top : top + self.size[0], left : left + self.size[1]]
        return y, dx.reshape(self.images, -1, *self.size), dw.reshape(weight.shape), c.sum((0, 3, 4)).reshape(-1)


def compiled_gradients(case: Case) -> Callable[..., tuple[cr.Tensor, ...]]:
    """relu(conv2d(x, weight, bias)), and its gradients for a cotangent."""

    @cr.compile
    def program(x: cr.Tensor, weight: cr.Tensor, bias: cr.Tensor, c: cr.Tensor) -> tuple[cr.Tensor | None, ...]:
        x, weight, bias = (a.detach().requires_grad_() for a in (x, weight, bias))
        y = F.conv2d(x, weight, bias, **case.options).relu()
        (y * c).sum().backward()
        return y, x.grad, weight.grad, bias.grad

    return program


def check(case: Case, dtype: str = "float32") -> None:
    data = case.data(dtype)
    found = compiled_gradients(case)(*map(cr.tensor, data))
    for name, a, b in zip(("y", "dx", "dw", "db"), found, case.expected(*data), strict=True):
        scale = np.abs(b).max() + 1
        bound = (2e-6 if dtype == "float32" else 4e-15) * scale * max(1, case.images**0.5)
        np.testing.assert_allclose(a.numpy(), b, rtol=0, atol=bound, err_msg=f"{name} of {case}")


@pytest.fixture(params=[bits for bits in WIDTHS if bits <= host().vector_bits])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = host().narrowed(request.param)
    monkeypatch.setattr(target, "host", lambda: machine)
    return machine


CASES = {
    "LeNet's first": Case(5, 1, 6, (28, 28), (5, 5)),
    "LeNet's second": Case(5, 6, 16, (12, 12), (5, 5)),
    "same": Case(2, 3, 5, (14, 14), (3, 3), padding=(1, 1)),
    "strided": Case(3, 4, 6, (9, 8), (3, 3), stride=(2, 2), padding=(1, 1)),
    "dilated": Case(2, 2, 3, (13, 11), (3, 2), dilation=(2, 3), padding=(1, 2)),
    "strides and dilation that share a factor": Case(2, 2, 3, (17, 15), (3, 3), stride=(4, 6), dilation=(2, 3)),
    "strides beyond the kernel": Case(2, 2, 3, (16, 19), (2, 2), stride=(3, 5)),
    "depthwise": Case(2, 1, 1, (10, 10), (3, 3), padding=(1, 1), groups=8),
    "groups": Case(2, 3, 2, (7, 9), (3, 3), groups=3, stride=(1, 2)),
    "many channels": Case(2, 33, 17, (6, 7), (3, 3), padding=(1, 1)),
    "one by one": Case(3, 7, 5, (6, 5), (1, 1)),
    "one by one with strides": Case(3, 7, 5, (6, 5), (1, 1), stride=(2, 2)),
    "one number": Case(1, 1, 1, (3, 3), (3, 3)),
    "one number for each image": Case(4, 1, 1, (3, 3), (3, 3)),
    "one row": Case(2, 2, 3, (1, 21), (1, 4)),
    "one column": Case(2, 2, 3, (21, 1), (4, 1)),
    "padding beyond the plane": Case(2, 2, 3, (2, 3), (5, 5), padding=(4, 4)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_convolution_and_its_gradients_are_sums_over_taps(case: Case, dtype: str, machine: Machine) -> None:
    check(case, dtype)


def test_bands_and_blocks_of_any_size_give_the_sums_over_taps(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(host(), l1_bytes=1 << 10, l2_bytes=4 << 10)
    monkeypatch.setattr(target, "host", lambda: small)
    for name in ("LeNet's first", "same", "strided", "strides and dilation that share a factor", "groups"):
        check(CASES[name])


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@SLOW
@given(
    sizes=st.tuples(*[st.integers(1, 5)] * 3), size=st.tuples(st.integers(1, 19), st.integers(1, 19)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)), stride=pairs, dilation=pairs,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)), groups=st.integers(1, 3),
)  # fmt: skip
def test_any_convolution_is_sums_over_taps(sizes: Any, **options: Any) -> None:
    case = Case(*sizes, **options)
    assume(min(case.count) > 0)
    check(case)


def test_operands_may_lie_in_any_order() -> None:
    case = Case(3, 4, 5, (8, 9), (3, 3), stride=(2, 1), padding=(1, 1))
    x, weight, _, c = case.data("float32")
    bias = np.zeros(5, np.float32)

    @cr.compile
    def program(x: cr.Tensor, weight: cr.Tensor, c: cr.Tensor) -> tuple[cr.Tensor | None, ...]:
        x, weight = (a.permute(0, 2, 3, 1).detach().requires_grad_() for a in (x, weight))
        y = F.conv2d(x.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2), **case.options).relu()
        (y * c.permute(3, 0, 1, 2)).sum().backward()
        return y, x.grad, weight.grad

    found = program(cr.tensor(x), cr.tensor(weight), cr.tensor(np.ascontiguousarray(c.transpose(1, 2, 3, 0))))
    y, dx, dw, _ = case.expected(x, weight, bias, c)
    for a, b in zip(found, (y, dx.transpose(0, 2, 3, 1), dw.transpose(0, 2, 3, 1)), strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=0, atol=1e-5 * np.abs(b).max())


def test_what_follows_may_be_stretched_along_rows_and_columns(machine: Machine) -> None:
    case = Case(2, 3, 4, (6, 21), (3, 2), padding=(1, 0))
    x, weight, bias, _ = case.data("float32")
    row = np.random.default_rng(1).standard_normal(20).astype(np.float32)
    column = row[:6, None]
    options = [cr.tensor(a) for a in (x, weight, bias, row, column)]
    found = cr.compile(lambda x, w, b, row, column: F.conv2d(x, w, b, **case.options).relu() * row + column)(*options)
    y = case.expected(*case.data("float32"))[0] * row + column
    np.testing.assert_allclose(found.numpy(), y, rtol=0, atol=1e-5 * np.abs(y).max())


def test_nothing_that_a_tap_does_not_see_reaches_a_sum() -> None:
    """nan and inf beside a window may not become nan in it, whatever lanes run over."""
    x = np.ones((2, 1, 7, 9), np.float32)
    x[0, 0, 0, 0], x[1, 0, 6, 8] = np.nan, np.inf
    c = np.ones((2, 3, 5, 7), np.float32)
    c[0, :, 0, 0] = 0.0

    @cr.compile
    def program(x: cr.Tensor, w: cr.Tensor, c: cr.Tensor) -> tuple[cr.Tensor | None, ...]:
        x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
        y = F.conv2d(x, w)
        (y * c).sum().backward()
        return y, x.grad, w.grad

    w = np.ones((3, 1, 3, 3), np.float32)
    y, dx, dw = (a.numpy() for a in program(cr.tensor(x), cr.tensor(w), cr.tensor(c)))
    touched = np.zeros((2, 3, 5, 7), bool)
    touched[0, :, 0, 0] = touched[1, :, 4, 6] = True
    assert np.array_equal(np.isfinite(y), ~touched)
    assert np.isfinite(dx).all()
    spoilt = np.zeros((3, 1, 3, 3), bool)
    spoilt[:, :, 0, 0] = spoilt[:, :, 2, 2] = True  # 0 nan, and inf
    assert np.array_equal(np.isfinite(dw), ~spoilt)


def test_a_float16_convolution_and_one_of_no_images_are_computed_too() -> None:
    case = CASES["same"]
    x, weight, bias, _ = case.data("float16")
    program = cr.compile(lambda x, w, b: F.conv2d(x, w, b, **case.options).relu())
    assert program(cr.tensor(x[:0]), cr.tensor(weight), cr.tensor(bias)).shape == (0, 5, 14, 14)
    y = F.conv2d(*map(cr.tensor, (x, weight, bias)), **case.options).relu().numpy()
    found = program(*map(cr.tensor, (x, weight, bias))).numpy()
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, y, rtol=1e-2, atol=1e-2)


def test_a_convolution_is_one_group_with_its_bias_its_activation_and_its_update() -> None:
    model = nn.Conv2d(3, 8, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @cr.compile
    def step(x: cr.Tensor) -> cr.Tensor:
        loss = model(x).relu().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    groups = [g for g in step.lower(cr.ones(2, 3, 9, 9)).plan.groups if g.kind == "convolution"]
    names = [[i.op.name for i in g.instructions] for g in groups]
    assert [n[0] for n in names] == ["conv2d", "conv2d_weight"]
    assert "relu" in names[0]
    assert names[1][1:] == ["mul", "sub"]


def test_any_number_of_threads_gives_the_same_bits() -> None:
    case = Case(16, 8, 16, (28, 28), (3, 3), padding=(1, 1))
    data = [cr.tensor(a) for a in case.data("float32")]
    before = cr.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            cr.set_num_threads(threads)
            found.append([a.numpy().tobytes() for a in compiled_gradients(case)(*data)])
    finally:
        cr.set_num_threads(before)
    assert found[0] == found[1] == found[2]


# ---- pooling ---------------------------------------------------------------------------------------------------------

POOLS = {
    "halves": ((3, 2, 12, 10), {"kernel_size": 2}),
    "wide halves": ((1, 2, 4, 76), {"kernel_size": 2}),
    "thirds": ((2, 2, 12, 57), {"kernel_size": 3}),
    "thirds with a rest": ((2, 2, 13, 40), {"kernel_size": 3}),
    "in rows": ((2, 2, 6, 5), {"kernel_size": (3, 1)}),
    "overlapping": ((2, 2, 11, 21), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "every place": ((2, 1, 6, 18), {"kernel_size": (2, 3), "stride": 1}),
    "dilated": ((2, 2, 12, 17), {"kernel_size": 2, "stride": 2, "dilation": (3, 2)}),
    "with gaps": ((2, 2, 12, 17), {"kernel_size": 2, "stride": 5}),
    "over the edge": ((2, 2, 11, 9), {"kernel_size": 2, "stride": 2, "ceil_mode": True}),
    "one window": ((2, 1, 4, 4), {"kernel_size": 4}),
}


@pytest.mark.parametrize(("shape", "options"), POOLS.values(), ids=POOLS.keys())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_of_each_window_and_its_slope_are_those_of_numpy(
    shape: tuple[int, ...], options: dict[str, Any], dtype: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).integers(-3, 4, shape).astype(dtype)  # many ties
    x[0, 0, 0, 0], x[0, 0, 1, 1], x[-1, -1, -1, -1] = np.nan, -np.inf, -np.inf

    def program(x: cr.Tensor) -> tuple[cr.Tensor | None, ...]:
        x = x.detach().requires_grad_()
        y = F.max_pool2d(x, **options)
        (y * (1 + cr.arange(y.shape[-1]))).sum().backward()
        return y, x.grad

    monkeypatch.setenv("CHAINRULE_JIT", "0")
    expected = [a.numpy() for a in cr.compile(program)(cr.tensor(x))]
    monkeypatch.setenv("CHAINRULE_JIT", "1")
    step = cr.compile(program)
    assert "pool" in {g.kind for g in step.lower(cr.tensor(x)).plan.groups}
    for a, b in zip(step(cr.tensor(x)), expected, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)


MEANS = {
    "halves": ((3, 2, 12, 10), {"kernel_size": 2}),
    "wide halves": ((1, 2, 4, 76), {"kernel_size": 2}),
    "thirds with a rest": ((2, 2, 13, 40), {"kernel_size": 3}),
    "in rows": ((2, 2, 6, 5), {"kernel_size": (3, 1)}),
    "overlapping": ((2, 2, 11, 21), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "without the padding": ((2, 2, 11, 39), {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    "every place": ((2, 1, 6, 18), {"kernel_size": (2, 3), "stride": 1, "padding": (1, 1)}),
    "with gaps": ((2, 2, 12, 17), {"kernel_size": 2, "stride": 5}),
    "over the edge": ((2, 2, 11, 9), {"kernel_size": 2, "stride": 2, "ceil_mode": True}),
    "far over the edge": (
        (2, 2, 10, 23), {"kernel_size": 4, "stride": 3, "padding": 2, "ceil_mode": True, "count_include_pad": False},
    ),
    "by another number": ((2, 1, 6, 6), {"kernel_size": 2, "divisor_override": -3}),
    "one window": ((2, 3, 7, 7), {"kernel_size": 7}),
}  # fmt: skip


@pytest.mark.parametrize(("shape", "options"), MEANS.values(), ids=MEANS.keys())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mean_of_each_window_and_its_slope_are_those_of_numpy(
    shape: tuple[int, ...], options: dict[str, Any], dtype: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)

    def program(x: cr.Tensor) -> tuple[cr.Tensor | None, ...]:
        x = x.detach().requires_grad_()
        y = F.avg_pool2d(x, **options)
        (y * (1 + cr.arange(y.shape[-1])) * y.detach()).sum().backward()
        return y, x.grad

    monkeypatch.setenv("CHAINRULE_JIT", "0")
    expected = [a.numpy() for a in cr.compile(program)(cr.tensor(x))]
    monkeypatch.setenv("CHAINRULE_JIT", "1")
    step = cr.compile(program)
    assert [g.kind for g in step.lower(cr.tensor(x)).plan.groups].count("pool") == 2
    for a, b in zip(step(cr.tensor(x)), expected, strict=True):
        bound = 16 * np.finfo(dtype).eps * np.abs(b).max()
        np.testing.assert_allclose(a.numpy(), b, rtol=0, atol=bound)


def test_means_know_nothing_beyond_their_window() -> None:
    x = np.ones((1, 2, 6, 9), np.float32)
    x[0, 0, 2, 4], x[0, 1, 5, 8] = np.nan, np.inf

    @cr.compile
    def program(x: cr.Tensor) -> tuple[cr.Tensor | None, ...]:
        x = x.detach().requires_grad_()
        y = F.avg_pool2d(x, 2, stride=3, padding=1)
        (y * y.detach()).sum().backward()
        return y, x.grad

    y, dx = (a.numpy() for a in program(cr.tensor(x)))
    assert np.argwhere(~np.isfinite(y)).tolist() == [[0, 1, 2, 3]]  # no window sees column 4
    assert np.argwhere(~np.isfinite(dx)).tolist() == [[0, 1, 5, 8]]
    assert not dx[0, 0, 2, 4]
