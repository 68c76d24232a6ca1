"""What differs between textbooks, as one object, and the conventions of the texts that this project follows.

A convention has two kinds of facts. Some say how quantities are *named* before anything is typeset (`first_weight`,
`loss`, `batch`, `squared_error`): who writes a program down reads those. All others say how a formula whose names
stand is *shown*. The same formula under two conventions differs in looks alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from types import MappingProxyType
from typing import Literal, get_args, get_type_hints

from chainrule.errors import ArgumentError, ArgumentTypeError
from chainrule.symbolic.expression import Expression, Number, call

SHORTEST = 5
"""A sum of fewer terms is never shortened: it would not get shorter."""


@dataclass(frozen=True)
class Convention:
    """How a text names and shows its quantities; `dataclasses.replace` makes a variant.

    Args:
        name: what the convention is called.
        first_weight: the number of the first weight matrix: 2 where the input counts as layer 1.
        loss: the name of the loss: "L", "C", "J", or "ell" for the script letter.
        squared_error: the factor of a squared error: "half" (1/2), "mean" (1/n over the elements) or "sum" (1).
        batch: "columns" where a sample is a column (W x), "rows" where it is a row (x W^T), as in PyTorch.
        layer: where the number of a layer stands: "superscript" W^2, "parentheses" W^(2), "subscript" W_2.
        delta: whether dL/dz2 is written delta^2.
        derivative: the d of derivatives: "partial" (curly) or "straight".
        slope: whether the derivative of an activation is a "name" (sigma'(z)) or its "formula" (a (1 - a)).
        product: an activation's slope times a column: "hadamard" (elementwise) or "diag" (a diagonal matrix).
        squares: a sum of squares over all elements: "sum" or "norm" (the square of the length).
        transpose: the sign of a transpose.
        decimals: how many decimals of a number are shown.
        update_decimals: the same for parameters after a step, which differ from those before by little.
        rounding: what happens to the digits after those: "rounded" (half to even) or "truncated".
        intermediates: whether later steps go on with "exact" numbers or with those "carried" over as shown.
        terms: a sum of more terms than this is shortened to its first ones, dots with the number of those that are left
            out below them, and its last one; 0 for no sum.

    Raises:
        ArgumentError: where a field has none of the values that it may have.
    """

    name: str
    first_weight: Literal[1, 2] = 2
    loss: str = "L"
    squared_error: Literal["half", "mean", "sum"] = "half"
    batch: Literal["columns", "rows"] = "columns"
    layer: Literal["superscript", "parentheses", "subscript"] = "superscript"
    delta: bool = True
    derivative: Literal["partial", "straight"] = "partial"
    slope: Literal["name", "formula"] = "name"
    product: Literal["hadamard", "diag"] = "hadamard"
    squares: Literal["sum", "norm"] = "sum"
    transpose: Literal["T", "⊤"] = "T"
    decimals: int = 4
    update_decimals: int = 6
    rounding: Literal["rounded", "truncated"] = "rounded"
    intermediates: Literal["exact", "carried"] = "exact"
    terms: int = 12

    def __post_init__(self) -> None:
        hints = get_type_hints(Convention)
        for field in fields(self):
            value, allowed = getattr(self, field.name), get_args(hints[field.name])
            if allowed and value not in allowed:
                names = ", ".join(map(repr, allowed))
                raise ArgumentError(f"Convention: {field.name} is one of {names}", got=[f"{field.name}  {value!r}"])
        for name in ("decimals", "update_decimals"):
            if not 0 <= getattr(self, name) <= 15:
                raise ArgumentError(
                    f"Convention: {name} lies from 0 to 15, as far as floats reach",
                    got=[f"{name}  {getattr(self, name)!r}"],
                )
        if self.terms < 0 or 0 < self.terms < SHORTEST:
            raise ArgumentError(
                f"Convention: terms is 0, or at least {SHORTEST}: the first three, the dots and the last",
                got=[f"terms  {self.terms!r}"],
            )


_ALL = (
    # A0: the pipeline W1, b1, z1, a1, W2 ... on column vectors; numbers stand below; mean squared error; derivatives
    # as chains of partial derivatives, the sigmoid's written out as y (1 - y).
    Convention(
        "article0", first_weight=1, layer="subscript", squared_error="mean", delta=False, slope="formula", decimals=5
    ),
    # A1: matrix differentials; layer 1 is the input; a script l for the loss, 1/2 ||a - y||^2; the slope of the
    # activation as a diagonal matrix.
    Convention("article1", loss="ell", product="diag", squares="norm"),
    # A2: layer numbers in parentheses. It gives no numbering of its own; a^(0) is the input here.
    Convention("article2", first_weight=1, layer="parentheses"),
    # A3: neuron by neuron, C for the loss, a squared error without a factor; layer 1 is the input.
    Convention("article3", loss="C", squared_error="sum"),
    # A4: one neuron in numbers: three decimals, cut off, and each step computed from the printed numbers of the one
    # before. That gives -0.226 (from 0.574 - 0.8), -0.027 and 0.40027, which no rounding of the exact numbers does.
    Convention(
        "article4", first_weight=1, delta=False, derivative="straight", slope="formula", decimals=3,
        update_decimals=5, rounding="truncated", intermediates="carried",
    ),
    # Nielsen 2015, Neural Networks and Deep Learning, ch. 2: w^l from layer l-1 to layer l, the input is layer 1;
    # C = 1/2 ||y - a||^2 for one sample.
    Convention("nielsen", loss="C", squares="norm"),
    # PyTorch: samples are rows, Linear is x W^T + b, mse_loss a mean, and tensors are printed with four decimals.
    Convention("pytorch", first_weight=1, layer="subscript", squared_error="mean", batch="rows", delta=False),
)  # fmt: skip

PRESETS: Mapping[str, Convention] = MappingProxyType({one.name: one for one in _ALL})
"""The conventions that have a name: `article0` to `article4` (docs/articles.md), `nielsen` and `pytorch`."""


def convention(of: str | Convention) -> Convention:
    """A convention by its name, or the one given.

    Raises:
        ArgumentError: for a name that no preset has.
        ArgumentTypeError: for what is neither a name nor a Convention.
    """
    if isinstance(of, Convention):
        return of
    if not isinstance(of, str):
        raise ArgumentTypeError(
            "convention: give the name of a preset or a Convention", got=[f"{of!r} of type {type(of).__name__}"]
        )
    if of not in PRESETS:
        raise ArgumentError(
            f"convention: no preset is called {of!r}",
            got=[f"presets  {', '.join(PRESETS)}"],
            mend="dataclasses.replace(convention('article1'), decimals=6) makes one of your own",
        )
    return PRESETS[of]


def squared_error(output: Expression, label: Expression, convention: Convention) -> Expression:
    """The squared error between output and label with the convention's factor: 1/2, 1/n or 1 times sum (a - y)^2."""
    squares = call("pow", output - label, 2)
    if convention.squared_error == "mean":
        return call("mean", squares)
    total = call("sum", squares)
    return Number(Fraction(1, 2)) * total if convention.squared_error == "half" else total
