"""PyTorch's import path of differentiation; what it does stands in `tensor/`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.autograd import function, functional
from chainrule.autograd.gradcheck import gradcheck, gradgradcheck  # the function hides its module, as in PyTorch
from chainrule.errors import ArgumentTypeError, UnsupportedError
from chainrule.tensor import backward as sweep
from chainrule.tensor.backward import backward
from chainrule.tensor.function import Function
from chainrule.tensor.switches import enable_grad, inference_mode, no_grad, set_grad_enabled
from chainrule.tensor.tensor import Tensor

__all__ = [
    "Function",
    "Variable",
    "backward",
    "enable_grad",
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """dL/dx for each of the inputs, without touching any .grad; `tensor.backward.grad` says what the arguments mean.

    Raises:
        UnsupportedError: for only_inputs=False, which PyTorch has given up as well.
    """
    if not only_inputs:
        raise UnsupportedError("grad(only_inputs=False) is not supported", mend="Call autograd.backward.")
    return sweep.grad(
        outputs,
        inputs,
        grad_outputs,
        retain_graph,
        create_graph,
        allow_unused=allow_unused,
        is_grads_batched=is_grads_batched,
        materialize_grads=materialize_grads,
    )


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """The tensor with the same elements, sharing memory: what old programs wrapped every tensor in.

    Raises:
        ArgumentTypeError: `data` is no tensor.
    """
    if not isinstance(data, Tensor):
        raise ArgumentTypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
    return data.detach().requires_grad_(requires_grad)
