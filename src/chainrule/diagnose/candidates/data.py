"""The scale of data: inputs brought to mean 0 and size 1 by the statistics of the batches, outputs to the targets'.

The statistics are constants of the changed model, so that new data are treated alike.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from chainrule.diagnose.candidates.candidate import Candidate, Case
from chainrule.nn.module import Module
from chainrule.optim.optimizer import Optimizer
from chainrule.tensor.graph import Array
from chainrule.tensor.tensor import Tensor, wrap

INPUTS = """class Standardised(nn.Module):
    def __init__(self, model, mean, std):
        super().__init__()
        self.model = model
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x):
        return self.model((x - self.mean) / self.std)

model = Standardised(model, x_train.mean({axis}), x_train.std({axis}) + 1e-8)"""

OUTPUTS = """class Rescaled(nn.Module):
    def __init__(self, model, mean, std):
        super().__init__()
        self.model = model
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x):
        return self.model(x) * self.std + self.mean

model = Rescaled(model, y_train.mean({axis}), y_train.std({axis}))"""

MEAN_AND_SIZE = "layers and their initialisation are made for inputs of mean 0 and size 1"
ON_THEIR_SCALE = "the weights need not grow to reach the targets; training on (y - mean) / std does the same"


class Rescaled(Module):
    """A model between constant shifts and scales of its input and its output: b_out + a_out model(a_in x + b_in)."""

    def __init__(self, model: Module, given: tuple[Array, Array] | None, put_out: tuple[Array, Array] | None) -> None:
        super().__init__()
        self.model = model
        for name, pair in (("input", given), ("output", put_out)):
            mean, std = (None, None) if pair is None else (wrap(part, None) for part in pair)
            self.register_buffer(f"{name}_mean", mean)
            self.register_buffer(f"{name}_std", std)

    def forward(self, x: Any) -> Any:
        if self.input_mean is not None:
            x = (x - self.input_mean) / self.input_std
        y = self.model(x)
        return y if self.output_mean is None else y * self.output_std + self.output_mean


def candidates(family: str, case: Case) -> list[Candidate]:
    """The candidates of the families "inputs" and "targets": for one tensor of floats."""
    at, batches = {"inputs": 0, "targets": 1}.get(family), case.batches
    if at is None or not all(isinstance(batch[at], Tensor) and batch[at].value.dtype.kind == "f" for batch in batches):
        return []
    values = np.concatenate([np.asarray(batch[at].value) for batch in batches]) if batches[0][at].ndim else None
    if values is None or not np.isfinite(values).all():
        return []
    kind = values.dtype
    # one mean for each feature of a table, one for all pixels of images and steps of sequences
    axes = 0 if values.ndim == 2 else None
    mean, std = values.mean(axes, dtype=np.float64), values.std(axes, dtype=np.float64)
    std = np.where(std > 1e-8 * (np.abs(mean) + 1), std, 1.0)
    pair, axis = (np.asarray(mean, kind), np.asarray(std, kind)), "" if axes is None else "0"
    if at == 0:
        code = INPUTS.replace("{axis}", axis)
        return [Candidate("standardised inputs", MEAN_AND_SIZE, code, partial(_wrap, pair, None))]
    code = OUTPUTS.replace("{axis}", axis)
    return [Candidate("output on the targets' scale", ON_THEIR_SCALE, code, partial(_wrap, None, pair))]


def _wrap(given: Any, put_out: Any, model: Module, optimizer: Optimizer | None) -> Module:
    return Rescaled(model, given, put_out).train(model.training)
