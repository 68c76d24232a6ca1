"""gradcheck: right gradients pass, each way of being wrong has its verdict and pattern, and PyTorch's agrees."""

from __future__ import annotations

import inspect
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.autograd import Function, gradcheck, gradgradcheck
from chainrule.errors import (
    ArgumentError,
    ArgumentTypeError,
    AssertedError,
    DTypeError,
    GradcheckError,
    GraphError,
    InPlaceError,
    UnsupportedError,
)
from chainrule.tensor.tensor import wrap
from chainrule.verify.findings import GradientFindings

RNG = np.random.default_rng(7)
Backward = Callable[[Any, Any, Any], Any]


def normal(*shape: int, dtype: Any = np.float64) -> cr.Tensor:
    """Random numbers that require a gradient; none of them is near a kink at 0."""
    x = RNG.uniform(0.2, 1.5, shape) * RNG.choice([-1.0, 1.0], shape)
    return wrap(np.asarray(x, dtype), None).requires_grad_()


def tanh_with(backward: Backward) -> Callable[..., Any]:
    """tanh with another gradient: backward(x, g, right), `right` being the right one."""

    class Tanh(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x.tanh()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return backward(x, g, g * (1 - x.tanh() ** 2))

    return Tanh.apply


def found(func: Callable[..., Any], inputs: Any, **options: Any) -> GradientFindings:
    return gradcheck(func, inputs, raise_exception=False, **options)


# ---- right gradients ------------------------------------------------------------------------------------

RIGHT: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "sigmoid": (cr.sigmoid, ((3, 4),)),
    "broadcast product": (lambda x, y: x * y, ((3, 1), (4,))),
    "matmul": (lambda x, w: x @ w, ((3, 4), (4, 2))),
    "softmax": (lambda x: F.softmax(x, dim=-1), ((3, 4),)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), ((3, 4), (4,), (4,))),
    "conv2d": (lambda x, w: F.conv2d(x, w, padding=1), ((1, 2, 4, 4), (3, 2, 3, 3))),
    "two outputs": (lambda x: (x.exp(), x.sum()), ((3,),)),
    "one number": (lambda x: x * x, ((),)),
    "no element": (lambda x: x * 2, ((0, 3),)),
    "the input itself": (lambda x: x, ((3,),)),
    "an input that is not used": (lambda x, y: 2 * x, ((3,), (2,))),
    "piecewise constant": (lambda x: x.floor(), ((3,),)),
    "steep near 0": (lambda x: (x.abs() * 1e-7).log(), ((3,),)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_gradient_is_right(name: str) -> None:
    func, shapes = RIGHT[name]
    result = gradcheck(func, [normal(*shape) for shape in shapes])
    assert result.verdict == "right", str(result)
    assert [one.verdict for one in result.inputs] == ["right"] * len(shapes)


@pytest.mark.parametrize("name", ["sigmoid", "broadcast product", "matmul", "softmax", "layer_norm", "conv2d"])
def test_a_right_second_derivative_is_right(name: str) -> None:
    func, shapes = RIGHT[name]
    assert gradgradcheck(func, [normal(*shape) for shape in shapes], gen_non_contig_grad_outputs=True)


def test_the_slopes_are_known_to_ten_digits() -> None:
    x = normal(3, 4)
    result = gradcheck(cr.sigmoid, x)
    assert result.inputs[0].error < 1e-9
    assert result.worst is not None
    assert abs(result.worst.difference) < 1e-10


def test_numbers_near_the_edge_of_a_domain_are_looked_at_with_steps_of_their_own_size() -> None:
    x = cr.tensor([1e-8, 1e-5, 1e-3], dtype=cr.float64, requires_grad=True)
    assert gradcheck(lambda x: x.log(), x).verdict == "right"
    wrong = found(lambda x: x.detach().log() + (x - x.detach()) * 0.9 / x.detach(), x)
    assert wrong.verdict == "wrong"


# ---- ways of being wrong ----------------------------------------------------------------------------------


def in_second_half(x: Any, g: Any, right: Any) -> Any:
    right = right.clone()
    right[2:] = 0
    return right


WRONG: dict[str, tuple[Backward, str, float | None, str]] = {
    "twice": (lambda x, g, right: 2 * right, "scaled", 2.0, "twice the right gradient, everywhere"),
    "half": (lambda x, g, right: right / 2, "scaled", 0.5, "half the right gradient"),
    "negated": (lambda x, g, right: -right, "sign", -1.0, "negated"),
    "times n": (lambda x, g, right: right * 4, "scaled", 4.0, "(4 is the size of axis 0 of"),
    "over n": (lambda x, g, right: right / 16, "scaled", 1 / 16, "1/16 of the right gradient (16 is the number of"),
    "transposed": (lambda x, g, right: right.T, "transposed", None, "transposed"),
    "reversed": (lambda x, g, right: right.flip(1), "reversed", None, "along axis 1"),
    "permuted": (lambda x, g, right: right.flatten().roll(5).reshape(4, 4), "permuted", None, "at other places"),
    "zero": (lambda x, g, right: 0 * right, "zero", 0.0, "zero everywhere"),
    "nan": (lambda x, g, right: right * cr.nan, "nan", None, "nan everywhere"),
    "nan in a region": (lambda x, g, right: cr.where(x < 0, cr.nan * x, right), "nan", None, "where x < 0"),
    "masked": (lambda x, g, right: cr.where(x < 0, 0 * right, right), "region", 0.0, "zero where x < 0"),
    "twice in a region": (lambda x, g, right: cr.where(x > 0, 2 * right, right), "region", 2.0, "where x > 0"),
    "large x": (lambda x, g, right: cr.where(x.abs() > 0.8, right / 2, right), "region", 0.5, "where |x| > "),
    "half of an axis": (in_second_half, "half", 0.0, "second half of axis 0"),
    "plus upstream": (lambda x, g, right: right + g / 4, "offset", None, "+ 0.25 times the upstream gradient"),
    "upstream ignored": (lambda x, g, right: 1 - x.tanh() ** 2, "upstream ignored", None, "not multiplied in"),
    "mean upstream": (
        lambda x, g, right: g.mean() * (1 - x.tanh() ** 2), "uniform upstream", None, "upstream gradients are equal",
    ),
    "noise": (lambda x, g, right: right * (1 + 0.3 * (7.3 * x).sin().sign() * (x**2)), "scattered", None, "pattern"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_gradient_has_its_pattern(name: str) -> None:
    backward, kind, ratio, words = WRONG[name]
    x = cr.tensor(np.linspace(-1.4, 1.5, 16)[RNG.permutation(16)].reshape(4, 4), requires_grad=True)
    result = found(tanh_with(backward), x)
    assert result.verdict == "wrong"
    assert not result
    assert result.pattern is not None
    assert (result.pattern.kind, words in str(result.pattern)) == (kind, True), str(result)
    assert result.ratio == (None if ratio is None else pytest.approx(ratio, abs=1e-6))


def test_a_gradient_that_is_wrong_for_strided_upstream_gradients_only_says_so() -> None:
    def flat(x: Any, g: Any, right: Any) -> Any:
        base = g.value.base if g.value.base is not None and g.value.base.size > g.value.size else g.value
        return wrap(np.resize(base.ravel(), g.shape), None) * (1 - x.tanh() ** 2)  # as a kernel that forgets strides

    result = found(tanh_with(flat), normal(4, 4))
    assert result.pattern is not None
    assert result.pattern.kind == "strided upstream"


def test_the_worst_element_is_named_with_its_numbers() -> None:
    x = normal(3, 4)

    def off(x: Any, g: Any, right: Any) -> Any:
        right = right.clone()
        right[1, 2] = right[1, 2] * 1.5
        return right

    worst = found(tanh_with(off), x).worst
    slope = 1 - np.tanh(x.value[1, 2]) ** 2
    assert worst is not None
    assert (worst.index, worst.output) == ((1, 2), "y[1, 2]")
    assert (worst.claimed, worst.expected) == (pytest.approx(1.5 * slope), pytest.approx(slope))
    assert (worst.difference, worst.share) == (pytest.approx(slope / 2), pytest.approx(1.0, abs=1e-6))


def test_of_several_outputs_the_wrong_one_is_named() -> None:
    wrong = tanh_with(lambda x, g, right: right * (1 + x))
    result = found(lambda x: (x.exp(), wrong(x)), normal(5))
    assert result.pattern is not None
    assert (result.pattern.kind, str(result.pattern)) == ("one output", "wrong through y1 only")


def test_a_gradient_below_atol_is_not_right_for_that() -> None:
    tiny = tanh_with(lambda x, g, right: 2 * right)
    result = found(lambda x: tiny(x) * 1e-6, normal(4))
    assert (result.verdict, result.ratio) == ("wrong", pytest.approx(2.0, abs=1e-4))


@given(c=st.floats(0.01, 100).filter(lambda c: abs(c - 1) > 0.01), sign=st.sampled_from([1, -1]))
def test_a_gradient_scaled_by_c_is_found_with_ratio_c(c: float, sign: int) -> None:
    result = found(tanh_with(lambda x, g, right: sign * c * right), normal(3, 2))
    assert (result.verdict, result.ratio) == ("wrong", pytest.approx(sign * c, rel=1e-6))


# ---- kinks, precision, what cannot be decided --------------------------------------------------------------


def test_at_a_kink_a_claim_between_the_two_slopes_is_valid() -> None:
    x = cr.tensor([0.0, 1.0, -2.0], dtype=cr.float64, requires_grad=True)
    result = gradcheck(F.relu, x)
    assert (result.verdict, bool(result)) == ("kink", True)
    (kink,) = result.inputs[0].kinks
    assert (kink.index, kink.claimed, kink.low, kink.high) == ((0,), 0.0, pytest.approx(0), pytest.approx(1))
    assert "any value from 0 to 1 is valid" in str(result).replace("e-16", "")


def relu_with(at_zero: float) -> Callable[..., Any]:
    class Relu(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x.clamp(min=0)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * cr.where(x == 0, at_zero * cr.ones_like(x), (x > 0).double())

    return Relu.apply


@pytest.mark.parametrize(
    ("at_zero", "verdict"), [(0.0, "kink"), (0.5, "kink"), (1.0, "kink"), (1.1, "wrong"), (-0.1, "wrong")]
)
def test_a_claim_at_a_kink_is_wrong_outside_the_interval(at_zero: float, verdict: str) -> None:
    x = cr.tensor([0.0, 1.0, -2.0], dtype=cr.float64, requires_grad=True)
    result = found(relu_with(at_zero), x)
    assert result.verdict == verdict
    if verdict == "wrong":
        assert result.worst is not None
        assert result.worst.interval == (pytest.approx(0, abs=1e-9), pytest.approx(1))
        assert "where x = 0" in str(result.pattern) or "element [0] only" in str(result.pattern)


def test_a_tie_of_overlapping_windows_may_be_broken_differently_in_each() -> None:
    x = cr.ones(1, 1, 1, 3, dtype=cr.float64, requires_grad=True)
    assert gradcheck(lambda x: F.max_pool2d(x, (1, 2), stride=1), x).verdict == "kink"


def test_a_jump_is_undecided() -> None:
    result = found(lambda x: x.floor(), cr.tensor([2.0, 0.5], dtype=cr.float64, requires_grad=True))
    assert result.verdict == "undecided"
    assert "jumps" in str(result)


def test_a_slope_without_bound_is_undecided() -> None:
    result = found(lambda x: x.sqrt().sum(), cr.zeros(1, dtype=cr.float64, requires_grad=True))
    assert (result.verdict, "without bound" in str(result)) == ("undecided", True)


def test_a_value_that_is_not_finite_is_undecided() -> None:
    result = found(lambda x: x.log(), cr.tensor([-1.0], dtype=cr.float64, requires_grad=True))
    assert (result.verdict, "not finite here" in str(result)) == ("undecided", True)


def test_a_float32_function_is_computed_in_float64() -> None:
    result = gradcheck(lambda x, y: x.sigmoid() * y, (normal(3, dtype=np.float32), normal(3, dtype=np.float32)))
    assert (result.checked.dtype, result.verdict) == ("float64", "right")


@pytest.mark.parametrize("inner", ["parameter", "cast"])
def test_a_function_that_insists_on_float32_is_limited_by_precision(inner: str) -> None:
    weight = normal(4, 2, dtype=np.float32).detach()
    func = (lambda x: x @ weight) if inner == "parameter" else (lambda x: (x.float() @ weight).double())
    x = normal(3, 4, dtype=np.float32 if inner == "parameter" else np.float64)
    result = found(func, x)
    assert (result.checked.dtype, result.verdict) == ("float32", "undecided")
    assert "limited by precision: float32 decides to" in str(result)
    assert found(func, x, atol=1e-3, rtol=1e-2).verdict == "right"


def test_a_wrong_float32_function_is_wrong() -> None:
    twice = tanh_with(lambda x, g, right: 2 * right)
    result = found(lambda x: twice(x.float()), normal(3, 4))
    assert (result.checked.dtype, result.verdict) == ("float32", "wrong")
    assert result.ratio == pytest.approx(2, rel=1e-3)


def test_a_nondeterministic_function_is_undecided() -> None:
    result = found(lambda x: F.dropout(x, 0.5), normal(4, 4))
    assert result.verdict == "undecided"
    assert result.pattern is not None
    assert result.pattern.kind == "nondeterministic"


def test_a_nondeterministic_backward_is_undecided_unless_within_nondet_tol() -> None:
    noisy = tanh_with(lambda x, g, right: right + 1e-9 * cr.rand(4, 4, dtype=cr.float64))
    x = normal(4, 4)
    result = found(noisy, x)
    assert (result.verdict, "two calls of backward" in str(result)) == ("undecided", True)
    assert found(noisy, x, nondet_tol=1e-8).verdict == "right"


# ---- large functions ------------------------------------------------------------------------------------------


def sine_sum_with(change: Callable[[Any], None]) -> Callable[..., Any]:
    class SineSum(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x.sin().sum()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            gradient = (g * ctx.saved_tensors[0].cos()).value.copy()
            change(gradient)
            return wrap(gradient, None)

    return SineSum.apply


@pytest.mark.parametrize("fast_mode", [False, True])
def test_one_wrong_element_of_many_is_found_outside_the_sample(fast_mode: bool) -> None:
    def change(gradient: Any) -> None:
        gradient[37, 41] *= 1.05

    result = found(sine_sum_with(change), normal(50, 60), fast_mode=fast_mode)
    assert result.worst is not None
    assert (result.verdict, result.worst.index) == ("wrong", (37, 41))
    assert result.inputs[0].measured < result.inputs[0].size
    assert result.ratio == pytest.approx(1.05, rel=1e-6)


def test_errors_within_the_tolerance_are_right_in_large_functions_too() -> None:
    def change(gradient: Any) -> None:
        gradient *= 1 + 1e-6

    assert found(sine_sum_with(change), normal(50, 60)).verdict == "right"


def test_many_outputs_are_looked_at_through_random_combinations() -> None:
    result = gradcheck(lambda x: x.sin(), normal(20, 10))
    assert not result.checked.jacobian
    assert "random combinations of 200 output numbers" in str(result)
    assert found(tanh_with(lambda x, g, right: 2 * right), normal(20, 10)).ratio == pytest.approx(2)


# ---- the result -----------------------------------------------------------------------------------------------


def test_a_network_of_ten_thousand_parameters_is_checked_in_seconds() -> None:
    """0.3 s of computing, on 2 cores at 2.9 GHz; the bound is of the processor's time, whatever else runs there."""
    x = normal(4, 60)
    parameters = [normal(*shape) for shape in ((60, 90), (90,), (90, 45), (45,), (45, 10), (10,))]

    def loss(W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any) -> Any:
        hidden = ((x.detach() @ W1 * 0.1 + b1).tanh() @ W2 * 0.1 + b2).tanh()
        return (hidden @ W3 + b3).square().mean()

    assert sum(p.numel() for p in parameters) == 10_045
    started = time.process_time()
    result = gradcheck(loss, parameters)
    assert time.process_time() - started < 10
    assert result.verdict == "right", str(result)
    assert [one.along for one in result.inputs if one.measured < one.size] == [3, 3, 3]


def test_the_result_is_a_bool_where_programs_for_pytorch_need_one() -> None:
    right = gradcheck(cr.sin, normal(3))
    wrong = found(tanh_with(lambda x, g, right: 2 * right), normal(3))
    assert right
    assert not wrong
    assert right == True  # noqa: E712  # programs compare so
    assert wrong == False  # noqa: E712
    assert right != wrong
    assert {True: "yes"}[right] == "yes"  # type: ignore[index]  # equal and of equal hash
    assert all([right, not wrong])


def test_a_failed_check_raises_its_report() -> None:
    with pytest.raises(RuntimeError, match="twice the right gradient, everywhere") as raised:
        gradcheck(tanh_with(lambda x, g, right: 2 * right), normal(3))
    error = raised.value
    assert isinstance(error, GradcheckError)
    assert isinstance(error.findings, GradientFindings)
    assert str(error) == str(error.findings)


def test_the_report_names_what_was_checked_in_25_lines_at_most() -> None:
    wrong = tanh_with(lambda x, g, right: 2 * right)
    result = found(lambda *xs: sum([wrong(x).sum() for x in xs]), [normal(2) for _ in range(30)])
    lines = str(result).splitlines()
    assert len(lines) <= 25
    assert any(line.startswith("  and 2") and "inputs" in line for line in lines)
    assert "evaluations in float64" in lines[-2]


def test_the_result_as_json_has_the_numbers_and_no_nan() -> None:
    result = found(tanh_with(lambda x, g, right: right * cr.nan), normal(3))
    data = json.loads(result.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert (data["ok"], data["verdict"]) == (False, "wrong")
    assert data["inputs"][0]["worst"]["claimed"] == "nan"
    assert data["inputs"][0]["pattern"]["kind"] == "nan"


def test_inputs_are_named_after_the_parameters() -> None:
    result = gradcheck(lambda weight, bias: weight * bias, (normal(3), normal(3)))
    assert [one.name for one in result.inputs] == ["weight", "bias"]
    assert result["bias"] is result.inputs[1]


def test_second_derivatives_that_are_wrong_are_found() -> None:
    class Square(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * x.detach() * g  # right, but a constant for whoever differentiates it

    x = normal(3)
    assert gradcheck(Square.apply, x)
    with pytest.raises(GradcheckError, match="zero everywhere"):
        gradgradcheck(Square.apply, x)


# ---- undefined upstream gradients, element types ----------------------------------------------------------------


def test_an_output_without_upstream_gradient_must_count_as_zeros() -> None:
    class Both(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            return 2 * g + 3 * h if g is not None and h is not None else None

    result = found(Both.apply, normal(3))
    assert (result.verdict, "undefined upstream gradients" in str(result)) == ("wrong", True)
    assert found(Both.apply, normal(3), check_undefined_grad=False)


def test_check_grad_dtypes_accepts_the_engines_gradients() -> None:
    assert gradcheck(lambda x: x.float().double() * 0 + x, normal(3), check_grad_dtypes=True)


# ---- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["check_batched_grad", "check_batched_forward_grad", "check_forward_ad", "masked"])
def test_what_cannot_mean_anything_here_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"gradcheck\({name}=True\)"):
        gradcheck(cr.sin, normal(3), **{name: True})


def test_gradgradcheck_refuses_forward_mode_by_name() -> None:
    with pytest.raises(UnsupportedError, match="check_fwd_over_rev"):
        gradgradcheck(cr.sin, normal(3), check_fwd_over_rev=True)
    with pytest.raises(AssertedError, match="check_rev_over_rev"):
        gradgradcheck(cr.sin, normal(3), check_rev_over_rev=False)


def test_gradcheck_without_backward_is_refused() -> None:
    with pytest.raises(AssertionError, match="check_backward_ad"):
        gradcheck(cr.sin, normal(3), check_backward_ad=False)


@pytest.mark.parametrize("value", [np.ones(2, np.complex64), 1j])
def test_complex_inputs_are_refused(value: Any) -> None:
    with pytest.raises(DTypeError, match="complex inputs are not supported"):
        gradcheck(lambda x, c: x, (normal(2), value))


def test_no_input_that_requires_a_gradient_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(cr.sin, cr.ones(3))
    with pytest.raises(ArgumentError, match=r"inputs\[1\]  int"):
        gradcheck(lambda x, n: x * n, (cr.ones(3), 2))


def test_inputs_that_are_no_tensors_are_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="not ndarray"):
        gradcheck(cr.sin, np.ones(3))


def test_an_output_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="output 0 is float"):
        gradcheck(lambda x: x.sum().item(), normal(3))


def test_inputs_whose_elements_share_memory_are_refused() -> None:
    x = cr.ones(1, dtype=cr.float64).expand(3).requires_grad_()
    with pytest.raises(RuntimeError, match="share memory"):
        gradcheck(cr.sin, x)


def test_a_function_that_changes_its_inputs_is_refused() -> None:
    def func(x: Any) -> Any:
        y = x * 1
        x.value[...] += 1
        return y

    with pytest.raises(InPlaceError, match="changes its input 0 in place"):
        gradcheck(func, normal(3))


def test_a_function_that_uses_the_tensor_from_outside_is_refused() -> None:
    x = normal(3)
    with pytest.raises(GraphError, match="depend on none of the inputs"):
        gradcheck(lambda _: x * 2, x)


def test_other_inputs_are_passed_as_they_are() -> None:
    index = cr.tensor([0, 2])
    assert gradcheck(lambda x, i, n: x[i] * n, (normal(3), index, 2))


# ---- PyTorch --------------------------------------------------------------------------------------------------------

SAME: dict[str, tuple[Callable[..., Any], Callable[[], list[Any]]]] = {
    "product": (lambda f, x, y: x * y, lambda: [(3, 1), (4,)]),
    "softmax": (lambda f, x: f.softmax(x, dim=-1), lambda: [(3, 4)]),
    "log_softmax": (lambda f, x: f.log_softmax(x, dim=0).mean(), lambda: [(3, 4)]),
    "variance": (lambda f, x: x.var(dim=0), lambda: [(3, 4)]),
    "max": (lambda f, x: x.max(dim=1)[0], lambda: [(3, 4)]),
    "gelu": (lambda f, x: f.gelu(x), lambda: [(3, 4)]),
    "pooling": (lambda f, x: f.max_pool2d(x, 2), lambda: [(1, 2, 4, 4)]),
    "repeated index": (lambda f, x: x[[0, 2, 0]], lambda: [(3, 4)]),
    "one factor detached": (lambda f, x: x * x.detach(), lambda: [(3,)]),
    "one term detached": (lambda f, x: x.detach() + x * x, lambda: [(3,)]),
    "detached": (lambda f, x: x.detach() * 2, lambda: [(3,)]),
    "one of two detached": (lambda f, x: (x * 2, x.detach() * 2), lambda: [(3,)]),
    "log of negative numbers": (lambda f, x: (-x.abs()).log(), lambda: [(3,)]),
}


@pytest.mark.parametrize("name", SAME)
def test_pytorch_accepts_the_same_functions(name: str) -> None:
    torch = pytest.importorskip("torch")
    func, shapes = SAME[name]
    arrays = [normal(*shape).detach().numpy() for shape in shapes()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.autograd.gradcheck(
            lambda *xs: func(torch.nn.functional, *xs),
            [torch.tensor(x, requires_grad=True) for x in arrays],
            raise_exception=False,
        )
    ours = found(lambda *xs: func(F, *xs), [cr.tensor(x, requires_grad=True) for x in arrays])
    assert ours == theirs, str(ours)


@pytest.mark.parametrize("name", ["gradcheck", "gradgradcheck"])
def test_the_signature_is_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    theirs = inspect.signature(getattr(torch.autograd, name)).parameters
    ours = inspect.signature(getattr(cr.autograd, name)).parameters
    assert [(p.name, p.default, p.kind) for p in ours.values()] == [
        (p.name, p.default, p.kind) for p in theirs.values()
    ]


def test_the_verify_package_has_the_same_functions() -> None:
    assert cr.verify.gradcheck is gradcheck
    assert cr.verify.gradgradcheck is gradgradcheck
    assert "chainrule.verify.exact_maths" not in sys.modules or "mpmath" in sys.modules
    assert Path(inspect.getfile(gradcheck)).name == "gradients.py"
