"""The reverse sweep itself: what it refuses, what it frees, what it keeps, how deep it goes."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.tensor.backward import backward, grad
from chainrule.tensor.graph import Leaf, Node, keep_values, line_of


def leaf(*values: float) -> cr.Tensor:
    return cr.tensor(list(values), dtype=cr.float64, requires_grad=True)


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


# ---- what is refused -------------------------------------------------------------------------------------------


def test_backward_of_a_constant_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"does not require grad and does not have a grad_fn(?s:.*)no_grad\(\)"):
        cr.ones(()).backward()


def test_backward_of_a_vector_asks_for_its_gradient() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)grad can be implicitly created only for scalar outputs.*\(2,\)"):
        (leaf(1, 2) * 2).backward()


def test_a_gradient_of_another_shape_names_both() -> None:
    with pytest.raises(RuntimeError, match=r"shape of \(3,\) and output \(2,\)"):
        (leaf(1, 2) * 2).backward(cr.ones(3))


def test_a_gradient_that_is_no_tensor_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="Tensors or None"):
        (leaf(1, 2) * 2).backward(np.ones(2))  # type: ignore[arg-type]


def test_as_many_gradients_as_tensors() -> None:
    x = leaf(1, 2)
    with pytest.raises(RuntimeError, match="2 tensors and 1 gradients"):
        backward([x * 1, x * 2], [cr.ones(2)])


def test_inputs_may_not_be_empty() -> None:
    with pytest.raises(ValueError, match="cannot be empty"):
        leaf(1).sum().backward(inputs=[])


def test_grad_by_a_constant_is_refused() -> None:
    with pytest.raises(RuntimeError, match="does not require grad"):
        grad(leaf(1).sum(), cr.ones(1))


def test_batched_grads_are_refused() -> None:
    with pytest.raises(ValueError, match="is_grads_batched"):
        grad(leaf(1).sum(), leaf(1), is_grads_batched=True)


def test_unused_inputs_and_zeros_contradict_each_other() -> None:
    x = leaf(1)
    with pytest.raises(ValueError, match="materialize_grads"):
        grad(x.sum(), x, allow_unused=False, materialize_grads=True)


def test_integers_cannot_require_a_gradient() -> None:
    for make in (
        lambda: cr.ones(2, dtype=cr.int64, requires_grad=True),
        lambda: cr.ones(2, dtype=cr.bool).requires_grad_(),
    ):
        with pytest.raises(RuntimeError, match="floating point"):
            make()


def test_a_result_cannot_lose_its_gradient() -> None:
    with pytest.raises(RuntimeError, match=r"leaf variables(?s:.*)detach\(\)"):
        (leaf(1) * 2).requires_grad_(False)


def test_requires_grad_has_true_as_its_argument_and_false_as_the_attribute() -> None:
    x = cr.ones(2)
    assert not x.requires_grad
    assert x.requires_grad_() is x
    assert x.requires_grad
    x.requires_grad = False
    assert not x.requires_grad
    assert not x.requires_grad_(False).requires_grad


def test_retain_grad_needs_a_gradient() -> None:
    with pytest.raises(RuntimeError, match="retain_grad"):
        cr.ones(1).retain_grad()
    x = leaf(1.0)
    x.retain_grad()  # a leaf keeps its own anyway
    y = x * 2
    assert not y.retains_grad
    y.retain_grad()
    y.sum().backward()
    assert y.retains_grad
    assert y.grad.tolist() == [1.0]


# ---- what is freed, what stays ---------------------------------------------------------------------------------


def saved_arrays(edge: Any) -> list[Any]:
    found, stack = [], [edge]
    while stack:
        node = stack.pop()
        if isinstance(node, Node):
            found += [a for a in node.saved or () if isinstance(a, np.ndarray)]
            stack += node.edges
    return found


def test_backward_frees_what_was_saved() -> None:
    x = leaf(0.5, 1.0)
    loss = (x.exp() * x.sin()).sum()
    alive = [weakref.ref(a) for a in saved_arrays(loss.grad_fn) if a is not x.value]
    assert len(alive) >= 3
    assert all(ref() is not None for ref in alive)
    loss.backward()
    assert all(ref() is None for ref in alive)


def test_a_second_pass_says_what_to_do_and_where() -> None:
    x = leaf(0.5)
    loss = x.exp().sum()
    loss.backward()
    with pytest.raises(RuntimeError, match=r"second time(?s:.*)test_autograd_engine\.py:\d+(?s:.*)retain_graph=True"):
        loss.backward()


def test_retain_graph_allows_a_second_pass() -> None:
    x = leaf(0.5)
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert x.grad.tolist() == [2.0]


def test_create_graph_retains_unless_told_otherwise() -> None:
    x = leaf(0.5)
    loss = (x * x).sum()
    (g,) = grad(loss, x, create_graph=True)
    assert g.requires_grad
    loss.backward()
    y = (x * x).sum()
    grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_the_graph_lives_on_after_backward() -> None:
    x = leaf(1.0, 2.0)
    loss = x.pow(3.0).sum(dim=0)
    loss.backward()
    node = loss.grad_fn
    assert node is not None
    assert repr(node) == "<SumBackward>"
    assert node.saved is None
    assert node.params == {"axis": 0, "keepdims": False}
    inner = node.edges[0]
    assert isinstance(inner, Node)
    assert (inner.name(), inner.constants) == ("PowBackward", (None, 3.0))
    assert isinstance(inner.edges[0], Leaf)
    assert inner.edges[0].value is x.value
    assert inner.order < node.order
    assert "test_the_graph_lives_on_after_backward" in line_of(node.site)
    assert node.next_functions == ((inner, 0),)


def test_call_sites_are_lines_of_the_program() -> None:
    x = leaf(1.0)
    y = x * 2
    z = y.exp()
    lines = [int(line_of(t.grad_fn.site).rpartition(":")[2]) for t in (y, z)]  # type: ignore[union-attr]
    assert lines[1] == lines[0] + 1


def test_keep_values_keeps_every_value_and_cotangent() -> None:
    x = leaf(1.0, 2.0)
    with keep_values():
        y = x * 3
        loss = (y + 1).sum()
        loss.backward()
    node = y.grad_fn
    assert node is not None
    assert node.kept is not None
    np.testing.assert_array_equal(node.kept.inputs[0], [1.0, 2.0])
    np.testing.assert_array_equal(node.kept.result, [3.0, 6.0])
    np.testing.assert_array_equal(np.broadcast_to(node.cotangent, 2), [1.0, 1.0])
    assert (x * 3).grad_fn.kept is None  # type: ignore[union-attr]


def test_keep_values_keeps_what_a_write_replaces() -> None:
    x = leaf(1.0, 2.0)
    with keep_values():
        y = x * 3
        y.mul_(x)
    assert y.grad_fn.kept.inputs[0].tolist() == [3.0, 6.0]  # type: ignore[union-attr]


# ---- aliasing ----------------------------------------------------------------------------------------------------


def test_two_leaves_never_share_a_gradients_memory() -> None:
    for program in (
        lambda a, b: a + b,
        lambda a, b: (a + b).reshape(2, 1),
        lambda a, b: a - b,
        lambda a, b: cr.stack([a, b]),
    ):
        a, b = leaf(1, 2), leaf(3, 4)
        program(a, b).sum().backward()
        assert not np.shares_memory(a.grad.value, b.grad.value)
        assert a.grad.value.flags.writeable
        a.grad.zero_()
        assert b.grad.abs().sum().item() == 2.0


def test_the_users_cotangent_is_not_taken_over() -> None:
    x, g = leaf(1, 2), cr.ones(2, dtype=cr.float64)
    x.backward(g)
    (x * 1).backward(g)
    x.grad.mul_(7)
    assert g.tolist() == [1.0, 1.0]


def test_accumulation_works_in_the_same_memory() -> None:
    x = leaf(1, 2)
    x.sum().backward()
    held = x.grad
    x.sum().backward()
    assert x.grad is held
    assert held.tolist() == [2.0, 2.0]


# ---- depth and memory --------------------------------------------------------------------------------------------


def test_a_chain_of_100_000_nodes_is_differentiated_and_deleted() -> None:
    assert run(
        "import chainrule as cr\n"
        "x = cr.ones((), dtype=cr.float64, requires_grad=True)\n"
        "y = x\n"
        "for _ in range(100_000): y = y + 1e-5\n"
        "y.backward(); print(x.grad.item())\n"
        "del y\n"
        "y = x\n"
        "for _ in range(100_000): y = y * 1.0\n"
        "from chainrule.tensor.backward import grad\n"
        "print(grad(y, x)[0].item())\n"
        "z = x\n"
        "for _ in range(100_000): z = z.reshape(())\n"
        "z.backward(); del z; print('done')"
    ).split() == ["1.0", "1.0", "done"]


def test_a_ladder_of_diamonds_is_swept_once_for_each_node() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2^60 paths
        y = (y + y) * 0.5
    y.sum().backward()
    assert x.grad.tolist() == [1.0]


def test_nothing_waits_for_the_garbage_collector() -> None:
    gc.disable()
    try:
        x = leaf(0.5, 1.0)
        h = x.exp()
        gone = weakref.ref(h)
        value = weakref.ref(h.value)
        loss = ((h * h).softmax(0)[0] + h[1:].mean()).log()
        (g,) = grad(loss.sum(), x, create_graph=True)
        g.sum().backward()
        x.grad = None
        del h, loss, g
        assert gone() is None
        assert value() is None
    finally:
        gc.enable()


def test_a_thousand_training_steps_run_at_flat_memory_without_the_garbage_collector() -> None:
    peaks = run(
        "import gc, tracemalloc, chainrule as cr\n"
        "from chainrule.tensor.graph import writes\n"
        "gc.disable()\n"
        "cr.manual_seed(0)\n"
        "w = cr.randn(8, 4, requires_grad=True); b = cr.zeros(8, requires_grad=True)\n"
        "x = cr.randn(16, 4); buffer = cr.zeros(16, 8)\n"
        "def step():\n"
        "    h = (x @ w.T + b).sin()\n"
        "    h[0].mul_(0.5)\n"
        "    h[:, 1:3].clamp_(-0.5, 0.5)\n"
        "    loss = (h * h).mean() + h.reshape(-1)[3]\n"
        "    loss.backward()\n"
        "    with cr.no_grad():\n"
        "        for p in (w, b):\n"
        "            p -= 0.01 * p.grad; p.grad.zero_()\n"
        "        buffer.mul_(0.9).add_(h)\n"
        "for _ in range(50): step()\n"
        "tracemalloc.start()\n"
        "for _ in range(50): step()\n"
        "early = tracemalloc.get_traced_memory()[0]\n"
        "for _ in range(1000): step()\n"
        "print(tracemalloc.get_traced_memory()[0] - early, len(writes), gc.collect())"
    )
    growth, writes, cycles = map(int, peaks.split())
    assert growth < 200_000  # 200 bytes a step: no array; the free lists of CPython keep up to 2,000 tuples of a size
    assert writes < 20
    assert cycles < 50


def test_the_sweep_frees_as_it_goes() -> None:
    peak = run(
        "import tracemalloc, chainrule as cr\n"
        "x = cr.ones(100_000, requires_grad=True); y = x\n"
        "for _ in range(50): y = y.sin()\n"
        "loss = y.sum(); del y\n"
        "tracemalloc.start(); loss.backward()\n"
        "print(tracemalloc.get_traced_memory()[1])"
    )
    assert int(peak) < 6 * 400_000  # a handful of arrays, not fifty


def test_dtypes_of_gradients_follow_their_tensors() -> None:
    a = cr.ones(2, dtype=cr.float32, requires_grad=True)
    b = cr.ones(2, dtype=cr.float64, requires_grad=True)
    h = cr.ones(2, dtype=cr.float16, requires_grad=True)
    (a * b * h).sum().backward()
    assert (a.grad.dtype, b.grad.dtype, h.grad.dtype) == (cr.float32, cr.float64, cr.float16)


def test_the_mixed_derivative_of_a_power_is_right_at_an_exponent_of_0() -> None:
    """d2(a^b)/(da db) at b = 0 is 1/a; PyTorch's mask makes it 0."""
    a, b = leaf(2.0), leaf(0.0)
    (by_a,) = grad((a**b).sum(), a, create_graph=True)
    (mixed,) = grad(by_a.sum(), b)
    assert by_a.tolist() == [0.0]
    assert mixed.item() == pytest.approx(0.5)
