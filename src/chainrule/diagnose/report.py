"""A diagnosis, and what a watch saw, as a document: for the terminal, as HTML, as JSON; in English and Chinese."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from math import exp, floor, inf, isfinite, log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.diagnose import pictures
from chainrule.diagnose.candidates import families_for
from chainrule.diagnose.findings import Finding
from chainrule.diagnose.ledger import CAUSES, Ledger
from chainrule.diagnose.origin import Origin
from chainrule.notation.blocks import text_of
from chainrule.notation.prose import Prose
from chainrule.notation.words import Words, words
from chainrule.report import (
    Bars,
    Block,
    Code,
    Document,
    Facts,
    Figure,
    Heading,
    Paragraph,
    Table,
    Value,
    to_html,
    to_text,
)
from chainrule.report.values import times_ten_to, written

if TYPE_CHECKING:
    from chainrule.diagnose.diagnosis import Diagnosis
    from chainrule.diagnose.remedies import Trials
    from chainrule.diagnose.watch import Event, Watch

PAGE_ROWS = 120
MOST_EVIDENCE = 6
MOST_FINDINGS, IN_FULL = 6, 2
"""In the terminal, and how many of them with what they mean; the page has all."""
TERMINAL = ((True, 14), (True, 9), (True, 5), (False, 14), (False, 8), (False, 4), (False, 2))
"""With a picture or without, and how many rows of layers: the first of these that has fewer lines than `LINES`."""
HISTOGRAMS_PRINTED = 6
"""In the terminal; the page has more."""
LINES = 60
WIDTH = 100
SHRINKS = log(10)
"""A gradient that changes less than tenfold keeps its size."""
UNDERFLOWS = 1e-30
"""What is smaller than this one layer before it is exactly 0 was rounded to 0; else something cut it off."""
BY_SLOPES = frozenset(("saturated", "dead units"))
"""Causes that a histogram of slopes shows best."""


def text(diagnosis: Diagnosis, lang: str = "en", *, width: int = WIDTH, trials: Trials | None = None) -> str:
    """A diagnosis for a terminal of so many columns: findings, what was tried, a picture, and the layers, in 60 lines.

    Raises:
        ArgumentError: for another language.
    """
    say = words(lang)
    head = [*_recommendation(trials, say), *_findings(diagnosis, say, trials, brief=True), *_remedies(trials, say)]
    sums = _by_cause(diagnosis.ledger, say)
    picture = _picture(diagnosis, say)
    printed = ""
    for with_picture, rows in TERMINAL:
        pictured = picture if with_picture else []
        blocks = [*head, *pictured, *sums, _layers(diagnosis.ledger, say, rows)]
        printed = to_text(Document(_title(diagnosis, say), _summary(diagnosis, say), blocks, lang), width)
        if printed.count("\n") < LINES:
            break
    return printed


def html(
    diagnosis: Diagnosis, path: str | Path | None = None, lang: str = "en", *, trials: Trials | None = None
) -> str:
    """A diagnosis as one HTML file that needs nothing else, written to `path`, as UTF-8, if that is given.

    Args:
        diagnosis: what `gradients` found.
        path: where to write it.
        lang: "en" or "zh".
        trials: what was tried, and what it did.

    Raises:
        ArgumentError: for another language.
    """
    page = to_html(document(diagnosis, lang, trials=trials))
    if path is not None:
        Path(path).write_text(page, "utf-8")
    return page


def document(diagnosis: Diagnosis, lang: str = "en", *, trials: Trials | None = None) -> Document:
    """The whole report as data."""
    say = words(lang)
    ledger = diagnosis.ledger
    blocks: list[Block] = [*_recommendation(trials, say), *_findings(diagnosis, say, trials), *_remedies(trials, say)]
    figures: list[Figure] = []
    if sum(row.counted for row in ledger.rows) > 1:
        figures += [*pictures.two_panels(ledger, diagnosis.predictions, say), pictures.ledger_chart(ledger, say)]
    histograms = pictures.slopes_chart(pictures.slopes_of(ledger), say)
    figures += [] if histograms is None else [histograms]
    blocks += [Heading(say.diagnosis.pictures), *figures] if figures else []
    blocks += [Heading(say.diagnosis.layers), _layers(ledger, say, PAGE_ROWS)]
    blocks += [Heading(say.diagnosis.parameters), _parameters(diagnosis, say)]
    blocks += [Heading(say.diagnosis.glossary), _glossary(ledger, say)]
    return Document(_title(diagnosis, say), _summary(diagnosis, say), blocks, lang)


def to_dict(diagnosis: Diagnosis, trials: Trials | None = None) -> dict[str, Any]:
    """Everything that a diagnosis holds as what JSON holds; numbers that are not finite are None."""
    content: dict[str, Any] = _plain(diagnosis)
    content["ledger"]["total"] = _plain(diagnosis.ledger.total)
    content["ledger"]["by_cause"] = _plain(diagnosis.ledger.by_cause)
    if trials is not None:
        tried = [
            {"name": one.name, "reason": one.reason, "code": one.code, "improves": one.improves}
            | {"failure": one.failure}
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
    return f"{labels.title}{labels.colon}{labels.comma_in_lists.join(causes)}"


def _summary(diagnosis: Diagnosis, say: Words) -> str:
    """What happens to the gradient, in a sentence or two."""
    ledger, end = diagnosis.ledger, diagnosis.ledger.ends_at
    counted = [row for row in ledger.rows if row.counted]
    origin = next((one for one in diagnosis.origins if one is not None), None)
    said: list[Prose] = []
    if len(counted) > (1 if end is not None else 0):  # of a single row that counts there is no way to speak of
        reached = counted[0] if end is None else ledger.rows[end.number - 1]
        change, speak = ledger.total, say.gradient_changes
        if abs(change) > SHRINKS:
            speak, change = (say.gradient_shrinks, -change) if change < 0 else (say.gradient_grows, change)
        said.append(speak(pictures.name_of(reached), factor(change), len(counted)))
    if end is not None and (end.why == "zero" or origin is None):
        lost = say.gradient_ends if end.why == "zero" else say.gradient_not_finite
        if end.why == "zero" and counted and counted[0].delta.rms < UNDERFLOWS:
            lost = say.gradient_underflows
        name = pictures.name_of(ledger.rows[end.number - 1])
        said.append(lost(name, end.op, text_of(say.inside(end.path, _short_path(end.where)))))
    if origin is not None:
        said.append(_origin(origin, say))
    return ("" if say.language == "zh" else " ").join(map(text_of, said))


def _origin(origin: Origin, say: Words) -> Prose:
    if origin.phase == "inputs":
        return say.not_finite_in_inputs()
    if origin.phase == "parameters":
        return say.not_finite_in_parameter(origin.path)
    speak = say.not_finite_forward if origin.phase == "forward" else say.not_finite_backward
    return speak(origin.op, text_of(say.inside(origin.path, _short_path(origin.where))))


def _short_path(where: str) -> str:
    """The user's line with its file's path from the working directory, where it lies below that."""
    return where.replace(f"{Path.cwd()}{os.sep}", "")


def _findings(diagnosis: Diagnosis, say: Words, trials: Trials | None, *, brief: bool = False) -> Iterator[Block]:
    labels = say.diagnosis
    yield Heading(labels.findings)
    if not diagnosis.findings:
        yield Paragraph(text_of(say.no_finding()))
    shown = diagnosis.findings[:MOST_FINDINGS] if brief else diagnosis.findings
    facts: list[tuple[str, Value]] = []
    for k, one in enumerate(shown, 1):
        lines = _lines(diagnosis, one, say, trials, in_full=not brief or k <= IN_FULL)
        facts.append((f"{k}. {labels.name(one.cause)}", "\n".join(lines)))
    yield from [Facts(facts)] if facts else []
    if len(shown) < len(diagnosis.findings):
        yield Paragraph(text_of(say.more_findings(len(diagnosis.findings) - len(shown))))
    # without predictions it is a module of PyTorch's, which `remedies` cannot change
    if trials is None and diagnosis.predictions and any(map(families_for, shown)):
        yield Paragraph(text_of(say.tried_with()))
    if diagnosis.optimizer is None:
        yield Paragraph(text_of(say.learning_rate_not_judged()))


def _lines(
    diagnosis: Diagnosis, finding: Finding, say: Words, trials: Trials | None, *, in_full: bool
) -> Iterator[str]:
    """A finding's mechanism, place and share; what that means; what may help where nothing was tried; the numbers."""
    labels = say.diagnosis
    head = [labels.name(finding.mechanism)] if finding.mechanism else []
    if finding.where and not _is_named(diagnosis, finding):
        head.append(f"{labels.where}{labels.colon}{_short_path(finding.where)}")
    head += [text_of(say.share_of_change(f"{100 * finding.share:.0f}%"))] if finding.share is not None else []
    yield " · ".join([*head, f"{labels.confidence} {floor(100 * finding.confidence)}%"])
    if not in_full:
        return
    meaning = labels.explains(finding.cause, finding.mechanism)
    yield from [meaning] if meaning else []
    families = [labels.families.get(family, family) for family in families_for(finding)]
    yield from [text_of(say.may_mend(families))] if families and trials is None else []
    yield from [_evidence(finding.evidence, say)] if finding.evidence else []


def _is_named(diagnosis: Diagnosis, finding: Finding) -> bool:
    """Whether the summary says already where: at the last layer that counts, or at the origin of what is not finite."""
    end = diagnosis.ledger.ends_at
    counted = [row.name for row in diagnosis.ledger.rows if row.counted]
    named = [*counted[:1], *([] if end is None else [end.name])]
    return finding.cause == "non-finite" or (finding.cause in ("vanishing", "exploding") and finding.where in named)


def _recommendation(trials: Trials | None, say: Words) -> Iterator[Block]:
    """What to do, with its measured effect, where something that was tried improved."""
    best = None if trials is None else trials.recommended
    if trials is None or best is None:
        return
    said = [say.recommends(say.diagnosis.name(best.name))]
    if best.after.end is not None and best.before.end is not None:
        said.append(say.improves_loss(_short(best.before.end), _short(best.after.end), trials.steps))
    gains = _gain(best.before.log_gain), _gain(best.after.log_gain)
    if gains[0] != gains[1]:
        said.append(say.improves_gain(*gains))
    yield Paragraph(("" if say.language == "zh" else " ").join(map(text_of, said)))


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
    columns += [f"{say.labels.loss.lower()} {before}", after] if trials.steps else []
    if lines:
        sides: Any = ["left", *["right"] * (len(columns) - 1), "center"]
        yield Table([*columns, labels.improves], lines, sides, text_of(say.reads_remedies()))
    best = trials.recommended
    if best is None:
        yield Paragraph(text_of(say.nothing_helps() if trials.tried else say.nothing_to_try()))
    else:
        yield Facts([(labels.recommended, labels.name(best.name)), (labels.reason, labels.name(best.reason))])
        yield Code(best.code, labels.code)


def _evidence(evidence: Mapping[str, float], say: Words) -> str:
    labels = say.diagnosis
    items = list(evidence.items())[:MOST_EVIDENCE]
    return labels.comma.join([f"{labels.name(name)} {_number(name, value)}" for name, value in items])


def _number(name: str, value: float) -> str:
    """A number of evidence: a count without decimals, a log gain with its factor."""
    if name.startswith("log gain"):
        return f"{_gain(value)} (×{factor(value)})"
    return written(int(value)) if value.is_integer() and abs(value) < 1e6 else written(value)


def _picture(diagnosis: Diagnosis, say: Words) -> list[Block]:
    """The picture that shows the primary cause best; [] for a healthy network."""
    ledger, primary = diagnosis.ledger, diagnosis.primary
    if primary is None:
        return []
    if primary.cause in BY_SLOPES:
        chart = pictures.slopes_chart(pictures.slopes_of(ledger), say, HISTOGRAMS_PRINTED)
        return [] if chart is None else [chart]
    changes = primary.cause in ("vanishing", "exploding") and ledger.total
    return [pictures.own_panel(ledger, diagnosis.predictions, say)] if changes else []


def _by_cause(ledger: Ledger, say: Words) -> list[Block]:
    sums = {cause: gain for cause, gain in ledger.by_cause.items() if gain}
    names = [say.diagnosis.name(cause) for cause in sums]
    bars = Bars(say.diagnosis.by_cause, [*names, say.diagnosis.total], [*sums.values(), ledger.total],
                say.diagnosis.log_gain)  # fmt: skip
    return [Figure(bars)] if len(sums) > 1 else []


def _glossary(ledger: Ledger, say: Words) -> Block:
    used = [cause for cause in CAUSES if any(row.log_gains.get(cause) for row in ledger.rows)]
    return Facts([say.diagnosis.terms[term] for term in ("z", "delta", "rms", "gain", *used)])


def _layers(ledger: Ledger, say: Words, most: int) -> Block:
    labels = say.diagnosis
    causes = [cause for cause in CAUSES if any(row.log_gains.get(cause) for row in ledger.rows)]
    with_units = any(row.silent for row in ledger.rows)
    columns = [
        say.labels.layer.lower(),
        labels.operator,
        "rms(z)",
        "rms(δ)",
        labels.log_gain,
        *map(labels.name, causes),
    ]
    columns += [labels.silent] if with_units else []
    lines: list[list[Value]] = []
    for row in _evenly(list(ledger.rows), most):
        operator = " ".join([row.op, *row.between[-1:]])
        line: list[Value] = [pictures.name_of(row), operator, _short(row.z.rms), _short(row.delta.rms)]
        line += [_gain(row.log_gain) if row.counted else None]
        line += [_gain(row.log_gains.get(cause) if row.counted else None) for cause in causes]
        line += [f"{len(row.silent)}/{row.units}" if row.slope is not None else None] if with_units else []
        lines.append(line)
    sides: Any = ["left", "left", *["right"] * (len(columns) - 2)]
    return Table(columns, lines, alignment=sides, caption=text_of(say.reads_layers()))


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
    columns = [labels.where, say.labels.shape, "rms(w)", "rms(dL/dw)", "rms(Δw) / rms(w)"]
    return Table(columns, lines, ["left", "left", "right", "right", "right"], text_of(say.reads_parameters()))


def _short(value: float) -> str:
    """A size in three digits."""
    if not isfinite(value):
        return written(value)
    rounded = float(f"{value:.3g}")
    if value == 0 or 1e-3 <= abs(rounded) < 1e4:
        return f"{rounded:g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return times_ten_to(mantissa, int(exponent))


def _gain(value: float | None) -> str:
    return "–" if value is None or not isfinite(value) else f"{value:+.2f}".replace("-", "−")


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
        yield _events(watch, say)
    if watch.looks:
        yield from pictures.heat_maps(watch, say, quantities)
        shares = {name: one.shares for name, one in watch.slopes.items() if one.shares is not None}
        histograms = pictures.slopes_chart(shares, say) if len(quantities) > 1 else None
        yield from [] if histograms is None else [histograms]


def _events(watch: Watch, say: Words) -> Block:
    """The events, those of one kind in one look together."""
    labels = say.diagnosis
    together: dict[tuple[str, str, int, int], list[Event]] = {}
    for event in watch.events:
        together.setdefault((event.kind, event.what, event.after + 1, event.step), []).append(event)
    lines: list[list[Value]] = []
    for (kind, what, first, last), events in together.items():
        where = labels.comma_in_lists.join([event.where for event in events])
        step = f"{first:,}–{last:,}" if first < last else f"{last:,}"
        named = labels.gradient if what == "gradient" else labels.name(what)
        largest = max(events, key=lambda event: event.value if isfinite(event.value) else inf)
        lines.append([labels.name(kind), where, named, step, _short(largest.value)])
    columns = [labels.cause, labels.where, say.labels.quantity, labels.step, say.labels.value]
    return Table(columns, lines, ["left", "left", "left", "right", "right"], labels.events)
