"""repr: the text of a tensor is PyTorch's, character by character, apart from the library's name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")
INF, NAN = float("inf"), float("nan")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _defaults_afterwards() -> Iterator[None]:
    yield
    cr.set_printoptions(profile="default")
    torch.set_printoptions(profile="default")


def same_text(array: Any, requires_grad: bool = False) -> None:
    a = np.asarray(array)
    ours, theirs = cr.tensor(a), torch.tensor(a)
    if requires_grad:
        ours.requires_grad_()
        theirs.requires_grad_()
    assert repr(ours).replace("chainrule.", "torch.") == repr(theirs)


F32 = np.float32
TABLE: dict[str, Any] = {
    "whole floats": np.array([1, 2, 3], F32),
    "decimals": np.array([1.5, -2.25, 3], F32),
    "one decimal needs four": np.array([0.1, 100.25], F32),
    "scalar": F32(2.5),
    "whole scalar": F32(7),
    "zero": F32(0),
    "negative zero": np.array([-0.0, 0.0], F32),
    "all zeros": np.zeros((2, 3), F32),
    "small": np.array([1e-5, 2e-5], F32),
    "ratio above 1000": np.array([0.01, 123.0], F32),
    "whole with ratio above 1000": np.array([1, 5000], F32),
    "above 1e8": np.array([2e8], F32),
    "nan": np.array([NAN, 1.5], F32),
    "only nan": np.array([NAN], F32),
    "inf among whole": np.array([INF, -INF, 1], F32),
    "inf among decimals": np.array([INF, 0.5], F32),
    "int": np.array([1, -20, 300]),
    "int32": np.array([1, 2], np.int32),
    "uint8": np.array([[1, 200]], np.uint8),
    "bool": np.array([[True, False], [False, True]]),
    "bool scalar": np.bool_(True),
    "float64": np.array([0.5, 1.0]),
    "float16": np.array([0.1, 2.0], np.float16),
    "empty": np.zeros(0, F32),
    "empty matrix": np.zeros((0, 3), F32),
    "empty int": np.zeros(0, np.int64),
    "empty bool matrix": np.zeros((2, 0), np.bool_),
    "long vector wraps": np.arange(100, dtype=F32),
    "long vector of decimals": RNG.normal(size=50).astype(F32),
    "matrix": RNG.normal(size=(3, 4)).astype(F32),
    "wide matrix wraps": RNG.normal(size=(2, 20)).astype(F32),
    "three axes": RNG.normal(size=(2, 2, 3)).astype(F32),
    "four axes": np.arange(16).reshape(2, 2, 2, 2),
    "elided vector": np.arange(2000),
    "elided matrix": RNG.normal(size=(100, 100)).astype(F32),
    "elided in one axis": RNG.normal(size=(2, 600)).astype(F32),
    "elided three axes": np.arange(20 * 20 * 20, dtype=F32).reshape(20, 20, 20),
    "exponents at the edges only": np.concatenate([np.ones(5), np.full(2000, 1e-9), np.ones(5)]).astype(F32),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_tensor_prints_as_in_pytorch(name: str) -> None:
    same_text(TABLE[name])


def test_requires_grad_is_said() -> None:
    same_text(np.array([1.5], F32), requires_grad=True)
    same_text(np.array(2.0, np.float64), requires_grad=True)


def test_a_remark_that_does_not_fit_goes_to_its_own_line() -> None:
    same_text(np.arange(11, dtype=np.float32) / 7, requires_grad=True)


def test_a_result_names_its_node() -> None:
    assert repr(cr.ones(2, requires_grad=True) * 2) == "tensor([2., 2.], grad_fn=<MulBackward>)"


@pytest.mark.parametrize(
    "options",
    [{"precision": 2}, {"threshold": 5, "edgeitems": 1}, {"linewidth": 40}, {"profile": "short"}, {"profile": "full"},
     {"sci_mode": True}, {"sci_mode": False}],
)  # fmt: skip
def test_print_options_mean_what_they_mean_in_pytorch(options: dict[str, Any]) -> None:
    cr.set_printoptions(**options)
    torch.set_printoptions(**options)
    same_text(RNG.normal(size=(7, 8)).astype(np.float32))
    same_text(np.array([1e-6, 1.0], np.float32))
    same_text(np.arange(1200))


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="profile"):
        cr.set_printoptions(profile="long")


def test_the_default_type_is_not_said() -> None:
    cr.set_default_dtype(cr.float64)
    try:
        assert repr(cr.tensor([0.5])) == "tensor([0.5000])"
        assert repr(cr.ones(1, dtype=cr.float32)) == "tensor([1.], dtype=chainrule.float32)"
    finally:
        cr.set_default_dtype(cr.float32)
