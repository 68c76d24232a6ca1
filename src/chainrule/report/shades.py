"""How deep a shade each value of a heat map has, and what the shades mean."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite, log

from chainrule.report.axis import SMALLEST
from chainrule.report.document import HeatMap
from chainrule.report.points import as_float, drawable
from chainrule.report.values import times_ten_to, written

LEVELS = 24
"""A shade is one of so many: more cannot be told apart, and neighbours that are alike share a rectangle."""


@dataclass(frozen=True)
class Shades:
    """The range from `low` to `high`, on a linear or logarithmic scale."""

    low: float
    high: float
    log: bool

    def depth(self, value: float | None) -> float | None:
        """How deep a value's shade is, from 0 to 1; None for what has none."""
        if not self.shows(value):
            return None
        low, high, x = (log(v) if self.log else v for v in (self.low, self.high, as_float(value)))
        return round((x - low) / (high - low) * LEVELS) / LEVELS if high > low else 0.5 if self.log else float(x > 0)

    def shows(self, value: float | None) -> bool:
        """True for what has a shade: finite, and positive on a logarithmic scale."""
        return drawable(value) and (not self.log or as_float(value) >= SMALLEST)

    def label(self, depth: float) -> str:
        """The value of a shade, in two digits on a logarithmic scale."""
        if not self.log:
            return written(self.low + depth * (self.high - self.low))
        mantissa, exponent = f"{exp(log(self.low) + depth * (log(self.high) - log(self.low))):.0e}".split("e")
        return times_ten_to(mantissa, int(exponent))


def shades_of(chart: HeatMap) -> Shades | None:
    """The shades that hold all values of a chart, and 0 if they are linear; None where there is nothing to show."""
    every = Shades(0.0, 0.0, chart.log)
    values = [as_float(v) for row in chart.values for v in row if every.shows(v)]
    if not values:
        marked = any((v is not None and not isfinite(v)) or v == 0 for row in chart.values for v in row)
        return Shades(1.0, 1.0, chart.log) if marked else None
    return Shades(min(values) if chart.log else min(0.0, *values), max(values), chart.log)
