"""Which point of the catalogue each check visits, and why it leaves the others out.

A check visits the cases with certain tags, except where `exempt` gives a reason. `test_coverage` prints every
exemption and compares the list with a literal one.
"""

from __future__ import annotations

from collections.abc import Callable

from catalogue_points import Point, all_points, has_gate

from chainrule.dtypes import DType

Reason = str | None

AFFINE_ONLY_BY_RULE = ("sign", "floor", "ceil", "round", "trunc", "remainder")


def without_gate(point: Point) -> Reason:
    return None if has_gate(point.op) else "an update: it has a body and no gate"


def without_derivative(point: Point) -> Reason:
    dtype = point.case.params.get("dtype")
    if isinstance(dtype, DType) and not dtype.is_floating_point:
        return "the result is no float"
    return without_gate(point) or (None if point.differentiable() else "no rule")


def without_linear_input(point: Point) -> Reason:
    op = point.op
    if op.name in AFFINE_ONLY_BY_RULE:
        return "piecewise constant or linear: the rule reads nothing, the function is not linear"
    if without_derivative(point):
        return without_derivative(point)
    return None if any(op.is_linear_in(name) for name in op.differentiable_inputs) else "not linear"


def without_transpose(point: Point) -> Reason:
    if point.op.kind.name not in ("movement", "selection"):
        return "neither movement nor selection"
    return without_derivative(point)


def without_mask(point: Point) -> Reason:
    if without_derivative(point):
        return without_derivative(point)
    if point.op.kind.name != "elementwise" and point.op.name not in ("amax", "amin", "dropout"):
        return "adds cotangents up: inf - inf is nan"
    if any(rule.is_slope for rule in point.op.rules):
        return "a slope, which may be 0, times the cotangent"
    return None


def without_refusals(point: Point) -> Reason:
    if point.op.name == "cross_entropy_backward":
        return "called by the rule of cross_entropy only, with shapes that cross_entropy has checked"
    return without_gate(point)


CHECKS: dict[str, tuple[tuple[str, ...], Callable[[Point], Reason]]] = {
    "value": (("typical", "extreme"), lambda point: None),
    "result type": (("typical",), without_gate),
    "first derivative": (("typical", "extreme"), without_derivative),
    "second derivative": (("typical",), without_derivative),
    "refusals": (("typical", "rejected"), without_refusals),
    "linear": (("typical",), without_linear_input),
    "transpose": (("typical",), without_transpose),
    "masks": (("typical", "kink"), without_mask),
}
"""Each check: the tags of the cases that it visits, and the reason to leave one out."""


def visited(check: str) -> list[Point]:
    """The points that a check visits."""
    tags, exempt = CHECKS[check]
    return [point for point in all_points(*tags) if exempt(point) is None]


def exemptions() -> list[str]:
    """`check: reason: op op op-typical-2 ...` for each check and reason; a case is named if others are visited."""
    lines = []
    for check, (tags, exempt) in CHECKS.items():
        points = all_points(*tags)
        whole = {p.op.name for p in points} - {p.op.name for p in visited(check)}
        reasons: dict[str, list[str]] = {}
        for point in points:
            reason = exempt(point)
            if reason is not None:
                name = point.op.name if point.op.name in whole else point.id
                reasons.setdefault(reason, []).append(name)
        lines += [f"{check}: {why}: {' '.join(dict.fromkeys(names))}" for why, names in reasons.items()]
    return lines
