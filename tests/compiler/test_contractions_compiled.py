"""einsum, and products of matrices of any element type, in machine code; and what has no elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiled_calls import DTYPES, compiled, finite, interpreted, native, program, ran

import chainrule as cr
from chainrule.compiler.passes.rephrase import rephrase
from chainrule.compiler.targets.llvm.machine import host

SPECS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ik,kj->ij", [(3, 4), (4, 5)]), ("ii->i", [(4, 4)]), ("ii->", [(4, 4)]), ("ij->", [(3, 4)]), ("ij->ji", [(3, 4)]),
    ("ijk->j", [(2, 3, 4)]), ("ik,kj,jl->il", [(3, 4), (4, 5), (5, 2)]), ("ij,j->", [(3, 4), (4,)]),
    ("ij,kl->ik", [(3, 4), (2, 5)]), ("i,j,k->ijk", [(2,), (3,), (4,)]), ("i,i->i", [(5,), (5,)]),
    ("i,i->", [(5,), (5,)]), ("iij,j->i", [(3, 3, 4), (4,)]), ("iji,ik->jk", [(3, 4, 3), (3, 2)]),
    ("iiijj->ij", [(2, 2, 2, 3, 3)]), ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)]), (",i->i", [(), (3,)]),
    ("ab,bc,cd,da->", [(2, 3), (3, 4), (4, 5), (5, 2)]), ("->", [()]), ("ij,ij,ij->j", [(3, 4)] * 3),
    ("ik,kj->ij", [(3, 0), (0, 5)]), ("ij->i", [(0, 3)]), ("ij->j", [(0, 3)]),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "i8"])
@pytest.mark.parametrize("case", range(len(SPECS)), ids=lambda case: SPECS[case][0])
def test_einstein_s_sum_is_numpy_s(case: int, dtype: str) -> None:
    spec, shapes = SPECS[case]
    operands = [finite(i, shape, dtype) for i, shape in enumerate(shapes)]
    np.testing.assert_array_equal(native("einsum", *operands, spec=spec), interpreted("einsum", *operands, spec=spec))


def test_an_einstein_sum_becomes_products_of_two_matrices() -> None:
    shapes = [(8, 100), (100, 100), (100, 2)]
    graph = program("einsum", *[np.zeros(shape, np.float32) for shape in shapes], spec="ab,bc,cd->ad")
    products = [i.result.shape for i in rephrase(graph) if i.op.name == "matmul"]
    assert products == [(100, 2), (8, 2)]  # the small one first


@pytest.mark.parametrize("dtype", DTYPES)
def test_matrices_of_every_element_type_are_multiplied(dtype: str) -> None:
    for shapes in [((5, 6), (6, 7)), ((2, 5, 6), (6, 3)), ((3, 1, 4, 2), (2, 2, 5))]:
        a, b = (finite(i, shape, dtype) for i, shape in enumerate(shapes))
        np.testing.assert_array_equal(native("matmul", a, b), interpreted("matmul", a, b))


def test_a_sum_of_float16_is_rounded_once() -> None:
    assert native("sum", np.ones((5000, 2), np.float16), axis=(0,)).tolist() == [5000, 5000]  # else it stays at 2048


@pytest.mark.parametrize("name", ["sum", "prod", "any", "all"])
@pytest.mark.parametrize(("shape", "axis"), [((0, 3), 0), ((3, 0), 1), ((3, 0), 0), ((0,), 0), ((2, 0, 3), 1)])
def test_a_reduction_of_no_elements_is_numpy_s(name: str, shape: tuple[int, ...], axis: int) -> None:
    x = np.zeros(shape, np.float32)
    np.testing.assert_array_equal(native(name, x, axis=axis), interpreted(name, x, axis=axis))


@pytest.mark.parametrize(("a", "b"), [((3, 0), (0, 4)), ((0, 3), (3, 4)), ((0, 3, 3), (0, 3, 4)), ((3, 3), (3, 0))])
def test_a_product_of_no_elements_is_numpy_s(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(native("matmul", np.zeros(a), np.zeros(b)), np.zeros(a) @ np.zeros(b))


def test_what_follows_on_a_reshape_that_moves_elements_is_computed() -> None:
    def shifted(m: Any, x: Any) -> Any:
        return m.add(m.reshape(m.permute(x, order=(1, 0)), shape=(8,)), 1.0)

    x = np.arange(8.0).reshape(4, 2)
    graph = program("neg", x)
    graph.outputs = [shifted(graph.maths, graph.inputs[0])]
    np.testing.assert_array_equal(ran(compiled(graph), graph, [x]), x.T.reshape(8) + 1)


def test_what_an_epilogue_reads_from_behind_the_second_cache_is_fetched_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_JIT", "1")
    rows = host().l2_bytes // 4 // 64  # of 64 float32 each: twice what is still fetched where it is needed
    step = cr.compile(lambda a, b, c: (a @ b) * c)
    a, b, c = (cr.tensor(finite(i, shape, "f4")) for i, shape in enumerate([(rows, 8), (8, 64), (rows, 64)]))
    assert "llvm.prefetch" in step.lower(a, b, c).llvm
    assert "llvm.prefetch" not in step.lower(a[:8], b, c[:8]).llvm
    np.testing.assert_allclose(step(a, b, c).numpy(), ((a @ b) * c).numpy(), rtol=1e-5, atol=1e-5)
