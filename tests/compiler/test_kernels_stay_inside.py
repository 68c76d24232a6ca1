"""Kernels read and write inside their arrays: every array lies against a page that may not be touched, on each side.

A process of its own runs all cases for one vector width; a kernel that goes one element too far ends it with SIGSEGV,
and the last line it printed says which case that was. Results are compared too: what was left unwritten shows as NaN.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.compiler import interpret
from chainrule.compiler.recorded import recorded
from chainrule.compiler.targets.llvm.machine import host
from chainrule.compiler.targets.llvm.target import ARENA, build
from chainrule.tensor.arrays import numpy_dtype

Case = tuple[str, Callable[..., Any], list[Any]]


class Guarded:
    """Arrays that end where a page begins that may not be touched, or start where one ends."""

    def __init__(self, at_end: bool) -> None:
        self.at_end = at_end
        self.maps: list[mmap.mmap] = []
        self.protect = ctypes.CDLL(None).mprotect
        self.protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def array(self, shape: tuple[int, ...], dtype: Any, alignment: int = 1) -> Any:
        """All bytes 0xFF: NaN in either float type."""
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        page, pages = mmap.PAGESIZE, -(-max(size, 1) // mmap.PAGESIZE)
        self.maps.append(mmap.mmap(-1, (pages + 2) * page))
        memory = np.frombuffer(self.maps[-1], np.uint8)
        for guard in (0, pages + 1):
            assert self.protect(memory.ctypes.data + guard * page, page, 0) == 0
        start = (pages + 1) * page - size if self.at_end else page
        found = memory[start - start % alignment :][:size]
        found[:] = 0xFF
        return found.view(dtype).reshape(shape)

    def copy(self, x: Any) -> Any:
        """An array with the same elements."""
        y = self.array(x.shape, x.dtype)
        y[...] = x
        return y


def with_gradients(function: Callable[..., cr.Tensor]) -> Callable[..., Any]:
    """The result, and the gradients of all floating-point arguments."""

    def both(*args: cr.Tensor) -> Any:
        y = function(*args)
        wanted = [x for x in args if x.requires_grad]
        return [y.detach(), *cr.autograd.grad((y * y).sum(), wanted)]

    return both


def cases(random: np.random.Generator) -> Iterator[Case]:
    """Sizes on both sides of a vector's, of each kind of kernel."""

    def normal(*shape: int) -> Any:
        return random.standard_normal(shape)

    for n in (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33):
        yield f"map of {n}", lambda x, y: (x * y + x.tanh(), cr.where(x > y, x, y).exp(), x > y), [normal(n), normal(n)]
        yield f"rows of {n}", lambda x: (x.softmax(-1), x.sum(-1), x.amax(-1), x.argmax(-1)), [normal(3, n)]
        yield f"columns of {n}", lambda x: (x.sum(0), x.amax(0), x.mean(0)), [normal(5, n)]
    for m, k, n in ((1, 1, 1), (7, 13, 5), (17, 3, 33), (9, 31, 15), (33, 65, 17), (1, 50, 3), (40, 1, 41)):
        yield f"product {m} {k} {n}", lambda a, b: (a @ b).relu(), [normal(m, k), normal(k, n)]
        yield f"transposed {m} {k} {n}", lambda a, b: b.t() @ a.t(), [normal(m, k), normal(k, n)]
        yield (
            f"linear {m} {k} {n}", with_gradients(lambda x, w, b: F.gelu(F.linear(x, w, b))),
            [normal(m, k), normal(n, k), normal(n)],
        )  # fmt: skip
    yield "batched product", with_gradients(lambda a, b: a @ b), [normal(3, 5, 7), normal(3, 7, 2)]
    yield "broadcast", lambda x, y: x + y * 2, [normal(5, 1), normal(1, 7)]
    yield "strided", lambda x: (x.t() * 2, x[1:, ::2] + 1, x.flip(1) * x, x[:, 3:4] + x), [normal(5, 7)]
    yield "joined", lambda x, y: (cr.cat([x, y], 1), cr.stack([x, x]), x.repeat(1, 3)), [normal(3, 5), normal(3, 2)]
    yield "scans", lambda x: (x.cumsum(1), x.sort(1)[0], x.tril()), [normal(3, 11)]
    yield (
        "layer norm",
        with_gradients(lambda x, w, b: F.layer_norm(x, (13,), w, b)),
        [normal(5, 13), normal(13), normal(13)],
    )
    yield "rows by index", lambda x, i: (x[i], F.embedding(i, x)), [normal(7, 5), random.integers(0, 7, (3, 3))]
    yield "rows added by index", with_gradients(lambda x, i: x[i] * 2), [normal(7, 5), random.integers(0, 7, 9)]
    yield "gathered", with_gradients(lambda x, i: x.gather(1, i)), [normal(3, 7), random.integers(0, 7, (3, 2))]
    yield "cross entropy", with_gradients(F.cross_entropy), [normal(9, 7), random.integers(0, 7, 9)]
    for height, width, size, stride, padding in ((7, 5, 3, 1, 1), (9, 11, 3, 2, 0), (5, 17, 5, 1, 2), (6, 6, 1, 1, 0)):
        yield (
            f"convolution {height} {width} {size} {stride} {padding}",
            with_gradients(lambda x, w, b, s=stride, p=padding: F.conv2d(x, w, b, stride=s, padding=p)),
            [normal(2, 3, height, width), normal(5, 3, size, size), normal(5)],
        )  # fmt: skip
    yield "pools", with_gradients(lambda x: F.max_pool2d(x, 2) + F.avg_pool2d(x, 2)), [normal(2, 3, 7, 5)]
    yield (
        "attention", with_gradients(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)),
        [normal(2, 3, 5, 7), normal(2, 3, 5, 7), normal(2, 3, 5, 7)],
    )  # fmt: skip


def check(function: Callable[..., Any], arrays: list[Any]) -> None:
    """Run a case with its arrays at the end of their pages, then at the start, to 256 eps of the largest element."""
    args = [cr.tensor(x).requires_grad_(x.dtype.kind == "f") for x in arrays]
    part = recorded(function, args, {}).forward
    given = [np.asarray(x.detach().numpy()) for x in args]
    shapes = [(y.shape, numpy_dtype(y.dtype)) for y in part.graph.outputs]
    expected = [np.empty(*shape) for shape in shapes]
    interpret.executable(part.graph)(given, expected)
    compiled = build(part, flushes=False)
    for at_end in (True, False):
        guarded = Guarded(at_end)
        compiled.arena = guarded.array((compiled.plan.arena_bytes + compiled.plan.scratch_bytes,), np.uint8, 64)
        compiled.table[ARENA] = compiled.arena.ctypes.data
        got = [guarded.array(*shape) for shape in shapes]
        compiled([guarded.copy(x) for x in given], got)
        for x, y in zip(got, expected, strict=True):
            scale = np.abs(y).max(initial=1.0) if y.dtype.kind == "f" else 0
            eps = float(np.finfo(y.dtype).eps) if y.dtype.kind == "f" else 0.0
            np.testing.assert_allclose(x, y, rtol=0, atol=256 * eps * scale)


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect through the C library, as Linux has it")
@pytest.mark.parametrize("bits", [bits for bits in (128, 256, 512) if bits <= host().vector_bits])
def test_no_kernel_touches_what_lies_beside_its_arrays(bits: int) -> None:
    done = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, timeout=300,
        env={**os.environ, "CHAINRULE_VECTOR_BITS": str(bits)},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout.splitlines()[-1:], done.stderr[-2000:])
    assert done.stdout.endswith("all inside\n")


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect through the C library, as Linux has it")
@pytest.mark.parametrize("at_end", [True, False])
def test_a_step_outside_is_noticed(at_end: bool) -> None:
    code = f"""
import ctypes, importlib.util, sys
spec = importlib.util.spec_from_file_location("inside", {__file__!r})
inside = importlib.util.module_from_spec(spec)
spec.loader.exec_module(inside)
x = inside.Guarded({at_end}).array((5,), "f4")
ctypes.c_float.from_address(x.ctypes.data + {20 if at_end else -4}).value
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60).returncode == -11


def main() -> None:
    for dtype in (np.float32, np.float64):
        for name, function, arrays in cases(np.random.default_rng(0)):
            print(dtype.__name__, name, flush=True)
            check(function, [x.astype(dtype) if x.dtype.kind == "f" else x for x in arrays])
    print("all inside")


if __name__ == "__main__":
    main()
