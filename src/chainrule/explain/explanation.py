"""An Explanation: the steps of a derivation, and how it is shown in a terminal, a notebook, a file, a program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.explain.documents import in_latex, in_markdown
from chainrule.explain.fold import folded
from chainrule.explain.modules import ByModules, within
from chainrule.explain.run import Run
from chainrule.explain.step import (
    CallSteps,
    EqualCalls,
    Flow,
    Fold,
    Item,
    Section,
    Step,
    all_steps,
    chain_of,
    shown_steps,
)
from chainrule.explain.terminal import in_lines
from chainrule.notation.blocks import text_of
from chainrule.notation.boxes import Box
from chainrule.notation.conventions import Convention
from chainrule.notation.plain import plain
from chainrule.notation.prose import Prose
from chainrule.notation.tex import tex
from chainrule.notation.typeset import typeset

WIDTH = 110
"""So many cells a line of text has."""

LISTED = 24
"""So many modules an error names."""


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
        steps: every step in order: `symbol`, `formula`, `numbers`, `value`, `shape`, `reason`, `recomputed`, `module`.
        sections: the steps under their titles, in a tree of modules; equal layers folded.
        convention, language: how it is written.
        wanted: the quantities whose derivatives were asked for, where those are few.
    """

    title: Prose
    note: Prose
    names: tuple[Name, ...]
    sections: tuple[Section, ...]
    convention: Convention
    language: str
    full: bool = False
    run: Run | None = None
    wanted: frozenset[str] = frozenset()

    @property
    def items(self) -> tuple[Item, ...]:
        """What stands in the sections: steps, folds, modules."""
        return tuple([item for section in self.sections for item in section.items])

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in order; those of folds and of equal modules once."""
        return shown_steps(self.items)

    def __getitem__(self, symbol: str) -> Step:
        """The step of a symbol, such as `"dL/dz2"`: the last one that says what it is, folded or not.

        Raises:
            KeyError: there is none.
        """
        for one in reversed(tuple(all_steps(self.items))):
            if one.symbol == symbol:
                return one
        raise KeyError(symbol)

    def within(self, module: str) -> Explanation:
        """The part of the derivation that one module has, opened.

        Args:
            module: its path ("blocks.2"); what the modules inside of it do belongs to it.

        Raises:
            ArgumentError: no step belongs to a module of that path.

        Example:
            >>> print(cr.explain.gradient(loss).within("blocks.2"))
        """
        kept = [within(section, module) for section in self.sections]
        kept = [section for section in kept if section.items]
        if not kept:
            known = list(dict.fromkeys(one.module for one in all_steps(self.items) if one.module))
            listed = ", ".join(known if len(known) <= LISTED else [*known[:LISTED], "…"])
            raise ArgumentError(
                f"no step of this derivation belongs to a module '{module}'",
                got=[f"there are  {listed or 'none'}"],
                mend=None if known else "Pass model=, or have a variable for the model.",
            )
        return replace(self, sections=tuple(kept))

    def is_wanted(self, one: Step) -> bool:
        """True for a derivative that was asked for by name."""
        return one.of in self.wanted and one.symbol != one.of and "/d" in one.symbol

    # ---- text ------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def to_text(self, width: int = WIDTH) -> str:
        """The derivation for a terminal: under 200 lines, modules closed where there is much, unless it is full."""
        return in_lines(self, width)

    # ---- other forms -----------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The derivation as what JSON holds: title, convention, language, names, sections of steps and of modules."""
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
                    "modules": [_call_dict(call) for call in _calls(section.items)],
                }
                for section in self.sections
            ],
        }

    def to_json(self) -> str:
        """The same as text; values are nested lists, what is not finite is null."""
        return json.dumps(_finite(self.to_dict()), ensure_ascii=False)

    def to_latex(self) -> str:
        r"""The derivation as LaTeX: what stands between \begin{document} and \end{document}.

        The document loads amsmath and amssymb. pdflatex compiles it in English; in Chinese xelatex does, with the
        class ctexart or the package ctex.
        """
        return in_latex(self)

    def to_markdown(self) -> str:
        """The derivation as Markdown with formulas between dollar signs."""
        return in_markdown(self)

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
    run: Run, title: Prose, note: Prose, sections: Iterable[Section], language: str, *, full: bool,
    wanted: Iterable[str] = (),
) -> Explanation:  # fmt: skip
    """An explanation of a run, with its names, divided into modules, and folded unless it is full."""
    modules = ByModules(run)
    kept = [modules.section(section, side_by_side=not full) for section in sections if section.items]
    kept = kept if full else [replace(section, items=folded(section.items)) for section in kept]
    return Explanation(title, note, names_of(run), tuple(kept), run.convention, language, full, run, frozenset(wanted))


def names_of(run: Run) -> tuple[Name, ...]:
    """The quantities that the user calls otherwise, or that are given."""
    found = []
    for name, symbol in run.program.symbols.items():
        if name in run.called:
            found.append(Name(name, typeset(symbol, run.convention), run.called[name], symbol.shape))
    return tuple(found)


def _counted(items: Iterable[Item]) -> Iterator[tuple[Step, int]]:
    """The steps that are shown, and for how many equal ones each of them stands."""
    for item in items:
        match item:
            case Step():
                yield item, 1
            case Fold():
                yield from [(one, item.count) for one in item.block]
            case CallSteps():
                yield from _counted(item.items)
            case EqualCalls():
                yield from [(one, count * len(item.calls)) for one, count in _counted(item.first.items)]


def _calls(items: Iterable[Item]) -> Iterator[CallSteps]:
    """All calls of modules, outer ones first."""
    for item in items:
        for call in item.calls if isinstance(item, EqualCalls) else [item] if isinstance(item, CallSteps) else []:
            yield call
            yield from _calls(call.items)


def _call_dict(call: CallSteps) -> dict[str, Any]:
    def flow(one: Flow) -> dict[str, Any]:
        return {"symbol": plain(one.box), "shape": list(one.shape), "rms": one.rms, "whole": one.whole}

    return {
        "path": call.path,
        "class": call.kind,
        "enters": [flow(one) for one in call.enters],
        "leaves": [flow(one) for one in call.leaves],
        "parameters_rms": call.parameters,
        "symbols": [one.symbol for one in all_steps(call.items)],
    }


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
        "module": one.module,
        "latex": tex(chain_of(one)),
    }
    return {**found, "repeated": count} if count > 1 else found


def _finite(x: Any) -> Any:
    if isinstance(x, dict):
        return {key: _finite(value) for key, value in x.items()}
    if isinstance(x, list):
        return [_finite(value) for value in x]
    return None if isinstance(x, float) and not np.isfinite(x) else x
