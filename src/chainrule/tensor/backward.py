"""The reverse sweep: cotangents from the results back to the leaves, one node after the other.

Iterative, in the order of making, and on raw NumPy arrays unless the gradient is to be differentiated again
(create_graph): then the same rules run on Tensors. What a node saved is freed as the sweep passes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any

import numpy as np

from chainrule import shapes
from chainrule.errors import ArgumentError, ArgumentTypeError, GraphError, InPlaceError, ShapeError
from chainrule.tensor.dispatch import TensorMaths
from chainrule.tensor.graph import Array, Edge, Leaf, Mode, Node, Watch, Write, line_of, stamp, state, write_to, writes
from chainrule.tensor.numpy_maths import NumPyMaths
from chainrule.tensor.printing import describe
from chainrule.tensor.recording import recorder
from chainrule.tensor.tensor import Tensor, wrap

by_order = attrgetter("order")
ndarray, scalar = np.ndarray, np.generic
Cotangents = dict[Edge, Any]


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add dL/dx to the .grad of every leaf x (or of `inputs` alone) that the tensors were computed from.

    Args:
        tensors: the results to start from.
        grad_tensors: dL/d(tensor) for each, of its shape; None means 1 and is allowed for one element only.
        retain_graph: keep what the nodes saved, so that the sweep can run again; create_graph by default.
        create_graph: record the sweep, so that gradients can be differentiated.
        inputs: accumulate into these only.

    Raises:
        GraphError: nothing requires a gradient; a non-scalar without its cotangent; a graph already freed.
        ShapeError: a cotangent of another shape than its tensor.
        InPlaceError: a value that a rule reads was changed in place since.
    """
    retain = create_graph if retain_graph is None else retain_graph
    roots = _roots(_sequence(tensors), _sequence(grad_tensors, None), create_graph)
    if inputs is None:
        sweep(roots, retain, create_graph)
        return
    targets = _sequence(inputs)
    if not targets:
        raise ArgumentError("`inputs` argument to `backward` cannot be empty")
    found = sweep(roots, retain, create_graph, wanted=_edges_of(targets))
    for x in targets:
        g = found.get(_edge(x))
        if isinstance(x.edge, Leaf) and g is not None:
            if (recording := recorder()) is not None:
                recording.accumulate(x.edge, g)
            else:
                accumulate(x.edge, np.array(g) if isinstance(g, np.ndarray) else g)
        elif isinstance(x.edge, Node) and g is not None and not x.retains_grad:  # the sweep has done it already
            x.grad = _as_tensor(g) if x.grad is None else x.grad + _as_tensor(g)


def backward_of(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add d(self)/dx to the .grad of every leaf x: the method `loss.backward()`.

    A tensor of one element needs no `gradient`; the other arguments are those of `backward`.
    """
    edge = self.edge
    if gradient is None and inputs is None and type(edge) is Node:  # what nearly every call is
        one = _implicit(self)
        retain = create_graph if retain_graph is None else retain_graph
        sweep([(edge, wrap(one, None) if create_graph else one)], retain, create_graph)
    else:
        backward(self, gradient, retain_graph, create_graph, inputs)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """dL/dx for each of the inputs, without touching any .grad.

    Args:
        outputs, grad_outputs, retain_graph, create_graph: as in `backward`.
        inputs: leaves or results on the way.
        allow_unused: None for an input that the outputs do not depend on, instead of an error.
        materialize_grads: zeros for such an input.

    Raises:
        GraphError: an unused input (unless allowed), and whatever `backward` raises.
    """
    if is_grads_batched:
        raise ArgumentError("is_grads_batched is not supported; call grad once for each cotangent")
    if materialize_grads and allow_unused is False:
        raise ArgumentError("Expected allow_unused to be True or not passed when materialize_grads=True")
    targets = _sequence(inputs)
    for x in targets:
        if x.edge is None:
            raise GraphError("One of the differentiated Tensors does not require grad", got=[describe("input", x)])
    roots = _roots(_sequence(outputs), _sequence(grad_outputs, None), create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    found = sweep(roots, retain, create_graph, wanted=_edges_of(targets))
    results: list[Any] = []
    for i, x in enumerate(targets):
        g = found.get(_edge(x))
        if g is None and materialize_grads:
            g = np.zeros(x.value.shape, x.value.dtype)
        if g is None and not allow_unused:
            raise GraphError(
                f"One of the differentiated Tensors appears to not have been used in the graph: inputs[{i}]",
                got=[describe("input", x)],
                mend="Set allow_unused=True if this is the desired behavior.",
            )
        results.append(None if g is None else _as_tensor(g))
    return tuple(results)


def sweep(
    roots: list[tuple[Edge, Any]], retain_graph: bool, create_graph: bool, wanted: set[Edge] | None = None
) -> Cotangents:
    """Run the rules from the roots to the leaves; accumulate there, or return the cotangents of `wanted`.

    A heap gives the youngest node that has a cotangent: everything that was computed from a node is younger,
    so its cotangent is complete when it is taken.
    """
    pending: Cotangents = {}
    heap: list[tuple[int, Node]] = []
    for edge, g in roots:
        _add(pending, heap, edge, g)
    useful: set[Edge] = set() if wanted is None else _leading_to(wanted, _reachable(list(pending)))
    mode = state.mode
    state.mode = mode if mode.grad is create_graph else Mode(create_graph, mode.inference, mode.keep)
    recording = recorder()
    m: Any = TensorMaths if create_graph else NumPyMaths if recording is None else recording.maths
    found: Cotangents = {}
    try:
        while heap:
            node = heappop(heap)[1]
            g = pending.pop(node)
            if isinstance(g, scalar):  # rules on 0-d arrays give NumPy scalars
                g = np.asarray(g)
            if recording is not None and not create_graph:
                g = recording.value_of(g)
            if wanted is not None and node not in useful and node not in wanted:
                continue
            if node.watch is not None:
                g = _watched(node.watch, g, create_graph)
            if wanted is not None:
                if node in wanted:
                    found[node] = g
                if node not in useful:  # nothing that was asked for lies behind it: its values stay
                    continue
            plan, edges, saved = node.plan, node.edges, node.saved
            if saved is None:
                raise _freed(node)
            for value in saved:
                if type(value) is ndarray:
                    base = value.base
                    write = writes.get(id(base if type(base) is ndarray else value))
                    if write is not None and write.time > node.order:
                        raise _changed(node, value, write)
                elif type(value) is list:
                    _check_variadic(node, value)
            if mode.keep:
                node.cotangent = g
            if create_graph:
                saved = _as_tensors(node, wrap if recording is None else recording.tensor_of)
            broadcasts = plan.broadcasts
            for pull, at, to, pick in plan.steps:
                part = pull(m, g, saved)
                if pick is not None:  # one rule for several inputs
                    for k, place in zip(pick, to, strict=True):
                        _add(pending, heap, edges[place], part[k])
                    continue
                edge = edges[at]
                if broadcasts and part.shape != edge.shape:
                    part = unbroadcast(m, part, edge.shape)
                before = pending.get(edge)
                if before is not None:
                    pending[edge] = before + part
                elif type(edge) is Node:
                    pending[edge] = part
                    heappush(heap, (-edge.order, edge))
                else:  # a leaf: one array must not become two .grad
                    pending[edge] = part.copy() if part is g and type(g) is ndarray else part
            if not retain_graph:
                node.saved = None
        leaf: Any  # nodes went to the heap: leaves are what is left
        for leaf, g in pending.items():
            if recording is not None and not create_graph:
                g = recording.value_of(g)
            elif type(g) is not ndarray:
                g = np.asarray(g) if isinstance(g, scalar) else g
            elif wanted is None and leaf.grad is None and leaf.watch is None and g.base is None:
                leaf.grad = wrap(g, None)
                continue
            if leaf.watch is not None:
                g = _watched(leaf.watch, g, create_graph)
            if wanted is None and recording is not None:
                recording.accumulate(leaf, g)
            elif wanted is None:
                accumulate(leaf, g)
            elif leaf in wanted:
                found[leaf] = g
    finally:
        state.mode = mode
    return found


def _add(pending: Cotangents, heap: list[tuple[int, Node]], edge: Edge, part: Any) -> None:
    """Add a cotangent to what its edge has; a node's first one puts it on the heap."""
    before = pending.get(edge)
    pending[edge] = part if before is None else before + part
    if before is None and type(edge) is Node:
        heappush(heap, (-edge.order, edge))


def _reachable(roots: list[Edge]) -> list[Edge]:
    """All nodes and leaves behind the roots, the oldest first."""
    seen = set(roots)
    stack = list(roots)
    while stack:
        for edge in stack.pop().edges:
            if edge not in seen:
                seen.add(edge)
                stack.append(edge)
    return sorted(seen, key=by_order)


def _leading_to(wanted: set[Edge], nodes: list[Edge]) -> set[Edge]:
    """The nodes from which a path of one edge or more leads to one of `wanted`."""
    useful: set[Edge] = set()
    for node in nodes:
        if any(edge in useful or edge in wanted for edge in node.edges):
            useful.add(node)
    return useful


def accumulate(leaf: Leaf, g: Any) -> None:
    """Add a cotangent to a leaf's .grad, and call its post-accumulate hooks."""
    if leaf.grad is None and type(g) is ndarray:
        leaf.grad = wrap(g if g.base is None and g.flags.writeable else g.copy(), None)
    elif isinstance(g, Tensor):
        leaf.grad = g if leaf.grad is None else leaf.grad + g
    elif leaf.grad.edge is None and leaf.grad.value.flags.writeable:
        total = leaf.grad.value
        np.add(total, g, out=total)
        stamp(total)
    else:
        leaf.grad = wrap(leaf.grad.value + g, None)
    call_post_hooks(leaf)


def call_post_hooks(leaf: Leaf) -> None:
    """The hooks that wait for a leaf's .grad to be complete."""
    if leaf.watch is not None:
        for hook in list(leaf.watch.post_hooks.values()):
            hook(leaf.tensor())


def unbroadcast(m: Any, g: Any, shape: tuple[int, ...]) -> Any:
    """`g` summed over the axes along which an operand of this shape was stretched."""
    axes = shapes.stretched_axes(g.shape, shape)
    if len(axes) == len(g.shape) - len(shape):
        return m.sum(g, axis=axes)
    return m.reshape(m.sum(g, axis=axes, keepdims=True), shape=shape)


def _watched(watch: Watch, g: Any, create_graph: bool) -> Any:
    """The cotangent after the hooks, kept where the user asked for it."""
    recording = recorder()
    as_tensor = wrap if recording is None else recording.tensor_of
    for hook in list(watch.hooks.values()):
        replaced = hook(g if isinstance(g, Tensor) else as_tensor(g, None))
        if replaced is not None:
            if not isinstance(replaced, Tensor):
                raise ArgumentTypeError(f"a hook returns None or a Tensor, not {type(replaced).__name__}")
            if replaced.value.shape != g.shape:
                raise ShapeError(
                    "a hook has changed the shape of the gradient",
                    got=[describe("gradient", g), describe("hook's result", replaced)],
                )
            g = replaced if create_graph else replaced.value if recording is None else recording.value_of(replaced)
    if watch.retains:
        kept = g if isinstance(g, Tensor) else wrap(np.array(g), None) if recording is None else as_tensor(g, None)
        watch.grad = kept if watch.grad is None else watch.grad + kept
    return g


def _freed(node: Node) -> GraphError:
    return GraphError(
        "Trying to backward through the graph a second time: the values that "
        f"{node.name()} saved were freed by the first backward().",
        where=line_of(node.site),
        mend="Specify retain_graph=True in the first call, or compute the loss again.",
    )


def _changed(node: Node, array: Array, write: Write) -> InPlaceError:
    """The error for a saved value that was written after it was saved."""
    assert node.saved is not None
    name = next(n for n, v in zip(node.plan.wants, node.saved, strict=False) if v is array or type(v) is list)
    at = f" in {line_of(write.site)}" if write.site else ""
    return InPlaceError(
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: {node.name()} saved '{name}', which was written afterwards.",
        got=[describe(name, array), f"saved in {line_of(node.site)}", f"written by {write.by}{at}"],
        mend="Write to a clone(), or use the operation that makes a new tensor.",
    )


def _check_variadic(node: Node, values: list[Any]) -> None:
    for value in values:
        write = write_to(value) if type(value) is ndarray else None
        if write is not None and write.time > node.order:
            raise _changed(node, value, write)


def _as_tensors(node: Node, wrap: Callable[[Any, Any], Tensor] = wrap) -> tuple[Any, ...]:
    """What was saved, as Tensors that are connected to the graph, so that the rule itself is differentiated."""
    plan = node.plan
    out: list[Any] = []
    assert node.saved is not None
    for source, value in zip(plan.source, node.saved, strict=True):
        if source == "result":
            out.append(wrap(value, node))
        elif isinstance(source, int):
            out.append(wrap(value, node.edges[source]) if _is_array(value) else value)
        elif type(value) is list and value and _is_array(value[0]):
            out.append(_variadic_tensors(node, value, wrap))
        else:
            out.append(wrap(value, None) if _is_array(value) else value)
    if plan.recomputes:
        out = _with_recomputed_statistics(node, out)
    return tuple(out)


def _is_array(value: Any) -> bool:
    """True for an array or a recorder's value; False for a shape, a parameter, a number."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _variadic_tensors(node: Node, values: list[Array], wrap: Callable[[Any, Any], Tensor]) -> list[Tensor]:
    """The variadic inputs, each with its edge if it needs a gradient."""
    plan = node.plan
    start = len(plan.fixed)
    edges = iter(node.edges[sum(plan.needs[:start]) :])
    return [wrap(v, next(edges) if plan.needs[start + i] else None) for i, v in enumerate(values)]


def _with_recomputed_statistics(node: Node, out: list[Any]) -> list[Any]:
    """A kept number has no graph: run the body again on Tensors, for its statistics as functions of the inputs."""
    plan = node.plan
    op = plan.op
    have = dict(zip(plan.wants, out, strict=True))
    inputs = [have.get(name) for name in op.inputs]
    _, *statistics = op.body(TensorMaths, *inputs, **(node.params or {}))
    fresh = dict(zip(op.keeps, statistics, strict=True))
    return [fresh.get(want, value) for want, value in zip(plan.wants, out, strict=True)]


# ---- arguments -----------------------------------------------------------------------------------------------


@lru_cache
def _one(dtype: np.dtype[Any]) -> Array:
    """dL/dL, shared: read only."""
    one = np.ones((), dtype)
    one.flags.writeable = False
    return one


def _sequence(x: Any, *empty: Any) -> list[Any]:
    if empty and x is None:
        return []
    return [x] if isinstance(x, Tensor | ndarray) or x is None else list(x)


def _edge(x: Tensor) -> Edge:
    edge = x.edge
    assert edge is not None
    return edge


def _edges_of(tensors: Sequence[Tensor]) -> set[Edge]:
    for x in tensors:
        if x.edge is None:
            raise GraphError("One of the inputs does not require grad", got=[describe("input", x)])
    return {_edge(x) for x in tensors}


def _as_tensor(g: Any) -> Tensor:
    if (recording := recorder()) is not None and not isinstance(g, Tensor):
        made: Tensor = recording.tensor_of(g)
        return made
    return g if isinstance(g, Tensor) else wrap(g if g.base is None and g.flags.writeable else g.copy(), None)


def _roots(tensors: list[Tensor], grads: list[Any], create_graph: bool) -> list[tuple[Edge, Any]]:
    """Where the sweep starts: each result's edge with its cotangent."""
    if grads and len(grads) != len(tensors):
        raise GraphError(f"got {len(tensors)} tensors and {len(grads)} gradients")
    roots: list[tuple[Edge, Any]] = []
    for i, x in enumerate(tensors):
        g = grads[i] if grads else None
        edge = x.edge
        if edge is None:
            raise GraphError(
                f"element {i} of tensors does not require grad and does not have a grad_fn",
                got=[describe("tensor", x)],
                mend="No input has requires_grad=True, or it was computed under no_grad() or from detach().",
            )
        cotangent = _cotangent(x, g)
        if not create_graph:
            value = cotangent.value
            roots.append((edge, value.copy() if isinstance(edge, Leaf) and type(value) is ndarray else value))
        else:
            roots.append((edge, cotangent))
    return roots


def _implicit(x: Tensor) -> Array:
    """The cotangent 1 of a result of one element."""
    value = x.value
    if value.ndim == 0:
        return _one(value.dtype)
    if value.size != 1:
        raise GraphError(
            "grad can be implicitly created only for scalar outputs",
            got=[describe("tensor", x)],
            mend="Reduce it to one number (.sum(), .mean()), or pass gradient= of its own shape.",
        )
    return np.ones(value.shape, value.dtype)


def _cotangent(x: Tensor, g: Any) -> Tensor:
    if g is None:
        return wrap(_implicit(x), None)
    if not isinstance(g, Tensor):
        raise ArgumentTypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
    if g.value.shape != x.value.shape:
        raise ShapeError(
            f"Mismatch in shape: gradient has a shape of {tuple(g.value.shape)} and output {tuple(x.value.shape)}",
            got=[describe("gradient", g), describe("tensor", x)],
        )
    return g if g.value.dtype == x.value.dtype else TensorMaths.cast(g, dtype=x.value.dtype)
