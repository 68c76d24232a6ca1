"""One run of a copy of the user's model, forward and backward, with every value and every cotangent kept.

The model itself is only read: the copy has parameters, buffers and gradients of its own, the generators' states are put
back, and the sweep adds to nobody's .grad. On the copy every parameter requires a gradient, so that a frozen layer has
its place in the graph; what was frozen is noted.
"""

from __future__ import annotations

import bisect
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ArgumentTypeError, GraphError, UnsupportedError
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter
from chainrule.tensor.backward import grad
from chainrule.tensor.functions.random import Generator, default_generator
from chainrule.tensor.graph import Array, Leaf, Mode, Node, Site, keep_values, line_of, state, tick, users_site
from chainrule.tensor.printing import describe
from chainrule.tensor.tensor import Tensor, wrap

LOADED_AT_MOST = 16
"""How many batches are taken from a loader or another iterable that is no list: its whole epoch could take hours."""

Batch = tuple[Any, Any]
LossFunction = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Call:
    """One call of a module: its path, and the creation numbers before its first node and after its last."""

    path: str
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Run:
    """What one batch left behind.

    Args:
        model: the copy that ran.
        inputs, targets: the batch, cut off from any graph of the user's.
        output: what the model returned.
        loss: the loss, a tensor of one element, with its graph.
        calls: the modules' calls in the order of their ends, the model's own as the last.
        gradients: dL/dp for each parameter by name; None where the loss does not depend on it.
        frozen: the names of the parameters that the user's model does not train.
        caller: the line that asked for the diagnosis.
    """

    model: Module
    inputs: Any
    targets: Any
    output: Any
    loss: Tensor
    calls: tuple[Call, ...]
    gradients: Mapping[str, Array | None]
    frozen: frozenset[str]
    caller: Site

    @property
    def root(self) -> Node:
        """The loss's node."""
        assert isinstance(self.loss.edge, Node)
        return self.loss.edge

    def path(self, node: Node) -> str:
        """The module that made a node: the innermost one; "" for the model itself and for the loss."""
        return next((call.path for call in self._calls_from(node.order) if call.start < node.order), "")

    def is_in_model(self, node: Node) -> bool:
        """True for what the model computed, False for what the loss did with it."""
        return self.calls[-1].start < node.order < self.calls[-1].end

    def _calls_from(self, order: int) -> Iterator[Call]:
        """The calls that ended after a creation number, the first to end first."""
        return islice(self.calls, bisect.bisect_left(self.calls, order, key=lambda call: call.end), None)

    def where(self, node: Node) -> str:
        """The user's line that made a node; "" where modules of the library alone stand between it and the caller."""
        return "" if node.site == self.caller else line_of(node.site)


@contextmanager
def untouched_generators(*owners: Any) -> Iterator[None]:
    """Within this context random numbers may be drawn; after it every generator is where it was.

    Those are the default one, NumPy's and Python's global ones, and the Generators among the owners' attributes.
    """
    ours = [default_generator]
    for owner in owners:
        ours += [g for g in vars(owner).values() if isinstance(g, Generator)] if hasattr(owner, "__dict__") else []
    states = [(g, g.key, g.counter) for g in ours]
    numpys, pythons = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        for g, key, counter in states:
            g.key, g.counter = key, counter
        np.random.set_state(numpys)
        random.setstate(pythons)


def batches_of(batches: Any) -> Iterator[Batch]:
    """The batches that were given: a tuple is one, a list as many as it has, anything else its first 16.

    Raises:
        ArgumentTypeError: something else, or a batch that is no pair.
        ArgumentError: not a single batch.
    """
    if isinstance(batches, tuple):
        given: Iterable[Any] = (batches,)
    elif isinstance(batches, list):
        given = batches
    elif isinstance(batches, Iterable) and not isinstance(batches, Tensor | np.ndarray | str | Mapping):
        given = islice(batches, LOADED_AT_MOST)
    else:
        raise ArgumentTypeError(
            "batches is one tuple (inputs, targets), a list of them, or a DataLoader",
            got=[describe("batches", batches)],
            mend="Write (inputs, targets).",
        )
    number = -1
    for number, batch in enumerate(given):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            size = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
            raise ArgumentTypeError(
                f"batch {number} is no pair (inputs, targets)",
                got=[f"batch {number}  {type(batch).__name__}{size}"],
                mend="Several inputs go into one tuple: ((a, b), targets); a dictionary gives them by name.",
            )
        yield batch[0], batch[1]
    if number < 0:
        raise ArgumentError(
            "there is no batch to diagnose", got=[f"batches  {type(batches).__name__}, which ended at once"]
        )


def run(model: Module, loss_fn: LossFunction, batch: Batch) -> Run:
    """Run a copy of the model on one batch, forward and backward.

    Args:
        model: any module; it is copied with its hooks, in the mode (training or not) that it is in.
        loss_fn: `loss_fn(model(inputs), targets)` is a tensor of one element. A module is copied, too.
        batch: (inputs, targets). A tuple of inputs is passed as arguments, a dictionary by name.

    Raises:
        ArgumentTypeError: a model that is no Module, a loss that is no Tensor, a loss that fails on several outputs.
        GraphError: a loss of several elements, or one that reaches no parameter.
        UnsupportedError: a compiled module inside of the model.
    """
    check_model(model)
    model = eager(model)
    copied, loss_fn = deepcopy((model, loss_fn)) if isinstance(loss_fn, Module) else (deepcopy(model), loss_fn)
    named = dict(copied.named_parameters())
    frozen = frozenset(name for name, p in named.items() if not p.requires_grad)
    for p in named.values():
        p.requires_grad_()
        p.grad = None
    calls = note_calls(copied)
    inputs, targets = (cut_off(part) for part in batch)
    caller = users_site(sys._getframe(1))
    before = state.mode
    state.mode = Mode(grad=True)
    try:
        with keep_values():
            output = call(copied, inputs)
            loss = loss_of(loss_fn, output, targets)
            check_reaches(loss, named)
            found = grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
    finally:
        state.mode = before
    gradients = {name: None if g is None else g.value for name, g in zip(named, found, strict=True)}
    return Run(copied, inputs, targets, output, loss, tuple(calls), gradients, frozen, caller)


def eager(model: Module) -> Module:
    """The module that a compiled module was made from: its program leaves no graph to read.

    Raises:
        UnsupportedError: a module inside of it is compiled.
    """
    for path, module in model.named_modules():
        if path and _is_compiled(module):
            raise UnsupportedError(
                "a compiled module inside of a model cannot be diagnosed: it leaves no graph",
                got=[f"module  {path}  {type(module).__name__}"],
                mend="Compile the whole model, or diagnose it before compiling.",
            )
    if not _is_compiled(model):
        return model
    plain: Module = object.__new__(type(model).__bases__[0])
    plain.__dict__ = dict(vars(model))  # of its own: CPython 3.13.0 empties a shared one when its first owner goes
    return plain


def _is_compiled(module: Module) -> bool:
    return {"__call__", "lower"} <= vars(type(module)).keys()


def call(model: Module, inputs: Any) -> Any:
    """The model's output: a tuple or list of inputs is passed as arguments, a dictionary by name."""
    if isinstance(inputs, tuple | list):
        return model(*inputs)
    return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)


def cut_off(values: Any) -> Any:
    """Tensors without their history, also in tuples, lists and dictionaries; other things as they are."""
    if isinstance(values, Tensor):
        return wrap(values.value, None)
    if isinstance(values, tuple | list):
        return type(values)([cut_off(v) for v in values]) if type(values) in (tuple, list) else values
    return {name: cut_off(v) for name, v in values.items()} if type(values) is dict else values


def tensors_in(values: Any) -> list[Tensor]:
    """The tensors among values, in tuples, lists and dictionaries, too."""
    if isinstance(values, Tensor):
        return [values]
    parts = values.values() if isinstance(values, Mapping) else values if isinstance(values, tuple | list) else ()
    return [tensor for part in parts for tensor in tensors_in(part)]


def note_calls(model: Module) -> list[Call]:
    """A list that fills with the calls of a model's modules as they end."""
    calls: list[Call] = []
    open_: list[int] = []

    def begin(module: Module, args: Any) -> None:
        open_.append(tick())

    for path, module in model.named_modules():

        def end(module: Module, args: Any, output: Any, path: str = path) -> None:
            calls.append(Call(path, open_.pop(), tick()))

        module.register_forward_pre_hook(begin)
        module.register_forward_hook(end)
    return calls


# ---- what cannot be diagnosed --------------------------------------------------------------------------------


def check_model(model: Any) -> None:
    """Refuse what is no module, and a module without parameters."""
    if not isinstance(model, Module):
        raise ArgumentTypeError(
            "only an nn.Module can be diagnosed: its layers have names and parameters",
            got=[f"model  {type(model).__name__}"],
        )
    if not any(isinstance(p, Parameter) for p in model.parameters()):
        raise GraphError("the model has no parameters, so no gradient flows in it", got=[f"model  {model!r}"])


def loss_of(loss_fn: LossFunction, output: Any, targets: Any) -> Tensor:
    """The loss, checked."""
    try:
        loss = loss_fn(output, targets)
    except Exception as error:
        if isinstance(output, Tensor):
            raise
        size = f" of {len(output)}" if hasattr(output, "__len__") else ""
        raise ArgumentTypeError(
            f"the loss does not take what the model returns: {error}",
            got=[f"output  {type(output).__name__}{size}"],
            mend="Choose one of the outputs: loss_fn=lambda outputs, targets: loss(outputs[0], targets).",
        ) from error
    if not isinstance(loss, Tensor):
        raise ArgumentTypeError(
            "loss_fn(outputs, targets) returns the loss as a Tensor", got=[f"loss  {type(loss).__name__}"]
        )
    if loss.value.size != 1:
        raise GraphError(
            "the loss is one number", got=[describe("loss", loss)], mend="Reduce it: .mean(), .sum(), reduction='mean'."
        )
    return loss


def check_reaches(loss: Tensor, parameters: Mapping[str, Parameter]) -> None:
    """Refuse a loss that depends on none of the copy's parameters."""
    leaves = {p.edge for p in parameters.values()}
    seen: set[Any] = {loss.edge}
    stack = [loss.edge]
    while stack:
        edge = stack.pop()
        if edge in leaves:
            return
        if isinstance(edge, Node):
            stack += [e for e in edge.edges if e not in seen]
            seen.update(edge.edges)
    others = sum(isinstance(edge, Leaf) for edge in seen)
    depends = f"on {others} others" if others else "on nothing that requires a gradient"
    raise GraphError(
        "the loss depends on none of the model's parameters",
        got=[f"parameters  {len(parameters)}", f"the loss depends  {depends}"],
        mend="Compute it from the argument `outputs`, not from a model outside, and without detach() or no_grad().",
    )
