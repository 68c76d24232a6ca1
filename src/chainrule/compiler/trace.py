"""The recorder: run a program once on placeholders, and get the graph of everything it did.

A placeholder is a Tensor that holds a `Symbol` in place of an array: a piece of memory whose elements are, at any
moment of the trace, one value of the graph. An in-place write gives the symbol another value, so aliases see it. An
array that a program meets and did not make is *state*: it becomes an input, and an output if it was written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.compiler.ir import Graph, Value
from chainrule.compiler.views import View, moved, whole
from chainrule.errors import TraceError
from chainrule.ops.catalogue import CATALOGUE
from chainrule.ops.op import Op
from chainrule.tensor.arrays import dtype_of, numpy_dtype
from chainrule.tensor.backward import call_post_hooks
from chainrule.tensor.dispatch import TensorMaths, expands, general_gate
from chainrule.tensor.graph import Array, Edge, Leaf, Node, line_of, state, tick, users_site
from chainrule.tensor.recording import RECORDERS
from chainrule.tensor.tensor import Tensor, wrap


class Symbol:
    """Memory of a placeholder: shape and type of an array, and the value that it holds at this point of the trace."""

    __slots__ = ("_value", "dtype", "layout", "parent", "seen", "shape", "taken", "view")
    base = None

    def __init__(self, value: Value) -> None:
        self._value, self.shape, self.dtype = value, value.shape, numpy_dtype(value.dtype)
        self.parent: Symbol | None = None
        self.taken: Callable[[Value], Value] | None = None
        self.seen: Value | None = None
        self.view: tuple[Op, dict[str, Any]] | None = None
        self.layout: View | None = whole(value)

    @property
    def value(self) -> Value:
        """The elements now; of a view, what its parent holds now, looked at again."""
        if self.parent is not None and self.parent.value is not self.seen:
            assert self.taken is not None
            self.seen = self.parent.value
            self._value = self.taken(self.seen)
        return self._value

    @value.setter
    def value(self, value: Value) -> None:
        self._value = value

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: int(np.prod(self.shape, dtype=np.int64)))
    nbytes = property(lambda self: self.size * self.dtype.itemsize)
    itemsize = property(lambda self: self.dtype.itemsize)

    @property
    def flags(self) -> Any:
        """Those of fresh memory."""
        return _FRESH.flags

    def __len__(self) -> int:
        return int(self.shape[0])

    def copy(self) -> Value:
        """The elements now: values never change."""
        return self.value

    def _refuse(self, *_: Any, **__: Any) -> Any:
        if get_ident() not in RECORDERS:
            raise kept_too_long(self)
        raise refusal(
            "the program looks at the elements of a tensor while it is compiled, when they are not known yet",
            "Return the tensor and look at it outside, use chainrule.where(condition, a, b) instead of a branch, or "
            "leave this function uncompiled.",
        )

    __array__ = __array_ufunc__ = __array_function__ = __bool__ = __float__ = __int__ = __index__ = _refuse
    __getitem__ = __setitem__ = __iter__ = __contains__ = __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __matmul__ = _refuse
    __pow__ = __neg__ = __abs__ = _refuse
    __array_interface__ = ctypes = property(_refuse)
    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._refuse()

    def __repr__(self) -> str:
        return f"<{self._value!r}, not known while compiling>"


class Captured(Symbol):
    """Memory of a Tensor that the program refers to: it is an input from its first use on, if there is one."""

    __slots__ = ("first_use",)
    _value: Any

    def __init__(self, array: Array, first_use: Callable[[], Value]) -> None:
        self._value, self.shape, self.dtype = None, array.shape, array.dtype
        self.parent = self.taken = self.seen = self.view = self.layout = None
        self.first_use = first_use

    @property
    def value(self) -> Value:
        """The elements now."""
        if self._value is None:
            self.value = self.first_use()
        value: Value = self._value
        return value

    @value.setter
    def value(self, value: Value) -> None:
        if self._value is None:
            self.layout = whole(value)
        self._value = value


_FRESH = np.empty(())


def refusal(what: str, mend: str) -> TraceError:
    """The error for what cannot be compiled, with the line of the user's program."""
    return TraceError(what, where=line_of(users_site(sys._getframe(1))), mend=mend)


def shares_memory(y: Symbol, x: Symbol) -> bool:
    """True if what a movement made of x is x's memory, and no copy; notes how it lies there."""
    made, before = y.value.maker, x.layout
    if made is None or made.op.name == "flip":  # which copies, as in PyTorch
        return False
    y.layout = None if before is None else moved(made, before)
    return y.layout is not None or before is None or made.op.name != "reshape" or not y.size


def kept_too_long(symbol: Symbol) -> TraceError:
    """The error for a placeholder that somebody kept when the trace was over."""
    maker = symbol._value.maker if symbol._value is not None else None
    return TraceError(
        "this tensor is a placeholder that was kept while a function was compiled: it never gets elements",
        where=maker.site if maker is not None else None,
        mend="Return it from the compiled function, and keep what the call returns.",
    )


@dataclass
class State:
    """An array that the program met: whose it is, its input, and its symbol.

    It is a Tensor's, or that of whatever Tensor is a leaf's .grad when the program is called.
    """

    owner: Tensor
    array: Array
    symbol: Symbol
    input: Value
    leaf: Leaf | None = None

    @property
    def tensor(self) -> Tensor:
        """Whose array it is now."""
        return self.owner if self.leaf is None else self.leaf.grad

    @property
    def written(self) -> bool:
        """True if the program left another value there."""
        return self.symbol.value is not self.input


@dataclass
class Grad:
    """A leaf whose .grad the program read or replaced: what was there before, and whether that was looked at."""

    leaf: Leaf
    before: Any
    was_read: bool
    input: Value | None = None
    after: Any = None


@dataclass
class Draw:
    """Random words of a generator: the inputs for key and counter, and how many blocks after its first."""

    generator: Any
    offset: int
    key: Value
    counter: Value


@dataclass
class Numbers:
    """Hyperparameters: their inputs by name, how they are read, and what to watch for a reason to read again."""

    watched: dict[str, Any]
    read: Callable[[], dict[str, Any]]
    inputs: dict[str, Value]
    fixed: dict[str, Any]


@dataclass
class Trace:
    """What a program did, once the trace is over."""

    graph: Graph
    states: list[State] = field(default_factory=list)
    grads: list[Grad] = field(default_factory=list)
    numbers: list[Numbers] = field(default_factory=list)
    draws: list[Draw] = field(default_factory=list)
    generators: dict[Any, int] = field(default_factory=dict)
    modules: dict[int, Any] = field(default_factory=dict)
    effects: list[Callable[[], None]] = field(default_factory=list)
    guards: list[Callable[[], Any]] = field(default_factory=list)


class Tracer:
    """A `Recorder` that builds a graph."""

    def __init__(self, name: str) -> None:
        self.graph = Graph(name)
        self.maths = self.graph.maths
        self.graph.site = lambda: line_of(users_site(sys._getframe(2)))
        self.trace = Trace(self.graph)
        self._by_array: dict[int, State] = {}
        self._swapped: list[tuple[Any, Array]] = []
        self._created: dict[int, Array] = {}
        self._captured: dict[int, Captured] = {}
        self._start = tick()
        self._leaves_of_arguments: set[Leaf] = set()
        self._constants: dict[int, tuple[Array, Symbol]] = {}
        self._grads: dict[int, Grad] = {}
        self._leaf_of_grad: dict[int, Leaf] = {}
        self._gates: dict[Op, Callable[[tuple[Any, ...], dict[str, Any]], Tensor]] = {}

    # ---- calls --------------------------------------------------------------------------------------------------

    def call(self, op: Op, inputs: tuple[Any, ...], params: dict[str, Any]) -> Tensor:
        params = {name: dtype_of(p) if isinstance(p, np.dtype) else p for name, p in params.items()}
        for x in inputs:
            if isinstance(x, Tensor):
                self._refuse_outside_graph(x)
        if expands(op) and state.mode.grad and any(isinstance(x, Tensor) and x.edge is not None for x in inputs):
            body: Callable[..., Tensor] = op.body
            return body(TensorMaths, *inputs, **params)
        gate = self._gates.get(op)
        if gate is None:
            gate = self._gates[op] = general_gate(op, self._runner(op), self.value_of, self.tensor_of)
        result = gate(inputs, params)
        if op.views and isinstance(inputs[0], Tensor) and isinstance(inputs[0].value, Symbol):
            symbol: Any = result.value
            if not shares_memory(symbol, inputs[0].value):
                return result
            symbol.parent, symbol.seen = inputs[0].value, inputs[0].value.value
            symbol.taken = lambda value: self.graph.call(op, value, **params)
            symbol.view = op, params
        return result

    def _runner(self, op: Op) -> Callable[..., tuple[Any, ...]]:
        return lambda inputs, values, params: self.graph.append(op, tuple(values), params)

    # ---- values -------------------------------------------------------------------------------------------------

    def value_of(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            if not isinstance(x.value, Symbol):
                self._adopt(x)
            symbol: Any = x.value
            return symbol.value
        if isinstance(x, Symbol):
            return x.value
        if isinstance(x, np.ndarray | np.generic):
            array = np.asarray(x)
            return self.graph.constant(array, dtype_of(array.dtype))
        return x

    def tensor_of(self, value: Any, edge: Edge | None = None) -> Tensor:
        symbol: Any = Symbol(value)
        return wrap(symbol, edge)

    def created(self, tensor: Any) -> None:
        self._created[id(tensor.value)] = tensor.value

    def expect(self, tensor: Tensor) -> None:
        """Swap the array of a Tensor that the program refers to for a symbol: its elements may not be looked at."""
        array: Any = tensor.value
        if isinstance(array, np.ndarray):
            if id(array) not in self._captured:
                self._captured[id(array)] = Captured(array, lambda: self._state(tensor, array).input)
            self._swap(tensor, array, self._captured[id(array)])

    def is_outside(self, tensor: Tensor) -> bool:
        """True for a Tensor that was there before the program."""
        return any(tensor is holder and id(array) not in self._created for holder, array in self._swapped)

    def is_created(self, tensor: Tensor) -> bool:
        """True for a Tensor that the program made of numbers, and that nothing has read or written since."""
        return id(tensor.value) in self._created

    def _refuse_outside_graph(self, x: Tensor) -> None:
        """A gradient cannot go on through what was computed outside: it would be recorded once, not at each call."""
        if state.mode.grad and isinstance(x.edge, Node) and x.edge.order < self._start:
            raise refusal(
                f"the program uses a tensor {tuple(x.shape)} that was computed outside it and has a gradient",
                "Pass it as an argument, take its detach(), or compute it inside the compiled function.",
            )

    def _adopt(self, tensor: Tensor) -> None:
        """Swap a Tensor's array for a symbol until the trace is over."""
        array = tensor.value
        symbol: Any
        if id(array) in self._created:
            if id(array) not in self._constants:
                constant = self.graph.constant(array.copy(), dtype_of(array.dtype))
                self._constants[id(array)] = (array, Symbol(constant))
            symbol = self._constants[id(array)][1]
        else:
            symbol = self._state(tensor, array).symbol
        self._swap(tensor, array, symbol)

    def _swap(self, tensor: Tensor, array: Array, symbol: Any) -> None:
        self._swapped.append((tensor, array))
        tensor.value = symbol
        if isinstance(tensor.edge, Leaf) and tensor.edge.value is array:
            self._swapped.append((tensor.edge, array))
            tensor.edge.value = symbol

    def _state(self, tensor: Tensor, array: Array) -> State:
        known = self._by_array.get(id(array))
        if known is None:
            self._refuse_overlap(array)
            value = self.graph.input(array.shape, dtype_of(array.dtype), "state")
            symbol = self._captured[id(array)] if id(array) in self._captured else Symbol(value)
            symbol.value = value
            leaf = self._leaf_of_grad.get(id(tensor))
            known = self._by_array[id(array)] = State(tensor, array, symbol, value, leaf)
            self.trace.states.append(known)
        return known

    def _refuse_overlap(self, array: Array) -> None:
        """Two arrays over the same memory cannot be two inputs: a write to one would be unseen in the other."""
        for other in self.trace.states:
            if np.may_share_memory(array, other.array) and np.shares_memory(array, other.array):
                raise refusal(
                    f"two tensors look at the same memory, {other.array.shape} and {array.shape}, and the program uses "
                    "both",
                    "Take the view inside the compiled function, or use a clone().",
                )

    def argument(self, tensor: Tensor, array: Array) -> Tensor:
        """A placeholder for an argument."""
        value = self.graph.input(array.shape, dtype_of(array.dtype), "argument")
        symbol: Any = Symbol(value)
        placeholder = wrap(symbol, None)
        if tensor.edge is not None:
            placeholder.edge = Leaf(symbol, placeholder)
            self._leaves_of_arguments.add(placeholder.edge)
        return placeholder

    # ---- writes -------------------------------------------------------------------------------------------------

    def write(self, target: Any, result: Any) -> None:
        value = self.value_of(result)
        self.value_of(target)
        self._put(target.value, value)

    def _put(self, symbol: Symbol, value: Value) -> None:
        dtype = symbol.value.dtype
        if value.dtype is not dtype:
            value = self.graph.call(CATALOGUE["cast"], value, dtype=dtype)
        if symbol.parent is not None:
            self._put_through(symbol, value)
        else:
            symbol.value = value

    def _put_through(self, view: Symbol, value: Value) -> None:
        """A write through a view is a write to its parent: only where the view is a slice or a reshape."""
        instruction = view.value.maker
        parent = view.parent
        assert instruction is not None
        assert parent is not None
        name, whole = instruction.op.name, parent.value
        if name == "slice":
            whole = self.graph.call(CATALOGUE["assign"], whole, value, key=instruction.params["key"])
        elif name == "reshape":
            whole = self.graph.call(CATALOGUE["reshape"], value, shape=whole.shape)
        elif name == "permute":
            order = instruction.params["order"]
            back = tuple(sorted(range(len(order)), key=order.__getitem__))
            whole = self.graph.call(CATALOGUE["permute"], value, order=back)
        elif name == "mT":
            whole = self.graph.call(CATALOGUE["mT"], value)
        else:
            raise refusal(
                f"an in-place write through the view that {name} made cannot be compiled",
                "Write into the tensor itself, or use the operation that makes a new tensor.",
            )
        self._put(parent, whole)

    # ---- gradients ----------------------------------------------------------------------------------------------

    def _grad(self, leaf: Leaf, reads: bool) -> Grad:
        known = self._grads.get(id(leaf))
        if known is None:
            known = self._grads[id(leaf)] = Grad(leaf, leaf.grad, reads)
            if leaf.grad is not None:
                self._leaf_of_grad[id(leaf.grad)] = leaf
            self.trace.grads.append(known)
        return known

    def read_grad(self, leaf: Leaf) -> None:
        self._grad(leaf, reads=True)

    def write_grad(self, leaf: Leaf) -> None:
        self._grad(leaf, reads=False)

    def accumulate(self, leaf: Leaf, g: Any) -> None:
        if leaf in self._leaves_of_arguments:
            raise refusal(
                "backward() inside a compiled function reaches an argument, whose .grad only the caller has",
                "Return chainrule.autograd.grad(loss, [x]), call backward() outside, or refer to x instead of passing "
                "it; pass x.detach() if its gradient is not wanted.",
            )
        self.read_grad(leaf)
        value = self.value_of(g)
        if leaf.grad is None:
            leaf.grad = g if isinstance(g, Tensor) else self.tensor_of(value)
        else:
            before = self.value_of(leaf.grad)
            self._put(leaf.grad.value, self.graph.call(CATALOGUE["add"], before, value))
        call_post_hooks(leaf)

    # ---- numbers, randomness, modules ---------------------------------------------------------------------------

    def numbers(self, watched: dict[str, Any], read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        found = read()
        inputs = {name: self.graph.input((), dtypes.float64, "number") for name, x in found.items() if type(x) is float}
        fixed = {name: x for name, x in found.items() if name not in inputs}
        self.trace.numbers.append(Numbers(watched, read, inputs, fixed))
        return {**fixed, **{name: self.tensor_of(value) for name, value in inputs.items()}}

    def draw(self, generator: Any, words: int) -> tuple[Any, Any]:
        offset = self.trace.generators.get(generator, 0)
        key, counter = (self.graph.input((), dtypes.int64, "number") for _ in range(2))
        self.trace.draws.append(Draw(generator, offset, key, counter))
        self.trace.generators[generator] = offset - (-words // 4)
        return self.tensor_of(key), self.tensor_of(counter)

    def ran(self, module: Any) -> None:
        self.trace.modules[id(module)] = module

    def depends_on(self, look: Callable[[], Any]) -> None:
        self.trace.guards.append(look)

    def after_each_call(self, effect: Callable[[], None]) -> None:
        self.trace.effects.append(effect)

    def refuse(self, what: str, mend: str) -> TraceError:
        return refusal(what, mend)

    # ---- the trace as a whole -----------------------------------------------------------------------------------

    @contextmanager
    def active(self) -> Iterator[None]:
        """Record what this thread does; whatever happens, all Tensors have their arrays and gradients back after."""
        thread = get_ident()
        if thread in RECORDERS:
            raise refusal("a compiled function is called for the first time while another one is compiled", "")
        RECORDERS[thread] = self
        try:
            yield
        finally:
            del RECORDERS[thread]
            for grad in self.trace.grads:
                grad.after = grad.leaf.grad
                grad.leaf.grad = grad.before
            for holder, array in reversed(self._swapped):
                holder.value = array
