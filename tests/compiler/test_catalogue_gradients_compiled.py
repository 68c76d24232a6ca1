"""The derivative rules of the catalogue, compiled: the gradients of every operator are those of an eager run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from catalogue_points import Point, all_points, at

import chainrule as cr
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.tensor import wrap

SIZE_OF_TERMS = {"batch_norm": 1.0}
"""Where a gradient is a small difference of larger terms: their size."""

POINTS = [p for p in all_points("typical", "kink") if p.differentiable()]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@at(POINTS)
def test_compiled_gradients_are_the_eager_ones(point: Point, dtype: Any) -> None:
    """To 256 eps of the largest element: products and sums run in another order."""
    places = point.differentiable(dtype)
    inputs = point.inputs(dtype)
    leaves = [wrap(inputs[i].copy(), None).requires_grad_() for i in places]
    rest = [wrap(x, None) if isinstance(x, np.ndarray) else x for x in inputs]

    def gradients(*given: cr.Tensor) -> Any:
        arguments = list(rest)
        for i, x in zip(places, given, strict=True):
            arguments[i] = x
        y = GATES[point.op.name](*arguments, **point.numpy_params)
        weights = cr.tensor(point.random().uniform(0.5, 1.5, y.shape)).to(y.dtype)
        return cr.autograd.grad(y, list(given), weights)

    expected = gradients(*leaves)
    got = cr.compile(gradients, denormals="keep")(*leaves)
    eps = float(np.finfo(dtype).eps)
    for g, wanted in zip(got, expected, strict=True):
        w = wanted.detach().numpy()
        scale = np.abs(w[np.isfinite(w)]).max(initial=SIZE_OF_TERMS.get(point.op.name, 0.0))
        np.testing.assert_allclose(g.detach().numpy(), w, rtol=256 * eps, atol=256 * eps * scale)
