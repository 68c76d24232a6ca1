"""Function: an operation with a hand-written backward, as in `torch.autograd.Function`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import ArgumentTypeError, GraphError, InPlaceError, ShapeError
from chainrule.shapes import broadcast, stretched_axes
from chainrule.tensor.dispatch import TensorMaths
from chainrule.tensor.functions.inplace import refuse_leaves
from chainrule.tensor.graph import Array, Edge, Node, state, write_to
from chainrule.tensor.plan import Step
from chainrule.tensor.recording import recorder
from chainrule.tensor.switches import no_grad
from chainrule.tensor.tensor import Tensor, wrap
from chainrule.tensor.views import rebase


class FunctionCtx:
    """What forward leaves for backward."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._to_save: tuple[Any, ...] = ()
        self._non_differentiable: set[int] = set()
        self._dirty: set[int] = set()
        self._materialize = True
        self._order = 0
        self._described: list[tuple[Any, Any]] = []
        self._connected: Node | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or results for backward, where they are `ctx.saved_tensors`; other tensors may be kept too."""
        for x in tensors:
            if x is not None and not isinstance(x, Tensor):
                raise ArgumentTypeError(
                    f"save_for_backward can only save variables, but argument is of type {type(x).__name__}"
                )
        self._to_save = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These results have no gradient."""
        self._non_differentiable |= {id(x) for x in tensors}

    def mark_dirty(self, *tensors: Tensor) -> None:
        """These inputs were changed in place and are results."""
        self._dirty |= {id(x) for x in tensors}

    def set_materialize_grads(self, value: bool) -> None:
        """False: backward gets None, instead of zeros, for a result that the loss does not depend on."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What save_for_backward kept.

        Raises:
            InPlaceError: if one was changed in place since.
        """
        given = []
        for x in self._to_save:
            if isinstance(x, _SavedResult):
                x = x.tensor(self._connected)
            if x is not None and (write := write_to(x.value)) is not None and write.time > self._order:
                raise InPlaceError(
                    "one of the variables needed for gradient computation has been modified by an inplace "
                    f"operation ({write.by})"
                )
            given.append(x)
        return tuple(given)


class _SavedResult:
    """A result that was saved: its array and place, without its edge, which would make a reference cycle."""

    __slots__ = ("place", "value")

    def __init__(self, value: Array, place: int) -> None:
        self.value, self.place = value, place

    def tensor(self, node: Node | None) -> Tensor:
        """The result, connected to the function's node where backward itself is differentiated."""
        if node is None:
            return wrap(self.value, None)
        plan: Any = _ResultPlan(node.plan.node_name, self.place)
        return wrap(self.value, Node(plan, (node,), (), self.value.shape))


class _Slot:
    """The cotangent of one of several results; slots of one node add up result by result."""

    __slots__ = ("parts",)
    shape = None

    def __init__(self, parts: dict[int, Any]) -> None:
        self.parts = parts

    def __add__(self, other: _Slot) -> _Slot:
        parts = dict(self.parts)
        for k, g in other.parts.items():
            parts[k] = parts[k] + g if k in parts else g
        return _Slot(parts)


class _ResultPlan:
    """The plan of one result of a Function: its cotangent enters the Function's node at its place."""

    broadcasts = recomputes = False
    wants: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    needs = (True,)

    def __init__(self, name: str, place: int) -> None:
        self.node_name = name
        self.steps = [Step(lambda m, g, saved: _Slot({place: g}), 0)]


class _FunctionPlan:
    """The plan of a Function's node: its step calls the hand-written backward."""

    broadcasts = recomputes = False
    wants = ("ctx", "node")
    source = ("plain", "result")  # under create_graph the second is a Tensor whose edge is the node itself

    def __init__(self, function: type[Function], needs: tuple[bool, ...], results: list[tuple[Any, Any]]) -> None:
        self.node_name = f"{function.__name__}Backward"
        self.function, self.needs, self.results = function, needs, results
        places = tuple([i for i, need in enumerate(needs) if need])
        self.steps = [Step(self._pull, 0, tuple(range(len(places))), places)]

    def _pull(self, m: Any, g: _Slot, saved: tuple[Any, ...]) -> list[Any]:
        ctx, node = saved
        cotangents: list[Any] = []
        recording = recorder()
        for k, (shape, dtype) in enumerate(self.results):
            part = g.parts.get(k)
            if part is None and ctx._materialize and dtype is not None:
                part = np.zeros(shape, dtype)
            if isinstance(part, np.ndarray):
                part = wrap(part, None)
            elif recording is not None and part is not None and not isinstance(part, Tensor):
                part = recording.tensor_of(part)
            cotangents.append(part)
        ctx._connected = node.edge if isinstance(node, Tensor) else None
        try:
            got = self.function.backward(ctx, *cotangents)
        finally:
            ctx._connected = None
        return self._checked(got if isinstance(got, tuple | list) else (got,), m, ctx)

    def _checked(self, got: Any, m: Any, ctx: FunctionCtx) -> list[Any]:
        name = self.function.__name__
        given = list(got)
        while len(given) > len(self.needs) and given[-1] is None:
            given.pop()
        if len(given) != len(self.needs):
            raise GraphError(
                f"function {name}Backward returned an incorrect number of gradients "
                f"(expected {len(self.needs)}, got {len(given)})"
            )
        raw = not state.mode.grad
        out: list[Any] = []
        for i, (g, need) in enumerate(zip(given, self.needs, strict=True)):
            shape, dtype = ctx._described[i]
            if not need:
                out.append(None)
                continue
            if g is None:
                g = wrap(np.zeros(shape, dtype), None)
            if not isinstance(g, Tensor):
                raise ArgumentTypeError(
                    f"{name}.backward returned {type(g).__name__} for input {i}, not a Tensor or None"
                )
            if g.value.shape != shape:
                if not _stretches(shape, g.value.shape):
                    raise GraphError(
                        f"Function {name}Backward returned an invalid gradient at index {i} - got "
                        f"{list(g.value.shape)} but expected shape compatible with {list(shape)}"
                    )
                g = TensorMaths.reshape(TensorMaths.sum(g, axis=stretched_axes(g.value.shape, shape)), shape=shape)
            if g.value.dtype != dtype:
                g = TensorMaths.cast(g, dtype=dtype)
            # one array must not become two .grad: PyTorch's users return the same tensor twice
            out.append(g.value.copy() if raw else g)
        return out


def _stretches(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """True if an input of this shape broadcasts to the shape of its gradient, which then adds up."""
    try:
        return broadcast(shape, target) == target
    except ShapeError:
        return False


class Function:
    """Subclass it with static methods, and call `MyFunction.apply(...)`.

    `forward(ctx, *inputs)` computes the results and saves what backward needs; or `forward(*inputs)` with
    `setup_context(ctx, inputs, output)`. `backward(ctx, *cotangents)` returns one cotangent, or None, for each
    input. Under create_graph backward is recorded itself, so that it can be differentiated again.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the results from raw inputs; nothing is recorded here."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The inputs' cotangents from the results' cotangents."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function"
        )

    setup_context: Callable[..., Any] | None = None

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward, and record a node whose rule is backward."""
        edges = [x.edge if isinstance(x, Tensor) else None for x in args]
        recording = state.mode.grad and any(e is not None for e in edges)
        needs = tuple([recording and e is not None for e in edges])
        ctx = FunctionCtx(needs)
        with no_grad():
            if cls.setup_context is None:
                output = cls.forward(ctx, *args)
            else:
                output = cls.forward(*args)
                cls.setup_context(ctx, args, output)
        results = list(output) if isinstance(output, tuple | list) else [output]
        if recording:
            for x in args:
                if id(x) in ctx._dirty:
                    refuse_leaves(x, f"{cls.__name__}.apply")
            results = cls._record(ctx, args, edges, needs, results)
        return type(output)(results) if isinstance(output, tuple | list) else results[0]

    @classmethod
    def _record(
        cls, ctx: Any, args: Any, edges: list[Edge | None], needs: tuple[bool, ...], results: list[Any]
    ) -> list[Any]:
        differentiable = [
            isinstance(y, Tensor) and id(y) not in ctx._non_differentiable and y.value.dtype.kind == "f"
            for y in results
        ]
        described = [(y.value.shape, y.value.dtype) if isinstance(y, Tensor) else (None, None) for y in results]
        plan: Any = _FunctionPlan(cls, needs, described)
        sources = tuple([e for e, need in zip(edges, needs, strict=True) if need and e is not None])
        node = Node(plan, sources, (ctx, np.empty(0)), ())
        ctx._described = [(x.value.shape, x.value.dtype) if isinstance(x, Tensor) else (None, None) for x in args]
        ctx._order = node.order
        out: list[Any] = []
        made: dict[int, _SavedResult] = {}
        for k, (y, d) in enumerate(zip(results, differentiable, strict=True)):
            if not d:
                out.append(wrap(y.value, None) if isinstance(y, Tensor) and y.edge is not None else y)
                continue
            result_plan: Any = _ResultPlan(plan.node_name, k)
            edge = Node(result_plan, (node,), (), y.value.shape)
            made[id(y)] = _SavedResult(y.value, k)
            if id(y) in ctx._dirty:  # the input itself, with a new history
                rebase(y, edge)
                out.append(y)
            else:
                out.append(wrap(y.value.view() if any(y is x for x in args) else y.value, edge))
        # results are handed to backward connected to the graph; inputs are connected already
        ctx._to_save = tuple([made.get(id(x), x) for x in ctx._to_save])
        return out


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """For a backward that must not be differentiated again: a second derivative raises."""

    @functools.wraps(function)
    def call(ctx: Any, *cotangents: Any) -> Any:
        differentiating = state.mode.grad
        with no_grad():
            got = function(ctx, *cotangents)
        if not differentiating:
            return got
        given = got if isinstance(got, tuple) else (got,)
        refused = tuple([_Once.apply(g) if isinstance(g, Tensor) else g for g in given])
        return refused if isinstance(got, tuple) else refused[0]

    return call


class _Refuse(Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor) -> Tensor:
        return g.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise GraphError("trying to differentiate twice a function that was marked with @once_differentiable")


class _Once:
    """A cotangent that requires a gradient only to refuse it."""

    @staticmethod
    def apply(g: Tensor) -> Any:
        return _Refuse.apply(wrap(g.value, None).requires_grad_())
