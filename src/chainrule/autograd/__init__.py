"""PyTorch's import path of differentiation; what it does stands in `tensor/`."""

from __future__ import annotations

from chainrule.autograd import function, functional
from chainrule.errors import ArgumentTypeError
from chainrule.tensor.backward import backward, grad
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
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
]


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """The tensor with the same elements, sharing memory: what old programs wrapped every tensor in.

    Raises:
        ArgumentTypeError: `data` is no tensor.
    """
    if not isinstance(data, Tensor):
        raise ArgumentTypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
    return data.detach().requires_grad_(requires_grad)
