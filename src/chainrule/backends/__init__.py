"""PyTorch's namespace of its backends, as they answer on a machine without a GPU."""

from chainrule.backends import cuda, cudnn, mps

__all__ = ["cuda", "cudnn", "mps"]
