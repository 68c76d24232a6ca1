"""An explanation as a document to go on with: LaTeX and Markdown, modules as headings, equal ones as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from chainrule.explain.step import (
    CallSteps,
    EqualCalls,
    Flow,
    Fold,
    Item,
    Step,
    chain_of,
    row_names,
    shape_text,
    size_text,
)
from chainrule.notation.boxes import Operator
from chainrule.notation.prose import Prose
from chainrule.notation.tex import escaped, tex
from chainrule.notation.words import Words, words

if TYPE_CHECKING:
    from chainrule.explain.explanation import Explanation

ARROW = Operator("→", "mark")


def in_latex(explanation: Explanation) -> str:
    """The derivation as LaTeX for a document with amsmath and amssymb; in Chinese with ctex too."""
    return "\n".join(_parts(explanation, _Latex())) + "\n"


def in_markdown(explanation: Explanation) -> str:
    """The derivation as Markdown with formulas between dollar signs."""
    return "\n\n".join(_parts(explanation, _Markdown())) + "\n"


class _Language(Protocol):
    """What a document is written in."""

    def heading(self, text: str, level: int) -> str: ...
    def formula(self, formula: str) -> str: ...
    def prose(self, prose: Prose) -> str: ...
    def table(self, head: list[Prose], rows: list[list[Prose]]) -> str: ...


def _parts(explanation: Explanation, written: _Language) -> Iterator[str]:
    said = words(explanation.language)
    parts = [written.heading(written.prose(explanation.title), 1), written.prose(explanation.note)]
    for section in explanation.sections:
        parts.append(written.heading(written.prose((section.title,)), 2))
        for item in section.items:
            parts += _item(item, written, said, 3)
        parts.append(written.prose(section.note))
    yield from [part for part in parts if part]


def _item(item: Item, written: _Language, said: Words, level: int) -> Iterator[str]:
    match item:
        case Step():
            yield written.formula(tex(chain_of(item)))
            yield written.prose(item.why)
        case Fold():
            yield written.prose(said.repeated(item.first, item.last, item.count))
            for one in item.block:
                yield written.formula(tex(chain_of(one, numbers=False)))
                yield written.prose(one.why)
        case CallSteps():
            yield written.heading(written.prose((f"{item.path} ({item.kind})",)), level)
            yield written.prose(flows(item.enters, item.leaves, said))
            for inner in item.items:
                yield from _item(inner, written, said, level + 1)
        case EqualCalls():
            yield written.prose(said.equal_calls(*item.ends, item.first.kind, len(item.calls)))
            yield written.table(*table(item, said))
            yield from _item(item.first, written, said, level)


def flows(enters: tuple[Flow, ...], leaves: tuple[Flow, ...], said: Words) -> Prose:
    """What enters a module and what leaves it, with shapes and sizes."""
    parts: list[Prose] = [*_listed(enters, said), (" ", ARROW, " "), *_listed(leaves, said)]
    return tuple([part for prose in parts for part in prose])


def _listed(some: tuple[Flow, ...], said: Words) -> Iterator[Prose]:
    for i, one in enumerate(some):
        shape = f" {shape_text(one.shape)}" if one.shape else ""
        yield (*((", ",) if i else ()), *flow_name(one, said), f"{shape} (rms {size_text(one.rms)})")


def flow_name(flow: Flow, said: Words) -> Prose:
    """What flows, and whether it is only a part of that."""
    return (flow.box,) if flow.whole else said.part_of(flow.box)


def table(equal: EqualCalls, said: Words) -> tuple[list[Prose], list[list[Prose]]]:
    """The head and the rows of the table of equal calls: what enters and leaves each, and how large it is."""
    labels, first = said.labels, equal.first
    head: list[Prose] = [(labels.module,)]
    for label, some in ((labels.enters, first.enters), (labels.leaves, first.leaves)):
        for _ in some:
            head += [(label,), ("rms",)]
    head += [(labels.parameters + ", rms",)] if first.parameters is not None else []
    rows: list[list[Prose]] = []
    for name, call in zip(row_names(equal), equal.calls, strict=True):
        cells: list[Prose] = [(name,)]
        for flow in (*call.enters, *call.leaves):
            cells += [flow_name(flow, said), (size_text(flow.rms),)]
        cells += [(size_text(call.parameters),)] if call.parameters is not None else []
        rows.append(cells)
    return head, rows


# ---- LaTeX --------------------------------------------------------------------------------------------------------


class _Latex:
    LEVELS = ("section*", "subsection*", "subsubsection*", "paragraph", "subparagraph")

    def heading(self, text: str, level: int) -> str:
        return rf"\{self.LEVELS[min(level, len(self.LEVELS)) - 1]}{{{text}}}"

    def formula(self, formula: str) -> str:
        return rf"\[ {formula} \]"

    def prose(self, prose: Prose) -> str:
        return "".join([escaped(part) if isinstance(part, str) else f"${tex(part)}$" for part in prose])

    def table(self, head: list[Prose], rows: list[list[Prose]]) -> str:
        top, *lines = [" & ".join(map(self.prose, row)) + r" \\" for row in (head, *rows)]
        columns = "l" * len(head)
        return "\n".join([rf"\begin{{tabular}}{{{columns}}}", rf"{top} \hline", *lines, r"\end{tabular}"])


# ---- Markdown -----------------------------------------------------------------------------------------------------


class _Markdown:
    def heading(self, text: str, level: int) -> str:
        return f"{'#' * min(level, 6)} {text}"

    def formula(self, formula: str) -> str:
        return f"$$ {formula} $$"

    def prose(self, prose: Prose) -> str:
        return "".join([part if isinstance(part, str) else f"${tex(part)}$" for part in prose])

    def table(self, head: list[Prose], rows: list[list[Prose]]) -> str:
        lines = ["| " + " | ".join(map(self.prose, row)) + " |" for row in (head, *rows)]
        return "\n".join([lines[0], "| --- " * len(head) + "|", *lines[1:]])
