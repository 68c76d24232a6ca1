"""What the optimisers run in place is what the catalogue declares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import optim
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.op import Op
from chainrule.ops.update import UPDATES
from chainrule.optim.elementwise import BLOCK_BYTES, Elementwise
from chainrule.tensor.numpy_maths import NumPyMaths
from chainrule.tensor.tensor import wrap

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"weight_decay": 0.1, "amsgrad": True, "maximize": True}),
    ("AdamW", {"weight_decay": 0.1}),
    ("AdamW", {"weight_decay": 0.1, "amsgrad": True, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"centered": True}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2}),
    ("Adadelta", {"weight_decay": 0.1, "maximize": True}),
]
every_variant = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=[f"{n}-{'-'.join(o)}" for n, o in VARIANTS])


def by_formula(op: Op, optimiser: Elementwise, p: Any, g: Any, state: dict[str, Any], step: int) -> tuple[Any, ...]:
    """The declared update, with the inputs looked up by name in the state and the options of the first group."""
    group = optimiser.param_groups[0]
    options = optimiser.hyperparameters(group)
    known = {**options, **state, "p": p, "g": g, "step": step, "weight_decay": group["weight_decay"] or None}
    params = {"maximize": group["maximize"], **{k: v for k, v in options.items() if k in op.params}}
    return op.definition(NumPyMaths, *[known.get(name) for name in op.inputs], **params)  # type: ignore[no-any-return]


@every_variant
@pytest.mark.parametrize("size", [7, 90_000], ids=["in a bundle", "in blocks"])
def test_an_optimisers_step_is_the_declared_update(name: str, options: dict[str, Any], size: int) -> None:
    rng = np.random.default_rng(3)
    for dtype in (np.float64, np.float32):
        # the moments' ratio in float32: rounded once in each of about ten passes, in another order
        bound = 16 * float(np.finfo(dtype).eps)
        p = wrap(rng.normal(size=size).astype(dtype), None).requires_grad_()
        optimiser = getattr(optim, name)([p], **{"lr": 0.05, **options})
        group = optimiser.param_groups[0]
        op = optimiser.formula(group)
        assert op is CATALOGUE[name.lower()]
        names = [n for n in op.inputs if n in optimiser.state_names(group)]
        for step in (1, 2, 3):
            p.grad = wrap(rng.normal(size=size).astype(dtype), None)
            before = {n: t.value.copy() for n, t in optimiser.state.get(p, {}).items() if n != "step"}
            start = {n: np.full(size, optimiser.initial(n, group), dtype) for n in names if n not in before}
            state = before if name == "SGD" else {**before, **start}
            wanted, *states = by_formula(op, optimiser, p.value.copy(), p.grad.value, state, step)
            optimiser.step()
            np.testing.assert_allclose(p.value, wanted, rtol=bound, atol=bound)
            for n, s in zip(optimiser.state_names(group), states, strict=True):
                assert s.dtype == dtype
                np.testing.assert_allclose(optimiser.state[p][n].value, s, rtol=bound, atol=bound)


def test_the_declared_updates_give_float32_for_float32_and_the_state_they_took() -> None:
    for op in UPDATES:
        assert op.kind.name == "update"
        assert not op.rules
        for case in op.tests:
            inputs = [np.array(x, np.float32) if isinstance(x, list) else x for x in case.inputs]
            results = op.definition(NumPyMaths, *inputs, **case.params)
            assert [r.dtype for r in results] == [np.float32] * len(results)
            assert {r.shape for r in results} == {op.shape_rule(*[np.shape(x) for x in inputs])}


def test_adams_first_step_keeps_its_digits_in_float32() -> None:
    zeros, g = np.zeros(2, np.float32), np.array([3.0, -0.01], np.float32)
    moved = CATALOGUE["adam"].definition(NumPyMaths, zeros, g, zeros, zeros, 1, 0.1, 0.9, 0.999, 1e-12)[0]
    # m' and v' carry the rounding of 1 - b, of the products, the root and the quotients: ten roundings at most
    np.testing.assert_allclose(moved, [-0.1, 0.1], rtol=10 * float(np.finfo(np.float32).eps) / 2)


def test_adams_first_step_is_the_rate_against_the_sign_of_the_gradient() -> None:
    p = wrap(np.zeros(3), None).requires_grad_()
    p.grad = wrap(np.array([1e-4, -30.0, 0.0]), None)
    optim.Adam([p], lr=0.5, eps=0.0 + 1e-30).step()
    np.testing.assert_allclose(p.value, [-0.5, 0.5, 0.0], rtol=1e-12)


def test_many_parameters_share_arrays_of_at_most_a_block() -> None:
    params = [wrap(np.ones((100, 40)), None).requires_grad_() for _ in range(20)]
    for p in params:
        p.grad = wrap(np.ones((100, 40)), None)
    optimiser = optim.Adam(params)
    optimiser.step()
    moments = [optimiser.state[p]["exp_avg"].value for p in params]
    owners = {id(m.base) for m in moments}
    assert len(owners) == 2  # 65,536 float64 fit a block: sixteen parameters of 4,000 each
    assert all(m.base.nbytes <= BLOCK_BYTES for m in moments)


def test_a_step_allocates_nothing_that_stays_and_touches_no_gradient() -> None:
    p = wrap(np.ones(5), None).requires_grad_()
    g = np.arange(5.0)
    g.flags.writeable = False
    p.grad = wrap(g, None)
    value, optimiser = p.value, optim.Adam([p], weight_decay=0.1, maximize=True)
    optimiser.step()
    moment = optimiser.state[p]["exp_avg"].value
    optimiser.step()
    assert p.value is value
    assert optimiser.state[p]["exp_avg"].value is moment


def test_gradients_and_parameters_may_lie_in_memory_in_any_order() -> None:
    rng = np.random.default_rng(0)
    for shape in ((6, 4), (300, 300)):
        plain, turned, strided = [wrap(rng.normal(size=shape), None) for _ in range(3)]
        turned = wrap(np.asfortranarray(plain.value), None)
        strided = wrap(np.repeat(plain.value, 2, axis=1)[:, ::2], None)
        params = [plain.requires_grad_(), turned.requires_grad_(), strided.requires_grad_()]
        g = rng.normal(size=shape)
        for p, order in zip(params, "CFF", strict=True):
            p.grad = wrap(np.array(g, order=order), None)  # type: ignore[call-overload]
        optimiser = optim.AdamW(params)
        for _ in range(3):
            optimiser.step()
        np.testing.assert_array_equal(turned.value, plain.value)
        np.testing.assert_array_equal(strided.value, plain.value)
