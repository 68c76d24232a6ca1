"""The upstream gradients with which a backward is called: uneven ones, the same with strides, one for each output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from chainrule.verify.differences import Array


def uneven(y: Array, rng: np.random.Generator) -> Array:
    """An upstream gradient of numbers of either sign, none of them near 0 or 1."""
    sizes = rng.uniform(0.3, 0.9, y.shape) * rng.choice([1.0, 2.0], y.shape)
    return np.asarray(sizes * rng.choice([-1.0, 1.0], y.shape)).astype(y.dtype)


def strided(c: Array) -> Array:
    """The same numbers, not next to each other in memory."""
    if c.ndim == 0:
        return c
    wide = np.zeros((*c.shape[:-1], 2 * c.shape[-1]), c.dtype)
    wide[..., ::2] = c
    return wide[..., ::2]


def units(outputs: Sequence[Array]) -> Iterator[list[Array]]:
    """For each number of the outputs, the upstream gradient that is 1 there and 0 elsewhere."""
    for k, y in enumerate(outputs):
        for place in range(y.size):
            row = [np.zeros(one.shape, one.dtype) for one in outputs]
            row[k].flat[place] = 1
            yield row
