"""PyTorch's import path of operations with a hand-written backward."""

from chainrule.tensor.function import Function, FunctionCtx, once_differentiable

__all__ = ["Function", "FunctionCtx", "once_differentiable"]
