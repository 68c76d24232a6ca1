"""Random draws: pure functions of a key and a counter, so that eager, replayed and compiled runs agree.

The bits are Philox 4x64-10 (Salmon et al. 2011): block i of a stream is a function of (key, counter + i).
"""

from __future__ import annotations

from math import pi

from chainrule import dtypes
from chainrule.ops.kinds import random
from chainrule.ops.maths import Maths, Value
from chainrule.shapes import Shape


@random.primitive(result="parameter", promotes=())
def uniform(m: Maths, key: Value, counter: Value, *, shape: Shape, dtype: object) -> Value:
    """Numbers in [0, 1): the top 24 (float16, float32) or 53 (float64) bits of one word each."""
    return m.uniform(key, counter, shape=shape, dtype=dtype)


@random(result="parameter", promotes=(), source="Box and Muller 1958")
def standard_normal(m: Maths, key: Value, counter: Value, *, shape: Shape, dtype: object) -> Value:
    """Normal numbers of mean 0 and variance 1: sqrt(-2 log(1 - u)) cos(2 pi v) of two uniform numbers."""
    pair = m.uniform(key, counter, shape=(2, *shape), dtype=dtype)
    u, v = m.slice(pair, key=(0,)), m.slice(pair, key=(1,))
    return m.sqrt(-2 * m.log1p(-u)) * m.cos(2 * pi * v)


@random.primitive(result="int64", promotes=())
def random_integers(m: Maths, key: Value, counter: Value, *, low: int, high: int, shape: Shape) -> Value:
    """Integers in [low, high), each from one word modulo high - low."""
    return m.random_integers(key, counter, low=low, high=high, shape=shape)


@random(takes="float", promotes=("x",), source="Srivastava et al. 2014")
def dropout(m: Maths, x: Value, key: Value, counter: Value, *, p: float) -> Value:
    """Each element is 0 with probability p, else x / (1 - p)."""
    keep = m.uniform(key, counter, shape=x.shape, dtype=x.dtype) >= p
    return m.where(keep, x * (1 / (1 - p)), 0) if p < 1 else 0 * x


@dropout.compute(keeps=("keep",))
def dropout_with_mask(m: Maths, x: Value, key: Value, counter: Value, *, p: float) -> tuple[Value, Value]:
    keep = m.uniform(key, counter, shape=x.shape, dtype=x.dtype) >= p
    return m.where(keep, x * (1 / (1 - p)) if p < 1 else 0 * x, 0), keep


@dropout.pullback("x")
def through_the_kept(m: Maths, g: Value, keep: Value, p: float) -> Value:
    return m.where(keep, g * (1 / (1 - p)) if p < 1 else 0 * g, 0)


for draw in (uniform, standard_normal, random_integers):
    draw.shape(lambda key, counter, *, shape, **_: shape)
dropout.shape(lambda x, key, counter, *, p: x)
dropout.cases(([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]], 7, 3, {"p": 0.4}))
for draw in (uniform, standard_normal):
    draw.cases(*[(7, 3, {"shape": (2, 3), "dtype": dtype}) for dtype in (dtypes.float32, dtypes.float64)])
random_integers.cases((7, 3, {"low": -2, "high": 5, "shape": (2, 3)}))
