"""PyTorch's import path of the loader."""

from chainrule.data.collate import default_collate, default_convert
from chainrule.data.loader import DataLoader, get_worker_info

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]
