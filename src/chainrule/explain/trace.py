"""`explain.trace`: z, a, delta and dW of every layer by name and number, without hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from chainrule.errors import ArgumentError, ArgumentTypeError, GraphError
from chainrule.nn.module import Module
from chainrule.symbolic.graph_values import GraphValues
from chainrule.symbolic.layers import Layer, Reading
from chainrule.tensor.graph import Array, Leaf, Node, keep_values, state
from chainrule.tensor.tensor import Tensor, watch, wrap


def trace(model: Module, *args: Any, **kwargs: Any) -> Trace:
    """Run a model and keep what its layers compute.

    Args:
        model: a Module.
        args, kwargs: what it is called with.

    Returns:
        A Trace: `output` is the model's result; `z`, `a`, and after backward() `delta` and `dW`, `db` hold Tensors by
        the layer's name ("fc2") and by its number from 1.

    Raises:
        ArgumentTypeError: the model is no Module, or gives no Tensor.
        GraphError: nothing was recorded: no parameter requires a gradient, or no_grad() is active.

    Example:
        >>> t = cr.explain.trace(model, x)
        >>> F.mse_loss(t.output, y).backward()
        >>> t.delta["fc2"]
    """
    if not isinstance(model, Module):
        raise ArgumentTypeError(f"explain.trace takes a Module, not {type(model).__name__}")
    with keep_values():
        output = model(*args, **kwargs)
    if not isinstance(output, Tensor):
        raise ArgumentTypeError(f"explain.trace: the model gives {type(output).__name__}, not one Tensor")
    if not isinstance(output.edge, Node):
        raise GraphError(
            "nothing was recorded: the model's result has no graph",
            mend="Trace outside no_grad(), a model that has parameters which require a gradient."
            if not state.mode.grad
            else None,
        )
    return Trace(model, output)


class Trace:
    """What the layers of one run computed.

    Attributes:
        output: the model's result.
        z: before the activation, a: after it (z itself where there is none), by the name or number of the layer.
        delta: dL/dz; dW, db: dL/dW and dL/db of that layer: after backward().
    """

    def __init__(self, model: Module, output: Tensor) -> None:
        assert isinstance(output.edge, Node)
        self.output = output
        self._graph = GraphValues(output.edge, output.value)
        self._layers = Reading(self._graph).layers(1)
        owners = {p.edge: path for path, p in model.named_parameters()}
        paths = [owners.get(layer.weight, "").rpartition(".")[0] for layer in self._layers]
        self._names = {layer.number: path for layer, path in zip(self._layers, paths, strict=True)}
        for layer in self._layers:  # the sweep keeps the cotangents of results that retain theirs
            watch(layer.z).retains = True
        values = self._graph.values
        self.z = ByLayer(self, "z", lambda layer: wrap(values[layer.z], None))
        self.a = ByLayer(self, "a", lambda layer: wrap(values[layer.z if layer.a is None else layer.a], None))
        self.delta = ByLayer(self, "delta", lambda layer: _gradient_of(layer.z, "delta"))
        self.dW = ByLayer(self, "dW", lambda layer: _gradient_of(layer.weight, "dW"))
        self.db = ByLayer(self, "db", lambda layer: _gradient_of(layer.bias, "db"))

    @property
    def layers(self) -> dict[int, str]:
        """The layers: number to name, in the order in which they ran."""
        return dict(self._names)

    def layer(self, key: str | int) -> Layer:
        """The layer of that name or number.

        Raises:
            ArgumentError: there is none.
        """
        for layer in self._layers:
            if key == layer.number or (key == self._names[layer.number] and isinstance(key, str)):
                return layer
        known = ", ".join([f"{number} ({name})" if name else str(number) for number, name in self._names.items()])
        raise ArgumentError(f"no layer is called {key!r}", got=[f"there are  {known or 'none'}"])

    def __repr__(self) -> str:
        lines = [f"  {number}  {name}  z {tuple(self.z[number].shape)}" for number, name in self._names.items()]
        return "\n".join([f"Trace of {len(lines)} layers", *lines])


class ByLayer(Mapping[Any, Tensor]):
    """One quantity of every layer, by the layer's name or number."""

    def __init__(self, trace: Trace, what: str, look: Callable[[Layer], Tensor]) -> None:
        self._trace, self._what, self._look = trace, what, look

    def __getitem__(self, key: str | int) -> Tensor:
        return self._look(self._trace.layer(key))

    def __iter__(self) -> Iterator[int]:
        return iter(self._trace.layers)

    def __len__(self) -> int:
        return len(self._trace.layers)

    def __repr__(self) -> str:
        return f"{self._what} of the layers {', '.join(map(str, self))}"


def _gradient_of(edge: Any, what: str) -> Tensor:
    """The gradient of a node that retains it, or of a leaf.

    Raises:
        GraphError: backward() has not run yet, or the layer has none.
    """
    if edge is None:
        raise GraphError("this layer has no bias")
    found: Tensor | None = edge.grad if isinstance(edge, Leaf) else edge.watch.grad
    if found is None:
        raise GraphError(f"{what} is known after backward()", mend="Call F.mse_loss(t.output, y).backward() first.")
    value: Array = found.value
    return wrap(value, None)
