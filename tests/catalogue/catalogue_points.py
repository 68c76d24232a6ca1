"""The points at which the catalogue is tested: one for each operator and each of its cases, by readable ids."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from chainrule.dtypes import DType
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.op import Case, Op
from chainrule.ops.shape_maths import Abstract, input_name
from chainrule.tensor.arrays import dtype_of, numpy_dtype
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.tensor import Tensor, wrap

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Point:
    """One operator at one of its cases."""

    op: Op
    case: Case
    number: int

    @property
    def id(self) -> str:
        return f"{self.op.name}-{self.case.tag}-{self.number}"

    @property
    def params(self) -> dict[str, Any]:
        """The case's parameters."""
        return dict(self.case.params)

    @property
    def numpy_params(self) -> dict[str, Any]:
        """The same with NumPy's element types, as bodies expect them."""
        return {k: numpy_dtype(v) if isinstance(v, DType) else v for k, v in self.case.params.items()}

    def inputs(self, dtype: Any = np.float64) -> list[Any]:
        """Arrays for what promotes or is a list (floats rounded to `dtype`); other numbers and None as they are."""
        return [self._input(i, x, dtype) for i, x in enumerate(self.case.inputs)]

    def _input(self, place: int, x: Any, dtype: Any) -> Any:
        if x is None or not (isinstance(x, list) or input_name(self.op, place) in self.op.promotes):
            return x
        array = np.array(x)
        return array.astype(dtype) if array.dtype.kind == "f" else array

    def differentiable(self, dtype: Any = np.float64) -> list[int]:
        """The places of the inputs that a rule serves here."""
        served = self.op.differentiable_inputs
        return [
            i
            for i, x in enumerate(self.inputs(dtype))
            if isinstance(x, np.ndarray) and x.dtype.kind == "f" and input_name(self.op, i) in served
        ]

    def random(self) -> np.random.Generator:
        """Random numbers that depend on the point alone."""
        return np.random.default_rng(zlib.crc32(self.id.encode()))


def all_points(*tags: str) -> list[Point]:
    """Every operator at every case with one of the tags."""
    counts: dict[tuple[str, str], int] = {}
    points = []
    for op in CATALOGUE.values():
        for case in op.tests:
            n = counts[op.name, case.tag] = counts.get((op.name, case.tag), 0) + 1
            if case.tag in tags:
                points.append(Point(op, case, n))
    return points


def at(points: list[Point]) -> pytest.MarkDecorator:
    """Run a test at each of the points."""
    return pytest.mark.parametrize("point", points, ids=[p.id for p in points])


def has_gate(op: Op) -> bool:
    """Updates return several values and run in place, in optim: they have a body and no gate."""
    return op.kind.name != "update"


def tensors(inputs: list[Any], needs: Any = ()) -> list[Any]:
    """The arrays as Tensors (copies); those at the places `needs` require a gradient."""
    arrays = (np.ndarray, np.generic)  # arithmetic on 0-d arrays gives NumPy's scalars
    out: list[Any] = [wrap(np.array(x), None) if isinstance(x, arrays) else x for x in inputs]
    for i in needs:
        out[i].requires_grad_(True)
    return out


def call(op: Op, inputs: list[Any], params: dict[str, Any]) -> Tensor:
    """The operator through its gate."""
    return GATES[op.name](*inputs, **params)


def abstract(x: Any) -> Any:
    """The shape and element type of an array; numbers and None as they are."""
    return Abstract(x.shape, dtype_of(x.dtype)) if isinstance(x, np.ndarray) else x
