"""Every loss with every option: values and gradients are PyTorch's."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
REDUCTIONS = ("mean", "sum", "none")
EPS = np.finfo(np.float64).eps
TOLERANCE = 64 * EPS
"""Each number is a sum of at most a dozen terms of size 1 to 10."""


def pair(array: Any, requires_grad: bool = False) -> tuple[Any, Any]:
    array = np.asarray(array)
    return cr.tensor(array, requires_grad=requires_grad), torch.tensor(array, requires_grad=requires_grad)


def assert_same(name: str, ours: list[Any], theirs: list[Any], grads: int = 1, **options: Any) -> None:
    """The loss, and the gradients of the first `grads` inputs for a cotangent that is not constant."""
    y = getattr(F, name)(*ours, **{k: v[0] if isinstance(v, tuple) else v for k, v in options.items()})
    t = getattr(torch.nn.functional, name)(
        *theirs, **{k: v[1] if isinstance(v, tuple) else v for k, v in options.items()}
    )
    assert y.dtype.name == str(t.dtype).removeprefix("torch.")
    assert tuple(y.shape) == tuple(t.shape)
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE)
    cotangent = RNG.standard_normal(tuple(y.shape))
    y.backward(cr.tensor(cotangent))
    t.backward(torch.tensor(cotangent))
    for x, u in list(zip(ours, theirs, strict=True))[:grads]:
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), u.grad.numpy(), rtol=TOLERANCE, atol=TOLERANCE)


SHAPES = [((5, 4), (5,)), ((4,), ()), ((2, 4, 3), (2, 3)), ((2, 4, 3, 2), (2, 3, 2))]


@pytest.mark.parametrize(("shape", "labels"), SHAPES)
@pytest.mark.parametrize(
    ("reduction", "smoothing", "weighted"), list(itertools.product(REDUCTIONS, (0.0, 0.2), (False, True)))
)
def test_cross_entropy_of_labels_is_pytorchs(shape, labels, reduction, smoothing, weighted):
    x, t = pair(RNG.standard_normal(shape), True), pair(RNG.integers(0, 4, labels))
    weight = pair(RNG.random(4) + 0.5) if weighted else None
    assert_same(
        "cross_entropy", [x[0], t[0]], [x[1], t[1]], weight=weight, reduction=reduction, label_smoothing=smoothing
    )


@pytest.mark.parametrize(("shape", "labels"), SHAPES)
@pytest.mark.parametrize(("reduction", "weighted"), list(itertools.product(REDUCTIONS, (False, True))))
def test_nll_loss_is_pytorchs(shape, labels, reduction, weighted):
    x, t = pair(RNG.standard_normal(shape), True), pair(RNG.integers(0, 4, labels))
    weight = pair(RNG.random(4) + 0.5) if weighted else None
    assert_same("nll_loss", [x[0], t[0]], [x[1], t[1]], weight=weight, reduction=reduction)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ignored", [-100, 2, 17])
def test_ignored_labels_do_not_count_as_in_pytorch(name, reduction, ignored):
    x, t = pair(RNG.standard_normal((6, 4)), True), pair(np.array([0, ignored, 3, 1, ignored, 2]))
    weight = pair(RNG.random(4) + 0.5)
    assert_same(name, [x[0], t[0]], [x[1], t[1]], weight=weight, reduction=reduction, ignore_index=ignored)


def test_the_mean_over_ignored_labels_alone_is_nan_as_in_pytorch():
    assert np.isnan(F.cross_entropy(cr.zeros(2, 3), cr.tensor([-100, -100])).item())


@pytest.mark.parametrize("shape", [shape for shape, _ in SHAPES])
@pytest.mark.parametrize(
    ("reduction", "smoothing", "weighted"), list(itertools.product(REDUCTIONS, (0.0, 0.2), (False, True)))
)
def test_cross_entropy_of_probabilities_is_pytorchs(shape, reduction, smoothing, weighted):
    x, t = pair(RNG.standard_normal(shape), True), pair(RNG.random(shape), True)
    weight = pair(RNG.random(4) + 0.5) if weighted else None
    assert_same(
        "cross_entropy", [x[0], t[0]], [x[1], t[1]], 2, weight=weight, reduction=reduction, label_smoothing=smoothing
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mse_loss", {}), ("l1_loss", {}), ("huber_loss", {}), ("huber_loss", {"delta": 0.3}), ("smooth_l1_loss", {}),
        ("smooth_l1_loss", {"beta": 0.3}), ("smooth_l1_loss", {"beta": 0.0}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_regression_losses_are_pytorchs(name, options, reduction):
    x, t = pair(RNG.standard_normal((3, 4)), True), pair(RNG.standard_normal((3, 4)), True)
    assert_same(name, [x[0], t[0]], [x[1], t[1]], 2, reduction=reduction, **options)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weighted_regression_losses_are_pytorchs(name, reduction):
    x, t = pair(RNG.standard_normal((3, 4)), True), pair(RNG.standard_normal((3, 4)), True)
    assert_same(name, [x[0], t[0]], [x[1], t[1]], 2, reduction=reduction, weight=pair(RNG.random((3, 4))))


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shapes", [((5, 1), (5,)), ((3, 4), (4,)), ((2, 1), (1, 3))])
def test_regression_losses_broadcast_as_pytorchs(name, reduction, shapes):
    x, t = (pair(RNG.standard_normal(s), True) for s in shapes)
    assert_same(name, [x[0], t[0]], [x[1], t[1]], 2, reduction=reduction)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"])
def test_different_shapes_warn_as_in_pytorch(name):
    for library, f in ((cr, F), (torch, torch.nn.functional)):
        with pytest.warns(UserWarning, match="likely lead to incorrect results due to broadcasting"):
            getattr(f, name)(library.zeros(3, 1), library.zeros(3))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, (3, 4), (4,), (3, 1)])
def test_binary_cross_entropy_is_pytorchs(reduction, weight):
    x, t = pair(RNG.random((3, 4)), True), pair(RNG.random((3, 4)), True)
    w = None if weight is None else pair(RNG.random(weight))
    assert_same("binary_cross_entropy", [x[0], t[0]], [x[1], t[1]], 2, weight=w, reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, (3, 4), (4,), (3, 1)])
@pytest.mark.parametrize("pos_weight", [None, (4,), (3, 4)])
def test_binary_cross_entropy_with_logits_is_pytorchs(reduction, weight, pos_weight):
    x, t = pair(RNG.standard_normal((3, 4)), True), pair(RNG.random((3, 4)), True)
    w = None if weight is None else pair(RNG.random(weight))
    p = None if pos_weight is None else pair(RNG.random(pos_weight) + 0.5)
    assert_same(
        "binary_cross_entropy_with_logits", [x[0], t[0]], [x[1], t[1]], 2, weight=w, pos_weight=p, reduction=reduction
    )


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((4,), (4,)), ((), ()), ((3, 4), (4,))])
def test_kl_div_is_pytorchs(reduction, log_target, shapes):
    x, t = pair(np.log(RNG.random(shapes[0])), True), pair(RNG.random(shapes[1]), True)
    assert_same("kl_div", [x[0], t[0]], [x[1], t[1]], 2, reduction=reduction, log_target=log_target)


MODULES = [
    ("MSELoss", {}), ("L1Loss", {"reduction": "sum"}), ("SmoothL1Loss", {"beta": 0.5}), ("HuberLoss", {"delta": 0.5}),
    ("BCEWithLogitsLoss", {}), ("BCEWithLogitsLoss", {"weight": [1.0, 2.0, 3.0], "pos_weight": [0.5, 1.0, 2.0]}),
    ("KLDivLoss", {"reduction": "batchmean", "log_target": True}),
    ("CrossEntropyLoss", {"weight": [1.0, 2.0, 3.0], "label_smoothing": 0.1, "ignore_index": 1, "reduction": "none"}),
    ("NLLLoss", {"weight": [1.0, 2.0, 3.0], "ignore_index": 1, "reduction": "sum"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), MODULES)
def test_loss_modules_are_pytorchs(name, options):
    labels = name in ("CrossEntropyLoss", "NLLLoss")
    results = []
    for library, modules in ((cr, nn), (torch, torch.nn)):
        made = {k: library.tensor(v) if isinstance(v, list) else v for k, v in options.items()}
        module = getattr(modules, name)(**made)
        x = library.tensor([[0.5, -1.0, 2.0], [1.0, 1.5, -0.5]])
        t = library.tensor([2, 1]) if labels else library.tensor([[0.25, 1.0, 0.5], [0.0, 1.0, 0.75]])
        results.append((module(x, t).numpy(), list(module.state_dict()), repr(module)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)  # float32: 8 eps
    assert results[0][1:] == results[1][1:]


BAD: list[tuple[str, Any]] = [
    ("a label above the classes", lambda m, f: f.cross_entropy(m.zeros(2, 3), m.tensor([0, 3]))),
    ("a negative label", lambda m, f: f.cross_entropy(m.zeros(2, 3), m.tensor([0, -1]))),
    ("a label above the classes in nll_loss", lambda m, f: f.nll_loss(m.zeros(2, 3), m.tensor([0, 3]))),
    ("another number of labels", lambda m, f: f.nll_loss(m.zeros(2, 3), m.tensor([0, 1, 2]))),
    ("a weight of another size", lambda m, f: f.cross_entropy(m.zeros(2, 3), m.tensor([0, 1]), m.ones(2))),
    (
        "a weight of another type",
        lambda m, f: f.cross_entropy(m.zeros(2, 3), m.tensor([0, 1]), m.ones(3, dtype=m.float64)),
    ),
    ("an ignored probability", lambda m, f: f.cross_entropy(m.zeros(2, 3), m.ones(2, 3), ignore_index=1)),
    ("a weight for one class", lambda m, f: f.cross_entropy(m.zeros(2, 3), m.ones(2, 3), m.ones(1))),
    ("float labels", lambda m, f: f.cross_entropy(m.zeros(2, 3), m.tensor([0.0, 1.0]))),
    ("a smoothing above 1", lambda m, f: f.cross_entropy(m.zeros(2, 3), m.tensor([0, 1]), label_smoothing=1.5)),
    ("another reduction", lambda m, f: f.mse_loss(m.zeros(2), m.zeros(2), reduction="average")),
    ("batchmean elsewhere", lambda m, f: f.mse_loss(m.zeros(2), m.zeros(2), reduction="batchmean")),
    ("probabilities above 1", lambda m, f: f.binary_cross_entropy(m.tensor([1.5]), m.tensor([1.0]))),
    ("nan as a probability", lambda m, f: f.binary_cross_entropy(m.tensor([float("nan")]), m.tensor([1.0]))),
    ("shapes of binary_cross_entropy", lambda m, f: f.binary_cross_entropy(m.ones(2), m.ones(2, 1))),
    ("shapes with logits", lambda m, f: f.binary_cross_entropy_with_logits(m.ones(2), m.ones(2, 1))),
    ("a negative delta", lambda m, f: f.huber_loss(m.zeros(2), m.zeros(2), delta=0.0)),
    ("a weight of mse_loss", lambda m, f: f.mse_loss(m.zeros(2), m.zeros(2), weight=m.ones(3))),
]


@pytest.mark.parametrize(("what", "call"), BAD, ids=[what for what, _ in BAD])
def test_what_pytorch_refuses_raises_its_class(what, call):
    with pytest.raises((RuntimeError, ValueError, IndexError), match=r"\w") as theirs:
        call(torch, torch.nn.functional)
    with pytest.raises(type(theirs.value)):
        call(cr, F)
