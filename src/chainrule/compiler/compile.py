"""`compile`: a function of tensors as a cached program, one for each signature.

The function runs once for each signature, on placeholders (`trace.py`); what it did is the program, which every
later call runs. State stays where the user sees it: parameters, gradients, the optimiser's moments, buffers.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import is_
from types import FunctionType
from typing import Any

import numpy as np

from chainrule.compiler import interpret
from chainrule.compiler.ir import Graph, Value
from chainrule.compiler.passes.expand import expand
from chainrule.compiler.passes.simplify import simplify
from chainrule.compiler.program import MISS, Backward, Executable, Program, Result
from chainrule.compiler.rewrite import extracted
from chainrule.compiler.trace import Symbol, Tracer
from chainrule.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from chainrule.tensor.arrays import numpy_dtype
from chainrule.tensor.backward import sweep
from chainrule.tensor.graph import Leaf, Node, state
from chainrule.tensor.tensor import Tensor

log = logging.getLogger("chainrule.compiler")

MOST_PROGRAMS = 64
"""Of one function: the oldest goes when another signature comes."""


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = True,
    dynamic: bool | None = None,
    backend: Any = None,
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
    denormals: str = "flush",
) -> Any:
    """The function (or module) as machine code; also a decorator: `@compile` or `@compile(denormals="keep")`.

    The function is run once for each signature of its arguments (shapes, element types, numbers, flags), with
    placeholders: Python code in it, printing included, happens then and not at later calls. What it reads and
    writes (parameters, gradients, optimiser state, buffers, random generators) is as an eager call would leave it,
    to rounding. Hyperparameters of optimisers are read anew at each call.

    Args:
        model: a function of Tensors, and of nested lists, tuples and dicts of them; or a module, which keeps its
            parameters, state and methods.
        fullgraph: True: what cannot be compiled raises.
        dynamic: None or False: other shapes are other programs.
        disable: return `model` as it is.
        denormals: "flush" to count numbers below the smallest normal one as zero, as fast as others; "keep".

    Raises:
        UnsupportedError: for PyTorch's options that mean nothing here.
        TraceError: at the first call, for what cannot be compiled, with the line.
    """
    refused = {
        "fullgraph": fullgraph is not True, "dynamic": dynamic is True, "backend": backend is not None,
        "mode": mode not in (None, "default"), "options": bool(options),
    }  # fmt: skip
    for name, given in refused.items():
        if given:
            raise UnsupportedError(f"compile: {name}= is not supported", mend="Leave it out.")
    if denormals not in ("flush", "keep"):
        raise ArgumentError(f"denormals is 'flush' or 'keep', not {denormals!r}")
    if model is None:
        return functools.partial(compile, disable=disable, denormals=denormals)
    if disable:
        return model
    if not callable(model):
        raise ArgumentTypeError(f"compile takes a function or a module, not {type(model).__name__}")
    if hasattr(model, "forward") and hasattr(model, "state_dict"):
        return compiled_module(model, denormals)
    return Compiled(model, flushes=denormals == "flush")


def compiled_module(module: Any, denormals: str) -> Any:
    """A module that shares everything with another one, but runs compiled when it is called."""
    kind = type(module)
    run = Compiled(lambda *args, **kwargs: kind.__call__(module, *args, **kwargs), flushes=denormals == "flush")
    run.__name__ = kind.__name__
    namespace = {"__call__": lambda self, *args, **kwargs: run(*args, **kwargs), "lower": run.lower}
    shared = object.__new__(type(kind.__name__, (kind,), namespace))
    shared.__dict__ = module.__dict__
    return shared


class Compiled:
    """A function with its programs. Safe to call from several threads: one program runs once at a time."""

    def __init__(self, function: Callable[..., Any], *, flushes: bool = True) -> None:
        functools.update_wrapper(self, function)
        self.function, self.flushes = function, flushes
        self.programs: dict[Any, list[Program]] = {}
        self.latest: tuple[Program, Any, list[Any]] | None = None
        self.look = looks_at(function)
        self.lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.latest is not None and not kwargs:
            program, mode, around = self.latest
            if state.mode is mode and len(args) == len(program.leaves or ()) and all(map(is_, self.look(), around)):
                try:
                    result = program.quick(args)
                except AttributeError:  # an argument is no Tensor
                    result = MISS
                if result is not MISS:
                    return result
        tensors: list[Tensor] = []
        around = self.look()
        key = (signature((args, kwargs), tensors), state.mode, tuple(map(_identity, around)))
        program = next((p for p in self.programs.get(key, ()) if p.fits()), None) or self._traced(key, args, kwargs)
        if program.is_quick:
            self.latest = (program, state.mode, around)
        return program(tensors)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def _traced(self, key: Any, args: Any, kwargs: Any) -> Program:
        with self.lock:
            if self.programs:
                log.info("%s is compiled again: %s", self.__name__, key[0])
            program = traced(self.function, args, kwargs, self.flushes)
            programs = self.programs.setdefault(key, [])
            programs.insert(0, program)
            while sum(map(len, self.programs.values())) > MOST_PROGRAMS:
                oldest = next(iter(self.programs))
                self.programs.pop(oldest)
        return program

    def lower(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph of a signature, as it was traced."""
        return traced(self.function, args, kwargs, self.flushes).trace.graph


# ---- signatures ----------------------------------------------------------------------------------------------


def signature(structure: Any, tensors: list[Tensor]) -> Any:
    """A hashable description of nested arguments; the Tensors in them are appended to `tensors`."""
    kind = type(structure)
    if kind is tuple or kind is list:
        return (kind, *[signature(x, tensors) for x in structure])
    if kind is dict:
        return (dict, *[(name, signature(x, tensors)) for name, x in structure.items()])
    if isinstance(structure, Tensor):
        for i, other in enumerate(tensors):
            if other is structure:
                return ("same", i)
        tensors.append(structure)
        value = structure.value
        return (value.shape, value.dtype, structure.edge is None)
    if isinstance(structure, np.ndarray):
        raise ArgumentTypeError(
            "a compiled function takes Tensors, not NumPy arrays: an array would become part of the program",
            mend="Pass chainrule.from_numpy(array).",
        )
    if isinstance(structure, tuple):  # a named one
        return (kind, *[signature(x, tensors) for x in structure])
    if kind in (bool, int, float, str, bytes, type(None)):
        return (kind, structure)
    return (kind, id(structure))


def looks_at(function: Any) -> Callable[[], list[Any]]:
    """A function that gives what another one refers to outside its arguments: closure cells and globals."""
    if not isinstance(function, FunctionType):
        return list
    cells, known = function.__closure__ or (), function.__globals__
    names = [name for name in function.__code__.co_names if name in known]

    def look() -> list[Any]:
        return [cell.cell_contents for cell in cells] + [known.get(name) for name in names]

    return look


def _identity(x: Any) -> Any:
    return x if type(x) in (bool, int, float, str) else id(x)


def mapped(structure: Any, change: Callable[[Tensor], Any]) -> Any:
    """Nested arguments with each Tensor replaced."""
    if isinstance(structure, Tensor):
        return change(structure)
    if type(structure) in (list, tuple):
        return type(structure)([mapped(x, change) for x in structure])
    if type(structure) is dict:
        return {name: mapped(x, change) for name, x in structure.items()}
    if isinstance(structure, tuple):
        return type(structure)(*[mapped(x, change) for x in structure])
    return structure


# ---- tracing -------------------------------------------------------------------------------------------------


def traced(function: Callable[..., Any], args: Any, kwargs: Any, flushes: bool) -> Program:
    """Run a function on placeholders for its arguments, and compile what it did."""
    tracer = Tracer(getattr(function, "__name__", "program"))
    arguments: list[Tensor] = []
    signature((args, kwargs), arguments)
    placeholders = {id(x): tracer.argument(x, x.value) for x in arguments}
    plain = not kwargs and len(args) == len(arguments) and all(x is y for x, y in zip(args, arguments, strict=True))
    leaves_of_arguments = tuple([x.edge is not None for x in arguments]) if plain else None
    with tracer.active():
        args, kwargs = mapped((args, kwargs), lambda x: placeholders[id(x)])
        returned = function(*args, **kwargs)
        leaves: list[Tensor] = []
        structure = _skeleton(returned, leaves)
        outputs = _Outputs(tracer, arguments, list(placeholders.values()))
        results = [outputs.result(x) for x in leaves]
        outputs.connect()
        refuse_written(placeholders.values())
        replaced: list[Value] = []
        for g in tracer.trace.grads:
            if g.leaf.grad is not None and g.leaf.grad is not g.before:
                replaced.append(tracer.value_of(g.leaf.grad))
    trace = tracer.trace
    written = [s.symbol.value for s in trace.states if s.written]
    graph = trace.graph
    graph.outputs = [*written, *replaced, *outputs.values]
    backward = outputs.backward(graph, flushes)
    graph.outputs += outputs.residuals

    def rebuild(items: list[Any]) -> Any:
        return _filled(structure, iter(items))

    forward = extracted(graph, graph.inputs, graph.outputs) if backward else graph
    in_place = [s.input for s in trace.states if s.written]
    return Program(
        trace, results, rebuild, executable(forward, flushes, in_place, len(written) + len(replaced)), backward,
        leaves_of_arguments,
    )  # fmt: skip


def refuse_written(placeholders: Iterable[Tensor]) -> None:
    """An argument that the program has written in place cannot be given back."""
    for x in placeholders:
        symbol: Any = x.value
        if symbol.value.role != "argument":
            raise UnsupportedError(
                "a compiled function cannot write into its arguments",
                mend="Return a new tensor, or keep the one to be written outside, as state.",
            )


class _Outputs:
    """The values that a program gives back, and the way back from them if they have gradients."""

    def __init__(self, tracer: Tracer, arguments: list[Tensor], placeholders: list[Tensor]) -> None:
        self.tracer, self.arguments, self.placeholders = tracer, arguments, placeholders
        self.values: list[Value] = []
        self.live: list[tuple[int, Tensor]] = []
        self.cotangents: list[Value] = []
        self.found: dict[Leaf, Value] = {}
        self.residuals: list[Value] = []

    def result(self, x: Tensor) -> Result:
        """Where a Tensor of the function's result comes from at a call."""
        for i, placeholder in enumerate(self.placeholders):
            if x is placeholder:
                return Result("argument", i)
        value: Any = x.value
        if not isinstance(value, Symbol) or any(s.tensor is x for s in self.tracer.trace.states):
            return Result("object", item=x)
        connected = isinstance(x.edge, Node) and _can_run(x.edge)
        if connected:
            self.live.append((len(self.values), x))
        self.values.append(value.value)
        return Result("output", len(self.values) - 1, connected=connected)

    def connect(self) -> None:
        """Record the sweep from all results that have a gradient, with placeholders for their cotangents."""
        if not self.live:
            return
        roots: list[tuple[Any, Any]] = []
        for _, x in self.live:
            value = self.tracer.value_of(x)
            self.cotangents.append(self.tracer.graph.input(value.shape, value.dtype, "argument"))
            roots.append((x.edge, self.cotangents[-1]))
        wanted = {leaf for _, x in self.live for leaf in _leaves(x.edge)}
        found = sweep(roots, retain_graph=True, create_graph=False, wanted=wanted)
        self.found = {leaf: self.tracer.value_of(g) for leaf, g in found.items() if isinstance(leaf, Leaf)}

    def backward(self, graph: Graph, flushes: bool) -> Backward | None:
        """The program that goes on from cotangents; notes what the forward program has to hand over."""
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
        constants = list(graph.constants)
        part = extracted(graph, [*handed, *self.cotangents, *constants], gradients)
        places = {id(p.edge): i for i, p in enumerate(self.placeholders)}
        owners = {id(s.tensor.edge): s.tensor for s in self.tracer.trace.states}
        leaves = [places[id(e)] if id(e) in places else owners[id(e)] for e in self.found]
        return Backward(
            executable(part, flushes), [made[x] for x in handed], [i for i, _ in self.live], leaves,
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


@dataclass(frozen=True)
class _Place:
    """Where a Tensor stood in the function's result."""


def _skeleton(structure: Any, leaves: list[Tensor]) -> Any:
    def note(x: Tensor) -> _Place:
        leaves.append(x)
        return _Place()

    return mapped(structure, note)


def _filled(structure: Any, items: Any) -> Any:
    if isinstance(structure, _Place):
        return next(items)
    if type(structure) in (list, tuple):
        return type(structure)([_filled(x, items) for x in structure])
    if type(structure) is dict:
        return {name: _filled(x, items) for name, x in structure.items()}
    if isinstance(structure, tuple):
        return type(structure)(*[_filled(x, items) for x in structure])
    return structure


# ---- targets -------------------------------------------------------------------------------------------------


def executable(graph: Graph, flushes: bool, in_place: Sequence[Value] = (), own: int = 0) -> Executable:
    """The graph, simplified, on the target that this process uses: LLVM, or NumPy for CHAINRULE_JIT=0.

    `in_place` are the inputs whose memory the first outputs are written to; `own` outputs stay where they are.
    """
    if os.environ.get("CHAINRULE_JIT", "1") == "0":
        return interpret.executable(simplify(graph))
    from chainrule.compiler.targets.llvm.target import DIRECT, build

    order = list(graph.inputs)
    simple = simplify(expand(graph, DIRECT))
    return build(simple, flushes, {i: simple.inputs[order.index(x)] for i, x in enumerate(in_place)}, own)


