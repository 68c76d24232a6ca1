"""Shapes and element types: the gate keeps what `ops.shape_maths` promises, and refuses what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from catalogue_checks import visited
from catalogue_points import Array, Point, abstract, all_points, at, call, tensors

from chainrule import dtypes
from chainrule.errors import ArgumentTypeError, ChainruleError, IndexOutOfRangeError, ShapeError
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.shape_maths import Abstract, ShapeMaths, input_name, result_of
from chainrule.tensor.arrays import dtype_of
from chainrule.tensor.backward import grad
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.tensor import wrap


def outcome(run: Any) -> Any:
    """What a call gives, or the class of the error of ours that it raises."""
    try:
        return run()
    except ChainruleError as error:
        return type(error)


def through_the_gate(point: Point, inputs: list[Any]) -> Any:
    """(shape, element type) of the result, or the class of the error."""
    y = outcome(lambda: call(point.op, tensors(inputs), point.params))
    return y if isinstance(y, type) else (y.value.shape, dtype_of(y.value.dtype))


def promised(point: Point, inputs: list[Any]) -> Any:
    """The same from shapes and element types alone."""
    return outcome(lambda: result_of(point.op, [abstract(x) for x in inputs], point.params))


# ---- element types -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@at(visited("result type"))
def test_the_result_has_the_promised_shape_and_type(point: Point, dtype: Any) -> None:
    inputs = point.inputs(dtype)
    assert through_the_gate(point, inputs) == promised(point, inputs)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@at([p for p in visited("second derivative") if p.op.name != "cast"])
def test_gradients_of_first_and_second_order_keep_the_type(point: Point, dtype: Any) -> None:
    places = point.differentiable(dtype)
    given = tensors(point.inputs(dtype), places)
    y = call(point.op, given, point.params)
    assert y.value.dtype == dtype
    c = wrap(np.ones(y.value.shape, dtype), None).requires_grad_()
    first = grad(y, [given[i] for i in places], c, create_graph=True)
    assert [g.value.dtype for g in first] == [dtype] * len(places)
    for g in first:
        if g.requires_grad:
            second = grad(
                GATES["sum"](g * g), [*[given[i] for i in places], c], retain_graph=True, materialize_grads=True
            )
            assert {h.value.dtype for h in second} == {np.dtype(dtype)}


def as_integers(point: Point, dtype: Any) -> list[Any]:
    """The point's inputs with integers (no zeros, which divide) or bools in the place of floats."""
    out = []
    for x in point.inputs():
        if isinstance(x, np.ndarray) and x.dtype.kind == "f":
            x = np.ceil(np.abs(x)).clip(1, 3).astype(dtype)
        out.append(x)
    return out


PROMISED_ELSEWHERE = {
    "clamp": "integers with float bounds: NumPy gives float64, PyTorch and the promise float32",
    "cross_entropy_backward": "called by cross_entropy's rule only, with types that are checked",
}


def assert_alike(point: Point, inputs: list[Any]) -> None:
    """The gate gives or refuses what is promised; where it is known not to, it must still not."""
    gate, promise = through_the_gate(point, inputs), promised(point, inputs)
    assert gate == promise


INTEGERS = [p for p in visited("result type") if p.number == 1 and p.op.name not in PROMISED_ELSEWHERE]


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int8, np.int32, np.int64])
@at(INTEGERS)
def test_integers_give_the_declared_type_or_are_refused_alike(point: Point, dtype: Any) -> None:
    assert_alike(point, as_integers(point, dtype))


MIXTURES = [(np.float32, np.float64), (np.int64, np.float32), (np.bool_, np.int32), (np.uint8, np.int8)]


@pytest.mark.parametrize("mixture", MIXTURES, ids=[f"{a.__name__}-{b.__name__}" for a, b in MIXTURES])
@at([p for p in INTEGERS if len(p.op.promotes) > 1])
def test_mixed_types_are_promoted_or_refused_alike(point: Point, mixture: tuple[Any, Any]) -> None:
    inputs = as_integers(point, np.int64)
    shared = [i for i, x in enumerate(inputs) if x is not None and input_name(point.op, i) in point.op.promotes]
    for i in shared:
        inputs[i] = inputs[i].astype(mixture[i % 2])
    assert_alike(point, inputs)


@pytest.mark.parametrize("number", [2, 2.5, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.bool_])
@at([p for p in visited("result type") if p.number == 1 and p.op.kind.broadcasts and len(p.op.promotes) == 2])
def test_a_python_number_decides_only_by_its_category(point: Point, dtype: Any, number: Any) -> None:
    inputs = as_integers(point, dtype)
    for place in [i for i in range(len(inputs)) if input_name(point.op, i) in point.op.promotes]:
        assert_alike(point, [number if i == place else x for i, x in enumerate(inputs)])


@at([p for p in visited("result type") if p.number == 1 and p.op.kind.broadcasts and len(p.op.promotes) == 2])
def test_a_0d_tensor_of_a_wider_type_does_not_widen_an_array(point: Point) -> None:
    inputs = point.inputs(np.float32)
    last = max(i for i in range(len(inputs)) if input_name(point.op, i) in point.op.promotes)
    if inputs[last].dtype.kind == "f":
        inputs[last] = np.array(1.5)
    assert through_the_gate(point, inputs) == promised(point, inputs)


# ---- refusals ------------------------------------------------------------------------------------------------


@at([p for p in visited("refusals") if p.case.tag == "rejected"])
def test_rejected_inputs_raise_our_error_with_the_operators_name(point: Point) -> None:
    inputs = point.inputs()
    refusal = promised(point, inputs)
    assert isinstance(refusal, type)
    assert issubclass(refusal, ChainruleError)
    with pytest.raises(refusal, match=rf"\b{point.op.name}\b"):
        call(point.op, tensors(inputs), point.params)
    with pytest.raises(refusal, match=rf"\b{point.op.name}\b"):
        result_of(point.op, [abstract(x) for x in inputs], point.params)


def other_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Shapes close to this one: an axis more, an axis less, and other sizes."""
    shapes: list[tuple[int, ...]] = [(1, *shape), (2, *shape), shape[1:], shape[:-1]]
    for a, n in enumerate(shape):
        shapes += [(*shape[:a], other, *shape[a + 1 :]) for other in (0, 1, n + 1)]
    return [s for s in dict.fromkeys(shapes) if s != shape]


def with_other_shapes(point: Point) -> list[list[Any]]:
    """The point's inputs with the shape of one of them changed; numbers are 1/2, indices 0."""
    inputs = point.inputs()
    changed = []
    for i, x in enumerate(inputs):
        if isinstance(x, np.ndarray):
            filling: Any = 0.5 if x.dtype.kind == "f" else 0
            changed += [[*inputs[:i], np.full(s, filling, x.dtype), *inputs[i + 1 :]] for s in other_shapes(x.shape)]
    return changed


def has_indices(inputs: list[Any]) -> bool:
    return any(isinstance(x, np.ndarray) and x.dtype.kind == "i" for x in inputs)


@at(visited("refusals"))
def test_arrays_are_refused_exactly_where_their_shapes_are(point: Point) -> None:
    for inputs in with_other_shapes(point):
        gate, shape = through_the_gate(point, inputs), promised(point, inputs)
        if gate is IndexOutOfRangeError and has_indices(inputs):
            continue  # an index that does not exist is a matter of values
        shown = [x.shape if isinstance(x, np.ndarray) else x for x in inputs]
        assert gate == shape, f"{point.id} at {shown}: the gate says {gate}, the shapes {shape}"


# ---- the reader of shapes itself -----------------------------------------------------------------------------


@at([p for p in all_points("typical") if not p.op.primitive])
def test_a_body_without_values_gives_the_declared_shape(point: Point) -> None:
    inputs = [abstract(x) for x in point.inputs(np.float32)]
    params = dict(point.case.params)
    made = getattr(ShapeMaths, point.op.name)(*inputs, **params)
    first = made[0] if isinstance(made, tuple) else made
    rule = point.op.shape_rule
    assert rule is not None
    shapes = [x.shape if isinstance(x, Abstract) else None if x is None else () for x in inputs]
    assert first.shape == rule(*shapes, **params)


def test_a_parameter_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match=r"sum\(\) has no parameter 'dim'; it has axis, keepdims"):
        result_of(CATALOGUE["sum"], [Abstract((2,), dtypes.float32)], {"dim": 0})


def test_a_missing_parameter_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match=r"reshape\(\) needs the parameter 'shape'"):
        result_of(CATALOGUE["reshape"], [Abstract((2,), dtypes.float32)], {})


def test_numpys_element_types_are_refused() -> None:
    x = Abstract((2,), dtypes.float32)
    with pytest.raises(ArgumentTypeError, match=r"cast: dtype is one of chainrule\.dtypes"):
        result_of(CATALOGUE["cast"], [x], {"dtype": np.dtype(np.float32)})


def test_a_refusal_names_the_operator_and_shows_its_inputs() -> None:
    with pytest.raises(ShapeError) as caught:
        result_of(CATALOGUE["add"], [Abstract((2,), dtypes.float32), Abstract((3,), dtypes.int64)], {})
    assert str(caught.value).splitlines() == [
        "add: the shapes (2,) and (3,) do not broadcast: axis -1 has sizes [2, 3]",
        "    a  (2,)  float32",
        "    b  (3,)  int64",
    ]


def test_an_unknown_operator_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no operator 'nonsense'"):
        _ = ShapeMaths.nonsense


def test_what_has_a_shape_and_a_type_is_an_input() -> None:
    x = wrap(np.zeros((2, 3), np.int32), None)
    assert result_of(CATALOGUE["mul"], [x, 0.5], {}) == ((2, 3), dtypes.float32)


EMPTY: Array = np.zeros((0, 3))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_softmax_over_no_elements_is_empty(name: str) -> None:
    assert GATES[name](wrap(EMPTY, None), axis=0).value.shape == (0, 3)


def test_the_logsumexp_of_nothing_is_minus_infinity() -> None:
    assert GATES["logsumexp"](wrap(EMPTY, None), axis=0).value.tolist() == [-np.inf] * 3
