"""A diagnosis, and what a watch saw, as a document: for the terminal, as HTML, as JSON; in English and Chinese."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from math import exp, floor, isfinite, log
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
    from chainrule.diagnose.remedies import Trials
    from chainrule.diagnose.watch import Watch

TERMINAL_ROWS = 14
PAGE_ROWS = 120
MOST_EVIDENCE = 6
MOST_FINDINGS = 6
"""In the terminal; the page has all."""
LINES = 60
WIDTH = 100


def text(diagnosis: Diagnosis, lang: str = "en", trials: Trials | None = None) -> str:
    """A diagnosis for the terminal: findings, what was tried, the causes' sums, and the layers; under 60 lines."""
    say = words(lang)
    head = [*_summary(diagnosis, say), *_findings(diagnosis, say, brief=True), *_remedies(trials, say)]
    sums = _by_cause(diagnosis.ledger, say)
    printed = ""
    for rows in (TERMINAL_ROWS, 8, 4, 2):
        blocks = [*head, sums, _layers(diagnosis.ledger, say, rows)]
        printed = to_text(Document(_title(diagnosis, say), "", blocks, lang), WIDTH)
        if printed.count("\n") < LINES:
            break
    return printed


def html(
    diagnosis: Diagnosis,
    path: str | Path | None = None,
    lang: str = "en",
    *,
    preflight: Preflight | None = None,
    activations: Mapping[str, Activation] | None = None,
    trials: Trials | None = None,
) -> str:
    """A diagnosis as one HTML file that needs nothing else, written to `path` if that is given.

    Args:
        diagnosis: what `gradients` found.
        path: where to write it, as UTF-8.
        lang: "en" or "zh".
        preflight: the prediction to draw beside the measurement.
        activations: what modules returned, for the histograms.
        trials: what was tried, and what it did.

    Raises:
        ArgumentError: for another language.
    """
    page = to_html(document(diagnosis, lang, preflight=preflight, activations=activations, trials=trials))
    if path is not None:
        Path(path).write_text(page, "utf-8")
    return page


def document(
    diagnosis: Diagnosis,
    lang: str = "en",
    *,
    preflight: Preflight | None = None,
    activations: Mapping[str, Activation] | None = None,
    trials: Trials | None = None,
) -> Document:
    """The whole report as data."""
    say = words(lang)
    ledger = diagnosis.ledger
    blocks: list[Block] = [*_summary(diagnosis, say), *_findings(diagnosis, say), *_remedies(trials, say)]
    if any(row.counted for row in ledger.rows):
        blocks += pictures.two_panels(ledger, preflight, say)
        blocks.append(pictures.ledger_chart(ledger, say))
    histograms = pictures.slopes_chart(activations, say) if activations is not None else None
    blocks += [] if histograms is None else [histograms]
    blocks += [Heading(say.diagnosis.layers), _layers(ledger, say, PAGE_ROWS)]
    blocks.append(_parameters(diagnosis, say))
    return Document(_title(diagnosis, say), "", blocks, lang)


def to_dict(diagnosis: Diagnosis, trials: Trials | None = None) -> dict[str, Any]:
    """Everything that a diagnosis holds as what JSON holds; numbers that are not finite are None."""
    content: dict[str, Any] = _plain(diagnosis)
    content["ledger"]["total"] = _plain(diagnosis.ledger.total)
    content["ledger"]["by_cause"] = _plain(diagnosis.ledger.by_cause)
    if trials is not None:
        tried = [
            {"name": one.name, "code": one.code, "improves": one.improves, "failure": one.failure}
            | {"before": _plain(one.before), "after": _plain(one.after)}
            for one in trials.tried
        ]
        best = trials.recommended
        content["remedies"] = {
            "steps": trials.steps, "held_out": trials.held_out, "tried": tried,
            "recommended": None if best is None else best.name,
        }  # fmt: skip
    return content


def as_json(diagnosis: Diagnosis, trials: Trials | None = None) -> str:
    """The same as text."""
    return json.dumps(to_dict(diagnosis, trials), ensure_ascii=False)


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
    exponent = log_gain / log(10)
    whole = floor(exponent + 0.02)  # 9.95 and more would be written as 10.0
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


def _findings(diagnosis: Diagnosis, say: Words, *, brief: bool = False) -> Iterator[Block]:
    labels = say.diagnosis
    yield Heading(labels.findings)
    if not diagnosis.findings:
        yield Paragraph(text_of(say.no_finding()))
    shown = diagnosis.findings[:MOST_FINDINGS] if brief else diagnosis.findings
    if shown:
        yield Facts([(f"{k}. {labels.name(f.cause)}", _headline(f, say)) for k, f in enumerate(shown, 1)])
    if len(shown) < len(diagnosis.findings):
        yield Paragraph(text_of(say.more_findings(len(diagnosis.findings) - len(shown))))
    if diagnosis.optimizer is None:
        yield Paragraph(text_of(say.learning_rate_not_judged()))


def _headline(finding: Finding, say: Words) -> str:
    labels = say.diagnosis
    parts = [labels.name(finding.mechanism)] if finding.mechanism else []
    parts += [f"{labels.where} {finding.where}"] if finding.where else []
    parts += [f"{labels.share} {100 * finding.share:.0f}%"] if finding.share is not None else []
    parts += [f"{labels.confidence} {100 * finding.confidence:.0f}%"]
    parts += [f"{labels.evidence}: {_evidence(finding.evidence)}"] if finding.evidence else []
    return " · ".join(parts)


def _remedies(trials: Trials | None, say: Words) -> Iterator[Block]:
    """Every remedy that was tried, before and after; the code of the one that is recommended, if any improved."""
    if trials is None:
        return
    labels = say.diagnosis
    yield Heading(labels.remedies)
    lines: list[list[Value]] = []
    for one in trials.tried:
        mark = "✓" if one.improves else "–"
        losses: list[Value] = [None, None]
        if one.after.end is not None and one.before.end is not None:
            losses = [_short(one.before.end), _short(one.after.end)]
        after = one.failure or _gain(one.after.log_gain)
        lines.append(
            [labels.name(one.name), _gain(one.before.log_gain), after, *(losses if trials.steps else ()), mark]
        )
    gain, before, after = labels.log_gain, say.labels.before, say.labels.after
    columns = [labels.remedy, f"{gain} {before}", after]
    columns += [f"{say.labels.loss} {before}", after] if trials.steps else []
    if lines:
        yield Table([*columns, labels.recommended], lines)
    best = trials.recommended
    if best is None:
        yield Paragraph(text_of(say.nothing_helps()))
    else:
        yield Facts([(labels.recommended, labels.name(best.name)), (labels.code, best.code)])


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
