"""A statistic that an operator keeps is a function of what it is computed from, and of nothing else."""

from __future__ import annotations

import pytest

from chainrule.dtypes import int64
from chainrule.notation.conventions import PRESETS
from chainrule.notation.plain import plain
from chainrule.notation.typeset import typeset
from chainrule.symbolic.expression import Call, Symbol, call, kept
from chainrule.symbolic.statistics import inputs_of

X, W, B = Symbol("x", (4, 3)), Symbol("w", (3,)), Symbol("b", (3,))


@pytest.mark.parametrize(
    ("of", "read"),
    [
        (call("layer_norm", X, W, B), [["x"], ["x"]]),
        (call("layer_norm", X, None, None), [["x"], ["x"]]),
        (call("rms_norm", X, W), [["x"]]),
        (call("scaled_dot_product_attention", X, X, Symbol("v", (4, 2)), None), [["x", "x"]]),
        (call("cross_entropy", X, Symbol("t", (4,), int64), None), [["x"]]),
    ],
    ids=lambda of: of.op.name if isinstance(of, Call) else "",
)
def test_a_statistic_reads_what_the_body_reads_for_it(of: Call, read: list[list[str]]) -> None:
    assert [[x.name for x in inputs_of(one) if isinstance(x, Symbol)] for one in kept(of)] == read


def test_a_statistic_is_written_with_what_it_reads() -> None:
    mean, rstd = kept(call("layer_norm", X, W, B))
    assert [plain(typeset(one, PRESETS["pytorch"])) for one in (mean, rstd)] == ["mean(x)", "rstd(x)"]
