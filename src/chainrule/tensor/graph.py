"""The graph that a program leaves behind: Leaf, Node, and the switches that say what is recorded.

Edges point from a result's Node to the Nodes and Leaves of its inputs, never back, and nothing points to a
Tensor: reference counting alone frees a graph.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from chainrule.tensor.recording import changed

if TYPE_CHECKING:
    from chainrule.tensor.plan import Plan

Array: TypeAlias = np.ndarray[Any, Any]
Site: TypeAlias = tuple[CodeType, int]
"""A place in the user's program: a code object and the instruction in it."""

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

tick = itertools.count(1).__next__
"""The next creation number: a node's place in time, and the time of an in-place write."""


class Mode(NamedTuple):
    """What the operators record. Immutable; the context managers swap one for another."""

    grad: bool
    inference: bool = False
    keep: Copies | None = None


class _ThreadState(threading.local):
    """Each thread's mode. A thread that meets chainrule for the first time also silences NumPy's float warnings.

    PyTorch does not warn on exp(1000); `np.errstate` at each call costs 1 us, once per thread costs nothing.
    """

    def __init__(self) -> None:
        self.mode = Mode(grad=True)
        np.seterr(all="ignore")


state = _ThreadState()


@contextmanager
def keep_values() -> Iterator[None]:
    """Within this context every node keeps its input values, its result and, in a sweep, its cotangent.

    They stand in `node.kept` and `node.cotangent` and stay after backward(). Values that no node made (parameters,
    data) are copied, so that an optimiser's step does not change them.
    """
    before = state.mode
    state.mode = before._replace(keep=before.keep or Copies())
    try:
        yield
    finally:
        state.mode = before


class Watch:
    """What a user hung on an edge: hooks on the cotangent, and the wish to keep it as .grad."""

    __slots__ = ("grad", "hooks", "post_hooks", "retains")

    def __init__(self) -> None:
        self.hooks: dict[int, Callable[[Any], Any]] = {}
        self.post_hooks: dict[int, Callable[[Any], Any]] = {}
        self.retains = False
        self.grad: Any = None


class Leaf:
    """A tensor made by the user that requires a gradient, as the graph sees it: where .grad accumulates."""

    __slots__ = ("__weakref__", "grad", "shape", "tensor", "value", "version", "watch")
    plan: Plan | None = None
    edges: tuple[Edge, ...] = ()
    order = 0

    def __init__(self, value: Array, tensor: Any) -> None:
        self.value, self.shape = value, value.shape
        self.grad: Any = None
        self.version = 0
        self.watch: Watch | None = None
        self.tensor: Callable[[], Any] = weakref.ref(tensor)


USERS_FILES: set[str] = set()
OUR_FILES: set[str] = set()
"""Files outside and inside this package that calls came through: one look-up settles whose a frame is."""


def users_site(frame: FrameType) -> Site:
    """Where the user's program is: the innermost frame outside this package, from `frame` up."""
    code = frame.f_code
    while code.co_filename in OUR_FILES and frame.f_back is not None:
        frame = frame.f_back
        code = frame.f_code
    if code.co_filename not in USERS_FILES:  # a file seen for the first time
        ours = code.co_filename.startswith(PACKAGE)
        (OUR_FILES if ours else USERS_FILES).add(code.co_filename)
        if ours and frame.f_back is not None:
            return users_site(frame)
    return code, frame.f_lasti


class Kept(NamedTuple):
    """What `keep_values` keeps at a node: the values of all inputs, and the result."""

    inputs: tuple[Any, ...]
    result: Array


class Copies:
    """Copies of arrays that may be written later, one for as long as an array stays as it is."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Array, int, Array]] = {}

    def of(self, x: Any) -> Any:
        """A copy of an array; other values as they are."""
        if not isinstance(x, np.ndarray):
            return [self.of(one) for one in x] if type(x) is list else x
        write = write_to(x)
        time = 0 if write is None else write.time
        known = self._known.get(id(x))
        if known is None or known[1] != time:
            known = self._known[id(x)] = (x, time, x.copy())
        return known[2]

    def at_node(self, inputs: tuple[Any, ...], edges: tuple[Any, ...], y: Array) -> Kept:
        """What to keep at a node: results of other nodes as they are, unless they look at somebody's memory."""
        values = [x if type(edge) is Node else self.of(x) for x, edge in zip(inputs, edges, strict=True)]
        return Kept(tuple(values), y if getattr(y, "base", None) is None else self.of(y))


# ---- constants -----------------------------------------------------------------------------------------


class Window:
    """A view that no node keeps alive: found again for as long as the array it looks into lives."""

    __slots__ = ("_array", "_owner", "_place")

    def __init__(self, a: Array) -> None:
        owner = buffer_of(a)
        self._array, self._owner = weakref.ref(a), weakref.ref(owner)
        self._place = (a.shape, a.dtype, address(a) - address(owner), a.strides)

    def __call__(self) -> Array | None:
        array, owner = self._array(), self._owner()
        if array is not None or owner is None or not owner.flags.c_contiguous:
            return array
        shape, dtype, offset, strides = self._place
        return np.ndarray(shape, dtype, owner.reshape(-1).view(np.uint8), offset, strides)


def address(a: Array) -> int:
    """Where an array's first element is."""
    start: int = a.__array_interface__["data"][0]
    return start


def remembered(x: Any) -> Any:
    """How a node remembers an input without an edge: an array weakly, so that nothing lives longer for it."""
    if type(x) is list:
        return [remembered(one) for one in x]
    if type(x) is not np.ndarray:
        return x
    return weakref.ref(x) if x.base is None else Window(x)


class Node:
    """One operation of the program, with what its derivative rules read.

    `saved` holds raw values and is freed by the sweep (None from then on); the rest lives as long as
    something refers to the result. `params` are the operator's parameters, `constants` its inputs without an edge:
    numbers as they are, arrays weakly (call them), None for the others. `site` is where the user called:
    (code, instruction).
    """

    __slots__ = (
        "constants", "cotangent", "edges", "kept", "order", "params", "plan", "saved", "shape", "site", "watch",
    )  # fmt: skip

    kept: Kept | None
    cotangent: Any
    constants: tuple[Any, ...] | None

    def __init__(
        self,
        plan: Plan,
        edges: tuple[Edge, ...],
        saved: tuple[Any, ...] | None,
        shape: tuple[int, ...],
        params: dict[str, Any] | None = None,
    ) -> None:
        self.plan: Plan = plan
        self.edges, self.saved, self.shape = edges, saved, shape
        self.params = params
        self.order = tick()
        self.watch: Watch | None = None
        self.site = users_site(sys._getframe(1))

    def __getattr__(self, name: str) -> None:
        """None for what was not set: gates write only the slots they have something for."""
        if name in Node.__slots__:
            return
        raise AttributeError(name)

    @property
    def next_functions(self) -> tuple[tuple[Edge, int], ...]:
        """The nodes and leaves of the differentiable inputs, as PyTorch lists them."""
        return tuple([(e, 0) for e in self.edges])

    def name(self) -> str:
        """`SumBackward` for the operator sum."""
        return self.plan.node_name

    def __repr__(self) -> str:
        return f"<{self.name()}>"


Edge: TypeAlias = Node | Leaf


def line_of(site: Site) -> str:
    """`train, examples/digits.py:31` for a call site."""
    code, instruction = site
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= instruction < end and number is not None:
            line = number
    return f"{code.co_qualname}, {code.co_filename}:{line}"


# ---- in-place writes ---------------------------------------------------------------------------------


class Write:
    """The last in-place write to a buffer: when, by which operation, the user's line if known, and how many so far."""

    __slots__ = ("by", "count", "owner", "site", "time")

    def __init__(self, owner: weakref.ref[Array], by: str, site: Site | None) -> None:
        self.owner, self.by, self.site = owner, by, site
        self.time = tick()
        self.count = 1


class SharedWrite(Write):
    """The writes of a compiled program to all its arrays: one object says when they were last written.

    It is nobody's own: an in-place write to one of the arrays puts a Write of its own in its place.
    """

    __slots__ = ("_watched",)

    def __init__(self, arrays: list[Array], by: str) -> None:
        super().__init__(_nobody, by, None)  # type: ignore[arg-type]
        owners = {id(owner): owner for owner in map(buffer_of, arrays)}
        self._watched = [weakref.ref(owner, partial(self._forget, key)) for key, owner in owners.items()]
        writes.update(dict.fromkeys(owners, self))

    def _forget(self, key: int, gone: weakref.ref[Array]) -> None:
        if writes.get(key) is self:
            del writes[key]

    def now(self) -> None:
        """Note that all were written now."""
        self.time = tick()
        self.count += 1


def _nobody() -> None:
    return None


writes: dict[int, Write] = {}


def buffer_of(a: Array) -> Array:
    """The array that owns the memory `a` looks at."""
    base = a.base
    return base if type(base) is np.ndarray else a


def stamp(a: Array, by: str = "an in-place write", site: Site | None = None) -> None:
    """Note that the memory behind `a` was written now. Forward passes never look at this; the sweep does."""
    owner = buffer_of(a)
    key = id(owner)
    known = writes.get(key)
    if known is not None and known.owner() is owner:
        known.time, known.by, known.site = tick(), by, site
        known.count += 1
    else:
        if type(known) is SharedWrite:
            changed()
        writes[key] = Write(weakref.ref(owner, lambda gone: _forget(key, gone)), by, site)


def _forget(key: int, gone: weakref.ref[Array]) -> None:
    if key in writes and writes[key].owner is gone:
        del writes[key]


def write_to(a: Array) -> Write | None:
    """The last in-place write to the memory behind `a`."""
    base = a.base
    return writes.get(id(base if type(base) is np.ndarray else a))
