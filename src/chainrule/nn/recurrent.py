"""LSTM, GRU and RNN over sequences, in several layers and both directions; and their cells, for single steps.

Each layer and direction is one operator (`ops/recurrent.py`) after one product for all its inputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import sqrt
from typing import Any, NamedTuple

from chainrule.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.linear import empty_parameter
from chainrule.nn.module import Module
from chainrule.tensor.dispatch import GATES
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor

WHOLE = slice(None)


# ---- the recurrences -----------------------------------------------------------------------------------------


class Weights(NamedTuple):
    """The parameters of one layer and direction: of the inputs, and of the state."""

    ih: Tensor
    hh: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None

    def bias(self) -> Tensor | None:
        """Both biases together, where nothing stands between them."""
        return None if self.b_ih is None else GATES["add"](self.b_ih, self.b_hh)


class _Recurrence(Module):
    """What layers and cells of a kind share.

    `blocks` is how many gates the rows of its weights belong to, `names` what its states are called.
    """

    blocks: int
    names: tuple[str, ...]
    input_size: int
    hidden_size: int

    def states_of(self, x: Tensor, states: Sequence[Tensor], p: Weights) -> Tensor:
        """The states before the first and after each step of x, (T, B, input_size): what the operator returns."""
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Draw all parameters anew: uniform in [-1/sqrt(hidden_size), 1/sqrt(hidden_size))."""
        bound = 1 / sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def _register(self, suffix: str, input_size: int, bias: bool, device: Any, dtype: Any) -> None:
        """The parameters of one layer and direction."""
        rows = self.blocks * self.hidden_size
        setattr(self, f"weight_ih{suffix}", empty_parameter((rows, input_size), device, dtype))
        setattr(self, f"weight_hh{suffix}", empty_parameter((rows, self.hidden_size), device, dtype))
        for name in (f"bias_ih{suffix}", f"bias_hh{suffix}"):
            self.register_parameter(name, empty_parameter((rows,), device, dtype) if bias else None)

    def _weights(self, suffix: str) -> Weights:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return Weights(*[getattr(self, name + suffix) for name in names])

    def _cut(self, states: Tensor, which: int, steps: Any) -> Tensor:
        """Some steps of one of the states (0: h, 1: c) out of what the operator returns."""
        return GATES["slice"](states, key=(which, steps) if len(self.names) > 1 else (steps,))

    def _unpacked(self, hx: Any) -> list[Tensor]:
        """The given initial states, one for each name.

        Raises:
            ArgumentTypeError: if they are no tensors, or another number of them.
        """
        given = list(hx) if isinstance(hx, tuple | list) else [hx]
        if len(given) != len(self.names) or not all(isinstance(s, Tensor) for s in given):
            wanted = "a pair of tensors, (h_0, c_0)" if len(self.names) > 1 else "a tensor, h_0"
            raise ArgumentTypeError(f"{type(self).__name__}: hx is {wanted}, not {_types(hx)}")
        return given

    def _check(self, x: Any, ndims: tuple[int, int], weight: Tensor) -> None:
        """Refuse what is no input: by its type, number of axes, element type and last size."""
        kind = type(self).__name__
        if not isinstance(x, Tensor):
            packed = type(x).__name__ == "PackedSequence"
            raise ArgumentTypeError(
                f"{kind}: the input is a Tensor, not {type(x).__name__}",
                mend="Packed sequences are not supported: pad the batch, and leave the padding out of the loss."
                if packed
                else None,
            )
        if x.value.ndim not in ndims:
            low, high = ndims
            raise ArgumentError(
                f"{kind}: Expected input to be {low}D or {high}D, got {x.value.ndim}D instead",
                got=[describe("input", x)],
            )
        if x.value.dtype != weight.value.dtype:
            raise ArgumentError(
                f"{kind}: input dtype ({x.value.dtype}) does not match weight dtype ({weight.value.dtype})",
                got=[describe("input", x), describe("weight", weight)],
                mend=f"Convert the input: input.to(chainrule.{weight.value.dtype}), or the module.",
            )
        if x.value.shape[-1] != self.input_size:
            raise ShapeError(
                f"{kind}: input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                f"{x.value.shape[-1]}",
                got=[describe("input", x)],
            )


class _LSTM(_Recurrence):
    """i, f, g, o = sigmoid, sigmoid, tanh, sigmoid(W_ih x + b_ih + W_hh h + b_hh); c' = f c + i g; h' = o tanh(c')."""

    blocks = 4
    names = ("hidden[0]", "hidden[1]")

    def states_of(self, x: Tensor, states: Sequence[Tensor], p: Weights) -> Tensor:
        h, c = states
        return GATES["lstm"](GATES["linear"](x, p.ih, p.bias()), h, c, p.hh)


class _GRU(_Recurrence):
    """r, z = sigmoid, n = tanh(W_in x + b_in + r (W_hn h + b_hn)); h' = (1 - z) n + z h."""

    blocks = 3
    names = ("hidden",)

    def states_of(self, x: Tensor, states: Sequence[Tensor], p: Weights) -> Tensor:
        return GATES["gru"](GATES["linear"](x, p.ih, p.b_ih), states[0], p.hh, p.b_hh)


class _RNN(_Recurrence):
    """h' = tanh, or relu, of W_ih x + b_ih + W_hh h + b_hh."""

    blocks = 1
    names = ("hidden",)
    nonlinearity: str

    def states_of(self, x: Tensor, states: Sequence[Tensor], p: Weights) -> Tensor:
        return GATES["rnn"](GATES["linear"](x, p.ih, p.bias()), states[0], p.hh, nonlinearity=self.nonlinearity)


# ---- over sequences ------------------------------------------------------------------------------------------


class _Layers(_Recurrence):
    """A recurrence over sequences, in layers: what LSTM, GRU and RNN share."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
            raise ArgumentError(
                "dropout should be a number in range [0, 1] representing the probability of an element being "
                f"zeroed, not {dropout!r}"
            )
        self.input_size, self.hidden_size = _positive(input_size, "input_size"), _positive(hidden_size, "hidden_size")
        self.num_layers = _positive(num_layers, "num_layers")
        if proj_size:
            raise UnsupportedError(
                f"{type(self).__name__}: proj_size={proj_size} is not supported", mend="Put a Linear after it."
            )
        if dropout and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, float(dropout), bidirectional
        for layer in range(num_layers):
            size = input_size if layer == 0 else hidden_size * self.directions
            for suffix in self._suffixes(layer):
                self._register(suffix, size, bias, device, dtype)
        self.reset_parameters()

    @property
    def directions(self) -> int:
        """2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    def flatten_parameters(self) -> None:
        """Nothing: parameters are used where they are. In PyTorch it moves them together for cuDNN."""

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: self.directions]

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """The outputs of the last layer at all steps, and the states after the last step.

        Args:
            input: (T, B, input_size), with batch_first (B, T, input_size), or one sequence, (T, input_size).
            hx: the initial state h_0, (layers * directions, B, H), or (layers * directions, H) for one sequence; of
                an LSTM the pair (h_0, c_0). None means 0.

        Returns:
            The outputs, (T, B, directions * H) in the order of the input's axes, and h_n, of an LSTM (h_n, c_n), in
            the shapes of hx.

        Raises:
            ShapeError: for another input_size, no steps, or a state of another shape.
            ArgumentError: for another number of axes or element type.
            ArgumentTypeError: for an input that is no tensor (a PackedSequence), or states that are none.
        """
        self._check(input, (2, 3), self.weight_ih_l0)
        is_batched = input.value.ndim == 3
        swaps = is_batched and self.batch_first
        x = input if is_batched else _with_axis(input, 1)
        if swaps:
            x = GATES["permute"](x, order=(1, 0, 2))
        steps, batch, _ = x.value.shape
        if steps == 0:
            raise ShapeError(
                f"{type(self).__name__}: Expected sequence length to be larger than 0", got=[describe("input", input)]
            )
        given = self._initial(hx, x, batch, is_batched)
        last: list[list[Tensor]] = [[] for _ in self.names]
        for layer in range(self.num_layers):
            outputs = []
            for way, suffix in enumerate(self._suffixes(layer)):
                place = layer * self.directions + way
                start = [GATES["slice"](s, key=(place,)) for s in given]
                states = self.states_of(GATES["flip"](x, axes=(0,)) if way else x, start, self._weights(suffix))
                output = self._cut(states, 0, slice(1, None))
                outputs.append(GATES["flip"](output, axes=(0,)) if way else output)
                for which, parts in enumerate(last):
                    parts.append(self._cut(states, which, slice(steps, None)))
            x = GATES["cat"](*outputs, axis=-1) if len(outputs) > 1 else outputs[0]
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout)
        if swaps:
            x = GATES["permute"](x, order=(1, 0, 2))
        ends = [GATES["cat"](*parts, axis=0) if len(parts) > 1 else parts[0] for parts in last]
        if not is_batched:
            x, *ends = (_without_axis(v, 1) for v in (x, *ends))
        return x, tuple(ends) if len(ends) > 1 else ends[0]

    def _initial(self, hx: Any, x: Tensor, batch: int, is_batched: bool) -> list[Tensor]:
        """The initial states, (layers * directions, B, H)."""
        shape = (self.num_layers * self.directions, batch, self.hidden_size)
        if hx is None:
            zeros = GATES["zeros"](shape=shape, dtype=x.value.dtype)
            return [zeros for _ in self.names]
        given = self._unpacked(hx)
        ndim = 3 if is_batched else 2
        if any(s.value.ndim != ndim for s in given):
            raise ShapeError(
                f"{type(self).__name__}: For {'batched 3-D' if is_batched else 'unbatched 2-D'} input, hx should also "
                f"be {ndim}-D",
                got=[describe(name, s) for name, s in zip(self.names, given, strict=True)],
            )
        given = given if is_batched else [_with_axis(s, 1) for s in given]
        for name, s in zip(self.names, given, strict=True):
            if s.value.shape != shape:
                raise ShapeError(
                    f"{type(self).__name__}: Expected {name} size {shape}, got {list(s.value.shape)}",
                    got=[describe(name, s)],
                )
        return given

    def extra_repr(self) -> str:
        plain = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        options = [f"{k}={v}" for k, default in plain.items() if (v := getattr(self, k)) != default]
        return ", ".join([str(self.input_size), str(self.hidden_size), *options])


class LSTM(_LSTM, _Layers):
    """Long short-term memory over sequences.

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid(W_ih x + b_ih + W_hh h + b_hh); c' = f c + i g; h' = o tanh(c').

    Args:
        input_size: the size of the last axis of the input.
        hidden_size: H, the size of a state.
        num_layers: layers above each other; each takes the outputs of the one below.
        bias: False leaves the biases out.
        batch_first: input and output are (B, T, ...), not (T, B, ...); the states are (layers, B, H) in any case.
        dropout: the probability of dropping outputs between the layers, while training.
        bidirectional: a second recurrence from the last step to the first; outputs and layers are double then.

    Attributes:
        weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0: of the first layer, (gates H, input_size), (gates H, H)
            and twice (gates H,); `_reverse` at the end of a name: of the second direction.

    Raises:
        ArgumentTypeError, ArgumentError: for sizes that are no positive integers, a dropout outside [0, 1].
        UnsupportedError: for proj_size.

    Source: Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000.
    """


class GRU(_GRU, _Layers):
    """Gated recurrent units over sequences; the arguments are those of LSTM.

    r, z = sigmoid(W_ih x + b_ih + W_hh h + b_hh); n = tanh(W_in x + b_in + r (W_hn h + b_hn)); h' = (1 - z) n + z h.

    Source: Cho et al. 2014.
    """


class RNN(_RNN, _Layers):
    """A simple recurrence over sequences: h' = tanh, or relu, of W_ih x + b_ih + W_hh h + b_hh.

    Its fourth argument is the nonlinearity, "tanh" or "relu"; the others are those of LSTM.

    Raises:
        ArgumentError: for another nonlinearity, and as LSTM.

    Source: Elman 1990.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )
        self.nonlinearity = checked_nonlinearity(nonlinearity)


def checked_nonlinearity(name: str) -> str:
    """One of "tanh" and "relu".

    Raises:
        ArgumentError: for another one.
    """
    if name not in ("tanh", "relu"):
        raise ArgumentError(f"Unknown nonlinearity {name!r}. Select from 'tanh' or 'relu'.")
    return name


# ---- single steps --------------------------------------------------------------------------------------------


class _Cell(_Recurrence):
    """One step of a recurrence: what LSTMCell, GRUCell and RNNCell share."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = _positive(input_size, "input_size"), _positive(hidden_size, "hidden_size")
        self.bias = bias
        self._register("", input_size, bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """The state after one step.

        Args:
            input: (B, input_size) or (input_size,).
            hx: the state before it, (B, H) or (H,); of an LSTMCell the pair (h, c). None means 0.

        Raises:
            ShapeError: for another input_size, or a state of another shape.
            ArgumentError: for another number of axes or element type.
            ArgumentTypeError: for an input or states that are no tensors.
        """
        self._check(input, (1, 2), self.weight_ih)
        is_batched = input.value.ndim == 2
        shape = (*input.value.shape[:-1], self.hidden_size)
        if hx is None:
            zeros = GATES["zeros"](shape=shape, dtype=input.value.dtype)
            given = [zeros for _ in self.names]
        else:
            given = self._unpacked(hx)
        for name, s in zip(self.names, given, strict=True):
            if s.value.shape != shape:
                raise ShapeError(f"{type(self).__name__}: Expected {name} size {shape}", got=[describe(name, s)])
        given = given if is_batched else [_with_axis(s, 0) for s in given]
        x = _with_axis(input if is_batched else _with_axis(input, 0), 0)
        states = self.states_of(x, given, self._weights(""))
        after = [self._cut(states, which, 1) for which in range(len(self.names))]
        after = after if is_batched else [_without_axis(s, 0) for s in after]
        return tuple(after) if len(after) > 1 else after[0]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ", bias=False" * (not self.bias)


class LSTMCell(_LSTM, _Cell):
    """One step of an LSTM: (x, (h, c)) to (h, c).

    Args:
        input_size, hidden_size: the sizes of the input's and the state's last axis.
        bias: False leaves the biases out.

    Attributes:
        weight_ih, weight_hh, bias_ih, bias_hh: (gates H, input_size), (gates H, H) and twice (gates H,).

    Raises:
        ArgumentTypeError, ArgumentError: for sizes that are no positive integers.
    """


class GRUCell(_GRU, _Cell):
    """One step of a GRU: (x, h) to h; the arguments are those of LSTMCell."""


class RNNCell(_RNN, _Cell):
    """One step of an RNN: (x, h) to h; but for the nonlinearity the arguments are those of LSTMCell.

    Raises:
        ArgumentError: for another nonlinearity than "tanh" and "relu".
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = checked_nonlinearity(nonlinearity)

    def extra_repr(self) -> str:
        return super().extra_repr() + f", nonlinearity={self.nonlinearity}" * (self.nonlinearity != "tanh")


# ---- arguments -----------------------------------------------------------------------------------------------


def _positive(n: Any, what: str) -> int:
    if not isinstance(n, int) or isinstance(n, bool):
        raise ArgumentTypeError(f"{what} should be of type int, got: {type(n).__name__}")
    if n <= 0:
        raise ArgumentError(f"{what} must be greater than zero, not {n}")
    return n


def _types(hx: Any) -> str:
    if isinstance(hx, tuple | list):
        return f"({', '.join([type(s).__name__ for s in hx])})"
    return type(hx).__name__


def _with_axis(x: Tensor, axis: int) -> Tensor:
    shape = x.value.shape
    return GATES["reshape"](x, shape=(*shape[:axis], 1, *shape[axis:]))


def _without_axis(x: Tensor, axis: int) -> Tensor:
    return GATES["slice"](x, key=(*(WHOLE,) * axis, 0))
