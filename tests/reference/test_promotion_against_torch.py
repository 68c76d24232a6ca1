"""Element types of results: PyTorch's promotion table, for every pair and every kind of operand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")
NAMES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
NUMBERS: list[Any] = [True, 2, 2.5]


def dtype(lib: Any, name: str) -> Any:
    return getattr(lib, name)


def name(t: Any) -> str:
    return str(t.dtype).rpartition(".")[2]


@pytest.mark.parametrize(("a", "b"), [*itertools.product(NAMES, NAMES)])
def test_two_tensors_give_the_type_that_pytorch_gives(a: str, b: str) -> None:
    for shapes in itertools.product([(2,), ()], [(2,), ()]):
        ours = [cr.ones(s, dtype=dtype(cr, n)) for s, n in zip(shapes, (a, b), strict=True)]
        theirs = [torch.ones(s, dtype=dtype(torch, n)) for s, n in zip(shapes, (a, b), strict=True)]
        for op in ("add", "mul", "div", "maximum", "eq"):
            assert name(getattr(cr, op)(*ours)) == name(getattr(torch, op)(*theirs)), (op, shapes)
        if "bool" not in (a, b):
            for op in ("sub", "pow", "remainder", "floor_divide"):
                assert name(getattr(cr, op)(*ours)) == name(getattr(torch, op)(*theirs)), (op, shapes)


@pytest.mark.parametrize(("a", "number"), [*itertools.product(NAMES, NUMBERS)])
def test_a_tensor_and_a_number_give_the_type_that_pytorch_gives(a: str, number: Any) -> None:
    for shape in ((2,), ()):
        x, t = cr.ones(shape, dtype=dtype(cr, a)), torch.ones(shape, dtype=dtype(torch, a))
        for f in (lambda v: v + number, lambda v: number * v, lambda v: v / number, lambda v: number / v, lambda v: v > number,
                  lambda v: v.clamp(min=number) if a != "bool" else v):  # fmt: skip
            assert name(f(x)) == name(f(t))
        if a != "bool" or type(number) is not bool:
            assert name(x**number) == name(t**number)
            if a != "bool":
                assert name(number - x) == name(number - t) if type(number) is not bool else True


@pytest.mark.parametrize("a", NAMES)
def test_functions_and_reductions_give_the_types_that_pytorch_gives(a: str) -> None:
    x, t = cr.ones(3, dtype=dtype(cr, a)), torch.ones(3, dtype=dtype(torch, a))
    for f in ("exp", "sin", "sqrt", "log1p", "sigmoid", "tanh", "erf", "reciprocal", "sum", "prod", "argmax", "isnan", "any", "sign",
              "abs", "square", "logical_not"):  # fmt: skip
        if (a, f) in (("bool", "argmax"), ("bool", "abs"), ("bool", "sign"), ("bool", "square"), ("uint8", "any")):
            continue
        assert name(getattr(x, f)()) == name(getattr(t, f)()), f
    assert name(x.cumsum(0)) == name(t.cumsum(0))
    assert name(x.amax()) == name(t.amax())
    if a not in ("float16", "float32", "float64"):
        for lib, v in ((cr, x), (torch, t)):
            with pytest.raises(RuntimeError):
                v.mean()
            assert name(v.mean(dtype=lib.float32)) == "float32"
    else:
        assert name(x.mean()) == name(t.mean()) == a


def test_numpys_scalars_count_as_numbers() -> None:
    for number in (np.float64(2.5), np.float32(2.5), np.int64(2)):
        for a in ("int64", "float32", "float16"):
            x, t = cr.ones(2, dtype=dtype(cr, a)), torch.ones(2, dtype=dtype(torch, a))
            assert name(x * number) == name(t * number), (number, a)
            assert name(number * x) == name(x * number)


def test_the_default_type_decides_for_numbers_and_integer_functions() -> None:
    for lib in (cr, torch):
        lib.set_default_dtype(lib.float64)
    try:
        for f in (lambda m: m.ones(2, dtype=m.int64) / 2, lambda m: m.ones(2, dtype=m.int64) * 2.5, lambda m: m.tensor(1.5),
                  lambda m: m.tensor([1]).exp(), lambda m: m.zeros(2), lambda m: m.arange(0.0, 1.0, 0.5), lambda m: m.full((2,), 1.5),
                  lambda m: m.eye(2), lambda m: m.linspace(0, 1, 3), lambda m: m.rand(2), lambda m: m.ones(2, dtype=m.float32) * 2.5):  # fmt: skip
            assert name(f(cr)) == name(f(torch))
    finally:
        for lib in (cr, torch):
            lib.set_default_dtype(lib.float32)


@pytest.mark.parametrize("data", [1, 1.5, True, [1, 2], [1, 2.5], [True, False], [[1], [2]], [], [[]], np.float32(1), np.arange(3),
                                  np.array([1.5]), np.ones(2, np.float16), [np.float64(1.5)], np.array([True]), [True, 2], 2**40])  # fmt: skip
def test_data_get_the_type_that_pytorch_gives(data: Any) -> None:
    ours, theirs = cr.tensor(data), torch.tensor(data)
    assert (name(ours), tuple(ours.shape), ours.tolist()) == (name(theirs), tuple(theirs.shape), theirs.tolist())


def test_arithmetic_of_integers_agrees() -> None:
    for f in (lambda m: m.tensor([-7, 7, 5]) // 2, lambda m: m.tensor([-7, 7, 5]) % 3, lambda m: m.tensor([7, -7]) // m.tensor([-2, 2]),
              lambda m: m.tensor([2, 3]) ** 3, lambda m: m.tensor([7, -7]) / 2, lambda m: m.tensor([200], dtype=m.uint8) + 100,
              lambda m: -m.tensor([1], dtype=m.uint8), lambda m: m.tensor([5, 6]) & m.tensor([3, 3]), lambda m: ~m.tensor([True, False]),
              lambda m: m.div(m.tensor([-7, 7]), 2, rounding_mode="trunc"), lambda m: m.tensor([1, 2]).sum(dtype=m.float64),
              lambda m: m.tensor([True, True]) + m.tensor([True, False]), lambda m: m.tensor([3.7, -3.7]).long()):  # fmt: skip
        assert f(cr).tolist() == f(torch).tolist()
        assert name(f(cr)) == name(f(torch))


def test_subtraction_of_bools_is_refused_as_in_pytorch() -> None:
    for lib in (cr, torch):
        with pytest.raises(RuntimeError):
            lib.tensor([True]) - lib.tensor([False])
        with pytest.raises((RuntimeError, TypeError)):
            -lib.tensor([True])


@pytest.mark.parametrize("data", [1 + 2j, [1j], np.ones(2, np.complex64)])
def test_complex_numbers_are_refused_with_a_way_out(data: Any) -> None:
    with pytest.raises(NotImplementedError, match=r"(?s)complex.*real and the imaginary part"):
        cr.tensor(data)
    with pytest.raises((NotImplementedError, TypeError)):
        cr.ones(2) * 1j


def test_matmul_does_not_mix_types() -> None:
    for lib in (cr, torch):
        with pytest.raises(RuntimeError):
            lib.ones(2, 2) @ lib.ones(2, 2, dtype=lib.float64)


def test_sums_of_float16_are_added_up_in_float32() -> None:
    for call in (
        lambda m: m.ones(70_000, dtype=m.float16).mean(),
        lambda m: m.full((4, 3001), 0.1, dtype=m.float16).sum(1),
    ):
        assert call(cr).tolist() == call(torch).tolist()
        assert name(call(cr)) == "float16"
