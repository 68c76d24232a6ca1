"""A diagnosis, and what a watch saw, as a document: for the terminal, as HTML, as JSON; in English and Chinese."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from math import exp, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.diagnose import pictures
from chainrule.diagnose.activations import Activation
from chainrule.diagnose.findings import Finding
from chainrule.diagnose.ledger import CAUSES, Ledger
from chainrule.notation.blocks import text_of
from chainrule.notation.words import Words, words
from chainrule.report import Bars, Block, Document, Facts, Figure, Heading, Paragraph, Table, Value, to_html, to_text
from chainrule.report.values import times_ten_to, written

if TYPE_CHECKING:
    from chainrule.diagnose.diagnosis import Diagnosis
    from chainrule.diagnose.preflight import Preflight
    from chainrule.diagnose.watch import Watch

TERMINAL_ROWS = 14
PAGE_ROWS = 120
MOST_EVIDENCE = 6
WIDTH = 100


def text(diagnosis: Diagnosis, lang: str = "en", remedies: Sequence[Block] = ()) -> str:
    """A diagnosis for the terminal: findings, the causes' sums, and the layers, in fewer than 60 lines."""
    say = words(lang)
    blocks = [*_summary(diagnosis, say), *_findings(diagnosis, say), *remedies]
    blocks.append(_by_cause(diagnosis.ledger, say))
    blocks.append(_layers(diagnosis.ledger, say, TERMINAL_ROWS))
    return to_text(Document(_title(diagnosis, say), "", blocks, lang), WIDTH)


def html(
    diagnosis: Diagnosis,
    path: str | Path | None = None,
    lang: str = "en",
    *,
    preflight: Preflight | None = None,
    activations: Mapping[str, Activation] | None = None,
    remedies: Sequence[Block] = (),
) -> str:
    """A diagnosis as one HTML file that needs nothing else, written to `path` if that is given.

    Args:
        diagnosis: what `gradients` found.
        path: where to write it, as UTF-8.
        lang: "en" or "zh".
        preflight: the prediction to draw beside the measurement.
        activations: what modules returned, for the histograms.
        remedies: what was tried, as blocks.

    Raises:
        ArgumentError: for another language.
    """
    page = to_html(document(diagnosis, lang, preflight=preflight, activations=activations, remedies=remedies))
    if path is not None:
        Path(path).write_text(page, "utf-8")
    return page


def document(
    diagnosis: Diagnosis,
    lang: str = "en",
    *,
    preflight: Preflight | None = None,
    activations: Mapping[str, Activation] | None = None,
    remedies: Sequence[Block] = (),
) -> Document:
    """The whole report as data."""
    say = words(lang)
    ledger = diagnosis.ledger
    blocks: list[Block] = [*_summary(diagnosis, say), *_findings(diagnosis, say), *remedies]
    if any(row.counted for row in ledger.rows):
        blocks += pictures.two_panels(ledger, preflight, say)
        blocks.append(pictures.ledger_chart(ledger, say))
    histograms = pictures.slopes_chart(activations, say) if activations is not None else None
    blocks += [] if histograms is None else [histograms]
    blocks += [Heading(say.diagnosis.layers), _layers(ledger, say, PAGE_ROWS)]
    blocks.append(_parameters(diagnosis, say))
    return Document(_title(diagnosis, say), "", blocks, lang)


def to_dict(diagnosis: Any) -> dict[str, Any]:
    """Everything that a diagnosis holds as what JSON holds; numbers that are not finite are None."""
    content: dict[str, Any] = _plain(diagnosis)
    content["ledger"]["total"] = _plain(diagnosis.ledger.total)
    content["ledger"]["by_cause"] = _plain(diagnosis.ledger.by_cause)
    return content


def as_json(diagnosis: Any) -> str:
    """The same as text."""
    return json.dumps(to_dict(diagnosis), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, frozenset | set):
        return sorted(map(_plain, value))
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if isinstance(value, str | int | bool) or value is None else str(value)


# ---- what it says ------------------------------------------------------------------------------------------


def factor(log_gain: float) -> str:
    """exp of a logarithm, also where no float can hold it."""
    if abs(log_gain) < 690:
        return written(exp(log_gain))
    exponent = log_gain / 2.302585092994046
    whole = int(exponent // 1)
    return times_ten_to(f"{10 ** (exponent - whole):.1f}", whole)


def _title(diagnosis: Diagnosis, say: Words) -> str:
    labels = say.diagnosis
    causes = list(dict.fromkeys([labels.name(one.cause) for one in diagnosis.findings])) or [labels.healthy]
    return f"{labels.title}: {', '.join(causes)}"


def _summary(diagnosis: Diagnosis, say: Words) -> Iterator[Block]:
    ledger = diagnosis.ledger
    counted = [row for row in ledger.rows if row.counted]
    if counted:
        first = pictures.name_of(counted[0])
        yield Paragraph(text_of(say.gradient_changes(first, factor(ledger.total), len(counted))))
    end = ledger.ends_at
    if end is not None:
        speak = say.gradient_ends if end.why == "zero" else say.gradient_not_finite
        yield Paragraph(text_of(speak(end.name, end.op, end.where)))
    origin = next((one for one in diagnosis.origins if one is not None), None)
    if origin is not None:
        where = " ".join(filter(None, (origin.path, origin.where)))
        yield Paragraph(text_of(say.starts_not_finite(origin.op or origin.phase, where, origin.phase)))


def _findings(diagnosis: Diagnosis, say: Words) -> Iterator[Block]:
    labels = say.diagnosis
    yield Heading(labels.findings)
    if not diagnosis.findings:
        yield Paragraph(text_of(say.no_finding()))
    for number, finding in enumerate(diagnosis.findings, 1):
        yield Paragraph(f"{number}. {_headline(finding, say)}")
        yield Facts(
            [
                (labels.mechanism, finding.mechanism),
                (labels.evidence, _evidence(finding.evidence)),
            ]
        )
    if diagnosis.optimizer is None:
        yield Paragraph(text_of(say.learning_rate_not_judged()))


def _headline(finding: Finding, say: Words) -> str:
    labels = say.diagnosis
    parts = [labels.name(finding.cause)]
    if finding.where:
        parts.append(f"{labels.where} {finding.where}")
    if finding.share is not None:
        parts.append(f"{labels.share} {100 * finding.share:.0f}%")
    parts.append(f"{labels.confidence} {100 * finding.confidence:.0f}%")
    return " · ".join(parts)


def _evidence(evidence: Mapping[str, Any]) -> str:
    items = list(evidence.items())[:MOST_EVIDENCE]
    return ", ".join([f"{name} {written(v)}" for name, v in items]) or "–"


def _by_cause(ledger: Ledger, say: Words) -> Block:
    sums = {cause: gain for cause, gain in ledger.by_cause.items() if gain}
    names = [say.diagnosis.name(cause) for cause in sums]
    bars = Bars(say.diagnosis.ledger, [*names, say.diagnosis.total], [*sums.values(), ledger.total],
                f"{say.diagnosis.log_gain} log rms(δ)")  # fmt: skip
    return Figure(bars)


def _layers(ledger: Ledger, say: Words, most: int) -> Block:
    labels = say.diagnosis
    causes = [cause for cause in CAUSES if any(row.log_gains.get(cause) for row in ledger.rows)]
    with_units = any(row.silent for row in ledger.rows)
    columns = [say.labels.layer, labels.operator, "rms(z)", "rms(δ)", labels.log_gain, *map(labels.name, causes)]
    columns += [labels.silent] if with_units else []
    lines: list[list[Value]] = []
    for row in _evenly(list(ledger.rows), most):
        operator = " ".join([row.op, *row.between[-1:]])
        line: list[Value] = [pictures.name_of(row), operator, _short(row.z.rms), _short(row.delta.rms)]
        line += [_gain(row.log_gain) if row.counted else None]
        line += [_gain(row.log_gains.get(cause)) for cause in causes]
        line += [f"{len(row.silent)}/{row.units}" if row.slope is not None else None] if with_units else []
        lines.append(line)
    sides: Any = ["left", "left", *["right"] * (len(columns) - 2)]
    return Table(columns, lines, alignment=sides)


def _evenly(rows: list[Any], most: int) -> list[Any]:
    """The rows, the output's first; of more than so many, evenly chosen ones with both ends."""
    rows = rows[::-1]
    if len(rows) <= most:
        return rows
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def _parameters(diagnosis: Diagnosis, say: Words) -> Block:
    labels = say.diagnosis
    lines: list[list[Value]] = []
    for one in diagnosis.parameters[:PAGE_ROWS]:
        ratio: Value = labels.not_judged if diagnosis.optimizer is None else None
        if one.update_ratio is not None:
            ratio = _short(one.update_ratio)
        gradient = None if one.gradient is None else _short(one.gradient.rms)
        lines.append([one.name, "×".join(map(str, one.shape)), _short(one.weight.rms), gradient, ratio])
    columns = [labels.where, say.labels.shape, labels.name("weight"), labels.name("gradient"), labels.name("update")]
    return Table(columns, lines, alignment=["left", "left", "right", "right", "right"])


def _short(value: float) -> str:
    """A size in three digits."""
    if not isfinite(value):
        return written(value)
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return times_ten_to(mantissa, int(exponent))


def _gain(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


# ---- a watch -----------------------------------------------------------------------------------------------


def watch_text(watch: Watch, lang: str = "en") -> str:
    """What a watch saw, for the terminal."""
    say = words(lang)
    return to_text(Document(say.diagnosis.training, "", [*watch_blocks(watch, say, ("gradient",))], lang), WIDTH)


def watch_html(watch: Watch, path: str | Path | None = None, lang: str = "en") -> str:
    """What a watch saw as one HTML file, written to `path` if that is given."""
    say = words(lang)
    page = to_html(Document(say.diagnosis.training, "", [*watch_blocks(watch, say)], lang))
    if path is not None:
        Path(path).write_text(page, "utf-8")
    return page


def watch_blocks(
    watch: Watch,
    say: Words,
    quantities: Sequence[Any] = ("gradient", "weight", "update", "activation", "flat", "dead"),
) -> Iterator[Block]:
    """What a watch saw: the events, a heat map for each quantity, the slopes at the last look."""
    yield Paragraph(text_of(say.watched(watch.steps, len(watch.looks), f"{100 * watch.overhead:.2g}%")))
    if watch.events:
        labels = say.diagnosis
        lines: list[list[Value]] = [
            [labels.name(e.kind), e.where, e.what, f"{e.after + 1:,}–{e.step:,}", _short(e.value)] for e in watch.events
        ]
        columns = [labels.cause, labels.where, labels.operator, labels.step, say.labels.value]
        yield Table(columns, lines, caption=labels.events)
    if watch.looks:
        yield from pictures.heat_maps(watch, say, quantities)
        histograms = pictures.slopes_chart(watch.slopes, say) if len(quantities) > 1 else None
        yield from [] if histograms is None else [histograms]
