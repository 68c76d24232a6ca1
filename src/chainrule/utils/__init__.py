"""PyTorch's import paths: chainrule.utils.data."""

from chainrule.utils import data

__all__ = ["data"]
