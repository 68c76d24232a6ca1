"""Views: tensors that look at another tensor's memory, and in-place writes through them.

A View knows its parent and how it was taken from it. When an in-place write gave the parent a new history,
the view's edge is made anew; when the view itself is written, the write is passed on to the parent.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from chainrule.errors import InPlaceError
from chainrule.ops.op import Op
from chainrule.tensor.graph import Array, Edge, Leaf, Node, state, tick
from chainrule.tensor.numpy_maths import NumPyMaths
from chainrule.tensor.plan import Plan, Step
from chainrule.tensor.tensor import Tensor, own_attributes, rebuilt, wrap


class View(Tensor):
    """A Tensor whose elements are some of its parent's.

    `unrecorded` says that it was taken while no gradients were recorded: PyTorch refuses to differentiate
    through writes to such a view, because its place in the history is unknown.
    """

    __slots__ = ("_checked", "_own", "_seen", "op", "params", "parent", "unrecorded")
    rewrites: ClassVar[int] = 0
    """When a tensor last had its history rewritten: while this stands still, so do the edges of all views."""

    parent: Tensor
    op: Op
    params: dict[str, Any]
    unrecorded: bool
    _own: Edge | None
    _seen: Edge | None
    _checked: int

    @property
    def edge(self) -> Edge | None:
        """The view's own edge, made anew if the parent was rewritten since."""
        if self._checked == View.rewrites:
            return self._own
        stale: list[View] = []
        source: Tensor = self
        while isinstance(source, View) and source._checked != View.rewrites:
            stale.append(source)
            source = source.source()
        edge = source.edge
        for view in reversed(stale):
            edge = view._renewed(edge)
        return edge

    @edge.setter
    def edge(self, edge: Edge | None) -> None:
        self._own = edge
        self._seen = self.source().edge
        self._checked = View.rewrites

    def _renewed(self, parent_edge: Edge | None) -> Edge | None:
        """The edge, now that the parent has this one."""
        if parent_edge is not self._seen:
            if isinstance(parent_edge, Node):  # requires_grad_ and detach_ of the parent change no view
                if self.unrecorded and not state.mode.grad:
                    return None
                self._own = _edge_after_a_write(self, parent_edge)
            self._seen = parent_edge
        self._checked = View.rewrites
        return self._own

    def source(self) -> Tensor:
        """Whose history decides: the parent's; of an unrecorded view that of the tensor that owns the memory."""
        source = self.parent
        while self.unrecorded and isinstance(source, View):
            source = source.parent
        return source

    def detach_(self) -> Tensor:
        """Raises: the memory is the parent's, and so is the history."""
        raise InPlaceError("Can't detach views in-place.", mend="Use detach() instead.")

    def __reduce__(self) -> Any:
        return (rebuilt, (Tensor, self.value, self.requires_grad, own_attributes(self)))


_new = object.__new__


def view_of(parent: Tensor, value: Array, node: Node | None, op: Op, params: dict[str, Any]) -> Tensor:
    """The result of a movement operator: a View if it shares the parent's memory, else a plain Tensor."""
    base = value.base
    if base is None or (base is not parent.value and base is not parent.value.base):  # reshape had to copy
        return wrap(value, node)
    view = _new(View)
    view.value, view.parent, view.op, view.params = value, parent, op, params
    view.unrecorded = node is None and not state.mode.grad
    view._own = node
    view._seen = view.source().edge if view.unrecorded else parent.edge
    view._checked = View.rewrites
    return view


def _edge_after_a_write(view: View, parent_edge: Node) -> Node:
    """The node of taking the view now.

    Raises:
        InPlaceError: if the view was taken under no_grad(), or the parent changed its shape in place.
    """
    refuse_unrecorded(view, "is used after the tensor it was taken from was modified inplace")
    x = view.parent.value
    again = getattr(NumPyMaths, view.op.name)(x, **view.params)
    if again.shape != view.value.shape or again.ctypes.data != view.value.ctypes.data:
        raise InPlaceError("a view is used after the tensor it was taken from changed its shape in place.")
    plan = Plan(view.op, (True,))
    offered = (x, view.value, *[view.params[p] for p in view.op.params], x.shape, x.dtype)
    return Node(plan, (parent_edge,), plan.save(offered), view.value.shape, view.params)


def refuse_unrecorded(view: View, event: str) -> None:
    """Raise InPlaceError for a view taken under no_grad()."""
    if view.unrecorded:
        raise InPlaceError(
            f"a view was created in no_grad mode and {event} with grad mode enabled.",
            mend="Take the view where gradients are recorded, or a detach() of it.",
        )


class _WrittenThrough:
    """The plan of `parent[view] = new`: elements in the view come from `new`, the others from the old parent."""

    node_name = "CopySlicesBackward"
    broadcasts = recomputes = False
    wants = ("mask", "view")
    source = ("plain", "plain")

    def __init__(self, has_parent_edge: bool) -> None:
        steps = [Step(_inside, 1 if has_parent_edge else 0)]
        if has_parent_edge:
            steps.append(Step(_outside, 0))
        self.steps = steps


def _inside(m: Any, g: Any, saved: tuple[Any, ...]) -> Any:
    _, (name, params) = saved
    return getattr(m, name)(g, **params)


def _outside(m: Any, g: Any, saved: tuple[Any, ...]) -> Any:
    mask, _ = saved
    return m.where(mask, 0, g)


def rebase(tensor: Tensor, edge: Edge | None) -> None:
    """Give a tensor that was written in place its new history, and its parents theirs if it is a view.

    Raises:
        InPlaceError: where a parent is a leaf that requires a gradient.
    """
    while isinstance(tensor, View) and edge is not None:
        parent = tensor.parent
        old = parent.edge
        if isinstance(old, Leaf):
            raise InPlaceError(
                "a view of a leaf Variable that requires grad is being used in an in-place operation.",
                mend="Write under chainrule.no_grad(), or to a clone().",
            )
        mask = np.zeros(parent.value.shape, np.bool_)
        getattr(NumPyMaths, tensor.op.name)(mask, **tensor.params)[...] = True
        plan: Any = _WrittenThrough(old is not None)
        edges = (edge,) if old is None else (old, edge)
        edge = Node(plan, edges, (mask, (tensor.op.name, tensor.params)), parent.value.shape)
        tensor = parent
    tensor.edge = edge
    View.rewrites = tick()
