"""LSTM, GRU, RNN and their cells beside PyTorch's: values, gradients, second derivatives, states, texts, errors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import ArgumentError, ArgumentTypeError, UnsupportedError

torch = pytest.importorskip("torch")

BOTH = [(cr, nn), (torch, torch.nn)]
KINDS = ("LSTM", "GRU", "RNN")
STEPS, BATCH, IN, HIDDEN = 5, 3, 4, 6


def pair(kind: str, **options: Any) -> tuple[Any, Any]:
    """Our module and PyTorch's, in float64, with the same parameters."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(IN, HIDDEN, **options, dtype=torch.float64)
    ours = getattr(nn, kind)(IN, HIDDEN, **options, dtype=cr.float64)
    ours.load_state_dict({k: cr.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


def flat(result: Any) -> list[Any]:
    """The tensors of nested tuples."""
    return [t for part in result for t in flat(part)] if isinstance(result, tuple | list) else [result]


def run(library: Any, module: Any, x: Any, states: Any) -> dict[str, Any]:
    """The results, and the gradients of a loss that depends on each of them in another way."""
    x = library.tensor(x, requires_grad=True)
    given = [library.tensor(s, requires_grad=True) for s in states]
    hx = None if not given else given[0] if len(given) == 1 else tuple(given)
    results = flat(module(x, hx))
    loss = sum(((k + 1) * y**2).sum() + y.sum() for k, y in enumerate(results))
    loss.backward()
    found = {f"result {k}": y for k, y in enumerate(results)} | {"x": x.grad}
    found |= {f"state {k}": s.grad for k, s in enumerate(given)}
    found |= {name: p.grad for name, p in module.named_parameters()}
    return {name: np.array(v.detach().numpy()) for name, v in found.items()}


def assert_alike(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name, truth in theirs.items():
        assert ours[name].shape == truth.shape, name
        # five steps and two layers of sums of some ten numbers; gradients reach some hundreds
        np.testing.assert_allclose(ours[name], truth, rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("num_layers", "bias", "batch_first", "bidirectional"),
    list(itertools.product((1, 2), (True, False), (False, True), (False, True))),
)
@pytest.mark.parametrize("shape", ["batch", "sequence"])
@pytest.mark.parametrize("with_state", [False, True])
def test_results_states_and_gradients_are_pytorchs(
    kind, num_layers, bias, batch_first, bidirectional, shape, with_state
):
    options = {"num_layers": num_layers, "bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
    ours, theirs = pair(kind, **options)
    rng = np.random.default_rng(0)
    batch = (BATCH,) if shape == "batch" else ()
    x = rng.standard_normal((*batch, STEPS, IN) if batch_first and batch else (STEPS, *batch, IN))
    state = (num_layers * (2 if bidirectional else 1), *batch, HIDDEN)
    states = [rng.standard_normal(state) for _ in range(2 if kind == "LSTM" else 1)] if with_state else []
    assert_alike(run(cr, ours, x, states), run(torch, theirs, x, states))


def test_an_rnn_with_relu_is_pytorchs():
    ours, theirs = pair("RNN", nonlinearity="relu", num_layers=2)
    x = np.random.default_rng(0).standard_normal((STEPS, BATCH, IN))
    assert_alike(run(cr, ours, x, []), run(torch, theirs, x, []))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_of_one_step_and_a_batch_of_none_are_pytorchs(kind):
    ours, theirs = pair(kind)
    for shape in ((1, BATCH, IN), (STEPS, 0, IN)):
        x = np.random.default_rng(0).standard_normal(shape)
        assert_alike(run(cr, ours, x, []), run(torch, theirs, x, []))


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_are_pytorchs(kind):
    ours, theirs = pair(kind)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2, IN))
    found = []
    for library, module in ((cr, ours), (torch, theirs)):
        given = library.tensor(x, requires_grad=True)
        targets = [given, *module.parameters()]
        output, last = module(given)
        loss = (output**3).sum() + sum([(s**2).sum() for s in flat(last)])
        gradients = library.autograd.grad(loss, targets, create_graph=True)
        norm = sum([(g**2).sum() for g in gradients])
        found.append([g.detach().numpy() for g in library.autograd.grad(norm, targets)])
    for mine, truth in zip(*found, strict=True):
        np.testing.assert_allclose(mine, truth, rtol=1e-9, atol=1e-9 * np.abs(truth).max())


@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_pytorchs(kind):
    ours, theirs = pair(kind, num_layers=2)
    ours, theirs = ours.float(), theirs.float()
    x = np.random.default_rng(0).standard_normal((20, 8, IN)).astype(np.float32)
    mine, truth = run(cr, ours, x, []), run(torch, theirs, x, [])
    for name, t in truth.items():
        assert mine[name].dtype == np.float32
        np.testing.assert_allclose(mine[name], t, rtol=1e-4, atol=2e-5 * max(np.abs(t).max(), 1), err_msg=name)


def test_saturated_gates_give_pytorchs_numbers():
    ours, theirs = pair("LSTM")
    x = np.random.default_rng(0).standard_normal((STEPS, BATCH, IN)) * 1e4
    assert_alike(run(cr, ours, x, []), run(torch, theirs, x, []))


def test_nan_in_one_sequence_stays_there():
    layer = nn.LSTM(IN, HIDDEN)
    x = np.random.default_rng(0).standard_normal((STEPS, BATCH, IN)).astype(np.float32)
    x[2, 1, 0] = np.nan
    output = layer(cr.tensor(x))[0].detach().numpy()
    assert np.isnan(output[2:, 1]).all()
    assert np.isfinite(output[:, [0, 2]]).all()
    assert np.isfinite(output[:2]).all()


# ---- dropout -------------------------------------------------------------------------------------------------


def test_dropout_lies_between_the_layers_and_only_while_training():
    layer = nn.LSTM(IN, HIDDEN, num_layers=2, dropout=1.0, bias=False)
    x = cr.randn(STEPS, BATCH, IN)
    assert not layer(x)[0].any()  # the second layer sees zeros
    assert layer(x)[1][0][0].any()
    assert layer.eval()(x)[0].all()


def test_dropout_of_a_single_layer_warns_and_does_nothing():
    with pytest.warns(UserWarning, match="num_layers greater than 1, but got dropout=0.5 and num_layers=1"):
        layer = nn.LSTM(IN, HIDDEN, dropout=0.5)
    x = cr.randn(STEPS, BATCH, IN)
    assert layer(x)[0].tolist() == layer(x)[0].tolist()


# ---- the module ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda nn: nn.LSTM(3, 4), lambda nn: nn.GRU(3, 4, 2), lambda nn: nn.RNN(3, 4, nonlinearity="relu"),
        lambda nn: nn.LSTM(3, 4, 2, bidirectional=True, dropout=0.1, batch_first=True, bias=False),
        lambda nn: nn.LSTMCell(3, 4), lambda nn: nn.GRUCell(3, 4, bias=False),
        lambda nn: nn.RNNCell(3, 4, nonlinearity="relu"),
    ],
)  # fmt: skip
def test_texts_and_names_of_parameters_are_pytorchs(make):
    ours, theirs = make(nn), make(torch.nn)
    assert repr(ours) == repr(theirs)
    assert [(n, tuple(p.shape)) for n, p in ours.named_parameters()] == [
        (n, tuple(p.shape)) for n, p in theirs.named_parameters()
    ]
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})


def test_parameters_are_uniform_within_one_over_the_root_of_the_hidden_size():
    cr.manual_seed(0)
    values = np.concatenate([p.detach().numpy().ravel() for p in nn.LSTM(40, 100, 2).parameters()])
    np.testing.assert_allclose([values.min(), values.max()], [-0.1, 0.1], rtol=1e-3)
    assert abs(values.mean()) < 6 * 0.1 / 3**0.5 / len(values) ** 0.5  # six standard errors


def test_flatten_parameters_is_there_for_programs_that_call_it():
    layer = nn.LSTM(2, 3)
    before = [p.tolist() for p in layer.parameters()]
    layer.flatten_parameters()
    assert [p.tolist() for p in layer.parameters()] == before


# ---- cells ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(3,), ()])
@pytest.mark.parametrize("with_state", [False, True])
def test_cells_are_pytorchs(kind, bias, batch, with_state):
    ours, theirs = pair(kind, bias=bias)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((*batch, IN))
    count = 2 if kind == "LSTMCell" else 1
    states = [rng.standard_normal((*batch, HIDDEN)) for _ in range(count)] if with_state else []
    assert_alike(run(cr, ours, x, states), run(torch, theirs, x, states))


def test_a_cell_in_a_loop_is_the_layer():
    layer, cell = nn.LSTM(IN, HIDDEN), nn.LSTMCell(IN, HIDDEN)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x, hx, outputs = cr.randn(STEPS, BATCH, IN), None, []
    for step in x:
        hx = cell(step, hx)
        outputs.append(hx[0])
    np.testing.assert_allclose(cr.stack(outputs).detach().numpy(), layer(x)[0].detach().numpy(), atol=1e-6)


# ---- refusals ------------------------------------------------------------------------------------------------


def mistake(library: Any, nn: Any, case: str) -> Any:
    z = library.zeros
    lstm, gru = nn.LSTM(3, 4), nn.GRU(3, 4)
    calls = {
        "another input size": lambda: lstm(z(5, 2, 7)),
        "four axes": lambda: lstm(z(5, 2, 3, 3)),
        "one axis": lambda: lstm(z(3)),
        "no steps": lambda: lstm(z(0, 2, 3)),
        "another batch of states": lambda: lstm(z(5, 2, 3), (z(1, 3, 4), z(1, 2, 4))),
        "another size of cells": lambda: lstm(z(5, 2, 3), (z(1, 2, 4), z(1, 2, 5))),
        "states without a batch": lambda: lstm(z(5, 2, 3), (z(1, 4), z(1, 4))),
        "states with a batch": lambda: lstm(z(5, 3), (z(1, 2, 4), z(1, 2, 4))),
        "a gru's state without a batch": lambda: gru(z(5, 2, 3), z(1, 4)),
        "another type": lambda: lstm(z(5, 2, 3, dtype=library.float64)),
        "integers": lambda: lstm(z(5, 2, 3, dtype=library.int64)),
        "dropout beyond 1": lambda: nn.LSTM(3, 4, 2, dropout=1.5),
        "dropout as a bool": lambda: nn.LSTM(3, 4, 2, dropout=True),
        "no hidden units": lambda: nn.LSTM(3, 0),
        "no layers": lambda: nn.LSTM(3, 4, 0),
        "no inputs": lambda: nn.LSTM(0, 4),
        "a float as size": lambda: nn.LSTM(3, 4.0),
        "another nonlinearity": lambda: nn.RNN(3, 4, nonlinearity="sin"),
    }
    return calls[case]()


MISTAKES = {
    "another input size": r"input.size\(-1\) must be equal to input_size. Expected 3, got 7",
    "four axes": "Expected input to be 2D or 3D, got 4D", "one axis": "Expected input to be 2D or 3D, got 1D",
    "no steps": "Expected sequence length to be larger than 0",
    "another batch of states": r"Expected hidden\[0\] size \(1, 2, 4\), got \[1, 3, 4\]",
    "another size of cells": r"Expected hidden\[1\] size \(1, 2, 4\), got \[1, 2, 5\]",
    "states without a batch": "For batched 3-D input", "states with a batch": "For unbatched 2-D input",
    "a gru's state without a batch": "For batched 3-D input", "another type": "does not match weight dtype",
    "integers": "does not match weight dtype",
    "dropout beyond 1": r"dropout should be a number in range \[0, 1\]",
    "dropout as a bool": r"dropout should be a number in range \[0, 1\]",
    "no hidden units": "hidden_size must be greater than zero", "no layers": "num_layers must be greater than zero",
    "no inputs": "input_size must be greater than zero", "a float as size": "hidden_size should be of type int",
    "another nonlinearity": "Select from 'tanh' or 'relu'",
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_raises_pytorchs_class_with_pytorchs_words(case):
    with pytest.raises(Exception, match=MISTAKES[case]) as theirs:
        mistake(*BOTH[1], case)
    with pytest.raises(type(theirs.value), match=MISTAKES[case]):
        mistake(*BOTH[0], case)


def test_a_packed_sequence_is_refused_with_a_way_out():
    PackedSequence = type("PackedSequence", (tuple,), {})
    with pytest.raises(ArgumentTypeError, match="Packed sequences are not supported: pad the batch"):
        nn.LSTM(3, 4)(PackedSequence())


def test_projections_are_refused_by_name():
    with pytest.raises(UnsupportedError, match="proj_size=2"):
        nn.LSTM(3, 4, proj_size=2)


@pytest.mark.parametrize(("kind", "hx"), [("LSTM", 1), ("LSTM", (1,)), ("LSTM", None), ("GRU", (1, 1))])
def test_states_of_another_kind_are_refused(kind, hx):
    layer, x, state = getattr(nn, kind)(3, 4), cr.zeros(5, 2, 3), cr.zeros(1, 2, 4)
    given = state if hx is None else hx if hx == 1 else tuple(state for _ in hx)
    with pytest.raises(ArgumentTypeError, match=f"{kind}: hx is a"):
        layer(x, given)


def test_a_cell_refuses_what_does_not_fit():
    cell = nn.LSTMCell(3, 4)
    with pytest.raises(RuntimeError, match="Expected 3, got 2"):
        cell(cr.zeros(5, 2))
    with pytest.raises(RuntimeError, match=r"Expected hidden\[1\] size \(5, 4\)"):
        cell(cr.zeros(5, 3), (cr.zeros(5, 4), cr.zeros(4, 4)))
    with pytest.raises(ArgumentError, match="1D or 2D, got 3D"):
        cell(cr.zeros(1, 5, 3))
