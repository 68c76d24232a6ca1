"""Reader: shapes and element types, without any values. It promises what a call will return, or refuses it.

A primitive follows its shape rule and its declared result type; every other operator follows from its body, run
on these values. That both agree with a declared shape rule and with the arrays is a law that the tests check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from chainrule import dtypes
from chainrule.dtypes import DType
from chainrule.errors import ArgumentTypeError, ChainruleError, DTypeError
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.maths import Operators
from chainrule.ops.op import REQUIRED, Op
from chainrule.shapes import Shape


def result_of(op: Op, inputs: Sequence[Any], params: dict[str, Any]) -> tuple[Shape, DType]:
    """The shape and the element type that an operator returns; of an update, those of the new parameter.

    Where PyTorch says "the default float" the promise is float32.

    Args:
        op: an operator of the catalogue.
        inputs: by position: anything with `shape` and `dtype`, a Python number where the operator takes one,
            None for an optional input that is absent.
        params: by name; those left out have their defaults. An element type is one of `chainrule.dtypes`.

    Raises:
        ShapeError, IndexOutOfRangeError, ArgumentError: what the operator's shape rule refuses.
        DTypeError: an element type that the operator does not take, or types that it does not mix.
        ArgumentTypeError: a number where a tensor is needed, a parameter that does not exist or is missing.

    Example:
        >>> from chainrule import dtypes
        >>> result_of(CATALOGUE["sum"], [Abstract((2, 3), dtypes.bool_)], {"axis": 1})
        ((2,), chainrule.int64)
    """
    return results_of(op, inputs, params)[0]


def results_of(op: Op, inputs: Sequence[Any], params: dict[str, Any]) -> list[tuple[Shape, DType]]:
    """The same for each result: the kept statistics after the value, the new state after the new parameter."""
    check_params(op, params)
    values = [_abstract(x) for x in inputs]
    try:
        y = _body(op, *values, **params)
    except ChainruleError as refused:
        raise _named(op, values, refused) from None
    return [(one.shape, one.dtype) for one in (y if isinstance(y, tuple) else (y,))]


@dataclass(frozen=True)
class Abstract(Operators["Abstract"]):
    """A tensor of which only the shape and the element type are known."""

    shape: Shape
    dtype: DType

    def _call(self, name: str, *inputs: Any) -> Abstract:
        y: Abstract = _run(CATALOGUE[name], *inputs)
        return y


class _OperatorsAsAttributes(type):
    def __getattr__(cls, name: str) -> Callable[..., Any]:
        if name not in CATALOGUE:
            raise AttributeError(f"no operator '{name}'")
        run = partial(_run, CATALOGUE[name])
        setattr(cls, name, staticmethod(run))
        return run


class ShapeMaths(metaclass=_OperatorsAsAttributes):
    """`m` on `Abstract` values: inputs by position, parameters by name."""


def _run(op: Op, *inputs: Any, **params: Any) -> Any:
    """One call inside a body: its value, without the statistics that it keeps."""
    y = _body(op, *inputs, **params)
    return y[0] if op.keeps else y


def _body(op: Op, *inputs: Any, **params: Any) -> Any:
    """The promise of a primitive, else what the body makes of the inputs."""
    common = operand_type(op, inputs)
    shape = None if op.shape_rule is None else op.shape_rule(*[_shape(x) for x in inputs], **params)
    if op.primitive:
        assert shape is not None, f"the primitive {op.name} has no shape rule"
        return Abstract(shape, _declared_type(op, common, params))
    if op.converts and common is not None:
        inputs = tuple([_converted(op, i, x, common) for i, x in enumerate(inputs)])
    return op.body(ShapeMaths, *inputs, **params)


def _named(op: Op, values: Sequence[Any], refused: ChainruleError) -> ChainruleError:
    """The error of a rule with the name of the operator that was called and its inputs."""
    what = refused.what if refused.what.startswith(op.name) else f"{op.name}: {refused.what}"
    return type(refused)(what, got=refused.got or _described(op, values), mend=refused.mend)


def _described(op: Op, values: Sequence[Any]) -> list[str]:
    """A line for each tensor among the inputs: its name in the formula, shape and element type."""
    return [f"{input_name(op, i)}  {x.shape}  {x.dtype.name}" for i, x in enumerate(values) if isinstance(x, Abstract)]


# ---- element types -------------------------------------------------------------------------------------------


def operand_type(op: Op, inputs: Sequence[Any]) -> DType | None:
    """The element type that the inputs share after promotion; None for an operator without such inputs.

    Raises:
        DTypeError: for a type that the operator does not take, or types that it does not mix.
        ArgumentTypeError: for a number where a tensor is needed.
    """
    shared = [(i, x) for i, x in enumerate(inputs) if x is not None and input_name(op, i) in op.promotes]
    if not shared:
        return None
    for i, x in shared:
        if not isinstance(x, Abstract) and not (op.converts and type(x) in (float, int, bool)):
            raise ArgumentTypeError(
                f"{op.name}(): argument '{input_name(op, i)}' (position {i + 1}) must be Tensor, not {type(x).__name__}"
            )
    common = dtypes.promote_all([_operand(x) for _, x in shared])
    got = _described(op, inputs)
    if op.takes == "float" and not common.is_floating_point:
        raise DTypeError(
            f"{op.name} takes floating-point tensors, not {common}", got=got, mend="Convert first: x.float()"
        )
    if op.takes == "integer" and common.is_floating_point:
        raise DTypeError(f"{op.name} works on bits: integers and bools only", got=got)
    if op.takes == "number" and common is dtypes.bool_:
        raise DTypeError(
            f"{op.name} is not defined for bool tensors", got=got, mend="Use logical_and, logical_xor, logical_not."
        )
    if op.result == "float" and not common.is_floating_point:
        common = dtypes.float32
    if not op.converts and any(x.dtype is not common for _, x in shared):
        raise DTypeError(f"{op.name}: expected one element type", got=got)
    return common


def _operand(x: Any) -> tuple[DType, int]:
    if isinstance(x, Abstract):
        return x.dtype, dtypes.ARRAY if x.shape else dtypes.SCALAR
    if type(x) is float:
        return dtypes.float32, dtypes.NUMBER
    return (dtypes.bool_ if type(x) is bool else dtypes.int64), dtypes.NUMBER


def _converted(op: Op, place: int, x: Any, common: DType) -> Any:
    """The input in the common type: what the gate does before a body runs."""
    if isinstance(x, Abstract) and input_name(op, place) in op.promotes:
        return Abstract(x.shape, common)
    return x


def _declared_type(op: Op, common: DType | None, params: dict[str, Any]) -> DType:
    """The result's element type, by the operator's declaration."""
    if op.result == "parameter":
        dtype = params["dtype"]
        if not isinstance(dtype, DType):
            raise ArgumentTypeError(f"{op.name}: dtype is one of chainrule.dtypes, not {dtype!r}")
        return dtype
    if op.result == "bool":
        return dtypes.bool_
    if op.result == "int64":
        return dtypes.int64
    assert common is not None, f"{op.name} promotes no input, so its result type must be declared"
    return dtypes.int64 if op.result == "accumulated" and not common.is_floating_point else common


# ---- arguments -----------------------------------------------------------------------------------------------


def input_name(op: Op, place: int) -> str:
    """The name of the input at a position; the last one repeats if the operator takes any number of it."""
    return op.inputs[min(place, len(op.inputs) - 1)]


def check_params(op: Op, params: dict[str, Any]) -> None:
    """Raises ArgumentTypeError for a parameter that the operator does not have, or one it needs and lacks."""
    for name in params:
        if name not in op.params:
            raise ArgumentTypeError(f"{op.name}() has no parameter '{name}'; it has {', '.join(op.params)}")
    for name, default in op.params.items():
        if default is REQUIRED and name not in params:
            raise ArgumentTypeError(f"{op.name}() needs the parameter '{name}'")


def _shape(x: Any) -> Shape | None:
    return None if x is None else x.shape if isinstance(x, Abstract) else ()


def _abstract(x: Any) -> Any:
    """What has a shape and an element type, as an Abstract; numbers and None as they are."""
    return Abstract(tuple(x.shape), x.dtype) if hasattr(x, "shape") else x
