"""verify.backward: hand-written pairs of any library, their intermediates, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, ArgumentTypeError, DTypeError, GradcheckError, InPlaceError
from chainrule.verify import backward

RNG = np.random.default_rng(11)
X, W, B = RNG.normal(size=(5, 4)), RNG.normal(size=(4, 3)), RNG.normal(size=3)

Pair = tuple[Callable[..., Any], Callable[..., Any]]


def affine(x: Any, w: Any, b: Any) -> Any:
    return x @ w + b


def affine_backward(g: Any, x: Any, w: Any, b: Any) -> tuple[Any, ...]:
    return g @ w.T, x.T @ g, g.sum(0)


# ---- how forward and backward may be written -------------------------------------------------------------


def by_cache(g: Any, cache: Any) -> Any:
    return affine_backward(g, *cache)


PAIRS: dict[str, Pair] = {
    "array": (affine, affine_backward),
    "cache": (lambda x, w, b: (affine(x, w, b), (x, w, b)), by_cache),
    "named values": (lambda x, w, b: {"xw": x @ w, "y": x @ w + b}, affine_backward),
    "named cache": (
        lambda x, w, b: (affine(x, w, b), {"x": x, "w": w, "b": b}),
        lambda g, cache: affine_backward(g, cache["x"], cache["w"], cache["b"]),
    ),
    "gradients by name": (affine, lambda g, x, w, b: {"dx": g @ w.T, "dL/dw": x.T @ g, "b": g.sum(0)}),
    "a list of gradients": (affine, lambda *args: list(affine_backward(*args))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_right_pair_is_right_however_it_is_written(name: str) -> None:
    result = backward(*PAIRS[name], (X, W, B))
    assert [(one.name, one.verdict) for one in result.inputs] == [("x", "right"), ("w", "right"), ("b", "right")]
    assert result


def test_an_output_that_is_not_the_last_value_is_named() -> None:
    def forward(x: Any, w: Any) -> dict[str, Any]:
        return {"y": x @ w, "accuracy": np.float64((x @ w > 0).mean())}

    assert backward(forward, lambda g, x, w: (g @ w.T, x.T @ g), (X, W), output="y")


def test_a_backward_without_upstream_gradient_is_of_one_number() -> None:
    def loss(w: Any, scale: float) -> Any:
        return (w**2).sum() * scale

    result = backward(loss, lambda w, scale: (2 * w * scale, (w**2).sum()), (W, 1.5), takes_upstream=False)
    assert [one.verdict for one in result.inputs] == ["right", "right"]
    assert backward(loss, lambda w, scale: (w * scale, None), (W, 1.5), takes_upstream=False).ratio == pytest.approx(
        0.5
    )
    with pytest.raises(ArgumentError, match=r"one number, not of shape \(5, 3\)"):
        backward(affine, lambda x, w, b: None, (X, W, B), takes_upstream=False)


def test_one_input_may_have_one_gradient_and_labels_are_passed_on() -> None:
    labels = np.array([0, 2, 1, 1, 0])

    def loss(x: Any, labels: Any) -> Any:
        return -np.log(np.exp(x)[np.arange(5), labels] / np.exp(x).sum(1)).mean()

    def gradient(g: Any, x: Any, labels: Any) -> dict[str, Any]:
        return {"x": g * (np.exp(x) / np.exp(x).sum(1, keepdims=True) - np.eye(4)[labels]) / 5}

    assert backward(loss, gradient, (X, labels)).verdict == "right"
    assert backward(np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2), X, ["x"]).verdict == "right"


def test_names_may_be_given() -> None:
    assert [one.name for one in backward(affine, affine_backward, (X, W, B), names=["a", "W2", "b2"]).inputs] == [
        "a", "W2", "b2",
    ]  # fmt: skip


# ---- ways of being wrong -----------------------------------------------------------------------------------

WRONG: dict[str, tuple[Callable[..., Any], str, str, str]] = {
    "bias not summed": (lambda g, x, w, b: (g @ w.T, x.T @ g, g), "b", "missing sum", "missing sum over axis 0"),
    "bias averaged": (lambda g, x, w, b: (g @ w.T, x.T @ g, g.mean(0)), "b", "scaled", "1/5 of the right gradient (5"),
    "weights transposed": (lambda g, x, w, b: (g @ w.T, g.T @ x, g.sum(0)), "w", "transposed", "(3, 4), the input (4"),
    "x twice": (lambda g, x, w, b: (2 * g @ w.T, x.T @ g, g.sum(0)), "x", "scaled", "twice the right gradient"),
    "one number": (lambda g, x, w, b: (g @ w.T, x.T @ g, g.sum()), "b", "shape", "one number for 3"),
    "a column": (lambda g, x, w, b: (g @ w.T, x.T @ g, g.sum(0)[:, None]), "b", "shape", "the right numbers"),
    "upstream ignored": (lambda g, x, w, b: (0 * g @ w.T + w.sum(1), x.T @ g, g.sum(0)), "x", "upstream ignored", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_gradient_has_its_pattern_and_the_others_are_right(name: str) -> None:
    wrong, culprit, kind, words = WRONG[name]
    result = backward(affine, wrong, (X, W, B))
    assert {one.name for one in result.inputs if not one.ok} == {culprit}
    assert result.first_wrong is result[culprit]
    pattern = result[culprit].pattern
    assert pattern is not None
    assert (pattern.kind, words in pattern.words) == (kind, True), str(result)


def test_a_gradient_of_the_first_rows_only_is_zero_in_the_rest() -> None:
    def wrong(g: Any, x: Any, w: Any, b: Any) -> dict[str, Any]:
        gx = g @ w.T
        gx[2:] = 0
        return {"x": gx}

    result = backward(affine, wrong, (X[:4], W, B))
    assert str(result.pattern) == "zero in the second half of axis 0 only (8 of 16 elements)"


def test_relu_masked_by_the_output_gradient_is_found_where_x_is_negative() -> None:
    result = backward(lambda x: np.maximum(x, 0), lambda g, x: g, X)
    assert str(result.pattern).startswith("wrong where x < 0") or str(result.pattern).startswith("wrong where x <= 0")
    kink = backward(lambda x: np.maximum(x, 0), lambda g, x: g * (x > 0), np.array([0.0, 1.0]))
    assert (kink.verdict, bool(kink)) == ("kink", True)


def test_a_wrong_pair_raises_if_asked_to() -> None:
    with pytest.raises(GradcheckError, match="missing sum over axis 0"):
        backward(affine, WRONG["bias not summed"][0], (X, W, B), raise_exception=True)


# ---- intermediates -----------------------------------------------------------------------------------------


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


W2, B2, T = RNG.normal(size=(3, 2)), RNG.normal(size=2), RNG.normal(size=(5, 2))
NET = (X, W, B, W2, B2, T)


def net(X: Any, W1: Any, b1: Any, W2: Any, b2: Any, T: Any) -> dict[str, Any]:
    z1 = X @ W1 + b1
    a1 = sigmoid(z1)
    z2 = a1 @ W2 + b2
    return {"z1": z1, "a1": a1, "z2": z2, "L": ((z2 - T) ** 2).mean() / 2}


def net_backward(slip: str = "") -> Callable[..., dict[str, Any]]:
    def run(g: Any, X: Any, W1: Any, b1: Any, W2: Any, b2: Any, T: Any) -> dict[str, Any]:
        values = net(X, W1, b1, W2, b2, T)
        dz2 = g * (values["z2"] - T) / (1 if slip == "sum for mean" else T.size)
        da1 = dz2 @ W2.T
        a1 = values["a1"]
        dz1 = da1 * a1 if slip == "activation for derivative" else da1 * a1 * (1 - a1)
        return {
            "dW2": a1.T @ dz2, "db2": dz2.sum(0), "dW1": X.T @ dz1, "db1": dz1.sum(0) / (2 if slip == "bias" else 1),
            "dz2": dz2, "da1": da1, "dz1": dz1,
        }  # fmt: skip

    return run


def test_gradients_of_intermediates_are_checked_in_the_order_of_going_backward() -> None:
    result = backward(net, net_backward(), NET)
    assert [(one.name, one.verdict) for one in result.inputs] == [
        (name, "right") for name in ("z2", "W2", "b2", "a1", "z1", "W1", "b1")
    ]


@pytest.mark.parametrize(
    ("slip", "first", "wrong"),
    [
        ("sum for mean", "z2", {"z2", "W2", "b2", "a1", "z1", "W1", "b1"}),
        ("activation for derivative", "z1", {"z1", "W1", "b1"}),
        ("bias", "b1", {"b1"}),
    ],
)
def test_the_first_wrong_step_is_told_from_what_follows(slip: str, first: str, wrong: set[str]) -> None:
    result = backward(net, net_backward(slip), NET)
    assert {one.name for one in result.inputs if one.verdict == "wrong"} == wrong
    assert result.first_wrong is not None
    assert result.first_wrong.name == first
    if slip == "activation for derivative":
        assert "follows from that of z1" in result["W1"].reason
    if slip == "sum for mean":
        assert result["z2"].ratio == pytest.approx(10, rel=1e-6)


def test_an_intermediate_that_the_inputs_do_not_determine_is_undecided() -> None:
    def forward(b: Any) -> dict[str, Any]:
        z = np.sin(b)
        return {"z": z, "y": (z * np.arange(3) + b).sum()}  # b acts on y past z

    result = backward(forward, lambda g, b: {"z": g * np.arange(3), "b": g * (np.arange(3) * np.cos(b) + 1)}, B)
    assert (result["b"].verdict, result["z"].verdict) == ("right", "undecided")
    assert "too few to show" in result["z"].reason


# ---- other libraries ---------------------------------------------------------------------------------------


def test_pairs_of_pytorch_get_and_give_pytorchs_tensors() -> None:
    torch = pytest.importorskip("torch")
    inputs = [torch.tensor(a) for a in (X, W, B)]
    seen = set()

    def gradients(g: Any, x: Any, w: Any, b: Any) -> Any:
        seen.update({type(g), type(x), g.dtype})
        return affine_backward(g, x, w, b)

    assert backward(affine, gradients, inputs)
    assert seen == {torch.Tensor, torch.float64}
    halved = backward(affine, lambda g, x, w, b: (g @ w.T, x.T @ g / 2, g.sum(0)), [a.float() for a in inputs])
    assert (halved.checked.dtype, halved["w"].ratio) == ("float64", pytest.approx(0.5))


def test_a_pytorch_layer_in_float32_is_measured_in_float32() -> None:
    torch = pytest.importorskip("torch")
    weight = torch.tensor(W).float()
    result = backward(lambda x: x @ weight, lambda g, x: 3 * g @ weight.T, (torch.tensor(X).float(),))
    assert (result.checked.dtype, result.verdict) == ("float32", "wrong")
    assert result.ratio == pytest.approx(3, rel=1e-3)


def test_pairs_of_our_own_tensors_are_taken_too() -> None:
    assert backward(affine, affine_backward, [cr.tensor(a) for a in (X, W, B)])


class Array:
    """What JAX's array looks like to those who do not import JAX: float32 unless told otherwise, never written to."""

    def __init__(self, value: Any) -> None:
        self.value = np.asarray(value, np.float32)
        self.value.setflags(write=False)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(self.value, dtype)


Array.__module__ = "jaxlib.xla_extension"


def test_arrays_of_jax_are_made_by_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(numpy=SimpleNamespace(asarray=Array)))  # type: ignore[arg-type]
    result = backward(lambda x: Array(x.value * 2), lambda g, x: Array(g.value * 4), (Array(X),))
    assert (result.checked.dtype, result.ratio) == ("float32", pytest.approx(2, rel=1e-3))


# ---- refusals ----------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "three outputs": (lambda x, w, b: (x, w, b), affine_backward, "a tuple of the output and a cache"),
    "a list": (lambda x, w, b: [x], affine_backward, "list of 1"),
    "no value": (lambda x, w, b: {}, affine_backward, "empty dictionary"),
    "too few gradients": (affine, lambda *args: affine_backward(*args)[:2], r"3 gradients, one for each .* returned 2"),
    "an unknown name": (affine, lambda g, x, w, b: {"dq": g}, "named 'dq', of nothing that has a name"),
    "another signature": (affine, lambda g, cache: None, "called with 4 arguments, the first of them the upstream"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    forward, gradients, message = REFUSED[name]
    with pytest.raises(ArgumentError, match=message):
        backward(forward, gradients, (X, W, B))


def test_an_output_or_gradient_that_is_no_array_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="the output is no array: str"):
        backward(lambda x: "y", lambda g, x: g, X)
    with pytest.raises(ArgumentTypeError, match="the gradient of x is no array: str"):
        backward(lambda x: x, lambda g, x: "g", X)
    with pytest.raises(ArgumentTypeError, match="the output is of int64"):
        backward(lambda x: np.argmax(x, 1), lambda g, x: x, X)


def test_complex_inputs_are_refused() -> None:
    with pytest.raises(DTypeError, match="complex numbers are not supported"):
        backward(lambda x: x, lambda g, x: g, X + 1j)


def test_inputs_without_floating_point_numbers_are_refused() -> None:
    with pytest.raises(ArgumentError, match="no input is an array of floating point numbers"):
        backward(lambda n: n, lambda g, n: g, np.arange(3))


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArgumentError, match="3 inputs need as many different names"):
        backward(affine, affine_backward, (X, W, B), names=["x", "w", "w"])


@pytest.mark.parametrize("which", ["forward", "backward"])
def test_a_pair_that_changes_its_inputs_is_refused(which: str) -> None:
    def double(x: Any) -> Any:
        x *= 2
        return x

    pair: Pair = (lambda x: x * 1.0, lambda g, x: g)
    if which == "forward":
        pair = (lambda x: double(x).copy(), lambda g, x: g)
    else:
        pair = (lambda x: x * 1.0, lambda g, x: g + 0 * double(x))
    with pytest.raises(InPlaceError, match=rf"{which} changes its input x in place"):
        backward(*pair, X)


def test_a_nondeterministic_pair_is_undecided() -> None:
    rng = np.random.default_rng(0)
    result = backward(lambda x: x * (rng.random(x.shape) > 0.5), lambda g, x: g, X)
    assert result.verdict == "undecided"
    assert "nondeterministic" in str(result)


def test_the_result_as_json_names_every_gradient() -> None:
    data = json.loads(backward(net, net_backward("bias"), NET).to_json())
    assert [one["name"] for one in data["inputs"] if one["verdict"] == "wrong"] == ["b1"]
    assert data["inputs"][-1]["pattern"]["ratio"] == pytest.approx(0.5)
