"""Random words and numbers as instructions: the very bits that the NumPy reader draws."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import dtypes
from chainrule.compiler.targets.llvm import philox
from chainrule.compiler.targets.llvm.elementwise import TYPES
from chainrule.compiler.targets.llvm.machine import Machine, host
from chainrule.compiler.targets.llvm.native import compile_text
from chainrule.compiler.targets.llvm.text import I64, PTR, Function, Value, module_text
from chainrule.dtypes import DType
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.numpy_maths import NumPyMaths

LANES = (0, 2, 4, 8, 16)
COUNT = 96
STREAMS = [(0, 0), (7, 3), (2**64 - 1, 2**63 + 5), (2**63, 2**64 - 2**20)]
"""Keys and counters; both have 64 bits, of which the registers know no sign."""
MACHINES = [host().narrowed(bits) for bits in (512, 256, 128) if bits <= host().vector_bits]


def drawn(
    convert: Callable[[Function, Value], Value], dtype: DType, lanes: int, machine: Machine, key: int, counter: int
) -> Any:
    """The first numbers of a stream."""
    f = Function("draw", [("key", I64), ("counter", I64), ("y", PTR)], linkage="")
    loop = f.loop(0, COUNT, max(lanes, 1))
    words = philox.words(f, f["key"], f["counter"], loop.index, lanes, max(lanes, 1))
    f.store(convert(f, words), f.at(f["y"], loop.index, TYPES[dtype.name]))
    f.close(loop)
    f.ret()
    native = compile_text(module_text([f]), machine)
    run = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p)(native.address("draw"))
    y = np.empty(COUNT, numpy_dtype(dtype))
    run(key, counter, y.ctypes.data)
    return y


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: f"{machine.vector_bits} bits")
@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.float32, dtypes.float64], ids=lambda dtype: dtype.name)
def test_uniform_numbers_are_those_of_the_numpy_reader(dtype: DType, lanes: int, machine: Machine) -> None:
    for key, counter in STREAMS:
        got = drawn(lambda f, words: philox.uniform(f, words, dtype), dtype, lanes, machine, key, counter)
        wanted = NumPyMaths.uniform(key, counter, shape=(COUNT,), dtype=numpy_dtype(dtype))
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-2, 5), (0, 2**62), (-(2**63), 2**63 - 1)])
def test_random_integers_are_those_of_the_numpy_reader(low: int, high: int, lanes: int) -> None:
    for key, counter in STREAMS:
        got = drawn(
            lambda f, words: philox.random_integers(f, words, low, high), dtypes.int64, lanes, host(), key, counter
        )
        wanted = NumPyMaths.random_integers(key, counter, low=low, high=high, shape=(COUNT,))
        np.testing.assert_array_equal(got, wanted)
