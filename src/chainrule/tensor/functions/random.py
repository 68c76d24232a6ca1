"""Random tensors from seeded generators whose states can be saved.

A Generator is a key (its seed) and a counter of 256-bit Philox blocks; every draw takes the blocks it needs and
is a pure function of both (ops/random.py), so that a run repeats itself whatever else happened between.
"""

from __future__ import annotations

import os
from math import prod
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError, UnsupportedError
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.device import Device
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.functions.creation import made, refuse_others
from chainrule.tensor.functions.movement import sizes_of
from chainrule.tensor.printing import describe
from chainrule.tensor.recording import recorder
from chainrule.tensor.switches import no_grad
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


def _draw(op: str, shape: tuple[int, ...], words: int, generator: Generator | None, **params: Any) -> Tensor:
    key, counter = (generator or default_generator).take(words)
    return GATES[op](key, counter, shape=shape, **params)


def uniform_numbers(shape: tuple[int, ...], dtype: Any, generator: Generator | None) -> Tensor:
    """Numbers in [0, 1); in a compiled function, drawn anew at each call."""
    return _draw("uniform", shape, prod(shape), generator, dtype=dtype)


def normal_numbers(shape: tuple[int, ...], dtype: Any, generator: Generator | None) -> Tensor:
    """Normal numbers of mean 0 and variance 1; in a compiled function, drawn anew at each call."""
    return _draw("standard_normal", shape, 2 * prod(shape), generator, dtype=dtype)


def uniform(shape: tuple[int, ...], dtype: Any, generator: Generator | None) -> Any:
    """An array of numbers in [0, 1)."""
    return _array(uniform_numbers(shape, dtype, generator))


def standard_normal(shape: tuple[int, ...], dtype: Any, generator: Generator | None) -> Any:
    """An array of normal numbers of mean 0 and variance 1."""
    return _array(normal_numbers(shape, dtype, generator))


def _array(drawn: Tensor) -> Any:
    """The elements, for arithmetic in NumPy.

    Raises:
        UnsupportedError: while a program is recorded, which has no elements yet.
    """
    if recorder() is not None:
        raise UnsupportedError(
            "this function computes with the elements of random numbers, which a compiled function does not know yet",
            mend="Call it outside, or draw with rand, randn, normal or bernoulli.",
        )
    return np.asarray(drawn.value)  # a number, for the shape ()


def _new(drawn: Tensor, requires_grad: bool = False, device: Any = None, out: Any = None, **options: Any) -> Tensor:
    """Random numbers as a factory gives them: see `made`.

    Raises:
        UnsupportedError: for requires_grad or out while a program is recorded.
    """
    if recorder() is None:
        return made(np.asarray(drawn.value), requires_grad, device, out, **options)
    if requires_grad or out is not None:
        raise UnsupportedError("random numbers of a compiled function have no requires_grad= and no out=")
    Device.of(device)
    refuse_others(options)
    return drawn


def _is_known(x: Any) -> bool:
    """True for numbers and for Tensors whose elements are there to be checked."""
    return not isinstance(x, Tensor) or isinstance(x.value, np.ndarray)


def _float_type(dtype: Any, name: str) -> Any:
    kind = default_float() if dtype is None else numpy_dtype(dtype)
    if kind.kind != "f":
        raise DTypeError(f"{name}: the element type is a float, not {kind}")
    return kind


def _sizes(size: tuple[Any, ...], options: dict[str, Any]) -> tuple[int, ...]:
    return sizes_of((options.pop("size"),)) if "size" in options else sizes_of(size)


def rand(*size: Any, generator: Generator | None = None, dtype: Any = None, **options: Any) -> Tensor:
    """Uniform numbers in [0, 1) of a shape."""
    return _new(uniform_numbers(_sizes(size, options), _float_type(dtype, "rand"), generator), **options)


def randn(*size: Any, generator: Generator | None = None, dtype: Any = None, **options: Any) -> Tensor:
    """Normal numbers of mean 0 and variance 1 of a shape."""
    return _new(normal_numbers(_sizes(size, options), _float_type(dtype, "randn"), generator), **options)


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
    drawn = _draw("random_integers", shape, prod(shape), generator, low=int(low), high=int(high))
    return _new(_cast(drawn, dtype), **options)


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, **options: Any) -> Tensor:
    """The numbers 0 ... n - 1 in random order."""
    if n < 0:
        raise ArgumentError(f"randperm: n must be non-negative, not {n}")
    order = GATES["argsort"](_draw("random_integers", (n,), n, generator, low=0, high=2**63 - 1), axis=0)
    return _new(_cast(order, dtype), **options)


def _cast(x: Tensor, dtype: Any) -> Tensor:
    return x if dtype is None else GATES["cast"](x, dtype=numpy_dtype(dtype))


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
    if _is_known(std) and (np.asarray(std.value if isinstance(std, Tensor) else std) < 0).any():
        raise ArgumentError("normal expects all elements of std >= 0.0")
    if size is None:
        if not any(isinstance(v, Tensor) for v in (mean, std)):
            raise ArgumentTypeError("normal(mean, std) of two numbers needs a size")
        size = np.broadcast_shapes(*[v.value.shape if isinstance(v, Tensor) else () for v in (mean, std)])
    kind = next((v.value.dtype for v in (mean, std) if isinstance(v, Tensor) and v.value.dtype.kind == "f"), None)
    kind = _float_type(dtype, "normal") if dtype is not None or kind is None else kind
    with no_grad():
        drawn = normal_numbers(sizes_of((tuple(size),)), kind, generator)
        return _new(_cast(GATES["add"](GATES["mul"](drawn, std), mean), kind), **options)


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element gives (or p for all), else 0.

    Raises:
        ArgumentError: for probabilities outside [0, 1].
    """
    kind = input.value.dtype
    if kind.kind != "f":
        raise DTypeError("bernoulli takes probabilities: a tensor of floats", got=[describe("input", input)])
    chance = input if p is None else float(kind.type(p))  # as a tensor of the input's type would hold it
    known = np.asarray(chance.value if isinstance(chance, Tensor) else chance) if _is_known(chance) else np.zeros(0)
    if input.value.size and not (np.all(known >= 0) and np.all(known <= 1)):
        raise ArgumentError("bernoulli: Expected p_in >= 0 && p_in <= 1 to be true", got=[describe("input", input)])
    with no_grad():
        drawn = uniform_numbers(input.value.shape, np.dtype(np.float64), generator)
        return GATES["cast"](GATES["lt"](drawn, chance), dtype=kind)


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
    if _is_known(input):
        _refuse_weights(np.atleast_2d(w), 1 if replacement else num_samples)
    with no_grad():
        rows = GATES["reshape"](_cast(input, np.float64), shape=(prod(w.shape[:-1]), w.shape[-1]))
        sample = _with_replacement if replacement else _without_replacement
        return GATES["reshape"](sample(rows, num_samples, generator), shape=(*w.shape[:-1], num_samples))


def _refuse_weights(rows: Any, most: int) -> None:
    """Raise ArgumentError for weights that are none, or too few."""
    if not np.isfinite(rows).all() or (rows < 0).any() or (rows.sum(1, dtype=np.float64) <= 0).any():
        raise ArgumentError("multinomial: the weights are finite, not negative, and not all 0 in a row")
    if most > (rows > 0).sum(1).min():
        raise ArgumentError(f"multinomial: cannot draw {most} samples without replacement from fewer nonzero weights")


def _with_replacement(rows: Tensor, count: int, generator: Generator | None) -> Tensor:
    """The first place where the sum of the weights exceeds a uniform part of them all."""
    n, k = rows.value.shape
    edges = GATES["cumsum"](rows, axis=1)
    whole = GATES["slice"](edges, key=(slice(None), slice(k - 1, k)))
    parts = GATES["mul"](uniform_numbers((n, count), np.dtype(np.float64), generator), whole)
    below = GATES["le"](GATES["reshape"](edges, shape=(n, 1, k)), GATES["reshape"](parts, shape=(n, count, 1)))
    return GATES["sum"](below, axis=2)


def _without_replacement(rows: Tensor, count: int, generator: Generator | None) -> Tensor:
    """The first of exponential waiting times."""
    u = uniform_numbers(rows.value.shape, np.dtype(np.float64), generator)
    some = GATES["gt"](rows, 0)
    waiting = GATES["div"](GATES["neg"](GATES["log1p"](GATES["neg"](u))), GATES["where"](some, rows, 1.0))
    order = GATES["argsort"](GATES["where"](some, waiting, np.inf), axis=1)
    return GATES["clone"](GATES["slice"](order, key=(slice(None), slice(0, count))))


def dropout(input: Tensor, p: float = 0.5, train: bool = True) -> Tensor:
    """Each element 0 with probability p, else divided by 1 - p; unchanged outside training."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not train or p == 0:
        return input
    key, counter = default_generator.take(input.value.size)
    return GATES["dropout"](input, key, counter, p=float(p))
