"""Where arrays begin that chainrule makes: on a cache line, so that no vector of theirs lies across two."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

LINE = 64
FACTORIES: dict[str, Callable[[], cr.Tensor]] = {
    "tensor": lambda: cr.tensor(np.ones((64, 33), np.float32)),
    "tensor of another type": lambda: cr.tensor(np.ones((64, 33)), dtype=cr.float32),
    "zeros": lambda: cr.zeros(64, 33),
    "ones": lambda: cr.ones(64, 33),
    "empty": lambda: cr.empty(64, 33),
    "full": lambda: cr.full((64, 33), 2.0),
    "zeros_like": lambda: cr.zeros_like(cr.ones(64, 33)),
    "new_full": lambda: cr.ones(1).new_full((64, 33), 1.0),
    "a layer's weight": lambda: nn.Linear(33, 64).weight,
}


def place(x: cr.Tensor) -> int:
    """Bytes from the beginning of a line."""
    return int(x.detach().numpy().ctypes.data % LINE)


@pytest.mark.parametrize("name", FACTORIES)
def test_tensors_begin_on_a_cache_line(name: str) -> None:
    kept = [FACTORIES[name]() for _ in range(8)]
    assert list(map(place, kept)) == [0] * 8


def test_the_state_of_an_optimizer_begins_on_a_cache_line() -> None:
    layer = nn.Linear(300, 300)
    optimizer = optim.Adam(layer.parameters())
    layer(cr.ones(1, 300)).sum().backward()
    optimizer.step()
    state = optimizer.state[layer.weight]
    assert [place(state[name]) for name in ("exp_avg", "exp_avg_sq")] == [0, 0]


def test_what_begins_on_a_cache_line_is_contiguous_writeable_and_of_its_own_memory() -> None:
    source = np.asfortranarray(np.arange(4096.0).reshape(64, 64))
    x = cr.tensor(source)
    assert x.numpy().flags.c_contiguous
    assert x.numpy().flags.writeable
    np.testing.assert_array_equal(x.numpy(), source)
    source[0, 0] = -1
    assert x[0, 0].item() == 0
