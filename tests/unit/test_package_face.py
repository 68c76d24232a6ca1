"""The package face: what PyTorch's programs ask about devices, settings, limits, generators and legacy types."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    GraphError,
    ShapeError,
    UnsupportedError,
)


@pytest.fixture(autouse=True)
def _settings_as_before() -> Iterator[None]:
    dtype, precision = cr.get_default_dtype(), cr.get_float32_matmul_precision()
    yield
    cr.set_default_dtype(dtype)
    cr.set_float32_matmul_precision(precision)
    cr.use_deterministic_algorithms(False)


# ---- devices -----------------------------------------------------------------------------------------------------


def test_there_is_no_gpu() -> None:
    assert not cr.cuda.is_available()
    assert not cr.cuda.is_initialized()
    assert cr.cuda.device_count() == cr.accelerator.device_count() == 0
    assert cr.cuda.memory_allocated() == cr.cuda.max_memory_allocated() == 0
    assert not cr.backends.mps.is_available()
    assert not cr.backends.mps.is_built()
    assert not cr.backends.cudnn.is_available()
    assert cr.backends.cudnn.version() is None
    assert not cr.backends.cuda.is_built()
    assert not cr.accelerator.is_available()
    assert cr.accelerator.current_accelerator() is None


def test_seeding_gpus_leaves_the_cpus_generator_alone() -> None:
    before = cr.get_rng_state()
    cr.cuda.manual_seed(1)
    cr.cuda.manual_seed_all(1)
    cr.cuda.empty_cache()
    assert cr.equal(cr.get_rng_state(), before)


def test_the_usual_switches_can_be_set() -> None:
    import chainrule.backends.cudnn as cudnn

    cudnn.deterministic, cudnn.benchmark = True, False
    assert cr.backends.cudnn.deterministic is True
    cr.backends.cuda.matmul.allow_tf32 = True
    cudnn.deterministic = False


def test_the_default_device_is_the_cpu() -> None:
    cr.set_default_device("cpu")
    assert cr.get_default_device() == cr.device("cpu")
    with pytest.raises(UnsupportedError, match="cuda"):
        cr.set_default_device("cuda")


# ---- settings ----------------------------------------------------------------------------------------------------


def test_deterministic_algorithms_are_noted() -> None:
    cr.use_deterministic_algorithms(True, warn_only=True)
    assert cr.are_deterministic_algorithms_enabled()
    assert cr.is_deterministic_algorithms_warn_only_enabled()
    cr.use_deterministic_algorithms(False)
    assert not cr.are_deterministic_algorithms_enabled()


def test_the_matmul_precision_is_one_of_three() -> None:
    cr.set_float32_matmul_precision("high")
    assert cr.get_float32_matmul_precision() == "high"
    with pytest.raises(ArgumentError, match="takes 'highest', 'high' or 'medium', not 'low'"):
        cr.set_float32_matmul_precision("low")


@pytest.mark.parametrize("kind", [cr.DoubleTensor, "torch.DoubleTensor"])
def test_the_default_tensor_type_is_a_float_type(kind: Any) -> None:
    cr.set_default_tensor_type(kind)
    assert cr.zeros(1).dtype is cr.float64


@pytest.mark.parametrize("kind", [cr.LongTensor, "LongTensor", "Tensors", cr.float64, 3])
def test_another_default_tensor_type_is_refused(kind: Any) -> None:
    with pytest.raises(ArgumentTypeError):
        cr.set_default_tensor_type(kind)


# ---- types and numbers -------------------------------------------------------------------------------------------


def test_dtypes_have_pytorchs_second_names() -> None:
    assert (cr.float, cr.double, cr.half) == (cr.float32, cr.float64, cr.float16)
    assert (cr.long, cr.int, cr.short) == (cr.int64, cr.int32, cr.int16)
    assert cr.zeros(1, dtype=cr.bool).dtype is cr.bool
    assert (cr.pi, cr.e, cr.inf) == (math.pi, math.e, math.inf)
    assert math.isnan(cr.nan)


def test_legacy_types_make_and_recognise_tensors() -> None:
    assert cr.LongTensor([1, 2]).dtype is cr.int64
    assert cr.FloatTensor(2, 3).shape == (2, 3)
    assert isinstance(cr.ones(1).double(), cr.DoubleTensor)
    assert not isinstance(cr.ones(1), cr.DoubleTensor)
    assert cr.ones(2).type("torch.ByteTensor").dtype is cr.uint8


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_finfo_is_numpys(name: str) -> None:
    ours, numpys = cr.finfo(getattr(cr, name)), np.finfo(name)
    for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution"):
        assert getattr(ours, field) == getattr(numpys, field)
    assert type(ours.eps) is float
    assert ours.dtype == name
    assert f"dtype={name}" in repr(ours)


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
def test_iinfo_is_numpys(name: str) -> None:
    ours, numpys = cr.iinfo(getattr(cr, name)), np.iinfo(name)
    assert (ours.min, ours.max, ours.bits, ours.dtype) == (numpys.min, numpys.max, numpys.bits, name)
    assert f"dtype={name}" in repr(ours)


def test_limits_of_the_wrong_kind_are_refused() -> None:
    assert cr.finfo().dtype == "float32"
    with pytest.raises(ArgumentTypeError, match="use iinfo"):
        cr.finfo(cr.int64)
    with pytest.raises(ArgumentTypeError, match="use finfo"):
        cr.iinfo(cr.float32)


# ---- random ------------------------------------------------------------------------------------------------------


def test_a_forked_generator_leaves_the_default_one_where_it_was() -> None:
    cr.manual_seed(5)
    expected = cr.rand(3)
    cr.manual_seed(5)
    with cr.random.fork_rng():
        cr.random.manual_seed(9)
        cr.rand(10)
    assert cr.equal(cr.rand(3), expected)
    state = cr.random.get_rng_state()
    with cr.random.fork_rng(enabled=False):
        cr.rand(1)
    assert not cr.equal(cr.random.get_rng_state(), state)


@pytest.mark.parametrize(
    "draw", [cr.rand, cr.randn, lambda *_: cr.randint(0, 3, ()), lambda *_: cr.normal(0.0, 1.0, ())]
)
def test_a_drawn_number_is_an_array_that_can_be_written_to(draw: Any) -> None:
    x = draw(())
    assert type(x.value) is np.ndarray
    x += 1
    assert x.shape == ()


# ---- out= --------------------------------------------------------------------------------------------------------


def test_out_receives_the_result() -> None:
    out = cr.empty(2, 2)
    assert cr.matmul(cr.ones(2, 3), cr.ones(3, 2), out=out) is out
    assert out.tolist() == [[3, 3], [3, 3]]
    assert cr.zeros(2, 2, out=out).sum().item() == 0
    grown = cr.empty(0)
    cr.rand(3, out=grown)
    assert grown.shape == (3,)


def test_out_that_does_not_fit_is_refused() -> None:
    a = cr.ones(2, 2)
    with pytest.raises(ShapeError, match=r"(?s)out= has another shape.*out  \(3,\)"):
        cr.matmul(a, a, out=cr.empty(3))
    with pytest.raises(DTypeError, match="can't be cast to the desired output type int64"):
        cr.matmul(a, a, out=cr.zeros(2, 2, dtype=cr.int64))
    with pytest.raises(ArgumentTypeError, match="out= takes a Tensor, not ndarray"):
        cr.zeros(2, out=np.zeros(2))
    with pytest.raises(GraphError, match="don't support automatic differentiation"):
        cr.matmul(a, a, out=cr.ones(2, 2, requires_grad=True))
    with pytest.raises(GraphError, match="don't support automatic differentiation"):
        cr.matmul(a.requires_grad_(), a, out=cr.empty(2, 2))


def test_a_write_through_out_is_seen_by_the_sweep() -> None:
    x = cr.ones(2, requires_grad=True)
    factor = cr.ones(2)
    y = (x * factor).sum()
    cr.zeros(2, out=factor)
    with pytest.raises(GraphError, match="modified by an inplace"):
        y.backward()


# ---- autograd ----------------------------------------------------------------------------------------------------


def test_autograd_has_pytorchs_names() -> None:
    from chainrule.autograd.function import Function, once_differentiable
    from chainrule.autograd.functional import hessian, hvp, jacobian, jvp, vhp, vjp

    assert cr.autograd.Function is Function
    assert callable(once_differentiable)
    x = cr.tensor([1.0, 2.0])
    assert cr.equal(jacobian(lambda v: v**2, x), cr.diag(2 * x))
    assert cr.equal(hessian(lambda v: (v**3).sum(), x), cr.diag(6 * x))
    for product in (vjp, jvp):
        assert cr.equal(product(lambda v: v**2, x, cr.ones(2))[1], 2 * x)
    for product in (vhp, hvp):
        assert cr.equal(product(lambda v: (v**3).sum(), x, cr.ones(2))[1], 6 * x)


def test_grad_takes_pytorchs_arguments_in_its_order() -> None:
    x = cr.tensor(3.0, requires_grad=True)
    unused = cr.tensor(1.0, requires_grad=True)
    assert cr.autograd.grad(x**2, [x, unused], None, None, False, True, True) == (6.0, None)
    assert cr.autograd.grad(x**2, unused, materialize_grads=True)[0].item() == 0
    with pytest.raises(UnsupportedError, match="only_inputs=False"):
        cr.autograd.grad(x**2, x, only_inputs=False)


def test_a_variable_is_a_tensor_that_shares_memory() -> None:
    x = cr.ones(2)
    v = cr.autograd.Variable(x, requires_grad=True)
    assert v.requires_grad
    assert not x.requires_grad
    assert not cr.autograd.Variable(v).requires_grad
    assert v.data_ptr() == x.data_ptr()
    with pytest.raises(ArgumentTypeError, match="Variable data has to be a tensor, but got list"):
        cr.autograd.Variable([1.0])  # type: ignore[arg-type]


def test_utils_data_has_pytorchs_import_paths() -> None:
    from chainrule.data import DataLoader
    from chainrule.utils.data import dataloader, dataset, sampler

    assert cr.utils.data.DataLoader is dataloader.DataLoader is DataLoader
    for module in (cr.utils.data, dataloader, dataset, sampler):
        assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_modules_of_data_load_when_they_are_used() -> None:
    assert cr.data.tables.__name__ == "chainrule.data.tables"
    with pytest.raises(AttributeError, match=r"module 'chainrule.data' has no attribute 'nothing'"):
        _ = cr.data.nothing
