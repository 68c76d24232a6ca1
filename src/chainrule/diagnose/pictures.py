"""The pictures of a diagnosis: gradients over depth in two panels, the ledger, slopes, and layers over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import exp, isfinite

from chainrule.diagnose.activations import BINS, FLAT, Activation
from chainrule.diagnose.ledger import CAUSES, Ledger, Row
from chainrule.diagnose.preflight import Preflight
from chainrule.diagnose.watch import Quantity, Watch
from chainrule.notation.blocks import text_of
from chainrule.notation.words import Words
from chainrule.report import Figure, HeatMap, Histograms, LineChart, Series, Stack, StackedBars

MOST_BARS = 40
"""Of more layers, neighbours share a bar: logarithms of gains add up, so that nothing is lost."""
MOST_HISTOGRAMS = 12
SHRINKING, GROWING = (0.9, 0.5), (1.1, 1.5)
"""Factors per layer to compare with: 0.9^100 is 2.7e-5 and 1.1^100 is 1.4e4."""
EVEN = 0.5
"""A change of the logarithm by less than this is drawn on both sides."""
LEAST = 1e-280


def two_panels(ledger: Ledger, preflight: Preflight | None, say: Words) -> list[Figure]:
    """The gradient's size over depth, vanishing on the left, exploding on the right; the network where it belongs.

    Beside it stand the prediction, if there is one, and what constant factors per layer make.
    """
    labels = say.diagnosis
    own = [Series(labels.measured, *_sizes([(row.log_gain if row.counted else None) for row in ledger.rows]))]
    if preflight is not None:
        own.append(Series(labels.predicted, *_sizes([one.log_gain for one in preflight.predictions])))
    depth = len(ledger.rows)
    figures = []
    for side, factors, shown in (
        (labels.vanishing_side, SHRINKING, ledger.total < EVEN),
        (labels.exploding_side, GROWING, ledger.total > -EVEN),
    ):
        beside = [_constant(factor, depth, say) for factor in factors]
        series = [*own, *beside] if shown else beside
        chart = LineChart(side, labels.depth, "rms(δ)", series, log_y=True, log_label=labels.log_scale)
        figures.append(Figure(chart, text_of(say.reads_panels()) if shown else ""))
    return figures


def _sizes(gains: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """How far back, and the size relative to the output, from the last layer to the first; until a gain is unknown."""
    total, xs, ys = 0.0, [0.0], [1.0]
    for back, gain in enumerate(reversed(gains), 1):
        if gain is None or not isfinite(gain) or abs(total + gain) > 640:
            break
        total += gain
        xs.append(float(back))
        ys.append(exp(total))
    return xs, ys


def _constant(factor: float, depth: int, say: Words) -> Series:
    xs = [float(back) for back in range(depth + 1) if LEAST < factor**back < 1 / LEAST]
    return Series(f"{factor:g} {say.diagnosis.times_per_layer}", xs, [factor**x for x in xs])


def ledger_chart(ledger: Ledger, say: Words) -> Figure:
    """What each cause adds to the log gain of each layer; the layer at the output is the topmost bar."""
    labels = say.diagnosis
    rows = [row for row in ledger.rows[::-1] if row.counted]
    together = -(-len(rows) // MOST_BARS) or 1
    groups = [rows[start : start + together] for start in range(0, len(rows), together)]
    causes = [cause for cause in CAUSES if any(row.log_gains.get(cause) for row in rows)]
    stacks = [
        Stack(labels.name(cause), [sum([row.log_gains.get(cause, 0.0) for row in group]) for group in groups])
        for cause in causes
    ]
    names = [name_of(group[0]) if len(group) == 1 else f"{name_of(group[-1])}–{name_of(group[0])}" for group in groups]
    caption = text_of(say.reads_ledger()) + (" " + text_of(say.layers_together(together)) if together > 1 else "")
    chart = StackedBars(labels.ledger, names, stacks, f"{labels.log_gain} log rms(δ)", labels.total)
    return Figure(chart, caption)


def name_of(row: Row) -> str:
    """A layer's name, with its time step if it has one."""
    return row.name if row.step is None else f"{row.name} t={row.step}"


def slopes_chart(found: Mapping[str, Activation], say: Words) -> Figure | None:
    """A histogram of slopes for each activation; of many the flattest and evenly chosen others. None without any."""
    capped = [(name, one) for name, one in found.items() if one.shares is not None]
    if not capped:
        return None
    chosen = capped
    if len(capped) > MOST_HISTOGRAMS:
        step = (len(capped) - 1) / (MOST_HISTOGRAMS - 2)
        places = {round(i * step) for i in range(MOST_HISTOGRAMS - 1)}
        places.add(max(range(len(capped)), key=lambda k: capped[k][1].flat or 0.0))
        chosen = [capped[k] for k in sorted(places)]
    chart = Histograms(
        say.diagnosis.histograms,
        [name for name, _ in chosen],
        [k / BINS for k in range(BINS + 1)],
        [one.shares or () for _, one in chosen],
        "|φ′(z)| / sup |φ′|",
        [f"< {FLAT:g}: {100 * (one.flat or 0.0):.0f}%" for _, one in chosen],
    )
    return Figure(chart, text_of(say.reads_histograms()))


def heat_maps(watch: Watch, say: Words, quantities: Sequence[Quantity]) -> Iterator[Figure]:
    """A heat map of layers over time for each quantity that was seen."""
    steps = [f"{look.step:,}" for look in watch.looks]
    for quantity in quantities:
        series = watch.series(quantity)
        if not series:
            continue
        title = say.diagnosis.name(quantity)
        is_share = quantity in ("flat", "dead")
        chart = HeatMap(title, list(series), steps, list(series.values()), say.diagnosis.step, title, log=not is_share)
        yield Figure(chart, text_of(say.reads_heat_map()) if quantity == quantities[0] else "")
