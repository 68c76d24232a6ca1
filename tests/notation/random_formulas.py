"""Random formulas of columns and matrices, as hypothesis draws them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from chainrule.ops.catalogue import CATALOGUE
from chainrule.symbolic.differentiate import slope_of
from chainrule.symbolic.expression import Expression, Number, Symbol, call

N = 3
NAMES = ("W2", "z2", "a3", "dL/dz2", "x", "y_true", "delta3", "fc")
LEAVES = st.one_of(
    st.builds(Symbol, st.sampled_from(NAMES), st.just((N, N))),
    st.builds(Symbol, st.sampled_from(("eta", "t", "dL/db")), st.just(())),
    st.builds(Number, st.sampled_from([1, 2, -3, 0.5, -0.25, 1e-5, Fraction(1, 2), Fraction(-2, 3)])),
)
UNARY = ("neg", "sigmoid", "relu", "tanh", "exp", "square", "abs", "softplus")
BINARY = ("add", "sub", "mul", "div", "pow", "maximum")


@st.composite
def _larger(draw: Any, smaller: st.SearchStrategy[Expression]) -> Expression:
    x = draw(smaller)
    kind = draw(st.sampled_from(("unary", "binary", "matmul", "sum", "slope", "where", "transpose", "power")))
    if kind == "unary":
        return call(draw(st.sampled_from(UNARY)), whole(x))
    if kind == "matmul":
        return call("matmul", matrix(x), matrix(draw(smaller)))
    if kind == "sum":
        return call("sum", matrix(x), axis=draw(st.sampled_from((None, 0, 1))), keepdims=True)
    if kind == "slope":
        return slope_of(CATALOGUE[draw(st.sampled_from(("sigmoid", "relu", "tanh")))], matrix(x), {})
    if kind == "transpose":
        return call("mT", matrix(x))
    if kind == "power":
        return call("pow", whole(x), draw(st.sampled_from((2, 3, -1))))
    y = draw(smaller)
    if kind == "where":
        return call("where", call(draw(st.sampled_from(("gt", "le", "eq"))), matrix(x), 0), matrix(y), 0)
    return call(draw(st.sampled_from(BINARY)), whole(x), y)


def matrix(x: Expression) -> Expression:
    return x if x.shape == (N, N) else call("add", x, Symbol("W3", (N, N)))


def whole(x: Expression) -> Expression:
    """Numbers alone would be folded when they are read back."""
    return call("mul", x, Symbol("eta")) if isinstance(x, Number) else x


FORMULAS = st.recursive(LEAVES, _larger, max_leaves=8)
