"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.errors import ArgumentTypeError, ShapeError
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor, replace_value


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements on one axis, one parameter after the other; differentiable."""
    return GATES["cat"](*[GATES["reshape"](p, shape=(-1,)) for p in parameters], axis=0)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give each parameter its part of the vector; they share the vector's memory from then on.

    Raises:
        ArgumentTypeError: if vec is no Tensor.
        ShapeError: if it does not have as many elements as the parameters; nothing is changed then.
    """
    if not isinstance(vec, Tensor):
        raise ArgumentTypeError(f"vec is a Tensor, not {type(vec).__name__}")
    targets = list(parameters)
    total = sum(p.value.size for p in targets)
    if vec.value.shape != (total,):
        raise ShapeError(f"vector_to_parameters: the parameters have {total} elements", got=[describe("vec", vec)])
    start = 0
    for p in targets:
        end = start + p.value.size
        replace_value(p, vec.value[start:end].reshape(p.value.shape))
        start = end
