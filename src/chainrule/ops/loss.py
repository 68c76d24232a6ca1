"""Losses: how far a prediction is from its target, for each element or put together to one number."""

from __future__ import annotations

from math import prod

from chainrule import shapes
from chainrule.errors import ArgumentError, ShapeError
from chainrule.ops.kinds import composite
from chainrule.ops.maths import Maths, Value
from chainrule.shapes import Shape

X, T = [[0.5, -1.0, 2.0], [1.0, 1.5, -0.5]], [[0.25, 1.0, 1.5], [0.75, -1.0, 2.0]]
REDUCTIONS = ("none", "mean", "sum")


def together(m: Maths, each: Value, reduction: str) -> Value:
    """The losses of all elements as they are ("none"), their mean, or their sum."""
    if reduction == "none":
        return each
    return m.mean(each) if reduction == "mean" else m.sum(each)


def apart(g: Value, shape: Shape, reduction: str) -> Value:
    """The cotangent of each element's loss, from that of the reduced loss (a number, which broadcasts)."""
    return g / max(prod(shape), 1) if reduction == "mean" else g


def check_reduction(reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ArgumentError(f"{reduction!r} is not a valid value for reduction; there are {', '.join(REDUCTIONS)}")


def elementwise_loss_shape(x: Shape, target: Shape, *rest: Shape | None, reduction: str = "mean", **_: object) -> Shape:
    check_reduction(reduction)
    if x != target:
        raise ShapeError(f"the prediction {x} and the target {target} differ in shape")
    return x if reduction == "none" else ()


@composite(takes="float", converts=True, source="Bishop 2006, eq. 1.2")
def mse_loss(m: Maths, x: Value, target: Value, *, reduction: str = "mean") -> Value:
    """(x - target)^2, the squared error."""
    return together(m, m.square(x - target), reduction)


@mse_loss.pullback("x", "target")
def twice_the_difference(m: Maths, g: Value, x: Value, target: Value, reduction: str) -> tuple[Value, Value]:
    gx = (x - target) * (2 * apart(g, x.shape, reduction))
    return gx, -gx


@composite(takes="float", converts=True)
def l1_loss(m: Maths, x: Value, target: Value, *, reduction: str = "mean") -> Value:
    """|x - target|, the absolute error; the slope at equality is 0."""
    return together(m, m.abs(x - target), reduction)


@l1_loss.pullback("x", "target")
def side(m: Maths, g: Value, x: Value, target: Value, reduction: str) -> tuple[Value, Value]:
    gx = m.sign(x - target) * apart(g, x.shape, reduction)
    return gx, -gx


@composite(takes="float", converts=True, source="Huber 1964")
def huber_loss(m: Maths, x: Value, target: Value, *, delta: float = 1.0, reduction: str = "mean") -> Value:
    """d^2/2 for |d| <= delta, else delta (|d| - delta/2), with d = x - target."""
    d = m.abs(x - target)
    return together(m, m.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta)), reduction)


@huber_loss.pullback("x", "target")
def clipped_difference(
    m: Maths, g: Value, x: Value, target: Value, delta: float, reduction: str
) -> tuple[Value, Value]:
    gx = m.clamp(x - target, min=-delta, max=delta) * apart(g, x.shape, reduction)
    return gx, -gx


@composite(takes="float", converts=True, source="Girshick 2015")
def smooth_l1_loss(m: Maths, x: Value, target: Value, *, beta: float = 1.0, reduction: str = "mean") -> Value:
    """d^2/(2 beta) for |d| < beta, else |d| - beta/2: huber_loss divided by beta. beta is positive."""
    d = m.abs(x - target)
    return together(m, m.where(d < beta, (0.5 / beta) * d * d, d - 0.5 * beta), reduction)


@smooth_l1_loss.pullback("x", "target")
def clipped_ratio(m: Maths, g: Value, x: Value, target: Value, beta: float, reduction: str) -> tuple[Value, Value]:
    gx = m.clamp((x - target) / beta, min=-1.0, max=1.0) * apart(g, x.shape, reduction)
    return gx, -gx


for loss in (mse_loss, l1_loss, huber_loss, smooth_l1_loss):
    loss.shape(elementwise_loss_shape)
    loss.cases(*[(X, T, {"reduction": r}) for r in REDUCTIONS])
    loss.cases((X, [1.0, 2.0]), tag="rejected")
l1_loss.cases(([1.0], [1.0]), tag="kink")
huber_loss.cases((X, T, {"delta": 0.4}))
smooth_l1_loss.cases((X, T, {"beta": 0.4}))


@composite(takes="float", converts=True, source="Bishop 2006, eq. 4.90")
def binary_cross_entropy(m: Maths, x: Value, target: Value, weight: Value = None, *, reduction: str = "mean") -> Value:
    """-(t log x + (1 - t) log(1 - x)) for a probability x; each logarithm is at least -100, as in PyTorch."""
    each = -(target * m.clamp(m.log(x), min=-100.0) + (1 - target) * m.clamp(m.log1p(-x), min=-100.0))
    return together(m, each if weight is None else each * weight, reduction)


@binary_cross_entropy.pullback("x")
def difference_by_variance(m: Maths, g: Value, x: Value, target: Value, weight: Value, reduction: str) -> Value:
    gx = (x - target) / m.clamp(x * (1 - x), min=1e-12) * apart(g, x.shape, reduction)
    return gx if weight is None else gx * weight


@binary_cross_entropy.pullback("target")
def minus_log_odds(m: Maths, g: Value, x: Value, weight: Value, reduction: str) -> Value:
    gt = (m.clamp(m.log1p(-x), min=-100.0) - m.clamp(m.log(x), min=-100.0)) * apart(g, x.shape, reduction)
    return gt if weight is None else gt * weight


P, Q = [[0.3, 0.8, 0.55]], [[0.0, 1.0, 0.4]]
binary_cross_entropy.shape(elementwise_loss_shape)
binary_cross_entropy.cases(*[(P, Q, {"reduction": r}) for r in REDUCTIONS], (P, Q, [[1.0, 2.0, 0.5]]))
binary_cross_entropy.cases((P, [1.0]), tag="rejected")
binary_cross_entropy.cases(([0.0, 1.0], [0.0, 1.0]), tag="kink")


@composite(takes="float", converts=True, source="Bishop 2006, eq. 4.90, of sigmoid(x)")
def binary_cross_entropy_with_logits(
    m: Maths, x: Value, target: Value, weight: Value = None, pos_weight: Value = None, *, reduction: str = "mean"
) -> Value:
    """-(p t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), p the weight of positive targets."""
    each = (1 - target) * x - (1 + ((1 if pos_weight is None else pos_weight) - 1) * target) * m.logsigmoid(x)
    return together(m, each if weight is None else each * weight, reduction)


@binary_cross_entropy_with_logits.pullback("x")
def probability_minus_truth(
    m: Maths, g: Value, x: Value, target: Value, weight: Value, pos_weight: Value, reduction: str
) -> Value:
    s = m.sigmoid(x)
    gx = s - target if pos_weight is None else (1 - target) * s - pos_weight * target * m.sigmoid(-x)
    gx = gx * apart(g, x.shape, reduction)
    return gx if weight is None else gx * weight


@binary_cross_entropy_with_logits.pullback("target")
def minus_logit(m: Maths, g: Value, x: Value, weight: Value, pos_weight: Value, reduction: str) -> Value:
    gt = -x if pos_weight is None else -x - (pos_weight - 1) * m.logsigmoid(x)
    gt = gt * apart(g, x.shape, reduction)
    return gt if weight is None else gt * weight


binary_cross_entropy_with_logits.shape(elementwise_loss_shape)
binary_cross_entropy_with_logits.cases(
    *[(X, T, {"reduction": r}) for r in REDUCTIONS],
    (X, T, T),
    (X, T, None, [2.0, 0.5, 3.0]),
    (X, T, T, [2.0, 0.5, 3.0]),
)
binary_cross_entropy_with_logits.cases(([-800.0, 800.0], [1.0, 0.0]), tag="extreme")


@composite(takes="float", converts=True, source="Kullback and Leibler 1951")
def kl_div(m: Maths, x: Value, target: Value, *, log_target: bool = False, reduction: str = "mean") -> Value:
    """target (log target - x) for log-probabilities x, and 0 where the target is 0; log_target: target is a log too."""
    if log_target:
        return together(m, m.exp(target) * (target - x), reduction)
    none = m.eq(target, 0)
    return together(m, m.where(none, 0, target * (m.log(m.where(none, 1, target)) - x)), reduction)


@kl_div.pullback("x")
def minus_target(m: Maths, g: Value, x_shape: Shape, target: Value, log_target: bool, reduction: str) -> Value:
    return -(m.exp(target) if log_target else target) * apart(g, x_shape, reduction)


@kl_div.pullback("target")
def log_ratio_plus_one(m: Maths, g: Value, x: Value, target: Value, log_target: bool, reduction: str) -> Value:
    g = apart(g, x.shape, reduction)
    if log_target:
        return m.exp(target) * (target - x + 1) * g
    none = m.eq(target, 0)
    return m.where(none, 0, (m.log(m.where(none, 1, target)) + 1 - x) * g)


LOG_P, TRUE_P = [[-1.0, -0.7, -1.8]], [[0.2, 0.5, 0.3]]
kl_div.shape(elementwise_loss_shape)
kl_div.cases(*[(LOG_P, TRUE_P, {"reduction": r}) for r in REDUCTIONS], (LOG_P, LOG_P, {"log_target": True}))
kl_div.cases(([[-1.0, -0.7]], [[0.0, 1.0]]), tag="kink")

# ---- class labels: x is (rows, classes), target (rows,) ----------------------------------------------------


def rows_and_labels(
    x: Shape, target: Shape, weight: Shape | None = None, *, reduction: str = "mean", **_: object
) -> Shape:
    check_reduction(reduction)
    if len(x) != 2 or target != x[:1]:
        raise ShapeError(f"{x} is not (rows, classes) with one label a row, {target}")
    if x[1] == 0:
        raise ShapeError(f"{x} has no classes")
    if weight is not None and weight != x[1:]:
        raise ShapeError(f"weight {weight} is not one number for each of the {x[1]} classes")
    return target if reduction == "none" else ()


def label_weights(m: Maths, x: Value, target: Value, weight: Value, ignore_index: int) -> tuple[Value, Value]:
    """The labels with the ignored ones at class 0, as a column, and the weight of each row (0: ignored)."""
    counted = m.ne(target, ignore_index)
    column = m.reshape(m.where(counted, target, 0), shape=(x.shape[0], 1))
    w = m.cast(counted, dtype=x.dtype)
    if weight is not None:
        w = w * m.take(weight, m.reshape(column, shape=(x.shape[0],)), key=(None,))
    return column, w


def weighted_together(m: Maths, each: Value, w: Value, reduction: str) -> Value:
    """The mean is over the weight of the rows that count."""
    if reduction == "none":
        return each
    return m.sum(each) / m.sum(w) if reduction == "mean" else m.sum(each)


def row_cotangents(m: Maths, g: Value, w: Value, reduction: str) -> Value:
    """The cotangent of each row's loss, as a column."""
    g = g / m.sum(w) if reduction == "mean" else g
    return m.reshape(g * (1 + 0 * w), shape=(*w.shape, 1))


@composite(takes="float", promotes=("x", "weight"))
def nll_loss(
    m: Maths, x: Value, target: Value, weight: Value = None, *, ignore_index: int = -100, reduction: str = "mean"
) -> Value:
    """-w[t] x[row, t] for log-probabilities x; the mean is weighted by w[t]."""
    column, w = label_weights(m, x, target, weight, ignore_index)
    each = -w * m.reshape(m.gather(x, column, axis=1), shape=target.shape)
    return weighted_together(m, each, w, reduction)


@nll_loss.pullback("x")
def minus_weight_at_the_label(
    m: Maths, g: Value, x: Value, target: Value, weight: Value, ignore_index: int, reduction: str
) -> Value:
    column, w = label_weights(m, x, target, weight, ignore_index)
    at_label = row_cotangents(m, g, w, reduction) * m.reshape(-w, shape=(*w.shape, 1))
    return m.put_along(at_label, column, axis=1, shape=x.shape)


@composite(takes="float", promotes=("x", "weight"), source="Bishop 2006, eq. 4.108")
def cross_entropy(
    m: Maths,
    x: Value,
    target: Value,
    weight: Value = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Value:
    """-log softmax(x)[row, t], weighted by w[t]; smoothing e mixes in e/C of every class's weighted loss."""
    logp = m.log_softmax(x, axis=-1)
    column, w = label_weights(m, x, target, weight, ignore_index)
    each = -w * m.reshape(m.gather(logp, column, axis=1), shape=target.shape)
    if label_smoothing:
        spread = m.sum(logp if weight is None else logp * weight, axis=-1)
        uniform = m.where(m.ne(target, ignore_index), spread, 0)
        each = (1 - label_smoothing) * each - (label_smoothing / x.shape[-1]) * uniform
    return weighted_together(m, each, w, reduction)


@cross_entropy.compute(keeps=("lse",))
def by_log_sum_exp(
    m: Maths,
    x: Value,
    target: Value,
    weight: Value = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Value, Value]:
    top = m.amax(x, axis=-1, keepdims=True)
    lse = top + m.log(m.sum(m.exp(x - top), axis=-1, keepdims=True))  # one number a row: cheap to keep
    column, w = label_weights(m, x, target, weight, ignore_index)
    each = w * m.reshape(lse - m.gather(x, column, axis=1), shape=target.shape)
    if label_smoothing:
        spread = m.sum(lse - x if weight is None else (lse - x) * weight, axis=-1)
        uniform = m.where(m.ne(target, ignore_index), spread, 0)
        each = (1 - label_smoothing) * each + (label_smoothing / x.shape[-1]) * uniform
    return weighted_together(m, each, w, reduction), lse


@composite(takes="float", promotes=("g", "x", "weight"), converts=False)
def cross_entropy_backward(
    m: Maths,
    g: Value,
    x: Value,
    target: Value,
    weight: Value,
    lse: Value,
    *,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
) -> Value:
    """The cotangent of cross_entropy's logits, w[t] (softmax(x) - truth): an operator, so that a reader can fuse it."""
    column, w = label_weights(m, x, target, weight, ignore_index)
    classes = x.shape[-1]
    at_label = m.reshape((1 - label_smoothing) * w, shape=(*w.shape, 1))
    p = m.exp(x - lse)
    gx = at_label * (p - m.one_hot(m.reshape(column, shape=target.shape), classes=classes, dtype=x.dtype))
    if label_smoothing:
        counted = m.cast(m.ne(target, ignore_index), dtype=x.dtype)
        every = (label_smoothing / classes) * m.reshape(counted, shape=(*w.shape, 1))
        gx = gx + every * (p * classes - 1 if weight is None else p * m.sum(weight) - weight)
    return gx * row_cotangents(m, g, w, reduction)


cross_entropy_backward.shape(lambda g, x, target, weight, lse, **_: x)


@cross_entropy.pullback("x")
def probabilities_minus_truth(
    m: Maths,
    g: Value,
    x: Value,
    target: Value,
    weight: Value,
    lse: Value,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
) -> Value:
    options = {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}
    return m.cross_entropy_backward(g, x, target, weight, lse, **options)


LABELS, WEIGHTS = [2, 0], [1.0, 2.0, 0.5]
LSE = [[2.241311296657157], [2.054956919641991]]  # log sum e^x of each row of X
BACKWARD = {"ignore_index": -100, "label_smoothing": 0.0, "reduction": "mean"}
cross_entropy_backward.cases(
    (1.5, X, LABELS, None, LSE, BACKWARD), (1.5, X, LABELS, WEIGHTS, LSE, {**BACKWARD, "label_smoothing": 0.3}),
    ([0.5, 2.0], X, LABELS, None, LSE, {**BACKWARD, "reduction": "none"}), (1.5, X, [2, -100], None, LSE, BACKWARD),
)  # fmt: skip
for loss in (nll_loss, cross_entropy):
    loss.shape(rows_and_labels)
    loss.cases(
        *[(X, LABELS, {"reduction": r}) for r in REDUCTIONS],
        *[(X, LABELS, WEIGHTS, {"reduction": r}) for r in REDUCTIONS],
        (X, [2, -100]), (X, [1, 0], {"ignore_index": 1}),
    )  # fmt: skip
    loss.cases((X, [0, 1, 2]), (X, LABELS, [1.0]), tag="rejected")
cross_entropy.cases((X, LABELS, {"label_smoothing": 0.1}), (X, [2, -100], WEIGHTS, {"label_smoothing": 0.3}))
cross_entropy.cases(([[800.0, -800.0, 799.0]], [1]), tag="extreme")


@composite(takes="float", converts=True, source="Bishop 2006, eq. 4.108")
def cross_entropy_of_probabilities(
    m: Maths, x: Value, target: Value, weight: Value = None, *, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Value:
    """-sum_c w_c t_c log softmax(x)[row, c] for target probabilities t; the mean is over the rows."""
    each = -m.sum(smoothed(target, weight, label_smoothing) * m.log_softmax(x, axis=-1), axis=-1)
    return together(m, each, reduction)


def smoothed(target: Value, weight: Value, label_smoothing: float) -> Value:
    """w_c ((1 - e) t_c + e/C)."""
    if label_smoothing:
        target = (1 - label_smoothing) * target + label_smoothing / target.shape[-1]
    return target if weight is None else target * weight


@cross_entropy_of_probabilities.pullback("x")
def total_times_probability_minus_target(
    m: Maths, g: Value, x: Value, target: Value, weight: Value, label_smoothing: float, reduction: str
) -> Value:
    t = smoothed(target, weight, label_smoothing)
    g = apart(g, x.shape[:-1], reduction) if reduction != "none" else m.reshape(g, shape=(*x.shape[:-1], 1))
    return (m.softmax(x, axis=-1) * m.sum(t, axis=-1, keepdims=True) - t) * g


@cross_entropy_of_probabilities.pullback("target")
def minus_log_probability(m: Maths, g: Value, x: Value, weight: Value, label_smoothing: float, reduction: str) -> Value:
    g = apart(g, x.shape[:-1], reduction) if reduction != "none" else m.reshape(g, shape=(*x.shape[:-1], 1))
    gt = -(1 - label_smoothing) * m.log_softmax(x, axis=-1) * g
    return gt if weight is None else gt * weight


@cross_entropy_of_probabilities.shape
def rows_of_probabilities(
    x: Shape, target: Shape, weight: Shape | None = None, *, reduction: str = "mean", **_: object
) -> Shape:
    check_reduction(reduction)
    if len(x) != 2 or target != x:
        raise ShapeError(f"{x} is not (rows, classes) with target probabilities of the same shape, {target}")
    return shapes.reduced(x, -1, False) if reduction == "none" else ()


SOFT = [[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]]
cross_entropy_of_probabilities.cases(
    *[(X, SOFT, {"reduction": r}) for r in REDUCTIONS], (X, SOFT, WEIGHTS), (X, SOFT, WEIGHTS, {"label_smoothing": 0.2})
)
cross_entropy_of_probabilities.cases((X, [0.0, 1.0]), tag="rejected")
