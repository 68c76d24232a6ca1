"""Random tensors: seeds repeat, states go on, and the numbers have the distributions they claim (fixed seeds)."""

from __future__ import annotations

from collections.abc import Callable
from math import erf, sqrt
from typing import Any

import numpy as np
import pytest

import chainrule as cr

N = 20_000
DRAWS: dict[str, Callable[[], Any]] = {
    "rand": lambda: cr.rand(5),
    "randn": lambda: cr.randn(2, 3),
    "randint": lambda: cr.randint(0, 10, (5,)),
    "randperm": lambda: cr.randperm(7),
    "bernoulli": lambda: cr.bernoulli(cr.full((9,), 0.5)),
    "multinomial": lambda: cr.multinomial(cr.ones(5), 3),
    "normal": lambda: cr.normal(1.0, 2.0, (3,)),
    "dropout": lambda: cr.dropout(cr.ones(20), 0.5, True),
    "rand_like": lambda: cr.rand_like(cr.ones(3)),
    "randn_like": lambda: cr.randn_like(cr.ones(3)),
    "normal_": lambda: cr.empty(3).normal_(),
    "uniform_": lambda: cr.empty(3).uniform_(-1, 1),
    "exponential_": lambda: cr.empty(3).exponential_(),
    "random_": lambda: cr.zeros(3).random_(0, 100),
    "bernoulli_": lambda: cr.zeros(9).bernoulli_(0.5),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_repeats_and_two_draws_differ(name: str) -> None:
    cr.manual_seed(5)
    first, second = DRAWS[name]().tolist(), [DRAWS[name]().tolist() for _ in range(4)]
    cr.manual_seed(5)
    assert DRAWS[name]().tolist() == first
    assert any(draw != first for draw in second)
    cr.manual_seed(6)
    assert [DRAWS[name]().tolist() for _ in range(4)] != [first, *second[:3]]


@pytest.mark.parametrize("name", DRAWS)
def test_a_saved_state_goes_on_where_it_was(name: str) -> None:
    cr.manual_seed(1)
    cr.rand(3)
    state = cr.get_rng_state()
    drawn = DRAWS[name]().tolist()
    cr.rand(100)
    cr.set_rng_state(state)
    assert DRAWS[name]().tolist() == drawn


def test_numbers_do_not_depend_on_what_ran_between() -> None:
    cr.manual_seed(2)
    plain = [cr.rand(3).tolist(), cr.randn(3).tolist()]
    cr.manual_seed(2)
    first = cr.rand(3).tolist()
    x = cr.ones(3, requires_grad=True)
    (x * 2).sum().backward()
    np.random.default_rng().normal(size=10)
    cr.Generator().manual_seed(9)
    cr.rand(5, generator=cr.Generator().manual_seed(3))
    assert [first, cr.randn(3).tolist()] == plain


def test_generators_are_streams_of_their_own() -> None:
    a, b = cr.Generator().manual_seed(4), cr.Generator().manual_seed(4)
    assert cr.rand(4, generator=a).tolist() == cr.rand(4, generator=b).tolist()
    assert cr.rand(4, generator=a).tolist() == cr.rand(4, generator=b).tolist()
    state = a.get_state()
    ahead = cr.randperm(9, generator=a).tolist()
    assert cr.randperm(9, generator=cr.Generator().set_state(state)).tolist() == ahead
    assert a.initial_seed() == 4
    assert a.seed() == a.initial_seed()
    assert cr.manual_seed(8).initial_seed() == cr.initial_seed() == 8
    with pytest.raises(TypeError, match="16 uint8"):
        a.set_state(cr.ones(3))
    with pytest.raises(ValueError, match="seed"):
        a.manual_seed(2**64)


def test_negative_seeds_are_seeds() -> None:
    assert cr.Generator().manual_seed(-1).initial_seed() == 2**64 - 1


def kolmogorov_smirnov(sample: np.ndarray[Any, Any], cdf: Callable[[Any], Any]) -> float:
    """sqrt(n) times the largest distance of the sample's distribution from the claimed one: below 1.95 in 99.9%."""
    ordered = np.sort(sample.astype(np.float64))
    n = len(ordered)
    wanted = np.array([cdf(v) for v in ordered])
    steps = np.arange(n + 1) / n
    return float(sqrt(n) * max((steps[1:] - wanted).max(), (wanted - steps[:-1]).max()))


@pytest.mark.parametrize("dtype", [cr.float32, cr.float64])
def test_rand_is_uniform(dtype: Any) -> None:
    cr.manual_seed(0)
    u = cr.rand(N, dtype=dtype).numpy()
    assert u.min() >= 0
    assert u.max() < 1
    assert kolmogorov_smirnov(u, lambda v: v) < 1.95
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 4 / sqrt(N)


@pytest.mark.parametrize("dtype", [cr.float32, cr.float64])
def test_randn_is_normal(dtype: Any) -> None:
    cr.manual_seed(0)
    z = cr.randn(N, dtype=dtype).numpy().astype(np.float64)
    assert kolmogorov_smirnov(z, lambda v: 0.5 * (1 + erf(v / sqrt(2)))) < 1.95
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 4 * sqrt(spread / N)


def test_the_other_distributions_have_their_moments() -> None:
    cr.manual_seed(0)
    x = cr.normal(3.0, 2.0, (N,)).numpy()
    assert abs(x.mean() - 3) < 4 * 2 / sqrt(N)
    assert abs(x.std() - 2) < 0.05
    e = cr.empty(N).exponential_(2.0).numpy()
    assert kolmogorov_smirnov(e, lambda v: 1 - np.exp(-2 * v)) < 1.95
    u = cr.empty(N).uniform_(-3, 1).numpy()
    assert kolmogorov_smirnov(u, lambda v: (v + 3) / 4) < 1.95
    b = cr.bernoulli(cr.full((N,), 0.3)).numpy()
    assert set(b.tolist()) == {0.0, 1.0}
    assert abs(b.mean() - 0.3) < 4 * sqrt(0.21 / N)
    i = np.bincount(cr.randint(2, 7, (N,)).numpy(), minlength=7)
    assert i[:2].sum() == 0
    assert (np.abs(i[2:] / N - 0.2) < 4 * sqrt(0.16 / N)).all()


def test_dropout_keeps_the_expectation_and_passes_the_same_elements_back() -> None:
    cr.manual_seed(0)
    x = cr.ones(N, requires_grad=True)
    y = cr.dropout(x, 0.25, True)
    kept = y.detach().numpy()
    assert set(np.unique(kept)) == {0.0, np.float32(1 / 0.75)}
    assert abs((kept == 0).mean() - 0.25) < 4 * sqrt(0.1875 / N)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), kept)
    assert cr.dropout(x, 0.25, False) is x
    assert cr.dropout(x, 1.0, True).abs().sum().item() == 0
    with pytest.raises(ValueError, match="between 0 and 1"):
        cr.dropout(x, 1.5, True)


def test_multinomial_draws_by_weight_with_and_without_replacement() -> None:
    cr.manual_seed(0)
    w = cr.tensor([1.0, 0.0, 3.0, 4.0])
    shares = np.bincount(cr.multinomial(w, N, replacement=True).numpy(), minlength=4) / N
    assert shares[1] == 0
    np.testing.assert_allclose(shares, [0.125, 0, 0.375, 0.5], atol=4 * 0.5 / sqrt(N))
    rows = cr.multinomial(w.expand(2000, 4), 3).numpy()
    assert (np.sort(rows, 1) == [0, 2, 3]).all()
    np.testing.assert_allclose(
        np.bincount(rows[:, 0], minlength=4) / 2000, [0.125, 0, 0.375, 0.5], atol=4 * 0.5 / sqrt(2000)
    )
    with pytest.raises((RuntimeError, ValueError), match="without replacement"):
        cr.multinomial(w, 4)
    with pytest.raises((RuntimeError, ValueError), match="not negative"):
        cr.multinomial(cr.tensor([-1.0, 2.0]), 1)
    with pytest.raises(RuntimeError, match="1 or 2 dim"):
        cr.multinomial(cr.ones(2, 2, 2), 1)


def test_randperm_is_a_permutation_and_every_one_is_as_likely() -> None:
    cr.manual_seed(0)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(3000):
        order = tuple(cr.randperm(3).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert max(abs(c - 500) for c in counts.values()) < 4 * sqrt(500)
    assert sorted(cr.randperm(1000).tolist()) == list(range(1000))
    assert cr.randperm(0).tolist() == []


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [(lambda: cr.randint(5, 5, (2,)), ValueError, "low"), (lambda: cr.rand(2, dtype=cr.int64), RuntimeError, "float"),
     (lambda: cr.bernoulli(cr.tensor([1.5])), ValueError, "p_in"),
     (lambda: cr.bernoulli(cr.tensor([1])), RuntimeError, "probabilities"),
     (lambda: cr.normal(0.0, -1.0, (2,)), ValueError, "std"), (lambda: cr.randperm(-1), ValueError, "non-negative"),
     (lambda: cr.normal(0.0, 1.0), TypeError, "size"), (lambda: cr.randint(5), TypeError, "size")],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(call: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        call()
