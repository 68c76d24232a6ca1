"""Recorded: what a function did when it ran once, with all that a program needs to do it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule.compiler.ir import Graph, Value
from chainrule.compiler.passes.expand import expand
from chainrule.compiler.passes.rephrase import rephrase
from chainrule.compiler.passes.simplify import simplify
from chainrule.compiler.rewrite import extracted
from chainrule.compiler.signatures import filled, mapped, signature, skeleton
from chainrule.compiler.surroundings import Surroundings
from chainrule.compiler.trace import State, Symbol, Trace, Tracer, refusal
from chainrule.errors import UnsupportedError
from chainrule.ops.op import Op
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.backward import sweep
from chainrule.tensor.graph import Array, Edge, Leaf, Node
from chainrule.tensor.tensor import Tensor


@dataclass(frozen=True)
class Part:
    """A graph to be compiled, and how its outputs lie in memory.

    `in_place` says which outputs are written where an input is (places of both); the first `own` outputs stay where
    they are from call to call, the others come with each call. `leaves` says which arguments require gradients, if
    the arguments are Tensors by position.
    """

    graph: Graph
    in_place: dict[int, int] = field(default_factory=dict)
    own: int = 0
    leaves: list[bool] | None = None

    def simplified(self, kept: frozenset[str]) -> Part:
        """The same of primitives and `kept` operators, as small as the passes make it."""
        return replace(self, graph=simplify(rephrase(simplify(expand(self.graph, kept)))))


@dataclass(frozen=True)
class Result:
    """Where a leaf of the function's result comes from.

    kind: "output" (place: among the graph's outputs; `connected`: it has a gradient), "argument" (place: among
    the arguments), "object" (what it was at trace time: a Tensor of the state, a number), "view" (of the memory of
    another result, by `steps`; `is_cut`: it has no gradient).
    """

    kind: str
    place: int = 0
    item: Any = None
    connected: bool = False
    base: Result | None = None
    steps: tuple[tuple[Op, dict[str, Any]], ...] = ()
    is_cut: bool = False


@dataclass(frozen=True)
class Backward:
    """The graph that goes on from cotangents to gradients.

    Its inputs are `residuals` (places among what the program made), then a cotangent for each of the connected
    `results` (places too); its outputs are the gradients of `leaves`: places of arguments, or Tensors of the state.
    """

    part: Part
    residuals: list[int]
    results: list[int]
    leaves: list[int | Tensor]
    shapes: list[tuple[tuple[int, ...], Any]]


@dataclass(frozen=True)
class Recorded:
    """A run of a function: its trace, the graph there and back, what it returned, and which arguments were leaves.

    `leaves` is None for a call with other arguments than Tensors by position.
    """

    trace: Trace
    forward: Part
    backward: Backward | None
    results: list[Result]
    rebuild: Callable[[list[Any]], Any]
    leaves: list[bool] | None


def recorded(function: Callable[..., Any], args: Any, kwargs: Any, around: Surroundings | None = None) -> Recorded:
    """Run a function on placeholders for its arguments, and for the Tensors around it.

    Raises:
        TraceError: for what cannot be compiled.
        UnsupportedError: it writes into its arguments.
    """
    around = around or Surroundings([function])
    tracer = Tracer(getattr(function, "__name__", "program"))
    arguments: list[Tensor] = []
    signature((args, kwargs), arguments)
    arrays = [x.value for x in arguments]
    placeholders = {id(x): tracer.argument(x, x.value) for x in arguments}
    plain = not kwargs and len(args) == len(arguments) and all(x is y for x, y in zip(args, arguments, strict=True))
    leaves_of_arguments = [x.edge is not None for x in arguments] if plain else None
    with tracer.active():
        for tensor in around.tensors:
            tracer.expect(tensor)
        args, kwargs = mapped((args, kwargs), lambda x: placeholders[id(x)])
        returned = function(*args, **kwargs)
        leaves: list[Tensor] = []
        structure = skeleton(returned, leaves)
        refuse_symbols(structure)
        outputs = _Outputs(tracer, list(placeholders.values()), leaves)
        results = [outputs.result(x) for x in leaves]
        outputs.connect()
        refuse_written(placeholders.values())
        refuse_overlap(arrays, [s for s in tracer.trace.states if s.written])
        around.refuse_changes()
        grads = [g.leaf.grad for g in tracer.trace.grads if g.leaf.grad is not g.before]
        replaced = [tracer.value_of(grad) for grad in grads if grad is not None]
    trace, graph = tracer.trace, tracer.graph
    written = [s for s in trace.states if s.written]
    graph.outputs = [*[s.symbol.value for s in written], *replaced, *outputs.values]
    backward = outputs.backward(graph)
    graph.outputs += outputs.residuals
    forward = extracted(graph, graph.inputs, graph.outputs) if backward else graph
    places = {value: i for i, value in enumerate(graph.inputs)}
    in_place = {i: places[s.input] for i, s in enumerate(written)}
    part = Part(forward, in_place, len(written) + len(replaced), leaves_of_arguments)

    def rebuild(items: list[Any]) -> Any:
        return filled(structure, iter(items))

    return Recorded(trace, part, backward, results, rebuild, leaves_of_arguments)


def refuse_symbols(structure: Any) -> None:
    """A placeholder's array is no result: it has no elements."""
    if isinstance(structure, Symbol):
        raise refusal("a compiled function returns the array of a tensor", "Return the tensor, take its array outside.")
    if isinstance(structure, list | tuple | dict):
        for part in structure.values() if isinstance(structure, dict) else structure:
            refuse_symbols(part)


def refuse_written(placeholders: Iterable[Tensor]) -> None:
    """An argument that the program has written in place cannot be given back."""
    for x in placeholders:
        symbol: Any = x.value
        if symbol.value.role != "argument":
            raise UnsupportedError(
                "a compiled function cannot write into its arguments",
                mend="Return a new tensor, or keep the one to be written outside, as state.",
            )


def refuse_overlap(arguments: list[Array], written: list[State]) -> None:
    """What the program writes may not be an argument too: whether it is read before or after would be chance."""
    for s in written:
        for x in arguments:
            if np.may_share_memory(x, s.array) and np.shares_memory(x, s.array):
                raise UnsupportedError(
                    "a compiled function writes to a tensor whose memory is that of an argument too",
                    got=[f"argument  {x.shape}", f"tensor    {s.array.shape}"],
                    mend="Pass a clone().",
                )


def origin(x: Any) -> tuple[Any, tuple[tuple[Op, dict[str, Any]], ...]]:
    """The memory that a symbol is a view of, and by which steps."""
    steps: list[tuple[Op, dict[str, Any]]] = []
    while x.view is not None and x.parent is not None:
        steps.append(x.view)
        x = x.parent
    return x, tuple(reversed(steps))


class _Outputs:
    """The values that a program gives back, and the way back from them if they have gradients."""

    def __init__(self, tracer: Tracer, placeholders: list[Tensor], leaves: list[Tensor]) -> None:
        self.tracer, self.placeholders, self.leaves = tracer, placeholders, leaves
        self.known: dict[int, Result] = {}
        self.values: list[Value] = []
        self.live: list[tuple[int, Tensor]] = []
        self.cotangents: list[Value] = []
        self.found: dict[Leaf, Value] = {}
        self.residuals: list[Value] = []

    def result(self, x: Tensor) -> Result:
        """Where a Tensor of the function's result comes from at a call."""
        if id(x) not in self.known:
            self.known[id(x)] = self._found(x)
        return self.known[id(x)]

    def _found(self, x: Tensor) -> Result:
        for i, placeholder in enumerate(self.placeholders):
            if x is placeholder:
                return Result("argument", i)
        if self.tracer.is_created(x):  # each call makes one of its own
            self.tracer.value_of(x)
        value: Any = x.value
        if not isinstance(value, Symbol) or self.tracer.is_outside(x):
            return Result("object", item=x)
        root, steps = origin(value)
        base = self._base(x, root)
        if base is not None:
            return Result("view", base=base, steps=steps, is_cut=x.edge is None)
        connected = isinstance(x.edge, Node) and _can_run(x.edge)
        if connected:
            self.live.append((len(self.values), x))
        self.values.append(value.value)
        return Result("output", len(self.values) - 1, connected=connected)

    def _base(self, x: Tensor, root: Any) -> Result | None:
        """An argument, a Tensor outside or another result, whose memory x shares."""
        for i, placeholder in enumerate(self.placeholders):
            if placeholder.value is root:
                return Result("argument", i)
        for s in self.tracer.trace.states:
            if s.symbol is root:
                return Result("object", item=s.tensor)
        owners = [y for y in self.leaves if y.value is root]
        owner = next((y for y in owners if y.edge is not None), owners[0] if owners else x)
        return None if owner is x or (owner.edge is None and x.edge is not None) else self.result(owner)

    def connect(self) -> None:
        """Record the sweep from all results that have a gradient, with placeholders for their cotangents."""
        if not self.live:
            return
        roots: list[tuple[Any, Any]] = []
        for _, x in self.live:
            value = self.tracer.value_of(x)
            self.cotangents.append(self.tracer.graph.input(value.shape, value.dtype, "argument"))
            roots.append((x.edge, self.cotangents[-1]))
        wanted: set[Edge] = {leaf for _, x in self.live for leaf in _leaves(x.edge)}
        found = sweep(roots, retain_graph=True, create_graph=False, wanted=wanted)
        self.found = {leaf: self.tracer.value_of(g) for leaf, g in found.items() if isinstance(leaf, Leaf)}

    def backward(self, graph: Graph) -> Backward | None:
        """The way on from cotangents; notes what the forward program has to hand over."""
        if not self.live:
            return None
        after = set(self.cotangents)
        for instruction in graph:
            if any(x in after for x in instruction.values):
                after.update(instruction.results)
        gradients = list(self.found.values())
        needed = [x for i in graph if i.results[0] in after for x in i.values] + gradients
        handed = [x for x in dict.fromkeys(needed) if x not in after and x.role != "constant"]
        made = {value: i for i, value in enumerate(self.values)}
        for value in handed:
            if value not in made:
                made[value] = len(made)
                self.residuals.append(value)
        graph.inputs = [x for x in graph.inputs if x not in self.cotangents]
        part = extracted(graph, [*handed, *self.cotangents, *graph.constants], gradients)
        places = {id(p.edge): i for i, p in enumerate(self.placeholders)}
        owners = {id(s.tensor.edge): s.tensor for s in self.tracer.trace.states}
        leaves = [places[id(e)] if id(e) in places else owners[id(e)] for e in self.found]
        return Backward(
            Part(part), [made[x] for x in handed], [i for i, _ in self.live], leaves,
            [(g.shape, numpy_dtype(g.dtype)) for g in gradients],
        )  # fmt: skip


def _can_run(edge: Node) -> bool:
    """True if the graph behind a result has not been freed by a backward()."""
    return edge.saved is not None


def _leaves(edge: Any) -> Iterable[Leaf]:
    seen, stack = {edge}, [edge]
    while stack:
        for e in stack.pop().edges:
            if e not in seen:
                seen.add(e)
                stack.append(e)
    return [e for e in seen if isinstance(e, Leaf)]
