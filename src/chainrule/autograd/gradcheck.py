"""PyTorch's import path of gradient checks; what they do stands in `verify/`."""

from chainrule.errors import GradcheckError
from chainrule.verify.gradients import gradcheck, gradgradcheck

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]
