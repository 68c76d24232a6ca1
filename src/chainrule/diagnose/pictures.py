"""The pictures of a diagnosis: gradients over depth in two panels, the ledger, slopes, and layers over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import exp, isfinite

from chainrule.diagnose.ledger import CAUSES, Ledger, Row
from chainrule.diagnose.measure import BINS
from chainrule.diagnose.preflight import Prediction
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


def two_panels(ledger: Ledger, predictions: Sequence[Prediction], say: Words) -> list[Figure]:
    """The gradient's size over depth, vanishing on the left, exploding on the right; the network where it belongs.

    Beside it stand the prediction, if there is one, and what constant factors per layer make.
    """
    labels = say.diagnosis
    own = [Series(labels.measured, *_sizes([(row.log_gain if row.counted else None) for row in ledger.rows]))]
    expected = _sizes([one.log_gain for one in predictions])
    if len(expected[0]) > 2:
        own.append(Series(labels.predicted, *expected))
    depth = len(ledger.rows)
    figures = []
    for side, factors, shown in (
        (labels.vanishing_side, SHRINKING, ledger.total < EVEN),
        (labels.exploding_side, GROWING, ledger.total > -EVEN),
    ):
        beside = [_constant(factor, depth, say) for factor in factors]
        series = [*own, *beside] if shown else beside
        chart = LineChart(side, labels.depth, labels.relative, series, log_y=True, log_label=labels.log_scale)
        figures.append(Figure(chart, text_of(say.reads_panels() if shown else say.in_other_panel())))
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
    return Series(say.diagnosis.times_per_layer.format(f"{factor:g}"), xs, [factor**x for x in xs], is_reference=True)


def own_panel(ledger: Ledger, predictions: Sequence[Prediction], say: Words) -> Figure:
    """The panel of the two in which the network stands."""
    left, right = two_panels(ledger, predictions, say)
    return Figure((left if ledger.total < 0 else right).chart)


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
    names = [name_of(group[0]) if len(group) == 1 else _name_of_several(group) for group in groups]
    caption = text_of(say.reads_ledger()) + (" " + text_of(say.layers_together(together)) if together > 1 else "")
    chart = StackedBars(labels.ledger, names, stacks, labels.log_gain, labels.total)
    return Figure(chart, caption)


def name_of(row: Row) -> str:
    """A layer's name, with its time step if it has one."""
    return row.name if row.step is None else f"{row.name} t={row.step}"


def _name_of_several(rows: Sequence[Row]) -> str:
    last, *_, first = rows
    together = first.name == last.name and first.step is not None
    return f"{name_of(first)}–{last.step if together else name_of(last)}"


def slopes_of(ledger: Ledger) -> dict[str, Sequence[float]]:
    """The histogram of the slopes of each layer's activation, from the output back."""
    return {name_of(row): row.steepness for row in ledger.rows[::-1] if row.steepness is not None}


def slopes_chart(shares: Mapping[str, Sequence[float]], say: Words, most: int = MOST_HISTOGRAMS) -> Figure | None:
    """A histogram of slopes for each activation; of many the flattest and evenly chosen others. None without any."""
    if not shares:
        return None
    names = list(shares)
    if len(names) > most:
        places = {round(i * (len(names) - 1) / (most - 2)) for i in range(most - 1)}
        places.add(max(range(len(names)), key=lambda k: shares[names[k]][0]))
        names = [names[k] for k in sorted(places)]
    chart = Histograms(
        say.diagnosis.histograms,
        names,
        [k / BINS for k in range(BINS + 1)],
        [shares[name] for name in names],
        "|φ′(z)| / sup |φ′|",
        [f"{say.diagnosis.flat} {100 * shares[name][0]:.0f}%" for name in names],
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
