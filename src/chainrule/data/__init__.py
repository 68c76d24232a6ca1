"""Data: tables, images and the data sets that can be had by name, as arrays ready for a network.

Data sets and loaders have PyTorch's names. `tables`, `target`, `preparation`, `images`, `bundled` and `splits`
load when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

from chainrule.data.collate import default_collate, default_convert
from chainrule.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    random_split,
)
from chainrule.data.loader import DataLoader, get_worker_info
from chainrule.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]

_LATE = ("bundled", "images", "preparation", "splits", "tables", "target")


def __getattr__(name: str) -> Any:
    """The modules that take time to import."""
    if name in _LATE:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
