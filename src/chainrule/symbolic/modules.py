"""Which module computed what, read off a recorded graph: calls of modules as intervals of creation numbers.

Nothing is noted while a program runs. What a graph does say is enough: a node that reads a parameter was made by the
module that has the parameter, and calls are nested in time. So the call of a module reaches from the first to the last
node that reads a parameter of it or of a module inside of it, and beyond, as far as nodes

- were written in the module's own class: a line of its `forward`, or of a method that it calls;
- have the line of the user's that called a module of this library: whatever that computes has this line;
- read what only the inside of a module of this library knows: x in x + f(x), where the module returns one value.

What a module without parameters computes belongs to the module around it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, takewhile
from types import CodeType, FunctionType

from chainrule.nn.module import Module
from chainrule.tensor.graph import PACKAGE, Edge, Leaf, Node


@dataclass(frozen=True, eq=False)
class ModuleCall:
    """One call of a module: its path ("blocks.2.attention"), its class, and the nodes from `first` to `last`."""

    path: str
    kind: str
    first: int
    last: int


def calls_around(nodes: Sequence[Node], models: Mapping[str, Module]) -> dict[Node, tuple[ModuleCall, ...]]:
    """The calls that made each node, the outermost first; the call of a model itself is not among them.

    Args:
        nodes: in the order in which they were made.
        models: the models by name. The paths of one alone start below it; those of several with their names.
    """
    modules = _modules(nodes, models)
    anchors = _anchors(nodes, _owners(modules))
    calls = list(_calls(anchors, "", modules))
    reach = _Reach(calls, dict(_around([one.node for one in anchors], calls)), modules)
    reach.widen(nodes)
    return dict(_around(nodes, [replace(call, first=reach.first[call], last=reach.last[call]) for call in calls]))


def _around(nodes: Iterable[Node], calls: Iterable[ModuleCall]) -> Iterator[tuple[Node, tuple[ModuleCall, ...]]]:
    """Each node with the calls around it; calls are nested, outer ones come first."""
    left = deque(calls)
    around: list[ModuleCall] = []
    for node in nodes:
        while left and left[0].first <= node.order:
            around = [call for call in around if left[0].first <= call.last]
            around.append(left.popleft())
        around = [call for call in around if node.order <= call.last]
        yield node, tuple(around)


# ---- whose parameter a node reads ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Anchor:
    """A node that reads a parameter, and the path of the module that has it."""

    node: Node
    parameter: Leaf
    path: str


def _modules(nodes: Sequence[Node], models: Mapping[str, Module]) -> dict[str, Module]:
    """Every module by its path, of the models that own a leaf of this graph and are no part of another one."""
    leaves = {edge for node in nodes for edge in node.edges if isinstance(edge, Leaf)}
    concerned = {name: model for name, model in models.items() if any(p.edge in leaves for p in model.parameters())}
    inner = {id(m) for model in concerned.values() for path, m in model.named_modules() if path}
    roots = {model: name for name, model in reversed(concerned.items()) if id(model) not in inner}
    found: dict[str, Module] = {}
    for model, name in roots.items():
        found.update(model.named_modules(prefix=name if len(roots) > 1 else ""))
    return found


def _owners(modules: Mapping[str, Module]) -> dict[Edge, str]:
    """The module of each parameter; a parameter that several modules share says nothing."""
    found: dict[Edge, list[str]] = {}
    for path, module in modules.items():
        for p in module.parameters(recurse=False):
            if p.edge is not None:
                found.setdefault(p.edge, []).append(path)
    return {edge: paths[0] for edge, paths in found.items() if len(paths) == 1}


def _anchors(nodes: Sequence[Node], owners: Mapping[Edge, str]) -> list[_Anchor]:
    found = []
    for node in nodes:
        parameter = next((edge for edge in node.edges if edge in owners), None)
        if isinstance(parameter, Leaf):
            found.append(_Anchor(node, parameter, owners[parameter]))
    return found


# ---- the calls ----------------------------------------------------------------------------------------------------


def _calls(anchors: Sequence[_Anchor], path: str, modules: Mapping[str, Module]) -> Iterator[ModuleCall]:
    """The calls of what is inside of a module, in the order of their beginnings, outer ones first."""
    for child, run in groupby(anchors, key=lambda one: _child(one.path, path)):
        if child is None:
            continue
        for part in _apart(list(run), child, modules):
            if _is_called(modules.get(child)):
                first, last = part[0].node.order, part[-1].node.order
                yield ModuleCall(child, type(modules[child]).__name__, first, last)
            yield from _calls(part, child, modules)


def _child(path: str, parent: str) -> str | None:
    """The part of a path that is one step below a parent: "blocks.2" of "blocks.2.norm" below "blocks"."""
    if path == parent:
        return None
    start = len(parent) + 1 if parent else 0
    end = path.find(".", start)
    return path if end < 0 else path[:end]


def _is_called(module: Module | None) -> bool:
    """False for a list of modules, which has no forward, and for the name of a model that is no module's path."""
    return module is not None and type(module).forward is not Module.forward


def _apart(run: list[_Anchor], path: str, modules: Mapping[str, Module]) -> list[list[_Anchor]]:
    """The calls of one module that follow each other: each reads the same parameters in the same order.

    Where all of them are of one module inside, it is that one which was called again and again: a cell in a loop.
    """
    parameters = [one.parameter for one in run]
    for period in range(1, len(run) // 2 + 1):
        if len(run) % period == 0 and parameters == parameters[:period] * (len(run) // period):
            own = {_child(one.path, path) for one in run[:period]}
            if (len(own) > 1 or None in own) and _is_called(modules.get(path)):
                return [run[i : i + period] for i in range(0, len(run), period)]
            break
    return [run]


# ---- as far as they reach -----------------------------------------------------------------------------------------


class _Reach:
    """How far calls reach beyond the nodes that read their parameters.

    Args:
        calls: as far as those nodes go.
        around: those nodes, and the calls around each.
    """

    def __init__(
        self, calls: Sequence[ModuleCall], around: Mapping[Node, tuple[ModuleCall, ...]], modules: Mapping[str, Module]
    ) -> None:
        self.around = around
        self.first = {call: call.first for call in calls}
        self.last = {call: call.last for call in calls}
        self._code = {call: _own_code(modules[call.path]) for call in calls}
        self._lines: dict[ModuleCall, dict[CodeType, int]] = {call: {} for call in calls}
        for node, outer in around.items():
            for call in outer:
                self._lines[call][node.site[0]] = node.site[1]
        self._models_are_called = "" not in modules or bool(_own_code(modules[""]))

    def widen(self, nodes: Sequence[Node]) -> None:
        """Decide for each other node whether the calls before it go on, or those after it have begun."""
        before: Node | None = None
        gap: list[Node] = []
        for node in [*nodes, None]:
            if node is None or node in self.around:
                self._divide(gap, before, node)
                before, gap = node, []
            else:
                gap.append(node)

    def _divide(self, gap: Sequence[Node], before: Node | None, after: Node | None) -> None:
        outer, inner = (() if node is None else self.around[node] for node in (before, after))
        ended, begun = [c for c in outer if c not in inner], [c for c in inner if c not in outer]
        end = 0
        for number, node in enumerate(gap, 1):
            if (call := self._going_on(node, before, ended, begun)) is not None:
                end = number  # calls are nested in time: what came before in this gap was inside as well
                self.last |= dict.fromkeys(ended[: ended.index(call) + 1], node.order)
        for node in gap[end:]:
            if (call := self._begun(node, after, begun)) is not None:
                for one in begun[: begun.index(call) + 1]:
                    self.first[one] = min(self.first[one], node.order)

    def _going_on(
        self, node: Node, before: Node | None, ended: Sequence[ModuleCall], begun: Sequence[ModuleCall]
    ) -> ModuleCall | None:
        """The innermost call that has read its last parameter, and yet made this node."""
        code, instruction = node.site
        for call in reversed(ended):
            assert before is not None
            if not self._code[call]:
                knows = any(self.first[call] <= x.order < before.order for x in node.edges if isinstance(x, Node))
                if knows or (node.site == before.site and call is self._entered(before)):
                    return call
            elif code in self._code[call]:
                next_runs_it = any(code in self._code[other] for other in begun)
                if not next_runs_it or self._lines[call].get(code, -1) < instruction:
                    return call
        return None

    def _begun(self, node: Node, after: Node | None, begun: Sequence[ModuleCall]) -> ModuleCall | None:
        """The innermost call that is to read its first parameter, and has made this node."""
        own = next((call for call in reversed(begun) if node.site[0] in self._code[call]), None)
        if after is None or node.site != after.site:
            return own
        entered = self._entered(after)
        return entered if entered in begun else own

    def _entered(self, node: Node) -> ModuleCall | None:
        """The call of a module of this library that the user's line made; None where it called a class of the user's.

        Whatever happens inside has that line as its site. A line that called a whole model says nothing.
        """
        calls = self.around[node]
        inner = list(takewhile(lambda call: not self._code[call], reversed(calls)))
        return inner[-1] if inner and (len(inner) < len(calls) or self._models_are_called) else None


def _own_code(module: Module) -> frozenset[CodeType]:
    """The code of a class's methods and of the functions inside them; none for the classes of this library."""
    found: set[CodeType] = set()
    stack: list[object] = [one for kind in type(module).__mro__ for one in vars(kind).values()]
    while stack:
        match stack.pop():
            case CodeType() as code if not code.co_filename.startswith(PACKAGE):
                found.add(code)
                stack += code.co_consts
            case FunctionType() as function:
                stack += [function.__code__, getattr(function, "__wrapped__", None)]
            case staticmethod() | classmethod() as method:
                stack.append(method.__func__)
            case property() as value:
                stack.append(value.fget)
    return frozenset(found)
