"""Random numbers in compiled programs: those of the eager run, drawn anew at each call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled_calls import MACHINES, interpreted, native

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import dtypes, nn, optim
from chainrule.compiler.targets.llvm.machine import Machine
from chainrule.errors import UnsupportedError

Draws = Callable[[cr.Tensor], cr.Tensor]

THE_SAME_BITS: dict[str, Draws] = {
    "rand": lambda x: cr.rand(3, 5), "rand of float64": lambda x: cr.rand(33, 17, dtype=cr.float64),
    "a number": lambda x: cr.rand(()), "two draws": lambda x: cr.rand(3) - cr.rand(3),
    "rand_like": lambda x: cr.rand_like(x) * x, "randint": lambda x: cr.randint(-3, 9, (5, 7)),
    "randint of int32": lambda x: cr.randint(9, (5,), dtype=cr.int32), "randperm": lambda x: cr.randperm(50),
    "bernoulli": lambda x: cr.bernoulli(cr.sigmoid(x)), "bernoulli of p": lambda x: cr.bernoulli(x, 0.3),
    "multinomial": lambda x: cr.multinomial(x * x, 2),
    "multinomial with replacement": lambda x: cr.multinomial(x * x, 20, replacement=True),
    "dropout": lambda x: F.dropout(x, 0.5), "dropout2d": lambda x: F.dropout2d(x.reshape(1, 3, 4, 1), 0.5),
    "uniform_": lambda x: (x * 0).uniform_(-1, 1), "bernoulli_": lambda x: (x * 0).bernoulli_(0.3),
    "random_": lambda x: (x * 0).random_(10),
}  # fmt: skip
ROUNDED: dict[str, Draws] = {
    "randn": lambda x: cr.randn(4, 3) + x.sum(), "randn_like": lambda x: cr.randn_like(x),
    "normal of tensors": lambda x: cr.normal(x, x * x + 1), "normal of numbers": lambda x: cr.normal(1.0, 2.0, (3,)),
    "normal_": lambda x: (x * 0).normal_(), "exponential_": lambda x: (x * 0).exponential_(2.0),
}  # fmt: skip


def numbers() -> cr.Tensor:
    return cr.tensor(np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32))


def three_calls(function: Any, x: cr.Tensor, seed: int = 2**63 + 5) -> tuple[list[Any], Any]:
    """What three calls give, and the generator's state after them."""
    cr.manual_seed(seed)
    return [function(x).numpy() for _ in range(3)], cr.get_rng_state().numpy()


@pytest.mark.parametrize("name", THE_SAME_BITS)
def test_a_compiled_draw_has_the_bits_of_the_eager_one(name: str) -> None:
    draw, x = THE_SAME_BITS[name], numbers()
    wanted, state = three_calls(draw, x)
    got, compiled_state = three_calls(cr.compile(draw), x)
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(compiled_state, state)
    assert not np.array_equal(got[0], got[1])


@pytest.mark.parametrize("name", ROUNDED)
def test_a_compiled_normal_number_is_the_eager_one_rounded_elsewhere(name: str) -> None:
    """log1p, cos and log are within 2 ulp in both; a number near 0 has the error of the larger one it came from."""
    draw, x = ROUNDED[name], numbers()
    wanted, state = three_calls(draw, x)
    got, compiled_state = three_calls(cr.compile(draw), x)
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=16 * 2.0**-23, atol=16 * 2.0**-23)
    np.testing.assert_array_equal(compiled_state, state)
    assert not np.array_equal(got[0], got[1])


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: f"{machine.vector_bits} bits")
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2048,), (33, 17), (5, 64), (7, 3, 2), (2, 3, 129)], ids=str)
def test_a_word_follows_from_its_place_at_every_shape_and_vector_width(
    shape: tuple[int, ...], machine: Machine
) -> None:
    """Rows may begin within a block of four words."""
    key, counter = np.array(-7), np.array(2**62)
    for dtype in (dtypes.float16, dtypes.float32, dtypes.float64):
        got = native("uniform", key, counter, machine=machine, shape=shape, dtype=dtype)
        np.testing.assert_array_equal(got, interpreted("uniform", key, counter, shape=shape, dtype=dtype))
    params = {"shape": shape, "low": -3, "high": 90}
    got = native("random_integers", key, counter, machine=machine, **params)
    np.testing.assert_array_equal(got, interpreted("random_integers", key, counter, **params))


def test_a_draw_that_is_reduced_or_turned_has_the_same_words() -> None:
    def both(x: cr.Tensor) -> cr.Tensor:
        return (
            cr.rand(37, 70, dtype=cr.float64).sum(1).sum() + cr.rand(37, 70, dtype=cr.float64).T.sum(1).max() + x.sum()
        )

    x = numbers().double()
    wanted, _ = three_calls(both, x)
    got, _ = three_calls(cr.compile(both), x)
    np.testing.assert_allclose(got, wanted, rtol=1e-13)


def test_a_generator_of_one_s_own_goes_on_as_in_eager_runs() -> None:
    generators = [cr.Generator().manual_seed(3) for _ in range(2)]
    functions = [lambda x, g=g: cr.rand(5, generator=g) + x for g in generators]
    compiled = cr.compile(functions[1])
    for _ in range(3):
        np.testing.assert_array_equal(compiled(cr.zeros(5)).numpy(), functions[0](cr.zeros(5)).numpy())
    assert generators[0].counter == generators[1].counter


def training() -> tuple[Any, Any]:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 33), nn.ReLU(), nn.Dropout(0.3), nn.Linear(33, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x: cr.Tensor, y: cr.Tensor) -> cr.Tensor:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return model, step


def test_a_training_step_with_dropout_is_one_native_call_and_leaves_what_the_eager_one_leaves() -> None:
    rng = np.random.default_rng(0)
    x, y = cr.tensor(rng.standard_normal((16, 6)).astype(np.float32)), cr.tensor(rng.integers(0, 3, 16))
    (eager, step), (model, other) = training(), training()
    compiled = cr.compile(other)
    for run in (step, compiled):
        cr.manual_seed(9)
        for _ in range(5):
            run(x, y)
    assert [s.alone for s in compiled.lower(x, y).plan.steps] == [None]
    for p, q in zip(model.parameters(), eager.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_epochs_with_dropout_run_natively_and_draw_as_single_steps_do() -> None:
    rng = np.random.default_rng(0)
    x, y = cr.tensor(rng.standard_normal((32, 6)).astype(np.float32)), cr.tensor(rng.integers(0, 3, 32))
    (single, one), (many, other) = training(), training()
    step, epochs = cr.compile(one), cr.compile(other)
    cr.manual_seed(9)
    losses = [step(x[i : i + 8], y[i : i + 8]).item() for _ in range(2) for i in range(0, 32, 8)]
    state = cr.get_rng_state().numpy()
    cr.manual_seed(9)
    got = epochs.epochs((x, y), batch_size=8, epochs=2, shuffle=False)
    ((program,),) = epochs.programs.values()
    assert program.execute.batches  # it is one native loop
    np.testing.assert_array_equal(got.numpy(), np.float32(losses))
    np.testing.assert_array_equal(cr.get_rng_state().numpy(), state)
    for p, q in zip(many.parameters(), single.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_arguments_in_any_memory_draw_once_a_call() -> None:
    """The quick way refuses a transposed argument; the words are not drawn again for the other one."""
    drop = cr.compile(lambda x: F.dropout(x, 0.5))
    x = cr.ones(6, 8)
    cr.manual_seed(1)
    first = drop(x.T).numpy()
    cr.manual_seed(1)
    np.testing.assert_array_equal(first, F.dropout(x.T, 0.5).numpy())


def test_the_gradient_of_dropout_has_the_mask_of_its_forward_pass() -> None:
    drop = cr.compile(lambda x: F.dropout(x, 0.5))
    x = cr.ones(5, 7, requires_grad=True)
    y = drop(x)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_initialising_inside_a_compiled_function_raises() -> None:
    with pytest.raises(UnsupportedError, match="elements of random numbers"):
        cr.compile(lambda x: nn.init.normal_(x * 1))(cr.ones(3))


def test_a_new_leaf_of_random_numbers_inside_a_compiled_function_raises() -> None:
    with pytest.raises(UnsupportedError, match="requires_grad"):
        cr.compile(lambda x: cr.rand(3, requires_grad=True) + x)(cr.ones(3))


def test_an_unknown_keyword_of_a_draw_raises_inside_a_compiled_function_too() -> None:
    with pytest.raises(UnsupportedError, match="names="):
        cr.compile(lambda x: cr.rand(3, names=("a",)) + x)(cr.ones(3))
