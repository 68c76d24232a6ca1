"""Random tensors from seeded generators whose states can be saved.

A Generator is a key (its seed) and a counter of 256-bit Philox blocks; every draw takes the blocks it needs and
is a pure function of both (ops/random.py), so that a run repeats itself whatever else happened between.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError, UnsupportedError
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.device import Device
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.functions.creation import made
from chainrule.tensor.functions.movement import sizes_of
from chainrule.tensor.printing import describe
from chainrule.tensor.recording import recorder
from chainrule.tensor.tensor import Tensor, default_float, wrap

WORDS_IN_A_BLOCK = 4
SEEDS = 2**64


class Generator:
    """A stream of random numbers: `Generator().manual_seed(0)`."""

    __slots__ = ("counter", "key")

    def __init__(self, device: Any = "cpu") -> None:
        Device.of(device)
        self.key, self.counter = 0, 0

    @property
    def device(self) -> Device:
        """Where it draws: the CPU."""
        return Device("cpu")

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of a seed in [-2^63, 2^64)."""
        if not -(2**63) <= int(seed) < SEEDS:
            raise ArgumentError(f"manual_seed expected a seed in [-2^63, 2^64), not {seed}")
        self.key, self.counter = int(seed) % SEEDS, 0
        return self

    def seed(self) -> int:
        """Start a stream that nobody can foresee; returns its seed."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self.key

    def initial_seed(self) -> int:
        """The seed of the stream."""
        return self.key

    def get_state(self) -> Tensor:
        """Key and counter, as a tensor of 16 bytes that set_state takes."""
        return wrap(np.array([self.key, self.counter], np.uint64).view(np.uint8), None)

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on where get_state was called."""
        if not isinstance(new_state, Tensor) or new_state.value.dtype != np.uint8 or new_state.value.size != 16:
            raise ArgumentTypeError("a generator's state is a tensor of 16 uint8: what get_state() returned")
        key, counter = np.ascontiguousarray(new_state.value).view(np.uint64).tolist()
        self.key, self.counter = key, counter
        return self

    def take(self, words: int) -> tuple[int, int]:
        """Reserve the blocks for so many 64-bit words; returns the key and the first block's counter."""
        if (recording := recorder()) is not None:
            return recording.draw(self, words)
        first = self.counter
        self.counter += -(-words // WORDS_IN_A_BLOCK)
        return self.key, first


default_generator = Generator()
"""The generator that draws where none is given."""


def manual_seed(seed: int) -> Generator:
    """Start the default generator's stream of a seed."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Give the default generator a seed that nobody can foresee."""
    return default_generator.seed()


def initial_seed() -> int:
    """The default generator's seed."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Set the default generator's state."""
    default_generator.set_state(new_state)


def _draw(op: str, shape: tuple[int, ...], words: int, generator: Generator | None, **params: Any) -> Any:
    key, counter = (generator or default_generator).take(words)
    if recorder() is not None:
        raise UnsupportedError(
            "random numbers other than dropout's cannot be drawn in a compiled function yet",
            mend="Draw them outside and pass them as an argument.",
        )
    return np.asarray(GATES[op](key, counter, shape=shape, **params).value)  # a number, for the shape ()


def uniform(shape: tuple[int, ...], dtype: Any, generator: Generator | None) -> Any:
    """An array of numbers in [0, 1)."""
    return _draw("uniform", shape, int(np.prod(shape, dtype=np.int64)), generator, dtype=dtype)


def standard_normal(shape: tuple[int, ...], dtype: Any, generator: Generator | None) -> Any:
    """An array of normal numbers of mean 0 and variance 1."""
    return _draw("standard_normal", shape, 2 * int(np.prod(shape, dtype=np.int64)), generator, dtype=dtype)


def _float_type(dtype: Any, name: str) -> Any:
    kind = default_float() if dtype is None else numpy_dtype(dtype)
    if kind.kind != "f":
        raise DTypeError(f"{name}: the element type is a float, not {kind}")
    return kind


def _sizes(size: tuple[Any, ...], options: dict[str, Any]) -> tuple[int, ...]:
    return sizes_of((options.pop("size"),)) if "size" in options else sizes_of(size)


def rand(*size: Any, generator: Generator | None = None, dtype: Any = None, **options: Any) -> Tensor:
    """Uniform numbers in [0, 1) of a shape."""
    return made(uniform(_sizes(size, options), _float_type(dtype, "rand"), generator), **options)


def randn(*size: Any, generator: Generator | None = None, dtype: Any = None, **options: Any) -> Tensor:
    """Normal numbers of mean 0 and variance 1 of a shape."""
    return made(standard_normal(_sizes(size, options), _float_type(dtype, "randn"), generator), **options)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    **options: Any,
) -> Tensor:
    """Integers in [low, high) of a shape; randint(high, size) starts at 0.

    Raises:
        ArgumentError: if the range is empty.
    """
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None:
        raise ArgumentTypeError("randint needs a size: randint(high, (n,)) or randint(low, high, (n,))")
    if high <= low:
        raise ArgumentError(f"randint expects 'low' < 'high', but got low={low}, high={high}")
    shape = sizes_of((size,))
    words = int(np.prod(shape, dtype=np.int64))
    drawn = _draw("random_integers", shape, words, generator, low=int(low), high=int(high))
    return made(drawn if dtype is None else drawn.astype(numpy_dtype(dtype)), **options)


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, **options: Any) -> Tensor:
    """The numbers 0 ... n - 1 in random order."""
    if n < 0:
        raise ArgumentError(f"randperm: n must be non-negative, not {n}")
    order = np.argsort(_draw("random_integers", (n,), n, generator, low=0, high=2**63 - 1), kind="stable")
    return made(order.astype(np.int64 if dtype is None else numpy_dtype(dtype)), **options)


def rand_like(input: Tensor, *, dtype: Any = None, generator: Generator | None = None, **options: Any) -> Tensor:
    """Uniform numbers of another tensor's shape and type."""
    return rand(input.value.shape, dtype=dtype or input.dtype, generator=generator, **options)


def randn_like(input: Tensor, *, dtype: Any = None, generator: Generator | None = None, **options: Any) -> Tensor:
    """Normal numbers of another tensor's shape and type."""
    return randn(input.value.shape, dtype=dtype or input.dtype, generator=generator, **options)


def randint_like(input: Tensor, low: int, high: int | None = None, *, dtype: Any = None, **options: Any) -> Tensor:
    """Integers of another tensor's shape and type."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, input.value.shape, dtype=dtype or input.dtype, **options)


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    **options: Any,
) -> Tensor:
    """Normal numbers of a mean and a standard deviation; either may be a tensor, one for each number."""
    if (np.asarray(std.value if isinstance(std, Tensor) else std) < 0).any():
        raise ArgumentError("normal expects all elements of std >= 0.0")
    values = [v.value if isinstance(v, Tensor) else v for v in (mean, std)]
    if size is None:
        if not any(isinstance(v, Tensor) for v in (mean, std)):
            raise ArgumentTypeError("normal(mean, std) of two numbers needs a size")
        size = np.broadcast_shapes(*[np.shape(v) for v in values])
    kind = next((v.value.dtype for v in (mean, std) if isinstance(v, Tensor) and v.value.dtype.kind == "f"), None)
    kind = _float_type(dtype, "normal") if dtype is not None or kind is None else kind
    drawn = standard_normal(sizes_of((tuple(size),)), kind, generator)
    return made((drawn * values[1] + values[0]).astype(kind, copy=False), **options)


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element gives (or p for all), else 0.

    Raises:
        ArgumentError: for probabilities outside [0, 1].
    """
    chance = input.value if p is None else np.full(input.value.shape, p, input.value.dtype)
    if chance.dtype.kind != "f":
        raise DTypeError("bernoulli takes probabilities: a tensor of floats", got=[describe("input", input)])
    if chance.size and not (np.all(chance >= 0) and np.all(chance <= 1)):
        raise ArgumentError("bernoulli: Expected p_in >= 0 && p_in <= 1 to be true", got=[describe("input", input)])
    drawn = np.asarray(uniform(chance.shape, np.dtype(np.float64), generator) < chance)
    return wrap(drawn.astype(input.value.dtype), None)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices drawn with the weights of each row: (rows, num_samples), or (num_samples,) for a vector.

    Without replacement by the order of exponential waiting times -log(u) / w (Efraimidis and Spirakis 2006).

    Raises:
        ShapeError: for more than two axes.
        ArgumentError: for negative, infinite or nan weights, a row without weight, or more samples than weights > 0.
    """
    w = input.value
    if w.ndim not in (1, 2):
        raise ShapeError("prob_dist must be 1 or 2 dim", got=[describe("input", input)])
    if w.dtype.kind != "f":
        raise DTypeError("multinomial takes weights of floating point type", got=[describe("input", input)])
    rows = np.atleast_2d(w).astype(np.float64)
    if not np.isfinite(rows).all() or (rows < 0).any() or (rows.sum(1) <= 0).any():
        raise ArgumentError("multinomial: the weights are finite, not negative, and not all 0 in a row")
    if replacement:
        u = uniform((rows.shape[0], num_samples), np.dtype(np.float64), generator)
        edges = np.cumsum(rows, 1)
        drawn = np.stack([np.searchsorted(e, v * e[-1], "right") for e, v in zip(edges, u, strict=True)])
    else:
        if num_samples > (rows > 0).sum(1).min():
            raise ArgumentError(
                f"multinomial: cannot draw {num_samples} samples without replacement from fewer nonzero weights"
            )
        waiting = -np.log1p(-uniform(rows.shape, np.dtype(np.float64), generator)) / np.where(rows > 0, rows, 1)
        drawn = np.argsort(np.where(rows > 0, waiting, np.inf), 1, kind="stable")[:, :num_samples]
    return wrap(drawn.astype(np.int64).reshape((*w.shape[:-1], num_samples)), None)


def dropout(input: Tensor, p: float = 0.5, train: bool = True) -> Tensor:
    """Each element 0 with probability p, else divided by 1 - p; unchanged outside training."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not train or p == 0:
        return input
    key, counter = default_generator.take(input.value.size)
    return GATES["dropout"](input, key, counter, p=float(p))
