"""Plan: for one operator and one choice of inputs that need a gradient, what to save and the steps backward.

Made once, so that a call looks nothing up and the sweep only calls functions.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

from chainrule import shapes
from chainrule.ops.op import Op, Rule

Pull = Callable[[Any, Any, tuple[Any, ...]], Any]
"""A rule bound to its places: (m, cotangent, saved) to one cotangent, or several for a shared rule."""


class Step(NamedTuple):
    """One rule of a plan: `pull` gives the cotangent of edge `at`, or, picked by `pick`, those of the edges `to`."""

    pull: Pull
    at: int
    to: tuple[int, ...] = ()
    pick: tuple[int, ...] | None = None


class Plan:
    """How to save for, and differentiate, one operator when `needs[i]` says that input i needs a gradient."""

    def __init__(self, op: Op, needs: tuple[bool, ...]) -> None:
        self.op, self.needs = op, needs
        self.node_name = "".join(part.capitalize() for part in op.name.split("_")) + "Backward"
        stretches = op.kind.broadcasts or op.kind.name == "contraction"  # matmul's batch axes broadcast too
        self.broadcasts = stretches and len(needs) > 1
        self.fixed = op.inputs[:-1] if op.variadic else op.inputs
        star = op.inputs[-1] if op.variadic else None
        names = [self.fixed[i] if i < len(self.fixed) else str(star) for i in range(len(needs))]
        edge = {i: k for k, i in enumerate([i for i, n in enumerate(needs) if n])}
        live = [r for r in op.rules if any(names[i] in r.serves for i in edge)]
        self.wants = self._wants(live)
        # a rule names the inputs that its kept statistic depends on; one that names none keeps a constant (a mask)
        self.recomputes = any(k in self.wants for k in op.keeps) and any(w in op.inputs for w in self.wants)
        self.save = self._saver()
        self.source = [self._source(w, edge) for w in self.wants]
        self.steps: list[Step] = []
        for rule in live:
            served = [i for i in edge if names[i] in rule.serves]
            to = tuple([edge[i] for i in served])
            if rule.serves == (star,):
                pick: tuple[int, ...] | None = tuple([i - len(self.fixed) for i in served])
            elif len(rule.serves) > 1:
                pick = tuple([rule.serves.index(names[i]) for i in served])
            else:
                pick = None
            self.steps.append(Step(self._bind(rule), to[0], to, pick))

    def _wants(self, rules: list[Rule]) -> list[str]:
        wants = [w for r in rules for w in r.reads]
        if self.op.kind.name == "reduction":
            wants += ["x_shape", "axis", "keepdims"]
        return list(dict.fromkeys(wants))

    def candidates(self) -> tuple[str, ...]:
        """The names of what a gate offers for saving, in its order."""
        op = self.op
        shaped = [f"{name}_{what}" for what in ("shape", "dtype") for name in op.inputs]
        return (*op.inputs, "y", *op.keeps, *op.params, *shaped)

    def _saver(self) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
        places = [self.candidates().index(w) for w in self.wants]
        if not places:
            return lambda offered: ()
        if len(places) == 1:
            only = places[0]
            return lambda offered: (offered[only],)
        return itemgetter(*places)

    def _source(self, want: str, edge: dict[int, int]) -> str | int:
        """How to make a Tensor of what was saved: the node's own result, an edge, or no edge at all."""
        if want == "y":
            return "result"
        if want in self.fixed:
            return edge.get(self.fixed.index(want), "constant")
        return "plain"

    def _bind(self, rule: Rule) -> Pull:
        body = rule.body
        places = [self.wants.index(w) for w in rule.reads]
        if self.op.kind.name == "reduction":
            return self._bind_reduction(rule, places)
        if rule.is_slope:
            if not places:
                slope = body(None)
                if slope == 1:
                    return lambda m, g, saved: g
                return lambda m, g, saved: -g if slope == -1 else g * slope
            if len(places) == 1:
                only = places[0]
                return lambda m, g, saved: g * body(m, saved[only])
            return lambda m, g, saved: g * body(m, *[saved[i] for i in places])
        if not places:
            return lambda m, g, saved: body(m, g)
        if len(places) == 1:
            only = places[0]
            return lambda m, g, saved: body(m, g, saved[only])
        return lambda m, g, saved: body(m, g, *[saved[i] for i in places])

    def _bind_reduction(self, rule: Rule, places: list[int]) -> Pull:
        """The same, with `g` and `y` at size 1 on the reduced axes, or without axes if all are reduced."""
        body = rule.body
        shape_at, axis_at, keepdims_at = (self.wants.index(w) for w in ("x_shape", "axis", "keepdims"))
        y_at = self.wants.index("y") if "y" in self.wants else None

        def pull(m: Any, g: Any, saved: tuple[Any, ...]) -> Any:
            if not saved[keepdims_at] and saved[axis_at] is not None:  # a 0-d g or y broadcasts as it is
                kept = shapes.kept(saved[shape_at], saved[axis_at])
                g = m.reshape(g, shape=kept)
                if y_at is not None:
                    saved = (*saved[:y_at], m.reshape(saved[y_at], shape=kept), *saved[y_at + 1 :])
            return body(m, g, *[saved[i] for i in places])

        return pull
