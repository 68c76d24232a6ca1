"""Functions of tensors: values, shapes, element types, gradients and second derivatives are PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(1)
A = RNG.normal(size=(3, 4))
B = RNG.normal(size=(3, 4))
M = RNG.normal(size=(4, 5))
V = RNG.normal(size=4)
CUBE = RNG.normal(size=(2, 3, 4))
BATCH = RNG.normal(size=(2, 4, 3))
POSITIVE = RNG.uniform(0.5, 2.0, size=(3, 4))
I12 = np.array([1, 0, 2, 1])

Case = tuple[str, Callable[..., Any], tuple[Any, ...]]


def tensors_of(x: Any) -> list[Any]:
    return [part for y in x for part in tensors_of(y)] if isinstance(x, tuple | list) else [x]


def is_float(x: Any) -> bool:
    return str(x.dtype).endswith(("float64", "float32"))


def outcome(lib: Any, function: Callable[..., Any], arrays: tuple[Any, ...], second: bool) -> list[Any]:
    """Shapes, types and values of the results, then first (and second) derivatives by every input."""
    xs = [lib.tensor(a, requires_grad=True) for a in arrays]
    ys = tensors_of(function(lib, *xs))
    found: list[Any] = [(tuple(y.shape), str(y.dtype).partition(".")[2], y.detach().numpy()) for y in ys]
    grads = grad_of(lib)
    loss = 0.0
    for k, y in enumerate(ys):
        if is_float(y) and y.requires_grad:
            weights = np.cos(np.arange(y.numel()) + k).reshape(tuple(y.shape))
            loss = loss + (y * lib.tensor(weights)).sum()
    if not isinstance(loss, float):
        firsts = grads(loss, xs, create_graph=second, allow_unused=True)
        found += [None if g is None else g.detach().numpy(force=True) for g in firsts]
        total = sum([(g * g * 0.5).sum() for g in firsts if g is not None and g.requires_grad]) if second else 0
        seconds = [None] * len(xs) if isinstance(total, int) else grads(total, xs, allow_unused=True)
        found += [None if g is None else g.numpy(force=True) for g in seconds]
    return found


def grad_of(lib: Any) -> Any:
    if lib is torch:
        return torch.autograd.grad
    from chainrule.tensor.backward import grad

    return grad


def agree(function: Callable[..., Any], *arrays: Any, second: bool = True, tolerance: float = 1e-10) -> None:
    ours, theirs = (outcome(lib, function, arrays, second) for lib in (cr, torch))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, tuple):
            assert a[:2] == b[:2]
            a, b = a[2], b[2]
        if a is None or b is None:  # PyTorch may say None where the derivative is 0
            assert not np.any(a if b is None else b)
            continue
        np.testing.assert_allclose(a, b, tolerance, tolerance)


SELECTION: list[Case] = [
    ("gather", lambda m, x: m.gather(x, 1, m.tensor([[0, 1], [2, 2], [3, 0]])), (A,)),
    ("gather rows", lambda m, x: x.gather(0, m.tensor([[0, 1, 2, 0]])), (A,)),
    ("scatter", lambda m, x, s: x.scatter(1, m.tensor([[0, 1], [2, 1], [3, 0]]), s), (A, B[:, :2])),
    ("scatter value", lambda m, x: x.scatter(1, m.tensor([[0, 1], [2, 1], [3, 0]]), 1.5), (A,)),
    ("scatter_add", lambda m, x, s: x.scatter_add(0, m.tensor([[0, 0, 1, 2], [0, 1, 1, 2]]), s), (A, B[:2])),
    ("index_select", lambda m, x: x.index_select(1, m.tensor([3, 0, 3])), (A,)),
    ("index_add", lambda m, x, s: x.index_add(0, m.tensor([2, 0, 2]), s, alpha=2), (A, B)),
    ("index_copy", lambda m, x, s: x.index_copy(0, m.tensor([2, 0, 1]), s), (A, B)),
    ("index_fill", lambda m, x: x.index_fill(1, m.tensor([1, 2]), -1.0), (A,)),
    ("index_put", lambda m, x: x.index_put((m.tensor([0, 2]), m.tensor([1, 1])), m.tensor([5.0, 6.0], dtype=m.float64)), (A,)),
    ("index_put accumulate", lambda m, x, v: x.index_put((m.tensor([0, 2, 0, 1]), m.tensor([1, 1, 1, 3])), v, accumulate=True), (A, V)),
    ("take", lambda m, x: m.take(x, m.tensor([0, 5, 5, 11])), (A,)),
    ("take_along_dim", lambda m, x: m.take_along_dim(x, m.argsort(x, dim=1), dim=1), (A,)),
    ("take_along_dim broadcast", lambda m, x: m.take_along_dim(x, m.tensor([[2], [0], [1]]), dim=1), (A,)),
    ("take_along_dim flat", lambda m, x: m.take_along_dim(x, m.tensor([3, 3, 0])), (A,)),
    ("masked_fill", lambda m, x: x.masked_fill(x > 0, -2.0), (A,)),
    ("masked_fill broadcast", lambda m, x: x.masked_fill(m.tensor([True, False, True, False]), 0.0), (A,)),
    ("masked_select", lambda m, x: x.masked_select(x > 0), (A,)),
    ("masked_select broadcast", lambda m, x: m.masked_select(x, m.tensor([True, False, True, False])), (A,)),
    ("masked_scatter", lambda m, x, s: x.masked_scatter(x > 0, s), (A, B)),
    ("topk", lambda m, x: m.topk(x, 2), (A,)),
    ("topk smallest rows", lambda m, x: x.topk(2, dim=0, largest=False), (A,)),
    ("sort", lambda m, x: m.sort(x), (A,)),
    ("sort descending rows", lambda m, x: x.sort(dim=0, descending=True), (A,)),
    ("argsort", lambda m, x: m.argsort(x, dim=-1, descending=True), (A,)),
    ("where", lambda m, x, y: m.where(x > 0, x, y), (A, B)),
    ("where number", lambda m, x: m.where(x > 0, x, 0.5), (A,)),
    ("nonzero", lambda m, x: m.nonzero(x > 0), (A,)),
    ("nonzero tuple", lambda m, x: m.nonzero(x > 0, as_tuple=True), (A,)),
    ("unique", lambda m, x: m.unique((x.detach() * 2).round(), return_inverse=True, return_counts=True), (A,)),
    ("max over dim", lambda m, x: m.max(x, dim=1), (A,)),
    ("min over dim keepdim", lambda m, x: x.min(0, keepdim=True), (A,)),
    ("max", lambda m, x: x.max(), (A,)),
    ("maximum", lambda m, x, y: m.maximum(x, y), (A, B)),
    ("amax", lambda m, x: m.amax(x, dim=(0, 1)), (A,)),
    ("amin", lambda m, x: x.amin(1, keepdim=True), (A,)),
    ("aminmax", lambda m, x: m.aminmax(x, dim=1), (A,)),
    ("argmax", lambda m, x: (x.argmax(), x.argmax(1), x.argmin(dim=0, keepdim=True)), (A,)),
    ("median", lambda m, x: m.median(x), (A,)),
    ("median over dim", lambda m, x: m.median(x, dim=1, keepdim=True), (A,)),
    ("kthvalue", lambda m, x: m.kthvalue(x, 2, dim=0), (A,)),
    ("searchsorted", lambda m, x: m.searchsorted(m.tensor([-1.0, 0.0, 1.0], dtype=m.float64), x), (A,)),
]  # fmt: skip

MOVEMENT: list[Case] = [
    ("reshape", lambda m, x: x.reshape(2, -1), (A,)),
    ("flatten", lambda m, x: m.flatten(x, 1), (CUBE,)),
    ("unflatten", lambda m, x: m.unflatten(x, 1, (2, -1)), (A,)),
    ("permute", lambda m, x: x.permute(2, 0, 1), (CUBE,)),
    ("transpose", lambda m, x: m.transpose(x, 0, -1), (CUBE,)),
    ("T", lambda m, x: x.T, (A,)),
    ("mT", lambda m, x: x.mT, (CUBE,)),
    ("movedim", lambda m, x: m.movedim(x, (0, 1), (-1, 0)), (CUBE,)),
    ("squeeze", lambda m, x: x.unsqueeze(1).unsqueeze(-1).squeeze(1), (A,)),
    ("expand", lambda m, x: x.expand(3, -1, 4), (V.reshape(1, 4),)),
    ("repeat", lambda m, x: x.repeat(2, 1, 3), (A,)),
    ("tile", lambda m, x: m.tile(x, (2,)), (A,)),
    ("repeat_interleave", lambda m, x: m.repeat_interleave(x, 2, dim=1), (A,)),
    ("repeat_interleave flat", lambda m, x: x.repeat_interleave(3), (A,)),
    ("repeat_interleave each", lambda m, x: x.repeat_interleave(m.tensor([1, 0, 2]), dim=0), (A,)),
    ("roll", lambda m, x: m.roll(x, 1), (A,)),
    ("roll dims", lambda m, x: m.roll(x, (1, -2), (0, 1)), (A,)),
    ("flip", lambda m, x: m.flip(x, (0, 1)), (A,)),
    ("fliplr", lambda m, x: (m.fliplr(x), m.flipud(x)), (A,)),
    ("cat", lambda m, x, y: m.cat([x, y, x], dim=1), (A, B)),
    ("stack", lambda m, x, y: m.stack([x, y], dim=-1), (A, B)),
    ("vstack", lambda m, x, y: (m.vstack([x, y]), m.hstack([x, y])), (A, B)),
    ("split", lambda m, x: m.split(x, 3, dim=1), (A,)),
    ("split sizes", lambda m, x: x.split([1, 3], dim=1), (A,)),
    ("chunk", lambda m, x: m.chunk(x, 3, dim=1), (A,)),
    ("tensor_split", lambda m, x: m.tensor_split(x, 3, dim=1), (A,)),
    ("tensor_split at", lambda m, x: m.tensor_split(x, (1, 3), dim=1), (A,)),
    ("unbind", lambda m, x: m.unbind(x, 1), (A,)),
    ("narrow", lambda m, x: x.narrow(1, 1, 2), (A,)),
    ("select", lambda m, x: x.select(1, -1), (A,)),
    ("tril", lambda m, x: (m.tril(x), m.triu(x, 1), x.tril(-1)), (A,)),
    ("diagonal", lambda m, x: (m.diagonal(x), m.diagonal(x, 1), m.diagonal(x, -1), m.diagonal(x.T, 2)), (A,)),
    ("diagonal of batch", lambda m, x: m.diagonal(x, dim1=-2, dim2=-1), (CUBE,)),
    ("diagonal past the end", lambda m, x: m.diagonal(x, 4), (A,)),
    ("diag", lambda m, x: (m.diag(x), m.diag(x, -1)), (V,)),
    ("diag of matrix", lambda m, x: m.diag(x, 1), (A,)),
    ("trace", lambda m, x: m.trace(x), (A,)),
    ("meshgrid ij", lambda m, x, y: m.meshgrid(x, y, indexing="ij"), (V, V[:3])),
    ("meshgrid xy", lambda m, x, y: m.meshgrid(x, y, indexing="xy"), (V, V[:3])),
    ("broadcast_tensors", lambda m, x, y: m.broadcast_tensors(x, y), (A, V)),
]  # fmt: skip

REDUCTION: list[Case] = [
    ("sum", lambda m, x: (x.sum(), x.sum(0), x.sum((0, 2), keepdim=True), x.sum(-1)), (CUBE,)),
    ("mean", lambda m, x: (x.mean(), x.mean(1), x.mean((0, 1))), (CUBE,)),
    ("prod", lambda m, x: (x.prod(), x.prod(1), x.prod(0, keepdim=True)), (A,)),
    ("var", lambda m, x: (x.var(), x.var(1), x.var(0, unbiased=False), x.var(dim=(0, 1), correction=2, keepdim=True)), (A,)),
    ("std", lambda m, x: (x.std(), x.std(1), x.std(0, unbiased=False), m.std(x, dim=1, correction=0)), (A,)),
    ("var_mean", lambda m, x: (*m.var_mean(x, dim=1), *m.std_mean(x, dim=0)), (A,)),
    ("norm", lambda m, x: (x.norm(), m.norm(x, 1), m.norm(x, 3, dim=1), m.norm(x, float("inf"), dim=0, keepdim=True)), (A,)),
    ("norm -inf and 0", lambda m, x: (m.norm(x, -float("inf")), m.norm(x, 0)), (A,)),
    ("dist", lambda m, x, y: (m.dist(x, y), m.dist(x, y, 1)), (A, B)),
    ("logsumexp", lambda m, x: (m.logsumexp(x, 1), m.logsumexp(x, (0, 1), keepdim=True)), (A,)),
    ("cumsum", lambda m, x: (m.cumsum(x, 0), x.cumsum(-1)), (A,)),
    ("cumprod", lambda m, x: m.cumprod(x, 1), (A,)),
    ("softmax", lambda m, x: (m.softmax(x, 1), m.log_softmax(x, 0)), (A,)),
    ("any", lambda m, x: (m.any(x > 1), m.all(x > -9, 1), m.count_nonzero(x > 0)), (A,)),
]  # fmt: skip

ELEMENTWISE: list[Case] = [
    (name, lambda m, x, name=name: getattr(m, name)(x), (A,))
    for name in ("abs", "exp", "expm1", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "sigmoid", "relu",
                 "erf", "square", "reciprocal", "neg", "sign", "floor", "ceil", "round", "trunc", "frac")
] + [
    (name, lambda m, x, name=name: getattr(m, name)(x), (POSITIVE,))
    for name in ("log", "log2", "log10", "log1p", "sqrt", "rsqrt")
] + [
    (name, lambda m, x, name=name: getattr(m, name)(x), (np.tanh(A),)) for name in ("asin", "acos")
] + [
    ("pow", lambda m, x, y: (x**y, x**2, x**-1.5, 2.0**y, x**0), (POSITIVE, A)),
    ("add", lambda m, x, y: (m.add(x, y, alpha=3), m.sub(x, y, alpha=0.5), m.rsub(x, y)), (A, V)),
    ("div", lambda m, x, y: (x / y, m.div(x, y, rounding_mode="floor"), m.div(x, y, rounding_mode="trunc")), (A, POSITIVE)),
    ("remainder", lambda m, x, y: (x % y, (x // y).detach(), m.remainder(x, -0.7)), (A, POSITIVE)),
    ("atan2", lambda m, x, y: m.atan2(x, y), (A, B)),
    ("clamp", lambda m, x: (x.clamp(-0.5, 0.5), x.clamp(min=0), m.clamp(x, max=0.1)), (A,)),
    ("clamp by tensors", lambda m, x, y: m.clamp(x, min=y), (A, B)),
    ("lerp", lambda m, x, y, w: m.lerp(x, y, w), (A, B, POSITIVE)),
    ("addcmul", lambda m, x, y, z: (m.addcmul(x, y, z, value=2), m.addcdiv(x, y, z, value=-1)), (A, B, POSITIVE)),
    ("logaddexp", lambda m, x, y: m.logaddexp(x, y), (A, B)),
    ("nan_to_num", lambda m, x: m.nan_to_num(x / m.tensor([0.0, 1.0, 2.0, 1.0], dtype=m.float64)), (A,)),
    ("round decimals", lambda m, x: m.round(x, decimals=2), (A,)),
]  # fmt: skip

CONTRACTION: list[Case] = [
    ("matmul", lambda m, x, y: x @ y, (A, M)),
    ("matrix vector", lambda m, x, v: (x @ v, m.mv(x, v)), (A, V)),
    ("vector matrix", lambda m, v, y: v @ y, (V, M)),
    ("dot", lambda m, v: (v @ v, m.dot(v, v)), (V,)),
    ("batched", lambda m, x, y: (x @ y, m.bmm(x, y)), (CUBE, BATCH)),
    ("batch times matrix", lambda m, x, y: x @ y, (CUBE, M)),
    ("matrix times batch", lambda m, x, y: x @ y, (A, BATCH)),
    ("batch times vector", lambda m, x, v: x @ v, (CUBE, V)),
    ("vector times batch", lambda m, v, x: v @ x, (V, BATCH)),
    ("outer", lambda m, v, w: m.outer(v, w), (V, V[:3])),
    ("addmm", lambda m, x, y, z: m.addmm(x, y, z, beta=0.5, alpha=2), (A @ M, A, M)),
    ("addmv", lambda m, x, y, z: m.addmv(x, y, z), (A @ V, A, V)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "function", "arrays"),
    [pytest.param(*case, id=case[0]) for case in (*SELECTION, *MOVEMENT, *REDUCTION, *ELEMENTWISE, *CONTRACTION)],
)
def test_values_gradients_and_second_derivatives_agree(name: str, function: Callable[..., Any], arrays: Any) -> None:
    agree(function, *arrays)


EINSUMS = [
    ("ij,jk->ik", (3, 4), (4, 5)), ("ij,jk", (3, 4), (4, 5)), ("ij->ji", (3, 4)), ("ij->", (3, 4)), ("ij->j", (3, 4)),
    ("ii->i", (3, 3)), ("ii", (3, 3)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("...ij,...jk->...ik", (2, 3, 4), (4, 5)),
    ("...i,i->...", (2, 3, 4), (4,)), ("i,j->ij", (3,), (4,)), ("i,i->", (3,), (3,)), ("i,i->i", (3,), (3,)),
    ("ij,ij->i", (3, 4), (3, 4)), ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("b...,b->...", (3, 2, 2), (3,)), ("aab->b", (3, 3, 2)), ("ij,kj->ik", (3, 4), (5, 4)), (" i j , j -> i ", (3, 4), (4,)),
    ("...->...", (2, 3)), ("ba", (2, 3)), ("i...->...", (2, 3, 4)), ("ij,k->ijk", (2, 3), (2,)), ("...,...", (2, 3), (2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("case", EINSUMS, ids=lambda c: c[0])
def test_einsum_agrees(case: Any) -> None:
    spec, *shapes = case
    arrays = [np.random.default_rng(len(s)).normal(size=s) for s in shapes]
    agree(lambda m, *xs: m.einsum(spec, *xs), *arrays)


@pytest.mark.parametrize(
    ("spec", "shapes", "kind"),
    [("ij,jk->ik", [(3, 4), (5, 4)], RuntimeError), ("ij,jk", [(3, 4)], (RuntimeError, ValueError)),
     ("ij->ik", [(3, 4)], (RuntimeError, ValueError)), ("i1->i", [(3, 4)], (RuntimeError, ValueError)),
     ("i->i", [(3, 4)], RuntimeError), ("ii->i", [(3, 4)], RuntimeError)],
)  # fmt: skip
def test_a_wrong_einsum_is_refused(spec: str, shapes: Any, kind: Any) -> None:
    with pytest.raises(kind):
        cr.einsum(spec, *[cr.ones(s) for s in shapes])


@pytest.mark.parametrize("n", [-1, 3, 5])
def test_one_hot_agrees(n: int) -> None:
    from chainrule.tensor.functions.selection import one_hot

    labels = [[2, 0], [1, 1]]
    ours, theirs = one_hot(cr.tensor(labels), n), torch.nn.functional.one_hot(torch.tensor(labels), n)
    assert ours.tolist() == theirs.tolist()
    assert ours.dtype is cr.int64


def test_a_source_larger_than_the_index_is_read_at_its_start() -> None:
    found = []
    for lib in (cr, torch):
        x, s, index = lib.tensor(A), lib.tensor(B), lib.tensor([[0, 1], [2, 1]])
        found.append([x.scatter(1, index, s).tolist(), x.scatter_add(1, index, s).tolist()])
    assert found[0] == found[1]


def test_elements_that_tie_share_the_gradient_of_amax_and_the_first_gets_it_from_max_over_a_dim() -> None:
    ties = np.array([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0], [0.0, 0.0, -1.0, 0.0]])
    agree(lambda m, x: (x.amax(1), x.max(), x.amin(0), m.maximum(x, x * 1.0)), ties, second=False)


def test_unique_along_an_axis_agrees() -> None:
    rows = np.array([[2.0, 1.0], [0.0, 5.0], [2.0, 1.0]])
    ours = cr.unique(cr.tensor(rows), return_inverse=True, return_counts=True, dim=0)
    theirs = torch.unique(torch.tensor(rows), return_inverse=True, return_counts=True, dim=0)
    for a, b in zip(ours, theirs, strict=True):
        assert a.tolist() == b.tolist()


def test_bincount_and_histc_agree() -> None:
    labels, weights = [0, 2, 2, 5], [0.5, 1.0, 2.0, 4.0]
    assert cr.bincount(cr.tensor(labels)).tolist() == torch.bincount(torch.tensor(labels)).tolist()
    ours = cr.bincount(cr.tensor(labels), cr.tensor(weights), minlength=8)
    assert ours.tolist() == torch.bincount(torch.tensor(labels), torch.tensor(weights), minlength=8).tolist()
    x = [0.0, 0.3, 0.9, 1.0, 1.0, 2.0]
    assert cr.histc(cr.tensor(x), 4, 0, 2).tolist() == torch.histc(torch.tensor(x), 4, 0, 2).tolist()
    assert cr.histc(cr.tensor(x), 3).tolist() == torch.histc(torch.tensor(x), 3).tolist()


ZERO_D: list[Case] = [
    (name, lambda m, x, name=name: getattr(x, name)(), (np.array(1.5),))
    for name in ("sum", "mean", "prod", "max", "min", "median", "flatten", "t", "squeeze", "argmax", "nonzero")
] + [
    ("dim 0", lambda m, x: (x.sum(0), x.mean(-1), x.max(0), x.sort(0), x.cumsum(0), m.softmax(x, 0), x.argmax(0)), (np.array(1.5),)),
    ("unsqueeze", lambda m, x: (x.unsqueeze(0), x.unsqueeze(-1), x.expand(3), x.repeat(2)), (np.array(1.5),)),
    ("transpose", lambda m, x: x.transpose(0, -1), (np.array(1.5),)),
    ("topk", lambda m, x: (x.topk(1), x.kthvalue(1)), (np.array(1.5),)),
    ("norm", lambda m, x: (x.norm(), m.logsumexp(x, 0), m.amax(x), m.all(x, 0)), (np.array(1.5),)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function", "arrays"), [pytest.param(*case, id=case[0]) for case in ZERO_D])
def test_tensors_without_axes_agree(name: str, function: Callable[..., Any], arrays: Any) -> None:
    agree(function, *arrays, second=False)


EMPTY: list[Case] = [
    ("sums", lambda m, x: (x.sum(), x.sum(0), x.sum(1), x.prod(), x.prod(0)), (np.zeros((0, 3)),)),
    ("logic", lambda m, x: ((x > 0).any(), (x > 0).all(), (x > 0).all(0)), (np.zeros((0, 3)),)),
    ("moves", lambda m, x: (x.T, x.reshape(3, 0), x.unsqueeze(0), m.cat([x, x]), x.flip(0), x.tril()), (np.zeros((0, 3)),)),
    ("matmul", lambda m, x: (x @ x.T, x.T @ x), (np.zeros((0, 3)),)),
    ("amax along the other axis", lambda m, x: (x.amax(1), x.max(1), x.argmax(1)), (np.zeros((0, 3)),)),
    ("sort", lambda m, x: (x.sort(0), x.cumsum(0), x.softmax(1), x.logsumexp(1)), (np.zeros((0, 3)),)),
    ("split", lambda m, x: (*x.split(2), *x.chunk(2, 1)), (np.zeros((0, 3)),)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function", "arrays"), [pytest.param(*case, id=case[0]) for case in EMPTY])
def test_empty_tensors_agree(name: str, function: Callable[..., Any], arrays: Any) -> None:
    agree(function, *arrays, second=False)


@pytest.mark.parametrize("reduce", ["amax", "amin", "argmax", "max", "median"])
def test_there_is_no_choice_from_nothing(reduce: str) -> None:
    for lib in (cr, torch):
        with pytest.raises((RuntimeError, IndexError)):
            getattr(lib.zeros(0, 3), reduce)(0)
