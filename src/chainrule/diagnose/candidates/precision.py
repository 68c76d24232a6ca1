"""Precision: the same arithmetic with twice the bits, where values or gradients leave the range of the type.

float16 holds 6e-8 to 65,504, float32 1.4e-45 to 3.4e38, float64 4.9e-324 to 1.8e308 (IEEE 754). 0.25^75, the gradient
through 75 sigmoids, is 0 in float32 and 7e-46 in float64: more bits show it, and make it no larger.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from chainrule import dtypes
from chainrule.diagnose.candidates.candidate import Candidate, Case
from chainrule.nn.module import Module
from chainrule.optim.optimizer import Optimizer
from chainrule.tensor.tensor import Tensor

WIDER = {dtypes.float16: dtypes.float32, dtypes.float32: dtypes.float64}
REASON = "numbers that leave the range of the present type stay in that of the wider one"
CODE = """def in_{name}(module, args):
    return tuple(x.to(cr.{name}) if x.is_floating_point() else x for x in args)

model.to(cr.{name})
model.register_forward_pre_hook(in_{name})"""


def candidates(family: str, case: Case) -> list[Candidate]:
    """The candidate of the family "precision"; none for a model of float64."""
    kinds = {p.dtype for p in case.model.parameters()}
    narrow = next((kind for kind in WIDER if kind in kinds), None)
    if family != "precision" or narrow is None:
        return []
    wide = WIDER[narrow]
    return [Candidate(f"{wide.name} arithmetic", REASON, CODE.format(name=wide.name), partial(_widen, wide))]


def _widen(kind: Any, model: Module, optimizer: Optimizer | None) -> None:
    model.to(kind)
    model.register_forward_pre_hook(partial(_convert, kind), with_kwargs=True)


def _convert(kind: Any, module: Module, args: Any, kwargs: Any) -> Any:
    return tuple([_widened(x, kind) for x in args]), {name: _widened(x, kind) for name, x in kwargs.items()}


def _widened(values: Any, kind: Any) -> Any:
    if isinstance(values, Tensor):
        return values.to(kind) if values.is_floating_point() else values
    if type(values) in (tuple, list):
        return type(values)([_widened(x, kind) for x in values])
    return {name: _widened(x, kind) for name, x in values.items()} if isinstance(values, Mapping) else values
