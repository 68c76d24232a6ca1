"""An Explanation: the steps of a derivation, and how it is shown in a terminal, a notebook, a file, a program."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.explain.fold import folded
from chainrule.explain.run import Run
from chainrule.explain.step import Fold, Item, Section, Step, chain_of, shape_text, text_of
from chainrule.notation.boxes import Box, Chain
from chainrule.notation.conventions import Convention
from chainrule.notation.names import name_box
from chainrule.notation.numbers import shown
from chainrule.notation.plain import plain
from chainrule.notation.prose import Prose
from chainrule.notation.tex import tex
from chainrule.notation.typeset import typeset
from chainrule.notation.words import Words, words

LINES = 200
"""A printed explanation has fewer lines than this, unless it is to be full."""

NAMES = 16
"""So many names are listed where there is not room for all."""

WIDTH = 110
ELIDED = 36
"""An array of more elements than this has its norm and range beside it."""


@dataclass(frozen=True)
class Name:
    """What a symbol is: what the user calls it, and its shape."""

    symbol: str
    box: Box
    called: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Explanation:
    """How a gradient, or an update, follows.

    Attributes:
        title: what is explained.
        steps: every step in order: `symbol`, `formula`, `numbers`, `value`, `shape`, `reason`, `recomputed`.
        sections: the steps under their titles; equal layers folded.
        convention, language: how it is written.
    """

    title: Prose
    note: Prose
    names: tuple[Name, ...]
    sections: tuple[Section, ...]
    convention: Convention
    language: str
    full: bool = False
    run: Run | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in order; folded ones once."""
        return tuple([step for section in self.sections for step in section.steps])

    def __getitem__(self, symbol: str) -> Step:
        """The step of a symbol, such as `"dL/dz2"`: the last one that says what it is.

        Raises:
            KeyError: there is none.
        """
        for one in reversed(self.steps):
            if one.symbol == symbol:
                return one
        raise KeyError(symbol)

    # ---- text ------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def to_text(self, width: int = WIDTH) -> str:
        """The derivation for a terminal: under 200 lines, in less detail where there is much, unless it is full."""
        said = words(self.language)
        details = (3,) if self.full else (3, 2, 1)
        lines: list[str] = []
        for detail in details:
            lines = list(self._lines(said, width, detail))
            if len(lines) < LINES:
                return "\n".join(lines)
        return "\n".join(lines if self.full else _cut(lines, said))

    def _lines(self, said: Words, width: int, detail: int) -> Iterator[str]:
        yield text_of(self.title)
        if self.note:
            yield text_of(self.note)
        if self.names and detail > 1:
            yield ""
            yield said.labels.names
            mentioned = self._mentioned()
            names = [name for name in self.names if name.symbol in mentioned]
            for name in names if detail > 2 else names[:NAMES]:
                yield f"    {plain(name.box)}  {name.called}  {shape_text(name.shape)}".rstrip()
        for section in self.sections:
            yield ""
            yield section.title
            for item in section.items:
                yield from self._item_lines(item, said, width, detail)
            if section.note:
                yield from wrapped(text_of(section.note), width, "    ")

    def _mentioned(self) -> set[str]:
        """The symbols that the steps speak of."""
        return {name for one in self.steps for name in (one.symbol.rpartition("/d")[2], *one.parts)}

    def _item_lines(self, item: Item, said: Words, width: int, detail: int) -> Iterator[str]:
        if isinstance(item, Step):
            yield from _indented(self._step_lines(item, said, width - 4, detail))
            return
        note = said.repeated(item.first, item.last, item.count)
        yield f"    [{text_of(note)}]"
        for one, (low, high) in zip(item.block, item.norms, strict=True):
            yield from _indented(plain(Chain(one.left, one.rights), width - 8).splitlines(), 8)
            yield f"            {said.labels.norm} {self._number(low)} … {self._number(high)}"

    def _step_lines(self, one: Step, said: Words, width: int, detail: int) -> Iterator[str]:
        rights = list(one.rights)
        if detail > 2 and one.substituted is not None:
            rights.append(one.substituted)
        large = np.size(one.value) > ELIDED if one.value is not None else False
        if one.number is not None and (detail > 1 or np.size(one.value) == 1):
            rights.append(one.number)
        text = plain(Chain(one.left, tuple(rights)), width).splitlines()
        facts = self._facts(one, said, large or detail == 1)
        if facts and len(text) == 1 and len(text[0]) + len(facts) + 4 < width:
            text = [f"{text[0]}    {facts}"]
        elif facts:
            text.append(f"    {facts}")
        yield from text
        if one.reason and detail > 1:
            yield from wrapped(one.reason, width, "    ")

    def _facts(self, one: Step, said: Words, with_norm: bool) -> str:
        """The shapes of the parts and the value, and of a large value its norm and range."""
        if one.value is None or not np.shape(one.value):
            return ""
        parts = ", ".join([f"{name} {shape_text(shape)}" for name, shape in self._parts(one) if shape])
        facts = f"[{shape_text(one.shape)}{' ← ' if parts else ''}{parts}]"
        if with_norm and np.size(one.value):
            value = np.asarray(one.value, np.float64)
            low, high = self._number(float(value.min())), self._number(float(value.max()))
            facts += f"  {said.labels.norm} {self._number(float(np.linalg.norm(value)))}, {low} … {high}"
        return facts

    def _parts(self, one: Step) -> list[tuple[str, tuple[int, ...]]]:
        return [(plain(name_box(name, self.convention)), shape) for name, shape in one.parts.items()]

    def _number(self, value: float) -> str:
        return shown(value, self.convention).replace("-", "−")

    # ---- other forms -----------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The derivation as what JSON holds: title, convention, language, names, sections of steps."""
        return {
            "title": text_of(self.title),
            "note": text_of(self.note),
            "convention": self.convention.name,
            "language": self.language,
            "names": [{"symbol": n.symbol, "called": n.called, "shape": list(n.shape)} for n in self.names],
            "sections": [
                {
                    "title": section.title,
                    "note": text_of(section.note),
                    "steps": [_step_dict(step, count) for step, count in _counted(section.items)],
                }
                for section in self.sections
            ],
        }

    def to_json(self) -> str:
        """The same as text; values are nested lists, what is not finite is null."""
        return json.dumps(_finite(self.to_dict()), ensure_ascii=False)

    def to_latex(self) -> str:
        """The derivation as LaTeX for a document with amsmath."""
        parts = [rf"\section*{{{_tex_prose(self.title)}}}", _tex_prose(self.note)]
        for section in self.sections:
            parts.append(rf"\subsection*{{{_tex_text(section.title)}}}")
            for item in section.items:
                if isinstance(item, Fold):
                    parts.append(_tex_prose(words(self.language).repeated(item.first, item.last, item.count)))
                for one in item.block if isinstance(item, Fold) else (item,):
                    parts.append(rf"\[ {tex(chain_of(one, numbers=not isinstance(item, Fold)))} \]")
                    parts.append(_tex_prose(one.why))
            parts.append(_tex_prose(section.note))
        return "\n".join([part for part in parts if part]) + "\n"

    def to_markdown(self) -> str:
        """The derivation as Markdown with formulas between dollar signs."""
        parts = [f"# {_markdown(self.title)}", _markdown(self.note)]
        for section in self.sections:
            parts.append(f"## {section.title}")
            for item in section.items:
                if isinstance(item, Fold):
                    parts.append(_markdown(words(self.language).repeated(item.first, item.last, item.count)))
                for one in item.block if isinstance(item, Fold) else (item,):
                    parts.append(f"$$ {tex(chain_of(one, numbers=not isinstance(item, Fold)))} $$")
                    parts.append(_markdown(one.why))
            parts.append(_markdown(section.note))
        return "\n\n".join([part for part in parts if part]) + "\n"

    def to_html(self, path: str | Path | None = None) -> str:
        """The derivation as one HTML file that needs nothing else, with the network drawn.

        Args:
            path: where to write it, as UTF-8; by default nowhere.
        """
        from chainrule.explain.page import page

        text = page(self)
        if path is not None:
            Path(path).write_text(text, "utf-8")
        return text

    def _repr_html_(self) -> str:
        from chainrule.explain.page import fragment

        return fragment(self)

    def _repr_latex_(self) -> str:
        lines = [tex(chain_of(one, numbers=False)) for one in self.steps]
        return "$$\\begin{gathered}\n" + " \\\\\n".join(lines) + "\n\\end{gathered}$$"


def explanation(
    run: Run, title: Prose, note: Prose, sections: Iterable[Section], language: str, *, full: bool
) -> Explanation:
    """An explanation of a run, with its names, and folded unless it is full."""
    kept = [section for section in sections if section.items]
    kept = kept if full else [folded(section) for section in kept]
    return Explanation(title, note, names_of(run), tuple(kept), run.convention, language, full, run)


def names_of(run: Run) -> tuple[Name, ...]:
    """The quantities that the user calls otherwise, or that are given."""
    found = []
    for name, symbol in run.program.symbols.items():
        if name in run.called:
            found.append(Name(name, typeset(symbol, run.convention), run.called[name], symbol.shape))
    return tuple(found)


def _counted(items: Iterable[Item]) -> Iterator[tuple[Step, int]]:
    for item in items:
        if isinstance(item, Fold):
            yield from [(one, item.count) for one in item.block]
        else:
            yield item, 1


def _step_dict(one: Step, count: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "symbol": one.symbol,
        "formula": one.formula,
        "numbers": one.numbers,
        "value": None if one.value is None else np.asarray(one.value).tolist(),
        "shown": None if one.number is None else plain(one.number),
        "shape": list(one.shape),
        "reason": one.reason,
        "recomputed": one.recomputed,
        "latex": tex(chain_of(one)),
    }
    return {**found, "repeated": count} if count > 1 else found


def _finite(x: Any) -> Any:
    if isinstance(x, dict):
        return {key: _finite(value) for key, value in x.items()}
    if isinstance(x, list):
        return [_finite(value) for value in x]
    return None if isinstance(x, float) and not np.isfinite(x) else x


def wrapped(text: str, width: int, indent: str) -> list[str]:
    """Running text in lines; characters of double width, which have no spaces between them, may stand beyond."""
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False)


def _indented(lines: Iterable[str], by: int = 4) -> Iterator[str]:
    for line in lines:
        yield f"{' ' * by}{line}"


def _cut(lines: list[str], said: Words) -> list[str]:
    """The beginning and the end of too long a text."""
    head, tail = 2 * LINES // 3, LINES // 4
    left = len(lines) - head - tail
    return [*lines[:head], f"    … {text_of(said.left_out(left))}", *lines[-tail:]]


def _tex_prose(prose: Prose) -> str:
    return "".join([_tex_text(part) if isinstance(part, str) else f"${tex(part)}$" for part in prose])


def _tex_text(text: str) -> str:
    return "".join([rf"\{c}" if c in "&%$#_{}" else c for c in text])


def _markdown(prose: Prose) -> str:
    return "".join([part if isinstance(part, str) else f"${tex(part)}$" for part in prose])
