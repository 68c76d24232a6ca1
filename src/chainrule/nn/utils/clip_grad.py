"""Clipping: gradients made smaller, in place, before the optimiser's step.

`foreach`, PyTorch's choice between two implementations, is accepted: there is one here.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable
from math import inf
from types import GeneratorType
from typing import Any

import numpy as np

from chainrule.errors import GraphError
from chainrule.tensor.graph import Array
from chainrule.tensor.recording import recorder
from chainrule.tensor.switches import no_grad
from chainrule.tensor.tensor import Tensor, default_float, wrap, wrote


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients by max_norm / (norm + 1e-6) if that is below 1; their norm as one vector is returned.

    Args:
        parameters: tensors; those without .grad do not count.
        max_norm: what the norm is at most afterwards.
        norm_type: p of the p-norm; inf takes the largest absolute value.
        error_if_nonfinite: raise if the norm is nan or infinite, before anything is changed.

    Returns:
        The norm before clipping, a 0-d tensor.

    Raises:
        GraphError: for a norm that is not finite, if asked to.

    Source: Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks", algorithm 1.
    """
    tensors = _listed(parameters, warn=True)
    norm = get_total_norm([p.grad for p in tensors if p.grad is not None], norm_type, error_if_nonfinite)
    clip_grads_with_norm_(tensors, max_norm, norm)
    return norm


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The p-norm of all elements of the tensors as one vector, a 0-d tensor; 0 for no tensors.

    Raises:
        GraphError: for a norm that is not finite, if asked to.
    """
    p = float(norm_type)
    if (recording := recorder()) is not None:
        if error_if_nonfinite:
            raise recording.refuse(
                "error_if_nonfinite=True looks at the norm while the program is compiled",
                "Return the norm and look at it outside.",
            )
        return _recorded_norm(_listed(tensors), p)
    values = [x.value for x in _listed(tensors)]
    kind = np.result_type(*values) if values else default_float()
    norms = np.array([_norm(v, p) for v in values], kind)
    total = _norm(norms, p)
    if error_if_nonfinite and not np.isfinite(total):
        raise GraphError(
            f"The total norm of order {p} for gradients from `parameters` is non-finite, so it cannot be clipped.",
            got=[f"norm  {total}"],
            mend="To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`",
        )
    return wrap(np.asarray(total, kind), None)


def _recorded_norm(tensors: list[Any], p: float) -> Tensor:
    """The norm of all elements by the operators that a recorder knows."""
    with no_grad():
        if p == inf:
            largest: Tensor = functools.reduce(lambda a, b: a.maximum(b), [x.abs().amax() for x in tensors])
            return largest
        powers = [(x * x if p == 2.0 else x.abs() ** p).sum() for x in tensors]
        total: Tensor = functools.reduce(lambda a, b: a + b, powers)
        return total.sqrt() if p == 2.0 else total ** (1 / p)


def _norm(value: Array, p: float) -> Any:
    """(sum |x|^p)^(1/p) of all elements; squares that overflow are added in float64."""
    flat = value.ravel()
    if not flat.size:
        return value.dtype.type(0)
    if p == inf:
        return np.abs(flat).max()
    if p != 2.0:
        return np.linalg.norm(flat, p)
    square = np.dot(flat, flat)
    return np.sqrt(square) if square < inf else np.sqrt(np.dot(flat.astype(np.float64), flat.astype(np.float64)))


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients by max_norm / (total_norm + 1e-6) if that is below 1, for a norm computed before."""
    if recorder() is not None:
        with no_grad():
            scale = (max_norm / (total_norm + 1e-6)).clamp(max=1.0)
            for p in _listed(parameters):
                if p.grad is not None:
                    p.grad.mul_(scale.to(p.grad.dtype))
        return
    factor = total_norm.value.dtype.type(max_norm / (total_norm.value + 1e-6))
    if factor >= 1:  # false for nan, which then spreads, as in PyTorch
        return
    for p in _listed(parameters):
        if p.grad is not None:
            p.grad.value[...] *= factor
            wrote(p.grad)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Move every element of all gradients into [-clip_value, clip_value]."""
    bound = float(clip_value)
    for p in _listed(parameters):
        if p.grad is None:
            continue
        if recorder() is not None:
            with no_grad():
                p.grad.clamp_(-bound, bound)
        else:
            np.clip(p.grad.value, -bound, bound, out=p.grad.value)
            wrote(p.grad)


def _listed(tensors: Tensor | Iterable[Tensor], warn: bool = False) -> list[Any]:
    if isinstance(tensors, Tensor):
        return [tensors]
    listed = list(tensors)
    if warn and not listed and isinstance(tensors, GeneratorType):
        warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=3)
    return listed
