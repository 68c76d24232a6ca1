"""Recurrence: a matrix that keeps lengths from step to step, gates that are open, or gates where there were none.

A loop that the user wrote can be given another matrix; only nn.RNN, whose interface is known, can be exchanged.

Sources: Saxe et al. 2014 and Le et al. 2015 (matrices), Gers et al. 2000 and Jozefowicz et al. 2015 (the forget gate's
bias), Hochreiter & Schmidhuber 1997 (LSTM), Cho et al. 2014 (GRU).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import sqrt
from typing import Any

from chainrule.diagnose.candidates.candidate import Candidate, Case, places, stream, written
from chainrule.nn import init
from chainrule.nn.linear import Linear
from chainrule.nn.module import Module
from chainrule.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from chainrule.optim.optimizer import Optimizer
from chainrule.tensor.functions.creation import zeros_like
from chainrule.tensor.switches import no_grad
from chainrule.tensor.tensor import Tensor

RECURRENT = (RNN, GRU, LSTM, RNNCell, GRUCell, LSTMCell)
GATED = (LSTM, LSTMCell, GRU, GRUCell)
OPEN = 3.0
"""The bias of a gate that lets 95% pass at first."""

KEEPS_LENGTH = "an orthogonal matrix keeps the gradient's length from step to step"
REMEMBERS = "an open gate hands the state on nearly as it is, and the gradient with it"
PAST_THE_MATRIX = "the state is handed on through a gate, past the matrix and past tanh"

ORTHOGONAL = """for layer in model.modules():
    if isinstance(layer, nn.RNN | nn.GRU | nn.LSTM | nn.RNNCell | nn.GRUCell | nn.LSTMCell):
        for name, w in layer.named_parameters():
            if name.startswith("weight_hh"):
                for gate in w.data.split(layer.hidden_size):
                    nn.init.orthogonal_(gate)"""

GATES = """for layer in model.modules():
    if isinstance(layer, nn.LSTM | nn.LSTMCell | nn.GRU | nn.GRUCell):
        h = layer.hidden_size
        for name, b in layer.named_parameters():
            if name.startswith("bias_ih"):
                b.data[h : 2 * h] = 3.0"""

SWAP = """for owner in list(model.modules()):
    for name, old in list(owner.named_children()):
        if isinstance(old, nn.RNN):
            new = {kind}(old.input_size, old.hidden_size, old.num_layers, old.bias, old.batch_first,
                         old.dropout, old.bidirectional)
            for key, b in new.named_parameters():
                if key.startswith("bias_ih"):
                    b.data[old.hidden_size : 2 * old.hidden_size] = 3.0
            setattr(owner, name, new)"""

HIDDEN_STATE = """class LSTM(nn.LSTM):
    def forward(self, input, hx=None):
        states = None if hx is None else (hx, cr.zeros_like(hx))
        output, (h, c) = super().forward(input, states)
        return output, h

"""


class HiddenLSTM(LSTM):
    """An LSTM with the interface of an RNN: it takes and returns h alone, and its cell starts at 0."""

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        states = None if hx is None else (hx, zeros_like(hx))
        output, (h, _) = super().forward(input, states)
        return output, h


def candidates(family: str, case: Case) -> list[Candidate]:
    """The candidates of the family "recurrent": for layers and cells of the library, and for Linear in a loop."""
    if family != "recurrent":
        return []
    found = []
    loops = in_loops(case)
    modules = list(case.model.modules())
    if loops:
        code = "\n".join([f"nn.init.orthogonal_({written(path)}.weight)" for path in loops])
        found.append(Candidate("orthogonal recurrent weights", KEEPS_LENGTH, code, partial(_orthogonal_loops, loops)))
    elif any(isinstance(module, RECURRENT) for module in modules):
        found.append(Candidate("orthogonal recurrent weights", KEEPS_LENGTH, ORTHOGONAL, _orthogonal_steps))
    if any(isinstance(module, GATED) for module in modules):
        found.append(Candidate("open forget gates", REMEMBERS, GATES, _open_gates))
    if any(isinstance(module, RNN) for module in modules):
        swap = partial(_swap, HiddenLSTM)
        code = HIDDEN_STATE + SWAP.format(kind="LSTM")
        found.append(Candidate("LSTM in place of RNN", PAST_THE_MATRIX, code, swap))
        code = SWAP.format(kind="nn.GRU")
        found.append(Candidate("GRU in place of RNN", PAST_THE_MATRIX, code, partial(_swap, GRU)))
    return found


def in_loops(case: Case) -> list[str]:
    """The paths of square linear layers through which the route from the loss passes at several steps."""
    linear = {path: module for path, module in case.model.named_modules() if isinstance(module, Linear)}
    names = dict.fromkeys([row.name for row in case.diagnosis.ledger.rows if row.step is not None])
    return [name for name in names if name in linear and linear[name].in_features == linear[name].out_features]


def _orthogonal_loops(paths: Sequence[str], model: Module, optimizer: Optimizer | None) -> None:
    generator = stream()
    for path in paths:
        layer: Any = model.get_submodule(path)
        init.orthogonal_(layer.weight, generator=generator)


def _orthogonal_steps(model: Module, optimizer: Optimizer | None) -> None:
    generator = stream()
    for layer, name, w in _own(model, RECURRENT):
        if name.startswith("weight_hh"):
            with no_grad():
                for k in range(0, w.shape[0], layer.hidden_size):
                    init.orthogonal_(w[k : k + layer.hidden_size], generator=generator)


def _open_gates(model: Module, optimizer: Optimizer | None) -> None:
    """The second block of rows is an LSTM's forget gate and a GRU's update gate: at 1 both keep the state."""
    for layer, name, b in _own(model, GATED):
        if name.startswith("bias_ih"):
            with no_grad():
                b[layer.hidden_size : 2 * layer.hidden_size] = OPEN


def _own(model: Module, kinds: tuple[type, ...]) -> Iterator[tuple[Any, str, Any]]:
    for layer in list(model.modules()):
        if isinstance(layer, kinds):
            for name, p in layer.named_parameters():
                yield layer, name, p


def _swap(kind: Any, model: Module, optimizer: Optimizer | None) -> None:
    generator = stream()
    for owner, name, old in places(model):
        if not isinstance(old, RNN):
            continue
        sizes = (old.input_size, old.hidden_size, old.num_layers)
        new = kind(*sizes, old.bias, old.batch_first, old.dropout, old.bidirectional)
        bound = 1 / sqrt(old.hidden_size)
        for p in new.parameters():
            init.uniform_(p, -bound, bound, generator=generator)
        _open_gates(new, None)
        setattr(owner, name, new.to(next(old.parameters()).dtype).train(old.training))
