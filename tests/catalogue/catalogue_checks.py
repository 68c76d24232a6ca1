"""Which point of the catalogue each check visits, and why it leaves the others out.

A check visits the cases with certain tags, except where `exempt` gives a reason. `test_coverage` prints every
exemption and compares the list with a literal one.
"""

from __future__ import annotations

from collections.abc import Callable

from catalogue_points import Point, all_points, has_gate

from chainrule.dtypes import DType

Reason = str | None


def without_gate(point: Point) -> Reason:
    return None if has_gate(point.op) else "an update: it has a body and no gate"


def without_derivative(point: Point) -> Reason:
    dtype = point.case.params.get("dtype")
    if without_gate(point) is not None:
        return without_gate(point)
    if point.op.name == "cross_entropy_backward":
        return "its derivative is its body's, and cross_entropy's second derivative"
    if not point.op.rules:
        return "no rule: a comparison, an index, a draw, a constant"
    if isinstance(dtype, DType) and not dtype.is_floating_point:
        return "the result is no float"
    return None if point.differentiable() else "no differentiable input"


def without_line(point: Point) -> Reason:
    if point.op.name in ("sign", "floor", "ceil", "round", "trunc", "remainder", "floor_divide"):
        return "the rule reads nothing, but the function is linear in pieces only"
    return without_derivative(point)


def without_mask(point: Point) -> Reason:
    if point.op.name in ("pow", "prelu") or (point.op.name == "abs" and point.case.tag == "kink"):
        return "a slope of 0 times an infinite cotangent is nan, as in PyTorch"
    return without_derivative(point)


def without_refusals(point: Point) -> Reason:
    if point.op.name == "cross_entropy_backward":
        return "called by cross_entropy's rule only, with shapes that are checked"
    return without_gate(point)


def everywhere(point: Point) -> bool:
    return True


def claims_linearity(point: Point) -> bool:
    return any(point.op.is_linear_in(name) for name in point.op.differentiable_inputs)


def moves_elements(point: Point) -> bool:
    return point.op.kind.name in ("movement", "selection") and bool(point.op.rules)


def masks_cotangents(point: Point) -> bool:
    """True if every rule chooses among cotangents: slopes multiply them and sums add them, which gives nan."""
    chooses = point.op.kind.name == "elementwise" or point.op.name in ("amax", "amin", "dropout")
    return chooses and bool(point.op.rules) and not any(rule.is_slope for rule in point.op.rules)


CHECKS: dict[str, tuple[tuple[str, ...], Callable[[Point], bool], Callable[[Point], Reason]]] = {
    "value": (("typical", "extreme"), everywhere, lambda point: None),
    "result type": (("typical",), everywhere, without_gate),
    "first derivative": (("typical", "extreme"), everywhere, without_derivative),
    "second derivative": (("typical",), everywhere, without_derivative),
    "refusals": (("typical", "rejected"), everywhere, without_refusals),
    "linear": (("typical",), claims_linearity, without_line),
    "transpose": (("typical",), moves_elements, without_derivative),
    "masks": (("typical", "kink"), masks_cotangents, without_mask),
}
"""Each check: the tags of the cases and the operators that it is about, and the reason to leave one out."""


def visited(check: str) -> list[Point]:
    """The points that a check visits."""
    tags, about, exempt = CHECKS[check]
    return [point for point in all_points(*tags) if about(point) and exempt(point) is None]


def exemptions() -> list[str]:
    """`check: reason: op op-typical-2 ...` for each check and reason; a case is named if others are visited."""
    lines = []
    for check, (tags, about, exempt) in CHECKS.items():
        reasons: dict[str, list[str]] = {}
        visits = {p.op.name for p in visited(check)}
        for point in filter(about, all_points(*tags)):
            reason = exempt(point)
            if reason is not None:
                reasons.setdefault(reason, []).append(point.id if point.op.name in visits else point.op.name)
        lines += [f"{check}: {why}: {' '.join(dict.fromkeys(names))}" for why, names in reasons.items()]
    return lines
