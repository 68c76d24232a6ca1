"""PyTorch's import path of derivatives of functions."""

from chainrule.tensor.functional import hessian, hvp, jacobian, jvp, vhp, vjp

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
