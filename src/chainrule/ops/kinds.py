"""The kinds of operators: what the members of a family share, and the decorator that declares one."""

from __future__ import annotations

from typing import Any, overload

from chainrule import shapes
from chainrule.ops.op import Body, Kind, Op
from chainrule.shapes import Axes, Shape

CATALOGUE: dict[str, Op] = {}
"""Every operator by name. Import it from `ops.catalogue`, which has read all declarations."""


def reduced_shape(x: Shape, *, axis: Axes = None, keepdims: bool = False, **_: Any) -> Shape:
    return shapes.reduced(x, axis, keepdims)


def broadcast_shape(*inputs: Shape | None, **_: Any) -> Shape:
    return shapes.broadcast(*[s for s in inputs if s is not None])


ELEMENTWISE = Kind("elementwise", broadcast_shape, broadcasts=True, converts=True)
REDUCTION = Kind("reduction", reduced_shape)
CONTRACTION = Kind("contraction", None)
MOVEMENT = Kind("movement", None)
SELECTION = Kind("selection", None)
COMPOSITE = Kind("composite", None)
RANDOM = Kind("random", None)
UPDATE = Kind("update", None)


class _Declares:
    """A decorator: `@reduction`, `@reduction(takes="float")` or `@reduction.primitive`."""

    def __init__(self, kind: Kind, **facts: Any) -> None:
        self.kind, self.facts = kind, facts

    @overload
    def __call__(self, definition: Body) -> Op: ...

    @overload
    def __call__(self, **facts: Any) -> _Declares: ...

    def __call__(self, definition: Body | None = None, **facts: Any) -> Op | _Declares:
        if definition is None:
            return _Declares(self.kind, **{**self.facts, **facts})
        op = Op(self.kind, definition, **self.facts)
        assert op.name not in CATALOGUE, f"{op.name} is declared twice"
        CATALOGUE[op.name] = op
        return op

    @property
    def primitive(self) -> _Declares:
        """The same for an operator that a reader supplies: its body names itself."""
        return _Declares(self.kind, **{**self.facts, "primitive": True})


elementwise = _Declares(ELEMENTWISE)
reduction = _Declares(REDUCTION)
contraction = _Declares(CONTRACTION)
movement = _Declares(MOVEMENT)
selection = _Declares(SELECTION)
composite = _Declares(COMPOSITE)
random = _Declares(RANDOM)
update = _Declares(UPDATE)
