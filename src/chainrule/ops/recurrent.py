"""Recurrent layers, lstm, gru and rnn: one direction of one layer over all time steps.

What the inputs give to a step does not depend on the step before: `x` is that share, W_ih x_t + b_ih + b_hh, of all
steps, which the caller computes as one product (`linear`). Only W_hh h_{t-1} is left to the loop, whose length is
static: a reader that records it gets the unrolled program. The gradient of W_hh is one product, too.
"""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.errors import ArgumentError, ShapeError
from chainrule.ops.kinds import composite
from chainrule.ops.maths import Maths, Value
from chainrule.shapes import Shape


def at(m: Maths, v: Value, step: int) -> Value:
    """One step of (T, ...)."""
    return m.slice(v, key=(step,))


def parts(m: Maths, v: Value, count: int) -> tuple[Value, ...]:
    """The last axis in equal parts: what belongs to each gate."""
    n = v.shape[-1] // count
    lead = (slice(None),) * (len(v.shape) - 1)
    return tuple([m.slice(v, key=(*lead, slice(k * n, (k + 1) * n))) for k in range(count)])


def stacked(m: Maths, steps: Iterable[Value], *lead: int) -> Value:
    """Values of one shape along new first axes: (T, ...), or of the given sizes."""
    values = list(steps)
    return m.reshape(m.cat(*values, axis=0), shape=(*(lead or (len(values),)), *values[0].shape))


def in_rows(m: Maths, v: Value) -> Value:
    """(T, B, n) as the rows (T B, n) of a matrix."""
    return m.reshape(v, shape=(v.shape[0] * v.shape[1], v.shape[2]))


def weight_cotangent(m: Maths, g: Value, h: Value) -> Value:
    """That of W_hh from those of W_hh h of all steps: the sum over steps and rows is one product."""
    return m.matmul(m.mT(in_rows(m, g)), in_rows(m, h))


def check_recurrence(name: str, gates: int, x: Shape, w_hh: Shape, *states: Shape) -> None:
    """Raises ShapeError unless x is (T, B, gates H) with T > 0, w_hh (gates H, H) and each state (B, H)."""
    if len(w_hh) != 2 or w_hh[0] != gates * w_hh[1]:
        raise ShapeError(f"{name}: w_hh {w_hh} is not ({gates} H, H)")
    if len(x) != 3 or x[0] == 0 or x[2] != w_hh[0]:
        raise ShapeError(f"{name}: x {x} is not (T, B, {w_hh[0]}) with one step or more")
    if any(s != (x[1], w_hh[1]) for s in states):
        given = " and ".join(map(str, states))
        raise ShapeError(f"{name}: the initial state is {(x[1], w_hh[1])} for this x and w_hh, not {given}")


@composite(takes="float", source="Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000")
def lstm(m: Maths, x: Value, h0: Value, c0: Value, w_hh: Value) -> Value:
    """All states, (2, T + 1, B, H): y[0, t] is h_t and y[1, t] is c_t, the initial ones at t = 0.

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of the quarters of x_t + W_hh h_{t-1};
    c_t = f c_{t-1} + i g and h_t = o tanh(c_t). x is (T, B, 4 H), h0 and c0 are (B, H), w_hh is (4 H, H).
    """
    return lstm_with_gates(m, x, h0, c0, w_hh)[0]


@lstm.compute(keeps=("gates",))
def lstm_with_gates(m: Maths, x: Value, h0: Value, c0: Value, w_hh: Value) -> tuple[Value, Value]:
    """The states, and i, f, g, o of all steps, (T, B, 4 H)."""
    h, c, w = [h0], [c0], m.mT(w_hh)
    gates = []
    for t in range(x.shape[0]):
        before_i, before_f, before_g, before_o = parts(m, at(m, x, t) + m.matmul(h[-1], w), 4)
        i, f, g, o = m.sigmoid(before_i), m.sigmoid(before_f), m.tanh(before_g), m.sigmoid(before_o)
        gates.append(m.cat(i, f, g, o, axis=-1))
        c.append(f * c[-1] + i * g)
        h.append(o * m.tanh(c[-1]))
    return stacked(m, [*h, *c], 2, len(h)), stacked(m, gates)


@lstm.pullback("x", "h0", "c0", "w_hh")
def through_time(
    m: Maths, g: Value, y: Value, x: Value, h0: Value, c0: Value, w_hh: Value, gates: Value
) -> tuple[Value, Value, Value, Value]:
    steps = gates.shape[0]
    earlier, later = slice(0, steps), slice(1, steps + 1)
    i, f, a, o = parts(m, gates, 4)
    tanh_c = m.tanh(m.slice(y, key=(1, later)))
    # dc/di, dc/df, dc/dg and dh/do before their sigmoid or tanh, of all steps at once
    slope_i, slope_f = a * i * (1 - i), m.slice(y, key=(1, earlier)) * f * (1 - f)
    slopes = m.cat(slope_i, slope_f, i * (1 - a * a), tanh_c * o * (1 - o), axis=-1)
    h_by_c = o * (1 - tanh_c * tanh_c)
    gh, gc = m.slice(g, key=(0,)), m.slice(g, key=(1,))
    h, c = at(m, gh, steps), at(m, gc, steps)  # the cotangents of h_t and c_t
    gx = []
    for t in range(steps - 1, -1, -1):
        c = c + h * at(m, h_by_c, t)
        gx.append(m.cat(c, c, c, h, axis=-1) * at(m, slopes, t))
        h = at(m, gh, t) + m.matmul(gx[-1], w_hh)
        c = at(m, gc, t) + c * at(m, f, t)
    all_gx = stacked(m, reversed(gx))
    return all_gx, h, c, weight_cotangent(m, all_gx, m.slice(y, key=(0, earlier)))


@lstm.shape
def states_of_all_steps(x: Shape, h0: Shape, c0: Shape, w_hh: Shape) -> Shape:
    check_recurrence("lstm", 4, x, w_hh, h0, c0)
    return (2, x[0] + 1, *h0)


@composite(takes="float", source="Cho et al. 2014; the bias inside the reset gate as in cuDNN and PyTorch")
def gru(m: Maths, x: Value, h0: Value, w_hh: Value, b_hh: Value = None) -> Value:
    """All states, (T + 1, B, H): y[t] is h_t, the initial one at t = 0.

    With s = W_hh h_{t-1} + b_hh: r, z = sigmoid of the first two thirds of x_t + s, n = tanh of the last third of
    x_t + r s, and h_t = (1 - z) n + z h_{t-1}. x is (T, B, 3 H), h0 is (B, H), w_hh is (3 H, H), b_hh is (3 H,).
    """
    return gru_with_gates(m, x, h0, w_hh, b_hh)[0]


@gru.compute(keeps=("gates",))
def gru_with_gates(m: Maths, x: Value, h0: Value, w_hh: Value, b_hh: Value = None) -> tuple[Value, Value]:
    """The states; and r, z, n and the last third of s of all steps, (T, B, 4 H)."""
    h, gates = [h0], []
    for t in range(x.shape[0]):
        x_r, x_z, x_n = parts(m, at(m, x, t), 3)
        s_r, s_z, s_n = parts(m, m.linear(h[-1], w_hh, b_hh), 3)
        r, z = m.sigmoid(x_r + s_r), m.sigmoid(x_z + s_z)
        n = m.tanh(x_n + r * s_n)
        gates.append(m.cat(r, z, n, s_n, axis=-1))
        h.append(n + z * (h[-1] - n))
    return stacked(m, h), stacked(m, gates)


@gru.pullback("x", "h0", "w_hh", "b_hh")
def through_time_and_reset(
    m: Maths, g: Value, y: Value, x: Value, h0: Value, w_hh: Value, b_hh: Value, gates: Value
) -> tuple[Value, Value, Value, Value]:
    steps = gates.shape[0]
    r, z, n, s_n = parts(m, gates, 4)
    before = m.slice(y, key=(slice(0, steps),))
    # dh/dr and dh/dz before their sigmoid, dh/ds_n, and dh/dn before its tanh, of all steps at once
    slope_n = (1 - z) * (1 - n * n)
    slopes = m.cat(slope_n * s_n * r * (1 - r), (before - n) * z * (1 - z), slope_n * r, slope_n, axis=-1)
    h = at(m, g, steps)
    cotangents = []
    for t in range(steps - 1, -1, -1):
        cotangents.append(m.cat(h, h, h, h, axis=-1) * at(m, slopes, t))
        g_r, g_z, g_s, _ = parts(m, cotangents[-1], 4)
        h = at(m, g, t) + h * at(m, z, t) + m.matmul(m.cat(g_r, g_z, g_s, axis=-1), w_hh)
    g_r, g_z, g_s, g_n = parts(m, stacked(m, reversed(cotangents)), 4)
    gs = m.cat(g_r, g_z, g_s, axis=-1)
    return m.cat(g_r, g_z, g_n, axis=-1), h, weight_cotangent(m, gs, before), m.sum(in_rows(m, gs), axis=(0,))


@gru.shape
def gru_states(x: Shape, h0: Shape, w_hh: Shape, b_hh: Shape | None = None) -> Shape:
    check_recurrence("gru", 3, x, w_hh, h0)
    if b_hh is not None and b_hh != w_hh[:1]:
        raise ShapeError(f"gru: b_hh {b_hh} is not {w_hh[:1]}")
    return (x[0] + 1, *h0)


@composite(takes="float", source="Elman 1990")
def rnn(m: Maths, x: Value, h0: Value, w_hh: Value, *, nonlinearity: str = "tanh") -> Value:
    """All states, (T + 1, B, H): y[t] is h_t = tanh, or relu, of x_t + W_hh h_{t-1}, the initial one at t = 0.

    x is (T, B, H), h0 is (B, H), w_hh is (H, H).
    """
    h, w, activation = [h0], m.mT(w_hh), m.relu if nonlinearity == "relu" else m.tanh
    for t in range(x.shape[0]):
        h.append(activation(at(m, x, t) + m.matmul(h[-1], w)))
    return stacked(m, h)


@rnn.pullback("x", "h0", "w_hh")
def through_time_and_activation(
    m: Maths, g: Value, y: Value, w_hh: Value, nonlinearity: str
) -> tuple[Value, Value, Value]:
    steps = y.shape[0] - 1
    h, gx = at(m, g, steps), []
    for t in range(steps, 0, -1):
        after = at(m, y, t)
        gx.append(m.where(after <= 0, 0, h) if nonlinearity == "relu" else h * (1 - after * after))
        h = at(m, g, t - 1) + m.matmul(gx[-1], w_hh)
    all_gx = stacked(m, reversed(gx))
    return all_gx, h, weight_cotangent(m, all_gx, m.slice(y, key=(slice(0, steps),)))


@rnn.shape
def rnn_states(x: Shape, h0: Shape, w_hh: Shape, *, nonlinearity: str = "tanh") -> Shape:
    if nonlinearity not in ("tanh", "relu"):
        raise ArgumentError(f"rnn: nonlinearity is 'tanh' or 'relu', not {nonlinearity!r}")
    check_recurrence("rnn", 1, x, w_hh, h0)
    return (x[0] + 1, *h0)


LSTM_X = [[[0.5, -1.0, 2.0, 0.25, -0.5, 1.0, 1.5, -2.0]], [[-0.75, 0.5, 0.1, 1.25, 0.3, -0.4, -1.0, 0.6]]]
LSTM_W = [
    [0.5, -0.25], [1.0, 0.75], [-0.5, 0.3], [0.2, -1.0], [0.6, 0.4], [-0.3, 0.8], [0.9, -0.7], [0.1, 0.45],
]  # fmt: skip
BATCH = [[row[0], row[0][::-1], [2 * v for v in row[0]]] for row in LSTM_X]
STATE, CELL = [[0.5, -0.25]], [[-1.0, 0.75]]
lstm.cases(
    (LSTM_X, STATE, CELL, LSTM_W), (LSTM_X[:1], STATE, CELL, LSTM_W),
    (BATCH, [*STATE, *CELL, *STATE], [*CELL, *STATE, *CELL], LSTM_W),
)  # fmt: skip
lstm.cases(([[[700.0, -700.0, 700.0, -700.0, 30.0, -30.0, 700.0, 30.0]]], STATE, CELL, LSTM_W), tag="extreme")
lstm.cases(
    (LSTM_X, STATE, [0.5, 1.0], LSTM_W), (LSTM_X[0], STATE, CELL, LSTM_W), (LSTM_X, STATE, CELL, LSTM_W[:4]),
    tag="rejected",
)  # fmt: skip

GRU_X, GRU_BATCH = [[row[:6] for row in step] for step in LSTM_X], [[row[:6] for row in step] for step in BATCH]
GRU_W, GRU_B = LSTM_W[:6], [0.5, -0.25, 1.0, 0.1, -0.6, 0.3]
gru.cases(
    (GRU_X, STATE, GRU_W), (GRU_X, STATE, GRU_W, GRU_B), (GRU_X[:1], STATE, GRU_W, GRU_B),
    (GRU_BATCH, [*STATE, *CELL, *STATE], GRU_W, GRU_B),
)  # fmt: skip
gru.cases(([[[700.0, -700.0, 30.0, 700.0, 700.0, -30.0]]], STATE, GRU_W, GRU_B), tag="extreme")
gru.cases((GRU_X, STATE, GRU_W, [1.0, 2.0]), (GRU_X[0], STATE, GRU_W), (GRU_X, STATE, LSTM_W), tag="rejected")

RNN_X, RNN_BATCH = [[row[:2] for row in step] for step in LSTM_X], [[row[:2] for row in step] for step in BATCH]
RNN_W = LSTM_W[:2]
for options in ({}, {"nonlinearity": "relu"}):
    rnn.cases(
        (RNN_X, STATE, RNN_W, options), (RNN_X[:1], STATE, RNN_W, options),
        (RNN_BATCH, [*STATE, *CELL, *STATE], RNN_W, options),
    )  # fmt: skip
rnn.cases(([[[0.25, -0.5]]], [[0.0, 0.0]], RNN_W, {"nonlinearity": "relu"}), tag="typical")
rnn.cases(([[[0.0, 0.0]]], [[0.0, 0.0]], RNN_W, {"nonlinearity": "relu"}), tag="kink")
rnn.cases((RNN_X, STATE, RNN_W, {"nonlinearity": "sin"}), (RNN_X, [0.5, 1.0], RNN_W), tag="rejected")
