"""docs/articles.md, the errors that are formulas: `verify` finds the step, names the mistake, and mends it.

Each slip is claimed four times: in the notation of derivation files, in LaTeX, as an array that a program computed, and
as printed numbers. The worked error files that `chainrule verify --example` writes are checked as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeAlias

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli.main import main
from chainrule.errors import NotationError
from chainrule.verify import ClaimResult, DerivationResult, derivation

EXAMPLES = files("chainrule.verify") / "examples"
Array: TypeAlias = Any

ELEMENTS = """given
  yhat = [0.2, 0.9, 0.4]
  y    = [0, 1, 1]
forward
  L = mean((yhat - y)**2)
claims
"""
SCORES = """given
  z = [0.3, -1.2, 0.8]
  y = [0, 0, 1]
forward
  yhat = softmax(z)
  L    = -sum(y * log(yhat))
claims
  dL/dyhat = -y / yhat
"""


def layered(*widths: int) -> str:
    """A network of sigmoids with its layers counted from the input, layer 1, and half the squared error."""
    given = [f"  x = random({widths[0]})", f"  y = random({widths[-1]})"]
    forward = []
    below = "x"
    for k in range(2, len(widths) + 1):
        given += [f"  W{k} = random({widths[k - 1]}, {widths[k - 2]})", f"  b{k} = random({widths[k - 1]})"]
        forward += [f"  z{k} = W{k} @ {below} + b{k}", f"  a{k} = sigmoid(z{k})"]
        below = f"a{k}"
    forward.append(f"  L = 1/2 * sum(({below} - y)**2)")
    return "\n".join(["given", *given, "forward", *forward, "claims", ""])


def run_of_layers(*widths: int) -> tuple[dict[str, cr.Tensor], cr.Tensor]:
    """The same network as a program of the engine, with numbers of its own."""
    rng = np.random.default_rng(4)
    at = {"x": cr.tensor(rng.normal(size=(widths[0], 1)), requires_grad=True)}
    a = at["x"]
    for k in range(2, len(widths) + 1):
        at[f"W{k}"] = cr.tensor(rng.normal(size=(widths[k - 1], widths[k - 2])), requires_grad=True)
        at[f"b{k}"] = cr.tensor(rng.normal(size=(widths[k - 1], 1)), requires_grad=True)
        at[f"z{k}"] = at[f"W{k}"] @ a + at[f"b{k}"]
        a = at[f"a{k}"] = at[f"z{k}"].sigmoid()
    at["y"] = cr.tensor(rng.normal(size=(widths[-1], 1)))
    return at, 0.5 * (a - at["y"]).square().sum()


def run_of_elements() -> tuple[dict[str, cr.Tensor], cr.Tensor]:
    yhat, y = cr.tensor([[0.2], [0.9], [0.4]], dtype=cr.float64), cr.tensor([[0.0], [1.0], [1.0]], dtype=cr.float64)
    at = {"yhat": yhat.requires_grad_(), "y": y}
    return at, (yhat - y).square().mean()


def run_of_scores() -> tuple[dict[str, cr.Tensor], cr.Tensor]:
    at = {"z": cr.tensor([[0.3], [-1.2], [0.8]], dtype=cr.float64, requires_grad=True)}
    at["yhat"] = at["z"].softmax(0)
    at["y"] = cr.tensor([[0.0], [0.0], [1.0]], dtype=cr.float64)
    return at, -(at["y"] * at["yhat"].log()).sum()


@dataclass(frozen=True)
class Slip:
    """An error of the articles.

    Args:
        network: the file without the claim.
        claim: in the notation of files.
        latex: the same as a textbook prints it.
        run: the network as a program of the engine.
        wrong: what a program with the slip computes, from all values and derivatives of that run.
        mistake: its name in the catalogue.
        ratio: claimed / right, where one quantity says it.
        right: the formula that belongs there.
        shows_in_values: whether the values alone betray the mistake. W3 diag(s) d has two slips at once, the lost
            transpose and the order; mending the formula takes both back, mutating the right one does not reach them.
    """

    network: str
    claim: str
    latex: str
    run: Callable[[], tuple[dict[str, cr.Tensor], cr.Tensor]]
    wrong: Callable[[dict[str, Array]], Array]
    mistake: str
    ratio: str | None
    right: str
    shows_in_values: bool = True

    @property
    def name(self) -> str:
        return self.claim.split(" = ")[0]


def slope(a: Array) -> Array:
    return a * (1 - a)


ONE_FOR_ALL = Slip(
    ELEMENTS,
    "dL/dyhat = 2/3 * sum(yhat - y)",
    r"\frac{\partial L}{\partial \hat{y}} = \frac{2}{3} \sum(\hat{y} - y)",
    run_of_elements,
    lambda v: 2 / 3 * np.sum(v["yhat"] - v["y"]),
    "sum instead of each element",
    None,
    "2/3 * (yhat - y)",
)
NO_OUTER_PRODUCT = Slip(
    layered(2, 2, 2),
    "dL/dW3 = dL/dz3 * a2",
    r"\frac{\partial L}{\partial W^3} = \delta^3 \odot a^2",
    lambda: run_of_layers(2, 2, 2),
    lambda v: v["dz3"] * v["a2"],
    "elementwise for matrix product",
    None,
    "dL/dz3 @ a2.T",
)
SOFTMAX_BY_ELEMENT = Slip(
    SCORES,
    "dL/dz = dL/dyhat * yhat * (1 - yhat)",
    r"\frac{\partial L}{\partial z} = \frac{\partial L}{\partial \hat{y}} \odot \hat{y} \odot (1 - \hat{y})",
    run_of_scores,
    lambda v: v["dyhat"] * slope(v["yhat"]),
    "softmax treated as elementwise",
    "y",  # it is right for the label's own score, and 0 for the others
    "yhat",
)
A_BY_A = Slip(
    layered(2, 3, 2),
    "dL/dz3 = dL/da3 * da3/da3",
    r"\frac{\partial L}{\partial z^3} = \frac{\partial L}{\partial a^3} \frac{\partial a^3}{\partial a^3}",
    lambda: run_of_layers(2, 3, 2),
    lambda v: v["da3"],
    "dropped factor",
    "1/(a3 * (1 - a3))",
    "dL/da3 * sigmoid'(z3)",
)
SWAPPED_TRACE = Slip(
    layered(2, 3, 2),
    "dL/dz3 = sigmoid'(z3) @ (a3 - y).T",
    r"\delta^{3} = \sigma'(z^3) (a^3 - y)^T",
    lambda: run_of_layers(2, 3, 2),
    lambda v: slope(v["a3"]) @ (v["a3"] - v["y"]).T,
    "diag forgotten",
    None,
    "(a3 - y) * sigmoid'(z3)",
)
NO_TRANSPOSE = Slip(
    layered(2, 3, 3, 2),
    "dL/dz2 = W3 @ diag(sigmoid'(z2)) @ dL/dz3",
    r"\delta^2 = W^3 \operatorname{diag}(\sigma'(z^2)) \delta^3",
    lambda: run_of_layers(2, 3, 3, 2),
    lambda v: v["W3"] @ np.diag(slope(v["a2"])[:, 0]) @ v["dz3"],
    "missing transpose",
    None,
    "(W3.T @ dL/dz3) * sigmoid'(z2)",
    shows_in_values=False,
)
OTHER_BIAS = Slip(
    layered(2, 2, 2),
    "dL/db2 = dL/dz3",
    r"\frac{\partial L}{\partial b^{2}} = \delta^{3}",
    lambda: run_of_layers(2, 2, 2),
    lambda v: v["dz3"],
    "derivative of the wrong quantity",
    None,
    "(W3.T @ dL/dz3) * sigmoid'(z2)",
)
MODEL_CASE = Slip(
    layered(2, 3, 2),
    "dL/dz2 = (W3.T @ dL/dz3) * a2",
    r"\delta^2 = (W^3)^T \delta^3 \odot a^2",
    lambda: run_of_layers(2, 3, 2),
    lambda v: (v["W3"].T @ v["dz3"]) * v["a2"],
    "activation for its derivative",
    "1/(1 - a2)",
    "(W3.T @ dL/dz3) * sigmoid'(z2)",
)
ACTIVATION_AS_LOSS = Slip(
    layered(2, 3, 2),
    "dL/dz3 = sigmoid'(z3)",
    r"\delta^{3} = \sigma'(z^3)",
    lambda: run_of_layers(2, 3, 2),
    lambda v: slope(v["a3"]),
    "loss derivative forgotten",
    None,
    "(a3 - y) * sigmoid'(z3)",
)


def in_every_form(slip: Slip) -> None:
    """The slip is found, named and mended as text, as LaTeX, as an array and as printed numbers."""
    plain = first_wrong(derivation(text=f"{slip.network}  {slip.claim}\n"), slip)
    assert spaced(plain.ratio) == spaced(slip.ratio)
    assert slip.right in plain.correction
    assert plain.right_value is not None
    latex = first_wrong(derivation(text=f"{slip.network}  {slip.latex}\n"), slip)
    assert spaced(latex.ratio) == spaced(slip.ratio)
    assert latex.correction == plain.correction
    np.testing.assert_allclose(latex.value, plain.value)

    at, loss = slip.run()
    for tensor in at.values():
        if tensor.requires_grad:
            tensor.retain_grad()
    loss.backward(retain_graph=True)
    values = {name: tensor.detach().numpy() for name, tensor in at.items()}
    values |= {f"d{name}": tensor.grad.numpy() for name, tensor in at.items() if tensor.grad is not None}
    array = slip.wrong(values)
    from_array = first_wrong(cr.verify.compare({slip.name: array}, loss=loss, at=at), slip, slip.shows_in_values)
    np.testing.assert_allclose(from_array.right_value, values[slip.name.replace("L/d", "")], rtol=1e-9)

    assert plain.value is not None
    rows = [f"[{', '.join([f'{x:.9f}' for x in row])}]" for row in np.atleast_2d(plain.value)]
    numbers = derivation(text=f"{slip.network}  {slip.name} = [{', '.join(rows)}]\n")
    first_wrong(numbers, slip, slip.shows_in_values)


def spaced(formula: str | None) -> str | None:
    """A formula without its spaces."""
    return None if formula is None else formula.replace(" ", "")


def first_wrong(result: DerivationResult, slip: Slip, is_named: bool = True) -> ClaimResult:
    """The claim that is wrong; it is the slip's, and has its name."""
    first = result.first_wrong
    assert first is not None
    assert first.name == slip.name
    named = [] if first.mistake is None else [first.mistake.name, *[other.name for other in first.mistake.also]]
    assert not is_named or slip.mistake in named, result
    return first


def test_a0_e1_one_sum_stands_where_each_element_has_a_derivative_of_its_own() -> None:
    in_every_form(ONE_FOR_ALL)


def test_a0_e4_the_hidden_outer_product() -> None:
    in_every_form(NO_OUTER_PRODUCT)


def test_a0_e4_the_factor_as_printed_is_right_and_its_elementwise_use_is_the_first_wrong_step() -> None:
    result = derivation(text=layered(2, 2, 2) + "  dz3/dW3 = a2\n  dL/dW3 = dL/dz3 * dz3/dW3\n")
    assert [claim.verdict for claim in result.claims] == ["right", "wrong"]
    assert "outer product" in result.claims[0].notes
    assert derivation(text=layered(2, 3, 2) + "  dz3/dW3 = a2.T\n  dL/dW3 = dL/dz3 @ dz3/dW3\n").ok


def test_a0_e5_softmax_as_if_elementwise() -> None:
    in_every_form(SOFTMAX_BY_ELEMENT)


def test_a0_e2_a_slope_of_the_sigmoid_above_a_quarter_is_wrong_whatever_z_is() -> None:
    text = "given\n  z = {z}\nforward\n  a = sigmoid(z)\n  L = a**2\nclaims\n  da/dz = {claim}\n"
    for z in ("0.0", "4.0", "-30.0"):
        assert not derivation(text=text.format(z=z, claim="25.0")).ok
    assert derivation(text=text.format(z="0.0", claim="0.25")).ok


def test_a1_e1_a_by_a_where_a_by_z_is_meant() -> None:
    in_every_form(A_BY_A)


def test_a1_e2_the_swapped_factors_of_the_trace_leave_an_outer_product() -> None:
    in_every_form(SWAPPED_TRACE)
    first = derivation(text=f"{SWAPPED_TRACE.network}  {SWAPPED_TRACE.claim}\n").first_wrong
    assert first is not None
    assert "shape" in first.notes


@pytest.mark.parametrize("claim", ["W3 = dL/dz3 @ a2.T", "b3 = dL/dz3", r"W^{l} = \delta^{l} (a^{l-1})^T"])
def test_a1_e3_a_parameter_is_not_its_derivative(claim: str) -> None:
    with pytest.raises(NotationError, match="is not a derivative") as caught:
        derivation(text=layered(2, 3, 2) + claim + "\n")
    assert caught.value.line == 15
    assert "dL/d" in str(caught.value)  # what to write instead


def test_a1_e4_the_lost_transpose_is_found_in_square_layers_where_no_shape_betrays_it() -> None:
    in_every_form(NO_TRANSPOSE)


@pytest.mark.parametrize("claim", [NO_TRANSPOSE.claim, NO_TRANSPOSE.latex])
def test_a1_e4_in_layers_that_are_not_square_the_shapes_are_the_reason(claim: str) -> None:
    first = derivation(text=f"{layered(2, 3, 4, 2)}  {claim}\n").first_wrong
    assert first is not None
    assert (first.name, first.notes) == ("dL/dz2", ("shape",))
    assert first.reason  # the two shapes
    assert first.correction == NO_TRANSPOSE.right
    assert first.mistake is not None
    assert first.mistake.name == "missing transpose"


@pytest.mark.parametrize("claim", [r"\delta^{l} = W^{l+1} \operatorname{diag}(\sigma'(z^{l})) \delta^{l+1}"])
def test_a1_e4_the_summary_as_printed_is_wrong_in_every_layer(claim: str) -> None:
    for widths in ((2, 3, 3, 3, 2), (2, 3, 4, 5, 2)):
        result = derivation(text=f"{layered(*widths)}  {claim}\n")
        assert [one.name for one in result.claims] == ["dL/dz2", "dL/dz3", "dL/dz4"]
        assert result.first_wrong is not None
        assert result.first_wrong.name == "dL/dz4"
        assert {one.verdict for one in result.claims} <= {"wrong", "consequence"}


def test_a2_e1_the_bias_of_another_layer() -> None:
    in_every_form(OTHER_BIAS)


def test_a2_e1_a_forward_part_with_the_bias_of_the_layer_below_does_not_fit() -> None:
    text = layered(2, 3, 4).replace("+ b3", "+ b2")
    with pytest.raises(NotationError, match=r"do not (broadcast|fit)") as caught:
        derivation(text=text + "  dL/dz3 = (a3 - y) * sigmoid'(z3)\n")
    assert "z3 = W3 @ a2 + b2" in str(caught.value)


def test_a3_e1_the_activation_in_place_of_its_slope() -> None:
    in_every_form(MODEL_CASE)


def test_a3_e3_an_activation_that_is_taken_for_the_loss_loses_the_loss_s_own_derivative() -> None:
    in_every_form(ACTIVATION_AS_LOSS)


def test_a3_e3_activations_are_no_loss() -> None:
    """A loss is one number: a file, backward() and explain all say so of a column of activations."""
    text = "given\n  x = [0.5, 0.1]\n  W = random(2, 2)\nforward\n  z = W @ x\n  a = sigmoid(z)\nclaims\n  da/dz = a\n"
    with pytest.raises(NotationError, match="ends without a loss, a quantity of one element: 'a' has 2 x 1"):
        derivation(text=text)
    at, _ = run_of_layers(2, 3, 2)
    with pytest.raises(RuntimeError, match="scalar"):
        at["a3"].backward()
    with pytest.raises(RuntimeError, match="one element"):
        cr.explain.gradient(at["a3"])


# ---- the worked error files ------------------------------------------------------------------------------------------

FIRST_WRONG = {
    "article0-mse": "dL/dyhat",  # A0: a sum where each element has a derivative of its own
    "article0-outer": "dL/dW2",  # A0: dz2/dW2 = a1 hides the outer product
    "article0-softmax": "dL/dz",  # A0: softmax as if it acted elementwise
    "article1-slope": "dl/dz3",  # A1: da/da where da/dz is meant
    "article1-trace": "dl/dz3",  # A1: two factors swapped in the trace
    "article1-recursion": "dl/dz2",  # A1: the transpose and the order lost; square, so silently
    "article1-recursion-shapes": "dl/dz2",  # A1: the same for layers that are not square
    "article2-bias": "dL/db1",  # A2: the bias of the other layer
    "article3": "dL/dz2",  # A3: the activation in place of its slope
    "article4": None,  # A4: truncated numbers and products of rounded ones are accepted
}


def test_every_worked_error_is_a_case_here() -> None:
    assert {f.name.removesuffix(".txt") for f in EXAMPLES.iterdir() if f.name.endswith(".txt")} == set(FIRST_WRONG)


@pytest.mark.parametrize("name", FIRST_WRONG)
def test_the_slip_of_each_article_is_found_where_it_is(name: str) -> None:
    result = derivation(text=(EXAMPLES / f"{name}.txt").read_text("utf-8"))
    first = result.first_wrong
    assert (first.name if first else None) == FIRST_WRONG[name]
    if first is not None:
        assert first.correction
        assert first.mistake is not None or first.reason, "a slip of a textbook has a name, or cannot be computed"
        others = {claim.verdict for claim in result.claims if claim is not first}
        assert others <= {"right", "consequence"}


def test_a0_e1_the_sum_for_each_element_has_the_printed_and_the_right_numbers() -> None:
    first = derivation(text=(EXAMPLES / "article0-mse.txt").read_text("utf-8")).first_wrong
    assert first is not None
    assert first.value is not None
    assert first.right_value is not None
    assert first.value.item() == pytest.approx(-0.33333, abs=5e-6)
    assert first.right_value[:, 0] == pytest.approx([0.13333, -0.06667, -0.4], abs=5e-6)
    printed = ELEMENTS + "  dL/dyhat = [0.13333, -0.06667, -0.4]\n"
    assert derivation(text=printed).ok
    assert not derivation(text=printed.replace("[0.13333, -0.06667, -0.4]", "-0.33333")).ok


def test_a3_e1_the_model_case_is_betrayed_by_1_over_1_minus_a() -> None:
    first = derivation(text=(EXAMPLES / "article3.txt").read_text("utf-8")).first_wrong
    assert first is not None
    assert first.mistake is not None
    assert first.mistake.name == "activation for its derivative"
    assert (first.ratio or "").replace(" ", "") == "1/(1-a2)"
    assert first.correction == "(W3.T @ dL/dz3) * sigmoid'(z2)"


def test_a4_e1_a_number_is_right_as_printed_and_the_exact_one_is_reported(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(str(tmp_path))
    assert main(["verify", "--example", "article4"]) == 0
    assert "Exactly, dL/dw is -0.02756970076." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("printed", "verdict"),
    [
        ("-0.027", "right"),  # cut off
        ("-0.028", "right"),  # rounded
        ("-0.026", "wrong"),
        ("-0.029", "wrong"),
        ("-0.226 * 0.244 * 0.5", "right"),  # of factors that were rounded before
        ("-0.226 * 0.244", "wrong"),
        ("-0.226 * 0.284 * 0.5", "wrong"),
    ],
)
def test_a4_e1_rounded_truncated_and_products_of_rounded_factors_and_nothing_else(printed: str, verdict: str) -> None:
    text = (EXAMPLES / "article4.txt").read_text("utf-8").replace("dL/dw = -0.027\n", f"dL/dw = {printed}\n")
    claim = next(one for one in derivation(text=text).claims if one.text == f"dL/dw = {printed}")
    assert claim.verdict == verdict


def test_a4_e1_an_exact_decimal_is_not_cut_down() -> None:
    text = (EXAMPLES / "article4.txt").read_text("utf-8")
    assert derivation(text=text).ok
    assert not derivation(text=text.replace("dz/dw = 0.5", "dz/dw = 0.4")).ok  # 0.5 cut off is 0.5


def test_a4_e2_a_bias_without_a_derivative_is_wrong() -> None:
    """That b is never updated comes from taking its derivative for 0; it is dL/dz, as dz/db is 1."""
    text = (EXAMPLES / "article4.txt").read_text("utf-8").replace("dL/db = dL/dy * dy/dz", "dL/db = {}")
    for claim in ("0", "0 * dL/dz"):
        first = derivation(text=text.format(claim)).first_wrong
        assert first is not None
        assert first.name == "dL/db"
        assert first.right_value is not None
        assert first.right_value.item() == pytest.approx(-0.055139401529436, abs=1e-15)
    assert derivation(text=text.format("dL/dz * dz/db")).ok
    assert derivation(text=text.format("dL/dz") + "  dz/db = 1\n").ok
