"""Functional: dropout, messages, padding and initialisation where no other library decides."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule import nn
from chainrule.errors import ArgumentError, IndexOutOfRangeError, ShapeError


def test_a_label_out_of_range_is_named_with_its_row_and_the_number_of_classes():
    with pytest.raises(IndexOutOfRangeError) as error:
        F.cross_entropy(cr.zeros(3, 4), cr.tensor([0, -100, 4]))
    text = str(error.value)
    assert "Target 4 is out of bounds" in text
    assert "target[2] is 4" in text
    assert "the input has 4 classes: labels are 0 ... 3" in text
    assert __file__ in text
    with pytest.raises(IndexOutOfRangeError, match=r"target\[\(1, 0\)\] is -3"):
        F.nll_loss(cr.zeros(2, 4, 2), cr.tensor([[0, 1], [-3, 2]]))


def test_labels_of_other_integer_types_count_as_int64():
    x = cr.randn(3, 4)
    want = F.cross_entropy(x, cr.tensor([1, 2, 0])).item()
    for kind in (cr.uint8, cr.int32):
        assert F.cross_entropy(x, cr.tensor([1, 2, 0], dtype=kind)).item() == want


def test_labels_that_do_not_fit_are_shown_with_the_input():
    with pytest.raises(ShapeError, match=r"asks for labels of shape \(3,\)") as error:
        F.cross_entropy(cr.zeros(3, 4), cr.tensor([[0], [1], [2]]))
    assert "target  (3, 1)  int64" in str(error.value)
    with pytest.raises(ShapeError, match="lacks an axis of classes"):
        F.nll_loss(cr.tensor(1.0), cr.tensor(0))


@pytest.mark.parametrize(
    ("options", "reduction"),
    [
        ({"size_average": False}, "sum"),
        ({"size_average": True}, "mean"),
        ({"reduce": False}, "none"),
        ({"reduce": True}, "mean"),
    ],
)
def test_deprecated_arguments_are_refused_with_what_to_use(options, reduction):
    x = cr.zeros(2, 3)
    for call in (
        lambda: F.mse_loss(x, x, **options), lambda: nn.MSELoss(**options), lambda: nn.CrossEntropyLoss(**options),
        lambda: F.kl_div(x, x, reduction="batchmean", **options),
        lambda: nn.KLDivLoss(reduction="batchmean", **options),
        lambda: F.cross_entropy(x, cr.tensor([0, 1]), **options),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=f"Use reduction='{reduction}'"):
            call()


def test_a_target_that_is_no_tensor_is_named():
    for call in (F.mse_loss, F.cross_entropy, F.kl_div, F.binary_cross_entropy):
        with pytest.raises(TypeError, match="argument 'target' must be Tensor, not list"):
            call(cr.zeros(2, 3), [0, 1], reduction="sum")


def test_a_warning_of_broadcasting_names_the_users_line():
    with pytest.warns(UserWarning, match="broadcasting") as seen:
        F.mse_loss(cr.zeros(2, 1), cr.zeros(2))
    assert seen[0].filename == __file__


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (0.7, False)])
def test_dropout_that_leaves_nothing_out_returns_its_input(p, training):
    x = cr.ones(2, 3, 4)
    for drop in (F.dropout, F.dropout1d):
        assert drop(x, p, training) is x


def test_dropout_leaves_out_a_share_p_and_scales_the_rest():
    cr.manual_seed(0)
    y = F.dropout(cr.ones(100, 100), 0.3).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((y == 0).mean() - 0.3) < 6 * (0.3 * 0.7 / y.size) ** 0.5  # six standard deviations
    cr.manual_seed(0)
    assert (F.dropout(cr.ones(100, 100), 0.3).numpy() == y).all()


@pytest.mark.parametrize(
    ("drop", "shape", "channel_axes"),
    [
        (F.dropout1d, (40, 30, 5), 2), (F.dropout1d, (400, 5), 1), (F.dropout2d, (40, 30, 3, 2), 2),
        (F.dropout3d, (40, 30, 2, 2, 2), 2), (F.dropout3d, (400, 2, 2, 2), 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("inplace", [False, True])
def test_dropout_of_channels_leaves_out_whole_channels(drop, shape, channel_axes, inplace):
    x = cr.ones(*shape, requires_grad=True)
    y = drop(x * 1.0, 0.25, True, inplace)
    rows = y.detach().numpy().reshape(*shape[:channel_axes], -1)
    assert (rows == rows[..., :1]).all()
    share = (rows[..., 0] == 0).mean()
    assert abs(share - 0.25) < 6 * (0.25 * 0.75 / rows[..., 0].size) ** 0.5
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_dropout_of_channels_does_not_make_nan_of_what_it_leaves_out():
    x = cr.full((1, 50, 1, 1), float("inf"))
    assert set(F.dropout2d(x, 0.5).numpy().ravel().tolist()) == {0.0, float("inf")}
    assert F.dropout2d(cr.ones(1, 5, 1, 1), 1.0).tolist() == cr.zeros(1, 5, 1, 1).tolist()


def test_dropout_of_channels_refuses_other_numbers_of_axes():
    for drop, wanted in ((F.dropout1d, "2D or 3D"), (F.dropout2d, "4D"), (F.dropout3d, "4D or 5D")):
        with pytest.raises(ShapeError, match=f"Expected {wanted} input, not 1D"):
            drop(cr.ones(3))
    with pytest.warns(UserWarning, match="Use dropout1d"):
        F.dropout2d(cr.ones(2, 3, 4))


def test_a_probability_outside_the_unit_interval_is_refused():
    for drop in (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d):
        for p in (-0.1, 1.1, float("nan")):
            with pytest.raises(ArgumentError, match="has to be between 0 and 1"):
                drop(cr.ones(1, 1, 1, 1), p)


def test_dropout_modules_follow_the_training_mode():
    x = cr.ones(4, 4, 4, 4)
    for module in (nn.Dropout(1.0), nn.Dropout1d(1.0), nn.Dropout2d(1.0), nn.Dropout3d(1.0)):
        batch = x[0] if isinstance(module, nn.Dropout1d) else x
        assert not module(batch).numpy().any()
        assert module.eval()(batch) is batch


@pytest.mark.parametrize(
    ("widths", "mode", "value", "error", "message"),
    [
        ((1,), "constant", None, ArgumentError, "divisible by 2"),
        ((1, 1, 1, 1, 1, 1), "constant", None, ShapeError, "3 axes are to be padded"),
        ((3, 0), "reflect", None, ShapeError, "less than the corresponding input dimension"),
        ((0, 4), "circular", None, ShapeError, "less than the corresponding"),
        ((1, 1), "mirror", None, ArgumentError, "mode is"),
        ((1, 1), "reflect", 2.0, ArgumentError, "doesn't take in value"),
        ((-2, -2), "constant", None, ShapeError, "negative size"),
        ((-2, -2), "replicate", None, ShapeError, "size 3"),
    ],
)  # fmt: skip
def test_padding_that_cannot_be_is_refused(widths, mode, value, error, message):
    with pytest.raises(error, match=message):
        F.pad(cr.ones(2, 3), widths, mode, value)


@pytest.mark.parametrize(
    ("labels", "classes", "error", "message"),
    [
        ([0, 3], 3, IndexError, r"label 3 is not in \[0, 3\)"), ([-1], -1, ValueError, "should be positive or -1"),
        ([-1, 2], -1, IndexError, "label -1"), ([0.5], 3, RuntimeError, "index type"),
        ([], -1, ValueError, "Can not infer"),
        ([0], 0, ValueError, "should be positive"),
    ],
)  # fmt: skip
def test_one_hot_refuses_what_is_no_label(labels, classes, error, message):
    kind = cr.float32 if 0.5 in labels else cr.int64
    with pytest.raises(error, match=message):
        F.one_hot(cr.tensor(labels, dtype=kind), classes)


def test_hardtanh_and_gelu_refuse_impossible_options():
    for call in (lambda: nn.Hardtanh(2.0, 1.0), lambda: F.hardtanh(cr.ones(1), 2.0, 1.0)):
        with pytest.raises(ValueError, match=r"min_val 2\.0 cannot be greater"):
            call()
    for call in (lambda: nn.GELU("sigmoid"), lambda: F.gelu(cr.ones(1), "sigmoid")):
        with pytest.raises(ArgumentError, match="either none or tanh"):
            call()


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (3, 2, 5)])
def test_orthogonal_rows_or_columns_are_orthonormal_up_to_the_gain(shape):
    w = nn.init.orthogonal_(cr.zeros(*shape, dtype=cr.float64), gain=2.0).numpy().reshape(shape[0], -1)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=64 * np.finfo(float).eps)


@pytest.mark.parametrize(("mean", "std", "a", "b"), [(0.0, 1.0, -2.0, 2.0), (0.0, 1.0, 1.0, 1.5), (3.0, 0.5, 3.2, 9.0)])
def test_truncated_normal_numbers_have_the_moments_of_their_density(mean, std, a, b):
    x = nn.init.trunc_normal_(cr.zeros(40000, dtype=cr.float64), mean, std, a, b).numpy()
    assert x.min() >= a
    assert x.max() <= b
    grid = np.linspace(a, b, 200001)
    density = np.exp(-0.5 * ((grid - mean) / std) ** 2)
    density /= density.sum()
    want = (grid * density).sum()
    spread = np.sqrt(((grid - want) ** 2 * density).sum())
    assert abs(x.mean() - want) < 6 * spread / 200
    assert abs(x.std() - spread) < 6 * spread / 200


def test_truncated_normal_numbers_far_from_the_mean_come_with_a_warning():
    with pytest.warns(UserWarning, match="more than 2 std"):
        x = nn.init.trunc_normal_(cr.zeros(100), 0.0, 1.0, 30.0, 31.0)
    assert x.numpy().min() >= 30
    for a, b, std in ((2.0, 1.0, 1.0), (0.0, 1.0, 0.0)):
        with pytest.raises(ArgumentError, match="a < b and std > 0"):
            nn.init.trunc_normal_(cr.zeros(2), 0.0, std, a, b)


def test_initialisers_draw_from_the_given_generator_and_count_as_writes():
    draws = [nn.init.normal_(cr.zeros(5), generator=cr.Generator().manual_seed(4)).tolist() for _ in range(2)]
    assert draws[0] == draws[1]
    p = nn.Parameter(cr.ones(3))
    y = (p * p).sum()
    nn.init.zeros_(p)
    assert p.requires_grad
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        y.backward()


def test_clipping_survives_squares_that_overflow_and_counts_as_a_write():
    p = nn.Parameter(cr.ones(2))
    p.grad = cr.tensor([3e30, 4e30])
    assert nn.utils.clip_grad_norm_(p, 1.0).item() == pytest.approx(5e30, rel=1e-6)
    assert p.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-6)
    assert nn.utils.get_total_norm([]).item() == 0.0
    with pytest.warns(UserWarning, match="empty generator"):
        nn.utils.clip_grad_norm_((q for q in ()), 1.0)


@pytest.mark.parametrize("clip", [nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_])
def test_clipping_is_seen_by_a_graph_that_reads_the_gradient(clip):
    p = nn.Parameter(cr.ones(2))
    p.grad = cr.tensor([3.0, 4.0])
    y = (p * p.grad).sum()
    clip(p, 0.1)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        y.backward()


def test_a_vector_of_another_length_changes_no_parameter():
    layer = nn.Linear(2, 2)
    before = layer.weight.tolist()
    with pytest.raises(ShapeError, match="the parameters have 6 elements"):
        nn.utils.vector_to_parameters(cr.zeros(7), layer.parameters())
    assert layer.weight.tolist() == before
    with pytest.raises(TypeError, match="vec is a Tensor, not list"):
        nn.utils.vector_to_parameters([0.0] * 6, layer.parameters())
