"""Attention beside PyTorch's: values, gradients, second derivatives, masks, texts, state dictionaries, errors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import UnsupportedError
from chainrule.nn import functional as F
from chainrule.tensor.numpy_maths import NumPyMaths

torch = pytest.importorskip("torch")

BOTH = [(cr, nn), (torch, torch.nn)]
L, S, E, EV = 5, 7, 4, 6


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Any:
    return scale * np.random.default_rng(seed).standard_normal(shape)


def outcome(library: Any, arrays: list[Any], mask: Any, **options: Any) -> list[Any]:
    """The result, and the gradients of query, key, value and a mask of numbers."""
    given = [library.tensor(x, requires_grad=True) for x in arrays]
    m = None if mask is None else library.tensor(mask, requires_grad=mask.dtype.kind == "f")
    y = library.nn.functional.scaled_dot_product_attention(*given, m, **options)
    targets = given if m is None or not m.requires_grad else [*given, m]
    cotangent = library.tensor(numbers(*y.shape, seed=9).astype(arrays[0].dtype))
    return [y.detach().numpy(), *[g.numpy() for g in library.autograd.grad(y, targets, cotangent)]]


def assert_alike(ours: list[Any], theirs: list[Any], tolerance: float = 1e-12) -> None:
    for mine, truth in zip(ours, theirs, strict=True):
        assert mine.shape == truth.shape
        assert mine.dtype == truth.dtype
        # sums of at most some ten numbers of order 1 to 10
        np.testing.assert_allclose(mine, truth, rtol=tolerance, atol=tolerance * max(np.abs(truth).max(initial=0), 1))


SOME = np.random.default_rng(1).random((L, S)) < 0.6
SOME[:, 0] = True
NONE_IN_ROW_2 = SOME.copy()
NONE_IN_ROW_2[2] = False
MASKS: dict[str, Any] = {
    "no mask": None,
    "bools": SOME,
    "bools of each batch": np.random.default_rng(2).random((3, 1, L, S)) < 0.8,
    "bools of the keys": SOME[:1],
    "a query without keys": NONE_IN_ROW_2,
    "numbers": numbers(L, S, seed=3),
    "numbers of each head": numbers(3, 2, L, S, seed=3),
    "numbers of the keys": numbers(1, S, seed=3),
    "minus infinities": np.where(NONE_IN_ROW_2, 0.0, -np.inf),
}


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("size", [1.0, 100.0])  # scores within and beyond the range that needs no shift
@pytest.mark.parametrize("mask", MASKS)
def test_results_and_gradients_are_pytorchs(mask, size, scale):
    arrays = [numbers(3, 2, L, E, seed=4, scale=size), numbers(3, 2, S, E, seed=5), numbers(3, 2, S, EV, seed=6)]
    ours, theirs = (outcome(library, arrays, MASKS[mask], scale=scale) for library, _ in BOTH)
    if mask == "minus infinities":  # PyTorch's gradient of the mask, and what else it makes of it, may be nan
        assert np.isfinite(ours[0]).all()
        ours, theirs = ours[:4], theirs[:4]
    assert_alike(ours, theirs)


@pytest.mark.parametrize("size", [1.0, 100.0])
@pytest.mark.parametrize(("queries", "keys"), [(5, 5), (5, 7), (7, 5), (1, 4), (4, 1)])
def test_causal_attention_is_pytorchs(queries, keys, size):
    arrays = [numbers(2, queries, E, scale=size), numbers(2, keys, E, seed=1), numbers(2, keys, EV, seed=2)]
    assert_alike(*[outcome(library, arrays, None, is_causal=True) for library, _ in BOTH])


@pytest.mark.parametrize("shapes", [((L, E), (S, E), (S, EV)), ((3, L, E), (1, S, E), (S, EV)), ((2, 1, L, E), (3, S, E), (3, S, EV))])  # fmt: skip
def test_first_axes_broadcast_as_pytorchs(shapes):
    arrays = [numbers(*s, seed=i) for i, s in enumerate(shapes)]
    assert_alike(*[outcome(library, arrays, None) for library, _ in BOTH])


@pytest.mark.parametrize("shapes", [((2, 0, E), (2, S, E), (2, S, EV)), ((2, L, E), (2, 0, E), (2, 0, EV)), ((0, L, E), (0, S, E), (0, S, EV))])  # fmt: skip
def test_attention_of_nothing_is_pytorchs(shapes):
    arrays = [numbers(*s) for s in shapes]
    ours, theirs = (
        library.nn.functional.scaled_dot_product_attention(*[library.tensor(x) for x in arrays]).numpy()
        for library, _ in BOTH
    )
    assert ours.shape == theirs.shape
    assert not ours.any()


@pytest.mark.parametrize("mask", ["no mask", "a query without keys", "numbers"])
def test_float32_is_pytorchs(mask):
    arrays = [x.astype(np.float32) for x in (numbers(3, 2, L, E), numbers(3, 2, S, E), numbers(3, 2, S, EV))]
    m = MASKS[mask]
    m = m.astype(np.float32) if m is not None and m.dtype.kind == "f" else m
    assert_alike(*[outcome(library, arrays, m) for library, _ in BOTH], tolerance=2e-5)


@pytest.mark.parametrize("mask", ["no mask", "bools", "a query without keys", "numbers"])
@pytest.mark.parametrize("wanted", [(0, 1, 2), (0,), (1,), (2,)])
def test_second_derivatives_are_pytorchs(mask, wanted):
    arrays = [numbers(2, L, E), numbers(2, S, E, seed=1), numbers(2, S, EV, seed=2)]
    found = []
    for library, _ in BOTH:
        given = [library.tensor(x, requires_grad=i in wanted) for i, x in enumerate(arrays)]
        m = None if MASKS[mask] is None else library.tensor(MASKS[mask])
        f = library.nn.functional.scaled_dot_product_attention
        targets = [given[i] for i in wanted]
        sdpa: Any = f(*given, m)
        gradients = library.autograd.grad((sdpa**3).sum(), targets, create_graph=True)
        norm = sum([(g**2).sum() for g in gradients])
        found.append([g.detach().numpy() for g in library.autograd.grad(norm, targets)])
    assert_alike(*found, tolerance=1e-10)


def test_scores_too_large_for_an_exponential_give_finite_weights():
    q = cr.tensor([[1e4], [-1e4]])
    y = F.scaled_dot_product_attention(q, cr.tensor([[1.0], [-1.0]]), cr.tensor([[3.0], [5.0]]))
    assert y.tolist() == [[3.0], [5.0]]


def test_nan_and_infinite_scores_stay_visible():
    k, v = cr.tensor([[1.0], [2.0]]), cr.tensor([[3.0], [5.0]])
    y = F.scaled_dot_product_attention(cr.tensor([[float("nan")], [float("inf")], [1.0]]), k, v).numpy()
    assert np.isnan(y[:2]).all()
    assert np.isfinite(y[2]).all()


@pytest.mark.parametrize("mask", ["no mask", "bools", "a query without keys", "numbers", "minus infinities"])
@pytest.mark.parametrize("size", [1.0, 100.0])
def test_the_way_without_a_shift_gives_the_same_weights(mask, size, monkeypatch):
    q, k = numbers(3, 2, L, E, scale=size), numbers(3, 2, S, E, seed=1)
    quick = NumPyMaths.attention_weights(q, k, MASKS[mask])
    monkeypatch.setitem(NumPyMaths.attention_weights.__globals__, "MODERATE", 0.0)
    np.testing.assert_allclose(quick, NumPyMaths.attention_weights(q, k, MASKS[mask]), rtol=1e-13, atol=1e-300)


# ---- dropout -------------------------------------------------------------------------------------------------


def test_dropped_weights_are_zero_and_the_others_larger():
    cr.manual_seed(0)
    q, k = cr.tensor(numbers(40, E)), cr.tensor(numbers(50, E, seed=1))
    every = cr.eye(50, dtype=cr.float64)
    kept = F.scaled_dot_product_attention(q, k, every).numpy()
    dropped = F.scaled_dot_product_attention(q, k, every, dropout_p=0.25).numpy()
    left = dropped != 0
    assert abs(left.mean() - 0.75) < 6 * (0.25 * 0.75 / 2000) ** 0.5  # six standard errors
    np.testing.assert_allclose(dropped[left], kept[left] / 0.75, rtol=1e-12)


def test_dropout_of_everything_is_zero():
    q = cr.tensor(numbers(L, E), requires_grad=True)
    y = F.scaled_dot_product_attention(q, q, q, dropout_p=1.0)
    assert not y.any()
    y.sum().backward()
    assert not q.grad.any()


# ---- MultiheadAttention --------------------------------------------------------------------------------------


def modules(**options: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(8, 2, **options, dtype=torch.float64)
    for p in theirs.parameters():
        torch.nn.init.normal_(p)
    ours = nn.MultiheadAttention(8, 2, **options, dtype=cr.float64)
    ours.load_state_dict({k: cr.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


def attended(library: Any, module: Any, arrays: list[Any], **options: Any) -> list[Any]:
    """The result, the weights, the gradients of inputs and parameters."""
    given = [library.tensor(x, requires_grad=True) for x in arrays]
    options = {k: library.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    y, weights = module(*given, **options)
    loss = (y**2).sum() if weights is None else (y**2).sum() + (weights**3).sum()
    loss.backward()
    made = [y] if weights is None else [y, weights]
    return [t.detach().numpy() for t in made] + [t.grad.numpy() for t in (*given, *module.parameters())]


@pytest.mark.parametrize(
    ("batch_first", "need_weights", "average", "other_sizes", "bias"),
    list(itertools.product((False, True), (False, True), (False, True), (False, True), (False, True))),
)
def test_results_weights_and_gradients_are_pytorchs(batch_first, need_weights, average, other_sizes, bias):
    sizes = {"kdim": 5, "vdim": 6} if other_sizes else {}
    ours, theirs = modules(batch_first=batch_first, bias=bias, **sizes)
    shapes = [(4, 3, 8), (5, 3, sizes.get("kdim", 8)), (5, 3, sizes.get("vdim", 8))]
    arrays = [numbers(*((b, n, e) if batch_first else (n, b, e)), seed=n) for n, b, e in shapes]
    options = {"need_weights": need_weights, "average_attn_weights": average}
    assert_alike(*[attended(lib, m, arrays, **options) for lib, m in ((cr, ours), (torch, theirs))], tolerance=1e-10)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("padding", [None, "bools", "numbers"])
@pytest.mark.parametrize("mask", [None, "bools", "numbers", "bools of each head", "numbers of each head"])
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.filterwarnings("ignore:Support for mismatched")
def test_masks_are_pytorchs(mask, padding, need_weights, batched):
    ours, theirs = modules()
    batch = (3,) if batched else ()
    arrays = [numbers(4, *batch, 8), numbers(5, *batch, 8, seed=1), numbers(5, *batch, 8, seed=2)]
    options: dict[str, Any] = {"need_weights": need_weights}
    rng = np.random.default_rng(0)
    if padding is not None:
        options["key_padding_mask"] = numbers(*batch, 5) if padding == "numbers" else rng.random((*batch, 5)) < 0.4
        options["key_padding_mask"][..., 0] = 0
    if mask is not None:
        shape = (2 * (3 if batched else 1), 4, 5) if "each" in mask else (4, 5)
        options["attn_mask"] = numbers(*shape, seed=7) if "numbers" in mask else rng.random(shape) < 0.4
        options["attn_mask"][..., 0] = 0
    assert_alike(*[attended(lib, m, arrays, **options) for lib, m in ((cr, ours), (torch, theirs))], tolerance=1e-10)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_the_promise_of_causality_is_pytorchs(need_weights, padded):
    ours, theirs = modules()
    x = numbers(5, 3, 8)
    options: dict[str, Any] = {"attn_mask": np.triu(np.ones((5, 5), np.bool_), 1), "is_causal": True}
    if padded:
        options["key_padding_mask"] = np.array([[False, False, True, True, False]] * 3)
    options["need_weights"] = need_weights
    found = [attended(lib, m, [x, x, x], **options) for lib, m in ((cr, ours), (torch, theirs))]
    assert_alike(*found, tolerance=1e-10)


def test_a_sequence_that_is_all_padding_gets_pytorchs_zeros_and_no_nan():
    ours, theirs = modules()
    x, padding = numbers(5, 2, 8), np.array([[True] * 5, [False] * 5])
    quiet = [
        m(*[lib.tensor(x)] * 3, key_padding_mask=lib.tensor(padding), need_weights=False)[0].detach().numpy()
        for lib, m in ((cr, ours), (torch, theirs))
    ]
    np.testing.assert_allclose(*quiet, rtol=1e-12, atol=1e-12)
    y, weights = ours(*[cr.tensor(x)] * 3, key_padding_mask=cr.tensor(padding))
    np.testing.assert_allclose(y.detach().numpy(), quiet[0], rtol=1e-12, atol=1e-12)
    assert not weights[0].any()  # PyTorch: nan, where weights are asked for


def test_dropout_is_for_training_only():
    layer = nn.MultiheadAttention(8, 2, dropout=1.0)
    x = cr.randn(5, 2, 8)
    for need_weights in (False, True):
        assert not layer(x, x, x, need_weights=need_weights)[0].any()
    assert layer.eval()(x, x, x)[0].all()


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"kdim": 5, "vdim": 6}])
def test_names_and_shapes_of_parameters_are_pytorchs(options):
    ours, theirs = nn.MultiheadAttention(8, 2, **options), torch.nn.MultiheadAttention(8, 2, **options)
    named = [[(n, tuple(p.shape)) for n, p in m.named_parameters()] for m in (ours, theirs)]
    assert named[0] == named[1]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})


def test_the_first_parameters_have_pytorchs_bounds():
    cr.manual_seed(0)
    layer = nn.MultiheadAttention(64, 4)
    for weight, bound in ((layer.in_proj_weight, (6 / 256) ** 0.5), (layer.out_proj.weight, 1 / 8)):
        values = weight.detach().numpy()
        np.testing.assert_allclose([values.min(), values.max()], [-bound, bound], rtol=2e-3)
    assert not layer.in_proj_bias.any()
    assert not layer.out_proj.bias.any()


# ---- TransformerEncoderLayer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu", None])
def test_an_encoder_layer_is_pytorchs(activation, bias, batch_first, norm_first):
    torch.manual_seed(0)
    found = []
    state = None
    for library, module in reversed(BOTH):
        options = {"activation": activation or library.tanh, "bias": bias, "batch_first": batch_first}
        layer = module.TransformerEncoderLayer(8, 2, 16, 0.0, norm_first=norm_first, dtype=library.float64, **options)
        state = {k: v.numpy() for k, v in layer.state_dict().items()} if state is None else state
        layer.load_state_dict({k: library.tensor(v) for k, v in state.items()})
        x = library.tensor(numbers(5, 5, 8), requires_grad=True)
        mask = library.tensor(np.triu(np.ones((5, 5), np.bool_), 1))
        padding = library.tensor(np.array([[False] * 4 + [True]] * 5))
        for options in ({}, {"src_mask": mask, "is_causal": True}, {"src_key_padding_mask": padding}):
            y = layer(x, **options)
            found.append(
                [
                    y.detach().numpy(),
                    *[g.numpy() for g in library.autograd.grad((y**3).sum(), [x, *layer.parameters()])],
                ]
            )
    for theirs, ours in zip(found[:3], found[3:], strict=True):
        assert_alike(ours, theirs, tolerance=1e-10)


def test_an_encoder_layer_without_training_has_no_dropout():
    layer, x = nn.TransformerEncoderLayer(8, 2, 16, 0.9), cr.randn(5, 3, 8)
    assert layer(x).tolist() != layer(x).tolist()
    layer.eval()
    assert layer(x).tolist() == layer(x).tolist()


def test_an_encoder_layer_has_pytorchs_text_but_for_the_name_of_its_projection():
    theirs = repr(torch.nn.TransformerEncoderLayer(8, 2, 16))
    assert repr(nn.TransformerEncoderLayer(8, 2, 16)) == theirs.replace("NonDynamicallyQuantizableLinear", "Linear")


def test_an_unknown_activation_raises_pytorchs_class():
    for _, module in BOTH:
        with pytest.raises(RuntimeError, match="activation should be relu/gelu, not tanh"):
            module.TransformerEncoderLayer(8, 2, activation="tanh")


# ---- refusals ------------------------------------------------------------------------------------------------


def mistake(library: Any, nn: Any, case: str) -> Any:
    z, f = library.zeros, nn.functional.scaled_dot_product_attention
    q, k, v = z(2, 3, 4), z(2, 5, 4), z(2, 5, 6)
    layer, x = nn.MultiheadAttention(8, 2), z(5, 2, 8)
    calls = {
        "mask of integers": lambda: f(q, k, v, z(3, 5, dtype=library.int64)),
        "mask of another float": lambda: f(q, k, v, z(3, 5, dtype=library.float64)),
        "mask and causal": lambda: f(q, k, v, z(3, 5), is_causal=True),
        "a vector": lambda: f(q[0, 0], k, v),
        "another type": lambda: f(q.double(), k, v),
        "integers": lambda: f(q.long(), k.long(), v.long()),
        "another size of keys": lambda: f(q, k[..., :3], v),
        "fewer values": lambda: f(q, k, v[:, :3]),
        "mask of another shape": lambda: f(q, k, v, z(3, 4)),
        "mask with more axes": lambda: f(q[0], k[0], v[0], z(7, 3, 5)),
        "another batch": lambda: f(z(3, 3, 4), k, v),
        "dropout beyond 1": lambda: f(q, k, v, dropout_p=1.5),
        "heads that do not divide": lambda: nn.MultiheadAttention(8, 3),
        "no size": lambda: nn.MultiheadAttention(0, 2),
        "queries of another size": lambda: layer(x[..., :4], x, x),
        "keys of another size": lambda: layer(x, x[..., :4], x),
        "fewer values than keys": lambda: layer(x, x, x[:3]),
        "four axes": lambda: layer(x[None], x[None], x[None]),
        "keys without a batch": lambda: layer(x, x[:, 0], x[:, 0]),
        "a square mask of another size": lambda: layer(x, x, x, attn_mask=z(4, 4)),
        "masks for too few heads": lambda: layer(x, x, x, attn_mask=z(3, 5, 5)),
        "a mask of four axes": lambda: layer(x, x, x, attn_mask=z(1, 1, 5, 5)),
        "a module's mask of integers": lambda: layer(x, x, x, attn_mask=z(5, 5, dtype=library.int64)),
        "padding of another shape": lambda: layer(x, x, x, key_padding_mask=z(5, 2, dtype=library.bool)),
        "padding of integers": lambda: layer(x, x, x, key_padding_mask=z(2, 5, dtype=library.int64)),
        "causal without a mask": lambda: layer(x, x, x, is_causal=True),
    }
    return calls[case]()


MISTAKES = {
    "mask of integers": "Expected attn_mask dtype to be bool", "mask of another float": "Expected attn_mask dtype",
    "mask and causal": "Explicit attn_mask should not be set when is_causal=True",
    "a vector": "query", "another type": "type", "integers": "[Ff]loat",
    "another size of keys": "Expected size|are not", "fewer values": "Expected size|one value for each key",
    "mask of another shape": "must match|does not stretch", "mask with more axes": "shape|does not stretch",
    "another batch": "must match|are not", "dropout beyond 1": "between 0 and 1, but got 1.5",
    "heads that do not divide": "embed_dim must be divisible by num_heads",
    "no size": "embed_dim and num_heads must be greater than 0, got embed_dim=0 and num_heads=2",
    "queries of another size": "was expecting embedding dimension of 8, but got 4", "keys of another size": "key",
    "fewer values than keys": "key", "four axes": "unbatched 2D or batched 3D tensor but received 4-D query tensor",
    "keys without a batch": "expected `key` and `value` to be 3-D but found 2-D and 2-D tensors respectively",
    "a square mask of another size": "The shape of the 2D attn_mask is",
    "masks for too few heads": "The shape of the 3D attn_mask is", "a mask of four axes": "attn_mask",
    "a module's mask of integers": "only bool and floating types of attn_mask are supported",
    "padding of another shape": "key_padd", "causal without a mask": "Need attn_mask if specifying the is_causal hint",
    "padding of integers": "only bool and floating types of key_padding_mask are supported",
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_raises_pytorchs_class(case):
    with pytest.raises(Exception, match=MISTAKES[case]) as theirs:
        mistake(*BOTH[1], case)
    with pytest.raises(type(theirs.value), match=MISTAKES[case]) as ours:
        mistake(*BOTH[0], case)
    print(ours.value)


@pytest.mark.parametrize("option", ["add_bias_kv", "add_zero_attn"])
def test_an_option_that_is_not_built_is_refused_by_name(option):
    with pytest.raises(UnsupportedError, match=f"{option}=True"):
        nn.MultiheadAttention(8, 2, **{option: True})


def test_grouped_queries_are_refused_with_a_way_out():
    x = cr.zeros(1, 2, 3, 4)
    with pytest.raises(UnsupportedError, match="repeat_interleave"):
        F.scaled_dot_product_attention(x, x, x, enable_gqa=True)
