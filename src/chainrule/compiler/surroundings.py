"""Surroundings: what a function refers to outside its arguments, and whether it is still what it was.

They are found by reading code, before it runs: each name that the function mentions, or a function of the user's that
it may call, is looked up wherever it can stand: in globals, closure cells, attributes of objects and classes, members
of modules; of lists, dicts and sets all elements count. What is found by such a name is watched: a program holds as
long as it is the same. Code of this library, of NumPy and of Python itself is not read.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from operator import attrgetter, is_, itemgetter
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

from chainrule.compiler.facts import Facts
from chainrule.errors import TraceError
from chainrule.tensor.graph import PACKAGE
from chainrule.tensor.tensor import Tensor

PLAIN = (bool, int, float, complex, str, bytes, type(None))
OTHERS = sys.stdlib_module_names | {"chainrule", "numpy", "llvmlite"}
"""Packages whose code and classes do not change, or whose state the tracer knows by itself."""

CHANGING = {
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
    "reverse", "setdefault", "sort", "update",
}  # fmt: skip
"""The methods of lists, dicts and sets that change them: where they are called is the line that an error names."""


def plain(x: Any) -> Any:
    """What tells a plain value from another one: 1, 1.0 and True differ, so do 0.0 and -0.0, and nan is nan."""
    return (type(x), x.hex() if type(x) is float else x)


def is_same(x: Any, y: Any) -> bool:
    """True for one object, and for equal plain values."""
    return x is y or (type(x) is type(y) and type(x) in PLAIN and plain(x) == plain(y))


@dataclass(frozen=True)
class Place:
    """Somewhere that values are looked up.

    Args:
        label: what the user calls a list or dict; of an object's attributes, its class; "" for globals and cells.
        holder: the namespace, container, cell or object itself.
        names: what was found there, None for all elements.
        wanted: what was looked for there.
        read: gives the values, from the holder.
        values: what they were.
    """

    label: str
    holder: Any
    names: tuple[str, ...] | None
    wanted: frozenset[str]
    read: Callable[[Any], Iterable[Any]]
    values: tuple[Any, ...]


class Surroundings:
    """What functions refer to, as it was when this was made.

    Args:
        roots: the function, and objects among its arguments that are no Tensors.
    """

    def __init__(self, roots: Iterable[Any]) -> None:
        self.roots = list(roots)
        self.names: frozenset[str] = frozenset()
        while True:  # each function found adds names, under which more may be found
            self.places: list[Place] = []
            self.codes: dict[CodeType, None] = {}
            self.tensors: list[Tensor] = []
            self.states: list[dict[Any, dict[str, Any]]] = []
            self._kept: list[Any] = []  # nothing that was visited may go, and leave its id to something else
            self._visited: set[int] = set()
            self._watched: dict[int, set[str]] = {}
            for root in self.roots:
                self._visit(root, type(root).__name__, is_root=True)
            found = frozenset().union(*[attributes_in(code) for code in self.codes])
            if found <= self.names:
                break
            self.names |= found
        self.cells = [p.holder for p in self.places if type(p.holder) is CellType]
        self.named = [p for p in self.places if type(p.holder) is dict and p.names]
        rest = [p for p in self.places if p.names is None or type(p.holder) not in (CellType, dict)]
        self.others = [(p.holder, p.read) for p in [*self.named, *rest]]
        self.seen = self.look()

    # ---- whether it is as it was --------------------------------------------------------------------------------

    def look(self) -> list[Any]:
        """All values that are watched, as they are now.

        Raises:
            KeyError, AttributeError, ValueError: a name is gone.
        """
        seen = [cell.cell_contents for cell in self.cells]
        for holder, read in self.others:
            seen += read(holder)
        return seen

    def facts(self) -> Facts:
        """What `holds` has found, for machine code to look at."""
        seen, facts = iter(self.seen), Facts()
        facts.slots = [(cell, "cell_contents", next(seen)) for cell in self.cells]
        for place in self.named:
            assert place.names
            facts.items += [(place.holder, name, next(seen)) for name in place.names]
            next(seen)  # the last one came twice
        rest, values = self.others[len(self.named) :], list(seen)
        if rest:
            facts.others.append(partial(are_the_same, rest, values))
        return facts

    def holds(self) -> bool:
        """True if every watched value is the object that it was, or an equal plain value."""
        try:
            seen = self.look()
        except (KeyError, AttributeError, ValueError):
            return False
        if len(seen) != len(self.seen) or not all(map(is_same, seen, self.seen)):
            return False
        self.seen = seen
        return True

    def refuse_changes(self) -> None:
        """After the function has run.

        Raises:
            TraceError: it has changed a list, a dict, an attribute or a variable outside itself.
        """
        for place in self.places:
            name = self._changed(place)
            if name is not None:
                owner = f"{place.label}." if place.names is not None and place.label else ""
                raise TraceError(
                    f"the compiled function changes {owner}{name}, which stands outside it: that would happen once, "
                    "while it is compiled, and not at each call",
                    where=self._line_about(name, {name, place.label}),
                    mend="Return what is to be kept and store it outside; or keep it in a tensor that is written in "
                    "place.",
                )

    @contextmanager
    def without_new_state(self) -> Iterator[None]:
        """If this fails, the optimisers have no more state than before: a first step makes it in the trace."""
        before = [(state, {p: set(entry) for p, entry in state.items()}) for state in self.states]
        try:
            yield
        except BaseException:
            for state, known in before:
                for p in [p for p in state if p not in known]:
                    del state[p]
                for p, names in known.items():
                    for name in [name for name in state[p] if name not in names]:
                        del state[p][name]
            raise

    def _changed(self, place: Place) -> str | None:
        """The name of something that is not what it was there."""
        try:
            now = tuple(place.read(place.holder))
        except (KeyError, AttributeError, ValueError):
            now = ()
        if place.names is None:
            return None if len(now) == len(place.values) and all(map(is_same, now, place.values)) else place.label
        for i, name in enumerate(place.names):
            if i >= len(now) or not is_same(now[i], place.values[i]):
                return name
        return next((n for n in place.wanted.difference(place.names) if n in place.holder), None)

    def _line_about(self, name: str, names: set[str]) -> str | None:
        """Where the code changes what has these names, as far as it can be read off; else where it mentions it."""
        lines = [found for code in self.codes for found in mentions(code, name, names)]
        return max(lines, default=(0, None), key=itemgetter(0))[1]

    # ---- what it is ---------------------------------------------------------------------------------------------

    def _visit(self, x: Any, label: str, *, is_root: bool = False) -> None:
        if type(x) in PLAIN or id(x) in self._visited:
            return
        self._visited.add(id(x))
        self._kept.append(x)
        if isinstance(x, Tensor):
            self.tensors.append(x)
        elif isinstance(x, FunctionType):
            if is_root or not x.__code__.co_filename.startswith(PACKAGE):
                self._visit_function(x)
        elif isinstance(x, MethodType | partial):
            parts = (x.__func__, x.__self__) if isinstance(x, MethodType) else (x.func, x.args, x.keywords)
            for part in parts:
                self._visit(part, label)
        elif type(x).__module__.startswith("chainrule."):
            self._visit_object(x, label)
        elif isinstance(x, list | dict | set):
            self._visit_elements(x, label)
        elif isinstance(x, tuple):
            for part in x:
                self._visit(part, label)
        elif isinstance(x, ModuleType | type):
            if not is_others(x.__name__ if isinstance(x, ModuleType) else x.__module__):
                self._visit_namespace(vars(x), x.__name__, self.names)
        elif not isinstance(x, BuiltinFunctionType):
            self._visit_object(x, label)

    def _visit_function(self, function: FunctionType) -> None:
        self.codes |= dict.fromkeys(codes_of(function.__code__))
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # empty: assigned later
                continue
            if id(cell) not in self._visited:
                self._visited.add(id(cell))
                self.places.append(Place("", cell, (name,), frozenset(), contents, (value,)))
            self._visit(value, name)
        if not function.__code__.co_filename.startswith(PACKAGE):
            names = frozenset().union(*map(globals_in, codes_of(function.__code__)))
            self._visit_namespace(function.__globals__, "", names)
        self._visit(getattr(function, "__wrapped__", None), "")

    def _visit_namespace(self, holder: Any, label: str, wanted: frozenset[str]) -> None:
        watched = self._watched.setdefault(id(holder), set())
        wanted -= watched
        watched |= wanted
        names = tuple(sorted([n for n in wanted if n in holder]))
        # twice the last one: of a single name itemgetter would give no tuple
        read: Any = itemgetter(*names, names[-1]) if names else nothing
        values = read(holder)[: len(names)]
        if wanted:
            self.places.append(Place(label, holder, names, wanted, read, values))
        for name, value in zip(names, values, strict=True):
            self._visit(unwrapped(value), name)

    def _visit_elements(self, container: Any, label: str) -> None:
        reads: list[Callable[[Any], Iterable[Any]]] = [iter]
        reads += [dict.values] if isinstance(container, dict) else []
        for read in reads:
            values = tuple(read(container))
            self.places.append(Place(label, container, None, frozenset(), read, values))
            for value in values:
                self._visit(value, label)

    def _visit_object(self, x: Any, label: str) -> None:
        """An instance: the attributes that are mentioned, the methods, and all parts of a module."""
        kind = type(x)
        is_module = hasattr(x, "forward") and hasattr(x, "state_dict")
        if hasattr(x, "param_groups") and isinstance(getattr(x, "state", None), dict):
            self.states.append(x.state)
        if is_others(kind.__module__) and not is_module:
            return
        known = getattr(x, "__dict__", None)
        if known is not None:
            self._visit_namespace(known, kind.__name__, self.names)
            for part in list(known.values()) if is_module else ():
                if hasattr(part, "forward"):
                    self._visit(part, label)
        for owner in kind.__mro__:
            if is_others(owner.__module__):
                continue
            slots = tuple(n for n, v in vars(owner).items() if type(v) is MemberDescriptorType and n in self.names)
            slots = tuple(n for n in slots if hasattr(x, n))
            if slots:
                read = attrgetter(*slots, slots[-1])
                self.places.append(Place(kind.__name__, x, slots, frozenset(), read, read(x)[:-1]))
                for value in read(x)[:-1]:
                    self._visit(value, label)
            for name, value in vars(owner).items():
                if name in self.names or name == "forward" or (name.startswith("__") and name != "__init__"):
                    self._visit(unwrapped(value), name)


def are_the_same(places: Iterable[tuple[Any, Callable[[Any], Iterable[Any]]]], values: list[Any]) -> bool:
    """True if what stands in these places are these very objects."""
    try:
        now = [x for holder, read in places for x in read(holder)]
    except (KeyError, AttributeError, ValueError):
        return False
    return len(now) == len(values) and all(map(is_, now, values))


def contents(cell: CellType) -> tuple[Any, ...]:
    """Of a cell: the only value."""
    return (cell.cell_contents,)


def nothing(holder: Any) -> tuple[Any, ...]:
    """Of a namespace where no name was found."""
    return ()


def unwrapped(x: Any) -> Any:
    """The function behind a property, a static or a class method."""
    if isinstance(x, staticmethod | classmethod):
        return x.__func__
    return x.fget if isinstance(x, property) else x


def is_others(module: str | None) -> bool:
    """True for modules that are not the user's."""
    return (module or "").partition(".")[0] in OTHERS


def codes_of(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_of(constant)


@cache
def globals_in(code: CodeType) -> frozenset[str]:
    """The global names that code reads or sets."""
    return frozenset(i.argval for i in dis.get_instructions(code) if i.opname.endswith(("_GLOBAL", "_NAME")))


@cache
def attributes_in(code: CodeType) -> frozenset[str]:
    """The names of attributes that code may read or set: where it calls getattr, all strings may be names."""
    strings = [x for x in code.co_consts if type(x) is str] if "getattr" in code.co_names else []
    named = [i.argval for i in dis.get_instructions(code) if i.opname.endswith(("_ATTR", "_METHOD"))]
    return frozenset([*strings, *named])


def mentions(code: CodeType, name: str, names: set[str]) -> Iterator[tuple[int, str]]:
    """Lines that mention a name, and how much they look like the one that changes what it stands for."""
    found: dict[int, int] = {}
    changing: dict[int, int] = {}
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        line = instruction.positions.lineno or line if instruction.positions else line
        if instruction.argval in names:
            stores = instruction.opname.startswith(("STORE_", "DELETE_")) and instruction.argval == name
            found[line] = max(found.get(line, 0), 3 if stores else 1)
        if instruction.argval in CHANGING or instruction.opname in ("STORE_SUBSCR", "DELETE_SUBSCR"):
            changing[line] = 2
    for at, weight in found.items():
        yield max(weight, changing.get(at, 0)), f"{code.co_qualname}, {code.co_filename}:{at}"
