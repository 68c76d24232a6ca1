"""The catalogue is complete, and so are its tests: what no check visits stands here, with its reason."""

from __future__ import annotations

import re
from pathlib import Path

from catalogue_checks import CHECKS, exemptions, visited
from catalogue_points import all_points

from chainrule.ops.catalogue import CATALOGUE

EXEMPT = """
result type: an update: it has a body and no gate: sgd adam adamw rmsprop adagrad adadelta
first derivative: the result is no float: cast-typical-2
first derivative: no rule: a comparison, an index, a draw, a constant: eq ne lt le gt ge logical_and
    logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not isnan isinf isfinite
    zeros eye uniform standard_normal random_integers any all argmax argmin argsort one_hot
first derivative: its derivative is its body's, and cross_entropy's second derivative:
    cross_entropy_backward
first derivative: an update: it has a body and no gate: sgd adam adamw rmsprop adagrad adadelta
second derivative: the result is no float: cast-typical-2
second derivative: no rule: a comparison, an index, a draw, a constant: eq ne lt le gt ge logical_and
    logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not isnan isinf isfinite
    zeros eye uniform standard_normal random_integers any all argmax argmin argsort one_hot
second derivative: its derivative is its body's, and cross_entropy's second derivative:
    cross_entropy_backward
second derivative: an update: it has a body and no gate: sgd adam adamw rmsprop adagrad adadelta
refusals: called by cross_entropy's rule only, with shapes that are checked: cross_entropy_backward
refusals: an update: it has a body and no gate: sgd adam adamw rmsprop adagrad adadelta
linear: the rule reads nothing, but the function is linear in pieces only: floor_divide remainder sign
    floor ceil round trunc
linear: the result is no float: cast-typical-2
masks: a slope of 0 times an infinite cotangent is nan, as in PyTorch: prelu pow abs-kink-1
masks: the result is no float: cast-typical-2
"""
"""check: reason: the operators, or single cases, that the check does not visit."""


def test_the_exemptions_are_these() -> None:
    found = exemptions()
    print("\n".join(found))
    assert found == EXEMPT.strip().replace("\n    ", " ").splitlines()


def test_every_operator_has_a_docstring() -> None:
    assert [op.name for op in CATALOGUE.values() if not (op.__doc__ or "").strip()] == []


def test_every_operator_has_a_shape_rule() -> None:
    assert [op.name for op in CATALOGUE.values() if op.shape_rule is None] == []


def test_every_operator_has_a_typical_case() -> None:
    covered = {p.op.name for p in all_points("typical")}
    assert [name for name in CATALOGUE if name not in covered] == []


def test_every_rule_serves_an_input_of_a_typical_case() -> None:
    served = {
        (p.op.name, p.op.inputs[min(i, len(p.op.inputs) - 1)])
        for p in visited("first derivative")
        for i in p.differentiable()
    }
    assert {(op.name, name) for op in CATALOGUE.values() for name in op.differentiable_inputs} <= served


def test_every_case_has_a_tag_that_a_check_visits() -> None:
    tags = {tag for visits, _, _ in CHECKS.values() for tag in visits}
    assert {case.tag for op in CATALOGUE.values() for case in op.tests} <= tags


def test_no_test_of_the_catalogue_is_skipped() -> None:
    for file in Path(__file__).parent.glob("*.py"):
        words = file.read_text().replace("test_no_test_of_the_catalogue_is_skipped", "")
        assert not re.search(r"pytest\.(skip|xfail|mark\.skip|mark\.xfail)", words.replace(r"pytest\.(skip", "")), file
